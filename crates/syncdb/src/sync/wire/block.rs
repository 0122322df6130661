//! Message `Block`: rows of one table, by column, as bytes that the envelope does not look into.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::ops::Range;

use common::limits::{COLUMNS_MAX, KEY_COLUMNS_MAX, NAME_BYTES_MAX};
use common::schema::FieldId;
use common::serialization::Format;
use common::{Error, Limits, Result, Text, Value};

use super::COMPRESS_BYTES_MIN;
use super::fields::{Budget, Fields, Part, expected, put_bytes, put_number, put_numbers};
use crate::payload::{self, Column, DictionaryId, Level, Shared, pack, pack_for_frame};
use crate::sync::dictionaries::Dictionaries;
use crate::sync::protocol::{Block, BlockKind};

/// Field numbers of the message.
mod field {
    pub(super) const TABLE: u32 = 1;
    pub(super) const KIND: u32 = 2;
    pub(super) const KEY_COLUMNS: u32 = 3;
    pub(super) const FIELDS: u32 = 4;
    pub(super) const ENCODING: u32 = 5;
    pub(super) const DATA: u32 = 6;
    pub(super) const DICTIONARY: u32 = 7;
    pub(super) const SCOPES: u32 = 8;
}

/// How `data` holds the columns: one MessagePack array of columns, each an array of values.
const MESSAGE_PACK: u32 = 0;
/// How `data` holds the columns: a payload block, as `docs/payload-format.md` specifies it.
const PAYLOAD: u32 = 1;

/// How hard a block's columns are packed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Packing<'a> {
    /// Once, for all who start: as a payload block that is compressed by itself.
    Snapshot,
    /// For a frame that is compressed as a whole, this hard: as whatever is shorter, also with one of these dictionaries.
    Message(&'a Dictionaries, Level),
}

/// What is said about rows: an answer's blocks and a request's operations share the numbers.
const PUT: u32 = 0;
const PATCH: u32 = 1;
const GONE: u32 = 2;
const DELTA: u32 = 3;
const REVERT: u32 = 4;

pub(super) fn write(block: &Block, packing: Packing<'_>, out: &mut Vec<u8>) -> Result<()> {
    let Block {
        table,
        kind,
        scopes,
        fields,
        columns,
    } = block;
    put(table, *kind, fields, columns, packing, out)?;
    put_number(field::SCOPES, *scopes, out);
    Ok(())
}

pub(super) fn put(
    table: &str,
    kind: BlockKind,
    fields: &[FieldId],
    columns: &[Vec<Value>],
    packing: Packing<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let kind = match kind {
        BlockKind::Put => PUT,
        BlockKind::Patch => PATCH,
        BlockKind::Gone => GONE,
        BlockKind::Deltas => DELTA,
        BlockKind::Revert => REVERT,
    };
    put_bytes(field::TABLE, table.as_bytes(), out);
    put_number(field::KIND, kind.into(), out);
    put_number(
        field::KEY_COLUMNS,
        columns.len().saturating_sub(fields.len()) as u64,
        out,
    );
    put_numbers(field::FIELDS, fields.iter().map(|field| field.0), out);
    let Packed {
        encoding,
        data,
        dictionary,
    } = pack_columns(table, fields, columns, packing)?;
    put_number(field::ENCODING, encoding.into(), out);
    put_bytes(field::DATA, &data, out);
    put_number(field::DICTIONARY, dictionary.into(), out);
    Ok(())
}

/// Columns as the message holds them.
struct Packed {
    encoding: u32,
    data: Vec<u8>,
    /// 0 for none.
    dictionary: u32,
}

impl Packed {
    const fn plain(encoding: u32, data: Vec<u8>) -> Self {
        Self {
            encoding,
            data,
            dictionary: 0,
        }
    }
}

/// A block packed with a dictionary names it by 4 bytes after its first; the message says that by a number.
const NAME: Range<usize> = 1..5;
/// Blocks of more rows are described well enough by themselves.
const DICTIONARY_ROWS_MAX: usize = 1_024;

fn pack_columns(
    table: &str,
    fields: &[FieldId],
    columns: &[Vec<Value>],
    packing: Packing<'_>,
) -> Result<Packed> {
    let by_type: Vec<Column> = columns
        .iter()
        .map(|values| Column::from_values(values))
        .collect();
    let Packing::Message(dictionaries, level) = packing else {
        return Ok(Packed::plain(
            PAYLOAD,
            pack(&by_type, Level::Balanced, None)?,
        ));
    };
    let rows = columns.first().map_or(0, Vec::len);
    let payload = pack_for_frame(&by_type, level)?;
    // One row of short values takes fewer bytes without descriptions of its columns.
    let mut plain = Packed::plain(PAYLOAD, payload);
    if rows <= 4 {
        let columns = columns.iter().map(|column| Value::from(column.clone()));
        let mut data = Vec::new();
        Format::MsgPack.encode_value(&Value::List(columns.collect()), &mut data)?;
        if data.len() <= plain.data.len() {
            plain = Packed::plain(MESSAGE_PACK, data);
        }
    }
    let known = dictionaries.of_table(table);
    let Some((number, dictionary)) = known.filter(|_| (1..=DICTIONARY_ROWS_MAX).contains(&rows))
    else {
        return Ok(plain);
    };
    let positions = dictionary.positions(columns.len() - fields.len(), fields);
    let mut data = pack(&by_type, level, Some(dictionary.at(&positions)))?;
    data.drain(NAME);
    // What the plain form comes to once the frame is compressed.
    let mut compressed = Vec::new();
    if plain.data.len() >= COMPRESS_BYTES_MIN {
        let codec = level.compression().codec()?;
        codec.compress(&plain.data, &mut compressed)?;
    }
    let whole = plain.data.len();
    let comes_to = if compressed.is_empty() {
        whole
    } else {
        whole.min(compressed.len())
    };
    Ok(if data.len() < comes_to {
        Packed {
            encoding: PAYLOAD,
            data,
            dictionary: number,
        }
    } else {
        plain
    })
}

/// The number of the dictionary that a block is packed with, 0 for none.
pub(super) fn dictionary_of(mut fields: Fields<'_>) -> Result<u32> {
    let mut found = 0;
    while let Some((number, part)) = fields.next()? {
        if number == field::DICTIONARY {
            found = part.small()?;
        }
    }
    Ok(found)
}

/// A block of an answer.
pub(super) fn read(fields: Fields<'_>, budget: &mut Budget) -> Result<Block> {
    let block = read_operations(fields, budget)?;
    if matches!(block.kind, BlockKind::Deltas | BlockKind::Revert) {
        return Err(expected("rows, not operations"));
    }
    Ok(block)
}

/// The rows of operations, of which an update may have no columns.
pub(super) fn read_operations(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Block> {
    let mut wire = Wire::default();
    while let Some((number, part)) = fields.next()? {
        wire.take(number, part, budget)?;
    }
    let found = wire.block(budget)?;
    if found.key_columns() == 0 {
        return Err(expected("key columns before the others"));
    }
    Ok(found)
}

/// Changed columns of rows that are named elsewhere.
pub(super) fn read_without_keys(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Block> {
    let mut wire = Wire::default();
    while let Some((number, part)) = fields.next()? {
        wire.take(number, part, budget)?;
    }
    let found = wire.block(budget)?;
    if found.kind != BlockKind::Patch || found.key_columns() != 0 || found.fields.is_empty() {
        return Err(expected("changed columns without those of the key"));
    }
    Ok(found)
}

/// The fields of the message as they come.
#[derive(Default)]
struct Wire<'a> {
    table: Text,
    kind: u32,
    key_columns: u32,
    fields: Vec<u32>,
    encoding: u32,
    data: &'a [u8],
    dictionary: u32,
    scopes: u64,
}

impl<'a> Wire<'a> {
    fn take(&mut self, number: u32, part: Part<'a>, budget: &mut Budget) -> Result<()> {
        match number {
            field::TABLE => self.table = name(part, budget)?,
            field::KIND => self.kind = part.small()?,
            field::KEY_COLUMNS => self.key_columns = part.small()?,
            field::FIELDS => part.numbers(COLUMNS_MAX, budget, &mut self.fields)?,
            field::ENCODING => self.encoding = part.small()?,
            field::DATA => self.data = part.bytes()?,
            field::DICTIONARY => self.dictionary = part.small()?,
            field::SCOPES => self.scopes = part.number()?,
            _ => {}
        }
        Ok(())
    }

    fn block(self, budget: &mut Budget) -> Result<Block> {
        let key_columns = usize::try_from(self.key_columns).unwrap_or(usize::MAX);
        Limits::default()
            .elements_max(KEY_COLUMNS_MAX)
            .check_elements(key_columns)?;
        let mut sorted = self.fields.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() != self.fields.len() {
            return Err(expected("each column once"));
        }
        let ids: Vec<FieldId> = self.fields.iter().copied().map(FieldId).collect();
        let columns = match self.encoding {
            MESSAGE_PACK => message_pack(self.data, budget)?,
            PAYLOAD if self.dictionary == 0 => payload(self.data, None, budget)?,
            PAYLOAD => {
                let dictionaries = budget.dictionaries();
                let dictionary = dictionaries.get(self.dictionary);
                let dictionary = dictionary.ok_or_else(|| {
                    Error::not_found(format!(
                        "a block is packed with dictionary {} of the request, which is not here",
                        self.dictionary
                    ))
                })?;
                if dictionary.sent.table != self.table {
                    return Err(expected("the dictionary of the block's table"));
                }
                let positions = dictionary.positions(key_columns, &ids);
                let data = named(self.data, dictionary.shared.id())?;
                payload(&data, Some(dictionary.at(&positions)), budget)?
            }
            other => {
                return Err(Error::unsupported(format!(
                    "the columns of a block are written in encoding {other}, this side knows \
                     {MESSAGE_PACK} and {PAYLOAD}"
                )));
            }
        };
        if columns.len() != key_columns + self.fields.len() {
            return Err(expected("as many columns as the block announces"));
        }
        let rows = columns.first().map_or(0, Vec::len);
        if columns.iter().any(|column| column.len() != rows) {
            return Err(expected("columns of equal length"));
        }
        let kind = match (self.kind, self.fields.is_empty()) {
            (PUT, _) => BlockKind::Put,
            (PATCH, _) => BlockKind::Patch,
            (GONE, true) => BlockKind::Gone,
            (DELTA, _) => BlockKind::Deltas,
            (REVERT, _) => BlockKind::Revert,
            _ => return Err(expected("a kind of block that fits its columns")),
        };
        Ok(Block {
            table: self.table,
            kind,
            scopes: self.scopes,
            fields: ids,
            columns,
        })
    }
}

fn message_pack(data: &[u8], budget: &mut Budget) -> Result<Vec<Vec<Value>>> {
    let value = Format::MsgPack.decode_value(data, budget.limits())?;
    let columns = value
        .as_list()
        .ok_or_else(|| expected("a list of columns"))?;
    let mut found = Vec::with_capacity(columns.len());
    for column in columns {
        let column = column.as_list().ok_or_else(|| expected("a column"))?;
        let heap: usize = column.iter().map(Value::heap_bytes).sum();
        budget.spend(heap.saturating_add(size_of_val(column)).saturating_add(48))?;
        found.push(column.to_vec());
    }
    Ok(found)
}

/// The block with the name of its dictionary in its place.
fn named(data: &[u8], id: DictionaryId) -> Result<Vec<u8>> {
    let (first, rest) = data
        .split_at_checked(NAME.start)
        .ok_or_else(|| expected("a block"))?;
    let whole = [first, &id.0, rest].concat();
    if payload::dictionary_of(&whole)? == Some(id) {
        Ok(whole)
    } else {
        Err(expected("a block that is packed with a dictionary"))
    }
}

fn payload(
    data: &[u8],
    shared: Option<Shared<'_>>,
    budget: &mut Budget,
) -> Result<Vec<Vec<Value>>> {
    let opened = payload::Block::open(data, budget.limits(), shared)?;
    let columns = opened.decode()?;
    let mut found = Vec::with_capacity(columns.len());
    for column in columns {
        budget.spend(column.rows().saturating_mul(size_of::<Value>()) + 48)?;
        let values = column.to_values();
        budget.spend(values.iter().map(Value::heap_bytes).sum())?;
        found.push(values);
    }
    Ok(found)
}

/// The name of a table.
fn name(part: Part<'_>, budget: &mut Budget) -> Result<Text> {
    let name = part.text()?;
    Limits::default()
        .bytes_max(NAME_BYTES_MAX)
        .check_bytes(name.len())?;
    budget.text(name)
}
