//! A block as a whole: its header, its directory, opening it and reading columns of it.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::borrow::Cow;
use std::cell::Cell;

use common::limits::COLUMNS_MAX;
use common::optimization::compression::integers::{read_varint, write_varint};
use common::{Error, Limits, Result};

use super::column::Column;
use super::shared::{DictionaryId, Shared, SharedColumn, SharedDictionary};
use super::statistics::Statistics;
use super::stream::{Group, METHOD_STORED, Sink, Source, corrupt, pack as pack_bytes, unpack};
use super::{Level, modelled, nested};

/// The edition of the format, in the upper half of a block's first byte.
const EDITION: u8 = 1;
const HAS_DICTIONARY: u8 = 1;
const HAS_DIRECTORY: u8 = 2;
const METHOD_SHIFT: u8 = 2;
/// Blocks of fewer rows have no directory: to read a column of them, the ones before it are read too.
pub(super) const DIRECTORY_ROWS_MIN: usize = 256;

/// Packs columns of equal length into a block.
///
/// Takes about 10 ns a value and 40 ns a byte of text at [`Level::Balanced`]; see [`Level`] for the others.
///
/// ```
/// use common::{Limits, Value};
/// use syncdb::payload::{Block, Column, Level, pack};
/// let ids: Vec<Value> = (0..1_000).map(Value::from).collect();
/// let block = pack(&[Column::from_values(&ids)], Level::Balanced, None)?;
/// assert!(block.len() < 50);
/// let opened = Block::open(&block, &Limits::default(), None)?;
/// assert_eq!((opened.rows(), opened.columns()), (1_000, 1));
/// assert_eq!(opened.column(0)?.to_values(), ids);
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// [`common::ErrorKind::Invalid`] when the columns are not equally long; [`common::ErrorKind::LimitExceeded`] for more
/// than 4,096 columns or 4 GiB of text in one.
pub fn pack(columns: &[Column], level: Level, shared: Option<Shared<'_>>) -> Result<Vec<u8>> {
    pack_with(columns, level, level.zstd_level(), shared)
}

/// A block whose parts are left for what carries it to compress, together with what else it carries.
pub(crate) fn pack_for_frame(columns: &[Column], level: Level) -> Result<Vec<u8>> {
    pack_with(columns, level, None, None)
}

pub(super) fn pack_with(
    columns: &[Column],
    level: Level,
    zstd: Option<i32>,
    shared: Option<Shared<'_>>,
) -> Result<Vec<u8>> {
    let rows = check(columns)?;
    let directory = rows >= DIRECTORY_ROWS_MIN;
    if let Some(shared) = shared
        && !directory
        && let Some(block) = modelled::pack(columns, level, zstd, shared)?
    {
        return Ok(block);
    }
    pack_described(columns, level, zstd, shared)
}

/// A block that describes its columns.
pub(super) fn pack_described(
    columns: &[Column],
    level: Level,
    zstd: Option<i32>,
    shared: Option<Shared<'_>>,
) -> Result<Vec<u8>> {
    let rows = check(columns)?;
    let directory = rows >= DIRECTORY_ROWS_MIN;
    let sink = write_columns(columns, level, directory, shared)?;
    let mut block = vec![0];
    if let Some(shared) = shared {
        block.extend_from_slice(&shared.dictionary.id().0);
    }
    let dictionary = shared.map(|shared| shared.dictionary);
    let mut method = METHOD_STORED;
    let mut head = sink.head;
    if let Some(zstd) = zstd {
        let mut packed = Vec::new();
        method = pack_bytes(&head, zstd, dictionary, &mut packed)?;
        write_header(
            rows,
            columns.len(),
            &sink.groups,
            head.len(),
            sink.bits.len(),
            &mut block,
        );
        head = packed;
    } else {
        write_header(
            rows,
            columns.len(),
            &sink.groups,
            head.len(),
            sink.bits.len(),
            &mut block,
        );
    }
    let mut bodies = Vec::new();
    for group in &sink.groups {
        let begin = bodies.len();
        let method = match zstd {
            Some(zstd) => pack_bytes(group, zstd, dictionary, &mut bodies)?,
            None => {
                bodies.extend_from_slice(group);
                METHOD_STORED
            }
        };
        block.push(method);
        write_varint(group.len() as u64, &mut block);
        write_varint((bodies.len() - begin) as u64, &mut block);
    }
    block.extend_from_slice(&sink.bits);
    block.extend_from_slice(&bodies);
    block.extend_from_slice(&head);
    if let Some(first) = block.first_mut() {
        *first = EDITION << 4
            | method << METHOD_SHIFT
            | if directory { HAS_DIRECTORY } else { 0 }
            | if shared.is_some() { HAS_DICTIONARY } else { 0 };
    }
    Ok(block)
}

fn write_header(
    rows: usize,
    columns: usize,
    groups: &[Vec<u8>],
    head: usize,
    bits: usize,
    block: &mut Vec<u8>,
) {
    for number in [rows, columns, groups.len(), head, bits] {
        write_varint(number as u64, block);
    }
}

/// The head of a block before it is packed: what a dictionary learns from.
pub(super) fn raw_head(columns: &[Column], shared: Shared<'_>) -> Result<Vec<u8>> {
    check(columns)?;
    let sink = write_columns(columns, Level::Balanced, false, Some(shared))?;
    Ok([sink.head, sink.groups.concat()].concat())
}

/// The number of rows, when all columns have as many.
fn check(columns: &[Column]) -> Result<usize> {
    if columns.len() > COLUMNS_MAX {
        return Err(Error::limit_exceeded(format!(
            "a block has at most {COLUMNS_MAX} columns, this one {}",
            columns.len()
        )));
    }
    let rows = columns.first().map_or(0, Column::rows);
    match columns.iter().find(|column| column.rows() != rows) {
        None => Ok(rows),
        Some(other) => Err(Error::invalid(format!(
            "the columns of a block are equally long, but one has {rows} rows and another {}",
            other.rows()
        ))),
    }
}

fn write_columns(
    columns: &[Column],
    level: Level,
    directory: bool,
    shared: Option<Shared<'_>>,
) -> Result<Sink> {
    let mut sink = Sink::new(level);
    let mut entries = Vec::new();
    for (position, column) in columns.iter().enumerate() {
        let before = (sink.head.len(), sink.bits.len(), sink.groups.len());
        let known: Option<&SharedColumn> =
            shared.and_then(|shared| shared.dictionary.column(shared.position(position)));
        nested::write(column, known, &mut sink)?;
        if directory {
            Statistics::of(column).write(&mut entries);
            for (now, before) in [
                (sink.head.len(), before.0),
                (sink.bits.len(), before.1),
                (sink.groups.len(), before.2),
            ] {
                write_varint((now - before) as u64, &mut entries);
            }
        }
    }
    if directory {
        entries.append(&mut sink.head);
        sink.head = entries;
    }
    Ok(sink)
}

/// Where the parts of a column are, and what is known about its values.
struct Entry {
    statistics: Statistics,
    head: (usize, usize),
    bits: (usize, usize),
    groups: (usize, usize),
}

/// A block that was opened: its head is unpacked, its columns are not.
///
/// [`Block::column`] reads one column; [`Block::filter`] finds the rows that a filter means, and reads no more than
/// that takes; [`Block::columns_at`] reads some rows of some columns.
pub struct Block<'a> {
    rows: usize,
    columns: usize,
    head: Vec<u8>,
    /// Where the columns begin in the head.
    start: usize,
    bits: Cow<'a, [u8]>,
    groups: Vec<Group<'a>>,
    entries: Option<Vec<Entry>>,
    limits: Limits,
    shared: Option<Shared<'a>>,
}

/// The dictionary that a block needs, if it needs one: what to look for before [`Block::open`].
///
/// # Errors
/// [`common::ErrorKind::Corrupt`] when the bytes end before they say; [`common::ErrorKind::Unsupported`] for another
/// edition of the format.
pub fn dictionary_of(block: &[u8]) -> Result<Option<DictionaryId>> {
    let (flags, rest) = flags(block)?;
    if flags & HAS_DICTIONARY == 0 {
        return Ok(None);
    }
    let id = rest.first_chunk().ok_or_else(|| corrupt("it ends early"))?;
    Ok(Some(DictionaryId(*id)))
}

pub(super) const fn first_byte(method: u8) -> u8 {
    EDITION << 4 | method << METHOD_SHIFT | HAS_DICTIONARY
}

fn flags(block: &[u8]) -> Result<(u8, &[u8])> {
    let (first, rest) = block.split_first().ok_or_else(|| corrupt("it is empty"))?;
    if first >> 4 != EDITION {
        return Err(Error::unsupported(format!(
            "the payload block is of edition {}, this side reads {EDITION}",
            first >> 4
        )));
    }
    Ok((first & 15, rest))
}

impl<'a> Block<'a> {
    /// Reads the header, the head and the directory of a block.
    ///
    /// Every declared length is checked first; memory follows what was received or unpacked.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when the block needs another dictionary than `shared`;
    /// [`common::ErrorKind::Corrupt`] for bytes that are no block; [`common::ErrorKind::LimitExceeded`] beyond `limits`;
    /// [`common::ErrorKind::Unsupported`] for another edition of the format.
    pub fn open(block: &'a [u8], limits: &Limits, shared: Option<Shared<'a>>) -> Result<Self> {
        limits.check_total(block.len())?;
        let (flags, mut rest) = flags(block)?;
        let shared = match dictionary_of(block)? {
            None => None,
            Some(id) => match shared.filter(|shared| shared.dictionary.id() == id) {
                Some(shared) => {
                    rest = rest.get(4..).unwrap_or_default();
                    Some(shared)
                }
                None => {
                    return Err(Error::not_found(format!(
                        "the payload block needs the shared dictionary {id}"
                    )));
                }
            },
        };
        if flags >> METHOD_SHIFT == modelled::METHOD {
            let shared = shared.ok_or_else(|| corrupt("it names no dictionary"))?;
            return Self::described(&modelled::read(rest, limits, shared)?, limits, shared);
        }
        let mut number = || -> Result<usize> {
            usize::try_from(read_varint(&mut rest)?).map_err(|_| corrupt("a number is too large"))
        };
        let (rows, columns, group_count) = (number()?, number()?, number()?);
        let (head_bytes, bits_bytes) = (number()?, number()?);
        limits.check_rows(rows)?;
        if columns > COLUMNS_MAX {
            return Err(corrupt("more columns than a table has"));
        }
        if columns == 0 && rows > 0 {
            return Err(corrupt("rows without columns"));
        }
        let mut unpacked = head_bytes;
        let mut lengths = Vec::new();
        for _ in 0..group_count {
            let (method, after) = rest.split_first().ok_or_else(|| corrupt("it ends early"))?;
            rest = after;
            let raw_bytes = usize::try_from(read_varint(&mut rest)?).unwrap_or(usize::MAX);
            let packed = usize::try_from(read_varint(&mut rest)?).unwrap_or(usize::MAX);
            unpacked = unpacked.saturating_add(raw_bytes);
            lengths.push((*method, raw_bytes, packed));
        }
        limits.check_total(unpacked)?;
        let mut part = |bytes: usize| -> Result<&'a [u8]> {
            let (part, after) = rest
                .split_at_checked(bytes)
                .ok_or_else(|| corrupt("it ends early"))?;
            rest = after;
            Ok(part)
        };
        let bits = part(bits_bytes)?;
        let mut groups = Vec::with_capacity(lengths.len());
        for (method, raw_bytes, packed) in lengths {
            groups.push(Group {
                packed: Cow::Borrowed(part(packed)?),
                raw_bytes,
                method,
            });
        }
        let head = Group {
            packed: Cow::Borrowed(rest),
            raw_bytes: head_bytes,
            method: flags >> METHOD_SHIFT,
        };
        let dictionary = shared.map(|shared| shared.dictionary);
        let mut opened = Self {
            rows,
            columns,
            head: unpack(&head, dictionary)?,
            start: 0,
            bits: Cow::Borrowed(bits),
            groups,
            entries: None,
            limits: limits.clone(),
            shared,
        };
        if flags & HAS_DIRECTORY != 0 {
            opened.read_directory()?;
        }
        Ok(opened)
    }

    /// Columns that were read from symbols, as a block that can be asked as any other.
    fn described(columns: &[Column], limits: &Limits, shared: Shared<'a>) -> Result<Self> {
        let sink = write_columns(columns, Level::None, false, None)?;
        let group = |bytes: Vec<u8>| Group {
            raw_bytes: bytes.len(),
            packed: Cow::Owned(bytes),
            method: METHOD_STORED,
        };
        Ok(Self {
            rows: columns.first().map_or(0, Column::rows),
            columns: columns.len(),
            head: sink.head,
            start: 0,
            bits: Cow::Owned(sink.bits),
            groups: sink.groups.into_iter().map(group).collect(),
            entries: None,
            limits: limits.clone(),
            shared: Some(shared),
        })
    }

    fn read_directory(&mut self) -> Result<()> {
        let mut rest = self.head.as_slice();
        let mut entries = Vec::new();
        let (mut head, mut bits, mut groups) = (0_usize, 0_usize, 0_usize);
        for _ in 0..self.columns {
            let statistics = Statistics::read(&mut rest)?;
            let mut range = |at: &mut usize| -> Result<(usize, usize)> {
                let bytes = usize::try_from(read_varint(&mut rest)?).unwrap_or(usize::MAX);
                let begin = *at;
                *at = at
                    .checked_add(bytes)
                    .ok_or_else(|| corrupt("its directory"))?;
                Ok((begin, *at))
            };
            entries.push(Entry {
                statistics,
                head: range(&mut head)?,
                bits: range(&mut bits)?,
                groups: range(&mut groups)?,
            });
        }
        self.start = self.head.len() - rest.len();
        if head != rest.len() || bits != self.bits.len() || groups != self.groups.len() {
            return Err(corrupt("its directory does not cover it"));
        }
        self.entries = Some(entries);
        Ok(())
    }

    /// Number of rows.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// What is known about a column's values without reading them; `None` in blocks of fewer than 256 rows.
    pub fn statistics(&self, column: usize) -> Option<&Statistics> {
        Some(&self.entries.as_ref()?.get(column)?.statistics)
    }

    fn source<'s>(
        &'s self,
        entry: Option<&Entry>,
        column: usize,
        budget: &'s Cell<usize>,
    ) -> Result<Source<'s>> {
        let head = self.head.get(self.start..).unwrap_or_default();
        let (head, bits, groups) = match entry {
            None => (Some(head), Some(&*self.bits), Some(self.groups.as_slice())),
            Some(entry) => (
                head.get(entry.head.0..entry.head.1),
                self.bits.get(entry.bits.0..entry.bits.1),
                self.groups.get(entry.groups.0..entry.groups.1),
            ),
        };
        let (Some(head), Some(bits), Some(groups)) = (head, bits, groups) else {
            return Err(corrupt("its directory does not cover it"));
        };
        Ok(Source {
            head,
            bits,
            groups,
            limits: &self.limits,
            dictionary: self.shared.map(|shared| shared.dictionary),
            budget,
            column: self.position(column),
            depth: 0,
        })
    }

    fn position(&self, column: usize) -> usize {
        self.shared.map_or(column, |shared| shared.position(column))
    }

    /// Calls `read` at the beginning of a column.
    pub(super) fn at_column<T>(
        &self,
        column: usize,
        read: impl FnOnce(&mut Source<'_>) -> Result<T>,
    ) -> Result<T> {
        if column >= self.columns {
            return Err(Error::not_found(format!(
                "the block has {} columns, none at position {column}",
                self.columns
            )));
        }
        let budget = Cell::new(self.limits.total_bytes_max);
        if let Some(entries) = &self.entries {
            return read(&mut self.source(entries.get(column), column, &budget)?);
        }
        let mut source = self.source(None, column, &budget)?;
        for before in 0..column {
            source.column = self.position(before);
            nested::read(self.rows, &mut source)?;
        }
        source.column = self.position(column);
        read(&mut source)
    }

    /// Reads one column.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when there is no such column; [`common::ErrorKind::Corrupt`] and
    /// [`common::ErrorKind::LimitExceeded`] as [`Block::open`].
    pub fn column(&self, column: usize) -> Result<Column> {
        self.at_column(column, |source| {
            let read = nested::read(self.rows, source)?;
            if self.entries.is_some() {
                finished(source)?;
            }
            Ok(read)
        })
    }

    /// Reads all columns.
    ///
    /// # Errors
    /// As [`Block::column`].
    pub fn decode(&self) -> Result<Vec<Column>> {
        let budget = Cell::new(self.limits.total_bytes_max);
        let mut columns = Vec::new();
        let mut shared_source = self.source(None, 0, &budget)?;
        for column in 0..self.columns {
            let read = match &self.entries {
                None => {
                    shared_source.column = self.position(column);
                    nested::read(self.rows, &mut shared_source)?
                }
                Some(entries) => {
                    let mut source = self.source(entries.get(column), column, &budget)?;
                    let read = nested::read(self.rows, &mut source)?;
                    finished(&source)?;
                    read
                }
            };
            columns.push(read);
        }
        if self.entries.is_none() {
            finished(&shared_source)?;
        }
        Ok(columns)
    }
}

/// Checks that a column has used up what was set apart for it.
fn finished(source: &Source<'_>) -> Result<()> {
    if source.head.is_empty() && source.bits.is_empty() && source.groups.is_empty() {
        Ok(())
    } else {
        Err(corrupt("something follows the values of a column"))
    }
}

/// Opens a block and reads all its columns.
///
/// # Errors
/// As [`Block::open`] and [`Block::column`].
pub fn unpack_all(
    block: &[u8],
    limits: &Limits,
    dictionary: Option<&SharedDictionary>,
) -> Result<Vec<Column>> {
    Block::open(block, limits, dictionary.map(Shared::new))?.decode()
}
