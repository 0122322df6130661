//! The queue of a replica: what it has changed and the server has not answered yet, one row for each operation.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use common::schema::FieldId;
use common::versioning::Hlc;
use common::{Collection, Record, RecordId, Result, Seq, Text, Transaction, Value, View};

use super::protocol::{Action, MUTATIONS_MAX, Mutation, Op, REQUEST_BYTES_TARGET};
use super::system::{SyncedTables, damaged, number, read_list, read_number, read_text};

/// One operation in the queue.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub(crate) client_seq: u64,
    pub(crate) number: u32,
    pub(crate) base: Seq,
    pub(crate) stamp: Hlc,
    pub(crate) op: Op,
    /// What the columns of an update held before.
    pub(crate) before: Vec<Value>,
}

const INSERT: i64 = 0;
const UPDATE: i64 = 1;
const DELETE: i64 = 2;

impl Queued {
    fn id(&self) -> RecordId {
        RecordId::composite([number(self.client_seq), Value::from(self.number)])
    }

    pub(crate) fn write(&self, tx: &mut Transaction<'_>, queue: &Collection) -> Result<()> {
        let (action, columns) = match &self.op.action {
            Action::Insert(columns) => (INSERT, columns.as_slice()),
            Action::Update(columns) => (UPDATE, columns.as_slice()),
            Action::Delete => (DELETE, [].as_slice()),
        };
        let fields: Vec<Value> = columns.iter().map(|(f, _)| Value::from(f.0)).collect();
        let values: Vec<Value> = columns.iter().map(|(_, value)| value.clone()).collect();
        let row = [
            number(self.client_seq),
            Value::from(self.number),
            number(self.base.0),
            number(self.stamp.0),
            Value::Text(self.op.table.clone()),
            Value::List(self.op.key.values().into()),
            Value::Int(action),
            Value::from(fields),
            Value::from(values),
            Value::from(self.before.clone()),
        ];
        tx.upsert_values(queue, row).map(drop)
    }

    pub(crate) fn read(record: &Record) -> Result<Self> {
        let columns = || -> Result<Vec<(FieldId, Value)>> {
            let fields = read_list(record, 7)?.iter().map(|field| {
                let id = field.as_int().and_then(|id| u32::try_from(id).ok());
                id.map(FieldId).ok_or_else(|| damaged(7))
            });
            let values = read_list(record, 8)?.iter().cloned();
            fields
                .zip(values)
                .map(|(field, value)| Ok((field?, value)))
                .collect()
        };
        let action = match record.get(6).and_then(Value::as_int) {
            Some(INSERT) => Action::Insert(columns()?),
            Some(UPDATE) => Action::Update(columns()?),
            Some(DELETE) => Action::Delete,
            _ => return Err(damaged(6)),
        };
        Ok(Self {
            client_seq: read_number(record, 0)?,
            number: u32::try_from(read_number(record, 1)?).map_err(|_| damaged(1))?,
            base: Seq(read_number(record, 2)?),
            stamp: Hlc(read_number(record, 3)?),
            op: Op {
                table: read_text(record, 4)?,
                key: RecordId::from(read_list(record, 5)?),
                action,
            },
            before: read_list(record, 9)?.to_vec(),
        })
    }
}

/// Everything in the queue, in the order in which it was written.
pub(crate) fn all(view: View<'_>, queue: &Collection) -> Result<Vec<Queued>> {
    let mut found = Vec::new();
    let mut failed = None;
    view.scan(queue, &mut |records| {
        for record in records {
            match Queued::read(record) {
                Ok(op) => found.push(op),
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    if let Some(error) = failed {
        return Err(error.at("sync_queue"));
    }
    found.sort_by_key(|queued| (queued.client_seq, queued.number));
    Ok(found)
}

/// Takes away what a later operation makes pointless: columns that an unsent mutation of one operation, on the
/// same row and from the same base, has set and this one sets again.
pub(crate) fn coalesce(
    tx: &mut Transaction<'_>,
    queue: &Collection,
    tables: &SyncedTables,
    sent: u64,
    base: Seq,
    op: &Op,
) -> Result<()> {
    let overwritten: Option<HashSet<FieldId>> = match &op.action {
        Action::Insert(_) => return Ok(()),
        Action::Update(columns) => Some(columns.iter().map(|(field, _)| *field).collect()),
        Action::Delete => None,
    };
    if !tables.get(&op.table)?.stands_alone {
        return Ok(());
    }
    let Some(index) = queue.indexes().first().cloned() else {
        return Ok(());
    };
    let key = [
        Value::Text(op.table.clone()),
        Value::List(op.key.values().into()),
    ];
    for record in tx.view().equal(queue, &index, &key)? {
        let mut earlier = Queued::read(&record)?;
        let second = RecordId::composite([number(earlier.client_seq), Value::from(1)]);
        if earlier.client_seq <= sent
            || earlier.base != base
            || earlier.number != 0
            || tx.get(queue, second)?.is_some()
        {
            continue;
        }
        let Action::Update(columns) = &earlier.op.action else {
            continue;
        };
        let kept: Vec<((FieldId, Value), Value)> = columns
            .iter()
            .cloned()
            .zip(earlier.before.iter().cloned())
            .filter(|((field, _), _)| overwritten.as_ref().is_some_and(|o| !o.contains(field)))
            .collect();
        if kept.is_empty() {
            tx.delete(queue, earlier.id())?;
        } else if kept.len() < columns.len() {
            let (columns, before) = kept.into_iter().unzip();
            earlier.op.action = Action::Update(columns);
            earlier.before = before;
            earlier.write(tx, queue)?;
        }
    }
    Ok(())
}

/// The mutations from number `first` up to, not including, `next`, as many as one request takes. A number whose
/// operations were all coalesced away is a mutation without any.
pub(crate) fn cut(queued: &[Queued], first: u64, next: u64) -> Vec<Mutation> {
    let mut mutations: Vec<Mutation> = Vec::new();
    let mut rest = queued.iter().filter(|op| op.client_seq >= first).peekable();
    let mut bytes = 0;
    for client_seq in first..next {
        if mutations.len() >= MUTATIONS_MAX
            || (bytes >= REQUEST_BYTES_TARGET && !mutations.is_empty())
        {
            break;
        }
        let mut mutation = Mutation {
            client_seq,
            base: Seq::ZERO,
            stamp: Hlc::default(),
            ops: Vec::new(),
        };
        while let Some(op) = rest.next_if(|op| op.client_seq == client_seq) {
            mutation.base = op.base;
            mutation.stamp = op.stamp;
            bytes += op_bytes(&op.op);
            mutation.ops.push(op.op.clone());
        }
        mutations.push(mutation);
    }
    mutations
}

/// Memory that an operation takes, which is more than its bytes in a frame.
pub(crate) fn op_bytes(op: &Op) -> usize {
    let columns = match &op.action {
        Action::Insert(columns) | Action::Update(columns) => columns.as_slice(),
        Action::Delete => &[],
    };
    let values = columns.iter().map(|(_, value)| 32 + value.heap_bytes());
    64 + op.key.heap_bytes() + values.sum::<usize>()
}

/// What the queue says about one row.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// The row was made here; a deletion elsewhere is of an earlier one.
    pub(crate) inserted: bool,
    /// The row was deleted here.
    pub(crate) deleted: bool,
    /// All columns, or some, were set here.
    pub(crate) columns: HashSet<FieldId>,
}

/// What the queue says about each row that it touches.
pub(crate) fn pending(queued: &[Queued]) -> HashMap<(Text, RecordId), Pending> {
    let mut rows: HashMap<(Text, RecordId), Pending> = HashMap::new();
    for Queued { op, .. } in queued {
        let row = rows.entry((op.table.clone(), op.key.clone())).or_default();
        match &op.action {
            Action::Insert(columns) => {
                row.inserted = true;
                row.deleted = false;
                row.columns.extend(columns.iter().map(|(field, _)| *field));
            }
            Action::Update(columns) => {
                row.columns.extend(columns.iter().map(|(field, _)| *field));
            }
            Action::Delete => {
                *row = Pending {
                    deleted: true,
                    ..Pending::default()
                }
            }
        }
    }
    rows
}

/// Gives the queue new numbers from `first` on, because the server counts otherwise. Returns the number after
/// the last.
pub(crate) fn renumber(
    tx: &mut Transaction<'_>,
    queue: &Collection,
    queued: &mut [Queued],
    first: u64,
) -> Result<u64> {
    for op in queued.iter() {
        tx.delete(queue, op.id())?;
    }
    let mut numbers: HashMap<u64, u64> = HashMap::new();
    let mut next = first;
    for op in queued.iter_mut() {
        op.client_seq = *numbers.entry(op.client_seq).or_insert_with(|| {
            next += 1;
            next - 1
        });
        op.write(tx, queue)?;
    }
    Ok(next)
}

/// Takes a mutation's operations out of the queue.
pub(crate) fn remove(tx: &mut Transaction<'_>, queue: &Collection, op: &Queued) -> Result<()> {
    tx.delete(queue, op.id())
}
