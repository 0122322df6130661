//! [`Model`]: what a shared dictionary expects of a column, so that a block of a few rows needs no description of its
//! columns: each value is a symbol of an alphabet that both sides know.

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
use std::sync::Arc;

use common::optimization::compression::integers::{read_varint, write_varint};
use common::{Limits, Map, Result, Text, Value};

use super::coder::{Alphabet, Decoder, Encoder};
use super::column::{Column, Data, Texts, count_of};
use super::floats;
use super::numbers::{Numbers, byte};
use super::shared::SharedColumn;
use super::stream::corrupt;
use super::tokens::Tokens;

/// Pieces of the texts of one column.
const PIECES_MAX: usize = 4_096;
/// Keys of the maps of one column.
const KEYS_MAX: usize = 16;
/// Columns in columns.
const DEPTH_MAX: usize = 3;

const BOOL: u8 = 1;
const INT: u8 = 2;
const TIMESTAMP: u8 = 6;
const DATE: u8 = 7;
const DECIMAL: u8 = 3;
const FLOAT_BITS: u8 = 5;
const TEXT: u8 = 4;
/// Text of which it is known what often comes after what.
const TEXT_FOLLOWED: u8 = 12;
const UUID: u8 = 8;
const LIST: u8 = 9;
const MAP: u8 = 10;

/// A column as it is expected.
#[derive(Debug)]
pub(super) struct Model {
    /// Whether a row has no value, or has one.
    present: Alphabet,
    values: Values,
    /// Position of a column of identifiers from whose times those of this one are counted.
    follows: Option<usize>,
}

#[derive(Debug)]
enum Values {
    /// Bool, int, timestamp or date.
    Whole(u8, Numbers),
    /// Floats that are integers divided by a power of ten.
    Decimal(usize, Numbers),
    /// Floats by their bits.
    Bits(Numbers),
    Text {
        /// Which of the dictionary's common values it is; the last symbol is none.
        known: Option<Alphabet>,
        pieces: Box<Tokens>,
    },
    Uuid {
        known: Option<Alphabet>,
        /// The version, and the first 48 bits of those that are not known.
        of_version: Option<(u8, Numbers)>,
    },
    List(Numbers, Box<Model>),
    Map(Vec<(Text, Model)>),
}

fn flags(column: &Column) -> Vec<bool> {
    match &column.present {
        Some(present) => present.clone(),
        None => vec![true; column.rows],
    }
}

/// How often each common value occurs, and others do.
fn known_of(codes: impl Iterator<Item = Option<i64>>, count: usize) -> Alphabet {
    let mut counts = vec![0_u64; count + 1];
    for code in codes {
        let at = code.map_or(count, |code| usize::try_from(code).unwrap_or(count));
        if let Some(place) = counts.get_mut(at) {
            *place += 16;
        }
    }
    Alphabet::new(&counts)
}

const VARIANT: u64 = 0b10;

/// Version, 48 bits, 12 bits and 62 bits of an identifier whose variant is the usual one.
fn parts(value: u128) -> Option<(u8, i64, u64, u64)> {
    let bits = |shift: u32, width: u32| {
        u64::try_from(value >> shift & ((1_u128 << width) - 1)).unwrap_or_default()
    };
    (bits(62, 2) == VARIANT).then(|| {
        let version = u8::try_from(bits(76, 4)).unwrap_or_default();
        (
            version,
            bits(80, 48).cast_signed(),
            bits(64, 12),
            bits(0, 62),
        )
    })
}

fn halves(value: u128) -> [u64; 2] {
    let half = |value: u128| u64::try_from(value & u128::from(u64::MAX)).unwrap_or_default();
    [half(value >> 64), half(value)]
}

fn float_bits(values: &[f64]) -> Vec<i64> {
    values
        .iter()
        .map(|value| value.to_bits().cast_signed())
        .collect()
}

impl Model {
    /// Learns from a column of many rows; `None` when its values are of no kind or of several.
    pub(super) fn learn(
        column: &Column,
        common: Option<&SharedColumn>,
        depth: usize,
    ) -> Option<Self> {
        let present = flags(column);
        let there = present.iter().filter(|present| **present).count() as u64;
        let absent = present.len() as u64 - there;
        let values = match &column.data {
            Data::Bool(values) => {
                let values: Vec<i64> = values.iter().map(|value| i64::from(*value)).collect();
                Values::Whole(BOOL, Numbers::learn(&values)?)
            }
            Data::Int(values) => Values::Whole(INT, Numbers::learn(values)?),
            Data::Timestamp(values) => Values::Whole(TIMESTAMP, Numbers::learn(values)?),
            Data::Date(values) => Values::Whole(DATE, Numbers::learn(values)?),
            Data::Float(values) => match floats::decimals(values) {
                Some((exponent, whole)) => Values::Decimal(exponent, Numbers::learn(&whole)?),
                None => Values::Bits(Numbers::learn(&float_bits(values))?),
            },
            Data::Text(texts) => {
                let known = common.and_then(SharedColumn::texts);
                let missing = texts
                    .iter()
                    .filter(|text| known.is_none_or(|known| known.code(text).is_none()));
                Values::Text {
                    pieces: Box::new(Tokens::learn(missing, PIECES_MAX)),
                    known: known.map(|known| {
                        known_of(texts.iter().map(|text| known.code(text)), known.len())
                    }),
                }
            }
            Data::Uuid(values) => {
                let known = common.and_then(SharedColumn::uuids);
                let missing = values
                    .iter()
                    .filter(|value| known.is_none_or(|known| known.code(value).is_none()));
                let split: Option<Vec<_>> = missing.map(|value| parts(*value)).collect();
                let split = split.unwrap_or_default();
                let version = split.first().map(|part| part.0);
                let same = split.iter().all(|part| Some(part.0) == version);
                let times: Vec<i64> = split.iter().map(|part| part.1).collect();
                Values::Uuid {
                    of_version: version.filter(|_| same).zip(Numbers::learn(&times)),
                    known: known.map(|known| {
                        known_of(values.iter().map(|value| known.code(value)), known.len())
                    }),
                }
            }
            Data::List { lengths, items } if depth < DEPTH_MAX => {
                let items = Self::learn(items, common, depth + 1)?;
                Values::List(Numbers::learn(lengths)?, Box::new(items))
            }
            Data::Map { .. } if depth < DEPTH_MAX => {
                let values = column.data.to_values();
                let mut keys: Vec<Text> = values
                    .iter()
                    .filter_map(Value::as_map)
                    .flat_map(|map| map.keys().cloned())
                    .collect();
                keys.sort_unstable();
                keys.dedup();
                if keys.is_empty() || keys.len() > KEYS_MAX {
                    return None;
                }
                let members = keys.into_iter().map(|key| {
                    let column = member(&values, &key);
                    Some((key, Self::learn(&column, None, depth + 1)?))
                });
                Values::Map(members.collect::<Option<_>>()?)
            }
            _ => return None,
        };
        Some(Self {
            present: Alphabet::new(&[absent * 64, there * 64]),
            values,
            follows: None,
        })
    }

    /// As [`Model::learn`] for a column of a table: times that are those of an identifier before it are counted from these.
    pub(super) fn learn_at(
        position: usize,
        columns: &[Column],
        common: Option<&SharedColumn>,
    ) -> Option<Self> {
        let column = columns.get(position)?;
        for (at, other) in columns.iter().enumerate().take(position) {
            let Some(times) = times_of(other) else {
                continue;
            };
            let Some(relative) = counted_from(column, &times) else {
                continue;
            };
            let same = match &relative.data {
                Data::Timestamp(values) => values.iter().filter(|value| **value == 0).count(),
                _ => 0,
            };
            if same * 2 > relative.rows {
                let mut model = Self::learn(&relative, common, 0)?;
                model.follows = Some(at);
                return Some(model);
            }
        }
        Self::learn(column, common, 0)
    }

    pub(super) const fn follows(&self) -> Option<usize> {
        self.follows
    }

    /// Appends a column; `false`, after any number of symbols, when it cannot be written by this model.
    pub(super) fn put(
        &self,
        column: &Column,
        common: Option<&SharedColumn>,
        out: &mut Encoder,
    ) -> bool {
        match &column.present {
            Some(present) => {
                for present in present {
                    out.symbol(&self.present, usize::from(*present));
                }
            }
            None => (0..column.rows).for_each(|_| out.symbol(&self.present, 1)),
        }
        match (&self.values, &column.data) {
            (_, Data::Null) => true,
            (Values::Whole(BOOL, numbers), Data::Bool(values)) => {
                let values: Vec<i64> = values.iter().map(|value| i64::from(*value)).collect();
                numbers.put(&values, out)
            }
            (Values::Whole(INT, numbers), Data::Int(values))
            | (Values::Whole(TIMESTAMP, numbers), Data::Timestamp(values))
            | (Values::Whole(DATE, numbers), Data::Date(values)) => numbers.put(values, out),
            (Values::Decimal(exponent, numbers), Data::Float(values)) => {
                let whole = floats::as_decimals(values, *exponent);
                whole.is_some_and(|whole| numbers.put(&whole, out))
            }
            (Values::Bits(numbers), Data::Float(values)) => numbers.put(&float_bits(values), out),
            (Values::Text { known, pieces }, Data::Text(texts)) => {
                let common = common.and_then(SharedColumn::texts);
                if known.is_some() && common.is_none() {
                    return false;
                }
                for text in texts.iter() {
                    let code = common.and_then(|common| common.code(text));
                    if put_known(known.as_ref(), code, out) {
                        pieces.put(text, out);
                    }
                }
                true
            }
            (Values::Uuid { known, of_version }, Data::Uuid(values)) => {
                let common = common.and_then(SharedColumn::uuids);
                if known.is_some() && common.is_none() {
                    return false;
                }
                let mut missing = Vec::new();
                for value in values {
                    let code = common.and_then(|common| common.code(value));
                    if put_known(known.as_ref(), code, out) {
                        missing.push(*value);
                    }
                }
                let Some((version, times)) = of_version else {
                    let both = missing.into_iter().flat_map(halves);
                    both.for_each(|half| out.bits(half, 64));
                    return true;
                };
                let split = missing.into_iter().map(parts);
                let split = split.map(|parts| parts.filter(|parts| parts.0 == *version));
                let Some(split) = split.collect::<Option<Vec<_>>>() else {
                    return false;
                };
                if !times.put(&split.iter().map(|part| part.1).collect::<Vec<_>>(), out) {
                    return false;
                }
                for (_, _, middle, low) in split {
                    out.bits(middle, 12);
                    out.bits(low, 62);
                }
                true
            }
            (
                Values::List(lengths, items),
                Data::List {
                    lengths: found,
                    items: inner,
                },
            ) => lengths.put(found, out) && items.put(inner, common, out),
            (Values::Map(members), Data::Map { .. }) => {
                let columns = members_of(&column.data, members);
                columns.is_some_and(|columns| {
                    let mut both = members.iter().zip(&columns);
                    both.all(|((_, model), column)| model.put(column, None, out))
                })
            }
            _ => false,
        }
    }

    /// Reads a column of so many rows.
    pub(super) fn take(
        &self,
        rows: usize,
        common: Option<&SharedColumn>,
        limits: &Limits,
        from: &mut Decoder<'_>,
    ) -> Result<Column> {
        limits.check_total(rows.saturating_mul(size_of::<Value>()))?;
        let mut present = Vec::with_capacity(rows.min(256));
        for _ in 0..rows {
            present.push(from.symbol(&self.present) == 1);
            if from.is_past() {
                return Err(corrupt("symbols end early"));
            }
        }
        let count = present.iter().filter(|present| **present).count();
        let data = if count == 0 {
            Data::Null
        } else {
            self.take_values(count, common, limits, from)?
        };
        Ok(Column {
            rows,
            present: Some(present).filter(|_| count < rows),
            data,
        })
    }

    #[expect(clippy::too_many_lines, reason = "one case for each kind of values")]
    fn take_values(
        &self,
        count: usize,
        common: Option<&SharedColumn>,
        limits: &Limits,
        from: &mut Decoder<'_>,
    ) -> Result<Data> {
        Ok(match &self.values {
            Values::Whole(kind, numbers) => {
                let values = numbers.take(count, from)?;
                match *kind {
                    BOOL => Data::Bool(values.into_iter().map(|value| value == 1).collect()),
                    INT => Data::Int(values),
                    TIMESTAMP => Data::Timestamp(values),
                    _ if values.iter().any(|day| i32::try_from(*day).is_err()) => {
                        return Err(corrupt("a day beyond 32 bits"));
                    }
                    _ => Data::Date(values),
                }
            }
            Values::Decimal(exponent, numbers) => {
                Data::Float(floats::of_decimals(&numbers.take(count, from)?, *exponent))
            }
            Values::Bits(numbers) => {
                let bits = numbers.take(count, from)?;
                let float = |bits: i64| f64::from_bits(bits.cast_unsigned());
                Data::Float(bits.into_iter().map(float).collect())
            }
            Values::Text { known, pieces } => {
                let common = common.and_then(SharedColumn::texts);
                let mut bytes = Vec::new();
                let mut ends = Vec::new();
                for _ in 0..count {
                    match take_known(known.as_ref(), from) {
                        Some(code) => {
                            let text = common.and_then(|common| common.value(code));
                            let text = text.ok_or_else(|| corrupt("a code without a meaning"))?;
                            bytes.extend_from_slice(text.as_bytes());
                            limits.check_total(bytes.len())?;
                        }
                        None => pieces.take(from, limits, &mut bytes)?,
                    }
                    ends.push(bytes.len());
                }
                let all =
                    std::str::from_utf8(&bytes).map_err(|_| corrupt("a text is not UTF-8"))?;
                let mut texts = Texts::default();
                let mut begin = 0;
                for end in ends {
                    let text = all.get(begin..end);
                    texts.push(text.ok_or_else(|| corrupt("a text ends inside a character"))?);
                    begin = end;
                }
                Data::Text(texts)
            }
            Values::Uuid { known, of_version } => {
                let common = common.and_then(SharedColumn::uuids);
                let codes: Vec<Option<i64>> = (0..count)
                    .map(|_| take_known(known.as_ref(), from))
                    .collect();
                let missing = codes.iter().filter(|code| code.is_none()).count();
                let mut others = Vec::with_capacity(missing.min(256));
                if let Some((version, times)) = of_version {
                    for time in times.take(missing, from)? {
                        let time = u128::from(time.cast_unsigned() & ((1 << 48) - 1));
                        let middle = u128::from(from.bits(12));
                        let low = u128::from(VARIANT << 62 | from.bits(62));
                        others.push(time << 80 | u128::from(*version) << 76 | middle << 64 | low);
                    }
                } else {
                    for _ in 0..missing {
                        let high = u128::from(from.bits(64));
                        others.push(high << 64 | u128::from(from.bits(64)));
                    }
                }
                let mut others = others.into_iter();
                let value = |code: Option<i64>| match code {
                    None => others.next(),
                    Some(code) => common.and_then(|common| common.value(code)).copied(),
                };
                let values: Option<Vec<u128>> = codes.into_iter().map(value).collect();
                Data::Uuid(values.ok_or_else(|| corrupt("a code without a meaning"))?)
            }
            Values::List(lengths, items) => {
                let lengths = lengths.take(count, from)?;
                let mut sum = 0_usize;
                for length in &lengths {
                    let length = usize::try_from(*length);
                    let length = length.map_err(|_| corrupt("a negative length"))?;
                    limits.check_elements(length)?;
                    sum = sum.saturating_add(length);
                }
                let items = Box::new(items.take(sum, common, limits, from)?);
                Data::List { lengths, items }
            }
            Values::Map(members) => {
                let mut maps: Vec<Map> = vec![Map::new(); count];
                for (key, model) in members {
                    let column = model.take(count, None, limits, from)?;
                    for (map, value) in maps.iter_mut().zip(column.to_values()) {
                        if !value.is_null() {
                            map.insert(key.clone(), value);
                        }
                    }
                }
                let maps: Vec<Value> = maps
                    .into_iter()
                    .map(|map| Value::Map(Arc::new(map)))
                    .collect();
                Column::from_values(&maps).data
            }
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let put_option = |known: &Option<Alphabet>, out: &mut Vec<u8>| {
            out.push(u8::from(known.is_some()));
            if let Some(known) = known {
                known.write(out);
            }
        };
        let mut values = Vec::new();
        let kind = match &self.values {
            Values::Whole(kind, numbers) => {
                numbers.write(&mut values);
                *kind
            }
            Values::Decimal(exponent, numbers) => {
                values.push(u8::try_from(*exponent).unwrap_or_default());
                numbers.write(&mut values);
                DECIMAL
            }
            Values::Bits(numbers) => {
                numbers.write(&mut values);
                FLOAT_BITS
            }
            Values::Text { known, pieces } => {
                put_option(known, &mut values);
                pieces.write(&mut values);
                if pieces.has_followers() {
                    pieces.write_followers(&mut values);
                    TEXT_FOLLOWED
                } else {
                    TEXT
                }
            }
            Values::Uuid { known, of_version } => {
                put_option(known, &mut values);
                values.push(of_version.as_ref().map_or(0, |(version, _)| version + 1));
                if let Some((_, times)) = of_version {
                    times.write(&mut values);
                }
                UUID
            }
            Values::List(lengths, items) => {
                lengths.write(&mut values);
                items.write(&mut values);
                LIST
            }
            Values::Map(members) => {
                write_varint(members.len() as u64, &mut values);
                for (key, model) in members {
                    write_varint(key.len() as u64, &mut values);
                    values.extend_from_slice(key.as_bytes());
                    model.write(&mut values);
                }
                MAP
            }
        };
        out.push(kind);
        self.present.write(out);
        out.append(&mut values);
        write_varint(self.follows.map_or(0, |at| at as u64 + 1), out);
    }

    pub(super) fn read(input: &mut &[u8], depth: usize) -> Result<Self> {
        if depth > DEPTH_MAX {
            return Err(corrupt("a model of columns in columns in columns"));
        }
        let option = |input: &mut &[u8]| match byte(input)? {
            0 => Ok(None),
            _ => Alphabet::read(input).map(Some),
        };
        let kind = byte(input)?;
        let present = Alphabet::read(input)?;
        if present.len() != 2 {
            return Err(corrupt("a row has a value or has none"));
        }
        let values = match kind {
            BOOL | INT | TIMESTAMP | DATE => Values::Whole(kind, Numbers::read(input)?),
            DECIMAL => {
                let exponent = usize::from(byte(input)?);
                if exponent > floats::EXPONENT_MAX {
                    return Err(corrupt("a power of ten beyond those in use"));
                }
                Values::Decimal(exponent, Numbers::read(input)?)
            }
            FLOAT_BITS => Values::Bits(Numbers::read(input)?),
            TEXT | TEXT_FOLLOWED => {
                let known = option(input)?;
                let mut pieces = Box::new(Tokens::read(input)?);
                if kind == TEXT_FOLLOWED {
                    pieces.read_followers(input)?;
                }
                Values::Text { known, pieces }
            }
            UUID => {
                let known = option(input)?;
                let of_version = match byte(input)? {
                    0 => None,
                    version @ 1..=16 => Some((version - 1, Numbers::read(input)?)),
                    _ => return Err(corrupt("a version of identifiers above 15")),
                };
                Values::Uuid { known, of_version }
            }
            LIST => Values::List(
                Numbers::read(input)?,
                Box::new(Self::read(input, depth + 1)?),
            ),
            MAP => {
                let count = usize::try_from(read_varint(input)?).unwrap_or(usize::MAX);
                if count > KEYS_MAX {
                    return Err(corrupt("a model of too many keys"));
                }
                let mut members: BTreeMap<Text, Self> = BTreeMap::new();
                for _ in 0..count {
                    let bytes = usize::try_from(read_varint(input)?).unwrap_or(usize::MAX);
                    let (key, rest) = input
                        .split_at_checked(bytes)
                        .ok_or_else(|| corrupt("a model ends early"))?;
                    *input = rest;
                    let key = std::str::from_utf8(key);
                    let key = key.map_err(|_| corrupt("a text is not UTF-8"))?;
                    members.insert(key.into(), Self::read(input, depth + 1)?);
                }
                Values::Map(members.into_iter().collect())
            }
            _ => return Err(corrupt("a model of an unknown kind")),
        };
        let follows = match read_varint(input)? {
            0 => None,
            at => Some(usize::try_from(at - 1).map_err(|_| corrupt("a position"))?),
        };
        Ok(Self {
            present,
            values,
            follows,
        })
    }
}

/// The times of a column of identifiers of version 7, in microseconds; `None` for any other.
pub(super) fn times_of(column: &Column) -> Option<Vec<i64>> {
    let Data::Uuid(values) = &column.data else {
        return None;
    };
    if column.present.is_some() {
        return None;
    }
    let time = |value: &u128| match parts(*value)? {
        (7, millis, ..) => millis.checked_mul(1_000),
        _ => None,
    };
    values.iter().map(time).collect()
}

/// A column of times as they differ from others; `None` when it is none.
pub(super) fn counted_from(column: &Column, times: &[i64]) -> Option<Column> {
    shifted(column, times, i64::wrapping_sub)
}

/// What [`counted_from`] was given.
pub(super) fn counted_back(column: &Column, times: &[i64]) -> Option<Column> {
    shifted(column, times, i64::wrapping_add)
}

fn shifted(column: &Column, times: &[i64], shift: fn(i64, i64) -> i64) -> Option<Column> {
    match &column.data {
        Data::Timestamp(values) if column.present.is_none() && values.len() == times.len() => {
            let both = values.iter().zip(times);
            Some(Column {
                rows: column.rows,
                present: None,
                data: Data::Timestamp(both.map(|(value, time)| shift(*value, *time)).collect()),
            })
        }
        _ => None,
    }
}

/// For each key of a model the values of maps; null where a map has none. `None` when there are other keys, or a null, which
/// would come back as a missing one.
fn members_of(data: &Data, members: &[(Text, Model)]) -> Option<Vec<Column>> {
    let Data::Map {
        shapes,
        shape_of,
        fields,
    } = data
    else {
        return None;
    };
    let is_known = |key: &Text| members.iter().any(|(known, _)| known == key);
    if !shapes.iter().flatten().all(is_known) || fields.iter().any(|f| f.present.is_some()) {
        return None;
    }
    // Of each shape, which of the fields each of the keys is.
    let mut before = 0;
    let mut places = Vec::with_capacity(shapes.len());
    for shape in shapes {
        let of_key = |(key, _): &(Text, Model)| {
            let at = shape.iter().position(|known| known == key)?;
            Some(before + at)
        };
        places.push(members.iter().map(of_key).collect::<Vec<_>>());
        before += shape.len();
    }
    if let [places] = places.as_slice() {
        let whole = places.iter().map(|place| match place {
            Some(at) => fields.get(*at).cloned(),
            None => Some(Column::from_values(&vec![Value::Null; shape_of.len()])),
        });
        return whole.collect();
    }
    let mut fields: Vec<_> = fields.iter().map(|f| f.to_values().into_iter()).collect();
    let mut values = vec![Vec::with_capacity(shape_of.len()); members.len()];
    for shape in shape_of {
        let places = places.get(usize::try_from(*shape).ok()?)?;
        for (values, place) in values.iter_mut().zip(places) {
            values.push(match place {
                Some(at) => fields.get_mut(*at)?.next()?,
                None => Value::Null,
            });
        }
    }
    Some(values.iter().map(|v| Column::from_values(v)).collect())
}

/// The values of one key of maps; null where a map has none.
fn member(maps: &[Value], key: &Text) -> Column {
    let null = Value::Null;
    let value = |map: &Value| map.as_map().and_then(|map| map.get(key)).cloned();
    let values: Vec<Value> = maps
        .iter()
        .map(|map| value(map).unwrap_or_else(|| null.clone()))
        .collect();
    Column::from_values(&values)
}

/// Appends which common value it is; `true` when it is none.
fn put_known(known: Option<&Alphabet>, code: Option<i64>, out: &mut Encoder) -> bool {
    let Some(known) = known else {
        return true;
    };
    let last = known.len().saturating_sub(1);
    let code = code.and_then(|code| usize::try_from(code).ok());
    let code = code.filter(|code| *code < last);
    out.symbol(known, code.unwrap_or(last));
    code.is_none()
}

fn take_known(known: Option<&Alphabet>, from: &mut Decoder<'_>) -> Option<i64> {
    let known = known?;
    let symbol = from.symbol(known);
    (symbol + 1 < known.len()).then(|| count_of(symbol))
}
