//! Bit packing: numbers of one width, the lowest bit first.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use super::{corrupt, prudent_capacity};
use crate::error::Result;

/// Bits that `value` needs: 0 for 0, 64 for the largest.
#[inline]
pub const fn width_of(value: u64) -> u32 {
    u64::BITS - value.leading_zeros()
}

/// Appends each value in `width` bits, 0 to 64, without gaps; the last byte is filled up with zeros.
///
/// Bits of a value above `width` are dropped: the caller knows the width of its values ([`width_of`]).
///
/// # Panics
/// When `width` is above 64.
///
/// ```
/// use common::optimization::compression::integers::{pack_bits, unpack_bits};
/// let mut bytes = Vec::new();
/// pack_bits(&[1, 2, 3], 2, &mut bytes);
/// assert_eq!(bytes, [0b11_10_01]);
/// assert_eq!(unpack_bits(&mut bytes.as_slice(), 2, 3).unwrap(), [1, 2, 3]);
/// ```
pub fn pack_bits(values: &[u64], width: u32, out: &mut Vec<u8>) {
    assert!(
        width <= u64::BITS,
        "a value has at most 64 bits, not {width}"
    );
    if width == 0 {
        return;
    }
    out.reserve((values.len() * width as usize).div_ceil(8));
    let mask = u64::MAX >> (u64::BITS - width);
    let mut waiting = 0_u128;
    let mut count = 0;
    for value in values {
        waiting |= u128::from(value & mask) << count;
        count += width;
        if count >= u64::BITS {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the lower half is what is meant"
            )]
            out.extend_from_slice(&(waiting as u64).to_le_bytes());
            waiting >>= u64::BITS;
            count -= u64::BITS;
        }
    }
    let tail = waiting.to_le_bytes();
    out.extend_from_slice(tail.get(..count.div_ceil(8) as usize).unwrap_or_default());
}

/// Reads `count` values of `width` bits and moves `input` past them.
///
/// The caller bounds `count`: values of 0 bits take no bytes.
///
/// # Errors
/// [`crate::ErrorKind::Corrupt`] when `width` is above 64, the bytes are too few, or the last one is not filled
/// up with zeros.
pub fn unpack_bits(input: &mut &[u8], width: u32, count: usize) -> Result<Vec<u64>> {
    let mut values = Vec::with_capacity(prudent_capacity::<u64>(count, input.len()));
    unpack_bits_into(input, width, count, &mut values)?;
    Ok(values)
}

/// As [`unpack_bits`], appending.
pub(super) fn unpack_bits_into(
    input: &mut &[u8],
    width: u32,
    count: usize,
    out: &mut Vec<u64>,
) -> Result<()> {
    if width > u64::BITS {
        return Err(corrupt(format_args!(
            "a width of {width} bits, the highest is 64"
        )));
    }
    if width == 0 {
        out.resize(out.len() + count, 0);
        return Ok(());
    }
    let bytes = count
        .checked_mul(width as usize)
        .map(|bits| bits.div_ceil(8));
    let Some((packed, rest)) = bytes.and_then(|bytes| input.split_at_checked(bytes)) else {
        return Err(corrupt(format_args!(
            "{count} values of {width} bits are declared, {} bytes are left",
            input.len()
        )));
    };
    let mask = u64::MAX >> (u64::BITS - width);
    let mut waiting = 0_u128;
    let mut held = 0;
    let (words, tail) = packed.as_chunks::<8>();
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(tail) {
        *to = *from;
    }
    let mut words = words.iter().chain(std::iter::once(&last));
    out.reserve(count);
    for _ in 0..count {
        if held < width {
            // The byte count was checked, so a word is there for every value.
            let word = words.next().copied().map_or(0, u64::from_le_bytes);
            waiting |= u128::from(word) << held;
            held += u64::BITS;
        }
        #[expect(clippy::cast_possible_truncation, reason = "masked to the width")]
        out.push(waiting as u64 & mask);
        waiting >>= width;
        held -= width;
    }
    if waiting != 0 {
        return Err(corrupt("the last byte is not filled up with zeros"));
    }
    *input = rest;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One bit at a time.
    fn naive(values: &[u64], width: u32) -> Vec<u8> {
        let bits: Vec<bool> = values
            .iter()
            .flat_map(|value| (0..width).map(move |bit| value >> bit & 1 == 1))
            .collect();
        bits.chunks(8)
            .map(|byte| {
                byte.iter()
                    .enumerate()
                    .map(|(bit, &set)| u8::from(set) << bit)
                    .sum()
            })
            .collect()
    }

    #[test]
    fn widths_that_are_none_are_refused() {
        assert!(unpack_bits(&mut &[0; 100][..], 65, 1).is_err());
        assert!(unpack_bits(&mut &[0; 100][..], 64, usize::MAX).is_err());
        assert!(unpack_bits(&mut &[0b100][..], 2, 1).is_err(), "padding");
        assert_eq!(unpack_bits(&mut &[][..], 0, 3).unwrap(), [0, 0, 0]);
    }

    proptest! {
        #[test]
        fn packing_is_one_bit_after_another(width in 0_u32..=64, raw: Vec<u64>) {
            let mask = u64::MAX.checked_shr(64 - width).unwrap_or(0);
            let values: Vec<u64> = raw.iter().map(|value| value & mask).collect();
            let mut bytes = Vec::new();
            pack_bits(&raw, width, &mut bytes);
            prop_assert_eq!(&bytes, &naive(&values, width));
            for cut in 0..bytes.len() {
                prop_assert!(unpack_bits(&mut &bytes[..cut], width, values.len()).is_err());
            }
            bytes.push(7);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(unpack_bits(&mut rest, width, values.len()).unwrap(), values);
            prop_assert_eq!(rest, &[7][..]);
        }
    }
}
