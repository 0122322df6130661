//! Options and figures that are plain data, as Python's dicts.

use common::Error;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::exception;

static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// JSON of what a caller gave as dicts, lists, texts and numbers.
pub(super) fn json_of(object: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = DUMPS
        .import(object.py(), "json", "dumps")?
        .call1((object,))?;
    Ok(text.cast::<PyString>()?.to_cow()?.into_owned())
}

/// Options of the engine; `what` says in an error which.
pub(super) fn options_of<T: DeserializeOwned>(
    object: &Bound<'_, PyAny>,
    what: &str,
) -> PyResult<T> {
    let json = json_of(object)?;
    serde_json::from_str(&json).map_err(|error| {
        let error = Error::invalid(format!("{what}: {error}"));
        exception(object.py(), &error)
    })
}

/// A name that stands for one of an enum's members.
pub(super) fn named<T: DeserializeOwned>(py: Python<'_>, name: &str, what: &str) -> PyResult<T> {
    options_of(PyString::new(py, name).as_any(), what)
}

/// Plain data as Python's.
pub(super) fn plain<'py, T: Serialize + ?Sized>(
    py: Python<'py>,
    data: &T,
) -> PyResult<Bound<'py, PyAny>> {
    let json = serde_json::to_vec(data).map_err(|error| {
        let error = Error::invalid(error.to_string());
        exception(py, &error)
    })?;
    parsed(py, &json)
}

/// What JSON says.
pub(super) fn parsed<'py>(py: Python<'py>, json: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let loads = LOADS.import(py, "json", "loads")?;
    loads.call1((PyBytes::new(py, json),))
}

/// The name of an enum's member, or of the variant that a value is.
pub(super) fn name_of<T: Serialize>(py: Python<'_>, data: &T) -> PyResult<String> {
    let plain = plain(py, data)?;
    if let Ok(name) = plain.cast::<PyString>() {
        return Ok(name.to_cow()?.into_owned());
    }
    let keys = plain.call_method0(intern!(py, "keys"))?;
    let first = keys.try_iter()?.next();
    first.map_or_else(|| Ok(String::new()), |name| name?.extract())
}
