//! Writing JSON: values through serde, cells of rows plainly by the type of their column.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use crate::core::base::{Date, Timestamp, Value, Vector};
use crate::core::schema::FieldType;
use crate::error::{Error, Result};

/// Appends what serde makes of `value`.
pub(super) fn json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(out, value).map_err(|error| Error::invalid(error.to_string()))
}

/// The day in the calendar that JSON rows use, unless it lies outside the years -9999 to 9999.
fn civil(date: Date) -> Option<jiff::civil::Date> {
    jiff::civil::date(1970, 1, 1)
        .checked_add(jiff::SignedDuration::from_hours(i64::from(date.0) * 24))
        .ok()
}

fn quoted(text: impl std::fmt::Display, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\"{text}\"").as_bytes());
}

fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    quoted(BASE64.encode(bytes), out);
}

fn float<T: Serialize>(value: T, wide: f64, out: &mut Vec<u8>) -> Result<()> {
    if wide.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if wide.is_infinite() {
        out.extend_from_slice(if wide > 0.0 { b"\"inf\"" } else { b"\"-inf\"" });
    } else {
        json(&value, out)?;
    }
    Ok(())
}

/// Appends `[`, the elements with commas between them, `]`.
fn array<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(item, out)?;
    }
    out.push(b']');
    Ok(())
}

/// Appends the cell of a row, plainly where the column's type says what it is.
pub(super) fn plain(ty: &FieldType, value: &Value, out: &mut Vec<u8>) -> Result<()> {
    match (ty, value) {
        (FieldType::Any, value) => json(value, out),
        (_, Value::Float(number)) => float(number, *number, out),
        (_, Value::Bytes(bytes)) => {
            base64(bytes, out);
            Ok(())
        }
        (_, Value::Timestamp(Timestamp(micros))) => {
            match jiff::Timestamp::from_microsecond(*micros) {
                Ok(timestamp) => quoted(timestamp, out),
                Err(_) => json(micros, out)?,
            }
            Ok(())
        }
        (_, Value::Date(date)) => {
            match civil(*date) {
                Some(day) => quoted(day, out),
                None => json(&date.0, out)?,
            }
            Ok(())
        }
        (_, Value::Uuid(uuid)) => {
            quoted(uuid.hyphenated(), out);
            Ok(())
        }
        (_, Value::Vector(vector)) => plain_vector(vector, out),
        (_, Value::Extension(ext)) => {
            base64(&ext.bytes, out);
            Ok(())
        }
        (FieldType::List(inner), Value::List(items)) => {
            array(items.iter(), out, |item, out| plain(inner, item, out))
        }
        (FieldType::Map(inner), Value::Map(map)) => {
            out.push(b'{');
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                json(key.as_str(), out)?;
                out.push(b':');
                plain(inner, item, out)?;
            }
            out.push(b'}');
            Ok(())
        }
        (_, value) => json(value, out),
    }
}

fn plain_vector(vector: &Vector, out: &mut Vec<u8>) -> Result<()> {
    let floats = |values: &[f32], out: &mut Vec<u8>| {
        array(values, out, |value, out| {
            float(value, f64::from(*value), out)
        })
    };
    match vector {
        Vector::F32(values) => floats(values, out),
        Vector::F16(values) => array(values.iter(), out, |value, out| {
            float(value.to_f32(), value.to_f64(), out)
        }),
        Vector::I8(values) => array(values.iter(), out, json),
        Vector::Binary { dimension, bits } => {
            out.extend_from_slice(format!("{{\"dimension\":{dimension},\"bits\":").as_bytes());
            base64(bits, out);
            out.push(b'}');
            Ok(())
        }
        Vector::Sparse {
            dimension,
            indices,
            values,
        } => {
            out.extend_from_slice(format!("{{\"dimension\":{dimension},\"indices\":").as_bytes());
            array(indices.iter(), out, json)?;
            out.extend_from_slice(b",\"values\":");
            floats(values, out)?;
            out.push(b'}');
            Ok(())
        }
    }
}
