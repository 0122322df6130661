//! `VersionManager`: what values features had, newest first.

use parking_lot::Mutex;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyList, PyTuple};

use super::object::{self, Field, is_exactly, new_id};
use super::version::{Parts, Version, hash_of};

/// The versions of features by entity and name.
///
/// At most `max_versions_per_feature` of each, the last that were added; all of them when it is `None`.
#[pyclass(
    frozen,
    subclass,
    dict,
    weakref,
    name = "VersionManager",
    module = "vectordb.feature_store.version"
)]
pub(crate) struct Versions {
    /// Entity to feature to list of versions, newest first.
    by_entity: Py<PyDict>,
    most: Field,
    changes: Mutex<Vec<Changed>>,
}

/// A change, until somebody asks for it.
struct Changed {
    id: Option<Py<PyAny>>,
    entity: Py<PyAny>,
    feature: Py<PyAny>,
    kind: Kind,
    timestamp: Py<PyAny>,
    value: Option<Py<PyAny>>,
}

#[derive(Clone, Copy)]
enum Kind {
    Create,
    Update,
    Delete,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// Which version is meant.
#[derive(Default)]
pub(super) struct Which<'py> {
    pub(super) id: Option<Bound<'py, PyAny>>,
    pub(super) number: Option<Bound<'py, PyAny>>,
    pub(super) timestamp: Option<Bound<'py, PyAny>>,
}

impl Versions {
    pub(super) fn new_in(py: Python<'_>, most: Option<Py<PyAny>>) -> PyResult<Bound<'_, Self>> {
        Bound::new(
            py,
            Self {
                by_entity: PyDict::new(py).unbind(),
                most: Field::new(most),
                changes: Mutex::new(Vec::new()),
            },
        )
    }

    pub(super) fn limit(&self, most: Option<Py<PyAny>>) {
        self.most.set(most);
    }

    pub(super) fn most_or_none(&self, py: Python<'_>) -> Py<PyAny> {
        self.most.or_none(py)
    }

    pub(super) fn entities<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        self.by_entity.bind(py).keys()
    }

    fn features<'py>(&self, entity: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
        match self.by_entity.bind(entity.py()).get_item(entity)? {
            Some(features) => Ok(Some(features.cast_into()?)),
            None => Ok(None),
        }
    }

    pub(super) fn list<'py>(
        &self,
        entity: &Bound<'py, PyAny>,
        feature: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyList>>> {
        let Some(features) = self.features(entity)? else {
            return Ok(None);
        };
        match features.get_item(feature)? {
            Some(list) => Ok(Some(list.cast_into()?)),
            None => Ok(None),
        }
    }

    pub(super) fn find<'py>(
        &self,
        entity: &Bound<'py, PyAny>,
        feature: &Bound<'py, PyAny>,
        which: &Which<'py>,
    ) -> PyResult<Option<Bound<'py, Version>>> {
        let Some(list) = self.list(entity, feature)? else {
            return Ok(None);
        };
        if let Some(id) = &which.id {
            let hash = hash_of(id);
            for version in list.iter() {
                let version = version.cast_into::<Version>()?;
                if version.get().has_id(id, hash)? {
                    return Ok(Some(version));
                }
            }
            return Ok(None);
        }
        if let Some(number) = &which.number {
            let number = usize::try_from(object::integer(number)?);
            return Ok(match number.ok().filter(|number| *number < list.len()) {
                Some(number) => Some(list.get_item(number)?.cast_into()?),
                None => None,
            });
        }
        if let Some(time) = &which.timestamp {
            return latest(&list, time);
        }
        if list.is_empty() {
            return Ok(None);
        }
        Ok(Some(list.get_item(0)?.cast_into()?))
    }

    /// Adds a version in front; it, and those that the limit puts out.
    pub(super) fn put<'py>(
        &self,
        entity: &Bound<'py, PyAny>,
        feature: &Bound<'py, PyAny>,
        value: Bound<'py, PyAny>,
        parts: Parts<'py>,
    ) -> PyResult<(Bound<'py, Version>, Vec<Bound<'py, PyAny>>)> {
        let py = entity.py();
        let version = Version::new_in(py, value, parts)?;
        let features = match self.features(entity)? {
            Some(features) => features,
            None => {
                // A feature that cannot be a key leaves no entity behind.
                feature.hash()?;
                let new = PyDict::new(py);
                self.by_entity.bind(py).set_item(entity, &new)?;
                new
            }
        };
        let (list, kind) = match features.get_item(feature)? {
            Some(list) => (list.cast_into::<PyList>()?, Kind::Update),
            None => {
                let new = PyList::empty(py);
                features.set_item(feature, &new)?;
                (new, Kind::Create)
            }
        };
        list.insert(0, &version)?;
        let mut gone = Vec::new();
        if let Some(most) = self.most.get(py).filter(|most| !most.is_none(py)) {
            let most = usize::try_from(object::integer(most.bind(py))?).unwrap_or(0);
            let mut len = list.len();
            while len > most {
                len -= 1;
                gone.push(list.get_item(len)?);
                list.del_item(len)?;
            }
        }
        let changed = Changed {
            id: None,
            entity: entity.clone().unbind(),
            feature: feature.clone().unbind(),
            kind,
            timestamp: version.get().time_of(py),
            value: Some(version.get().value_of(py)),
        };
        self.changes.lock().push(changed);
        Ok((version, gone))
    }

    /// Forgets a feature, or all of an entity; the versions that are gone.
    pub(super) fn take<'py>(
        &self,
        entity: &Bound<'py, PyAny>,
        feature: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let py = entity.py();
        let Some(features) = self.features(entity)? else {
            return Ok(Vec::new());
        };
        let names = match feature {
            Some(feature) => vec![feature.clone()],
            None => features.keys().iter().collect(),
        };
        let mut gone = Vec::new();
        for name in names {
            let Some(list) = features.get_item(&name)? else {
                continue;
            };
            gone.extend(list.cast::<PyList>()?.iter());
            features.del_item(&name)?;
            let changed = Changed {
                id: None,
                entity: entity.clone().unbind(),
                feature: name.unbind(),
                kind: Kind::Delete,
                timestamp: PyFloat::new(py, object::now()).into_any().unbind(),
                value: None,
            };
            self.changes.lock().push(changed);
        }
        if features.is_empty() {
            self.by_entity.bind(py).del_item(entity)?;
        }
        Ok(gone)
    }

    /// Versions within bounds of time, newest first.
    pub(super) fn history<'py>(
        &self,
        entity: &Bound<'py, PyAny>,
        feature: &Bound<'py, PyAny>,
        limit: Option<Bound<'py, PyAny>>,
        since: Option<&Bound<'py, PyAny>>,
        until: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let py = entity.py();
        let Some(list) = self.list(entity, feature)? else {
            return Ok(Vec::new());
        };
        let limit = match limit {
            Some(limit) => usize::try_from(object::integer(&limit)?).unwrap_or(0),
            None => 0,
        };
        let mut found = Vec::new();
        for version in list.iter() {
            if since.is_some() || until.is_some() {
                let time = version.cast::<Version>()?.get().time_of(py);
                let time = time.bind(py);
                if let Some(since) = since
                    && time.lt(since)?
                {
                    continue;
                }
                if let Some(until) = until
                    && time.gt(until)?
                {
                    continue;
                }
            }
            found.push(version);
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }
}

/// The version with the greatest timestamp that is not after a time; of equal ones, the first.
fn latest<'py>(
    list: &Bound<'py, PyList>,
    time: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, Version>>> {
    let py = list.py();
    if let Ok(at) = time.cast_exact::<PyFloat>() {
        let at = at.value();
        let mut best: Option<(Bound<'py, Version>, f64)> = None;
        let mut are_floats = true;
        for version in list.iter() {
            let version = version.cast_into::<Version>()?;
            let Some(own) = version.get().number() else {
                are_floats = false;
                break;
            };
            if own <= at && best.as_ref().is_none_or(|(_, known)| own > *known) {
                best = Some((version, own));
            }
        }
        if are_floats {
            return Ok(best.map(|(version, _)| version));
        }
    }
    // What is no float is compared by Python.
    let mut best: Option<(Bound<'py, Version>, Py<PyAny>)> = None;
    for version in list.iter() {
        let version = version.cast_into::<Version>()?;
        let own = version.get().time_of(py);
        if own.bind(py).gt(time)? {
            continue;
        }
        let is_better = match &best {
            None => true,
            Some((_, known)) => own.bind(py).gt(known)?,
        };
        if is_better {
            best = Some((version, own));
        }
    }
    Ok(best.map(|(version, _)| version))
}

#[pymethods]
impl Versions {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(max_versions_per_feature=None)")]
    fn new(
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> Self {
        Self {
            by_entity: PyDict::new(py).unbind(),
            most: Field::new(None),
            changes: Mutex::new(Vec::new()),
        }
    }

    #[pyo3(signature = (max_versions_per_feature=None))]
    fn __init__(&self, max_versions_per_feature: Option<Py<PyAny>>) {
        self.most.set(max_versions_per_feature);
    }

    #[getter(_versions)]
    fn private_versions<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.by_entity.bind(py).clone()
    }

    #[getter(_current_versions)]
    fn private_current<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let current = PyDict::new(py);
        for (entity, features) in self.by_entity.bind(py).iter() {
            let ids = PyDict::new(py);
            for (feature, list) in features.cast::<PyDict>()?.iter() {
                if let Ok(newest) = list.get_item(0) {
                    ids.set_item(feature, newest.getattr(intern!(py, "version_id"))?)?;
                }
            }
            current.set_item(entity, ids)?;
        }
        Ok(current)
    }

    #[getter(_max_versions)]
    fn private_most(&self, py: Python<'_>) -> Py<PyAny> {
        self.most.or_none(py)
    }

    #[setter(_max_versions)]
    fn set_private_most(&self, most: Option<Py<PyAny>>) {
        self.most.set(most);
    }

    /// Adds a version and makes it the current one, whatever its timestamp.
    #[pyo3(signature = (
        entity_id, feature_name, value, version_id=None, timestamp=None, created_by=None, description=None, metadata=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "as callers know it")]
    fn add_version<'py>(
        &self,
        entity_id: &Bound<'py, PyAny>,
        feature_name: &Bound<'py, PyAny>,
        value: Bound<'py, PyAny>,
        version_id: Option<Bound<'py, PyAny>>,
        timestamp: Option<Bound<'py, PyAny>>,
        created_by: Option<Bound<'py, PyAny>>,
        description: Option<Bound<'py, PyAny>>,
        metadata: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Version>> {
        let parts = Parts {
            version_id,
            timestamp,
            created_by,
            description,
            metadata,
        };
        Ok(self.put(entity_id, feature_name, value, parts)?.0)
    }

    /// The version of that id, else of that number (0 the newest), else the latest at a time, else the newest; or `None`.
    #[pyo3(signature = (entity_id, feature_name, version_id=None, version_number=None, timestamp=None))]
    fn get_version<'py>(
        &self,
        entity_id: &Bound<'py, PyAny>,
        feature_name: &Bound<'py, PyAny>,
        version_id: Option<Bound<'py, PyAny>>,
        version_number: Option<Bound<'py, PyAny>>,
        timestamp: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, Version>>> {
        let which = Which {
            id: version_id,
            number: version_number,
            timestamp,
        };
        self.find(entity_id, feature_name, &which)
    }

    /// The value of `get_version`, or the default when there is no such version.
    #[pyo3(signature = (
        entity_id, feature_name, version_id=None, version_number=None, timestamp=None, default=None
    ))]
    fn get_value<'py>(
        slf: &Bound<'py, Self>,
        entity_id: &Bound<'py, PyAny>,
        feature_name: &Bound<'py, PyAny>,
        version_id: Option<Bound<'py, PyAny>>,
        version_number: Option<Bound<'py, PyAny>>,
        timestamp: Option<Bound<'py, PyAny>>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        if is_exactly::<Self>(slf) {
            let which = Which {
                id: version_id,
                number: version_number,
                timestamp,
            };
            let found = slf.get().find(entity_id, feature_name, &which)?;
            return Ok(match found {
                Some(version) => Some(version.get().value_of(py).into_bound(py)),
                None => default,
            });
        }
        let arguments = (
            entity_id,
            feature_name,
            version_id,
            version_number,
            timestamp,
        );
        let version = slf.call_method1(intern!(py, "get_version"), arguments)?;
        if version.is_none() {
            return Ok(default);
        }
        Ok(Some(version.getattr(intern!(py, "value"))?))
    }

    /// The newest value, or the default.
    #[pyo3(signature = (entity_id, feature_name, default=None))]
    fn get_current<'py>(
        slf: &Bound<'py, Self>,
        entity_id: &Bound<'py, PyAny>,
        feature_name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Self::get_value(slf, entity_id, feature_name, None, None, None, default)
    }

    /// Versions from one time to another, both included, newest first; at most `limit`, if that is above 0.
    #[pyo3(signature = (entity_id, feature_name, limit=None, since_timestamp=None, until_timestamp=None))]
    fn get_history<'py>(
        &self,
        entity_id: &Bound<'py, PyAny>,
        feature_name: &Bound<'py, PyAny>,
        limit: Option<Bound<'py, PyAny>>,
        since_timestamp: Option<&Bound<'py, PyAny>>,
        until_timestamp: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let found = self.history(
            entity_id,
            feature_name,
            limit,
            since_timestamp,
            until_timestamp,
        )?;
        PyList::new(entity_id.py(), found)
    }

    /// The latest version of each feature at a time, of those that had one.
    fn get_versions_at<'py>(
        slf: &Bound<'py, Self>,
        entity_id: &Bound<'py, PyAny>,
        feature_names: &Bound<'py, PyAny>,
        timestamp: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = slf.py();
        let found = PyDict::new(py);
        for feature in feature_names.try_iter()? {
            let feature = feature?;
            let arguments = (entity_id, &feature, py.None(), py.None(), timestamp);
            let version = slf.call_method1(intern!(py, "get_version"), arguments)?;
            if !version.is_none() {
                found.set_item(feature, version)?;
            }
        }
        Ok(found)
    }

    /// Forgets the versions of a feature, or of all features of the entity; how many there were.
    #[pyo3(signature = (entity_id, feature_name=None))]
    fn delete_history<'py>(
        &self,
        entity_id: &Bound<'py, PyAny>,
        feature_name: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<usize> {
        Ok(self.take(entity_id, feature_name)?.len())
    }

    /// The entities that have features.
    fn get_entities<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        self.by_entity.bind(py).keys()
    }

    /// The names of an entity's features.
    pub(super) fn get_features<'py>(
        &self,
        entity_id: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let features = self.features(entity_id)?;
        Ok(features.map_or_else(|| PyList::empty(entity_id.py()), |features| features.keys()))
    }

    /// Whether the entity has the feature.
    pub(super) fn has_feature<'py>(
        &self,
        entity_id: &Bound<'py, PyAny>,
        feature_name: &Bound<'py, PyAny>,
    ) -> PyResult<bool> {
        Ok(self.list(entity_id, feature_name)?.is_some())
    }

    /// Changes with a timestamp after the given one, in the order in which they were made.
    fn get_changes_since<'py>(
        &self,
        since_timestamp: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = since_timestamp.py();
        let found = PyList::empty(py);
        let mut number = 0;
        loop {
            let change = {
                let changes = self.changes.lock();
                let Some(change) = changes.get(number) else {
                    return Ok(found);
                };
                Changed {
                    id: change.id.as_ref().map(|id| id.clone_ref(py)),
                    entity: change.entity.clone_ref(py),
                    feature: change.feature.clone_ref(py),
                    kind: change.kind,
                    timestamp: change.timestamp.clone_ref(py),
                    value: change.value.as_ref().map(|value| value.clone_ref(py)),
                }
            };
            if change.timestamp.bind(py).gt(since_timestamp)? {
                let id = change.id.unwrap_or_else(|| new_id(py).unbind());
                if let Some(change) = self.changes.lock().get_mut(number) {
                    change.id.get_or_insert_with(|| id.clone_ref(py));
                }
                let dict = PyDict::new(py);
                dict.set_item("change_id", id)?;
                dict.set_item("entity_id", change.entity)?;
                dict.set_item("feature_name", change.feature)?;
                dict.set_item("change_type", change.kind.name())?;
                dict.set_item("timestamp", change.timestamp)?;
                if let Some(value) = change.value {
                    dict.set_item("value", value)?;
                }
                found.append(dict)?;
            }
            number += 1;
        }
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let this = slf.get();
        let changes = PyList::empty(py);
        let mut rows = Vec::new();
        for change in this.changes.lock().iter() {
            rows.push((
                change.id.as_ref().map(|id| id.clone_ref(py)),
                change.entity.clone_ref(py),
                change.feature.clone_ref(py),
                change.kind.name(),
                change.timestamp.clone_ref(py),
                change.value.as_ref().map(|value| value.clone_ref(py)),
            ));
        }
        for row in rows {
            changes.append(row)?;
        }
        let state = (this.by_entity.bind(py), this.most.get(py), changes);
        object::reduce(slf.as_any(), state.into_pyobject(py)?)
    }

    fn __setstate__<'py>(slf: &Bound<'py, Self>, state: &Bound<'py, PyTuple>) -> PyResult<()> {
        type Row = (
            Option<Py<PyAny>>,
            Py<PyAny>,
            Py<PyAny>,
            String,
            Py<PyAny>,
            Option<Py<PyAny>>,
        );
        let py = slf.py();
        let attributes = object::restore(slf.as_any(), state)?;
        let (versions, most, rows): (Bound<'py, PyDict>, Option<Py<PyAny>>, Vec<Row>) =
            attributes.extract()?;
        let this = slf.get();
        this.by_entity.bind(py).update(versions.as_mapping())?;
        this.most.set(most);
        let changes = rows.into_iter().map(|row| {
            let (id, entity, feature, kind, timestamp, value) = row;
            let kind = match kind.as_str() {
                "create" => Kind::Create,
                "update" => Kind::Update,
                _ => Kind::Delete,
            };
            Changed {
                id,
                entity,
                feature,
                kind,
                timestamp,
                value,
            }
        });
        let changes = changes.collect();
        let old = std::mem::replace(&mut *this.changes.lock(), changes);
        drop(old);
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.by_entity)?;
        if let Some(changes) = self.changes.try_lock() {
            for change in changes.iter() {
                visit.call(&change.value)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let old = std::mem::take(&mut *self.changes.lock());
        drop(old);
    }
}
