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
#[pyclass(frozen, module = "tandemdb._native.collections")]
pub(crate) struct Explanation(pub(super) vectordb::Explanation);

#[pymethods]
impl Explanation {
    /// The column of vectors that was searched.
    #[getter]
    fn column(&self) -> &str {
        &self.0.column
    }

    /// How candidates were found, as `ScanAll` or `GraphMatching`.
    #[getter]
    fn method(&self) -> String {
        format!("{:?}", self.0.method)
    }

    /// Commit that the search is as of.
    #[getter]
    fn seq(&self) -> u64 {
        self.0.seq.0
    }

    /// Rows with a vector.
    #[getter]
    fn rows(&self) -> usize {
        self.0.rows
    }

    /// Rows that passed the filter.
    #[getter]
    fn matched(&self) -> usize {
        self.0.matched
    }

    /// Rows whose distance was estimated from codes.
    #[getter]
    fn compared(&self) -> usize {
        self.0.compared
    }

    /// Rows whose vector was compared.
    #[getter]
    fn visited(&self) -> usize {
        self.0.visited
    }

    /// Of these, rows beside an index that is being built.
    #[getter]
    fn beside(&self) -> usize {
        self.0.beside
    }

    /// What the index was allowed, if the search or its recall said so.
    #[getter]
    fn effort(&self) -> Option<usize> {
        self.0.effort
    }

    /// Rows from which those that differ were chosen.
    #[getter]
    fn reranked(&self) -> usize {
        self.0.reranked
    }

    /// Share of the rows that passed the filter.
    #[getter]
    fn selectivity(&self) -> f64 {
        self.0.selectivity()
    }

    /// Seconds for the filter.
    #[getter]
    fn filter_seconds(&self) -> f64 {
        self.0.filter_time.as_secs_f64()
    }

    /// Seconds for the search.
    #[getter]
    fn search_seconds(&self) -> f64 {
        self.0.search_time.as_secs_f64()
    }

    /// What people read, as `str()`.
    #[getter]
    fn text(&self) -> String {
        self.0.to_string()
    }

    fn __str__(&self) -> String {
        self.text()
    }
}
