//! What a value is to a transformation: a number, or something else.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyFloat, PyFloatMethods, PyInt, PyString};

/// The number that an `int` or `float` is, when reading it can run no code of the caller's.
#[inline]
pub(super) fn plain_number(value: &Bound<'_, PyAny>) -> Option<f64> {
    if let Ok(number) = value.cast_exact::<PyFloat>() {
        return Some(number.value());
    }
    if value.is_exact_instance_of::<PyInt>() {
        return value.extract().ok();
    }
    None
}

/// Whether two features are the same object, or equal plain texts.
#[inline]
pub(super) fn is_same_text(a: &Bound<'_, PyAny>, b: &Bound<'_, PyAny>) -> bool {
    a.is(b)
        || (a.is_exact_instance_of::<PyString>()
            && b.is_exact_instance_of::<PyString>()
            && a.eq(b).unwrap_or(false))
}

/// Whether a value counts as a number: `int` and `float`, `bool` and other subclasses with them.
#[inline]
pub(super) fn is_number(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>()
}

/// The number that a value is, if it is one; integers beyond doubles are infinite.
#[inline]
pub(in crate::vectordb) fn number(value: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
    if let Some(number) = plain_number(value) {
        return Ok(Some(number));
    }
    if !is_number(value) {
        return Ok(None);
    }
    match value.extract::<f64>() {
        Ok(number) => Ok(Some(number)),
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
            let is_negative = value.lt(0)?;
            Ok(Some(if is_negative {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            }))
        }
        Err(error) => Err(error),
    }
}

/// The category that a value stands for: itself when it is a text or a number, otherwise its text.
pub(super) fn category<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if value.is_instance_of::<PyString>() || is_number(value) {
        return Ok(value.clone());
    }
    Ok(value.str()?.into_any())
}
