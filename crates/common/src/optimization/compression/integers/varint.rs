//! LEB128 and zigzag.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use super::corrupt;
use crate::error::Result;

/// Longest varint, in bytes.
pub const VARINT_BYTES_MAX: usize = 10;

/// Appends `value` in LEB128: 7 bits a byte, the lowest first, the top bit set on all but the last.
///
/// ```
/// use common::optimization::compression::integers::{read_varint, write_varint};
/// let mut bytes = Vec::new();
/// write_varint(300, &mut bytes);
/// assert_eq!(bytes, [0b1010_1100, 0b10]);
/// assert_eq!(read_varint(&mut bytes.as_slice()).unwrap(), 300);
/// ```
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "seven bits at a time are what is meant"
)]
pub fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads one LEB128 number and moves `input` past it.
///
/// # Errors
/// [`crate::ErrorKind::Corrupt`] when it is cut short, does not fit 64 bits, or is longer than needed.
#[inline]
pub fn read_varint(input: &mut &[u8]) -> Result<u64> {
    let mut value = 0_u64;
    for (at, &byte) in input.iter().take(VARINT_BYTES_MAX).enumerate() {
        let bits = u64::from(byte & 0x7F);
        if at == VARINT_BYTES_MAX - 1 && byte > 1 {
            return Err(corrupt("a varint does not fit 64 bits"));
        }
        value |= bits << (7 * at);
        if byte < 0x80 {
            if byte == 0 && at > 0 {
                return Err(corrupt("a varint is longer than needed"));
            }
            *input = input.get(at + 1..).unwrap_or_default();
            return Ok(value);
        }
    }
    Err(corrupt("a varint is cut short"))
}

/// Maps signed to unsigned so that small numbers of either sign stay small: 0, -1, 1, -2 become 0, 1, 2, 3.
#[inline]
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
#[inline]
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zigzag_alternates() {
        assert_eq!(
            [0, -1, 1, -2, i64::MAX, i64::MIN].map(zigzag),
            [0, 1, 2, 3, u64::MAX - 1, u64::MAX]
        );
    }

    #[test]
    fn only_the_shortest_form_is_read() {
        for bytes in [
            &[][..],
            &[0x80],
            &[0x80, 0x00],
            &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02],
            &[0xFF; 11],
        ] {
            let mut rest = bytes;
            assert!(read_varint(&mut rest).is_err(), "{bytes:?}");
            assert_eq!(rest, bytes, "an error moves nothing");
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back(value in prop_oneof![any::<u64>(), (0_u32..64).prop_map(|bit| 1 << bit)], tail: Vec<u8>) {
            let mut bytes = Vec::new();
            write_varint(value, &mut bytes);
            prop_assert!(bytes.len() <= VARINT_BYTES_MAX);
            for cut in 0..bytes.len() {
                prop_assert!(read_varint(&mut &bytes[..cut]).is_err());
            }
            bytes.extend(&tail);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(read_varint(&mut rest).unwrap(), value);
            prop_assert_eq!(rest, tail.as_slice());
            prop_assert_eq!(zigzag(unzigzag(value)), value);
        }
    }
}
