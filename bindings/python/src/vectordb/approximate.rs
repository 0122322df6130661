//! `ApproximateNearestNeighbor`, and what `RandomProjection` computes.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PyTuple};

use super::entries::{Entries, Filter, Limits, wrong_dimension};
use super::index::{add_each, pairs};
use super::object::{self, Field};
use super::vector::{floats, floats_of};

/// How many vectors a search compares at least unless it is told otherwise.
pub(super) const EFFORT: usize = 50;

/// For each projection 1 when its product with the vector is not negative, else 0.
#[pyfunction]
pub(super) fn signs<'py>(
    projections: &Bound<'py, PyAny>,
    vector: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    let values = floats_of(vector)?;
    let bits = PyList::empty(vector.py());
    for projection in projections.try_iter()? {
        let projection = floats(&projection?)?;
        let products = projection.iter().zip(values.iter()).map(|(a, b)| a * b);
        bits.append(i32::from(products.sum::<f64>() >= 0.0))?;
    }
    Ok(bits)
}

/// Vectors of one dimension by id with metadata, for large numbers of them.
///
/// Answers are true distances in order. `n_projections`, `n_tables` and `seed` are remembered; no answer depends on them.
#[pyclass(
    frozen,
    subclass,
    dict,
    weakref,
    name = "ApproximateNearestNeighbor",
    module = "vectordb.indexing.approximate_nn"
)]
pub(crate) struct Approximate {
    entries: Entries,
    dimensions: Field,
    n_projections: Field,
    n_tables: Field,
    seed: Field,
}

impl Approximate {
    pub(super) fn entries(&self) -> &Entries {
        &self.entries
    }

    /// The dimension of all vectors; none is of another one than any.
    fn dimension(&self, py: Python<'_>) -> PyResult<usize> {
        self.dimensions.or_none(py).extract(py)
    }

    /// Whatever is no integer stands for the default.
    fn limits(&self, py: Python<'_>, ef_search: Option<&Bound<'_, PyAny>>) -> PyResult<Limits> {
        let effort = match ef_search {
            Some(given) if given.is_instance_of::<PyInt>() => {
                usize::try_from(object::integer(given)?).unwrap_or(0)
            }
            _ => EFFORT,
        };
        Ok(Limits {
            dimension: Some(self.dimension(py)?),
            effort: Some(effort),
        })
    }

    /// Whether a method of the object's class is the one of the index.
    fn is_own(slf: &Bound<'_, Self>, method: &str) -> PyResult<bool> {
        if slf.is_exact_instance_of::<Self>() {
            return Ok(true);
        }
        let own = slf.py().get_type::<Self>().getattr(method)?;
        Ok(slf.get_type().getattr(method)?.is(&own))
    }

    pub(super) fn add_checked<'py>(
        &self,
        vector: &Bound<'py, PyAny>,
        metadata: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let dimension = self.dimension(vector.py())?;
        self.entries.add(vector, metadata, Some(dimension))
    }
}

#[pymethods]
impl Approximate {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(dimensions, n_projections=8, n_tables=10, distance_metric='euclidean', seed=None)"
    )]
    fn new(
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> Self {
        Self {
            entries: Entries::new(py),
            dimensions: Field::new(None),
            n_projections: Field::new(None),
            n_tables: Field::new(None),
            seed: Field::new(None),
        }
    }

    #[pyo3(signature = (dimensions, n_projections=None, n_tables=None, distance_metric=None, seed=None))]
    fn __init__(
        slf: &Bound<'_, Self>,
        dimensions: Py<PyAny>,
        n_projections: Option<Py<PyAny>>,
        n_tables: Option<Py<PyAny>>,
        distance_metric: Option<Bound<'_, PyAny>>,
        seed: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let number = |value: i64| -> PyResult<Py<PyAny>> {
            Ok(value.into_pyobject(py)?.into_any().unbind())
        };
        let this = slf.get();
        let default = intern!(py, "euclidean").clone().into_any();
        this.entries
            .set_metric(&distance_metric.unwrap_or(default))?;
        this.dimensions.set(Some(dimensions));
        this.n_projections
            .set(Some(n_projections.map_or_else(|| number(8), Ok)?));
        this.n_tables
            .set(Some(n_tables.map_or_else(|| number(10), Ok)?));
        this.seed.set(seed);
        Ok(())
    }

    /// The ids, in the order of adding.
    #[getter]
    fn ids<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        self.entries.ids(py)
    }

    /// When the index last changed, in seconds since the epoch.
    #[getter]
    fn last_modified(&self) -> f64 {
        self.entries.last_modified()
    }

    #[getter(_dimensions)]
    fn private_dimensions(&self, py: Python<'_>) -> Py<PyAny> {
        self.dimensions.or_none(py)
    }

    #[getter(_n_projections)]
    fn private_projections(&self, py: Python<'_>) -> Py<PyAny> {
        self.n_projections.or_none(py)
    }

    #[getter(_n_tables)]
    fn private_tables(&self, py: Python<'_>) -> Py<PyAny> {
        self.n_tables.or_none(py)
    }

    #[getter(_distance_metric)]
    fn private_metric(&self, py: Python<'_>) -> Py<PyAny> {
        self.entries.metric_name(py)
    }

    /// Keeps a vector under its id, in place of one that is there, and returns the id; a copy under a new id when it has
    /// none. Raises `ValueError` for another dimension.
    #[pyo3(signature = (vector, metadata=None))]
    fn add<'py>(
        &self,
        vector: &Bound<'py, PyAny>,
        metadata: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.add_checked(vector, metadata)
    }

    /// Adds each vector. Raises `ValueError`, adding none, for another dimension and when there are more or fewer metadata
    /// than vectors.
    #[pyo3(signature = (vectors, metadatas=None))]
    fn add_batch<'py>(
        slf: &Bound<'py, Self>,
        vectors: &Bound<'py, PyAny>,
        metadatas: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let this = slf.get();
        let dimension = this.dimension(py)?;
        let all: Vec<Bound<'py, PyAny>> = vectors.try_iter()?.collect::<PyResult<_>>()?;
        for vector in &all {
            let found = floats_of(vector)?.len();
            if found != dimension {
                return Err(wrong_dimension(found, dimension));
            }
        }
        let is_own = Self::is_own(slf, "add")?;
        let mut is_changed = false;
        let added = add_each(
            PyList::new(py, all)?.as_any(),
            metadatas,
            |vector, metadata| {
                is_changed = true;
                if is_own {
                    return this.entries.put(vector, metadata, Some(dimension));
                }
                slf.call_method1(intern!(py, "add"), (vector, metadata))
            },
        );
        if is_changed {
            this.entries.touch(object::now());
        }
        added
    }

    /// The vector of an id, or `None`.
    fn get<'py>(&self, id: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.entries.get(id)
    }

    /// The live metadata of an id, or `None`.
    fn get_metadata<'py>(&self, id: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.entries.metadata(id)
    }

    /// Forgets a vector and its metadata; whether the id was known.
    fn remove(&self, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.entries.remove(id)
    }

    /// Forgets all vectors.
    fn clear(&self, py: Python<'_>) {
        self.entries.clear(py);
    }

    /// The `k` nearest vectors to a vector or to that of an id, as pairs of id and distance, nearest first.
    ///
    /// `min(k, vectors)` of them, of those for which `filter_fn(id, metadata)` is true. `ef_search` is how many candidates
    /// are considered at least. A vector named by its id is not among its own neighbours. Raises `ValueError` for `k` below
    /// 1, an unknown id and another dimension.
    #[pyo3(
        signature = (query, k=None, ef_search=None, filter_fn=None),
        text_signature = "($self, query, k=10, ef_search=50, filter_fn=None)"
    )]
    fn nearest<'py>(
        &self,
        query: &Bound<'py, PyAny>,
        k: Option<Bound<'py, PyAny>>,
        ef_search: Option<&Bound<'py, PyAny>>,
        filter_fn: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = query.py();
        let k = k.map_or_else(|| 10_i64.into_pyobject(py).map(Bound::into_any), Ok)?;
        let limits = self.limits(py, ef_search)?;
        let found = self
            .entries
            .nearest(query, &k, filter_fn.map(Filter::OfBoth), limits)?;
        pairs(py, found)
    }

    /// As `nearest`, with the live metadata as third of each.
    #[pyo3(
        signature = (query, k=None, ef_search=None, filter_fn=None),
        text_signature = "($self, query, k=10, ef_search=50, filter_fn=None)"
    )]
    fn nearest_with_metadata<'py>(
        slf: &Bound<'py, Self>,
        query: &Bound<'py, PyAny>,
        k: Option<Bound<'py, PyAny>>,
        ef_search: Option<&Bound<'py, PyAny>>,
        filter_fn: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let k = k.map_or_else(|| 10_i64.into_pyobject(py).map(Bound::into_any), Ok)?;
        let this = slf.get();
        if Self::is_own(slf, "nearest")? && Self::is_own(slf, "get_metadata")? {
            let limits = this.limits(py, ef_search)?;
            let found = this
                .entries
                .nearest(query, &k, filter_fn.map(Filter::OfBoth), limits)?;
            return PyList::new(py, found);
        }
        let with_metadata = PyList::empty(py);
        let found = slf.call_method1(intern!(py, "nearest"), (query, k, ef_search, filter_fn))?;
        for pair in found.try_iter()? {
            let (id, distance): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair?.extract()?;
            let metadata = slf.call_method1(intern!(py, "get_metadata"), (&id,))?;
            with_metadata.append((id, distance, metadata))?;
        }
        Ok(with_metadata)
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.entries.len(py)
    }

    fn __contains__(&self, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.entries.contains(id)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let this = slf.get();
        let state = (
            this.entries.state(py)?,
            this.dimensions.get(py),
            this.n_projections.get(py),
            this.n_tables.get(py),
            this.seed.get(py),
        );
        object::reduce(slf.as_any(), state.into_pyobject(py)?)
    }

    fn __setstate__<'py>(slf: &Bound<'py, Self>, state: &Bound<'py, PyTuple>) -> PyResult<()> {
        let attributes = object::restore(slf.as_any(), state)?;
        let this = slf.get();
        let [dimensions, n_projections, n_tables, seed] =
            [1, 2, 3, 4].map(|at| attributes.get_item(at));
        this.dimensions.set(Some(dimensions?.unbind()));
        this.n_projections.set(Some(n_projections?.unbind()));
        this.n_tables.set(Some(n_tables?.unbind()));
        this.seed.set(Some(seed?.unbind()));
        this.entries.restore(attributes.get_item(0)?.cast()?)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.entries.visit(&visit)
    }

    fn __clear__(&self) {
        self.entries.release();
    }
}
