//! Single values: what a key or a feature of one event is.

use common::{Date, Timestamp, Value};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString};

use super::times::{is_datetime, micros_of, time_to_python};

const DAYS_TO_1970: i64 = 719_163;

/// The engine's value of a scalar: None, bool, int, float, str, bytes, datetime, date, UUID, and NumPy's scalars.
pub(crate) fn value_of(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if object.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(float) = object.cast_exact::<PyFloat>() {
        return Ok(Value::Float(float.extract()?));
    }
    if let Ok(int) = object.cast_exact::<PyInt>() {
        return Ok(Value::Int(int.extract()?));
    }
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(Value::from(&*text.to_cow()?));
    }
    if let Ok(truth) = object.cast::<PyBool>() {
        return Ok(Value::Bool(truth.is_true()));
    }
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Value::Bytes(bytes.as_bytes().to_vec().into()));
    }
    if is_datetime(object)? {
        return Ok(Value::Timestamp(micros_of(object)?));
    }
    let class = object.get_type();
    match &*class.name()?.to_cow()? {
        "datetime64" => return Ok(Value::Timestamp(micros_of(object)?)),
        "date" => {
            let days: i64 = object.call_method0("toordinal")?.extract()?;
            let days = i32::try_from(days - DAYS_TO_1970).unwrap_or_default();
            return Ok(Value::Date(Date(days)));
        }
        "UUID" => {
            let bytes: [u8; 16] = object.getattr("bytes")?.extract()?;
            return Ok(Value::Uuid(uuid::Uuid::from_bytes(bytes)));
        }
        "NAType" | "NaTType" => return Ok(Value::Null),
        _ => {}
    }
    // A scalar of NumPy, or a subclass of int or float.
    if let Ok(item) = object.call_method0("item")
        && !item.get_type().is(&class)
    {
        return value_of(&item);
    }
    if let Ok(int) = object.cast::<PyInt>() {
        return Ok(Value::Int(int.extract()?));
    }
    if let Ok(float) = object.cast::<PyFloat>() {
        return Ok(Value::Float(float.extract()?));
    }
    Err(PyTypeError::new_err(format!(
        "a value is None, bool, int, float, str, bytes, datetime, date or UUID, not {}",
        class.name()?
    )))
}

/// The Python object of a scalar.
pub(crate) fn value_to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(truth) => truth.into_pyobject(py)?.to_owned().into_any(),
        Value::Int(int) => int.into_pyobject(py)?.into_any(),
        Value::Float(float) => float.into_pyobject(py)?.into_any(),
        Value::Text(text) => text.as_str().into_pyobject(py)?.into_any(),
        Value::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Value::Timestamp(time) => time_to_python(py, Timestamp(time.0))?,
        Value::Date(date) => {
            let class = py.import("datetime")?.getattr("date")?;
            class.call_method1("fromordinal", (i64::from(date.0) + DAYS_TO_1970,))?
        }
        Value::Uuid(id) => {
            let class = py.import("uuid")?.getattr("UUID")?;
            class.call1((id.to_string(),))?
        }
        other => super::write(py, other)?,
    })
}
