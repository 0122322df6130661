//! [`Table`]: a table of the engine whose storage and rules may be Python's.

use std::cell::Cell;
use std::sync::Arc;

use common::database::DatabaseOptions;
use common::schema::{Field, FieldType, Rule, Schema};
use common::storage::StorageKind;
use common::{Collection, Database, Error, Limits, Record, RecordId, Row, Value};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use super::call::{bytes_of, raised};
use super::format::dict_of_record;
use super::operation::row_of;
use super::registry::{format_of, has_rule, rules, storage_factory};
use super::rule;
use super::storage::PythonStorage;
use crate::interchange::value_of;

/// A table of the engine: typed rows by key, checked and written all or nothing.
///
/// `schema` is a `common.core.schema.Schema`; constraints of its fields may name registered rules. `key` names the
/// columns of the key. `storage` is `"hash"`, `"ordered"`, the name of a registered one, or a storage object.
#[pyclass(frozen, module = "common.extensions")]
pub(crate) struct Table {
    rows: Collection,
    /// The storage that Python gave, which may know the table: the garbage collector is told of it here, as the table is
    /// the only owner of its database.
    storage: Option<Arc<PythonStorage>>,
}

thread_local! {
    /// Whether this thread is inside a call of a table.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Ends the call even when it panics.
struct Inside;

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

/// Lets go of the interpreter and enters the engine, which may call back into Python.
fn enter<T: Send>(py: Python<'_>, work: impl FnOnce() -> common::Result<T> + Send) -> PyResult<T> {
    if INSIDE.replace(true) {
        return Err(PyRuntimeError::new_err(
            "a rule or storage was called by a table and may not call tables itself",
        ));
    }
    let inside = Inside;
    drop(rule::taken());
    let done = py.detach(work);
    drop(inside);
    let by_rule = rule::taken();
    done.map_err(|error| by_rule.unwrap_or_else(|| raised(py, &error)))
}

impl Table {
    fn dict<'py>(&self, py: Python<'py>, record: &Record) -> PyResult<Bound<'py, PyDict>> {
        dict_of_record(py, &self.rows.schema(), record)
    }

    fn records(&self) -> common::Result<Vec<Record>> {
        let mut records = Vec::new();
        let snapshot = self.rows.database().snapshot();
        let view = snapshot.view();
        view.scan(&self.rows, &mut |chunk| {
            records.extend_from_slice(chunk);
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(records)
    }
}

fn row(given: &Bound<'_, PyAny>) -> PyResult<Row> {
    match given.cast::<PyDict>() {
        Ok(dict) => row_of(dict),
        Err(_) => Err(PyTypeError::new_err(format!(
            "a row is a dict, not {}",
            given.get_type().name()?
        ))),
    }
}

fn key_of(key: &Bound<'_, PyAny>) -> PyResult<RecordId> {
    match key.cast::<PyTuple>() {
        Ok(parts) => {
            let parts = parts.iter().map(|part| value_of(&part));
            Ok(RecordId::composite(parts.collect::<PyResult<Vec<_>>>()?))
        }
        Err(_) => Ok(RecordId::new(value_of(key)?)),
    }
}

/// A field of the engine's from one of the package's.
fn field_of(name: &str, given: &Bound<'_, PyAny>) -> PyResult<Field> {
    let py = given.py();
    let kind = given.getattr(intern!(py, "field_type"))?;
    let kind: String = kind.getattr(intern!(py, "value"))?.extract()?;
    let ty = match kind.as_str() {
        "string" => FieldType::Text,
        "integer" => FieldType::Int,
        "float" => FieldType::Float,
        "boolean" => FieldType::Bool,
        "array" => FieldType::List(Box::new(FieldType::Any)),
        "object" => FieldType::Map(Box::new(FieldType::Any)),
        _ => FieldType::Any,
    };
    let mut field = Field::new(name, ty);
    if given.getattr(intern!(py, "nullable"))?.is_truthy()? {
        field = field.nullable();
    }
    let default = given.getattr(intern!(py, "default"))?;
    if !default.is_none() {
        field = field.default_value(value_of(&default)?);
    }
    let constraints = given.getattr(intern!(py, "constraints"))?;
    let Ok(constraints) = constraints.cast::<PyDict>() else {
        return Ok(field);
    };
    let get = |name: &str| -> PyResult<Option<Value>> {
        let found = constraints.get_item(name)?.filter(|bound| !bound.is_none());
        found.map(|bound| value_of(&bound)).transpose()
    };
    let (min, max) = (get("minimum")?, get("maximum")?);
    if min.is_some() || max.is_some() {
        field = field.rule(Rule::Range { min, max });
    }
    let length = |bound: Option<Value>, default: usize| {
        let bound = bound.and_then(|bound| usize::try_from(bound.as_int()?).ok());
        bound.unwrap_or(default)
    };
    for (low, high) in [("min_length", "max_length"), ("min_items", "max_items")] {
        let (low, high) = (get(low)?, get(high)?);
        if low.is_some() || high.is_some() {
            field = field.rule(Rule::length(length(low, 0), length(high, usize::MAX)));
        }
    }
    for (name, wanted) in constraints.copy()? {
        if let Ok(name) = name.extract::<String>()
            && has_rule(&name)
            && wanted.is_truthy()?
        {
            field = field.rule(Rule::Custom(name.into()));
        }
    }
    Ok(field)
}

/// The engine's schema, the key's columns first.
fn schema_of(given: &Bound<'_, PyAny>, key: &[String]) -> PyResult<Schema> {
    let py = given.py();
    let name: String = given.getattr(intern!(py, "name"))?.extract()?;
    let fields = given.getattr(intern!(py, "fields"))?;
    let fields = fields.cast::<PyDict>()?.copy()?;
    let mut schema = Schema::build(name.as_str(), key.iter().map(String::as_str));
    for (name, field) in fields.iter() {
        let name = name.cast::<PyString>()?.to_cow()?.into_owned();
        let mut field = field_of(&name, &field)?;
        // A key is never null, whatever the field's default is.
        field.nullable = field.nullable && !key.contains(&name);
        schema = schema.field(field);
    }
    schema.finish().map_err(|error| raised(py, &error))
}

#[pymethods]
impl Table {
    #[new]
    #[pyo3(signature = (schema, key, storage=None))]
    fn new(
        schema: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        storage: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let py = schema.py();
        let key: Vec<String> = match key.cast::<PyString>() {
            Ok(name) => vec![name.to_cow()?.into_owned()],
            Err(_) => key.extract()?,
        };
        let schema = schema_of(schema, &key)?;
        let own = |name: String, object: &Bound<'_, PyAny>| {
            let storage = PythonStorage::new(name, object)?;
            PyResult::Ok(Some(Arc::new(storage)))
        };
        let (kind, custom) = match storage {
            None => (StorageKind::Hash, None),
            Some(given) => match given.cast::<PyString>() {
                Ok(name) => match &*name.to_cow()? {
                    "hash" => (StorageKind::Hash, None),
                    "ordered" => (StorageKind::Ordered, None),
                    name => {
                        let object = storage_factory(py, name)?.bind(py).call0()?;
                        (StorageKind::Hash, own(name.to_owned(), &object)?)
                    }
                },
                Err(_) => {
                    let name = given.get_type().name()?.to_cow()?.into_owned();
                    (StorageKind::Hash, own(name, given)?)
                }
            },
        };
        let database = Database::with(DatabaseOptions {
            rules: rules(py),
            ..DatabaseOptions::default()
        });
        let storage: Option<Arc<PythonStorage>> = custom.clone();
        let rows = enter(py, || {
            let Some(custom) = custom else {
                return database.create_collection_in(schema, kind);
            };
            database.resume_at(custom.newest()?)?;
            database.create_collection_in(schema, StorageKind::Custom(custom))
        })?;
        Ok(Self { rows, storage })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.storage {
            Some(storage) => storage.traverse(&visit),
            None => Ok(()),
        }
    }

    /// Adds a row. Raises `ValueError` for one that breaks the schema or whose key is there, and what a rule raises.
    fn insert(&self, row: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, row) = (row.py(), self::row(row)?);
        enter(py, || self.rows.insert(row).map(drop))
    }

    /// Adds a row, in place of the one of its key.
    fn upsert(&self, row: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, row) = (row.py(), self::row(row)?);
        enter(py, || self.rows.upsert(row).map(drop))
    }

    /// Adds all rows or, when one is refused, none.
    fn insert_all(&self, rows: &Bound<'_, PyAny>) -> PyResult<usize> {
        let py = rows.py();
        let rows: Vec<Row> = rows
            .try_iter()?
            .map(|row| self::row(&row?))
            .collect::<PyResult<_>>()?;
        let count = rows.len();
        enter(py, || {
            self.rows.database().transaction(|transaction| {
                for row in rows {
                    transaction.insert(&self.rows, row)?;
                }
                Ok(())
            })
        })?;
        Ok(count)
    }

    /// The row of a key, or `None`; a key of several columns is a tuple.
    fn get<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let (py, key) = (key.py(), key_of(key)?);
        let found = enter(py, || self.rows.try_get(key))?;
        found.map(|record| self.dict(py, &record)).transpose()
    }

    /// Forgets the row of a key. Raises `KeyError` when there is none.
    fn delete(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, key) = (key.py(), key_of(key)?);
        enter(py, || self.rows.delete(key).map(drop))
    }

    /// All rows.
    fn rows<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let records = enter(py, || self.records())?;
        let rows = PyList::empty(py);
        for record in &records {
            rows.append(self.dict(py, record)?)?;
        }
        Ok(rows)
    }

    /// All rows in a format.
    #[pyo3(signature = (format="json"))]
    fn export<'py>(&self, py: Python<'py>, format: &str) -> PyResult<Bound<'py, PyBytes>> {
        let format = format_of(format)?;
        let bytes = enter(py, || {
            let mut bytes = Vec::new();
            format.encode_rows(&self.rows.schema(), &self.records()?, &mut bytes)?;
            Ok(bytes)
        })?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Adds the rows that `export` wrote, all or none; how many they are.
    #[pyo3(signature = (data, format="json"))]
    fn load(&self, data: &Bound<'_, PyAny>, format: &str) -> PyResult<usize> {
        let (py, format, data) = (data.py(), format_of(format)?, bytes_of(data)?);
        let bytes = data.as_bytes();
        enter(py, || {
            let rows = format.decode_rows(&self.rows.schema(), bytes, &Limits::default())?;
            let count = rows.len();
            self.rows.database().transaction(|transaction| {
                for row in rows {
                    transaction.insert_values(&self.rows, row)?;
                }
                Ok::<_, Error>(())
            })?;
            Ok(count)
        })
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        enter(py, || Ok(self.rows.len()))
    }
}
