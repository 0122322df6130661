//! What columns and tables check: the natives under the dataclasses `Column` and `TableSchema`.
//!
//! Columns are read through Python attributes once and kept; a count of all assignments to columns and schemas tells
//! when they have to be read again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use pyo3::exceptions::{PyAttributeError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple, PyType};

use super::hooks::Hooks;
use crate::interchange::own_dict;

/// Assignments to attributes of columns and table schemas so far.
static ASSIGNMENTS: AtomicU64 = AtomicU64::new(0);

/// Sets an attribute as `object.__setattr__` does, which refuses classes with a native setter.
fn assign(
    instance: &Bound<'_, PyAny>,
    name: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = instance.py();
    ASSIGNMENTS.fetch_add(1, Ordering::Relaxed);
    if let Some(of_class) = instance.get_type().getattr_opt(name.cast::<PyString>()?)?
        && let Some(set) = of_class.get_type().getattr_opt(intern!(py, "__set__"))?
    {
        set.call1((of_class, instance, value))?;
        return Ok(());
    }
    own_dict(instance)?.set_item(name, value)
}

/// Deletes an attribute as `object.__delattr__` does.
fn unassign(instance: &Bound<'_, PyAny>, name: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = instance.py();
    ASSIGNMENTS.fetch_add(1, Ordering::Relaxed);
    if let Some(of_class) = instance.get_type().getattr_opt(name.cast::<PyString>()?)?
        && let Some(delete) = of_class.get_type().getattr_opt(intern!(py, "__delete__"))?
    {
        delete.call1((of_class, instance))?;
        return Ok(());
    }
    own_dict(instance)?
        .del_item(name)
        .map_err(|_| PyAttributeError::new_err(name.to_string()))
}

/// Whether a value fits a type as the package means it: an instance, or something the type accepts.
fn fits(
    value: &Bound<'_, PyAny>,
    data_type: &Bound<'_, PyAny>,
    nullable: &Bound<'_, PyAny>,
) -> PyResult<bool> {
    if value.is_none() {
        return nullable.is_truthy();
    }
    if value.get_type_ptr().cast() == data_type.as_ptr() {
        return Ok(true);
    }
    let py = value.py();
    match value.is_instance(data_type) {
        Ok(true) => return Ok(true),
        Ok(false) => {}
        Err(error) if error.is_instance_of::<PyTypeError>(py) => return Ok(false),
        Err(error) => return Err(error),
    }
    match data_type.call1((value,)) {
        Ok(_) => Ok(true),
        Err(error)
            if error.is_instance_of::<PyValueError>(py)
                || error.is_instance_of::<PyTypeError>(py)
                || error.is_instance_of::<PyOverflowError>(py) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Native part of the dataclass `Column`.
#[pyclass(subclass, frozen, module = "tandemdb._native.syncdb")]
pub(super) struct ColumnMethods;

#[pymethods]
impl ColumnMethods {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self
    }

    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        assign(slf, name, value)
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        unassign(slf, name)
    }

    /// Whether the column takes `value`: `None` if it is nullable, else what is of its type or what its type accepts.
    fn validate_value(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = slf.py();
        fits(
            value,
            &slf.getattr(intern!(py, "data_type"))?,
            &slf.getattr(intern!(py, "nullable"))?,
        )
    }
}

/// One column as it was read.
struct Field {
    name: Py<PyAny>,
    column: Py<PyAny>,
    data_type: Py<PyAny>,
    nullable: Py<PyAny>,
    /// Whether its `validate_value` is ours.
    plain: bool,
}

/// The columns of a table as they were read at some count of assignments.
pub(super) struct Compiled {
    /// The schema's address: a shallow copy of a schema has the same cache.
    schema: usize,
    assignments: u64,
    columns: Py<PyList>,
    columns_len: usize,
    by_name: Py<PyDict>,
    fields: Vec<Field>,
    /// Names of the key's columns, in column order.
    pub(super) keys: Vec<Py<PyAny>>,
    /// Columns with a default, in column order.
    pub(super) defaults: Vec<(Py<PyAny>, Py<PyAny>)>,
}

impl Compiled {
    fn read(schema: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let py = schema.py();
        let assignments = ASSIGNMENTS.load(Ordering::Relaxed);
        let (Ok(columns), Ok(by_name)) = (
            schema
                .getattr(intern!(py, "columns"))?
                .cast_into_exact::<PyList>(),
            schema
                .getattr(intern!(py, "_column_dict"))?
                .cast_into_exact::<PyDict>(),
        ) else {
            return Ok(None);
        };
        let mut keys = Vec::new();
        let mut defaults = Vec::new();
        for column in &columns {
            let name = column.getattr(intern!(py, "name"))?;
            if column.getattr(intern!(py, "primary_key"))?.is_truthy()? {
                keys.push(name.clone().unbind());
            }
            let default = column.getattr(intern!(py, "default"))?;
            if !default.is_none() {
                defaults.push((name.unbind(), default.unbind()));
            }
        }
        let ours = py
            .get_type::<ColumnMethods>()
            .getattr(intern!(py, "validate_value"))?;
        let mut fields = Vec::with_capacity(by_name.len());
        for item in by_name.items() {
            let (name, column): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
            if !column.is_instance_of::<ColumnMethods>() {
                return Ok(None);
            }
            fields.push(Field {
                data_type: column.getattr(intern!(py, "data_type"))?.unbind(),
                nullable: column.getattr(intern!(py, "nullable"))?.unbind(),
                plain: column
                    .get_type()
                    .getattr(intern!(py, "validate_value"))?
                    .is(&ours)
                    && !own_dict(&column)?.contains(intern!(py, "validate_value"))?,
                name: name.unbind(),
                column: column.unbind(),
            });
        }
        Ok(Some(Self {
            schema: schema.as_ptr() as usize,
            assignments,
            columns_len: columns.len(),
            columns: columns.unbind(),
            by_name: by_name.unbind(),
            fields,
            keys,
            defaults,
        }))
    }

    /// What the garbage collector has to know.
    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.columns)?;
        visit.call(&self.by_name)?;
        for field in &self.fields {
            for object in [
                &field.name,
                &field.column,
                &field.data_type,
                &field.nullable,
            ] {
                visit.call(object)?;
            }
        }
        for key in &self.keys {
            visit.call(key)?;
        }
        for (name, default) in &self.defaults {
            visit.call(name)?;
            visit.call(default)?;
        }
        Ok(())
    }

    fn is_current(&self, schema: &Bound<'_, PyAny>) -> bool {
        let py = schema.py();
        self.schema == schema.as_ptr() as usize
            && self.assignments == ASSIGNMENTS.load(Ordering::Relaxed)
            && self.columns_len == self.columns.bind(py).len()
            && self.fields.len() == self.by_name.bind(py).len()
    }

    /// The column of that name; `at` is where it is if the record is in the order of the columns.
    fn field(&self, name: &Bound<'_, PyAny>, at: usize) -> PyResult<Option<&Field>> {
        if let Some(field) = self.fields.get(at)
            && field.name.as_ptr() == name.as_ptr()
        {
            return Ok(Some(field));
        }
        let py = name.py();
        // Another object with the same text.
        if let Some(field) = self.fields.get(at)
            && field.name.bind(py).eq(name)?
        {
            return Ok(Some(field));
        }
        for field in &self.fields {
            if field.name.as_ptr() == name.as_ptr() {
                return Ok(Some(field));
            }
        }
        for field in &self.fields {
            if field.name.bind(py).eq(name)? {
                return Ok(Some(field));
            }
        }
        Ok(None)
    }

    /// Whether the record is valid; Python code runs only for columns and types that are not ours.
    pub(super) fn is_valid(&self, record: &Bound<'_, PyDict>) -> PyResult<bool> {
        let py = record.py();
        for key in &self.keys {
            if !record.contains(key)? {
                return Ok(false);
            }
        }
        // Values that need Python code are looked at after the walk: it could change the record.
        let mut later = Vec::new();
        for (at, (name, value)) in record.iter().enumerate() {
            if !name.is_exact_instance_of::<PyString>() {
                return Ok(false);
            }
            let Some(field) = self.field(&name, at)? else {
                return Ok(false);
            };
            if field.plain && value.get_type_ptr().cast() == field.data_type.as_ptr() {
                continue;
            }
            later.push((field, value));
        }
        for (field, value) in later {
            let valid = if field.plain {
                fits(&value, field.data_type.bind(py), field.nullable.bind(py))?
            } else {
                field
                    .column
                    .bind(py)
                    .call_method1(intern!(py, "validate_value"), (value,))?
                    .is_truthy()?
            };
            if !valid {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The key of a record as a tuple.
    pub(super) fn key<'py>(
        &self,
        record: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let py = record.py();
        if let [only] = self.keys.as_slice() {
            return match record.get_item(only)? {
                Some(value) => Ok(Some(PyTuple::new(py, [value])?)),
                None => Ok(None),
            };
        }
        let mut values = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            match record.get_item(key)? {
                Some(value) => values.push(value),
                None => return Ok(None),
            }
        }
        PyTuple::new(py, values).map(Some)
    }
}

/// What a table keeps of its schema between calls.
#[pyclass(frozen, module = "tandemdb._native.syncdb")]
pub(super) struct SchemaCache(Mutex<Option<Arc<Compiled>>>);

#[pymethods]
impl SchemaCache {
    #[new]
    fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Another schema reads its own columns.
    #[pyo3(signature = (_memo, /))]
    fn __deepcopy__(slf: &Bound<'_, Self>, _memo: &Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        Py::new(slf.py(), Self::new())
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, Bound<'py, PyTuple>) {
        (slf.get_type(), PyTuple::empty(slf.py()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // While a thread holds the lock, it holds what is kept, too.
        match self.0.try_lock().as_deref() {
            Some(Some(kept)) => kept.visit(&visit),
            _ => Ok(()),
        }
    }

    fn __clear__(&self) {
        let kept = self.0.try_lock().and_then(|mut kept| kept.take());
        drop(kept);
    }
}

/// The columns of a schema if it and they are ours and unpatched, else `None`.
pub(super) fn compiled(schema: &Bound<'_, PyAny>) -> PyResult<Option<Arc<Compiled>>> {
    let py = schema.py();
    if !schema.is_instance_of::<TableSchemaMethods>() {
        return Ok(None);
    }
    let own = own_dict(schema)?;
    if !HOOKS.untouched::<TableSchemaMethods>(schema, &own, &[0, 1])? {
        return Ok(None);
    }
    let Some(cache) = own.get_item(intern!(py, "_cache"))? else {
        return Ok(None);
    };
    let Ok(cache) = cache.cast_exact::<SchemaCache>() else {
        return Ok(None);
    };
    let kept = cache.get().0.lock().clone();
    if let Some(kept) = kept
        && kept.is_current(schema)
    {
        return Ok(Some(kept));
    }
    let Some(read) = Compiled::read(schema)? else {
        return Ok(None);
    };
    let read = Arc::new(read);
    let before = cache.get().0.lock().replace(Arc::clone(&read));
    drop(before);
    Ok(Some(read))
}

/// What `TableSchema` may have replaced, and the attributes that it has.
static HOOKS: Hooks = Hooks::new(&["validate_record", "primary_keys"], 5);

/// The texts of `validate_record`, through the attributes and methods of the schema's objects.
fn violations<'py>(
    schema: &Bound<'py, PyAny>,
    record: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    let py = schema.py();
    let texts = PyList::empty(py);
    for key in schema.getattr(intern!(py, "primary_keys"))?.try_iter()? {
        let key = key?;
        if !record.contains(&key)? {
            texts.append(format!("Missing primary key {key}"))?;
        }
    }
    let by_name = schema.getattr(intern!(py, "_column_dict"))?;
    let items = match record.cast::<PyDict>() {
        Ok(record) => record.items().into_any(),
        Err(_) => record.call_method0(intern!(py, "items"))?,
    };
    for item in items.try_iter()? {
        let (name, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = item?.extract()?;
        if !by_name.contains(&name)? {
            texts.append(format!("Unknown column {name}"))?;
            continue;
        }
        let column = by_name.get_item(&name)?;
        if !column
            .call_method1(intern!(py, "validate_value"), (value,))?
            .is_truthy()?
        {
            let data_type = column.getattr(intern!(py, "data_type"))?;
            let expected = data_type
                .getattr(intern!(py, "__name__"))
                .unwrap_or(data_type);
            texts.append(format!("Invalid value for {name}, expected {expected}"))?;
        }
    }
    Ok(texts)
}

/// Native part of the dataclass `TableSchema`.
#[pyclass(subclass, frozen, module = "tandemdb._native.syncdb")]
pub(super) struct TableSchemaMethods;

#[pymethods]
impl TableSchemaMethods {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self
    }

    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        assign(slf, name, value)
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        unassign(slf, name)
    }

    /// Names of the primary key's columns, in the order of the columns.
    #[getter]
    fn primary_keys<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        if let Some(compiled) = compiled(slf)? {
            return PyList::new(py, &compiled.keys);
        }
        let names = PyList::empty(py);
        for column in slf.getattr(intern!(py, "columns"))?.try_iter()? {
            let column = column?;
            if column.getattr(intern!(py, "primary_key"))?.is_truthy()? {
                names.append(column.getattr(intern!(py, "name"))?)?;
            }
        }
        Ok(names)
    }

    /// The column of that name, or `None`.
    fn get_column<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let by_name = slf.getattr(intern!(slf.py(), "_column_dict"))?;
        match by_name.cast_exact::<PyDict>() {
            Ok(by_name) => by_name.get_item(name),
            Err(_) => by_name
                .call_method1(intern!(slf.py(), "get"), (name,))
                .map(Some),
        }
    }

    /// What is wrong with `record`, one text each: key columns that are missing, unknown columns, values that do not fit.
    fn validate_record<'py>(
        slf: &Bound<'py, Self>,
        record: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        if let Ok(record) = record.cast_exact::<PyDict>()
            && let Some(compiled) = compiled(slf)?
            && compiled.is_valid(record)?
        {
            return Ok(PyList::empty(slf.py()));
        }
        violations(slf, record)
    }
}
