//! Reading MessagePack.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use half::f16;
use rmp::Marker;
use uuid::Uuid;

use super::super::guard::{Guard, reserve};
use super::ext;
use crate::core::base::vector::check_dimension;
use crate::core::base::{Date, Extension, Map, Text, Timestamp, Value, Vector};
use crate::core::schema::Schema;
use crate::error::{Error, Result};
use crate::limits::Limits;

/// Heap that a map takes for its first entry and, roughly, for each further one.
const MAP_BYTES: usize = 640;
const ENTRY_BYTES: usize = 64;

/// A position in MessagePack bytes.
pub(in super::super) struct Reader<'a> {
    rest: &'a [u8],
    len: usize,
    guard: Guard<'a>,
}

impl<'a> Reader<'a> {
    pub(in super::super) fn new(bytes: &'a [u8], limits: &'a Limits) -> Result<Self> {
        Ok(Self::with(bytes, Guard::new(limits, bytes)?))
    }

    /// Reads on under a guard that has already counted something.
    pub(in super::super) fn with(bytes: &'a [u8], guard: Guard<'a>) -> Self {
        Self {
            rest: bytes,
            len: bytes.len(),
            guard,
        }
    }

    pub(in super::super) fn guard(&mut self) -> &mut Guard<'a> {
        &mut self.guard
    }

    pub(in super::super) fn into_guard(self) -> Guard<'a> {
        self.guard
    }

    #[cold]
    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::corrupt(format!("{what}, at byte {}", self.len - self.rest.len()))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(len) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(self.error(format!(
                "{len} bytes are announced, but {} are left",
                self.rest.len()
            ))),
        }
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.rest.split_first_chunk() {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(*head)
            }
            None => Err(self.error("the bytes end inside a value")),
        }
    }

    fn marker(&mut self) -> Result<Marker> {
        self.fixed().map(|[byte]: [u8; 1]| Marker::from_u8(byte))
    }

    fn len8(&mut self) -> Result<usize> {
        self.fixed().map(|bytes| u8::from_be_bytes(bytes).into())
    }

    fn len16(&mut self) -> Result<usize> {
        self.fixed().map(|bytes| u16::from_be_bytes(bytes).into())
    }

    fn len32(&mut self) -> Result<usize> {
        let len = self.fixed().map(u32::from_be_bytes)?;
        Ok(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// Checks that nothing follows.
    pub(in super::super) fn end(&self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            more => Err(self.error(format!("{more} bytes follow the end"))),
        }
    }

    /// The length of an array whose elements follow.
    pub(in super::super) fn array(&mut self) -> Result<usize> {
        let len = match self.marker()? {
            Marker::FixArray(len) => len.into(),
            Marker::Array16 => self.len16()?,
            Marker::Array32 => self.len32()?,
            other => return Err(self.error(format!("expected an array, found {other:?}"))),
        };
        self.plausible(len)?;
        Ok(len)
    }

    /// Refuses a number of elements that the remaining bytes cannot hold, at a byte each.
    fn plausible(&self, len: usize) -> Result<()> {
        if len <= self.rest.len() {
            return Ok(());
        }
        Err(self.error(format!(
            "{len} elements are announced, but {} bytes are left",
            self.rest.len()
        )))
    }

    /// An integer.
    pub(in super::super) fn integer(&mut self) -> Result<i64> {
        match self.value(0)? {
            Value::Int(int) => Ok(int),
            other => Err(self.error(format!("expected an integer, found {}", other.kind()))),
        }
    }

    /// An integer without sign.
    pub(in super::super) fn unsigned(&mut self) -> Result<u64> {
        if let Some((0xcf, rest)) = self.rest.split_first() {
            self.rest = rest;
            return self.fixed().map(u64::from_be_bytes);
        }
        let int = self.integer()?;
        u64::try_from(int).map_err(|_| self.error(format!("{int} is below zero")))
    }

    /// One row; an error comes with the column, or the number of columns when it is about the row.
    pub(in super::super) fn cells(
        &mut self,
        schema: &Schema,
    ) -> Result<Vec<Value>, (Error, usize)> {
        let columns = schema.fields.len();
        let whole = |error| (error, columns);
        let len = self.array().map_err(whole)?;
        if len != columns {
            let error = self.error(format!("{len} values, but the table has {columns} columns"));
            return Err(whole(error));
        }
        self.guard.elements(len, 24).map_err(whole)?;
        let mut values = Vec::with_capacity(reserve::<Value>(len));
        for column in 0..len {
            values.push(self.value(0).map_err(|error| (error, column))?);
        }
        Ok(values)
    }

    /// So many values, of any kind.
    pub(in super::super) fn values(&mut self, count: usize) -> Result<Vec<Value>> {
        self.guard.elements(count, 24)?;
        let mut values = Vec::with_capacity(reserve::<Value>(count));
        for _ in 0..count {
            values.push(self.value(0)?);
        }
        Ok(values)
    }

    /// What has not been read.
    pub(in super::super) const fn into_rest(self) -> &'a [u8] {
        self.rest
    }

    /// Any value; `depth` lists and maps are around it.
    pub(in super::super) fn value(&mut self, depth: usize) -> Result<Value> {
        let marker = self.marker()?;
        Ok(match marker {
            Marker::Null => Value::Null,
            Marker::True => Value::Bool(true),
            Marker::False => Value::Bool(false),
            Marker::FixPos(int) => Value::Int(int.into()),
            Marker::FixNeg(int) => Value::Int(int.into()),
            Marker::U8 => Value::Int(u8::from_be_bytes(self.fixed()?).into()),
            Marker::U16 => Value::Int(u16::from_be_bytes(self.fixed()?).into()),
            Marker::U32 => Value::Int(u32::from_be_bytes(self.fixed()?).into()),
            Marker::U64 => {
                let int = u64::from_be_bytes(self.fixed()?);
                Value::Int(i64::try_from(int).map_err(|_| {
                    self.error(format!("integer {int} does not fit 64 bits with sign"))
                })?)
            }
            Marker::I8 => Value::Int(i8::from_be_bytes(self.fixed()?).into()),
            Marker::I16 => Value::Int(i16::from_be_bytes(self.fixed()?).into()),
            Marker::I32 => Value::Int(i32::from_be_bytes(self.fixed()?).into()),
            Marker::I64 => Value::Int(i64::from_be_bytes(self.fixed()?)),
            Marker::F32 => Value::Float(f32::from_be_bytes(self.fixed()?).into()),
            Marker::F64 => Value::Float(f64::from_be_bytes(self.fixed()?)),
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                Value::Text(self.text(marker)?)
            }
            Marker::Bin8 => self.len8().and_then(|len| self.bytes(len))?,
            Marker::Bin16 => self.len16().and_then(|len| self.bytes(len))?,
            Marker::Bin32 => self.len32().and_then(|len| self.bytes(len))?,
            Marker::FixArray(len) => self.list(len.into(), depth)?,
            Marker::Array16 => self.len16().and_then(|len| self.list(len, depth))?,
            Marker::Array32 => self.len32().and_then(|len| self.list(len, depth))?,
            Marker::FixMap(len) => self.map(len.into(), depth)?,
            Marker::Map16 => self.len16().and_then(|len| self.map(len, depth))?,
            Marker::Map32 => self.len32().and_then(|len| self.map(len, depth))?,
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => self.len8().and_then(|len| self.extension(len))?,
            Marker::Ext16 => self.len16().and_then(|len| self.extension(len))?,
            Marker::Ext32 => self.len32().and_then(|len| self.extension(len))?,
            Marker::Reserved => return Err(self.error("byte 0xc1 begins no value")),
        })
    }

    /// Text after its marker.
    fn text(&mut self, marker: Marker) -> Result<Text> {
        let len = match marker {
            Marker::FixStr(len) => len.into(),
            Marker::Str8 => self.len8()?,
            Marker::Str16 => self.len16()?,
            Marker::Str32 => self.len32()?,
            other => return Err(self.error(format!("expected text, found {other:?}"))),
        };
        self.guard.bytes(len)?;
        let bytes = self.take(len)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Text::new(text)),
            Err(error) => Err(self.error(format!("text is not UTF-8: {error}"))),
        }
    }

    fn bytes(&mut self, len: usize) -> Result<Value> {
        self.guard.bytes(len)?;
        self.take(len).map(Value::from)
    }

    fn list(&mut self, len: usize, depth: usize) -> Result<Value> {
        self.guard.depth(depth + 1)?;
        self.guard.elements(len, 24)?;
        self.plausible(len)?;
        let mut items = Vec::with_capacity(reserve::<Value>(len));
        for _ in 0..len {
            items.push(self.value(depth + 1)?);
        }
        Ok(Value::from(items))
    }

    fn map(&mut self, len: usize, depth: usize) -> Result<Value> {
        self.guard.depth(depth + 1)?;
        self.guard.elements(len, ENTRY_BYTES)?;
        self.guard.spend(MAP_BYTES)?;
        self.plausible(len.saturating_mul(2))?;
        let mut map = Map::new();
        for _ in 0..len {
            let marker = self.marker()?;
            let key = self.text(marker)?;
            let value = self.value(depth + 1)?;
            if map.insert(key.clone(), value).is_some() {
                return Err(self.error(format!("key `{key}` stands twice")));
            }
        }
        Ok(Value::from(map))
    }

    fn extension(&mut self, len: usize) -> Result<Value> {
        let tag = i8::from_be_bytes(self.fixed()?);
        self.guard.bytes(len)?;
        let bytes = self.take(len)?;
        let read = match tag {
            ext::TIMESTAMP => timestamp(bytes).map(Value::Timestamp),
            ext::DATE => match bytes.try_into() {
                Ok(days) => Ok(Value::Date(Date(i32::from_le_bytes(days)))),
                Err(_) => Err(Error::corrupt("a date has 4 bytes")),
            },
            ext::UUID => match bytes.try_into() {
                Ok(bytes) => Ok(Value::Uuid(Uuid::from_bytes(bytes))),
                Err(_) => Err(Error::corrupt("a uuid has 16 bytes")),
            },
            ext::VECTOR => self.vector(bytes),
            ext::EXTENSION => extension(bytes),
            other => Err(Error::unsupported(format!(
                "extension type {other} is not known to this version"
            ))),
        };
        read.map_err(|error| error.at(format!("byte {}", self.len - self.rest.len())))
    }

    fn vector(&mut self, bytes: &[u8]) -> Result<Value> {
        let Some((element, rest)) = bytes.split_first() else {
            return Err(Error::corrupt("a vector names its element type"));
        };
        let vector = match element {
            0 => Vector::F32(numbers(rest, f32::from_le_bytes)?.into()),
            1 => Vector::F16(numbers(rest, f16::from_le_bytes)?.into()),
            2 => Vector::I8(numbers(rest, i8::from_le_bytes)?.into()),
            3 => {
                let (dimension, bits) = split_u32(rest)?;
                Vector::binary(dimension, bits)?
            }
            4 => {
                let (dimension, rest) = split_u32(rest)?;
                let (indices, values) = rest.split_at(rest.len() / 2);
                self.guard.elements(indices.len() / 4, 8)?;
                return Vector::sparse(
                    dimension,
                    numbers(indices, u32::from_le_bytes)?,
                    numbers(values, f32::from_le_bytes)?,
                )
                .map(Value::from);
            }
            other => {
                return Err(Error::unsupported(format!(
                    "vector element type {other} is not known to this version"
                )));
            }
        };
        self.guard.elements(vector.dimension(), 0)?;
        check_dimension(vector.dimension())?;
        Ok(Value::from(vector))
    }
}

fn split_u32(bytes: &[u8]) -> Result<(u32, &[u8])> {
    match bytes.split_first_chunk() {
        Some((head, rest)) => Ok((u32::from_le_bytes(*head), rest)),
        None => Err(Error::corrupt("4 bytes of a length are missing")),
    }
}

/// Bytes as numbers of `N` bytes each.
fn numbers<T, const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
    let (chunks, []) = bytes.as_chunks::<N>() else {
        return Err(Error::corrupt(format!(
            "elements of {N} bytes do not fill {} bytes",
            bytes.len()
        )));
    };
    Ok(chunks.iter().map(|chunk| read(*chunk)).collect())
}

fn timestamp(bytes: &[u8]) -> Result<Timestamp> {
    let (seconds, nanos) = if let Ok(bytes) = bytes.try_into() {
        (i64::from(u32::from_be_bytes(bytes)), 0)
    } else if let Ok(bytes) = <[u8; 8]>::try_from(bytes) {
        let both = u64::from_be_bytes(bytes);
        ((both & ((1 << 34) - 1)).cast_signed(), both >> 34)
    } else if let Some((nanos, seconds)) = bytes.split_first_chunk()
        && let Ok(seconds) = seconds.try_into()
    {
        (
            i64::from_be_bytes(seconds),
            u32::from_be_bytes(*nanos).into(),
        )
    } else {
        return Err(Error::corrupt("a timestamp has 4, 8 or 12 bytes"));
    };
    if nanos >= 1_000_000_000 {
        return Err(Error::corrupt(
            "a second has a thousand million nanoseconds",
        ));
    }
    if nanos % 1_000 != 0 {
        return Err(Error::unsupported(
            "timestamps finer than a microsecond are not held",
        ));
    }
    // In 128 bits: just below the least whole second, the sum fits although its first part does not.
    let micros = i128::from(seconds) * 1_000_000 + i128::from(nanos / 1_000);
    i64::try_from(micros).map(Timestamp).map_err(|_| {
        Error::unsupported("timestamps lie within 64 bits of microseconds around 1970")
    })
}

fn extension(bytes: &[u8]) -> Result<Value> {
    let (len, rest) = split_u32(bytes)?;
    let parts = usize::try_from(len)
        .ok()
        .and_then(|len| rest.split_at_checked(len));
    let Some((name, bytes)) = parts else {
        return Err(Error::corrupt("the name of an extension is cut off"));
    };
    match std::str::from_utf8(name) {
        Ok("") => Err(Error::corrupt("an extension value has a type name")),
        Ok(name) => Ok(Value::from(Extension {
            name: Text::new(name),
            bytes: bytes.into(),
        })),
        Err(_) => Err(Error::corrupt("the name of an extension is not UTF-8")),
    }
}
