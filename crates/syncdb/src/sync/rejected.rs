//! What waits at a replica: mutations that the server has not answered, and those that it rejected, which are kept
//! whole in the table `sync_rejected` until they are tried again or discarded.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use common::{
    Collection, Error, Map, Record, RecordId, Result, Text, Timestamp, Transaction, Value,
};
use serde::{Deserialize, Serialize};

use super::delta::Delta;
use super::protocol::{Action, Op};
use super::queue::{self, Queued};
use super::system::{SyncedTables, number, read_list, read_number, read_text};

/// Most rejected mutations that a replica keeps. With that many, new edits are refused until some are tried again or
/// discarded; nothing is dropped, and syncing goes on.
pub const REJECTED_MAX: usize = 10_000;

/// Which rejected mutation: written `CLIENT_SEQ@MICROSECONDS`.
///
/// ```
/// use syncdb::RejectedId;
/// let id: RejectedId = "7@1700000000000000".parse()?;
/// assert_eq!(id.client_seq, 7);
/// assert_eq!(id.to_string(), "7@1700000000000000");
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RejectedId {
    /// Number that the mutation had.
    pub client_seq: u64,
    /// When the rejection arrived. No two of one number share it.
    pub at: Timestamp,
}

impl fmt::Display for RejectedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.client_seq, self.at.0)
    }
}

impl FromStr for RejectedId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('@');
        let id = parts.and_then(|(client_seq, at)| {
            Some(Self {
                client_seq: client_seq.parse().ok()?,
                at: Timestamp(at.parse().ok()?),
            })
        });
        id.ok_or_else(|| {
            Error::invalid(format!(
                "`{text}` names no rejected mutation: expected its number and the time in microseconds, as in \
                 7@1700000000000000"
            ))
        })
    }
}

impl RejectedId {
    pub(crate) fn key(self) -> RecordId {
        RecordId::composite([number(self.client_seq), Value::Timestamp(self.at)])
    }
}

/// What one operation says about one row, for people and programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowEdit {
    /// Name of the table.
    pub table: Text,
    /// Which row.
    pub key: RecordId,
    /// `insert`, `update`, `delete`, `delta` or `revert`.
    pub action: Text,
    /// The columns by name with what they are to hold; in a `delta` also with what is added or removed, as text.
    pub columns: Map,
    /// What the columns held before, by name; for `delete` all of them.
    pub before: Map,
}

impl fmt::Display for RowEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.action, self.table, self.key)?;
        for (name, value) in &self.columns {
            write!(f, ", {name}: {value}")?;
            if let Some(before) = self.before.get(name) {
                write!(f, " (was {before})")?;
            }
        }
        Ok(())
    }
}

/// A mutation that the server rejected. None of it took effect there, and the rows here are the server's again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    /// Which one.
    pub id: RejectedId,
    /// Name of the kind of error.
    pub code: Text,
    /// The server's reason.
    pub message: Text,
    /// What it was to do, with what was there before.
    pub ops: Vec<RowEdit>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.id, self.code, self.message)?;
        for edit in &self.ops {
            write!(f, "\n  {edit}")?;
        }
        Ok(())
    }
}

/// A mutation that the server has not answered yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingMutation {
    /// Its number.
    pub client_seq: u64,
    /// Whether it may have reached the server, so that it changes no more.
    pub sent: bool,
    /// An earlier mutation that touched one of its rows and was rejected: this one was made on top of what never came to
    /// be, and deserves a look.
    pub after_rejected: Option<u64>,
    /// What it is to do.
    pub ops: Vec<RowEdit>,
}

impl Rejected {
    /// Keeps it. The operations are kept as they were, too, so that they can be tried again.
    pub(crate) fn write(
        &self,
        tx: &mut Transaction<'_>,
        table: &Collection,
        ops: &[Queued],
    ) -> Result<()> {
        let mut id = self.id;
        while tx.get(table, id.key())?.is_some() {
            id.at = Timestamp(id.at.0.saturating_add(1));
        }
        let edits = self.ops.iter().map(|edit| {
            Value::from(vec![
                Value::Text(edit.table.clone()),
                Value::List(edit.key.values().into()),
                Value::Text(edit.action.clone()),
                Value::from(edit.columns.clone()),
                Value::from(edit.before.clone()),
            ])
        });
        let mutation = ops.iter().map(|queued| {
            let [action, fields, values] = queue::write_action(&queued.op.action);
            Value::from(vec![
                Value::Text(queued.op.table.clone()),
                Value::List(queued.op.key.values().into()),
                action,
                fields,
                values,
            ])
        });
        let row = [
            number(id.client_seq),
            Value::Timestamp(id.at),
            Value::Text(self.code.clone()),
            Value::Text(self.message.clone()),
            Value::List(edits.collect()),
            Value::List(mutation.collect()),
        ];
        tx.insert_values(table, row).map(drop)
    }

    pub(crate) fn read(record: &[Value]) -> Result<Self> {
        let at = record.get(1).and_then(Value::as_timestamp);
        let edits = read_list(record, 4)?.iter().map(|edit| {
            let read = || -> Option<RowEdit> {
                let [table, key, action, columns, rest @ ..] = edit.as_list()? else {
                    return None;
                };
                let before = rest.first().and_then(Value::as_map);
                Some(RowEdit {
                    table: table.as_text()?.into(),
                    key: RecordId::from(key.as_list()?),
                    action: action.as_text()?.into(),
                    columns: columns.as_map()?.clone(),
                    before: before.cloned().unwrap_or_default(),
                })
            };
            read().ok_or_else(|| super::system::damaged(4))
        });
        Ok(Self {
            id: RejectedId {
                client_seq: read_number(record, 0)?,
                at: at.unwrap_or_default(),
            },
            code: read_text(record, 2)?,
            message: read_text(record, 3)?,
            ops: edits.collect::<Result<_>>()?,
        })
    }
}

/// The operations of a row of `sync_rejected`.
pub(crate) fn read_ops(record: &Record) -> Result<Vec<Op>> {
    let ops = record.get(5).and_then(Value::as_list).ok_or_else(|| {
        Error::unsupported(
            "an earlier version kept this mutation without what it takes to try it again",
        )
    })?;
    let read = |op: &Value| -> Option<Op> {
        let [table, key, action, fields, values] = op.as_list()? else {
            return None;
        };
        Some(Op {
            table: table.as_text()?.into(),
            key: RecordId::from(key.as_list()?),
            action: queue::read_action(action, fields, values)?,
        })
    };
    ops.iter()
        .map(|op| read(op).ok_or_else(|| super::system::damaged(5)))
        .collect()
}

/// Operations of the queue as people read them.
pub(crate) fn edits(ops: &[Queued], tables: &SyncedTables) -> Vec<RowEdit> {
    ops.iter().map(|queued| edit(queued, tables)).collect()
}

fn edit(queued: &Queued, tables: &SyncedTables) -> RowEdit {
    let op = &queued.op;
    let schema = tables.by_name.get(&op.table).map(|table| &table.schema);
    let fields = schema.map_or(&[][..], |schema| &schema.fields);
    let name = |id: common::schema::FieldId| {
        let field = fields.iter().find(|field| field.id == id);
        field.map_or_else(|| Text::new(id.0.to_string()), |field| field.name.clone())
    };
    let mut before: Map = Map::default();
    let (action, columns): (_, Map) = match &op.action {
        Action::Insert(columns) => (
            "insert",
            columns
                .iter()
                .map(|(id, v)| (name(*id), v.clone()))
                .collect(),
        ),
        Action::Update(columns) => {
            let names = columns.iter().map(|(id, _)| name(*id));
            before = names.zip(queued.before.iter().cloned()).collect();
            (
                "update",
                columns
                    .iter()
                    .map(|(id, v)| (name(*id), v.clone()))
                    .collect(),
            )
        }
        Action::Deltas(columns) => {
            let names = columns.iter().map(|(id, _)| name(*id));
            before = names.zip(queued.before.iter().cloned()).collect();
            let is_relative = |delta: &Delta| !matches!(delta, Delta::Replace { .. });
            let action = if columns.iter().any(|(_, delta)| is_relative(delta)) {
                "delta"
            } else {
                "update"
            };
            let columns = columns.iter().map(|(id, delta)| {
                let said = match delta {
                    Delta::Replace { value, .. } => value.clone(),
                    delta => Value::from(delta.to_string().as_str()),
                };
                (name(*id), said)
            });
            (action, columns.collect())
        }
        Action::Delete => {
            let rest = fields.iter().skip(schema.map_or(0, |s| s.key_columns));
            let names = rest.map(|field| field.name.clone());
            before = names.zip(queued.before.iter().cloned()).collect();
            ("delete", Map::default())
        }
        Action::Revert { entry, force } => (
            "revert",
            [
                (Text::from("entry"), Value::from(entry.to_string().as_str())),
                (Text::from("force"), Value::from(*force)),
            ]
            .into_iter()
            .collect(),
        ),
    };
    RowEdit {
        table: op.table.clone(),
        key: op.key.clone(),
        action: action.into(),
        columns,
        before,
    }
}

/// Marks what waits in the queue and was made on top of rejected operations: what it replaced is what those had
/// replaced.
pub(crate) fn flag(
    tx: &mut Transaction<'_>,
    queue: &Collection,
    rejected: &[Queued],
) -> Result<()> {
    let rows: BTreeSet<(&Text, &RecordId)> = rejected
        .iter()
        .map(|queued| (&queued.op.table, &queued.op.key))
        .collect();
    let mut queued = Vec::new();
    for (table, key) in rows {
        queued.extend(queue::of_row(tx.view(), queue, table, key)?);
    }
    for waiting in &mut queued {
        let mut changed = false;
        // The latest first, so that the before of the earliest is what remains.
        for earlier in rejected.iter().rev() {
            if earlier.op.table != waiting.op.table || earlier.op.key != waiting.op.key {
                continue;
            }
            changed = true;
            waiting.after_rejected = Some(earlier.client_seq);
            if let Action::Update(columns) = &waiting.op.action {
                for ((field, _), before) in columns.iter().zip(&mut waiting.before) {
                    if let Some(earlier) = earlier.before_of(*field) {
                        *before = earlier;
                    }
                }
            }
        }
        if changed {
            waiting.write(tx, queue)?;
        }
    }
    Ok(())
}

/// The mutations in the queue.
pub(crate) fn pending(ops: &[Queued], sent: u64, tables: &SyncedTables) -> Vec<PendingMutation> {
    ops.chunk_by(|a, b| a.client_seq == b.client_seq)
        .filter_map(|ops| {
            let client_seq = ops.first()?.client_seq;
            Some(PendingMutation {
                client_seq,
                sent: client_seq <= sent,
                after_rejected: ops.iter().find_map(|op| op.after_rejected),
                ops: edits(ops, tables),
            })
        })
        .collect()
}
