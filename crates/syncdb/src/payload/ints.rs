//! Sequences of integers: what columns of numbers, times, codes, lengths and flags become.
//!
//! | codec | in the head | in the bits |
//! |---|---|---|
//! | 0 constant | the value | |
//! | 1 packed | the least, a width | differences from the least |
//! | 2 stepwise | the first, the least step, a width | steps less the least |
//! | 3 modelled | the least, a length | a pco chunk and its page |
//! | 4 runs | two sequences: values, lengths less 1 | |
//!
//! Bit 3 of the codec's byte says that the differences were divided by a number that follows. Values differ by
//! up to 64 bits, so differences are unsigned and wrap around.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::optimization::compression::integers::{
    pack_bits, read_varint, unpack_bits, unzigzag, width_of, write_varint, zigzag,
};
use common::{Error, Result};
use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec, PagingSpec};

use super::Level;
use super::stream::{Sink, Source, corrupt};

const CONSTANT: u8 = 0;
const PACKED: u8 = 1;
const STEPWISE: u8 = 2;
const MODELLED: u8 = 3;
const RUNS: u8 = 4;
const SCALED: u8 = 8;
/// Runs of runs end here.
const RUNS_DEPTH_MAX: usize = 2;
/// Shorter sequences are not worth a model of their own.
const MODELLED_MIN: usize = 128;

/// Appends a sequence whose length the reader knows.
pub(super) fn write(values: &[i64], sink: &mut Sink) -> Result<()> {
    write_at(values, sink, 0)
}

fn write_at(values: &[i64], sink: &mut Sink, depth: usize) -> Result<()> {
    let Some(&first) = values.first() else {
        return Ok(());
    };
    let (mut least, mut most, mut changes) = (first, first, 0_usize);
    let mut before = first;
    for &value in values {
        least = least.min(value);
        most = most.max(value);
        changes += usize::from(value != before);
        before = value;
    }
    if least == most {
        sink.byte(CONSTANT);
        write_varint(zigzag(first), &mut sink.head);
        return Ok(());
    }
    let long = values.len() >= 16 && sink.level != Level::None;
    if long && depth < RUNS_DEPTH_MAX && changes < values.len() / 8 {
        return write_runs(values, changes, sink, depth);
    }
    let mut differences = std::mem::take(&mut sink.scratch);
    differences.clear();
    differences.extend(
        values
            .iter()
            .map(|value| value.wrapping_sub(least).cast_unsigned()),
    );
    let factor = divisor(&differences);
    if factor > 1 {
        for value in &mut differences {
            *value /= factor;
        }
    }
    let written = write_differences(&mut differences, least, factor, sink);
    sink.scratch = differences;
    written
}

fn write_runs(values: &[i64], changes: usize, sink: &mut Sink, depth: usize) -> Result<()> {
    let mut of_run = Vec::with_capacity(changes + 1);
    let mut lengths = Vec::with_capacity(changes + 1);
    for run in values.chunk_by(|a, b| a == b) {
        of_run.extend(run.first());
        lengths.push(super::column::count_of(run.len() - 1));
    }
    sink.byte(RUNS);
    sink.number(of_run.len());
    write_at(&of_run, sink, depth + 1)?;
    write_at(&lengths, sink, depth + 1)
}

/// The largest number that divides all.
fn divisor(differences: &[u64]) -> u64 {
    let mut found = 0_u64;
    for &value in differences {
        let (mut a, mut b) = (found, value);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        found = a;
        if found == 1 {
            break;
        }
    }
    found
}

fn write_differences(
    differences: &mut [u64],
    least: i64,
    factor: u64,
    sink: &mut Sink,
) -> Result<()> {
    let count = differences.len();
    let width = width_of(differences.iter().copied().max().unwrap_or_default());
    let scaled = if factor > 1 { SCALED } else { 0 };
    let (mut least_step, mut most_step) = (i64::MAX, i64::MIN);
    for pair in differences.windows(2) {
        if let [a, b] = pair {
            let step = b.wrapping_sub(*a).cast_signed();
            least_step = least_step.min(step);
            most_step = most_step.max(step);
        }
    }
    let step_width = width_of(most_step.wrapping_sub(least_step).cast_unsigned());
    let packed_bytes = (count * width as usize).div_ceil(8);
    let stepwise_bytes = ((count - 1) * step_width as usize).div_ceil(8) + 2;
    let plain_bytes = packed_bytes.min(stepwise_bytes);
    if count >= MODELLED_MIN && sink.level != Level::None && plain_bytes > 48 {
        let steps_help = step_width + 1 < width;
        let begin = sink.bits.len();
        let kind = if width <= 16 {
            model::<u16>(differences, steps_help, sink)?
        } else if width <= 32 {
            model::<u32>(differences, steps_help, sink)?
        } else {
            model::<u64>(differences, steps_help, sink)?
        };
        let bytes = sink.bits.len() - begin;
        if bytes < plain_bytes {
            sink.byte(MODELLED | scaled | kind << 4);
            write_varint(zigzag(least), &mut sink.head);
            write_factor(factor, sink);
            sink.number(bytes);
            return Ok(());
        }
        sink.bits.truncate(begin);
    }
    if stepwise_bytes < packed_bytes {
        let first = differences.first().copied().unwrap_or_default();
        sink.byte(STEPWISE | scaled);
        write_varint(zigzag(least), &mut sink.head);
        write_factor(factor, sink);
        write_varint(first, &mut sink.head);
        write_varint(zigzag(least_step), &mut sink.head);
        sink.byte(u8::try_from(step_width).unwrap_or_default());
        let mut before = first;
        for value in &mut *differences {
            let step = value.wrapping_sub(before);
            before = *value;
            *value = step.wrapping_sub(least_step.cast_unsigned());
        }
        let steps = differences.get(1..).unwrap_or_default();
        pack_bits(steps, step_width, &mut sink.bits);
    } else {
        sink.byte(PACKED | scaled);
        write_varint(zigzag(least), &mut sink.head);
        write_factor(factor, sink);
        sink.byte(u8::try_from(width).unwrap_or_default());
        pack_bits(differences, width, &mut sink.bits);
    }
    Ok(())
}

fn write_factor(factor: u64, sink: &mut Sink) {
    if factor > 1 {
        write_varint(factor, &mut sink.head);
    }
}

/// A number type that the modeller works on.
trait Latent: Number + Copy + Default + TryFrom<u64> + Into<u64> {
    const KIND: u8;
}

impl Latent for u16 {
    const KIND: u8 = 0;
}

impl Latent for u32 {
    const KIND: u8 = 1;
}

impl Latent for u64 {
    const KIND: u8 = 2;
}

fn model<T: Latent>(values: &[u64], steps: bool, sink: &mut Sink) -> Result<u8> {
    // The caller looked at the width.
    let narrow: Vec<T> = values
        .iter()
        .map(|value| T::try_from(*value).unwrap_or_default())
        .collect();
    let delta = match sink.level {
        Level::None | Level::Fast if steps => DeltaSpec::TryConsecutive(1),
        Level::None | Level::Fast => DeltaSpec::NoOp,
        Level::Balanced | Level::Small => DeltaSpec::Auto,
    };
    let config = ChunkConfig::default()
        .with_compression_level(sink.level.pco_level())
        .with_mode_spec(ModeSpec::Classic)
        .with_delta_spec(delta)
        .with_paging_spec(PagingSpec::Exact(vec![narrow.len()]));
    chunk(&narrow, &config, &mut sink.bits)?;
    Ok(T::KIND)
}

/// Appends a pco chunk: its description and its one page.
pub(super) fn chunk<T: Number>(
    values: &[T],
    config: &ChunkConfig,
    out: &mut Vec<u8>,
) -> Result<()> {
    let cannot =
        |cause: pco::errors::PcoError| Error::invalid("numbers cannot be packed").caused_by(cause);
    let mut compressor = FileCompressor::default()
        .chunk_compressor(values, config)
        .map_err(cannot)?;
    compressor.write_meta(&mut *out).map_err(cannot)?;
    compressor.write_page(0, &mut *out).map_err(cannot)?;
    Ok(())
}

/// The file header of the format version that blocks hold chunks of; not written.
pub(super) const PCO_HEADER: &[u8] = &[4, 1];

/// Reads what [`chunk`] wrote.
pub(super) fn read_chunk<T: Number + Default>(bytes: &[u8], count: usize) -> Result<Vec<T>> {
    let damaged = |cause: pco::errors::PcoError| corrupt("packed numbers").caused_by(cause);
    let (decompressor, _) = FileDecompressor::new(PCO_HEADER).map_err(damaged)?;
    let (mut chunk, rest) = decompressor
        .chunk_decompressor::<T, _>(bytes)
        .map_err(damaged)?;
    let mut values = vec![T::default(); count];
    let mut page = chunk.page_decompressor(rest, count).map_err(damaged)?;
    let progress = page.read(&mut values).map_err(damaged)?;
    if progress.n_processed == count && progress.finished {
        Ok(values)
    } else {
        Err(corrupt("packed numbers end early"))
    }
}

/// Reads a sequence of `count` integers.
pub(super) fn read(count: usize, source: &mut Source<'_>) -> Result<Vec<i64>> {
    read_at(count, source, 0)
}

/// As [`read`], for numbers that stand for positions below `bound`.
pub(super) fn read_codes(count: usize, bound: usize, source: &mut Source<'_>) -> Result<Vec<i64>> {
    let codes = read(count, source)?;
    let bound = super::column::count_of(bound);
    let (mut least, mut most) = (0, -1);
    for code in &codes {
        least = least.min(*code);
        most = most.max(*code);
    }
    if least < 0 || most >= bound {
        return Err(corrupt("a code without a meaning"));
    }
    Ok(codes)
}

fn read_at(count: usize, source: &mut Source<'_>, depth: usize) -> Result<Vec<i64>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    source.spend(count, size_of::<i64>())?;
    let tag = source.byte()?;
    if tag & 7 == RUNS {
        return read_runs(count, source, depth);
    }
    let least = unzigzag(read_varint(&mut source.head)?);
    if tag & 7 == CONSTANT {
        return Ok(vec![least; count]);
    }
    let factor = if tag & SCALED == 0 {
        1
    } else {
        read_varint(&mut source.head)?
    };
    let restore =
        |difference: u64| least.wrapping_add(difference.wrapping_mul(factor).cast_signed());
    match tag & 7 {
        PACKED => {
            let width = u32::from(source.byte()?);
            let differences = unpack_bits(&mut source.bits, width, count)?;
            Ok(differences.into_iter().map(restore).collect())
        }
        STEPWISE => {
            let mut at = read_varint(&mut source.head)?;
            let least_step = unzigzag(read_varint(&mut source.head)?).cast_unsigned();
            let width = u32::from(source.byte()?);
            let steps = unpack_bits(&mut source.bits, width, count - 1)?;
            let mut values = Vec::with_capacity(count);
            values.push(restore(at));
            values.extend(steps.into_iter().map(|step| {
                at = at.wrapping_add(step).wrapping_add(least_step);
                restore(at)
            }));
            Ok(values)
        }
        MODELLED => {
            let bytes = source.number()?;
            let bytes = source.take_bits(bytes)?;
            match tag >> 4 {
                0 => modelled::<u16>(bytes, count, least, factor),
                1 => modelled::<u32>(bytes, count, least, factor),
                2 => modelled::<u64>(bytes, count, least, factor),
                _ => Err(corrupt("packed numbers of an unknown width")),
            }
        }
        _ => Err(corrupt("a sequence of an unknown kind")),
    }
}

fn modelled<T: Latent>(bytes: &[u8], count: usize, least: i64, factor: u64) -> Result<Vec<i64>> {
    let narrow = read_chunk::<T>(bytes, count)?;
    let restore = |value: T| least.wrapping_add(value.into().wrapping_mul(factor).cast_signed());
    Ok(narrow.into_iter().map(restore).collect())
}

fn read_runs(count: usize, source: &mut Source<'_>, depth: usize) -> Result<Vec<i64>> {
    if depth >= RUNS_DEPTH_MAX {
        return Err(corrupt("runs of runs of runs"));
    }
    let runs = source.number()?;
    if runs > count {
        return Err(corrupt("more runs than values"));
    }
    let of_run = read_at(runs, source, depth + 1)?;
    let lengths = read_at(runs, source, depth + 1)?;
    let mut values = Vec::with_capacity(count);
    for (value, length) in of_run.into_iter().zip(lengths) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length >= count - values.len() {
            return Err(corrupt("runs are longer than their column"));
        }
        values.resize(values.len() + length + 1, value);
    }
    if values.len() == count {
        Ok(values)
    } else {
        Err(corrupt("runs are shorter than their column"))
    }
}
