//! Rows of one table: the native under the class `Table`. Rows, log and times are Python containers that callers see.

use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::copy::{deep_copy, is_atom, is_shared};
use super::hooks::Hooks;
use super::schema::{Compiled, compiled};
use super::stamps::RowStamps;
use crate::interchange::own_dict;

/// Changes that the log keeps at least; it is cut to these when it has twice as many.
const CHANGES_KEPT: usize = 10_000;

/// What `Table` may have replaced in subclasses and instances.
pub(super) static HOOKS: Hooks = Hooks::new(
    &[
        "_validate_record",
        "_get_primary_key_tuple",
        "_record_change",
        "_matches_conditions",
    ],
    ATTRIBUTES,
);

/// Queries for fewer rows look at one row after the other instead of making a list of all.
const FEW: usize = 100;

/// Attributes that a table has of itself.
pub(super) const ATTRIBUTES: usize = 8;

/// Native part of the class `Table`.
#[pyclass(subclass, frozen, module = "tandemdb._native.syncdb")]
pub(super) struct TableMethods;

/// The attributes of a table, read where Python keeps them.
pub(super) struct Parts<'py> {
    table: Bound<'py, PyAny>,
    pub(super) own: Bound<'py, PyDict>,
}

impl<'py> Parts<'py> {
    pub(super) fn of(table: &Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(Self {
            own: own_dict(table)?,
            table: table.clone(),
        })
    }

    fn attribute(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        match self.own.get_item(name)? {
            Some(value) => Ok(value),
            // A property of a subclass.
            None => self.table.getattr(name),
        }
    }

    pub(super) fn schema(&self) -> PyResult<Bound<'py, PyAny>> {
        self.attribute(intern!(self.table.py(), "schema"))
    }

    pub(super) fn records(&self) -> PyResult<Bound<'py, PyDict>> {
        Ok(self
            .attribute(intern!(self.table.py(), "records"))?
            .cast_into()?)
    }
}

/// Keys of an entry of the change log.
const ENTRY_KEYS: [&str; 7] = [
    "id",
    "operation",
    "primary_key",
    "timestamp",
    "old_record",
    "new_record",
    "client_id",
];
static ENTRY: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// A dictionary with these keys, of the size for them: it does not grow while its values are set.
pub(super) fn template<'py>(
    py: Python<'py>,
    kept: &PyOnceLock<Py<PyDict>>,
    keys: &[&str],
) -> PyResult<Bound<'py, PyDict>> {
    kept.get_or_try_init(py, || {
        let dict = PyDict::new(py);
        for key in keys {
            dict.set_item(PyString::intern(py, key), py.None())?;
        }
        // A copy has no more room than it needs.
        Ok::<_, PyErr>(dict.copy()?.unbind())
    })?
    .bind(py)
    .copy()
}

/// The time as Python tells it, also when a program has replaced `time.time`.
pub(super) fn now(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static TIME: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    TIME.get_or_try_init(py, || {
        Ok::<_, PyErr>(py.import("time")?.into_any().unbind())
    })?
    .bind(py)
    .getattr(intern!(py, "time"))?
    .call0()
}

/// A key given by a caller as a tuple.
pub(super) fn key_tuple<'py>(values: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    if let Ok(tuple) = values.cast_exact::<PyTuple>() {
        return Ok(tuple.clone());
    }
    if let Ok(list) = values.cast_exact::<PyList>() {
        return Ok(list.to_tuple());
    }
    let py = values.py();
    let values: Vec<_> = values.try_iter()?.collect::<PyResult<_>>()?;
    PyTuple::new(py, values)
}

fn missing(table: &Parts<'_>, key: &Bound<'_, PyTuple>) -> PyErr {
    let name = table
        .schema()
        .and_then(|schema| schema.getattr("name"))
        .map_or_else(|_| "?".to_owned(), |name| name.to_string());
    PyValueError::new_err(format!(
        "Record with primary key {key} does not exist in table {name}"
    ))
}

/// Whether a stored value equals the value of a condition, as `==` tells.
#[inline]
fn equal(stored: &Bound<'_, PyAny>, wanted: &Bound<'_, PyAny>) -> PyResult<bool> {
    if stored.is(wanted) && !stored.is_exact_instance_of::<PyFloat>() && is_atom(stored) {
        return Ok(true);
    }
    stored.eq(wanted)
}

/// Whether every condition's column is in the row and equal.
fn matches(
    row: &Bound<'_, PyDict>,
    conditions: &[(Bound<'_, PyAny>, Bound<'_, PyAny>)],
) -> PyResult<bool> {
    for (name, wanted) in conditions {
        match row.get_item(name)? {
            Some(stored) if equal(&stored, wanted)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Gives an entry of the log, which a caller is about to have, rows that neither the table nor another entry has.
fn own_rows(entry: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = entry.py();
    let Ok(entry) = entry.cast_exact::<PyDict>() else {
        return Ok(());
    };
    for name in [intern!(py, "old_record"), intern!(py, "new_record")] {
        if let Some(row) = entry.get_item(name)?
            && row.is_exact_instance_of::<PyDict>()
            && is_shared(&row)
        {
            entry.set_item(name, deep_copy(&row)?)?;
        }
    }
    Ok(())
}

fn pairs<'py>(
    conditions: &Bound<'py, PyAny>,
) -> PyResult<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
    match conditions.cast::<PyDict>() {
        Ok(conditions) => Ok(conditions.iter().collect()),
        Err(_) => conditions
            .call_method0(intern!(conditions.py(), "items"))?
            .try_iter()?
            .map(|item| item?.extract())
            .collect(),
    }
}

/// Finds the first rows without a list of all, as long as values compare without Python code, which could change the
/// table. Whether it got so far.
fn first_rows<'py>(
    records: &Bound<'py, PyDict>,
    conditions: &[(Bound<'py, PyAny>, Bound<'py, PyAny>)],
    most: usize,
    found: &mut Vec<Bound<'py, PyAny>>,
) -> PyResult<bool> {
    let rows = records.call_method0(intern!(records.py(), "values"))?;
    for row in rows.try_iter()? {
        let row = row?;
        let mut all = true;
        for (name, wanted) in conditions {
            match row.cast::<PyDict>()?.get_item(name)? {
                Some(stored) if !is_atom(&stored) => return Ok(false),
                Some(stored) if equal(&stored, wanted)? => {}
                _ => {
                    all = false;
                    break;
                }
            }
        }
        if all {
            found.push(row);
            if found.len() >= most {
                break;
            }
        }
    }
    Ok(true)
}

impl TableMethods {
    /// Refuses what the schema refuses; the key of what it takes.
    fn checked_key<'py>(
        table: &Bound<'py, PyAny>,
        parts: &Parts<'py>,
        record: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyTuple>, Option<Arc<Compiled>>)> {
        let py = table.py();
        let plain = HOOKS.untouched::<Self>(table, &parts.own, &[0, 1])?;
        if plain
            && let Ok(record) = record.cast_exact::<PyDict>()
            && let Some(schema) = compiled(&parts.schema()?)?
            && schema.is_valid(record)?
            && let Some(key) = schema.key(record)?
        {
            return Ok((key, Some(schema)));
        }
        table.call_method1(intern!(py, "_validate_record"), (record,))?;
        let key =
            key_tuple(&table.call_method1(intern!(py, "_get_primary_key_tuple"), (record,))?)?;
        Ok((key, compiled(&parts.schema()?)?))
    }

    /// Appends to the log and notes the time; the rows are the log's from now on.
    fn log(
        table: &Bound<'_, PyAny>,
        parts: &Parts<'_>,
        (operation, key): (&Bound<'_, PyString>, &Bound<'_, PyTuple>),
        old: Option<&Bound<'_, PyAny>>,
        new: Option<&Bound<'_, PyAny>>,
        client_id: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = table.py();
        if HOOKS.untouched::<Self>(table, &parts.own, &[2])? {
            return Self::append(
                table,
                parts,
                (operation.as_any(), key.as_any()),
                old,
                new,
                client_id,
            );
        }
        table.call_method1(
            intern!(py, "_record_change"),
            (operation, key, old, new, client_id),
        )?;
        Ok(())
    }

    fn append(
        table: &Bound<'_, PyAny>,
        parts: &Parts<'_>,
        (operation, key): (&Bound<'_, PyAny>, &Bound<'_, PyAny>),
        old: Option<&Bound<'_, PyAny>>,
        new: Option<&Bound<'_, PyAny>>,
        client_id: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = table.py();
        let counter = intern!(py, "index_counter");
        let id = parts.attribute(counter)?;
        let id = match id.extract::<u64>() {
            Ok(id) => (id + 1).into_pyobject(py)?.into_any(),
            Err(_) => id.add(1)?,
        };
        let time = now(py)?;
        let entry = template(py, &ENTRY, &ENTRY_KEYS)?;
        entry.set_item(intern!(py, "id"), &id)?;
        entry.set_item(intern!(py, "operation"), operation)?;
        entry.set_item(intern!(py, "primary_key"), key)?;
        entry.set_item(intern!(py, "timestamp"), &time)?;
        entry.set_item(intern!(py, "old_record"), old)?;
        entry.set_item(intern!(py, "new_record"), new)?;
        let client = match client_id {
            Some(client) if client.is_truthy()? => client,
            _ => intern!(py, "server").as_any(),
        };
        entry.set_item(intern!(py, "client_id"), client)?;

        if parts.own.contains(counter)? {
            parts.own.set_item(counter, id)?;
        } else {
            table.setattr(counter, id)?;
        }
        let change_log = parts.attribute(intern!(py, "change_log"))?;
        let change_log = change_log.cast::<PyList>()?;
        change_log.append(entry)?;
        if change_log.len() >= 2 * CHANGES_KEPT {
            change_log.del_slice(0, change_log.len() - CHANGES_KEPT)?;
        }
        let last_modified = parts.attribute(intern!(py, "last_modified"))?;
        let last_modified = last_modified.cast::<PyDict>()?;
        if new.is_some() {
            last_modified.set_item(key, time)?;
        } else if last_modified.contains(key)? {
            last_modified.del_item(key)?;
        }
        if let Ok(key) = key.cast::<PyTuple>()
            && let Some(stamps) = parts.own.get_item(intern!(py, "_stamps"))?
            && let Ok(stamps) = stamps.cast_exact::<RowStamps>()
        {
            stamps.get().note(key)?;
        }
        Ok(())
    }

    /// Adds the columns that a new row lacks and that have a default.
    fn fill(
        parts: &Parts<'_>,
        compiled: Option<&Compiled>,
        row: &Bound<'_, PyDict>,
    ) -> PyResult<bool> {
        let py = row.py();
        let mut called = false;
        let mut fill = |name: &Bound<'_, PyAny>, default: &Bound<'_, PyAny>| -> PyResult<()> {
            if default.is_none() || row.contains(name)? {
                return Ok(());
            }
            if !is_atom(default) && default.is_callable() {
                called = true;
                return row.set_item(name, deep_copy(&default.call0()?)?);
            }
            row.set_item(name, deep_copy(default)?)
        };
        if let Some(compiled) = compiled {
            for (name, default) in &compiled.defaults {
                fill(name.bind(py), default.bind(py))?;
            }
        } else {
            for column in parts
                .schema()?
                .getattr(intern!(py, "columns"))?
                .try_iter()?
            {
                let column = column?;
                fill(
                    &column.getattr(intern!(py, "name"))?,
                    &column.getattr(intern!(py, "default"))?,
                )?;
            }
        }
        Ok(called)
    }

    /// Stores a new row that is the table's own from now on.
    pub(super) fn insert_owned<'py>(
        table: &Bound<'py, PyAny>,
        parts: &Parts<'py>,
        (key, compiled): (&Bound<'py, PyTuple>, Option<&Compiled>),
        row: &Bound<'py, PyDict>,
        client_id: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = table.py();
        let records = parts.records()?;
        if Self::fill(parts, compiled, row)? && records.contains(key)? {
            return Err(PyValueError::new_err(format!(
                "Record with primary key {key} already exists"
            )));
        }
        records.set_item(key, row)?;
        // The log has the stored row itself: writes replace rows and never edit them.
        Self::log(
            table,
            parts,
            (intern!(py, "insert"), key),
            None,
            Some(row),
            client_id,
        )
    }

    /// Replaces the row `old` by one that is the table's own from now on.
    pub(super) fn replace_owned<'py>(
        table: &Bound<'py, PyAny>,
        parts: &Parts<'py>,
        key: &Bound<'py, PyTuple>,
        (old, row): (&Bound<'py, PyAny>, &Bound<'py, PyAny>),
        client_id: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = table.py();
        parts.records()?.set_item(key, row)?;
        Self::log(
            table,
            parts,
            (intern!(py, "update"), key),
            Some(old),
            Some(row),
            client_id,
        )
    }

    pub(super) fn insert_row<'py>(
        table: &Bound<'py, PyAny>,
        parts: &Parts<'py>,
        record: &Bound<'py, PyAny>,
        client_id: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (key, compiled) = Self::checked_key(table, parts, record)?;
        let records = parts.records()?;
        if records.contains(&key)? {
            return Err(PyValueError::new_err(format!(
                "Record with primary key {key} already exists"
            )));
        }
        let row = deep_copy(record)?;
        let row = row.cast::<PyDict>()?;
        Self::insert_owned(table, parts, (&key, compiled.as_deref()), row, client_id)?;
        deep_copy(row)
    }

    pub(super) fn update_row<'py>(
        table: &Bound<'py, PyAny>,
        parts: &Parts<'py>,
        record: &Bound<'py, PyAny>,
        client_id: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (key, _) = Self::checked_key(table, parts, record)?;
        let row = deep_copy(record)?;
        let Some(old) = parts.records()?.get_item(&key)? else {
            return Err(missing(parts, &key));
        };
        Self::replace_owned(table, parts, &key, (&old, &row), client_id)?;
        deep_copy(&row)
    }

    pub(super) fn delete_row<'py>(
        table: &Bound<'py, PyAny>,
        parts: &Parts<'py>,
        primary_key_values: &Bound<'py, PyAny>,
        client_id: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = table.py();
        let key = key_tuple(primary_key_values)?;
        let records = parts.records()?;
        let Some(old) = records.get_item(&key)? else {
            return Err(missing(parts, &key));
        };
        records.del_item(&key)?;
        Self::log(
            table,
            parts,
            (intern!(py, "delete"), &key),
            Some(&old),
            None,
            client_id,
        )
    }

    pub(super) fn get_row<'py>(
        parts: &Parts<'py>,
        primary_key_values: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let key = key_tuple(primary_key_values)?;
        match parts.records()?.get_item(key)? {
            Some(row) => deep_copy(&row).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn query_rows<'py>(
        table: &Bound<'py, PyAny>,
        parts: &Parts<'py>,
        conditions: Option<&Bound<'py, PyAny>>,
        limit: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = table.py();
        let found = PyList::empty(py);
        let most = match limit {
            None => usize::MAX,
            Some(limit) if limit.le(0)? => return Ok(found),
            Some(limit) if limit.is_instance_of::<PyInt>() => limit.extract().unwrap_or(usize::MAX),
            Some(limit) => {
                return Err(PyTypeError::new_err(format!(
                    "limit is {limit}, expected an integer or None"
                )));
            }
        };
        let conditions = match conditions {
            Some(conditions) if conditions.is_truthy()? => Some(conditions),
            _ => None,
        };
        let records = parts.records()?;
        let pairs = match conditions {
            Some(conditions) if HOOKS.untouched::<Self>(table, &parts.own, &[3])? => {
                pairs(conditions)?
            }
            Some(conditions) => {
                for row in records.values() {
                    if table
                        .call_method1(intern!(py, "_matches_conditions"), (&row, conditions))?
                        .is_truthy()?
                    {
                        found.append(deep_copy(&row)?)?;
                        if found.len() >= most {
                            break;
                        }
                    }
                }
                return Ok(found);
            }
            None => Vec::new(),
        };
        if most < FEW && pairs.iter().all(|(_, wanted)| is_atom(wanted)) {
            let mut rows = Vec::new();
            if first_rows(&records, &pairs, most, &mut rows)? {
                for row in rows {
                    found.append(deep_copy(&row)?)?;
                }
                return Ok(found);
            }
        }
        // A list of the rows, as `__eq__` of values may run Python code that changes the table.
        for row in records.values() {
            if pairs.is_empty() || matches(row.cast::<PyDict>()?, &pairs)? {
                found.append(deep_copy(&row)?)?;
                if found.len() >= most {
                    break;
                }
            }
        }
        Ok(found)
    }
}

#[pymethods]
impl TableMethods {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self
    }

    /// Stores a copy of a new row with the defaults of absent columns, and returns a copy of what was stored.
    ///
    /// `ValueError` if the schema refuses the record or the key is taken.
    #[pyo3(signature = (record, client_id=None))]
    fn insert<'py>(
        slf: &Bound<'py, Self>,
        record: &Bound<'py, PyAny>,
        client_id: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::insert_row(slf, &Parts::of(slf)?, record, client_id)
    }

    /// Replaces a whole row by a copy of `record`, and returns a copy of what was stored.
    ///
    /// `ValueError` if the schema refuses the record or there is no such row.
    #[pyo3(signature = (record, client_id=None))]
    fn update<'py>(
        slf: &Bound<'py, Self>,
        record: &Bound<'py, PyAny>,
        client_id: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::update_row(slf, &Parts::of(slf)?, record, client_id)
    }

    /// Removes a row; `ValueError` if there is none with that key.
    #[pyo3(signature = (primary_key_values, client_id=None))]
    fn delete(
        slf: &Bound<'_, Self>,
        primary_key_values: &Bound<'_, PyAny>,
        client_id: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        Self::delete_row(slf, &Parts::of(slf)?, primary_key_values, client_id)
    }

    /// A copy of the row with that key, or `None`.
    fn get<'py>(
        slf: &Bound<'py, Self>,
        primary_key_values: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Self::get_row(&Parts::of(slf)?, primary_key_values)
    }

    /// Copies of the rows whose columns equal all conditions, oldest first, at most `limit`.
    #[pyo3(signature = (conditions=None, limit=None))]
    fn query<'py>(
        slf: &Bound<'py, Self>,
        conditions: Option<&Bound<'py, PyAny>>,
        limit: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        Self::query_rows(slf, &Parts::of(slf)?, conditions, limit)
    }

    /// Entries of the change log with a greater id, oldest first.
    fn get_changes_since<'py>(
        slf: &Bound<'py, Self>,
        index: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let change_log = slf
            .getattr(intern!(py, "change_log"))?
            .cast_into::<PyList>()?;
        let mut from = change_log.len();
        while from > 0 {
            let entry = change_log.get_item(from - 1)?;
            if entry.get_item(intern!(py, "id"))?.le(index)? {
                break;
            }
            own_rows(&entry)?;
            from -= 1;
        }
        Ok(change_log.get_slice(from, change_log.len()))
    }

    /// The values of the primary key's columns, in the order of the schema.
    fn _get_primary_key_tuple<'py>(
        slf: &Bound<'py, Self>,
        record: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let values = slf
            .getattr(intern!(py, "schema"))?
            .getattr(intern!(py, "primary_keys"))?
            .try_iter()?
            .map(|name| record.get_item(name?))
            .collect::<PyResult<Vec<_>>>()?;
        PyTuple::new(py, values)
    }

    /// `ValueError` with all that the schema finds wrong.
    fn _validate_record(slf: &Bound<'_, Self>, record: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let schema = slf.getattr(intern!(py, "schema"))?;
        let texts = schema.call_method1(intern!(py, "validate_record"), (record,))?;
        if !texts.is_truthy()? {
            return Ok(());
        }
        let texts = texts
            .try_iter()?
            .map(|text| Ok(text?.to_string()))
            .collect::<PyResult<Vec<_>>>()?;
        Err(PyValueError::new_err(format!(
            "Invalid record: {}",
            texts.join("; ")
        )))
    }

    /// Whether every condition's column is in the row and equal.
    fn _matches_conditions(
        _slf: &Bound<'_, Self>,
        record: &Bound<'_, PyDict>,
        conditions: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        matches(record, &pairs(conditions)?)
    }

    /// Appends a change to the log and notes when the row changed; every write ends here.
    #[pyo3(signature = (operation, pk_tuple, old_record, new_record, client_id=None))]
    fn _record_change(
        slf: &Bound<'_, Self>,
        operation: &Bound<'_, PyAny>,
        pk_tuple: &Bound<'_, PyAny>,
        old_record: Option<&Bound<'_, PyAny>>,
        new_record: Option<&Bound<'_, PyAny>>,
        client_id: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let parts = Parts::of(slf)?;
        Self::append(
            slf,
            &parts,
            (operation, pk_tuple),
            old_record,
            new_record,
            client_id,
        )
    }
}
