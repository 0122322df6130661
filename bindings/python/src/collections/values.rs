//! Values, rows and vectors between Python and the engine.

use common::query::Filter;
use common::{Date, Limits, Map, RecordId, Row, Text, Timestamp, Value, Vector};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple, PyType,
};
use uuid::Uuid;

use crate::search::array;
use crate::search::error::raised;

/// Deeper than any row that is meant so; beyond it, a value may contain itself.
const DEPTH_MAX: usize = 64;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A class of a module of Python's own.
fn class<'py>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyType>>,
    module: &str,
    name: &str,
) -> PyResult<&'py Bound<'py, PyType>> {
    cell.import(py, module, name)
}

fn datetime_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    class(py, &CLASS, "datetime", "datetime")
}

fn date_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    class(py, &CLASS, "datetime", "date")
}

fn uuid_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    class(py, &CLASS, "uuid", "UUID")
}

fn timedelta_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    class(py, &CLASS, "datetime", "timedelta")
}

fn utc(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("datetime")?.getattr("timezone")?.getattr("utc")
}

fn epoch(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    datetime_class(py)?.call1((1970, 1, 1, 0, 0, 0, 0, utc(py)?))
}

/// A value of a row. A `datetime` without a time zone is in UTC.
///
/// # Errors
/// `TypeError` for types that no column holds, `OverflowError` for integers of more than 64 bits.
pub(crate) fn value_of(given: &Bound<'_, PyAny>) -> PyResult<Value> {
    value_at(given, 0)
}

fn value_at(given: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    let py = given.py();
    if depth > DEPTH_MAX {
        return Err(PyValueError::new_err(format!(
            "lists and dicts are nested {DEPTH_MAX} deep at most"
        )));
    }
    if given.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(value) = given.cast::<PyBool>() {
        return Ok(Value::Bool(value.is_true()));
    }
    if given.is_instance_of::<PyInt>() {
        return Ok(Value::Int(given.extract()?));
    }
    if let Ok(value) = given.cast::<PyFloat>() {
        return Ok(Value::Float(value.value()));
    }
    if let Ok(value) = given.cast::<PyString>() {
        return Ok(Value::Text(Text::from(value.to_cow()?.as_ref())));
    }
    if let Ok(value) = given.cast::<PyBytes>() {
        return Ok(Value::Bytes(value.as_bytes().into()));
    }
    if given.is_instance_of::<PyList>() || given.is_instance_of::<PyTuple>() {
        let items = given.try_iter()?;
        let items = items.map(|item| value_at(&item?, depth + 1));
        return Ok(Value::List(items.collect::<PyResult<Vec<Value>>>()?.into()));
    }
    if let Ok(dict) = given.cast::<PyDict>() {
        let mut map = Map::new();
        for (key, value) in dict {
            map.insert(text_of(&key)?, value_at(&value, depth + 1)?);
        }
        return Ok(Value::Map(map.into()));
    }
    if given.is_instance(datetime_class(py)?)? {
        return timestamp_of(given);
    }
    if given.is_instance(date_class(py)?)? {
        let day: i64 = given.call_method0(intern!(py, "toordinal"))?.extract()?;
        let first: i64 = date_class(py)?
            .call1((1970, 1, 1))?
            .call_method0(intern!(py, "toordinal"))?
            .extract()?;
        let days = i32::try_from(day - first)
            .map_err(|_| PyValueError::new_err("the day is out of range"))?;
        return Ok(Value::Date(Date(days)));
    }
    if given.is_instance(uuid_class(py)?)? {
        let bytes: [u8; 16] = given.getattr(intern!(py, "bytes"))?.extract()?;
        return Ok(Value::Uuid(Uuid::from_bytes(bytes)));
    }
    // Scalars of NumPy.
    if given.hasattr(intern!(py, "dtype"))? && given.hasattr(intern!(py, "item"))? {
        let list = given.call_method0(intern!(py, "tolist"))?;
        if !list.hasattr(intern!(py, "dtype"))? {
            return value_at(&list, depth + 1);
        }
    }
    Err(PyTypeError::new_err(format!(
        "no column holds a {}; rows hold None, bool, int, float, str, bytes, datetime, date, UUID, and lists and \
         dicts of these",
        given.get_type().name()?
    )))
}

fn timestamp_of(given: &Bound<'_, PyAny>) -> PyResult<Value> {
    let py = given.py();
    let aware = if given.getattr(intern!(py, "tzinfo"))?.is_none() {
        let zone = PyDict::new(py);
        zone.set_item("tzinfo", utc(py)?)?;
        given.call_method("replace", (), Some(&zone))?
    } else {
        given.clone()
    };
    let since = aware.call_method1(intern!(py, "__sub__"), (epoch(py)?,))?;
    let part = |name: &str| since.getattr(name)?.extract::<i64>();
    let micros =
        part("days")? * MICROS_PER_DAY + part("seconds")? * 1_000_000 + part("microseconds")?;
    Ok(Value::Timestamp(Timestamp(micros)))
}

fn text_of(key: &Bound<'_, PyAny>) -> PyResult<Text> {
    let key = key.cast::<PyString>().map_err(|_| {
        PyTypeError::new_err(format!("names of values are str, not {}", key.get_type()))
    })?;
    Ok(Text::from(key.to_cow()?.as_ref()))
}

/// A row of metadata; nothing if none is given.
pub(crate) fn row_of(given: Option<&Bound<'_, PyAny>>) -> PyResult<Row> {
    let Some(given) = given.filter(|given| !given.is_none()) else {
        return Ok(Row::new());
    };
    let mapping = given
        .cast::<PyMapping>()
        .map_err(|_| PyTypeError::new_err(format!("a row is a dict, not {}", given.get_type())))?;
    let mut row = Row::new();
    for item in mapping.items()?.iter() {
        let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        row.set(text_of(&key)?, value_of(&value)?);
    }
    Ok(row)
}

/// The id of a row: one value, or a tuple of several.
pub(crate) fn id_of(given: &Bound<'_, PyAny>) -> PyResult<RecordId> {
    if let Ok(values) = given.cast::<PyTuple>() {
        let values = values.iter().map(|value| value_of(&value));
        return Ok(RecordId::composite(values.collect::<PyResult<Vec<_>>>()?));
    }
    Ok(RecordId::new(value_of(given)?))
}

/// An id as Python has it.
pub(crate) fn id<'py>(py: Python<'py>, id: &RecordId) -> PyResult<Bound<'py, PyAny>> {
    match id.values() {
        [single] => value(py, single),
        values => {
            let values = values.iter().map(|v| value(py, v));
            Ok(PyTuple::new(py, values.collect::<PyResult<Vec<_>>>()?)?.into_any())
        }
    }
}

/// A value as Python has it: points in time with the zone UTC, sparse vectors as dicts, other vectors as arrays.
pub(crate) fn value<'py>(py: Python<'py>, given: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match given {
        Value::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::Int(value) => PyInt::new(py, *value).into_any(),
        Value::Float(value) => PyFloat::new(py, *value).into_any(),
        Value::Text(value) => PyString::new(py, value).into_any(),
        Value::Bytes(value) => PyBytes::new(py, value).into_any(),
        Value::Timestamp(time) => {
            let since = timedelta_class(py)?.call1((
                time.0.div_euclid(MICROS_PER_DAY),
                0,
                time.0.rem_euclid(MICROS_PER_DAY),
            ))?;
            epoch(py)?.call_method1(intern!(py, "__add__"), (since,))?
        }
        Value::Date(date) => {
            let since = timedelta_class(py)?.call1((date.0,))?;
            date_class(py)?
                .call1((1970, 1, 1))?
                .call_method1(intern!(py, "__add__"), (since,))?
        }
        Value::Uuid(uuid) => {
            let bytes = PyDict::new(py);
            bytes.set_item("bytes", PyBytes::new(py, uuid.as_bytes()))?;
            uuid_class(py)?.call((), Some(&bytes))?
        }
        Value::List(values) => {
            let values = values.iter().map(|v| value(py, v));
            PyList::new(py, values.collect::<PyResult<Vec<_>>>()?)?.into_any()
        }
        Value::Map(map) => {
            let dict = PyDict::new(py);
            for (key, inner) in map.iter() {
                dict.set_item(key.as_str(), value(py, inner)?)?;
            }
            dict.into_any()
        }
        Value::Vector(given) => vector(py, given)?,
        Value::Extension(extension) => PyBytes::new(py, &extension.bytes).into_any(),
        _ => py.None().into_bound(py),
    })
}

fn vector<'py>(py: Python<'py>, given: &Vector) -> PyResult<Bound<'py, PyAny>> {
    let floats = match given {
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

/// A row as a dict.
pub(crate) fn row<'py>(py: Python<'py>, given: &Row) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, inner) in given.iter() {
        dict.set_item(name.as_str(), value(py, inner)?)?;
    }
    Ok(dict)
}

/// A sparse vector: a dict of positions and weights, or pairs of these.
pub(crate) fn sparse_of(given: &Bound<'_, PyAny>) -> PyResult<Vec<(u32, f32)>> {
    let pairs = match given.cast::<PyMapping>() {
        Ok(mapping) => mapping.items()?.into_any(),
        Err(_) => given.clone(),
    };
    let wrong = |_| {
        PyTypeError::new_err(
            "expected a sparse vector as a dict of positions and weights, or pairs of these",
        )
    };
    pairs
        .try_iter()?
        .map(|pair| pair?.extract::<(u32, f32)>().map_err(wrong))
        .collect()
}

/// A filter: the engine's text, or its JSON form as a dict.
pub(crate) fn filter_of(given: &Bound<'_, PyAny>) -> PyResult<Filter> {
    if let Ok(text) = given.cast::<PyString>() {
        return Filter::parse(&text.to_cow()?).map_err(raised);
    }
    let json = given.py().import("json")?.call_method1("dumps", (given,))?;
    let json: String = json.extract()?;
    Filter::from_json(json.as_bytes(), &Limits::default()).map_err(raised)
}
