//! Records by slot: pages of a fixed size, each behind a latch of its own.
//!
//! The pages never move once made, so that readers reach them without a lock on the whole.

use std::hint::black_box;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;

use super::storage::Visitor;
use crate::core::base::{Record, Slot};
use crate::error::{Error, Result};

/// Records in one page: with the latch before them they fill one cache line, so that a look-up touches one.
const PAGE_RECORDS: usize = 7;
/// Records that a scan hands out at a time.
const CHUNK_RECORDS: usize = 256;
/// Slots whose pages are latched together, at most, by [`Pages::read`].
const READ_GROUP: usize = 16;
/// Pages in the first run; each further run is twice as long as the one before.
const RUN_PAGES_FIRST: usize = 8;
/// Runs that together hold all 2^32 slots.
const RUNS: usize = 27;

#[repr(align(64))]
struct Page(RwLock<[Option<Record>; PAGE_RECORDS]>);

/// Records by slot, and the slots that are free.
pub(super) struct Pages {
    runs: [OnceLock<Box<[Page]>>; RUNS],
    /// Slots below this one have been given out at least once.
    end: AtomicU32,
    /// Slots given back, the last one first. Only the writer takes this lock.
    free: Mutex<Vec<Slot>>,
    /// Whether `free` has none; the writer alone reads and writes it.
    none_free: AtomicBool,
}

impl Pages {
    pub(super) const fn new() -> Self {
        Self {
            runs: [const { OnceLock::new() }; RUNS],
            end: AtomicU32::new(0),
            free: Mutex::new(Vec::new()),
            none_free: AtomicBool::new(true),
        }
    }

    #[inline]
    fn take_free(&self) -> Option<Slot> {
        if self.none_free.load(Ordering::Relaxed) {
            return None;
        }
        let mut free = self.free.lock();
        let slot = free.pop();
        self.none_free.store(free.is_empty(), Ordering::Relaxed);
        slot
    }

    /// Stores a record in a free slot.
    pub(super) fn add(&self, record: Record) -> Result<Slot> {
        let slot = match self.take_free() {
            Some(slot) => slot,
            None => {
                let end = self.end.load(Ordering::Relaxed);
                let next = end.checked_add(1).ok_or_else(|| {
                    Error::limit_exceeded("a table has at most 4294967295 records")
                })?;
                let (run, _, _) = place(Slot(end));
                if let Some(run_cell) = self.runs.get(run) {
                    run_cell.get_or_init(|| {
                        (0..RUN_PAGES_FIRST << run)
                            .map(|_| Page(RwLock::new([const { None }; PAGE_RECORDS])))
                            .collect()
                    });
                }
                self.end.store(next, Ordering::Release);
                Slot(end)
            }
        };
        self.replace(slot, Some(record));
        Ok(slot)
    }

    /// Puts another record, or none, into a slot and returns the one that was there.
    #[inline]
    pub(super) fn replace(&self, slot: Slot, record: Option<Record>) -> Option<Record> {
        let (page, position) = self.page(slot)?;
        let mut records = page.0.write();
        records
            .get_mut(position)
            .and_then(|place| std::mem::replace(place, record))
    }

    /// Empties a slot and gives it back.
    pub(super) fn remove(&self, slot: Slot) -> Option<Record> {
        let removed = self.replace(slot, None);
        if removed.is_some() {
            self.free.lock().push(slot);
            self.none_free.store(false, Ordering::Relaxed);
        }
        removed
    }

    /// Calls `f` with the record of a slot under the page's latch.
    #[inline]
    pub(super) fn with<T>(&self, slot: Slot, f: impl FnOnce(&Record) -> T) -> Option<T> {
        let (page, position) = self.page(slot)?;
        let records = page.0.read();
        records.get(position).and_then(Option::as_ref).map(f)
    }

    /// Appends the records of the slots.
    ///
    /// Taking a latch and counting a reference are atomic writes, and those wait for one cache miss after the
    /// other. So a group of slots is looked at first, which lets the misses of the whole group overlap.
    pub(super) fn read(&self, slots: &[Slot], records: &mut Vec<Record>) {
        records.reserve(slots.len());
        let mut latched: SmallVec<[_; READ_GROUP]> = SmallVec::new();
        let mut rest = slots;
        while let Some((first, more)) = rest.split_first() {
            let more = more.get(..READ_GROUP - 1).unwrap_or(more);
            for (page, _) in more.iter().filter_map(|slot| self.page(*slot)) {
                black_box(page.0.is_locked());
            }
            // Only the first latch is waited for. Whoever waited with a latch in hand could wait for a writer
            // that waits for this very latch.
            latched.extend(self.page(*first).map(|(page, at)| (page.0.read(), at)));
            let mut taken = 1;
            for slot in more {
                if let Some((page, at)) = self.page(*slot) {
                    let Some(latch) = page.0.try_read() else {
                        break;
                    };
                    latched.push((latch, at));
                }
                taken += 1;
            }
            for (page, at) in &latched {
                black_box(page.get(*at).and_then(Option::as_ref).map(Record::seq));
            }
            let found = latched
                .iter()
                .filter_map(|(page, at)| page.get(*at)?.as_ref());
            records.extend(found.cloned());
            latched.clear();
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    /// Visits all records page by page, in slot order.
    pub(super) fn scan(&self, visit: Visitor<'_>) {
        let end = self.end.load(Ordering::Acquire);
        let mut chunk = Vec::with_capacity(CHUNK_RECORDS);
        let mut slot = Slot(0);
        while slot.0 < end {
            let Some((page, _)) = self.page(slot) else {
                break;
            };
            for record in page.0.read().iter() {
                if let Some(record) = record {
                    chunk.push((slot, record.clone()));
                }
                slot.0 = slot.0.saturating_add(1);
            }
            if chunk.len() + PAGE_RECORDS > CHUNK_RECORDS {
                if visit(&chunk).is_break() {
                    return;
                }
                chunk.clear();
            }
        }
        if !chunk.is_empty() {
            let _ = visit(&chunk);
        }
    }

    #[inline]
    fn page(&self, slot: Slot) -> Option<(&Page, usize)> {
        let (run, page, position) = place(slot);
        let page = self.runs.get(run)?.get()?.get(page)?;
        Some((page, position))
    }
}

/// Run, page in the run, and position in the page of a slot.
#[inline]
const fn place(slot: Slot) -> (usize, usize, usize) {
    let position = slot.0 as usize % PAGE_RECORDS;
    // With the first run's length added, the run is the position of the highest bit.
    let page = slot.0 as usize / PAGE_RECORDS + RUN_PAGES_FIRST;
    let run = (page / RUN_PAGES_FIRST).ilog2() as usize;
    (run, page - (RUN_PAGES_FIRST << run), position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::base::{Metadata, Value};

    fn record(id: u32) -> Record {
        Record::new(Metadata::default(), 1, [Value::from(id)])
    }

    #[test]
    fn slots_are_read_in_their_order_and_empty_ones_left_out() {
        let pages = Pages::new();
        for id in 0..100 {
            assert_eq!(pages.add(record(id)).unwrap(), Slot(id));
        }
        pages.remove(Slot(20));
        let slots: Vec<u32> = (0..300).map(|i| i * 7 % 120).collect();
        let wanted = slots.iter().filter(|slot| **slot < 100 && **slot != 20);
        let wanted: Vec<Record> = wanted.map(|slot| record(*slot)).collect();
        let slots: Vec<Slot> = slots.iter().copied().map(Slot).collect();
        let mut found = Vec::new();
        pages.read(&slots, &mut found);
        assert_eq!(found, wanted);
    }

    #[test]
    fn readers_of_many_slots_of_one_page_do_not_stop_its_writer() {
        let pages = Pages::new();
        for id in 0..7 {
            pages.add(record(id)).unwrap();
        }
        let slots: Vec<Slot> = (0..70).map(|i| Slot(i % 7)).collect();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut found = Vec::new();
                    for _ in 0..500 {
                        found.clear();
                        pages.read(&slots, &mut found);
                        assert_eq!(found.len(), slots.len());
                    }
                });
            }
            for round in 0..5_000 {
                pages.replace(Slot(round % 7), Some(record(round % 7)));
            }
        });
    }

    #[test]
    fn a_page_is_one_cache_line() {
        assert_eq!(size_of::<Page>(), 64);
    }

    #[test]
    fn every_slot_has_a_place_of_its_own() {
        let mut expected = (0, 0, 0);
        for slot in 0..100_000 {
            assert_eq!(place(Slot(slot)), expected);
            expected.2 += 1;
            if expected.2 == PAGE_RECORDS {
                expected = (expected.0, expected.1 + 1, 0);
            }
            if expected.1 == RUN_PAGES_FIRST << expected.0 {
                expected = (expected.0 + 1, 0, 0);
            }
        }
        let (run, page, _) = place(Slot(u32::MAX));
        assert!(run < RUNS && page < RUN_PAGES_FIRST << run);
    }
}
