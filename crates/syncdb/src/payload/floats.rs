//! Floats, bit for bit.
//!
//! | codec | what |
//! |---|---|
//! | 0 decimal | an exponent; integers that divided by that power of ten are the floats; exceptions as positions and bits |
//! | 1 single | 32-bit floats that are the same numbers, each in four bytes |
//! | 2 double | each in eight bytes |
//! | 3 single, modelled | the same as 1 as a pco chunk |
//! | 4 double, modelled | the same as 2 as a pco chunk |
//! | 5 distinct | the bits of each float that occurs, in order, and codes |
//!
//! Whatever codec is chosen, the writer has compared bits: `-0.0` and every NaN come back as they were.

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
use pco::{ChunkConfig, DeltaSpec, PagingSpec};

use super::Level;
use super::column::count_of;
use super::stream::{Sink, Source, corrupt};
use super::{ints, texts};

const DECIMAL: u8 = 0;
const SINGLE: u8 = 1;
const DOUBLE: u8 = 2;
const SINGLE_MODELLED: u8 = 3;
const DOUBLE_MODELLED: u8 = 4;
const DISTINCT: u8 = 5;

const MODELLED_MIN: usize = 64;
/// Powers of ten up to here are tried: beyond, the integers of usual numbers no longer fit.
pub(super) const EXPONENT_MAX: usize = 14;
const POWERS: [f64; EXPONENT_MAX + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14,
];
/// Beyond this, not every integer is a float.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// The integer that divided by `power` is exactly `value`.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "checked bit for bit afterwards"
)]
fn scaled(value: f64, power: f64) -> Option<i64> {
    let whole = (value * power).round();
    if whole.abs() > WHOLE_MAX {
        return None;
    }
    let whole = whole as i64;
    ((whole as f64 / power).to_bits() == value.to_bits()).then_some(whole)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "checked bit for bit afterwards"
)]
fn single(value: f64) -> Option<f32> {
    let narrow = value as f32;
    (f64::from(narrow).to_bits() == value.to_bits()).then_some(narrow)
}

/// The least exponent that fits all but a few of a sample.
fn exponent(values: &[f64]) -> Option<usize> {
    let step = (values.len() / 64).max(1);
    let sample = || values.iter().step_by(step);
    let allowed = values.len().min(64) / 8;
    let mut least = 0;
    let mut misses = 0;
    for value in sample() {
        match (least..=EXPONENT_MAX)
            .find(|e| POWERS.get(*e).is_some_and(|p| scaled(*value, *p).is_some()))
        {
            Some(exponent) => least = exponent,
            None => misses += 1,
        }
        if misses > allowed {
            return None;
        }
    }
    Some(least)
}

/// The exponent and the integers, when all of many floats are decimal fractions.
pub(super) fn decimals(values: &[f64]) -> Option<(usize, Vec<i64>)> {
    let exponent = exponent(values)?;
    Some((exponent, as_decimals(values, exponent)?))
}

/// The integers that divided by a power of ten are exactly these.
pub(super) fn as_decimals(values: &[f64], exponent: usize) -> Option<Vec<i64>> {
    let power = *POWERS.get(exponent)?;
    values.iter().map(|value| scaled(*value, power)).collect()
}

/// What [`as_decimals`] was given.
#[expect(
    clippy::cast_precision_loss,
    reason = "the writer compared the results; from strangers any float will do"
)]
pub(super) fn of_decimals(whole: &[i64], exponent: usize) -> Vec<f64> {
    let power = POWERS.get(exponent).copied().unwrap_or(1.0);
    whole.iter().map(|whole| *whole as f64 / power).collect()
}

/// Appends floats whose number the reader knows.
pub(super) fn write(values: &[f64], sink: &mut Sink) -> Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let singles: Option<Vec<f32>> = values.iter().map(|value| single(*value)).collect();
    if let Some(exponent) = exponent(values) {
        // Thirty-two bits beat an integer of fifteen digits.
        let long = exponent > 7 && singles.is_some();
        if !long && write_decimals(values, exponent, sink)? {
            return Ok(());
        }
    }
    if let Some(singles) = singles {
        return write_singles(&singles, sink);
    }
    if values.len() >= MODELLED_MIN && sink.level != Level::None {
        if let Some((distinct, codes)) =
            texts::distinct(values.iter().map(|v| v.to_bits()), values.len())
        {
            return write_distinct(&distinct, &codes, sink);
        }
        let begin = sink.bits.len();
        ints::chunk(values, &config(values.len(), sink.level), &mut sink.bits)?;
        let bytes = sink.bits.len() - begin;
        if bytes < size_of_val(values) {
            sink.byte(DOUBLE_MODELLED);
            sink.number(bytes);
            return Ok(());
        }
        sink.bits.truncate(begin);
    }
    sink.byte(DOUBLE);
    for value in values {
        sink.bits.extend_from_slice(&value.to_bits().to_le_bytes());
    }
    Ok(())
}

fn config(count: usize, level: Level) -> ChunkConfig {
    let delta = match level {
        Level::None | Level::Fast => DeltaSpec::NoOp,
        Level::Balanced | Level::Small => DeltaSpec::Auto,
    };
    ChunkConfig::default()
        .with_compression_level(level.pco_level())
        .with_delta_spec(delta)
        .with_paging_spec(PagingSpec::Exact(vec![count]))
}

fn write_decimals(values: &[f64], exponent: usize, sink: &mut Sink) -> Result<bool> {
    let power = POWERS.get(exponent).copied().unwrap_or(1.0);
    let mut whole = Vec::with_capacity(values.len());
    let mut at = Vec::new();
    let mut bits = Vec::new();
    let mut before = 0;
    for (position, value) in values.iter().enumerate() {
        match scaled(*value, power) {
            Some(integer) => before = integer,
            None => {
                at.push(count_of(position));
                bits.push(value.to_bits());
            }
        }
        whole.push(before);
    }
    if at.len() > values.len() / 8 {
        return Ok(false);
    }
    sink.byte(DECIMAL);
    sink.byte(u8::try_from(exponent).unwrap_or_default());
    ints::write(&whole, sink)?;
    sink.number(at.len());
    ints::write(&at, sink)?;
    for bits in bits {
        sink.bits.extend_from_slice(&bits.to_le_bytes());
    }
    Ok(true)
}

fn write_distinct(distinct: &[u64], codes: &[i64], sink: &mut Sink) -> Result<()> {
    sink.byte(DISTINCT);
    sink.number(distinct.len());
    let bits: Vec<i64> = distinct.iter().map(|bits| bits.cast_signed()).collect();
    ints::write(&bits, sink)?;
    ints::write(codes, sink)
}

/// Appends 32-bit floats, as vectors have them.
pub(super) fn write_singles(values: &[f32], sink: &mut Sink) -> Result<()> {
    if values.len() >= MODELLED_MIN && sink.level != Level::None {
        let begin = sink.bits.len();
        ints::chunk(values, &config(values.len(), sink.level), &mut sink.bits)?;
        let bytes = sink.bits.len() - begin;
        if bytes < size_of_val(values) {
            sink.byte(SINGLE_MODELLED);
            sink.number(bytes);
            return Ok(());
        }
        sink.bits.truncate(begin);
    }
    sink.byte(SINGLE);
    for value in values {
        sink.bits.extend_from_slice(&value.to_bits().to_le_bytes());
    }
    Ok(())
}

/// Reads `count` floats.
pub(super) fn read(count: usize, source: &mut Source<'_>) -> Result<Vec<f64>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    source.spend(count, size_of::<f64>())?;
    match source.byte()? {
        DECIMAL => read_decimals(count, source),
        DOUBLE => {
            let bytes = source.take_bits(count.saturating_mul(8))?;
            let (words, _) = bytes.as_chunks::<8>();
            Ok(words.iter().map(|word| f64::from_le_bytes(*word)).collect())
        }
        DOUBLE_MODELLED => {
            let bytes = source.number()?;
            ints::read_chunk(source.take_bits(bytes)?, count)
        }
        DISTINCT => {
            let distinct = source.number()?;
            if distinct > count {
                return Err(corrupt("more distinct floats than floats"));
            }
            let floats: Vec<f64> = ints::read(distinct, source)?
                .into_iter()
                .map(|bits| f64::from_bits(bits.cast_unsigned()))
                .collect();
            let codes = ints::read_codes(count, distinct, source)?;
            let float = |code: i64| {
                let code = usize::try_from(code).unwrap_or_default();
                floats.get(code).copied().unwrap_or_default()
            };
            Ok(codes.into_iter().map(float).collect())
        }
        single => {
            let singles = singles(single, count, source)?;
            Ok(singles.into_iter().map(f64::from).collect())
        }
    }
}

/// Reads what [`write_singles`] wrote.
pub(super) fn read_singles(count: usize, source: &mut Source<'_>) -> Result<Vec<f32>> {
    source.spend(count, size_of::<f32>())?;
    let codec = source.byte()?;
    singles(codec, count, source)
}

fn singles(codec: u8, count: usize, source: &mut Source<'_>) -> Result<Vec<f32>> {
    match codec {
        SINGLE => {
            let bytes = source.take_bits(count.saturating_mul(4))?;
            let (words, _) = bytes.as_chunks::<4>();
            Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
        }
        SINGLE_MODELLED => {
            let bytes = source.number()?;
            ints::read_chunk(source.take_bits(bytes)?, count)
        }
        _ => Err(corrupt("floats of an unknown kind")),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the writer compared the results; from strangers any float will do"
)]
fn read_decimals(count: usize, source: &mut Source<'_>) -> Result<Vec<f64>> {
    let exponent = usize::from(source.byte()?);
    let power = *POWERS
        .get(exponent)
        .ok_or_else(|| corrupt("a power of ten beyond those in use"))?;
    let whole = ints::read(count, source)?;
    let mut values: Vec<f64> = whole
        .into_iter()
        .map(|whole| whole as f64 / power)
        .collect();
    let exceptions = source.number()?;
    if exceptions > count {
        return Err(corrupt("more exceptions than floats"));
    }
    let at = ints::read(exceptions, source)?;
    let (words, _) = source.take_bits(exceptions * 8)?.as_chunks::<8>();
    for (at, word) in at.into_iter().zip(words) {
        let place = usize::try_from(at).ok().and_then(|at| values.get_mut(at));
        *place.ok_or_else(|| corrupt("an exception past the last float"))? =
            f64::from_le_bytes(*word);
    }
    Ok(values)
}
