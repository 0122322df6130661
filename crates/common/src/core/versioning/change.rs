//! [`Change`]: what one commit did to one record.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::clock::Hlc;
use crate::core::base::{Record, RecordId, Seq, Value};

/// Number of a table inside its database: never given twice, also not after the table is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableId(pub u32);

/// What happened to the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was not there before.
    Insert,
    /// It was there and has other values now.
    Update,
    /// It is there no more.
    Delete,
}

/// A set of column positions.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ColumnSet(Bits);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Bits {
    /// Positions 0 to 63: nearly every table.
    Few(u64),
    /// Any position; the last word is not zero.
    Many(Arc<Vec<u64>>),
}

impl ColumnSet {
    /// The set without columns.
    pub const EMPTY: Self = Self(Bits::Few(0));

    /// The positions 0 to `columns - 1`.
    pub fn all(columns: usize) -> Self {
        match u32::try_from(columns) {
            Ok(0) => Self::EMPTY,
            Ok(columns @ 1..=64) => Self(Bits::Few(u64::MAX >> (64 - columns))),
            _ => (0..columns).collect(),
        }
    }

    /// The positions at which two rows of the same table differ.
    pub fn difference(before: &[Value], after: &[Value]) -> Self {
        let differing = before
            .iter()
            .zip(after)
            .enumerate()
            .filter(|(_, (a, b))| a != b);
        differing.map(|(position, _)| position).collect()
    }

    /// Adds a position.
    pub fn insert(&mut self, position: usize) {
        let (word, bit) = (position / 64, 1_u64 << (position % 64));
        if let (Bits::Few(bits), 0) = (&mut self.0, word) {
            *bits |= bit;
            return;
        }
        let mut words = match &self.0 {
            Bits::Few(bits) => vec![*bits],
            Bits::Many(words) => words.to_vec(),
        };
        if words.len() <= word {
            words.resize(word + 1, 0);
        }
        if let Some(slot) = words.get_mut(word) {
            *slot |= bit;
        }
        self.0 = Bits::Many(Arc::new(words));
    }

    /// Whether a position is in the set.
    pub fn contains(&self, position: usize) -> bool {
        self.words()
            .get(position / 64)
            .is_some_and(|word| word >> (position % 64) & 1 == 1)
    }

    /// Positions of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        match (&self.0, &other.0) {
            (Bits::Few(a), Bits::Few(b)) => Self(Bits::Few(a | b)),
            _ => self.iter().chain(other.iter()).collect(),
        }
    }

    /// The positions, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.words().iter().enumerate().flat_map(|(i, &word)| {
            (0..64)
                .filter(move |bit| word >> bit & 1 == 1)
                .map(move |bit| i * 64 + bit)
        })
    }

    /// Number of positions.
    pub fn len(&self) -> usize {
        self.words()
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// Whether there is no position.
    pub fn is_empty(&self) -> bool {
        self.words().iter().all(|word| *word == 0)
    }

    /// The set as one word, when no position is above 63.
    #[inline]
    pub(super) const fn as_bits(&self) -> Option<u64> {
        match &self.0 {
            Bits::Few(bits) => Some(*bits),
            Bits::Many(_) => None,
        }
    }

    /// The set of the bits of one word.
    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(Bits::Few(bits))
    }

    fn words(&self) -> &[u64] {
        match &self.0 {
            Bits::Few(bits) => std::slice::from_ref(bits),
            Bits::Many(words) => words,
        }
    }
}

impl FromIterator<usize> for ColumnSet {
    fn from_iter<I: IntoIterator<Item = usize>>(positions: I) -> Self {
        let mut few = 0_u64;
        let mut many: Vec<u64> = Vec::new();
        for position in positions {
            let (word, bit) = (position / 64, 1_u64 << (position % 64));
            match word {
                0 => few |= bit,
                _ => {
                    if many.len() <= word {
                        many.resize(word + 1, 0);
                    }
                    if let Some(slot) = many.get_mut(word) {
                        *slot |= bit;
                    }
                }
            }
        }
        match many.first_mut() {
            None => Self(Bits::Few(few)),
            Some(first) => {
                *first = few;
                Self(Bits::Many(Arc::new(many)))
            }
        }
    }
}

impl fmt::Debug for ColumnSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What one commit did to one record. All changes of a commit share its [`Seq`] and [`Hlc`].
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Position of the commit in the log.
    pub seq: Seq,
    /// Stamp of the commit.
    pub stamp: Hlc,
    /// Number of the table.
    pub table: TableId,
    /// What happened.
    pub kind: ChangeKind,
    /// Columns whose value changed; all of them for an insertion, none for a deletion.
    pub columns: ColumnSet,
    /// The record before, where the log keeps such; `None` for an insertion.
    pub before: Option<Record>,
    /// The record after; for a deletion a tombstone that has only the key.
    pub record: Record,
}

impl Change {
    /// Key of the record.
    pub fn id(&self) -> RecordId {
        self.record.id()
    }

    /// The record after the change, `None` when it was deleted.
    pub fn after(&self) -> Option<&Record> {
        (self.kind != ChangeKind::Delete).then_some(&self.record)
    }
}
