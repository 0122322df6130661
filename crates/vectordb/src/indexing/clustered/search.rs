//! Search: lists near the query are scanned, and what their codes cannot exclude is compared exactly.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use common::Slot;

use super::ClusteredIndex;
use crate::core::distance::{Metric, PreparedVector};
use crate::core::{SlotSet, VectorRows};
use crate::indexing::Neighbour;
use crate::indexing::quantize::{Estimates, Position, Query, Rank, Refiner};

/// What one search found, and what it took.
#[derive(Debug, Clone, PartialEq)]
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
    distance: f32,
    least: f32,
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
        let mut found = ClusteredFound {
            nearest: Vec::new(),
            lists: 0,
            estimated: 0,
            refined: 0,
            compared: 0,
        };
        let candidates = filter.map_or(self.len(), SlotSet::len).min(self.len());
        if k == 0 || candidates == 0 {
            return found;
        }
        let mut vector = vec![0.0; self.shared.frame.padded()];
        self.shared.frame.apply(&query.values, &mut vector);
        let scan = Query::new(&vector);
        let bits = self.shared.bits;
        let refiner = (bits > 1).then(|| Refiner::new(&vector, bits, scan.slack()));
        let rank = exact_rank(rows, metric, query);
        let mut nearest = Nearest {
            heap: BinaryHeap::new(),
            k,
            tie,
            scale: self.shared.frame.rank_scale(),
            bound: f32::INFINITY,
        };
        let mut estimates = Estimates::default();
        let mut passed: Vec<Candidate> = Vec::new();
        for (list, position) in self.lists_near(&vector, probes) {
            found.lists += 1;
            found.estimated += self.lists.len_of(list);
            passed.clear();
            for block in self.lists.blocks(list) {
                let mut mask = scan.estimate(block.codes, position, nearest.bound, &mut estimates);
                while mask != 0 {
                    let lane = mask.trailing_zeros();
                    mask &= mask - 1;
                    let (slot, place) = block.lane(lane);
                    if filter.is_some_and(|filter| !filter.contains(slot)) {
                        continue;
                    }
                    let lane = lane as usize;
                    let of = |all: &[f32; 32]| all.get(lane).copied().unwrap_or_default();
                    let (mut distance, mut least) = (of(&estimates.distance), of(&estimates.least));
                    if let Some(refiner) = &refiner
                        && let Some((words, factors)) = self.lists.words(place)
                    {
                        found.refined += 1;
                        let product = of(&estimates.product);
                        (distance, least) = refiner.estimate(words, factors, product, position);
                        if least >= nearest.bound {
                            continue;
                        }
                    }
                    passed.push(Candidate {
                        slot,
                        distance,
                        least,
                    });
                }
            }
            // The likeliest first: they lower the bound for the others.
            passed.sort_unstable_by(|a, b| {
                let by_distance = a.distance.total_cmp(&b.distance);
                by_distance.then(a.slot.cmp(&b.slot))
            });
            for candidate in &passed {
                if candidate.least >= nearest.bound {
                    continue;
                }
                if let Some(row) = rows.row(candidate.slot) {
                    found.compared += 1;
                    nearest.offer(candidate.slot, rank(row));
                }
            }
        }
        let ranked = nearest.heap.into_iter().map(|ranked| ranked.neighbour);
        found.nearest = ranked
            .filter_map(|Neighbour { slot, .. }| {
                let distance = metric.distance(&query.values, rows.row(slot)?);
                Some(Neighbour { slot, distance })
            })
            .collect();
        found.nearest.sort_by(|a, b| {
            let by_distance = a.distance.total_cmp(&b.distance);
            by_distance.then_with(|| tie(a.slot, b.slot))
        });
        found
    }

    /// The lists nearest to a query in the frame, nearest first, and where it is seen from their centres.
    fn lists_near(&self, vector: &[f32], probes: usize) -> Vec<(u32, Position)> {
        let square = super::centres::square(vector);
        let ranks = self.shared.centres.ranks(vector);
        let mut near: Vec<(f32, u32)> = match self.shared.rank {
            Rank::Squared => ranks
                .iter()
                .zip(0..)
                .map(|((rank, _), list)| ((2.0 * rank + square).max(0.0), list))
                .collect(),
            Rank::Dot => ranks
                .iter()
                .zip(0..)
                .map(|((_, product), list)| (*product, list))
                .collect(),
        };
        let order = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        let probes = probes.clamp(1, near.len().max(1));
        if probes < near.len() {
            near.select_nth_unstable_by(probes, order);
            near.truncate(probes);
        }
        near.sort_unstable_by(order);
        let length = square.sqrt();
        near.into_iter()
            .map(|(base, list)| match self.shared.rank {
                Rank::Squared => (list, Position::squared(base)),
                Rank::Dot => (list, Position::dot(base, length)),
            })
            .collect()
    }
}

/// What ranks rows exactly: the metric's kernel, or 64-bit floats where 32 might lose what tells rows apart.
fn exact_rank<'a>(
    rows: &VectorRows,
    metric: Metric,
    query: &'a PreparedVector,
) -> impl Fn(&[f32]) -> f64 + 'a {
    let is_tiny = query.has_tiny || rows.has_tiny();
    let kernel = metric.kernel();
    move |row| {
        if is_tiny {
            let ranked = match metric {
                Metric::Dot => Metric::Dot,
                _ => Metric::SquaredEuclidean,
            };
            ranked.distance(&query.values, row)
        } else {
            f64::from(kernel(&query.values, row))
        }
    }
}
