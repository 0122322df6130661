//! Exact search: the query is compared with every candidate.

use std::cmp::Ordering;

use common::Slot;

use super::index::Neighbour;
use crate::core::VectorRows;
use crate::core::distance::{Metric, PreparedVector};

/// Ranks below this in magnitude may be what underflow left of different distances.
const UNDERFLOW: f64 = 1e-30;

pub(super) fn search(
    rows: &VectorRows,
    metric: Metric,
    query: &PreparedVector,
    k: usize,
    slots: Option<&[Slot]>,
    tie: &impl Fn(Slot, Slot) -> Ordering,
) -> Vec<Neighbour> {
    let kernel = metric.kernel();
    let rank = |row: &[f32]| f64::from(kernel(&query.values, row));
    let mut nearest = scan(rows, k, slots, tie, rank);

    // Where the worst of the best is next to nothing, others as near may have been left out for want of digits.
    // Checked only where elements are that small at all, for duplicates of the query are common.
    let may_underflow = query.has_tiny || rows.has_tiny();
    let worst = nearest.last().map_or(1.0, |worst| worst.distance.abs());
    if may_underflow && worst < UNDERFLOW {
        nearest = scan(rows, k, slots, tie, |row| {
            metric.distance(&query.values, row)
        });
    }
    for neighbour in &mut nearest {
        if let Some(row) = rows.row(neighbour.slot) {
            neighbour.distance = metric.distance(&query.values, row);
        }
    }
    nearest.sort_by(|a, b| order(a, b, tie));
    nearest
}

fn scan(
    rows: &VectorRows,
    k: usize,
    slots: Option<&[Slot]>,
    tie: &impl Fn(Slot, Slot) -> Ordering,
    rank: impl Fn(&[f32]) -> f64,
) -> Vec<Neighbour> {
    let candidates = slots.map_or(rows.len(), <[Slot]>::len);
    let mut best = Best::new(k.min(candidates), tie);
    match slots {
        None => rows.for_each(|slot, row| best.offer(slot, rank(row))),
        Some(slots) => {
            for slot in slots {
                if let Some(row) = rows.row(*slot) {
                    best.offer(*slot, rank(row));
                }
            }
        }
    }
    best.into_sorted()
}

/// The order of hits: by distance, then as `tie` says. No distance is NaN, for no element is.
fn order(a: &Neighbour, b: &Neighbour, tie: &impl Fn(Slot, Slot) -> Ordering) -> Ordering {
    a.distance
        .total_cmp(&b.distance)
        .then_with(|| tie(a.slot, b.slot))
}

/// The `k` best so far: a heap whose root is the worst of them.
struct Best<'a, T> {
    heap: Vec<Neighbour>,
    k: usize,
    /// Distance of the root once there are `k`; before, everything gets in.
    bound: f64,
    tie: &'a T,
}

impl<'a, T: Fn(Slot, Slot) -> Ordering> Best<'a, T> {
    fn new(k: usize, tie: &'a T) -> Self {
        Self {
            heap: Vec::with_capacity(k),
            k,
            bound: f64::INFINITY,
            tie,
        }
    }

    #[inline]
    fn offer(&mut self, slot: Slot, distance: f64) {
        if distance <= self.bound {
            self.insert(Neighbour { slot, distance });
        }
    }

    fn insert(&mut self, new: Neighbour) {
        if self.heap.len() < self.k {
            self.heap.push(new);
            self.rise(self.heap.len() - 1);
        } else {
            match self.heap.first_mut() {
                Some(root) if order(&new, root, self.tie).is_lt() => *root = new,
                _ => return,
            }
            self.sink();
        }
        if self.heap.len() == self.k {
            self.bound = self
                .heap
                .first()
                .map_or(f64::INFINITY, |root| root.distance);
        }
    }

    fn is_worse(&self, a: usize, b: usize) -> bool {
        match (self.heap.get(a), self.heap.get(b)) {
            (Some(a), Some(b)) => order(a, b, self.tie).is_gt(),
            _ => false,
        }
    }

    fn rise(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.is_worse(at, parent) {
                break;
            }
            self.heap.swap(at, parent);
            at = parent;
        }
    }

    fn sink(&mut self) {
        let mut at = 0;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let worst = if self.is_worse(right, left) {
                right
            } else {
                left
            };
            if !self.is_worse(worst, at) {
                break;
            }
            self.heap.swap(at, worst);
            at = worst;
        }
    }

    fn into_sorted(mut self) -> Vec<Neighbour> {
        let tie = self.tie;
        self.heap.sort_by(|a, b| order(a, b, tie));
        self.heap
    }
}
