//! [`Audit`]: what was administered, by whom, when, and what came of it.

use common::query::{Filter, OrderBy, Query};
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::{Database, Error, Record, Result, Text, Timestamp, Value};
use serde::Serialize;

const TABLE: &str = "sync_audit";
/// Most entries that are forgotten with one that comes.
const FORGOTTEN_MAX: usize = 64;
/// Longest text of an entry, in bytes; the rest is cut off.
const TEXT_BYTES_MAX: usize = 2_000;
const RESULT: usize = 5;

/// What was administered: rows of the table `sync_audit` of the tenant's database.
///
/// An entry is written before the action, as `begun`, and says afterwards what came of it: an action that nobody saw the end of
/// is there too.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    db: Database,
    entries_max: usize,
}

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct AuditEntry {
    /// Number: later actions have higher ones, with gaps.
    pub(crate) number: i64,
    /// When it began.
    #[serde(with = "crate::rfc3339")]
    pub(crate) at: Timestamp,
    /// Who; `None` for anybody at an open server.
    pub(crate) principal: Option<Text>,
    /// What was done, as `keys.create`.
    pub(crate) action: Text,
    /// To what.
    pub(crate) target: Text,
    /// `begun`, `done`, or why it was not done.
    pub(crate) result: Text,
}

impl Audit {
    pub(crate) const fn new(db: Database, entries_max: usize) -> Self {
        Self { db, entries_max }
    }

    /// Does something that is to be in the audit.
    ///
    /// # Errors
    /// What the database fails with before anything is done; what the action fails with.
    pub(crate) fn record<T>(
        &self,
        principal: Option<&Text>,
        action: &str,
        target: &str,
        act: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let number = self.begin(principal, action, target)?;
        let done = act();
        let result = match &done {
            Ok(_) => "done".to_owned(),
            Err(error) => error.to_string(),
        };
        let table = self.db.collection(TABLE)?;
        let noted = table.update_values(number, [(RESULT, cut(&result))]);
        // An action that failed says why, not that this could not be noted.
        match done {
            Ok(done) => noted.map(|_| done),
            Err(error) => Err(error),
        }
    }

    fn begin(&self, principal: Option<&Text>, action: &str, target: &str) -> Result<i64> {
        let table = self.db.open_collection(schema()?)?;
        let mut tx = self.db.begin();
        // The number of its commit is later than those before, also after a restart.
        let number = i64::try_from(tx.seq().0).unwrap_or(i64::MAX);
        let excess = (table.len() + 1).saturating_sub(self.entries_max.max(1));
        if excess > 0 {
            let oldest = Query::from(TABLE)
                .order_by(OrderBy::ascending("number"))
                .limit(excess.min(FORGOTTEN_MAX));
            for entry in oldest.records(&tx.view())? {
                tx.delete(&table, entry.id())?;
            }
        }
        let entry = [
            Value::Int(number),
            Value::Timestamp(self.db.clock().now()),
            Value::from(principal.cloned()),
            cut(action),
            cut(target),
            Value::from("begun"),
        ];
        tx.insert_values(&table, entry)?;
        tx.commit()?;
        Ok(number)
    }

    /// Entries, latest first, before a number.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the table was written by somebody else; what the database fails with.
    pub(crate) fn entries(&self, before: Option<i64>, limit: usize) -> Result<Vec<AuditEntry>> {
        if self.db.collection(TABLE).is_err() {
            return Ok(Vec::new());
        }
        let mut query = Query::from(TABLE)
            .order_by(OrderBy::descending("number"))
            .limit(limit);
        if let Some(before) = before {
            query = query.filter(Filter::lt("number", before));
        }
        let records = query.records(&self.db.snapshot().view())?;
        records.iter().map(AuditEntry::from_record).collect()
    }
}

impl AuditEntry {
    fn from_record(record: &Record) -> Result<Self> {
        let text = |at: usize| record.get(at).and_then(Value::as_text).map(Text::new);
        let entry = || {
            let (Some(Value::Int(number)), Some(Value::Timestamp(at))) =
                (record.first(), record.get(1))
            else {
                return None;
            };
            Some(Self {
                number: *number,
                at: *at,
                principal: text(2),
                action: text(3)?,
                target: text(4)?,
                result: text(RESULT)?,
            })
        };
        entry().ok_or_else(|| {
            Error::corrupt(format!("table `{TABLE}` was not written by this server"))
        })
    }
}

fn schema() -> Result<Schema> {
    let text = |name: &str| Field::new(name, FieldType::Text);
    Schema::build(TABLE, ["number"])
        .field(Field::new("number", FieldType::Int))
        .field(Field::new("at", FieldType::Timestamp))
        .field(text("principal").nullable())
        .field(text("action"))
        .field(text("target"))
        .field(text("result"))
        .index(IndexSpec::ordered(["number"]))
        .finish()
}

fn cut(text: &str) -> Value {
    let end = (0..=text.len().min(TEXT_BYTES_MAX))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    Value::from(text.get(..end.unwrap_or(0)).unwrap_or_default())
}
