//! Indices of a storage, and the changes that have to keep records and indices in step.
//!
//! Records and indices are dicts of the caller's: they may change whenever code of Python runs, so nothing is walked
//! while such code may run, and nothing is borrowed.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple};

use super::access::{FieldOf, PythonClass};

static INDEX: PythonClass = PythonClass::new("common.core.storage", "Index");

/// Ids of records by the value of one field.
#[pyclass(subclass, frozen, module = "tandemdb._native.common")]
pub(crate) struct Index {
    field_name: Mutex<Option<Py<PyString>>>,
    /// Whether the last record asked had the field in its metadata only.
    is_missed: AtomicBool,
    /// Values to the ids that have them: dicts, whose order is that in which ids came.
    buckets: Py<PyDict>,
    /// Ids to the values under which they are.
    filed: Py<PyDict>,
    /// Values to sets of their ids, for those that were asked for since they changed.
    sets: Py<PyDict>,
    /// Values whose ids may be in another order than their records.
    unordered: Py<PySet>,
}

#[pymethods]
impl Index {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(field_name)")]
    fn new(
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Ok(Self {
            field_name: Mutex::new(None),
            is_missed: AtomicBool::new(false),
            buckets: PyDict::new(py).unbind(),
            filed: PyDict::new(py).unbind(),
            sets: PyDict::new(py).unbind(),
            unordered: PySet::empty(py)?.unbind(),
        })
    }

    /// Empty.
    #[pyo3(signature = (field_name))]
    fn __init__(&self, field_name: Py<PyString>) {
        self.rename(field_name);
    }

    /// The field that it is about.
    #[getter]
    fn field_name(&self, py: Python<'_>) -> Option<Py<PyString>> {
        self.field_name
            .lock()
            .as_ref()
            .map(|name| name.clone_ref(py))
    }

    #[setter(field_name)]
    fn rename(&self, field_name: Py<PyString>) {
        let before = self.field_name.lock().replace(field_name);
        drop(before);
    }

    /// Values to sets of ids, as they are now.
    #[getter(_index)]
    fn all<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let sets = PyDict::new(py);
        for (value, bucket) in self.buckets.bind(py).copy()? {
            sets.set_item(value, set_of(&bucket)?)?;
        }
        Ok(sets)
    }

    /// Files a record's id under the value that the record has; without a value it does nothing.
    ///
    /// Raises `TypeError` when the value is unhashable.
    fn add(&self, record: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some(value) = self.value_of(record)? else {
            return Ok(());
        };
        let id = record.getattr(intern!(record.py(), "id"))?;
        self.put_in(&id, &value, false)
    }

    /// Takes a record's id out from under the value that the record has now.
    fn remove(&self, record: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some(value) = self.value_of(record)? else {
            return Ok(());
        };
        let id = record.getattr(intern!(record.py(), "id"))?;
        self.take_out(&id, &value)
    }

    /// Removes one record and adds the other.
    fn update(&self, old_record: &Bound<'_, PyAny>, new_record: &Bound<'_, PyAny>) -> PyResult<()> {
        self.remove(old_record)?;
        self.add(new_record)
    }

    /// A set of the ids that have the value.
    fn find<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = value.py();
        let sets = self.sets.bind(py);
        if let Some(set) = sets.get_item(value)? {
            return set.call_method0(intern!(py, "copy"));
        }
        match self.buckets.bind(py).get_item(value)? {
            Some(bucket) => {
                let set = set_of(&bucket)?;
                sets.set_item(value, set.call_method0(intern!(py, "copy"))?)?;
                Ok(set)
            }
            None => Ok(PySet::empty(py)?.into_any()),
        }
    }

    /// Forgets all ids.
    fn clear(&self, py: Python<'_>) {
        self.buckets.bind(py).clear();
        self.filed.bind(py).clear();
        self.sets.bind(py).clear();
        self.unordered.bind(py).clear();
    }

    /// Files all records of a storage.
    fn file(&self, records: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = records.py();
        let name = self.name(py)?;
        let field = FieldOf::new(&name);
        for (id, record) in records.copy()? {
            if let Some(value) = field.of(&record)? {
                self.put_in(&id, &value, true)?;
            }
        }
        self.is_missed.store(field.is_missed(), Ordering::Relaxed);
        Ok(())
    }

    fn __getstate__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let index = slf.get();
        (
            index.field_name(py),
            &index.buckets,
            &index.filed,
            &index.unordered,
            slf.getattr(intern!(py, "__dict__"))?,
        )
            .into_pyobject(py)
    }

    fn __setstate__(slf: &Bound<'_, Self>, state: &Bound<'_, PyTuple>) -> PyResult<()> {
        type State<'py> = (
            Option<Py<PyString>>,
            Bound<'py, PyDict>,
            Bound<'py, PyDict>,
            Bound<'py, PySet>,
            Bound<'py, PyDict>,
        );
        let py = slf.py();
        let index = slf.get();
        let (field_name, buckets, filed, unordered, attributes): State<'_> = state.extract()?;
        if let Some(field_name) = field_name {
            index.rename(field_name);
        }
        index.buckets.bind(py).update(buckets.as_mapping())?;
        index.filed.bind(py).update(filed.as_mapping())?;
        for value in unordered {
            index.unordered.bind(py).add(value)?;
        }
        let own = slf.getattr(intern!(py, "__dict__"))?;
        own.cast::<PyDict>()?.update(attributes.as_mapping())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.buckets)?;
        visit.call(&self.filed)?;
        visit.call(&self.sets)?;
        visit.call(&self.unordered)
    }
}

impl Index {
    fn name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        let name = self.field_name(py).map(|name| name.into_bound(py));
        name.ok_or_else(|| {
            PyTypeError::new_err("the index has no field: call Index.__init__ first")
        })
    }

    fn value_of<'py>(&self, record: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let name = self.name(record.py())?;
        let field = FieldOf::expected(&name, self.is_missed.load(Ordering::Relaxed));
        let value = field.of(record)?;
        self.is_missed.store(field.is_missed(), Ordering::Relaxed);
        Ok(value)
    }

    /// Files an id under a value; `is_last` when its record is the last of the storage.
    fn put_in(
        &self,
        id: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        is_last: bool,
    ) -> PyResult<()> {
        let py = id.py();
        let buckets = self.buckets.bind(py);
        self.forget_set(value)?;
        match buckets.get_item(value)? {
            Some(bucket) => {
                bucket.cast::<PyDict>()?.set_item(id, py.None())?;
                if !is_last {
                    self.unordered.bind(py).add(value)?;
                }
            }
            None => {
                let bucket = PyDict::new(py);
                bucket.set_item(id, py.None())?;
                buckets.set_item(value, bucket)?;
            }
        }
        self.filed.bind(py).set_item(id, value)
    }

    /// Takes an id out from under a value, where it need not be.
    fn take_out(&self, id: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = id.py();
        let buckets = self.buckets.bind(py);
        let Some(bucket) = buckets.get_item(value)? else {
            return Ok(());
        };
        let bucket = bucket.cast_into::<PyDict>()?;
        if !bucket.contains(id)? {
            return Ok(());
        }
        bucket.del_item(id)?;
        self.forget_set(value)?;
        if bucket.is_empty() {
            buckets.del_item(value)?;
            self.unordered.bind(py).discard(value)?;
        }
        let filed = self.filed.bind(py);
        if filed.contains(id)? {
            filed.del_item(id)?;
        }
        Ok(())
    }

    /// The set of a value's ids is another from now on.
    fn forget_set(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let sets = self.sets.bind(value.py());
        if !sets.is_empty() && sets.contains(value)? {
            sets.del_item(value)?;
        }
        Ok(())
    }

    /// Takes an id out from wherever it is.
    fn forget(&self, id: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.filed.bind(id.py()).get_item(id)? {
            Some(value) => self.take_out(id, &value),
            None => Ok(()),
        }
    }

    /// Moves an id to the value that its record has by now.
    fn refile(&self, id: &Bound<'_, PyAny>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let before = self.filed.bind(id.py()).get_item(id)?;
        match (before, value) {
            (Some(before), Some(value)) if before.is(value) => Ok(()),
            (Some(before), Some(value)) => {
                self.take_out(id, &before)?;
                self.put_in(id, value, false)
            }
            (None, Some(value)) => self.put_in(id, value, false),
            (Some(before), None) => self.take_out(id, &before),
            (None, None) => Ok(()),
        }
    }

    /// The ids that have a value, in the order of the storage.
    fn ordered<'py>(
        &self,
        value: &Bound<'py, PyAny>,
        records: &Bound<'py, PyDict>,
        order: &Order,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let py = value.py();
        let Some(bucket) = self.buckets.bind(py).get_item(value)? else {
            return Ok(None);
        };
        let bucket = bucket.cast_into::<PyDict>()?;
        let unordered = self.unordered.bind(py);
        if unordered.is_empty() || !unordered.contains(value)? {
            return Ok(Some(bucket));
        }
        let sorted = PyDict::new(py);
        for id in order.sorted(bucket.keys(), records)? {
            sorted.set_item(id, py.None())?;
        }
        self.buckets.bind(py).set_item(value, &sorted)?;
        unordered.discard(value)?;
        Ok(Some(sorted))
    }
}

fn set_of<'py>(bucket: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    bucket.py().get_type::<PySet>().call1((bucket,))
}

/// The order in which the records of a storage came.
#[pyclass(frozen, name = "_Order", module = "common.core.storage")]
pub(crate) struct Order {
    positions: Py<PyDict>,
    next: AtomicI64,
}

#[pymethods]
impl Order {
    #[new]
    fn new(py: Python<'_>) -> Self {
        Self {
            positions: PyDict::new(py).unbind(),
            next: AtomicI64::new(0),
        }
    }

    /// Takes the order of the dict.
    fn renumber(&self, records: &Bound<'_, PyDict>) -> PyResult<()> {
        self.clear(records.py());
        for id in records.keys() {
            self.append(&id)?;
        }
        Ok(())
    }

    /// Forgets all.
    fn clear(&self, py: Python<'_>) {
        self.positions.bind(py).clear();
    }

    fn __getstate__(&self, py: Python<'_>) -> (Py<PyDict>, i64) {
        (
            self.positions.clone_ref(py),
            self.next.load(Ordering::Relaxed),
        )
    }

    fn __setstate__(&self, state: (Bound<'_, PyDict>, i64)) -> PyResult<()> {
        let (positions, next) = state;
        self.next.store(next, Ordering::Relaxed);
        self.positions
            .bind(positions.py())
            .update(positions.as_mapping())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.positions)
    }
}

impl Order {
    fn append(&self, id: &Bound<'_, PyAny>) -> PyResult<()> {
        let position = self.next.fetch_add(1, Ordering::Relaxed);
        self.positions.bind(id.py()).set_item(id, position)
    }

    fn remove(&self, id: &Bound<'_, PyAny>) -> PyResult<()> {
        let positions = self.positions.bind(id.py());
        if positions.contains(id)? {
            positions.del_item(id)?;
        }
        Ok(())
    }

    /// Ids in the order of their records; numbers all anew when one came past the storage.
    fn sorted<'py>(
        &self,
        ids: Bound<'py, PyList>,
        records: &Bound<'py, PyDict>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let positions = self.positions.bind(records.py());
        let mut is_complete = positions.len() == records.len();
        for id in ids.iter() {
            is_complete = is_complete && positions.contains(id)?;
        }
        if !is_complete {
            self.renumber(records)?;
        }
        let mut placed = Vec::with_capacity(ids.len());
        for id in ids {
            let position = positions
                .get_item(&id)?
                .map_or(Ok(i64::MAX), |at| at.extract())?;
            placed.push((position, id));
        }
        placed.sort_by_key(|(position, _)| *position);
        Ok(placed.into_iter().map(|(_, id)| id).collect())
    }
}

/// The index itself, when it is ours and none of its methods is overridden.
fn own_index<'a, 'py>(index: &'a Bound<'py, PyAny>) -> PyResult<Option<&'a Bound<'py, Index>>> {
    if INDEX.is_of(index)? {
        Ok(index.cast::<Index>().ok())
    } else {
        Ok(None)
    }
}

/// The indices of a storage, ours and those of other classes.
struct Indices<'py> {
    own: Vec<Bound<'py, Index>>,
    others: Vec<Bound<'py, PyAny>>,
}

impl<'py> Indices<'py> {
    fn of(indices: &Bound<'py, PyDict>) -> PyResult<Self> {
        let mut found = Self {
            own: Vec::new(),
            others: Vec::new(),
        };
        if !indices.is_empty() {
            for (_, index) in indices.iter() {
                match own_index(&index)? {
                    Some(own) => found.own.push(own.clone()),
                    None => found.others.push(index),
                }
            }
        }
        Ok(found)
    }

    fn put(
        &self,
        records: &Bound<'py, PyDict>,
        order: &Order,
        record: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let id = id_of(record)?;
        if self.own.is_empty() && self.others.is_empty() {
            records.set_item(&id, record)?;
            return Ok(id);
        }
        let before = records.get_item(&id)?;
        // What cannot be filed is found out before anything is changed.
        let mut values = Vec::with_capacity(self.own.len());
        self.values(record, &mut values)?;
        for index in &self.others {
            match &before {
                Some(before) => {
                    index.call_method1(intern!(record.py(), "update"), (before, record))?
                }
                None => index.call_method1(intern!(record.py(), "add"), (record,))?,
            };
        }
        for (index, value) in self.own.iter().zip(values) {
            let index = index.get();
            match (&before, value) {
                (None, Some(value)) => {
                    index.forget(&id)?;
                    index.put_in(&id, &value, true)?;
                }
                (None, None) => index.forget(&id)?,
                (Some(_), value) => index.refile(&id, value.as_ref())?,
            }
        }
        records.set_item(&id, record)?;
        if before.is_none() {
            order.append(&id)?;
        }
        Ok(id)
    }

    fn change(
        &self,
        id: &Bound<'py, PyAny>,
        record: &Bound<'py, PyAny>,
        attributes: &Bound<'py, PyDict>,
        now: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let py = record.py();
        for index in &self.others {
            index.call_method1(intern!(py, "remove"), (record,))?;
        }
        let mut before = Vec::with_capacity(attributes.len());
        let mut values = Vec::with_capacity(self.own.len());
        let done = set_attributes(record, attributes, &mut before)
            .and_then(|()| self.values(record, &mut values));
        if done.is_err() {
            for (name, value) in before.into_iter().rev() {
                record.setattr(name, value)?;
            }
            values.clear();
        }
        for (index, value) in self.own.iter().zip(&values) {
            index.get().refile(id, value.as_ref())?;
        }
        for index in &self.others {
            index.call_method1(intern!(py, "add"), (record,))?;
        }
        done?;
        record.setattr(intern!(py, "updated_at"), now)
    }

    /// The values under which a record belongs; an error when one cannot be filed.
    fn values(
        &self,
        record: &Bound<'py, PyAny>,
        values: &mut Vec<Option<Bound<'py, PyAny>>>,
    ) -> PyResult<()> {
        for index in &self.own {
            let value = index.get().value_of(record)?;
            if let Some(value) = &value {
                value.hash()?;
            }
            values.push(value);
        }
        Ok(())
    }
}

/// Keeps a record and files it in all indices; returns its id.
#[pyfunction]
pub(crate) fn put<'py>(
    records: &Bound<'py, PyDict>,
    indices: &Bound<'py, PyDict>,
    order: &Bound<'py, Order>,
    record: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    Indices::of(indices)?.put(records, order.get(), record)
}

fn id_of<'py>(record: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let id = record.getattr(intern!(record.py(), "id"))?;
    if id.is_none() {
        return Err(PyValueError::new_err("Record must have an ID"));
    }
    Ok(id)
}

/// `put` of each; returns the ids.
#[pyfunction]
pub(crate) fn put_all<'py>(
    records: &Bound<'py, PyDict>,
    indices: &Bound<'py, PyDict>,
    order: &Bound<'py, Order>,
    added: &Bound<'py, PyAny>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let indices = Indices::of(indices)?;
    let mut ids = Vec::with_capacity(added.len().unwrap_or(0));
    for record in added.try_iter()? {
        ids.push(indices.put(records, order.get(), &record?)?);
    }
    Ok(ids)
}

/// Takes a record out of a storage and its indices; whether there was one.
#[pyfunction]
pub(crate) fn take(
    records: &Bound<'_, PyDict>,
    indices: &Bound<'_, PyDict>,
    order: &Bound<'_, Order>,
    id: &Bound<'_, PyAny>,
) -> PyResult<bool> {
    let Some(record) = records.get_item(id)? else {
        return Ok(false);
    };
    if !indices.is_empty() {
        for index in indices.values() {
            match own_index(&index)? {
                Some(index) => index.get().forget(id)?,
                None => drop(index.call_method1(intern!(id.py(), "remove"), (&record,))?),
            }
        }
        order.get().remove(id)?;
    }
    if records.contains(id)? {
        records.del_item(id)?;
    }
    Ok(true)
}

/// `take` of each.
#[pyfunction]
pub(crate) fn take_all(
    records: &Bound<'_, PyDict>,
    indices: &Bound<'_, PyDict>,
    order: &Bound<'_, Order>,
    ids: &Bound<'_, PyAny>,
) -> PyResult<Vec<bool>> {
    let mut taken = Vec::with_capacity(ids.len().unwrap_or(0));
    for id in ids.try_iter()? {
        taken.push(take(records, indices, order, &id?)?);
    }
    Ok(taken)
}

/// Sets those attributes of a record that it has, and refiles it; on an error all is as it was.
#[pyfunction]
pub(crate) fn change<'py>(
    id: &Bound<'py, PyAny>,
    record: &Bound<'py, PyAny>,
    attributes: &Bound<'py, PyDict>,
    indices: &Bound<'py, PyDict>,
    now: &Bound<'py, PyAny>,
) -> PyResult<()> {
    Indices::of(indices)?.change(id, record, attributes, now)
}

/// Sets attributes, and keeps what was there before.
fn set_attributes<'py>(
    record: &Bound<'py, PyAny>,
    attributes: &Bound<'py, PyDict>,
    before: &mut Vec<(Bound<'py, PyString>, Bound<'py, PyAny>)>,
) -> PyResult<()> {
    for (name, value) in attributes.iter() {
        let name = name.cast_into::<PyString>()?;
        if let Some(old) = record.getattr_opt(&name)? {
            record.setattr(&name, value)?;
            before.push((name, old));
        }
    }
    Ok(())
}

/// `change` of each pair of an id and attributes; returns the records, `None` for ids that are unknown.
#[pyfunction]
pub(crate) fn change_all<'py>(
    records: &Bound<'py, PyDict>,
    indices: &Bound<'py, PyDict>,
    updates: &Bound<'py, PyAny>,
    now: &Bound<'py, PyAny>,
) -> PyResult<Vec<Option<Bound<'py, PyAny>>>> {
    let indices = Indices::of(indices)?;
    let mut changed = Vec::with_capacity(updates.len().unwrap_or(0));
    for update in updates.try_iter()? {
        let (id, attributes): (Bound<'py, PyAny>, Bound<'py, PyDict>) = update?.extract()?;
        let record = records.get_item(&id)?.filter(|record| !record.is_none());
        if let Some(record) = &record {
            indices.change(&id, record, &attributes.copy()?, now)?;
        }
        changed.push(record);
    }
    Ok(changed)
}

/// Records whose field has a value, in the order of the storage.
#[pyfunction]
pub(crate) fn search<'py>(
    records: &Bound<'py, PyDict>,
    indices: &Bound<'py, PyDict>,
    order: &Bound<'py, Order>,
    field_name: &Bound<'py, PyString>,
    value: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    let py = records.py();
    let found = PyList::empty(py);
    // Records without the field are in no index, and a value without a hash equals none that is.
    let index = if value.is_none() {
        None
    } else {
        indices.get_item(field_name)?
    };
    if let Some(index) = index
        && value.hash().is_ok()
    {
        if let Some(own) = own_index(&index)? {
            let Some(ids) = own.get().ordered(value, records, order.get())? else {
                return Ok(found);
            };
            append_records(ids.keys().iter(), records, &found)?;
        } else {
            let ids = index.call_method1(intern!(py, "find"), (value,))?;
            let ids = ids.try_iter()?.collect::<PyResult<Vec<_>>>()?;
            let ids = order.get().sorted(PyList::new(py, ids)?, records)?;
            append_records(ids.into_iter(), records, &found)?;
        }
        return Ok(found);
    }
    let field = FieldOf::new(field_name);
    // Of plain texts and numbers those with other hashes are other values, which is quicker to see.
    let hash = if is_plain(value) {
        Some(value.hash()?)
    } else {
        None
    };
    for record in records.values() {
        let is_equal = match field.of(&record)? {
            Some(own) if hash.is_some() && is_plain(&own) => {
                hash == Some(own.hash()?) && own.eq(value)?
            }
            Some(own) => own.eq(value)?,
            None => value.is_none(),
        };
        if is_equal {
            found.append(record)?;
        }
    }
    Ok(found)
}

fn is_plain(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
}

fn append_records<'py>(
    ids: impl Iterator<Item = Bound<'py, PyAny>>,
    records: &Bound<'py, PyDict>,
    found: &Bound<'py, PyList>,
) -> PyResult<()> {
    for id in ids {
        if let Some(record) = records.get_item(id)? {
            found.append(record)?;
        }
    }
    Ok(())
}
