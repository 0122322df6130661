//! Records as arrays: one column at a time, lists by way of their elements laid end to end.

#![expect(
    clippy::from_iter_instead_of_collect,
    reason = "the type of the array is the point of the line"
)]

use std::sync::Arc;

use arrow_array::types::Float16Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, FixedSizeBinaryArray, FixedSizeListArray,
    Float32Array, Float64Array, Int8Array, Int64Array, ListArray, MapArray, PrimitiveArray,
    RecordBatch, RecordBatchOptions, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{Field as ArrowField, Schema as ArrowSchema};
use half::f16;

use super::super::format::Encoding as _;
use super::super::msgpack::MsgPack;
use super::super::rows;
use super::types::{as_msgpack, element_type, entries_field, item_field};
use super::{failed, types};
use crate::core::base::{Map, Record, Text, Value, Vector, VectorElement};
use crate::core::schema::{FieldType, Schema};
use crate::error::{Error, Result};

/// One batch; `first` is the number of its first row, for messages.
pub(in super::super) fn batch(
    schema: &Schema,
    arrow: &Arc<ArrowSchema>,
    first: usize,
    records: &[Record],
) -> Result<RecordBatch> {
    for (row, record) in records.iter().enumerate() {
        rows::check(schema, first + row, record)?;
    }
    let columns = schema.fields.iter().enumerate().map(|(position, field)| {
        let cells: Vec<&Value> = records
            .iter()
            .filter_map(|record| record.get(position))
            .collect();
        array(&field.ty, &cells)
            .map_err(|error| error.at(format!("column `{}` of `{}`", field.name, schema.name)))
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
    RecordBatch::try_new_with_options(arrow.clone(), columns, &options).map_err(failed)
}

/// Arrow counts bytes and elements of a column in 31 bits.
fn check_offsets(total: usize) -> Result<()> {
    if i32::try_from(total).is_ok() {
        return Ok(());
    }
    Err(Error::limit_exceeded(format!(
        "{total} bytes or elements are more than one batch of a column holds ({}); write fewer rows at once",
        i32::MAX
    )))
}

fn nulls(cells: &[&Value]) -> Option<NullBuffer> {
    let valid = cells.iter().map(|cell| !cell.is_null());
    Some(NullBuffer::from_iter(valid)).filter(|nulls| nulls.null_count() > 0)
}

/// One canonical NaN, as in every format.
fn canonical(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}

fn canonical32(value: f32) -> f32 {
    if value.is_nan() { f32::NAN } else { value }
}

fn binary<'a>(cells: impl Iterator<Item = Option<&'a [u8]>> + Clone) -> Result<ArrayRef> {
    check_offsets(cells.clone().flatten().map(<[u8]>::len).sum())?;
    Ok(Arc::new(BinaryArray::from_iter(cells)))
}

/// Cells that [`rows::check`] found to be null or of the type.
fn array(ty: &FieldType, cells: &[&Value]) -> Result<ArrayRef> {
    if as_msgpack(ty) {
        return msgpack(cells);
    }
    let each = cells.iter();
    Ok(match ty {
        FieldType::Bool => Arc::new(BooleanArray::from_iter(each.map(|cell| cell.as_bool()))),
        FieldType::Int => Arc::new(Int64Array::from_iter(each.map(|cell| cell.as_int()))),
        FieldType::Float => Arc::new(Float64Array::from_iter(
            each.map(|cell| cell.as_float().map(canonical)),
        )),
        FieldType::Text => {
            check_offsets(each.clone().filter_map(|c| c.as_text()).map(str::len).sum())?;
            Arc::new(StringArray::from_iter(each.map(|cell| cell.as_text())))
        }
        FieldType::Bytes | FieldType::Any => binary(each.map(|cell| cell.as_bytes()))?,
        FieldType::Extension(_) => binary(each.map(|cell| match cell {
            Value::Extension(ext) => Some(&*ext.bytes),
            _ => None,
        }))?,
        FieldType::Timestamp => {
            let micros = each.map(|cell| cell.as_timestamp().map(|timestamp| timestamp.0));
            Arc::new(TimestampMicrosecondArray::from_iter(micros).with_timezone("UTC"))
        }
        FieldType::Date => Arc::new(Date32Array::from_iter(each.map(|cell| match cell {
            Value::Date(date) => Some(date.0),
            _ => None,
        }))),
        FieldType::Uuid => fixed(
            16,
            each.map(|cell| match cell {
                Value::Uuid(uuid) => Some(uuid.as_bytes().to_vec()),
                _ => None,
            }),
        )?,
        FieldType::List(inner) => {
            let lists = each.clone().map(|cell| cell.as_list().unwrap_or_default());
            let offsets = offsets(lists.clone().map(<[Value]>::len))?;
            let items: Vec<&Value> = lists.flatten().collect();
            let items = array(inner, &items)?;
            let item = item_field("item", inner)?;
            Arc::new(ListArray::try_new(item, offsets, items, nulls(cells)).map_err(failed)?)
        }
        FieldType::Map(inner) => map(inner, cells)?,
        FieldType::Vector { element, dimension } => vectors(*element, *dimension, cells)?,
    })
}

fn offsets(lengths: impl Iterator<Item = usize> + Clone) -> Result<OffsetBuffer<i32>> {
    check_offsets(lengths.clone().sum())?;
    Ok(OffsetBuffer::from_lengths(lengths))
}

fn fixed(size: i32, cells: impl Iterator<Item = Option<Vec<u8>>>) -> Result<ArrayRef> {
    let array = FixedSizeBinaryArray::try_from_sparse_iter_with_size(cells, size);
    Ok(Arc::new(array.map_err(failed)?))
}

fn msgpack(cells: &[&Value]) -> Result<ArrayRef> {
    let mut bytes = Vec::new();
    let mut ends = Vec::with_capacity(cells.len());
    for cell in cells {
        if !cell.is_null() {
            MsgPack.encode_value(cell, &mut bytes)?;
        }
        ends.push(bytes.len());
    }
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let parts = starts.zip(&ends).zip(cells);
    binary(parts.map(|((start, end), cell)| match cell {
        Value::Null => None,
        _ => bytes.get(start..*end),
    }))
}

fn map(inner: &FieldType, cells: &[&Value]) -> Result<ArrayRef> {
    let maps = || cells.iter().map(|cell| cell.as_map());
    let offsets = offsets(maps().map(|map| map.map_or(0, Map::len)))?;
    let keys = maps().flatten().flat_map(|map| map.keys());
    check_offsets(keys.clone().map(Text::len).sum())?;
    let keys = StringArray::from_iter_values(keys.map(Text::as_str));
    let values: Vec<&Value> = maps().flatten().flat_map(|map| map.values()).collect();
    let values = array(inner, &values)?;
    let field = entries_field(inner)?;
    let arrow_schema::DataType::Struct(parts) = field.data_type() else {
        return Err(Error::invalid("entries of a map are a struct"));
    };
    let entries = StructArray::try_new(parts.clone(), vec![Arc::new(keys), values], None);
    let entries = entries.map_err(failed)?;
    let array = MapArray::try_new(field, offsets, entries, nulls(cells), false);
    Ok(Arc::new(array.map_err(failed)?))
}

fn vectors(element: VectorElement, dimension: Option<u32>, cells: &[&Value]) -> Result<ArrayRef> {
    let arrow = types::arrow_field("", &FieldType::Vector { element, dimension }, true)?;
    if let arrow_schema::DataType::FixedSizeBinary(size) = arrow.data_type() {
        return fixed(
            *size,
            cells.iter().map(|cell| match cell.as_vector() {
                Some(Vector::Binary { bits, .. }) => Some(bits.to_vec()),
                _ => None,
            }),
        );
    }
    let vectors = cells.iter().map(|cell| cell.as_vector());
    // A null cell of a fixed-size list still has its elements.
    let filler = dimension.unwrap_or_default() as usize;
    let length = |vector: Option<&Vector>| vector.map_or(filler, Vector::dimension);
    check_offsets(vectors.clone().map(length).sum())?;
    let items: ArrayRef = match element {
        VectorElement::F16 => {
            let mut items: Vec<f16> = Vec::new();
            for vector in vectors.clone() {
                match vector {
                    Some(Vector::F16(values)) => items.extend(
                        values
                            .iter()
                            .map(|v| if v.is_nan() { f16::NAN } else { *v }),
                    ),
                    _ => items.resize(items.len() + filler, f16::ZERO),
                }
            }
            Arc::new(PrimitiveArray::<Float16Type>::from_iter_values(items))
        }
        VectorElement::I8 => {
            let mut items: Vec<i8> = Vec::new();
            for vector in vectors.clone() {
                match vector {
                    Some(Vector::I8(values)) => items.extend_from_slice(values),
                    _ => items.resize(items.len() + filler, 0),
                }
            }
            Arc::new(Int8Array::from_iter_values(items))
        }
        VectorElement::F32 | VectorElement::Binary | VectorElement::Sparse => {
            let mut items: Vec<f32> = Vec::new();
            for vector in vectors.clone() {
                match vector {
                    Some(Vector::F32(values)) => {
                        items.extend(values.iter().map(|value| canonical32(*value)));
                    }
                    _ => items.resize(items.len() + filler, 0.0),
                }
            }
            Arc::new(Float32Array::from_iter_values(items))
        }
    };
    let field = Arc::new(ArrowField::new("item", element_type(element), false));
    Ok(match arrow.data_type() {
        arrow_schema::DataType::FixedSizeList(_, size) => Arc::new(
            FixedSizeListArray::try_new(field, *size, items, nulls(cells)).map_err(failed)?,
        ),
        _ => {
            let offsets = offsets(vectors.map(length))?;
            Arc::new(ListArray::try_new(field, offsets, items, nulls(cells)).map_err(failed)?)
        }
    })
}
