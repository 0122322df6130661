//! `tandemdb.arrow`: tables of other libraries in and out by Arrow's `PyCapsule` interface, without a copy and without a
//! library of Arrow in Python.

use std::sync::Arc;

use arrow_array::ffi::FFI_ArrowSchema;
use arrow_array::ffi_stream::{ArrayStreamReader, FFI_ArrowArrayStream};
use arrow_array::{
    Array, ArrayReader, ArrayRef, RecordBatch, RecordBatchIterator, RecordBatchOptions, StructArray,
};
use arrow_schema::{DataType, FieldRef, Schema, SchemaRef};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyTuple};

mod capsule;

/// Native part of `tandemdb.arrow`.
#[pymodule]
pub(crate) mod arrow {
    #[pymodule_export]
    use super::ArrowTable;
}

fn refused(what: &str) -> PyErr {
    PyValueError::new_err(format!("this is no data of Arrow: {what}"))
}

/// One column, or all columns of a table as a struct, in the chunks in which it came.
pub(crate) struct Chunks {
    pub(crate) field: FieldRef,
    pub(crate) arrays: Vec<ArrayRef>,
}

/// Whether an object offers itself as data of Arrow.
pub(crate) fn is_arrow(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(object.hasattr("__arrow_c_stream__")? || object.hasattr("__arrow_c_array__")?)
}

/// Imports a column or a table from an object with `__arrow_c_stream__` or `__arrow_c_array__`; nothing is copied.
pub(crate) fn import(object: &Bound<'_, PyAny>) -> PyResult<Chunks> {
    let py = object.py();
    if object.hasattr("__arrow_c_stream__")? {
        let capsule = object.call_method0("__arrow_c_stream__")?;
        let stream = capsule::take_stream(&capsule)?;
        let failed = |error: arrow_schema::ArrowError| refused(&error.to_string());
        let mut reader = py
            .detach(|| ArrayStreamReader::try_new(stream))
            .map_err(failed)?;
        let mut arrays = Vec::new();
        // The producer may run Python code of its own, from this thread or another.
        while let Some(array) = py.detach(|| reader.next()) {
            arrays.push(array.map_err(failed)?);
            py.check_signals()?;
        }
        let field = Arc::clone(reader.field());
        return Ok(Chunks { field, arrays });
    }
    if object.hasattr("__arrow_c_array__")? {
        let capsules = object.call_method0("__arrow_c_array__")?;
        let capsules = capsules.cast::<PyTuple>()?;
        let (field, array) = capsule::take_array(&capsules.get_item(0)?, &capsules.get_item(1)?)?;
        return Ok(Chunks {
            field: Arc::new(field),
            arrays: vec![array],
        });
    }
    Err(PyTypeError::new_err(format!(
        "expected an object with `__arrow_c_stream__` or `__arrow_c_array__`, such as a table of pyarrow, pandas or \
         polars, not {}",
        object.get_type().name()?
    )))
}

/// Imports a table.
pub(crate) fn import_table(object: &Bound<'_, PyAny>) -> PyResult<ArrowTable> {
    if let Ok(table) = object.cast::<ArrowTable>() {
        return Ok(table.get().clone());
    }
    let chunks = import(object)?;
    let DataType::Struct(fields) = chunks.field.data_type() else {
        return Err(refused(&format!(
            "a table has columns, but this is one column of type {}",
            chunks.field.data_type()
        )));
    };
    let metadata = chunks.field.metadata().clone();
    let schema = Arc::new(Schema::new_with_metadata(fields.clone(), metadata));
    let batch = |array: &ArrayRef| {
        let rows = array.as_any().downcast_ref::<StructArray>();
        let rows = rows.filter(|rows| rows.null_count() == 0);
        let rows = rows.ok_or_else(|| refused("a row of a table is null as a whole"))?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(
            Arc::clone(&schema),
            rows.columns().to_vec(),
            &options,
        );
        batch.map_err(|error| refused(&error.to_string()))
    };
    Ok(ArrowTable {
        batches: chunks.arrays.iter().map(batch).collect::<PyResult<_>>()?,
        schema,
    })
}

/// A table in Arrow's memory format, made of any object that offers itself as one; nothing is copied.
///
/// It offers itself by the same interface: `pyarrow.table(t)`, `polars.DataFrame(t)`, `pandas.DataFrame.from_arrow(t)`
/// and DuckDB read it where it is, as often as they like.
#[pyclass(frozen, module = "tandemdb.arrow", name = "ArrowTable")]
#[derive(Clone)]
pub(crate) struct ArrowTable {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
}

impl ArrowTable {
    pub(crate) fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The chunks of a column, with its number.
    pub(crate) fn column(&self, name: &str) -> Option<Chunks> {
        let (at, field) = self.schema.column_with_name(name)?;
        Some(Chunks {
            field: Arc::new(field.clone()),
            arrays: self
                .batches
                .iter()
                .map(|b| Arc::clone(b.column(at)))
                .collect(),
        })
    }
}

#[pymethods]
impl ArrowTable {
    #[new]
    #[pyo3(signature = (data), text_signature = "(data)")]
    fn new(data: &Bound<'_, PyAny>) -> PyResult<Self> {
        import_table(data)
    }

    /// How many rows there are.
    #[getter]
    fn num_rows(&self) -> usize {
        self.rows()
    }

    /// How many columns there are.
    #[getter]
    fn num_columns(&self) -> usize {
        self.schema.fields().len()
    }

    /// Names of the columns, in order.
    #[getter]
    fn column_names(&self) -> Vec<String> {
        let fields = self.schema.fields().iter();
        fields.map(|field| field.name().clone()).collect()
    }

    fn __len__(&self) -> usize {
        self.rows()
    }

    fn __repr__(&self) -> String {
        let fields = self.schema.fields().iter();
        let fields: Vec<String> = fields
            .map(|field| format!("{}: {}", field.name(), field.data_type()))
            .collect();
        format!("ArrowTable({} rows; {})", self.rows(), fields.join(", "))
    }

    /// A capsule with the table as a stream; another type than it has is not made for who asks for one.
    #[pyo3(signature = (requested_schema = None), text_signature = "($self, requested_schema=None)")]
    pub(crate) fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let batches = self.batches.clone().into_iter().map(Ok);
        let reader = RecordBatchIterator::new(batches, Arc::clone(&self.schema));
        let stream = FFI_ArrowArrayStream::new(Box::new(reader));
        PyCapsule::new_with_value(py, stream, capsule::STREAM)
    }

    /// A capsule with the names and types of the columns.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.schema.as_ref());
        let schema = schema.map_err(|error| refused(&error.to_string()))?;
        PyCapsule::new_with_value(py, schema, capsule::SCHEMA)
    }
}
