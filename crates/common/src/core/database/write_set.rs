//! [`WriteSet`]: the writes of a transaction that is not committed yet.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::table::Table;
use crate::core::base::{Record, RecordId, Slot, Value};
use crate::core::versioning::TableId;

/// Above this many writes, keys are looked up by hash instead of one after another.
const LINEAR_MAX: usize = 8;

/// One write: the record before it and the record after it, as this transaction sees them.
#[derive(Clone)]
pub(super) struct Pending {
    /// Position in [`WriteSet::tables`].
    pub(super) table: usize,
    /// The committed record and its slot, whatever this transaction did in between.
    pub(super) committed: Option<(Slot, Record)>,
    /// The record after this write; of a deletion, the record deleted.
    record: Record,
    deleted: bool,
    /// The earlier write of the same key.
    previous: Option<usize>,
    /// Whether a later write of the same key follows.
    superseded: bool,
}

impl Pending {
    pub(super) fn key(&self) -> &[Value] {
        self.record.key()
    }

    /// The record after this write, `None` when it is deleted.
    pub(super) fn after(&self) -> Option<&Record> {
        (!self.deleted).then_some(&self.record)
    }
}

/// The writes of one transaction in order, with the last one of each key at hand.
#[derive(Default)]
pub(super) struct WriteSet {
    writes: SmallVec<[Pending; 1]>,
    tables: SmallVec<[Arc<Table>; 1]>,
    /// Last write of each key; only kept above [`LINEAR_MAX`].
    last: HashMap<(TableId, RecordId), usize, RandomState>,
}

impl WriteSet {
    pub(super) fn len(&self) -> usize {
        self.writes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Table of a write.
    pub(super) fn table(&self, write: &Pending) -> Option<&Arc<Table>> {
        self.tables.get(write.table)
    }

    /// The last write of a key.
    pub(super) fn find(&self, table: TableId, key: &[Value]) -> Option<&Pending> {
        self.find_position(table, key)
            .and_then(|position| self.writes.get(position))
    }

    fn find_position(&self, table: TableId, key: &[Value]) -> Option<usize> {
        if self.writes.len() > LINEAR_MAX {
            return self.last.get(&(table, RecordId::from(key))).copied();
        }
        let of_key = |write: &Pending| {
            self.tables.get(write.table).is_some_and(|t| t.id == table) && write.key() == key
        };
        self.writes.iter().rposition(of_key)
    }

    /// Adds a write of `record`, or the deletion of it. `committed` is what storage holds under the key.
    pub(super) fn push(
        &mut self,
        table: &Arc<Table>,
        committed: Option<(Slot, Record)>,
        record: Record,
        deleted: bool,
    ) {
        let position = self.tables.iter().position(|known| known.id == table.id);
        let position = position.unwrap_or_else(|| {
            self.tables.push(Arc::clone(table));
            self.tables.len() - 1
        });
        let mut write = Pending {
            table: position,
            committed,
            record,
            deleted,
            previous: None,
            superseded: false,
        };
        if !self.writes.is_empty() {
            write.previous = self.find_position(table.id, write.key());
            if let Some(previous) = write.previous.and_then(|p| self.writes.get_mut(p)) {
                previous.superseded = true;
            }
        }
        self.writes.push(write);
        match self.writes.len() {
            0..=LINEAR_MAX => {}
            n if n == LINEAR_MAX + 1 => {
                self.last = (0..n).filter_map(|i| Some((self.key_of(i)?, i))).collect();
            }
            n => {
                if let Some(key) = self.key_of(n - 1) {
                    self.last.insert(key, n - 1);
                }
            }
        }
    }

    fn key_of(&self, position: usize) -> Option<(TableId, RecordId)> {
        let write = self.writes.get(position)?;
        Some((
            self.tables.get(write.table)?.id,
            RecordId::from(write.key()),
        ))
    }

    /// Takes back all writes after the first `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        while self.writes.len() > len {
            let key = self.key_of(self.writes.len() - 1);
            let Some(write) = self.writes.pop() else {
                return;
            };
            if let Some(previous) = write.previous.and_then(|p| self.writes.get_mut(p)) {
                previous.superseded = false;
            }
            if self.writes.len() <= LINEAR_MAX {
                self.last.clear();
            } else if let Some(key) = key {
                match write.previous {
                    Some(previous) => self.last.insert(key, previous),
                    None => self.last.remove(&key),
                };
            }
        }
    }

    /// The last write of each key, in the order in which they were made.
    pub(super) fn last_writes(&self) -> impl Iterator<Item = &Pending> {
        self.writes.iter().filter(|write| !write.superseded)
    }

    /// Last writes of the keys of one table.
    pub(super) fn of_table(&self, table: TableId) -> impl Iterator<Item = &Pending> {
        let position = self.tables.iter().position(|known| known.id == table);
        self.last_writes()
            .filter(move |write| Some(write.table) == position)
    }
}
