//! 128-bit identifiers.
//!
//! | codec | what |
//! |---|---|
//! | 0 raw | 16 bytes each |
//! | 1 of one version | the version; 48 bits as a sequence (of version 7 they are a time); 12 and 62 bits as they are |
//! | 2 distinct | each that occurs, in order, by codec 0 or 1, and codes |
//! | 3 shared | codes into the shared dictionary; those it lacks follow by codec 0, 1 or 2 |

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
use common::optimization::compression::integers::{pack_bits, unpack_bits};

use super::stream::{Sink, Source, corrupt};
use super::{Level, ints, texts};

const RAW: u8 = 0;
const OF_VERSION: u8 = 1;
const DISTINCT: u8 = 2;
const SHARED: u8 = 3;

const VARIANT: u64 = 0b10;
const LOW_BITS: u32 = 62;
const LOW_MASK: u64 = (1 << LOW_BITS) - 1;

#[expect(clippy::cast_possible_truncation, reason = "each half is meant")]
fn halves(value: u128) -> (u64, u64) {
    ((value >> 64) as u64, value as u64)
}

/// Appends identifiers whose number the reader knows.
pub(super) fn write(
    values: &[u128],
    shared: Option<&super::shared::SharedColumn>,
    sink: &mut Sink,
) -> Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    if let Some(known) = shared.and_then(super::shared::SharedColumn::uuids) {
        let escape = super::column::count_of(known.len());
        let mut missing = Vec::new();
        let codes: Vec<i64> = values
            .iter()
            .map(|value| {
                known.code(value).unwrap_or_else(|| {
                    missing.push(*value);
                    escape
                })
            })
            .collect();
        if missing.len() <= values.len() / 2 {
            sink.byte(SHARED);
            ints::write(&codes, sink)?;
            return write(&missing, None, sink);
        }
    }
    if sink.level != Level::None
        && let Some((distinct, codes)) = texts::distinct(values.iter().copied(), values.len())
    {
        sink.byte(DISTINCT);
        sink.number(distinct.len());
        write_each(&distinct, sink)?;
        return ints::write(&codes, sink);
    }
    write_each(values, sink)
}

fn write_each(values: &[u128], sink: &mut Sink) -> Result<()> {
    let version = |value: u128| {
        let (high, low) = halves(value);
        (low >> LOW_BITS == VARIANT).then_some((high >> 12) & 15)
    };
    let first = values.first().copied().and_then(version);
    if first.is_none() || values.iter().any(|value| version(*value) != first) {
        sink.byte(RAW);
        for value in values {
            sink.bits.extend_from_slice(&value.to_be_bytes());
        }
        return Ok(());
    }
    sink.byte(OF_VERSION);
    sink.byte(u8::try_from(first.unwrap_or_default()).unwrap_or_default());
    let times: Vec<i64> = values
        .iter()
        .map(|value| (halves(*value).0 >> 16).cast_signed())
        .collect();
    ints::write(&times, sink)?;
    let middle: Vec<u64> = values
        .iter()
        .map(|value| halves(*value).0 & 0xfff)
        .collect();
    pack_bits(&middle, 12, &mut sink.bits);
    let low: Vec<u64> = values
        .iter()
        .map(|value| halves(*value).1 & LOW_MASK)
        .collect();
    pack_bits(&low, LOW_BITS, &mut sink.bits);
    Ok(())
}

/// Identifiers, or codes into the distinct ones.
pub(super) enum Form {
    Plain(Vec<u128>),
    Coded(Vec<u128>, Vec<i64>),
}

impl Form {
    pub(super) fn into_values(self) -> Vec<u128> {
        match self {
            Self::Plain(values) => values,
            Self::Coded(distinct, codes) => codes
                .into_iter()
                .map(|code| {
                    let code = usize::try_from(code).unwrap_or_default();
                    distinct.get(code).copied().unwrap_or_default()
                })
                .collect(),
        }
    }
}

/// Reads `count` identifiers.
pub(super) fn read(count: usize, source: &mut Source<'_>) -> Result<Form> {
    if count == 0 {
        return Ok(Form::Plain(Vec::new()));
    }
    source.spend(count, size_of::<u128>())?;
    match source.byte()? {
        SHARED => {
            let known = source
                .dictionary
                .and_then(|dictionary| dictionary.column(source.column))
                .and_then(super::shared::SharedColumn::uuids)
                .ok_or_else(|| corrupt("the shared dictionary has no such column"))?;
            let codes = ints::read_codes(count, known.len() + 1, source)?;
            let escape = super::column::count_of(known.len());
            let missing = codes.iter().filter(|code| **code == escape).count();
            let missing = source.nested(|source| read(missing, source))?.into_values();
            let mut missing = missing.into_iter();
            let value = |code: i64| match known.value(code) {
                Some(value) => *value,
                None => missing.next().unwrap_or_default(),
            };
            Ok(Form::Plain(codes.into_iter().map(value).collect()))
        }
        DISTINCT => {
            let distinct = source.number()?;
            if distinct > count {
                return Err(corrupt("more distinct identifiers than identifiers"));
            }
            source.spend(distinct, size_of::<u128>())?;
            let codec = source.byte()?;
            let values = read_each(codec, distinct, source)?;
            Ok(Form::Coded(
                values,
                ints::read_codes(count, distinct, source)?,
            ))
        }
        codec => Ok(Form::Plain(read_each(codec, count, source)?)),
    }
}

fn read_each(codec: u8, count: usize, source: &mut Source<'_>) -> Result<Vec<u128>> {
    match codec {
        RAW => {
            let (each, _) = source
                .take_bits(count.saturating_mul(16))?
                .as_chunks::<16>();
            Ok(each
                .iter()
                .map(|bytes| u128::from_be_bytes(*bytes))
                .collect())
        }
        OF_VERSION => {
            let version = source.byte()?;
            if version > 15 {
                return Err(corrupt("a version of identifiers above 15"));
            }
            let times = ints::read(count, source)?;
            let middle = unpack_bits(&mut source.bits, 12, count)?;
            let low = unpack_bits(&mut source.bits, LOW_BITS, count)?;
            let mut values = Vec::with_capacity(count);
            for ((time, middle), low) in times.into_iter().zip(middle).zip(low) {
                let high = time.cast_unsigned() << 16 | u64::from(version) << 12 | middle;
                values.push(u128::from(high) << 64 | u128::from(VARIANT << LOW_BITS | low));
            }
            Ok(values)
        }
        _ => Err(corrupt("identifiers of an unknown kind")),
    }
}
