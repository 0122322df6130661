//! [`SharedDictionary`]: what both sides know about the values of a table before a block is sent.
//!
//! Layout of its bytes: the four letters `TPD1`; the length of a Zstandard dictionary as a varint, and it; the number
//! of columns as a varint; then for each column the length of a payload block as a varint, and the block, which holds
//! the column's common values, the most common first (no bytes where there are none), and its model, likewise.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use common::optimization::compression::integers::{read_varint, write_varint};
use common::optimization::compression::{DICTIONARY_BYTES_MAX, Dictionary, train_dictionary};
use common::{Error, Limits, Result};
use sha2::{Digest as _, Sha256};

use super::block::{Block, pack, raw_head};
use super::column::{Column, Data, Texts, count_of};
use super::model::Model;
use super::{Level, corrupt};

const MAGIC: &[u8; 4] = b"TPD1";
/// Largest dictionary in bytes, its columns included.
pub const SHARED_BYTES_MAX: usize = 2 << 20;
/// Most common values of one column.
const COMMON_MAX: usize = 4_095;
/// Rows of one training batch: about what an increment has of one table.
const BATCH_ROWS: usize = 24;

/// Which dictionary is meant: the first bytes of the SHA-256 of its content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DictionaryId(pub [u8; 4]);

impl fmt::Debug for DictionaryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Display for DictionaryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What both sides know of a table's values: the common ones of each column, and bytes that texts resemble.
///
/// It is what makes blocks of a few rows small. One is trained for a table and its schema, travels once, and is named
/// by its [id](SharedDictionary::id) from then on; a block packed with it can be read with it only.
///
/// ```
/// use common::{Limits, Value};
/// use syncdb::payload::{Block, Column, Level, Shared, SharedDictionary, pack};
/// let states = ["open", "done", "waiting"].map(Value::from);
/// let values: Vec<Value> = states.iter().cycle().take(600).cloned().collect();
/// let rows = Column::from_values(&values);
/// let dictionary = SharedDictionary::train(&[rows], 4 << 10)?;
/// let shared = Some(Shared::new(&dictionary));
///
/// let few = [Column::from_values(&values[..6])];
/// let block = pack(&few, Level::Balanced, shared)?;
/// assert!(block.len() < pack(&few, Level::Balanced, None)?.len());
/// let opened = Block::open(&block, &Limits::default(), shared)?;
/// assert_eq!(opened.column(0)?.to_values(), values[..6]);
/// # Ok::<(), common::Error>(())
/// ```
pub struct SharedDictionary {
    id: DictionaryId,
    content: Vec<u8>,
    bytes: Option<Arc<Dictionary>>,
    columns: Vec<SharedColumn>,
    models: Vec<Option<Model>>,
}

/// A dictionary, and which of its columns those of a block are.
#[derive(Debug, Clone, Copy)]
pub struct Shared<'a> {
    pub(super) dictionary: &'a SharedDictionary,
    /// `None` when the block has the table's columns in order.
    pub(super) positions: Option<&'a [usize]>,
}

impl<'a> Shared<'a> {
    /// For blocks of all columns of the table.
    pub const fn new(dictionary: &'a SharedDictionary) -> Self {
        Self {
            dictionary,
            positions: None,
        }
    }

    /// For blocks of some columns: the position in the table of each.
    pub const fn of_columns(dictionary: &'a SharedDictionary, positions: &'a [usize]) -> Self {
        Self {
            dictionary,
            positions: Some(positions),
        }
    }

    pub(super) fn position(&self, column: usize) -> usize {
        match self.positions {
            None => column,
            Some(positions) => positions.get(column).copied().unwrap_or(usize::MAX),
        }
    }
}

/// Common values of one column, by code.
#[derive(Debug)]
pub(super) enum SharedColumn {
    Nothing,
    Texts(SharedTexts),
    Uuids(SharedUuids),
}

#[derive(Debug)]
pub(super) struct SharedTexts {
    values: Texts,
    codes: HashMap<Box<str>, i64, foldhash::fast::FixedState>,
}

#[derive(Debug)]
pub(super) struct SharedUuids {
    values: Vec<u128>,
    codes: HashMap<u128, i64, foldhash::fast::FixedState>,
}

impl SharedTexts {
    pub(super) const fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn code(&self, text: &str) -> Option<i64> {
        self.codes.get(text).copied()
    }

    pub(super) fn value(&self, code: i64) -> Option<&str> {
        self.values.get(usize::try_from(code).ok()?)
    }
}

impl SharedUuids {
    pub(super) const fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn code(&self, value: &u128) -> Option<i64> {
        self.codes.get(value).copied()
    }

    pub(super) fn value(&self, code: i64) -> Option<&u128> {
        self.values.get(usize::try_from(code).ok()?)
    }
}

impl SharedColumn {
    pub(super) const fn has_values(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    pub(super) const fn texts(&self) -> Option<&SharedTexts> {
        match self {
            Self::Texts(texts) => Some(texts),
            _ => None,
        }
    }

    pub(super) const fn uuids(&self) -> Option<&SharedUuids> {
        match self {
            Self::Uuids(uuids) => Some(uuids),
            _ => None,
        }
    }

    fn new(column: Column) -> Self {
        match column.data {
            Data::Text(values) => {
                let codes = values.iter().enumerate();
                let codes = codes
                    .map(|(code, text)| (text.into(), count_of(code)))
                    .collect();
                Self::Texts(SharedTexts { values, codes })
            }
            Data::Uuid(values) => {
                let codes = values.iter().enumerate();
                let codes = codes
                    .map(|(code, value)| (*value, count_of(code)))
                    .collect();
                Self::Uuids(SharedUuids { values, codes })
            }
            _ => Self::Nothing,
        }
    }
}

impl SharedDictionary {
    /// Learns from rows of a table, given by column: the values that are common, and what texts have in common.
    ///
    /// A few thousand rows are enough. `bytes_max` bounds the part for texts, 110 KiB is usual; common values come on
    /// top, at most 4,095 a column. Takes about a second per 10 MB of rows.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the columns are not equally long.
    pub fn train(columns: &[Column], bytes_max: usize) -> Result<Self> {
        let common: Vec<Option<Column>> = columns.iter().map(common_values).collect();
        let plain = Self::assemble(&[], &common, &[])?;
        let models = plain.columns.iter().enumerate();
        let models: Vec<Option<Model>> = models
            .map(|(at, common)| Model::learn_at(at, columns, Some(common)))
            .collect();
        let mut first = Self::assemble(&[], &common, &models)?;
        let rows = columns.first().map_or(0, Column::rows);
        let values: Vec<_> = columns.iter().map(Column::to_values).collect();
        let mut samples = Vec::new();
        let mut begin = 0;
        while begin < rows {
            let end = rows.min(begin + BATCH_ROWS);
            let part: Vec<Column> = values
                .iter()
                .map(|values| Column::from_values(values.get(begin..end).unwrap_or_default()))
                .collect();
            samples.push(raw_head(&part, Shared::new(&plain))?);
            begin = end;
        }
        // Too little text to learn from is no reason to do without the common values.
        // Only what the models are not for is packed with it.
        let bytes_max = (bytes_max / 4).clamp(256, DICTIONARY_BYTES_MAX);
        if let Ok(trained) = train_dictionary(&samples, bytes_max) {
            let mut bytes = trained.bytes().to_vec();
            // Blocks name the whole dictionary; without an id of its own this part costs nothing in each frame.
            if let Some(id) = bytes.get_mut(4..8) {
                id.fill(0);
            }
            first = Self::assemble(&bytes, &common, &models)?;
        }
        Ok(first)
    }

    fn assemble(bytes: &[u8], common: &[Option<Column>], models: &[Option<Model>]) -> Result<Self> {
        let mut content = MAGIC.to_vec();
        write_varint(bytes.len() as u64, &mut content);
        content.extend_from_slice(bytes);
        write_varint(common.len() as u64, &mut content);
        for (position, column) in common.iter().enumerate() {
            let block = match column {
                Some(column) => pack(std::slice::from_ref(column), Level::Small, None)?,
                None => Vec::new(),
            };
            write_varint(block.len() as u64, &mut content);
            content.extend_from_slice(&block);
            let mut bytes = Vec::new();
            if let Some(Some(model)) = models.get(position) {
                model.write(&mut bytes);
            }
            write_varint(bytes.len() as u64, &mut content);
            content.extend_from_slice(&bytes);
        }
        Self::read(&content, &Limits::default())
    }

    /// Reads a dictionary that came from the other side.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] for bytes that are none; [`common::ErrorKind::LimitExceeded`] above
    /// [`SHARED_BYTES_MAX`] or a limit.
    pub fn read(content: &[u8], limits: &Limits) -> Result<Self> {
        if content.len() > SHARED_BYTES_MAX {
            return Err(Error::limit_exceeded(format!(
                "a shared dictionary has at most {SHARED_BYTES_MAX} bytes, this one {}",
                content.len()
            )));
        }
        let mut rest = content
            .strip_prefix(MAGIC)
            .ok_or_else(|| corrupt("these bytes are no shared dictionary"))?;
        let part = |rest: &mut &[u8]| -> Result<Vec<u8>> {
            let length = usize::try_from(read_varint(rest)?).unwrap_or(usize::MAX);
            let (part, after) = rest
                .split_at_checked(length)
                .ok_or_else(|| corrupt("a shared dictionary ends early"))?;
            *rest = after;
            Ok(part.to_vec())
        };
        let bytes = part(&mut rest)?;
        let bytes = if bytes.is_empty() {
            None
        } else {
            Some(Arc::new(Dictionary::new(bytes, limits)?))
        };
        let count = usize::try_from(read_varint(&mut rest)?).unwrap_or(usize::MAX);
        if count > common::limits::COLUMNS_MAX || count > rest.len() {
            return Err(corrupt("a shared dictionary of too many columns"));
        }
        let mut columns = Vec::with_capacity(count);
        let mut models = Vec::with_capacity(count);
        for _ in 0..count {
            let block = part(&mut rest)?;
            columns.push(if block.is_empty() {
                SharedColumn::Nothing
            } else {
                SharedColumn::new(Block::open(&block, limits, None)?.column(0)?)
            });
            let model = part(&mut rest)?;
            let mut model = model.as_slice();
            models.push(if model.is_empty() {
                None
            } else {
                Some(Model::read(&mut model, 0)?)
            });
            if !model.is_empty() {
                return Err(corrupt("a model goes on after its end"));
            }
        }
        if !rest.is_empty() {
            return Err(corrupt("a shared dictionary goes on after its end"));
        }
        let mut id = [0; 4];
        for (to, from) in id.iter_mut().zip(Sha256::digest(content)) {
            *to = from;
        }
        Ok(Self {
            id: DictionaryId(id),
            content: content.to_vec(),
            bytes,
            columns,
            models,
        })
    }

    /// What blocks name it by.
    pub const fn id(&self) -> DictionaryId {
        self.id
    }

    /// Its bytes, to be stored or sent, for [`SharedDictionary::read`].
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    pub(super) const fn bytes(&self) -> Option<&Arc<Dictionary>> {
        self.bytes.as_ref()
    }

    pub(super) fn model(&self, position: usize) -> Option<&Model> {
        self.models.get(position)?.as_ref()
    }

    pub(super) fn column(&self, position: usize) -> Option<&SharedColumn> {
        self.columns.get(position)
    }
}

impl fmt::Debug for SharedDictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.content.len();
        write!(f, "shared dictionary {} of {bytes} bytes", self.id)
    }
}

/// Values that occur several times, the most common first; `None` where the column has hardly any.
fn common_values(column: &Column) -> Option<Column> {
    let data = match &column.data {
        Data::Text(texts) => {
            let found = most_common(texts.iter(), texts.len())?;
            Data::Text(found.into_iter().collect())
        }
        Data::Uuid(values) => Data::Uuid(most_common(values.iter().copied(), values.len())?),
        _ => return None,
    };
    Some(Column {
        rows: data.len(),
        present: None,
        data,
    })
}

fn most_common<T: std::hash::Hash + Ord + Copy>(
    values: impl Iterator<Item = T>,
    count: usize,
) -> Option<Vec<T>> {
    let mut counts: HashMap<T, usize, foldhash::fast::FixedState> = HashMap::default();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let mut several: Vec<(T, usize)> = counts.into_iter().filter(|(_, count)| *count > 1).collect();
    several.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    several.truncate(COMMON_MAX);
    let covered: usize = several.iter().map(|(_, count)| count).sum();
    (covered * 2 > count).then(|| several.into_iter().map(|(value, _)| value).collect())
}
