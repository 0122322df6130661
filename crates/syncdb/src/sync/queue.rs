//! The queue of a replica: what it has changed and the server has not answered yet, one row for each operation.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use common::schema::FieldId;
use common::storage::{Direction, KeyRange};
use common::versioning::Hlc;
use common::{Collection, Record, RecordId, Result, Seq, Text, Transaction, Value, View};

use super::delta::Delta;
use super::ledger::EntryId;
use super::planted::{self, Bug};
use super::policy::DeletionPolicy;
use super::protocol::{Action, Mutation, Op};
use super::system::{SyncedTables, damaged, number, read_list, read_number, read_text};
use crate::power::{
    Claim, MUTATIONS_MAX, Priority, REQUEST_BYTES_MAX, SyncBudget, Urgency, Waiting,
};

/// One operation in the queue.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub(crate) client_seq: u64,
    pub(crate) number: u32,
    pub(crate) base: Seq,
    pub(crate) stamp: Hlc,
    pub(crate) op: Op,
    /// What the columns of an update held before; for a deletion, all columns of the row.
    pub(crate) before: Vec<Value>,
    /// A mutation before this one touched the same row and was rejected: what this one says was said on top of something
    /// that never came to be.
    pub(crate) after_rejected: Option<u64>,
    /// When the mutation was written and how soon it has to leave; the same in all its operations.
    pub(crate) claim: Claim,
}

const INSERT: i64 = 0;
const UPDATE: i64 = 1;
const DELETE: i64 = 2;
const DELTAS: i64 = 3;
const REVERT: i64 = 4;

impl Queued {
    fn id(&self) -> RecordId {
        RecordId::composite([number(self.client_seq), Value::from(self.number)])
    }

    /// What a column held when it was edited.
    pub(crate) fn before_of(&self, field: FieldId) -> Option<Value> {
        let position = match &self.op.action {
            Action::Update(columns) => columns.iter().position(|(id, _)| *id == field)?,
            Action::Deltas(columns) => columns.iter().position(|(id, _)| *id == field)?,
            Action::Insert(_) | Action::Delete | Action::Revert { .. } => return None,
        };
        self.before.get(position).cloned()
    }

    pub(crate) fn write(&self, tx: &mut Transaction<'_>, queue: &Collection) -> Result<()> {
        let [action, fields, values] = write_action(&self.op.action);
        let row = [
            number(self.client_seq),
            Value::from(self.number),
            number(self.base.0),
            number(self.stamp.0),
            Value::Text(self.op.table.clone()),
            Value::List(self.op.key.values().into()),
            action,
            fields,
            values,
            Value::from(self.before.clone()),
            Value::from(self.after_rejected.map(number)),
            Value::from(i64::from(self.claim.urgency.priority.number())),
            Value::from(self.claim.urgency.deadline),
            Value::Timestamp(self.claim.made),
        ];
        tx.upsert_values(queue, row).map(drop)
    }

    pub(crate) fn read(record: &[Value]) -> Result<Self> {
        let action = match record {
            [_, _, _, _, _, _, action, fields, values, ..] => read_action(action, fields, values),
            _ => None,
        };
        Ok(Self {
            client_seq: read_number(record, 0)?,
            number: u32::try_from(read_number(record, 1)?).map_err(|_| damaged(1))?,
            base: Seq(read_number(record, 2)?),
            stamp: Hlc(read_number(record, 3)?),
            op: Op {
                table: read_text(record, 4)?,
                key: RecordId::from(read_list(record, 5)?),
                action: action.ok_or_else(|| damaged(6))?,
            },
            before: read_list(record, 9)?.to_vec(),
            after_rejected: read_number(record, 10).ok(),
            claim: read_claim(record),
        })
    }
}

/// How soon an operation in the queue has to leave; one that an earlier edition wrote says nothing of it.
fn read_claim(record: &[Value]) -> Claim {
    let priority = record.get(11).and_then(Value::as_int);
    let made = record.get(13).and_then(Value::as_timestamp);
    Claim {
        made: made.unwrap_or_default(),
        urgency: Urgency {
            priority: priority.and_then(Priority::from_number).unwrap_or_default(),
            deadline: record.get(12).and_then(Value::as_timestamp),
        },
    }
}

/// Adds what stands in the queue.
pub(crate) fn waiting(view: View<'_>, queue: &Collection, waiting: &mut Waiting) -> Result<()> {
    view.scan(queue, &mut |records| {
        for record in records {
            let claim = read_claim(record);
            waiting.add(claim.made, claim.urgency);
        }
        ControlFlow::Continue(())
    })
}

/// The latest stamp in the queue.
pub(crate) fn stamped(view: View<'_>, queue: &Collection) -> Result<Hlc> {
    let mut latest = 0;
    view.scan(queue, &mut |records| {
        let stamps = records.iter().filter_map(|r| read_number(r, 3).ok());
        latest = stamps.fold(latest, u64::max);
        ControlFlow::Continue(())
    })?;
    Ok(Hlc(latest))
}

/// An action as three values: its kind, its columns and what it says of them.
pub(crate) fn write_action(action: &Action) -> [Value; 3] {
    let fields = |fields: &mut dyn Iterator<Item = FieldId>| {
        Value::List(fields.map(|field| Value::from(field.0)).collect())
    };
    match action {
        Action::Insert(columns) | Action::Update(columns) => {
            let insert = matches!(action, Action::Insert(_));
            [
                Value::Int(if insert { INSERT } else { UPDATE }),
                fields(&mut columns.iter().map(|(field, _)| *field)),
                Value::List(columns.iter().map(|(_, value)| value.clone()).collect()),
            ]
        }
        Action::Delete => [
            Value::Int(DELETE),
            fields(&mut std::iter::empty()),
            Value::List([].into()),
        ],
        Action::Deltas(columns) => [
            Value::Int(DELTAS),
            fields(&mut columns.iter().map(|(field, _)| *field)),
            Value::List(columns.iter().map(|(_, delta)| delta.to_value()).collect()),
        ],
        Action::Revert { entry, force } => [
            Value::Int(REVERT),
            fields(&mut std::iter::empty()),
            Value::from(vec![
                number(entry.seq.0),
                Value::from(entry.number),
                Value::from(*force),
            ]),
        ],
    }
}

/// The action that [`write_action`] gave these values for.
pub(crate) fn read_action(action: &Value, fields: &Value, values: &Value) -> Option<Action> {
    let (fields, values) = (fields.as_list()?, values.as_list()?);
    let field = |value: &Value| {
        let id = value.as_int().and_then(|id| u32::try_from(id).ok());
        id.map(FieldId)
    };
    let columns = || -> Option<Vec<(FieldId, Value)>> {
        let pairs = fields.iter().zip(values);
        pairs.map(|(f, v)| Some((field(f)?, v.clone()))).collect()
    };
    Some(match (action.as_int()?, values) {
        (INSERT, _) => Action::Insert(columns()?),
        (UPDATE, _) => Action::Update(columns()?),
        (DELETE, _) => Action::Delete,
        (DELTAS, _) => {
            let pairs = fields.iter().zip(values);
            let deltas = pairs.map(|(f, v)| Some((field(f)?, Delta::from_value(v)?)));
            Action::Deltas(deltas.collect::<Option<_>>()?)
        }
        (REVERT, [seq, entry, force]) => Action::Revert {
            entry: EntryId {
                seq: Seq(seq.as_int()?.cast_unsigned()),
                number: entry.as_int()?.try_into().ok()?,
            },
            force: force.as_bool()?,
        },
        _ => return None,
    })
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

/// The commit that an edit of these rows starts from: that of the earliest edit of them that is not answered yet, because
/// it hides what the server has had there since. Without one, the replica's position `cursor`.
pub(crate) fn base<'a>(
    tx: &Transaction<'_>,
    queue: &Collection,
    ops: impl Iterator<Item = &'a Op>,
    cursor: Seq,
) -> Result<Seq> {
    if planted::has(Bug::BaseTooNew) {
        return Ok(Seq(u64::from(u32::MAX) << 30));
    }
    let mut base = cursor;
    if queue.is_empty() {
        return Ok(base);
    }
    for op in ops {
        // Each was queued with this same minimum, so that the latest has the least.
        for record in latest_of_row(tx.view(), queue, &op.table, &op.key, 1)? {
            base = base.min(Seq(read_number(&record, 2)?));
        }
    }
    Ok(base)
}

/// How many of a row's latest operations [`coalesce`] looks at, so that an edit does not cost more the more of them wait.
/// What lies beyond is sent as it is.
const COALESCED_MAX: usize = 64;

/// Takes away what a later mutation of one operation makes pointless: columns that an unsent mutation of one operation, on
/// the same row and from the same base, has set and this one sets again. `before` is what the later one replaces. Returns
/// how soon it has to leave, now that it says what the others said.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one entry of the queue"
)]
pub(crate) fn coalesce(
    tx: &mut Transaction<'_>,
    queue: &Collection,
    tables: &SyncedTables,
    sent: u64,
    base: Seq,
    op: &Op,
    before: &mut [Value],
    mut claim: Claim,
) -> Result<Claim> {
    // What is added to a column makes nothing before it pointless.
    if !matches!(op.action, Action::Update(_) | Action::Delete) {
        return Ok(claim);
    }
    let synced = tables.get(&op.table)?;
    // Where a row comes back with what it held, it does so with what was written before it was deleted.
    let resurrects = synced.policy.deletion == DeletionPolicy::UpdateResurrects;
    if !synced.stands_alone || (resurrects && op.action == Action::Delete) {
        return Ok(claim);
    }
    // Of a column that keeps its greatest value, say, a value that was overwritten here still counts.
    let is_replaced = |field: &FieldId| {
        let field = synced.schema.fields.iter().find(|known| known.id == *field);
        field.is_some_and(|field| synced.policy.of(&field.name).takes_whole_values())
    };
    // The columns to be looked for; all of them for a deletion.
    let mut overwritten: Option<HashSet<FieldId>> = match &op.action {
        Action::Update(columns) => {
            let fields = columns.iter().map(|(field, _)| *field);
            Some(fields.filter(is_replaced).collect())
        }
        _ => None,
    };
    // Mostly the latest one or two have all the columns. What is left of them is looked at a second time in vain.
    for wanted in [2, COALESCED_MAX] {
        let latest = latest_of_row(tx.view(), queue, &op.table, &op.key, wanted)?;
        for record in &latest {
            let earlier = Queued::read(record)?;
            // Bases never grow within a row, so that those before have another one as well.
            let is_beyond = earlier.client_seq <= sent || earlier.base != base;
            if is_beyond || overwritten.as_ref().is_some_and(HashSet::is_empty) {
                return Ok(claim);
            }
            if !stands_alone(tx, queue, &earlier)? {
                continue;
            }
            // It has taken away whatever was there to be taken before it.
            if overwritten.is_none() && earlier.op.action == Action::Delete {
                return Ok(claim);
            }
            let of_it = earlier.claim;
            if take_away(tx, queue, earlier, &mut overwritten, &op.action, before)? {
                claim = claim.merge(of_it);
            }
        }
        if latest.len() < wanted {
            return Ok(claim);
        }
    }
    Ok(claim)
}

/// Whether an operation is all of its mutation.
fn stands_alone(tx: &Transaction<'_>, queue: &Collection, op: &Queued) -> Result<bool> {
    let second = RecordId::composite([number(op.client_seq), Value::from(1)]);
    Ok(op.number == 0 && tx.get(queue, second)?.is_none())
}

/// Takes the columns that are looked for out of an update, and ends the search for those that it had: what it found of them
/// itself, it has taken away from what was before it. Whether there were any.
fn take_away(
    tx: &mut Transaction<'_>,
    queue: &Collection,
    mut earlier: Queued,
    overwritten: &mut Option<HashSet<FieldId>>,
    later: &Action,
    before: &mut [Value],
) -> Result<bool> {
    let Action::Update(columns) = &earlier.op.action else {
        return Ok(false);
    };
    let is_kept = |field: &FieldId| overwritten.as_ref().is_some_and(|o| !o.contains(field));
    let kept: Vec<((FieldId, Value), Value)> = columns
        .iter()
        .cloned()
        .zip(earlier.before.iter().cloned())
        .filter(|((field, _), _)| is_kept(field))
        .collect();
    // What the later operation replaces, seen from the server, is what the one taken away had replaced.
    if let Action::Update(later) = later {
        for ((field, _), before) in later.iter().zip(before.iter_mut()) {
            if let Some(first) = earlier.before_of(*field).filter(|_| !is_kept(field)) {
                *before = first;
            }
        }
    }
    if let Some(overwritten) = overwritten {
        for (field, _) in columns {
            overwritten.remove(field);
        }
    }
    let all = columns.len();
    if kept.is_empty() {
        tx.delete(queue, earlier.id())?;
        return Ok(all > 0);
    }
    if kept.len() == all {
        return Ok(false);
    }
    let (columns, before) = kept.into_iter().unzip();
    earlier.op.action = Action::Update(columns);
    earlier.before = before;
    earlier.write(tx, queue)?;
    Ok(true)
}

/// The rows to which something was added, to a counter or to a set.
pub(crate) fn added_to(view: View<'_>, queue: &Collection) -> Result<HashSet<(Text, RecordId)>> {
    let ops = all(view, queue)?.into_iter().map(|queued| queued.op);
    let deltas = ops.filter(|op| matches!(op.action, Action::Deltas(_)));
    Ok(deltas.map(|op| (op.table, op.key)).collect())
}

/// The operations of one mutation, in order. They are numbered without gaps.
pub(crate) fn of(view: View<'_>, queue: &Collection, client_seq: u64) -> Result<Vec<Queued>> {
    let mut found = Vec::new();
    for op in 0_u32.. {
        let id = RecordId::composite([number(client_seq), Value::from(op)]);
        let Some(record) = view.get(queue, &id)? else {
            break;
        };
        found.push(Queued::read(&record).map_err(|error| error.at("sync_queue"))?);
    }
    Ok(found)
}

fn records_of_row(
    view: View<'_>,
    queue: &Collection,
    table: &Text,
    key: &RecordId,
) -> Result<Vec<Record>> {
    let Some(index) = queue.indexes().first().cloned() else {
        return Ok(Vec::new());
    };
    let row = [Value::Text(table.clone()), Value::List(key.values().into())];
    view.equal(queue, &index, &row)
}

/// The latest operations on one row, the last one first.
fn latest_of_row(
    view: View<'_>,
    queue: &Collection,
    table: &Text,
    key: &RecordId,
    records_max: usize,
) -> Result<Vec<Record>> {
    let Some(index) = queue.indexes().first().cloned() else {
        return Ok(Vec::new());
    };
    let row = KeyRange::prefix(vec![
        Value::Text(table.clone()),
        Value::List(key.values().into()),
    ]);
    view.range(
        queue,
        &index,
        &row,
        Direction::Descending,
        Some(records_max),
    )
}

/// The operations on one row, in the order in which they were written.
pub(crate) fn of_row(
    view: View<'_>,
    queue: &Collection,
    table: &Text,
    key: &RecordId,
) -> Result<Vec<Queued>> {
    let records = records_of_row(view, queue, table, key)?;
    let found = records.iter().map(|record| Queued::read(record));
    let mut found = found
        .collect::<Result<Vec<_>>>()
        .map_err(|error| error.at("sync_queue"))?;
    found.sort_by_key(|queued| (queued.client_seq, queued.number));
    Ok(found)
}

/// The mutations from number `first` up to, not including, `next`, as many as the budget gives one request. A number whose
/// operations were all coalesced away is a mutation without any.
pub(crate) fn cut(
    view: View<'_>,
    queue: &Collection,
    first: u64,
    next: u64,
    budget: &SyncBudget,
) -> Result<Vec<Mutation>> {
    let mutations_max = budget.mutations_max.clamp(1, MUTATIONS_MAX);
    let bytes_max = budget.bytes_max.min(REQUEST_BYTES_MAX);
    let mut mutations: Vec<Mutation> = Vec::new();
    let mut bytes = 0;
    for client_seq in first..next {
        if mutations.len() >= mutations_max || (bytes >= bytes_max && !mutations.is_empty()) {
            break;
        }
        let mut mutation = Mutation {
            client_seq,
            base: Seq::ZERO,
            stamp: Hlc::default(),
            ops: Vec::new(),
        };
        for op in of(view, queue, client_seq)? {
            mutation.base = op.base;
            mutation.stamp = op.stamp;
            bytes += op_bytes(&op.op);
            mutation.ops.push(op.op);
        }
        mutations.push(mutation);
    }
    Ok(mutations)
}

/// Memory that an operation takes, which is more than its bytes in a frame.
pub(crate) fn op_bytes(op: &Op) -> usize {
    let values: usize = match &op.action {
        Action::Insert(columns) | Action::Update(columns) => {
            columns.iter().map(|(_, v)| 32 + v.heap_bytes()).sum()
        }
        Action::Deltas(columns) => columns.iter().map(|(_, d)| 32 + d.heap_bytes()).sum(),
        Action::Delete | Action::Revert { .. } => 0,
    };
    64 + op.key.heap_bytes() + values
}

/// What the queue says about one row.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// The row was made here; a deletion elsewhere is of an earlier one.
    pub(crate) inserted: bool,
    /// The row was deleted here.
    pub(crate) deleted: bool,
    /// What columns were set to here: the row itself may be gone in between, and come again from the server.
    pub(crate) columns: HashMap<FieldId, Value>,
    /// What was said here about other columns, relative to what the server has, in order.
    pub(crate) deltas: HashMap<FieldId, Vec<Delta>>,
}

impl Pending {
    /// What the queue says about one row, when it says anything.
    pub(crate) fn of(
        view: View<'_>,
        queue: &Collection,
        table: &Text,
        key: &RecordId,
    ) -> Result<Option<Self>> {
        let ops = of_row(view, queue, table, key)?;
        Ok(Self::of_ops(&ops))
    }

    /// What operations on one row come to.
    pub(crate) fn of_ops(ops: &[Queued]) -> Option<Self> {
        let mut pending = None;
        for Queued { op, .. } in ops {
            let of_row: &mut Self = pending.get_or_insert_default();
            of_row.add(&op.action);
        }
        pending
    }

    /// Takes note of one more operation on the row.
    fn add(&mut self, action: &Action) {
        match action {
            Action::Insert(columns) => {
                self.inserted = true;
                self.deleted = false;
                self.columns.extend(columns.iter().cloned());
            }
            Action::Update(columns) => {
                self.columns.extend(columns.iter().cloned());
            }
            Action::Delete => {
                *self = Self {
                    deleted: true,
                    ..Self::default()
                }
            }
            Action::Deltas(columns) => {
                for (field, delta) in columns {
                    if let Some(value) = self.columns.get_mut(field) {
                        if let Ok(changed) = delta.apply(value) {
                            *value = changed;
                        }
                    } else if let Delta::Replace { value, .. } = delta {
                        self.deltas.remove(field);
                        self.columns.insert(*field, value.clone());
                    } else {
                        self.deltas.entry(*field).or_default().push(delta.clone());
                    }
                }
            }
            // What it brings back is known at the server.
            Action::Revert { .. } => {}
        }
    }
}

/// Gives the queue new numbers from `first` on, because the server counts otherwise: one of the two was set back to an old
/// copy. If it was the server, its positions have gone with the log that they counted in, and the edits are
/// concurrent with all that is there. Returns the number after the last.
pub(crate) fn renumber(
    tx: &mut Transaction<'_>,
    queue: &Collection,
    first: u64,
    positions_lost: bool,
) -> Result<u64> {
    let mut queued = all(tx.view(), queue)?;
    for op in &queued {
        tx.delete(queue, op.id())?;
    }
    let mut numbers: HashMap<u64, u64> = HashMap::new();
    let mut next = first;
    for op in &mut queued {
        op.client_seq = *numbers.entry(op.client_seq).or_insert_with(|| {
            next += 1;
            next - 1
        });
        if positions_lost {
            op.base = Seq::ZERO;
        }
        op.write(tx, queue)?;
    }
    Ok(next)
}

/// Takes a mutation's operations out of the queue.
pub(crate) fn remove(tx: &mut Transaction<'_>, queue: &Collection, op: &Queued) -> Result<()> {
    tx.delete(queue, op.id())
}

#[cfg(test)]
mod tests;
