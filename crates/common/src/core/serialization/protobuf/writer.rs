//! Writing Protocol Buffers.

use prost::encoding::{WireType, encode_key, encode_varint};

use super::field;
use crate::core::base::{Value, Vector};
use crate::error::{Error, Result};

fn varint(number: u32, value: u64, out: &mut Vec<u8>) {
    encode_key(number, WireType::Varint, out);
    encode_varint(value, out);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Appends a field of bytes or text.
pub(super) fn bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends a field of bytes, text or a packed list, unless it is empty.
fn bytes_unless_empty(number: u32, part: &[u8], out: &mut Vec<u8>) {
    if !part.is_empty() {
        bytes(number, part, out);
    }
}

/// Appends a field whose contents `write` appends; the length in front is put right afterwards.
fn nested(
    number: u32,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    encode_key(number, WireType::LengthDelimited, out);
    let place = out.len();
    out.push(0);
    write(out)?;
    let len = out.len() - place - 1;
    let mut varint = Vec::with_capacity(10);
    encode_varint(len as u64, &mut varint);
    // Most messages are shorter than 128 bytes, and then nothing moves.
    out.splice(place..=place, varint);
    Ok(())
}

/// Appends one row as a field of `Rows`.
pub(super) fn row(values: &[Value], out: &mut Vec<u8>) -> Result<()> {
    nested(field::ROWS, out, |out| items(values, out))
}

fn items(values: &[Value], out: &mut Vec<u8>) -> Result<()> {
    values
        .iter()
        .try_for_each(|item| nested(field::ITEMS, out, |out| value(item, out)))
}

/// Appends the fields of a `Value`.
pub(super) fn value(found: &Value, out: &mut Vec<u8>) -> Result<()> {
    match found {
        Value::Null => varint(field::NULL, 0, out),
        Value::Bool(bool) => varint(field::BOOL, u64::from(*bool), out),
        Value::Int(int) => varint(field::INT, zigzag(*int), out),
        Value::Float(float) => {
            let float = if float.is_nan() { f64::NAN } else { *float };
            encode_key(field::FLOAT, WireType::SixtyFourBit, out);
            out.extend_from_slice(&float.to_le_bytes());
        }
        Value::Text(text) => bytes(field::TEXT, text.as_bytes(), out),
        Value::Bytes(part) => bytes(field::BYTES, part, out),
        Value::Timestamp(timestamp) => {
            encode_key(field::TIMESTAMP, WireType::SixtyFourBit, out);
            out.extend_from_slice(&timestamp.0.to_le_bytes());
        }
        Value::Date(date) => varint(field::DATE, zigzag(date.0.into()), out),
        Value::Uuid(uuid) => bytes(field::UUID, uuid.as_bytes(), out),
        Value::List(list) => nested(field::LIST, out, |out| items(list, out))?,
        Value::Map(map) => nested(field::MAP, out, |out| {
            map.iter().try_for_each(|(key, item)| {
                nested(field::ITEMS, out, |out| {
                    bytes_unless_empty(field::ENTRY_KEY, key.as_bytes(), out);
                    nested(field::ENTRY_VALUE, out, |out| value(item, out))
                })
            })
        })?,
        Value::Vector(found) => nested(field::VECTOR, out, |out| vector(found, out))?,
        Value::Extension(found) => {
            if found.name.is_empty() {
                return Err(Error::invalid("an extension value has a type name"));
            }
            nested(field::EXTENSION, out, |out| {
                bytes(field::EXTENSION_NAME, found.name.as_bytes(), out);
                bytes_unless_empty(field::EXTENSION_DATA, &found.bytes, out);
                Ok(())
            })?;
        }
    }
    Ok(())
}

fn vector(vector: &Vector, out: &mut Vec<u8>) -> Result<()> {
    match vector {
        Vector::F32(values) => nested(field::F32, out, |out| {
            floats(field::ITEMS, values, out);
            Ok(())
        }),
        Vector::F16(values) => {
            let canonical = values.iter().flat_map(|value| {
                let value = if value.is_nan() {
                    half::f16::NAN
                } else {
                    *value
                };
                value.to_le_bytes()
            });
            bytes(field::F16, &canonical.collect::<Vec<u8>>(), out);
            Ok(())
        }
        Vector::I8(values) => {
            let unsigned: Vec<u8> = values.iter().map(|value| value.cast_unsigned()).collect();
            bytes(field::I8, &unsigned, out);
            Ok(())
        }
        Vector::Binary { dimension, bits } => nested(field::BINARY, out, |out| {
            size(*dimension, out);
            bytes_unless_empty(field::BITS, bits, out);
            Ok(())
        }),
        Vector::Sparse {
            dimension,
            indices,
            values,
        } => nested(field::SPARSE, out, |out| {
            size(*dimension, out);
            if !indices.is_empty() {
                nested(field::INDICES, out, |out| {
                    indices
                        .iter()
                        .for_each(|index| encode_varint(u64::from(*index), out));
                    Ok(())
                })?;
            }
            floats(field::VALUES, values, out);
            Ok(())
        }),
    }
}

fn size(dimension: u32, out: &mut Vec<u8>) {
    if dimension > 0 {
        varint(field::DIMENSION, dimension.into(), out);
    }
}

fn floats(number: u32, values: &[f32], out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(values.len() as u64 * 4, out);
    out.extend(values.iter().flat_map(|value| {
        let value = if value.is_nan() { f32::NAN } else { *value };
        value.to_le_bytes()
    }));
}
