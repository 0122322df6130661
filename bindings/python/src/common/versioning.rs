//! What a change tracker asks of its changes, and what a version vector asks of another.

use std::cmp::Ordering;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyList, PySet};

use super::access::{Attribute, PythonClass};
use super::copying::{Copier, blank_object};
use super::ids::uuid_text;
use super::time::now;

static CHANGE: PythonClass = PythonClass::new("common.core.versioning", "Change");
static VERSION: PythonClass = PythonClass::new("common.core.versioning", "Version");

/// Whether one time is later than another.
fn is_later(one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
    match (one.cast_exact::<PyFloat>(), other.cast_exact::<PyFloat>()) {
        (Ok(one), Ok(other)) => Ok(one.value() > other.value()),
        _ => one.gt(other),
    }
}

/// A new version by a node, made now.
fn new_version<'py>(
    py: Python<'py>,
    node_id: &Bound<'py, PyAny>,
    is_deleted: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let metadata = PyDict::new(py);
    metadata.set_item(intern!(py, "node_id"), node_id)?;
    if is_deleted {
        metadata.set_item(intern!(py, "deleted"), true)?;
    }
    let version = blank_object(VERSION.get(py)?)?;
    version.setattr(intern!(py, "version_id"), uuid_text(py))?;
    version.setattr(intern!(py, "timestamp"), now())?;
    version.setattr(intern!(py, "metadata"), metadata)?;
    Ok(version)
}

/// Appends a change of a record, made now, and makes its version the current one.
///
/// A change without data before has no version before, one without data after has no version after: the record is gone.
#[pyfunction]
#[pyo3(signature = (changes, current_versions, node_id, change_type, record_id, before_data, after_data))]
pub(crate) fn note<'py>(
    changes: &Bound<'py, PyAny>,
    current_versions: &Bound<'py, PyDict>,
    node_id: &Bound<'py, PyAny>,
    change_type: &Bound<'py, PyAny>,
    record_id: &Bound<'py, PyAny>,
    before_data: Option<&Bound<'py, PyAny>>,
    after_data: Option<&Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = changes.py();
    let before = match before_data {
        None => None,
        Some(_) => match current_versions
            .get_item(record_id)?
            .filter(|version| !version.is_none())
        {
            Some(version) => Some(version),
            None => Some(new_version(py, node_id, false)?),
        },
    };
    let current = new_version(py, node_id, after_data.is_none())?;
    let change = blank_object(CHANGE.get(py)?)?;
    change.setattr(intern!(py, "change_id"), uuid_text(py))?;
    change.setattr(intern!(py, "change_type"), change_type)?;
    change.setattr(intern!(py, "record_id"), record_id)?;
    change.setattr(intern!(py, "before_version"), before)?;
    change.setattr(intern!(py, "after_version"), after_data.map(|_| &current))?;
    change.setattr(intern!(py, "timestamp"), now())?;
    change.setattr(intern!(py, "metadata"), PyDict::new(py))?;
    change.setattr(intern!(py, "before_data"), before_data)?;
    change.setattr(intern!(py, "after_data"), after_data)?;
    match changes.cast_exact::<PyList>() {
        Ok(changes) => changes.append(change)?,
        Err(_) => drop(changes.call_method1(intern!(py, "append"), (change,))?),
    }
    current_versions.set_item(record_id, current)
}

/// The latest change of each record by time; of several at one time the last.
fn latest<'py>(changes: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let py = changes.py();
    let latest = PyDict::new(py);
    for change in changes.try_iter()? {
        let change = change?;
        let id = change.getattr(intern!(py, "record_id"))?;
        if let Some(known) = latest.get_item(&id)? {
            let known = known.getattr(intern!(py, "timestamp"))?;
            if is_later(&known, &change.getattr(intern!(py, "timestamp"))?)? {
                continue;
            }
        }
        latest.set_item(id, change)?;
    }
    Ok(latest)
}

type Conflict<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

/// The latest changes of records, own and other, that made different versions of them, neither side knowing the other's.
#[pyfunction]
pub(crate) fn conflicts<'py>(
    own_changes: &Bound<'py, PyAny>,
    other_changes: &Bound<'py, PyAny>,
) -> PyResult<Vec<Conflict<'py>>> {
    let py = own_changes.py();
    let other_changes = PyList::new(py, other_changes.try_iter()?.collect::<PyResult<Vec<_>>>()?)?;
    let own = latest(own_changes)?;
    let other = latest(&other_changes)?;
    let mut conflicts = Vec::new();
    let mut known: Option<(Bound<'py, PySet>, Bound<'py, PySet>)> = None;
    for pair in own.items() {
        let (id, ours): (Bound<'py, PyAny>, Bound<'py, PyAny>) = pair.extract()?;
        let Some(theirs) = other.get_item(&id)? else {
            continue;
        };
        if ours.is(&theirs) || !made_other_versions(&ours, &theirs)? {
            continue;
        }
        if known.is_none() {
            known = Some((change_ids(own_changes)?, change_ids(&other_changes)?));
        }
        let Some((own_ids, other_ids)) = &known else {
            continue;
        };
        let change_id = intern!(py, "change_id");
        if other_ids.contains(ours.getattr(change_id)?)?
            || own_ids.contains(theirs.getattr(change_id)?)?
        {
            continue;
        }
        conflicts.push((ours, theirs));
    }
    Ok(conflicts)
}

/// Whether both changes have a version after them, of different times, neither made from the other.
fn made_other_versions<'py>(
    ours: &Bound<'py, PyAny>,
    theirs: &Bound<'py, PyAny>,
) -> PyResult<bool> {
    let py = ours.py();
    let after = intern!(py, "after_version");
    let (our_version, their_version) = (ours.getattr(after)?, theirs.getattr(after)?);
    if our_version.is_none() || their_version.is_none() || our_version.is(&their_version) {
        return Ok(false);
    }
    let time = intern!(py, "timestamp");
    if our_version
        .getattr(time)?
        .eq(their_version.getattr(time)?)?
    {
        return Ok(false);
    }
    let id = intern!(py, "version_id");
    let (our_id, their_id) = (our_version.getattr(id)?, their_version.getattr(id)?);
    if our_id.eq(&their_id)? {
        return Ok(false);
    }
    let before = intern!(py, "before_version");
    for (change, seen) in [(theirs, &our_id), (ours, &their_id)] {
        let version = change.getattr(before)?;
        if !version.is_none() && version.getattr(id)?.eq(seen)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn change_ids<'py>(changes: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PySet>> {
    let py = changes.py();
    let ids = PySet::empty(py)?;
    for change in changes.try_iter()? {
        ids.add(change?.getattr(intern!(py, "change_id"))?)?;
    }
    Ok(ids)
}

/// Appends copies of the other's changes that are neither known nor in a conflict.
#[pyfunction]
pub(crate) fn take_over<'py>(
    own_changes: &Bound<'py, PyAny>,
    other_changes: &Bound<'py, PyAny>,
    conflicts: Vec<Conflict<'py>>,
) -> PyResult<()> {
    let py = own_changes.py();
    let known = change_ids(own_changes)?;
    for (_, theirs) in conflicts {
        known.add(theirs.getattr(intern!(py, "change_id"))?)?;
    }
    let mut taken = Vec::new();
    for change in other_changes.try_iter()? {
        let change = change?;
        let id = change.getattr(intern!(py, "change_id"))?;
        if !known.contains(&id)? {
            known.add(id)?;
            taken.push(Copier::new().copy(&change, 0)?);
        }
    }
    own_changes
        .call_method1(intern!(py, "extend"), (taken,))
        .map(drop)
}

/// Takes the other's current versions that are unknown or later.
#[pyfunction]
pub(crate) fn later_versions(own: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = own.py();
    let (Ok(own), Ok(other)) = (own.cast::<PyDict>(), other.cast::<PyDict>()) else {
        return Err(pyo3::exceptions::PyTypeError::new_err(
            "current_versions must be a dict",
        ));
    };
    let timestamp = Attribute::new(intern!(py, "timestamp").clone());
    for pair in other.items() {
        let (id, theirs): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
        if let Some(ours) = own.get_item(&id)? {
            let times = (timestamp.of(&ours)?, timestamp.of(&theirs)?);
            let (Some(our_time), Some(their_time)) = times else {
                continue;
            };
            if !is_later(&their_time, &our_time)? {
                continue;
            }
        }
        own.set_item(id, theirs)?;
    }
    Ok(())
}

/// Takes the larger count of each node.
#[pyfunction]
pub(crate) fn vector_merge(own: &Bound<'_, PyDict>, other: &Bound<'_, PyDict>) -> PyResult<()> {
    for (node, count) in other.copy()? {
        let is_larger = match own.get_item(&node)? {
            Some(known) => order(&known, &count)?.is_lt(),
            None => true,
        };
        if is_larger {
            own.set_item(node, count)?;
        }
    }
    Ok(())
}

/// How two counts compare.
fn order(one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> PyResult<Ordering> {
    match (one.extract::<i64>(), other.extract::<i64>()) {
        (Ok(one), Ok(other)) => Ok(one.cmp(&other)),
        _ => one.compare(other),
    }
}

/// -1 when the other vector knows all of this and more, 1 the other way round, 0 when equal or concurrent.
#[pyfunction]
pub(crate) fn vector_compare(own: &Bound<'_, PyDict>, other: &Bound<'_, PyDict>) -> PyResult<i32> {
    let zero = 0_i64.into_pyobject(own.py())?.into_any();
    let (mut is_less_somewhere, mut is_more_somewhere) = (false, false);
    let mut shared = 0;
    for (node, count) in own.copy()? {
        let theirs = other.get_item(&node)?;
        shared += usize::from(theirs.is_some());
        let how = order(&count, theirs.as_ref().unwrap_or(&zero))?;
        is_less_somewhere |= how.is_lt();
        is_more_somewhere |= how.is_gt();
        if is_less_somewhere && is_more_somewhere {
            return Ok(0);
        }
    }
    if shared < other.len() {
        for (node, count) in other.copy()? {
            if !own.contains(&node)? {
                let how = order(&zero, &count)?;
                is_less_somewhere |= how.is_lt();
                is_more_somewhere |= how.is_gt();
            }
        }
    }
    Ok(i32::from(is_more_somewhere) - i32::from(is_less_somewhere))
}
