//! Exact search: the query is compared with every candidate.
//!
//! Kernels rank in 32-bit floats; whatever they cannot tell apart from the last of the nearest is ranked again by
//! its distance in 64 bits. So the answer is that of distances in 64 bits, on every processor, for every number of
//! threads, and whether queries come alone or many at once.

mod codes;
mod custom;
mod double;
mod shortlist;

use std::cmp::Ordering;
use std::sync::atomic::{AtomicUsize, Ordering as Atomic};

use common::{Result, Slot};

pub use self::codes::ScanCodes;
pub use self::double::DoubleVectors;
use self::shortlist::{Shortlist, Truth};
use super::index::Neighbour;
use crate::core::distance::{Metric, PreparedVector, RowKernels};
use crate::core::{Line, SlotSet, VectorRows};

/// Pages that a thread takes at once: a quarter of a megabyte each.
const PAGES_AT_ONCE: usize = 16;
/// Queries that are compared with a page before the next ones: of 784 dimensions, they lie in the nearest cache.
const QUERIES_AT_ONCE: usize = 8;

/// What is searched, and how.
///
/// ```
/// use vectordb::core::{Precision, VectorTable};
/// use vectordb::{Metric, Scan};
/// let mut table = VectorTable::with_precision(4, Precision::Bits);
/// table.push(&[0.0, 1.0, 1.0, 0.0]);
/// table.push(&[1.0, 1.0, 0.0, 0.0]);
/// let scan = Scan::new(table.rows(), Metric::Hamming)?;
/// let query = scan.metric.prepare_query(&[1.0, 1.0, 1.0, 0.0], 4)?;
/// let near = scan.within(&query, 1.0, 10, &|a, b| a.cmp(&b));
/// assert_eq!((near.len(), near[0].distance), (2, 1.0));
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Scan<'a> {
    /// The vectors.
    pub rows: &'a VectorRows,
    /// By which distance. Nothing is found by one that [`Metric::check`] refuses for the rows' precision.
    pub metric: Metric,
    /// Which slots are candidates; all that are in use, if none.
    pub among: Option<&'a SlotSet>,
    /// Most threads that the scan runs on, this one included; at least one.
    pub threads: usize,
}

impl<'a> Scan<'a> {
    /// A scan of all vectors, on this thread.
    ///
    /// # Errors
    /// As [`Metric::check`], for the rows' precision.
    pub fn new(rows: &'a VectorRows, metric: Metric) -> Result<Self> {
        metric.check(rows.precision())?;
        Ok(Self {
            rows,
            metric,
            among: None,
            threads: 1,
        })
    }
}

impl Scan<'_> {
    /// The `k` nearest candidates, nearest first; `tie` orders those at the same distance.
    pub fn nearest(
        &self,
        query: &PreparedVector,
        k: usize,
        tie: &(impl Fn(Slot, Slot) -> Ordering + Sync),
    ) -> Vec<Neighbour> {
        self.nearest_below(query, k, f64::INFINITY, tie)
    }

    /// The candidates no farther than `distance`, nearest first, at most `limit` of them.
    pub fn within(
        &self,
        query: &PreparedVector,
        distance: f64,
        limit: usize,
        tie: &(impl Fn(Slot, Slot) -> Ordering + Sync),
    ) -> Vec<Neighbour> {
        let rank = match self.metric {
            // No distance is negative, and no cosine distance above 2, however large the rank.
            Metric::Euclidean if distance >= 0.0 => distance * distance,
            Metric::Cosine if distance >= 2.0 => f64::INFINITY,
            Metric::Cosine => 2.0 * distance,
            _ => distance,
        };
        let bound = self.truth(query).bound(rank);
        let mut nearest = self.nearest_below(query, limit, bound, tie);
        nearest.retain(|neighbour| neighbour.distance <= distance);
        nearest
    }

    fn nearest_below(
        &self,
        query: &PreparedVector,
        k: usize,
        bound: f64,
        tie: &(impl Fn(Slot, Slot) -> Ordering + Sync),
    ) -> Vec<Neighbour> {
        if k == 0 {
            return Vec::new();
        }
        let four = self.rows.kernels(self.metric).four;
        let lines = query.lines();
        self.by_pages(
            self.rows.pages(),
            || Shortlist::new(self.truth(query), tie, k, bound),
            |pages, list| {
                self.rows.for_fours(pages, self.among, |slots, rows| {
                    list.offer(slots, &four(lines, rows));
                });
            },
            Shortlist::merge,
        )
        .finish()
    }

    /// For each query what [`Scan::nearest`] finds, in a fraction of the time: each row is fetched once for all
    /// of them.
    pub fn nearest_to_each(
        &self,
        queries: &[PreparedVector],
        k: usize,
        tie: &(impl Fn(Slot, Slot) -> Ordering + Sync),
    ) -> Vec<Vec<Neighbour>> {
        if k == 0 {
            return vec![Vec::new(); queries.len()];
        }
        let kernels = self.rows.kernels(self.metric);
        let lists = self.by_pages(
            self.rows.pages(),
            || -> Vec<_> {
                let list = |query| Shortlist::new(self.truth(query), tie, k, f64::INFINITY);
                queries.iter().map(list).collect()
            },
            |pages, lists| {
                let mut fours = Vec::new();
                for page in pages {
                    fours.clear();
                    self.rows
                        .for_fours(page..page + 1, self.among, |slots, rows| {
                            let mut four = [Slot(0); 4];
                            let count = slots.len();
                            for (place, slot) in four.iter_mut().zip(slots) {
                                *place = *slot;
                            }
                            fours.push((four, count, rows));
                        });
                    let queries = queries.chunks(QUERIES_AT_ONCE);
                    for (queries, lists) in queries.zip(lists.chunks_mut(QUERIES_AT_ONCE)) {
                        for (slots, count, rows) in &fours {
                            let slots = slots.get(..*count).unwrap_or_default();
                            compare(&kernels, queries, lists, slots, *rows);
                        }
                    }
                }
            },
            |lists, others| {
                for (list, other) in lists.iter_mut().zip(others) {
                    list.merge(other);
                }
            },
        );
        lists.into_iter().map(Shortlist::finish).collect()
    }

    fn truth<'q>(&'q self, query: &'q PreparedVector) -> Truth<'q> {
        Truth {
            rows: self.rows,
            metric: self.metric,
            query,
        }
    }

    /// Goes through so many pages on some threads, each with a state of its own, and joins the states.
    fn by_pages<S: Send>(
        &self,
        pages: usize,
        new: impl Fn() -> S + Sync,
        scan: impl Fn(std::ops::Range<usize>, &mut S) + Sync,
        join: impl Fn(&mut S, S),
    ) -> S {
        let portions = pages.div_ceil(PAGES_AT_ONCE);
        let next = AtomicUsize::new(0);
        let work = || {
            let mut state = new();
            loop {
                let portion = next.fetch_add(1, Atomic::Relaxed);
                if portion >= portions {
                    return state;
                }
                let begin = portion * PAGES_AT_ONCE;
                scan(begin..(begin + PAGES_AT_ONCE).min(pages), &mut state);
            }
        };
        let helpers = self.threads.min(portions).saturating_sub(1);
        if helpers == 0 {
            return work();
        }
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
            let mut state = work();
            for helper in helpers {
                match helper.join() {
                    Ok(other) => join(&mut state, other),
                    // Only `tie` is foreign here: its panic goes on where it came from.
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            state
        })
    }
}

/// Compares some queries with four rows.
#[inline]
fn compare<T: Fn(Slot, Slot) -> Ordering>(
    kernels: &RowKernels,
    queries: &[PreparedVector],
    lists: &mut [Shortlist<'_, T>],
    slots: &[Slot],
    rows: [&[Line]; 4],
) {
    let ((by_four, rest), (lists_by_four, rest_lists)) =
        (queries.as_chunks(), lists.as_chunks_mut());
    for ([a, b, c, d], lists) in by_four.iter().zip(lists_by_four) {
        let tile = (kernels.tile)([a, b, c, d].map(PreparedVector::lines), rows);
        let lists: &mut [_; 4] = lists;
        for (list, ranks) in lists.iter_mut().zip(&tile) {
            list.offer(slots, ranks);
        }
    }
    for (query, list) in rest.iter().zip(rest_lists) {
        list.offer(slots, &(kernels.four)(query.lines(), rows));
    }
}

#[cfg(test)]
mod tests;
