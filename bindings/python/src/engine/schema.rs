//! Tables as a program declares them.

use common::schema::{Field, FieldType, IndexSpec, ReferenceAction, Schema};
use common::{Text, Value};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyMapping, PyString, PyTuple, PyType};

use super::config::{named, options_of, parsed};
use super::error::OrRaise;
use super::value::value_of;
use crate::interchange::{DECIMAL, value_to_python};

static ORIGIN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static ARGUMENTS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A column: its type, whether it may be `None`, its default and further rules.
///
/// `type` is a Python type (`int`, `float`, `str`, `bytes`, `bool`, `datetime`, `date`, `UUID`, `Decimal`, `list`, `dict`,
/// `object` for anything), a generic one (`list[int]`, `dict[str, float]`, `Optional[int]`), or the engine's name of one
/// (`"int"`, `"timestamp"`, ...). `rules` is a list of the engine's rules, such as `{"range": {"min": 0, "max": 9}}`.
#[pyclass(frozen, name = "Field", module = "syncdb.engine")]
#[derive(Clone)]
pub(super) struct PyField(pub(super) Field);

#[pymethods]
impl PyField {
    #[new]
    #[pyo3(signature = (r#type, nullable=false, default=None, rules=None))]
    fn new(
        r#type: &Bound<'_, PyAny>,
        nullable: bool,
        default: Option<&Bound<'_, PyAny>>,
        rules: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let (ty, optional) = type_of(r#type)?;
        let mut field = Field::new("", ty);
        field.nullable = nullable || optional;
        field.default = default
            .map(|value| value_of(value, "default"))
            .transpose()?;
        if let Some(rules) = rules {
            field.rules = options_of(rules, "rules")?;
        }
        Ok(Self(field))
    }

    /// The column's name; empty as long as it is in no schema.
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Its type in the engine's words.
    #[getter]
    fn r#type(&self) -> String {
        self.0.ty.to_string()
    }

    /// Whether `None` is a value of it.
    #[getter]
    fn nullable(&self) -> bool {
        self.0.nullable
    }

    /// The value of rows that leave it out.
    #[getter]
    fn default<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        value_to_python(py, self.0.default.as_ref().unwrap_or(&Value::Null))
    }

    fn __repr__(&self) -> String {
        let null = if self.0.nullable { " or null" } else { "" };
        format!("Field({} {}{null})", &*self.0.name, self.0.ty)
    }
}

/// The column that a program wrote down as a `Field` or a type.
pub(super) fn field_of(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Field> {
    let mut field = match object.cast::<PyField>() {
        Ok(field) => field.get().0.clone(),
        Err(_) => {
            let (ty, optional) = type_of(object).map_err(|error| {
                PyTypeError::new_err(format!("column '{name}': {}", error.value(object.py())))
            })?;
            let mut field = Field::new("", ty);
            field.nullable = optional;
            field
        }
    };
    field.name = Text::new(name);
    Ok(field)
}

/// Columns by name, in their order.
pub(super) fn fields_of(object: &Bound<'_, PyAny>) -> PyResult<Vec<Field>> {
    let Ok(columns) = object.cast::<PyMapping>() else {
        return Err(PyTypeError::new_err(
            "columns are a dict from names to types or Fields",
        ));
    };
    let mut fields = Vec::new();
    for item in columns.items()?.iter() {
        let (name, field): (String, Bound<'_, PyAny>) = item.extract()?;
        fields.push(field_of(&name, &field)?);
    }
    Ok(fields)
}

/// A type of the engine, and whether it may be null.
fn type_of(object: &Bound<'_, PyAny>) -> PyResult<(FieldType, bool)> {
    let py = object.py();
    if let Ok(name) = object.cast::<PyString>() {
        let name = name.to_cow()?;
        return match &*name {
            "list" => Ok((FieldType::List(Box::new(FieldType::Any)), false)),
            "map" | "dict" => Ok((FieldType::Map(Box::new(FieldType::Any)), false)),
            "decimal" => Ok((FieldType::Extension(Text::new(DECIMAL)), false)),
            name => Ok((named(py, name, "type")?, false)),
        };
    }
    if let Ok(described) = object.cast::<PyDict>() {
        return Ok((options_of(described, "type")?, false));
    }
    let origin = ORIGIN
        .import(py, "typing", "get_origin")?
        .call1((object,))?;
    if !origin.is_none() {
        let arguments = ARGUMENTS
            .import(py, "typing", "get_args")?
            .call1((object,))?;
        return generic_type(object, &origin, arguments.cast()?);
    }
    let Ok(class) = object.cast::<PyType>() else {
        return Err(unknown(object));
    };
    let name = class.name()?.to_cow()?.into_owned();
    let ty = match &*name {
        "bool" => FieldType::Bool,
        "int" => FieldType::Int,
        "float" => FieldType::Float,
        "str" => FieldType::Text,
        "bytes" => FieldType::Bytes,
        "datetime" => FieldType::Timestamp,
        "date" => FieldType::Date,
        "UUID" => FieldType::Uuid,
        "Decimal" => FieldType::Extension(Text::new(DECIMAL)),
        "list" | "tuple" => FieldType::List(Box::new(FieldType::Any)),
        "dict" => FieldType::Map(Box::new(FieldType::Any)),
        "object" => FieldType::Any,
        _ => return Err(unknown(object)),
    };
    Ok((ty, false))
}

fn generic_type(
    object: &Bound<'_, PyAny>,
    origin: &Bound<'_, PyAny>,
    arguments: &Bound<'_, PyTuple>,
) -> PyResult<(FieldType, bool)> {
    let inner = |at: usize| type_of(&arguments.get_item(at)?).map(|(ty, _)| Box::new(ty));
    if let Ok(class) = origin.cast::<PyType>() {
        let name = class.name()?.to_cow()?.into_owned();
        match (&*name, arguments.len()) {
            ("list", 1) => return Ok((FieldType::List(inner(0)?), false)),
            ("dict", 2) => return Ok((FieldType::Map(inner(1)?), false)),
            _ => {}
        }
    }
    // Optional[..]: a union of one type and None.
    let none = object.py().None().bind(object.py()).get_type();
    let others: Vec<_> = arguments.iter().filter(|one| !one.is(&none)).collect();
    match others.as_slice() {
        [one] if arguments.len() == 2 => Ok((type_of(one)?.0, true)),
        _ => Err(unknown(object)),
    }
}

fn unknown(object: &Bound<'_, PyAny>) -> PyErr {
    let shown = object.repr().map(|text| text.to_string());
    PyTypeError::new_err(format!(
        "{} is no type of a column; use bool, int, float, str, bytes, datetime, date, UUID, Decimal, list, dict, object, \
         list[..], dict[str, ..], Optional[..] or a Field of one",
        shown.unwrap_or_default()
    ))
}

/// The schema of a table: its columns, the key, indexes and references to other tables.
///
/// `fields` is a dict from names to types or `Field`s, `key` the name of the key's column or a tuple of them. `indexes` and
/// `unique` are lists of columns, or of tuples of them. `references` is a dict from a column (or a tuple of them) to the name
/// of the table whose key it holds, or to a tuple of that and what a deletion there does: `"restrict"`, `"cascade"` or
/// `"set_null"`.
#[pyclass(frozen, name = "Schema", module = "syncdb.engine")]
#[derive(Clone)]
pub(super) struct PySchema(pub(super) Schema);

#[pymethods]
impl PySchema {
    #[new]
    #[pyo3(signature = (name, fields, key, *, indexes=None, unique=None, references=None))]
    fn new(
        py: Python<'_>,
        name: &str,
        fields: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        indexes: Option<&Bound<'_, PyAny>>,
        unique: Option<&Bound<'_, PyAny>>,
        references: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let mut building = Schema::build(name, names_of(key)?);
        for field in fields_of(fields)? {
            building = building.field(field);
        }
        for columns in each(indexes)? {
            building = building.index(IndexSpec::ordered(names_of(&columns)?));
        }
        for columns in each(unique)? {
            building = building.index(IndexSpec::hash(names_of(&columns)?).unique());
        }
        if let Some(references) = references {
            for item in references.cast::<PyMapping>()?.items()?.iter() {
                let (columns, to): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
                let (table, action) = match to.extract::<(String, String)>() {
                    Ok((table, action)) => (table, named(py, &action, "references")?),
                    Err(_) => (to.extract::<String>()?, ReferenceAction::Restrict),
                };
                building = building.reference(names_of(&columns)?, table, action);
            }
        }
        building.finish().map(Self).or_raise(py)
    }

    /// Reads a schema from JSON, as `to_json` and the command line write it.
    #[staticmethod]
    fn from_json(py: Python<'_>, json: &str) -> PyResult<Self> {
        let limits = common::Limits::default();
        let schema = common::serialization::decode_schema(json.as_bytes(), &limits);
        schema.map(Self).or_raise(py)
    }

    /// The schema as JSON.
    fn to_json(&self, py: Python<'_>) -> PyResult<String> {
        let json = common::serialization::encode_schema(&self.0).or_raise(py)?;
        String::from_utf8(json).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// The schema as a dict.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let json = common::serialization::encode_schema(&self.0).or_raise(py)?;
        parsed(py, &json)
    }

    /// Name of the table.
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Which edition this is.
    #[getter]
    fn version(&self) -> u32 {
        self.0.version.0
    }

    /// Names of the key's columns.
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let names = self.0.key_fields().iter().map(|field| &*field.name);
        PyTuple::new(py, names.collect::<Vec<_>>())
    }

    /// The columns, those of the key first.
    #[getter]
    fn fields(&self) -> Vec<PyField> {
        self.0.fields.iter().cloned().map(PyField).collect()
    }

    /// Names of the columns, those of the key first.
    #[getter]
    fn columns(&self) -> Vec<&str> {
        let names = self.0.fields.iter().map(|field| &*field.name);
        names.collect()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast::<Self>()
            .is_ok_and(|other| self.0 == other.get().0)
    }

    fn __hash__(&self) -> u64 {
        let id = u128::from_le_bytes(self.0.schema_id().0);
        (id >> 64) as u64
    }

    fn __repr__(&self) -> String {
        let columns = self.columns().join(", ");
        format!("Schema({}: {columns})", &*self.0.name)
    }
}

/// One name, or several.
pub(super) fn names_of(object: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if let Ok(name) = object.cast::<PyString>() {
        return Ok(vec![name.to_cow()?.into_owned()]);
    }
    object.extract()
}

fn each<'py>(object: Option<&Bound<'py, PyAny>>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    object.map_or_else(|| Ok(Vec::new()), |list| list.try_iter()?.collect())
}

/// The schemas of tables that a program gave as a list.
pub(super) fn schemas_of(tables: &Bound<'_, PyAny>) -> PyResult<Vec<Schema>> {
    if tables.is_instance_of::<PySchema>() {
        return Err(PyTypeError::new_err(
            "tables are a list of Schemas; put it in one",
        ));
    }
    let mut schemas = Vec::new();
    for schema in tables.try_iter()? {
        let schema = schema?;
        match schema.cast::<PySchema>() {
            Ok(schema) => schemas.push(schema.get().0.clone()),
            Err(_) => {
                return Err(PyTypeError::new_err(format!(
                    "tables are a list of Schemas of syncdb.engine, {} is none",
                    schema.get_type().name()?
                )));
            }
        }
    }
    Ok(schemas)
}
