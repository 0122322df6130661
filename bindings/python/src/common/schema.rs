//! Whether data fits a schema. Fields are objects of Python's, which may be changed at any time.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};

use super::access::Members;
use super::validation::{Bounds, Kind, Subject, Unique, Verdict, verdict};
use crate::extensions::broken_rule;

/// In the order of the enum; the last two are the only ones that hold no checks of their own.
static FIELD_TYPES: Members<7> = Members::new(
    "common.core.schema",
    "FieldType",
    [
        "STRING", "INTEGER", "FLOAT", "BOOLEAN", "ARRAY", "OBJECT", "NULL",
    ],
);
const STRING: usize = 0;
const INTEGER: usize = 1;
const FLOAT: usize = 2;
const BOOLEAN: usize = 3;
const ARRAY: usize = 4;
const OBJECT: usize = 5;
const NULL: usize = 6;

/// Whether a field may hold a value, and why not.
#[pyfunction]
pub(crate) fn check_field<'py>(
    field: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
) -> Verdict<'py> {
    verdict(field.py(), wrong_with(field, value)?)
}

fn wrong_with(field: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let py = field.py();
    let subject = Subject::Field(field);
    if value.is_none() {
        if field.getattr(intern!(py, "nullable"))?.is_truthy()? {
            return Ok(None);
        }
        return subject.message("cannot be null").map(Some);
    }
    let kind = FIELD_TYPES.position(&field.getattr(intern!(py, "field_type"))?)?;
    let is_bool = value.is_instance_of::<PyBool>();
    let is_int = value.is_instance_of::<PyInt>() && !is_bool;
    let (fits, wanted) = match kind {
        Some(STRING) => (value.is_instance_of::<PyString>(), "must be a string"),
        Some(INTEGER) => (is_int, "must be an integer"),
        Some(FLOAT) => (
            is_int || value.is_instance_of::<PyFloat>(),
            "must be a number",
        ),
        Some(BOOLEAN) => (is_bool, "must be a boolean"),
        Some(ARRAY) => (value.is_instance_of::<PyList>(), "must be an array"),
        Some(OBJECT) => (value.is_instance_of::<PyDict>(), "must be an object"),
        Some(NULL) => (false, "must be null"),
        _ => (true, ""),
    };
    if !fits {
        return subject.message(wanted).map(Some);
    }
    let constraints = field.getattr(intern!(py, "constraints"))?;
    let Ok(constraints) = constraints.cast::<PyDict>() else {
        return Ok(None);
    };
    if constraints.is_empty() {
        return Ok(None);
    }
    let kind = match kind {
        Some(STRING) => Some(Kind::Text),
        Some(ARRAY) => Some(Kind::Array),
        Some(INTEGER | FLOAT) => Some(Kind::Number),
        _ => None,
    };
    if let Some(kind) = kind {
        let bounds = Bounds::of(kind, constraints)?;
        let wrong = bounds.wrong(kind, &subject, value, Unique::ByText)?;
        if wrong.is_some() {
            return Ok(wrong);
        }
    }
    match broken_rule(constraints, value)? {
        Some(wrong) => subject.message(&wrong).map(Some),
        None => Ok(None),
    }
}

/// Whether data fits fields, and all that is wrong with it; fields of another class than `plain` are asked themselves.
#[pyfunction]
pub(crate) fn check_fields<'py>(
    fields: &Bound<'py, PyDict>,
    data: &Bound<'py, PyAny>,
    additional_properties: &Bound<'py, PyAny>,
    plain: &Bound<'py, PyAny>,
) -> PyResult<(bool, Bound<'py, PyList>)> {
    let py = fields.py();
    let messages = PyList::empty(py);
    for pair in fields.items() {
        let (name, field): (Bound<'py, PyAny>, Bound<'py, PyAny>) = pair.extract()?;
        if field.getattr(intern!(py, "required"))?.is_truthy()? && !data.contains(&name)? {
            messages.append(format!(
                "Required field '{}' is missing",
                name.str()?.to_cow()?
            ))?;
        }
    }
    for pair in items_of(data)? {
        let (name, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = pair.extract()?;
        match fields.get_item(&name)? {
            Some(field) if field.get_type().is(plain) => {
                if let Some(message) = wrong_with(&field, &value)? {
                    messages.append(message)?;
                }
            }
            Some(field) => {
                let answer = field.call_method1(intern!(py, "validate"), (value,))?;
                if !answer.get_item(0)?.is_truthy()? {
                    messages.append(answer.get_item(1)?)?;
                }
            }
            None if additional_properties.is_truthy()? => {}
            None => {
                let name = name.str()?;
                messages.append(format!(
                    "Additional property '{}' is not allowed",
                    name.to_cow()?
                ))?;
            }
        }
    }
    Ok((messages.is_empty(), messages))
}

/// The pairs of a mapping, as they are now.
pub(super) fn items_of<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    if let Ok(dict) = data.cast_exact::<PyDict>() {
        return Ok(dict.items());
    }
    let items = data.call_method0(intern!(data.py(), "items"))?;
    PyList::new(data.py(), items.try_iter()?.collect::<PyResult<Vec<_>>>()?)
}
