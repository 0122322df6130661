//! Which of a store's vectors are searchable, and which one a query names.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::Store;
use crate::vectordb::lineage::node_id;
use crate::vectordb::vector::Vector;
use crate::vectordb::version::Version;
use crate::vectordb::versions::Which;

impl Store {
    /// Makes a vector searchable.
    pub(super) fn file<'py>(
        &self,
        entity: &Bound<'py, PyAny>,
        feature: &Bound<'py, PyAny>,
        version: &Bound<'py, Version>,
        vector: &Bound<'py, PyAny>,
        given: Option<&Bound<'py, PyAny>>,
        index: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let py = entity.py();
        let version_id = version.get().id_of(py);
        let metadata = PyDict::new(py);
        metadata.set_item(intern!(py, "entity_id"), entity)?;
        metadata.set_item(intern!(py, "feature_name"), feature)?;
        metadata.set_item(intern!(py, "version_id"), &version_id)?;
        metadata.set_item(intern!(py, "timestamp"), version.get().time_of(py))?;
        if let Some(given) = given {
            metadata.update(given.cast()?)?;
        }
        let own = vector.cast::<Vector>()?.get();
        let kept = own.entry(py);
        let (key, filed) = match kept.id {
            Some(id) => (id.into_bound(py), vector.clone()),
            None => {
                let key = node_id(entity, feature, version_id.bind(py))?.into_any();
                let copy = Vector::of(kept.floats, Some(key.clone().unbind()));
                (key, Bound::new(py, copy)?.into_any())
            }
        };
        index.call_method1(intern!(py, "add"), (filed, &metadata))?;
        let owner = (entity, feature, &version_id, &metadata);
        self.owners.bind(py).set_item(&key, owner)?;
        let place = (key.unbind(), metadata.unbind());
        let old = version.get().indexed.lock().replace(place);
        drop(old);
        Ok(())
    }

    /// Takes versions that are gone out of the index, unless another vector has their key.
    pub(super) fn unfile(&self, gone: &[Bound<'_, PyAny>]) -> PyResult<()> {
        for version in gone {
            let py = version.py();
            let place = version.cast::<Version>()?.get().indexed.lock().take();
            let (Some((key, metadata)), Some(index)) = (place, self.vector_index.get(py)) else {
                continue;
            };
            let current = index.call_method1(py, intern!(py, "get_metadata"), (&key,))?;
            if current.is(&metadata) {
                index.call_method1(py, intern!(py, "remove"), (&key,))?;
                self.owners.bind(py).del_item(&key)?;
            }
        }
        Ok(())
    }

    fn vector_value<'py>(
        &self,
        entity: &Bound<'py, PyAny>,
        feature: &Bound<'py, PyAny>,
        version: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let which = Which {
            id: version.filter(|version| !version.is_none()),
            ..Which::default()
        };
        let value = self.value(entity, feature, &which)?;
        Ok(value.filter(PyAnyMethods::is_instance_of::<Vector>))
    }

    /// The vector that a query of `get_similar_vectors` stands for.
    pub(super) fn query<'py>(&self, query: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = query.py();
        if query.is_instance_of::<Vector>() {
            return Ok(query.clone());
        }
        let none = || {
            let shown = query.repr().map(|text| text.to_string());
            let shown = shown.unwrap_or_default();
            PyValueError::new_err(format!("{shown} names no vector feature"))
        };
        if let Ok(text) = query.cast::<PyString>() {
            let text = text.to_cow()?;
            let parts: Vec<&str> = text.split(':').collect();
            if parts.len() < 2 {
                return Err(PyValueError::new_err(
                    "Query must be in the format 'entity_id:feature_name[:version_id]'",
                ));
            }
            for (entity, feature, version) in splits(&parts) {
                let (entity, feature) = (PyString::new(py, &entity), PyString::new(py, &feature));
                let version = version.map(|version| PyString::new(py, &version).into_any());
                if let Some(found) = self.vector_value(&entity, &feature, version)? {
                    return Ok(found);
                }
            }
            return Err(none());
        }
        if let Ok(names) = query.cast::<PyTuple>()
            && (2..=3).contains(&names.len())
        {
            let version = names.get_item(2).ok();
            let (entity, feature) = (names.get_item(0)?, names.get_item(1)?);
            return self
                .vector_value(&entity, &feature, version)?
                .ok_or_else(none);
        }
        Err(PyValueError::new_err(
            "Query must be a Vector, a string or a tuple of entity, feature and version",
        ))
    }
}

/// The ways to read texts between colons as entity, feature and perhaps version: the plain one first.
fn splits(parts: &[&str]) -> Vec<(String, String, Option<String>)> {
    let join = |from: usize, to: usize| parts.get(from..to).unwrap_or_default().join(":");
    let len = parts.len();
    let third = parts.get(2).map(|part| (*part).to_owned());
    let mut ways = vec![(join(0, 1), join(1, 2), third)];
    if len > 32 {
        return ways;
    }
    for first in 1..len {
        ways.push((join(0, first), join(first, len), None));
        for second in first + 1..len {
            ways.push((join(0, first), join(first, second), Some(join(second, len))));
        }
    }
    ways
}
