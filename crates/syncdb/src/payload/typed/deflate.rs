//! Zlib streams: states are kept, because making one costs more than its work.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::cell::RefCell;

use common::{Error, Result};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Room, short};

/// The shortest stream: two bytes of header, an empty block, four of checksum.
const STREAM_BYTES_MIN: usize = 8;
/// What a stream costs beside its blocks.
const STREAM_OVERHEAD: usize = 6;
/// First room for what comes out of a stream.
const OUTPUT_BYTES_MIN: usize = 256;
/// Inputs up to this length are looked at before they are deflated: most have nothing to gain.
const LOOKED_AT_MAX: usize = 48;

/// How hard texts and byte strings are packed, as zlib's levels 0 to 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflation(u8);

impl Deflation {
    /// Not at all.
    pub const NONE: Self = Self(0);

    /// The level zlib calls by this number.
    ///
    /// # Errors
    /// It is above 9.
    pub fn new(level: u8) -> Result<Self> {
        if level <= 9 {
            Ok(Self(level))
        } else {
            let message = format!("{level} is no level of zlib: expected 0 to 9");
            Err(Error::invalid(message))
        }
    }
}

thread_local! {
    static COMPRESS: RefCell<Option<(u8, Compress)>> = const { RefCell::new(None) };
    static DECOMPRESS: RefCell<Option<Decompress>> = const { RefCell::new(None) };
}

/// Appends the input as a stream, unless that has as many bytes as `below` or more. Whether it did.
pub(super) fn deflated(
    input: &[u8],
    level: Deflation,
    below: Option<usize>,
    out: &mut Vec<u8>,
) -> bool {
    if let Some(below) = below {
        if !may_gain(input) {
            return false;
        }
        // As short at every level as at the highest.
        if input.len() <= short::INPUT_BYTES_MAX {
            return short::deflated(input, below, out);
        }
    }
    COMPRESS.with_borrow_mut(|kept| {
        let state = match kept {
            Some((kept, state)) if *kept == level.0 => {
                state.reset();
                state
            }
            _ => {
                // From 2 to 6 the library has one algorithm, and a lower level may come out shorter by some bytes.
                let effort = if level.0 < 6 { 1 } else { level.0 };
                let state = Compress::new(Compression::new(u32::from(effort)), true);
                &mut kept.insert((level.0, state)).1
            }
        };
        let start = out.len();
        // Stored blocks cost five bytes for each 16 KiB or so.
        let most = below.unwrap_or_else(|| input.len() + input.len() / 1_024 + 64);
        out.reserve(most);
        loop {
            let consumed = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
            let rest = input.get(consumed..).unwrap_or_default();
            match state.compress_vec(rest, out, FlushCompress::Finish) {
                Ok(Status::StreamEnd) => break,
                Ok(_) if below.is_none() && out.capacity() > out.len() => {}
                Ok(_) if below.is_none() => out.reserve(most),
                // The room is used up: no shorter.
                _ => {
                    out.truncate(start);
                    return false;
                }
            }
        }
        let shorter = below.is_none_or(|below| out.len() - start < below);
        if !shorter {
            out.truncate(start);
        }
        shorter
    })
}

/// Whether deflating can make the input shorter, judged by repeated sequences when it is short.
///
/// A short input gains by naming earlier sequences only: a code of its own for its letters takes more bytes to
/// describe than it saves.
fn may_gain(input: &[u8]) -> bool {
    if input.len() > LOOKED_AT_MAX {
        return true;
    }
    // Where a sequence of three bytes stood last, by a hash of it, plus one.
    let mut places = [0_u8; 64];
    // In bits, by the fixed code: the header of the block and its end; then each match, of at least 12.
    let (mut at, mut bits) = (0, 10);
    while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
        let mut same = 0;
        if let &[a, b, c, ..] = rest {
            let hash = (usize::from(a) ^ usize::from(b) << 2 ^ usize::from(c) << 4) % places.len();
            if let Some(place) = places.get_mut(hash) {
                let earlier = usize::from(*place)
                    .checked_sub(1)
                    .and_then(|start| input.get(start..));
                let pairs = earlier.unwrap_or_default().iter().zip(rest);
                same = pairs.take_while(|(left, right)| left == right).count();
                *place = u8::try_from(at + 1).unwrap_or(0);
            }
        }
        if same >= 3 {
            bits += 12;
            at += same;
        } else {
            bits += 8 + usize::from(rest.first().is_some_and(|byte| *byte >= 144));
            at += 1;
        }
    }
    STREAM_OVERHEAD + bits / 8 < input.len()
}

/// Whether bytes begin as a stream does: by its two bytes of header, and not by chance too short.
fn looks_like_stream(data: &[u8]) -> bool {
    let &[first, second, ..] = data else {
        return false;
    };
    let header = u16::from_be_bytes([first, second]);
    data.len() >= STREAM_BYTES_MIN
        && first & 0x0f == 8
        && first >> 4 <= 7
        && second & 0x20 == 0
        && header % 31 == 0
}

/// Whether a reader that takes what begins with a stream for that stream would be misled by these bytes.
pub(super) fn starts_as_stream(data: &[u8]) -> bool {
    looks_like_stream(data)
        && DECOMPRESS.with_borrow_mut(|kept| {
            let state = restarted(kept);
            let mut scratch = [0; 4_096];
            loop {
                let consumed = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
                let produced = state.total_out();
                let rest = data.get(consumed..).unwrap_or_default();
                match state.decompress(rest, &mut scratch, FlushDecompress::None) {
                    Ok(Status::StreamEnd) => return true,
                    Ok(_) if state.total_out() > produced => {}
                    Ok(_) | Err(_) => return false,
                }
            }
        })
}

/// What a stream holds; none if the data are not one stream from end to end.
pub(super) fn inflated(data: &[u8], room: &mut Room) -> Result<Option<Vec<u8>>> {
    if !looks_like_stream(data) {
        return Ok(None);
    }
    DECOMPRESS.with_borrow_mut(|kept| {
        let state = restarted(kept);
        let mut out = Vec::with_capacity((4 * data.len()).max(OUTPUT_BYTES_MIN).min(room.0));
        loop {
            let consumed = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
            let rest = data.get(consumed..).unwrap_or_default();
            match state.decompress_vec(rest, &mut out, FlushDecompress::Finish) {
                Ok(Status::StreamEnd) => break,
                Ok(_) if out.len() == out.capacity() => {}
                Ok(_) | Err(_) => return Ok(None),
            }
            if out.len() >= room.0 {
                return Err(Error::limit_exceeded(
                    "a text or byte string inflates to more than the limit (option `total_bytes_max`)",
                ));
            }
            out.reserve(out.len().min(room.0 - out.len()).max(1));
        }
        if usize::try_from(state.total_in()).is_ok_and(|read| read < data.len()) {
            return Ok(None);
        }
        room.0 = room.0.checked_sub(out.len()).ok_or_else(|| {
            Error::limit_exceeded(
                "texts and byte strings inflate to more than the limit (option `total_bytes_max`)",
            )
        })?;
        Ok(Some(out))
    })
}

fn restarted(kept: &mut Option<Decompress>) -> &mut Decompress {
    match kept {
        Some(state) => {
            state.reset(true);
            state
        }
        None => kept.insert(Decompress::new(true)),
    }
}
