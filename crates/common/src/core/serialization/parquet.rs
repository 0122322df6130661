//! Parquet: tables as files that every analytics tool reads, and the files of those tools.
//!
//! Columns are those of [`arrow`], compressed with zstd; the schema travels in the file's metadata.
//! Files of other programs are read with any of Parquet's encodings, uncompressed or compressed with snappy or
//! zstd; other compressions are [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported). Before a page is
//! inflated, the sizes and counts that all pages declare are added up and checked against the limits.

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

use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::arrow::{self, arrow_schema, infer_schema};
use super::format::Encoding;
use super::guard::{Guard, contained};
use crate::core::base::{Record, Value};
use crate::core::schema::Schema;
use crate::error::{Error, Result};
use crate::limits::Limits;

/// Most rows of one row group: what a reader that wants parts of a file reads at once.
const ROW_GROUP_ROWS: usize = 128 << 10;

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
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            // A fixed name: the same rows make the same file whatever version wrote it.
            .set_created_by("TandemDB".to_owned())
            .build();
        // Written apart: positions in the file count from its first byte, and `out` may hold others already.
        let mut file = Vec::new();
        let writer = ArrowWriter::try_new(&mut file, arrow.clone(), Some(properties));
        let mut writer = writer.map_err(failed)?;
        for (i, chunk) in records.chunks(arrow::BATCH_ROWS).enumerate() {
            let batch = arrow::write_batch(schema, &arrow, i * arrow::BATCH_ROWS, chunk)?;
            writer.write(&batch).map_err(failed)?;
        }
        writer.close().map_err(failed)?;
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
            let builder = open(bytes, limits)?;
            pages::check(builder.metadata(), bytes, limits)?;
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
    let file = contained(|| open(bytes, limits).map(|file| file.schema().as_ref().clone()))?;
    infer_schema(&file, table, key)
}

/// Names of the columns of a Parquet file, in its order: what a caller of [`infer`] chooses a key from.
///
/// # Errors
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) when the bytes are no Parquet file.
pub fn column_names(bytes: &[u8], limits: &Limits) -> Result<Vec<String>> {
    let file = contained(|| open(bytes, limits).map(|file| file.schema().as_ref().clone()))?;
    Ok(file
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect())
}

fn open(bytes: &[u8], limits: &Limits) -> Result<ParquetRecordBatchReaderBuilder<Bytes>> {
    limits.check_total(bytes.len())?;
    let file = Bytes::copy_from_slice(bytes);
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(corrupt)
}

fn failed(error: ParquetError) -> Error {
    Error::invalid(error.to_string()).caused_by(error)
}

fn corrupt(error: ParquetError) -> Error {
    match error {
        ParquetError::NYI(_) => Error::unsupported(error.to_string()),
        _ => Error::corrupt(error.to_string()),
    }
    .caused_by(error)
}
