//! Distances as functions, and which of them a function object is.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use vectordb::core::distance::{DoubleMetric, similarity};

use super::object::Imported;
use super::vector::floats_of;

fn distance(metric: DoubleMetric, v1: &Bound<'_, PyAny>, v2: &Bound<'_, PyAny>) -> PyResult<f64> {
    let (a, b) = (floats_of(v1)?, floats_of(v2)?);
    check(a.len(), b.len())?;
    metric.distance(&a, &b).ok_or_else(zero)
}

/// Refuses vectors of different dimensions.
pub(super) fn check(a: usize, b: usize) -> PyResult<()> {
    if a == b {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "Cannot calculate distance between vectors with different dimensions: {a} and {b}"
    )))
}

/// What directions of a zero vector raise.
pub(super) fn zero() -> PyErr {
    PyValueError::new_err("Cannot calculate cosine similarity for zero magnitude vectors")
}

/// Length of the straight line between two vectors. Raises `ValueError` for different dimensions.
#[pyfunction]
pub(super) fn euclidean_distance(v1: &Bound<'_, PyAny>, v2: &Bound<'_, PyAny>) -> PyResult<f64> {
    distance(DoubleMetric::Euclidean, v1, v2)
}

/// Square of the Euclidean distance. Raises `ValueError` for different dimensions.
#[pyfunction]
pub(super) fn squared_euclidean_distance(
    v1: &Bound<'_, PyAny>,
    v2: &Bound<'_, PyAny>,
) -> PyResult<f64> {
    distance(DoubleMetric::SquaredEuclidean, v1, v2)
}

/// Sum of the absolute differences. Raises `ValueError` for different dimensions.
#[pyfunction]
pub(super) fn manhattan_distance(v1: &Bound<'_, PyAny>, v2: &Bound<'_, PyAny>) -> PyResult<f64> {
    distance(DoubleMetric::Manhattan, v1, v2)
}

/// One minus the cosine similarity, from 0 to 2. Raises `ValueError` for different dimensions and zero vectors.
#[pyfunction]
pub(super) fn cosine_distance(v1: &Bound<'_, PyAny>, v2: &Bound<'_, PyAny>) -> PyResult<f64> {
    distance(DoubleMetric::Cosine, v1, v2)
}

/// Cosine of the angle, from -1 to 1. Raises `ValueError` for different dimensions and zero vectors.
#[pyfunction]
pub(super) fn cosine_similarity(v1: &Bound<'_, PyAny>, v2: &Bound<'_, PyAny>) -> PyResult<f64> {
    let (a, b) = (floats_of(v1)?, floats_of(v2)?);
    check(a.len(), b.len())?;
    similarity(&a, &b).ok_or_else(zero)
}

/// The angle in radians, from 0 to pi. Raises `ValueError` for different dimensions and zero vectors.
#[pyfunction]
pub(super) fn angular_distance(v1: &Bound<'_, PyAny>, v2: &Bound<'_, PyAny>) -> PyResult<f64> {
    distance(DoubleMetric::Angular, v1, v2)
}

/// Greatest absolute difference. Raises `ValueError` for different dimensions.
#[pyfunction]
pub(super) fn chebyshev_distance(v1: &Bound<'_, PyAny>, v2: &Bound<'_, PyAny>) -> PyResult<f64> {
    distance(DoubleMetric::Chebyshev, v1, v2)
}

static FUNCTION_OF: Imported = Imported::new("vectordb.core.distance", "get_distance_function");

/// The function of a name, as the table of metrics has it now, and which of our own it is, if it is one.
pub(super) fn metric_of<'py>(
    name: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyAny>, Option<DoubleMetric>)> {
    static OURS: PyOnceLock<Vec<(DoubleMetric, Py<PyAny>)>> = PyOnceLock::new();
    let py = name.py();
    let function = FUNCTION_OF.get(py)?.call1((name,))?;
    let ours = OURS.get_or_try_init(py, || -> PyResult<_> {
        let module = py.import("tandemdb._native")?.getattr("vectordb")?;
        DoubleMetric::ALL
            .into_iter()
            .map(|metric| {
                let function = module.getattr(format!("{}_distance", metric.name()))?;
                Ok((metric, function.unbind()))
            })
            .collect()
    })?;
    let found = ours.iter().find(|(_, known)| function.is(known));
    Ok((function, found.map(|(metric, _)| *metric)))
}
