//! Mutations and outcomes as values, for the tables in which a server keeps them.
//!
//! Not what is sent: what identifies a mutation must stay the same when the frames change.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::{Result, Text, Value};

use super::fields::expected;
use crate::sync::ledger::LedgerEntry;
use crate::sync::protocol::{Mutation, Op, Outcome, Rejection};
use crate::sync::queue::write_action;

fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value::List(values.into_iter().collect())
}

fn number(value: u64) -> Value {
    Value::Int(value.cast_signed())
}

/// What a mutation's identity is made of: when it was made and what it does, whatever number it goes under.
pub(crate) fn mutation_value(mutation: &Mutation) -> Value {
    let mut tables: Vec<Text> = Vec::new();
    let ops = mutation.ops.iter().map(|op| {
        let known = tables.iter().position(|known| *known == op.table);
        let table = known.unwrap_or_else(|| {
            tables.push(op.table.clone());
            tables.len() - 1
        });
        operation(op, table)
    });
    let ops = list(ops);
    let mutation = list([number(mutation.stamp.0), ops]);
    list([list(tables.into_iter().map(Value::Text)), mutation])
}

fn operation(op: &Op, table: usize) -> Value {
    let [kind, fields, values] = write_action(&op.action);
    list([
        kind,
        number(table as u64),
        list(op.key.values().iter().cloned()),
        fields,
        values,
    ])
}

/// An outcome as it is stored.
pub(crate) fn write_outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Applied => list([Value::Int(0)]),
        Outcome::Resolved(conflicts) => list([
            Value::Int(1),
            list(conflicts.iter().map(|entry| list(entry.to_values()))),
        ]),
        Outcome::Rejected(rejection) => list([
            Value::Int(2),
            Value::Text(rejection.code.clone()),
            Value::Text(rejection.message.clone()),
        ]),
    }
}

/// Reads an outcome as it is stored.
pub(crate) fn read_outcome(value: &Value) -> Result<Outcome> {
    let entry = |entry: &Value| {
        let values = entry.as_list().ok_or_else(|| expected("a list"))?;
        LedgerEntry::from_values(values)
    };
    match value.as_list() {
        Some([Value::Int(0)]) => Ok(Outcome::Applied),
        Some([Value::Int(1), Value::List(conflicts)]) => {
            let conflicts: Result<_> = conflicts.iter().map(entry).collect();
            Ok(Outcome::Resolved(conflicts?))
        }
        Some([Value::Int(2), Value::Text(code), Value::Text(message)]) => {
            Ok(Outcome::Rejected(Rejection {
                code: code.clone(),
                message: message.clone(),
            }))
        }
        _ => Err(expected("an outcome")),
    }
}
