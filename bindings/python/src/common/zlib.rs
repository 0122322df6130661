//! Streams of zlib.

use std::borrow::Cow;

use common::ErrorKind;
use common::optimization::compression::zlib::{self, Level};
use pyo3::exceptions::{PyMemoryError, PyTypeError, PyUnicodeDecodeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyString};

static MEMORYVIEW: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static ZLIB_ERROR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Above this other threads go on meanwhile.
const BYTES_ALONE: usize = 16 << 10;

/// The bytes of an object that has some; they stay as long as it does.
pub(crate) enum BytesOf<'a> {
    Borrowed(&'a [u8]),
    Owned(Vec<u8>),
}

impl BytesOf<'_> {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// The bytes of anything that has the buffer interface. Raises `TypeError` for text and others.
pub(crate) fn bytes_of<'a>(data: &'a Bound<'_, PyAny>) -> PyResult<BytesOf<'a>> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return Ok(BytesOf::Borrowed(bytes.as_bytes()));
    }
    if let Ok(bytes) = data.cast::<PyByteArray>() {
        return Ok(BytesOf::Owned(bytes.to_vec()));
    }
    // The stable interface of the oldest Python has no buffers.
    let view = MEMORYVIEW
        .import(data.py(), "builtins", "memoryview")?
        .call1((data,))
        .map_err(|cause| {
            let wanted = PyTypeError::new_err(format!(
                "a bytes-like object is required, not '{}'",
                data.get_type()
            ));
            wanted.set_cause(data.py(), Some(cause));
            wanted
        })?;
    let bytes = view.call_method0(intern!(data.py(), "tobytes"))?;
    Ok(BytesOf::Owned(bytes.cast::<PyBytes>()?.as_bytes().to_vec()))
}

/// `zlib.error` with a message.
fn zlib_error(py: Python<'_>, message: String) -> PyErr {
    match ZLIB_ERROR
        .import(py, "zlib", "error")
        .and_then(|class| class.call1((message,)))
    {
        Ok(error) => PyErr::from_value(error),
        Err(cause) => cause,
    }
}

/// A stream of `raw` at a level of -1 (the usual one) to 9.
pub(crate) fn pack(py: Python<'_>, raw: &[u8], level: i32) -> PyResult<Vec<u8>> {
    let level = match level {
        -1 => Level::DEFAULT,
        _ => u8::try_from(level)
            .ok()
            .and_then(|level| Level::new(level).ok())
            .ok_or_else(|| {
                zlib_error(
                    py,
                    format!("Bad compression level: {level}, expected -1 to 9"),
                )
            })?,
    };
    Ok(if raw.len() > BYTES_ALONE {
        py.detach(|| zlib::compress(raw, level))
    } else {
        zlib::compress(raw, level)
    })
}

/// What a stream holds.
pub(crate) fn unpack(py: Python<'_>, packed: &[u8]) -> PyResult<Vec<u8>> {
    let limit = isize::MAX.unsigned_abs();
    let raw = if packed.len() > BYTES_ALONE {
        py.detach(|| zlib::decompress(packed, limit))
    } else {
        zlib::decompress(packed, limit)
    };
    raw.map_err(|cause| match cause.kind() {
        ErrorKind::LimitExceeded => PyMemoryError::new_err(cause.to_string()),
        _ => zlib_error(py, format!("Error -3 while decompressing data: {cause}")),
    })
}

/// What a stream holds, or nothing when the bytes are no stream.
pub(crate) fn unpack_if_packed(py: Python<'_>, bytes: &[u8]) -> Option<Vec<u8>> {
    if zlib::looks_packed(bytes) {
        unpack(py, bytes).ok()
    } else {
        None
    }
}

/// UTF-8 of a text. Raises `UnicodeEncodeError` for half of a surrogate pair.
pub(crate) fn utf8_of<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, str>> {
    text.to_cow()
}

/// A zlib stream of bytes at a level of -1 to 9: 0 stores, 1 is fast, 9 packs most, -1 is 6.
///
/// Raises `zlib.error` for another level.
#[pyfunction]
#[pyo3(signature = (data, level = 6))]
pub(crate) fn compress_bytes<'py>(
    data: &Bound<'py, PyAny>,
    level: i32,
) -> PyResult<Bound<'py, PyBytes>> {
    let packed = pack(data.py(), bytes_of(data)?.as_slice(), level)?;
    Ok(PyBytes::new(data.py(), &packed))
}

/// The bytes of a zlib stream; what follows its end is ignored.
///
/// Raises `zlib.error` when it is no whole stream.
#[pyfunction]
pub(crate) fn decompress_bytes<'py>(
    compressed_data: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let raw = unpack(compressed_data.py(), bytes_of(compressed_data)?.as_slice())?;
    Ok(PyBytes::new(compressed_data.py(), &raw))
}

/// A zlib stream of a text's UTF-8.
#[pyfunction]
#[pyo3(signature = (s, level = 6))]
pub(crate) fn compress_string<'py>(
    s: &Bound<'py, PyString>,
    level: i32,
) -> PyResult<Bound<'py, PyBytes>> {
    let packed = pack(s.py(), utf8_of(s)?.as_bytes(), level)?;
    Ok(PyBytes::new(s.py(), &packed))
}

/// The text whose UTF-8 a zlib stream holds.
#[pyfunction]
pub(crate) fn decompress_string<'py>(
    compressed_data: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyString>> {
    let raw = unpack(compressed_data.py(), bytes_of(compressed_data)?.as_slice())?;
    text_of(compressed_data.py(), &raw)
}

/// UTF-8 as text. Raises `UnicodeDecodeError`.
pub(crate) fn text_of<'py>(py: Python<'py>, utf8: &[u8]) -> PyResult<Bound<'py, PyString>> {
    std::str::from_utf8(utf8)
        .map(|text| PyString::new(py, text))
        .map_err(
            |cause| match PyUnicodeDecodeError::new_utf8(py, utf8, cause) {
                Ok(error) => PyErr::from_value(error.into_any()),
                Err(other) => other,
            },
        )
}
