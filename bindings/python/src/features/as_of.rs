//! [`AsOf`]: up to when a read sees.

use common::{Seq, Timestamp};
use pyo3::prelude::*;
use vectordb::feature;

use crate::interchange::{micros_of, time_to_python};

/// Up to when a read sees events: by when they happened, by when they became known, and by the commit that wrote them.
///
/// Wherever one is taken, a point in time stands for `AsOf.at(time)`: what was known then of what had happened by then.
#[pyclass(frozen, eq, module = "vectordb.features", from_py_object)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct AsOf(pub(crate) feature::AsOf);

#[pymethods]
impl AsOf {
    /// What was known at a time of what had happened by then.
    #[staticmethod]
    fn at(time: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(feature::AsOf::at(micros_of(time)?)))
    }

    /// What has happened by a time, whenever it became known.
    #[staticmethod]
    fn event(time: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(feature::AsOf::event(micros_of(time)?)))
    }

    /// The latest of all events, future ones included; none of them expires.
    #[staticmethod]
    fn latest() -> Self {
        Self(feature::AsOf::latest())
    }

    /// The same of what was known at a time.
    fn known_by(&self, time: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(self.0.known(micros_of(time)?)))
    }

    /// The same of what was committed up to a position.
    fn up_to(&self, seq: u64) -> Self {
        Self(self.0.seq(Seq(seq)))
    }

    /// Latest time at which an event may have happened; an int of microseconds where `datetime` does not reach.
    #[getter]
    fn event_time<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        time_to_python(py, self.0.event)
    }

    /// Latest time at which it may have become known.
    #[getter]
    fn known_time<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        time_to_python(py, self.0.known)
    }

    /// Last commit that may have written it.
    #[getter]
    fn seq(&self) -> u64 {
        self.0.seq.0
    }

    fn __repr__(&self) -> String {
        let (event, known, seq) = (self.0.event.0, self.0.known.0, self.0.seq.0);
        format!("AsOf(event={event}, known={known}, seq={seq})")
    }
}

/// What a read takes: nothing for now by the clock of the store, an `AsOf`, or a point in time.
pub(super) fn as_of(
    given: Option<&Bound<'_, PyAny>>,
    now: impl FnOnce() -> feature::AsOf,
) -> PyResult<feature::AsOf> {
    match given {
        None => Ok(now()),
        Some(given) => match given.cast::<AsOf>() {
            Ok(as_of) => Ok(as_of.get().0),
            Err(_) => Ok(feature::AsOf::at(micros_of(given)?)),
        },
    }
}

/// A point in time, or now.
pub(super) fn time_or_now(
    given: Option<&Bound<'_, PyAny>>,
    now: impl FnOnce() -> Timestamp,
) -> PyResult<Timestamp> {
    given.map_or_else(|| Ok(now()), micros_of)
}
