//! [`VectorWriter`]: vectors as a file.

use std::io::Write;
use std::sync::Arc;

use arrow_array::types::Float32Type;
use arrow_array::{ArrayRef, FixedSizeListArray, PrimitiveArray, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use common::serialization::parquet::Writer;
use common::{Error, Result};

use super::VectorFormat;
use super::element::Element;
use super::npy::{self, Header};
use super::parquet::BATCH_ROWS;
use super::rows::check_dimension;

/// Name of the one column of a Parquet file of vectors alone.
const COLUMN: &str = "vector";

/// A file of vectors that is written from its first row to its last.
///
/// What follows from the vectors is known before them, so that nothing is written twice: the output may be a pipe.
#[derive(Debug)]
pub struct VectorWriter<W: Write> {
    sink: Sink<W>,
    element: Element,
    dimension: usize,
    rows: u64,
    written: u64,
}

#[derive(Debug)]
enum Sink<W: Write> {
    Rows {
        out: W,
        /// What stands before each row.
        prefix: Vec<u8>,
        row: Vec<u8>,
    },
    Parquet {
        writer: Box<Writer<W>>,
        schema: SchemaRef,
        item: Arc<Field>,
        length: i32,
        elements: Vec<f32>,
    },
}

impl<W: Write> VectorWriter<W> {
    /// Begins a file of `rows` vectors. The element is that of the format where it has but one, and one of 32-bit
    /// floats in Parquet.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a dimension that no vector has, and for elements that the format has not;
    /// [`common::ErrorKind::Io`] when the output fails.
    pub fn new(
        mut out: W,
        format: VectorFormat,
        element: Element,
        dimension: usize,
        rows: u64,
    ) -> Result<Self> {
        let length = check_dimension(i64::try_from(dimension).unwrap_or(i64::MAX))?;
        let length = i32::try_from(length).unwrap_or(i32::MAX);
        let only = match format {
            VectorFormat::Parquet => Some(Element::F32),
            other => other.element(),
        };
        if let Some(only) = only.filter(|only| *only != element) {
            return Err(Error::invalid(format!(
                "the elements of .{format} files are {only}, not {element}; .npy files may have these"
            )));
        }
        let sink = match format {
            VectorFormat::Parquet => {
                let item = Arc::new(Field::new("item", DataType::Float32, false));
                let ty = DataType::FixedSizeList(item.clone(), length);
                let schema = Arc::new(Schema::new(vec![Field::new(COLUMN, ty, false)]));
                Sink::Parquet {
                    writer: Box::new(Writer::new(out, schema.clone())?),
                    schema,
                    item,
                    length,
                    elements: Vec::new(),
                }
            }
            VectorFormat::Npy => {
                out.write_all(&npy::written(Header {
                    element,
                    rows,
                    dimension,
                }))?;
                Sink::Rows {
                    out,
                    prefix: Vec::new(),
                    row: Vec::new(),
                }
            }
            VectorFormat::Fvecs | VectorFormat::Bvecs | VectorFormat::Ivecs => Sink::Rows {
                out,
                prefix: length.to_le_bytes().to_vec(),
                row: Vec::new(),
            },
        };
        Ok(Self {
            sink,
            element,
            dimension,
            rows,
            written: 0,
        })
    }

    /// Writes the next vector.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] with row and element for what the elements cannot hold, for a vector of another
    /// dimension, and for one more than was declared; nothing of it is written. [`common::ErrorKind::Io`].
    pub fn write(&mut self, vector: &[f32]) -> Result<()> {
        let number = self.written;
        let place = |error: Error| error.at(format!("row {number}"));
        if vector.len() != self.dimension {
            return Err(place(Error::invalid(format!(
                "it has dimension {}, and the file {}",
                vector.len(),
                self.dimension
            ))));
        }
        if self.written == self.rows {
            return Err(self.miscounted(number + 1));
        }
        match &mut self.sink {
            Sink::Rows { out, prefix, row } => {
                row.clear();
                row.extend_from_slice(prefix);
                self.element.encode(vector, row).map_err(place)?;
                out.write_all(row)?;
            }
            Sink::Parquet { elements, .. } => {
                if let Some(at) = vector.iter().position(|value| !value.is_finite()) {
                    return Err(place(Error::invalid(format!(
                        "element {at}: it is not finite"
                    ))));
                }
                elements.extend_from_slice(vector);
                if elements.len() >= BATCH_ROWS * self.dimension {
                    self.write_batch()?;
                }
            }
        }
        self.written += 1;
        Ok(())
    }

    /// Writes what the file ends with. Without it, the file may lack rows.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when fewer rows came than were declared; [`common::ErrorKind::Io`].
    pub fn finish(mut self) -> Result<()> {
        if self.written != self.rows {
            return Err(self.miscounted(self.written));
        }
        self.write_batch()?;
        match self.sink {
            Sink::Rows { mut out, .. } => Ok(out.flush()?),
            Sink::Parquet { writer, .. } => writer.finish(),
        }
    }

    fn miscounted(&self, came: u64) -> Error {
        Error::invalid(format!("{} rows were declared, and {came} came", self.rows))
    }

    fn write_batch(&mut self) -> Result<()> {
        let Sink::Parquet {
            writer,
            schema,
            item,
            length,
            elements,
        } = &mut self.sink
        else {
            return Ok(());
        };
        if elements.is_empty() {
            return Ok(());
        }
        let failed = |error| Error::invalid(format!("{error}"));
        let elements = PrimitiveArray::<Float32Type>::from(std::mem::take(elements));
        let lists = FixedSizeListArray::try_new(item.clone(), *length, Arc::new(elements), None);
        let lists: ArrayRef = Arc::new(lists.map_err(failed)?);
        let batch = RecordBatch::try_new(schema.clone(), vec![lists]).map_err(failed)?;
        writer.write(&batch)
    }
}
