//! [`Index`]: what finds the nearest vectors of a table.

use std::cmp::Ordering;

use common::Slot;

use super::exact::Scan;
use crate::core::distance::{Metric, PreparedVector};
use crate::core::{SlotSet, VectorRows};

/// A vector that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Where it is.
    pub slot: Slot,
    /// How far from the query it is, in 64-bit floats.
    pub distance: f64,
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
    /// With `among`, only those slots are candidates.
    pub(crate) fn search(
        self,
        rows: &VectorRows,
        metric: Metric,
        query: &PreparedVector,
        k: usize,
        among: Option<&SlotSet>,
        tie: impl Fn(Slot, Slot) -> Ordering + Sync,
    ) -> Vec<Neighbour> {
        match self {
            Self::Exact => {
                let scan = Scan {
                    rows,
                    metric,
                    among,
                    threads: 1,
                };
                scan.nearest(query, k, &tie)
            }
        }
    }
}
