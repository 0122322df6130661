//! Single values: from Python objects to bytes and back.

use common::optimization::compression::zlib::Level;
use common::{Error, Limits};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyAny, PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyMemoryView, PyString, PyTuple, PyType,
};
use syncdb::payload::typed;
use syncdb::payload::typed::Room;

/// Days from the first day of the calendar to 1970-01-01, as `date.toordinal` counts.
const EPOCH_ORDINAL: i64 = 719_163;

/// What a decoder found, as Python reports it.
#[cold]
pub(super) fn malformed(error: &Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// As much as one call may inflate to.
pub(super) fn room() -> Room {
    Room::new(&Limits::default())
}

/// A number that has no room in the format: a `ValueError`, and a `struct.error` as programs knew it.
#[cold]
pub(super) fn out_of_range(py: Python<'_>, message: String) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = CLASS.get_or_try_init(py, || {
        let bases = PyTuple::new(
            py,
            [
                py.import("struct")?.getattr("error")?,
                py.get_type::<PyValueError>().into_any(),
            ],
        )?;
        let space = PyDict::new(py);
        space.set_item(
            "__doc__",
            "A value that the compressed format has no room for.",
        )?;
        space.set_item("__module__", "syncdb.compression.type_compressor")?;
        let class = py
            .get_type::<PyType>()
            .call1(("CompressionRangeError", bases, space))?;
        Ok::<_, PyErr>(class.cast_into::<PyType>()?.unbind())
    });
    match class {
        Ok(class) => match class.bind(py).call1((message,)) {
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        },
        Err(error) => error,
    }
}

/// The bytes that a caller gave, as an object that holds them.
pub(super) struct Input<'py>(Bound<'py, PyBytes>);

impl<'py> Input<'py> {
    pub(super) fn of(data: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(data) = data.cast::<PyBytes>() {
            return Ok(Self(data.clone()));
        }
        if data.is_instance_of::<PyByteArray>() || data.is_instance_of::<PyMemoryView>() {
            let copy = data.py().get_type::<PyBytes>().call1((data,))?;
            return Ok(Self(copy.cast_into()?));
        }
        let found = data.get_type().name()?;
        Err(PyTypeError::new_err(format!("expected bytes, not {found}")))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

pub(super) fn put_int(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    match value.extract::<i64>() {
        Ok(value) => {
            typed::put_int(value, out);
            Ok(())
        }
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => Err(out_of_range(
            value.py(),
            "an integer of more than 64 bits".to_owned(),
        )),
        Err(error) => Err(error),
    }
}

/// A float in the 4 bytes of `FloatCompressor`.
pub(super) fn put_single(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    let value: f64 = value.extract()?;
    let single = typed::single(value).ok_or_else(|| {
        PyOverflowError::new_err(format!("{value} is too large for a float of 4 bytes"))
    })?;
    out.extend_from_slice(&single.to_be_bytes());
    Ok(())
}

/// A float of a list or dict: 8 bytes where 4 are not exact.
pub(super) fn put_float(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    typed::put_float(value.extract()?, out);
    Ok(())
}

pub(super) fn put_text(value: &Bound<'_, PyAny>, level: Level, out: &mut Vec<u8>) -> PyResult<()> {
    typed::put_text(&value.cast::<PyString>()?.to_cow()?, level, out);
    Ok(())
}

pub(super) fn put_bytes(value: &Bound<'_, PyAny>, level: Level, out: &mut Vec<u8>) -> PyResult<()> {
    typed::put_bytes(Input::of(value)?.bytes(), level, out);
    Ok(())
}

/// Classes of the module `datetime`, as they are when first needed.
pub(super) struct Calendar {
    pub(super) datetime: Py<PyType>,
    pub(super) date: Py<PyType>,
}

pub(super) fn calendar(py: Python<'_>) -> PyResult<&Calendar> {
    static CALENDAR: PyOnceLock<Calendar> = PyOnceLock::new();
    CALENDAR.get_or_try_init(py, || {
        let module = py.import("datetime")?;
        Ok(Calendar {
            datetime: module.getattr("datetime")?.cast_into::<PyType>()?.unbind(),
            date: module.getattr("date")?.cast_into::<PyType>()?.unbind(),
        })
    })
}

pub(super) fn put_when(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    let py = value.py();
    let calendar = calendar(py)?;
    if value.is_instance(calendar.datetime.bind(py))? {
        let seconds: f64 = value.call_method0(intern!(py, "timestamp"))?.extract()?;
        out.extend_from_slice(&seconds.to_be_bytes());
    } else if value.is_instance(calendar.date.bind(py))? {
        let day: i64 = value.call_method0(intern!(py, "toordinal"))?.extract()?;
        let day = i32::try_from(day - EPOCH_ORDINAL)
            .map_err(|_| PyValueError::new_err("a date out of range"))?;
        out.extend_from_slice(&day.to_be_bytes());
    } else {
        let found = value.get_type().name()?;
        return Err(PyValueError::new_err(format!(
            "expected a datetime or a date, not {found}"
        )));
    }
    Ok(())
}

pub(super) fn boolean<'py>(py: Python<'py>, payload: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let &[byte] = payload else {
        let found = payload.len();
        return Err(PyValueError::new_err(format!(
            "a boolean has 1 byte, not {found}"
        )));
    };
    Ok(PyBool::new(py, byte != 0).to_owned().into_any())
}

pub(super) fn int<'py>(py: Python<'py>, payload: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let value = typed::int(payload).map_err(|error| malformed(&error))?;
    Ok(value.into_pyobject(py)?.into_any())
}

pub(super) fn float<'py>(py: Python<'py>, payload: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let value = typed::float(payload).map_err(|error| malformed(&error))?;
    Ok(PyFloat::new(py, value).into_any())
}

pub(super) fn text<'py>(
    py: Python<'py>,
    payload: &[u8],
    room: &mut Room,
) -> PyResult<Bound<'py, PyAny>> {
    let text = typed::bytes(payload, room).map_err(|error| malformed(&error))?;
    // Bytes that are no UTF-8 are `UnicodeDecodeError`, which is a `ValueError`.
    Ok(PyString::from_bytes(py, &text)?.into_any())
}

pub(super) fn bytes<'py>(
    py: Python<'py>,
    payload: &[u8],
    room: &mut Room,
) -> PyResult<Bound<'py, PyAny>> {
    let bytes = typed::bytes(payload, room).map_err(|error| malformed(&error))?;
    Ok(PyBytes::new(py, &bytes).into_any())
}

pub(super) fn when<'py>(py: Python<'py>, payload: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let calendar = calendar(py)?;
    let found = if let Ok(bytes) = <[u8; 8]>::try_from(payload) {
        let seconds = f64::from_be_bytes(bytes);
        calendar
            .datetime
            .bind(py)
            .call_method1(intern!(py, "fromtimestamp"), (seconds,))
    } else if let Ok(bytes) = <[u8; 4]>::try_from(payload) {
        let ordinal = i64::from(i32::from_be_bytes(bytes)) + EPOCH_ORDINAL;
        calendar
            .date
            .bind(py)
            .call_method1(intern!(py, "fromordinal"), (ordinal,))
    } else {
        let found = payload.len();
        return Err(PyValueError::new_err(format!(
            "a time has 8 bytes and a date 4, not {found}"
        )));
    };
    found.map_err(|error| {
        // A time that no calendar has is `OverflowError` or `OSError`, by system.
        if error.is_instance_of::<PyValueError>(py) {
            error
        } else {
            PyValueError::new_err(format!("no time: {error}"))
        }
    })
}
