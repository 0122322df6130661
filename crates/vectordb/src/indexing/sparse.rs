//! [`SparseIndex`]: sparse vectors by position, for search by inner product.

mod postings;
mod search;

use common::{Error, Result, Slot, Vector};
use hashbrown::HashMap;

use self::postings::Postings;
use crate::core::Paged;

/// Parts of the index that a writer copies for itself when a reader holds them.
const SHARDS: u32 = 1 << 10;

type Shard = HashMap<u32, Postings, foldhash::fast::RandomState>;

/// Sparse vectors by slot: for each position, the slots that have a weight there. Exact search by inner product.
///
/// A clone costs a few reference counts and never changes: searches hold one while others write.
///
/// ```
/// use common::Slot;
/// use vectordb::SparseIndex;
/// let mut index = SparseIndex::default();
/// index.insert(Slot(0), &[3, 70], &[1.0, 0.5]);
/// index.insert(Slot(1), &[70, 90_000], &[2.0, 1.0]);
/// let nearest = index.nearest(&[(70, 1.0)], 10, None)?;
/// assert_eq!((nearest[0].slot, nearest[0].distance), (Slot(1), -2.0));
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SparseIndex {
    shards: Paged<Shard>,
    vectors: usize,
}

impl Default for SparseIndex {
    fn default() -> Self {
        Self {
            shards: Paged::new(1),
            vectors: 0,
        }
    }
}

impl SparseIndex {
    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.vectors
    }

    /// Whether there is no vector.
    pub fn is_empty(&self) -> bool {
        self.vectors == 0
    }

    /// Takes in the vector of a slot that has none: its positions, each once, and their weights.
    ///
    /// Cost: a microsecond for each position; more while searches hold the index.
    pub fn insert(&mut self, slot: Slot, positions: &[u32], weights: &[f32]) {
        self.vectors += 1;
        for (position, weight) in positions.iter().zip(weights) {
            // What is not said is zero as well.
            if *weight != 0.0
                && let Some(shard) = self.shard_mut(*position)
            {
                shard.entry(*position).or_default().insert(slot, *weight);
            }
        }
    }

    /// Forgets the vector of a slot, which it was given with these positions.
    pub fn remove(&mut self, slot: Slot, positions: &[u32]) {
        self.vectors = self.vectors.saturating_sub(1);
        for position in positions {
            if let Some(shard) = self.shard_mut(*position)
                && let Some(postings) = shard.get_mut(position)
            {
                postings.remove(slot);
                if postings.len() == 0 {
                    shard.remove(position);
                }
            }
        }
    }

    /// Bytes that the lists take.
    pub fn bytes(&self) -> usize {
        let shards = self.shards.pages().iter().flat_map(|page| page.iter());
        shards.flat_map(HashMap::values).map(Postings::bytes).sum()
    }

    fn postings(&self, position: u32) -> Option<&Postings> {
        self.shards.get(shard(position))?.get(&position)
    }

    fn shard_mut(&mut self, position: u32) -> Option<&mut Shard> {
        let (page, at) = self.shards.page_mut(shard(position));
        page.get_mut(at)
    }
}

/// Which shard has a position: neighbours lie in different ones.
fn shard(position: u32) -> usize {
    (position % SHARDS) as usize
}

/// Brings the elements of a sparse vector in order of their positions.
///
/// # Errors
/// [`common::ErrorKind::Invalid`] for a position that comes twice or is not below `dimension`, and for a weight that is NaN or
/// infinite.
pub(crate) fn in_order(mut elements: Vec<(u32, f32)>, dimension: u32) -> Result<Vec<(u32, f32)>> {
    elements.sort_by_key(|(position, _)| *position);
    let pairs = elements.iter().zip(elements.iter().skip(1));
    if let Some((twice, _)) = pairs.clone().find(|(a, b)| a.0 == b.0) {
        return Err(Error::invalid(format!(
            "position {} of the sparse vector is given twice",
            twice.0
        )));
    }
    if let Some((last, _)) = elements.last().filter(|(last, _)| *last >= dimension) {
        return Err(Error::invalid(format!(
            "position {last} of the sparse vector is not below {dimension}, the number of its positions"
        )));
    }
    if let Some((position, weight)) = elements.iter().find(|(_, weight)| !weight.is_finite()) {
        return Err(Error::invalid(format!(
            "the weight of position {position} is {weight}; only finite numbers have products"
        )));
    }
    Ok(elements)
}

/// The inner product of two sparse vectors; 0 of others.
pub(crate) fn product(a: &Vector, b: &Vector) -> f64 {
    let (
        Vector::Sparse {
            indices: a_positions,
            values: a_weights,
            ..
        },
        Vector::Sparse {
            indices: b_positions,
            values: b_weights,
            ..
        },
    ) = (a, b)
    else {
        return 0.0;
    };
    let mut b = b_positions.iter().zip(b_weights).peekable();
    let mut sum = 0.0;
    for (position, weight) in a_positions.iter().zip(a_weights) {
        while b.next_if(|(other, _)| *other < position).is_some() {}
        if let Some((_, other)) = b.next_if(|(other, _)| *other == position) {
            sum += f64::from(*weight) * f64::from(*other);
        }
    }
    sum
}
