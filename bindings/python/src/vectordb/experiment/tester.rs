//! [`Tester`]: the class `ABTester`.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict, PyTuple, PyType};
use pyo3::{intern, pyclass, pymethods};
use smallvec::SmallVec;
use vectordb::experiment::Positions;

use super::group::Group;
use super::statistics::{Sample, lift};
use super::{either, field, metadata_of, moment, now};

/// How far above 1 rounding may lift the sum of shares.
const SLACK: f64 = 1e-9;

/// An experiment that puts entities into groups by a hash of salt and id, and compares the groups' outcomes.
///
/// The same salt, id and shares give the same group in every process. An entity is in one group; assigning it again moves
/// it. Group objects are shared: what is done to them is seen here.
#[pyclass(
    name = "ABTester",
    module = "vectordb.experiment.ab_test",
    subclass,
    dict,
    weakref,
    frozen
)]
pub(in crate::vectordb) struct Tester {
    /// Held for as long as reading or replacing a field takes, never while Python code runs.
    fields: Mutex<Fields>,
    /// Group id to group.
    groups: Py<PyDict>,
}

struct Fields {
    named: Option<Named>,
    /// None when the salt is no UTF-8.
    positions: Option<Arc<Positions>>,
    /// What `groups` holds, in order, for walking while anything may change it.
    entries: Arc<[Entry]>,
    created_at: f64,
    last_modified: f64,
}

/// What the constructor is given.
struct Named {
    experiment_id: Py<PyAny>,
    name: Py<PyAny>,
    description: Py<PyAny>,
    metadata: Py<PyAny>,
    salt: Py<PyAny>,
}

/// One group under its id.
struct Entry {
    id: Py<PyAny>,
    group: Py<PyAny>,
    /// The same, when it is of our class itself, whose methods nobody overrides.
    own: Option<Py<Group>>,
}

impl Entry {
    fn of(id: Bound<'_, PyAny>, group: Bound<'_, PyAny>) -> Self {
        let own = group.cast_exact::<Group>().ok();
        Self {
            own: own.map(|own| own.clone().unbind()),
            id: id.unbind(),
            group: group.unbind(),
        }
    }

    fn share(&self, py: Python<'_>) -> PyResult<f64> {
        match &self.own {
            Some(own) => Ok(own.get().share()),
            None => self
                .group
                .bind(py)
                .getattr(intern!(py, "allocation"))?
                .extract(),
        }
    }

    fn has(&self, entity: &Bound<'_, PyAny>) -> PyResult<bool> {
        match &self.own {
            Some(own) => own.get().has(entity),
            None => {
                let py = entity.py();
                let answer = self
                    .group
                    .bind(py)
                    .call_method1(intern!(py, "has_entity"), (entity,));
                answer?.is_truthy()
            }
        }
    }

    fn add(&self, entity: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Some(own) = &self.own {
            return own.get().add(entity);
        }
        let py = entity.py();
        self.group
            .bind(py)
            .call_method1(intern!(py, "add_entity"), (entity,))?;
        Ok(())
    }

    /// Takes an entity out whose outcome stays, where the group is one that can.
    fn release(&self, entity: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Some(own) = &self.own {
            return own.get().release(entity);
        }
        match self.group.bind(entity.py()).cast::<Group>() {
            Ok(group) => group.get().release(entity),
            Err(_) => Ok(()),
        }
    }

    fn statistics<'py>(
        &self,
        py: Python<'py>,
        kind: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match &self.own {
            Some(own) => Ok(own.get().sample(py, kind)?.describe(py)?.into_any()),
            None => {
                let group = self.group.bind(py);
                group.call_method1(intern!(py, "calculate_statistics"), (kind,))
            }
        }
    }

    fn values<'py>(
        &self,
        py: Python<'py>,
        kind: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let group = self.group.bind(py);
        group.call_method1(intern!(py, "get_outcome_values"), (kind,))
    }
}

impl Tester {
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

    fn entries(&self) -> Arc<[Entry]> {
        self.fields.lock().entries.clone()
    }

    /// Lists the groups again after one came or went.
    fn regroup(&self, py: Python<'_>) {
        let items = self
            .groups
            .bind(py)
            .copy()
            .map(|groups| groups.iter().collect::<Vec<_>>());
        let entries = items.unwrap_or_default().into_iter();
        let mut entries: Arc<[Entry]> = entries.map(|(id, group)| Entry::of(id, group)).collect();
        let at = now();
        let mut fields = self.fields.lock();
        std::mem::swap(&mut fields.entries, &mut entries);
        fields.last_modified = at;
        drop(fields);
    }

    /// Where the hash puts an entity.
    fn position(&self, entity: &Bound<'_, PyAny>) -> PyResult<f64> {
        let positions = self.fields.lock().positions.clone();
        let positions = match positions {
            Some(positions) => positions,
            None => Arc::new(Positions::new(&self.salt(entity.py()).str()?.to_cow()?)),
        };
        Ok(positions.of(&entity.str()?.to_cow()?))
    }

    fn assign<'py>(
        &self,
        entity: &Bound<'py, PyAny>,
        forced: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = entity.py();
        let entries = self.entries();
        let chosen = match forced {
            Some(forced) => {
                let Some(group) = self.groups.bind(py).get_item(forced)? else {
                    return Ok(None);
                };
                entries.iter().position(|entry| entry.group.is(&group))
            }
            None if entries.is_empty() => return Ok(None),
            None => {
                let position = self.position(entity)?;
                let shares: SmallVec<[f64; 8]> = entries
                    .iter()
                    .map(|entry| entry.share(py))
                    .collect::<PyResult<_>>()?;
                Positions::choose(position, shares.iter().copied())
            }
        };
        let Some((at, entry)) = chosen.and_then(|at| Some((at, entries.get(at)?))) else {
            return Ok(None);
        };
        for (other, entry) in entries.iter().enumerate() {
            if other != at {
                entry.release(entity)?;
            }
        }
        entry.add(entity)?;
        Ok(Some(entry.id.bind(py).clone()))
    }

    /// The group that an entity is in.
    fn holder<'a>(entries: &'a [Entry], entity: &Bound<'_, PyAny>) -> PyResult<Option<&'a Entry>> {
        for entry in entries {
            if entry.has(entity)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn sample<'py>(
        &self,
        id: &Bound<'py, PyAny>,
        role: &str,
        kind: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Sample<'py>> {
        let py = id.py();
        let Some(group) = self.groups.bind(py).get_item(id)? else {
            let id = id.str()?;
            return Err(PyValueError::new_err(format!(
                "{role} group '{id}' not found"
            )));
        };
        if let Ok(group) = group.cast_exact::<Group>() {
            return group.get().sample(py, kind);
        }
        let values = group.call_method1(intern!(py, "get_outcome_values"), (kind,))?;
        Sample::of(values.try_iter()?)
    }
}

#[pymethods]
impl Tester {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(experiment_id, name=None, description=None, groups=None, metadata=None, salt=None)"
    )]
    fn new(
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> Self {
        Self {
            fields: Mutex::new(Fields {
                named: None,
                positions: None,
                entries: Arc::new([]),
                created_at: 0.0,
                last_modified: 0.0,
            }),
            groups: PyDict::new(py).unbind(),
        }
    }

    #[pyo3(signature = (experiment_id, name=None, description=None, groups=None, metadata=None, salt=None))]
    fn __init__(
        &self,
        experiment_id: Bound<'_, PyAny>,
        name: Option<Bound<'_, PyAny>>,
        description: Option<Bound<'_, PyAny>>,
        groups: Option<Bound<'_, PyAny>>,
        metadata: Option<Bound<'_, PyAny>>,
        salt: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = experiment_id.py();
        let named = Named {
            name: either(name, &experiment_id)?,
            description: description.map_or_else(|| py.None(), Bound::unbind),
            metadata: metadata_of(py, metadata)?,
            salt: either(salt, &experiment_id)?,
            experiment_id: experiment_id.unbind(),
        };
        let text = named.salt.bind(py).str()?;
        let positions = text
            .to_cow()
            .ok()
            .map(|text| Arc::new(Positions::new(&text)));
        let own = self.groups.bind(py);
        own.clear();
        if let Some(groups) = groups {
            own.update(groups.cast()?)?;
        }
        let at = now();
        let mut fields = Fields {
            named: Some(named),
            positions,
            entries: Arc::new([]),
            created_at: at,
            last_modified: at,
        };
        std::mem::swap(&mut *self.fields.lock(), &mut fields);
        self.regroup(py);
        self.fields.lock().last_modified = at;
        Ok(())
    }

    /// The id that the experiment was made with.
    #[getter]
    fn experiment_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.named(py, |named| &named.experiment_id)
    }

    /// The name; the id where none was given.
    #[getter]
    fn name<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.named(py, |named| &named.name)
    }

    /// What was said of the experiment.
    #[getter]
    fn description<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.named(py, |named| &named.description)
    }

    /// A copy of the metadata.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.named(py, |named| &named.metadata)
            .call_method0(intern!(py, "copy"))
    }

    /// What is hashed before each id; the experiment's id where none was given.
    #[getter]
    fn salt<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.named(py, |named| &named.salt)
    }

    /// When the experiment was made, in seconds since the epoch.
    #[getter]
    fn created_at(&self) -> f64 {
        self.fields.lock().created_at
    }

    /// When groups or allocations last changed.
    #[getter]
    fn last_modified(&self) -> f64 {
        self.fields.lock().last_modified
    }

    /// Adds a group and returns it; `ValueError` when the id is taken.
    #[pyo3(signature = (group_id, name=None, description=None, allocation=0.0, metadata=None))]
    fn add_group<'py>(
        &self,
        group_id: &Bound<'py, PyAny>,
        name: Option<&Bound<'py, PyAny>>,
        description: Option<&Bound<'py, PyAny>>,
        allocation: f64,
        metadata: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = group_id.py();
        let groups = self.groups.bind(py);
        if groups.contains(group_id)? {
            let id = group_id.str()?;
            return Err(PyValueError::new_err(format!(
                "Group '{id}' already exists"
            )));
        }
        let class = py.get_type::<Group>();
        let group = class.call1((group_id, name, description, allocation, metadata))?;
        groups.set_item(group_id, &group)?;
        self.regroup(py);
        Ok(group)
    }

    /// The group with an id, or None.
    fn get_group<'py>(&self, group_id: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.groups.bind(group_id.py()).get_item(group_id)
    }

    /// A new dict of the groups by id.
    fn get_groups<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.groups.bind(py).copy()
    }

    /// Removes a group; False when there is none with the id.
    fn remove_group(&self, group_id: &Bound<'_, PyAny>) -> PyResult<bool> {
        let groups = self.groups.bind(group_id.py());
        if !groups.contains(group_id)? {
            return Ok(false);
        }
        groups.del_item(group_id)?;
        self.regroup(group_id.py());
        Ok(true)
    }

    /// Sets the shares of groups by id; `ValueError`, and no change, when they add up to more than 1.
    fn set_allocations(&self, allocations: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = allocations.py();
        let mut total = 0.0;
        let mut shares = Vec::new();
        for item in allocations.call_method0(intern!(py, "items"))?.try_iter()? {
            let (id, share): (Bound<'_, PyAny>, f64) = item?.extract()?;
            total += share;
            shares.push((id, share));
        }
        if total.is_nan() || total > 1.0 + SLACK {
            return Err(PyValueError::new_err(format!(
                "Total allocation must not exceed 1.0, got {total}"
            )));
        }
        for (id, share) in shares {
            let Some(group) = self.groups.bind(py).get_item(id)? else {
                continue;
            };
            match group.cast_exact::<Group>() {
                Ok(group) => group.get().set_share(share)?,
                Err(_) => group.setattr(intern!(py, "allocation"), share)?,
            }
        }
        let at = now();
        self.fields.lock().last_modified = at;
        Ok(())
    }

    /// Puts an entity in the group that its hash, or `force_group`, names, and returns that group's id.
    #[pyo3(signature = (entity_id, force_group=None))]
    fn assign_entity<'py>(
        &self,
        entity_id: &Bound<'py, PyAny>,
        force_group: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.assign(entity_id, force_group)
    }

    /// Assigns each entity; a dict of entities and group ids.
    fn assign_entities<'py>(
        slf: &Bound<'py, Self>,
        entity_ids: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = slf.py();
        let assigned = PyDict::new(py);
        let is_own = slf.get_type().is(py.get_type::<Self>());
        for entity in entity_ids.try_iter()? {
            let entity = entity?;
            if is_own {
                let group = slf.get().assign(&entity, None)?;
                assigned.set_item(entity, group)?;
            } else {
                let group = slf.call_method1(intern!(py, "assign_entity"), (&entity,))?;
                assigned.set_item(entity, group)?;
            }
        }
        Ok(assigned)
    }

    /// The id of the group that an entity is in, or None.
    fn get_entity_group<'py>(
        &self,
        entity_id: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let entries = self.entries();
        let holder = Self::holder(&entries, entity_id)?;
        Ok(holder.map(|entry| entry.id.bind(entity_id.py()).clone()))
    }

    /// Records an outcome in the entity's group; False when it is in none.
    #[pyo3(signature = (entity_id, outcome_value, outcome_type=None, metadata=None, timestamp=None))]
    fn record_outcome(
        &self,
        entity_id: &Bound<'_, PyAny>,
        outcome_value: &Bound<'_, PyAny>,
        outcome_type: Option<&Bound<'_, PyAny>>,
        metadata: Option<Bound<'_, PyAny>>,
        timestamp: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let py = entity_id.py();
        let entries = self.entries();
        let Some(entry) = Self::holder(&entries, entity_id)? else {
            return Ok(false);
        };
        if let Some(own) = &entry.own {
            let own = own.get();
            return own.record(entity_id, outcome_value, outcome_type, metadata, timestamp);
        }
        let given = (entity_id, outcome_value, outcome_type, metadata, timestamp);
        entry
            .group
            .bind(py)
            .call_method1(intern!(py, "record_outcome"), given)?
            .is_truthy()
    }

    /// The outcome of an entity in its group, or None.
    fn get_outcome<'py>(
        &self,
        entity_id: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = entity_id.py();
        let entries = self.entries();
        let Some(entry) = Self::holder(&entries, entity_id)? else {
            return Ok(None);
        };
        if let Some(own) = &entry.own {
            return own.get().outcome(entity_id);
        }
        let outcome = entry
            .group
            .bind(py)
            .call_method1(intern!(py, "get_outcome"), (entity_id,))?;
        Ok(Some(outcome))
    }

    /// The values of outcomes by group, of a type or of all.
    #[pyo3(signature = (outcome_type=None))]
    fn get_outcomes_by_group<'py>(
        &self,
        py: Python<'py>,
        outcome_type: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let outcomes = PyDict::new(py);
        for entry in self.entries().iter() {
            outcomes.set_item(&entry.id, entry.values(py, outcome_type)?)?;
        }
        Ok(outcomes)
    }

    /// The statistics of each group.
    #[pyo3(signature = (outcome_type=None))]
    fn calculate_statistics<'py>(
        &self,
        py: Python<'py>,
        outcome_type: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let statistics = PyDict::new(py);
        for entry in self.entries().iter() {
            statistics.set_item(&entry.id, entry.statistics(py, outcome_type)?)?;
        }
        Ok(statistics)
    }

    /// How far the mean of the test group is from that of the control group, with an interval of 95 %.
    #[pyo3(signature = (control_group_id, test_group_id, outcome_type=None))]
    fn calculate_lift<'py>(
        &self,
        control_group_id: &Bound<'py, PyAny>,
        test_group_id: &Bound<'py, PyAny>,
        outcome_type: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let control = self.sample(control_group_id, "Control", outcome_type)?;
        let test = self.sample(test_group_id, "Test", outcome_type)?;
        lift(control_group_id.py(), &control, &test)
    }

    /// The experiment as a dict that `from_dict` takes.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let data = PyDict::new(py);
        data.set_item("experiment_id", self.experiment_id(py))?;
        data.set_item("name", self.name(py))?;
        data.set_item("description", self.description(py))?;
        data.set_item("metadata", self.metadata(py)?)?;
        data.set_item("salt", self.salt(py))?;
        data.set_item("created_at", self.created_at())?;
        data.set_item("last_modified", self.last_modified())?;
        let groups = PyDict::new(py);
        for entry in self.entries().iter() {
            let group = match &entry.own {
                Some(own) => own.get().to_dict(py)?.into_any(),
                None => entry.group.bind(py).call_method0(intern!(py, "to_dict"))?,
            };
            groups.set_item(&entry.id, group)?;
        }
        data.set_item("groups", groups)?;
        Ok(data)
    }

    /// An experiment from what `to_dict` gives.
    #[classmethod]
    #[pyo3(signature = (data))]
    fn from_dict<'py>(
        cls: &Bound<'py, PyType>,
        data: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = data.py();
        let arguments = PyDict::new(py);
        arguments.set_item("experiment_id", data.get_item("experiment_id")?)?;
        for key in ["name", "description", "metadata", "salt"] {
            if let Some(value) = field(data, key)? {
                arguments.set_item(key, value)?;
            }
        }
        let groups = PyDict::new(py);
        if let Some(given) = field(data, "groups")? {
            let class = py.get_type::<Group>();
            for item in given.call_method0(intern!(py, "items"))?.try_iter()? {
                let (id, group): (Bound<'py, PyAny>, Bound<'py, PyAny>) = item?.extract()?;
                groups.set_item(id, class.call_method1(intern!(py, "from_dict"), (group,))?)?;
            }
        }
        arguments.set_item("groups", groups)?;
        let made = cls.call((), Some(&arguments))?;
        let created_at = moment(field(data, "created_at")?)?;
        let last_modified = moment(field(data, "last_modified")?)?;
        let mut fields = made.cast::<Self>()?.get().fields.lock();
        fields.created_at = created_at;
        fields.last_modified = last_modified;
        drop(fields);
        Ok(made)
    }

    /// `to_dict` as JSON.
    fn to_json<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let data = slf.call_method0(intern!(py, "to_dict"))?;
        py.import("json")?.call_method1("dumps", (data,))
    }

    /// An experiment from what `to_json` gives.
    #[classmethod]
    #[pyo3(signature = (json_str))]
    fn from_json<'py>(
        cls: &Bound<'py, PyType>,
        json_str: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = cls.py();
        let data = py.import("json")?.call_method1("loads", (json_str,))?;
        cls.call_method1(intern!(py, "from_dict"), (data,))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "ABTester(experiment_id={}, groups={})",
            self.experiment_id(py).repr()?,
            self.groups.bind(py).len()
        ))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.groups)?;
        let Some(fields) = self.fields.try_lock() else {
            return Ok(());
        };
        for entry in fields.entries.iter() {
            visit.call(&entry.id)?;
            visit.call(&entry.group)?;
            visit.call(&entry.own)?;
        }
        if let Some(named) = &fields.named {
            for value in [
                &named.experiment_id,
                &named.name,
                &named.description,
                &named.metadata,
                &named.salt,
            ] {
                visit.call(value)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        if let Some(mut fields) = self.fields.try_lock() {
            let taken = (
                fields.named.take(),
                std::mem::replace(&mut fields.entries, Arc::new([])),
            );
            drop(fields);
            drop(taken);
        }
    }
}
