//! [`OrderedStorage`]: records in memory, in order of their key.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::page::Pages;
use super::storage::{Storage, Visitor, Write, apply_each};
use crate::core::base::{Record, RecordId, Slot, Value};
use crate::error::{Error, Result};

/// Records visited under one hold of the latch.
const SCAN_CHUNK: usize = 256;

/// Records in memory under a balanced tree of keys: logarithmic time for each key, scans in key order.
pub struct OrderedStorage {
    directory: RwLock<BTreeMap<RecordId, Slot>>,
    pages: Pages,
    len: AtomicUsize,
}

impl Default for OrderedStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl OrderedStorage {
    /// An empty storage.
    pub const fn new() -> Self {
        Self {
            directory: RwLock::new(BTreeMap::new()),
            pages: Pages::new(),
            len: AtomicUsize::new(0),
        }
    }

    fn put(&self, record: Record) -> Result<(Slot, Option<Record>)> {
        let id = record.id();
        let found = self.directory.read().get(&id).copied();
        if let Some(slot) = found {
            return Ok((slot, self.pages.replace(slot, Some(record))));
        }
        let slot = self.pages.add(record)?;
        self.directory.write().insert(id, slot);
        self.len.fetch_add(1, Ordering::Relaxed);
        Ok((slot, None))
    }

    fn remove(&self, id: &RecordId) -> Result<(Slot, Option<Record>)> {
        let slot = self
            .directory
            .write()
            .remove(id)
            .ok_or_else(|| Error::not_found(format!("no record has the key {id}")))?;
        self.len.fetch_sub(1, Ordering::Relaxed);
        Ok((slot, self.pages.remove(slot)))
    }
}

impl Storage for OrderedStorage {
    fn name(&self) -> &'static str {
        "ordered"
    }

    fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    fn get(&self, key: &[Value]) -> Result<Option<(Slot, Record)>> {
        let directory = self.directory.read();
        let slot = directory.get(&RecordId::from(key)).copied();
        Ok(slot.and_then(|slot| self.pages.with(slot, |record| (slot, record.clone()))))
    }

    fn read(&self, slots: &[Slot], records: &mut Vec<Record>) -> Result<()> {
        self.pages.read(slots, records);
        Ok(())
    }

    fn scan(&self, visit: Visitor<'_>) -> Result<()> {
        let mut after: Option<RecordId> = None;
        loop {
            let mut chunk = Vec::with_capacity(SCAN_CHUNK);
            {
                let directory = self.directory.read();
                let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
                let rest = directory.range::<RecordId, _>((from, Bound::Unbounded));
                for (_, &slot) in rest.take(SCAN_CHUNK) {
                    chunk.extend(self.pages.with(slot, |record| (slot, record.clone())));
                }
            }
            match chunk.last() {
                None => return Ok(()),
                Some((_, last)) => after = Some(last.id()),
            }
            if visit(&chunk).is_break() {
                return Ok(());
            }
        }
    }

    fn apply(&self, writes: &[Write], slots: &mut Vec<Slot>) -> Result<()> {
        apply_each(writes, slots, |write| match write {
            Write::Put(record) => self.put(record),
            Write::Remove(id) => self.remove(&id),
        })
    }
}
