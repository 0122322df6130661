//! [`HashStorage`]: records in memory, found by the hash of their key.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;
use parking_lot::RwLock;

use super::page::Pages;
use super::storage::{Storage, Visitor, Write, apply_each};
use crate::core::base::{Record, RecordId, Slot, Value};
use crate::error::{Error, Result};

/// Parts of the directory with a latch each: readers on different keys rarely meet.
const SHARDS: usize = 64;

/// Where a key's record is. The record stands beside its slot, so that a look-up by key does not go through the
/// page; the hash spares most comparisons, and all of them when the table grows.
struct Entry {
    hash: u32,
    slot: Slot,
    record: Record,
}

/// One part of the directory, on cache lines of its own.
#[repr(align(128))]
struct Shard(RwLock<HashTable<Entry>>);

/// Records in memory under a sharded hash directory: constant time for each key, about 30 bytes a record
/// beside the record itself.
pub struct HashStorage {
    shards: Box<[Shard]>,
    pages: Pages,
    len: AtomicUsize,
    hasher: RandomState,
}

impl Default for HashStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl HashStorage {
    /// An empty storage.
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS)
                .map(|_| Shard(RwLock::new(HashTable::new())))
                .collect(),
            pages: Pages::new(),
            len: AtomicUsize::new(0),
            hasher: RandomState::default(),
        }
    }

    /// Shard and stored hash of a key.
    #[inline]
    fn locate(&self, key: &[Value]) -> (&Shard, u32) {
        let mut hasher = self.hasher.build_hasher();
        for value in key {
            value.hash(&mut hasher);
        }
        let hash = hasher.finish();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the other half chooses the shard"
        )]
        let stored = hash as u32;
        #[expect(
            clippy::indexing_slicing,
            reason = "the remainder is below the number of shards"
        )]
        let shard = &self.shards[(hash >> 32) as usize % SHARDS];
        (shard, stored)
    }

    /// Stores a record and returns its slot and the record that it replaces.
    fn put(&self, record: Record) -> Result<(Slot, Option<Record>)> {
        let (shard, hash) = self.locate(record.key());
        let mut directory = shard.0.write();
        let place = directory.entry(
            spread(hash),
            |entry| entry.holds(hash, record.key()),
            |entry| spread(entry.hash),
        );
        match place {
            Place::Occupied(mut found) => {
                let entry = found.get_mut();
                entry.record = record.clone();
                let slot = entry.slot;
                drop(directory);
                Ok((slot, self.pages.replace(slot, Some(record))))
            }
            Place::Vacant(free) => {
                let slot = self.pages.add(record.clone())?;
                free.insert(Entry { hash, slot, record });
                self.len.fetch_add(1, Ordering::Relaxed);
                Ok((slot, None))
            }
        }
    }

    /// Takes a record out and returns its slot and the record.
    fn remove(&self, id: &RecordId) -> Result<(Slot, Option<Record>)> {
        let (shard, hash) = self.locate(id.values());
        let removed = {
            let mut directory = shard.0.write();
            directory
                .find_entry(spread(hash), |entry| entry.holds(hash, id.values()))
                .ok()
                .map(|found| found.remove().0)
        };
        match removed {
            Some(entry) => {
                self.len.fetch_sub(1, Ordering::Relaxed);
                Ok((entry.slot, self.pages.remove(entry.slot)))
            }
            None => Err(Error::not_found(format!("no record has the key {id}"))),
        }
    }
}

impl Entry {
    #[inline]
    fn holds(&self, hash: u32, key: &[Value]) -> bool {
        self.hash == hash && self.record.key() == key
    }
}

/// The 64 bits that the table wants, from the 32 that are kept.
#[inline]
const fn spread(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Storage for HashStorage {
    fn name(&self) -> &'static str {
        "hash"
    }

    fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    #[inline]
    fn get(&self, key: &[Value]) -> Result<Option<(Slot, Record)>> {
        let (shard, hash) = self.locate(key);
        let directory = shard.0.read();
        let found = directory.find(spread(hash), |entry| {
            if entry.hash == hash {
                entry.record.touch();
            }
            entry.holds(hash, key)
        });
        Ok(found.map(|entry| (entry.slot, entry.record.clone())))
    }

    fn read(&self, slots: &[Slot], records: &mut Vec<Record>) -> Result<()> {
        self.pages.read(slots, records);
        Ok(())
    }

    fn scan(&self, visit: Visitor<'_>) -> Result<()> {
        self.pages.scan(visit);
        Ok(())
    }

    fn apply(&self, writes: &[Write], slots: &mut Vec<Slot>) -> Result<()> {
        apply_each(writes, slots, |write| match write {
            Write::Put(record) => self.put(record),
            Write::Remove(id) => self.remove(&id),
        })
    }

    fn apply_one(&self, write: Write) -> Result<Slot> {
        match write {
            Write::Put(record) => self.put(record),
            Write::Remove(id) => self.remove(&id),
        }
        .map(|(slot, _)| slot)
    }
}
