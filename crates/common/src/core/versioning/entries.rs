//! [`Entries`]: the changes of the log in 24 bytes each.

use std::collections::{BTreeMap, VecDeque};

use super::change::{Change, ChangeKind, ColumnSet, TableId};
use super::clock::Hlc;
use crate::core::base::{Record, Seq};

/// Entries in one segment. Segments never grow once there are several, so that a long log takes what it holds and
/// is never copied.
const SEGMENT: usize = 1_024;
/// Columns below this position have a bit in [`Entry::marks`].
const COLUMNS: u32 = 28;
/// Set in [`Entry::marks`] when all columns of the record changed, as in an insertion.
const ALL: u32 = 1 << COLUMNS;
/// Set in [`Entry::marks`] when only some columns changed and one has no bit: the set stands aside then.
const WIDE: u32 = 1 << (COLUMNS + 1);
/// What happened is in the bits from here on.
const KIND_SHIFT: u32 = COLUMNS + 2;

/// One change. Its commit is the one that the record names.
#[derive(Debug, Clone)]
struct Entry {
    record: Record,
    stamp: Hlc,
    table: TableId,
    marks: u32,
}

impl Entry {
    const fn kind(&self) -> ChangeKind {
        match self.marks >> KIND_SHIFT {
            0 => ChangeKind::Insert,
            1 => ChangeKind::Update,
            _ => ChangeKind::Delete,
        }
    }
}

const fn kind_bits(kind: ChangeKind) -> u32 {
    let number = match kind {
        ChangeKind::Insert => 0,
        ChangeKind::Update => 1,
        ChangeKind::Delete => 2,
    };
    number << KIND_SHIFT
}

/// Changes in order of commit: appended at the end, dropped from the beginning.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    /// All are full but the last, and the first from its beginning.
    segments: VecDeque<VecDeque<Entry>>,
    /// Entries that are gone from the beginning of the first segment.
    skipped: usize,
    len: usize,
    /// Number of all entries ever dropped: with it, a position becomes a number that lasts.
    dropped: u64,
    /// Sets of columns that do not fit an entry, by lasting number.
    wide: BTreeMap<u64, ColumnSet>,
    /// Records before the changes, by lasting number, where the log keeps such.
    before: BTreeMap<u64, Record>,
}

impl Entries {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    fn entry(&self, position: usize) -> Option<&Entry> {
        let at = position + self.skipped;
        let gone = if at < SEGMENT { self.skipped } else { 0 };
        self.segments.get(at / SEGMENT)?.get(at % SEGMENT - gone)
    }

    /// Commit of the change at a position.
    pub(super) fn seq(&self, position: usize) -> Option<Seq> {
        self.entry(position).map(|entry| entry.record.seq())
    }

    /// The change at a position.
    pub(super) fn get(&self, position: usize) -> Option<Change> {
        let entry = self.entry(position)?;
        let number = self.dropped + position as u64;
        let columns = match entry.marks & (ALL | WIDE) {
            ALL => ColumnSet::all(entry.record.len()),
            0 => ColumnSet::from_bits(u64::from(entry.marks & (ALL - 1))),
            _ => self.wide.get(&number).cloned().unwrap_or(ColumnSet::EMPTY),
        };
        Some(Change {
            seq: entry.record.seq(),
            stamp: entry.stamp,
            table: entry.table,
            kind: entry.kind(),
            columns,
            before: self.before.get(&number).cloned(),
            record: entry.record.clone(),
        })
    }

    /// Appends a change; its record names its commit.
    #[inline]
    pub(super) fn push(&mut self, change: &Change, before: Option<&Record>) {
        let bits = change.columns.as_bits().and_then(|b| u32::try_from(b).ok());
        let columns = match bits {
            Some(bits) if bits < ALL => bits,
            _ if change.columns == ColumnSet::all(change.record.len()) => ALL,
            _ => {
                let number = self.dropped + self.len as u64;
                self.wide.insert(number, change.columns.clone());
                WIDE
            }
        };
        if let Some(before) = before {
            let number = self.dropped + self.len as u64;
            self.before.insert(number, before.clone());
        }
        let entry = Entry {
            record: change.record.clone(),
            stamp: change.stamp,
            table: change.table,
            marks: kind_bits(change.kind) | columns,
        };
        let full = (self.len + self.skipped).is_multiple_of(SEGMENT);
        self.len += 1;
        match self.segments.back_mut() {
            Some(last) if !full => last.push_back(entry),
            // A small log grows as a vector does, a long one by whole segments.
            None => self.segments.push_back(VecDeque::from([entry])),
            Some(_) => {
                let mut segment = VecDeque::with_capacity(SEGMENT);
                segment.push_back(entry);
                self.segments.push_back(segment);
            }
        }
    }

    /// Number of leading changes for which `holds` is true, given that these come first.
    pub(super) fn partition_point(&self, holds: impl Fn(Seq, Hlc) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            let inside = self
                .entry(middle)
                .is_some_and(|entry| holds(entry.record.seq(), entry.stamp));
            if inside {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Drops the first `count` changes.
    pub(super) fn drop_first(&mut self, count: usize) {
        let count = count.min(self.len);
        self.len -= count;
        self.dropped += count as u64;
        while self
            .wide
            .first_key_value()
            .is_some_and(|(number, _)| *number < self.dropped)
        {
            self.wide.pop_first();
        }
        while self
            .before
            .first_key_value()
            .is_some_and(|(number, _)| *number < self.dropped)
        {
            self.before.pop_first();
        }
        self.skipped += count;
        while self.skipped >= SEGMENT && self.segments.len() > 1 {
            self.segments.pop_front();
            self.skipped -= SEGMENT;
        }
        if let Some(first) = self.segments.front_mut() {
            let here = (SEGMENT - self.skipped).min(self.len);
            first.drain(..first.len() - here);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::base::{Metadata, Value};

    fn change(seq: u64, columns: ColumnSet) -> Change {
        let metadata = Metadata {
            seq: Seq(seq),
            ..Metadata::default()
        };
        Change {
            seq: Seq(seq),
            stamp: Hlc(seq * 10),
            table: TableId(3),
            kind: match seq % 3 {
                0 => ChangeKind::Insert,
                1 => ChangeKind::Update,
                _ => ChangeKind::Delete,
            },
            columns,
            before: None,
            record: Record::new(metadata, 1, vec![Value::from(seq.cast_signed()); 40]),
        }
    }

    #[test]
    fn an_entry_has_24_bytes() {
        assert_eq!(size_of::<Entry>(), 24);
    }

    #[test]
    fn changes_come_back_as_they_were_over_segments_and_drops() {
        let columns = |seq: u64| match seq % 7 {
            0 => ColumnSet::EMPTY,
            1 => [0, 27].into_iter().collect(),
            2 => [28].into_iter().collect(),
            3 => ColumnSet::all(40),
            4 => ColumnSet::all(39),
            5 => [31, 63].into_iter().collect(),
            _ => [5, 300].into_iter().collect(),
        };
        let all: Vec<Change> = (1..=5_000).map(|seq| change(seq, columns(seq))).collect();
        let mut entries = Entries::default();
        let mut from = 0;
        for (i, change) in all.iter().enumerate() {
            entries.push(change, (i % 3 == 0).then_some(&change.record));
            if i % 700 == 699 {
                entries.drop_first(600);
                from += 600;
            }
        }
        assert_eq!(entries.len(), all.len() - from);
        for (position, change) in all[from..].iter().enumerate() {
            let found = entries.get(position).unwrap();
            let before = ((from + position) % 3 == 0).then(|| change.record.clone());
            assert_eq!(
                found,
                Change {
                    before,
                    ..change.clone()
                }
            );
        }
        assert_eq!(entries.get(all.len() - from), None);
        let point = entries.partition_point(|seq, _| seq <= Seq(4_500));
        assert_eq!(point, 4_500 - from);
        entries.drop_first(usize::MAX);
        assert_eq!(entries.len(), 0);
        assert!(
            entries.segments.iter().all(VecDeque::is_empty),
            "and nothing is kept alive"
        );
        assert!(entries.wide.is_empty() && entries.before.is_empty());
        entries.push(&all[0], None);
        assert_eq!(entries.get(0).as_ref(), Some(&all[0]));
    }
}
