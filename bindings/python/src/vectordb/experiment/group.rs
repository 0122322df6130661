//! [`Group`]: the class `ExperimentGroup`.

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyDict, PyList, PyTuple, PyType};
use pyo3::{intern, pyclass, pymethods};

use super::statistics::Sample;
use super::{either, field, metadata_of, now};

/// One arm of an experiment: its entities, and the outcome of each.
///
/// `allocation` is the group's share, between 0 and 1. Entities are a set in the order of their adding; each has one
/// outcome at most, the last that was recorded.
#[pyclass(
    name = "ExperimentGroup",
    module = "vectordb.experiment.ab_test",
    subclass,
    dict,
    weakref,
    frozen
)]
pub(in crate::vectordb) struct Group {
    /// Held for as long as reading or replacing a field takes, never while Python code runs.
    fields: Mutex<Fields>,
    /// Entity to `None`.
    entities: Py<PyDict>,
    /// Entity to the dict of its outcome.
    outcomes: Py<PyDict>,
}

struct Fields {
    named: Option<Named>,
    allocation: f64,
    created_at: f64,
    last_modified: f64,
}

/// What the constructor is given.
struct Named {
    group_id: Py<PyAny>,
    name: Py<PyAny>,
    description: Py<PyAny>,
    metadata: Py<PyAny>,
}

/// A share as it is kept.
fn share(allocation: f64) -> PyResult<f64> {
    if allocation.is_nan() {
        return Err(PyValueError::new_err(
            "allocation must be a number between 0 and 1, not nan",
        ));
    }
    Ok(allocation.clamp(0.0, 1.0))
}

/// The dict of an outcome before its values are filled in: copying it is quicker than growing one.
fn blank(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    static BLANK: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let blank = BLANK.get_or_try_init(py, || {
        let blank = PyDict::new(py);
        for key in [
            intern!(py, "value"),
            intern!(py, "type"),
            intern!(py, "timestamp"),
            intern!(py, "metadata"),
        ] {
            blank.set_item(key, py.None())?;
        }
        PyResult::Ok(blank.unbind())
    })?;
    blank.bind(py).copy()
}

impl Group {
    fn named<'py>(
        &self,
        py: Python<'py>,
        of: impl FnOnce(&Named) -> &Py<PyAny>,
    ) -> Bound<'py, PyAny> {
        let value = self
            .fields
            .lock()
            .named
            .as_ref()
            .map(|named| of(named).clone_ref(py));
        value.map_or_else(|| py.None().into_bound(py), |value| value.into_bound(py))
    }

    fn touch(&self) {
        let at = now();
        self.fields.lock().last_modified = at;
    }

    pub(super) fn share(&self) -> f64 {
        self.fields.lock().allocation
    }

    pub(super) fn set_share(&self, allocation: f64) -> PyResult<()> {
        let (allocation, at) = (share(allocation)?, now());
        let mut fields = self.fields.lock();
        fields.allocation = allocation;
        fields.last_modified = at;
        Ok(())
    }

    #[inline]
    pub(super) fn has(&self, entity: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.entities.bind(entity.py()).contains(entity)
    }

    pub(super) fn add(&self, entity: &Bound<'_, PyAny>) -> PyResult<()> {
        let entities = self.entities.bind(entity.py());
        let before = entities.len();
        entities.set_item(entity, entity.py().None())?;
        if entities.len() != before {
            self.touch();
        }
        Ok(())
    }

    /// Takes an entity out whose outcome stays.
    pub(super) fn release(&self, entity: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.has(entity)? {
            self.entities.bind(entity.py()).del_item(entity)?;
            self.touch();
        }
        Ok(())
    }

    pub(super) fn record(
        &self,
        entity: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        kind: Option<&Bound<'_, PyAny>>,
        metadata: Option<Bound<'_, PyAny>>,
        timestamp: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let py = entity.py();
        if !self.has(entity)? {
            return Ok(false);
        }
        let at = now();
        let outcome = blank(py)?;
        outcome.set_item(intern!(py, "value"), value)?;
        if let Some(kind) = kind {
            outcome.set_item(intern!(py, "type"), kind)?;
        }
        match timestamp {
            Some(timestamp) => outcome.set_item(intern!(py, "timestamp"), timestamp)?,
            None => outcome.set_item(intern!(py, "timestamp"), at)?,
        }
        outcome.set_item(intern!(py, "metadata"), metadata_of(py, metadata)?)?;
        self.outcomes.bind(py).set_item(entity, outcome)?;
        self.fields.lock().last_modified = at;
        Ok(true)
    }

    pub(super) fn outcome<'py>(
        &self,
        entity: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.outcomes.bind(entity.py()).get_item(entity)
    }

    /// The values of outcomes of a type, or of all; from a list of them, which nobody changes meanwhile.
    fn values<'py>(
        &self,
        py: Python<'py>,
        kind: Option<&Bound<'py, PyAny>>,
    ) -> impl Iterator<Item = PyResult<Bound<'py, PyAny>>> {
        let outcomes = self.outcomes.bind(py).values();
        outcomes.into_iter().filter_map(move |outcome| {
            let read = || {
                let outcome = outcome.cast::<PyDict>()?;
                if let Some(kind) = kind {
                    let own = outcome.get_item(intern!(py, "type"))?;
                    let is_same = match own {
                        Some(own) => own.is(kind) || own.eq(kind)?,
                        None => false,
                    };
                    if !is_same {
                        return Ok(None);
                    }
                }
                outcome.get_item(intern!(py, "value"))
            };
            read().transpose()
        })
    }

    pub(super) fn sample<'py>(
        &self,
        py: Python<'py>,
        kind: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Sample<'py>> {
        Sample::of(self.values(py, kind))
    }

    fn restore(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = data.py();
        if let Some(entities) = field(data, "entities")? {
            for entity in entities.try_iter()? {
                self.entities.bind(py).set_item(entity?, py.None())?;
            }
        }
        if let Some(outcomes) = field(data, "outcomes")? {
            for item in outcomes.call_method0(intern!(py, "items"))?.try_iter()? {
                let (entity, outcome): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item?.extract()?;
                let kept = blank(py)?;
                kept.update(outcome.cast()?)?;
                self.outcomes.bind(py).set_item(entity, kept)?;
            }
        }
        let created_at = field(data, "created_at")?
            .map(|at| at.extract())
            .transpose()?;
        let last_modified = field(data, "last_modified")?
            .map(|at| at.extract())
            .transpose()?;
        let mut fields = self.fields.lock();
        fields.created_at = created_at.unwrap_or(fields.created_at);
        fields.last_modified = last_modified.unwrap_or(fields.last_modified);
        Ok(())
    }
}

#[pymethods]
impl Group {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(group_id, name=None, description=None, allocation=0.0, metadata=None)"
    )]
    fn new(
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> Self {
        Self {
            fields: Mutex::new(Fields {
                named: None,
                allocation: 0.0,
                created_at: 0.0,
                last_modified: 0.0,
            }),
            entities: PyDict::new(py).unbind(),
            outcomes: PyDict::new(py).unbind(),
        }
    }

    #[pyo3(signature = (group_id, name=None, description=None, allocation=0.0, metadata=None))]
    fn __init__(
        &self,
        group_id: Bound<'_, PyAny>,
        name: Option<Bound<'_, PyAny>>,
        description: Option<Bound<'_, PyAny>>,
        allocation: f64,
        metadata: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = group_id.py();
        let named = Named {
            name: either(name, &group_id)?,
            group_id: group_id.unbind(),
            description: description.map_or_else(|| py.None(), Bound::unbind),
            metadata: metadata_of(py, metadata)?,
        };
        let (allocation, at) = (share(allocation)?, now());
        let mut fields = Fields {
            named: Some(named),
            allocation,
            created_at: at,
            last_modified: at,
        };
        std::mem::swap(&mut *self.fields.lock(), &mut fields);
        Ok(())
    }

    /// The id that the group was made with.
    #[getter]
    fn group_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.named(py, |named| &named.group_id)
    }

    /// The name; the id where none was given.
    #[getter]
    fn name<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.named(py, |named| &named.name)
    }

    /// What was said of the group.
    #[getter]
    fn description<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.named(py, |named| &named.description)
    }

    /// A copy of the metadata.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let metadata = self.named(py, |named| &named.metadata);
        match metadata.cast_exact::<PyDict>() {
            Ok(metadata) => Ok(metadata.copy()?.into_any()),
            Err(_) => metadata.call_method0(intern!(py, "copy")),
        }
    }

    /// The share of entities, between 0 and 1; assignments beyond are brought to the nearer end.
    #[getter]
    fn allocation(&self) -> f64 {
        self.share()
    }

    #[setter]
    fn set_allocation(&self, value: f64) -> PyResult<()> {
        self.set_share(value)
    }

    /// When the group was made, in seconds since the epoch.
    #[getter]
    fn created_at(&self) -> f64 {
        self.fields.lock().created_at
    }

    /// When an entity, an outcome or the allocation last changed.
    #[getter]
    fn last_modified(&self) -> f64 {
        self.fields.lock().last_modified
    }

    /// How many entities there are.
    #[getter]
    fn entity_count(&self, py: Python<'_>) -> usize {
        self.entities.bind(py).len()
    }

    /// How many entities have an outcome.
    #[getter]
    fn outcome_count(&self, py: Python<'_>) -> usize {
        self.outcomes.bind(py).len()
    }

    /// Whether the entity is in the group.
    fn has_entity(&self, entity_id: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.has(entity_id)
    }

    /// Puts the entity in the group.
    fn add_entity(&self, entity_id: &Bound<'_, PyAny>) -> PyResult<()> {
        self.add(entity_id)
    }

    /// Takes the entity and its outcome out; False when it is not there.
    fn remove_entity(&self, entity_id: &Bound<'_, PyAny>) -> PyResult<bool> {
        if !self.has(entity_id)? {
            return Ok(false);
        }
        let outcomes = self.outcomes.bind(entity_id.py());
        if outcomes.contains(entity_id)? {
            outcomes.del_item(entity_id)?;
        }
        self.release(entity_id)?;
        Ok(true)
    }

    /// The entities, in the order of their adding.
    fn get_entities<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        self.entities.bind(py).keys()
    }

    /// Records the outcome of an entity in place of a former one; False when it is not in the group.
    #[pyo3(signature = (entity_id, outcome_value, outcome_type=None, metadata=None, timestamp=None))]
    fn record_outcome(
        &self,
        entity_id: &Bound<'_, PyAny>,
        outcome_value: &Bound<'_, PyAny>,
        outcome_type: Option<&Bound<'_, PyAny>>,
        metadata: Option<Bound<'_, PyAny>>,
        timestamp: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        self.record(entity_id, outcome_value, outcome_type, metadata, timestamp)
    }

    /// The outcome of an entity: `value`, `type`, `timestamp`, `metadata`.
    fn get_outcome<'py>(
        &self,
        entity_id: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.outcome(entity_id)
    }

    /// All outcomes by entity, in the order of their first recording.
    fn get_outcomes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.outcomes.bind(py).copy()
    }

    /// The values of the outcomes of a type, or of all.
    #[pyo3(signature = (outcome_type=None))]
    fn get_outcome_values<'py>(
        &self,
        py: Python<'py>,
        outcome_type: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let values: PyResult<Vec<_>> = self.values(py, outcome_type).collect();
        PyList::new(py, values?)
    }

    /// Count, mean and extremes of the numeric outcomes; median, deviation and variance (n - 1) of two or more.
    #[pyo3(signature = (outcome_type=None))]
    fn calculate_statistics<'py>(
        &self,
        py: Python<'py>,
        outcome_type: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        self.sample(py, outcome_type)?.describe(py)
    }

    /// The group as a dict that `from_dict` takes.
    pub(super) fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let data = PyDict::new(py);
        data.set_item("group_id", self.group_id(py))?;
        data.set_item("name", self.name(py))?;
        data.set_item("description", self.description(py))?;
        data.set_item("allocation", self.share())?;
        data.set_item("metadata", self.metadata(py)?)?;
        data.set_item("entities", self.get_entities(py))?;
        // Nobody else has the copy, so that its size stays while it is walked.
        let outcomes = self.get_outcomes(py)?;
        for (entity, outcome) in outcomes.iter() {
            outcomes.set_item(entity, outcome.cast::<PyDict>()?.copy()?)?;
        }
        data.set_item("outcomes", outcomes)?;
        data.set_item("created_at", self.created_at())?;
        data.set_item("last_modified", self.last_modified())?;
        Ok(data)
    }

    /// A group from what `to_dict` gives.
    #[classmethod]
    #[pyo3(signature = (data))]
    fn from_dict<'py>(
        cls: &Bound<'py, PyType>,
        data: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = data.py();
        let arguments = PyDict::new(py);
        arguments.set_item("group_id", data.get_item("group_id")?)?;
        for key in ["name", "description", "allocation", "metadata"] {
            if let Some(value) = field(data, key)? {
                arguments.set_item(key, value)?;
            }
        }
        let made = cls.call((), Some(&arguments))?;
        made.cast::<Self>()?.get().restore(data)?;
        Ok(made)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "ExperimentGroup(group_id={}, allocation={}, entities={})",
            self.group_id(py).repr()?,
            self.share(),
            self.entity_count(py)
        ))
    }

    fn __getstate__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let state = slf.get().to_dict(slf.py())?;
        PyTuple::new(slf.py(), [state.as_any(), &slf.getattr("__dict__")?])
    }

    fn __setstate__(slf: &Bound<'_, Self>, state: &Bound<'_, PyAny>) -> PyResult<()> {
        let data = state.get_item(0)?;
        slf.get().__init__(
            data.get_item("group_id")?,
            field(&data, "name")?,
            field(&data, "description")?,
            data.get_item("allocation")?.extract()?,
            field(&data, "metadata")?,
        )?;
        slf.get().restore(&data)?;
        slf.getattr("__dict__")?
            .call_method1("update", (state.get_item(1)?,))?;
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.entities)?;
        visit.call(&self.outcomes)?;
        if let Some(fields) = self.fields.try_lock()
            && let Some(named) = &fields.named
        {
            for value in [
                &named.group_id,
                &named.name,
                &named.description,
                &named.metadata,
            ] {
                visit.call(value)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let taken = self
            .fields
            .try_lock()
            .and_then(|mut fields| fields.named.take());
        drop(taken);
    }
}
