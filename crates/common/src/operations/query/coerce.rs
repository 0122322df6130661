//! Fits a literal to the type of the column that it is compared with.

use super::filter::{parameter_name, unbound};
use super::path::Path;
use super::text::{date_of, timestamp_of};
use crate::core::base::{Timestamp, Value};
use crate::core::schema::FieldType;
use crate::error::{Error, Result};

/// The literal as a value of `ty`: text becomes a timestamp, date or UUID where the column holds these, a
/// date becomes midnight UTC; numbers stay as they are, because they compare across their kinds.
pub(super) fn coerce(path: &Path, ty: &FieldType, literal: &Value) -> Result<Value> {
    if let Some(name) = parameter_name(literal) {
        return Err(unbound(name));
    }
    let fitted = match (ty, literal) {
        (FieldType::Any, _) | (_, Value::Null) => Some(literal.clone()),
        (FieldType::Timestamp, Value::Text(text)) => timestamp_of(text).map(Value::Timestamp),
        (FieldType::Timestamp, Value::Date(date)) => i64::from(date.0)
            .checked_mul(86_400_000_000)
            .map(|micros| Value::Timestamp(Timestamp(micros))),
        (FieldType::Date, Value::Text(text)) => date_of(text).map(Value::Date),
        (FieldType::Uuid, Value::Text(text)) => uuid::Uuid::parse_str(text).ok().map(Value::Uuid),
        (FieldType::Int | FieldType::Float, Value::Int(_) | Value::Float(_))
        | (FieldType::Bool, Value::Bool(_))
        | (FieldType::Text, Value::Text(_))
        | (FieldType::Bytes, Value::Bytes(_))
        | (FieldType::Timestamp, Value::Timestamp(_))
        | (FieldType::Date, Value::Date(_))
        | (FieldType::Uuid, Value::Uuid(_))
        | (FieldType::Map(_), Value::Map(_))
        | (FieldType::Vector { .. }, Value::Vector(_))
        | (FieldType::Extension(_), Value::Extension(_)) => Some(literal.clone()),
        (FieldType::List(inner), Value::List(items)) => {
            let items: Result<Vec<Value>> =
                items.iter().map(|item| coerce(path, inner, item)).collect();
            return items.map(Value::from);
        }
        _ => None,
    };
    fitted.ok_or_else(|| mismatch(path, ty, literal))
}

fn mismatch(path: &Path, ty: &FieldType, literal: &Value) -> Error {
    let mut shown: String = format!("{literal:?}").chars().take(64).collect();
    if literal.as_text().is_some() {
        // An unreadable date is a text too; its form is what is wrong.
        let form = match ty {
            FieldType::Timestamp => ", as in '2026-01-31T08:30:00Z'",
            FieldType::Date => ", as in '2026-01-31'",
            FieldType::Uuid => ", as in '01234567-89ab-cdef-0123-456789abcdef'",
            _ => "",
        };
        shown.push_str(form);
    }
    Error::invalid(format!(
        "`{path}` is {ty}, which does not compare with {} {shown}",
        literal.kind()
    ))
}

/// The error for a condition that the column's type does not have.
pub(super) fn not_for(path: &Path, ty: &FieldType, condition: &str, needs: &str) -> Error {
    Error::invalid(format!("`{path}` is {ty}; `{condition}` is for {needs}"))
}
