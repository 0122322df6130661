//! The values that JSON was read into, to protocol types. The values are bounded already; what is checked here is
//! their meaning.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::BTreeMap;

use common::limits::{COLLECTIONS_MAX, COLUMNS_MAX, KEY_COLUMNS_MAX, NAME_BYTES_MAX};
use common::schema::{FieldId, Schema};
use common::serialization::{Format, decode_schema};
use common::versioning::{Hlc, ReplicaId};
use common::{Limits, Map, RecordId, Result, Seq, Text, Value};

use super::{check_version, scope_read as scope};
use crate::payload::DictionaryId;
use crate::sync::delta::Delta;
use crate::sync::ledger::{EntryId, LedgerEntry};
use crate::sync::policy::Policy;
use crate::sync::protocol::{
    Action, Answer, Block, BlockKind, DICTIONARIES_MAX, DICTIONARY_BYTES_MAX, Epoch, MUTATIONS_MAX,
    Mutation, OPS_MAX, Op, Outcome, Position, Rejection, Request, SchemaSetId, SentDictionary,
};
use crate::sync::system::read_policy;
use crate::sync::wire::fields::expected;
use crate::sync::wire::read::{check, check_request};
use crate::sync::wire::{Frame, LEDGER_COLUMNS};

/// A JSON object.
#[derive(Clone, Copy)]
pub(super) struct Object<'a>(&'a Map);

impl<'a> Object<'a> {
    pub(super) fn of(value: &'a Value) -> Result<Self> {
        match value {
            Value::Map(map) => Ok(Self(map)),
            _ => Err(expected("an object")),
        }
    }

    /// The member `name`; one that is not there is null.
    pub(super) fn get(self, name: &str) -> &'a Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    pub(super) fn read<T>(
        self,
        name: &str,
        read: impl FnOnce(&'a Value) -> Result<T>,
    ) -> Result<T> {
        read(self.get(name)).map_err(|error| error.at(name))
    }

    pub(super) fn each<T>(
        self,
        name: &str,
        each: impl FnMut(&'a Value) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.read(name, |value| list(value)?.iter().map(each).collect())
    }

    pub(super) fn optional<T>(
        self,
        name: &str,
        read: impl FnOnce(&'a Value) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.get(name) {
            Value::Null => Ok(None),
            value => read(value).map(Some).map_err(|error| error.at(name)),
        }
    }
}

pub(super) fn list(value: &Value) -> Result<&[Value]> {
    value.as_list().ok_or_else(|| expected("a list"))
}

pub(super) fn text(value: &Value) -> Result<Text> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        _ => Err(expected("text")),
    }
}

pub(super) fn name(value: &Value) -> Result<Text> {
    let name = text(value)?;
    check("bytes in a name", name.len(), NAME_BYTES_MAX)?;
    Ok(name)
}

pub(super) fn number(value: &Value) -> Result<u64> {
    let number = match value {
        Value::Text(text) => text.parse().ok(),
        value => value.as_int().and_then(|number| u64::try_from(number).ok()),
    };
    number.ok_or_else(|| expected("a number of 64 bits without sign, as text"))
}

pub(super) fn small(value: &Value) -> Result<u32> {
    let number = value.as_int().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| expected("a number of 32 bits"))
}

pub(super) fn bool(value: &Value) -> Result<bool> {
    value.as_bool().ok_or_else(|| expected("true or false"))
}

fn stamp(value: &Value) -> Result<Hlc> {
    let parts = value.as_text().and_then(|text| text.split_once('+'));
    let parts = parts.and_then(|(millis, counter)| {
        let millis = millis.parse::<i64>().ok()?;
        let fits = (0..1 << 48).contains(&millis);
        fits.then_some(Hlc::new(millis, counter.parse().ok()?))
    });
    parts.ok_or_else(|| expected("a stamp: milliseconds, + and a counter"))
}

/// 32 hexadecimal digits, the first being the highest.
pub(super) fn hex(value: &Value) -> Result<u128> {
    let digits = value.as_text().filter(|text| text.len() == 32);
    let number = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok());
    number.ok_or_else(|| expected("32 hexadecimal digits"))
}

fn epoch(value: &Value) -> Result<Epoch> {
    number(value).map(Epoch)
}

pub(super) fn seq(value: &Value) -> Result<Seq> {
    number(value).map(Seq)
}

pub(super) fn frame(value: &Value, limits: &Limits) -> Result<Frame> {
    let frame = Object::of(value)?;
    check_version(frame.get("version"))?;
    let found = [
        frame
            .optional("request", |value| request(value, limits))?
            .map(Frame::Request),
        frame
            .optional("answer", |value| answer(value, limits))?
            .map(Frame::Answer),
        frame.optional("blocks", blocks)?.map(Frame::Blocks),
    ];
    let mut found = found.into_iter().flatten();
    match (found.next(), found.next()) {
        (Some(frame), None) => Ok(frame),
        _ => Err(expected("one of request, answer, blocks")),
    }
}

pub(super) fn optional_bytes(value: &Value) -> Result<Vec<u8>> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Bytes(bytes) => Ok(bytes.to_vec()),
        _ => Err(expected("bytes")),
    }
}

fn request(value: &Value, limits: &Limits) -> Result<Request> {
    let request = Object::of(value)?;
    let position = request.optional("position", |value| {
        let position = Object::of(value)?;
        let epoch = position.read("epoch", epoch)?;
        let seq = position.read("seq", seq)?;
        Ok(Position::At { epoch, seq })
    })?;
    let found = Request {
        replica: ReplicaId(request.read("replica", text)?),
        number: request.read("number", number)?,
        position: position.unwrap_or_default(),
        scopes: request.each("scopes", |value| scope::scope(value, limits))?,
        token: request.read("token", optional_bytes)?,
        ranges: request.optional("ranges", scope::questions)?,
        schemas: SchemaSetId(request.read("schemas", hex)?.to_be_bytes()),
        acknowledged: request.read("acknowledged", number)?,
        now: request.read("now", stamp)?,
        told: request.optional("told", entry_id)?.unwrap_or_default(),
        first: request.optional("first", number)?.unwrap_or_default(),
        dictionaries: dictionary_ids(request, "dictionaries")?,
        references: request.optional("references", bool)?.unwrap_or_default(),
        version: request.optional("version", small)?.unwrap_or_default(),
        mutations: request.each("mutations", mutation)?,
    };
    check("mutations", found.mutations.len(), MUTATIONS_MAX)?;
    check_request(&found)?;
    Ok(found)
}

fn dictionary_ids(of: Object<'_>, name: &str) -> Result<Vec<DictionaryId>> {
    let ids = of.optional(name, |value| {
        let ids = list(value)?.iter().map(|value| {
            let digits = value.as_text().filter(|text| text.len() == 8);
            let id = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            let id = id.ok_or_else(|| expected("8 hexadecimal digits"))?;
            Ok(DictionaryId(id.to_be_bytes()))
        });
        ids.collect::<Result<Vec<_>>>()
    })?;
    let ids = ids.unwrap_or_default();
    check("dictionaries", ids.len(), DICTIONARIES_MAX)?;
    Ok(ids)
}

fn dictionary(value: &Value) -> Result<SentDictionary> {
    let sent = Object::of(value)?;
    let content = sent.read("content", optional_bytes)?;
    check("bytes in a dictionary", content.len(), DICTIONARY_BYTES_MAX)?;
    Ok(SentDictionary {
        table: sent.read("table", text)?,
        key_columns: sent.read("key_columns", small)?,
        fields: sent.read("fields", field_ids)?,
        content: content.into(),
    })
}

fn mutation(value: &Value) -> Result<Mutation> {
    let mutation = Object::of(value)?;
    let ops = mutation.each("operations", operation)?;
    check("operations in a mutation", ops.len(), OPS_MAX)?;
    Ok(Mutation {
        client_seq: mutation.read("client_seq", number)?,
        base: mutation.read("base", seq)?,
        stamp: mutation.read("stamp", stamp)?,
        ops,
    })
}

fn operation(value: &Value) -> Result<Op> {
    let op = Object::of(value)?;
    let key = op.read("key", list)?;
    if key.is_empty() {
        return Err(expected("a key"));
    }
    check("key columns", key.len(), KEY_COLUMNS_MAX)?;
    let fields = op.read("fields", field_ids)?;
    let values = op.read("values", list)?;
    let action = match op.get("kind").as_text() {
        Some("revert") => revert(values),
        _ if fields.len() != values.len() => return Err(expected("a value for each column")),
        kind => action(kind, fields, values),
    };
    let action = action.ok_or_else(|| {
        expected("an insert, an update, a delete, a delta or a revert").at("kind")
    })?;
    Ok(Op {
        table: op.read("table", name)?,
        key: RecordId::from(key),
        action,
    })
}

fn action(kind: Option<&str>, fields: Vec<FieldId>, values: &[Value]) -> Option<Action> {
    let columns = fields.into_iter().zip(values.iter().cloned());
    Some(match kind? {
        "insert" => Action::Insert(columns.collect()),
        "update" => Action::Update(columns.collect()),
        "delete" if values.is_empty() => Action::Delete,
        "delta" => {
            let deltas = columns.map(|(field, cell)| Some((field, Delta::from_value(&cell)?)));
            Action::Deltas(deltas.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn revert(values: &[Value]) -> Option<Action> {
    let [Value::Int(seq), Value::Int(number), Value::Bool(force)] = values else {
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

fn entry_id(value: &Value) -> Result<EntryId> {
    text(value)?.parse()
}

fn policy(value: &Value) -> Result<Policy> {
    let mut json = Vec::new();
    Format::Json.encode_value(value, &mut json)?;
    let json = std::str::from_utf8(&json).map_err(|_| expected("a policy"))?;
    read_policy(json)
}

pub(super) fn field_ids(value: &Value) -> Result<Vec<FieldId>> {
    let fields: Vec<FieldId> = list(value)?
        .iter()
        .map(|value| small(value).map(FieldId))
        .collect::<Result<_>>()?;
    check("columns", fields.len(), COLUMNS_MAX)?;
    let mut sorted = fields.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != fields.len() {
        return Err(expected("each column once"));
    }
    Ok(fields)
}

fn answer(value: &Value, limits: &Limits) -> Result<Answer> {
    let answer = Object::of(value)?;
    let schemas = answer.optional("schemas", |value| {
        let schemas = list(value)?;
        check("schemas", schemas.len(), COLLECTIONS_MAX)?;
        let schema = |value| schema(value, limits);
        schemas.iter().map(schema).collect()
    })?;
    let policies = answer.optional("policies", |value| {
        let policies = Object::of(value)?.0;
        check("policies", policies.len(), COLLECTIONS_MAX)?;
        let policies = policies.iter();
        policies
            .map(|(table, value)| Ok((table.clone(), policy(value)?)))
            .collect::<Result<BTreeMap<_, _>>>()
    })?;
    let policies = policies.unwrap_or_default();
    Ok(Answer {
        number: answer.read("number", number)?,
        epoch: answer.read("epoch", epoch)?,
        now: answer.read("now", stamp)?,
        schemas,
        next: answer.read("next", number)?,
        outcomes: answer.each("outcomes", outcome)?,
        heard: answer.read("heard", bool)?,
        known: answer.read("known", number)?,
        truth: answer.each("truth", block)?,
        refused: answer.each("refused", scope::refused)?,
        staged: answer.optional("staged", scope::staged)?,
        commit: answer.optional("commit", scope::commit)?,
        policies,
        ledger: answer
            .optional("ledger", |value| {
                list(value)?.iter().map(conflict).collect()
            })?
            .unwrap_or_default(),
        told: answer.optional("told", entry_id)?.unwrap_or_default(),
        dictionaries: sent_dictionaries(answer)?,
        lost: dictionary_ids(answer, "lost")?,
        version: answer.optional("version", small)?.unwrap_or_default(),
    })
}

fn sent_dictionaries(answer: Object<'_>) -> Result<Vec<SentDictionary>> {
    let sent = answer.optional("dictionaries", |value| {
        list(value)?
            .iter()
            .map(dictionary)
            .collect::<Result<Vec<_>>>()
    })?;
    let sent = sent.unwrap_or_default();
    check("dictionaries", sent.len(), DICTIONARIES_MAX)?;
    Ok(sent)
}

fn schema(value: &Value, limits: &Limits) -> Result<Schema> {
    let mut json = Vec::new();
    Format::Json.encode_value(value, &mut json)?;
    decode_schema(&json, limits)
}

fn outcome(value: &Value) -> Result<(u64, Outcome)> {
    let outcome = Object::of(value)?;
    let client_seq = outcome.read("client_seq", number)?;
    let found = [
        outcome.optional("applied", |_| Ok(Outcome::Applied))?,
        outcome.optional("resolved", |value| {
            let conflicts = Object::of(value)?.each("conflicts", conflict)?;
            Ok(Outcome::Resolved(conflicts))
        })?,
        outcome.optional("rejected", |value| {
            let rejection = Object::of(value)?;
            Ok(Outcome::Rejected(Rejection {
                code: rejection.read("code", text)?,
                message: rejection.read("message", text)?,
            }))
        })?,
    ];
    let mut found = found.into_iter().flatten();
    match (found.next(), found.next()) {
        (Some(outcome), None) => Ok((client_seq, outcome)),
        _ => Err(expected("one outcome")),
    }
}

fn conflict(value: &Value) -> Result<LedgerEntry> {
    let entry = Object::of(value)?;
    let columns = LEDGER_COLUMNS.iter().map(|name| entry.get(name).clone());
    LedgerEntry::from_values(&columns.collect::<Vec<Value>>())
}

pub(super) fn blocks(value: &Value) -> Result<Vec<Block>> {
    list(value)?.iter().map(block).collect()
}

pub(super) fn block(value: &Value) -> Result<Block> {
    let found = any_block(value)?;
    if found.key_columns() == 0 {
        return Err(expected("key columns before the others"));
    }
    Ok(found)
}

/// Changed columns of rows that are named elsewhere.
pub(super) fn block_without_keys(value: &Value) -> Result<Block> {
    let found = any_block(value)?;
    if found.kind != BlockKind::Patch || found.key_columns() != 0 || found.fields.is_empty() {
        return Err(expected("changed columns without those of the key"));
    }
    Ok(found)
}

fn any_block(value: &Value) -> Result<Block> {
    let block = Object::of(value)?;
    let fields = block.read("fields", field_ids)?;
    let columns = block.each("columns", |column| list(column).map(<[Value]>::to_vec))?;
    let key_columns = columns.len().saturating_sub(fields.len());
    if columns.len() < fields.len() {
        return Err(expected("a column for each field"));
    }
    check("key columns", key_columns, KEY_COLUMNS_MAX)?;
    let rows = columns.first().map_or(0, Vec::len);
    if columns.iter().any(|column| column.len() != rows) {
        return Err(expected("columns of equal length"));
    }
    let kind = match (block.get("kind").as_text(), fields.is_empty()) {
        (Some("put"), _) => BlockKind::Put,
        (Some("patch"), _) => BlockKind::Patch,
        (Some("gone"), true) => BlockKind::Gone,
        _ => return Err(expected("a kind of block that fits its columns")),
    };
    Ok(Block {
        table: block.read("table", name)?,
        kind,
        scopes: block.read("scopes", number)?,
        fields,
        columns,
    })
}
