//! Protocol Buffers below the messages: fields in their order, lengths checked, memory counted.
//!
//! Nothing is built while a message is walked: a part of one is a slice of what was received. What a reader keeps
//! it spends from a [`Budget`] first, because two bytes of an empty message stand for a hundred in memory.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::{Error, Limits, Result, Text};
use prost::encoding::{WireType, decode_varint, encode_key, encode_varint};

use crate::payload::DictionaryId;
use crate::sync::dictionaries::Dictionaries;

/// What a frame may still take in memory.
#[derive(Debug)]
pub(super) struct Budget {
    limits: Limits,
    /// Those that blocks may be packed with.
    dictionaries: Dictionaries,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            dictionaries: Dictionaries::default(),
        }
    }

    /// Reads blocks with these from here on.
    pub(super) fn with_dictionaries(&mut self, dictionaries: Dictionaries) {
        self.dictionaries = dictionaries;
    }

    pub(super) fn dictionaries(&self) -> Dictionaries {
        self.dictionaries.clone()
    }

    /// The limits for a decoder of a part: what is left.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Called before something of so many bytes is kept.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<()> {
        self.limits.check_total(bytes)?;
        self.limits.total_bytes_max -= bytes;
        Ok(())
    }

    /// Called before a value of the type is put into a list.
    pub(super) fn element<T>(&mut self) -> Result<()> {
        // A list that grows holds up to twice its elements.
        self.spend(size_of::<T>() * 2)
    }

    /// Text that is kept.
    pub(super) fn text(&mut self, text: &str) -> Result<Text> {
        self.limits.check_bytes(text.len())?;
        self.spend(text.len())?;
        Ok(Text::new(text))
    }

    /// Bytes that are kept.
    pub(super) fn bytes<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        self.limits.check_bytes(bytes.len())?;
        self.spend(bytes.len())?;
        Ok(bytes)
    }
}

/// The content of one field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'a> {
    Varint(u64),
    Fixed64(u64),
    /// No message here has such a field; later ones may.
    Fixed32,
    Bytes(&'a [u8]),
}

/// The fields of one message, in the order in which they arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

#[cold]
fn cut(what: &str) -> Error {
    Error::corrupt(format!("the bytes end inside {what}"))
}

#[cold]
pub(super) fn expected(what: &str) -> Error {
    Error::corrupt(format!("expected {what}"))
}

fn varint(rest: &mut &[u8]) -> Result<u64> {
    // `decode_varint` asks for a byte at least.
    if rest.is_empty() {
        return Err(cut("a number"));
    }
    decode_varint(rest).map_err(|error| Error::corrupt(error.to_string()))
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field, until the message ends.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Part<'a>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = varint(&mut self.rest)?;
        let Ok(number @ 1..=0x1fff_ffff) = u32::try_from(key >> 3) else {
            return Err(expected("a field's number from 1 to 536,870,911"));
        };
        let part = match key & 7 {
            0 => Part::Varint(varint(&mut self.rest)?),
            1 => {
                let (bytes, rest) = self
                    .rest
                    .split_first_chunk()
                    .ok_or_else(|| cut("a number of 8 bytes"))?;
                self.rest = rest;
                Part::Fixed64(u64::from_le_bytes(*bytes))
            }
            2 => {
                let len = varint(&mut self.rest)?;
                let part = usize::try_from(len)
                    .ok()
                    .and_then(|len| self.rest.split_at_checked(len));
                let (part, rest) = part.ok_or_else(|| {
                    Error::corrupt(format!(
                        "field {number} announces {len} bytes, but {} are left",
                        self.rest.len()
                    ))
                })?;
                self.rest = rest;
                Part::Bytes(part)
            }
            5 => {
                let (_, rest) = self
                    .rest
                    .split_at_checked(4)
                    .ok_or_else(|| cut("a number of 4 bytes"))?;
                self.rest = rest;
                Part::Fixed32
            }
            other => {
                return Err(Error::corrupt(format!(
                    "field {number} has wire type {other}, which no field has"
                )));
            }
        };
        Ok(Some((number, part)))
    }
}

impl<'a> Part<'a> {
    pub(super) fn number(self) -> Result<u64> {
        match self {
            Self::Varint(number) => Ok(number),
            _ => Err(expected("a number of variable length")),
        }
    }

    pub(super) fn small(self) -> Result<u32> {
        u32::try_from(self.number()?).map_err(|_| expected("a number of 32 bits"))
    }

    /// A number whose sign is its lowest bit.
    pub(super) fn signed(self) -> Result<i64> {
        let raw = self.number()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    pub(super) fn bool(self) -> Result<bool> {
        match self.number()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(expected("0 or 1")),
        }
    }

    pub(super) fn fixed(self) -> Result<u64> {
        match self {
            Self::Fixed64(number) => Ok(number),
            _ => Err(expected("a number of 8 bytes")),
        }
    }

    pub(super) fn bytes(self) -> Result<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(expected("a length and bytes")),
        }
    }

    pub(super) fn bytes16(self) -> Result<[u8; 16]> {
        self.bytes()?.try_into().map_err(|_| expected("16 bytes"))
    }

    pub(super) fn text(self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| expected("text in UTF-8"))
    }

    pub(super) fn message(self) -> Result<Fields<'a>> {
        self.bytes().map(Fields::of)
    }

    /// Appends the numbers of a packed list, at most `most` in all.
    pub(super) fn numbers(
        self,
        most: usize,
        budget: &mut Budget,
        found: &mut Vec<u32>,
    ) -> Result<()> {
        let mut rest = self.bytes()?;
        while !rest.is_empty() {
            let number = varint(&mut rest)?;
            if found.len() == most {
                return Err(Error::limit_exceeded(format!(
                    "more than {most} numbers in one list"
                )));
            }
            budget.element::<u32>()?;
            found.push(u32::try_from(number).map_err(|_| expected("a number of 32 bits"))?);
        }
        Ok(())
    }
}

impl Part<'_> {
    /// Appends the identities of a packed list of 4 bytes each, at most `most` in all.
    pub(super) fn ids(self, most: usize, found: &mut Vec<DictionaryId>) -> Result<()> {
        let (ids, []) = self.bytes()?.as_chunks::<4>() else {
            return Err(expected("identities of 4 bytes"));
        };
        if found.len() + ids.len() > most {
            return Err(Error::limit_exceeded(format!(
                "{} dictionaries, but the limit is {most}",
                found.len() + ids.len()
            )));
        }
        let id = |bytes: &[u8; 4]| DictionaryId(u32::from_le_bytes(*bytes).to_be_bytes());
        found.extend(ids.iter().map(id));
        Ok(())
    }
}

/// Puts a message's part into its place, which it takes once.
pub(super) fn once<T>(place: &mut Option<T>, part: T) -> Result<()> {
    if place.is_some() {
        return Err(expected("each part of a message once"));
    }
    *place = Some(part);
    Ok(())
}

/// Appends a number, unless it is 0, which is what a field that is left out means.
pub(super) fn put_number(field: u32, number: u64, out: &mut Vec<u8>) {
    if number != 0 {
        encode_key(field, WireType::Varint, out);
        encode_varint(number, out);
    }
}

/// Appends a number whose sign becomes its lowest bit.
pub(super) fn put_signed(field: u32, number: i64, out: &mut Vec<u8>) {
    put_number(field, ((number << 1) ^ (number >> 63)).cast_unsigned(), out);
}

/// Appends a number in 8 bytes, unless it is 0.
pub(super) fn put_fixed(field: u32, number: u64, out: &mut Vec<u8>) {
    if number != 0 {
        encode_key(field, WireType::SixtyFourBit, out);
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// Appends bytes or text, also when they are empty.
pub(super) fn put_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends a packed list, unless it is empty.
pub(super) fn put_numbers(field: u32, numbers: impl IntoIterator<Item = u32>, out: &mut Vec<u8>) {
    let mut packed = Vec::new();
    for number in numbers {
        encode_varint(number.into(), &mut packed);
    }
    if !packed.is_empty() {
        put_bytes(field, &packed, out);
    }
}

/// Appends a packed list of identities, unless it is empty.
pub(super) fn put_ids(field: u32, ids: &[DictionaryId], out: &mut Vec<u8>) {
    if !ids.is_empty() {
        let ids = ids.iter().map(|id| u32::from_be_bytes(id.0).to_le_bytes());
        put_bytes(field, &ids.collect::<Vec<_>>().concat(), out);
    }
}

/// Appends a message that `write` writes; its length is put in front afterwards.
pub(super) fn put_message(
    field: u32,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    encode_key(field, WireType::LengthDelimited, out);
    let place = out.len();
    out.push(0);
    write(out)?;
    let mut len = Vec::with_capacity(10);
    encode_varint((out.len() - place - 1) as u64, &mut len);
    // Most messages are shorter than 128 bytes, and then nothing moves.
    out.splice(place..=place, len);
    Ok(())
}
