//! Changes and what replicas have seen of each other: the natives under `ChangeRecord`, `ChangeTracker` and
//! `VersionVector`.

use std::cmp::Ordering;

use pyo3::exceptions::PyKeyError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyList, PyString, PyTuple, PyType};

use super::copy::{deep_copy, is_atom};
use super::json::untag;
use super::table::{key_tuple, template};
use crate::interchange::own_dict;

/// Names of the fields of a change, in order.
pub(super) const FIELDS: [&str; 8] = [
    "id",
    "table_name",
    "primary_key",
    "operation",
    "timestamp",
    "client_id",
    "old_data",
    "new_data",
];

/// The names as Python keeps them.
pub(super) fn field_names(py: Python<'_>) -> &[Py<PyString>; 8] {
    static NAMES: PyOnceLock<[Py<PyString>; 8]> = PyOnceLock::new();
    NAMES.get_or_init(py, || {
        FIELDS.map(|name| PyString::intern(py, name).unbind())
    })
}

static TEMPLATE: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// The fields of a change.
pub(super) struct Fields<'a, 'py> {
    pub(super) id: &'a Bound<'py, PyAny>,
    pub(super) table_name: &'a Bound<'py, PyAny>,
    pub(super) primary_key: &'a Bound<'py, PyAny>,
    pub(super) operation: &'a Bound<'py, PyAny>,
    pub(super) timestamp: &'a Bound<'py, PyAny>,
    pub(super) client_id: &'a Bound<'py, PyAny>,
    pub(super) old_data: &'a Bound<'py, PyAny>,
    pub(super) new_data: &'a Bound<'py, PyAny>,
}

impl<'py> Fields<'_, 'py> {
    fn dict(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = template(py, &TEMPLATE, &FIELDS)?;
        fields.set_item(intern!(py, "id"), self.id)?;
        fields.set_item(intern!(py, "table_name"), self.table_name)?;
        fields.set_item(intern!(py, "primary_key"), self.primary_key)?;
        fields.set_item(intern!(py, "operation"), self.operation)?;
        fields.set_item(intern!(py, "timestamp"), self.timestamp)?;
        fields.set_item(intern!(py, "client_id"), self.client_id)?;
        fields.set_item(intern!(py, "old_data"), self.old_data)?;
        fields.set_item(intern!(py, "new_data"), self.new_data)?;
        Ok(fields)
    }

    /// A `ChangeRecord` of these fields.
    pub(super) fn record(&self, class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
        record_of(class, &self.dict(class.py())?)
    }
}

/// The class `ChangeRecord` of the package.
pub(super) fn record_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "syncdb.sync.change_tracker", "ChangeRecord")
}

static NEW: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A new object of a dataclass with these fields, without the work of its constructor.
fn record_of<'py>(
    class: &Bound<'py, PyType>,
    fields: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let new = NEW.get_or_try_init(py, || {
        py.get_type::<ChangeRecordMethods>()
            .getattr("__new__")
            .map(Bound::unbind)
    })?;
    let record = new.bind(py).call1((class,))?;
    record.setattr(intern!(py, "__dict__"), fields)?;
    Ok(record)
}

/// Native part of the dataclass `ChangeRecord`.
#[pyclass(subclass, frozen, module = "tandemdb._native.syncdb")]
pub(super) struct ChangeRecordMethods;

#[pymethods]
impl ChangeRecordMethods {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self
    }

    /// The change that `to_dict` described; the key becomes a tuple, other names are ignored, a missing one is `KeyError`.
    #[classmethod]
    fn from_dict<'py>(
        cls: &Bound<'py, PyType>,
        data: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let fields = own_fields(data)?;
        if cls.is(record_class(cls.py())?) {
            return record_of(cls, &fields);
        }
        cls.call((), Some(&fields))
    }
}

/// The fields that a dictionary describes, the key as a tuple; `KeyError` for one that is missing.
fn own_fields<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let py = data.py();
    let names = field_names(py);
    if let Ok(dict) = data.cast_exact::<PyDict>()
        && dict.len() == FIELDS.len()
        && dict
            .iter()
            .zip(names)
            .all(|((name, _), field)| name.as_ptr() == field.as_ptr())
    {
        let fields = dict.copy()?;
        let name = intern!(py, "primary_key");
        if let Some(key) = dict.get_item(name)?
            && !key.is_exact_instance_of::<PyTuple>()
        {
            fields.set_item(name, key_tuple(&key)?)?;
        }
        return Ok(fields);
    }
    let fields = template(py, &TEMPLATE, &FIELDS)?;
    for name in names {
        fields.set_item(name, data.get_item(name)?)?;
    }
    let primary_key = key_tuple(&data.get_item(intern!(py, "primary_key"))?)?;
    fields.set_item(intern!(py, "primary_key"), primary_key)?;
    Ok(fields)
}

/// The fields of a dictionary that has them and both aliases in the order in which messages are written.
fn aliased_fields<'py>(data: &Bound<'py, PyDict>) -> PyResult<Option<Bound<'py, PyDict>>> {
    let py = data.py();
    let names = field_names(py);
    let aliases = [intern!(py, "old_record"), intern!(py, "new_record")];
    if !data.is_exact_instance_of::<PyDict>() || data.len() != names.len() + aliases.len() {
        return Ok(None);
    }
    // One walk finds the names in their places and what has to be looked into.
    let expected = (names.iter().map(Py::as_ptr)).chain(aliases.map(Bound::as_ptr));
    let [mut key, mut old, mut new] = [None, None, None];
    for (place, ((name, value), expected)) in data.iter().zip(expected).enumerate() {
        if name.as_ptr() != expected {
            return Ok(None);
        }
        match place {
            KEY => key = Some(value),
            OLD_ROW => old = Some(value),
            NEW_ROW => new = Some(value),
            _ => {}
        }
    }
    let fields = data.copy()?;
    for alias in aliases {
        fields.del_item(alias)?;
    }
    for (place, row) in [(OLD_ROW, old), (NEW_ROW, new)] {
        if let Some(row) = row
            && !row.is_none()
            && let Some(name) = names.get(place)
        {
            let read = untag(&row)?;
            if !read.is(&row) {
                fields.set_item(name, read)?;
            }
        }
    }
    if let Some(key) = key
        && !is_plain_key(&key)
        && let Some(name) = names.get(KEY)
    {
        fields.set_item(name, untagged_key(&key)?)?;
    }
    Ok(Some(fields))
}

/// Places of fields in their order.
const KEY: usize = 2;
const OLD_ROW: usize = 6;
const NEW_ROW: usize = 7;

/// Whether a key of a message is one as it stands.
fn is_plain_key(key: &Bound<'_, PyAny>) -> bool {
    key.cast_exact::<PyTuple>()
        .is_ok_and(|key| key.iter_borrowed().all(|value| is_atom(&value)))
}

/// The key of a message: a tuple, its values as they were before they were written.
fn untagged_key<'py>(key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    let values = key_tuple(key)?
        .iter()
        .map(|value| untag(&value))
        .collect::<PyResult<Vec<_>>>()?;
    PyTuple::new(key.py(), values)
}

/// The change of a message: a dictionary becomes a `ChangeRecord`, everything else stays.
fn of_message<'py>(
    element: Bound<'py, PyAny>,
    class: &Bound<'py, PyType>,
) -> PyResult<Bound<'py, PyAny>> {
    let Ok(data) = element.cast::<PyDict>() else {
        return Ok(element);
    };
    let py = data.py();
    if let Some(fields) = aliased_fields(data)? {
        return record_of(class, &fields);
    }
    let item = |name: &Bound<'py, PyString>| {
        data.get_item(name)?
            .ok_or_else(|| PyKeyError::new_err(name.to_string()))
    };
    let row =
        |name: &Bound<'py, PyString>, alias: &Bound<'py, PyString>| match data.get_item(name)? {
            Some(row) => untag(&row),
            None => match data.get_item(alias)? {
                Some(row) => untag(&row),
                None => Err(PyKeyError::new_err(name.to_string())),
            },
        };
    Fields {
        id: &item(intern!(py, "id"))?,
        table_name: &item(intern!(py, "table_name"))?,
        primary_key: untagged_key(&item(intern!(py, "primary_key"))?)?.as_any(),
        operation: &item(intern!(py, "operation"))?,
        timestamp: &item(intern!(py, "timestamp"))?,
        client_id: &item(intern!(py, "client_id"))?,
        old_data: &row(intern!(py, "old_data"), intern!(py, "old_record"))?,
        new_data: &row(intern!(py, "new_data"), intern!(py, "new_record"))?,
    }
    .record(class)
}

/// Changes as they stand in a message, dictionaries among them as `ChangeRecord`s.
#[pyfunction]
#[pyo3(signature = (changes, /))]
pub(super) fn read_changes<'py>(changes: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    let py = changes.py();
    let class = record_class(py)?;
    let mut read = Vec::new();
    for element in changes.try_iter()? {
        read.push(of_message(element?, class)?);
    }
    PyList::new(py, read)
}

/// Whether a value arrives as it is, and none of its parts needs a form that only the text has.
fn is_sendable(value: &Bound<'_, PyAny>, depth: usize) -> bool {
    if is_atom(value) {
        return true;
    }
    if depth > SENDABLE_DEPTH {
        return false;
    }
    if let Ok(list) = value.cast_exact::<PyList>() {
        return list.iter().all(|one| is_sendable(&one, depth + 1));
    }
    if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        return tuple.iter().all(|one| is_sendable(&one, depth + 1));
    }
    value.cast_exact::<PyDict>().is_ok_and(|dict| {
        dict.iter().all(|(name, one)| {
            name.is_exact_instance_of::<PyString>() && is_sendable(&one, depth + 1)
        })
    })
}

/// Deeper values are written as text, which says what is wrong with them.
const SENDABLE_DEPTH: usize = 50;

/// Whether changes would arrive as they are: then nothing is lost if no text is made of them.
#[pyfunction]
#[pyo3(signature = (tables, /))]
pub(super) fn are_sendable(tables: &Bound<'_, PyDict>) -> PyResult<bool> {
    let py = tables.py();
    let class = record_class(py)?;
    for changes in tables.values() {
        let Ok(changes) = changes.cast_into::<PyList>() else {
            return Ok(false);
        };
        for change in changes {
            if !change.get_type().is(class) {
                return Ok(false);
            }
            for name in [
                intern!(py, "primary_key"),
                intern!(py, "new_data"),
                intern!(py, "old_data"),
                intern!(py, "timestamp"),
            ] {
                if !is_sendable(&change.getattr(name)?, 0) {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// Copies of changes that share nothing that can change with them.
#[pyfunction]
#[pyo3(signature = (changes, /))]
pub(super) fn copy_changes<'py>(changes: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyList>> {
    let py = changes.py();
    let copies = PyList::empty(py);
    for change in changes {
        let fields = deep_copy(own_dict(&change)?.as_any())?;
        copies.append(record_of(record_class(py)?, fields.cast()?)?)?;
    }
    Ok(copies)
}

/// What a change keeps of a row: a copy, or `None` for no row and for an empty one.
fn kept<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if data.is_truthy()? {
        return deep_copy(data);
    }
    Ok(data.py().None().into_bound(data.py()))
}

/// Native part of the class `ChangeTracker`.
#[pyclass(subclass, frozen, module = "tandemdb._native.syncdb")]
pub(super) struct ChangeTrackerMethods;

fn list_of<'py>(
    slf: &Bound<'py, ChangeTrackerMethods>,
    table_name: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyList>>> {
    let changes = slf
        .getattr(intern!(slf.py(), "changes"))?
        .cast_into::<PyDict>()?;
    match changes.get_item(table_name)? {
        Some(list) => Ok(Some(list.cast_into::<PyList>()?)),
        None => Ok(None),
    }
}

#[pymethods]
impl ChangeTrackerMethods {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self
    }

    /// Appends a change with the next id of its table, and returns it. The rows are copied.
    fn record_change<'py>(
        slf: &Bound<'py, Self>,
        table_name: &Bound<'py, PyAny>,
        primary_key: &Bound<'py, PyAny>,
        operation: &Bound<'py, PyAny>,
        old_data: &Bound<'py, PyAny>,
        new_data: &Bound<'py, PyAny>,
        client_id: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let (old_data, new_data) = (kept(old_data)?, kept(new_data)?);
        let counters = slf
            .getattr(intern!(py, "counters"))?
            .cast_into::<PyDict>()?;
        let id = match counters.get_item(table_name)? {
            Some(id) => id,
            None => 0_u64.into_pyobject(py)?.into_any(),
        };
        counters.set_item(table_name, id.add(1)?)?;
        let time = super::table::now(py)?;
        let record = Fields {
            id: &id,
            table_name,
            primary_key,
            operation,
            timestamp: &time,
            client_id,
            old_data: &old_data,
            new_data: &new_data,
        }
        .record(record_class(py)?)?;
        let list = match list_of(slf, table_name)? {
            Some(list) => list,
            None => {
                let list = PyList::empty(py);
                slf.getattr(intern!(py, "changes"))?
                    .set_item(table_name, &list)?;
                list
            }
        };
        list.append(&record)?;
        let most = slf.getattr(intern!(py, "max_history_size"))?;
        if most
            .extract::<usize>()
            .map_or(true, |most| list.len() > most)
        {
            slf.call_method1(intern!(py, "_prune_history"), (table_name,))?;
        }
        Ok(record)
    }

    /// Changes of a table with a greater id, oldest first, without those of `exclude_client_id`.
    #[pyo3(signature = (table_name, since_id, exclude_client_id=None))]
    fn get_changes_since<'py>(
        slf: &Bound<'py, Self>,
        table_name: &Bound<'py, PyAny>,
        since_id: &Bound<'py, PyAny>,
        exclude_client_id: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let found = PyList::empty(py);
        let Some(list) = list_of(slf, table_name)? else {
            return Ok(found);
        };
        let from = position_after(&list, since_id)?;
        let Some(exclude_client_id) = exclude_client_id else {
            return match from {
                Some(from) => Ok(list.get_slice(from, list.len())),
                None => those_after(&list, since_id),
            };
        };
        let list = match from {
            Some(from) => list.get_slice(from, list.len()),
            None => those_after(&list, since_id)?,
        };
        let client_id = intern!(py, "client_id");
        // What was said of the last id: changes of one client follow each other.
        let mut before: Option<(Bound<'py, PyAny>, bool)> = None;
        let mut begin = 0;
        for at in 0..list.len() {
            let its = list.get_item(at)?.getattr(client_id)?;
            let excluded = match &before {
                Some((id, excluded)) if id.is(&its) => *excluded,
                _ => {
                    let excluded = its.eq(exclude_client_id)?;
                    before = Some((its, excluded));
                    excluded
                }
            };
            if excluded {
                append_all(&found, &list, begin..at)?;
                begin = at + 1;
            }
        }
        if begin == 0 {
            return Ok(list);
        }
        append_all(&found, &list, begin..list.len())?;
        Ok(found)
    }

    /// Id of a table's newest change; -1 if there is none.
    fn get_latest_change_id<'py>(
        slf: &Bound<'py, Self>,
        table_name: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        match list_of(slf, table_name)? {
            Some(list) if !list.is_empty() => {
                list.get_item(list.len() - 1)?.getattr(intern!(py, "id"))
            }
            _ => Ok((-1_i64).into_pyobject(py)?.into_any()),
        }
    }
}

/// The changes of a greater id, one looked at after the other.
fn those_after<'py>(
    list: &Bound<'py, PyList>,
    since_id: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    let found = PyList::empty(list.py());
    for change in list {
        if change.getattr(intern!(list.py(), "id"))?.gt(since_id)? {
            found.append(change)?;
        }
    }
    Ok(found)
}

fn append_all<'py>(
    found: &Bound<'py, PyList>,
    list: &Bound<'py, PyList>,
    places: std::ops::Range<usize>,
) -> PyResult<()> {
    for at in places {
        found.append(list.get_item(at)?)?;
    }
    Ok(())
}

/// Where the changes after an id begin, if the ids of the list rise by one as a tracker gives them.
fn position_after(
    list: &Bound<'_, PyList>,
    since_id: &Bound<'_, PyAny>,
) -> PyResult<Option<usize>> {
    let id = intern!(list.py(), "id");
    let Some(end) = list.len().checked_sub(1) else {
        return Ok(Some(0));
    };
    let (Ok(since), Ok(first_id), Ok(last_id)) = (
        since_id.extract::<i64>(),
        list.get_item(0)?.getattr(id)?.extract::<i64>(),
        list.get_item(end)?.getattr(id)?.extract::<i64>(),
    ) else {
        return Ok(None);
    };
    if last_id.checked_sub(first_id) != i64::try_from(end).ok() {
        return Ok(None);
    }
    if since < first_id {
        return Ok(Some(0));
    }
    if since >= last_id {
        return Ok(Some(list.len()));
    }
    let from = usize::try_from(since - first_id).unwrap_or(0) + 1;
    // A program may have put changes into the list itself.
    Ok(
        (list.get_item(from)?.getattr(id)?.extract::<i64>().ok() == Some(since + 1))
            .then_some(from),
    )
}

/// Native part of the class `VersionVector`: its entries are a dictionary that programs replace.
#[pyclass(subclass, frozen, module = "tandemdb._native.syncdb")]
pub(super) struct VersionVectorMethods;

fn entries<'py>(vector: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    Ok(vector
        .getattr(intern!(vector.py(), "vector"))?
        .cast_into::<PyDict>()?)
}

/// How one entry stands to another.
fn compare(mine: &Bound<'_, PyAny>, theirs: &Bound<'_, PyAny>) -> PyResult<Ordering> {
    if mine.is_exact_instance_of::<PyInt>() && theirs.is_exact_instance_of::<PyInt>() {
        if mine.is(theirs) {
            return Ok(Ordering::Equal);
        }
        if let (Ok(mine), Ok(theirs)) = (mine.extract::<i64>(), theirs.extract::<i64>()) {
            return Ok(mine.cmp(&theirs));
        }
    }
    mine.compare(theirs)
}

/// Whether an entry of the first vector is smaller, and whether one is larger; a missing one counts as 0.
///
/// Stops at the first that is smaller if nothing else is asked.
fn relation(
    mine: &Bound<'_, PyDict>,
    theirs: &Bound<'_, PyDict>,
    only_smaller: bool,
) -> PyResult<(bool, bool)> {
    let zero = 0_i64.into_pyobject(mine.py())?.into_any();
    let (mut smaller, mut larger, mut common) = (false, false, 0);
    let mut note = |order: Ordering| {
        smaller |= order == Ordering::Less;
        larger |= order == Ordering::Greater;
        smaller && (only_smaller || larger)
    };
    // Copies: entries of other types compare by Python code, which could change the vectors.
    for (id, my_entry) in plain_entries(mine)?.iter() {
        let order = match theirs.get_item(&id)? {
            Some(their_entry) => {
                common += 1;
                compare(&my_entry, &their_entry)?
            }
            None => compare(&my_entry, &zero)?,
        };
        if note(order) {
            return Ok((smaller, larger));
        }
    }
    if common < theirs.len() {
        for (id, their_entry) in plain_entries(theirs)?.iter() {
            if !mine.contains(&id)? && note(compare(&zero, &their_entry)?) {
                return Ok((smaller, larger));
            }
        }
    }
    Ok((smaller, larger))
}

/// The entries: themselves if all are integers by clients' names, else a copy.
fn plain_entries<'py>(vector: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
    let plain = vector.iter().all(|(id, entry)| {
        id.is_exact_instance_of::<PyString>() && entry.is_exact_instance_of::<PyInt>()
    });
    if plain {
        Ok(vector.clone())
    } else {
        vector.copy()
    }
}

#[pymethods]
impl VersionVectorMethods {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self
    }

    /// Takes the greater count of each client.
    fn update(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        let vector = entries(slf)?;
        let others = entries(other)?;
        if others.is(&vector) {
            return Ok(());
        }
        for (id, theirs) in plain_entries(&others)?.iter() {
            let greater = match vector.get_item(&id)? {
                Some(mine) => compare(&theirs, &mine)? == Ordering::Greater,
                None => true,
            };
            if greater {
                vector.set_item(id, theirs)?;
            }
        }
        Ok(())
    }

    /// Whether no entry is smaller than `other`'s and at least one is larger; a missing entry counts as 0.
    fn dominates(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let (smaller, larger) = relation(&entries(slf)?, &entries(other)?, true)?;
        Ok(larger && !smaller)
    }

    /// Whether neither dominates the other; so are two equal vectors.
    fn concurrent_with(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let (smaller, larger) = relation(&entries(slf)?, &entries(other)?, false)?;
        Ok(smaller == larger)
    }

    /// A copy of the entries.
    fn to_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        entries(slf)?.copy()
    }
}
