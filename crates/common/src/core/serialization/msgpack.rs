//! MessagePack: compact, quick to read and write, understood by every language.
//!
//! | value | form |
//! |---|---|
//! | null, bool, text, bytes, list | nil, bool, str, bin, array |
//! | int | the shortest integer form |
//! | float | float 64 |
//! | timestamp | the extension type -1 that MessagePack itself defines, in its shortest form |
//! | date | extension 1: days since 1970-01-01, 4 bytes |
//! | uuid | extension 2: 16 bytes |
//! | map | map with str keys, ascending |
//! | vector | extension 3: element type (0 f32, 1 f16, 2 i8, 3 binary, 4 sparse), then the elements; binary and sparse have their dimension first, 4 bytes; sparse then has all positions, 4 bytes each, and all values |
//! | extension | extension 4: length of the name, 4 bytes, the name, the bytes |
//!
//! Numbers inside extensions 1, 3 and 4 are little-endian. Rows are an array of two: the schema's id as 16
//! bytes, and an array of rows, each an array of its values by position.
//!
//! Beyond that, longer forms than necessary, float 32 and map keys in any order are read. Refused: a key that
//! stands twice or is not a str, an integer above 2^63 - 1, times finer than a microsecond, other extension
//! types, anything after the end.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

mod reader;
mod writer;

use super::format::Encoding;
use super::rows;
use crate::core::base::{Record, Value};
use crate::core::schema::Schema;
use crate::error::{Error, Result};
use crate::limits::Limits;

pub(super) use reader::Reader;
pub(super) use writer::{array, cells, integer, unsigned};

/// Extension types; -1 is MessagePack's own.
mod ext {
    pub(super) const TIMESTAMP: i8 = -1;
    pub(super) const DATE: i8 = 1;
    pub(super) const UUID: i8 = 2;
    pub(super) const VECTOR: i8 = 3;
    pub(super) const EXTENSION: i8 = 4;
}

/// The encoding behind [`Format::MsgPack`](super::Format::MsgPack).
#[derive(Debug, Clone, Copy, Default)]
pub struct MsgPack;

impl Encoding for MsgPack {
    fn name(&self) -> &'static str {
        "msgpack"
    }

    fn tag(&self) -> u8 {
        2
    }

    fn encode_value(&self, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        writer::value(value, out)
    }

    fn decode_value(&self, bytes: &[u8], limits: &Limits) -> Result<Value> {
        let mut reader = Reader::new(bytes, limits)?;
        let value = reader.value(0)?;
        reader.end()?;
        Ok(value)
    }

    fn encode_rows(&self, schema: &Schema, records: &[Record], out: &mut Vec<u8>) -> Result<()> {
        array(2, out)?;
        writer::value(&Value::from(&schema.schema_id().0[..]), out)?;
        array(records.len(), out)?;
        for (row, record) in records.iter().enumerate() {
            rows::check(schema, row, record)?;
            cells(record, out).map_err(|error| rows::at_row(error, schema, row))?;
        }
        Ok(())
    }

    fn decode_rows(
        &self,
        schema: &Schema,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Vec<Vec<Value>>> {
        let mut reader = Reader::new(bytes, limits)?;
        if reader.array()? != 2 {
            return Err(Error::corrupt("rows are an array of schema id and rows"));
        }
        let id = reader.value(0)?;
        rows::check_id(schema, id.as_bytes().unwrap_or_default())?;
        let count = reader.array()?;
        reader.guard().rows(count)?;
        let mut found = Vec::new();
        for row in 0..count {
            let values = reader.cells(schema).map_err(|(error, column)| {
                match schema.fields.get(column) {
                    Some(field) => rows::at(error, schema, row, &field.name),
                    None => rows::at_row(error, schema, row),
                }
            })?;
            rows::check(schema, row, &values)?;
            found.push(values);
        }
        reader.end()?;
        Ok(found)
    }
}
