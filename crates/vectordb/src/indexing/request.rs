//! [`Request`]: what an index is asked for; [`Work`]: what answering took; and the ranking by full vectors that
//! ends every approximate search.

use std::cmp::Ordering;

use common::Slot;

use super::index::Neighbour;
use crate::core::distance::{Metric, PreparedVector, prefetch};
use crate::core::{SlotSet, VectorRows};

/// A search for the `k` nearest of some rows.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) rows: &'a VectorRows,
    pub(crate) metric: Metric,
    pub(crate) query: &'a PreparedVector,
    pub(crate) k: usize,
    /// Which rows are candidates; all of them if none.
    pub(crate) filter: Option<&'a SlotSet>,
    /// The order of rows at the same distance.
    pub(crate) tie: &'a (dyn Fn(Slot, Slot) -> Ordering + Sync),
}

impl Request<'_> {
    /// The query without padding.
    pub(crate) fn vector(&self) -> &[f32] {
        let values = self.query.values.get(..self.rows.dimension());
        values.unwrap_or(&self.query.values)
    }

    /// Whether a row is a candidate; whether it lives is to be seen from the rows.
    pub(crate) fn accepts(&self, slot: Slot) -> bool {
        self.filter.is_none_or(|filter| filter.contains(slot))
    }
}

/// What a search took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Vectors whose distance was estimated or computed from codes.
    pub compared: usize,
    /// Vectors whose distance was computed in full.
    pub ranked: usize,
}

/// The nearest of some candidates by their full vectors, nearest first; slots without a vector are left out.
pub(crate) fn rerank(
    request: &Request<'_>,
    candidates: &[Slot],
    work: &mut Work,
) -> Vec<Neighbour> {
    let Request {
        rows,
        metric,
        query,
        ..
    } = *request;
    let kernels = rows.kernels(metric);
    let fetch = |slot: Option<&Slot>| {
        if let Some(row) = slot.and_then(|slot| rows.stored(*slot)) {
            prefetch(row);
        }
    };
    fetch(candidates.first());
    let mut ranked: Vec<(f64, Slot)> = Vec::with_capacity(candidates.len());
    let is_wide = query.has_tiny || rows.has_tiny();
    for (i, slot) in candidates.iter().enumerate() {
        fetch(candidates.get(i + 1));
        // Of elements so small, 32-bit floats lose the squares.
        let rank = if is_wide {
            rows.distance_to(metric, query, *slot)
        } else {
            rows.rank(&kernels, query, *slot).map(f64::from)
        };
        ranked.extend(rank.map(|rank| (rank, *slot)));
    }
    work.ranked += ranked.len();
    let order = |a: &(f64, Slot), b: &(f64, Slot)| {
        a.0.total_cmp(&b.0).then_with(|| (request.tie)(a.1, b.1))
    };
    if ranked.len() > request.k && request.k > 0 {
        ranked.select_nth_unstable_by(request.k - 1, order);
        ranked.truncate(request.k);
    }
    let mut nearest: Vec<Neighbour> = ranked
        .iter()
        .filter_map(|(_, slot)| {
            Some(Neighbour {
                slot: *slot,
                distance: rows.distance_to(metric, query, *slot)?,
            })
        })
        .collect();
    nearest.sort_by(|a, b| {
        a.distance
            .total_cmp(&b.distance)
            .then_with(|| (request.tie)(a.slot, b.slot))
    });
    nearest
}
