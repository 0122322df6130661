//! Whether values are what they should be, and the words that say why not.

use std::fmt::Write as _;

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple, PyType};

use super::schema::items_of;

/// A pair of whether a value is valid, and why not.
pub(super) type Verdict<'py> = PyResult<Bound<'py, PyTuple>>;

/// How deep schemas may be nested.
const DEPTH_MAX: usize = 200;

/// What a message is about.
pub(super) enum Subject<'a, 'py> {
    /// A field of a schema: `Field 'N'`.
    Field(&'a Bound<'py, PyAny>),
    /// A name that stands as it is.
    Named(&'a Bound<'py, PyAny>),
}

impl Subject<'_, '_> {
    pub(super) fn message(&self, what: &str) -> PyResult<String> {
        Ok(match self {
            Self::Field(field) => {
                let name = field.getattr(intern!(field.py(), "name"))?.str()?;
                format!("Field '{}' {what}", name.to_cow()?)
            }
            Self::Named(name) => format!("{} {what}", name.str()?.to_cow()?),
        })
    }

    fn bound(
        &self,
        before: &str,
        bound: &Bound<'_, PyAny>,
        after: &str,
    ) -> PyResult<Option<String>> {
        let what = format!("{before}{}{after}", bound.str()?.to_cow()?);
        self.message(&what).map(Some)
    }
}

/// How items of an array are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unique {
    /// By their texts.
    ByText,
    /// By themselves when all are texts, numbers or bools, otherwise by their texts.
    ByValue,
}

pub(super) fn constraint<'py>(
    constraints: &Bound<'py, PyDict>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(constraints.get_item(name)?.filter(|bound| !bound.is_none()))
}

/// What a value of one kind has to keep to.
pub(super) struct Bounds<'py> {
    low: Option<Bound<'py, PyAny>>,
    high: Option<Bound<'py, PyAny>>,
    /// The pattern of a text; whether items are unique.
    other: Option<Bound<'py, PyAny>>,
}

impl<'py> Bounds<'py> {
    /// Those of a dict of constraints.
    pub(super) fn of(kind: Kind, constraints: &Bound<'py, PyDict>) -> PyResult<Self> {
        let py = constraints.py();
        let (low, high, other) = match kind {
            Kind::Text => (
                intern!(py, "min_length"),
                intern!(py, "max_length"),
                Some(intern!(py, "pattern")),
            ),
            Kind::Number => (intern!(py, "minimum"), intern!(py, "maximum"), None),
            Kind::Array => (
                intern!(py, "min_items"),
                intern!(py, "max_items"),
                Some(intern!(py, "unique_items")),
            ),
        };
        Ok(Self {
            low: constraint(constraints, low)?,
            high: constraint(constraints, high)?,
            other: match other {
                Some(other) => constraint(constraints, other)?,
                None => None,
            },
        })
    }

    /// What is wrong with a value of the kind.
    pub(super) fn wrong(
        &self,
        kind: Kind,
        subject: &Subject<'_, '_>,
        value: &Bound<'_, PyAny>,
        unique: Unique,
    ) -> PyResult<Option<String>> {
        match kind {
            Kind::Text => self.wrong_text(subject, value),
            Kind::Number => self.wrong_number(subject, value),
            Kind::Array => self.wrong_items(subject, value, unique),
        }
    }

    fn wrong_text(
        &self,
        subject: &Subject<'_, '_>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<Option<String>> {
        let length = value.len()?;
        if let Some(bound) = &self.low
            && is_shorter(length, bound)?
        {
            return subject.bound("must be at least ", bound, " characters long");
        }
        if let Some(bound) = &self.high
            && is_longer(length, bound)?
        {
            return subject.bound("must be at most ", bound, " characters long");
        }
        if let Some(pattern) = &self.other
            && pattern.is_truthy()?
            && compiled(pattern)?
                .call_method1(intern!(value.py(), "match"), (value,))?
                .is_none()
        {
            return subject.bound("must match pattern ", pattern, "");
        }
        Ok(None)
    }

    fn wrong_number(
        &self,
        subject: &Subject<'_, '_>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<Option<String>> {
        if let Some(bound) = &self.low
            && value.lt(bound)?
        {
            return subject.bound("must be greater than or equal to ", bound, "");
        }
        if let Some(bound) = &self.high
            && value.gt(bound)?
        {
            return subject.bound("must be less than or equal to ", bound, "");
        }
        Ok(None)
    }

    fn wrong_items(
        &self,
        subject: &Subject<'_, '_>,
        value: &Bound<'_, PyAny>,
        unique: Unique,
    ) -> PyResult<Option<String>> {
        if let Some(bound) = &self.low
            && is_shorter(value.len()?, bound)?
        {
            return subject.bound("must contain at least ", bound, " items");
        }
        if let Some(bound) = &self.high
            && is_longer(value.len()?, bound)?
        {
            return subject.bound("must contain at most ", bound, " items");
        }
        if let Some(wanted) = &self.other
            && wanted.is_truthy()?
            && !is_unique(value, unique)?
        {
            return subject.message("must contain unique items").map(Some);
        }
        Ok(None)
    }
}

/// A length below or above a bound.
fn is_shorter(length: usize, bound: &Bound<'_, PyAny>) -> PyResult<bool> {
    match (i64::try_from(length), bound.extract::<i64>()) {
        (Ok(length), Ok(bound)) => Ok(length < bound),
        _ => bound.gt(length),
    }
}

fn is_longer(length: usize, bound: &Bound<'_, PyAny>) -> PyResult<bool> {
    match (i64::try_from(length), bound.extract::<i64>()) {
        (Ok(length), Ok(bound)) => Ok(length > bound),
        _ => bound.lt(length),
    }
}

fn is_unique(value: &Bound<'_, PyAny>, unique: Unique) -> PyResult<bool> {
    let items = value.cast::<PyList>()?;
    if unique == Unique::ByValue && items.iter().all(|item| is_scalar(&item)) {
        let distinct = value.py().get_type::<PySet>().call1((items,))?;
        return Ok(distinct.len()? == items.len());
    }
    let texts = PySet::empty(value.py())?;
    let mut count = 0;
    for item in items {
        texts.add(item.str()?)?;
        count += 1;
    }
    Ok(texts.len() == count)
}

fn is_scalar(item: &Bound<'_, PyAny>) -> bool {
    item.is_instance_of::<PyString>()
        || item.is_instance_of::<PyInt>()
        || item.is_instance_of::<PyFloat>()
}

/// A pattern in its compiled form, remembered for texts.
pub(super) fn compiled<'py>(pattern: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static COMPILE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static KNOWN: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    const PATTERNS_MAX: usize = 500;
    let py = pattern.py();
    let compile = COMPILE.import(py, "re", "compile")?;
    if !pattern.is_exact_instance_of::<PyString>() {
        return compile.call1((pattern,));
    }
    let known = KNOWN.get_or_init(py, || PyDict::new(py).unbind()).bind(py);
    if let Some(pattern) = known.get_item(pattern)? {
        return Ok(pattern);
    }
    let made = compile.call1((pattern,))?;
    if known.len() >= PATTERNS_MAX {
        known.clear();
    }
    known.set_item(pattern, &made)?;
    Ok(made)
}

/// A type that has a name of its own here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NamedType {
    Any,
    String,
    Integer,
    Number,
    Boolean,
    Array,
    Object,
    /// No such type: no value is of it.
    Unknown,
}

impl NamedType {
    fn read(name: &Bound<'_, PyString>) -> PyResult<Self> {
        let py = name.py();
        let known = [
            (intern!(py, "string"), Self::String),
            (intern!(py, "integer"), Self::Integer),
            (intern!(py, "number"), Self::Number),
            (intern!(py, "array"), Self::Array),
            (intern!(py, "object"), Self::Object),
            (intern!(py, "boolean"), Self::Boolean),
            (intern!(py, "any"), Self::Any),
        ];
        // Literals of programs are the same objects; other texts have to be compared.
        if let Some((_, named)) = known.iter().find(|(text, _)| text.is(name)) {
            return Ok(*named);
        }
        for (text, named) in known {
            if text.as_any().eq(name)? {
                return Ok(named);
            }
        }
        Ok(Self::Unknown)
    }

    fn holds(self, value: &Bound<'_, PyAny>) -> bool {
        let is_bool = || value.is_instance_of::<PyBool>();
        match self {
            Self::Any => true,
            Self::String => value.is_instance_of::<PyString>(),
            Self::Integer => value.is_instance_of::<PyInt>() && !is_bool(),
            Self::Number => {
                value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>() && !is_bool()
            }
            Self::Boolean => is_bool(),
            Self::Array => value.is_instance_of::<PyList>(),
            Self::Object => value.is_instance_of::<PyDict>(),
            Self::Unknown => false,
        }
    }
}

fn is_of_type(value: &Bound<'_, PyAny>, expected: &Bound<'_, PyAny>) -> PyResult<bool> {
    if let Ok(name) = expected.cast::<PyString>() {
        return Ok(NamedType::read(name)?.holds(value));
    }
    if let Ok(several) = expected.cast::<PyTuple>() {
        for one in several {
            if is_of_type(value, &one)? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    value.is_instance(expected)
}

fn name_of_type(expected: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(class) = expected.cast::<PyType>() {
        return Ok(class.name()?.to_cow()?.into_owned());
    }
    if let Ok(several) = expected.cast::<PyTuple>() {
        let names: Vec<_> = several
            .iter()
            .map(|one| name_of_type(&one))
            .collect::<PyResult<_>>()?;
        return Ok(names.join(" or "));
    }
    Ok(expected.str()?.to_cow()?.into_owned())
}

/// What is wrong with a value's type.
fn wrong_type(
    value: &Bound<'_, PyAny>,
    expected: &Bound<'_, PyAny>,
    name: &Bound<'_, PyAny>,
) -> PyResult<Option<String>> {
    if value.is_none() || is_of_type(value, expected)? {
        return Ok(None);
    }
    let what = format!("must be of type {}", name_of_type(expected)?);
    Subject::Named(name).message(&what).map(Some)
}

/// Whether a value is valid, and why not.
pub(super) fn verdict(py: Python<'_>, wrong: Option<String>) -> Verdict<'_> {
    static VALID: PyOnceLock<Py<PyTuple>> = PyOnceLock::new();
    match wrong {
        Some(message) => (false, message).into_pyobject(py),
        None => {
            let valid = VALID.get_or_try_init(py, || {
                (true, py.None()).into_pyobject(py).map(Bound::unbind)
            })?;
            Ok(valid.bind(py).clone())
        }
    }
}

/// The name in messages when the caller gave none.
fn name_or_value<'py>(py: Python<'py>, name: Option<Bound<'py, PyAny>>) -> Bound<'py, PyAny> {
    name.unwrap_or_else(|| intern!(py, "Value").clone().into_any())
}

/// Whether a value is of a type, and why not: a class, a tuple of classes, or one of `any`, `string`, `integer`,
/// `number`, `boolean`, `array`, `object`. `None` is of every type.
#[pyfunction]
#[pyo3(signature = (value, expected_type, field_name = None), text_signature = "(value, expected_type, field_name='Value')")]
pub(crate) fn validate_type<'py>(
    value: &Bound<'py, PyAny>,
    expected_type: &Bound<'py, PyAny>,
    field_name: Option<Bound<'py, PyAny>>,
) -> Verdict<'py> {
    if value.is_none() || is_of_type(value, expected_type)? {
        return verdict(value.py(), None);
    }
    let wrong = wrong_type(value, expected_type, &name_or_value(value.py(), field_name))?;
    verdict(value.py(), wrong)
}

/// Whether all fields are there and not `None`, and messages for those that are not.
#[pyfunction]
pub(crate) fn validate_required(
    data: &Bound<'_, PyAny>,
    required_fields: &Bound<'_, PyAny>,
) -> PyResult<(bool, Vec<String>)> {
    let mut messages = Vec::new();
    for name in required_fields.try_iter()? {
        let name = name?;
        if is_absent(data, &name)? {
            messages.push(missing(&name)?);
        }
    }
    Ok((messages.is_empty(), messages))
}

fn is_absent(data: &Bound<'_, PyAny>, name: &Bound<'_, PyAny>) -> PyResult<bool> {
    if let Ok(dict) = data.cast_exact::<PyDict>() {
        return Ok(dict.get_item(name)?.is_none_or(|value| value.is_none()));
    }
    Ok(!data.contains(name)? || data.get_item(name)?.is_none())
}

fn missing(name: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(format!(
        "Required field '{}' is missing",
        name.str()?.to_cow()?
    ))
}

/// Whether a value is a text within bounds and matching a pattern at its start, and why not.
#[pyfunction]
#[pyo3(
    signature = (value, min_length = None, max_length = None, pattern = None, field_name = None),
    text_signature = "(value, min_length=None, max_length=None, pattern=None, field_name='Value')"
)]
pub(crate) fn validate_string<'py>(
    value: &Bound<'py, PyAny>,
    min_length: Option<Bound<'py, PyAny>>,
    max_length: Option<Bound<'py, PyAny>>,
    pattern: Option<Bound<'py, PyAny>>,
    field_name: Option<Bound<'py, PyAny>>,
) -> Verdict<'py> {
    let py = value.py();
    let bounds = Bounds {
        low: min_length,
        high: max_length,
        other: pattern,
    };
    verdict(
        py,
        checked(Kind::Text, value, &name_or_value(py, field_name), &bounds)?,
    )
}

/// Whether a value is a number within bounds, and why not.
#[pyfunction]
#[pyo3(
    signature = (value, minimum = None, maximum = None, field_name = None),
    text_signature = "(value, minimum=None, maximum=None, field_name='Value')"
)]
pub(crate) fn validate_number<'py>(
    value: &Bound<'py, PyAny>,
    minimum: Option<Bound<'py, PyAny>>,
    maximum: Option<Bound<'py, PyAny>>,
    field_name: Option<Bound<'py, PyAny>>,
) -> Verdict<'py> {
    let py = value.py();
    let bounds = Bounds {
        low: minimum,
        high: maximum,
        other: None,
    };
    verdict(
        py,
        checked(Kind::Number, value, &name_or_value(py, field_name), &bounds)?,
    )
}

/// Whether a value is a list within bounds whose items are valid, and why not.
///
/// `item_validator(item)` returns a pair of whether and why not.
#[pyfunction]
#[pyo3(
    signature = (value, min_items = None, max_items = None, unique_items = None, item_validator = None, field_name = None),
    text_signature = "(value, min_items=None, max_items=None, unique_items=False, item_validator=None, field_name='Value')"
)]
pub(crate) fn validate_array<'py>(
    value: &Bound<'py, PyAny>,
    min_items: Option<Bound<'py, PyAny>>,
    max_items: Option<Bound<'py, PyAny>>,
    unique_items: Option<Bound<'py, PyAny>>,
    item_validator: Option<Bound<'py, PyAny>>,
    field_name: Option<Bound<'py, PyAny>>,
) -> Verdict<'py> {
    let py = value.py();
    let name = name_or_value(py, field_name);
    let bounds = Bounds {
        low: min_items,
        high: max_items,
        other: unique_items,
    };
    let wrong = checked(Kind::Array, value, &name, &bounds)?;
    let (None, Some(validator), Ok(items)) = (&wrong, item_validator, value.cast::<PyList>())
    else {
        return verdict(py, wrong);
    };
    for (place, item) in items.iter().enumerate() {
        let answer = validator.call1((item,))?;
        if !answer.get_item(0)?.is_truthy()? {
            let why = answer.get_item(1)?.str()?;
            let message = format!("{}[{place}]: {}", name.str()?.to_cow()?, why.to_cow()?);
            return verdict(py, Some(message));
        }
    }
    verdict(py, None)
}

/// Kinds of values that have bounds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Array,
}

/// What is wrong with a value of a kind; `None` is right.
fn checked(
    kind: Kind,
    value: &Bound<'_, PyAny>,
    name: &Bound<'_, PyAny>,
    bounds: &Bounds<'_>,
) -> PyResult<Option<String>> {
    if value.is_none() {
        return Ok(None);
    }
    let subject = Subject::Named(name);
    let (named, wanted) = match kind {
        Kind::Text => (NamedType::String, "must be a string"),
        Kind::Number => (NamedType::Number, "must be a number"),
        Kind::Array => (NamedType::Array, "must be an array"),
    };
    if !named.holds(value) {
        return subject.message(wanted).map(Some);
    }
    bounds.wrong(kind, &subject, value, Unique::ByValue)
}

/// Whether data fits a schema of nested dicts, and all that is wrong with it.
///
/// Missing required fields come first, then what is wrong in the order of the data.
#[pyfunction]
pub(crate) fn deep_validate(
    data: &Bound<'_, PyAny>,
    schema: &Bound<'_, PyAny>,
) -> PyResult<(bool, Vec<String>)> {
    let mut messages = Vec::new();
    check_deep(data, schema.cast()?, "", false, 0, &mut messages)?;
    Ok((messages.is_empty(), messages))
}

fn check_deep(
    data: &Bound<'_, PyAny>,
    schema: &Bound<'_, PyDict>,
    prefix: &str,
    is_open: bool,
    depth: usize,
    messages: &mut Vec<String>,
) -> PyResult<()> {
    let py = data.py();
    if depth > DEPTH_MAX {
        return Err(pyo3::exceptions::PyRecursionError::new_err(
            "maximum recursion depth exceeded: the schema is nested too deep",
        ));
    }
    let data = data.cast::<PyDict>().map_err(|_| {
        PyTypeError::new_err(format!("data must be a dict, not {}", data.get_type()))
    })?;
    // A switch beside the fields, unless it is the name of one.
    let switch = intern!(py, "additional_properties");
    let is_open = match schema.get_item(switch)? {
        Some(allowed) if !allowed.is_instance_of::<PyDict>() => allowed.is_truthy()?,
        _ => is_open,
    };
    for (name, spec) in schema.copy()? {
        let Ok(spec) = spec.cast::<PyDict>() else {
            continue;
        };
        if let Some(required) = spec.get_item(intern!(py, "required"))?
            && required.is_truthy()?
            && is_absent(data, &name)?
        {
            messages.push(format!("{prefix}{}", missing(&name)?));
        }
    }
    for pair in items_of(data)? {
        let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
        let spec = schema.get_item(&name)?;
        let Some(spec) = spec.as_ref().and_then(|spec| spec.cast::<PyDict>().ok()) else {
            if !is_open {
                let name = name.str()?;
                messages.push(format!(
                    "{prefix}Additional property '{}' is not allowed",
                    name.to_cow()?
                ));
            }
            continue;
        };
        if value.is_none() {
            continue;
        }
        if let Some(wrong) = wrong_in_field(&value, spec, &name)? {
            messages.push(format!("{prefix}{wrong}"));
            continue;
        }
        if let Some(properties) = constraint(spec, intern!(py, "properties"))?
            && value.is_instance_of::<PyDict>()
        {
            let mut inner = String::from(prefix);
            let _ = write!(inner, "{}.", name.str()?.to_cow()?);
            let is_open = match spec.get_item(switch)? {
                Some(allowed) => allowed.is_truthy()?,
                None => false,
            };
            check_deep(
                &value,
                properties.cast()?,
                &inner,
                is_open,
                depth + 1,
                messages,
            )?;
        }
    }
    Ok(())
}

/// What is wrong with one value, but for what is nested in it.
fn wrong_in_field(
    value: &Bound<'_, PyAny>,
    spec: &Bound<'_, PyDict>,
    name: &Bound<'_, PyAny>,
) -> PyResult<Option<String>> {
    let py = value.py();
    let Some(kind) = constraint(spec, intern!(py, "type"))? else {
        return Ok(None);
    };
    if let Some(wrong) = wrong_type(value, &kind, name)? {
        return Ok(Some(wrong));
    }
    let Ok(kind) = kind.cast::<PyString>() else {
        return Ok(None);
    };
    let checked = |kind| checked(kind, value, name, &Bounds::of(kind, spec)?);
    match NamedType::read(kind)? {
        NamedType::String => checked(Kind::Text),
        NamedType::Number | NamedType::Integer => checked(Kind::Number),
        NamedType::Array => {
            if let Some(wrong) = checked(Kind::Array)? {
                return Ok(Some(wrong));
            }
            wrong_item(value, spec, name)
        }
        _ => Ok(None),
    }
}

/// What is wrong with the first item that is not of the type that `items` says.
fn wrong_item(
    value: &Bound<'_, PyAny>,
    spec: &Bound<'_, PyDict>,
    name: &Bound<'_, PyAny>,
) -> PyResult<Option<String>> {
    let py = value.py();
    let Some(items) = constraint(spec, intern!(py, "items"))? else {
        return Ok(None);
    };
    let Some(kind) = items
        .cast::<PyDict>()
        .ok()
        .map(|items| constraint(items, intern!(py, "type")))
        .transpose()?
        .flatten()
    else {
        return Ok(None);
    };
    for (place, item) in value.cast::<PyList>()?.iter().enumerate() {
        if let Some(wrong) = wrong_type(&item, &kind, intern!(py, "Value").as_any())? {
            return Ok(Some(format!("{}[{place}]: {wrong}", name.str()?.to_cow()?)));
        }
    }
    Ok(None)
}
