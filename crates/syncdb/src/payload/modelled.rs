//! Blocks of a few rows by the models of a shared dictionary: symbols, and an inner block for columns that no model fits.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::sync::LazyLock;

use common::limits::COLUMNS_MAX;
use common::optimization::compression::integers::{read_varint, write_varint};
use common::{Limits, Result};

use super::block::{Block, first_byte, pack_described};
use super::coder::{Alphabet, Decoder, Encoder};
use super::column::{Column, Data};
use super::model::{counted_back, counted_from, times_of};
use super::shared::{Shared, SharedColumn};
use super::stream::{Sink, corrupt};
use super::{Level, nested};

/// The head's method of such a block.
pub(super) const METHOD: u8 = 3;

/// Whether a column is written by its model, or is not although it has one.
static FITS: LazyLock<Alphabet> = LazyLock::new(|| Alphabet::new(&[255, 1]));

/// Columns of fewer symbols' bytes are not worth a second look.
const LOOKED_AT_MIN: usize = 12;
/// Fewer bytes of an inner block are not worth the time that compressing them takes.
const COMPRESSED_MIN: usize = 192;
/// What an inner block takes by itself.
const INNER_BYTES: usize = 12;

/// `None` when no column has a model that it fits.
pub(super) fn pack(
    columns: &[Column],
    level: Level,
    zstd: Option<i32>,
    shared: Shared<'_>,
) -> Result<Option<Vec<u8>>> {
    let dictionary = shared.dictionary;
    let rows = columns.first().map_or(0, Column::rows);
    let (mut others, mut positions) = (Vec::new(), Vec::new());
    // Of the identifiers so far, by position in the table.
    let mut times: Vec<(usize, Vec<i64>)> = Vec::new();
    let mut symbols = Encoder::new(Vec::with_capacity(256));
    let mut compressible = 0_usize;
    for (at, column) in columns.iter().enumerate() {
        let position = shared.position(at);
        let common = dictionary.column(position);
        let mut is_put = false;
        // Of a column that was not looked at, nobody knows.
        let mut looked_at = usize::MAX;
        if let Some(model) = dictionary.model(position) {
            let relative = model.follows().map(|at| {
                let times = times.iter().find(|(known, _)| *known == at)?;
                counted_from(column, &times.1)
            });
            let meant = match &relative {
                None => Some(column),
                Some(relative) => relative.as_ref(),
            };
            let before = symbols.mark();
            if let Some(column) = meant {
                symbols.symbol(&FITS, 0);
                is_put = model.put(column, common, &mut symbols);
                // Values that are others than those that were learned from may rather describe themselves.
                let bytes = symbols.bytes_since(&before);
                let spent = if others.is_empty() { INNER_BYTES } else { 0 };
                if is_put && bytes >= LOOKED_AT_MIN + spent && may_be_shorter(column, bytes) {
                    let (alone, of_it) = described_bytes(column, level, common)?;
                    is_put = alone + spent >= bytes;
                    looked_at = of_it;
                }
            }
            if !is_put {
                symbols.back(&before);
                symbols.symbol(&FITS, 1);
            }
        }
        if is_put {
            times.extend(times_of(column).map(|times| (position, times)));
        } else {
            others.push(column.clone());
            positions.push(position);
            compressible = compressible.saturating_add(looked_at);
        }
    }
    if others.len() == columns.len() {
        return Ok(None);
    }
    let symbols = symbols.finish();
    let mut block = vec![first_byte(METHOD)];
    block.extend_from_slice(&dictionary.id().0);
    write_varint(rows as u64, &mut block);
    write_varint(columns.len() as u64, &mut block);
    write_varint(symbols.len() as u64, &mut block);
    block.extend_from_slice(&symbols);
    if !others.is_empty() {
        let inner = Shared::of_columns(dictionary, &positions);
        // Without use of it, the inner block need not name the dictionary once more.
        let mut columns = positions.iter().map(|at| dictionary.column(*at));
        let is_known = columns.any(|known| known.is_some_and(SharedColumn::has_values));
        let inner = Some(inner).filter(|_| is_known);
        let zstd = zstd.filter(|_| compressible >= COMPRESSED_MIN);
        block.append(&mut pack_described(&others, level, zstd, inner)?);
    }
    Ok(Some(block))
}

/// Whether it is worth a look how many bytes a column takes when it describes itself. Texts take more than symbols unless each
/// begins as the one before, or they are others than those that were learned from.
fn may_be_shorter(column: &Column, bytes: usize) -> bool {
    match &column.data {
        Data::Text(texts) => {
            let pairs = texts.iter().zip(texts.iter().skip(1)).take(16);
            let (mut shared, mut all) = (0, 0);
            for (before, text) in pairs {
                let both = before.bytes().zip(text.bytes());
                shared += both.take_while(|(a, b)| a == b).count();
                all += text.len();
            }
            shared * 2 > all || bytes * 4 > texts.bytes.len() * 3
        }
        Data::Map { .. } | Data::List { .. } => bytes > column.rows * 8,
        _ => true,
    }
}

/// Bytes of a column that describes itself, before compression: all, and those that compression may make fewer.
fn described_bytes(
    column: &Column,
    level: Level,
    known: Option<&SharedColumn>,
) -> Result<(usize, usize)> {
    let mut sink = Sink::new(level);
    nested::write(column, known, &mut sink)?;
    let groups: usize = sink.groups.iter().map(Vec::len).sum();
    let compressible = sink.head.len() + groups;
    Ok((compressible + sink.bits.len(), compressible))
}

/// The columns of a block, from behind the dictionary's id.
pub(super) fn read(mut rest: &[u8], limits: &Limits, shared: Shared<'_>) -> Result<Vec<Column>> {
    let mut number = || -> Result<usize> {
        usize::try_from(read_varint(&mut rest)?).map_err(|_| corrupt("a number is too large"))
    };
    let (rows, count, bytes) = (number()?, number()?, number()?);
    limits.check_rows(rows)?;
    if count > COLUMNS_MAX || (count == 0 && rows > 0) {
        return Err(corrupt("more columns than a table has"));
    }
    // No writer puts more rows into such a block.
    if rows >= super::block::DIRECTORY_ROWS_MIN {
        return Err(corrupt("more rows than models are for"));
    }
    let (symbols, inner) = rest
        .split_at_checked(bytes)
        .ok_or_else(|| corrupt("it ends early"))?;
    let dictionary = shared.dictionary;
    let mut from = Decoder::new(symbols);
    let mut columns: Vec<Option<Column>> = Vec::new();
    let mut positions = Vec::new();
    let mut times: Vec<(usize, Vec<i64>)> = Vec::new();
    let mut left = limits.clone();
    for at in 0..count {
        let position = shared.position(at);
        let model = dictionary.model(position);
        let fits = model.filter(|_| from.symbol(&FITS) == 0);
        columns.push(match fits {
            Some(model) => {
                let mut column = model.take(rows, dictionary.column(position), &left, &mut from)?;
                if let Some(at) = model.follows() {
                    let times = times.iter().find(|(known, _)| *known == at);
                    let whole = times.and_then(|(_, times)| counted_back(&column, times));
                    column = whole.ok_or_else(|| corrupt("times that are counted from none"))?;
                }
                times.extend(times_of(&column).map(|times| (position, times)));
                let bytes = bytes_of(&column);
                left.check_total(bytes)?;
                left.total_bytes_max -= bytes;
                Some(column)
            }
            None => {
                positions.push(position);
                None
            }
        });
    }
    from.finish()?;
    let mut others = Vec::new();
    if positions.is_empty() {
        if !inner.is_empty() {
            return Err(corrupt("something follows its last column"));
        }
    } else {
        let shared = Shared::of_columns(dictionary, &positions);
        if inner.first().is_some_and(|first| first >> 2 & 3 == METHOD) {
            return Err(corrupt("a block by models in a block by models"));
        }
        let opened = Block::open(inner, &left, Some(shared))?;
        if opened.rows() != rows || opened.columns() != positions.len() {
            return Err(corrupt("its inner block is of other rows or columns"));
        }
        others = opened.decode()?;
    }
    let mut others = others.into_iter();
    let whole: Option<Vec<Column>> = columns
        .into_iter()
        .map(|column| column.or_else(|| others.next()))
        .collect();
    whole.ok_or_else(|| corrupt("its inner block has too few columns"))
}

/// Memory that a column takes as values, roughly.
fn bytes_of(column: &Column) -> usize {
    let content = match &column.data {
        Data::Text(texts) => texts.bytes.len(),
        Data::List { items, .. } => bytes_of(items),
        Data::Map { fields, .. } => fields.iter().map(bytes_of).sum(),
        _ => 0,
    };
    column
        .rows
        .saturating_mul(size_of::<common::Value>())
        .saturating_add(content)
}
