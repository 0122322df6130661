//! Message `Referred`: changed columns of rows that are named by the first bits of the hashes of their keys.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::Result;

use super::block::{self, Packing};
use super::field::referred as at;
use super::fields::{Budget, Fields, expected, once, put_bytes, put_message, put_number};
use crate::sync::protocol::{REFERENCE_BITS_MAX, Referred};
use crate::sync::references::step_bits;

pub(super) fn write(referred: &Referred, packing: Packing<'_>, out: &mut Vec<u8>) -> Result<()> {
    put_message(at::BLOCK, out, |out| {
        block::write(&referred.block, packing, out)
    })?;
    put_number(at::BITS, referred.bits.into(), out);
    put_bytes(at::ROWS, &names(referred), out);
    Ok(())
}

/// The check in 4 bytes, then the steps between the prefixes by Rice's code.
fn names(referred: &Referred) -> Vec<u8> {
    let mut bytes = referred.check.to_le_bytes().to_vec();
    let low = step_bits(referred.bits, referred.prefixes.len());
    let (mut last, mut filled) = (0, 0);
    let mut put = |bit: bool| {
        if filled % 8 == 0 {
            bytes.push(0);
        }
        if let Some(byte) = bytes.last_mut() {
            *byte |= u8::from(bit) << (filled % 8);
        }
        filled += 1;
    };
    for prefix in &referred.prefixes {
        let step = u64::from(prefix.wrapping_sub(last));
        last = *prefix;
        for _ in 0..step >> low {
            put(true);
        }
        put(false);
        for bit in 0..low {
            put(step >> bit & 1 == 1);
        }
    }
    bytes
}

pub(super) fn read(mut fields: Fields<'_>, budget: &mut Budget) -> Result<Referred> {
    let (mut block, mut bits, mut names) = (None, 0, &[][..]);
    while let Some((number, part)) = fields.next()? {
        match number {
            at::BLOCK => once(
                &mut block,
                block::read_without_keys(part.message()?, budget)?,
            )?,
            at::BITS => bits = part.small()?,
            at::ROWS => names = part.bytes()?,
            _ => {}
        }
    }
    let block = block.ok_or_else(|| expected("rows that are referred to"))?;
    if !(1..=REFERENCE_BITS_MAX).contains(&bits) {
        return Err(expected("references of 1 to 32 bits"));
    }
    let (check, codes) = names
        .split_first_chunk()
        .ok_or_else(|| expected("what the rows add up to"))?;
    // Each row takes a bit at least, so that there are as many as announced before memory is set aside.
    if block.rows() > codes.len().saturating_mul(8) {
        return Err(expected("a reference for each row"));
    }
    budget.spend(block.rows().saturating_mul(size_of::<u32>()))?;
    Ok(Referred {
        bits,
        prefixes: prefixes(codes, bits, block.rows())?,
        check: u32::from_le_bytes(*check),
        block,
    })
}

fn prefixes(codes: &[u8], bits: u32, rows: usize) -> Result<Vec<u32>> {
    let low = step_bits(bits, rows);
    let early = || expected("a reference for each row");
    let mut all = codes
        .iter()
        .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1));
    let mut found = Vec::with_capacity(rows);
    let mut last = 0_u64;
    for _ in 0..rows {
        while all.next().ok_or_else(early)? == 1 {
            last += 1 << low;
        }
        for bit in 0..low {
            last += u64::from(all.next().ok_or_else(early)?) << bit;
        }
        let prefix = u32::try_from(last).ok().filter(|_| last >> bits == 0);
        found.push(prefix.ok_or_else(|| expected("a reference of as many bits as announced"))?);
    }
    if all.clone().count() >= 8 || all.any(|bit| bit == 1) {
        return Err(expected("nothing after the last reference"));
    }
    Ok(found)
}
