//! Rows of bytes of one length each, from a stream: TEXMEX files, and the data of NumPy's.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::io::Read;

use common::limits::VECTOR_DIMENSION_MAX;
use common::{Error, Result};

use super::VectorFormat;
use super::element::Element;
use super::npy;

/// Bytes of the dimension before each row of a TEXMEX file.
const PREFIX_BYTES: usize = 4;

/// The rows of a file that are yet to come.
pub(super) struct Rows {
    input: Box<dyn Read + Send>,
    /// Bytes read so far.
    offset: u64,
    element: Element,
    /// Of every row; `None` for a file without rows that does not say.
    dimension: Option<usize>,
    /// How many rows the file says that it has.
    declared: Option<u64>,
    /// Rows read so far.
    read: u64,
    /// Whether each row begins with its dimension, and whether that of the next row is read already.
    prefixed: bool,
    is_prefix_read: bool,
    bytes: Vec<u8>,
}

/// A dimension that a vector can have.
pub(super) fn check_dimension(dimension: i64) -> Result<usize> {
    match usize::try_from(dimension) {
        Ok(dimension @ 1..=VECTOR_DIMENSION_MAX) => Ok(dimension),
        _ => Err(Error::invalid(format!(
            "a vector cannot have dimension {dimension}; it is from 1 to {VECTOR_DIMENSION_MAX}"
        ))),
    }
}

impl Rows {
    /// Reads what comes before the first row. `length` is that of the whole file, if it is known.
    pub(super) fn open(
        format: VectorFormat,
        input: Box<dyn Read + Send>,
        length: Option<u64>,
    ) -> Result<Self> {
        let mut rows = Self {
            input,
            offset: 0,
            element: format.element().unwrap_or(Element::F32),
            dimension: None,
            declared: None,
            read: 0,
            prefixed: format.element().is_some(),
            is_prefix_read: false,
            bytes: Vec::new(),
        };
        if rows.prefixed {
            rows.dimension = rows.prefix()?;
            rows.is_prefix_read = rows.dimension.is_some();
            let row = rows
                .dimension
                .map(|dimension| (PREFIX_BYTES + dimension * rows.element.bytes()) as u64);
            rows.declared = match (row, length) {
                (Some(row), Some(length)) if length.is_multiple_of(row) => Some(length / row),
                (None, _) => Some(0),
                _ => None,
            };
        } else {
            rows.npy_header()?;
        }
        Ok(rows)
    }

    pub(super) fn element(&self) -> Element {
        self.element
    }

    pub(super) fn dimension(&self) -> Option<usize> {
        self.dimension
    }

    pub(super) fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// The bytes of the next row, without its dimension; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>> {
        let ahead = if self.is_prefix_read { PREFIX_BYTES } else { 0 };
        let begin = self.offset.saturating_sub(ahead as u64);
        let place = |row: u64| format!("row {row}, which begins at byte {begin}");
        let number = self.read;
        let is_last = if self.prefixed {
            if !std::mem::take(&mut self.is_prefix_read) {
                match self.prefix().map_err(|error| error.at(place(number)))? {
                    None => return Ok(None),
                    found if found == self.dimension => {}
                    Some(found) => {
                        return Err(Error::invalid(format!(
                            "it has dimension {found}, and the rows before it {}",
                            self.dimension.unwrap_or_default()
                        ))
                        .at(place(number)));
                    }
                }
            }
            false
        } else {
            self.declared == Some(self.read)
        };
        if is_last {
            return match self.fill(1)? {
                0 => Ok(None),
                _ => Err(Error::invalid(format!(
                    "bytes follow the last of {number} rows, from byte {begin} on"
                ))),
            };
        }
        let wanted = self.dimension.unwrap_or_default() * self.element.bytes();
        let found = self.fill(wanted)?;
        if found < wanted {
            let more = match self.declared {
                Some(rows) if !self.prefixed => format!(" of {rows}"),
                _ => String::new(),
            };
            return Err(Error::invalid(format!(
                "the file is cut off in row {number}{more}, which begins at byte {begin}: {found} of the {wanted} \
                 bytes of its elements are there"
            )));
        }
        self.read += 1;
        Ok(Some(&self.bytes))
    }

    /// The dimension before a row; `None` at the end of the file.
    fn prefix(&mut self) -> Result<Option<usize>> {
        match self.fill(PREFIX_BYTES)? {
            0 => Ok(None),
            PREFIX_BYTES => {
                let (words, _) = self.bytes.as_chunks::<PREFIX_BYTES>();
                let dimension = words.first().map_or(0, |word| i32::from_le_bytes(*word));
                check_dimension(dimension.into()).map(Some)
            }
            found => Err(Error::invalid(format!(
                "the file is cut off: {found} of the {PREFIX_BYTES} bytes of its dimension are there"
            ))),
        }
    }

    fn npy_header(&mut self) -> Result<()> {
        let cut = || Error::invalid("the file is cut off in its header");
        self.fill(8)?;
        let magic = *self.bytes.first_chunk::<8>().ok_or_else(cut)?;
        let length = npy::length_bytes(magic)?;
        if self.fill(length)? < length {
            return Err(cut());
        }
        let bytes = self.bytes.iter().rev();
        let length = bytes.fold(0, |length, byte| length << 8 | usize::from(*byte));
        if length > npy::HEADER_BYTES_MAX {
            return Err(Error::limit_exceeded(format!(
                "the header has {length} bytes, and at most {} are read",
                npy::HEADER_BYTES_MAX
            )));
        }
        if self.fill(length)? < length {
            return Err(cut());
        }
        let header = npy::parse(&self.bytes)?;
        self.element = header.element;
        self.dimension = Some(header.dimension);
        self.declared = Some(header.rows);
        Ok(())
    }

    /// Reads so many bytes, or up to the end of the file; how many there were. Memory grows with what comes.
    fn fill(&mut self, wanted: usize) -> Result<usize> {
        self.bytes.clear();
        let mut part = self.input.as_mut().take(wanted as u64);
        part.read_to_end(&mut self.bytes)
            .map_err(|error| Error::from(error).at(format!("byte {}", self.offset)))?;
        self.offset += self.bytes.len() as u64;
        Ok(self.bytes.len())
    }
}
