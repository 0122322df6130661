//! A schema for the columns of a stranger's file.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use arrow_schema::{DataType, Field as ArrowField, Schema as ArrowSchema};

use super::super::json::decode_schema;
use super::types::{ARROW_EXTENSION_KEY, ARROW_UUID, EXTENSION_KEY, FORMAT_KEY, SCHEMA_KEY};
use crate::core::base::{Text, VectorElement};
use crate::core::schema::{Field, FieldType, Schema};
use crate::error::{Error, Result};
use crate::limits::Limits;

/// A schema for the table `table` that takes every column of an Arrow or Parquet file.
///
/// A file of our own carries its schema: that one is taken, under the new name, when `key` is empty or names
/// its key. Otherwise, columns become:
///
/// | Arrow type | column |
/// |---|---|
/// | Boolean | bool |
/// | Int and `UInt` of 8 to 64 bits | int; a value of 2^63 or more is refused when it is read |
/// | Float of 16, 32, 64 bits | float |
/// | `Utf8`, `LargeUtf8`, `Utf8View` | text |
/// | Binary, `LargeBinary`, `BinaryView`, `FixedSizeBinary` | bytes; `arrow.uuid` a uuid |
/// | Timestamp of any unit | timestamp; without a time zone it is read as UTC; finer than a microsecond is refused |
/// | `Date32`, `Date64` | date |
/// | `FixedSizeList` of `Float32`, `Float16`, `Int8` | vector of that dimension |
/// | List, `LargeList`, `FixedSizeList` | list |
/// | Map with text keys; Struct | map; map of any |
/// | Dictionary | what its values are |
/// | Null | any |
///
/// Columns of the key cannot be null, whatever the file says; others may be when the file says so.
///
/// ```
/// use arrow_schema::{DataType, Field, Schema};
/// use common::schema::FieldType;
/// use common::serialization::arrow::infer_schema;
///
/// let file = Schema::new(vec![
///     Field::new("name", DataType::LargeUtf8, true),
///     Field::new("id", DataType::UInt16, true),
/// ]);
/// let schema = infer_schema(&file, "people", &["id"])?;
/// assert_eq!(schema.fields[0].ty, FieldType::Int);
/// assert!(schema.fields[1].nullable);
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) naming a column of any other type: decimals, times
/// of day, durations, unions; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when a key column is not in the
/// file; [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when `key` is empty and the file names none.
pub fn infer_schema(file: &ArrowSchema, table: &str, key: &[&str]) -> Result<Schema> {
    if let Some(mut schema) = carried(file)
        && (key.is_empty()
            || schema
                .key_fields()
                .iter()
                .map(|f| f.name.as_str())
                .eq(key.iter().copied()))
    {
        schema.name = Text::new(table);
        schema.check()?;
        return Ok(schema);
    }
    if key.is_empty() {
        return Err(Error::invalid(format!(
            "the file does not say which columns are the key of `{table}`; name them"
        )));
    }
    let mut builder = Schema::build(table, key.iter().copied());
    for field in file.fields() {
        let name = field.name().as_str();
        let ty = field_type(field).map_err(|error| error.at(format!("column `{name}`")))?;
        let column = Field::new(name, ty);
        let nullable = field.is_nullable() || *field.data_type() == DataType::Null;
        builder = builder.field(if nullable && !key.contains(&name) {
            column.nullable()
        } else {
            column
        });
    }
    builder.finish()
}

/// The schema that one of our own files carries, if it still fits the columns.
fn carried(file: &ArrowSchema) -> Option<Schema> {
    let json = file.metadata().get(SCHEMA_KEY)?;
    let schema = decode_schema(json.as_bytes(), &Limits::default()).ok()?;
    let names = schema.fields.iter().map(|field| field.name.as_str());
    let fits = names.eq(file.fields().iter().map(|field| field.name().as_str()));
    fits.then_some(schema)
}

/// The type of a column whose cells are what this field's are.
pub(super) fn field_type(field: &ArrowField) -> Result<FieldType> {
    let note = |key: &str| field.metadata().get(key).map(String::as_str);
    Ok(match field.data_type() {
        DataType::Null => FieldType::Any,
        DataType::Boolean => FieldType::Bool,
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64 => FieldType::Int,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => FieldType::Float,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => FieldType::Text,
        DataType::FixedSizeBinary(16) if note(ARROW_EXTENSION_KEY) == Some(ARROW_UUID) => {
            FieldType::Uuid
        }
        DataType::Binary if note(FORMAT_KEY).is_some() => FieldType::Any,
        DataType::Binary if note(EXTENSION_KEY).is_some_and(|name| !name.is_empty()) => {
            FieldType::Extension(note(EXTENSION_KEY).unwrap_or_default().into())
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => FieldType::Bytes,
        DataType::Timestamp(..) => FieldType::Timestamp,
        DataType::Date32 | DataType::Date64 => FieldType::Date,
        DataType::FixedSizeList(item, dimension) => match (element(item.data_type()), dimension) {
            (Some(element), 1..) => FieldType::Vector {
                element,
                dimension: u32::try_from(*dimension).ok(),
            },
            _ => FieldType::List(Box::new(field_type(item)?)),
        },
        DataType::List(item) | DataType::LargeList(item) => {
            FieldType::List(Box::new(field_type(item)?))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(parts) => match &parts[..] {
                [key, value] if is_text(key.data_type()) => {
                    FieldType::Map(Box::new(field_type(value)?))
                }
                _ => return Err(unsupported(field.data_type())),
            },
            _ => return Err(unsupported(field.data_type())),
        },
        DataType::Struct(parts) => {
            parts.iter().try_for_each(|part| {
                let done = field_type(part).map(drop);
                done.map_err(|error| error.at(format!("field `{}`", part.name())))
            })?;
            FieldType::Map(Box::new(FieldType::Any))
        }
        DataType::Dictionary(_, values) => {
            field_type(&ArrowField::new("", values.as_ref().clone(), true))?
        }
        other => return Err(unsupported(other)),
    })
}

fn is_text(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

/// The element type of a vector whose elements have this Arrow type.
fn element(ty: &DataType) -> Option<VectorElement> {
    match ty {
        DataType::Float32 => Some(VectorElement::F32),
        DataType::Float16 => Some(VectorElement::F16),
        DataType::Int8 => Some(VectorElement::I8),
        _ => None,
    }
}

pub(super) fn unsupported(ty: &DataType) -> Error {
    let advice = match ty {
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => "cast it to float, int or text first",
        _ => "cast it to a type from the documentation's table first",
    };
    Error::unsupported(format!(
        "Arrow type {ty} has no exact counterpart among column types; {advice}"
    ))
}
