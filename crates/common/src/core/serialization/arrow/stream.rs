//! [`Writer`]: an Arrow stream that is written block by block.

use std::io::Write;
use std::sync::Arc;

use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, SchemaRef};

use super::{arrow_schema, failed, write};
use crate::core::base::Record;
use crate::core::schema::Schema;
use crate::error::{Error, Result};

/// Writes records as an Arrow IPC stream, one record batch for each block, of which one is in memory.
///
/// ```
/// use common::schema::{Field, FieldType, Schema};
/// use common::serialization::{Format, arrow::Writer};
/// use common::{Limits, Metadata, Record, Value};
/// let schema = Schema::build("cities", ["id"]).field(Field::new("id", FieldType::Int)).finish()?;
/// let record = |id: i64| Record::new(Metadata::default(), 1, vec![Value::from(id)]);
/// let mut bytes = Vec::new();
/// let mut writer = Writer::new(&mut bytes, &schema)?;
/// writer.write(&[record(1), record(2)])?;
/// writer.write(&[record(3)])?;
/// writer.finish()?;
/// let rows = Format::Arrow.decode_rows(&schema, &bytes, &Limits::default())?;
/// assert_eq!(rows, [[Value::from(1)], [Value::from(2)], [Value::from(3)]]);
/// # Ok::<(), common::Error>(())
/// ```
pub struct Writer<'a, W: Write> {
    stream: StreamWriter<W>,
    schema: &'a Schema,
    columns: SchemaRef,
    rows: usize,
}

impl<'a, W: Write> Writer<'a, W> {
    /// Begins a stream with the columns of a table.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a column of a type that Arrow has not,
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when the output fails.
    pub fn new(out: W, schema: &'a Schema) -> Result<Self> {
        let columns = Arc::new(arrow_schema(schema)?);
        Ok(Self {
            stream: StreamWriter::try_new(out, &columns).map_err(unwritten)?,
            schema,
            columns,
            rows: 0,
        })
    }

    /// Appends a block of rows.
    ///
    /// # Errors
    /// As [`to_batch`](super::to_batch); [`ErrorKind::Io`](crate::ErrorKind::Io) when the output fails.
    pub fn write(&mut self, records: &[Record]) -> Result<()> {
        let batch = write::batch(self.schema, &self.columns, self.rows, records)?;
        self.rows += records.len();
        self.stream.write(&batch).map_err(unwritten)
    }

    /// Writes what the stream ends with.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when the output fails.
    pub fn finish(mut self) -> Result<()> {
        self.stream.finish().map_err(unwritten)
    }
}

/// A failure of the output, or of what was to be written.
fn unwritten(error: ArrowError) -> Error {
    match error {
        ArrowError::IoError(_, error) => Error::from(error),
        error => failed(error),
    }
}

impl<W: Write> std::fmt::Debug for Writer<'_, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows written", self.rows)
    }
}
