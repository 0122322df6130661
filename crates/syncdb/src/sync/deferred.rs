//! [`Deferred`]: operations of the application's own that wait for the radio, in a table of the replica's database.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use common::schema::{Field, FieldType, Schema};
use common::{
    Collection, Error, Record, RecordId, Result, Text, Timestamp, Transaction, Value, View,
};
use serde::{Deserialize, Serialize};

use super::system::{damaged, number, read_number, read_text};
use crate::power::{Claim, Priority, Urgency, Waiting};

/// Most operations that wait at a replica.
pub const DEFERRED_MAX: u64 = 10_000;
/// Most bytes of the payloads of all that wait.
pub const DEFERRED_BYTES_MAX: u64 = 64 << 20;
/// Most bytes of one payload.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Longest name of an operation, in bytes of UTF-8.
pub const OPERATION_NAME_BYTES_MAX: usize = 128;

/// The row that counts the others.
const COUNTS: u64 = 0;

/// Which deferred operation; given to no other one of the same replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeferredId(pub u64);

impl fmt::Display for DeferredId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An operation that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deferred {
    /// Which one.
    pub id: DeferredId,
    /// Which operation it is, in the application's words.
    pub name: Text,
    /// What it needs.
    pub payload: Arc<[u8]>,
    /// How soon it has to run.
    pub urgency: Urgency,
    /// When it was deferred, or postponed last.
    pub made: Timestamp,
}

/// What became of the operations that ran.
#[derive(Debug, Default)]
pub struct DeferredReport {
    /// How many have run and are finished.
    pub finished: u64,
    /// Those that failed and wait anew, with the reason.
    pub failed: Vec<(DeferredId, Error)>,
}

pub(crate) fn schema() -> Result<Schema> {
    Schema::build("sync_deferred", ["number"])
        .field(Field::new("number", FieldType::Int))
        .field(Field::new("name", FieldType::Text))
        .field(Field::new("payload", FieldType::Any))
        .field(Field::new("priority", FieldType::Int))
        .field(Field::new("deadline", FieldType::Timestamp).nullable())
        .field(Field::new("made", FieldType::Timestamp))
        .finish()
}

impl Deferred {
    fn row(&self) -> [Value; 6] {
        [
            number(self.id.0),
            Value::Text(self.name.clone()),
            Value::Bytes(Arc::clone(&self.payload)),
            Value::from(i64::from(self.urgency.priority.number())),
            Value::from(self.urgency.deadline),
            Value::Timestamp(self.made),
        ]
    }

    fn read(record: &Record) -> Result<Self> {
        let priority = record.get(3).and_then(Value::as_int);
        let made = record.get(5).and_then(Value::as_timestamp);
        let Some(Value::Bytes(payload)) = record.get(2) else {
            return Err(damaged(2));
        };
        Ok(Self {
            id: DeferredId(read_number(record, 0)?),
            name: read_text(record, 1)?,
            payload: Arc::clone(payload),
            urgency: Urgency {
                priority: priority
                    .and_then(Priority::from_number)
                    .ok_or_else(|| damaged(3))?,
                deadline: record.get(4).and_then(Value::as_timestamp),
            },
            made: made.ok_or_else(|| damaged(5))?,
        })
    }
}

/// What the first row says of the others.
struct Counts {
    next: u64,
    bytes: u64,
    operations: u64,
}

impl Counts {
    fn read(tx: &Transaction<'_>, table: &Collection) -> Result<Self> {
        let Some(record) = tx.get(table, key(COUNTS))? else {
            return Ok(Self {
                next: 1,
                bytes: 0,
                operations: 0,
            });
        };
        let counts = record.get(2).and_then(Value::as_list);
        let counts = counts.ok_or_else(|| damaged(2))?;
        Ok(Self {
            next: read_number(counts, 0)?,
            bytes: read_number(counts, 1)?,
            operations: read_number(counts, 2)?,
        })
    }

    fn write(&self, tx: &mut Transaction<'_>, table: &Collection) -> Result<()> {
        let row = [
            number(COUNTS),
            Value::from(""),
            Value::from(vec![
                number(self.next),
                number(self.bytes),
                number(self.operations),
            ]),
            Value::from(0),
            Value::Null,
            Value::Timestamp(Timestamp(0)),
        ];
        tx.upsert_values(table, row).map(drop)
    }
}

fn key(id: u64) -> RecordId {
    RecordId::from([number(id)].as_slice())
}

/// Adds an operation.
pub(crate) fn add(
    tx: &mut Transaction<'_>,
    table: &Collection,
    name: &str,
    payload: &[u8],
    claim: Claim,
) -> Result<DeferredId> {
    if name.is_empty() || name.len() > OPERATION_NAME_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the name of a deferred operation has 1 to {OPERATION_NAME_BYTES_MAX} bytes, this one {}",
            name.len()
        )));
    }
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Error::limit_exceeded(format!(
            "the payload of deferred operation `{name}` has {} bytes, at most {PAYLOAD_BYTES_MAX} are kept; \
             keep it elsewhere and defer its name",
            payload.len()
        )));
    }
    let mut counts = Counts::read(tx, table)?;
    let bytes = counts.bytes.saturating_add(payload.len() as u64);
    if counts.operations >= DEFERRED_MAX || bytes > DEFERRED_BYTES_MAX {
        return Err(Error::limit_exceeded(format!(
            "operation `{name}` is not deferred: {} operations of {} bytes wait, at most {DEFERRED_MAX} and \
             {DEFERRED_BYTES_MAX} are kept; run or finish some first",
            counts.operations, counts.bytes
        )));
    }
    let id = DeferredId(counts.next);
    counts.next += 1;
    counts.bytes = bytes;
    counts.operations += 1;
    counts.write(tx, table)?;
    let operation = Deferred {
        id,
        name: Text::new(name),
        payload: payload.into(),
        urgency: claim.urgency,
        made: claim.made,
    };
    tx.insert_values(table, operation.row())?;
    Ok(id)
}

fn get(tx: &Transaction<'_>, table: &Collection, id: DeferredId) -> Result<Option<Deferred>> {
    if id.0 == COUNTS {
        return Ok(None);
    }
    let record = tx.get(table, key(id.0))?;
    let read = record.map(|record| Deferred::read(&record));
    read.transpose().map_err(|error| error.at("sync_deferred"))
}

/// Takes an operation away; whether it was there.
pub(crate) fn remove(tx: &mut Transaction<'_>, table: &Collection, id: DeferredId) -> Result<bool> {
    let Some(found) = get(tx, table, id)? else {
        return Ok(false);
    };
    tx.delete(table, key(id.0))?;
    let mut counts = Counts::read(tx, table)?;
    counts.operations = counts.operations.saturating_sub(1);
    counts.bytes = counts.bytes.saturating_sub(found.payload.len() as u64);
    counts.write(tx, table)?;
    Ok(true)
}

/// Lets an operation wait anew; whether it was there.
pub(crate) fn postpone(
    tx: &mut Transaction<'_>,
    table: &Collection,
    id: DeferredId,
    now: Timestamp,
) -> Result<bool> {
    let Some(mut found) = get(tx, table, id)? else {
        return Ok(false);
    };
    found.made = now;
    found.urgency.deadline = None;
    tx.upsert_values(table, found.row())?;
    Ok(true)
}

/// Adds what waits.
pub(crate) fn waiting(view: View<'_>, table: &Collection, waiting: &mut Waiting) -> Result<()> {
    view.scan(table, &mut |records| {
        for record in records {
            let priority = record.get(3).and_then(Value::as_int);
            // The row that counts has none.
            if let Some(priority) = priority.and_then(Priority::from_number)
                && let Some(made) = record.get(5).and_then(Value::as_timestamp)
            {
                let deadline = record.get(4).and_then(Value::as_timestamp);
                waiting.add(made, Urgency { priority, deadline });
            }
        }
        ControlFlow::Continue(())
    })
}

/// Everything that waits, in order.
pub(crate) fn all(view: View<'_>, table: &Collection) -> Result<Vec<Deferred>> {
    let mut records = Vec::new();
    view.scan(table, &mut |chunk| {
        records.extend_from_slice(chunk);
        ControlFlow::Continue(())
    })?;
    let is_operation = |record: &&Record| record.first() != Some(&number(COUNTS));
    let found = records.iter().filter(is_operation).map(Deferred::read);
    let mut found = found
        .collect::<Result<Vec<_>>>()
        .map_err(|error| error.at("sync_deferred"))?;
    found.sort_by_key(|operation| (operation.urgency.priority, operation.id));
    Ok(found)
}
