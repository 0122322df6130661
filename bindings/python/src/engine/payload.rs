//! Rows in few bytes.

use common::schema::Schema;
use common::{Limits, Value};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use syncdb::payload::{Block, Column, Level, Shared, SharedDictionary, pack};

use super::error::{OrRaise, detached};
use super::schema::PySchema;
use super::value::rows_of;
use crate::interchange::value_to_python;

fn columns_of(schema: &Schema, rows: &Bound<'_, PyAny>) -> PyResult<Vec<Column>> {
    let mut columns: Vec<Vec<Value>> = schema.fields.iter().map(|_| Vec::new()).collect();
    for mut row in rows_of(&schema.name, rows)? {
        for (column, field) in columns.iter_mut().zip(&schema.fields) {
            column.push(row.remove(&field.name).unwrap_or(Value::Null));
        }
        if let Some((name, _)) = row.iter().next() {
            let error = schema.position_of(name).err();
            return error.map_or(Ok(Vec::new()), |error| Err(error).or_raise(rows.py()));
        }
    }
    let columns = columns.iter().map(|values| Column::from_values(values));
    Ok(columns.collect())
}

/// What both sides know of a table's rows, so that blocks of a few rows get small.
#[pyclass(frozen, name = "SharedDictionary", module = "syncdb.engine.payload")]
pub(super) struct PyDictionary(SharedDictionary);

#[pymethods]
impl PyDictionary {
    /// Learns from rows of a table (dicts), at most `bytes_max` bytes.
    #[staticmethod]
    #[pyo3(signature = (schema, rows, *, bytes_max=16_384))]
    fn train(
        schema: &Bound<'_, PySchema>,
        rows: &Bound<'_, PyAny>,
        bytes_max: usize,
    ) -> PyResult<Self> {
        let columns = columns_of(&schema.get().0, rows)?;
        detached(rows.py(), || SharedDictionary::train(&columns, bytes_max)).map(Self)
    }

    /// Reads the bytes of one.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, content: &[u8]) -> PyResult<Self> {
        let read = SharedDictionary::read(content, &Limits::default());
        read.map(Self).or_raise(py)
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.content())
    }

    /// Which one, as blocks name it.
    #[getter]
    fn id(&self) -> String {
        self.0.id().to_string()
    }
}

/// Packs rows of a table (dicts) into a block. `level` is `"none"`, `"fast"`, `"balanced"` or `"small"`.
#[pyfunction]
#[pyo3(signature = (schema, rows, *, level="balanced", dictionary=None))]
pub(super) fn encode_rows<'py>(
    schema: &Bound<'py, PySchema>,
    rows: &Bound<'py, PyAny>,
    level: &str,
    dictionary: Option<&Bound<'py, PyDictionary>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = rows.py();
    let level: Level = level.parse::<Level>().or_raise(py)?;
    let columns = columns_of(&schema.get().0, rows)?;
    let dictionary = dictionary.map(|dictionary| &dictionary.get().0);
    let block = detached(py, || pack(&columns, level, dictionary.map(Shared::new)))?;
    Ok(PyBytes::new(py, &block))
}

fn opened<'a>(
    py: Python<'_>,
    block: &'a [u8],
    dictionary: Option<&'a SharedDictionary>,
) -> PyResult<Block<'a>> {
    Block::open(block, &Limits::default(), dictionary.map(Shared::new)).or_raise(py)
}

/// The rows of a block as dicts.
#[pyfunction]
#[pyo3(signature = (schema, block, *, dictionary=None))]
pub(super) fn decode_rows<'py>(
    py: Python<'py>,
    schema: &Bound<'py, PySchema>,
    block: &[u8],
    dictionary: Option<&Bound<'py, PyDictionary>>,
) -> PyResult<Bound<'py, PyList>> {
    let schema = &schema.get().0;
    let block = opened(py, block, dictionary.map(|known| &known.get().0))?;
    let columns = py.detach(|| block.decode()).or_raise(py)?;
    if columns.len() != schema.fields.len() {
        let error = common::Error::invalid(format!(
            "the block has {} columns, table `{}` has {}; it was packed by another schema",
            columns.len(),
            schema.name,
            schema.fields.len()
        ));
        return Err(super::error::exception(py, &error));
    }
    let rows = PyList::empty(py);
    let number = columns.first().map_or(0, Column::rows);
    for _ in 0..number {
        rows.append(PyDict::new(py))?;
    }
    for (column, field) in columns.iter().zip(&schema.fields) {
        for (row, value) in rows.iter().zip(column.to_values()) {
            row.set_item(&*field.name, value_to_python(py, &value)?)?;
        }
    }
    Ok(rows)
}

/// What a block says of its columns before they are read: a dict from columns to dicts with `nulls`, and `least` and `most` where
/// the values have bounds; `None` where the block says nothing.
#[pyfunction]
#[pyo3(signature = (schema, block, *, dictionary=None))]
pub(super) fn block_statistics<'py>(
    py: Python<'py>,
    schema: &Bound<'py, PySchema>,
    block: &[u8],
    dictionary: Option<&Bound<'py, PyDictionary>>,
) -> PyResult<Bound<'py, PyDict>> {
    let block = opened(py, block, dictionary.map(|known| &known.get().0))?;
    let shown = PyDict::new(py);
    for (at, field) in schema.get().0.fields.iter().enumerate() {
        let Some(statistics) = block.statistics(at) else {
            shown.set_item(&*field.name, py.None())?;
            continue;
        };
        let one = PyDict::new(py);
        one.set_item("nulls", statistics.nulls)?;
        if let Some(bounds) = &statistics.bounds {
            one.set_item("least", value_to_python(py, &bounds.least)?)?;
            one.set_item("most", value_to_python(py, &bounds.most)?)?;
        }
        shown.set_item(&*field.name, one)?;
    }
    Ok(shown)
}
