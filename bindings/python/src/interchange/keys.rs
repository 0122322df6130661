//! Keys of rows and entities: one value, or a tuple of several.

use common::{RecordId, Value};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::values::{value_of, value_to_python};

/// A key; `part` makes a value of each of its parts.
pub(crate) fn key_by(
    object: &Bound<'_, PyAny>,
    part: impl Fn(&Bound<'_, PyAny>) -> PyResult<Value>,
) -> PyResult<RecordId> {
    let Ok(parts) = object.cast::<PyTuple>() else {
        return Ok(RecordId::new(part(object)?));
    };
    if parts.is_empty() {
        return Err(PyValueError::new_err("a key has at least one value"));
    }
    let values = parts.iter().map(|value| part(&value));
    Ok(RecordId::composite(values.collect::<PyResult<Vec<_>>>()?))
}

/// A key.
pub(crate) fn id_of(object: &Bound<'_, PyAny>) -> PyResult<RecordId> {
    key_by(object, value_of)
}

/// A key as Python has it.
pub(crate) fn key_to_python<'py>(py: Python<'py>, key: &[Value]) -> PyResult<Bound<'py, PyAny>> {
    if let [value] = key {
        return value_to_python(py, value);
    }
    let values = key.iter().map(|value| value_to_python(py, value));
    Ok(PyTuple::new(py, values.collect::<PyResult<Vec<_>>>()?)?.into_any())
}
