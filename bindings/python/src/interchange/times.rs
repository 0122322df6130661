//! Points in time: microseconds since 1970 in the engine, `datetime` and `datetime64` in Python.

use common::Timestamp;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt};

use crate::common::access::PythonClass;

static DATETIME: PythonClass = PythonClass::new("datetime", "datetime");
static TIMEDELTA: PythonClass = PythonClass::new("datetime", "timedelta");
static EPOCH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

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

/// What a `datetime` without a time zone means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naive {
    IsUtc,
    /// It may be of any zone: an error.
    IsRefused,
}

/// Whether an object is a `datetime`.
pub(super) fn is_datetime(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    object.is_instance(DATETIME.get(object.py())?)
}

/// Microseconds since 1970 of a `datetime`.
pub(crate) fn micros_of_datetime(object: &Bound<'_, PyAny>, naive: Naive) -> PyResult<Timestamp> {
    let py = object.py();
    if !is_datetime(object)? {
        let what = format!("expected a datetime, not {}", object.get_type().name()?);
        return Err(PyTypeError::new_err(what));
    }
    let epoch = epoch(py)?;
    let time = match (object.getattr(intern!(py, "tzinfo"))?.is_none(), naive) {
        (false, _) => object.clone(),
        (true, Naive::IsUtc) => {
            let fields = PyDict::new(py);
            fields.set_item("tzinfo", epoch.getattr("tzinfo")?)?;
            object.call_method("replace", (), Some(&fields))?
        }
        (true, Naive::IsRefused) => {
            return Err(PyValueError::new_err(format!(
                "{} has no time zone; give it one, such as tzinfo=timezone.utc",
                object.repr()?
            )));
        }
    };
    let since = time.sub(epoch)?;
    let part = |name| since.getattr(name)?.extract::<i64>();
    let days = part(intern!(py, "days"))?;
    let seconds = part(intern!(py, "seconds"))?;
    let micros = part(intern!(py, "microseconds"))?;
    Ok(Timestamp((days * 86_400 + seconds) * 1_000_000 + micros))
}

/// Microseconds since 1970 of a `datetime` (without a time zone: UTC), a `datetime64`, or as such an integer.
pub(crate) fn micros_of(object: &Bound<'_, PyAny>) -> PyResult<Timestamp> {
    if object.is_exact_instance_of::<PyInt>() {
        return Ok(Timestamp(object.extract()?));
    }
    if is_datetime(object)? {
        return micros_of_datetime(object, Naive::IsUtc);
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
    let since = TIMEDELTA.get(py)?;
    let since = since.call1((days, rest / 1_000_000, rest % 1_000_000))?;
    epoch(py)?.add(since)
}
