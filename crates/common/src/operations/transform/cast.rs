//! Conversion of a value to another type, without loss or not at all.

use crate::core::base::{Date, Timestamp, Value};
use crate::core::schema::FieldType;
use crate::error::{Error, Result};
use crate::utils::{time, types};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Whether [`cast`] knows this type as a target.
pub(super) fn check_target(to: &FieldType) -> Result<()> {
    match to {
        FieldType::Bool
        | FieldType::Int
        | FieldType::Float
        | FieldType::Text
        | FieldType::Timestamp
        | FieldType::Date
        | FieldType::Uuid => Ok(()),
        _ => Err(Error::invalid(format!(
            "no value is cast to {to}; the targets are bool, int, float, text, timestamp, date and uuid"
        ))),
    }
}

/// The value as type `to`, without loss; null stays null.
///
/// ```
/// use common::schema::FieldType;
/// use common::transform::cast;
/// use common::Value;
/// assert_eq!(cast(&Value::from("12"), &FieldType::Int)?, Value::from(12));
/// assert!(cast(&Value::from(1.5), &FieldType::Int).is_err());
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for a value that the type does not hold exactly, and for a type that nothing is cast to:
/// lists, maps, vectors, byte strings and the application's own.
pub fn cast(value: &Value, to: &FieldType) -> Result<Value> {
    check_target(to)?;
    let converted = match (to, value) {
        (_, Value::Null) => Some(Value::Null),
        (FieldType::Bool, _) => to_bool(value),
        (FieldType::Int, _) => to_int(value),
        (FieldType::Float, _) => to_float(value),
        (FieldType::Text, _) => to_text(value),
        (FieldType::Timestamp, _) => to_timestamp(value),
        (FieldType::Date, _) => to_date(value),
        (FieldType::Uuid, Value::Uuid(_)) => Some(value.clone()),
        (FieldType::Uuid, Value::Text(text)) => {
            uuid::Uuid::parse_str(text.trim()).ok().map(Value::Uuid)
        }
        _ => None,
    };
    converted.ok_or_else(|| {
        Error::invalid(format!(
            "{} {value:?} is no {to} without loss",
            value.kind()
        ))
    })
}

fn to_bool(value: &Value) -> Option<Value> {
    Some(Value::Bool(match value {
        Value::Bool(value) => *value,
        Value::Int(0) => false,
        Value::Int(1) => true,
        Value::Text(text) => types::parse_bool(text.trim()).ok()?,
        _ => return None,
    }))
}

fn to_int(value: &Value) -> Option<Value> {
    Some(Value::Int(match value {
        Value::Int(value) => *value,
        Value::Bool(value) => i64::from(*value),
        Value::Float(value) => types::int_of_float(*value)?,
        Value::Text(text) => types::parse_int(text.trim()).ok()?,
        _ => return None,
    }))
}

/// Text may round, as every decimal number does; an integer may not.
fn to_float(value: &Value) -> Option<Value> {
    Some(Value::Float(match value {
        Value::Float(value) => *value,
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Int(value) => types::float_of_int(*value)?,
        Value::Text(text) => types::parse_float(text.trim()).ok()?,
        _ => return None,
    }))
}

fn to_text(value: &Value) -> Option<Value> {
    match value {
        Value::Text(_) => Some(value.clone()),
        Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Timestamp(_)
        | Value::Date(_)
        | Value::Uuid(_) => Some(Value::from(value.to_string())),
        _ => None,
    }
}

/// A day is its first instant in UTC; an integer is microseconds.
fn to_timestamp(value: &Value) -> Option<Value> {
    let micros = match value {
        Value::Timestamp(value) => value.0,
        Value::Int(value) => *value,
        Value::Date(value) => i64::from(value.0).checked_mul(MICROS_PER_DAY)?,
        Value::Text(text) => time::parse_timestamp(text.trim()).ok()?,
        _ => return None,
    };
    Some(Value::Timestamp(Timestamp(micros)))
}

/// A point in time is a day only if it is that day's first instant in UTC; an integer is days.
fn to_date(value: &Value) -> Option<Value> {
    let days = match value {
        Value::Date(value) => value.0,
        Value::Int(value) => i32::try_from(*value).ok()?,
        Value::Timestamp(value) if value.0 % MICROS_PER_DAY == 0 => {
            i32::try_from(value.0 / MICROS_PER_DAY).ok()?
        }
        Value::Text(text) => time::parse_date(text.trim()).ok()?,
        _ => return None,
    };
    Some(Value::Date(Date(days)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_silently() {
        let fine = |value: Value, to: &FieldType, expect: Value| {
            let found = cast(&value, to).unwrap();
            assert_eq!(found, expect);
            assert_eq!(found.kind(), expect.kind());
        };
        fine(" 42 ".into(), &FieldType::Int, 42.into());
        fine(
            (-9_223_372_036_854_775_808.0).into(),
            &FieldType::Int,
            i64::MIN.into(),
        );
        fine(
            (1_i64 << 53).into(),
            &FieldType::Float,
            9_007_199_254_740_992.0.into(),
        );
        fine("1e3".into(), &FieldType::Float, 1000.0.into());
        fine(Value::Null, &FieldType::Int, Value::Null);
        fine(true.into(), &FieldType::Text, "true".into());
        fine("TRUE".into(), &FieldType::Bool, true.into());
        let day = Value::Date(Date(20_414));
        fine("2025-11-22".into(), &FieldType::Date, day.clone());
        let midnight = cast(&day, &FieldType::Timestamp).unwrap();
        fine(midnight, &FieldType::Date, day);

        for (value, to) in [
            (Value::from(1.5), FieldType::Int),
            (Value::from(9_223_372_036_854_775_808.0), FieldType::Int),
            (Value::from(f64::NAN), FieldType::Int),
            (Value::from((1_i64 << 53) + 1), FieldType::Float),
            (Value::from(i64::MAX), FieldType::Float),
            (Value::from("1e999"), FieldType::Float),
            (Value::from("1,5"), FieldType::Float),
            (Value::from(2), FieldType::Bool),
            (Value::from("maybe"), FieldType::Bool),
            (Value::from(i64::MAX), FieldType::Date),
            (Value::Timestamp(Timestamp(1)), FieldType::Date),
            (Value::from(vec![1_u8]), FieldType::Text),
            (Value::from("7"), FieldType::Uuid),
            (Value::from("7"), FieldType::Bytes),
            (Value::Null, FieldType::Any),
        ] {
            assert!(cast(&value, &to).is_err(), "{value:?} to {to}");
        }
    }
}
