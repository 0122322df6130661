//! Mutations, whose rows stand in blocks by shape and are taken from them in order.
//!
//! A request with 300 mutations of one row each has the values of a column next to each other in this way, which is
//! what makes them few bytes; the order of the operations is in the runs.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::vec::IntoIter;

use common::schema::FieldId;
use common::versioning::Hlc;
use common::{Error, RecordId, Result, Seq, Text, Value};

use super::block;
use super::fields::{Budget, Fields, expected, put_message, put_number, put_numbers, put_signed};
use crate::sync::delta::Delta;
use crate::sync::ledger::EntryId;
use crate::sync::protocol::{Action, Block, BlockKind, Mutation, OPS_MAX, Op};

/// Field numbers of message `Mutation`.
mod field {
    pub(super) const CLIENT_SEQ: u32 = 1;
    pub(super) const BASE: u32 = 2;
    pub(super) const MILLIS: u32 = 3;
    pub(super) const COUNTER: u32 = 4;
    pub(super) const RUNS: u32 = 5;
}

/// What operations have in common whose rows stand in one block.
type Shape<'a> = (&'a str, BlockKind, Vec<FieldId>, usize);

/// Rows of operations in the making.
struct Pile<'a> {
    shape: Shape<'a>,
    columns: Vec<Vec<Value>>,
}

/// Appends the blocks of all operations as `blocks` and the mutations as `mutations`.
pub(super) fn write(
    mutations: &[Mutation],
    now: Hlc,
    fields: (u32, u32),
    packing: block::Packing<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let mut piles: Vec<Pile<'_>> = Vec::new();
    let mut known: HashMap<Shape<'_>, u32> = HashMap::new();
    let mut written = Vec::new();
    let mut before = now;
    for mutation in mutations {
        let mut runs: Vec<u32> = Vec::new();
        for op in &mutation.ops {
            let (kind, values) = cells(&op.action);
            let key = op.key.values();
            let shape = (
                op.table.as_str(),
                kind,
                values.iter().map(|(field, _)| *field).collect(),
                key.len(),
            );
            let number = *known.entry(shape).or_insert_with_key(|shape| {
                piles.push(Pile {
                    shape: shape.clone(),
                    columns: vec![Vec::new(); key.len() + values.len()],
                });
                u32::try_from(piles.len() - 1).unwrap_or(u32::MAX)
            });
            let cells = key.iter().chain(values.iter().map(|(_, value)| value));
            let pile = usize::try_from(number)
                .ok()
                .and_then(|at| piles.get_mut(at));
            for (column, value) in pile.into_iter().flat_map(|p| &mut p.columns).zip(cells) {
                column.push(value.clone());
            }
            match runs.as_mut_slice() {
                [.., last, count] if *last == number => *count += 1,
                _ => runs.extend([number, 1]),
            }
        }
        put_message(fields.1, &mut written, |out| {
            let stamp = mutation.stamp;
            put_number(field::CLIENT_SEQ, mutation.client_seq, out);
            put_number(field::BASE, mutation.base.0, out);
            put_signed(field::MILLIS, stamp.millis() - before.millis(), out);
            put_number(field::COUNTER, stamp.counter().into(), out);
            put_numbers(field::RUNS, runs, out);
            before = stamp;
            Ok(())
        })?;
    }
    for Pile { shape, columns } in &piles {
        let (table, kind, ids, _) = shape;
        put_message(fields.0, out, |out| {
            block::put(table, *kind, ids, columns, packing, out)
        })?;
    }
    out.extend_from_slice(&written);
    Ok(())
}

/// The kind of the block that an operation's row stands in, and its columns beyond the key.
fn cells(action: &Action) -> (BlockKind, Cow<'_, [(FieldId, Value)]>) {
    match action {
        Action::Insert(values) => (BlockKind::Put, values.into()),
        Action::Update(values) => (BlockKind::Patch, values.into()),
        Action::Delete => (BlockKind::Gone, Cow::default()),
        Action::Deltas(deltas) => {
            let deltas = deltas.iter();
            let cells = deltas.map(|(field, delta)| (*field, delta.to_value()));
            (BlockKind::Deltas, cells.collect())
        }
        Action::Revert { entry, force } => {
            let cells = vec![
                (revert::SEQ, Value::Int(entry.seq.0.cast_signed())),
                (revert::NUMBER, Value::from(entry.number)),
                (revert::FORCE, Value::from(*force)),
            ];
            (BlockKind::Revert, cells.into())
        }
    }
}

/// The columns of a revert, which are none of the table's.
mod revert {
    use common::schema::FieldId;

    pub(super) const SEQ: FieldId = FieldId(1);
    pub(super) const NUMBER: FieldId = FieldId(2);
    pub(super) const FORCE: FieldId = FieldId(3);
}

fn read_revert(columns: &[(FieldId, Value)]) -> Option<Action> {
    let [
        (revert::SEQ, Value::Int(seq)),
        (revert::NUMBER, Value::Int(number)),
        (revert::FORCE, Value::Bool(force)),
    ] = columns
    else {
        return None;
    };
    Some(Action::Revert {
        entry: EntryId {
            seq: Seq(seq.cast_unsigned()),
            number: u32::try_from(*number).ok()?,
        },
        force: *force,
    })
}

/// Rows that operations are taken from.
pub(super) struct Rows {
    table: Text,
    kind: BlockKind,
    fields: Vec<FieldId>,
    key_columns: usize,
    columns: Vec<IntoIter<Value>>,
}

impl Rows {
    pub(super) fn of(block: Block) -> Self {
        Self {
            key_columns: block.key_columns(),
            table: block.table,
            kind: block.kind,
            fields: block.fields,
            columns: block.columns.into_iter().map(Vec::into_iter).collect(),
        }
    }

    /// Rows that no operation has taken.
    pub(super) fn left(&self) -> usize {
        self.columns.first().map_or(0, IntoIter::len)
    }

    fn next(&mut self, budget: &mut Budget) -> Result<Op> {
        let (key, rest) = self
            .columns
            .split_at_mut_checked(self.key_columns)
            .ok_or_else(|| expected("key columns"))?;
        let missing = || expected("a row for each operation");
        let mut take = |column: &mut IntoIter<Value>| column.next().ok_or_else(missing);
        let key: Vec<Value> = key.iter_mut().map(&mut take).collect::<Result<_>>()?;
        let values: Vec<Value> = rest.iter_mut().map(take).collect::<Result<_>>()?;
        let columns: Vec<(FieldId, Value)> = self.fields.iter().copied().zip(values).collect();
        let action = match self.kind {
            BlockKind::Put => Action::Insert(columns),
            BlockKind::Patch => Action::Update(columns),
            BlockKind::Gone => Action::Delete,
            BlockKind::Deltas => {
                let deltas = columns.iter().map(|(field, cell)| {
                    // Kept once as what was read and once as what it means.
                    budget.spend(cell.heap_bytes().saturating_add(size_of::<Delta>()))?;
                    let delta = Delta::from_value(cell).ok_or_else(|| expected("a delta"))?;
                    Ok((*field, delta))
                });
                Action::Deltas(deltas.collect::<Result<_>>()?)
            }
            BlockKind::Revert => {
                read_revert(&columns).ok_or_else(|| expected("an entry of the ledger to revert"))?
            }
        };
        Ok(Op {
            table: self.table.clone(),
            key: RecordId::composite(key),
            action,
        })
    }
}

/// A mutation before its operations have their rows, because the blocks may follow it.
pub(super) struct Header {
    client_seq: u64,
    base: u64,
    millis: i64,
    counter: u16,
    runs: Vec<u32>,
}

pub(super) fn read_header(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Header> {
    let mut header = Header {
        client_seq: 0,
        base: 0,
        millis: 0,
        counter: 0,
        runs: Vec::new(),
    };
    while let Some((number, part)) = fields.next()? {
        match number {
            field::CLIENT_SEQ => header.client_seq = part.number()?,
            field::BASE => header.base = part.number()?,
            field::MILLIS => header.millis = part.signed()?,
            field::COUNTER => {
                header.counter = u16::try_from(part.number()?)
                    .map_err(|_| expected("a stamp's counter of 16 bits"))?;
            }
            field::RUNS => part.numbers(OPS_MAX * 2, budget, &mut header.runs)?,
            _ => {}
        }
    }
    Ok(header)
}

/// The mutations of a request, with the rows of `blocks`.
pub(super) fn read(
    headers: Vec<Header>,
    blocks: &mut [Rows],
    now: Hlc,
    budget: &mut Budget,
) -> Result<Vec<Mutation>> {
    let mut before = now;
    let mut mutations = Vec::new();
    for header in headers {
        let millis = before.millis().checked_add(header.millis);
        let millis = millis.filter(|millis| (0..1 << 48).contains(millis));
        let millis = millis.ok_or_else(|| expected("a stamp of 48 bits of milliseconds"))?;
        let stamp = Hlc::new(millis, header.counter);
        before = stamp;
        let mut ops: Vec<Op> = Vec::new();
        let (pairs, []) = header.runs.as_chunks() else {
            return Err(expected("runs as pairs of a block and a number of rows"));
        };
        for [block, count] in pairs {
            let rows = usize::try_from(*block)
                .ok()
                .and_then(|at| blocks.get_mut(at));
            let rows = rows.ok_or_else(|| expected("a block of the request"))?;
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            if count > OPS_MAX - ops.len() {
                return Err(Error::limit_exceeded(format!(
                    "{} operations in a mutation, but the limit is {OPS_MAX}",
                    ops.len().saturating_add(count)
                )));
            }
            for _ in 0..count {
                budget.element::<Op>()?;
                budget.spend(rows.columns.len() * size_of::<(FieldId, Value)>())?;
                ops.push(rows.next(budget)?);
            }
        }
        budget.element::<Mutation>()?;
        mutations.push(Mutation {
            client_seq: header.client_seq,
            base: Seq(header.base),
            stamp,
            ops,
        });
    }
    Ok(mutations)
}
