//! Errors of the engine as exceptions of Python.

use std::io;

use common::{Error, ErrorKind};
use pyo3::exceptions::{PyKeyError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// The exception that says what an error of the engine says.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn raised(error: Error) -> PyErr {
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
