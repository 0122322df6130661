//! Streams of zlib (RFC 1950): what other programs wrote, and what they can read.
//!
//! Not a [`Codec`](super::Codec) of frames, which pack better and faster with Zstandard. By `libdeflate`, which has the
//! whole of the data in memory on both sides and is two to three times as fast as zlib for it.

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

use libdeflater::{CompressionLvl, Compressor, DecompressionError, Decompressor};

use super::SLACK_BYTES;
use super::codec::{corrupt, too_long};
use crate::error::{Error, Result};
use crate::utils::validation::check_in_range;

/// Levels of zlib: 0 stores, 1 is fast, 9 packs most.
pub const ZLIB_LEVELS: std::ops::RangeInclusive<i32> = 0..=9;
/// The level that zlib itself takes when none is asked for.
pub const ZLIB_LEVEL_DEFAULT: i32 = 6;

const NAME: &str = "zlib";

thread_local! {
    /// One for each level that was used: making one costs more than packing a short text.
    static COMPRESSORS: RefCell<[Option<Compressor>; 10]> = const { RefCell::new([const { None }; 10]) };
    static DECOMPRESSOR: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
}

/// Packs `raw` into a stream that every zlib decoder reads.
///
/// ```
/// use common::optimization::compression::zlib;
/// let packed = zlib::compress(&b"the same again, ".repeat(100), 6).unwrap();
/// assert!(packed.len() < 60);
/// assert_eq!(zlib::decompress(&packed, 1 << 20).unwrap(), b"the same again, ".repeat(100));
/// ```
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when the level is not in [`ZLIB_LEVELS`].
pub fn compress(raw: &[u8], level: i32) -> Result<Vec<u8>> {
    check_in_range("zlib level", level, ZLIB_LEVELS)?;
    let refused = || Error::invalid(format!("zlib level {level} cannot be prepared"));
    let place = usize::try_from(level).map_err(|_| refused())?;
    COMPRESSORS.with_borrow_mut(|compressors| {
        let slot = compressors.get_mut(place).ok_or_else(refused)?;
        let compressor = match slot {
            Some(compressor) => compressor,
            None => slot.insert(Compressor::new(
                CompressionLvl::new(level).map_err(|_| refused())?,
            )),
        };
        let mut packed = vec![0; compressor.zlib_compress_bound(raw.len())];
        let written = compressor
            .zlib_compress(raw, &mut packed)
            .map_err(|cause| Error::invalid("zlib cannot pack this").caused_by(cause))?;
        packed.truncate(written);
        Ok(packed)
    })
}

/// The raw form of a stream, at most `limit` bytes; bytes behind its end are ignored.
///
/// Memory grows by a factor of what the stream has already filled, never on its word.
///
/// # Errors
/// [`crate::ErrorKind::Corrupt`] when it is no whole stream; [`crate::ErrorKind::LimitExceeded`] when the raw form is
/// longer than `limit`.
pub fn decompress(packed: &[u8], limit: usize) -> Result<Vec<u8>> {
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

/// Whether the bytes begin as a stream does: what cannot be one need not be tried.
pub fn looks_packed(bytes: &[u8]) -> bool {
    match bytes {
        [method, flags, _, ..] => {
            method & 0x0F == 8
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
        let packed = compress(&raw, 9).unwrap();
        assert!(packed.len() < 6000);
        assert_eq!(decompress(&packed, raw.len()).unwrap(), raw);
        let refused = decompress(&packed, raw.len() - 1).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::LimitExceeded);
        assert!(compress(&raw, 10).is_err() && compress(&raw, -1).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(raw in prop::collection::vec(any::<u8>(), 0..600), level in 0..10) {
            let packed = compress(&raw, level).unwrap();
            prop_assert!(looks_packed(&packed));
            prop_assert_eq!(decompress(&packed, raw.len()).unwrap(), raw);
        }

        #[test]
        fn any_bytes_are_read_or_refused(packed in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decompress(&packed, 1 << 16);
        }
    }
}
