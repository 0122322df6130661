//! Values to other types, and values inside values.

use pyo3::exceptions::{PyAttributeError, PyKeyError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple};

type Found<'py> = PyResult<Option<Bound<'py, PyAny>>>;

/// What was found, or the default.
fn or_default<'py>(
    py: Python<'py>,
    found: Found<'py>,
    default: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(found?
        .or(default)
        .unwrap_or_else(|| py.None().into_bound(py)))
}

/// Nothing in place of an error that says that a value has no such form.
fn unless_unfit<'py>(converted: PyResult<Bound<'py, PyAny>>, py: Python<'py>) -> Found<'py> {
    match converted {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if error.is_instance_of::<PyValueError>(py)
                || error.is_instance_of::<PyTypeError>(py)
                || error.is_instance_of::<PyOverflowError>(py) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The value as an `int`: numbers truncated, texts read, anything else the default.
#[pyfunction]
#[pyo3(signature = (value, default = None))]
pub(crate) fn to_int<'py>(
    value: &Bound<'py, PyAny>,
    default: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    or_default(value.py(), int_of(value), default)
}

fn int_of<'py>(value: &Bound<'py, PyAny>) -> Found<'py> {
    let py = value.py();
    if value.is_exact_instance_of::<PyInt>() {
        return Ok(Some(value.clone()));
    }
    let int = || py.get_type::<PyInt>();
    if let Ok(text) = value.cast::<PyString>() {
        let utf8 = text.to_cow()?;
        if let Some(number) = short_integer(&utf8) {
            return Ok(Some(number.into_pyobject(py)?.into_any()));
        }
        if let Some(number) = decimal(&utf8)
            && let Some(number) = truncated(number)
        {
            return Ok(Some(number.into_pyobject(py)?.into_any()));
        }
        if let Some(whole) = unless_unfit(int().call1((value,)), py)? {
            return Ok(Some(whole));
        }
        let Some(number) = unless_unfit(py.get_type::<PyFloat>().call1((value,)), py)? else {
            return Ok(None);
        };
        return unless_unfit(int().call1((number,)), py);
    }
    if value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>() {
        return unless_unfit(int().call1((value,)), py);
    }
    Ok(None)
}

/// A whole number of few digits, blanks around it left out.
fn short_integer(text: &str) -> Option<i64> {
    const DIGITS_MAX: usize = 18;
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|c| c.is_ascii_digit())
    {
        return None;
    }
    text.parse().ok()
}

/// A number with a point or an exponent, in letters that are read alike everywhere.
fn decimal(text: &str) -> Option<f64> {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let mut is_decimal = false;
    for letter in text.bytes() {
        match letter {
            b'0'..=b'9' | b'+' | b'-' => {}
            b'.' | b'e' | b'E' => is_decimal = true,
            _ => return None,
        }
    }
    if is_decimal { text.parse().ok() } else { None }
}

/// The whole part of a number of usual size.
#[expect(clippy::cast_possible_truncation, reason = "the size is checked")]
fn truncated(number: f64) -> Option<i64> {
    (number.abs() < 9e18).then_some(number.trunc() as i64)
}

/// The value as a `float`: numbers converted, texts read, anything else the default.
#[pyfunction]
#[pyo3(signature = (value, default = None))]
pub(crate) fn to_float<'py>(
    value: &Bound<'py, PyAny>,
    default: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    or_default(value.py(), float_of(value), default)
}

fn float_of<'py>(value: &Bound<'py, PyAny>) -> Found<'py> {
    let py = value.py();
    if value.is_exact_instance_of::<PyFloat>() {
        return Ok(Some(value.clone()));
    }
    if let Ok(text) = value.cast::<PyString>()
        && let Some(number) = decimal(&text.to_cow()?)
    {
        return Ok(Some(PyFloat::new(py, number).into_any()));
    }
    if value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyInt>()
        || value.is_instance_of::<PyFloat>()
    {
        return unless_unfit(py.get_type::<PyFloat>().call1((value,)), py);
    }
    Ok(None)
}

/// The value as a `bool`: numbers by truth, `true yes y 1` and `false no n 0` in any case, anything else the default.
#[pyfunction]
#[pyo3(signature = (value, default = None))]
pub(crate) fn to_bool<'py>(
    value: &Bound<'py, PyAny>,
    default: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    or_default(value.py(), bool_of(value), default)
}

fn bool_of<'py>(value: &Bound<'py, PyAny>) -> Found<'py> {
    let py = value.py();
    let answer = if value.is_instance_of::<PyBool>() {
        return Ok(Some(value.clone()));
    } else if value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>() {
        value.is_truthy()?
    } else if let Ok(text) = value.cast::<PyString>() {
        match text.to_cow()?.trim().to_lowercase().as_str() {
            "true" | "yes" | "y" | "1" => true,
            "false" | "no" | "n" | "0" => false,
            _ => return Ok(None),
        }
    } else {
        return Ok(None);
    };
    Ok(Some(PyBool::new(py, answer).to_owned().into_any()))
}

/// `str(value)`, or the default for `None`.
#[pyfunction]
#[pyo3(signature = (value, default = None))]
pub(crate) fn to_string<'py>(
    value: &Bound<'py, PyAny>,
    default: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    if value.is_none() {
        return or_default(value.py(), Ok(None), default);
    }
    Ok(value.str()?.into_any())
}

/// The value as `target_type`, or the default when it cannot be.
#[pyfunction]
#[pyo3(signature = (value, target_type, default = None))]
pub(crate) fn safe_cast<'py>(
    value: &Bound<'py, PyAny>,
    target_type: &Bound<'py, PyAny>,
    default: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    if target_type.is(py.get_type::<PyBool>()) {
        return to_bool(value, default);
    }
    if target_type.is(py.get_type::<PyInt>()) {
        return to_int(value, default);
    }
    if target_type.is(py.get_type::<PyFloat>()) {
        return to_float(value, default);
    }
    if target_type.is(py.get_type::<PyString>()) {
        return to_string(value, default);
    }
    match target_type.call1((value,)) {
        Err(error)
            if error.is_instance_of::<PyValueError>(py)
                || error.is_instance_of::<PyTypeError>(py) =>
        {
            or_default(py, Ok(None), default)
        }
        made => made,
    }
}

/// Whether the value is an int or a float but no bool, or a text that `float` reads.
#[pyfunction]
pub(crate) fn is_numeric(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if let Ok(text) = value.cast::<PyString>() {
        let utf8 = text.to_cow()?;
        if short_integer(&utf8).is_some() || decimal(&utf8).is_some() {
            return Ok(true);
        }
        return Ok(float_of(value)?.is_some());
    }
    Ok(
        (value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>())
            || value.is_instance_of::<PyFloat>(),
    )
}

/// Whether the value is a list, tuple, set or dict.
#[pyfunction]
pub(crate) fn is_collection(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyDict>()
        || value.is_instance_of::<PyTuple>()
        || value.is_instance_of::<PySet>()
}

/// The parts of a path between separators.
fn parts<'py>(
    path: &Bound<'py, PyAny>,
    separator: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    let py = path.py();
    let path = path.cast::<PyString>().map_err(|_| {
        PyAttributeError::new_err(format!("the path must be a str, not {}", path.get_type()))
    })?;
    let Some(separator) = separator else {
        return parts_at_dots(path);
    };
    Ok(path
        .call_method1(intern!(py, "split"), (separator,))?
        .cast_into()?)
}

/// The parts of a path between dots, remembered for short ones.
fn parts_at_dots<'py>(path: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyList>> {
    static KNOWN: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    const PATHS_MAX: usize = 1000;
    const LETTERS_MAX: usize = 100;
    let py = path.py();
    let known = KNOWN.get_or_init(py, || PyDict::new(py).unbind()).bind(py);
    let is_plain = path.is_exact_instance_of::<PyString>();
    if is_plain && let Some(parts) = known.get_item(path)? {
        return Ok(parts.cast_into()?);
    }
    let parts = path
        .call_method1(intern!(py, "split"), (intern!(py, "."),))?
        .cast_into()?;
    if is_plain && path.len()? <= LETTERS_MAX {
        if known.len() >= PATHS_MAX {
            known.clear();
        }
        known.set_item(path, &parts)?;
    }
    Ok(parts)
}

/// The value at a path of keys through nested dicts, or the default when a part is missing.
#[pyfunction]
#[pyo3(
    signature = (data, path, default = None, separator = None),
    text_signature = "(data, path, default=None, separator='.')"
)]
pub(crate) fn get_nested_value<'py>(
    data: &Bound<'py, PyAny>,
    path: &Bound<'py, PyAny>,
    default: Option<Bound<'py, PyAny>>,
    separator: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut value = data.clone();
    for part in parts(path, separator)? {
        let Some(inner) = value
            .cast::<PyDict>()
            .ok()
            .map(|dict| dict.get_item(&part))
            .transpose()?
            .flatten()
        else {
            return or_default(data.py(), Ok(None), default);
        };
        value = inner;
    }
    Ok(value)
}

/// Puts a value at a path of keys through nested dicts, and makes the dicts that are missing.
///
/// With `create_path=False` raises `KeyError` when an inner part is missing or no dict.
#[pyfunction]
#[pyo3(
    signature = (data, path, value, separator = None, create_path = true),
    text_signature = "(data, path, value, separator='.', create_path=True)"
)]
pub(crate) fn set_nested_value<'py>(
    data: &Bound<'py, PyAny>,
    path: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
    separator: Option<&Bound<'py, PyAny>>,
    create_path: bool,
) -> PyResult<()> {
    let py = data.py();
    let parts = parts(path, separator)?;
    let Some(last) = parts.len().checked_sub(1) else {
        return Ok(());
    };
    let mut inner = data.cast::<PyDict>()?.clone();
    for part in parts.iter().take(last) {
        inner = match inner.get_item(&part)?.map(Bound::cast_into::<PyDict>) {
            Some(Ok(dict)) => dict,
            _ if create_path => {
                let made = PyDict::new(py);
                inner.set_item(&part, &made)?;
                made
            }
            _ => {
                let message = format!("Path component '{}' does not exist", part.str()?.to_cow()?);
                return Err(PyKeyError::new_err(message));
            }
        };
    }
    inner.set_item(parts.get_item(last)?, value)
}
