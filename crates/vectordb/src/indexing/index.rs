//! [`Index`]: what finds the nearest vectors of a table.

use std::cmp::Ordering;

use common::Slot;

use super::exact;
use crate::core::VectorRows;
use crate::core::distance::{Metric, PreparedVector};

/// A vector that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Neighbour {
    /// Where it is.
    pub(crate) slot: Slot,
    /// How far from the query it is, in 64-bit floats.
    pub(crate) distance: f64,
}

/// What finds the nearest vectors of a table. It knows slots, never records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Index {
    /// Compares the query with every candidate: always right, and for filters that few rows pass, fastest.
    Exact,
}

impl Index {
    /// The `k` nearest rows, nearest first; `tie` orders rows at the same distance.
    ///
    /// With `slots`, only those are candidates.
    pub(crate) fn search(
        self,
        rows: &VectorRows,
        metric: Metric,
        query: &PreparedVector,
        k: usize,
        slots: Option<&[Slot]>,
        tie: impl Fn(Slot, Slot) -> Ordering,
    ) -> Vec<Neighbour> {
        match self {
            Self::Exact => exact::search(rows, metric, query, k, slots, &tie),
        }
    }
}
