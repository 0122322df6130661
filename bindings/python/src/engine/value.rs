//! Python's values as the engine's, and back.

use std::fmt::Write as _;

use common::{Date, Extension, Map, RecordId, Row, Text, Timestamp, Value, Vector};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyUnicodeEncodeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple,
};
use uuid::Uuid;

use super::error::{ROWS_UNCHECKED, let_others_run};
use crate::common::access::PythonClass;

/// How deep lists and dicts may be nested.
const DEPTH_MAX: usize = 128;
/// The name of the extension type under which decimals are kept, as their text.
pub(super) const DECIMAL: &str = "decimal";
/// The ordinal of 1970-01-01.
const EPOCH_ORDINAL: i64 = 719_163;

static DATETIME: PythonClass = PythonClass::new("datetime", "datetime");
static DATE: PythonClass = PythonClass::new("datetime", "date");
static TIMEDELTA: PythonClass = PythonClass::new("datetime", "timedelta");
static UUID: PythonClass = PythonClass::new("uuid", "UUID");
static DECIMALS: PythonClass = PythonClass::new("decimal", "Decimal");
static EPOCH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// What is wrong with a value, and where.
struct Wrong {
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
    fn at(self, py: Python<'_>, before: &str, behind: &str) -> PyErr {
        let text = format!("{before}{}{behind}: {}", self.path, self.cause.value(py));
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

/// The moment from which timestamps count.
fn epoch(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    let made = EPOCH.get_or_try_init(py, || {
        let utc = py.import("datetime")?.getattr("timezone")?.getattr("utc")?;
        let class = DATETIME.get(py)?;
        class
            .call1((1970, 1, 1, 0, 0, 0, 0, utc))
            .map(Bound::unbind)
    })?;
    Ok(made.bind(py))
}

fn text(object: &Bound<'_, PyString>) -> Result<Text, Wrong> {
    match object.to_cow() {
        Ok(text) => Ok(Text::new(text)),
        Err(_) => Err(Wrong::of_value(format!(
            "text {} holds half of a surrogate pair, which is no character",
            object.repr()?
        ))),
    }
}

fn micros_of(object: &Bound<'_, PyAny>) -> Result<i64, Wrong> {
    let py = object.py();
    if object.getattr(intern!(py, "tzinfo"))?.is_none() {
        return Err(Wrong::of_value(format!(
            "{} has no time zone; give it one, such as tzinfo=timezone.utc",
            object.repr()?
        )));
    }
    let since = object.sub(epoch(py)?)?;
    let part = |name| since.getattr(name)?.extract::<i64>();
    let days = part(intern!(py, "days"))?;
    let seconds = part(intern!(py, "seconds"))?;
    let micros = part(intern!(py, "microseconds"))?;
    Ok((days * 86_400 + seconds) * 1_000_000 + micros)
}

/// A value of the engine.
pub(super) fn timestamp_of(object: &Bound<'_, PyAny>) -> PyResult<Timestamp> {
    if !object.is_instance(DATETIME.get(object.py())?)? {
        let what = format!("expected a datetime, not {}", object.get_type().name()?);
        return Err(PyTypeError::new_err(what));
    }
    micros_of(object)
        .map(Timestamp)
        .map_err(|wrong| wrong.cause)
}

fn read(object: &Bound<'_, PyAny>, depth: usize) -> Result<Value, Wrong> {
    let py = object.py();
    if object.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(value) = object.cast::<PyString>() {
        return Ok(Value::Text(text(value)?));
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
        let read = items.iter().enumerate().map(|item| item_of(item, depth));
        return Ok(Value::List(read.collect::<Result<_, _>>()?));
    }
    if let Ok(items) = object.cast::<PyTuple>() {
        let read = items.iter().enumerate().map(|item| item_of(item, depth));
        return Ok(Value::List(read.collect::<Result<_, _>>()?));
    }
    if let Ok(items) = object.cast::<PyDict>() {
        let mut map = Map::new();
        for (key, item) in items.iter() {
            let Ok(key) = key.cast::<PyString>() else {
                let what = format!("a dict is kept by text keys, {} is none", key.repr()?);
                return Err(Wrong::of_type(what));
            };
            let key = text(key)?;
            let value =
                read(&item, depth + 1).map_err(|wrong| wrong.below(&format!(".{}", &*key)))?;
            map.insert(key, value);
        }
        return Ok(Value::Map(map.into()));
    }
    if object.is_instance(DATETIME.get(py)?)? {
        return micros_of(object).map(|micros| Value::Timestamp(Timestamp(micros)));
    }
    if object.is_instance(DATE.get(py)?)? {
        let days: i64 = object
            .call_method0(intern!(py, "toordinal"))?
            .extract::<i64>()?
            - EPOCH_ORDINAL;
        let days = i32::try_from(days).map_err(|_| Wrong::of_value("no such day".to_owned()))?;
        return Ok(Value::Date(Date(days)));
    }
    if object.is_instance(UUID.get(py)?)? {
        let bytes: [u8; 16] = object.getattr(intern!(py, "bytes"))?.extract()?;
        return Ok(Value::Uuid(Uuid::from_bytes(bytes)));
    }
    if object.is_instance(DECIMALS.get(py)?)? {
        let digits = object.str()?;
        return Ok(Value::Extension(
            Extension {
                name: Text::new(DECIMAL),
                bytes: digits.to_cow()?.as_bytes().into(),
            }
            .into(),
        ));
    }
    // Numbers of NumPy and the like.
    if object.hasattr(intern!(py, "__index__"))? {
        let number = object.call_method0(intern!(py, "__index__"))?;
        if number.is_instance_of::<PyInt>() {
            return read(&number, depth + 1);
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
        object.get_type().name()?
    )))
}

fn item_of((at, item): (usize, Bound<'_, PyAny>), depth: usize) -> Result<Value, Wrong> {
    read(&item, depth + 1).map_err(|wrong| wrong.below(&format!("[{at}]")))
}

fn shortened(object: &Bound<'_, PyAny>) -> String {
    let shown = object.repr().map(|text| text.to_string());
    let shown = shown.unwrap_or_else(|_| "a value".to_owned());
    if shown.chars().count() <= 60 {
        return shown;
    }
    let mut short: String = shown.chars().take(57).collect();
    short.push_str("...");
    short
}

/// A value of the engine; `place` says in an error where it stands.
pub(super) fn value_of(object: &Bound<'_, PyAny>, place: &str) -> PyResult<Value> {
    read(object, 0).map_err(|wrong| wrong.at(object.py(), place, ""))
}

/// A row of a table by its columns.
pub(super) fn row_of(table: &str, object: &Bound<'_, PyAny>) -> PyResult<Row> {
    let py = object.py();
    let copied;
    let columns = match object.cast::<PyDict>() {
        Ok(columns) => columns,
        Err(_) if object.cast::<PyMapping>().is_ok() => {
            copied = PyDict::new(py);
            copied.update(object.cast::<PyMapping>()?)?;
            &copied
        }
        Err(_) => {
            return Err(PyTypeError::new_err(format!(
                "table '{table}': a row is a dict from columns to values, not {}",
                shortened(object)
            )));
        }
    };
    let mut row = Vec::with_capacity(columns.len());
    for (name, value) in columns.iter() {
        let Ok(name) = name.cast::<PyString>() else {
            return Err(PyTypeError::new_err(format!(
                "table '{table}': columns are named by text, {} is none",
                shortened(&name)
            )));
        };
        let name = text(name).map_err(|wrong| wrong.at(py, &format!("table '{table}'"), ""))?;
        let value = read(&value, 0)
            .map_err(|wrong| wrong.at(py, &format!("table '{table}', column '{}", &*name), "'"))?;
        row.push((name, value));
    }
    Ok(row.into_iter().collect())
}

/// Rows of a table by their columns.
pub(super) fn rows_of(table: &str, rows: &Bound<'_, PyAny>) -> PyResult<Vec<Row>> {
    let mut read = Vec::new();
    for row in rows.try_iter()? {
        if read.len() % ROWS_UNCHECKED == ROWS_UNCHECKED - 1 {
            let_others_run(rows.py())?;
        }
        read.push(row_of(table, &row?)?);
    }
    Ok(read)
}

/// A key: one value, or a tuple of them.
pub(super) fn key_of(object: &Bound<'_, PyAny>) -> PyResult<RecordId> {
    if let Ok(parts) = object.cast::<PyTuple>() {
        if parts.is_empty() {
            return Err(PyValueError::new_err("a key has at least one value"));
        }
        let values = parts.iter().map(|part| value_of(&part, "key"));
        return Ok(RecordId::composite(values.collect::<PyResult<Vec<_>>>()?));
    }
    Ok(RecordId::new(value_of(object, "key")?))
}

/// A key as Python shows it: one value, or a tuple of them.
pub(super) fn key_to_python<'py>(py: Python<'py>, key: &[Value]) -> PyResult<Bound<'py, PyAny>> {
    if let [value] = key {
        return to_python(py, value);
    }
    let values = key.iter().map(|value| to_python(py, value));
    Ok(PyTuple::new(py, values.collect::<PyResult<Vec<_>>>()?)?.into_any())
}

/// A point in time, in UTC.
pub(super) fn time_to_python(py: Python<'_>, at: Timestamp) -> PyResult<Bound<'_, PyAny>> {
    let since = TIMEDELTA.get(py)?.call1((0, 0, at.0))?;
    epoch(py)?.add(since).map_err(|cause| {
        let text = format!("{at} is outside the years that Python's datetime has");
        let error = PyOverflowError::new_err(text);
        error.set_cause(py, Some(cause));
        error
    })
}

/// A value of Python.
pub(super) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::Int(value) => value.into_pyobject(py)?.into_any(),
        Value::Float(value) => PyFloat::new(py, *value).into_any(),
        Value::Text(value) => PyString::new(py, value).into_any(),
        Value::Bytes(value) => PyBytes::new(py, value).into_any(),
        Value::Timestamp(at) => time_to_python(py, *at)?,
        Value::Date(day) => {
            let ordinal = i64::from(day.0) + EPOCH_ORDINAL;
            DATE.get(py)?.call_method1("fromordinal", (ordinal,))?
        }
        Value::Uuid(id) => {
            let bytes = PyBytes::new(py, id.as_bytes());
            UUID.get(py)?.call1((py.None(), bytes))?
        }
        Value::List(items) => {
            let items = items.iter().map(|item| to_python(py, item));
            PyList::new(py, items.collect::<PyResult<Vec<_>>>()?)?.into_any()
        }
        Value::Map(items) => map_to_python(py, items)?.into_any(),
        Value::Vector(vector) => match &**vector {
            Vector::F32(elements) => PyList::new(py, elements.iter())?.into_any(),
            other => PyString::new(py, &format!("{other:?}")).into_any(),
        },
        Value::Extension(value) if &*value.name == DECIMAL => {
            let digits = String::from_utf8_lossy(&value.bytes);
            DECIMALS.get(py)?.call1((digits,))?
        }
        Value::Extension(value) => {
            let mut shown = format!("{}:", &*value.name);
            for byte in &value.bytes {
                let _ = write!(shown, "{byte:02x}");
            }
            PyString::new(py, &shown).into_any()
        }
        _ => py.None().into_bound(py),
    })
}

/// Values by name.
pub(super) fn map_to_python<'py>(py: Python<'py>, map: &Map) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in map {
        dict.set_item(&**name, to_python(py, value)?)?;
    }
    Ok(dict)
}
