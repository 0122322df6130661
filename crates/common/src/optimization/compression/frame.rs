//! The frame around a codec's output; its layout is in the [parent module](super).

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use super::integers::{read_varint, write_varint};
use super::{Compression, TAG_NONE};
use crate::error::{Error, Result};
use crate::limits::Limits;

/// Most bytes by which a frame exceeds the raw bytes.
pub const FRAME_OVERHEAD_MAX: usize = 1 + 1 + 4 + 10 + 4;

const HAS_DICTIONARY: u8 = 1;

/// What a frame says about itself, read without unpacking it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader<'a> {
    /// Tag of the codec.
    pub tag: u8,
    /// Id of the dictionary that the reader needs.
    pub dictionary: Option<u32>,
    /// Declared length of the raw bytes: a claim, within the limit.
    pub raw_bytes: usize,
    /// CRC-32 of the raw bytes.
    pub checksum: u32,
    /// What the codec wrote.
    pub packed: &'a [u8],
}

impl<'a> FrameHeader<'a> {
    /// Reads the head of a frame. Allocates nothing.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when the frame is cut short or says something impossible;
    /// [`crate::ErrorKind::Unsupported`] for a flag of a later version; [`crate::ErrorKind::LimitExceeded`] when it declares
    /// more than [`Limits::total_bytes_max`], or is longer itself.
    pub fn parse(frame: &'a [u8], limits: &Limits) -> Result<Self> {
        limits.check_total(frame.len())?;
        let (&[tag, flags], mut rest) = frame
            .split_first_chunk()
            .ok_or_else(|| cut_short("tag and flags"))?;
        if flags & !HAS_DICTIONARY != 0 {
            return Err(Error::unsupported(format!(
                "compressed frame has flags {flags:#04x}, this version knows bit 0 only"
            )));
        }
        let dictionary = if flags & HAS_DICTIONARY == 0 {
            None
        } else {
            Some(read_u32(&mut rest, "dictionary id")?)
        };
        let raw_bytes = read_varint(&mut rest)?;
        let raw_bytes = usize::try_from(raw_bytes).unwrap_or(usize::MAX);
        limits.check_total(raw_bytes)?;
        let checksum = read_u32(&mut rest, "checksum")?;
        Ok(Self {
            tag,
            dictionary,
            raw_bytes,
            checksum,
            packed: rest,
        })
    }

    /// Refuses raw bytes that are not those the frame was made of.
    pub(super) fn verify(&self, raw: &[u8]) -> Result<()> {
        if raw.len() != self.raw_bytes {
            return Err(Error::corrupt(format!(
                "compressed frame declares {} bytes and holds {}",
                self.raw_bytes,
                raw.len()
            )));
        }
        // A fuzzer cannot guess a checksum, and what lies behind it must hold against any bytes.
        if cfg!(fuzzing) {
            return Ok(());
        }
        let found = crc32fast::hash(raw);
        if found != self.checksum {
            return Err(Error::corrupt(format!(
                "compressed frame has checksum {:#010x}, its bytes have {found:#010x}: it was damaged",
                self.checksum
            )));
        }
        Ok(())
    }
}

fn read_u32(rest: &mut &[u8], what: &str) -> Result<u32> {
    let (bytes, after) = rest.split_first_chunk().ok_or_else(|| cut_short(what))?;
    *rest = after;
    Ok(u32::from_le_bytes(*bytes))
}

#[cold]
fn cut_short(what: &str) -> Error {
    Error::corrupt(format!("compressed frame ends before its {what}"))
}

pub(super) fn write(compression: &Compression, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let codec = compression.codec()?;
    let begin = out.len();
    let dictionary = compression.dictionary().map(|dictionary| dictionary.id());
    head(codec.tag(), dictionary, raw, out);
    let head_end = out.len();
    if codec.tag() != TAG_NONE {
        codec
            .compress(raw, out)
            .map_err(|error| error.at(codec.name()))?;
        if out.len() - head_end < raw.len() {
            return Ok(());
        }
        out.truncate(begin);
        head(TAG_NONE, None, raw, out);
    }
    out.extend_from_slice(raw);
    Ok(())
}

fn head(tag: u8, dictionary: Option<u32>, raw: &[u8], out: &mut Vec<u8>) {
    out.extend([
        tag,
        if dictionary.is_some() {
            HAS_DICTIONARY
        } else {
            0
        },
    ]);
    if let Some(id) = dictionary {
        out.extend(id.to_le_bytes());
    }
    write_varint(raw.len() as u64, out);
    out.extend(crc32fast::hash(raw).to_le_bytes());
}
