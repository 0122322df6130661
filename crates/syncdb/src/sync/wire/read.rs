//! Values to protocol types. The values are bounded already; what is checked here is their meaning.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::limits::{COLLECTIONS_MAX, COLUMNS_MAX, KEY_COLUMNS_MAX, NAME_BYTES_MAX};
use common::schema::FieldId;
use common::serialization::decode_schema;
use common::versioning::{Hlc, ReplicaId};
use common::{Error, Limits, RecordId, Result, Seq, Text, Value};

use crate::sync::digest::Digest;
use crate::sync::ledger::LedgerEntry;
use crate::sync::protocol::{
    Action, Answer, Block, BlockKind, Epoch, MUTATIONS_MAX, Mutation, News, OPS_MAX, Op, Outcome,
    Position, REPLICA_BYTES_MAX, Rejection, Request, SchemaSetId,
};

#[cold]
fn expected(what: &str) -> Error {
    Error::corrupt(format!("expected {what}"))
}

fn number(value: &Value) -> Result<u64> {
    let number = value.as_int().ok_or_else(|| expected("a number"))?;
    Ok(number.cast_unsigned())
}

fn small(value: &Value) -> Result<u32> {
    let number = value.as_int().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| expected("a number of 32 bits"))
}

fn list(value: &Value) -> Result<&[Value]> {
    value.as_list().ok_or_else(|| expected("a list"))
}

fn text(value: &Value) -> Result<Text> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        _ => Err(expected("text")),
    }
}

fn name(value: &Value) -> Result<Text> {
    let name = text(value)?;
    check("bytes in a name", name.len(), NAME_BYTES_MAX)?;
    Ok(name)
}

fn bytes16(value: &Value) -> Result<[u8; 16]> {
    let bytes = value.as_bytes().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| expected("16 bytes"))
}

fn check(what: &str, found: usize, max: usize) -> Result<()> {
    if found <= max {
        return Ok(());
    }
    Err(Error::limit_exceeded(format!(
        "{found} {what}, but the limit is {max}"
    )))
}

fn each<'a, T>(value: &'a Value, read: impl FnMut(&'a Value) -> Result<T>) -> Result<Vec<T>> {
    list(value)?.iter().map(read).collect()
}

pub(super) fn request(body: &[Value]) -> Result<Request> {
    let [
        replica,
        exchange,
        position,
        schemas,
        acknowledged,
        now,
        tables,
        mutations,
    ] = body
    else {
        return Err(expected("8 elements"));
    };
    let replica = text(replica)?;
    if replica.is_empty() {
        return Err(expected("the name of a replica"));
    }
    check(
        "bytes in the name of a replica",
        replica.len(),
        REPLICA_BYTES_MAX,
    )?;
    let position = match list(position)? {
        [] => Position::Start,
        [epoch, seq] => Position::At {
            epoch: Epoch(number(epoch)?),
            seq: Seq(number(seq)?),
        },
        [epoch, seq, next] => Position::Blocks {
            epoch: Epoch(number(epoch)?),
            seq: Seq(number(seq)?),
            next: small(next)?,
        },
        _ => return Err(expected("a position of at most 3 elements")),
    };
    check("tables", list(tables)?.len(), COLLECTIONS_MAX)?;
    let tables = each(tables, name)?;
    check("mutations", list(mutations)?.len(), MUTATIONS_MAX)?;
    let mutations = each(mutations, |value| mutation(value, &tables))?;
    let contiguous = mutations.windows(2).all(|pair| match pair {
        [a, b] => a.client_seq.checked_add(1) == Some(b.client_seq),
        _ => true,
    });
    if !contiguous || mutations.first().is_some_and(|m| m.client_seq == 0) {
        return Err(expected("mutations with contiguous numbers from 1"));
    }
    Ok(Request {
        replica: ReplicaId(replica),
        number: number(exchange)?,
        position,
        schemas: SchemaSetId(bytes16(schemas)?),
        acknowledged: number(acknowledged)?,
        now: Hlc(number(now)?),
        mutations,
    })
}

fn mutation(value: &Value, tables: &[Text]) -> Result<Mutation> {
    let [client_seq, base, stamp, ops] = list(value)? else {
        return Err(expected("a mutation of 4 elements"));
    };
    check("operations in a mutation", list(ops)?.len(), OPS_MAX)?;
    Ok(Mutation {
        client_seq: number(client_seq)?,
        base: Seq(number(base)?),
        stamp: Hlc(number(stamp)?),
        ops: each(ops, |value| operation(value, tables))?,
    })
}

fn operation(value: &Value, tables: &[Text]) -> Result<Op> {
    let [kind, table, key, fields, values] = list(value)? else {
        return Err(expected("an operation of 5 elements"));
    };
    let table = usize::try_from(number(table)?).ok();
    let table = table.and_then(|position| tables.get(position));
    let fields = field_ids(fields)?;
    let values = list(values)?;
    if fields.len() != values.len() {
        return Err(expected("a value for each column"));
    }
    let columns = fields.into_iter().zip(values.iter().cloned()).collect();
    let action = match (kind.as_int(), values.is_empty()) {
        (Some(0), _) => Action::Insert(columns),
        (Some(1), _) => Action::Update(columns),
        (Some(2), true) => Action::Delete,
        _ => return Err(expected("an insert, an update or a delete")),
    };
    Ok(Op {
        table: table
            .cloned()
            .ok_or_else(|| expected("a table of the list"))?,
        key: record_id(key)?,
        action,
    })
}

fn record_id(value: &Value) -> Result<RecordId> {
    let values = list(value)?;
    if values.is_empty() {
        return Err(expected("a key"));
    }
    check("key columns", values.len(), KEY_COLUMNS_MAX)?;
    Ok(RecordId::from(values))
}

fn field_ids(value: &Value) -> Result<Vec<FieldId>> {
    check("columns", list(value)?.len(), COLUMNS_MAX)?;
    let fields = each(value, |value| small(value).map(FieldId))?;
    let mut sorted = fields.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != fields.len() {
        return Err(expected("each column once"));
    }
    Ok(fields)
}

pub(super) fn answer(body: &[Value], limits: &Limits) -> Result<Answer> {
    let [exchange, epoch, now, schemas, next, outcomes, found] = body else {
        return Err(expected("7 elements"));
    };
    let schemas = match schemas {
        Value::Null => None,
        schemas => {
            check("schemas", list(schemas)?.len(), COLLECTIONS_MAX)?;
            let read = |value: &Value| {
                let json = value.as_bytes().ok_or_else(|| expected("a schema"))?;
                decode_schema(json, limits)
            };
            Some(
                schemas
                    .as_list()
                    .unwrap_or_default()
                    .iter()
                    .map(read)
                    .collect::<Result<_>>()?,
            )
        }
    };
    let outcomes = each(outcomes, |value| match list(value)? {
        [client_seq, found] => Ok((number(client_seq)?, outcome(found)?)),
        _ => Err(expected("an outcome with its number")),
    })?;
    Ok(Answer {
        number: number(exchange)?,
        epoch: Epoch(number(epoch)?),
        now: Hlc(number(now)?),
        schemas,
        next: number(next)?,
        outcomes,
        news: news(found)?,
    })
}

/// An outcome as it is sent and stored.
pub(crate) fn outcome(value: &Value) -> Result<Outcome> {
    match list(value)? {
        [Value::Int(0)] => Ok(Outcome::Applied),
        [Value::Int(1), conflicts] => Ok(Outcome::Resolved(each(conflicts, |entry| {
            LedgerEntry::from_values(list(entry)?)
        })?)),
        [Value::Int(2), code, message] => Ok(Outcome::Rejected(Rejection {
            code: text(code)?,
            message: text(message)?,
        })),
        _ => Err(expected("an outcome")),
    }
}

fn news(value: &Value) -> Result<News> {
    match list(value)? {
        [Value::Int(0), truth, changes, seq, more, digest] => Ok(News::Changes {
            truth: blocks(truth)?,
            blocks: blocks(changes)?,
            seq: Seq(number(seq)?),
            more: more.as_bool().ok_or_else(|| expected("true or false"))?,
            digest: match digest {
                Value::Null => None,
                digest => match list(digest)? {
                    [rows, sum] => Some(Digest {
                        rows: number(rows)?,
                        sum: u128::from_le_bytes(bytes16(sum)?),
                    }),
                    _ => return Err(expected("a digest")),
                },
            },
        }),
        [Value::Int(1), seq, first, total, frames] => Ok(News::Snapshot {
            seq: Seq(number(seq)?),
            first: small(first)?,
            total: small(total)?,
            blocks: each(frames, |frame| match frame {
                Value::Bytes(bytes) => Ok(bytes.clone()),
                _ => Err(expected("the frame of a block")),
            })?,
        }),
        _ => Err(expected("changes or a part of a snapshot")),
    }
}

pub(super) fn snapshot_blocks(body: &[Value]) -> Result<Vec<Block>> {
    match body {
        [found] => blocks(found),
        _ => Err(expected("one list of blocks")),
    }
}

fn blocks(value: &Value) -> Result<Vec<Block>> {
    each(value, block)
}

fn block(value: &Value) -> Result<Block> {
    let [table, kind, fields, columns] = list(value)? else {
        return Err(expected("a block of 4 elements"));
    };
    let fields = field_ids(fields)?;
    let columns = each(columns, |column| list(column).map(<[Value]>::to_vec))?;
    let key_columns = columns.len().saturating_sub(fields.len());
    if key_columns == 0 {
        return Err(expected("key columns before the others"));
    }
    check("key columns", key_columns, KEY_COLUMNS_MAX)?;
    let rows = columns.first().map_or(0, Vec::len);
    if columns.iter().any(|column| column.len() != rows) {
        return Err(expected("columns of equal length"));
    }
    let kind = match (kind.as_int(), fields.is_empty()) {
        (Some(0), _) => BlockKind::Put,
        (Some(1), false) => BlockKind::Patch,
        (Some(2), true) => BlockKind::Gone,
        _ => return Err(expected("a kind of block that fits its columns")),
    };
    Ok(Block {
        table: name(table)?,
        kind,
        fields,
        columns,
    })
}
