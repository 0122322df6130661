//! Where the parts of a block go while it is written, and where they come from while it is read.
//!
//! A block has three places. The *head* holds what is small and repeats from block to block: descriptions, short
//! texts, dictionaries. The *bits* hold numbers that are packed already, which would only be in the way of the head's
//! compression. A long stream of bytes is a *group* of its own, so that it can be left packed when nobody asks for it.

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
use std::cell::Cell;

use common::optimization::compression::integers::{read_varint, write_varint};
use common::optimization::compression::{Compression, TAG_ZSTD};
use common::{Error, Limits, Result};

use super::Level;
use super::shared::SharedDictionary;

/// Streams of at least this many bytes are groups of their own.
pub(super) const GROUP_BYTES_MIN: usize = 1_024;

/// Fewer bytes than a frame takes by itself, and little more, are not packed.
const PACKED_BYTES_MIN: usize = 24;

/// What is written so far.
pub(super) struct Sink {
    pub(super) level: Level,
    pub(super) head: Vec<u8>,
    pub(super) bits: Vec<u8>,
    pub(super) groups: Vec<Vec<u8>>,
    /// The numbers of a stream, kept between columns so that each need not ask for memory.
    pub(super) scratch: Vec<u64>,
}

impl Sink {
    pub(super) fn new(level: Level) -> Self {
        Self {
            level,
            head: Vec::with_capacity(1_024),
            bits: Vec::with_capacity(1_024),
            groups: Vec::new(),
            scratch: Vec::new(),
        }
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.head.push(byte);
    }

    pub(super) fn number(&mut self, number: usize) {
        write_varint(number as u64, &mut self.head);
    }

    /// Bytes that compression can make fewer. The reader knows how many there are.
    pub(super) fn bytes(&mut self, bytes: Vec<u8>) {
        if bytes.len() >= GROUP_BYTES_MIN {
            self.groups.push(bytes);
        } else {
            self.head.extend_from_slice(&bytes);
        }
    }
}

/// What is left to read of a column.
pub(super) struct Source<'a> {
    pub(super) head: &'a [u8],
    pub(super) bits: &'a [u8],
    pub(super) groups: &'a [Group<'a>],
    pub(super) limits: &'a Limits,
    pub(super) dictionary: Option<&'a SharedDictionary>,
    /// Bytes of memory that decoding may still take; shared by all columns of a block.
    pub(super) budget: &'a Cell<usize>,
    /// Position of the column in its table, for the shared dictionary.
    pub(super) column: usize,
    pub(super) depth: usize,
}

/// A stream that is packed by itself.
#[derive(Debug, Clone)]
pub(super) struct Group<'a> {
    pub(super) packed: Cow<'a, [u8]>,
    pub(super) raw_bytes: usize,
    pub(super) method: u8,
}

/// The bytes as they are.
pub(super) const METHOD_STORED: u8 = 0;
/// A Zstandard frame without its magic number.
pub(super) const METHOD_ZSTD: u8 = 1;
/// The same, packed with the shared dictionary.
pub(super) const METHOD_DICTIONARY: u8 = 2;

#[cold]
pub(super) fn corrupt(what: &str) -> Error {
    Error::corrupt(format!("payload block: {what}"))
}

impl<'a> Source<'a> {
    pub(super) fn byte(&mut self) -> Result<u8> {
        let (byte, rest) = self
            .head
            .split_first()
            .ok_or_else(|| corrupt("the head ends early"))?;
        self.head = rest;
        Ok(*byte)
    }

    pub(super) fn number(&mut self) -> Result<usize> {
        usize::try_from(read_varint(&mut self.head)?).map_err(|_| corrupt("a number is too large"))
    }

    /// Takes note of memory that is about to be used.
    pub(super) fn spend(&self, count: usize, bytes_each: usize) -> Result<()> {
        let bytes = count.saturating_mul(bytes_each);
        match self.budget.get().checked_sub(bytes) {
            Some(left) => {
                self.budget.set(left);
                Ok(())
            }
            None => self.limits.check_total(usize::MAX),
        }
    }

    /// The next `count` bytes of the packed numbers.
    pub(super) fn take_bits(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .bits
            .split_at_checked(count)
            .ok_or_else(|| corrupt("the packed numbers end early"))?;
        self.bits = rest;
        Ok(taken)
    }

    /// What [`Sink::bytes`] wrote.
    pub(super) fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        self.spend(count, 1)?;
        if count < GROUP_BYTES_MIN {
            let (taken, rest) = self
                .head
                .split_at_checked(count)
                .ok_or_else(|| corrupt("the head ends early"))?;
            self.head = rest;
            return Ok(taken.to_vec());
        }
        let (group, rest) = self
            .groups
            .split_first()
            .ok_or_else(|| corrupt("a group is missing"))?;
        self.groups = rest;
        if group.raw_bytes != count {
            return Err(corrupt("a group is not as long as its column says"));
        }
        unpack(group, self.dictionary)
    }

    /// Goes one level down into a nested value.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        self.limits.check_depth(self.depth)?;
        let result = read(self);
        self.depth -= 1;
        result
    }
}

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Packs bytes at a Zstandard level, or stores them where that is not smaller; returns the method.
pub(super) fn pack(
    raw: &[u8],
    level: i32,
    dictionary: Option<&SharedDictionary>,
    out: &mut Vec<u8>,
) -> Result<u8> {
    if raw.len() < PACKED_BYTES_MIN {
        out.extend_from_slice(raw);
        return Ok(METHOD_STORED);
    }
    let dictionary = dictionary.and_then(SharedDictionary::bytes);
    let method = match dictionary {
        Some(_) => METHOD_DICTIONARY,
        None => METHOD_ZSTD,
    };
    let begin = out.len();
    let compression = Compression::Zstd {
        level,
        dictionary: dictionary.cloned(),
    };
    compression.codec()?.compress(raw, out)?;
    let packed = out.get(begin..).unwrap_or_default();
    if packed.len().saturating_sub(ZSTD_MAGIC.len()) < raw.len() && packed.starts_with(&ZSTD_MAGIC)
    {
        out.drain(begin..begin + ZSTD_MAGIC.len());
        return Ok(method);
    }
    out.truncate(begin);
    out.extend_from_slice(raw);
    Ok(METHOD_STORED)
}

/// The bytes of a group; as many as it says.
pub(super) fn unpack(group: &Group<'_>, dictionary: Option<&SharedDictionary>) -> Result<Vec<u8>> {
    let dictionary = match group.method {
        METHOD_STORED if group.packed.len() == group.raw_bytes => return Ok(group.packed.to_vec()),
        METHOD_ZSTD => None,
        METHOD_DICTIONARY => match dictionary.and_then(SharedDictionary::bytes) {
            Some(dictionary) => Some(dictionary.clone()),
            None => {
                return Err(corrupt(
                    "it is packed with a dictionary that it does not name",
                ));
            }
        },
        _ => return Err(corrupt("a group of an unknown method or a wrong length")),
    };
    let compression = Compression::Zstd {
        level: 1,
        dictionary,
    };
    debug_assert_eq!(compression.tag(), TAG_ZSTD);
    let mut frame = Vec::with_capacity(ZSTD_MAGIC.len() + group.packed.len());
    frame.extend_from_slice(&ZSTD_MAGIC);
    frame.extend_from_slice(&group.packed);
    let mut raw = Vec::new();
    compression
        .codec()?
        .decompress(&frame, group.raw_bytes, &mut raw)?;
    if raw.len() == group.raw_bytes {
        Ok(raw)
    } else {
        Err(corrupt("a group is shorter than it says"))
    }
}
