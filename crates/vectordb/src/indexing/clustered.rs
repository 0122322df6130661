//! [`ClusteredIndex`]: an inverted file. Vectors are grouped around centres; a search scans the groups nearest to
//! the query, as short codes, and compares with vectors only what the codes cannot exclude.
//!
//! It builds many times faster than a graph, takes a few bytes for each 64 dimensions beside the vectors, and takes
//! in and gives up vectors at little cost.

mod build;
mod centres;
mod frame;
mod kmeans;
mod lists;
mod options;
mod panels;
mod parallel;
mod search;
mod stored;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use common::{Error, Result, Slot};

use self::centres::Centres;
use self::frame::Frame;
use self::lists::{Code, Lists};
use super::quantize::{Factors, Query, Rank, extended, rabitq};
use crate::core::VectorRows;
use crate::core::distance::Metric;

pub use self::options::ClusteredOptions;
#[cfg(test)]
use self::search::ClusteredFound;
pub(crate) use self::stored::ClusteredMeta;

/// An inverted file over the vectors of a table. A clone costs a few reference counts and never changes.
#[derive(Debug, Clone)]
pub(crate) struct ClusteredIndex {
    shared: Arc<Shared>,
    lists: Lists,
}

/// What stays while vectors come and go.
#[derive(Debug)]
struct Shared {
    frame: Frame,
    rank: Rank,
    bits: u8,
    centres: Centres,
}

/// Bytes that the parts of a clustered index take; the vectors themselves are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClusteredBytes {
    /// Centres of the clusters.
    pub(crate) centres: usize,
    /// Signs of the codes, their factors, and slots.
    pub(crate) codes: usize,
    /// Bits beside the signs, and their factors.
    pub(crate) words: usize,
    /// Lists of blocks and places of slots.
    pub(crate) places: usize,
    /// The rotation and the mean.
    pub(crate) frame: usize,
}

impl ClusteredBytes {
    /// Bytes of all parts.
    #[cfg(test)]
    pub(crate) fn total(&self) -> usize {
        self.centres + self.codes + self.words + self.places + self.frame
    }
}

/// What the metric ranks by, as far as codes can estimate it.
///
/// # Errors
/// [`common::ErrorKind::Unsupported`] for metrics that no inner product makes.
fn rank_of(metric: Metric) -> Result<Rank> {
    match metric {
        Metric::Euclidean | Metric::SquaredEuclidean | Metric::Cosine => Ok(Rank::Squared),
        Metric::Dot => Ok(Rank::Dot),
        Metric::Manhattan | Metric::Chebyshev | Metric::Hamming | Metric::Jaccard => {
            Err(Error::unsupported(format!(
                "a clustered index has no {metric} distance; use an exact one, or another metric"
            )))
        }
    }
}

impl ClusteredIndex {
    /// Checks that there is such an index for a metric.
    ///
    /// # Errors
    /// [`common::ErrorKind::Unsupported`] if not.
    pub(crate) fn supports(metric: Metric) -> Result<()> {
        rank_of(metric).map(|_| ())
    }

    /// Number of vectors.
    pub(crate) fn len(&self) -> usize {
        self.lists.len()
    }

    /// Number of clusters.
    pub(crate) fn clusters(&self) -> usize {
        self.shared.centres.len()
    }

    /// Bytes that the index takes.
    pub(crate) fn bytes(&self) -> ClusteredBytes {
        let [codes, words, places] = self.lists.bytes();
        ClusteredBytes {
            centres: self.shared.centres.bytes(),
            codes,
            words,
            places,
            frame: self.shared.frame.bytes(),
        }
    }

    /// Takes in the vector of a slot, instead of the one it may have had; a slot without a vector is forgotten.
    ///
    /// Clusters stay where they are: where data moves away from what the index was built with, build it anew.
    pub(crate) fn insert(&mut self, rows: &VectorRows, slot: Slot) {
        self.lists.remove(slot);
        let Some(row) = rows.floats(slot) else {
            return;
        };
        let mut vector = vec![0.0; self.shared.frame.padded()];
        self.shared.frame.apply(&row, &mut vector);
        let near = self.shared.centres.near(&vector, &Query::new(&vector), 1);
        let list = near.first().map_or(0, |(list, _)| *list);
        let code = self.shared.encode(&vector, self.shared.centres.get(list));
        self.lists.push(list, slot, &code);
    }

    /// Forgets the vector of a slot; whether there was one.
    pub(crate) fn remove(&mut self, slot: Slot) -> bool {
        self.lists.remove(slot)
    }
}

impl Shared {
    /// The code of a vector in the frame, by its centre.
    fn encode(&self, vector: &[f32], centre: &[f32]) -> Code {
        let mut signs = vec![0; vector.len() / 64];
        let factors = rabitq::encode(vector, centre, self.rank, &mut signs);
        let mut words = vec![0; extended::words(vector.len(), self.bits)];
        let word_factors = match self.bits {
            1 => Factors::EMPTY,
            bits => extended::encode(vector, centre, self.rank, bits, &mut words),
        };
        Code {
            signs,
            factors,
            words,
            word_factors,
        }
    }
}
