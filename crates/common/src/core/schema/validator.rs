//! [`Validator`]: a schema compiled once, which checks rows and reports every broken rule.

use std::collections::HashMap;

use regex::Regex;

use super::field::{Field, FieldType};
use super::rule::{CustomRule, Rule, RuleRegistry};
use super::schema::Schema;
use crate::core::base::{Row, Text, Value, ValueInput};
use crate::error::{Error, ErrorKind, Result, Violation};

/// Largest compiled size of one pattern, in bytes: a schema from outside must not cost memory.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// A compiled schema. Checking a row of plain columns costs a few nanoseconds a column; the cost of naming
/// what is wrong is paid only by rows that are wrong.
#[derive(Debug, Clone)]
pub struct Validator {
    table: Text,
    key_columns: usize,
    columns: Vec<Column>,
    positions: HashMap<Text, usize, foldhash::fast::RandomState>,
}

#[derive(Debug, Clone)]
struct Column {
    name: Text,
    ty: FieldType,
    nullable: bool,
    required: bool,
    default: Value,
    checks: Vec<Check>,
}

/// A rule made ready: patterns compiled, custom checks found.
#[derive(Clone)]
enum Check {
    Range {
        min: Option<Value>,
        max: Option<Value>,
    },
    Length {
        min: usize,
        max: usize,
    },
    Pattern(Regex),
    OneOf(Vec<Value>),
    Finite,
    Custom {
        name: Text,
        check: CustomRule,
    },
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Validator {
    pub(super) fn new(schema: &Schema, rules: &RuleRegistry) -> Result<Self> {
        let columns = schema
            .fields
            .iter()
            .enumerate()
            .map(|(i, field)| {
                let is_key = i < schema.key_columns;
                Column::new(field, is_key, rules)
                    .map_err(|e| e.at(format!("column `{}` of `{}`", field.name, schema.name)))
            })
            .collect::<Result<Vec<_>>>()?;
        let positions = columns
            .iter()
            .enumerate()
            .map(|(i, column)| (column.name.clone(), i))
            .collect();
        let validator = Self {
            table: schema.name.clone(),
            key_columns: schema.key_columns,
            columns,
            positions,
        };
        for column in validator.columns.iter().filter(|column| !column.required) {
            let mut violations = Vec::new();
            column.check(&column.default, &mut violations);
            if !violations.is_empty() {
                let subject = format!("default of column `{}` of `{}`", column.name, schema.name);
                return Err(Error::violations_of(
                    ErrorKind::Invalid,
                    &subject,
                    violations,
                ));
            }
        }
        Ok(validator)
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there is no column; never true for a schema that compiled.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Number of key columns, which come first.
    pub fn key_columns(&self) -> usize {
        self.key_columns
    }

    /// Position of the column of this name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }

    /// Turns a named row into values in storage order, fills in defaults, converts where the type allows it
    /// without loss, and checks everything.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with every broken rule: unknown and missing columns, types, rules.
    pub fn values(&self, row: Row) -> Result<Vec<Value>> {
        let mut values: Vec<Option<Value>> = vec![None; self.columns.len()];
        let mut violations = Vec::new();
        for (name, value) in row {
            match self
                .position(&name)
                .and_then(|position| values.get_mut(position))
            {
                Some(place) => *place = Some(value),
                None => violations.push(self.unknown(&name)),
            }
        }
        let mut values: Vec<Value> = values
            .into_iter()
            .zip(&self.columns)
            .map(|(value, column)| {
                value.unwrap_or_else(|| {
                    if column.required {
                        violations.push(Violation {
                            path: column.name.to_string(),
                            rule: "required".into(),
                            message: format!("is missing; expected {}", column.ty),
                        });
                    }
                    column.default.clone()
                })
            })
            .collect();
        let missing: Vec<String> = violations.iter().map(|v| v.path.clone()).collect();
        for (column, value) in self.columns.iter().zip(&mut values) {
            if !column.accept(value) && !missing.iter().any(|path| *path == *column.name) {
                column.check(value, &mut violations);
            }
        }
        self.report(&values, violations)?;
        Ok(values)
    }

    /// Converts and checks values that are already in storage order, one for each column.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with every broken rule.
    pub fn prepare(&self, values: &mut [Value]) -> Result<()> {
        if self.accept_each(values, Column::accept)? {
            Ok(())
        } else {
            self.report(values, self.violations(values))
        }
    }

    /// Whether `accept` takes each of so many values as there are columns.
    #[inline]
    fn accept_each<T>(
        &self,
        values: &mut [T],
        accept: impl Fn(&Column, &mut T) -> bool,
    ) -> Result<bool> {
        if values.len() != self.columns.len() {
            return Err(self.wrong_count(values.len()));
        }
        let mut fine = true;
        for (column, value) in self.columns.iter().zip(values) {
            fine &= accept(column, value);
        }
        Ok(fine)
    }

    /// As [`Validator::prepare`], of values that may borrow their texts.
    #[inline]
    pub(crate) fn accept(&self, values: &mut [ValueInput<'_>]) -> Result<()> {
        if self.accept_each(values, |column, input| column.accept_input(input))? {
            Ok(())
        } else {
            self.refused_row(values)
        }
    }

    #[cold]
    fn refused_row(&self, values: &[ValueInput<'_>]) -> Result<()> {
        let values: Vec<Value> = values.iter().cloned().map(ValueInput::into_value).collect();
        self.report(&values, self.violations(&values))
    }

    /// Checks values in storage order without converting any: what a decoder calls on rows from outside.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with every broken rule.
    pub fn check(&self, values: &[Value]) -> Result<()> {
        if values.len() != self.columns.len() {
            return Err(self.wrong_count(values.len()));
        }
        self.report(values, self.violations(values))
    }

    /// Turns named changes of an existing row into positions and values, converted and checked.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with every broken rule; also when a key column is named.
    pub fn changes(&self, row: Row) -> Result<Vec<(usize, Value)>> {
        let mut changes = Vec::with_capacity(row.len());
        let mut violations = Vec::new();
        for (name, mut value) in row {
            let Some((position, column)) = self
                .position(&name)
                .and_then(|at| self.columns.get(at).map(|column| (at, column)))
            else {
                violations.push(self.unknown(&name));
                continue;
            };
            if position < self.key_columns {
                violations.push(Violation {
                    path: name.to_string(),
                    rule: "key".into(),
                    message: "is part of the primary key, which never changes; delete the row and \
                              insert another"
                        .into(),
                });
            } else if !column.accept(&mut value) {
                column.check(&value, &mut violations);
            }
            changes.push((position, value));
        }
        if violations.is_empty() {
            Ok(changes)
        } else {
            let subject = format!("change of a row of `{}`", self.table);
            Err(Error::violations_of(
                ErrorKind::Invalid,
                &subject,
                violations,
            ))
        }
    }

    /// Converts and checks the value of one column, which must not be part of the key.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with every broken rule, or when there is no such column.
    #[inline]
    pub fn prepare_one(&self, position: usize, value: &mut Value) -> Result<()> {
        match self.columns.get(position) {
            Some(column) if position >= self.key_columns && column.accept(value) => Ok(()),
            _ => Err(self.refused(position, value)),
        }
    }

    #[cold]
    fn refused(&self, position: usize, value: &Value) -> Error {
        let Some(column) = self.columns.get(position) else {
            return self.wrong_count(position + 1);
        };
        let changed = Row::new().with(column.name.clone(), value.clone());
        match self.changes(changed) {
            Err(error) => error,
            Ok(_) => Error::invalid(format!(
                "column `{}` does not accept {value:?}",
                column.name
            )),
        }
    }

    fn violations(&self, values: &[Value]) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (column, value) in self.columns.iter().zip(values) {
            column.check(value, &mut violations);
        }
        violations
    }

    #[cold]
    pub(crate) fn wrong_count(&self, found: usize) -> Error {
        Error::invalid(format!(
            "table `{}` has {} columns, the row has {found} values",
            self.table,
            self.columns.len()
        ))
    }

    fn unknown(&self, name: &str) -> Violation {
        let known: Vec<&str> = self
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        Violation {
            path: name.to_owned(),
            rule: "unknown_column".into(),
            message: format!("is not a column; the columns are {}", known.join(", ")),
        }
    }

    fn report(&self, values: &[Value], violations: Vec<Violation>) -> Result<()> {
        if violations.is_empty() {
            return Ok(());
        }
        let key = values.get(..self.key_columns).unwrap_or_default();
        let key: Vec<String> = key.iter().map(ToString::to_string).collect();
        let subject = format!("row ({}) of `{}`", key.join(", "), self.table);
        Err(Error::violations_of(
            ErrorKind::Invalid,
            &subject,
            violations,
        ))
    }
}

impl Column {
    fn new(field: &Field, is_key: bool, rules: &RuleRegistry) -> Result<Self> {
        let mut checks = field
            .rules
            .iter()
            .map(|rule| Check::new(rule, &field.ty, rules))
            .collect::<Result<Vec<_>>>()?;
        if is_key {
            // No NaN keys: they would be found by nobody's arithmetic.
            checks.push(Check::Finite);
        }
        let mut column = Self {
            name: field.name.clone(),
            ty: field.ty.clone(),
            nullable: field.nullable,
            required: field.is_required(),
            default: field.default.clone().unwrap_or_default(),
            checks,
        };
        if let (FieldType::Float, Some(float)) = (&column.ty, exact_float(&column.default)) {
            column.default = Value::Float(float);
        }
        Ok(column)
    }

    /// As [`Column::accept`]; a text stays borrowed where nothing but its type is asked for.
    #[inline]
    fn accept_input(&self, input: &mut ValueInput<'_>) -> bool {
        match input {
            ValueInput::Text(_) if self.ty == FieldType::Text && self.checks.is_empty() => true,
            ValueInput::Text(text) => {
                let mut value = Value::from(*text);
                let fine = self.accept(&mut value);
                *input = ValueInput::Value(value);
                fine
            }
            ValueInput::Value(value) => self.accept(value),
        }
    }

    /// Converts the value where the type allows it and says whether it satisfies everything.
    #[inline]
    fn accept(&self, value: &mut Value) -> bool {
        match (&self.ty, &*value) {
            (FieldType::Int, Value::Int(_))
            | (FieldType::Text, Value::Text(_))
            | (FieldType::Float, Value::Float(_))
            | (FieldType::Bool, Value::Bool(_))
            | (FieldType::Timestamp, Value::Timestamp(_))
            | (FieldType::Date, Value::Date(_))
            | (FieldType::Uuid, Value::Uuid(_))
            | (FieldType::Bytes, Value::Bytes(_))
            | (FieldType::Any, _)
                if !value.is_null() => {}
            (_, Value::Null) => return self.nullable,
            (FieldType::Float, Value::Int(_)) => match exact_float(value) {
                Some(float) => *value = Value::Float(float),
                None => return false,
            },
            (ty, value) if fits(ty, value) => {}
            _ => return false,
        }
        self.checks
            .iter()
            .all(|check| check.problem(value).is_none())
    }

    /// Names everything that is wrong with the value.
    fn check(&self, value: &Value, violations: &mut Vec<Violation>) {
        if value.is_null() {
            if !self.nullable {
                violations.push(Violation {
                    path: self.name.to_string(),
                    rule: "nullable".into(),
                    message: format!("is null; expected {}", self.ty),
                });
            }
            return;
        }
        let before = violations.len();
        check_type(&self.name, &self.ty, value, violations);
        if violations.len() > before {
            return;
        }
        violations.extend(self.checks.iter().filter_map(|check| {
            check.problem(value).map(|message| Violation {
                path: self.name.to_string(),
                rule: check.name().to_owned(),
                message,
            })
        }));
    }
}

/// The float equal to an integer, if there is one.
#[expect(clippy::cast_possible_truncation, reason = "checked by casting back")]
#[expect(clippy::cast_precision_loss, reason = "checked by casting back")]
fn exact_float(value: &Value) -> Option<f64> {
    let int = value.as_int()?;
    let float = int as f64;
    (int.unsigned_abs() <= 1 << 53 || float as i128 == i128::from(int)).then_some(float)
}

/// Whether a value is of a type, all the way down.
pub(crate) fn fits(ty: &FieldType, value: &Value) -> bool {
    match (ty, value) {
        (FieldType::Bool, Value::Bool(_))
        | (FieldType::Int, Value::Int(_))
        | (FieldType::Float, Value::Float(_))
        | (FieldType::Text, Value::Text(_))
        | (FieldType::Bytes, Value::Bytes(_))
        | (FieldType::Timestamp, Value::Timestamp(_))
        | (FieldType::Date, Value::Date(_))
        | (FieldType::Uuid, Value::Uuid(_))
        | (FieldType::Any, _) => true,
        (FieldType::List(inner), Value::List(items)) => items.iter().all(|item| fits(inner, item)),
        (FieldType::Map(inner), Value::Map(map)) => map.values().all(|item| fits(inner, item)),
        (FieldType::Vector { element, dimension }, Value::Vector(vector)) => {
            vector.element() == *element
                && dimension.is_none_or(|dimension| vector.dimension() == dimension as usize)
        }
        (FieldType::Extension(name), Value::Extension(ext)) => ext.name == *name,
        _ => false,
    }
}

/// Names each place below `path` whose value is not of the type.
fn check_type(path: &str, ty: &FieldType, value: &Value, violations: &mut Vec<Violation>) {
    match (ty, value) {
        (FieldType::List(inner), Value::List(items)) => {
            for (i, item) in items.iter().enumerate() {
                check_type(&format!("{path}[{i}]"), inner, item, violations);
            }
        }
        (FieldType::Map(inner), Value::Map(map)) => {
            for (key, item) in map.iter() {
                check_type(&format!("{path}.{key}"), inner, item, violations);
            }
        }
        (
            FieldType::Vector {
                element,
                dimension: Some(dimension),
            },
            Value::Vector(vector),
        ) if vector.element() == *element && vector.dimension() != *dimension as usize => {
            violations.push(Violation {
                path: path.to_owned(),
                rule: "dimension".into(),
                message: format!(
                    "has {} dimensions; expected {dimension}",
                    vector.dimension()
                ),
            });
        }
        (ty, value) if fits(ty, value) => {}
        (ty, value) => violations.push(Violation {
            path: path.to_owned(),
            rule: "type".into(),
            message: format!("is {} ({}); expected {ty}", shown(value), value.kind()),
        }),
    }
}

impl Check {
    fn new(rule: &Rule, ty: &FieldType, rules: &RuleRegistry) -> Result<Self> {
        let unfit = |expected: &str| {
            Err(Error::invalid(format!(
                "rule `{}` applies to {expected}, not to {ty}",
                rule.name()
            )))
        };
        Ok(match rule {
            Rule::Range { min, max } => {
                for bound in [min, max].into_iter().flatten() {
                    if !(fits(ty, bound) || *ty == FieldType::Float && bound.as_int().is_some()) {
                        return unfit(&format!("values of the bound's type, {}", bound.kind()));
                    }
                }
                Self::Range {
                    min: min.clone(),
                    max: max.clone(),
                }
            }
            Rule::Length { min, max } => match ty {
                FieldType::Text
                | FieldType::Bytes
                | FieldType::List(_)
                | FieldType::Map(_)
                | FieldType::Vector { .. }
                | FieldType::Any => Self::Length {
                    min: *min,
                    max: *max,
                },
                _ => return unfit("text, bytes, lists, maps and vectors"),
            },
            Rule::Pattern(pattern) => match ty {
                FieldType::Text | FieldType::Any => Self::Pattern(compile_pattern(pattern)?),
                _ => return unfit("text"),
            },
            Rule::OneOf(values) => Self::OneOf(values.clone()),
            Rule::Finite => Self::Finite,
            Rule::Custom(name) => match rules.get(name) {
                Some(check) => Self::Custom {
                    name: name.clone(),
                    check: check.clone(),
                },
                None => {
                    let known: Vec<&str> = rules.names().map(Text::as_str).collect();
                    return Err(Error::not_found(format!(
                        "no check is registered under `{name}`; registered: [{}]",
                        known.join(", ")
                    )));
                }
            },
        })
    }

    fn name(&self) -> &str {
        match self {
            Self::Range { .. } => "range",
            Self::Length { .. } => "length",
            Self::Pattern(_) => "pattern",
            Self::OneOf(_) => "one_of",
            Self::Finite => "finite",
            Self::Custom { name, .. } => name,
        }
    }

    /// What is wrong with a value of the right type, if anything.
    fn problem(&self, value: &Value) -> Option<String> {
        use std::cmp::Ordering::{Greater, Less};
        match self {
            Self::Range { min, max } => {
                // NaN compares with nothing and so lies in no range.
                let below = min
                    .as_ref()
                    .is_some_and(|min| value.compare(min).is_none_or(|order| order == Less));
                let above = max
                    .as_ref()
                    .is_some_and(|max| value.compare(max).is_none_or(|order| order == Greater));
                (below || above).then(|| {
                    let side = |bound: &Option<Value>| bound.as_ref().map_or("..".into(), shown);
                    format!(
                        "is {}; expected {} to {}",
                        shown(value),
                        side(min),
                        side(max)
                    )
                })
            }
            Self::Length { min, max } => {
                let length = length_of(value)?;
                (!(*min..=*max).contains(&length))
                    .then(|| format!("has length {length}; expected {min} to {max}"))
            }
            Self::Pattern(pattern) => {
                let text = value.as_text()?;
                (!pattern.is_match(text))
                    .then(|| format!("is {}; expected a match of {pattern}", shown(value)))
            }
            Self::OneOf(values) => (!values.contains(value)).then(|| {
                let allowed: Vec<String> = values.iter().map(shown).collect();
                format!(
                    "is {}; expected one of {}",
                    shown(value),
                    allowed.join(", ")
                )
            }),
            Self::Finite => {
                (!is_finite(value)).then(|| format!("is {}; expected finite numbers", shown(value)))
            }
            Self::Custom { check, .. } => check(value),
        }
    }
}

fn compile_pattern(pattern: &str) -> Result<Regex> {
    // `\A..\z` and not `^..$`: a trailing line feed must not slip through.
    regex::RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| Error::invalid(format!("pattern `{pattern}`: {error}")).caused_by(error))
}

fn length_of(value: &Value) -> Option<usize> {
    match value {
        Value::Text(text) => Some(text.chars().count()),
        Value::Bytes(bytes) => Some(bytes.len()),
        Value::List(items) => Some(items.len()),
        Value::Map(map) => Some(map.len()),
        Value::Vector(vector) => Some(vector.dimension()),
        _ => None,
    }
}

fn is_finite(value: &Value) -> bool {
    match value {
        Value::Float(float) => float.is_finite(),
        Value::Vector(vector) => vector.is_finite(),
        Value::List(items) => items.iter().all(is_finite),
        Value::Map(map) => map.values().all(is_finite),
        _ => true,
    }
}

/// The value as a message shows it: never longer than a line.
fn shown(value: &Value) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    let full = format!("{value:?}");
    if full.chars().count() <= SHOWN_CHARS_MAX {
        full
    } else {
        full.chars()
            .take(SHOWN_CHARS_MAX)
            .chain("...".chars())
            .collect()
    }
}
