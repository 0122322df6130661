//! Columns as Arrow types.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, FieldRef, Schema as ArrowSchema, TimeUnit};

use super::super::json::encode_schema;
use crate::core::base::VectorElement;
use crate::core::schema::{FieldType, Schema};
use crate::error::{Error, Result};

/// Key of a schema's metadata: the schema as JSON.
pub(super) const SCHEMA_KEY: &str = "tandemdb.schema";
/// Key of a field's metadata: how the bytes of a cell hold any value; `msgpack` is the only one.
pub(super) const FORMAT_KEY: &str = "tandemdb.format";
pub(super) const MSGPACK: &str = "msgpack";
/// Key of a field's metadata: name of the application's type.
pub(super) const EXTENSION_KEY: &str = "tandemdb.extension";
/// Arrow's own key for the name of a type that stands on another, and its name for uuids.
pub(super) const ARROW_EXTENSION_KEY: &str = "ARROW:extension:name";
pub(super) const ARROW_UUID: &str = "arrow.uuid";

/// The Arrow schema of a table; the table's own schema is in its metadata.
///
/// # Errors
/// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for a vector dimension beyond 2^31.
pub fn arrow_schema(schema: &Schema) -> Result<ArrowSchema> {
    let fields = schema.fields.iter().map(|field| {
        let arrow = arrow_field(&field.name, &field.ty, field.nullable);
        arrow.map_err(|error| error.at(format!("column `{}` of `{}`", field.name, schema.name)))
    });
    let fields = fields.collect::<Result<Vec<ArrowField>>>()?;
    let json = String::from_utf8(encode_schema(schema)?).unwrap_or_default();
    let metadata = HashMap::from([(SCHEMA_KEY.to_owned(), json)]);
    Ok(ArrowSchema::new_with_metadata(fields, metadata))
}

/// A column, or the elements of one.
pub(super) fn arrow_field(name: &str, ty: &FieldType, nullable: bool) -> Result<ArrowField> {
    let field = ArrowField::new(name, data_type(ty)?, nullable);
    let note = |key: &str, value: &str| HashMap::from([(key.to_owned(), value.to_owned())]);
    Ok(match ty {
        FieldType::Uuid => field.with_metadata(note(ARROW_EXTENSION_KEY, ARROW_UUID)),
        FieldType::Extension(name) => field.with_metadata(note(EXTENSION_KEY, name)),
        ty if as_msgpack(ty) => field.with_metadata(note(FORMAT_KEY, MSGPACK)),
        _ => field,
    })
}

/// Whether cells of this type have no Arrow type of their own.
pub(super) fn as_msgpack(ty: &FieldType) -> bool {
    match ty {
        FieldType::Any => true,
        FieldType::Vector { element, dimension } => match (element, dimension) {
            (VectorElement::Sparse, _) | (_, Some(0)) => true,
            (VectorElement::Binary, dimension) => dimension.is_none(),
            _ => false,
        },
        _ => false,
    }
}

/// The elements of a list or map, which are never null unless they may be anything.
pub(super) fn item_field(name: &str, ty: &FieldType) -> Result<FieldRef> {
    arrow_field(name, ty, *ty == FieldType::Any).map(Arc::new)
}

/// The entries of a map.
pub(super) fn entries_field(value: &FieldType) -> Result<FieldRef> {
    let key = ArrowField::new("keys", DataType::Utf8, false);
    let fields = vec![Arc::new(key), item_field("values", value)?];
    Ok(Arc::new(ArrowField::new(
        "entries",
        DataType::Struct(fields.into()),
        false,
    )))
}

fn size(len: u32) -> Result<i32> {
    i32::try_from(len).map_err(|_| {
        Error::limit_exceeded(format!(
            "Arrow holds dimensions up to {}, not {len}",
            i32::MAX
        ))
    })
}

fn data_type(ty: &FieldType) -> Result<DataType> {
    Ok(match ty {
        ty if as_msgpack(ty) => DataType::Binary,
        FieldType::Bool => DataType::Boolean,
        FieldType::Int => DataType::Int64,
        FieldType::Float => DataType::Float64,
        FieldType::Text => DataType::Utf8,
        FieldType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        FieldType::Date => DataType::Date32,
        FieldType::Uuid => DataType::FixedSizeBinary(16),
        FieldType::List(inner) => DataType::List(item_field("item", inner)?),
        FieldType::Map(inner) => DataType::Map(entries_field(inner)?, false),
        FieldType::Vector {
            element: VectorElement::Binary,
            dimension: Some(dimension),
        } => DataType::FixedSizeBinary(size(dimension.div_ceil(8))?),
        FieldType::Vector { element, dimension } => {
            let item = Arc::new(ArrowField::new("item", element_type(*element), false));
            match dimension {
                Some(dimension) => DataType::FixedSizeList(item, size(*dimension)?),
                None => DataType::List(item),
            }
        }
        FieldType::Bytes | FieldType::Extension(_) | FieldType::Any => DataType::Binary,
    })
}

/// The Arrow type of the elements of a dense vector.
pub(super) fn element_type(element: VectorElement) -> DataType {
    match element {
        VectorElement::F16 => DataType::Float16,
        VectorElement::I8 => DataType::Int8,
        VectorElement::F32 | VectorElement::Binary | VectorElement::Sparse => DataType::Float32,
    }
}
