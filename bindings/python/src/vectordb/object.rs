//! What all objects of the package need: attributes that hold Python objects, the clock, ids, and the way to a pickle.

use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::common::ids::uuid_text;

/// A random UUID as text.
pub(super) fn new_id(py: Python<'_>) -> Bound<'_, PyAny> {
    uuid_text(py).into_any()
}

/// Seconds since the epoch, rounded as `time.time()` rounds.
#[expect(clippy::cast_precision_loss, reason = "as CPython converts")]
pub(super) fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_nanos() as f64 / 1e9)
}

/// A timestamp as a naive `datetime` in UTC, without the fraction of a second.
pub(super) fn moment<'py>(timestamp: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static DATETIME: Imported = Imported::new("datetime", "datetime");
    static TIMEZONE: Imported = Imported::new("datetime", "timezone");
    let py = timestamp.py();
    let seconds = timestamp.extract::<f64>()?.floor();
    let utc = TIMEZONE.get(py)?.getattr(intern!(py, "utc"))?;
    let moment = DATETIME
        .get(py)?
        .call_method1(intern!(py, "fromtimestamp"), (seconds, utc))?;
    let naive = PyDict::new(py);
    naive.set_item(intern!(py, "tzinfo"), py.None())?;
    moment.call_method(intern!(py, "replace"), (), Some(&naive))
}

/// An attribute: any object, read and assigned from any thread.
pub(super) struct Field(Mutex<Option<Py<PyAny>>>);

impl Field {
    pub(super) fn new(value: Option<Py<PyAny>>) -> Self {
        Self(Mutex::new(value))
    }

    pub(super) fn get(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.0.lock().as_ref().map(|value| value.clone_ref(py))
    }

    /// The value, or `None`.
    pub(super) fn or_none(&self, py: Python<'_>) -> Py<PyAny> {
        self.get(py).unwrap_or_else(|| py.None())
    }

    /// The value; of a dict that nobody asked for yet, a new one.
    pub(super) fn dict(&self, py: Python<'_>) -> Py<PyAny> {
        if let Some(value) = self.get(py) {
            return value;
        }
        let new = PyDict::new(py).into_any().unbind();
        self.0.lock().get_or_insert(new).clone_ref(py)
    }

    pub(super) fn set(&self, value: Option<Py<PyAny>>) {
        // What was there may run Python code as it goes: after the lock.
        let old = std::mem::replace(&mut *self.0.lock(), value);
        drop(old);
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0
            .try_lock()
            .map_or(Ok(()), |value| visit.call(&*value))
    }
}

/// Attributes of one object, under one lock.
pub(super) struct Fields<const N: usize>(Mutex<[Option<Py<PyAny>>; N]>);

impl<const N: usize> Fields<N> {
    pub(super) fn new(values: [Option<Py<PyAny>>; N]) -> Self {
        Self(Mutex::new(values))
    }

    pub(super) fn get(&self, py: Python<'_>, at: usize) -> Option<Py<PyAny>> {
        let values = self.0.lock();
        values.get(at)?.as_ref().map(|value| value.clone_ref(py))
    }

    /// The value, or `None`.
    pub(super) fn or_none(&self, py: Python<'_>, at: usize) -> Py<PyAny> {
        self.get(py, at).unwrap_or_else(|| py.None())
    }

    /// The value; of a dict that nobody asked for yet, a new one.
    pub(super) fn dict(&self, py: Python<'_>, at: usize) -> Py<PyAny> {
        if let Some(value) = self.get(py, at) {
            return value;
        }
        let new = PyDict::new(py).into_any().unbind();
        if let Some(place) = self.0.lock().get_mut(at) {
            return place.get_or_insert(new).clone_ref(py);
        }
        py.None()
    }

    pub(super) fn set(&self, at: usize, value: Option<Py<PyAny>>) {
        // What was there may run Python code as it goes: after the lock.
        let old = self
            .0
            .lock()
            .get_mut(at)
            .map(|place| std::mem::replace(place, value));
        drop(old);
    }

    /// All at once.
    pub(super) fn all(&self, py: Python<'_>) -> [Option<Py<PyAny>>; N] {
        let values = self.0.lock();
        values
            .each_ref()
            .map(|value| value.as_ref().map(|value| value.clone_ref(py)))
    }

    /// Puts others in place of all.
    pub(super) fn replace(&self, values: [Option<Py<PyAny>>; N]) {
        let old = std::mem::replace(&mut *self.0.lock(), values);
        drop(old);
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(values) = self.0.try_lock() {
            for value in &*values {
                visit.call(value)?;
            }
        }
        Ok(())
    }

    /// For the garbage collector.
    pub(super) fn clear(&self) {
        self.replace([const { None }; N]);
    }
}

/// An object imported once.
pub(super) struct Imported(PyOnceLock<Py<PyAny>>, &'static str, &'static str);

impl Imported {
    pub(super) const fn new(module: &'static str, name: &'static str) -> Self {
        Self(PyOnceLock::new(), module, name)
    }

    pub(super) fn get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let import = || -> PyResult<_> { Ok(py.import(self.1)?.getattr(self.2)?.unbind()) };
        Ok(self.0.get_or_try_init(py, import)?.bind(py).clone())
    }
}

static NEW_OBJECT: Imported = Imported::new("copyreg", "__newobj__");
static DUMPS: Imported = Imported::new("json", "dumps");
static LOADS: Imported = Imported::new("json", "loads");

/// `json.dumps(value)`.
pub(super) fn dumps<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    DUMPS.get(value.py())?.call1((value,))
}

/// `json.loads(text)`.
pub(super) fn loads<'py>(text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    LOADS.get(text.py())?.call1((text,))
}

/// What `__reduce__` answers: an object made without its constructor, then `__setstate__` with the attributes and what
/// the object's dict holds.
pub(super) fn reduce<'py>(
    object: &Bound<'py, PyAny>,
    attributes: Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = object.py();
    let state = (attributes, object.getattr(intern!(py, "__dict__"))?);
    (NEW_OBJECT.get(py)?, (object.get_type(),), state).into_pyobject(py)
}

/// Inverse of [`reduce`]: fills the object's dict, and gives the attributes back.
pub(super) fn restore<'py>(
    object: &Bound<'py, PyAny>,
    state: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = object.py();
    let own = object.getattr(intern!(py, "__dict__"))?;
    own.call_method1(intern!(py, "update"), (state.get_item(1)?,))?;
    Ok(state.get_item(0)?.cast_into::<PyTuple>()?)
}

/// Whether an object's class is the library's own, not derived from it.
pub(super) fn is_exactly<T: pyo3::PyTypeInfo>(object: &Bound<'_, PyAny>) -> bool {
    object.is_exact_instance_of::<T>()
}

/// The class that a class method was called on, if it is derived from the library's own.
pub(super) fn derived<'a, 'py, T: pyo3::PyTypeInfo>(
    class: &'a Bound<'py, PyType>,
) -> Option<&'a Bound<'py, PyType>> {
    (!class.is(class.py().get_type::<T>())).then_some(class)
}

/// An integer argument, clamped to 64 bits.
pub(super) fn integer(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    match value.extract::<i64>() {
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyOverflowError>(value.py()) => {
            Ok(if value.lt(0)? { i64::MIN } else { i64::MAX })
        }
        Err(_) => Err(PyTypeError::new_err(format!(
            "'{}' object cannot be interpreted as an integer",
            value.get_type().name()?
        ))),
        found => found,
    }
}
