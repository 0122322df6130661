//! Arrays as values: those that we write, and those that other programs write.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Float16Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, OffsetSizeTrait, RecordBatch};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{DataType, Field as ArrowField, TimeUnit};
use half::f16;
use uuid::Uuid;

use super::super::format::Encoding as _;
use super::super::guard::{Guard, reserve};
use super::super::msgpack::MsgPack;
use super::super::rows as table;
use super::infer::{field_type, unsupported};
use super::types::{FORMAT_KEY, MSGPACK};
use crate::core::base::vector::check_dimension;
use crate::core::base::{Date, Extension, Map, Text, Timestamp, Value, Vector, VectorElement};
use crate::core::schema::{FieldType, Schema};
use crate::error::{Error, Result};

/// What goes wrong at one cell: its number within the array, and why.
type AtCell = (usize, Error);

/// Appends the rows of a batch to `found`; rows are numbered from its length on.
pub(in super::super) fn rows(
    schema: &Schema,
    batch: &RecordBatch,
    guard: &mut Guard<'_>,
    found: &mut Vec<Vec<Value>>,
) -> Result<()> {
    let first = found.len();
    let count = batch.num_rows();
    guard.rows(first.saturating_add(count))?;
    guard.spend(count.saturating_mul(48 + 24 * schema.fields.len()))?;
    let file = batch.schema();
    for field in file.fields() {
        schema.position_of(field.name())?;
    }
    let mut columns = Vec::with_capacity(schema.fields.len());
    for field in &schema.fields {
        let place = |row: usize, error| table::at(error, schema, first + row, &field.name);
        let cells = match file.fields().iter().position(|f| *f.name() == field.name) {
            None => {
                let value = table::missing(field).map_err(|error| place(0, error))?;
                vec![value; count]
            }
            Some(position) => {
                let arrow = file.field(position);
                let array = batch.column(position);
                column(&field.ty, arrow, array, guard).map_err(|(row, error)| place(row, error))?
            }
        };
        columns.push(cells.into_iter());
    }
    for row in first..first + count {
        let values: Vec<Value> = columns.iter_mut().filter_map(Iterator::next).collect();
        table::check(schema, row, &values)?;
        found.push(values);
    }
    Ok(())
}

/// The cells of an array for a column, or for the elements of one, of type `ty`.
fn column(
    ty: &FieldType,
    field: &ArrowField,
    array: &ArrayRef,
    guard: &mut Guard<'_>,
) -> Result<Vec<Value>, AtCell> {
    let whole = |error| (0, error);
    if let DataType::Dictionary(..) = array.data_type() {
        return dictionary(ty, array, guard);
    }
    guard.spend(array.len().saturating_mul(24)).map_err(whole)?;
    let mut cells = Cells {
        array,
        found: Vec::with_capacity(reserve::<Value>(array.len())),
    };
    if is_msgpack(field) {
        let bytes = array.as_binary::<i32>();
        let limits = guard.limits();
        cells.each(|i| {
            guard.bytes(bytes.value(i).len())?;
            let value = MsgPack.decode_value(bytes.value(i), limits)?;
            // What the value takes beyond its bytes: as much again at most for all but tiny ones.
            guard.spend(value.heap_bytes())?;
            Ok(value)
        })?;
        return Ok(cells.found);
    }
    match (ty, array.data_type()) {
        (FieldType::Any, DataType::Null) => cells.each(|_| Ok(Value::Null))?,
        (FieldType::Any, _) => {
            let natural = field_type(field).map_err(whole)?;
            if natural == FieldType::Any {
                return Err(whole(unsupported(array.data_type())));
            }
            return column(&natural, field, array, guard);
        }
        (FieldType::Bool, DataType::Boolean) => {
            let bools = array.as_boolean();
            cells.each(|i| Ok(Value::Bool(bools.value(i))))?;
        }
        (FieldType::Int, _) => ints(&mut cells)?,
        (FieldType::Float, DataType::Float64) => {
            cells.primitive::<Float64Type>(|float| Ok(Value::Float(float)))?;
        }
        (FieldType::Float, DataType::Float32) => {
            cells.primitive::<Float32Type>(|float| Ok(Value::Float(float.into())))?;
        }
        (FieldType::Float, DataType::Float16) => {
            cells.primitive::<Float16Type>(|float| Ok(Value::Float(float.to_f64())))?;
        }
        (FieldType::Text, _) => texts(&mut cells, guard)?,
        (FieldType::Bytes | FieldType::Extension(_) | FieldType::Uuid, _) => {
            bytes(ty, &mut cells, guard)?;
        }
        (
            FieldType::Vector {
                element: VectorElement::Binary,
                dimension: Some(dimension),
            },
            _,
        ) => {
            binary_vectors(*dimension, &mut cells, guard)?;
        }
        (FieldType::Timestamp, DataType::Timestamp(unit, _)) => timestamps(*unit, &mut cells)?,
        (FieldType::Date, DataType::Date32) => {
            cells.primitive::<Date32Type>(|days| Ok(Value::Date(Date(days))))?;
        }
        (FieldType::Date, DataType::Date64) => cells.primitive::<Date64Type>(|millis| {
            let days = millis.div_euclid(86_400_000);
            match (i32::try_from(days), millis.rem_euclid(86_400_000)) {
                (Ok(days), 0) => Ok(Value::Date(Date(days))),
                _ => Err(Error::invalid(format!("{millis} ms is no whole day"))),
            }
        })?,
        (FieldType::List(inner), _) => lists(inner, &mut cells, guard)?,
        (FieldType::Vector { element, .. }, _) => vectors(*element, &mut cells, guard)?,
        (FieldType::Map(inner), DataType::Map(entries, _)) => {
            maps(inner, entries, &mut cells, guard)?;
        }
        (FieldType::Map(inner), DataType::Struct(_)) => structs(inner, &mut cells, guard)?,
        _ => return Err(cells.mismatch(ty)),
    }
    Ok(cells.found)
}

fn is_msgpack(field: &ArrowField) -> bool {
    *field.data_type() == DataType::Binary
        && field.metadata().get(FORMAT_KEY).map(String::as_str) == Some(MSGPACK)
}

/// An array being read, cell by cell.
struct Cells<'a> {
    array: &'a ArrayRef,
    found: Vec<Value>,
}

impl Cells<'_> {
    /// Reads every cell, null or by `read`.
    fn each(&mut self, mut read: impl FnMut(usize) -> Result<Value>) -> Result<(), AtCell> {
        for i in 0..self.array.len() {
            let value = if self.array.is_null(i) {
                Value::Null
            } else {
                read(i).map_err(|error| (i, error))?
            };
            self.found.push(value);
        }
        Ok(())
    }

    fn primitive<T: ArrowPrimitiveType>(
        &mut self,
        read: impl Fn(T::Native) -> Result<Value>,
    ) -> Result<(), AtCell> {
        let values = self.array.as_primitive::<T>();
        self.each(|i| read(values.value(i)))
    }

    #[cold]
    fn mismatch(&self, ty: &FieldType) -> AtCell {
        let found = self.array.data_type();
        let error = Error::invalid(format!("Arrow type {found} does not fit a column of {ty}"));
        (0, error)
    }
}

fn ints(cells: &mut Cells<'_>) -> Result<(), AtCell> {
    macro_rules! widen {
        ($ty:ty) => {
            cells.primitive::<$ty>(|int| Ok(Value::Int(int.into())))
        };
    }
    match cells.array.data_type() {
        DataType::Int64 => widen!(Int64Type),
        DataType::Int32 => widen!(Int32Type),
        DataType::Int16 => widen!(Int16Type),
        DataType::Int8 => widen!(Int8Type),
        DataType::UInt32 => widen!(UInt32Type),
        DataType::UInt16 => widen!(UInt16Type),
        DataType::UInt8 => widen!(UInt8Type),
        DataType::UInt64 => cells.primitive::<UInt64Type>(|int| {
            i64::try_from(int).map(Value::Int).map_err(|_| {
                Error::invalid(format!("integer {int} does not fit 64 bits with sign"))
            })
        }),
        _ => Err(cells.mismatch(&FieldType::Int)),
    }
}

fn timestamps(unit: TimeUnit, cells: &mut Cells<'_>) -> Result<(), AtCell> {
    let scaled = |count: i64, micros: i64| {
        count
            .checked_mul(micros)
            .map(|micros| Value::Timestamp(Timestamp(micros)))
            .ok_or_else(|| Error::invalid(format!("time {count} does not fit microseconds")))
    };
    match unit {
        TimeUnit::Second => cells.primitive::<TimestampSecondType>(|n| scaled(n, 1_000_000)),
        TimeUnit::Millisecond => cells.primitive::<TimestampMillisecondType>(|n| scaled(n, 1_000)),
        TimeUnit::Microsecond => cells.primitive::<TimestampMicrosecondType>(|n| scaled(n, 1)),
        TimeUnit::Nanosecond => cells.primitive::<TimestampNanosecondType>(|nanos| {
            if nanos % 1_000 == 0 {
                scaled(nanos / 1_000, 1)
            } else {
                Err(Error::invalid(format!(
                    "time {nanos} ns is finer than a microsecond; round it first"
                )))
            }
        }),
    }
}

fn texts(cells: &mut Cells<'_>, guard: &mut Guard<'_>) -> Result<(), AtCell> {
    let mut read = |text: &str| {
        guard.bytes(text.len())?;
        Ok(Value::from(text))
    };
    match cells.array.data_type() {
        DataType::Utf8 => {
            let array = cells.array.as_string::<i32>();
            cells.each(|i| read(array.value(i)))
        }
        DataType::LargeUtf8 => {
            let array = cells.array.as_string::<i64>();
            cells.each(|i| read(array.value(i)))
        }
        DataType::Utf8View => {
            let array = cells.array.as_string_view();
            cells.each(|i| read(array.value(i)))
        }
        _ => Err(cells.mismatch(&FieldType::Text)),
    }
}

fn bytes(ty: &FieldType, cells: &mut Cells<'_>, guard: &mut Guard<'_>) -> Result<(), AtCell> {
    let mut read = |bytes: &[u8]| {
        guard.bytes(bytes.len())?;
        Ok(match ty {
            FieldType::Uuid => Value::Uuid(Uuid::from_slice(bytes).map_err(|_| {
                Error::invalid(format!("a uuid has 16 bytes, these are {}", bytes.len()))
            })?),
            FieldType::Extension(name) => Value::from(Extension {
                name: name.clone(),
                bytes: bytes.into(),
            }),
            _ => Value::from(bytes),
        })
    };
    each_bytes(cells, &mut read).unwrap_or_else(|| Err(cells.mismatch(ty)))
}

/// Reads cells of any binary layout; `None` when the array has none.
fn each_bytes(
    cells: &mut Cells<'_>,
    read: &mut dyn FnMut(&[u8]) -> Result<Value>,
) -> Option<Result<(), AtCell>> {
    Some(match cells.array.data_type() {
        DataType::Binary => {
            let array = cells.array.as_binary::<i32>();
            cells.each(|i| read(array.value(i)))
        }
        DataType::LargeBinary => {
            let array = cells.array.as_binary::<i64>();
            cells.each(|i| read(array.value(i)))
        }
        DataType::BinaryView => {
            let array = cells.array.as_binary_view();
            cells.each(|i| read(array.value(i)))
        }
        DataType::FixedSizeBinary(_) => {
            let array = cells.array.as_fixed_size_binary();
            cells.each(|i| read(array.value(i)))
        }
        _ => return None,
    })
}

fn binary_vectors(
    dimension: u32,
    cells: &mut Cells<'_>,
    guard: &mut Guard<'_>,
) -> Result<(), AtCell> {
    let ty = FieldType::Vector {
        element: VectorElement::Binary,
        dimension: Some(dimension),
    };
    let mut read = |bits: &[u8]| {
        guard.bytes(bits.len())?;
        Vector::binary(dimension, bits).map(Value::from)
    };
    each_bytes(cells, &mut read).unwrap_or_else(|| Err(cells.mismatch(&ty)))
}

/// Where the elements of each list begin and end among all elements.
struct Spans<'a> {
    item: &'a ArrowField,
    items: &'a ArrayRef,
    bounds: Vec<(usize, usize)>,
}

fn spans(array: &ArrayRef) -> Option<Spans<'_>> {
    fn of<O: OffsetSizeTrait>(array: &ArrayRef) -> Vec<(usize, usize)> {
        let offsets = array.as_list::<O>().offsets().iter();
        let offsets: Vec<usize> = offsets.map(|offset| offset.as_usize()).collect();
        offsets
            .iter()
            .copied()
            .zip(offsets.iter().copied().skip(1))
            .collect()
    }
    Some(match array.data_type() {
        DataType::List(item) => Spans {
            item,
            items: array.as_list::<i32>().values(),
            bounds: of::<i32>(array),
        },
        DataType::LargeList(item) => Spans {
            item,
            items: array.as_list::<i64>().values(),
            bounds: of::<i64>(array),
        },
        DataType::FixedSizeList(item, size) => {
            let size = usize::try_from(*size).ok()?;
            let starts = (0..array.len()).map(|i| (i * size, (i + 1) * size));
            Spans {
                item,
                items: array.as_fixed_size_list().values(),
                bounds: starts.collect(),
            }
        }
        _ => return None,
    })
}

/// Says in which list an element is.
fn in_list(bounds: &[(usize, usize)]) -> impl Fn(AtCell) -> AtCell + '_ {
    |(element, error)| {
        let list = bounds.partition_point(|(_, end)| *end <= element);
        (list.min(bounds.len().saturating_sub(1)), error)
    }
}

fn lists(inner: &FieldType, cells: &mut Cells<'_>, guard: &mut Guard<'_>) -> Result<(), AtCell> {
    let Some(Spans {
        item,
        items,
        bounds,
    }) = spans(cells.array)
    else {
        return Err(cells.mismatch(&FieldType::List(Box::new(inner.clone()))));
    };
    let values = column(inner, item, items, guard).map_err(in_list(&bounds))?;
    cells.each(|i| {
        let (start, end) = bounds.get(i).copied().unwrap_or_default();
        let list = values.get(start..end).unwrap_or_default();
        guard.elements(list.len(), 24)?;
        Ok(Value::List(list.into()))
    })
}

fn vectors(
    element: VectorElement,
    cells: &mut Cells<'_>,
    guard: &mut Guard<'_>,
) -> Result<(), AtCell> {
    let ty = FieldType::Vector {
        element,
        dimension: None,
    };
    let Some(Spans { items, bounds, .. }) = spans(cells.array) else {
        return Err(cells.mismatch(&ty));
    };
    if items.null_count() > 0 {
        // Elements under a null cell are filler; any other null has no number to stand for it.
        let bad = (0..cells.array.len()).find(|i| {
            let (start, end) = bounds.get(*i).copied().unwrap_or_default();
            !cells.array.is_null(*i) && (start..end).any(|element| items.is_null(element))
        });
        if let Some(row) = bad {
            return Err((row, Error::invalid("an element of the vector is null")));
        }
    }
    let mut read = |make: &dyn Fn(usize, usize) -> Result<Option<Vector>>| {
        cells.each(|i| {
            let (start, end) = bounds.get(i).copied().unwrap_or_default();
            guard.elements(end - start, 4)?;
            check_dimension(end - start)?;
            let vector = make(start, end)?;
            vector
                .map(Value::from)
                .ok_or_else(|| Error::corrupt("elements of the vector are missing"))
        })
    };
    match (element, items.data_type()) {
        (VectorElement::F32, DataType::Float32) => {
            let values: &[f32] = items.as_primitive::<Float32Type>().values();
            read(&|start, end| Ok(values.get(start..end).map(|v| Vector::F32(v.into()))))
        }
        (VectorElement::F32, DataType::Float64) => {
            let values: &[f64] = items.as_primitive::<Float64Type>().values();
            read(&|start, end| {
                let part = values.get(start..end).unwrap_or_default();
                let narrow = part.iter().map(|wide| exact_f32(*wide));
                narrow.collect::<Result<_>>().map(|v| Some(Vector::F32(v)))
            })
        }
        (VectorElement::F16, DataType::Float16) => {
            let values: &[f16] = items.as_primitive::<Float16Type>().values();
            read(&|start, end| Ok(values.get(start..end).map(|v| Vector::F16(v.into()))))
        }
        (VectorElement::I8, DataType::Int8) => {
            let values: &[i8] = items.as_primitive::<Int8Type>().values();
            read(&|start, end| Ok(values.get(start..end).map(|v| Vector::I8(v.into()))))
        }
        _ => Err(cells.mismatch(&ty)),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "checked by casting back")]
fn exact_f32(wide: f64) -> Result<f32> {
    let narrow = wide as f32;
    if f64::from(narrow).to_bits() == wide.to_bits() || wide.is_nan() {
        Ok(narrow)
    } else {
        Err(Error::invalid(format!(
            "{wide} is not exactly a 32-bit float; round the vectors first"
        )))
    }
}

fn maps(
    inner: &FieldType,
    entries: &ArrowField,
    cells: &mut Cells<'_>,
    guard: &mut Guard<'_>,
) -> Result<(), AtCell> {
    let array = cells.array.as_map();
    let offsets = array.offsets().iter().map(|offset| offset.as_usize());
    let bounds: Vec<(usize, usize)> = offsets.clone().zip(offsets.skip(1)).collect();
    let DataType::Struct(parts) = entries.data_type() else {
        return Err(cells.mismatch(&FieldType::Map(Box::new(inner.clone()))));
    };
    let [key, value] = &parts[..] else {
        return Err(cells.mismatch(&FieldType::Map(Box::new(inner.clone()))));
    };
    let keys = column(&FieldType::Text, key, array.keys(), guard).map_err(in_list(&bounds))?;
    let values = column(inner, value, array.values(), guard).map_err(in_list(&bounds))?;
    cells.each(|i| {
        let (start, end) = bounds.get(i).copied().unwrap_or_default();
        guard.elements(end - start, 64)?;
        guard.spend(640)?;
        let mut map = Map::new();
        let pairs = keys.get(start..end).into_iter().flatten();
        for (key, value) in pairs.zip(values.get(start..end).into_iter().flatten()) {
            let key = key
                .as_text()
                .ok_or_else(|| Error::invalid("a key of the map is null"))?;
            if map.insert(Text::new(key), value.clone()).is_some() {
                return Err(Error::invalid(format!(
                    "key `{key}` of the map stands twice"
                )));
            }
        }
        Ok(Value::from(map))
    })
}

/// Structs as maps from the names of their fields.
fn structs(inner: &FieldType, cells: &mut Cells<'_>, guard: &mut Guard<'_>) -> Result<(), AtCell> {
    let array = cells.array.as_struct();
    let mut columns = Vec::with_capacity(array.num_columns());
    for (field, part) in array.fields().iter().zip(array.columns()) {
        let values = column(inner, field, part, guard)
            .map_err(|(row, error)| (row, error.at(format!("field `{}`", field.name()))))?;
        columns.push((Text::new(field.name()), values));
    }
    cells.each(|i| {
        guard.elements(columns.len(), 64)?;
        guard.spend(640)?;
        let mut map = Map::new();
        for (name, values) in &columns {
            let value = values.get(i).cloned().unwrap_or_default();
            if map.insert(name.clone(), value).is_some() {
                return Err(Error::invalid(format!(
                    "field `{name}` of the struct stands twice"
                )));
            }
        }
        Ok(Value::from(map))
    })
}

/// The values of a dictionary once, then each cell by its key.
fn dictionary(
    ty: &FieldType,
    array: &ArrayRef,
    guard: &mut Guard<'_>,
) -> Result<Vec<Value>, AtCell> {
    let dictionary = array.as_any_dictionary();
    let field = ArrowField::new("", dictionary.values().data_type().clone(), true);
    let values = column(ty, &field, dictionary.values(), guard)?;
    guard
        .spend(array.len().saturating_mul(24))
        .map_err(|error| (0, error))?;
    let keys = dictionary.normalized_keys();
    let cells = keys.iter().enumerate().map(|(i, key)| {
        if array.is_null(i) {
            return Ok(Value::Null);
        }
        // Long texts and lists are shared, so a repeated value costs no more than its 24 bytes.
        let value = values.get(*key).cloned();
        value.ok_or_else(|| (i, Error::corrupt("a key lies beyond its dictionary")))
    });
    cells.collect()
}
