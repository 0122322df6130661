//! Reading Protocol Buffers.

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
use prost::encoding::{WireType, decode_varint};
use uuid::Uuid;

use super::super::guard::{Guard, reserve};
use super::field;
use crate::core::base::vector::check_dimension;
use crate::core::base::{Date, Extension, Map, Text, Timestamp, Value, Vector};
use crate::core::schema::Schema;
use crate::error::{Error, Result};
use crate::limits::Limits;

/// Heap that a map takes for its first entry and, roughly, for each further one.
const MAP_BYTES: usize = 640;
const ENTRY_BYTES: usize = 64;

/// A position in bytes. Messages inside messages are read up to their `end`, an absolute position.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    guard: Guard<'a>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], limits: &'a Limits) -> Result<Self> {
        Ok(Self {
            bytes,
            at: 0,
            guard: Guard::new(limits, bytes)?,
        })
    }

    pub(super) fn guard(&mut self) -> &mut Guard<'a> {
        &mut self.guard
    }

    #[cold]
    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::corrupt(format!("{what}, at byte {}", self.at))
    }

    #[cold]
    fn unknown(&self, message: &str, number: u32) -> Error {
        Error::unsupported(format!(
            "message {message} has no field {number} in this version, at byte {}",
            self.at
        ))
    }

    #[cold]
    fn twice(&self, message: &str) -> Error {
        self.error(format!("a field of {message} stands twice"))
    }

    fn varint(&mut self, end: usize) -> Result<u64> {
        let mut rest = self.bytes.get(self.at..end).unwrap_or_default();
        let before = rest.len();
        // An empty rest is refused here, where the other errors of this crate are.
        if rest.is_empty() {
            return Err(self.error("the bytes end inside a number"));
        }
        let value = decode_varint(&mut rest).map_err(|error| self.error(error))?;
        self.at += before - rest.len();
        Ok(value)
    }

    /// The next field's number and wire type, or `None` at the end of the message.
    fn key(&mut self, end: usize) -> Result<Option<(u32, WireType)>> {
        if self.at >= end {
            return Ok(None);
        }
        let key = self.varint(end)?;
        let wire = WireType::try_from(key & 7).map_err(|error| self.error(error))?;
        match u32::try_from(key >> 3) {
            Ok(number @ 1..=0x1fff_ffff) => Ok(Some((number, wire))),
            _ => Err(self.error("a field's number lies between 1 and 536,870,911")),
        }
    }

    fn expect(&self, found: WireType, expected: WireType) -> Result<()> {
        if found == expected {
            Ok(())
        } else {
            Err(self.error(format!("wire type {expected:?} expected, found {found:?}")))
        }
    }

    /// The end of a message, text or byte string whose length stands here.
    fn delimited(&mut self, wire: WireType, end: usize) -> Result<usize> {
        self.expect(wire, WireType::LengthDelimited)?;
        let len = self.varint(end)?;
        let inner = usize::try_from(len)
            .ok()
            .and_then(|len| self.at.checked_add(len))
            .filter(|inner| *inner <= end);
        inner.ok_or_else(|| {
            self.error(format!(
                "{len} bytes are announced, but {} are left",
                end - self.at
            ))
        })
    }

    fn slice(&mut self, wire: WireType, end: usize) -> Result<&'a [u8]> {
        let inner = self.delimited(wire, end)?;
        let slice = self.bytes.get(self.at..inner).unwrap_or_default();
        self.guard.bytes(slice.len())?;
        self.at = inner;
        Ok(slice)
    }

    fn text(&mut self, wire: WireType, end: usize) -> Result<Text> {
        let bytes = self.slice(wire, end)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Text::new(text)),
            Err(error) => Err(self.error(format!("text is not UTF-8: {error}"))),
        }
    }

    fn fixed64(&mut self, wire: WireType, end: usize) -> Result<[u8; 8]> {
        self.expect(wire, WireType::SixtyFourBit)?;
        let rest = self.bytes.get(self.at..end).unwrap_or_default();
        match rest.first_chunk() {
            Some(bytes) => {
                self.at += 8;
                Ok(*bytes)
            }
            None => Err(self.error("the bytes end inside a number")),
        }
    }

    fn integer(&mut self, wire: WireType, end: usize) -> Result<u64> {
        self.expect(wire, WireType::Varint)?;
        self.varint(end)
    }

    fn signed(&mut self, wire: WireType, end: usize) -> Result<i64> {
        let raw = self.integer(wire, end)?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    fn narrow<T: TryFrom<u64>>(&mut self, wire: WireType, end: usize) -> Result<T> {
        let raw = self.integer(wire, end)?;
        T::try_from(raw).map_err(|_| self.error(format!("{raw} does not fit its type")))
    }

    /// The schema's id, with which `Rows` begin.
    pub(super) fn schema_id(&mut self) -> Result<&'a [u8]> {
        let end = self.bytes.len();
        match self.key(end)? {
            Some((field::SCHEMA_ID, wire)) => self.slice(wire, end),
            _ => Err(self.error("rows begin with the schema's id")),
        }
    }

    /// The end of the next row, which is read next; `None` at the end.
    pub(super) fn next_row(&mut self) -> Result<Option<usize>> {
        let end = self.bytes.len();
        match self.key(end)? {
            None => Ok(None),
            Some((field::ROWS, wire)) => self.delimited(wire, end).map(Some),
            Some((field::SCHEMA_ID, _)) => Err(self.twice("Rows")),
            Some((number, _)) => Err(self.unknown("Rows", number)),
        }
    }

    /// One row; an error comes with the column, or the number of columns when it is about the row.
    pub(super) fn row(
        &mut self,
        end: usize,
        schema: &Schema,
    ) -> Result<Vec<Value>, (Error, usize)> {
        let columns = schema.fields.len();
        let whole = |error| (error, columns);
        self.guard.elements(columns, 24).map_err(whole)?;
        let mut values = Vec::with_capacity(reserve::<Value>(columns));
        while let Some((number, wire)) = self.key(end).map_err(whole)? {
            if number != field::ITEMS {
                return Err(whole(self.unknown("Row", number)));
            }
            if values.len() == columns {
                let error = self.error(format!(
                    "more values than the table has columns ({columns})"
                ));
                return Err(whole(error));
            }
            let at_column = |error| (error, values.len());
            let inner = self.delimited(wire, end).map_err(at_column)?;
            values.push(self.value(inner, 0).map_err(at_column)?);
        }
        Ok(values)
    }

    /// A `Value` up to `end`; `depth` lists and maps are around it.
    pub(super) fn value(&mut self, end: usize, depth: usize) -> Result<Value> {
        let Some((number, wire)) = self.key(end)? else {
            return Err(self.error("a value has no kind"));
        };
        let value = match number {
            field::NULL => match self.integer(wire, end)? {
                0 => Value::Null,
                other => return Err(self.error(format!("null is 0, found {other}"))),
            },
            field::BOOL => match self.integer(wire, end)? {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                other => return Err(self.error(format!("a bool is 0 or 1, found {other}"))),
            },
            field::INT => Value::Int(self.signed(wire, end)?),
            field::FLOAT => Value::Float(f64::from_le_bytes(self.fixed64(wire, end)?)),
            field::TEXT => Value::Text(self.text(wire, end)?),
            field::BYTES => Value::from(self.slice(wire, end)?),
            field::TIMESTAMP => {
                Value::Timestamp(Timestamp(i64::from_le_bytes(self.fixed64(wire, end)?)))
            }
            field::DATE => {
                let days = self.signed(wire, end)?;
                Value::Date(Date(
                    i32::try_from(days)
                        .map_err(|_| self.error(format!("{days} does not fit its type")))?,
                ))
            }
            field::UUID => {
                let bytes = self.slice(wire, end)?;
                let bytes = bytes
                    .try_into()
                    .map_err(|_| self.error("a uuid has 16 bytes"))?;
                Value::Uuid(Uuid::from_bytes(bytes))
            }
            field::LIST => self.list(wire, end, depth + 1)?,
            field::MAP => self.map(wire, end, depth + 1)?,
            field::VECTOR => {
                let inner = self.delimited(wire, end)?;
                self.vector(inner)?
            }
            field::EXTENSION => {
                let inner = self.delimited(wire, end)?;
                self.extension(inner)?
            }
            other => return Err(self.unknown("Value", other)),
        };
        if self.at == end {
            Ok(value)
        } else {
            Err(self.twice("Value"))
        }
    }

    fn list(&mut self, wire: WireType, end: usize, depth: usize) -> Result<Value> {
        self.guard.depth(depth)?;
        self.guard.elements(0, 0)?;
        let end = self.delimited(wire, end)?;
        let mut items = Vec::new();
        while let Some((number, wire)) = self.key(end)? {
            if number != field::ITEMS {
                return Err(self.unknown("List", number));
            }
            self.guard.element(items.len() + 1, 24)?;
            let inner = self.delimited(wire, end)?;
            items.push(self.value(inner, depth)?);
        }
        Ok(Value::from(items))
    }

    fn map(&mut self, wire: WireType, end: usize, depth: usize) -> Result<Value> {
        self.guard.depth(depth)?;
        self.guard.spend(MAP_BYTES)?;
        let end = self.delimited(wire, end)?;
        let mut map = Map::new();
        while let Some((number, wire)) = self.key(end)? {
            if number != field::ITEMS {
                return Err(self.unknown("Map", number));
            }
            self.guard.element(map.len() + 1, ENTRY_BYTES)?;
            let inner = self.delimited(wire, end)?;
            let (key, value) = self.entry(inner, depth)?;
            if map.insert(key.clone(), value).is_some() {
                return Err(self.error(format!("key `{key}` stands twice")));
            }
        }
        Ok(Value::from(map))
    }

    fn entry(&mut self, end: usize, depth: usize) -> Result<(Text, Value)> {
        let (mut key, mut value) = (None, None);
        while let Some((number, wire)) = self.key(end)? {
            match number {
                field::ENTRY_KEY if key.is_none() => key = Some(self.text(wire, end)?),
                field::ENTRY_VALUE if value.is_none() => {
                    let inner = self.delimited(wire, end)?;
                    value = Some(self.value(inner, depth)?);
                }
                field::ENTRY_KEY | field::ENTRY_VALUE => return Err(self.twice("Entry")),
                other => return Err(self.unknown("Entry", other)),
            }
        }
        match value {
            Some(value) => Ok((key.unwrap_or_default(), value)),
            None => Err(self.error("an entry of a map has a value")),
        }
    }

    fn extension(&mut self, end: usize) -> Result<Value> {
        let (mut name, mut data) = (None, None);
        while let Some((number, wire)) = self.key(end)? {
            match number {
                field::EXTENSION_NAME if name.is_none() => name = Some(self.text(wire, end)?),
                field::EXTENSION_DATA if data.is_none() => data = Some(self.slice(wire, end)?),
                field::EXTENSION_NAME | field::EXTENSION_DATA => {
                    return Err(self.twice("Extension"));
                }
                other => return Err(self.unknown("Extension", other)),
            }
        }
        match name {
            Some(name) if !name.is_empty() => Ok(Value::from(Extension {
                name,
                bytes: data.unwrap_or_default().into(),
            })),
            _ => Err(self.error("an extension value has a type name")),
        }
    }

    fn vector(&mut self, end: usize) -> Result<Value> {
        let Some((number, wire)) = self.key(end)? else {
            return Err(self.error("a vector has elements"));
        };
        let vector = match number {
            field::F32 => {
                let inner = self.delimited(wire, end)?;
                self.floats_message(inner)?
            }
            field::F16 => {
                let (pairs, []) = self.slice(wire, end)?.as_chunks() else {
                    return Err(self.error("half-precision floats have two bytes each"));
                };
                Vector::F16(pairs.iter().map(|pair| f16::from_le_bytes(*pair)).collect())
            }
            field::I8 => {
                let bytes = self.slice(wire, end)?;
                Vector::I8(bytes.iter().map(|byte| byte.cast_signed()).collect())
            }
            field::BINARY => {
                let inner = self.delimited(wire, end)?;
                self.binary(inner)?
            }
            field::SPARSE => {
                let inner = self.delimited(wire, end)?;
                self.sparse(inner)?
            }
            other => return Err(self.unknown("Vector", other)),
        };
        if self.at != end {
            return Err(self.twice("Vector"));
        }
        match &vector {
            Vector::Sparse { .. } => {}
            dense => {
                self.guard.elements(dense.dimension(), 0)?;
                check_dimension(dense.dimension())?;
            }
        }
        Ok(Value::from(vector))
    }

    fn floats_message(&mut self, end: usize) -> Result<Vector> {
        let mut values = None;
        while let Some((number, wire)) = self.key(end)? {
            match number {
                field::ITEMS if values.is_none() => values = Some(self.floats(wire, end)?),
                field::ITEMS => return Err(self.twice("Floats")),
                other => return Err(self.unknown("Floats", other)),
            }
        }
        Ok(Vector::F32(values.unwrap_or_default().into()))
    }

    fn floats(&mut self, wire: WireType, end: usize) -> Result<Vec<f32>> {
        match self.slice(wire, end)?.as_chunks() {
            (chunks, []) => Ok(chunks.iter().map(|c| f32::from_le_bytes(*c)).collect()),
            _ => Err(self.error("32-bit floats have four bytes each")),
        }
    }

    fn binary(&mut self, end: usize) -> Result<Vector> {
        let (mut dimension, mut bits) = (None, None);
        while let Some((number, wire)) = self.key(end)? {
            match number {
                field::DIMENSION if dimension.is_none() => {
                    dimension = Some(self.narrow(wire, end)?);
                }
                field::BITS if bits.is_none() => bits = Some(self.slice(wire, end)?),
                field::DIMENSION | field::BITS => return Err(self.twice("Binary")),
                other => return Err(self.unknown("Binary", other)),
            }
        }
        Vector::binary(dimension.unwrap_or_default(), bits.unwrap_or_default())
            .map_err(|error| self.error(error))
    }

    fn sparse(&mut self, end: usize) -> Result<Vector> {
        let (mut dimension, mut indices, mut values) = (None, None, None);
        while let Some((number, wire)) = self.key(end)? {
            match number {
                field::DIMENSION if dimension.is_none() => {
                    dimension = Some(self.narrow(wire, end)?);
                }
                field::INDICES if indices.is_none() => indices = Some(self.indices(wire, end)?),
                field::VALUES if values.is_none() => values = Some(self.floats(wire, end)?),
                field::DIMENSION | field::INDICES | field::VALUES => {
                    return Err(self.twice("Sparse"));
                }
                other => return Err(self.unknown("Sparse", other)),
            }
        }
        Vector::sparse(
            dimension.unwrap_or_default(),
            indices.unwrap_or_default(),
            values.unwrap_or_default(),
        )
        .map_err(|error| self.error(error))
    }

    fn indices(&mut self, wire: WireType, end: usize) -> Result<Vec<u32>> {
        let inner = self.delimited(wire, end)?;
        let mut indices = Vec::new();
        while self.at < inner {
            self.guard.element(indices.len() + 1, 4)?;
            indices.push(self.narrow(WireType::Varint, inner)?);
        }
        Ok(indices)
    }
}
