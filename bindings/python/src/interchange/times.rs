//! Points in time: microseconds since 1970 in the engine, `datetime` and `datetime64` in Python.

use common::Timestamp;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt};

static EPOCH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn epoch(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    let made = EPOCH.get_or_try_init(py, || {
        let module = py.import("datetime")?;
        let utc = module.getattr("timezone")?.getattr("utc")?;
        let fields = PyDict::new(py);
        fields.set_item("tzinfo", utc)?;
        let epoch = module
            .getattr("datetime")?
            .call((1970, 1, 1), Some(&fields))?;
        Ok::<_, PyErr>(epoch.unbind())
    })?;
    Ok(made.bind(py))
}

/// Whether an object is a `datetime`.
pub(super) fn is_datetime(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    object.is_instance(&object.py().import("datetime")?.getattr("datetime")?)
}

/// Microseconds since 1970 of a `datetime` (without a time zone: UTC), a `datetime64`, or as such an integer.
pub(crate) fn micros_of(object: &Bound<'_, PyAny>) -> PyResult<Timestamp> {
    let py = object.py();
    if object.is_exact_instance_of::<PyInt>() {
        return Ok(Timestamp(object.extract()?));
    }
    if is_datetime(object)? {
        let epoch = epoch(py)?;
        let time = if object.getattr("tzinfo")?.is_none() {
            let fields = PyDict::new(py);
            fields.set_item("tzinfo", epoch.getattr("tzinfo")?)?;
            object.call_method("replace", (), Some(&fields))?
        } else {
            object.clone()
        };
        let since = time.sub(epoch)?;
        let days: i64 = since.getattr("days")?.extract()?;
        let seconds: i64 = since.getattr("seconds")?.extract()?;
        let rest: i64 = since.getattr("microseconds")?.extract()?;
        return Ok(Timestamp((days * 86_400 + seconds) * 1_000_000 + rest));
    }
    if object.get_type().name()? == "datetime64" {
        let micros = object.call_method1("astype", ("datetime64[us]",))?;
        let micros: i64 = micros.call_method1("astype", ("int64",))?.extract()?;
        if micros == i64::MIN {
            return Err(PyValueError::new_err("NaT is no point in time"));
        }
        return Ok(Timestamp(micros));
    }
    Err(PyTypeError::new_err(format!(
        "a point in time is a datetime, a datetime64 or an int of microseconds since 1970, not {}",
        object.get_type().name()?
    )))
}

/// A `datetime` in UTC; the integer itself for a time that `datetime` does not reach.
pub(crate) fn time_to_python(py: Python<'_>, time: Timestamp) -> PyResult<Bound<'_, PyAny>> {
    const YEAR_1: i64 = -62_135_596_800_000_000;
    const YEAR_9999_END: i64 = 253_402_300_799_999_999;
    if !(YEAR_1..=YEAR_9999_END).contains(&time.0) {
        return Ok(time.0.into_pyobject(py)?.into_any());
    }
    let (days, rest) = (
        time.0.div_euclid(86_400_000_000),
        time.0.rem_euclid(86_400_000_000),
    );
    let since = py.import("datetime")?.getattr("timedelta")?;
    let since = since.call1((days, rest / 1_000_000, rest % 1_000_000))?;
    epoch(py)?.add(since)
}
