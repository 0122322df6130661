//! Values that say their own types, one after another: what the Python package `syncdb` stores.
//!
//! A block knows its columns; here nothing is known before it is read, and lists and maps nest. The caller walks its
//! own values: it writes each element between [`open`] and [`close`], and reads them with [`Elements`].
//!
//! # Bytes
//!
//! An empty list or map is the byte `00`. Others are `01` and the elements up to the end of the data, not counted.
//!
//! | part of an element | bytes |
//! |---|---|
//! | key, in maps only | length (1 byte), then a text |
//! | signature | 1 |
//! | length of the payload | 1; or `FF` and 4, big-endian, from 255 bytes on |
//! | payload | what [`put_int`] and the others write; for lists and maps, as above |
//!
//! Bytes of old programs read back, all but payloads of exactly 255 bytes: those programs wrote the short length, which
//! nobody can tell from a long one.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

mod deflate;

use std::borrow::Cow;

use common::optimization::compression::zlib::{self, Level};
use common::{Error, Limits, Result};

use deflate::{inflated, starts_as_stream};

/// First byte of a list or map without elements.
pub const EMPTY: u8 = 0;
/// First byte of a list or map with elements.
pub const FILLED: u8 = 1;
/// The short length that says that a long one follows.
const LONG: u8 = 0xff;
/// Texts of fewer characters are left as they are.
const TEXT_CHARS_MIN: usize = 10;
/// Byte strings of fewer bytes are left as they are.
const BYTES_MIN: usize = 50;

/// One value of a list or map, not yet understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// Which type it has, by the table of whoever wrote it.
    pub signature: u8,
    /// Its bytes.
    pub payload: &'a [u8],
}

/// What is left to read of a list or map.
///
/// ```
/// use syncdb::payload::typed::{Elements, int};
/// let list = [1, 2, 1, 1, 2, 2, 1, 44];
/// let mut elements = Elements::of(&list).unwrap();
/// assert_eq!(int(elements.element().unwrap().payload).unwrap(), 1);
/// assert_eq!(int(elements.element().unwrap().payload).unwrap(), 300);
/// assert!(elements.is_done());
/// ```
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    /// The elements of a list or map.
    ///
    /// # Errors
    /// The first byte is no beginning, or does not fit what follows.
    pub fn of(data: &'a [u8]) -> Result<Self> {
        match data {
            [EMPTY] | [FILLED, _, ..] => Ok(Self {
                rest: data.get(1..).unwrap_or_default(),
            }),
            [] => Err(Error::corrupt("no bytes, where a list or map begins")),
            [FILLED] => Err(Error::corrupt("a list or map ends after its first byte")),
            [EMPTY, ..] => Err(Error::corrupt("bytes after an empty list or map")),
            [first, ..] => Err(Error::corrupt(format!(
                "a list or map begins with 00 or 01, not {first:02x}"
            ))),
        }
    }

    /// Whether all have been read.
    pub fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// The key of a map's next element, which [`text`] reads.
    ///
    /// # Errors
    /// The data ends before it does.
    pub fn key(&mut self) -> Result<&'a [u8]> {
        let length = self.take(1)?;
        let length = length.first().copied().unwrap_or_default();
        self.take(usize::from(length))
    }

    /// The next element; in a map, after its key.
    ///
    /// # Errors
    /// The data ends before it does.
    pub fn element(&mut self) -> Result<Element<'a>> {
        let &[signature, short] = self.take(2)? else {
            return Err(ends_early());
        };
        let length = if short == LONG {
            let long = self.take(4)?.try_into().map_err(|_| ends_early())?;
            usize::try_from(u32::from_be_bytes(long)).map_err(|_| ends_early())?
        } else {
            usize::from(short)
        };
        let payload = self.take(length)?;
        Ok(Element { signature, payload })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(ends_early)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cold]
fn ends_early() -> Error {
    Error::corrupt("a list or map ends in the middle of an element")
}

/// Begins an element; what is written to `out` from now on is its payload, up to [`close`] with the same number.
pub fn open(signature: u8, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[signature, 0]);
    out.len()
}

/// Ends the element whose payload began at `start`.
///
/// # Errors
/// The payload has more bytes than a length can say.
pub fn close(start: usize, out: &mut Vec<u8>) -> Result<()> {
    let length = out.len().saturating_sub(start);
    if let Ok(short) = u8::try_from(length)
        && short != LONG
    {
        if let Some(place) = out.get_mut(start.wrapping_sub(1)) {
            *place = short;
        }
        return Ok(());
    }
    let long = u32::try_from(length)
        .map_err(|_| Error::invalid(format!("a value of {length} bytes: at most 4 GiB fit")))?;
    if let Some(place) = out.get_mut(start.wrapping_sub(1)) {
        *place = LONG;
    }
    out.splice(start..start, long.to_be_bytes());
    Ok(())
}

/// Writes the key of a map's element: a text whose bytes were made by [`put_text`].
///
/// # Errors
/// It has more than 255 bytes.
pub fn put_key(text: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let length = u8::try_from(text.len())
        .map_err(|_| Error::invalid(format!("a key of {} bytes: at most 255 fit", text.len())))?;
    out.push(length);
    out.extend_from_slice(text);
    Ok(())
}

/// Writes an integer, big-endian in the fewest of 1, 2, 4 and 8 bytes.
pub fn put_int(value: i64, out: &mut Vec<u8>) {
    if let Ok(value) = i8::try_from(value) {
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Ok(value) = i16::try_from(value) {
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Ok(value) = i32::try_from(value) {
        out.extend_from_slice(&value.to_be_bytes());
    } else {
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Reads what [`put_int`] wrote.
///
/// # Errors
/// Another number of bytes.
pub fn int(payload: &[u8]) -> Result<i64> {
    match *payload {
        [a] => Ok(i64::from(i8::from_be_bytes([a]))),
        [a, b] => Ok(i64::from(i16::from_be_bytes([a, b]))),
        [a, b, c, d] => Ok(i64::from(i32::from_be_bytes([a, b, c, d]))),
        _ => match payload.try_into() {
            Ok(bytes) => Ok(i64::from_be_bytes(bytes)),
            Err(_) => Err(misfit("an integer", "1, 2, 4 or 8", payload)),
        },
    }
}

/// Writes a float, big-endian: in 4 bytes when they hold it exactly, else in 8.
pub fn put_float(value: f64, out: &mut Vec<u8>) {
    match single(value) {
        Some(single) if f64::from(single).to_bits() == value.to_bits() || value.is_nan() => {
            out.extend_from_slice(&single.to_be_bytes());
        }
        _ => out.extend_from_slice(&value.to_be_bytes()),
    }
}

/// The nearest float of 4 bytes; none for a finite one that becomes infinite.
pub fn single(value: f64) -> Option<f32> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to the nearest is the meaning"
    )]
    let single = value as f32;
    (single.is_finite() || !value.is_finite()).then_some(single)
}

/// Reads a float of 4 or 8 bytes.
///
/// # Errors
/// Another number of bytes.
pub fn float(payload: &[u8]) -> Result<f64> {
    match *payload {
        [a, b, c, d] => Ok(f64::from(f32::from_be_bytes([a, b, c, d]))),
        _ => match payload.try_into() {
            Ok(bytes) => Ok(f64::from_be_bytes(bytes)),
            Err(_) => Err(misfit("a float", "4 or 8", payload)),
        },
    }
}

#[cold]
fn misfit(what: &str, expected: &str, payload: &[u8]) -> Error {
    let found = payload.len();
    Error::corrupt(format!("{what} has {expected} bytes, not {found}"))
}

/// Writes a text: a zlib stream when it is shorter, else UTF-8.
///
/// UTF-8 that a reader would take for a zlib stream is written as one.
pub fn put_text(value: &str, level: Level, out: &mut Vec<u8>) {
    // A text of so many bytes may still have too few characters.
    let short = value.len() < TEXT_CHARS_MIN
        || (value.len() < 4 * TEXT_CHARS_MIN && value.chars().count() < TEXT_CHARS_MIN);
    put_packed(value.as_bytes(), short, level, out);
}

/// Writes a byte string: a zlib stream when it is shorter, else as it is.
///
/// Bytes that a reader would take for a zlib stream are written as one.
pub fn put_bytes(value: &[u8], level: Level, out: &mut Vec<u8>) {
    put_packed(value, value.len() < BYTES_MIN, level, out);
}

fn put_packed(value: &[u8], short: bool, level: Level, out: &mut Vec<u8>) {
    if !short && zlib::compress_if_shorter(value, level, out) {
        return;
    }
    if starts_as_stream(value) {
        out.extend_from_slice(&zlib::compress(value, level));
    } else {
        out.extend_from_slice(value);
    }
}

/// How many bytes the streams of one decoder call may still inflate to.
#[derive(Debug)]
pub struct Room(usize);

impl Room {
    /// As much as the limits say.
    pub fn new(limits: &Limits) -> Self {
        Self(limits.total_bytes_max)
    }
}

/// Reads the bytes of a text, which are UTF-8 unless a stranger wrote them.
///
/// # Errors
/// A stream has no room.
pub fn text<'a>(payload: &'a [u8], room: &mut Room) -> Result<Cow<'a, [u8]>> {
    bytes(payload, room)
}

/// Reads a byte string.
///
/// # Errors
/// A stream has no room.
pub fn bytes<'a>(payload: &'a [u8], room: &mut Room) -> Result<Cow<'a, [u8]>> {
    Ok(match inflated(payload, room)? {
        Some(inflated) => Cow::Owned(inflated),
        None => Cow::Borrowed(payload),
    })
}
