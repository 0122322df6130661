//! [`Statistics`]: what a block says about a column without its values being read.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::optimization::compression::integers::{read_varint, unzigzag, write_varint, zigzag};
use common::{Date, Result, Text, Timestamp, Value};

use super::column::{Column, Data};
use super::stream::corrupt;

const NONE: u8 = 0;
const INT: u8 = 1;
const FLOAT: u8 = 2;
const TIMESTAMP: u8 = 3;
const DATE: u8 = 4;
const TEXT: u8 = 5;

/// Longer texts are cut: a beginning is still a bound.
const TEXT_BYTES_MAX: usize = 24;

/// How many nulls a column has, and between which bounds its values lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// Rows without a value.
    pub nulls: usize,
    /// Bounds, where the values are numbers, times, days or texts and, if floats, none is NaN.
    pub bounds: Option<Bounds>,
}

/// Every value of a column lies between these, both included.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// Not greater than any value.
    pub least: Value,
    /// Not less than any value; of a text that was cut, not less than its beginning.
    pub most: Value,
    /// Whether [`Bounds::most`] is the beginning of a longer text.
    pub most_is_cut: bool,
}

impl Statistics {
    pub(super) fn of(column: &Column) -> Self {
        let ends = |values: &[i64]| Some((*values.iter().min()?, *values.iter().max()?));
        let whole = |least: Value, most: Value| Bounds {
            least,
            most,
            most_is_cut: false,
        };
        let bounds = match &column.data {
            Data::Int(values) => ends(values).map(|(a, b)| whole(a.into(), b.into())),
            Data::Timestamp(values) => {
                ends(values).map(|(a, b)| whole(Timestamp(a).into(), Timestamp(b).into()))
            }
            Data::Date(values) => ends(values).map(|(a, b)| {
                let date = |day| Date(i32::try_from(day).unwrap_or_default());
                whole(date(a).into(), date(b).into())
            }),
            Data::Float(values) if !values.iter().any(|value| value.is_nan()) => {
                let least = values.iter().copied().reduce(f64::min);
                let most = values.iter().copied().reduce(f64::max);
                least.zip(most).map(|(a, b)| whole(a.into(), b.into()))
            }
            Data::Text(texts) => texts.iter().min().zip(texts.iter().max()).map(|(a, b)| {
                let (least, most) = (beginning(a), beginning(b));
                Bounds {
                    least: least.into(),
                    most: most.into(),
                    most_is_cut: most.len() < b.len(),
                }
            }),
            _ => None,
        };
        Self {
            nulls: column.rows() - column.data.len(),
            bounds,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_varint(self.nulls as u64, out);
        let Some(Bounds {
            least,
            most,
            most_is_cut,
        }) = &self.bounds
        else {
            out.push(NONE);
            return;
        };
        let mut number = |kind: u8, value: i64| {
            if kind != NONE {
                out.push(kind);
            }
            write_varint(zigzag(value), out);
        };
        match (least, most) {
            (Value::Int(a), Value::Int(b)) => {
                number(INT, *a);
                number(NONE, *b);
            }
            (Value::Timestamp(a), Value::Timestamp(b)) => {
                number(TIMESTAMP, a.0);
                number(NONE, b.0);
            }
            (Value::Date(a), Value::Date(b)) => {
                number(DATE, a.0.into());
                number(NONE, b.0.into());
            }
            (Value::Float(a), Value::Float(b)) => {
                out.push(FLOAT);
                out.extend_from_slice(&a.to_bits().to_le_bytes());
                out.extend_from_slice(&b.to_bits().to_le_bytes());
            }
            (Value::Text(a), Value::Text(b)) => {
                out.push(TEXT);
                out.push(u8::from(*most_is_cut));
                for text in [a, b] {
                    write_varint(text.len() as u64, out);
                    out.extend_from_slice(text.as_bytes());
                }
            }
            _ => out.push(NONE),
        }
    }

    pub(super) fn read(input: &mut &[u8]) -> Result<Self> {
        let nulls = usize::try_from(read_varint(input)?).unwrap_or(usize::MAX);
        let kind = byte(input)?;
        let mut most_is_cut = false;
        let (least, most) = match kind {
            NONE => {
                return Ok(Self {
                    nulls,
                    bounds: None,
                });
            }
            INT => (integer(input)?.into(), integer(input)?.into()),
            TIMESTAMP => (
                Timestamp(integer(input)?).into(),
                Timestamp(integer(input)?).into(),
            ),
            DATE => (day(input)?, day(input)?),
            FLOAT => (float(input)?, float(input)?),
            TEXT => {
                most_is_cut = byte(input)? != 0;
                (text(input)?, text(input)?)
            }
            _ => return Err(corrupt("bounds of an unknown kind")),
        };
        Ok(Self {
            nulls,
            bounds: Some(Bounds {
                least,
                most,
                most_is_cut,
            }),
        })
    }
}

/// As much of a text as bounds keep.
fn beginning(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn byte(input: &mut &[u8]) -> Result<u8> {
    let (byte, rest) = input
        .split_first()
        .ok_or_else(|| corrupt("its directory ends early"))?;
    *input = rest;
    Ok(*byte)
}

fn integer(input: &mut &[u8]) -> Result<i64> {
    Ok(unzigzag(read_varint(input)?))
}

fn day(input: &mut &[u8]) -> Result<Value> {
    let day = i32::try_from(integer(input)?).map_err(|_| corrupt("a day beyond 32 bits"))?;
    Ok(Date(day).into())
}

fn float(input: &mut &[u8]) -> Result<Value> {
    let (bytes, rest) = input
        .split_first_chunk()
        .ok_or_else(|| corrupt("its directory ends early"))?;
    *input = rest;
    Ok(f64::from_le_bytes(*bytes).into())
}

fn text(input: &mut &[u8]) -> Result<Value> {
    let length = usize::try_from(read_varint(input)?).unwrap_or(usize::MAX);
    let (bytes, rest) = input
        .split_at_checked(length)
        .ok_or_else(|| corrupt("its directory ends early"))?;
    *input = rest;
    let text = std::str::from_utf8(bytes).map_err(|_| corrupt("a text is not UTF-8"))?;
    Ok(Value::Text(Text::new(text)))
}
