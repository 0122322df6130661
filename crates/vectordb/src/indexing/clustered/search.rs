//! Search: lists near the query are scanned, and what their codes cannot exclude is compared exactly.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use common::Slot;

use super::ClusteredIndex;
use super::lists::Lists;
use crate::core::distance::{Metric, PreparedVector};
use crate::core::{SlotSet, VectorRows};
use crate::indexing::Neighbour;
use crate::indexing::quantize::{Estimates, Position, Query, Refiner};

/// What one search found, and what it took.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ClusteredFound {
    /// The nearest rows, nearest first.
    pub(crate) nearest: Vec<Neighbour>,
    /// Lists that were scanned.
    pub(crate) lists: usize,
    /// Codes from which a distance was estimated.
    pub(crate) estimated: usize,
    /// Codes whose estimate was refined with the bits beside the sign.
    pub(crate) refined: usize,
    /// Rows that were compared with the query.
    pub(crate) compared: usize,
}

/// A code that its signs did not exclude.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    slot: Slot,
    place: u32,
    distance: f32,
    least: f32,
    product: f32,
}

impl Candidate {
    /// The likeliest first.
    fn order(a: &Self, b: &Self) -> Ordering {
        let by_distance = a.distance.total_cmp(&b.distance);
        by_distance.then(a.slot.cmp(&b.slot))
    }
}

/// A neighbour in the heap of the best: the worst of them on top.
struct Ranked<'a, T> {
    neighbour: Neighbour,
    tie: &'a T,
}

impl<T: Fn(Slot, Slot) -> Ordering> Ord for Ranked<'_, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (&self.neighbour, &other.neighbour);
        let by_distance = a.distance.total_cmp(&b.distance);
        by_distance.then_with(|| (self.tie)(a.slot, b.slot))
    }
}

impl<T: Fn(Slot, Slot) -> Ordering> PartialOrd for Ranked<'_, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Fn(Slot, Slot) -> Ordering> PartialEq for Ranked<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: Fn(Slot, Slot) -> Ordering> Eq for Ranked<'_, T> {}

/// The best so far, by exact rank.
struct Nearest<'a, T> {
    heap: BinaryHeap<Ranked<'a, T>>,
    k: usize,
    tie: &'a T,
    /// Ranks in the frame are so many times those of rows.
    scale: f64,
    /// In the frame, what a candidate's least distance must be below.
    bound: f32,
}

impl<T: Fn(Slot, Slot) -> Ordering> Nearest<'_, T> {
    fn offer(&mut self, slot: Slot, rank: f64) {
        let neighbour = Neighbour {
            slot,
            distance: rank,
        };
        let new = Ranked {
            neighbour,
            tie: self.tie,
        };
        if self.heap.len() < self.k {
            self.heap.push(new);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && new < *worst
        {
            *worst = new;
        } else {
            return;
        }
        if self.heap.len() == self.k
            && let Some(worst) = self.heap.peek()
        {
            self.bound = above(worst.neighbour.distance * self.scale);
        }
    }
}

/// The next 32-bit float above a rank: candidates at the bound itself may win by the tie.
#[expect(clippy::cast_possible_truncation, reason = "rounded up")]
fn above(rank: f64) -> f32 {
    (rank as f32).next_up()
}

/// One search under way.
struct Search<'a, T, R> {
    lists: &'a Lists,
    /// With codes of one bit there is none.
    refiner: Option<Refiner>,
    /// What ranks rows exactly.
    rank: R,
    nearest: Nearest<'a, T>,
    found: ClusteredFound,
    /// Those that are being compared; kept for its memory.
    ready: Vec<Candidate>,
}

impl<T: Fn(Slot, Slot) -> Ordering, R: Fn(Slot) -> Option<f64>> Search<'_, T, R> {
    /// Compares with those of a list's candidates that no estimate excludes.
    fn settle(&mut self, candidates: &mut [Candidate], position: Position) {
        // The likeliest on their own: they lower the bound, and the others need not even be put in order.
        let count = (2 * self.nearest.k).max(16).min(candidates.len());
        if count < candidates.len() {
            candidates.select_nth_unstable_by(count, Candidate::order);
        }
        let (likeliest, others) = candidates.split_at(count);
        self.compare(likeliest, position);
        self.compare(others, position);
    }

    fn compare(&mut self, candidates: &[Candidate], position: Position) {
        self.ready.clear();
        for candidate in candidates {
            if candidate.least < self.nearest.bound {
                let candidate = self.refine(*candidate, position);
                self.ready.push(candidate);
            }
        }
        self.ready.sort_unstable_by(Candidate::order);
        for candidate in &self.ready {
            if candidate.least >= self.nearest.bound {
                continue;
            }
            if let Some(rank) = (self.rank)(candidate.slot) {
                self.found.compared += 1;
                self.nearest.offer(candidate.slot, rank);
            }
        }
    }

    fn refine(&mut self, mut candidate: Candidate, position: Position) -> Candidate {
        if let Some(refiner) = &self.refiner
            && let Some((words, factors)) = self.lists.words(candidate.place)
        {
            self.found.refined += 1;
            let product = candidate.product;
            (candidate.distance, candidate.least) =
                refiner.estimate(words, factors, product, position);
        }
        candidate
    }
}

impl ClusteredIndex {
    /// The `k` nearest rows that the `probes` nearest lists have, nearest first; `tie` orders rows at the same
    /// distance. With a filter, only its slots are candidates.
    #[expect(
        clippy::too_many_arguments,
        reason = "what every index takes, and the probes"
    )]
    pub(crate) fn search(
        &self,
        rows: &VectorRows,
        metric: Metric,
        query: &PreparedVector,
        k: usize,
        probes: usize,
        filter: Option<&SlotSet>,
        tie: &impl Fn(Slot, Slot) -> Ordering,
    ) -> ClusteredFound {
        let candidates = filter.map_or(self.len(), SlotSet::len).min(self.len());
        if k == 0 || candidates == 0 {
            return ClusteredFound::default();
        }
        let shared = &*self.shared;
        let mut vector = vec![0.0; shared.frame.padded()];
        shared.frame.apply(&query.values, &mut vector);
        let scan = Query::new(&vector);
        let mut search = Search {
            lists: &self.lists,
            refiner: (shared.bits > 1).then(|| Refiner::new(&vector, shared.bits, scan.slack())),
            rank: exact_rank(rows, metric, query),
            nearest: Nearest {
                heap: BinaryHeap::new(),
                k,
                tie,
                scale: shared.frame.rank_scale(),
                bound: f32::INFINITY,
            },
            found: ClusteredFound::default(),
            ready: Vec::new(),
        };
        let mut estimates = Estimates::default();
        let mut passed: Vec<Candidate> = Vec::new();
        for (list, position) in shared.centres.near(&vector, &scan, probes) {
            search.found.lists += 1;
            search.found.estimated += self.lists.len_of(list);
            passed.clear();
            for block in self.lists.blocks(list) {
                let bound = search.nearest.bound;
                let mask = scan.estimate(block.codes, position, bound, &mut estimates);
                passed.extend(lanes_of(mask).filter_map(|lane| {
                    let (slot, place) = block.lane(lane);
                    let lane = lane as usize;
                    if filter.is_some_and(|filter| !filter.contains(slot)) {
                        return None;
                    }
                    Some(Candidate {
                        slot,
                        place,
                        distance: *estimates.distance.get(lane)?,
                        least: *estimates.least.get(lane)?,
                        product: *estimates.product.get(lane)?,
                    })
                }));
            }
            search.settle(&mut passed, position);
        }
        let Search {
            nearest, mut found, ..
        } = search;
        let slots = nearest.heap.into_iter().map(|ranked| ranked.neighbour.slot);
        found.nearest = slots
            .filter_map(|slot| {
                let distance = rows.distance_to(metric, query, slot)?;
                Some(Neighbour { slot, distance })
            })
            .collect();
        found.nearest.sort_by(|a, b| {
            let by_distance = a.distance.total_cmp(&b.distance);
            by_distance.then_with(|| tie(a.slot, b.slot))
        });
        found
    }
}

/// The lanes of a mask, ascending.
fn lanes_of(mut mask: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let lane = mask.trailing_zeros();
        // The lowest bit goes; of zero, nothing is left to go.
        mask &= mask.checked_sub(1)?;
        Some(lane)
    })
}

/// What ranks rows exactly: the metric's kernel, or 64-bit floats where 32 might lose what tells rows apart.
fn exact_rank<'a>(
    rows: &'a VectorRows,
    metric: Metric,
    query: &'a PreparedVector,
) -> impl Fn(Slot) -> Option<f64> + 'a {
    let is_tiny = query.has_tiny || rows.has_tiny();
    let kernels = rows.kernels(metric);
    move |slot| {
        if is_tiny {
            let ranked = match metric {
                Metric::Dot => Metric::Dot,
                _ => Metric::SquaredEuclidean,
            };
            rows.distance_to(ranked, query, slot)
        } else {
            rows.rank(&kernels, query, slot).map(f64::from)
        }
    }
}
