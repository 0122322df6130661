//! Rows, ids and filters between Python and the engine.

use common::query::Filter;
use common::{Limits, Row, Text};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyString};

use crate::interchange::{raise, text_of, value_of, value_to_python};

fn key_of(key: &Bound<'_, PyAny>) -> PyResult<Text> {
    let text = key.cast::<PyString>().map_err(|_| {
        PyTypeError::new_err(format!("names of values are str, not {}", key.get_type()))
    })?;
    text_of(text).map_err(|wrong| wrong.at(key.py(), "a name", ""))
}

/// A row of metadata; nothing if none is given.
pub(crate) fn row_of(given: Option<&Bound<'_, PyAny>>) -> PyResult<Row> {
    let Some(given) = given.filter(|given| !given.is_none()) else {
        return Ok(Row::new());
    };
    let mapping = given
        .cast::<PyMapping>()
        .map_err(|_| PyTypeError::new_err(format!("a row is a dict, not {}", given.get_type())))?;
    let mut row = Row::new();
    for item in mapping.items()?.iter() {
        let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        row.set(key_of(&key)?, value_of(&value)?);
    }
    Ok(row)
}

/// A row as a dict.
pub(crate) fn row<'py>(py: Python<'py>, given: &Row) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, inner) in given.iter() {
        dict.set_item(name.as_str(), value_to_python(py, inner)?)?;
    }
    Ok(dict)
}

/// A sparse vector: a dict of positions and weights, or pairs of these.
pub(crate) fn sparse_of(given: &Bound<'_, PyAny>) -> PyResult<Vec<(u32, f32)>> {
    let pairs = match given.cast::<PyMapping>() {
        Ok(mapping) => mapping.items()?.into_any(),
        Err(_) => given.clone(),
    };
    let wrong = |_| {
        PyTypeError::new_err(
            "expected a sparse vector as a dict of positions and weights, or pairs of these",
        )
    };
    pairs
        .try_iter()?
        .map(|pair| pair?.extract::<(u32, f32)>().map_err(wrong))
        .collect()
}

/// A filter: the engine's text, or its JSON form as a dict.
pub(crate) fn filter_of(given: &Bound<'_, PyAny>) -> PyResult<Filter> {
    if let Ok(text) = given.cast::<PyString>() {
        return Filter::parse(&text.to_cow()?).map_err(raise);
    }
    let json = given.py().import("json")?.call_method1("dumps", (given,))?;
    let json: String = json.extract()?;
    Filter::from_json(json.as_bytes(), &Limits::default()).map_err(raise)
}
