//! Tables by name: the native under the class `Database`.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::hooks::Hooks;
use super::table::{ATTRIBUTES, Parts, TableMethods};
use crate::interchange::own_dict;

/// What `Database` may have replaced.
static HOOKS: Hooks = Hooks::new(&["_get_table"], 2);
/// All of it that stands between a caller and a table.
pub(super) static WRITES: Hooks = Hooks::new(
    &["_get_table", "insert", "update", "delete", "get", "query"],
    2,
);
/// What `Table` may have replaced of what a database calls.
pub(super) static TABLE_HOOKS: Hooks =
    Hooks::new(&["insert", "update", "delete", "get", "query"], ATTRIBUTES);

const INSERT: usize = 0;
const UPDATE: usize = 1;
const DELETE: usize = 2;
const GET: usize = 3;
const QUERY: usize = 4;

/// Native part of the class `Database`.
#[pyclass(subclass, frozen, module = "tandemdb._native.syncdb")]
pub(super) struct DatabaseMethods;

pub(super) fn table_named<'py>(
    database: &Bound<'py, PyAny>,
    own: &Bound<'py, PyDict>,
    name: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let attribute = intern!(database.py(), "tables");
    let tables = match own.get_item(attribute)? {
        Some(tables) => tables,
        None => database.getattr(attribute)?,
    };
    let found = match tables.cast::<PyDict>() {
        Ok(tables) => tables.get_item(name)?,
        Err(_) if tables.contains(name)? => Some(tables.get_item(name)?),
        Err(_) => None,
    };
    found.ok_or_else(|| PyValueError::new_err(format!("Table {name} does not exist")))
}

/// The table of a call, and its parts if the method is ours.
fn target<'py>(
    database: &Bound<'py, DatabaseMethods>,
    name: &Bound<'py, PyAny>,
    method: usize,
) -> PyResult<(Bound<'py, PyAny>, Option<Parts<'py>>)> {
    let py = database.py();
    let own = own_dict(database)?;
    let table = if HOOKS.untouched::<DatabaseMethods>(database, &own, &[0])? {
        table_named(database, &own, name)?
    } else {
        database.call_method1(intern!(py, "_get_table"), (name,))?
    };
    if !table.is_instance_of::<TableMethods>() {
        return Ok((table, None));
    }
    let parts = Parts::of(&table)?;
    let ours = TABLE_HOOKS.untouched::<TableMethods>(&table, &parts.own, &[method])?;
    Ok((table, ours.then_some(parts)))
}

#[pymethods]
impl DatabaseMethods {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self
    }

    /// Inserts a row, and returns a copy of what was stored. `transaction` is accepted and ignored.
    #[pyo3(signature = (table_name, record, client_id=None, transaction=None))]
    fn insert<'py>(
        slf: &Bound<'py, Self>,
        table_name: &Bound<'py, PyAny>,
        record: &Bound<'py, PyAny>,
        client_id: Option<&Bound<'py, PyAny>>,
        transaction: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = transaction;
        match target(slf, table_name, INSERT)? {
            (table, Some(parts)) => TableMethods::insert_row(&table, &parts, record, client_id),
            (table, None) => table.call_method1(intern!(slf.py(), "insert"), (record, client_id)),
        }
    }

    /// Replaces a row, and returns a copy of what was stored. `transaction` is accepted and ignored.
    #[pyo3(signature = (table_name, record, client_id=None, transaction=None))]
    fn update<'py>(
        slf: &Bound<'py, Self>,
        table_name: &Bound<'py, PyAny>,
        record: &Bound<'py, PyAny>,
        client_id: Option<&Bound<'py, PyAny>>,
        transaction: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = transaction;
        match target(slf, table_name, UPDATE)? {
            (table, Some(parts)) => TableMethods::update_row(&table, &parts, record, client_id),
            (table, None) => table.call_method1(intern!(slf.py(), "update"), (record, client_id)),
        }
    }

    /// Removes a row. `transaction` is accepted and ignored.
    #[pyo3(signature = (table_name, primary_key_values, client_id=None, transaction=None))]
    fn delete<'py>(
        slf: &Bound<'py, Self>,
        table_name: &Bound<'py, PyAny>,
        primary_key_values: &Bound<'py, PyAny>,
        client_id: Option<&Bound<'py, PyAny>>,
        transaction: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let _ = transaction;
        match target(slf, table_name, DELETE)? {
            (table, Some(parts)) => {
                TableMethods::delete_row(&table, &parts, primary_key_values, client_id)
            }
            (table, None) => table
                .call_method1(intern!(slf.py(), "delete"), (primary_key_values, client_id))
                .map(drop),
        }
    }

    /// A copy of the row with that key, or `None`.
    fn get<'py>(
        slf: &Bound<'py, Self>,
        table_name: &Bound<'py, PyAny>,
        primary_key_values: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match target(slf, table_name, GET)? {
            (_, Some(parts)) => TableMethods::get_row(&parts, primary_key_values),
            (table, None) => table
                .call_method1(intern!(slf.py(), "get"), (primary_key_values,))
                .map(Some),
        }
    }

    /// Copies of the rows that meet all conditions, oldest first, at most `limit`.
    #[pyo3(signature = (table_name, conditions=None, limit=None))]
    fn query<'py>(
        slf: &Bound<'py, Self>,
        table_name: &Bound<'py, PyAny>,
        conditions: Option<&Bound<'py, PyAny>>,
        limit: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match target(slf, table_name, QUERY)? {
            (table, Some(parts)) => {
                TableMethods::query_rows(&table, &parts, conditions, limit).map(Bound::into_any)
            }
            (table, None) => table.call_method1(intern!(slf.py(), "query"), (conditions, limit)),
        }
    }

    /// Entries of a table's change log with a greater id, oldest first.
    fn get_changes_since<'py>(
        slf: &Bound<'py, Self>,
        table_name: &Bound<'py, PyAny>,
        index: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.call_method1(intern!(py, "_get_table"), (table_name,))?
            .call_method1(intern!(py, "get_changes_since"), (index,))
    }

    /// The table of that name; `ValueError` if there is none.
    fn _get_table<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let own = own_dict(slf)?;
        table_named(slf, own.cast()?, name)
    }
}
