//! What a shared dictionary knows of a sequence of integers: how they are distributed, or how their steps are.
//!
//! The range of the values is cut into bins that hold about as many of them each; a value is the symbol of its bin and as
//! many bits as the bin is wide. Where few values occur, each has a bin of its own.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::BTreeMap;

use common::Result;
use common::optimization::compression::integers::{read_varint, unzigzag, write_varint, zigzag};

use super::coder::{Alphabet, Decoder, Encoder, SYMBOLS_MAX};
use super::stream::corrupt;

/// Values that have a bin of their own, at most.
const OWN_MAX: usize = 4_000;
/// Bins of the others.
const BINS: usize = 48;

/// A sequence of integers as it is expected.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    /// Whether steps are meant, and not values.
    stepwise: bool,
    /// What divides all differences from `base`.
    factor: u64,
    /// In the middle of what was seen, or the last of it: what is outside is near.
    base: i64,
    bins: Bins,
}

#[derive(Debug, Clone)]
struct Bins {
    /// Least value of each, ascending.
    lower: Vec<i64>,
    /// Bits of the values in each.
    width: Vec<u32>,
    /// Symbols of the bins, and the last one for what is in none.
    alphabet: Alphabet,
}

impl Bins {
    fn new(values: &[i64]) -> Self {
        let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
        for value in values {
            *counts.entry(*value).or_default() += 1;
        }
        let several = counts.values().filter(|count| **count > 1);
        let repeated: u64 = several.copied().sum();
        let own = counts.len() <= OWN_MAX && repeated * 2 > values.len() as u64;
        let mut bins: Vec<(i64, u32, u64)> = Vec::new();
        if own {
            // Between those that occur, others may: the rare ones share bins with their neighbours.
            let least = if counts.len() > 256 { 2 } else { 1 };
            for (value, count) in &counts {
                if *count >= least {
                    bins.push((*value, 0, *count));
                }
            }
        } else {
            let target = (values.len() as u64 / BINS as u64).max(1);
            let mut open: Option<(i64, i64, u64)> = None;
            for (value, count) in &counts {
                let (begin, _, before) = open.unwrap_or((*value, *value, 0));
                open = Some((begin, *value, before + count));
                if before + count >= target {
                    bins.extend(open.take().map(bin));
                }
            }
            bins.extend(open.map(bin));
            // Each reaches to the next one at most.
            let begins: Vec<i64> = bins.iter().map(|(begin, ..)| *begin).collect();
            for ((begin, width, _), next) in bins.iter_mut().zip(begins.iter().skip(1)) {
                let room = next.wrapping_sub(*begin).cast_unsigned();
                while *width < 63 && (1_u64 << (*width + 1)) <= room {
                    *width += 1;
                }
            }
        }
        let seen: u64 = bins.iter().map(|(.., count)| *count * 16).sum();
        let mut frequencies: Vec<u64> = bins.iter().map(|(.., count)| *count * 16).collect();
        let outside = (values.len() as u64 * 16).saturating_sub(seen);
        frequencies.push((outside + seen / 100).max(1));
        Self {
            lower: bins.iter().map(|(begin, ..)| *begin).collect(),
            width: bins.iter().map(|(_, width, _)| *width).collect(),
            alphabet: Alphabet::new(&frequencies),
        }
    }

    /// The bin of a value, and how far it is from the bin's least.
    fn find(&self, value: i64) -> Option<(usize, u64, u32)> {
        let at = self.lower.partition_point(|lower| *lower <= value);
        let at = at.checked_sub(1)?;
        let (lower, width) = (self.lower.get(at)?, *self.width.get(at)?);
        let offset = value.wrapping_sub(*lower).cast_unsigned();
        (width >= 64 || offset >> width == 0).then_some((at, offset, width))
    }

    fn cost(&self, value: i64) -> u64 {
        match self.find(value) {
            Some((at, _, width)) => self.alphabet.cost(at) + (u64::from(width) << 8),
            None => self.alphabet.cost(self.lower.len()) + (24 << 8),
        }
    }

    fn put(&self, value: i64, base: i64, out: &mut Encoder) {
        match self.find(value) {
            Some((at, offset, width)) => {
                out.symbol(&self.alphabet, at);
                out.bits(offset, width);
            }
            None => {
                out.symbol(&self.alphabet, self.lower.len());
                out.number(zigzag(value.wrapping_sub(base)));
            }
        }
    }

    fn take(&self, base: i64, from: &mut Decoder<'_>) -> Result<i64> {
        let at = from.symbol(&self.alphabet);
        match (self.lower.get(at), self.width.get(at)) {
            (Some(lower), Some(width)) => Ok(lower.wrapping_add(from.bits(*width).cast_signed())),
            _ => Ok(base.wrapping_add(unzigzag(from.number()?))),
        }
    }
}

/// A bin from its least and most value, as wide as it has to be.
fn bin((begin, end, count): (i64, i64, u64)) -> (i64, u32, u64) {
    let span = end.wrapping_sub(begin).cast_unsigned();
    (begin, 64 - span.leading_zeros(), count)
}

impl Numbers {
    /// Learns from a sequence in the order of the rows.
    pub(super) fn learn(values: &[i64]) -> Option<Self> {
        let first = *values.first()?;
        let mut factor = 0_u64;
        for value in values {
            let (mut a, mut b) = (factor, value.wrapping_sub(first).unsigned_abs());
            while b != 0 {
                (a, b) = (b, a % b);
            }
            factor = a;
            if factor == 1 {
                break;
            }
        }
        // A few values may share a divisor by chance; those of a unit of time share a round one.
        // So do floats of single precision, by their bits.
        let factor = if factor.is_multiple_of(10) {
            factor
        } else if factor.trailing_zeros() >= 16 {
            1 << factor.trailing_zeros().min(62)
        } else {
            1
        };
        let mut values: Vec<i64> = values.to_vec();
        if factor > 1 {
            for value in &mut values {
                *value = value.wrapping_sub(first) / factor.cast_signed();
            }
        }
        let base = if factor > 1 { first } else { 0 };
        let steps: Vec<i64> = values
            .windows(2)
            .map(|pair| match pair {
                [a, b] => b.wrapping_sub(*a),
                _ => 0,
            })
            .collect();
        let of_values = Bins::new(&values);
        let of_steps = Bins::new(&steps);
        let cost = |bins: &Bins, values: &[i64]| values.iter().map(|v| bins.cost(*v)).sum::<u64>();
        // Of the first row of a block there is no step, which costs a number.
        let begins = values.len() as u64 / 12 * (24 << 8);
        let stepwise = cost(&of_steps, &steps) + begins < cost(&of_values, &values);
        Some(Self {
            stepwise,
            factor,
            base,
            bins: if stepwise { of_steps } else { of_values },
        })
    }

    /// A value as a number of factors from the base; `None` when it is none.
    fn scaled(&self, value: i64) -> Option<i64> {
        if self.factor <= 1 {
            return Some(value);
        }
        let factor = i64::try_from(self.factor).ok()?;
        let difference = value.checked_sub(self.base)?;
        (difference % factor == 0).then_some(difference / factor)
    }

    fn restored(&self, scaled: i64) -> i64 {
        if self.factor <= 1 {
            return scaled;
        }
        self.base
            .wrapping_add(scaled.wrapping_mul(self.factor.cast_signed()))
    }

    /// Appends values; `false` when one of them cannot be written.
    pub(super) fn put(&self, values: &[i64], out: &mut Encoder) -> bool {
        let mut before: Option<i64> = None;
        for value in values {
            let Some(value) = self.scaled(*value) else {
                return false;
            };
            match before.filter(|_| self.stepwise) {
                Some(before) => self.bins.put(value.wrapping_sub(before), 0, out),
                None if self.stepwise => out.number(zigzag(value)),
                None => self.bins.put(value, self.middle(), out),
            }
            before = Some(value);
        }
        true
    }

    pub(super) fn take(&self, count: usize, from: &mut Decoder<'_>) -> Result<Vec<i64>> {
        let mut values = Vec::with_capacity(count.min(256));
        let mut before: Option<i64> = None;
        for _ in 0..count {
            if from.is_past() {
                return Err(corrupt("symbols end early"));
            }
            let value = match before.filter(|_| self.stepwise) {
                Some(before) => before.wrapping_add(self.bins.take(0, from)?),
                None if self.stepwise => unzigzag(from.number()?),
                None => self.bins.take(self.middle(), from)?,
            };
            before = Some(value);
            values.push(self.restored(value));
        }
        Ok(values)
    }

    /// What values outside the bins are counted from: the greatest bin, because numbers tend to grow.
    fn middle(&self) -> i64 {
        self.bins.lower.last().copied().unwrap_or_default()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.stepwise));
        write_varint(self.factor, out);
        write_varint(zigzag(self.base), out);
        self.bins.alphabet.write(out);
        let mut before = 0_i64;
        for (lower, width) in self.bins.lower.iter().zip(&self.bins.width) {
            write_varint(zigzag(lower.wrapping_sub(before)), out);
            out.push(u8::try_from(*width).unwrap_or_default());
            before = *lower;
        }
    }

    pub(super) fn read(input: &mut &[u8]) -> Result<Self> {
        let stepwise = byte(input)? == 1;
        let factor = read_varint(input)?;
        let base = unzigzag(read_varint(input)?);
        let alphabet = Alphabet::read(input)?;
        let count = alphabet.len().saturating_sub(1).min(SYMBOLS_MAX);
        let (mut lower, mut width) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut before = 0_i64;
        for _ in 0..count {
            before = before.wrapping_add(unzigzag(read_varint(input)?));
            lower.push(before);
            width.push(u32::from(byte(input)?));
        }
        if !lower.is_sorted() || width.iter().any(|width| *width > 64) {
            return Err(corrupt("bins that are out of order or too wide"));
        }
        if factor > 1 && i64::try_from(factor).is_err() {
            return Err(corrupt("a factor beyond 63 bits"));
        }
        Ok(Self {
            stepwise,
            factor,
            base,
            bins: Bins {
                lower,
                width,
                alphabet,
            },
        })
    }
}

pub(super) fn byte(input: &mut &[u8]) -> Result<u8> {
    let (byte, rest) = input
        .split_first()
        .ok_or_else(|| corrupt("a model ends early"))?;
    *input = rest;
    Ok(*byte)
}
