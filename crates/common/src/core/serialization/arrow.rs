//! Arrow: tables as record batches and IPC streams, with types as exact as Arrow's.
//!
//! | column | Arrow type |
//! |---|---|
//! | bool, int, float, text, bytes | Boolean, `Int64`, `Float64`, `Utf8`, Binary |
//! | timestamp, date | Timestamp(microsecond, UTC), `Date32` |
//! | uuid | `FixedSizeBinary(16)`, named `arrow.uuid` |
//! | list, map | List, Map with `Utf8` keys; elements are never null |
//! | f32, f16, i8 vector | `FixedSizeList` when the dimension is fixed, List otherwise |
//! | binary vector of a fixed dimension | `FixedSizeBinary`, lowest bit first |
//! | extension | Binary; the type's name is in the field's metadata as `tandemdb.extension` |
//! | any, sparse vector, binary vector of any dimension, vector of dimension 0 | Binary with one MessagePack value each; `tandemdb.format` in the field's metadata is `msgpack` |
//!
//! The schema travels in the stream's metadata as JSON under `tandemdb.schema`, so that a reader of our own
//! files gets rules and defaults back; every other reader sees plain columns.
//!
//! Columns are found by name. Arrays of other programs are read too: integers of all widths, text and bytes of
//! all layouts, dictionaries, timestamps of all units, structs as maps, as [`infer_schema`] lists.
//! Columns of such files may hold what no [`FieldType`](crate::schema::FieldType) expresses; the error names them.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

mod infer;
mod read;
mod stream;
mod types;
mod write;

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_schema::ArrowError;

use super::format::Encoding;
use super::guard::{Guard, contained};
use crate::core::base::{Record, Value};
use crate::core::schema::Schema;
use crate::error::{Error, Result};
use crate::limits::Limits;

pub use infer::infer_schema;
pub use stream::Writer;
pub use types::arrow_schema;

/// Rows of one record batch in a stream.
pub(super) const BATCH_ROWS: usize = 8_192;

/// The encoding behind [`Format::Arrow`](super::Format::Arrow).
#[derive(Debug, Clone, Copy, Default)]
pub struct Arrow;

impl Encoding for Arrow {
    fn name(&self) -> &'static str {
        "arrow"
    }

    fn tag(&self) -> u8 {
        4
    }

    /// Always [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    fn encode_value(&self, _: &Value, _: &mut Vec<u8>) -> Result<()> {
        Err(tables_only())
    }

    /// Always [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    fn decode_value(&self, _: &[u8], _: &Limits) -> Result<Value> {
        Err(tables_only())
    }

    fn encode_rows(&self, schema: &Schema, records: &[Record], out: &mut Vec<u8>) -> Result<()> {
        let mut writer = Writer::new(out, schema)?;
        for chunk in records.chunks(BATCH_ROWS) {
            writer.write(chunk)?;
        }
        writer.finish()
    }

    fn decode_rows(
        &self,
        schema: &Schema,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Vec<Vec<Value>>> {
        contained(|| {
            let mut guard = Guard::new(limits, bytes)?;
            let mut decoder = StreamDecoder::new();
            let mut rest = Buffer::from(bytes);
            let mut found = Vec::new();
            while !rest.is_empty() {
                let Some(batch) = decoder.decode(&mut rest).map_err(corrupt)? else {
                    continue;
                };
                read::rows(schema, &batch, &mut guard, &mut found)?;
            }
            decoder.finish().map_err(corrupt)?;
            if decoder.schema().is_none() {
                return Err(Error::corrupt("an Arrow stream begins with its schema"));
            }
            Ok(found)
        })
    }
}

fn tables_only() -> Error {
    Error::unsupported("this format holds tables, not single values")
}

/// Records as one record batch.
///
/// # Errors
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with row and column for a record that does not fit `schema`,
/// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) when a column holds more than 2 GiB of text,
/// bytes or elements.
pub fn to_batch(schema: &Schema, records: &[Record]) -> Result<RecordBatch> {
    write::batch(schema, &Arc::new(arrow_schema(schema)?), 0, records)
}

/// The rows of a record batch, each with its values in storage order.
///
/// # Errors
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with row and column for a value that does not fit `schema`,
/// or naming a column that has a type no column holds; [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded)
/// beyond `limits`.
pub fn from_batch(
    schema: &Schema,
    batch: &RecordBatch,
    limits: &Limits,
) -> Result<Vec<Vec<Value>>> {
    let mut found = Vec::new();
    read::rows(schema, batch, &mut Guard::new(limits, &[])?, &mut found)?;
    Ok(found)
}

/// Reads the schema at the beginning of an IPC stream.
///
/// # Errors
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) when the bytes do not begin as a stream does.
pub fn stream_schema(bytes: &[u8], limits: &Limits) -> Result<arrow_schema::Schema> {
    contained(|| {
        limits.check_total(bytes.len())?;
        let mut decoder = StreamDecoder::new();
        let mut rest = Buffer::from(bytes);
        while !rest.is_empty() {
            // Schemas come alone: the first message is enough, and a batch is not decoded twice.
            let before = rest.len().min(4 << 10);
            let mut head = rest.slice_with_length(0, before);
            decoder.decode(&mut head).map_err(corrupt)?;
            rest.advance(before - head.len());
            if let Some(schema) = decoder.schema() {
                return Ok(schema.as_ref().clone());
            }
        }
        Err(Error::corrupt("an Arrow stream begins with its schema"))
    })
}

/// A failure while writing.
pub(super) fn failed(error: ArrowError) -> Error {
    Error::invalid(error.to_string()).caused_by(error)
}

/// A failure while reading.
pub(super) fn corrupt(error: ArrowError) -> Error {
    match error {
        ArrowError::NotYetImplemented(_) => Error::unsupported(error.to_string()),
        ArrowError::MemoryError(_) => Error::limit_exceeded(error.to_string()),
        _ => Error::corrupt(error.to_string()),
    }
    .caused_by(error)
}

#[cfg(feature = "parquet")]
pub(super) use read::rows as read_rows;
#[cfg(feature = "parquet")]
pub(super) use write::batch as write_batch;
