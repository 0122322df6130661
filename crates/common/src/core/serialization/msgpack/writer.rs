//! Writing MessagePack.

use rmp::encode;

use super::ext;
use crate::core::base::{Extension, Timestamp, Value, Vector};
use crate::error::{Error, ErrorKind, Result};

/// Memory takes every byte, so this never happens; it is passed on rather than dropped.
fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Io, error.to_string())
}

fn length(len: usize) -> Result<u32> {
    u32::try_from(len).map_err(|_| {
        Error::limit_exceeded(format!(
            "MessagePack holds at most {} elements or bytes in one value, this one has {len}",
            u32::MAX
        ))
    })
}

/// Appends the beginning of an array.
pub(in super::super) fn array(len: usize, out: &mut Vec<u8>) -> Result<()> {
    encode::write_array_len(out, length(len)?).map_err(failed)?;
    Ok(())
}

/// Appends an integer.
pub(in super::super) fn integer(int: i64, out: &mut Vec<u8>) -> Result<()> {
    encode::write_sint(out, int).map_err(failed)?;
    Ok(())
}

/// Appends an integer without sign.
pub(in super::super) fn unsigned(int: u64, out: &mut Vec<u8>) -> Result<()> {
    encode::write_uint(out, int).map_err(failed)?;
    Ok(())
}

/// Appends values as an array.
pub(in super::super) fn cells(values: &[Value], out: &mut Vec<u8>) -> Result<()> {
    array(values.len(), out)?;
    values.iter().try_for_each(|item| value(item, out))
}

fn extension(tag: i8, len: usize, out: &mut Vec<u8>) -> Result<()> {
    encode::write_ext_meta(out, length(len)?, tag).map_err(failed)?;
    Ok(())
}

/// Appends one value.
pub(super) fn value(value: &Value, out: &mut Vec<u8>) -> Result<()> {
    match value {
        Value::Null => encode::write_nil(out).map_err(failed)?,
        Value::Bool(bool) => encode::write_bool(out, *bool).map_err(failed)?,
        Value::Int(int) => integer(*int, out)?,
        Value::Float(float) => {
            let float = if float.is_nan() { f64::NAN } else { *float };
            encode::write_f64(out, float).map_err(failed)?;
        }
        Value::Text(text) => {
            length(text.len())?;
            encode::write_str(out, text).map_err(failed)?;
        }
        Value::Bytes(bytes) => {
            length(bytes.len())?;
            encode::write_bin(out, bytes).map_err(failed)?;
        }
        Value::Timestamp(at) => timestamp(*at, out)?,
        Value::Date(date) => {
            extension(ext::DATE, 4, out)?;
            out.extend_from_slice(&date.0.to_le_bytes());
        }
        Value::Uuid(uuid) => {
            extension(ext::UUID, 16, out)?;
            out.extend_from_slice(uuid.as_bytes());
        }
        Value::List(items) => cells(items, out)?,
        Value::Map(map) => {
            encode::write_map_len(out, length(map.len())?).map_err(failed)?;
            for (key, item) in map.iter() {
                length(key.len())?;
                encode::write_str(out, key).map_err(failed)?;
                self::value(item, out)?;
            }
        }
        Value::Vector(found) => vector(found, out)?,
        Value::Extension(found) => {
            let Extension { name, bytes } = &**found;
            if name.is_empty() {
                return Err(Error::invalid("an extension value has a type name"));
            }
            extension(ext::EXTENSION, 4 + name.len() + bytes.len(), out)?;
            out.extend_from_slice(&length(name.len())?.to_le_bytes());
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(bytes);
        }
    }
    Ok(())
}

/// The shortest of MessagePack's three forms: seconds, nanoseconds and seconds in 64 bits, both in 96.
fn timestamp(Timestamp(micros): Timestamp, out: &mut Vec<u8>) -> Result<()> {
    let seconds = micros.div_euclid(1_000_000);
    // Below a thousand million by its definition.
    let nanos = u32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
    match (u32::try_from(seconds), u64::try_from(seconds)) {
        (Ok(seconds), _) if nanos == 0 => {
            extension(ext::TIMESTAMP, 4, out)?;
            out.extend_from_slice(&seconds.to_be_bytes());
        }
        (_, Ok(seconds)) if seconds < 1 << 34 => {
            extension(ext::TIMESTAMP, 8, out)?;
            out.extend_from_slice(&((u64::from(nanos) << 34) | seconds).to_be_bytes());
        }
        _ => {
            extension(ext::TIMESTAMP, 12, out)?;
            out.extend_from_slice(&nanos.to_be_bytes());
            out.extend_from_slice(&seconds.to_be_bytes());
        }
    }
    Ok(())
}

fn vector(vector: &Vector, out: &mut Vec<u8>) -> Result<()> {
    let payload = match vector {
        Vector::F32(values) => values.len() * 4,
        Vector::F16(values) => values.len() * 2,
        Vector::I8(values) => values.len(),
        Vector::Binary { bits, .. } => 4 + bits.len(),
        Vector::Sparse { indices, .. } => 4 + indices.len() * 8,
    };
    extension(ext::VECTOR, 1 + payload, out)?;
    out.push(vector.element() as u8);
    match vector {
        Vector::F32(values) => floats(values, out),
        Vector::F16(values) => out.extend(values.iter().flat_map(|value| {
            let value = if value.is_nan() {
                half::f16::NAN
            } else {
                *value
            };
            value.to_le_bytes()
        })),
        Vector::I8(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Vector::Binary { dimension, bits } => {
            out.extend_from_slice(&dimension.to_le_bytes());
            out.extend_from_slice(bits);
        }
        Vector::Sparse {
            dimension,
            indices,
            values,
        } => {
            out.extend_from_slice(&dimension.to_le_bytes());
            out.extend(indices.iter().flat_map(|index| index.to_le_bytes()));
            floats(values, out);
        }
    }
    Ok(())
}

fn floats(values: &[f32], out: &mut Vec<u8>) {
    out.extend(values.iter().flat_map(|value| {
        let value = if value.is_nan() { f32::NAN } else { *value };
        value.to_le_bytes()
    }));
}
