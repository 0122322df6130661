//! `vectordb.experiment`: groups of entities with outcomes, and tests that assign entities to groups.
//!
//! Entities and outcomes are the caller's objects in Python dicts, under the caller's hashes and equality. Where entities go
//! and what outcomes are like is computed by the crate's [`Positions`](vectordb::experiment::Positions) and
//! [`Description`](vectordb::experiment::Description).

mod group;
mod statistics;
mod tester;

use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict};

pub(super) use group::Group;
pub(super) use tester::Tester;

/// Seconds since the epoch, rounded as `time.time()` rounds.
#[expect(
    clippy::cast_precision_loss,
    reason = "CPython's clock is nanoseconds as a double, over 1e9"
)]
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_nanos() as f64 / 1e9)
}

/// `given` where it is true in Python's sense, otherwise `other`.
fn either<'py>(given: Option<Bound<'py, PyAny>>, other: &Bound<'py, PyAny>) -> PyResult<Py<PyAny>> {
    match given {
        Some(given) if given.is_truthy()? => Ok(given.unbind()),
        _ => Ok(other.clone().unbind()),
    }
}

/// Metadata by reference, or a new dict where there is none.
fn metadata_of<'py>(py: Python<'py>, given: Option<Bound<'py, PyAny>>) -> PyResult<Py<PyAny>> {
    either(given, PyDict::new(py).as_any())
}

/// A moment as the caller gives it; now when not given.
fn moment(given: Option<Bound<'_, PyAny>>) -> PyResult<f64> {
    given.map_or_else(|| Ok(now()), |given| given.extract())
}

/// A value of a dict; `None` in it counts as absent.
fn field<'py>(data: &Bound<'py, PyAny>, key: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let value = data.call_method1(pyo3::intern!(data.py(), "get"), (key,))?;
    Ok(Some(value).filter(|value| !value.is_none()))
}
