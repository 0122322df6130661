//! Protocol types to the values that JSON is written from.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::sync::Arc;

use common::serialization::{Format, encode_schema};
use common::versioning::Hlc;
use common::{Limits, Map, Result, Text, Value};

use super::{scope_write as scope, version};
use crate::payload::DictionaryId;
use crate::sync::ledger::{EntryId, LedgerEntry};
use crate::sync::protocol::{
    Action, Answer, Block, BlockKind, Mutation, Op, Outcome, Position, Request, SentDictionary,
};
use crate::sync::queue::write_action;
use crate::sync::system::write_policy;
use crate::sync::wire::{Frame, LEDGER_COLUMNS, decode_blocks, encode_blocks};

pub(super) fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    let entries = entries.map(|(name, value)| (Text::new(name), value));
    Value::from(Map::from_iter(entries))
}

pub(super) fn list<T>(items: impl IntoIterator<Item = T>, each: impl FnMut(T) -> Value) -> Value {
    Value::List(items.into_iter().map(each).collect())
}

pub(super) fn number(number: u64) -> Value {
    Value::from(number.to_string())
}

fn stamp(stamp: Hlc) -> Value {
    Value::from(format!("{}+{}", stamp.millis(), stamp.counter()))
}

pub(super) fn hex(bytes: &[u8]) -> Value {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    Value::from(digits.collect::<String>())
}

pub(super) fn frame(frame: &Frame, limits: &Limits) -> Result<Value> {
    let content = match frame {
        Frame::Request(found) => request(found, limits)?,
        Frame::Answer(found) => answer(found, limits)?,
        Frame::Blocks(found) => list(found, block),
    };
    Ok(object([("version", version()), (frame.name(), content)]))
}

pub(super) fn optional_bytes(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        Value::Null
    } else {
        Value::from(bytes)
    }
}

fn request(request: &Request, limits: &Limits) -> Result<Value> {
    let scopes = request.scopes.iter();
    let scopes: Result<Vec<Value>> = scopes.map(|found| scope::scope(found, limits)).collect();
    let scopes = Value::from(scopes?);
    let position = match request.position {
        Position::Start => Value::Null,
        Position::At { epoch, seq } => object([("epoch", number(epoch.0)), ("seq", number(seq.0))]),
    };
    Ok(object([
        ("replica", Value::Text(request.replica.0.clone())),
        ("number", number(request.number)),
        ("position", position),
        ("schemas", hex(&request.schemas.0)),
        ("acknowledged", number(request.acknowledged)),
        ("now", stamp(request.now)),
        ("told", entry_id(request.told)),
        ("first", number(request.first)),
        ("dictionaries", list(&request.dictionaries, |id| id_of(*id))),
        ("references", Value::from(request.references)),
        ("version", Value::from(request.version)),
        ("mutations", list(&request.mutations, mutation)),
        ("scopes", scopes),
        ("token", optional_bytes(&request.token)),
        ("ranges", scope::questions(request.ranges.as_deref())),
    ]))
}

fn id_of(id: DictionaryId) -> Value {
    Value::from(id.to_string())
}

fn dictionary(sent: &SentDictionary) -> Value {
    object([
        ("table", Value::Text(sent.table.clone())),
        ("key_columns", Value::from(sent.key_columns)),
        ("fields", list(&sent.fields, |field| Value::from(field.0))),
        ("content", Value::Bytes(Arc::clone(&sent.content))),
    ])
}

fn mutation(mutation: &Mutation) -> Value {
    object([
        ("client_seq", number(mutation.client_seq)),
        ("base", number(mutation.base.0)),
        ("stamp", stamp(mutation.stamp)),
        ("operations", list(&mutation.ops, operation)),
    ])
}

fn operation(op: &Op) -> Value {
    let kind = match &op.action {
        Action::Insert(_) => "insert",
        Action::Update(_) => "update",
        Action::Delete => "delete",
        Action::Deltas(_) => "delta",
        Action::Revert { .. } => "revert",
    };
    let [_, fields, values] = write_action(&op.action);
    object([
        ("kind", Value::from(kind)),
        ("table", Value::Text(op.table.clone())),
        ("key", list(op.key.values(), Value::clone)),
        ("fields", fields),
        ("values", values),
    ])
}

fn entry_id(id: EntryId) -> Value {
    Value::from(id.to_string())
}

fn answer(answer: &Answer, limits: &Limits) -> Result<Value> {
    let schemas = match &answer.schemas {
        None => Value::Null,
        Some(schemas) => {
            let schema = |schema| Format::Json.decode_value(&encode_schema(schema)?, limits);
            let schemas: Result<Vec<Value>> = schemas.iter().map(schema).collect();
            Value::from(schemas?)
        }
    };
    let policies = answer.policies.iter().map(|(table, policy)| {
        let json = write_policy(policy)?;
        let policy = Format::Json.decode_value(json.as_bytes(), limits)?;
        Ok((table.clone(), policy))
    });
    Ok(object([
        ("number", number(answer.number)),
        ("epoch", number(answer.epoch.0)),
        ("now", stamp(answer.now)),
        ("schemas", schemas),
        ("next", number(answer.next)),
        ("outcomes", list(&answer.outcomes, outcome)),
        ("heard", Value::from(answer.heard)),
        ("known", number(answer.known)),
        ("truth", list(&answer.truth, block)),
        ("refused", list(&answer.refused, scope::refused)),
        ("staged", scope::staged(answer.staged.as_ref(), limits)),
        ("commit", scope::commit(answer.commit.as_ref())),
        ("policies", Value::from(policies.collect::<Result<Map>>()?)),
        ("ledger", list(&answer.ledger, conflict)),
        ("told", entry_id(answer.told)),
        ("dictionaries", list(&answer.dictionaries, dictionary)),
        ("lost", list(&answer.lost, |id| id_of(*id))),
        ("version", Value::from(answer.version)),
    ]))
}

/// A part of a snapshot: its blocks, or its bytes where the blocks would not give the same bytes again.
pub(super) fn part(frame: &[u8], limits: &Limits) -> Value {
    match decode_blocks(frame, limits) {
        Ok(blocks) if encode_blocks(&blocks).is_ok_and(|again| again == frame) => {
            list(&blocks, block)
        }
        _ => Value::from(frame),
    }
}

fn outcome((client_seq, outcome): &(u64, Outcome)) -> Value {
    let client_seq = ("client_seq", number(*client_seq));
    match outcome {
        Outcome::Applied => object([client_seq, ("applied", object([]))]),
        Outcome::Resolved(conflicts) => {
            let conflicts = list(conflicts, conflict);
            object([client_seq, ("resolved", object([("conflicts", conflicts)]))])
        }
        Outcome::Rejected(rejection) => {
            let rejection = object([
                ("code", Value::Text(rejection.code.clone())),
                ("message", Value::Text(rejection.message.clone())),
            ]);
            object([client_seq, ("rejected", rejection)])
        }
    }
}

fn conflict(entry: &LedgerEntry) -> Value {
    let columns = LEDGER_COLUMNS.iter().cloned().zip(entry.to_values());
    Value::from(columns.collect::<Map>())
}

pub(super) fn block(block: &Block) -> Value {
    let kind = match block.kind {
        BlockKind::Put => "put",
        BlockKind::Patch => "patch",
        BlockKind::Gone => "gone",
        // Operations, which are shown with their mutations.
        BlockKind::Deltas => "delta",
        BlockKind::Revert => "revert",
    };
    let columns = list(&block.columns, |column| list(column, Value::clone));
    object([
        ("table", Value::Text(block.table.clone())),
        ("kind", Value::from(kind)),
        ("scopes", number(block.scopes)),
        ("fields", list(&block.fields, |field| Value::from(field.0))),
        ("columns", columns),
    ])
}
