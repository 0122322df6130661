//! Run lengths of a bitmap.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use super::varint::{read_varint, write_varint};
use super::{corrupt, prudent_capacity, read_count};
use crate::error::Result;
use crate::limits::Limits;

/// Appends bits as runs: the count, the first bit as one byte, then the length of each run as a varint.
///
/// No bits take one byte; bits that are all the same take the count twice and a byte. Alternating bits take a
/// byte each, eight times what a plain bitmap takes: choose by looking at the data.
///
/// ```
/// use common::Limits;
/// use common::optimization::compression::integers::{decode_bitmap, encode_bitmap};
/// let mut bits = vec![true; 100];
/// bits[60] = false;
/// let mut bytes = Vec::new();
/// encode_bitmap(&bits, &mut bytes);
/// assert_eq!(bytes, [100, 1, 60, 1, 39]);
/// assert_eq!(decode_bitmap(&mut bytes.as_slice(), &Limits::default()).unwrap(), bits);
/// ```
pub fn encode_bitmap(bits: &[bool], out: &mut Vec<u8>) {
    write_varint(bits.len() as u64, out);
    let Some(&first) = bits.first() else { return };
    out.push(u8::from(first));
    for run in bits.chunk_by(|a, b| a == b) {
        write_varint(run.len() as u64, out);
    }
}

/// Reads what [`encode_bitmap`] wrote and moves `input` past it.
///
/// # Errors
/// [`crate::ErrorKind::Corrupt`] when the encoder cannot have written it; [`crate::ErrorKind::LimitExceeded`] above
/// [`Limits::elements_max`] bits.
pub fn decode_bitmap(input: &mut &[u8], limits: &Limits) -> Result<Vec<bool>> {
    let mut rest = *input;
    let count = read_count(&mut rest, limits)?;
    let mut bits = Vec::with_capacity(prudent_capacity::<bool>(count, rest.len()));
    if count > 0 {
        let (&first, after) = rest
            .split_first()
            .ok_or_else(|| corrupt("a bitmap has no first bit"))?;
        rest = after;
        let mut bit = match first {
            0 => false,
            1 => true,
            other => return Err(corrupt(format_args!("a bitmap's first bit is {other}"))),
        };
        while bits.len() < count {
            let run = usize::try_from(read_varint(&mut rest)?).unwrap_or(usize::MAX);
            if run == 0 || run > count - bits.len() {
                return Err(corrupt(format_args!(
                    "a run of {run} bits where 1 to {} may follow",
                    count - bits.len()
                )));
            }
            bits.resize(bits.len() + run, bit);
            bit = !bit;
        }
    }
    *input = rest;
    Ok(bits)
}
