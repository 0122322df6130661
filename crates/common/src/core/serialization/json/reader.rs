//! Reading JSON by hand: limits, duplicate keys and the types of columns are watched at each step, and no
//! tree of a document is built that is then thrown away.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use half::f16;
use uuid::Uuid;

use super::super::guard::Guard;
use super::super::rows;
use crate::core::base::vector::check_dimension;
use crate::core::base::{Date, Extension, Map, Text, Timestamp, Value, Vector, VectorElement};
use crate::core::schema::{FieldType, Schema};
use crate::error::{Error, Result};
use crate::limits::Limits;

/// Heap that a map takes for its first entry and, roughly, for each further one.
const MAP_BYTES: usize = 640;
const ENTRY_BYTES: usize = 64;

/// A position in JSON text.
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

    #[cold]
    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::invalid(format!("{what}, at byte {}", self.at))
    }

    #[cold]
    fn unexpected(&self, expected: &str) -> Error {
        match self.bytes.get(self.at) {
            None => self.error(format!("expected {expected}, found the end")),
            Some(byte) if byte.is_ascii_graphic() => {
                self.error(format!("expected {expected}, found `{}`", *byte as char))
            }
            Some(byte) => self.error(format!("expected {expected}, found byte {byte:#04x}")),
        }
    }

    /// The next byte that is not white space, left in place.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, name: &str) -> Result<()> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.unexpected(name))
        }
    }

    /// Checks that nothing but white space follows.
    pub(super) fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end")),
        }
    }

    /// Moves to the next row; rows stand on lines of their own. `false` at the end.
    pub(super) fn next_line(&mut self, first: bool) -> Result<bool> {
        let from = self.at;
        if self.peek().is_none() {
            return Ok(false);
        }
        let between = self.bytes.get(from..self.at).unwrap_or_default();
        if first || between.contains(&b'\n') {
            Ok(true)
        } else {
            Err(self.unexpected("a new line"))
        }
    }

    fn literal(&mut self, text: &str, value: Value) -> Result<Value> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.starts_with(text.as_bytes()) {
            self.at += text.len();
            Ok(value)
        } else {
            Err(self.unexpected("a value"))
        }
    }

    fn null(&mut self) -> Result<bool> {
        if self.peek() == Some(b'n') {
            self.literal("null", Value::Null)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Any value; `depth` lists and maps are around it.
    pub(super) fn value(&mut self, depth: usize) -> Result<Value> {
        match self.peek() {
            Some(b'n') => self.literal("null", Value::Null),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'"') => self.text().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                if number.contains(['.', 'e', 'E']) {
                    self.float_of(number).map(Value::Float)
                } else {
                    self.int_of(number).map(Value::Int)
                }
            }
            Some(b'[') => {
                self.guard.depth(depth + 1)?;
                let items = self.array(24, |reader| reader.value(depth + 1))?;
                Ok(Value::from(items))
            }
            Some(b'{') => {
                self.at += 1;
                self.object(depth)
            }
            _ => Err(self.unexpected("a value")),
        }
    }

    /// Steps over any JSON while it watches limits and duplicate keys.
    pub(super) fn skip(&mut self, depth: usize) -> Result<()> {
        match self.peek() {
            Some(b'[') => {
                self.guard.depth(depth + 1)?;
                self.array(0, |reader| reader.skip(depth + 1)).map(drop)
            }
            Some(b'{') => {
                self.guard.depth(depth + 1)?;
                self.at += 1;
                let mut keys = BTreeSet::new();
                self.members(|reader, key| {
                    if keys.contains(&key) {
                        return Err(reader.error(format!("key `{key}` stands twice")));
                    }
                    keys.insert(key);
                    reader.skip(depth + 1)
                })
            }
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            _ => self.value(depth).map(drop),
        }
    }

    /// `[`, then elements that take `each` bytes in memory, then `]`.
    fn array<T>(
        &mut self,
        each: usize,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.expect(b'[', "`[`")?;
        self.guard.elements(0, each)?;
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(items);
        }
        loop {
            self.guard.element(items.len() + 1, each)?;
            items.push(item(self)?);
            if self.take(b']') {
                return Ok(items);
            }
            self.expect(b',', "`,` or `]`")?;
        }
    }

    /// Members of an object whose `{` has been read, up to and with its `}`.
    fn members(&mut self, mut member: impl FnMut(&mut Self, Text) -> Result<()>) -> Result<()> {
        if self.take(b'}') {
            return Ok(());
        }
        let mut count = 0;
        loop {
            count += 1;
            self.guard.element(count, ENTRY_BYTES)?;
            let key = self.key()?;
            member(self, key)?;
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',', "`,` or `}`")?;
        }
    }

    /// A key and its colon.
    fn key(&mut self) -> Result<Text> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key"));
        }
        let key = self.text()?;
        self.expect(b':', "`:`")?;
        Ok(key)
    }

    /// A map or a tagged value whose `{` has been read.
    fn object(&mut self, depth: usize) -> Result<Value> {
        if self.peek() == Some(b'"') {
            let from = self.at;
            let key = self.text()?;
            if key.starts_with('$') {
                self.expect(b':', "`:`")?;
                let value = self.tagged(&key, depth)?;
                if !self.take(b'}') {
                    return Err(self
                        .unexpected(&format!("`}}`: an object tagged `{key}` has no other key")));
                }
                return Ok(value);
            }
            self.at = from;
        }
        self.map(depth, Self::value)
    }

    /// A map whose `{` has been read.
    fn map(
        &mut self,
        depth: usize,
        mut item: impl FnMut(&mut Self, usize) -> Result<Value>,
    ) -> Result<Value> {
        self.guard.depth(depth + 1)?;
        self.guard.spend(MAP_BYTES)?;
        let mut map = Map::new();
        self.members(|reader, key| {
            let value = item(reader, depth + 1)?;
            match map.insert(key.clone(), value) {
                None => Ok(()),
                Some(_) => Err(reader.error(format!("key `{key}` stands twice"))),
            }
        })?;
        Ok(Value::from(map))
    }

    fn tagged(&mut self, tag: &str, depth: usize) -> Result<Value> {
        Ok(match tag {
            "$float" => Value::Float(self.float_name()?),
            "$bytes" => Value::from(self.base64()?),
            "$timestamp" => Value::Timestamp(Timestamp(self.int()?)),
            "$date" => Value::Date(Date(self.narrow("a day")?)),
            "$uuid" => Value::Uuid(self.uuid()?),
            "$map" => {
                self.expect(b'{', "`{`")?;
                self.map(depth, Self::value)?
            }
            "$vector" => self.tagged_vector()?,
            "$extension" => {
                let (mut name, mut bytes) = (None, None);
                self.expect(b'{', "`{`")?;
                self.members(|reader, key| match key.as_str() {
                    "name" => reader.once(&key, &mut name, Self::text),
                    "bytes" => reader.once(&key, &mut bytes, Self::base64),
                    _ => Err(reader.error(format!("an extension has no key `{key}`"))),
                })?;
                let (Some(name), Some(bytes)) = (name, bytes) else {
                    return Err(self.error("an extension has the keys `name` and `bytes`"));
                };
                self.extension(name, bytes)?
            }
            _ => {
                return Err(self.error(format!(
                    "unknown tag `{tag}`; a map with such a key is written {{\"$map\": {{..}}}}"
                )));
            }
        })
    }

    fn extension(&self, name: Text, bytes: Vec<u8>) -> Result<Value> {
        if name.is_empty() {
            return Err(self.error("an extension value has a type name"));
        }
        let bytes = bytes.into();
        Ok(Value::from(Extension { name, bytes }))
    }

    /// Reads into `place`, which must still be empty.
    fn once<T>(
        &mut self,
        key: &str,
        place: &mut Option<T>,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<()> {
        if place.is_some() {
            return Err(self.error(format!("key `{key}` stands twice")));
        }
        *place = Some(read(self)?);
        Ok(())
    }

    fn tagged_vector(&mut self) -> Result<Value> {
        self.expect(b'{', "`{`")?;
        let key = self.key()?;
        let element = match key.as_str() {
            "f32" => VectorElement::F32,
            "f16" => VectorElement::F16,
            "i8" => VectorElement::I8,
            "binary" => VectorElement::Binary,
            "sparse" => VectorElement::Sparse,
            _ => return Err(self.error(format!("no vector has elements `{key}`"))),
        };
        let vector = self.vector(element)?;
        self.expect(b'}', "`}`")?;
        Ok(vector)
    }

    /// A vector without its tag.
    fn vector(&mut self, element: VectorElement) -> Result<Value> {
        let vector = match element {
            VectorElement::F32 => Vector::F32(self.array(4, Self::f32)?.into()),
            VectorElement::F16 => Vector::F16(self.array(2, Self::f16)?.into()),
            VectorElement::I8 => Vector::I8(
                self.array(1, |reader| reader.narrow("a signed byte"))?
                    .into(),
            ),
            VectorElement::Binary => {
                let (mut dimension, mut bits) = (None, None);
                self.expect(b'{', "`{`")?;
                self.members(|reader, key| match key.as_str() {
                    "dimension" => {
                        reader.once(&key, &mut dimension, |reader| reader.narrow("a dimension"))
                    }
                    "bits" => reader.once(&key, &mut bits, Self::base64),
                    _ => Err(reader.error(format!("a binary vector has no key `{key}`"))),
                })?;
                let (Some(dimension), Some(bits)) = (dimension, bits) else {
                    return Err(self.error("a binary vector has the keys `dimension` and `bits`"));
                };
                Vector::binary(dimension, bits)?
            }
            VectorElement::Sparse => {
                let (mut dimension, mut indices, mut values) = (None, None, None);
                self.expect(b'{', "`{`")?;
                self.members(|reader, key| match key.as_str() {
                    "dimension" => {
                        reader.once(&key, &mut dimension, |reader| reader.narrow("a dimension"))
                    }
                    "indices" => reader.once(&key, &mut indices, |reader| {
                        reader.array(4, |reader| reader.narrow("a position"))
                    }),
                    "values" => reader.once(&key, &mut values, |reader| reader.array(4, Self::f32)),
                    _ => Err(reader.error(format!("a sparse vector has no key `{key}`"))),
                })?;
                let (Some(dimension), Some(indices), Some(values)) = (dimension, indices, values)
                else {
                    return Err(self.error(
                        "a sparse vector has the keys `dimension`, `indices` and `values`",
                    ));
                };
                return Vector::sparse(dimension, indices, values).map(Value::from);
            }
        };
        check_dimension(vector.dimension())?;
        Ok(Value::from(vector))
    }

    /// One row: an object with a key for each column.
    pub(super) fn row(&mut self, schema: &Schema, row: usize) -> Result<Vec<Value>> {
        let mut cells: Vec<Option<Value>> = vec![None; schema.fields.len()];
        let at_row = |error| rows::at_row(error, schema, row);
        self.guard.elements(cells.len(), 24).map_err(at_row)?;
        self.expect(b'{', "`{`").map_err(at_row)?;
        let mut next = 0;
        let mut error_column = None;
        let read = self.members(|reader, key| {
            // Most rows hold the columns in storage order.
            let position = match schema.fields.get(next) {
                Some(field) if field.name == key => next,
                _ => schema.position_of(&key)?,
            };
            next = position + 1;
            let (Some(field), Some(cell)) = (schema.fields.get(position), cells.get_mut(position))
            else {
                return Ok(());
            };
            error_column = Some(position);
            if field.nullable && field.ty != FieldType::Any && reader.null()? {
                reader.once(&key, cell, |_| Ok(Value::Null))?;
            } else {
                reader.once(&key, cell, |reader| reader.typed(&field.ty, 0))?;
                if !field.nullable && cell.as_ref().is_some_and(Value::is_null) {
                    return Err(reader.error(format!("is null, expected {}", field.ty)));
                }
            }
            error_column = None;
            Ok(())
        });
        if let Err(error) = read {
            let field = error_column.and_then(|position| schema.fields.get(position));
            return Err(match field {
                Some(field) => rows::at(error, schema, row, &field.name),
                None => at_row(error),
            });
        }
        let filled = cells.into_iter().zip(&schema.fields).map(|(cell, field)| {
            cell.map_or_else(|| rows::missing(field), Ok)
                .map_err(|error| rows::at(error, schema, row, &field.name))
        });
        filled.collect()
    }

    /// A cell of a column of this type, written plainly.
    fn typed(&mut self, ty: &FieldType, depth: usize) -> Result<Value> {
        let next = self.peek();
        Ok(match ty {
            FieldType::Any => self.value(depth)?,
            FieldType::Bool => match next {
                Some(b't') => self.literal("true", Value::Bool(true))?,
                Some(b'f') => self.literal("false", Value::Bool(false))?,
                _ => return Err(self.unexpected("true or false")),
            },
            FieldType::Int => Value::Int(self.int()?),
            FieldType::Float => Value::Float(self.float()?),
            FieldType::Text => Value::Text(self.quoted("text").and_then(|()| self.text())?),
            FieldType::Bytes => Value::from(self.base64()?),
            FieldType::Timestamp if next == Some(b'"') => Value::Timestamp(self.timestamp()?),
            FieldType::Timestamp => Value::Timestamp(Timestamp(self.int()?)),
            FieldType::Date if next == Some(b'"') => Value::Date(self.date()?),
            FieldType::Date => Value::Date(Date(self.narrow("a day")?)),
            FieldType::Uuid => Value::Uuid(self.uuid()?),
            FieldType::List(inner) => {
                self.guard.depth(depth + 1)?;
                Value::from(self.array(24, |reader| reader.typed(inner, depth + 1))?)
            }
            FieldType::Map(inner) => {
                self.expect(b'{', "`{`")?;
                self.map(depth, |reader, depth| reader.typed(inner, depth))?
            }
            FieldType::Vector { element, dimension } => {
                let value = self.vector(*element)?;
                let found = value.as_vector().map_or(0, Vector::dimension);
                match dimension {
                    Some(expected) if *expected as usize != found => {
                        return Err(self.error(format!(
                            "vector has {found} dimensions, expected {expected}"
                        )));
                    }
                    _ => value,
                }
            }
            FieldType::Extension(name) => {
                let bytes = self.base64()?;
                self.extension(name.clone(), bytes)?
            }
        })
    }

    fn quoted(&mut self, what: &str) -> Result<()> {
        if self.peek() == Some(b'"') {
            Ok(())
        } else {
            Err(self.unexpected(what))
        }
    }

    fn text(&mut self) -> Result<Text> {
        self.string().map(Text::new)
    }

    /// A string; borrowed when it has no escapes.
    fn string(&mut self) -> Result<Cow<'a, str>> {
        self.quoted("text")?;
        let rest = self.bytes.get(self.at + 1..).unwrap_or_default();
        let plain = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
            .unwrap_or(rest.len());
        let (head, tail) = rest.split_at(plain);
        self.guard.bytes(head.len())?;
        let head = std::str::from_utf8(head).map_err(|_| self.error("text is not UTF-8"))?;
        self.at += 1 + plain;
        match tail.first() {
            Some(b'"') => {
                self.at += 1;
                Ok(Cow::Borrowed(head))
            }
            Some(b'\\') => self.escaped(head).map(Cow::Owned),
            Some(_) => Err(self.error("a control character stands in text without an escape")),
            None => Err(self.error("text has no end")),
        }
    }

    /// The rest of a string from its first escape on.
    fn escaped(&mut self, head: &str) -> Result<String> {
        let mut text = head.to_owned();
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let plain = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
                .unwrap_or(rest.len());
            let (part, tail) = rest.split_at(plain);
            self.guard.bytes(text.len() + part.len())?;
            text.push_str(std::str::from_utf8(part).map_err(|_| self.error("text is not UTF-8"))?);
            self.at += plain;
            match tail {
                [b'"', ..] => {
                    self.at += 1;
                    return Ok(text);
                }
                [b'\\', kind, ..] => {
                    self.at += 2;
                    text.push(match kind {
                        b'"' => '"',
                        b'\\' => '\\',
                        b'/' => '/',
                        b'b' => '\u{8}',
                        b'f' => '\u{c}',
                        b'n' => '\n',
                        b'r' => '\r',
                        b't' => '\t',
                        b'u' => self.unicode()?,
                        _ => return Err(self.error("unknown escape in text")),
                    });
                }
                [] | [b'\\'] => return Err(self.error("text has no end")),
                _ => {
                    return Err(self.error("a control character stands in text without an escape"));
                }
            }
        }
    }

    /// The character of `\uXXXX`, with the second half of a pair where there is one.
    fn unicode(&mut self) -> Result<char> {
        let first = self.hex()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            if !rest.starts_with(b"\\u") {
                return Err(self.error("half of a surrogate pair stands alone"));
            }
            self.at += 2;
            let second = self.hex()?;
            if !(0xdc00..0xe000).contains(&second) {
                return Err(self.error("half of a surrogate pair stands alone"));
            }
            0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| self.error("half of a surrogate pair stands alone"))
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.bytes.get(self.at..self.at + 4).unwrap_or_default();
        let mut code = 0;
        for digit in digits {
            let digit = (*digit as char)
                .to_digit(16)
                .ok_or_else(|| self.error("`\\u` is followed by four hexadecimal digits"))?;
            code = code * 16 + digit;
        }
        if digits.len() < 4 {
            return Err(self.error("text has no end"));
        }
        self.at += 4;
        Ok(code)
    }

    /// The characters of a number, checked against JSON's grammar.
    fn number(&mut self) -> Result<&'a str> {
        self.peek();
        let from = self.at;
        let digits = |reader: &mut Self| {
            let before = reader.at;
            while reader.bytes.get(reader.at).is_some_and(u8::is_ascii_digit) {
                reader.at += 1;
            }
            match reader.at - before {
                0 => Err(reader.unexpected("a digit")),
                _ => Ok(()),
            }
        };
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            digits(self)?;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            digits(self)?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            digits(self)?;
        }
        let text = self.bytes.get(from..self.at).unwrap_or_default();
        std::str::from_utf8(text).map_err(|_| self.error("text is not UTF-8"))
    }

    fn int_of(&self, number: &str) -> Result<i64> {
        number
            .parse()
            .map_err(|_| self.error(format!("{} is no 64-bit integer", shortened(number))))
    }

    fn float_of(&self, number: &str) -> Result<f64> {
        match number.parse::<f64>() {
            Ok(float) if float.is_finite() => Ok(float),
            _ => Err(self.error(format!("{} is beyond any float", shortened(number)))),
        }
    }

    fn is_number(&mut self) -> bool {
        matches!(self.peek(), Some(b'-' | b'0'..=b'9'))
    }

    fn int(&mut self) -> Result<i64> {
        if !self.is_number() {
            return Err(self.unexpected("an integer"));
        }
        let number = self.number()?;
        self.int_of(number)
    }

    /// An integer of a narrower type.
    fn narrow<T: TryFrom<i64>>(&mut self, what: &str) -> Result<T> {
        let int = self.int()?;
        T::try_from(int).map_err(|_| self.error(format!("{int} is not {what}")))
    }

    /// A float of a float column: a number or the name of one that is not finite.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "an integer is accepted when casting back gives it again"
    )]
    fn float(&mut self) -> Result<f64> {
        if self.peek() == Some(b'"') {
            return self.float_name();
        }
        if !self.is_number() {
            return Err(self.unexpected("a number"));
        }
        let number = self.number()?;
        if number.contains(['.', 'e', 'E']) || number == "-0" {
            return self.float_of(number);
        }
        let int = self.int_of(number)?;
        let float = int as f64;
        if float as i128 == i128::from(int) {
            Ok(float)
        } else {
            Err(self.error(format!("{int} is not exactly a 64-bit float")))
        }
    }

    fn float_name(&mut self) -> Result<f64> {
        match &*self.string()? {
            "NaN" => Ok(f64::NAN),
            "inf" => Ok(f64::INFINITY),
            "-inf" => Ok(f64::NEG_INFINITY),
            other => Err(self.error(format!(
                "expected \"NaN\", \"inf\" or \"-inf\", found {:?}",
                shortened(other)
            ))),
        }
    }

    /// An element of a vector. Parsed as what it is: by way of 64 bits it would be rounded twice.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only NaN and the infinities are cast"
    )]
    fn f32(&mut self) -> Result<f32> {
        if self.peek() == Some(b'"') {
            return Ok(self.float_name()? as f32);
        }
        if !self.is_number() {
            return Err(self.unexpected("a number"));
        }
        let number = self.number()?;
        match number.parse::<f32>() {
            Ok(float) if float.is_finite() => Ok(float),
            _ => Err(self.error(format!("{} is beyond a 32-bit float", shortened(number)))),
        }
    }

    fn f16(&mut self) -> Result<f16> {
        let wide = self.f32()?;
        let narrow = f16::from_f32(wide);
        if wide.is_finite() && narrow.is_infinite() {
            return Err(self.error(format!("{wide} is beyond a 16-bit float")));
        }
        Ok(narrow)
    }

    fn base64(&mut self) -> Result<Vec<u8>> {
        let text = self.string()?;
        self.guard.spend(text.len())?;
        BASE64
            .decode(text.as_bytes())
            .map_err(|error| self.error(format!("text is not base64: {error}")))
    }

    fn uuid(&mut self) -> Result<Uuid> {
        let text = self.string()?;
        Uuid::parse_str(&text)
            .map_err(|error| self.error(format!("{:?} is no uuid: {error}", shortened(&text))))
    }

    fn timestamp(&mut self) -> Result<Timestamp> {
        let text = self.string()?;
        let parsed: jiff::Timestamp = text.parse().map_err(|error| {
            self.error(format!(
                "{:?} is no RFC 3339 timestamp: {error}",
                shortened(&text)
            ))
        })?;
        if parsed.subsec_nanosecond() % 1_000 != 0 {
            return Err(self.error(format!(
                "{:?} is finer than a microsecond",
                shortened(&text)
            )));
        }
        Ok(Timestamp(parsed.as_microsecond()))
    }

    fn date(&mut self) -> Result<Date> {
        let text = self.string()?;
        let bad = |reader: &Self, error: jiff::Error| {
            reader.error(format!(
                "{:?} is no ISO 8601 date: {error}",
                shortened(&text)
            ))
        };
        let day: jiff::civil::Date = text.parse().map_err(|error| bad(self, error))?;
        let span = day
            .since((jiff::Unit::Day, jiff::civil::date(1970, 1, 1)))
            .map_err(|error| bad(self, error))?;
        Ok(Date(span.get_days()))
    }
}

/// The beginning of a text, for messages: what a stranger sent is not repeated in full.
fn shortened(text: &str) -> &str {
    match text.char_indices().nth(40) {
        Some((at, _)) => text.get(..at).unwrap_or_default(),
        None => text,
    }
}
