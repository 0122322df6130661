//! [`Storage`]: the seam between a table and the place that holds its records.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{HashStorage, OrderedStorage};
use crate::core::base::{Record, RecordId, Slot, Value};
use crate::error::{Error, Result};

/// One step of a write to a storage.
#[derive(Debug, Clone)]
pub enum Write {
    /// Keep this record, in place of the one with the same key if there is one.
    Put(Record),
    /// Forget the record with this key.
    Remove(RecordId),
}

/// What a scan calls with each chunk of records and their slots.
pub type Visitor<'a> = &'a mut dyn FnMut(&[(Slot, Record)]) -> ControlFlow<()>;

/// Keeps the current records of one table, each under its key and in a [`Slot`].
///
/// Implemented outside this crate when records live elsewhere than in this process's memory: in a file, in
/// another database, behind a cache. There is one writer at a time; readers come at any time from any
/// thread, also between the writes of one [`apply`](Self::apply), and must never see a torn record.
///
/// A record that is replaced keeps its slot; a removed record's slot may be given to another. Whether an
/// implementation keeps these promises is checked by `testkit::contract::storage`.
pub trait Storage: Send + Sync {
    /// Name of the strategy, for `inspect` and messages.
    fn name(&self) -> &str;

    /// Number of records.
    fn len(&self) -> usize;

    /// Whether there is no record.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The record with this key and its slot.
    ///
    /// # Errors
    /// Of the kind that the medium gives; memory never fails.
    fn get(&self, key: &[Value]) -> Result<Option<(Slot, Record)>>;

    /// Appends to `records` the record of each slot, leaving out slots that hold none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn read(&self, slots: &[Slot], records: &mut Vec<Record>) -> Result<()>;

    /// Visits all records in chunks until told to stop. A record that is there from beginning to end is
    /// visited exactly once; one that comes, goes or changes meanwhile may or may not be, and one that goes and comes
    /// again, twice.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn scan(&self, visit: Visitor<'_>) -> Result<()>;

    /// Carries out all writes in order, or none, and appends to `slots` the slot of each (of a removed
    /// record, the one it had).
    ///
    /// # Errors
    /// When the medium fails, after undoing what was done; removing a key that is not there is
    /// [`crate::ErrorKind::NotFound`].
    fn apply(&self, writes: &[Write], slots: &mut Vec<Slot>) -> Result<()>;

    /// Carries out one write and returns its slot. The same as [`apply`](Self::apply) with one write; a
    /// storage may have a shorter way.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    fn apply_one(&self, write: Write) -> Result<Slot> {
        let mut slots = Vec::with_capacity(1);
        self.apply(&[write], &mut slots)?;
        slots.pop().ok_or_else(|| {
            Error::corrupt(format!(
                "storage `{}` gave no slot for a write",
                self.name()
            ))
        })
    }
}

/// Which storage a table uses.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StorageKind {
    /// In memory, by hash of the key: the fastest for single records; scans in order of insertion as long
    /// as nothing is deleted.
    #[default]
    Hash,
    /// In memory, by order of the key: scans in key order.
    Ordered,
    /// The application's own.
    #[serde(skip)]
    Custom(Arc<dyn Storage>),
}

impl StorageKind {
    /// An empty storage of this kind; for [`StorageKind::Custom`], the one given.
    pub fn open(&self) -> Arc<dyn Storage> {
        match self {
            Self::Hash => Arc::new(HashStorage::new()),
            Self::Ordered => Arc::new(OrderedStorage::new()),
            Self::Custom(storage) => Arc::clone(storage),
        }
    }

    /// Whether writes take no longer than memory does.
    pub(crate) const fn is_memory(&self) -> bool {
        matches!(self, Self::Hash | Self::Ordered)
    }
}

impl fmt::Debug for StorageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash => f.write_str("hash"),
            Self::Ordered => f.write_str("ordered"),
            Self::Custom(storage) => f.write_str(storage.name()),
        }
    }
}

/// Carries out writes one by one through `step`, which returns the slot and the record that was there; takes
/// back the ones before a failure.
pub(super) fn apply_each(
    writes: &[Write],
    slots: &mut Vec<Slot>,
    step: impl Fn(Write) -> Result<(Slot, Option<Record>)>,
) -> Result<()> {
    let mark = slots.len();
    let mut done: Vec<(&Write, Option<Record>)> = Vec::new();
    for write in writes {
        match step(write.clone()) {
            Ok((slot, before)) => {
                slots.push(slot);
                if writes.len() > 1 {
                    done.push((write, before));
                }
            }
            Err(error) => {
                slots.truncate(mark);
                for (write, before) in done.into_iter().rev() {
                    let inverse = match (before, write) {
                        (Some(before), _) => Write::Put(before),
                        (None, Write::Put(record)) => Write::Remove(record.id()),
                        (None, Write::Remove(_)) => continue,
                    };
                    step(inverse)?;
                }
                return Err(error);
            }
        }
    }
    Ok(())
}
