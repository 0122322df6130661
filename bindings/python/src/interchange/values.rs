//! Values of the engine as Python's, and back: one rule for all packages.

use common::{Date, Extension, Map, Text, Timestamp, Value, Vector};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyUnicodeEncodeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple,
};
use uuid::Uuid;

use super::times::{Naive, is_datetime, micros_of, micros_of_datetime, time_to_python};
use crate::common::access::PythonClass;
use crate::search::array;

/// How deep lists and dicts may be nested.
const DEPTH_MAX: usize = 100;
/// The name of the extension type under which decimals are kept, as their text.
pub(crate) const DECIMAL: &str = "decimal";
/// The ordinal of 1970-01-01.
const EPOCH_ORDINAL: i64 = 719_163;
/// Most characters of an object that an error shows.
const SHOWN_MAX: usize = 60;

static DATE: PythonClass = PythonClass::new("datetime", "date");
static UUID: PythonClass = PythonClass::new("uuid", "UUID");
static DECIMALS: PythonClass = PythonClass::new("decimal", "Decimal");

/// What is wrong with a value, and where.
pub(crate) struct Wrong {
    path: String,
    cause: PyErr,
}

impl Wrong {
    fn new(cause: PyErr) -> Self {
        Self {
            path: String::new(),
            cause,
        }
    }

    fn of_type(text: String) -> Self {
        Self::new(PyTypeError::new_err(text))
    }

    fn of_value(text: String) -> Self {
        Self::new(PyValueError::new_err(text))
    }

    fn below(mut self, step: &str) -> Self {
        self.path.insert_str(0, step);
        self
    }

    /// The exception, with the place in front of its text: what stands before the path into the value, and behind it.
    pub(crate) fn at(self, py: Python<'_>, before: &str, behind: &str) -> PyErr {
        let place = format!("{before}{}{behind}", self.path);
        let place = place.trim_start_matches('.');
        if place.is_empty() {
            return self.cause;
        }
        let text = format!("{place}: {}", self.cause.value(py));
        if self.cause.is_instance_of::<PyTypeError>(py) {
            PyTypeError::new_err(text)
        } else if self.cause.is_instance_of::<PyOverflowError>(py) {
            PyOverflowError::new_err(text)
        } else if self.cause.is_instance_of::<PyValueError>(py)
            && !self.cause.is_instance_of::<PyUnicodeEncodeError>(py)
        {
            PyValueError::new_err(text)
        } else {
            self.cause
        }
    }
}

impl From<PyErr> for Wrong {
    fn from(cause: PyErr) -> Self {
        Self::new(cause)
    }
}

/// A text; half of a surrogate pair is refused.
pub(crate) fn text_of(object: &Bound<'_, PyString>) -> Result<Text, Wrong> {
    match object.to_cow() {
        Ok(text) => Ok(Text::new(text)),
        Err(_) => Err(Wrong::of_value(format!(
            "text {} holds half of a surrogate pair, which is no character",
            object.repr()?
        ))),
    }
}

/// A value of the engine. A `datetime` without a time zone is in UTC, as those of NumPy and pandas are.
///
/// # Errors
/// `TypeError` for what is kept nowhere, `OverflowError` for integers beyond 64 bits, `ValueError` for what is nested
/// too deep or is no text.
pub(crate) fn value_of(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    read_value(object, Naive::IsUtc).map_err(|wrong| wrong.at(object.py(), "", ""))
}

/// As [`value_of`], with where in the value something is wrong.
pub(crate) fn read_value(object: &Bound<'_, PyAny>, naive: Naive) -> Result<Value, Wrong> {
    read(object, naive, 0)
}

fn read(object: &Bound<'_, PyAny>, naive: Naive, depth: usize) -> Result<Value, Wrong> {
    if object.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(value) = object.cast::<PyString>() {
        return Ok(Value::Text(text_of(value)?));
    }
    if let Ok(value) = object.cast::<PyBool>() {
        return Ok(Value::Bool(value.is_true()));
    }
    if object.is_instance_of::<PyInt>() {
        return object.extract().map(Value::Int).map_err(|_| {
            Wrong::new(PyOverflowError::new_err(
                "an integer has 64 bits with its sign here, this one does not fit; keep it as text or Decimal",
            ))
        });
    }
    if let Ok(value) = object.cast::<PyFloat>() {
        return Ok(Value::Float(value.value()));
    }
    if let Ok(value) = object.cast::<PyBytes>() {
        return Ok(Value::Bytes(value.as_bytes().into()));
    }
    if let Ok(value) = object.cast::<PyByteArray>() {
        return Ok(Value::Bytes(value.to_vec().into()));
    }
    if depth == DEPTH_MAX {
        return Err(Wrong::of_value(format!(
            "it is nested deeper than {DEPTH_MAX} levels"
        )));
    }
    if let Ok(items) = object.cast::<PyList>() {
        return read_items(items.iter(), naive, depth);
    }
    if let Ok(items) = object.cast::<PyTuple>() {
        return read_items(items.iter(), naive, depth);
    }
    if let Ok(items) = object.cast::<PyDict>() {
        let mut map = Map::new();
        // A copy: what reads a value may be Python code, which may change the dict.
        for (key, item) in items.copy()?.iter() {
            let Ok(key) = key.cast::<PyString>() else {
                let what = format!("a dict is kept by text keys, {} is none", shortened(&key));
                return Err(Wrong::of_type(what));
            };
            let key = text_of(key)?;
            let value = read(&item, naive, depth + 1)
                .map_err(|wrong| wrong.below(&format!(".{}", &*key)))?;
            map.insert(key, value);
        }
        return Ok(Value::Map(map.into()));
    }
    read_other(object, naive, depth)
}

fn read_items<'py>(
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    naive: Naive,
    depth: usize,
) -> Result<Value, Wrong> {
    let items = items.enumerate().map(|(at, item)| {
        read(&item, naive, depth + 1).map_err(|wrong| wrong.below(&format!("[{at}]")))
    });
    Ok(Value::List(items.collect::<Result<_, _>>()?))
}

/// Times, days, identifiers, decimals, and scalars of NumPy and pandas.
fn read_other(object: &Bound<'_, PyAny>, naive: Naive, depth: usize) -> Result<Value, Wrong> {
    let py = object.py();
    let class = object.get_type();
    match &*class.name()?.to_cow()? {
        // Of pandas: the second is a `datetime` too.
        "NAType" | "NaTType" => return Ok(Value::Null),
        "datetime64" => return Ok(Value::Timestamp(micros_of(object)?)),
        _ => {}
    }
    if is_datetime(object)? {
        return Ok(Value::Timestamp(micros_of_datetime(object, naive)?));
    }
    if object.is_instance(DATE.get(py)?)? {
        let ordinal = object.call_method0(intern!(py, "toordinal"))?;
        let days = i32::try_from(ordinal.extract::<i64>()? - EPOCH_ORDINAL);
        let days = days.map_err(|_| Wrong::of_value("no such day".to_owned()))?;
        return Ok(Value::Date(Date(days)));
    }
    if object.is_instance(UUID.get(py)?)? {
        let bytes: [u8; 16] = object.getattr(intern!(py, "bytes"))?.extract()?;
        return Ok(Value::Uuid(Uuid::from_bytes(bytes)));
    }
    if object.is_instance(DECIMALS.get(py)?)? {
        let digits = object.str()?;
        let decimal = Extension {
            name: Text::new(DECIMAL),
            bytes: digits.to_cow()?.as_bytes().into(),
        };
        return Ok(Value::Extension(decimal.into()));
    }
    if object.hasattr(intern!(py, "dtype"))? && object.hasattr(intern!(py, "tolist"))? {
        let plain = object.call_method0(intern!(py, "tolist"))?;
        if !plain.get_type().is(&class) {
            return read(&plain, naive, depth + 1);
        }
    }
    if object.hasattr(intern!(py, "__index__"))? {
        let number = object.call_method0(intern!(py, "__index__"))?;
        if number.is_instance_of::<PyInt>() {
            return read(&number, naive, depth + 1);
        }
    }
    if object.hasattr(intern!(py, "__float__"))? {
        let number = object.call_method0(intern!(py, "__float__"))?;
        return Ok(Value::Float(number.extract()?));
    }
    Err(Wrong::of_type(format!(
        "{} is of the type {}, which is not kept; use None, bool, int, float, str, bytes, datetime, date, UUID, Decimal, \
         list or dict",
        shortened(object),
        class.name()?
    )))
}

/// What an object shows of itself, in one line.
pub(crate) fn shortened(object: &Bound<'_, PyAny>) -> String {
    let shown = object.repr().map(|text| text.to_string());
    let shown = shown.unwrap_or_else(|_| "a value".to_owned());
    if shown.chars().count() <= SHOWN_MAX {
        return shown;
    }
    let mut short: String = shown.chars().take(SHOWN_MAX - 3).collect();
    short.push_str("...");
    short
}

/// A value as Python has it: points in time with the zone UTC, vectors as arrays or, if sparse, as dicts; of an
/// application's own type, its bytes.
pub(crate) fn value_to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::Int(value) => PyInt::new(py, *value).into_any(),
        Value::Float(value) => PyFloat::new(py, *value).into_any(),
        Value::Text(value) => PyString::new(py, value).into_any(),
        Value::Bytes(value) => PyBytes::new(py, value).into_any(),
        Value::Timestamp(Timestamp(micros)) => time_to_python(py, Timestamp(*micros))?,
        Value::Date(day) => {
            let ordinal = i64::from(day.0) + EPOCH_ORDINAL;
            DATE.get(py)?.call_method1("fromordinal", (ordinal,))?
        }
        Value::Uuid(id) => {
            let bytes = PyBytes::new(py, id.as_bytes());
            UUID.get(py)?.call1((py.None(), bytes))?
        }
        Value::List(items) => {
            let items = items.iter().map(|item| value_to_python(py, item));
            PyList::new(py, items.collect::<PyResult<Vec<_>>>()?)?.into_any()
        }
        Value::Map(items) => map_to_python(py, items)?.into_any(),
        Value::Vector(vector) => vector_to_python(py, vector)?,
        Value::Extension(value) if &*value.name == DECIMAL => {
            let digits = String::from_utf8_lossy(&value.bytes);
            DECIMALS.get(py)?.call1((digits,))?
        }
        Value::Extension(value) => PyBytes::new(py, &value.bytes).into_any(),
        _ => py.None().into_bound(py),
    })
}

/// Values by name.
pub(crate) fn map_to_python<'py>(py: Python<'py>, map: &Map) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in map {
        dict.set_item(&**name, value_to_python(py, value)?)?;
    }
    Ok(dict)
}

fn vector_to_python<'py>(py: Python<'py>, vector: &Vector) -> PyResult<Bound<'py, PyAny>> {
    let floats = match vector {
        Vector::F32(values) => values.to_vec(),
        Vector::F16(values) => values.iter().map(|v| v.to_f32()).collect(),
        Vector::I8(values) => values.iter().map(|v| f32::from(*v)).collect(),
        Vector::Binary { dimension, bits } => {
            let bits = bits
                .iter()
                .flat_map(|byte| (0..8).map(move |at| byte >> at & 1));
            bits.map(f32::from).take(*dimension as usize).collect()
        }
        Vector::Sparse {
            indices, values, ..
        } => {
            let dict = PyDict::new(py);
            for (position, weight) in indices.iter().zip(values) {
                dict.set_item(position, weight)?;
            }
            return Ok(dict.into_any());
        }
        _ => return Ok(py.None().into_bound(py)),
    };
    array::values(py, floats)
}
