//! Rows and changes in bulk: what a sync reads from and writes to the two databases.
//!
//! A database is reached through its methods, unless it and its table are ours and nothing of them was replaced.

use pyo3::exceptions::{PyException, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyString, PyTuple};

use super::copy::deep_copy;
use super::database::{self, DatabaseMethods};
use super::history::{Fields, record_class};
use super::schema::compiled;
use super::stamps::{RowStamps, Sighting};
use super::table::{self, Parts, TableMethods, key_tuple, now};
use crate::interchange::own_dict;

/// One table of a database that takes part in a sync.
struct Side<'py> {
    database: Bound<'py, PyAny>,
    name: Bound<'py, PyAny>,
    /// The table, where the database can be passed by.
    table: Option<(Bound<'py, PyAny>, Parts<'py>)>,
}

impl<'py> Side<'py> {
    fn new(database: &Bound<'py, PyAny>, name: &Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(Self {
            table: Self::ours(database, name)?,
            database: database.clone(),
            name: name.clone(),
        })
    }

    fn ours(
        database: &Bound<'py, PyAny>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Option<(Bound<'py, PyAny>, Parts<'py>)>> {
        if !database.is_instance_of::<DatabaseMethods>() {
            return Ok(None);
        }
        let own = own_dict(database)?;
        if !database::WRITES.untouched::<DatabaseMethods>(database, &own, &[0, 1, 2, 3, 4, 5])? {
            return Ok(None);
        }
        let table = database::table_named(database, &own, name)?;
        if !table.is_instance_of::<TableMethods>() {
            return Ok(None);
        }
        let parts = Parts::of(&table)?;
        let plain = database::TABLE_HOOKS.untouched::<TableMethods>(
            &table,
            &parts.own,
            &[0, 1, 2, 3, 4],
        )? && table::HOOKS.untouched::<TableMethods>(&table, &parts.own, &[0, 1, 2])?;
        Ok(plain.then_some((table, parts)))
    }

    /// The row of a key: the stored one of a table of ours, else a copy.
    fn row(&self, key: &Bound<'py, PyTuple>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if let Some((_, parts)) = &self.table {
            return parts.records()?.get_item(key);
        }
        let row = self
            .database
            .call_method1(intern!(key.py(), "get"), (&self.name, key))?;
        Ok((!row.is_none()).then_some(row))
    }

    fn delete(&self, key: &Bound<'py, PyTuple>, client_id: &Bound<'py, PyAny>) -> PyResult<()> {
        match &self.table {
            Some((table, parts)) => TableMethods::delete_row(table, parts, key, Some(client_id)),
            None => self
                .database
                .call_method1(intern!(key.py(), "delete"), (&self.name, key, client_id))
                .map(drop),
        }
    }

    /// Inserts or replaces a row; an `owned` one is nobody else's and needs no copy.
    ///
    /// Not if somebody else has changed it since `seen`, which is asked after all Python code has run. Whether it was.
    fn put(
        &self,
        key: &Bound<'py, PyTuple>,
        row: &Bound<'py, PyAny>,
        client_id: &Bound<'py, PyAny>,
        owned: bool,
        seen: Option<&Sighting>,
    ) -> PyResult<bool> {
        let py = key.py();
        let old = self.row(key)?;
        if let Some((table, parts)) = &self.table
            && let Ok(row) = row.cast_exact::<PyDict>()
            && let Some(schema) = compiled(&parts.schema()?)?
            && schema.is_valid(row)?
        {
            let own_key = schema.key(row)?;
            if !own_key.is_some_and(|own_key| own_key.eq(key).unwrap_or(false)) {
                return Err(PyValueError::new_err(format!(
                    "the row has another key than {key}"
                )));
            }
            let row = if owned {
                row.clone()
            } else {
                deep_copy(row)?.cast_into()?
            };
            if !is_as_seen(seen, key)? {
                return Ok(false);
            }
            match old {
                Some(old) => {
                    TableMethods::replace_owned(table, parts, key, (&old, &row), Some(client_id))
                }
                None => TableMethods::insert_owned(
                    table,
                    parts,
                    (key, Some(&schema)),
                    &row,
                    Some(client_id),
                ),
            }?;
            return Ok(true);
        }
        if !is_as_seen(seen, key)? {
            return Ok(false);
        }
        let method = match old {
            Some(_) => intern!(py, "update"),
            None => intern!(py, "insert"),
        };
        self.database
            .call_method1(method, (&self.name, row, client_id))?;
        Ok(true)
    }

    /// The row without columns that the schema of this side does not know.
    fn known_columns(&self, row: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = row.py();
        let Ok(dict) = row.cast_exact::<PyDict>() else {
            return Ok(row.clone());
        };
        if let Some((_, parts)) = &self.table
            && let Some(schema) = compiled(&parts.schema()?)?
            && schema.is_valid(dict)?
        {
            return Ok(row.clone());
        }
        let Some(schema) = self.database.getattr_opt(intern!(py, "schema"))? else {
            return Ok(row.clone());
        };
        let table = schema.call_method1(intern!(py, "get_table"), (&self.name,))?;
        if table.is_none() {
            return Ok(row.clone());
        }
        let known = PyDict::new(py);
        for item in dict.items() {
            let (name, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = item.extract()?;
            if !table
                .call_method1(intern!(py, "get_column"), (&name,))?
                .is_none()
            {
                known.set_item(name, value)?;
            }
        }
        Ok(known.into_any())
    }
}

/// Whether nobody else has changed the row since it was seen, if it was.
fn is_as_seen(seen: Option<&Sighting>, key: &Bound<'_, PyTuple>) -> PyResult<bool> {
    seen.map_or(Ok(true), |seen| seen.is_current(key))
}

/// The parts of a change that decide what it does.
struct Change<'py> {
    key: Bound<'py, PyTuple>,
    client_id: Bound<'py, PyAny>,
    row: Bound<'py, PyAny>,
    deletes: bool,
}

impl<'py> Change<'py> {
    fn of(change: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = change.py();
        Ok(Self {
            key: key_tuple(&change.getattr(intern!(py, "primary_key"))?)?,
            client_id: change.getattr(intern!(py, "client_id"))?,
            row: change.getattr(intern!(py, "new_data"))?,
            deletes: change
                .getattr(intern!(py, "operation"))?
                .eq(intern!(py, "delete"))?,
        })
    }

    /// The row that a conflict's resolution puts, or any value for a delete; nothing if the server's row stays.
    fn resolved(&self, conflict: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = conflict.py();
        // The resolver has raised.
        if conflict.contains(intern!(py, "error"))? {
            return Ok(None);
        }
        let resolution = conflict.get_item(intern!(py, "resolution"))?;
        let is_empty = !resolution.is_truthy()?;
        Ok(if self.deletes {
            is_empty.then_some(resolution)
        } else if resolution.is_none() {
            None
        } else if is_empty {
            Some(self.row.clone())
        } else {
            Some(resolution)
        })
    }

    /// Puts the row or deletes it, unless somebody else has changed it since `seen`. Whether nobody has.
    fn apply(
        &self,
        side: &Side<'py>,
        row: &Bound<'py, PyAny>,
        owned: bool,
        seen: Option<&Sighting>,
    ) -> PyResult<bool> {
        if self.deletes {
            if !is_as_seen(seen, &self.key)? {
                return Ok(false);
            }
            if side.row(&self.key)?.is_some() {
                side.delete(&self.key, &self.client_id)?;
            }
            return Ok(true);
        }
        if !row.is_truthy()? {
            return Ok(true);
        }
        side.put(&self.key, row, &self.client_id, owned, seen)
    }
}

/// Goes on after an error of one change; everything but an `Exception` ends the call.
fn noted<'py, T>(
    errors: &Bound<'py, PyList>,
    change: &Bound<'py, PyAny>,
    outcome: PyResult<T>,
) -> PyResult<Option<T>> {
    let py = change.py();
    match outcome {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.is_instance_of::<PyException>(py) => {
            errors.append((change, error.value(py).str()?))?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Applies a server's changes to a client's table, but none to keys of `waiting`, and owns their rows from then on.
///
/// Whether none waited, and the changes that could not be applied with the reason.
#[pyfunction]
#[pyo3(signature = (database, table_name, changes, waiting, /))]
pub(super) fn take_changes<'py>(
    database: &Bound<'py, PyAny>,
    table_name: &Bound<'py, PyAny>,
    changes: &Bound<'py, PyList>,
    waiting: &Bound<'py, PySet>,
) -> PyResult<(bool, Bound<'py, PyList>)> {
    let side = Side::new(database, table_name)?;
    let errors = PyList::empty(database.py());
    let mut complete = true;
    for element in changes {
        let outcome = Change::of(&element).and_then(|change| {
            if !waiting.is_empty() && waiting.contains(&change.key)? {
                complete = false;
                return Ok(false);
            }
            let row = side.known_columns(&change.row)?;
            change.apply(&side, &row, true, None)
        });
        noted(&errors, &element, outcome)?;
    }
    Ok((complete, errors))
}

/// How the changes of a request fared: keys of those that were applied, those that were refused with the reason, and
/// those of rows that somebody else has changed since conflicts were looked for.
type Outcome<'py> = (Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyList>);

/// Applies a client's changes to a server's table in order, those in conflict as they were resolved.
///
/// `conflicts` has conflicts by key, `settled` keys to leave alone. `hook(table_name, change, resolution)` is what a
/// program has put in the place of `_apply_change`.
#[pyfunction]
#[pyo3(signature = (database, table_name, changes, conflicts=None, settled=None, seen=None, hook=None, /))]
pub(super) fn put_changes<'py>(
    database: &Bound<'py, PyAny>,
    table_name: &Bound<'py, PyAny>,
    changes: &Bound<'py, PyList>,
    conflicts: Option<&Bound<'py, PyDict>>,
    settled: Option<&Bound<'py, PySet>>,
    seen: Option<&Bound<'py, Sighting>>,
    hook: Option<&Bound<'py, PyAny>>,
) -> PyResult<Outcome<'py>> {
    let applying = Applying {
        side: Side::new(database, table_name)?,
        conflicts,
        settled: settled.filter(|settled| !settled.is_empty()),
        seen: seen.map(Bound::get),
        hook,
    };
    match applying.seen {
        Some(seen) => seen.during(|| applying.all(changes)),
        None => applying.all(changes),
    }
}

/// The changes of one table of a request, on their way into it.
struct Applying<'a, 'py> {
    side: Side<'py>,
    conflicts: Option<&'a Bound<'py, PyDict>>,
    settled: Option<&'a Bound<'py, PySet>>,
    seen: Option<&'a Sighting>,
    hook: Option<&'a Bound<'py, PyAny>>,
}

impl<'py> Applying<'_, 'py> {
    fn all(&self, changes: &Bound<'py, PyList>) -> PyResult<Outcome<'py>> {
        let py = changes.py();
        let (keys, errors, moved) = (PyList::empty(py), PyList::empty(py), PyList::empty(py));
        let moved_keys = PySet::empty(py)?;
        for element in changes {
            let change = Change::of(&element)?;
            let key = &change.key;
            if let Some(settled) = self.settled
                && settled.contains(key)?
            {
                continue;
            }
            // The order of changes to one row stays.
            let outcome = if !moved_keys.is_empty() && moved_keys.contains(key)? {
                Ok(Some(false))
            } else {
                self.one(&element, &change)
            };
            match noted(&errors, &element, outcome)?.flatten() {
                Some(true) => keys.append(key)?,
                Some(false) => {
                    moved.append(&element)?;
                    moved_keys.add(key)?;
                }
                None => {}
            }
        }
        Ok((keys, errors, moved))
    }

    /// Whether the row was as it was seen; nothing where the change does not stand.
    fn one(&self, element: &Bound<'py, PyAny>, change: &Change<'py>) -> PyResult<Option<bool>> {
        let conflict = match self.conflicts {
            Some(conflicts) => conflicts.get_item(&change.key)?,
            None => None,
        };
        let row = match &conflict {
            None => change.row.clone(),
            Some(conflict) => match change.resolved(conflict)? {
                Some(row) => row,
                None => return Ok(None),
            },
        };
        let Some(hook) = self.hook else {
            return change.apply(&self.side, &row, false, self.seen).map(Some);
        };
        if !is_as_seen(self.seen, &change.key)? {
            return Ok(Some(false));
        }
        match conflict {
            None => hook.call1((&self.side.name, element))?,
            Some(conflict) => {
                let resolution = conflict.get_item(intern!(hook.py(), "resolution"))?;
                hook.call1((&self.side.name, element, resolution))?
            }
        };
        Ok(Some(true))
    }
}

/// Applies one change with another row than its own.
#[pyfunction]
#[pyo3(signature = (database, table_name, change, row, /))]
pub(super) fn put_change<'py>(
    database: &Bound<'py, PyAny>,
    table_name: &Bound<'py, PyAny>,
    change: &Bound<'py, PyAny>,
    row: &Bound<'py, PyAny>,
) -> PyResult<()> {
    Change::of(change)?
        .apply(&Side::new(database, table_name)?, row, false, None)
        .map(drop)
}

/// Those of the changes whose row exists, each with a copy of the row.
#[pyfunction]
#[pyo3(signature = (database, table_name, changes, /))]
pub(super) fn changes_of_rows<'py>(
    database: &Bound<'py, PyAny>,
    table_name: &Bound<'py, PyAny>,
    changes: &Bound<'py, PyList>,
) -> PyResult<Bound<'py, PyList>> {
    let found = PyList::empty(database.py());
    if changes.is_empty() {
        return Ok(found);
    }
    let side = Side::new(database, table_name)?;
    for element in changes {
        let key = key_tuple(&element.getattr(intern!(database.py(), "primary_key"))?)?;
        if let Some(row) = side.row(&key)? {
            found.append((&element, &key, deep_copy(&row)?))?;
        }
    }
    Ok(found)
}

/// Makes the changes that a server sends.
struct Answer<'py> {
    side: Side<'py>,
    server_id: Bound<'py, PyAny>,
    next_id: usize,
    changes: Bound<'py, PyList>,
    times: Option<Bound<'py, PyDict>>,
}

impl<'py> Answer<'py> {
    fn add(&mut self, key: &Bound<'py, PyTuple>, row: Option<&Bound<'py, PyAny>>) -> PyResult<()> {
        let py = key.py();
        let time = match &self.times {
            Some(times) => times.get_item(key)?,
            None => None,
        };
        let time = match time {
            Some(time) => time,
            None => now(py)?,
        };
        let none = py.None().into_bound(py);
        let (operation, row) = match row {
            Some(row) => (intern!(py, "update"), deep_copy(row)?),
            None => (intern!(py, "delete"), none.clone()),
        };
        let record = Fields {
            id: self.next_id.into_pyobject(py)?.as_any(),
            table_name: &self.side.name,
            primary_key: key,
            operation,
            timestamp: &time,
            client_id: &self.server_id,
            old_data: &none,
            new_data: &row,
        }
        .record(record_class(py)?)?;
        self.next_id += 1;
        self.changes.append(record)
    }
}

/// Changes that make a client's table equal the server's: for `keys`, or for all rows if there are none named.
///
/// `sent` has for each key that the client has changed the row that it sent last, or `None`: what is stored like that
/// is left out where keys are named. So are keys of `failed` that have no row.
#[pyfunction]
#[pyo3(signature = (database, table_name, keys, sent, failed, server_id, first_id, /))]
pub(super) fn rows_lacking<'py>(
    database: &Bound<'py, PyAny>,
    table_name: &Bound<'py, PyAny>,
    keys: Option<&Bound<'py, PyList>>,
    sent: &Bound<'py, PyDict>,
    failed: &Bound<'py, PySet>,
    server_id: &Bound<'py, PyAny>,
    first_id: usize,
) -> PyResult<Bound<'py, PyList>> {
    let py = database.py();
    let side = Side::new(database, table_name)?;
    let times = match database
        .getattr_opt(intern!(py, "tables"))?
        .and_then(|tables| tables.get_item(table_name).ok())
    {
        Some(table) => table
            .getattr_opt(intern!(py, "last_modified"))?
            .and_then(|times| times.cast_into().ok()),
        None => None,
    };
    let mut answer = Answer {
        side,
        server_id: server_id.clone(),
        next_id: first_id,
        changes: PyList::empty(py),
        times,
    };
    let named = PyDict::new(py);
    match keys {
        Some(keys) => {
            for key in keys {
                named.set_item(key, true)?;
            }
        }
        None => {
            if let Some((_, parts)) = &answer.side.table {
                let items = parts.records()?.items();
                for item in items {
                    let (key, row): (Bound<'py, PyTuple>, Bound<'py, PyAny>) = item.extract()?;
                    answer.add(&key, Some(&row))?;
                }
            } else {
                let columns: Vec<Bound<'py, PyString>> = database
                    .getattr(intern!(py, "schema"))?
                    .call_method1(intern!(py, "get_table"), (table_name,))?
                    .getattr(intern!(py, "primary_keys"))?
                    .extract()?;
                for row in database
                    .call_method1(intern!(py, "query"), (table_name,))?
                    .try_iter()?
                {
                    let row = row?;
                    let key = columns
                        .iter()
                        .map(|name| row.get_item(name))
                        .collect::<PyResult<Vec<_>>>()?;
                    answer.add(&PyTuple::new(py, key)?, Some(&row))?;
                }
            }
        }
    }
    for (key, _) in sent.iter().collect::<Vec<_>>() {
        // Rows that exist are among all rows.
        if keys.is_some() || answer.side.row(key.cast()?)?.is_none() {
            named.set_item(key, true)?;
        }
    }
    for key in named.keys() {
        let key = key.cast::<PyTuple>()?;
        let row = answer.side.row(key)?;
        if let Some(wanted) = sent.get_item(key)? {
            let like_that = match &row {
                Some(row) => row.eq(&wanted)?,
                None => wanted.is_none() || failed.contains(key)?,
            };
            if like_that {
                continue;
            }
        }
        answer.add(key, row.as_ref())?;
    }
    Ok(answer.changes)
}

/// Notes in `written` the stamps that the rows of some keys have.
#[pyfunction]
#[pyo3(signature = (stamps, keys, written, /))]
pub(super) fn note_stamps(
    stamps: &Bound<'_, RowStamps>,
    keys: &Bound<'_, PyList>,
    written: &Bound<'_, PyDict>,
) -> PyResult<()> {
    for key in keys {
        written.set_item(&key, stamps.get().last(key.cast()?)?)?;
    }
    Ok(())
}
