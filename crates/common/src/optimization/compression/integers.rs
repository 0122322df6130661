//! Integers in few bytes: building blocks for column formats.
//!
//! | what | good for | bytes |
//! |---|---|---|
//! | [`write_varint`], [`zigzag`] | lengths, small numbers | 1 for below 128, then 7 bits each |
//! | [`pack_bits`] | numbers below a known power of two | `width` bits each |
//! | [`encode_u64s`] | numbers near each other | per 128: the least, a width, the differences |
//! | [`encode_deltas`] | sorted or slowly changing numbers | as `encode_u64s` of the steps |
//! | [`encode_delta_of_deltas`] | times at a steady rate | as `encode_u64s` of the changes of the steps |
//! | [`encode_bitmap`] | presence bits in long runs | one varint for each run |
//!
//! Every `encode_*` writes how many values follow, and its `decode_*` takes a slice that it moves past what it
//! read, so that blocks stand one after another. Decoders take bytes of strangers: they never panic, they check
//! the count against [`Limits::elements_max`](crate::Limits::elements_max), set aside no more than was received and
//! 64 KiB before values have been read, and accept exactly what the encoder writes: what decodes,
//! encodes to the same bytes.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

mod bitmap;
mod bits;
mod blocks;
mod varint;

pub use bitmap::{decode_bitmap, encode_bitmap};
pub use bits::{pack_bits, unpack_bits, width_of};
pub use blocks::{
    BLOCK_VALUES, decode_delta_of_deltas, decode_deltas, decode_u64s, encode_delta_of_deltas,
    encode_deltas, encode_u64s,
};
pub use varint::{VARINT_BYTES_MAX, read_varint, unzigzag, write_varint, zigzag};

use crate::error::{Error, Result};
use crate::limits::Limits;

/// Reads how many values follow, and checks it against the limit.
fn read_count(input: &mut &[u8], limits: &Limits) -> Result<usize> {
    let count = usize::try_from(read_varint(input)?).unwrap_or(usize::MAX);
    limits.check_elements(count)?;
    Ok(count)
}

/// How many values of `T` to set memory aside for, when `count` are declared and `received` bytes are there.
fn prudent_capacity<T>(count: usize, received: usize) -> usize {
    count.min(received.saturating_add(super::SLACK_BYTES) / size_of::<T>())
}

#[cold]
fn corrupt(why: impl std::fmt::Display) -> Error {
    Error::corrupt(format!("packed integers: {why}"))
}
