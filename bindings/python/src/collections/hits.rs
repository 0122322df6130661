//! What searches of collections give back.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::values;
use crate::interchange::key_to_python;

/// A row that was found: its id, how far it is, and the columns that were selected.
#[pyclass(frozen, get_all, module = "tandemdb._native.collections")]
pub(crate) struct Hit {
    id: Py<PyAny>,
    distance: f64,
    row: Py<PyDict>,
}

impl Hit {
    pub(super) fn new(py: Python<'_>, hit: &vectordb::Hit) -> PyResult<Self> {
        Ok(Self {
            id: key_to_python(py, hit.id.values())?.unbind(),
            distance: hit.distance,
            row: values::row(py, &hit.row)?.unbind(),
        })
    }
}

#[pymethods]
impl Hit {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (id, row) = (self.id.bind(py).repr()?, self.row.bind(py).repr()?);
        Ok(format!(
            "Hit(id={}, distance={}, row={})",
            id.to_cow()?,
            self.distance,
            row.to_cow()?
        ))
    }
}

/// A row that several searches found together: its score, the greater, the better; for each search its rank, from 1, and
/// distance, or `None`; and the columns that were selected.
#[pyclass(frozen, get_all, module = "tandemdb._native.collections")]
pub(crate) struct FusedHit {
    id: Py<PyAny>,
    score: f64,
    places: Vec<Option<(usize, f64)>>,
    row: Py<PyDict>,
}

impl FusedHit {
    pub(super) fn new(py: Python<'_>, hit: &vectordb::FusedHit) -> PyResult<Self> {
        let places = hit.places.iter();
        Ok(Self {
            id: key_to_python(py, hit.id.values())?.unbind(),
            score: hit.score,
            places: places.map(|p| p.map(|p| (p.rank, p.distance))).collect(),
            row: values::row(py, &hit.row)?.unbind(),
        })
    }
}

#[pymethods]
impl FusedHit {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (id, row) = (self.id.bind(py).repr()?, self.row.bind(py).repr()?);
        Ok(format!(
            "FusedHit(id={}, score={}, row={})",
            id.to_cow()?,
            self.score,
            row.to_cow()?
        ))
    }
}

/// What a search did; `str()` of it is for people.
#[pyclass(frozen, get_all, module = "tandemdb._native.collections")]
pub(crate) struct Explanation {
    /// The column of vectors that was searched.
    column: String,
    /// How candidates were found, as `ScanAll` or `GraphMatching`.
    method: String,
    /// Rows with a vector.
    rows: usize,
    /// Rows that passed the filter.
    matched: usize,
    /// Rows whose distance was estimated from codes.
    compared: usize,
    /// Rows whose vector was compared.
    visited: usize,
    /// Of these, rows beside an index that is being built.
    beside: usize,
    /// What the index was allowed, if the search or its recall said so.
    effort: Option<usize>,
    /// Share of the rows that passed the filter.
    selectivity: f64,
    /// Seconds for the filter.
    filter_seconds: f64,
    /// Seconds for the search.
    search_seconds: f64,
    text: String,
}

impl From<&vectordb::Explanation> for Explanation {
    fn from(given: &vectordb::Explanation) -> Self {
        Self {
            column: given.column.to_string(),
            method: format!("{:?}", given.method),
            rows: given.rows,
            matched: given.matched,
            compared: given.compared,
            visited: given.visited,
            beside: given.beside,
            effort: given.effort,
            selectivity: given.selectivity(),
            filter_seconds: given.filter_time.as_secs_f64(),
            search_seconds: given.search_time.as_secs_f64(),
            text: given.to_string(),
        }
    }
}

#[pymethods]
impl Explanation {
    fn __str__(&self) -> &str {
        &self.text
    }
}
