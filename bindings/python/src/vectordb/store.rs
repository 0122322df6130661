//! `FeatureStore`: features of entities with versions, lineage and search by similarity.

mod searchable;

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};

use super::approximate::{Approximate, EFFORT};
use super::entries::{Entries, Filter, Limits};
use super::index::{Given, VectorIndex};
use super::lineage::{Lineage, NodeParts, node_id};
use super::object::{self, Field, Imported, is_exactly, new_id};
use super::vector::{Vector, floats};
use super::version::{Parts, Version};
use super::versions::{Versions, Which};
use crate::interchange::own_dict;

static EXACT_INDEX: Imported = Imported::new("vectordb.indexing.index", "VectorIndex");

/// Features of entities: every value with its versions, where it came from and, when it is a vector, what is like it.
///
/// Vectors are searchable when `vector_dimension` is given; all of them then have that dimension.
#[pyclass(
    frozen,
    subclass,
    dict,
    weakref,
    name = "FeatureStore",
    module = "vectordb.feature_store.store"
)]
pub(crate) struct Store {
    vector_dimension: Field,
    distance_metric: Field,
    approximate_search: Field,
    vector_index: Field,
    /// Entity to metadata.
    entities: Py<PyDict>,
    /// Feature to metadata.
    features: Py<PyDict>,
    versions: Py<Versions>,
    lineage: Py<Lineage>,
    /// Key in the index to entity, feature, version id and the metadata that went with them.
    owners: Py<PyDict>,
    last_modified: Mutex<f64>,
}

impl Store {
    fn touch(&self) {
        *self.last_modified.lock() = object::now();
    }

    fn dimension(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        self.vector_dimension
            .get(py)
            .map(|dimension| dimension.extract(py))
            .transpose()
    }

    /// The index, made if there is none yet; none without a dimension.
    fn index<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if let Some(index) = self.vector_index.get(py) {
            return Ok(Some(index.into_bound(py)));
        }
        let Some(dimension) = self.vector_dimension.get(py) else {
            return Ok(None);
        };
        let arguments = PyDict::new(py);
        arguments.set_item("distance_metric", self.distance_metric.or_none(py))?;
        let new = if self.approximate_search.or_none(py).is_truthy(py)? {
            py.get_type::<Approximate>()
                .call((dimension,), Some(&arguments))?
        } else {
            EXACT_INDEX.get(py)?.call((), Some(&arguments))?
        };
        // Another thread may have been faster.
        if self.vector_index.get(py).is_none() {
            self.vector_index.set(Some(new.unbind()));
        }
        Ok(self.vector_index.get(py).map(|index| index.into_bound(py)))
    }

    /// The value as it is stored, and its type.
    fn value_and_type<'py>(
        value: Bound<'py, PyAny>,
        given: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let py = value.py();
        let vector = || intern!(py, "vector").clone().into_any();
        let is_vector = value.is_instance_of::<Vector>();
        match given {
            None if is_vector => Ok((value, vector())),
            None if is_numbers(&value) => Ok((as_vector(&value)?, vector())),
            None => Ok((value, intern!(py, "scalar").clone().into_any())),
            Some(given) if given.eq(intern!(py, "vector"))? => {
                if is_vector {
                    return Ok((value, given));
                }
                if is_numbers(&value) {
                    return Ok((as_vector(&value)?, given));
                }
                Err(PyValueError::new_err(
                    "Vector features must be Vector objects or lists of numbers",
                ))
            }
            Some(given) => Ok((value, given)),
        }
    }

    /// The node of a feature's version, made if there is none.
    fn version_node<'py>(
        &self,
        entity: &Bound<'py, PyAny>,
        feature: &Bound<'py, PyAny>,
        version: &Bound<'py, Version>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = entity.py();
        let version = version.get();
        let version_id = version.id_of(py);
        let id = node_id(entity, feature, version_id.bind(py))?.into_any();
        let lineage = self.lineage.bind(py).get();
        if lineage.node(&id)?.is_none() {
            let metadata = PyDict::new(py);
            metadata.set_item(intern!(py, "entity_id"), entity)?;
            metadata.set_item(intern!(py, "feature_name"), feature)?;
            metadata.set_item(intern!(py, "version_id"), version_id)?;
            let created_by = version.creator_of(py).into_bound(py);
            let parts = NodeParts {
                node_id: Some(id.clone()),
                name: Some(PyString::from_fmt(py, format_args!("{entity}:{feature}"))?.into_any()),
                timestamp: Some(version.time_of(py).into_bound(py)),
                created_by: (!created_by.is_none()).then_some(created_by),
                metadata: Some(metadata.into_any()),
            };
            lineage.put(intern!(py, "feature").clone().into_any(), parts, &[])?;
        }
        Ok(id)
    }

    fn record_lineage<'py>(
        &self,
        entity: &Bound<'py, PyAny>,
        feature: &Bound<'py, PyAny>,
        version: &Bound<'py, Version>,
        from: &Origin<'py>,
    ) -> PyResult<()> {
        let py = entity.py();
        let versions = self.versions.bind(py).get();
        let mut parents = Vec::new();
        for pair in &from.parents {
            let (parent, name): (Bound<'py, PyAny>, Bound<'py, PyAny>) = pair.extract()?;
            // A feature may be made from what it was before.
            let list = versions.list(&parent, &name)?;
            let newest = list.iter().flat_map(PyListMethods::iter);
            let current = newest.into_iter().find(|known| !known.is(version));
            if let Some(current) = current {
                parents.push(self.version_node(&parent, &name, &current.cast_into()?)?);
            }
        }
        let node = self.version_node(entity, feature, version)?;
        let lineage = self.lineage.bind(py).get();
        let Some(transformation) = &from.transformation else {
            for parent in &parents {
                lineage.connect_ids(parent, &node)?;
            }
            return Ok(());
        };
        let metadata = PyDict::new(py);
        metadata.set_item(intern!(py, "transformation"), transformation)?;
        if let Some(parameters) = &from.parameters
            && parameters.is_truthy()?
        {
            metadata.set_item(intern!(py, "parameters"), parameters)?;
        }
        let created_by = version.get().creator_of(py).into_bound(py);
        let parts = NodeParts {
            name: Some(transformation.clone()),
            timestamp: Some(version.get().time_of(py).into_bound(py)),
            created_by: (!created_by.is_none()).then_some(created_by),
            metadata: Some(metadata.into_any()),
            ..NodeParts::default()
        };
        lineage.transform(py, parts, &parents, &[node])?;
        Ok(())
    }

    fn value<'py>(
        &self,
        entity: &Bound<'py, PyAny>,
        feature: &Bound<'py, PyAny>,
        which: &Which<'py>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = entity.py();
        let found = self.versions.bind(py).get().find(entity, feature, which)?;
        Ok(found.map(|version| version.get().value_of(py).into_bound(py)))
    }

    /// Forgets a feature; whether it was there.
    fn forget<'py>(
        &self,
        entity: &Bound<'py, PyAny>,
        feature: &Bound<'py, PyAny>,
        with_lineage: bool,
    ) -> PyResult<bool> {
        let py = entity.py();
        let versions = self.versions.bind(py).get();
        if !versions.has_feature(entity, feature)? {
            return Ok(false);
        }
        let gone = versions.take(entity, Some(feature))?;
        self.unfile(&gone)?;
        if with_lineage {
            for version in &gone {
                let version_id = version.cast::<Version>()?.get().id_of(py);
                let id = node_id(entity, feature, version_id.bind(py))?;
                self.lineage.bind(py).get().forget_branch(id.as_any())?;
            }
        }
        self.touch();
        Ok(true)
    }
}

/// What a feature was made from.
struct Origin<'py> {
    parents: Vec<Bound<'py, PyAny>>,
    transformation: Option<Bound<'py, PyAny>>,
    parameters: Option<Bound<'py, PyAny>>,
}

/// Whether it is a list or tuple of numbers only.
fn is_numbers(value: &Bound<'_, PyAny>) -> bool {
    let is_number = |item: &Bound<'_, PyAny>| {
        item.is_instance_of::<PyFloat>() || item.is_instance_of::<PyInt>()
    };
    if let Ok(list) = value.cast::<PyList>() {
        return list.iter().all(|item| is_number(&item));
    }
    if let Ok(tuple) = value.cast::<PyTuple>() {
        return tuple.iter_borrowed().all(|item| is_number(&item));
    }
    false
}

fn as_vector<'py>(numbers: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let floats = floats(numbers)?;
    if floats.is_empty() {
        return Err(PyValueError::new_err("Vector cannot be empty"));
    }
    Ok(Bound::new(numbers.py(), Vector::of(floats, None))?.into_any())
}

/// The entry of a mapping, if there is a mapping and it has one.
fn entry<'py>(
    mapping: Option<&Bound<'py, PyAny>>,
    key: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(mapping) = mapping else {
        return Ok(None);
    };
    if let Ok(dict) = mapping.cast_exact::<PyDict>() {
        let found = dict.get_item(key)?;
        return Ok(found.filter(|found| !found.is_none()));
    }
    if !mapping.contains(key)? {
        return Ok(None);
    }
    let found = mapping.get_item(key)?;
    Ok((!found.is_none()).then_some(found))
}

#[pymethods]
impl Store {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(vector_dimension=None, distance_metric='euclidean', max_versions_per_feature=10, approximate_search=True)"
    )]
    fn new(
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Ok(Self {
            vector_dimension: Field::new(None),
            distance_metric: Field::new(None),
            approximate_search: Field::new(None),
            vector_index: Field::new(None),
            entities: PyDict::new(py).unbind(),
            features: PyDict::new(py).unbind(),
            versions: Versions::new_in(py, None)?.unbind(),
            lineage: Lineage::new_in(py)?.unbind(),
            owners: PyDict::new(py).unbind(),
            last_modified: Mutex::new(object::now()),
        })
    }

    #[pyo3(signature = (
        vector_dimension=None, distance_metric=Given::Absent, max_versions_per_feature=Given::Absent,
        approximate_search=Given::Absent
    ))]
    fn __init__(
        &self,
        py: Python<'_>,
        vector_dimension: Option<Py<PyAny>>,
        distance_metric: Given<'_>,
        max_versions_per_feature: Given<'_>,
        approximate_search: Given<'_>,
    ) -> PyResult<()> {
        let metric = distance_metric.or_else(|| intern!(py, "euclidean").clone().into_any());
        let ten = 10_i64.into_pyobject(py)?.into_any();
        let most = max_versions_per_feature.or_else(|| ten);
        let yes = true.into_pyobject(py)?.to_owned().into_any();
        let approximate = approximate_search.or_else(|| yes);
        self.vector_dimension.set(vector_dimension);
        self.distance_metric.set(Some(metric.unbind()));
        self.approximate_search.set(Some(approximate.unbind()));
        let versions = self.versions.bind(py).get();
        versions.limit((!most.is_none()).then(|| most.unbind()));
        Ok(())
    }

    /// When the store last changed, in seconds since the epoch.
    #[getter]
    fn last_modified(&self) -> f64 {
        *self.last_modified.lock()
    }

    /// The index of all vectors, made when first asked for; `None` without a vector dimension.
    #[getter]
    fn vector_index<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.index(py)
    }

    #[getter(_vector_index)]
    fn private_index(&self, py: Python<'_>) -> Py<PyAny> {
        self.vector_index.or_none(py)
    }

    #[getter(_vector_dimension)]
    fn private_dimension(&self, py: Python<'_>) -> Py<PyAny> {
        self.vector_dimension.or_none(py)
    }

    #[getter(_distance_metric)]
    fn private_metric(&self, py: Python<'_>) -> Py<PyAny> {
        self.distance_metric.or_none(py)
    }

    #[getter(_approximate_search)]
    fn private_approximate(&self, py: Python<'_>) -> Py<PyAny> {
        self.approximate_search.or_none(py)
    }

    #[getter(_entity_metadata)]
    fn private_entities(&self, py: Python<'_>) -> Py<PyDict> {
        self.entities.clone_ref(py)
    }

    #[getter(_feature_metadata)]
    fn private_features(&self, py: Python<'_>) -> Py<PyDict> {
        self.features.clone_ref(py)
    }

    #[getter(_feature_types)]
    fn private_types<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let types = PyDict::new(py);
        for (feature, metadata) in self.features.bind(py).iter() {
            types.set_item(feature, metadata.get_item(intern!(py, "type"))?)?;
        }
        Ok(types)
    }

    #[getter(_version_manager)]
    fn private_versions(&self, py: Python<'_>) -> Py<Versions> {
        self.versions.clone_ref(py)
    }

    #[getter(_lineage_tracker)]
    fn private_lineage(&self, py: Python<'_>) -> Py<Lineage> {
        self.lineage.clone_ref(py)
    }

    #[getter(_last_modified)]
    fn private_last_modified(&self) -> f64 {
        *self.last_modified.lock()
    }

    /// Registers an entity and returns its id, which is made when `None`. Of one that is there, it replaces the metadata.
    #[pyo3(signature = (entity_id=None, metadata=None))]
    fn add_entity<'py>(
        &self,
        py: Python<'py>,
        entity_id: Option<Bound<'py, PyAny>>,
        metadata: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let id = entity_id.unwrap_or_else(|| new_id(py));
        let metadata = match metadata {
            Some(metadata) if metadata.is_truthy()? => metadata,
            _ => PyDict::new(py).into_any(),
        };
        self.entities.bind(py).set_item(&id, metadata)?;
        self.touch();
        Ok(id)
    }

    /// Adds a version of a feature and returns its id.
    ///
    /// An unknown entity is registered. Vectors and lists of numbers are vectors, all else scalars, unless a type is given.
    /// `parent_features` are pairs of entity and feature. Raises `ValueError` for what is no vector of the store's dimension
    /// where one is wanted.
    #[pyo3(signature = (
        entity_id, feature_name, value, feature_type=None, version_id=None, timestamp=None, created_by=None,
        description=None, metadata=None, parent_features=None, transformation=None, parameters=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "as callers know it")]
    fn set_feature<'py>(
        &self,
        entity_id: &Bound<'py, PyAny>,
        feature_name: &Bound<'py, PyAny>,
        value: Bound<'py, PyAny>,
        feature_type: Option<Bound<'py, PyAny>>,
        version_id: Option<Bound<'py, PyAny>>,
        timestamp: Option<Bound<'py, PyAny>>,
        created_by: Option<Bound<'py, PyAny>>,
        description: Option<Bound<'py, PyAny>>,
        metadata: Option<&Bound<'py, PyAny>>,
        parent_features: Option<&Bound<'py, PyAny>>,
        transformation: Option<Bound<'py, PyAny>>,
        parameters: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = entity_id.py();
        let entities = self.entities.bind(py);
        if !entities.contains(entity_id)? {
            entities.set_item(entity_id, PyDict::new(py))?;
            self.touch();
        }
        let (value, kind) = Self::value_and_type(value, feature_type)?;
        let mut index = None;
        if let Ok(vector) = value.cast::<Vector>()
            && kind.eq(intern!(py, "vector"))?
            && let Some(dimension) = self.dimension(py)?
        {
            let found = vector.get().floats().len();
            if found != dimension {
                return Err(PyValueError::new_err(format!(
                    "Vector dimension ({found}) does not match store dimension ({dimension})"
                )));
            }
            index = self.index(py)?;
        }
        let mut parents: Vec<Bound<'py, PyAny>> = Vec::new();
        if let Some(pairs) = parent_features {
            parents.extend(pairs.try_iter()?.collect::<PyResult<Vec<_>>>()?);
        }
        let origin = Origin {
            parents,
            transformation: match transformation {
                Some(name) if name.is_truthy()? => Some(name),
                _ => None,
            },
            parameters,
        };

        let parts = Parts {
            version_id,
            timestamp,
            created_by,
            description,
            metadata: metadata.cloned(),
        };
        let versions = self.versions.bind(py).get();
        let (version, gone) = versions.put(entity_id, feature_name, value.clone(), parts)?;
        let features = self.features.bind(py);
        match features.get_item(feature_name)? {
            Some(metadata) => {
                let known = metadata.get_item(intern!(py, "type"))?;
                if !known.is(&kind) {
                    metadata.set_item(intern!(py, "type"), kind)?;
                }
            }
            None => {
                let metadata = PyDict::new(py);
                metadata.set_item(intern!(py, "type"), kind)?;
                features.set_item(feature_name, metadata)?;
            }
        }
        if !origin.parents.is_empty() || origin.transformation.is_some() {
            self.record_lineage(entity_id, feature_name, &version, &origin)?;
        }
        if let Some(index) = index {
            self.file(entity_id, feature_name, &version, &value, metadata, &index)?;
        }
        self.unfile(&gone)?;
        self.touch();
        Ok(version.get().id_of(py))
    }

    /// The value of a version: that of the id, else of the number (0 the newest), else the latest at a time, else the
    /// newest. The default when there is none.
    #[pyo3(signature = (
        entity_id, feature_name, version_id=None, version_number=None, timestamp=None, default=None
    ))]
    fn get_feature<'py>(
        &self,
        entity_id: &Bound<'py, PyAny>,
        feature_name: &Bound<'py, PyAny>,
        version_id: Option<Bound<'py, PyAny>>,
        version_number: Option<Bound<'py, PyAny>>,
        timestamp: Option<Bound<'py, PyAny>>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let which = Which {
            id: version_id,
            number: version_number,
            timestamp,
        };
        Ok(self.value(entity_id, feature_name, &which)?.or(default))
    }

    /// For each entity a dict of those of the features that have a value.
    ///
    /// `version_ids` is by entity and feature, `timestamps` by entity; a version id wins.
    #[pyo3(signature = (entity_ids, feature_names, version_ids=None, timestamps=None))]
    fn get_feature_batch<'py>(
        slf: &Bound<'py, Self>,
        entity_ids: &Bound<'py, PyAny>,
        feature_names: &Bound<'py, PyAny>,
        version_ids: Option<&Bound<'py, PyAny>>,
        timestamps: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = slf.py();
        let own =
            !is_exactly::<Self>(slf) || own_dict(slf)?.contains(intern!(py, "get_feature"))?;
        let overridden = own
            .then(|| slf.getattr(intern!(py, "get_feature")))
            .transpose()?;
        let names: Vec<Bound<'py, PyAny>> = feature_names.try_iter()?.collect::<PyResult<_>>()?;
        let this = slf.get();
        let all = PyDict::new(py);
        for entity in entity_ids.try_iter()? {
            let entity = entity?;
            let time = entry(timestamps, &entity)?;
            let ids = entry(version_ids, &entity)?;
            let found = PyDict::new(py);
            for name in &names {
                let which = Which {
                    id: entry(ids.as_ref(), name)?,
                    number: None,
                    timestamp: time.clone(),
                };
                let value = match &overridden {
                    None => this.value(&entity, name, &which)?,
                    Some(get) => {
                        let arguments = PyDict::new(py);
                        arguments.set_item("entity_id", &entity)?;
                        arguments.set_item("feature_name", name)?;
                        arguments.set_item("version_id", which.id)?;
                        arguments.set_item("timestamp", which.timestamp)?;
                        Some(get.call((), Some(&arguments))?)
                    }
                };
                if let Some(value) = value.filter(|value| !value.is_none()) {
                    found.set_item(name, value)?;
                }
            }
            all.set_item(entity, found)?;
        }
        Ok(all)
    }

    /// Versions as dicts, newest first; from one time to another, both included, at most `limit`, if that is above 0.
    #[pyo3(signature = (entity_id, feature_name, limit=None, since_timestamp=None, until_timestamp=None))]
    fn get_feature_history<'py>(
        &self,
        entity_id: &Bound<'py, PyAny>,
        feature_name: &Bound<'py, PyAny>,
        limit: Option<Bound<'py, PyAny>>,
        since_timestamp: Option<&Bound<'py, PyAny>>,
        until_timestamp: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = entity_id.py();
        let versions = self.versions.bind(py).get().history(
            entity_id,
            feature_name,
            limit,
            since_timestamp,
            until_timestamp,
        )?;
        let history = PyList::empty(py);
        for version in versions {
            history.append(version.cast::<Version>()?.get().to_dict(py)?)?;
        }
        Ok(history)
    }

    /// The transformations that a version, the newest if none is named, came from, oldest first. Raises `ValueError` when
    /// there is no such version.
    #[pyo3(signature = (entity_id, feature_name, version_id=None))]
    fn get_feature_lineage<'py>(
        &self,
        entity_id: &Bound<'py, PyAny>,
        feature_name: &Bound<'py, PyAny>,
        version_id: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = entity_id.py();
        let which = Which {
            id: version_id,
            ..Which::default()
        };
        let versions = self.versions.bind(py).get();
        let Some(version) = versions.find(entity_id, feature_name, &which)? else {
            return Err(PyValueError::new_err(format!(
                "Feature '{}' of entity '{}' has no such version",
                feature_name.str()?,
                entity_id.str()?
            )));
        };
        let id = node_id(entity_id, feature_name, version.get().id_of(py).bind(py))?.into_any();
        let lineage = self.lineage.bind(py).get();
        if lineage.node(&id)?.is_none() {
            return Ok(PyList::empty(py));
        }
        lineage.history(&id)
    }

    /// The `k` vectors nearest to one, of all versions, as dicts of entity, feature, version, distance and metadata.
    ///
    /// The query is a `Vector`, `"entity:feature"`, `"entity:feature:version"`, or a tuple of these. Only those for which
    /// `filter_fn(metadata)` is true. Raises `ValueError` when the store has no vectors or the query names none.
    #[pyo3(
        signature = (query, k=None, filter_fn=None),
        text_signature = "($self, query, k=10, filter_fn=None)"
    )]
    fn get_similar_vectors<'py>(
        &self,
        query: &Bound<'py, PyAny>,
        k: Option<Bound<'py, PyAny>>,
        filter_fn: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = query.py();
        let (Some(index), Some(dimension)) = (self.index(py)?, self.dimension(py)?) else {
            return Err(PyValueError::new_err("Vector index is not available"));
        };
        let vector = self.query(query)?;
        let found = vector.cast::<Vector>()?.get().floats().len();
        if found != dimension {
            return Err(super::entries::wrong_dimension(found, dimension));
        }
        let k = k.map_or_else(|| 10_i64.into_pyobject(py).map(Bound::into_any), Ok)?;
        let (entries, effort): (&Entries, _) = match index.cast::<Approximate>() {
            Ok(index) => (index.get().entries(), Some(EFFORT)),
            Err(_) => (index.cast::<VectorIndex>()?.get().entries(), None),
        };
        let limits = Limits {
            effort,
            dimension: None,
        };
        let filter = filter_fn.map(Filter::OfMetadata);
        let nearest = entries.nearest(&vector, &k, filter, limits)?;
        let owners = self.owners.bind(py);
        let similar = PyList::empty(py);
        for (key, distance, metadata) in nearest {
            let dict = PyDict::new(py);
            let names = [
                intern!(py, "entity_id"),
                intern!(py, "feature_name"),
                intern!(py, "version_id"),
            ];
            let owner = match owners.get_item(&key)? {
                Some(owner) if owner.get_item(3)?.is(&metadata) => Some(owner),
                _ => None,
            };
            for (at, name) in names.into_iter().enumerate() {
                let value = match &owner {
                    Some(owner) => Some(owner.get_item(at)?),
                    // Put into the index by the caller.
                    None => entry(Some(&metadata), name)?,
                };
                dict.set_item(name, value)?;
            }
            dict.set_item(intern!(py, "distance"), distance)?;
            dict.set_item(intern!(py, "metadata"), metadata)?;
            similar.append(dict)?;
        }
        Ok(similar)
    }

    /// Forgets all versions of a feature, with `delete_lineage` also what came from them; whether there were any.
    #[pyo3(
        signature = (entity_id, feature_name, delete_lineage=None),
        text_signature = "($self, entity_id, feature_name, delete_lineage=False)"
    )]
    fn delete_feature<'py>(
        &self,
        entity_id: &Bound<'py, PyAny>,
        feature_name: &Bound<'py, PyAny>,
        delete_lineage: Option<Bound<'py, PyAny>>,
    ) -> PyResult<bool> {
        let with_lineage = delete_lineage.map_or(Ok(false), |given| given.is_truthy())?;
        self.forget(entity_id, feature_name, with_lineage)
    }

    /// Forgets an entity and its features; whether it was known.
    #[pyo3(
        signature = (entity_id, delete_lineage=None),
        text_signature = "($self, entity_id, delete_lineage=False)"
    )]
    fn delete_entity<'py>(
        slf: &Bound<'py, Self>,
        entity_id: &Bound<'py, PyAny>,
        delete_lineage: Option<Bound<'py, PyAny>>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let with_lineage = delete_lineage.map_or(Ok(false), |given| given.is_truthy())?;
        if !this.entities.bind(py).contains(entity_id)? {
            return Ok(false);
        }
        let names = this.versions.bind(py).get().get_features(entity_id)?;
        for feature in names.iter() {
            if is_exactly::<Self>(slf) {
                this.forget(entity_id, &feature, with_lineage)?;
            } else {
                let arguments = (entity_id, feature, with_lineage);
                slf.call_method1(intern!(py, "delete_feature"), arguments)?;
            }
        }
        this.entities.bind(py).del_item(entity_id)?;
        this.touch();
        Ok(true)
    }

    /// The ids of all entities.
    fn get_entities<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        self.entities.bind(py).keys()
    }

    /// The names of an entity's features, or of those of all entities.
    #[pyo3(signature = (entity_id=None))]
    fn get_features<'py>(
        &self,
        py: Python<'py>,
        entity_id: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let versions = self.versions.bind(py).get();
        if let Some(entity) = entity_id {
            return versions.get_features(entity);
        }
        let names = PyDict::new(py);
        for entity in versions.entities(py).iter() {
            for name in versions.get_features(&entity)?.iter() {
                names.set_item(name, py.None())?;
            }
        }
        Ok(names.keys())
    }

    /// The live metadata of an entity, or `None`.
    fn get_entity_metadata<'py>(
        &self,
        entity_id: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.entities.bind(entity_id.py()).get_item(entity_id)
    }

    /// Puts other metadata in place of an entity's; whether it is known.
    fn set_entity_metadata<'py>(
        &self,
        entity_id: &Bound<'py, PyAny>,
        metadata: &Bound<'py, PyAny>,
    ) -> PyResult<bool> {
        let entities = self.entities.bind(entity_id.py());
        let is_known = entities.contains(entity_id)?;
        if is_known {
            entities.set_item(entity_id, metadata)?;
            self.touch();
        }
        Ok(is_known)
    }

    /// The metadata of a feature, with its type, or `None` when it was never set.
    fn get_feature_metadata<'py>(
        &self,
        feature_name: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.features.bind(feature_name.py()).get_item(feature_name)
    }

    /// Puts a copy of other metadata in place of a feature's, which keeps its type; whether it was ever set.
    fn set_feature_metadata<'py>(
        &self,
        feature_name: &Bound<'py, PyAny>,
        metadata: &Bound<'py, PyAny>,
    ) -> PyResult<bool> {
        let py = feature_name.py();
        let features = self.features.bind(py);
        let Some(old) = features.get_item(feature_name)? else {
            return Ok(false);
        };
        let new = PyDict::new(py);
        new.update(metadata.cast()?)?;
        let kind = intern!(py, "type");
        new.set_item(kind, old.get_item(kind)?)?;
        features.set_item(feature_name, new)?;
        self.touch();
        Ok(true)
    }

    /// The settings, the number of entities and the last change; no data.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("vector_dimension", self.vector_dimension.or_none(py))?;
        dict.set_item("distance_metric", self.distance_metric.or_none(py))?;
        let most = self.versions.bind(py).get().most_or_none(py);
        dict.set_item("max_versions_per_feature", most)?;
        dict.set_item("approximate_search", self.approximate_search.or_none(py))?;
        dict.set_item("entity_count", self.entities.bind(py).len())?;
        dict.set_item("last_modified", self.last_modified())?;
        Ok(dict)
    }

    /// An empty store with these settings.
    #[classmethod]
    fn from_dict<'py>(
        cls: &Bound<'py, PyType>,
        data: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let settings = PyDict::new(cls.py());
        settings.set_item("max_versions_per_feature", cls.py().None())?;
        for name in [
            "vector_dimension",
            "distance_metric",
            "max_versions_per_feature",
            "approximate_search",
        ] {
            if data.contains(name)? {
                settings.set_item(name, data.get_item(name)?)?;
            }
        }
        cls.call((), Some(&settings))
    }

    /// `to_dict` as JSON.
    fn to_json<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        object::dumps(&slf.call_method0(intern!(slf.py(), "to_dict"))?)
    }

    /// Inverse of `to_json`.
    #[classmethod]
    fn from_json<'py>(
        cls: &Bound<'py, PyType>,
        json_str: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        cls.call_method1(intern!(cls.py(), "from_dict"), (object::loads(json_str)?,))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.entities)?;
        visit.call(&self.features)?;
        visit.call(&self.versions)?;
        visit.call(&self.lineage)?;
        visit.call(&self.owners)?;
        self.vector_index.visit(&visit)
    }
}
