//! Streams of zlib (RFC 1950): what other programs wrote, and what they can read.
//!
//! Not a [`Codec`](super::Codec) of frames, which pack better and faster with Zstandard. By `libdeflate`, which has the
//! whole of the data in memory on both sides and is two to three times as fast as zlib for it; what is short is packed
//! and read by code of our own, because `libdeflate` prepares larger tables for every stream than such data have bytes.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

mod inflate;
mod short;

use std::cell::RefCell;

use libdeflater::{CompressionLvl, Compressor, DecompressionError, Decompressor};

use super::SLACK_BYTES;
use super::codec::{corrupt, too_long};
use crate::error::Result;
use crate::utils::validation::check_in_range;

/// How hard data are packed, as zlib's levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(u8);

impl Level {
    /// Not at all: the data stand in the stream as they are.
    pub const STORED: Self = Self(0);
    /// What zlib itself takes when none is asked for.
    pub const DEFAULT: Self = Self(6);

    /// The level that zlib calls by this number: 0 stores, 1 is fast, 9 packs most.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when it is above 9.
    pub fn new(level: u8) -> Result<Self> {
        check_in_range("zlib level", level, 0..=9)?;
        Ok(Self(level))
    }

    /// The first two bytes of a stream: method and window, then how hard it was tried.
    const fn header(self) -> [u8; 2] {
        let second = match self.0 {
            0 | 1 => 0x01,
            2..=5 => 0x5E,
            6 => 0x9C,
            _ => 0xDA,
        };
        [0x78, second]
    }
}

/// The shortest stream: two bytes of header, an empty block, four of checksum.
const STREAM_BYTES_MIN: usize = 8;
/// What a stream costs beside its blocks.
const STREAM_OVERHEAD: usize = 6;
/// What a block costs that holds the data as they are.
const STORED_OVERHEAD: usize = 5;
/// Inputs up to this length are looked at before they are packed: most have nothing to gain.
const LOOKED_AT_MAX: usize = 48;

/// From here on `libdeflate` is faster.
const SHORT_BYTES_MAX: usize = 2 << 10;

const NAME: &str = "zlib";

thread_local! {
    /// One for each level that was used: making one costs more than packing a short text.
    static COMPRESSORS: RefCell<[Option<Compressor>; 10]> = const { RefCell::new([const { None }; 10]) };
    static DECOMPRESSOR: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
}

/// Packs `raw` into a stream that every zlib decoder reads.
///
/// ```
/// use common::optimization::compression::zlib::{self, Level};
/// let packed = zlib::compress(&b"the same again, ".repeat(100), Level::DEFAULT);
/// assert!(packed.len() < 60);
/// assert_eq!(zlib::decompress(&packed, 1 << 20).unwrap(), b"the same again, ".repeat(100));
/// ```
pub fn compress(raw: &[u8], level: Level) -> Vec<u8> {
    if raw.len() <= SHORT_BYTES_MAX && level != Level::STORED {
        let mut packed = Vec::with_capacity(raw.len() / 2 + STREAM_BYTES_MIN);
        let as_stored = raw.len() + STREAM_OVERHEAD + STORED_OVERHEAD;
        if !short::deflated(raw, level, as_stored, &mut packed) {
            stored(raw, level, &mut packed);
        }
        return packed;
    }
    COMPRESSORS.with_borrow_mut(|compressors| {
        let mut packed = Vec::new();
        if long(compressors, raw, level, &mut packed).is_none() {
            packed.clear();
            stored(raw, level, &mut packed);
        }
        packed
    })
}

/// Appends `raw` as a stream if that is shorter, and else nothing. Whether it did.
///
/// ```
/// use common::optimization::compression::zlib::{self, Level};
/// let mut out = Vec::new();
/// assert!(!zlib::compress_if_shorter(b"nothing comes again", Level::DEFAULT, &mut out));
/// assert!(zlib::compress_if_shorter(b"again and again and again and again", Level::DEFAULT, &mut out));
/// ```
pub fn compress_if_shorter(raw: &[u8], level: Level, out: &mut Vec<u8>) -> bool {
    if level == Level::STORED || !may_gain(raw) {
        return false;
    }
    if raw.len() <= short::INPUT_BYTES_MAX {
        return short::deflated(raw, level, raw.len(), out);
    }
    COMPRESSORS.with_borrow_mut(|compressors| {
        let mut packed = Vec::new();
        let is_shorter =
            long(compressors, raw, level, &mut packed).is_some_and(|()| packed.len() < raw.len());
        if is_shorter {
            out.extend_from_slice(&packed);
        }
        is_shorter
    })
}

/// Packs by `libdeflate`; nothing if it refuses, which it has no reason to.
fn long(
    compressors: &mut [Option<Compressor>; 10],
    raw: &[u8],
    level: Level,
    packed: &mut Vec<u8>,
) -> Option<()> {
    let slot = compressors.get_mut(usize::from(level.0))?;
    let compressor = match slot {
        Some(compressor) => compressor,
        None => slot.insert(Compressor::new(
            CompressionLvl::new(i32::from(level.0)).ok()?,
        )),
    };
    packed.resize(compressor.zlib_compress_bound(raw.len()), 0);
    let written = compressor.zlib_compress(raw, packed).ok()?;
    packed.truncate(written);
    Some(())
}

/// Appends a stream of blocks that hold the data as they are.
fn stored(raw: &[u8], level: Level, out: &mut Vec<u8>) {
    out.extend_from_slice(&level.header());
    let mut blocks = raw.chunks(usize::from(u16::MAX)).peekable();
    if raw.is_empty() {
        out.extend_from_slice(&[1, 0, 0, 0xFF, 0xFF]);
    }
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(blocks.peek().is_none()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&adler32(raw).to_be_bytes());
}

/// The checksum at the end of a stream.
pub fn adler32(input: &[u8]) -> u32 {
    let (mut low, mut high) = (1_u32, 0_u32);
    // As many as fit before the sums overflow.
    for part in input.chunks(5_552) {
        for byte in part {
            low += u32::from(*byte);
            high += low;
        }
        low %= 65_521;
        high %= 65_521;
    }
    high << 16 | low
}

/// The raw form of a stream, at most `limit` bytes; bytes behind its end are ignored.
///
/// Memory grows by a factor of what the stream has already filled, never on its word.
///
/// # Errors
/// [`crate::ErrorKind::Corrupt`] when it is no whole stream; [`crate::ErrorKind::LimitExceeded`] when the raw form is
/// longer than `limit`.
pub fn decompress(packed: &[u8], limit: usize) -> Result<Vec<u8>> {
    if packed.len() <= inflate::PACKED_BYTES_MAX
        && let Some(raw) = inflate::inflated(packed, limit)
    {
        return Ok(raw);
    }
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = slot.get_or_insert_with(Decompressor::new);
        let mut room = packed
            .len()
            .saturating_mul(4)
            .saturating_add(256)
            .min(limit);
        loop {
            let mut raw = Vec::new();
            raw.try_reserve_exact(room)
                .map_err(|_| too_long(NAME, room))?;
            raw.resize(room, 0);
            match decompressor.zlib_decompress(packed, &mut raw) {
                Ok(written) => {
                    raw.truncate(written);
                    return Ok(raw);
                }
                Err(DecompressionError::InsufficientSpace) if room < limit => {
                    room = room.saturating_mul(4).max(SLACK_BYTES).min(limit);
                }
                Err(DecompressionError::InsufficientSpace) => return Err(too_long(NAME, limit)),
                Err(DecompressionError::BadData) => return Err(corrupt(NAME, "no whole stream")),
            }
        }
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

/// Whether the bytes begin as a stream does, and are no fewer than one has: what cannot be one need not be tried.
pub fn looks_packed(bytes: &[u8]) -> bool {
    match bytes {
        [method, flags, ..] => {
            bytes.len() >= STREAM_BYTES_MIN
                && method & 0x0F == 8
                && method >> 4 <= 7
                && flags & 0x20 == 0
                && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorKind;

    /// What zlib itself makes of `b"hello hello hello"` at level 6.
    const HELLO: [u8; 16] = [
        0x78, 0x9C, 0xCB, 0x48, 0xCD, 0xC9, 0xC9, 0x57, 0xC8, 0x40, 0x90, 0x00, 0x3A, 0x2E, 0x06,
        0x7D,
    ];

    #[test]
    fn a_stream_of_zlib_is_read_and_bytes_behind_it_are_ignored() {
        let mut packed = HELLO.to_vec();
        assert!(looks_packed(&packed));
        assert_eq!(decompress(&packed, 100).unwrap(), b"hello hello hello");
        packed.extend_from_slice(b"and more");
        assert_eq!(decompress(&packed, 17).unwrap(), b"hello hello hello");
        assert_eq!(
            decompress(&packed, 16).unwrap_err().kind(),
            ErrorKind::LimitExceeded
        );
        for cut in 0..HELLO.len() {
            assert_eq!(
                decompress(&HELLO[..cut], 100).unwrap_err().kind(),
                ErrorKind::Corrupt
            );
        }
    }

    #[test]
    fn what_inflates_a_thousandfold_is_read_whole_or_refused() {
        let raw = vec![7; 5 << 20];
        let packed = compress(&raw, Level(9));
        assert!(packed.len() < 6000);
        assert_eq!(decompress(&packed, raw.len()).unwrap(), raw);
        let refused = decompress(&packed, raw.len() - 1).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::LimitExceeded);
        assert!(Level::new(10).is_err());
    }

    #[test]
    fn what_does_not_pack_grows_by_a_header_only() {
        let raw: Vec<u8> = (0..200_000_u32)
            .map(|at| (at.wrapping_mul(0x9E37_79B1) >> 24) as u8)
            .collect();
        for length in [0, 1, 3, 100, 16 << 10, 65_535, 65_536, raw.len()] {
            for level in [Level::STORED, Level(1), Level::DEFAULT] {
                let packed = compress(&raw[..length], level);
                assert_eq!(packed[..2], level.header());
                assert!(
                    packed.len() <= length + 11 + 5 * (length / 10_000),
                    "{length}"
                );
                assert_eq!(decompress(&packed, length).unwrap(), raw[..length]);
            }
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
        assert_eq!(adler32(&vec![0xFF; 100_000]), 0x149A_302C);
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(
            raw in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..600),
                prop::collection::vec(0_u8..4, 0..20_000),
                prop::collection::vec(prop_oneof![Just("one "), Just("two "), Just("six ")], 0..40)
                    .prop_map(|words| words.concat().into_bytes()),
            ],
            level in 0_u8..10,
        ) {
            let level = Level::new(level).unwrap();
            let packed = compress(&raw, level);
            prop_assert!(looks_packed(&packed));
            prop_assert_eq!(&decompress(&packed, raw.len()).unwrap(), &raw);
            let mut out = vec![7];
            if compress_if_shorter(&raw, level, &mut out) {
                prop_assert!(out.len() - 1 < raw.len());
                prop_assert_eq!(decompress(&out[1..], raw.len()).unwrap(), raw);
            } else {
                prop_assert_eq!(out, vec![7]);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(packed in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decompress(&packed, 1 << 16);
        }
    }
}
