//! `VectorIndex`: exact search.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PyTuple};

use super::entries::{Entries, Filter, Found, Limits};
use super::object::{self, Imported};

/// Vectors by id with metadata, searched by comparing all of them.
#[pyclass(
    frozen,
    subclass,
    name = "VectorIndex",
    module = "tandemdb._native.vectordb"
)]
pub(crate) struct VectorIndex {
    entries: Entries,
    /// Field to index, as the storage of the package `common` has them.
    indices: Py<PyDict>,
}

/// An argument that may be `None` or not be given at all.
pub(super) enum Given<'py> {
    Absent,
    Value(Bound<'py, PyAny>),
}

impl<'py> FromPyObject<'_, 'py> for Given<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self::Value(object.to_owned()))
    }
}

impl<'py> Given<'py> {
    /// The value, or a default.
    pub(super) fn or_else(self, default: impl FnOnce() -> Bound<'py, PyAny>) -> Bound<'py, PyAny> {
        match self {
            Self::Absent => default(),
            Self::Value(value) => value,
        }
    }

    /// The value, or that of the argument by which the other edition names it.
    pub(super) fn or(self, method: &str, name: &str, other: Self) -> PyResult<Bound<'py, PyAny>> {
        match (self, other) {
            (Self::Value(value), Self::Absent) | (Self::Absent, Self::Value(value)) => Ok(value),
            (Self::Value(_), Self::Value(_)) => Err(PyTypeError::new_err(format!(
                "{method}() got multiple values for argument '{name}'"
            ))),
            (Self::Absent, Self::Absent) => Err(PyTypeError::new_err(format!(
                "{method}() missing 1 required positional argument: '{name}'"
            ))),
        }
    }
}

static RANDOM: Imported = Imported::new("random", "Random");
static SAMPLE: Imported = Imported::new("random", "sample");

/// Pairs of an id and a distance.
pub(super) fn pairs<'py>(py: Python<'py>, found: Found<'py>) -> PyResult<Bound<'py, PyList>> {
    PyList::new(
        py,
        found.into_iter().map(|(id, distance, _)| (id, distance)),
    )
}

impl VectorIndex {
    pub(super) fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Whether a method of the object's class is the one of the index.
    fn is_own(slf: &Bound<'_, Self>, method: &str) -> PyResult<bool> {
        let py = slf.py();
        let own = py.get_type::<Self>().getattr(method)?;
        Ok(slf.get_type().getattr(method)?.is(&own))
    }

    /// Tells the storage's indices which vector a new one is in place of.
    fn file(
        &self,
        old: Option<&Bound<'_, PyAny>>,
        new: Option<&Bound<'_, PyAny>>,
        py: Python<'_>,
    ) -> PyResult<()> {
        for index in self.indices.bind(py).values() {
            match (old, new) {
                (Some(old), Some(new)) => index.call_method1(intern!(py, "update"), (old, new))?,
                (None, Some(new)) => index.call_method1(intern!(py, "add"), (new,))?,
                (Some(old), None) => index.call_method1(intern!(py, "remove"), (old,))?,
                (None, None) => index.call_method0(intern!(py, "clear"))?,
            };
        }
        Ok(())
    }
}

#[pymethods]
impl VectorIndex {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(distance_metric='euclidean')")]
    fn new(
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> Self {
        Self {
            entries: Entries::new(py),
            indices: PyDict::new(py).unbind(),
        }
    }

    #[pyo3(signature = (distance_metric=None))]
    fn __init__(slf: &Bound<'_, Self>, distance_metric: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let default = intern!(slf.py(), "euclidean").clone().into_any();
        slf.get()
            .entries
            .set_metric(&distance_metric.unwrap_or(default))
    }

    /// The ids, in the order of adding.
    #[getter]
    fn ids<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        self.entries.ids(py)
    }

    /// When the index last changed, in seconds since the epoch.
    #[getter(last_modified)]
    fn modified_at(&self) -> f64 {
        self.entries.last_modified()
    }

    /// The name of the metric, as given.
    #[getter]
    fn distance_metric(&self, py: Python<'_>) -> Py<PyAny> {
        self.entries.metric_name(py)
    }

    #[getter(_distance_metric)]
    fn private_metric(&self, py: Python<'_>) -> Py<PyAny> {
        self.entries.metric_name(py)
    }

    #[getter(_distance_function)]
    fn private_function(&self, py: Python<'_>) -> Py<PyAny> {
        self.entries.function(py)
    }

    #[getter(_records)]
    fn records<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.entries.vectors.bind(py).clone()
    }

    #[getter(_indices)]
    fn indices<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.indices.bind(py).clone()
    }

    #[getter(_last_modified)]
    fn private_last_modified(&self) -> f64 {
        self.entries.last_modified()
    }

    #[setter(_last_modified)]
    fn set_private_last_modified(&self, time: f64) {
        self.entries.touch(time);
    }

    /// Keeps a vector under its id, in place of one that is there, and returns the id.
    ///
    /// Without an id, a copy with a new id is kept. Metadata that is given is kept as it is, in place of what was there.
    #[pyo3(signature = (vector, metadata=None))]
    fn add<'py>(
        &self,
        vector: &Bound<'py, PyAny>,
        metadata: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = vector.py();
        if self.indices.bind(py).is_empty() {
            return self.entries.add(vector, metadata, None);
        }
        let old = match vector.getattr(intern!(py, "id"))? {
            id if id.is_none() => None,
            id => self.entries.get(&id)?,
        };
        self.file(old.as_ref(), Some(vector), py)?;
        let id = self.entries.add(vector, metadata, None)?;
        let stored = self.entries.get(&id)?;
        if !stored.as_ref().is_some_and(|stored| stored.is(vector)) {
            self.file(Some(vector), stored.as_ref(), py)?;
        }
        Ok(id)
    }

    /// Adds each vector; raises `ValueError`, adding none, when there are more or fewer metadata than vectors.
    #[pyo3(signature = (vectors, metadatas=None))]
    fn add_batch<'py>(
        slf: &Bound<'py, Self>,
        vectors: &Bound<'py, PyAny>,
        metadatas: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let is_own = Self::is_own(slf, "add")?;
        let this = slf.get();
        let mut is_changed = false;
        let added = add_each(vectors, metadatas, |vector, metadata| {
            is_changed = true;
            if !is_own {
                return slf.call_method1(intern!(slf.py(), "add"), (vector, metadata));
            }
            if this.indices.bind(slf.py()).is_empty() {
                return this.entries.put(vector, metadata, None);
            }
            this.add(vector, metadata)
        });
        if is_changed {
            this.entries.touch(object::now());
        }
        added
    }

    /// The vector of an id, or `None`.
    #[pyo3(signature = (id=Given::Absent, *, record_id=Given::Absent), text_signature = "($self, id)")]
    fn get<'py>(
        &self,
        id: Given<'py>,
        record_id: Given<'py>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.entries.get(&id.or("get", "id", record_id)?)
    }

    /// The live metadata of an id, or `None`.
    #[pyo3(signature = (id=Given::Absent, *, record_id=Given::Absent), text_signature = "($self, id)")]
    fn get_metadata<'py>(
        &self,
        id: Given<'py>,
        record_id: Given<'py>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let id = id.or("get_metadata", "id", record_id)?;
        self.entries.metadata(&id)
    }

    /// Puts other metadata in place of an id's; whether the id is known.
    #[pyo3(
        signature = (id=Given::Absent, metadata=Given::Absent, *, record_id=Given::Absent),
        text_signature = "($self, id, metadata)"
    )]
    fn update_metadata<'py>(
        &self,
        id: Given<'py>,
        metadata: Given<'py>,
        record_id: Given<'py>,
    ) -> PyResult<bool> {
        let id = id.or("update_metadata", "id", record_id)?;
        let metadata = metadata.or("update_metadata", "metadata", Given::Absent)?;
        self.entries.set_metadata(&id, metadata)
    }

    /// Forgets a vector and its metadata; whether the id was known.
    #[pyo3(signature = (id=Given::Absent, *, record_id=Given::Absent), text_signature = "($self, id)")]
    fn remove<'py>(
        &self,
        py: Python<'py>,
        id: Given<'py>,
        record_id: Given<'py>,
    ) -> PyResult<bool> {
        let id = id.or("remove", "id", record_id)?;
        if !self.indices.bind(py).is_empty()
            && let Some(old) = self.entries.get(&id)?
        {
            self.file(Some(&old), None, py)?;
        }
        self.entries.remove(&id)
    }

    /// `remove`, by the name that storages have for it.
    fn delete<'py>(slf: &Bound<'py, Self>, record_id: Bound<'py, PyAny>) -> PyResult<bool> {
        if Self::is_own(slf, "remove")? {
            return slf
                .get()
                .remove(slf.py(), Given::Value(record_id), Given::Absent);
        }
        slf.call_method1(intern!(slf.py(), "remove"), (record_id,))?
            .is_truthy()
    }

    /// Forgets each of the vectors; how many were known.
    #[pyo3(signature = (ids=Given::Absent, *, record_ids=Given::Absent), text_signature = "($self, ids)")]
    fn remove_batch<'py>(
        slf: &Bound<'py, Self>,
        ids: Given<'py>,
        record_ids: Given<'py>,
    ) -> PyResult<usize> {
        let ids = ids.or("remove_batch", "ids", record_ids)?;
        let is_own = Self::is_own(slf, "remove")?;
        let mut removed = 0;
        for id in ids.try_iter()? {
            let id = id?;
            let was_known = if is_own {
                slf.get()
                    .remove(slf.py(), Given::Value(id), Given::Absent)?
            } else {
                slf.call_method1(intern!(slf.py(), "remove"), (id,))?
                    .is_truthy()?
            };
            removed += usize::from(was_known);
        }
        Ok(removed)
    }

    /// Forgets all vectors.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.entries.clear(py);
        self.file(None, None, py)
    }

    /// The distance of two vectors, each given by itself or by its id. Raises `ValueError` for an unknown id.
    fn distance<'py>(
        &self,
        v1: &Bound<'py, PyAny>,
        v2: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.entries.distance(v1, v2)
    }

    /// The `k` nearest vectors to a vector or to that of an id, as pairs of id and distance, nearest first.
    ///
    /// Only those for which `filter_fn(id, metadata)` is true. Equal distances are in the order of adding. A vector named
    /// by its id is not among its own neighbours. Raises `ValueError` for `k` below 1, an unknown id, and what the metric
    /// cannot compare: other dimensions, or the direction of a zero vector.
    #[pyo3(
        signature = (query, k=None, filter_fn=None),
        text_signature = "($self, query, k=1, filter_fn=None)"
    )]
    fn nearest<'py>(
        &self,
        query: &Bound<'py, PyAny>,
        k: Option<Bound<'py, PyAny>>,
        filter_fn: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = query.py();
        let k = k.map_or_else(|| 1_i64.into_pyobject(py).map(Bound::into_any), Ok)?;
        pairs(
            py,
            self.entries
                .nearest(query, &k, filter_fn.map(Filter::OfBoth), Limits::default())?,
        )
    }

    /// As `nearest`, with the live metadata as third of each.
    #[pyo3(
        signature = (query, k=None, filter_fn=None),
        text_signature = "($self, query, k=1, filter_fn=None)"
    )]
    fn nearest_with_metadata<'py>(
        slf: &Bound<'py, Self>,
        query: &Bound<'py, PyAny>,
        k: Option<Bound<'py, PyAny>>,
        filter_fn: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let k = k.map_or_else(|| 1_i64.into_pyobject(py).map(Bound::into_any), Ok)?;
        if Self::is_own(slf, "nearest")? && Self::is_own(slf, "get_metadata")? {
            let found = slf.get().entries.nearest(
                query,
                &k,
                filter_fn.map(Filter::OfBoth),
                Limits::default(),
            )?;
            return PyList::new(py, found);
        }
        let with_metadata = PyList::empty(py);
        let found = slf.call_method1(intern!(py, "nearest"), (query, k, filter_fn))?;
        for pair in found.try_iter()? {
            let (id, distance): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair?.extract()?;
            let metadata = slf.call_method1(intern!(py, "get_metadata"), (&id,))?;
            with_metadata.append((id, distance, metadata))?;
        }
        Ok(with_metadata)
    }

    /// `n` different vectors at random; with a seed, always the same of the same index.
    ///
    /// Without one, they are drawn from Python's `random`. Raises `ValueError` when there are fewer.
    #[pyo3(signature = (n, seed=None))]
    fn sample<'py>(
        &self,
        n: &Bound<'py, PyAny>,
        seed: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = n.py();
        let ids = self.entries.ids(py);
        let number = object::integer(n)?;
        if number < 0 || usize::try_from(number).is_ok_and(|n| n > ids.len()) {
            return Err(PyValueError::new_err(format!(
                "Cannot sample {number} vectors from an index of {}",
                ids.len()
            )));
        }
        let chosen = match seed {
            Some(seed) => RANDOM
                .get(py)?
                .call1((seed,))?
                .call_method1(intern!(py, "sample"), (ids, n))?,
            None => SAMPLE.get(py)?.call1((ids, n))?,
        };
        let vectors = PyList::empty(py);
        for id in chosen.try_iter()? {
            vectors.append(self.entries.get(&id?)?)?;
        }
        Ok(vectors)
    }

    /// When the index last changed, by the name that storages have for it.
    #[pyo3(name = "get_last_modified")]
    fn when_modified(&self) -> f64 {
        self.entries.last_modified()
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.entries.len(py)
    }

    fn __contains__(&self, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.entries.contains(id)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        let vectors = self.entries.vectors.bind(py);
        vectors.call_method0(intern!(py, "values"))?.try_iter()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let fields = slf.get().indices.bind(py).keys();
        let state = (slf.get().entries.state(py)?, fields).into_pyobject(py)?;
        object::reduce(slf.as_any(), state)
    }

    fn __setstate__<'py>(slf: &Bound<'py, Self>, state: &Bound<'py, PyTuple>) -> PyResult<()> {
        let (entries, fields): (Bound<'py, PyTuple>, Bound<'py, PyAny>) =
            object::restore(slf.as_any(), state)?.extract()?;
        slf.get().entries.restore(&entries)?;
        for field in fields.try_iter()? {
            slf.call_method1(intern!(slf.py(), "add_index"), (field?,))?;
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.indices)?;
        self.entries.visit(&visit)
    }

    fn __clear__(&self) {
        self.entries.release();
    }
}

/// Adds each vector with its metadata, if as many of these are given.
pub(super) fn add_each<'py>(
    vectors: &Bound<'py, PyAny>,
    metadatas: Option<Bound<'py, PyAny>>,
    mut add: impl FnMut(&Bound<'py, PyAny>, Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    let py = vectors.py();
    let vectors: Vec<Bound<'py, PyAny>> = vectors.try_iter()?.collect::<PyResult<_>>()?;
    let metadatas: Vec<Option<Bound<'py, PyAny>>> = match metadatas {
        None => vec![None; vectors.len()],
        Some(given) => {
            let given: Vec<Bound<'py, PyAny>> = given.try_iter()?.collect::<PyResult<_>>()?;
            if given.len() != vectors.len() {
                return Err(PyValueError::new_err(
                    "Number of vectors and metadata dictionaries must match",
                ));
            }
            let some = given.into_iter();
            some.map(|metadata| (!metadata.is_none()).then_some(metadata))
                .collect()
        }
    };
    let ids = PyList::empty(py);
    for (vector, metadata) in vectors.iter().zip(metadatas) {
        ids.append(add(vector, metadata)?)?;
    }
    Ok(ids)
}
