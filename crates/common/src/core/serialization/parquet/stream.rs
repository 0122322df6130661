//! [`Batches`] and [`Writer`]: Parquet files as record batches, of which one is in memory at a time.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::io::Write;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::ChunkReader;

use super::super::arrow;
use super::super::guard::contained;
use super::pages::{self, Scope};
use super::{corrupt, failed};
use crate::error::Result;
use crate::limits::Limits;

/// Most rows of one row group: what a reader that wants parts of a file reads at once.
const ROW_GROUP_ROWS: usize = 128 << 10;
/// Most bytes of a row group, which is in memory until it is complete.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// The record batches of a Parquet file, in order.
///
/// In memory are the footer, one page of each column and one batch. [`Limits::rows_max`] is for the whole file,
/// [`Limits::total_bytes_max`] for what one page inflates to. After an error, there is no further batch.
///
/// ```
/// use std::sync::Arc;
/// use arrow_array::{ArrayRef, Int64Array, RecordBatch};
/// use common::serialization::parquet::{Batches, Writer};
///
/// let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000));
/// let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
/// let mut file = Vec::new();
/// let mut writer = Writer::new(&mut file, batch.schema())?;
/// writer.write(&batch)?;
/// writer.finish()?;
///
/// let batches = Batches::open(bytes::Bytes::from(file), 300, &common::Limits::default())?;
/// assert_eq!(batches.rows(), 1_000);
/// let lengths: Vec<usize> = batches.map(|batch| Ok(batch?.num_rows())).collect::<common::Result<_>>()?;
/// assert_eq!(lengths, [300, 300, 300, 100]);
/// # Ok::<(), common::Error>(())
/// ```
pub struct Batches {
    /// `None` after the last batch and after an error.
    reader: Option<ParquetRecordBatchReader>,
    schema: SchemaRef,
    rows: u64,
}

impl Batches {
    /// Reads a file `batch_rows` rows at a time.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) when it is no Parquet file,
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) when it declares more rows, or a page more
    /// bytes, than `limits` allow.
    pub fn open<R: ChunkReader + 'static>(
        file: R,
        batch_rows: usize,
        limits: &Limits,
    ) -> Result<Self> {
        contained(|| {
            let file = Shared(Arc::new(file));
            pages::check_footer(&file)?;
            let builder =
                ParquetRecordBatchReaderBuilder::try_new(file.clone()).map_err(corrupt)?;
            pages::check(builder.metadata(), &file, Scope::Page, limits)?;
            let rows = builder.metadata().file_metadata().num_rows();
            let schema = builder.schema().clone();
            let reader = builder.with_batch_size(batch_rows.max(1)).build();
            Ok(Self {
                reader: Some(reader.map_err(corrupt)?),
                schema,
                rows: u64::try_from(rows).unwrap_or_default(),
            })
        })
    }

    /// The columns, with the notes that the file has on them.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Number of rows of the file.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = self.reader.take()?;
        let next = contained(|| reader.next().transpose().map_err(arrow::corrupt)).transpose()?;
        if next.is_ok() {
            self.reader = Some(reader);
        }
        Some(next)
    }
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} rows of {} columns",
            self.rows,
            self.schema.fields().len()
        )
    }
}

/// A file that both its check and its reader hold.
struct Shared<R>(Arc<R>);

impl<R> Clone for Shared<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R: ChunkReader> parquet::file::reader::Length for Shared<R> {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl<R: ChunkReader> ChunkReader for Shared<R> {
    type T = R::T;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<bytes::Bytes> {
        self.0.get_bytes(start, length)
    }
}

/// Writes record batches to a Parquet file, compressed with zstd, in row groups of at most 131,072 rows and about
/// 64 MiB, of which one is in memory.
pub struct Writer<W: Write> {
    /// Its bytes are handed on as they come: `out` may not be what another thread can have, as it asks for.
    writer: ArrowWriter<Vec<u8>>,
    out: W,
}

impl<W: Write> Writer<W> {
    /// Begins a file with these columns.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a column of a type that Parquet has not.
    pub fn new(out: W, schema: SchemaRef) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            // A fixed name: the same rows make the same file whatever version wrote it.
            .set_created_by("TandemDB".to_owned())
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(failed)?;
        Ok(Self { writer, out })
    }

    /// Appends the rows of a batch.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a batch with other columns,
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when the output fails.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(failed)?;
        if self.writer.in_progress_size() > ROW_GROUP_BYTES {
            self.writer.flush().map_err(failed)?;
        }
        // Positions in the file are counted by the writer, not by what is still here.
        let ready = self.writer.inner_mut();
        self.out.write_all(ready)?;
        ready.clear();
        Ok(())
    }

    /// Writes what the file ends with. Without it, there is no file that anybody reads.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when the output fails.
    pub fn finish(mut self) -> Result<()> {
        let rest = self.writer.into_inner().map_err(failed)?;
        self.out.write_all(&rest)?;
        Ok(())
    }
}

impl<W: Write> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes written", self.writer.bytes_written())
    }
}
