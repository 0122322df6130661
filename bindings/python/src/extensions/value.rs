//! Python objects as values of the engine, and back.

use common::{Date, Map, Timestamp, Value};
use pyo3::exceptions::{PyRecursionError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType,
};
use uuid::Uuid;

/// How deep lists and maps may be nested.
const DEPTH_MAX: usize = 100;

/// Day number, as Python counts, of 1970-01-01.
const EPOCH_ORDINAL: i64 = 719_163;

static DATETIME: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static DATE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static DELTA: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static UUID: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static EPOCH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The value that an object stands for.
///
/// `TypeError` for what has no kind here, `ValueError` for integers beyond 64 bits and texts that are no Unicode.
pub(super) fn value_of(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    read(object, 0)
}

fn read(object: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    if depth > DEPTH_MAX {
        return Err(PyRecursionError::new_err(format!(
            "lists and maps may be nested {DEPTH_MAX} deep"
        )));
    }
    if object.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(truth) = object.cast::<PyBool>() {
        return Ok(Value::Bool(truth.is_true()));
    }
    if object.is_instance_of::<PyInt>() {
        return object.extract().map(Value::Int).map_err(|_| {
            PyValueError::new_err("an integer has more than 64 bits; keep it as text")
        });
    }
    if let Ok(float) = object.cast::<PyFloat>() {
        return Ok(Value::Float(float.value()));
    }
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(Value::Text((&*text.to_cow()?).into()));
    }
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Value::Bytes(bytes.as_bytes().into()));
    }
    if let Ok(bytes) = object.cast::<PyByteArray>() {
        return Ok(Value::Bytes(bytes.to_vec().into()));
    }
    if let Ok(list) = object.cast::<PyList>() {
        let items = list.iter().map(|item| read(&item, depth + 1));
        return Ok(Value::List(items.collect::<PyResult<Vec<_>>>()?.into()));
    }
    if let Ok(tuple) = object.cast::<PyTuple>() {
        let items = tuple.iter().map(|item| read(&item, depth + 1));
        return Ok(Value::List(items.collect::<PyResult<Vec<_>>>()?.into()));
    }
    if let Ok(dict) = object.cast::<PyDict>() {
        let mut map = Map::new();
        for (name, item) in dict.copy()? {
            let Ok(name) = name.cast::<PyString>() else {
                return Err(PyTypeError::new_err(format!(
                    "keys of a map are texts, not {}",
                    name.get_type().name()?
                )));
            };
            map.insert((&*name.to_cow()?).into(), read(&item, depth + 1)?);
        }
        return Ok(Value::Map(map.into()));
    }
    read_other(object)
}

/// Times, days and UUIDs.
fn read_other(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    let py = object.py();
    if object.is_instance(DATETIME.import(py, "datetime", "datetime")?)? {
        let since = if object.getattr(intern!(py, "tzinfo"))?.is_none() {
            // A time without a zone is in UTC.
            let utc = epoch(py)?.getattr(intern!(py, "tzinfo"))?;
            let named = PyDict::new(py);
            named.set_item(intern!(py, "tzinfo"), utc)?;
            object
                .call_method(intern!(py, "replace"), (), Some(&named))?
                .sub(epoch(py)?)?
        } else {
            object.sub(epoch(py)?)?
        };
        let days: i64 = since.getattr(intern!(py, "days"))?.extract()?;
        let seconds: i64 = since.getattr(intern!(py, "seconds"))?.extract()?;
        let micros: i64 = since.getattr(intern!(py, "microseconds"))?.extract()?;
        return Ok(Value::Timestamp(Timestamp(
            (days * 86_400 + seconds) * 1_000_000 + micros,
        )));
    }
    if object.is_instance(DATE.import(py, "datetime", "date")?)? {
        let day: i64 = object.call_method0(intern!(py, "toordinal"))?.extract()?;
        let day = i32::try_from(day - EPOCH_ORDINAL)
            .map_err(|_| PyValueError::new_err("the day is out of range"))?;
        return Ok(Value::Date(Date(day)));
    }
    if object.is_instance(UUID.import(py, "uuid", "UUID")?)? {
        let bytes: [u8; 16] = object.getattr(intern!(py, "bytes"))?.extract()?;
        return Ok(Value::Uuid(Uuid::from_bytes(bytes)));
    }
    Err(PyTypeError::new_err(format!(
        "an object of type {} is no value: None, bool, int, float, str, bytes, list, tuple, dict with text keys, \
         datetime, date and UUID are",
        object.get_type().name()?
    )))
}

fn epoch(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    let epoch = EPOCH.get_or_try_init(py, || {
        let utc = py.import("datetime")?.getattr("timezone")?.getattr("utc")?;
        let class = DATETIME.import(py, "datetime", "datetime")?;
        PyResult::Ok(class.call1((1970, 1, 1, 0, 0, 0, 0, utc))?.unbind())
    })?;
    Ok(epoch.bind(py))
}

/// A value as an object; of the application's own type, its bytes.
///
/// `OverflowError` for times that Python's `datetime` does not reach.
pub(super) fn python_of<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(truth) => PyBool::new(py, *truth).to_owned().into_any(),
        Value::Int(number) => number.into_pyobject(py)?.into_any(),
        Value::Float(number) => PyFloat::new(py, *number).into_any(),
        Value::Text(text) => PyString::new(py, text.as_str()).into_any(),
        Value::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Value::Timestamp(Timestamp(micros)) => {
            let since = DELTA
                .import(py, "datetime", "timedelta")?
                .call1((0, 0, *micros))?;
            epoch(py)?.add(since)?
        }
        Value::Date(Date(day)) => DATE.import(py, "datetime", "date")?.call_method1(
            intern!(py, "fromordinal"),
            (i64::from(*day) + EPOCH_ORDINAL,),
        )?,
        Value::Uuid(uuid) => {
            let bytes = PyBytes::new(py, uuid.as_bytes());
            UUID.import(py, "uuid", "UUID")?.call1((py.None(), bytes))?
        }
        Value::List(items) => {
            let list = PyList::empty(py);
            for item in items.iter() {
                list.append(python_of(py, item)?)?;
            }
            list.into_any()
        }
        Value::Map(map) => {
            let dict = PyDict::new(py);
            for (name, item) in map.iter() {
                dict.set_item(name.as_str(), python_of(py, item)?)?;
            }
            dict.into_any()
        }
        Value::Extension(extension) => PyBytes::new(py, &extension.bytes).into_any(),
        other => {
            return Err(PyTypeError::new_err(format!(
                "a value of kind {} has no Python type here",
                other.kind().name()
            )));
        }
    })
}
