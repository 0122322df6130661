//! What the pages of a Parquet file declare, added up before any of them is inflated.
//!
//! A page names the size to which it inflates and the number of values that it holds, and the library below
//! reserves memory on its word. A few bytes can name two thousand million of each. So the headers, which are
//! structs in Thrift's compact protocol, are read here first.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::ops::Range;

use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::ChunkReader;

use crate::error::{Error, Result};
use crate::limits::Limits;

/// Bytes that a value takes at least while a page is read: two levels and a cell.
const VALUE_BYTES: u64 = 8;

/// Bytes after the footer: its length and a magic number.
const TRAILER_BYTES: u64 = 8;

/// Bytes of the file that are looked at for a page's header; more only for one that is longer.
const HEADER_BYTES: u64 = 4 << 10;

/// What is in memory at once, and so counts against [`Limits::total_bytes_max`] together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// All pages.
    File,
    /// One page: the file is read batch by batch.
    Page,
}

/// Checks the declared rows, inflated sizes and values of all pages against the limits.
pub(super) fn check(
    metadata: &ParquetMetaData,
    file: &impl ChunkReader,
    scope: Scope,
    limits: &Limits,
) -> Result<()> {
    let rows = metadata.file_metadata().num_rows();
    limits.check_rows(usize::try_from(rows).unwrap_or(usize::MAX))?;
    let mut declared: u64 = 0;
    let mut group_rows: u64 = 0;
    for group in metadata.row_groups() {
        group_rows = group_rows.saturating_add(u64::try_from(group.num_rows()).unwrap_or(u64::MAX));
        for chunk in group.columns() {
            let place = |error: Error| error.at(format!("column {}", chunk.column_path()));
            if chunk.data_page_offset() < 0
                || chunk.compressed_size() < 0
                || chunk.dictionary_page_offset().is_some_and(|at| at < 0)
            {
                return Err(place(Error::corrupt("a position lies before the file")));
            }
            let (start, len) = chunk.byte_range();
            let end = start.checked_add(len).filter(|end| *end <= file.len());
            let Some(end) = end else {
                return Err(place(Error::corrupt("its pages lie outside the file")));
            };
            declared = chunk_size(file, start..end, declared, scope, limits).map_err(place)?;
        }
    }
    if usize::try_from(group_rows).ok() != usize::try_from(rows).ok() {
        return Err(Error::corrupt(
            "row groups hold another number of rows than the file",
        ));
    }
    Ok(())
}

/// Walks through the footer before the library below does, which goes through a list of flags by the number that it
/// declares: thousands of millions of them in ten bytes. No footer has such a list, and elements of any other kind take
/// bytes that must be there.
///
/// Types are taken as they are declared. The library takes those of the fields that it knows for granted, so a footer
/// made with care can still be read by it in another way.
pub(super) fn check_footer(file: &impl ChunkReader) -> Result<()> {
    let Some(end) = file.len().checked_sub(TRAILER_BYTES) else {
        return Err(Error::corrupt("it is too short for a Parquet file"));
    };
    let read = |start: u64, len: u64| {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        file.get_bytes(start, len).map_err(super::corrupt)
    };
    let trailer = read(end, TRAILER_BYTES)?;
    let Some((length, magic)) = trailer.split_first_chunk::<4>() else {
        return Err(Error::corrupt("it is too short for a Parquet file"));
    };
    let length = u64::from(u32::from_le_bytes(*length));
    let start = end.checked_sub(length);
    let (Some(start), b"PAR1") = (start, magic) else {
        return Err(Error::corrupt("it does not end as Parquet files do"));
    };
    let footer = read(start, length)?;
    let mut reader = Thrift {
        rest: &footer,
        part: Part::Footer,
    };
    reader.skip(wire::STRUCT, 0)?;
    if !reader.rest.is_empty() {
        return Err(Error::corrupt("the footer ends before its length"));
    }
    Ok(())
}

/// Adds what the pages of one column chunk declare to `declared`; how much there is at once then.
fn chunk_size(
    file: &impl ChunkReader,
    chunk: Range<u64>,
    mut declared: u64,
    scope: Scope,
    limits: &Limits,
) -> Result<u64> {
    let mut at = chunk.start;
    while at < chunk.end {
        let (page, header) = page_at(file, at..chunk.end)?;
        let values = u64::from(page.values).saturating_mul(VALUE_BYTES);
        if scope == Scope::Page {
            declared = 0;
        }
        declared = declared
            .saturating_add(u64::from(page.inflated))
            .saturating_add(values);
        limits.check_total(usize::try_from(declared).unwrap_or(usize::MAX))?;
        // Positions lie within the file, and these are small.
        at += header + u64::from(page.compressed);
        if at > chunk.end {
            return Err(Error::corrupt("a page lies beyond its column chunk"));
        }
    }
    Ok(declared)
}

/// The header of the page at the beginning of `rest`, and its length.
fn page_at(file: &impl ChunkReader, rest: Range<u64>) -> Result<(Page, u64)> {
    let left = rest.end - rest.start;
    let mut len = HEADER_BYTES.min(left);
    loop {
        let bytes = file
            .get_bytes(rest.start, usize::try_from(len).unwrap_or(usize::MAX))
            .map_err(super::corrupt)?;
        let mut reader = Thrift {
            rest: &bytes,
            part: Part::Page,
        };
        match reader.page() {
            Ok(page) => return Ok((page, (bytes.len() - reader.rest.len()) as u64)),
            // The header may go on beyond what was looked at.
            Err(_) if len < left => len = len.saturating_mul(16).min(left),
            Err(error) => return Err(error),
        }
    }
}

/// What a page's header declares.
#[derive(Debug, Default)]
struct Page {
    inflated: u32,
    compressed: u32,
    values: u32,
}

/// Types of fields in Thrift's compact protocol.
mod wire {
    pub(super) const STOP: u8 = 0;
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const BYTE: u8 = 3;
    pub(super) const I16: u8 = 4;
    pub(super) const I32: u8 = 5;
    pub(super) const I64: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const SET: u8 = 10;
    pub(super) const STRUCT: u8 = 12;
}

/// Numbers of fields in Parquet's `PageHeader`, and of the count of values in each kind of page's own header.
mod field {
    pub(super) const INFLATED: i64 = 2;
    pub(super) const COMPRESSED: i64 = 3;
    pub(super) const DATA: i64 = 5;
    pub(super) const DICTIONARY: i64 = 7;
    pub(super) const DATA_V2: i64 = 8;
    pub(super) const VALUES: i64 = 1;
}

struct Thrift<'a> {
    rest: &'a [u8],
    part: Part,
}

/// What is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Footer,
    Page,
}

impl Part {
    /// Most structs and lists inside one another; the real ones have ten, and three.
    const fn depth_max(self) -> usize {
        match self {
            Self::Footer => 24,
            Self::Page => 8,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Footer => "the footer",
            Self::Page => "the header of a page",
        }
    }
}

impl Thrift<'_> {
    fn byte(&mut self) -> Result<u8> {
        match self.rest.split_first() {
            Some((byte, rest)) => {
                self.rest = rest;
                Ok(*byte)
            }
            None => Err(self.cut_off()),
        }
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::corrupt(format!(
            "a number in {} is too long",
            self.part.name()
        )))
    }

    fn signed(&mut self) -> Result<i64> {
        let raw = self.varint()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    fn size(&mut self) -> Result<u32> {
        let size = self.signed()?;
        u32::try_from(size).map_err(|_| Error::corrupt(format!("a page cannot have size {size}")))
    }

    /// The next field's number and type; `None` at the end of the struct.
    fn field(&mut self, last: &mut i64) -> Result<Option<u8>> {
        let byte = self.byte()?;
        let ty = byte & 0x0f;
        if ty == wire::STOP {
            return Ok(None);
        }
        *last = match i64::from(byte >> 4) {
            0 => self.signed()?,
            step => last.saturating_add(step),
        };
        Ok(Some(ty))
    }

    fn page(&mut self) -> Result<Page> {
        let mut page = Page::default();
        let mut number = 0;
        while let Some(ty) = self.field(&mut number)? {
            match (number, ty) {
                (field::INFLATED, wire::I32) => page.inflated = self.size()?,
                (field::COMPRESSED, wire::I32) => page.compressed = self.size()?,
                (field::DATA | field::DICTIONARY | field::DATA_V2, wire::STRUCT) => {
                    let mut inner = 0;
                    while let Some(ty) = self.field(&mut inner)? {
                        if (inner, ty) == (field::VALUES, wire::I32) {
                            page.values = self.size()?;
                        } else {
                            self.skip(ty, 2)?;
                        }
                    }
                }
                _ => self.skip(ty, 1)?,
            }
        }
        Ok(page)
    }

    fn skip(&mut self, ty: u8, depth: usize) -> Result<()> {
        if depth > self.part.depth_max() {
            return Err(Error::corrupt(format!(
                "{} is nested too deep",
                self.part.name()
            )));
        }
        match ty {
            wire::TRUE | wire::FALSE => {}
            wire::BYTE => drop(self.byte()?),
            wire::I16 | wire::I32 | wire::I64 => drop(self.varint()?),
            wire::DOUBLE => self.skip_bytes(8)?,
            wire::BINARY => {
                let len = self.varint()?;
                self.skip_bytes(usize::try_from(len).unwrap_or(usize::MAX))?;
            }
            wire::LIST | wire::SET => {
                let head = self.byte()?;
                let len = match head >> 4 {
                    15 => self.varint()?,
                    len => len.into(),
                };
                for _ in 0..len {
                    match head & 0x0f {
                        wire::TRUE | wire::FALSE if self.part == Part::Footer => {
                            return Err(Error::corrupt("the footer has a list of flags"));
                        }
                        // In lists, a bool takes a byte.
                        wire::TRUE | wire::FALSE => drop(self.byte()?),
                        ty => self.skip(ty, depth + 1)?,
                    }
                }
            }
            wire::STRUCT => {
                let mut number = 0;
                while let Some(ty) = self.field(&mut number)? {
                    self.skip(ty, depth + 1)?;
                }
            }
            other => {
                return Err(Error::corrupt(format!(
                    "unknown type {other} in {}",
                    self.part.name()
                )));
            }
        }
        Ok(())
    }

    fn cut_off(&self) -> Error {
        Error::corrupt(format!("{} is cut off", self.part.name()))
    }

    fn skip_bytes(&mut self, len: usize) -> Result<()> {
        self.rest = self.rest.get(len..).ok_or_else(|| self.cut_off())?;
        Ok(())
    }
}
