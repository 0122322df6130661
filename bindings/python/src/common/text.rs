//! Bytes as base64 text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString};

use super::zlib::bytes_of;

static LENIENT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Base64 text of bytes.
#[pyfunction]
pub(crate) fn bytes_to_base64(data: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(STANDARD.encode(bytes_of(data)?.as_slice()))
}

/// The bytes of base64 text; foreign characters are skipped.
///
/// Raises `binascii.Error` when the padding is wrong.
#[pyfunction]
pub(crate) fn base64_to_bytes<'py>(
    base64_str: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = base64_str.py();
    if let Ok(text) = base64_str.cast::<PyString>()
        && let Ok(text) = text.to_cow()
        && let Ok(bytes) = STANDARD.decode(text.as_bytes())
    {
        return Ok(PyBytes::new(py, &bytes));
    }
    // Python's own reader says what is skipped and what is wrong.
    let decoded = LENIENT
        .import(py, "base64", "b64decode")?
        .call1((base64_str,))?;
    Ok(decoded.cast_into()?)
}
