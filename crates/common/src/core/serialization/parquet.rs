//! Parquet: tables as files that every analytics tool reads, and the files of those tools.
//!
//! Columns are those of [`arrow`], compressed with zstd; the schema travels in the file's metadata.
//! Files of other programs are read with any of Parquet's encodings, uncompressed or compressed with snappy or
//! zstd; other compressions are [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported). Before a page is
//! inflated, the sizes and counts that all pages declare are added up and checked against the limits.
//!
//! [`Batches`] and [`Writer`] read and write files that are larger than memory, batch by batch.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

mod pages;
mod stream;

use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

pub use self::stream::{Batches, Writer};

use super::arrow::{self, arrow_schema, infer_schema};
use super::format::Encoding;
use super::guard::{Guard, contained};
use crate::core::base::{Record, Value};
use crate::core::schema::Schema;
use crate::error::{Error, Result};
use crate::limits::Limits;

/// The encoding behind [`Format::Parquet`](super::Format::Parquet).
#[derive(Debug, Clone, Copy, Default)]
pub struct Parquet;

impl Encoding for Parquet {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn tag(&self) -> u8 {
        5
    }

    /// Always [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    fn encode_value(&self, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        arrow::Arrow.encode_value(value, out)
    }

    /// Always [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    fn decode_value(&self, bytes: &[u8], limits: &Limits) -> Result<Value> {
        arrow::Arrow.decode_value(bytes, limits)
    }

    fn encode_rows(&self, schema: &Schema, records: &[Record], out: &mut Vec<u8>) -> Result<()> {
        let arrow = Arc::new(arrow_schema(schema)?);
        // Written apart: positions in the file count from its first byte, and `out` may hold others already.
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file, arrow.clone())?;
        for (i, chunk) in records.chunks(arrow::BATCH_ROWS).enumerate() {
            writer.write(&arrow::write_batch(
                schema,
                &arrow,
                i * arrow::BATCH_ROWS,
                chunk,
            )?)?;
        }
        writer.finish()?;
        out.append(&mut file);
        Ok(())
    }

    fn decode_rows(
        &self,
        schema: &Schema,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Vec<Vec<Value>>> {
        contained(|| {
            let mut guard = Guard::new(limits, bytes)?;
            let (file, builder) = open(bytes, limits)?;
            pages::check(builder.metadata(), &file, pages::Scope::File, limits)?;
            let reader = builder.with_batch_size(arrow::BATCH_ROWS).build();
            let mut found = Vec::new();
            for batch in reader.map_err(corrupt)? {
                let batch = batch.map_err(arrow::corrupt)?;
                arrow::read_rows(schema, &batch, &mut guard, &mut found)?;
            }
            Ok(found)
        })
    }
}

/// A schema for the table `table` that takes every column of a Parquet file; see [`infer_schema`].
///
/// # Errors
/// As [`infer_schema`]; [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) when the bytes are no Parquet file.
pub fn infer(bytes: &[u8], table: &str, key: &[&str], limits: &Limits) -> Result<Schema> {
    let file = contained(|| open(bytes, limits).map(|(_, file)| file.schema().as_ref().clone()))?;
    infer_schema(&file, table, key)
}

/// Names of the columns of a Parquet file, in its order: what a caller of [`infer`] chooses a key from.
///
/// # Errors
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) when the bytes are no Parquet file.
pub fn column_names(bytes: &[u8], limits: &Limits) -> Result<Vec<String>> {
    let file = contained(|| open(bytes, limits).map(|(_, file)| file.schema().as_ref().clone()))?;
    Ok(file
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect())
}

fn open(bytes: &[u8], limits: &Limits) -> Result<(Bytes, ParquetRecordBatchReaderBuilder<Bytes>)> {
    limits.check_total(bytes.len())?;
    let file = Bytes::copy_from_slice(bytes);
    pages::check_footer(&file)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone()).map_err(corrupt)?;
    Ok((file, builder))
}

fn failed(error: ParquetError) -> Error {
    Error::invalid(error.to_string()).caused_by(error)
}

fn corrupt(error: ParquetError) -> Error {
    match error {
        ParquetError::NYI(_) => Error::unsupported(error.to_string()),
        ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            // The file is not damaged: it cannot be read.
            Ok(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
                return Error::from(*error);
            }
            Ok(error) => return Error::corrupt(error.to_string()),
            Err(cause) => return Error::corrupt(cause.to_string()),
        },
        _ => Error::corrupt(error.to_string()),
    }
    .caused_by(error)
}
