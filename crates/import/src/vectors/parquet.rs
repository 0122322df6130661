//! Vectors of a Parquet file: a column of lists, batch by batch, with the other columns as metadata.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int32Type, UInt8Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Schema as ArrowSchema};
use common::schema::{Field, Schema};
use common::serialization::arrow::{from_batch, infer_schema};
use common::serialization::parquet::Batches;
use common::{Error, Limits, Result, Value};

use super::element::{Element, Narrow, narrow};
use super::rows::check_dimension;

/// Rows in memory at once: 64 MiB of the longest vectors.
pub(super) const BATCH_ROWS: usize = 256;

/// The rows of a file that are yet to come.
pub(super) struct Vectors {
    batches: Batches,
    limits: Limits,
    /// Position of the column of vectors.
    column: usize,
    element: Element,
    /// Of every row; `None` before the first one, where the file does not say.
    dimension: Option<usize>,
    /// Columns of metadata, `None` if there is none.
    metadata: Option<Schema>,
    batch: Batch,
    /// Rows of the batches before this one.
    before: u64,
}

/// One batch, and how far it was read.
#[derive(Default)]
struct Batch {
    vectors: Option<ArrayRef>,
    metadata: std::vec::IntoIter<Vec<Value>>,
    next: usize,
    rows: usize,
}

impl Vectors {
    /// `column` is the name of the column of vectors: the only one of lists of numbers if not given.
    pub(super) fn open(batches: Batches, column: Option<&str>, limits: &Limits) -> Result<Self> {
        let schema = batches.schema().clone();
        let position = vector_column(&schema, column)?;
        let field = schema.field(position);
        let place = |error: Error| error.at(format!("column `{}`", field.name()));
        let numbers = list_of(field.data_type())
            .and_then(|(item, dimension)| Some((element_of(item)?, dimension)));
        let (element, dimension) = numbers
            .ok_or_else(|| Error::invalid(format!("{} is no list of numbers", field.data_type())))
            .map_err(place)?;
        let dimension = dimension.map(|dimension| check_dimension(dimension.into()));
        let mut vectors = Self {
            metadata: metadata(&schema, position)?,
            batches,
            limits: limits.clone(),
            column: position,
            element,
            dimension: dimension.transpose().map_err(place)?,
            batch: Batch::default(),
            before: 0,
        };
        // The first row tells the dimension where the type does not.
        vectors.advance()?;
        if vectors.dimension.is_none()
            && let Some(list) = vectors.list(0)
        {
            let dimension = i64::try_from(list.len()).unwrap_or(i64::MAX);
            vectors.dimension =
                Some(check_dimension(dimension).map_err(|error| error.at("row 0"))?);
        }
        Ok(vectors)
    }

    pub(super) fn element(&self) -> Element {
        self.element
    }

    pub(super) fn dimension(&self) -> Option<usize> {
        self.dimension
    }

    pub(super) fn rows(&self) -> u64 {
        self.batches.rows()
    }

    pub(super) fn metadata(&self) -> &[Field] {
        self.metadata.as_ref().map_or(&[], |schema| &schema.fields)
    }

    /// Reads the next row; whether there was one.
    pub(super) fn next(
        &mut self,
        vector: &mut Vec<f32>,
        metadata: &mut Vec<Value>,
    ) -> Result<bool> {
        let Some(list) = self.next_list()? else {
            return Ok(false);
        };
        self.numbers(&list, vector)?;
        *metadata = self.batch.metadata.next().unwrap_or_default();
        Ok(true)
    }

    /// Reads the next row as integers; whether there was one.
    pub(super) fn next_ints(&mut self, ints: &mut Vec<i32>) -> Result<bool> {
        let Some(list) = self.next_list()? else {
            return Ok(false);
        };
        ints.clear();
        match self.element {
            Element::I8 => ints.extend(values::<Int8Type>(&list).iter().map(|v| i32::from(*v))),
            Element::U8 => ints.extend(values::<UInt8Type>(&list).iter().map(|v| i32::from(*v))),
            Element::I32 => ints.extend(values::<Int32Type>(&list)),
            Element::F16 | Element::F32 | Element::F64 => {
                return Err(Error::invalid(format!(
                    "the elements are {}, which are no integers",
                    self.element
                )));
            }
        }
        Ok(true)
    }

    /// The next row's list, with its length and its nulls checked.
    fn next_list(&mut self) -> Result<Option<ArrayRef>> {
        while self.batch.next == self.batch.rows {
            if !self.advance()? {
                return Ok(None);
            }
        }
        let at = self.batch.next;
        let number = self.before.saturating_add(at as u64);
        let place = |error: Error| error.at(format!("row {number}"));
        let Some(list) = self.list(at) else {
            return Err(place(Error::invalid("it has no vector")));
        };
        self.batch.next += 1;
        if Some(list.len()) != self.dimension {
            return Err(place(Error::invalid(format!(
                "it has dimension {}, and the rows before it {}",
                list.len(),
                self.dimension.unwrap_or_default()
            ))));
        }
        if let Some(element) = (0..list.len()).find(|element| list.is_null(*element)) {
            return Err(place(Error::invalid(format!(
                "element {element}: it is null"
            ))));
        }
        Ok(Some(list))
    }

    fn numbers(&self, list: &ArrayRef, vector: &mut Vec<f32>) -> Result<()> {
        fn of<T: ArrowPrimitiveType>(list: &ArrayRef, vector: &mut Vec<f32>) -> Result<()>
        where
            T::Native: Narrow,
        {
            narrow(values::<T>(list).iter().copied(), vector)
        }
        let number = self.before + self.batch.next.saturating_sub(1) as u64;
        match self.element {
            Element::F16 => of::<Float16Type>(list, vector),
            Element::F32 => of::<Float32Type>(list, vector),
            Element::F64 => of::<Float64Type>(list, vector),
            Element::I8 => of::<Int8Type>(list, vector),
            Element::U8 => of::<UInt8Type>(list, vector),
            Element::I32 => of::<Int32Type>(list, vector),
        }
        .map_err(|error| error.at(format!("row {number}")))
    }

    /// The elements of one row of the batch; `None` if there is no such row, or null in it.
    fn list(&self, row: usize) -> Option<ArrayRef> {
        let array = self.batch.vectors.as_ref()?;
        if row >= array.len() || array.is_null(row) {
            return None;
        }
        match array.data_type() {
            DataType::List(_) => Some(array.as_list::<i32>().value(row)),
            DataType::LargeList(_) => Some(array.as_list::<i64>().value(row)),
            DataType::FixedSizeList(..) => Some(array.as_fixed_size_list().value(row)),
            _ => None,
        }
    }

    /// Reads the next batch; whether there is one.
    fn advance(&mut self) -> Result<bool> {
        let Some(batch) = self.batches.next().transpose()? else {
            return Ok(false);
        };
        self.before += self.batch.rows as u64;
        let metadata = match &self.metadata {
            Some(schema) => self.values(schema, &batch)?,
            None => Vec::new(),
        };
        self.batch = Batch {
            vectors: Some(batch.column(self.column).clone()),
            metadata: metadata.into_iter(),
            next: 0,
            rows: batch.num_rows(),
        };
        Ok(true)
    }

    fn values(&self, schema: &Schema, batch: &RecordBatch) -> Result<Vec<Vec<Value>>> {
        let others = others(batch.num_columns(), self.column);
        let batch = batch
            .project(&others)
            .map_err(|error| Error::invalid(error.to_string()).caused_by(error))?;
        from_batch(schema, &batch, &self.limits)
            .map_err(|error| error.at(format!("metadata of the rows from {} on", self.before)))
    }
}

fn values<T: ArrowPrimitiveType>(list: &ArrayRef) -> &[T::Native] {
    list.as_primitive_opt::<T>()
        .map_or(&[], |list| list.values())
}

fn others(columns: usize, without: usize) -> Vec<usize> {
    (0..columns).filter(|column| *column != without).collect()
}

/// What a list holds, and its length where the type says it.
fn list_of(ty: &DataType) -> Option<(&DataType, Option<i32>)> {
    match ty {
        DataType::List(item) | DataType::LargeList(item) => Some((item.data_type(), None)),
        DataType::FixedSizeList(item, length) => Some((item.data_type(), Some(*length))),
        _ => None,
    }
}

fn element_of(ty: &DataType) -> Option<Element> {
    match ty {
        DataType::Float16 => Some(Element::F16),
        DataType::Float32 => Some(Element::F32),
        DataType::Float64 => Some(Element::F64),
        DataType::Int8 => Some(Element::I8),
        DataType::UInt8 => Some(Element::U8),
        DataType::Int32 => Some(Element::I32),
        _ => None,
    }
}

fn vector_column(schema: &ArrowSchema, name: Option<&str>) -> Result<usize> {
    let fields = schema.fields();
    if let Some(name) = name {
        let found = fields.iter().position(|field| field.name() == name);
        return found.ok_or_else(|| {
            let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
            Error::not_found(format!(
                "there is no column `{name}`; the columns are {}",
                names.join(", ")
            ))
        });
    }
    let of_vectors = fields.iter().enumerate().filter(|(_, field)| {
        list_of(field.data_type()).is_some_and(|(item, _)| element_of(item).is_some())
    });
    let found: Vec<(usize, &str)> = of_vectors
        .map(|(at, field)| (at, field.name().as_str()))
        .collect();
    match found[..] {
        [(only, _)] => Ok(only),
        [] => Err(Error::invalid(
            "no column holds vectors: lists of floats, of bytes or of integers of 8 or 32 bits",
        )),
        _ => {
            let names: Vec<&str> = found.iter().map(|(_, name)| *name).collect();
            Err(Error::invalid(format!(
                "several columns hold lists of numbers ({}); name the one of the vectors",
                names.join(", ")
            )))
        }
    }
}

/// What the other columns are as columns of a table; any of them may be null if the file says so.
fn metadata(schema: &ArrowSchema, column: usize) -> Result<Option<Schema>> {
    let others = others(schema.fields().len(), column);
    let Some(first) = others.first() else {
        return Ok(None);
    };
    let first = schema.field(*first).name().clone();
    let rest = schema
        .project(&others)
        .map_err(|error| Error::invalid(error.to_string()).caused_by(error))?;
    // A schema has a key, and no null in it. Which column the key of a table will be is decided later.
    let mut found = infer_schema(&rest, "metadata", &[&first])?;
    for field in &mut found.fields {
        field.nullable = rest
            .field_with_name(&field.name)
            .is_ok_and(|column| column.is_nullable() || *column.data_type() == DataType::Null);
    }
    Ok(Some(found))
}
