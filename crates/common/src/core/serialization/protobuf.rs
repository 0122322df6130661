//! Protocol Buffers by `docs/proto/value.proto`: a `Value` message, and `Rows` with the schema's id.
//!
//! Written and read field by field, so that limits hold while reading and no tree of messages is built in
//! between. Read beyond the canonical form: map keys in any order, lists of numbers and repeated messages
//! anywhere among the fields, varints with leading zeros. Refused, other than in most programs: fields that the
//! `.proto` does not have (a value that loses a part is another value), a field of its own twice, lists of
//! numbers that are not packed, a `Value` with no kind, a map key that stands twice.

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
use crate::error::Result;
use crate::limits::Limits;
use reader::Reader;

/// Field numbers of the messages in `docs/proto/value.proto`.
mod field {
    pub(super) const NULL: u32 = 1;
    pub(super) const BOOL: u32 = 2;
    pub(super) const INT: u32 = 3;
    pub(super) const FLOAT: u32 = 4;
    pub(super) const TEXT: u32 = 5;
    pub(super) const BYTES: u32 = 6;
    pub(super) const TIMESTAMP: u32 = 7;
    pub(super) const DATE: u32 = 8;
    pub(super) const UUID: u32 = 9;
    pub(super) const LIST: u32 = 10;
    pub(super) const MAP: u32 = 11;
    pub(super) const VECTOR: u32 = 12;
    pub(super) const EXTENSION: u32 = 13;

    /// Of `List`, `Map`, `Row` and `Floats`, which have one field.
    pub(super) const ITEMS: u32 = 1;

    pub(super) const ENTRY_KEY: u32 = 1;
    pub(super) const ENTRY_VALUE: u32 = 2;

    pub(super) const F32: u32 = 1;
    pub(super) const F16: u32 = 2;
    pub(super) const I8: u32 = 3;
    pub(super) const BINARY: u32 = 4;
    pub(super) const SPARSE: u32 = 5;

    /// Of `Binary` and `Sparse`.
    pub(super) const DIMENSION: u32 = 1;
    pub(super) const BITS: u32 = 2;
    pub(super) const INDICES: u32 = 2;
    pub(super) const VALUES: u32 = 3;

    pub(super) const EXTENSION_NAME: u32 = 1;
    pub(super) const EXTENSION_DATA: u32 = 2;

    pub(super) const SCHEMA_ID: u32 = 1;
    pub(super) const ROWS: u32 = 2;
}

/// The encoding behind [`Format::Protobuf`](super::Format::Protobuf).
#[derive(Debug, Clone, Copy, Default)]
pub struct Protobuf;

impl Encoding for Protobuf {
    fn name(&self) -> &'static str {
        "protobuf"
    }

    fn tag(&self) -> u8 {
        3
    }

    fn encode_value(&self, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        writer::value(value, out)
    }

    fn decode_value(&self, bytes: &[u8], limits: &Limits) -> Result<Value> {
        Reader::new(bytes, limits)?.value(bytes.len(), 0)
    }

    fn encode_rows(&self, schema: &Schema, records: &[Record], out: &mut Vec<u8>) -> Result<()> {
        writer::bytes(field::SCHEMA_ID, &schema.schema_id().0, out);
        for (row, record) in records.iter().enumerate() {
            rows::check(schema, row, record)?;
            writer::row(record, out).map_err(|error| rows::at_row(error, schema, row))?;
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
        rows::check_id(schema, reader.schema_id()?)?;
        let mut found = Vec::new();
        while let Some(end) = reader.next_row()? {
            let row = found.len();
            reader.guard().rows(row + 1)?;
            let values = reader.row(end, schema).map_err(|(error, column)| {
                match schema.fields.get(column) {
                    Some(field) => rows::at(error, schema, row, &field.name),
                    None => rows::at_row(error, schema, row),
                }
            })?;
            rows::check(schema, row, &values)?;
            found.push(values);
        }
        Ok(found)
    }
}
