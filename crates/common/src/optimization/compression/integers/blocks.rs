//! Blocks of 128 numbers, each with its own least value and width; deltas on top of them.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use super::bits::{pack_bits, unpack_bits_into, width_of};
use super::varint::{read_varint, unzigzag, write_varint, zigzag};
use super::{corrupt, prudent_capacity, read_count};
use crate::error::Result;
use crate::limits::Limits;

/// Values that share a least value and a width.
pub const BLOCK_VALUES: usize = 128;

/// Appends the count, then for each 128 values: their least as a varint, the width of the differences as one byte,
/// the differences packed.
///
/// At worst 12 bytes a block more than 8 a value.
///
/// ```
/// use common::Limits;
/// use common::optimization::compression::integers::{decode_u64s, encode_u64s};
/// let values: Vec<u64> = (1_000_000..1_000_128).collect();
/// let mut bytes = Vec::new();
/// encode_u64s(&values, &mut bytes);
/// assert_eq!(bytes.len(), 2 + 3 + 1 + 128 * 7 / 8);
/// assert_eq!(decode_u64s(&mut bytes.as_slice(), &Limits::default()).unwrap(), values);
/// ```
pub fn encode_u64s(values: &[u64], out: &mut Vec<u8>) {
    write_varint(values.len() as u64, out);
    encode_blocks(values, out);
}

fn encode_blocks(values: &[u64], out: &mut Vec<u8>) {
    let mut differences = [0; BLOCK_VALUES];
    for block in values.chunks(BLOCK_VALUES) {
        let least = block.iter().copied().min().unwrap_or_default();
        let mut all = 0;
        for (to, value) in differences.iter_mut().zip(block) {
            *to = value - least;
            all |= *to;
        }
        let width = width_of(all);
        write_varint(least, out);
        #[expect(clippy::cast_possible_truncation, reason = "a width is at most 64")]
        out.push(width as u8);
        pack_bits(
            differences.get(..block.len()).unwrap_or_default(),
            width,
            out,
        );
    }
}

/// Reads what [`encode_u64s`] wrote and moves `input` past it.
///
/// # Errors
/// [`crate::ErrorKind::Corrupt`] when the encoder cannot have written it; [`crate::ErrorKind::LimitExceeded`] above
/// [`Limits::elements_max`] values.
pub fn decode_u64s(input: &mut &[u8], limits: &Limits) -> Result<Vec<u64>> {
    let mut rest = *input;
    let count = read_count(&mut rest, limits)?;
    let values = decode_blocks(&mut rest, count)?;
    *input = rest;
    Ok(values)
}

fn decode_blocks(input: &mut &[u8], count: usize) -> Result<Vec<u64>> {
    let mut values = Vec::with_capacity(prudent_capacity::<u64>(count, input.len()));
    while values.len() < count {
        let least = read_varint(input)?;
        let (&width, rest) = input
            .split_first()
            .ok_or_else(|| corrupt("a block has no width"))?;
        *input = rest;
        let begin = values.len();
        unpack_bits_into(
            input,
            u32::from(width),
            BLOCK_VALUES.min(count - begin),
            &mut values,
        )?;
        let block = values.get_mut(begin..).unwrap_or_default();
        let mut all = 0;
        let mut lowest = u64::MAX;
        let mut overflow = false;
        for value in block {
            all |= *value;
            lowest = lowest.min(*value);
            let (sum, over) = value.overflowing_add(least);
            *value = sum;
            overflow |= over;
        }
        if overflow || lowest != 0 || width_of(all) != u32::from(width) {
            return Err(corrupt(
                "a block's least value or width is not the one of its values",
            ));
        }
    }
    Ok(values)
}

/// Appends numbers as their differences: the count, the first, then the steps as [`encode_u64s`] blocks, zigzagged.
///
/// Steps wrap around, so any `i64` values are fine.
///
/// ```
/// use common::Limits;
/// use common::optimization::compression::integers::{decode_deltas, encode_deltas};
/// let ids: Vec<i64> = (0..1_000).map(|i| 5_000_000 + 3 * i).collect();
/// let mut bytes = Vec::new();
/// encode_deltas(&ids, &mut bytes);
/// assert!(bytes.len() < 30);
/// assert_eq!(decode_deltas(&mut bytes.as_slice(), &Limits::default()).unwrap(), ids);
/// ```
pub fn encode_deltas(values: &[i64], out: &mut Vec<u8>) {
    write_varint(values.len() as u64, out);
    let Some((&first, rest)) = values.split_first() else {
        return;
    };
    write_varint(zigzag(first), out);
    let mut before = first;
    let steps: Vec<u64> = rest
        .iter()
        .map(|&value| zigzag(value.wrapping_sub(std::mem::replace(&mut before, value))))
        .collect();
    encode_blocks(&steps, out);
}

/// Reads what [`encode_deltas`] wrote and moves `input` past it.
///
/// # Errors
/// As [`decode_u64s`].
pub fn decode_deltas(input: &mut &[u8], limits: &Limits) -> Result<Vec<i64>> {
    let mut rest = *input;
    let count = read_count(&mut rest, limits)?;
    let values = if count == 0 {
        Vec::new()
    } else {
        let first = unzigzag(read_varint(&mut rest)?);
        let steps = decode_blocks(&mut rest, count - 1)?;
        let mut value = first;
        let mut values = Vec::with_capacity(count);
        values.push(first);
        values.extend(steps.into_iter().map(|step| {
            value = value.wrapping_add(unzigzag(step));
            value
        }));
        values
    };
    *input = rest;
    Ok(values)
}

/// Appends numbers as the differences of their differences: the count, the first, the first step, then the rest as
/// [`encode_u64s`] blocks, zigzagged.
///
/// For times at a nearly steady rate: the differences of the steps are near zero. Wraps around as
/// [`encode_deltas`] does.
pub fn encode_delta_of_deltas(values: &[i64], out: &mut Vec<u8>) {
    write_varint(values.len() as u64, out);
    let Some((&first, rest)) = values.split_first() else {
        return;
    };
    write_varint(zigzag(first), out);
    let Some((&second, rest)) = rest.split_first() else {
        return;
    };
    let mut step = second.wrapping_sub(first);
    write_varint(zigzag(step), out);
    let mut before = second;
    let changes: Vec<u64> = rest
        .iter()
        .map(|&value| {
            let next = value.wrapping_sub(std::mem::replace(&mut before, value));
            zigzag(next.wrapping_sub(std::mem::replace(&mut step, next)))
        })
        .collect();
    encode_blocks(&changes, out);
}

/// Reads what [`encode_delta_of_deltas`] wrote and moves `input` past it.
///
/// # Errors
/// As [`decode_u64s`].
pub fn decode_delta_of_deltas(input: &mut &[u8], limits: &Limits) -> Result<Vec<i64>> {
    let mut rest = *input;
    let count = read_count(&mut rest, limits)?;
    let mut values = Vec::new();
    if count > 0 {
        let mut value = unzigzag(read_varint(&mut rest)?);
        values.push(value);
        if count > 1 {
            let mut step = unzigzag(read_varint(&mut rest)?);
            value = value.wrapping_add(step);
            let changes = decode_blocks(&mut rest, count - 2)?;
            values.reserve_exact(count - 1);
            values.push(value);
            values.extend(changes.into_iter().map(|change| {
                step = step.wrapping_add(unzigzag(change));
                value = value.wrapping_add(step);
                value
            }));
        }
    }
    *input = rest;
    Ok(values)
}
