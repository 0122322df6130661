//! [`History`]: replaced records that somebody may still read.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use parking_lot::RwLock;
use smallvec::SmallVec;

use crate::core::base::{Record, RecordId, Seq, Slot, Value};

/// A record that was current from its own seq up to, not including, `end`.
struct Past {
    record: Record,
    slot: Slot,
    end: Seq,
}

#[derive(Default)]
struct Pasts {
    by_id: HashMap<RecordId, SmallVec<[Past; 1]>, RandomState>,
    /// Ids in the order in which their records were replaced.
    order: VecDeque<(Seq, RecordId)>,
}

/// Replaced records of one table, until no open snapshot can see them.
pub(super) struct History {
    len: AtomicUsize,
    /// The same over all tables of the database, so that closing a snapshot need not visit them in vain.
    total: Arc<AtomicUsize>,
    pasts: RwLock<Pasts>,
}

impl History {
    pub(super) fn new(total: Arc<AtomicUsize>) -> Self {
        Self {
            len: AtomicUsize::new(0),
            total,
            pasts: RwLock::default(),
        }
    }

    /// Whether nothing is kept; checked after storage was read, it tells that storage said everything.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Acquire) == 0
    }

    /// Keeps a record that the commit `end` is about to replace.
    pub(super) fn keep(&self, slot: Slot, record: &Record, end: Seq) {
        let mut pasts = self.pasts.write();
        let id = record.id();
        pasts.order.push_back((end, id.clone()));
        pasts.by_id.entry(id).or_default().push(Past {
            record: record.clone(),
            slot,
            end,
        });
        self.total.fetch_add(1, Ordering::Release);
        self.len.fetch_add(1, Ordering::Release);
    }

    /// The record of this key that was current at `at`, if it has been replaced since.
    pub(super) fn get(&self, key: &[Value], at: Seq) -> Option<Record> {
        let pasts = self.pasts.read();
        let of_key = pasts.by_id.get(&RecordId::from(key))?;
        of_key
            .iter()
            .find(|past| past.is_visible(at))
            .map(|past| past.record.clone())
    }

    /// All records that were current at `at` and have been replaced since, with the slots they had.
    pub(super) fn visible(&self, at: Seq) -> Vec<(Slot, Record)> {
        if self.is_empty() {
            return Vec::new();
        }
        let pasts = self.pasts.read();
        let mut found: Vec<(Slot, Record)> = pasts
            .by_id
            .values()
            .flatten()
            .filter(|past| past.is_visible(at))
            .map(|past| (past.slot, past.record.clone()))
            .collect();
        // Hash order must not show.
        found.sort_by_key(|(slot, _)| *slot);
        found
    }

    /// Forgets what a commit that did not take place had kept.
    pub(super) fn take_back(&self, end: Seq) {
        let mut pasts = self.pasts.write();
        while pasts.order.back().is_some_and(|(seq, _)| *seq == end) {
            if let Some((seq, id)) = pasts.order.pop_back() {
                pasts.forget(seq, &id);
                self.len.fetch_sub(1, Ordering::Release);
                self.total.fetch_sub(1, Ordering::Release);
            }
        }
    }

    /// Forgets all records replaced at or before `horizon`: no reader is older than that.
    pub(super) fn release(&self, horizon: Seq) {
        if self.is_empty() {
            return;
        }
        let mut pasts = self.pasts.write();
        while pasts.order.front().is_some_and(|(seq, _)| *seq <= horizon) {
            if let Some((seq, id)) = pasts.order.pop_front() {
                pasts.forget(seq, &id);
                self.len.fetch_sub(1, Ordering::Release);
                self.total.fetch_sub(1, Ordering::Release);
            }
        }
    }

    /// Number of records kept.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }
}

impl Past {
    fn is_visible(&self, at: Seq) -> bool {
        self.record.seq() <= at && at < self.end
    }
}

impl Pasts {
    fn forget(&mut self, end: Seq, id: &RecordId) {
        if let Some(of_key) = self.by_id.get_mut(id) {
            of_key.retain(|past| past.end != end);
            if of_key.is_empty() {
                self.by_id.remove(id);
            }
        }
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.total.fetch_sub(*self.len.get_mut(), Ordering::Release);
    }
}
