//! [`Shortlist`]: the candidates that may be among the nearest, as far as 32-bit floats can tell.

use std::cmp::Ordering;

use common::Slot;

use crate::core::VectorRows;
use crate::core::distance::scalar::LANES;
use crate::core::distance::{Metric, PreparedVector};
use crate::indexing::index::Neighbour;

/// Ranks below this in magnitude may be what underflow left of different distances.
const UNDERFLOW: f64 = 1e-30;

/// What exact distances are computed from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Truth<'a> {
    pub(super) rows: &'a VectorRows,
    pub(super) metric: Metric,
    pub(super) query: &'a PreparedVector,
}

impl Truth<'_> {
    /// The greatest rank that a kernel may give a row that is as near as one that it gave `rank`.
    #[expect(clippy::cast_precision_loss, reason = "dimensions are small")]
    pub(super) fn bound(&self, rank: f64) -> f64 {
        let steps = (self.rows.dimension() / LANES + 8) as f64;
        let error = steps * 2.0_f64.powi(-23);
        // Terms of a product are no larger than the lengths allow, those of the other sums than the sum itself:
        // twice the error, and a little more for its own rounding.
        let relative = match self.metric {
            Metric::Dot => 2.0 * self.query.norm * self.rows.norm_max(),
            _ => 3.0 * rank.abs(),
        };
        let absolute = if self.query.has_tiny || self.rows.has_tiny() {
            UNDERFLOW
        } else {
            0.0
        };
        rank + error * relative * 1.01 + absolute
    }

    fn distance(&self, slot: Slot) -> f64 {
        let distance = self.rows.distance_to(self.metric, self.query, slot);
        distance.unwrap_or(f64::INFINITY)
    }

    /// These slots with their distances, in the order of hits.
    pub(super) fn sorted(
        &self,
        slots: impl Iterator<Item = Slot>,
        tie: &impl Fn(Slot, Slot) -> Ordering,
    ) -> Vec<Neighbour> {
        let mut neighbours: Vec<Neighbour> = slots
            .map(|slot| Neighbour {
                slot,
                distance: self.distance(slot),
            })
            .collect();
        neighbours.sort_by(|a, b| order(a, b, tie));
        neighbours
    }
}

/// The order of hits: by distance, then as `tie` says. No distance is NaN, for no element is.
pub(super) fn order(
    a: &Neighbour,
    b: &Neighbour,
    tie: &impl Fn(Slot, Slot) -> Ordering,
) -> Ordering {
    a.distance
        .total_cmp(&b.distance)
        .then_with(|| tie(a.slot, b.slot))
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    slot: Slot,
    rank: f32,
}

/// All candidates that may be among the `k` nearest: those that rank best, and those that rank behind them by no
/// more than kernels may be wrong. So which kernel ranked does not show in what comes out.
///
/// Candidates are gathered unsorted and thinned out when there are twice as many as wanted: cheaper than a heap,
/// for most come early or never.
#[derive(Debug)]
pub(super) struct Shortlist<'a, T> {
    truth: Truth<'a>,
    tie: &'a T,
    k: usize,
    entries: Vec<Entry>,
    /// Whatever ranks above is not among the nearest.
    bound: f32,
}

impl<'a, T: Fn(Slot, Slot) -> Ordering> Shortlist<'a, T> {
    /// For the `k` nearest of those that rank no higher than `bound`.
    pub(super) fn new(truth: Truth<'a>, tie: &'a T, k: usize, bound: f64) -> Self {
        Self {
            truth,
            tie,
            k: k.min(truth.rows.len()).max(1),
            entries: Vec::new(),
            bound: up(bound),
        }
    }

    /// Takes what a kernel made of some rows.
    #[inline]
    pub(super) fn offer(&mut self, slots: &[Slot], ranks: &[f32]) {
        for (slot, rank) in slots.iter().zip(ranks) {
            if *rank <= self.bound {
                self.push(Entry {
                    slot: *slot,
                    rank: *rank,
                });
            }
        }
    }

    fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
        let most = 2 * self.k + 64;
        if self.entries.len() < most {
            return;
        }
        self.thin();
        // So many are as near as the last that only their distances tell them apart.
        if self.entries.len() > most / 2 + self.k / 2 {
            self.settle();
        }
    }

    /// Leaves out what ranks too high.
    fn thin(&mut self) {
        if self.entries.len() <= self.k {
            return;
        }
        let by_rank = |a: &Entry, b: &Entry| a.rank.total_cmp(&b.rank);
        let (_, worst, _) = self.entries.select_nth_unstable_by(self.k - 1, by_rank);
        let bound = self.truth.bound(f64::from(worst.rank));
        self.bound = self.bound.min(up(bound));
        self.entries.retain(|entry| entry.rank <= self.bound);
    }

    /// Leaves the `k` nearest, by their distances.
    fn settle(&mut self) {
        let mut nearest: Vec<(Neighbour, Entry)> = self
            .entries
            .iter()
            .map(|entry| {
                let distance = self.truth.distance(entry.slot);
                let slot = entry.slot;
                (Neighbour { slot, distance }, *entry)
            })
            .collect();
        nearest.sort_by(|(a, _), (b, _)| order(a, b, self.tie));
        nearest.truncate(self.k);
        self.entries.clear();
        self.entries.extend(nearest.iter().map(|(_, entry)| entry));
    }

    /// Takes over what another one, for the same query, gathered.
    pub(super) fn merge(&mut self, other: Self) {
        for entry in other.entries {
            self.offer(&[entry.slot], &[entry.rank]);
        }
    }

    /// The nearest, nearest first.
    pub(super) fn finish(mut self) -> Vec<Neighbour> {
        self.thin();
        let slots = self.entries.iter().map(|entry| entry.slot);
        let mut nearest = self.truth.sorted(slots, self.tie);
        nearest.truncate(self.k);
        nearest
    }
}

/// The bound in 32 bits, not below the one in 64.
#[expect(clippy::cast_possible_truncation, reason = "rounded up below")]
fn up(bound: f64) -> f32 {
    (bound as f32).next_up()
}
