//! Whether a record meets a condition.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PySet, PyString, PyTuple, PyType};

use super::access::{FieldOf, Members};
use super::validation::compiled;

static QUERY_TYPES: Members<6> = Members::new(
    "common.operations.query",
    "QueryType",
    ["EXACT", "RANGE", "PREFIX", "SUFFIX", "CONTAINS", "REGEX"],
);
const EXACT: usize = 0;
const RANGE: usize = 1;
const PREFIX: usize = 2;
const SUFFIX: usize = 3;
const CONTAINS: usize = 4;
const REGEX: usize = 5;

/// Whether a record's field compares with a value as the operator says.
#[pyfunction]
pub(crate) fn matches<'py>(
    field_name: &Bound<'py, PyString>,
    operator: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
    record: &Bound<'py, PyAny>,
) -> PyResult<bool> {
    let Some(field) = field_of(record, field_name)? else {
        return Ok(false);
    };
    match QUERY_TYPES.position(operator)? {
        Some(EXACT) => field.eq(value),
        Some(RANGE) => is_between(&field, value),
        Some(PREFIX) => text_method(&field, intern!(field.py(), "startswith"), value),
        Some(SUFFIX) => text_method(&field, intern!(field.py(), "endswith"), value),
        Some(CONTAINS) => {
            if field.is_instance_of::<PyString>() {
                Ok(value.is_instance_of::<PyString>() && field.contains(value)?)
            } else if field.is_instance_of::<PyList>()
                || field.is_instance_of::<PyTuple>()
                || field.is_instance_of::<PySet>()
            {
                field.contains(value)
            } else {
                Ok(false)
            }
        }
        Some(REGEX) => is_found(&field, value),
        _ => Ok(false),
    }
}

/// A field of a mapping or of any other record; nothing when it is absent or `None`.
fn field_of<'py>(
    record: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Ok(dict) = record.cast::<PyDict>() {
        let found = dict.get_item(name)?;
        if found.is_some() || record.is_exact_instance_of::<PyDict>() {
            return Ok(found.filter(|value| !value.is_none()));
        }
    } else if is_mapping(record)?
        && let Ok(found) = record.get_item(name)
    {
        return Ok((!found.is_none()).then_some(found));
    }
    if let Some(found) = FieldOf::new(name).of(record)? {
        return Ok(Some(found));
    }
    // Of other kinds of containers, those that are asked by name too.
    if record.is_instance_of::<PyDict>() {
        return Ok(None);
    }
    Ok(record.get_item(name).ok().filter(|value| !value.is_none()))
}

/// Whether objects of its type are mappings, asked once for each type.
fn is_mapping(record: &Bound<'_, PyAny>) -> PyResult<bool> {
    static KNOWN: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    static MAPPING: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    const TYPES_MAX: usize = 1000;
    let py = record.py();
    let known = KNOWN.get_or_init(py, || PyDict::new(py).unbind()).bind(py);
    let kind = record.get_type();
    if let Some(answer) = known.get_item(&kind)? {
        return answer.is_truthy();
    }
    let answer = record.is_instance(MAPPING.import(py, "collections.abc", "Mapping")?)?;
    if known.len() >= TYPES_MAX {
        known.clear();
    }
    known.set_item(kind, answer)?;
    Ok(answer)
}

fn is_between(field: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let ends: (Bound<'_, PyAny>, Bound<'_, PyAny>) = if let Ok(list) = value.cast::<PyList>() {
        if list.len() != 2 {
            return Ok(false);
        }
        (list.get_item(0)?, list.get_item(1)?)
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        if tuple.len() != 2 {
            return Ok(false);
        }
        (tuple.get_item(0)?, tuple.get_item(1)?)
    } else {
        return Ok(false);
    };
    Ok(ends.0.le(field)? && field.le(&ends.1)?)
}

fn text_method(
    field: &Bound<'_, PyAny>,
    method: &Bound<'_, PyString>,
    value: &Bound<'_, PyAny>,
) -> PyResult<bool> {
    if !field.is_instance_of::<PyString>() || !value.is_instance_of::<PyString>() {
        return Ok(false);
    }
    field.call_method1(method, (value,))?.is_truthy()
}

fn is_found(field: &Bound<'_, PyAny>, pattern: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = field.py();
    if !field.is_instance_of::<PyString>() {
        return Ok(false);
    }
    let found =
        compiled(pattern).and_then(|pattern| pattern.call_method1(intern!(py, "search"), (field,)));
    match found {
        Ok(found) => Ok(!found.is_none()),
        // Whatever is no pattern for a text finds nothing.
        Err(error) if error.is_instance_of::<PyException>(py) => Ok(false),
        Err(error) => Err(error),
    }
}
