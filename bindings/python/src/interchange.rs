//! What native modules of the engine share: errors, values, times and columns on their way between Python and the crates.

mod columns;
mod home;
mod keys;
mod own;
mod times;
mod values;
pub(crate) mod watch;

use std::io;

use ::common::{Error, ErrorKind};
use pyo3::exceptions::{PyKeyError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

pub(crate) use columns::{Column, KeyList, Table, Units, array, borrowed, units_of};
pub(crate) use home::Home;
pub(crate) use keys::{id_of, key_by, key_to_python};
pub(crate) use own::own_dict;
pub(crate) use times::{Naive, micros_of, micros_of_datetime, time_to_python};
pub(crate) use values::{
    DECIMAL, map_to_python, read_value, shortened, text_of, value_of, value_to_python,
};

/// An error of the engine, with its own message.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn raise(error: Error) -> PyErr {
    let message = error.to_string();
    match error.kind() {
        ErrorKind::NotFound => PyKeyError::new_err(message),
        ErrorKind::Closed => PyRuntimeError::new_err(message),
        ErrorKind::Io => os_error(&error, message),
        _ => PyValueError::new_err(message),
    }
}

/// With the number of the system's error, Python makes it `FileNotFoundError` and the like.
fn os_error(error: &Error, message: String) -> PyErr {
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        if let Some(number) = source
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
        {
            return PyOSError::new_err((number, message));
        }
        cause = source.source();
    }
    PyOSError::new_err(message)
}

/// Runs what may take or wait for a lock without the interpreter: whoever has it may need it.
pub(crate) fn change<R: Send>(
    py: Python<'_>,
    run: impl FnOnce() -> Result<R, Error> + Send,
) -> PyResult<R> {
    py.detach(run).map_err(raise)
}

/// Reads what `serde` knows from dicts, lists and scalars, or from JSON text.
pub(crate) fn read<T: serde::de::DeserializeOwned>(
    what: &str,
    object: &Bound<'_, PyAny>,
) -> PyResult<T> {
    if let Ok(text) = object.extract::<String>() {
        return serde_json::from_str(&text)
            .map_err(|error| PyValueError::new_err(format!("this is no {what}: {error}")));
    }
    pythonize::depythonize(object)
        .map_err(|error| PyValueError::new_err(format!("this is no {what}: {error}")))
}

/// Writes what `serde` knows as dicts, lists and scalars.
pub(crate) fn write<'py, T: serde::Serialize>(
    py: Python<'py>,
    value: &T,
) -> PyResult<Bound<'py, PyAny>> {
    pythonize::pythonize(py, value).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// A coroutine that calls a method in a thread of the running loop's executor.
pub(crate) fn awaited<'py>(
    object: &Bound<'py, PyAny>,
    method: &str,
    arguments: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    static IN_THREAD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    let method = [object.getattr(method)?];
    let all: Vec<_> = method.into_iter().chain(arguments.iter()).collect();
    IN_THREAD
        .import(py, "tandemdb._waiting", "in_thread")?
        .call(PyTuple::new(py, all)?, keywords)
}
