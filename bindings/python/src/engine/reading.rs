//! Queries in the common language, and rows as dicts.

use std::sync::Arc;

use common::query::{Aggregate, Filter, OrderBy, Path, Query, QueryResult};
use common::{Collection, Limits, Record, Text, Value, View};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use syncdb::{SyncDb, SyncServer};

use super::config::json_of;
use super::error::{OrRaise, ROWS_UNCHECKED, let_others_run};
use super::schema::names_of;
use super::value::value_of;
use crate::durable::Kept;
use crate::interchange::value_to_python;

/// Whose rows are read and written.
#[derive(Clone)]
pub(super) enum Owner {
    /// A replica.
    Replica(Arc<SyncDb>),
    /// The server.
    Server(Arc<SyncServer>),
}

/// Rows that are read and written, and where they are kept.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) owner: Owner,
    pub(super) kept: Kept,
}

impl Source {
    pub(super) fn database(&self) -> &common::Database {
        match &self.owner {
            Owner::Replica(db) => db.database(),
            Owner::Server(server) => server.database(),
        }
    }

    pub(super) fn collection(&self, name: &str) -> common::Result<Collection> {
        self.database().collection(name)
    }
}

/// The filter that a caller gave: text of the filter syntax, or a dict of columns and the values that they are to have.
pub(super) fn filter_of(
    filter: Option<&Bound<'_, PyAny>>,
    params: Option<&Bound<'_, PyDict>>,
) -> PyResult<Filter> {
    let Some(filter) = filter else {
        return Ok(Filter::True);
    };
    let py = filter.py();
    if let Ok(text) = filter.cast::<PyString>() {
        let parsed = Filter::parse(&text.to_cow()?).or_raise(py)?;
        return bound(py, &parsed, params);
    }
    if let Ok(columns) = filter.cast::<PyDict>() {
        let mut conditions = Vec::with_capacity(columns.len());
        for (name, value) in columns.iter() {
            let name: String = name.extract()?;
            let value = value_of(&value, &format!("filter, column '{name}'"))?;
            let path = Path::column(name);
            conditions.push(match value {
                Value::Null => Filter::is_null(path),
                value => Filter::eq(path, value),
            });
        }
        return Ok(Filter::And(conditions));
    }
    Err(PyTypeError::new_err(format!(
        "a filter is text such as \"done == false and owner == $me\", or a dict of columns and values, not {}",
        filter.get_type().name()?
    )))
}

fn bound(py: Python<'_>, filter: &Filter, params: Option<&Bound<'_, PyDict>>) -> PyResult<Filter> {
    let mut values: Vec<(String, Value)> = Vec::new();
    for (name, value) in params.into_iter().flat_map(PyDictMethods::iter) {
        let name: String = name.extract()?;
        let value = value_of(&value, &format!("parameter '{name}'"))?;
        values.push((name, value));
    }
    let values: Vec<(&str, Value)> = values
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    filter.bind(&values).or_raise(py)
}

/// The parts of a query, as methods take them.
///
/// The classes that have `query` and `count` spell their keywords each: `PyO3` makes signature, defaults and what `help()`
/// shows from a method's own parameters, has none that stands for several keywords, and takes no methods from a macro in a
/// `#[pymethods]` block. What they mean is here alone.
pub(super) struct Parts<'a, 'py> {
    pub(super) filter: Option<&'a Bound<'py, PyAny>>,
    pub(super) order_by: Option<&'a Bound<'py, PyAny>>,
    pub(super) limit: Option<usize>,
    pub(super) offset: usize,
    pub(super) columns: Option<&'a Bound<'py, PyAny>>,
    pub(super) params: Option<&'a Bound<'py, PyDict>>,
}

impl Parts<'_, '_> {
    /// The query of a table, or the one that is given whole as a dict.
    pub(super) fn of(&self, table: &Bound<'_, PyAny>) -> PyResult<Query> {
        let py = table.py();
        let Ok(name) = table.cast::<PyString>() else {
            let json = json_of(table)?;
            return Query::from_json(json.as_bytes(), &Limits::default()).or_raise(py);
        };
        let mut query = Query::from(Text::new(name.to_cow()?))
            .filter(filter_of(self.filter, self.params)?)
            .offset(self.offset);
        query.limit = self.limit;
        if let Some(order) = self.order_by {
            for name in names_of(order)? {
                query = query.order_by(match name.strip_prefix('-') {
                    Some(path) => OrderBy::descending(Path::parse(path).or_raise(py)?),
                    None => OrderBy::ascending(Path::parse(&name).or_raise(py)?),
                });
            }
        }
        if let Some(columns) = self.columns {
            query = query.select(names_of(columns)?);
        }
        Ok(query)
    }
}

/// The rows of a result as dicts.
pub(super) fn rows_to_python<'py>(
    py: Python<'py>,
    result: &QueryResult,
) -> PyResult<Bound<'py, PyList>> {
    let names: Vec<_> = result
        .columns
        .iter()
        .map(|name| PyString::new(py, name))
        .collect();
    let rows = PyList::empty(py);
    for (at, row) in result.rows.iter().enumerate() {
        if at % ROWS_UNCHECKED == ROWS_UNCHECKED - 1 {
            let_others_run(py)?;
        }
        rows.append(dict_of(py, &names, row)?)?;
    }
    Ok(rows)
}

pub(super) fn dict_of<'py>(
    py: Python<'py>,
    names: &[Bound<'py, PyString>],
    values: &[Value],
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in names.iter().zip(values) {
        dict.set_item(name, value_to_python(py, value)?)?;
    }
    Ok(dict)
}

/// A record as a dict.
pub(super) fn record_to_python<'py>(
    py: Python<'py>,
    collection: &Collection,
    record: &Record,
) -> PyResult<Bound<'py, PyDict>> {
    let schema = collection.schema();
    let dict = PyDict::new(py);
    for (field, value) in schema.fields.iter().zip(record.values()) {
        dict.set_item(&*field.name, value_to_python(py, value)?)?;
    }
    Ok(dict)
}

/// Number of rows for which a filter holds.
pub(super) fn count(view: &View<'_>, table: &str, filter: Filter) -> common::Result<i64> {
    let query = Query::from(table)
        .filter(filter)
        .aggregate(Aggregate::count());
    let result = query.run(view)?;
    let counted = result.rows.first().and_then(|row| row.first());
    Ok(counted.and_then(Value::as_int).unwrap_or_default())
}
