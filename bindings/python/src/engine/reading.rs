//! Queries in the common language, and rows as dicts.

use std::sync::Arc;

use common::query::{Aggregate, Filter, LiveQuery, OrderBy, Path, Query, QueryResult};
use common::{Collection, Database, Limits, Record, Snapshot, Text, Value, View};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use syncdb::{SyncDb, SyncServer};

use super::config::json_of;
use super::error::{OrRaise, ROWS_UNCHECKED, let_others_run};
use super::schema::names_of;
use super::value::value_of;
use crate::durable::Kept;
use crate::interchange::{value_to_python, watch};

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
    pub(super) fn database(&self) -> &Database {
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

/// How many rows a query reads before a signal has waited too long.
const ROWS_SHORT: usize = 1 << 16;

/// Whether a query may read many rows. Its plan is asked for only where a table has so many.
fn reads_many(database: &Database, view: &View<'_>, query: &Query) -> bool {
    let joined = query.joins.iter().map(|join| &join.table);
    let is_large = |table: &Text| {
        let collection = database.collection(table);
        collection.is_ok_and(|collection| collection.len() > ROWS_SHORT)
    };
    let is_any_large = [&query.from].into_iter().chain(joined).any(is_large);
    let plan = is_any_large.then(|| query.explain(view));
    plan.is_some_and(|plan| {
        plan.is_ok_and(|plan| plan.estimated > ROWS_SHORT || !plan.joins.is_empty())
    })
}

/// What a query finds in a state; Ctrl-C does not wait for one that reads many rows.
pub(super) fn found(
    py: Python<'_>,
    database: &Database,
    snapshot: Arc<Snapshot>,
    query: Query,
) -> PyResult<QueryResult> {
    let is_long = py.detach(|| reads_many(database, &snapshot.view(), &query));
    watch::outcome(py, is_long, None, move |_| query.run(&snapshot.view()))?.or_raise(py)
}

/// As [`found`] in the state as of now.
pub(super) fn found_now(
    py: Python<'_>,
    database: &Database,
    query: Query,
) -> PyResult<QueryResult> {
    let snapshot = py.detach(|| Arc::new(database.snapshot()));
    found(py, database, snapshot, query)
}

/// Follows the result of a query; Ctrl-C does not wait for one that reads many rows.
pub(super) fn followed(py: Python<'_>, database: &Database, query: Query) -> PyResult<LiveQuery> {
    let database = database.clone();
    let is_long = py.detach(|| reads_many(&database, &database.snapshot().view(), &query));
    watch::outcome(py, is_long, None, move |_| {
        LiveQuery::open(&database, &query)
    })?
    .or_raise(py)
}

/// The query for the number of rows for which a filter holds.
pub(super) fn counting(table: &str, filter: Filter) -> Query {
    Query::from(table)
        .filter(filter)
        .aggregate(Aggregate::count())
}

/// The number that such a query found.
pub(super) fn counted(result: &QueryResult) -> i64 {
    let counted = result.rows.first().and_then(|row| row.first());
    counted.and_then(Value::as_int).unwrap_or_default()
}
