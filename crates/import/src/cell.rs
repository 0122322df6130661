//! Turns one cell into a value of a column's type.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::schema::{Field, FieldType, Schema};
use common::serialization::Format;
use common::utils::types::{self, CellKind, int_of_float, parse_cell};
use common::{Date, Limits, Timestamp, Value, Vector, VectorElement};
use serde_json::Value as Json;

use super::Cell;

/// Reads `cell` as `ty`; `None` for a cell without a value.
///
/// # Errors
/// What was expected and what was found.
pub(crate) fn to_value(
    cell: Cell<'_>,
    ty: &FieldType,
    nulls: &[String],
) -> Result<Option<Value>, String> {
    match cell {
        Cell::Missing | Cell::Json(Json::Null) => Ok(None),
        Cell::Text(text) if is_null(text, nulls) => Ok(None),
        Cell::Text(text) => text_to_value(text, ty).map(Some),
        Cell::Quoted => {
            let is_text = *ty == FieldType::Text && nulls.iter().all(|null| !null.is_empty());
            Ok(is_text.then(|| Value::from("")))
        }
        Cell::Json(Json::String(text)) if nulls.iter().any(|null| null == text) => Ok(None),
        Cell::Json(json) => json_to_value(json, ty).map(Some),
        Cell::Typed(value) => Ok((!value.is_null()).then(|| value.clone())),
    }
}

/// Whether a cell of a text file stands for no value.
pub(crate) fn is_null(text: &str, nulls: &[String]) -> bool {
    text.is_empty() || nulls.iter().any(|null| null == text)
}

/// The kind of text cell that a type is written as; `None` for types that are written as JSON.
pub(crate) fn kind_of(ty: &FieldType) -> Option<CellKind> {
    match ty {
        FieldType::Bool => Some(CellKind::Bool),
        FieldType::Int => Some(CellKind::Int),
        FieldType::Float => Some(CellKind::Float),
        FieldType::Text => Some(CellKind::Text),
        FieldType::Timestamp => Some(CellKind::Timestamp),
        FieldType::Date => Some(CellKind::Date),
        FieldType::Uuid => Some(CellKind::Uuid),
        _ => None,
    }
}

/// The type of a column whose cells are of this kind.
pub(crate) const fn type_of(kind: CellKind) -> FieldType {
    match kind {
        CellKind::Bool => FieldType::Bool,
        CellKind::Int => FieldType::Int,
        CellKind::Float => FieldType::Float,
        CellKind::Date => FieldType::Date,
        CellKind::Timestamp => FieldType::Timestamp,
        CellKind::Uuid => FieldType::Uuid,
        CellKind::Text => FieldType::Text,
    }
}

/// The value that text stands for in a column of a type.
///
/// # Errors
/// What was expected and what was found.
pub fn text_to_value(text: &str, ty: &FieldType) -> Result<Value, String> {
    let Some(kind) = kind_of(ty) else {
        return match serde_json::from_str::<Json>(text) {
            Ok(json) => json_to_value(&json, ty),
            // Any text is a value of a column of any type; only other types must be spelled as JSON.
            Err(_) if *ty == FieldType::Any => Ok(Value::from(text)),
            Err(_) if *ty == FieldType::Bytes => json_to_value(&Json::from(text), ty),
            Err(error) => Err(format!("expected {ty} as JSON, found {text:?}: {error}")),
        };
    };
    // White space around a number is a matter of layout; in text it may mean something.
    let text = if kind == CellKind::Text {
        text
    } else {
        text.trim()
    };
    match parse_cell(text, kind) {
        Ok(cell) => Ok(match cell {
            types::Cell::Bool(value) => Value::Bool(value),
            types::Cell::Int(value) => Value::Int(value),
            types::Cell::Float(value) => Value::Float(value),
            types::Cell::Date(value) => Value::Date(Date(value)),
            types::Cell::Timestamp(value) => Value::Timestamp(Timestamp(value)),
            types::Cell::Uuid(value) => Value::Uuid(value),
            types::Cell::Text(value) => Value::from(value),
        }),
        Err(error) => Err(error.message().to_owned()),
    }
}

fn json_to_value(json: &Json, ty: &FieldType) -> Result<Value, String> {
    let wrong = || format!("expected {ty}, found {}", shorten(&json.to_string()));
    match (ty, json) {
        (FieldType::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
        (FieldType::Int, Json::Number(number)) => {
            let whole = || number.as_f64().and_then(int_of_float);
            number
                .as_i64()
                .or_else(whole)
                .map(Value::Int)
                .ok_or_else(wrong)
        }
        (FieldType::Float, Json::Number(number)) => {
            number.as_f64().map(Value::Float).ok_or_else(wrong)
        }
        (FieldType::Text, Json::String(text)) => Ok(Value::from(text.as_str())),
        (FieldType::Date | FieldType::Timestamp | FieldType::Uuid, Json::String(text)) => {
            text_to_value(text, ty)
        }
        (FieldType::Bool | FieldType::Int | FieldType::Text, _) => Err(wrong()),
        (
            FieldType::Vector {
                element: VectorElement::F32,
                ..
            },
            Json::Array(elements),
        ) => vector(elements).ok_or_else(wrong),
        _ => nested(json, ty).map_err(|reason| format!("{}: {reason}", wrong())),
    }
}

/// A vector of numbers: every row of a file may have one. How many there may be is the schema's to check.
fn vector(elements: &[Json]) -> Option<Value> {
    let elements = elements.iter().map(|element| {
        let number = element.as_f64()?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounded to the nearest, as everywhere"
        )]
        let narrow = number as f32;
        (narrow.is_finite() || !number.is_finite()).then_some(narrow)
    });
    let elements = elements.collect::<Option<Vec<f32>>>()?;
    Some(Value::from(Vector::from(elements)))
}

/// Types with parts, by way of a table of one such column: slow, and the same rules as everywhere.
fn nested(json: &Json, ty: &FieldType) -> Result<Value, String> {
    let read = || -> common::Result<Value> {
        let schema = Schema::build("cell", ["value"])
            .field(Field::new("value", ty.clone()))
            .finish()?;
        let row = serde_json::json!({ "value": json }).to_string();
        let rows = Format::Json.decode_rows(&schema, row.as_bytes(), &Limits::default())?;
        Ok(rows.into_iter().flatten().next().unwrap_or_default())
    };
    read().map_err(|error| {
        // The place inside the helper table means nothing to the reader.
        let message = error.message();
        let message = message
            .split_once("column `value`: ")
            .map_or(message, |(_, m)| m);
        message.to_owned()
    })
}

/// The beginning of a text that may be long.
fn shorten(text: &str) -> String {
    const CHARACTERS: usize = 60;
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, ty: &FieldType) -> Result<Option<Value>, String> {
        to_value(Cell::Text(text), ty, &["n/a".to_owned()])
    }

    #[test]
    fn text_cells_of_every_type() {
        let list = FieldType::List(Box::new(FieldType::Int));
        assert_eq!(read("", &FieldType::Int), Ok(None));
        assert_eq!(read("n/a", &FieldType::Text), Ok(None));
        assert_eq!(read(" 7 ", &FieldType::Int), Ok(Some(Value::from(7))));
        assert_eq!(read(" 7 ", &FieldType::Text), Ok(Some(Value::from(" 7 "))));
        assert_eq!(
            read("[1,2]", &list),
            Ok(Some(Value::from(vec![Value::from(1), Value::from(2)])))
        );
        assert_eq!(
            read("plain", &FieldType::Any),
            Ok(Some(Value::from("plain")))
        );
        assert_eq!(read("true", &FieldType::Any), Ok(Some(Value::from(true))));
        assert!(
            read("[1,\"x\"]", &list)
                .unwrap_err()
                .starts_with("expected list of int, found")
        );
        assert!(
            read("1;2", &list)
                .unwrap_err()
                .starts_with("expected list of int as JSON")
        );
    }

    #[test]
    fn json_cells_keep_their_types() {
        let read = |json: &str, ty: &FieldType| {
            to_value(Cell::Json(&serde_json::from_str(json).unwrap()), ty, &[])
        };
        assert_eq!(read("7.0", &FieldType::Int), Ok(Some(Value::from(7))));
        assert_eq!(read("null", &FieldType::Int), Ok(None));
        assert_eq!(
            read("\"7\"", &FieldType::Int),
            Err("expected int, found \"7\"".to_owned())
        );
        assert_eq!(
            read("\"2026-11-22\"", &FieldType::Date),
            Ok(Some(Value::Date(Date(20_779))))
        );
        assert_eq!(read("1", &FieldType::Float), Ok(Some(Value::from(1.0))));
    }
}
