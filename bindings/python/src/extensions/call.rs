//! Calls from the engine into Python, and errors on their way through the engine and back.

use common::{Error, ErrorKind};
use pyo3::exceptions::{
    PyKeyError, PyNotImplementedError, PyOSError, PyRuntimeError, PyTypeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};

use crate::interchange::watch::raised_in;

/// Calls Python from a thread of the engine's; what is raised becomes the cause of the engine's error.
pub(super) fn ask<T>(who: &str, call: impl FnOnce(Python<'_>) -> PyResult<T>) -> common::Result<T> {
    Python::try_attach(|py| call(py).map_err(|raised| carried(py, who, raised))).unwrap_or_else(
        || {
            Err(Error::closed(format!(
                "{who}: the Python interpreter has ended"
            )))
        },
    )
}

/// What Python raised, as an error of the engine.
pub(super) fn carried(py: Python<'_>, who: &str, raised: PyErr) -> Error {
    let text = raised.value(py).str().map_or_else(
        |_| String::new(),
        |text| text.to_string_lossy().into_owned(),
    );
    let class = raised.get_type(py).name();
    let class = class.map_or_else(
        |_| String::new(),
        |name| name.to_string_lossy().into_owned(),
    );
    // The word of Python's for what somebody does not do.
    let kind = if raised.is_instance_of::<PyNotImplementedError>(py) {
        ErrorKind::Unsupported
    } else {
        ErrorKind::Invalid
    };
    Error::new(kind, format!("{who} raised {class}: {text}")).caused_by(raised)
}

/// An error of the engine as an exception: the very one that Python code raised, if it began there.
pub(super) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    if let Some(raised) = raised_in(error) {
        return raised.clone_ref(py);
    }
    let text = error.to_string();
    match error.kind() {
        ErrorKind::NotFound => PyKeyError::new_err(text),
        ErrorKind::Unsupported => PyNotImplementedError::new_err(text),
        ErrorKind::Closed => PyRuntimeError::new_err(text),
        ErrorKind::Io => PyOSError::new_err(text),
        _ => PyValueError::new_err(text),
    }
}

/// Appends the bytes that a method of the caller's returned.
pub(super) fn append_bytes(
    who: &str,
    answer: &Bound<'_, PyAny>,
    out: &mut Vec<u8>,
) -> PyResult<()> {
    if let Ok(bytes) = answer.cast::<PyBytes>() {
        out.extend_from_slice(bytes.as_bytes());
    } else if let Ok(bytes) = answer.cast::<PyByteArray>() {
        out.extend_from_slice(&bytes.to_vec());
    } else {
        return Err(PyTypeError::new_err(format!(
            "{who} must return bytes, not {}",
            answer.get_type().name()?
        )));
    }
    Ok(())
}

/// Bytes that a caller gives: `bytes`, `bytearray`, or what else `bytes()` takes without reading it as a length.
pub(super) fn bytes_of<'py>(given: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    if let Ok(bytes) = given.cast::<PyBytes>() {
        return Ok(bytes.clone());
    }
    let py = given.py();
    let view = py
        .import("builtins")?
        .getattr("memoryview")?
        .call1((given,))?;
    Ok(view.call_method0("tobytes")?.cast_into::<PyBytes>()?)
}
