//! The greatest inner products, by postings that are skipped where their bounds say so (`MaxScore`: Turtle and Flood,
//! "Query evaluation: strategies and optimizations", 1995).

use std::cmp::Ordering;

use common::{Result, Slot};

use super::postings::Cursor;
use super::{SparseIndex, in_order};
use crate::core::SlotSet;
use crate::indexing::index::{Answer, Neighbour};
use crate::indexing::plan::Method;
use crate::indexing::request::Work;

/// Slots that pass a filter are looked up one by one if these are fewer than one in so many entries of the postings.
const FILTERED_SHARE: usize = 8;
/// Sums of floats in another order differ by less than this share of the magnitudes that are added.
const ROUNDING: f64 = 1e-9;

/// One position of a query.
struct Term<'a> {
    cursor: Cursor<'a>,
    weight: f64,
    /// What it adds at most.
    bound: f64,
    /// Its place in the order of positions.
    place: usize,
}

/// The best so far.
struct Best<'t> {
    k: usize,
    found: Vec<(f64, Slot)>,
    /// The `k`-th greatest product, once there are as many.
    floor: f64,
    tie: &'t (dyn Fn(Slot, Slot) -> Ordering + Sync),
}

impl SparseIndex {
    /// The `k` vectors with the greatest inner products with a query of positions and weights, the greatest first,
    /// equals in the order of their slots; distances are the products, negated. Vectors that share no position with
    /// the query are not found. With `filter`, only its slots are candidates.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a position that comes twice and for a weight that is NaN or infinite.
    pub fn nearest(
        &self,
        query: &[(u32, f32)],
        k: usize,
        filter: Option<&SlotSet>,
    ) -> Result<Vec<Neighbour>> {
        let query = in_order(query.to_vec(), u32::MAX)?;
        let tie = |a: Slot, b: Slot| a.cmp(&b);
        Ok(self.search(&query, k, filter, &tie).nearest)
    }

    /// As [`SparseIndex::nearest`] for a query in order of its positions; `tie` orders equals.
    pub(crate) fn search(
        &self,
        query: &[(u32, f32)],
        k: usize,
        filter: Option<&SlotSet>,
        tie: &(dyn Fn(Slot, Slot) -> Ordering + Sync),
    ) -> Answer {
        let found = query.iter().filter(|(_, weight)| *weight != 0.0);
        let found = found.filter_map(|(p, weight)| Some((self.postings(*p)?, f64::from(*weight))));
        let mut entries = 0;
        let mut slack = 0.0;
        let mut terms: Vec<Term<'_>> = found
            .enumerate()
            .map(|(place, (postings, weight))| {
                entries += postings.len();
                slack += ROUNDING * weight.abs() * postings.magnitude();
                Term {
                    cursor: Cursor::new(postings),
                    weight,
                    bound: postings.bound(weight),
                    place,
                }
            })
            .collect();
        let mut best = Best {
            k,
            found: Vec::new(),
            floor: f64::NEG_INFINITY,
            tie,
        };
        let few = filter.filter(|filter| {
            let lookups = filter.len().saturating_mul(terms.len());
            lookups.saturating_mul(FILTERED_SHARE) < entries
        });
        let ranked = match few {
            Some(filter) if k > 0 => each_of(&mut terms, filter, &mut best),
            _ if k > 0 => by_bounds(&mut terms, slack, filter, &mut best),
            _ => 0,
        };
        Answer {
            nearest: best.finish(),
            method: match filter {
                None => Method::Postings,
                Some(_) => Method::PostingsMatching,
            },
            work: Work {
                compared: 0,
                ranked,
            },
        }
    }
}

/// Looks up each slot of a filter; how many were ranked.
fn each_of(terms: &mut [Term<'_>], filter: &SlotSet, best: &mut Best<'_>) -> usize {
    let mut ranked = 0;
    for slot in filter.iter() {
        let mut is_met = false;
        let mut product = 0.0;
        for term in &mut *terms {
            if let Some(weight) = term.cursor.seek(slot) {
                is_met = true;
                product += term.weight * f64::from(weight);
            }
        }
        if is_met {
            ranked += 1;
            best.offer(product, slot);
        }
    }
    ranked
}

/// Goes through the postings together; how many slots were ranked.
fn by_bounds(
    terms: &mut [Term<'_>],
    slack: f64,
    filter: Option<&SlotSet>,
    best: &mut Best<'_>,
) -> usize {
    terms.sort_by(|a, b| a.bound.total_cmp(&b.bound));
    // What the terms up to each add at most.
    let sums: Vec<f64> = terms
        .iter()
        .scan(slack, |sum, term| {
            *sum += term.bound;
            Some(*sum)
        })
        .collect();
    let mut parts = vec![0.0; terms.len()];
    let mut ranked = 0;
    // Slots that only these have cannot reach the best.
    let mut idle = 0;
    loop {
        while sums.get(idle).is_some_and(|sum| *sum < best.floor) {
            idle += 1;
        }
        let (rest, leading) = terms.split_at_mut(idle);
        let heads = leading.iter().filter_map(|term| term.cursor.get());
        let Some(slot) = heads.map(|(slot, _)| slot).min() else {
            return ranked;
        };
        let is_candidate = filter.is_none_or(|filter| filter.contains(slot));
        parts.fill(0.0);
        let mut product = 0.0;
        for term in leading {
            if let Some((_, weight)) = term.cursor.get().filter(|(here, _)| *here == slot) {
                term.cursor.advance();
                product += term.add(weight, &mut parts);
            }
        }
        if !is_candidate {
            continue;
        }
        ranked += 1;
        let rest = rest.iter_mut().zip(&sums).rev();
        let mut is_beaten = false;
        for (term, sum) in rest {
            if product + sum < best.floor {
                is_beaten = true;
                break;
            }
            if let Some(weight) = term.cursor.seek(slot) {
                product += term.add(weight, &mut parts);
            }
        }
        if !is_beaten {
            // In order of positions, so that the sum is the same by every way.
            best.offer(parts.iter().sum(), slot);
        }
    }
}

impl Term<'_> {
    fn add(&self, weight: f32, parts: &mut [f64]) -> f64 {
        let part = self.weight * f64::from(weight);
        if let Some(place) = parts.get_mut(self.place) {
            *place = part;
        }
        part
    }
}

impl Best<'_> {
    fn offer(&mut self, product: f64, slot: Slot) {
        if product < self.floor {
            return;
        }
        // Not -0, which is less than 0 in the order of floats.
        self.found.push((product + 0.0, slot));
        if self.found.len() >= self.k.saturating_mul(2) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let (k, tie) = (self.k, self.tie);
        if self.found.len() >= k && k > 0 {
            let order =
                |a: &(f64, Slot), b: &(f64, Slot)| b.0.total_cmp(&a.0).then_with(|| tie(a.1, b.1));
            let (_, last, _) = self.found.select_nth_unstable_by(k - 1, order);
            self.floor = last.0;
            self.found.truncate(k);
        }
    }

    fn finish(mut self) -> Vec<Neighbour> {
        self.cut();
        let tie = self.tie;
        let nearest = self.found.iter().map(|(product, slot)| Neighbour {
            slot: *slot,
            distance: 0.0 - product,
        });
        let mut nearest: Vec<Neighbour> = nearest.collect();
        nearest.sort_by(|a, b| {
            a.distance
                .total_cmp(&b.distance)
                .then_with(|| tie(a.slot, b.slot))
        });
        nearest
    }
}
