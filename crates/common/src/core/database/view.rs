//! [`View`]: what a query reads.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::collection::Collection;
use super::database::Database;
use super::table::Table;
use super::write_set::WriteSet;
use crate::core::base::{Record, RecordId, Seq, Slot, Value};
use crate::core::schema::IndexKind;
use crate::core::storage::{Direction, Index, KeyRange};
use crate::error::Result;

/// Slots taken from an ordered index under one hold of its latch, when the caller wants all of them.
const RANGE_CHUNK: usize = 1_024;

/// The state at one commit, and for a transaction its own writes on top: what a query reads.
///
/// Every read of one view sees the same state, whatever is committed meanwhile.
#[derive(Clone, Copy)]
pub struct View<'a> {
    db: &'a Database,
    at: Seq,
    pending: Option<&'a WriteSet>,
}

impl<'a> View<'a> {
    pub(super) const fn of_snapshot(db: &'a Database, at: Seq) -> Self {
        Self {
            db,
            at,
            pending: None,
        }
    }

    /// `seq` is the position that the transaction will have, so that everything committed lies before it.
    pub(super) fn of_transaction(db: &'a Database, seq: Seq, pending: &'a WriteSet) -> Self {
        Self {
            db,
            at: Seq(seq.0 - 1),
            pending: (!pending.is_empty()).then_some(pending),
        }
    }

    /// Position of the last commit that is visible.
    pub const fn seq(&self) -> Seq {
        self.at
    }

    /// The table of this name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], with the names there are.
    pub fn collection(&self, name: &str) -> Result<Collection> {
        self.db.collection(name)
    }

    /// The indexes that the table has now.
    pub fn indexes(&self, collection: &Collection) -> Arc<[Arc<Index>]> {
        collection.indexes()
    }

    /// Number of records of the table, as an estimate: that of the latest state.
    pub fn len(&self, collection: &Collection) -> usize {
        collection.len()
    }

    /// Index entries in the range, counted up to `entries_max`, as an estimate: those of the latest state.
    /// Of a hash index, the entries under exactly the range's prefix.
    pub fn estimate(&self, index: &Index, range: &KeyRange, entries_max: usize) -> usize {
        index.count(range, entries_max)
    }

    /// The record of this id.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn get(&self, collection: &Collection, id: &RecordId) -> Result<Option<Record>> {
        let table = &collection.table;
        if let Some(write) = self.pending.and_then(|set| set.find(table.id, id.values())) {
            return Ok(write.after().cloned());
        }
        match table.storage.get(id.values())? {
            Some((_, record)) if record.seq() <= self.at => Ok(Some(record)),
            _ if table.history.is_empty() => Ok(None),
            _ => Ok(table.past(id.values(), self.at)),
        }
    }

    /// Visits all records in chunks until told to stop, in the order of the storage; records replaced since the
    /// view's commit, and the transaction's own, come last.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn scan(
        &self,
        collection: &Collection,
        visit: &mut dyn FnMut(&[Record]) -> ControlFlow<()>,
    ) -> Result<()> {
        let table = &collection.table;
        let mut seen = SlotSet::default();
        let mut chunk = Vec::new();
        let mut stopped = false;
        table.storage.scan(&mut |records: &[(Slot, Record)]| {
            chunk.clear();
            for (slot, record) in records {
                if self.sees(table, record) {
                    seen.insert(*slot);
                    chunk.push(record.clone());
                }
            }
            let flow = if chunk.is_empty() {
                ControlFlow::Continue(())
            } else {
                visit(&chunk)
            };
            stopped = flow.is_break();
            flow
        })?;
        if stopped {
            return Ok(());
        }
        // After the scan: what a commit replaced meanwhile was kept aside before it was replaced.
        let mut rest: Vec<Record> = table
            .pasts(self.at)
            .into_iter()
            .filter(|(slot, record)| !seen.contains(*slot) && !self.is_pending(table, record))
            .map(|(_, record)| record)
            .collect();
        rest.extend(self.written(table).cloned());
        if !rest.is_empty() {
            let _ = visit(&rest);
        }
        Ok(())
    }

    /// Records whose index key equals `key`, or for an ordered index begins with it; in order of insertion as
    /// long as nothing was deleted.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn equal(
        &self,
        collection: &Collection,
        index: &Index,
        key: &[Value],
    ) -> Result<Vec<Record>> {
        if index.spec().kind == IndexKind::Ordered && key.len() < index.columns().len() {
            let range = KeyRange::prefix(key.to_vec());
            return self.range(collection, index, &range, Direction::Ascending, None);
        }
        let table = &collection.table;
        let mut slots = Vec::new();
        index.equal(key, &mut slots);
        let mut records = Vec::with_capacity(slots.len());
        table.storage.read(&slots, &mut records)?;
        let has_key = |record: &Record| {
            index
                .columns()
                .iter()
                .zip(key)
                .all(|(column, value)| record.get(*column) == Some(value))
        };
        records.retain(|record| self.sees(table, record) && has_key(record));
        self.append_rest(table, &mut records, &has_key);
        Ok(records)
    }

    /// Records in a range of an ordered index, in index order with ties by id, at most `records_max` when given.
    ///
    /// A hash index has no order; asked for a range it gives nothing but what [`View::equal`] does.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn range(
        &self,
        collection: &Collection,
        index: &Index,
        range: &KeyRange,
        direction: Direction,
        records_max: Option<usize>,
    ) -> Result<Vec<Record>> {
        if index.spec().kind == IndexKind::Hash {
            return self.equal(collection, index, &range.prefix);
        }
        let table = &collection.table;
        let columns = index.columns();
        let order = |a: &Record, b: &Record| compare_in_index(columns, direction, a, b);
        let has_key = |record: &Record| {
            // Compared where the values stand; a range looks at the leading columns only.
            match (range.prefix.as_slice(), columns) {
                ([], [column, ..]) => record
                    .get(*column)
                    .is_some_and(|v| range.contains(std::slice::from_ref(v))),
                _ => range.contains(index.key(record).values()),
            }
        };
        let mut found: Vec<Record> = Vec::new();
        let mut after = None;
        let mut slots = Vec::new();
        let mut chunk: Vec<Record> = Vec::new();
        loop {
            let wanted = records_max.map_or(RANGE_CHUNK, |max| max.saturating_sub(found.len()));
            if wanted == 0 {
                break;
            }
            slots.clear();
            chunk.clear();
            let wanted = wanted.clamp(16, RANGE_CHUNK);
            let last = index.range(range, direction, after.as_ref(), wanted, &mut slots);
            table.storage.read(&slots, &mut chunk)?;
            chunk.retain(|record| self.sees(table, record) && has_key(record));
            // Whole keys come in order; under one key the slots do not follow the ids.
            if !chunk.is_sorted_by(|a, b| order(a, b) != Ordering::Greater) {
                chunk.sort_by(order);
            }
            found.append(&mut chunk);
            match last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        let from_index = found.len();
        self.append_rest(table, &mut found, &has_key);
        if found.len() > from_index {
            found.sort_by(order);
        }
        found.truncate(records_max.unwrap_or(usize::MAX));
        Ok(found)
    }

    /// Adds the records that an index did not show: those replaced since the view's commit, and the
    /// transaction's own.
    fn append_rest(
        &self,
        table: &Table,
        records: &mut Vec<Record>,
        has_key: &dyn Fn(&Record) -> bool,
    ) {
        let past = table.pasts(self.at);
        if !past.is_empty() {
            let rest: Vec<Record> = {
                let seen: HashSet<&[Value]> = records.iter().map(Record::key).collect();
                past.into_iter()
                    .map(|(_, record)| record)
                    .filter(|record| {
                        has_key(record)
                            && !seen.contains(record.key())
                            && !self.is_pending(table, record)
                    })
                    .collect()
            };
            records.extend(rest);
        }
        records.extend(
            self.written(table)
                .filter(|record| has_key(record))
                .cloned(),
        );
    }

    /// Whether a record read from storage belongs to this view.
    #[inline]
    fn sees(&self, table: &Table, record: &Record) -> bool {
        record.seq() <= self.at && !self.is_pending(table, record)
    }

    #[inline]
    fn is_pending(&self, table: &Table, record: &Record) -> bool {
        self.pending
            .is_some_and(|set| set.find(table.id, record.key()).is_some())
    }

    /// Records that the transaction has written and not deleted.
    fn written(&self, table: &Table) -> impl Iterator<Item = &'a Record> {
        let id = table.id;
        self.pending
            .into_iter()
            .flat_map(move |set| set.of_table(id))
            .filter_map(|write| write.after())
    }
}

fn compare_in_index(columns: &[usize], direction: Direction, a: &Record, b: &Record) -> Ordering {
    let keys = columns
        .iter()
        .map(|column| a.get(*column).cmp(&b.get(*column)))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal);
    let keys = match direction {
        Direction::Ascending => keys,
        Direction::Descending => keys.reverse(),
    };
    keys.then_with(|| a.key().cmp(b.key()))
}

/// A set of slots, one bit each.
#[derive(Default)]
struct SlotSet(Vec<u64>);

impl SlotSet {
    fn insert(&mut self, slot: Slot) {
        let word = slot.0 as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (slot.0 % 64);
        }
    }

    fn contains(&self, slot: Slot) -> bool {
        self.0
            .get(slot.0 as usize / 64)
            .is_some_and(|bits| bits >> (slot.0 % 64) & 1 == 1)
    }
}
