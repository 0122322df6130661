//! Texts, and what else repeats.
//!
//! | codec | what |
//! |---|---|
//! | 0 plain | lengths as a sequence; all bytes |
//! | 1 distinct | each text that occurs, sorted, by codec 0, 2 or 3, and codes |
//! | 2 front-coded | of sorted texts: bytes shared with the text before, lengths of the rest, the rests |
//! | 3 numbered | a beginning, an end, and the numbers between them |
//! | 4 shared | codes into the shared dictionary; those it lacks follow by codec 0 to 3 |

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::fmt::Write as _;
use std::hash::{BuildHasher, Hash};

use common::Result;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::column::{ByteStrings, Texts, count_of, offset};
use super::stream::{Sink, Source, corrupt};
use super::{Level, ints};

const PLAIN: u8 = 0;
const DISTINCT: u8 = 1;
const FRONT_CODED: u8 = 2;
const NUMBERED: u8 = 3;
const SHARED: u8 = 4;

/// Numbers inside texts have at most this many digits, so that they fit an integer.
const DIGITS_MAX: usize = 18;

/// The distinct values in order, and each value's position among them; `None` when most are different.
pub(super) fn distinct<T: Hash + Ord + Copy>(
    values: impl Iterator<Item = T>,
    count: usize,
) -> Option<(Vec<T>, Vec<i64>)> {
    let hasher = FixedState::default();
    let mut table: HashTable<usize> = HashTable::new();
    let mut found: Vec<T> = Vec::new();
    let mut codes = Vec::with_capacity(count);
    for value in values {
        let hash = hasher.hash_one(value);
        let same = |at: &usize| found.get(*at) == Some(&value);
        if let Some(at) = table.find(hash, same) {
            codes.push(count_of(*at));
            continue;
        }
        if found.len() >= count / 2 {
            return None;
        }
        codes.push(count_of(found.len()));
        let rehash = |at: &usize| found.get(*at).map_or(0, |value| hasher.hash_one(value));
        table.insert_unique(hash, found.len(), rehash);
        found.push(value);
    }
    if found.is_empty() {
        return None;
    }
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_unstable_by_key(|at| found.get(*at));
    let mut rank = vec![0; found.len()];
    for (to, from) in order.iter().enumerate() {
        if let Some(place) = rank.get_mut(*from) {
            *place = count_of(to);
        }
    }
    for code in &mut codes {
        let at = usize::try_from(*code).unwrap_or_default();
        *code = rank.get(at).copied().unwrap_or_default();
    }
    let sorted = order.iter().filter_map(|at| found.get(*at).copied());
    Some((sorted.collect(), codes))
}

/// Appends texts whose number the reader knows.
pub(super) fn write(
    texts: &Texts,
    shared: Option<&super::shared::SharedColumn>,
    sink: &mut Sink,
) -> Result<()> {
    if texts.is_empty() {
        return Ok(());
    }
    if let Some(known) = shared.and_then(super::shared::SharedColumn::texts) {
        let escape = count_of(known.len());
        let mut missing = Texts::default();
        let codes: Vec<i64> = texts
            .iter()
            .map(|text| {
                known.code(text).unwrap_or_else(|| {
                    missing.push(text);
                    escape
                })
            })
            .collect();
        if missing.len() <= texts.len() / 2 {
            sink.byte(SHARED);
            ints::write(&codes, sink)?;
            return write(&missing, None, sink);
        }
    }
    if sink.level != Level::None
        && let Some((distinct, codes)) = distinct(texts.iter(), texts.len())
    {
        sink.byte(DISTINCT);
        sink.number(distinct.len());
        write_each(&distinct, sink)?;
        return ints::write(&codes, sink);
    }
    let all: Vec<&str> = texts.iter().collect();
    write_each(&all, sink)
}

fn write_each(texts: &[&str], sink: &mut Sink) -> Result<()> {
    if sink.level != Level::None {
        if let Some(numbered) = Numbered::find(texts) {
            return numbered.write(sink);
        }
        if texts.len() >= 8 && texts.is_sorted() {
            let shared: Vec<i64> = shared_lengths(texts);
            if shared.iter().sum::<i64>() > 2 * count_of(texts.len()) {
                return write_front_coded(texts, &shared, sink);
            }
        }
    }
    sink.byte(PLAIN);
    let lengths: Vec<i64> = texts.iter().map(|text| count_of(text.len())).collect();
    ints::write(&lengths, sink)?;
    sink.bytes(texts.concat().into_bytes());
    Ok(())
}

/// How many bytes each text has in common with the one before.
fn shared_lengths(texts: &[&str]) -> Vec<i64> {
    let mut before = "";
    let shared = texts.iter().map(|text| {
        let mut same = text
            .bytes()
            .zip(before.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        while !text.is_char_boundary(same) {
            same -= 1;
        }
        before = text;
        count_of(same)
    });
    shared.collect()
}

fn write_front_coded(texts: &[&str], shared: &[i64], sink: &mut Sink) -> Result<()> {
    let rests = || {
        texts.iter().zip(shared).map(|(text, shared)| {
            let shared = usize::try_from(*shared).unwrap_or_default();
            text.get(shared..).unwrap_or_default()
        })
    };
    sink.byte(FRONT_CODED);
    ints::write(shared, sink)?;
    let lengths: Vec<i64> = rests().map(|rest| count_of(rest.len())).collect();
    ints::write(&lengths, sink)?;
    sink.bytes(rests().collect::<String>().into_bytes());
    Ok(())
}

/// Texts that differ in one number only, as `user-000123` and `user-000124` do.
struct Numbered<'a> {
    prefix: &'a str,
    suffix: &'a str,
    /// Number of digits, zeros in front included; 0 when there are none and the numbers are as long as they are.
    digits: usize,
    numbers: Vec<i64>,
}

impl<'a> Numbered<'a> {
    fn find(texts: &[&'a str]) -> Option<Self> {
        let (first, rest) = texts.split_first()?;
        let other = rest.first()?;
        let is_digit = |byte: &u8| byte.is_ascii_digit();
        let (a, b) = (first.as_bytes(), other.as_bytes());
        let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        let same_at_end = a
            .iter()
            .rev()
            .zip(b.iter().rev())
            .take_while(|(a, b)| a == b)
            .count();
        // The number takes every digit around the place where the texts differ.
        let before = a
            .get(..same)?
            .iter()
            .rev()
            .take_while(|byte| is_digit(byte))
            .count();
        let begin = same - before;
        let digits = a
            .get(begin..)?
            .iter()
            .take_while(|byte| is_digit(byte))
            .count();
        if digits == 0 || digits > DIGITS_MAX {
            return None;
        }
        let end = a.len() - (begin + digits);
        if end > same_at_end + digits {
            return None;
        }
        let (prefix, suffix) = (first.get(..begin)?, first.get(begin + digits..)?);
        let middle = |text: &&'a str| -> Option<&'a str> {
            let middle = text.strip_prefix(prefix)?.strip_suffix(suffix)?;
            let fits = !middle.is_empty() && middle.len() <= DIGITS_MAX;
            (fits && middle.bytes().all(|byte| byte.is_ascii_digit())).then_some(middle)
        };
        let mut numbers = Vec::with_capacity(texts.len());
        let (mut fixed, mut plain) = (true, true);
        for text in texts {
            let middle = middle(text)?;
            fixed &= middle.len() == digits;
            plain &= !middle.starts_with('0') || middle.len() == 1;
            if !fixed && !plain {
                return None;
            }
            numbers.push(middle.parse().ok()?);
        }
        Some(Self {
            prefix,
            suffix,
            digits: if plain { 0 } else { digits },
            numbers,
        })
    }

    fn write(&self, sink: &mut Sink) -> Result<()> {
        sink.byte(NUMBERED);
        sink.number(self.prefix.len());
        sink.number(self.suffix.len());
        sink.number(self.digits);
        sink.head.extend_from_slice(self.prefix.as_bytes());
        sink.head.extend_from_slice(self.suffix.as_bytes());
        ints::write(&self.numbers, sink)
    }
}

/// Texts, or codes into the distinct ones.
pub(super) enum Form {
    Plain(Texts),
    Coded(Texts, Vec<i64>),
}

impl Form {
    pub(super) fn into_texts(self) -> Texts {
        match self {
            Self::Plain(texts) => texts,
            Self::Coded(Texts { bytes, spans }, codes) => {
                let span = |code: i64| {
                    let code = usize::try_from(code).unwrap_or_default();
                    spans.get(code).copied().unwrap_or_default()
                };
                Texts {
                    spans: codes.into_iter().map(span).collect(),
                    bytes,
                }
            }
        }
    }
}

/// Reads `count` texts.
pub(super) fn read(count: usize, source: &mut Source<'_>) -> Result<Form> {
    if count == 0 {
        return Ok(Form::Plain(Texts::default()));
    }
    source.spend(count, size_of::<(u32, u32)>())?;
    match source.byte()? {
        SHARED => {
            let known = source
                .dictionary
                .and_then(|dictionary| dictionary.column(source.column))
                .and_then(super::shared::SharedColumn::texts)
                .ok_or_else(|| corrupt("the shared dictionary has no such column"))?;
            let codes = ints::read_codes(count, known.len() + 1, source)?;
            let escape = count_of(known.len());
            let missing = codes.iter().filter(|code| **code == escape).count();
            let missing = source.nested(|source| read(missing, source))?.into_texts();
            let mut missing = missing.iter();
            let mut texts = Texts::default();
            for code in codes {
                let text = known
                    .value(code)
                    .or_else(|| missing.next())
                    .unwrap_or_default();
                source.spend(text.len(), 1)?;
                texts.push(text);
            }
            Ok(Form::Plain(texts))
        }
        DISTINCT => {
            let distinct = source.number()?;
            if distinct > count {
                return Err(corrupt("more distinct texts than texts"));
            }
            source.spend(distinct, size_of::<(u32, u32)>())?;
            let inner = source.byte()?;
            let texts = read_each(inner, distinct, source)?;
            let codes = ints::read_codes(count, distinct, source)?;
            // Whoever makes a value of each copies the text as often as it occurs.
            let length = |position: &i64| {
                let position = usize::try_from(*position).unwrap_or_default();
                let (begin, end) = texts.spans.get(position).copied().unwrap_or_default();
                end.saturating_sub(begin) as usize
            };
            source.spend(codes.iter().map(length).sum(), 1)?;
            Ok(Form::Coded(texts, codes))
        }
        plain => Ok(Form::Plain(read_each(plain, count, source)?)),
    }
}

fn read_each(codec: u8, count: usize, source: &mut Source<'_>) -> Result<Texts> {
    match codec {
        PLAIN => {
            let (spans, bytes) = read_spans(count, source)?;
            let bytes = text(source.bytes(bytes)?)?;
            let aligned = spans
                .iter()
                .all(|(begin, _)| bytes.is_char_boundary(*begin as usize));
            if !aligned {
                return Err(corrupt("a text ends inside a character"));
            }
            Ok(Texts { bytes, spans })
        }
        FRONT_CODED => read_front_coded(count, source),
        NUMBERED => read_numbered(count, source),
        _ => Err(corrupt("texts of an unknown kind")),
    }
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| corrupt("a text is not UTF-8"))
}

/// Reads lengths: begin and end of each, and how many bytes there are in all.
fn read_spans(count: usize, source: &mut Source<'_>) -> Result<(Vec<(u32, u32)>, usize)> {
    let lengths = ints::read(count, source)?;
    let bytes_max = source.limits.bytes_max.min(u32::MAX as usize);
    let total_max = source.limits.total_bytes_max.min(u32::MAX as usize);
    let mut spans = Vec::with_capacity(count);
    let mut end = 0_usize;
    for length in lengths {
        let length = usize::try_from(length).map_err(|_| corrupt("a negative length"))?;
        if length > bytes_max {
            source.limits.check_bytes(length)?;
        }
        let begin = offset(end);
        end += length;
        if end > total_max {
            source.limits.check_total(end)?;
        }
        spans.push((begin, offset(end)));
    }
    Ok((spans, end))
}

fn read_front_coded(count: usize, source: &mut Source<'_>) -> Result<Texts> {
    let shared = ints::read(count, source)?;
    let (spans, bytes) = read_spans(count, source)?;
    let rests = text(source.bytes(bytes)?)?;
    let mut texts = Texts::default();
    let mut before = (0, 0);
    for (shared, (begin, end)) in shared.into_iter().zip(spans) {
        let rest = rests.get(begin as usize..end as usize);
        let shared = usize::try_from(shared).unwrap_or(usize::MAX);
        let kept = texts
            .bytes
            .get(before.0..before.1)
            .and_then(|text| text.get(..shared));
        let (Some(rest), Some(kept)) = (rest, kept) else {
            return Err(corrupt("a text shares more than there is"));
        };
        source.spend(kept.len() + rest.len(), 1)?;
        source.limits.check_bytes(kept.len() + rest.len())?;
        let kept = kept.len();
        let at = texts.bytes.len();
        texts.bytes.extend_from_within(before.0..before.0 + kept);
        texts.bytes.push_str(rest);
        before = (at, texts.bytes.len());
        texts.spans.push((offset(before.0), offset(before.1)));
    }
    Ok(texts)
}

fn read_numbered(count: usize, source: &mut Source<'_>) -> Result<Texts> {
    let (prefix, suffix, digits) = (source.number()?, source.number()?, source.number()?);
    let mut part = |bytes: usize| {
        let (part, rest) = source
            .head
            .split_at_checked(bytes)
            .ok_or_else(|| corrupt("the head ends early"))?;
        source.head = rest;
        std::str::from_utf8(part).map_err(|_| corrupt("a text is not UTF-8"))
    };
    let (prefix, suffix) = (part(prefix)?, part(suffix)?);
    let numbers = ints::read(count, source)?;
    if digits > DIGITS_MAX {
        return Err(corrupt("a number of too many digits"));
    }
    let each = prefix.len() + suffix.len() + DIGITS_MAX + 2;
    source.limits.check_bytes(each)?;
    source.spend(count, each)?;
    let mut texts = Texts::default();
    texts.spans.reserve(count);
    for number in numbers {
        let begin = offset(texts.bytes.len());
        texts.bytes.push_str(prefix);
        push_number(number, digits, &mut texts.bytes);
        texts.bytes.push_str(suffix);
        texts.spans.push((begin, offset(texts.bytes.len())));
    }
    Ok(texts)
}

/// Appends a number with at least so many digits.
fn push_number(number: i64, digits: usize, text: &mut String) {
    let mut reversed = [b'0'; 20];
    let mut rest = number.unsigned_abs();
    let mut length = 0;
    for place in &mut reversed {
        if rest == 0 && length > 0 {
            break;
        }
        *place += u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        length += 1;
    }
    if number < 0 {
        // Not from a writer of ours, and harmless.
        let _ = write!(text, "{number}");
        return;
    }
    for digit in reversed.iter().take(length.max(digits)).rev() {
        text.push(char::from(*digit));
    }
}

/// Appends byte strings whose number the reader knows.
pub(super) fn write_bytes(strings: &ByteStrings, sink: &mut Sink) -> Result<()> {
    let lengths: Vec<i64> = strings.iter().map(|bytes| count_of(bytes.len())).collect();
    ints::write(&lengths, sink)?;
    sink.bytes(strings.iter().collect::<Vec<_>>().concat());
    Ok(())
}

/// Reads `count` byte strings.
pub(super) fn read_bytes(count: usize, source: &mut Source<'_>) -> Result<ByteStrings> {
    let (spans, bytes) = read_spans(count, source)?;
    let bytes = source.bytes(bytes)?;
    Ok(ByteStrings { bytes, spans })
}
