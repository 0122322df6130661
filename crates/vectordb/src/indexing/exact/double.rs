//! [`DoubleVectors`]: vectors of 64-bit floats, and exact search by their distances in 64 bits.

#![expect(
    clippy::inline_always,
    reason = "loops are compiled with the instructions of the function that `wide` calls"
)]

mod codes;

use std::cmp::Ordering;

use common::{Error, Result, Slot};

use self::codes::Codes;
use crate::core::distance::{DoubleMetric, Length, similar};
use crate::core::{SlotSet, wide};
use crate::indexing::index::Neighbour;

/// Vectors of one dimension as 64-bit floats, by slot: a vector that comes gets the next one, and none is given
/// again, so slots are in the order of arrival.
///
/// ```
/// use vectordb::DoubleVectors;
/// use vectordb::core::distance::DoubleMetric;
/// let mut vectors = DoubleVectors::new(2);
/// let far = vectors.push(&[0.0, 9.0]).unwrap();
/// let near = vectors.push(&[3.0, 4.0]).unwrap();
/// let found = vectors.nearest(DoubleMetric::Euclidean, &[0.0, 0.0], 1, None)?;
/// assert_eq!((found[0].slot, found[0].distance), (near, 5.0));
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DoubleVectors {
    dimension: usize,
    values: Vec<f64>,
    lengths: Vec<Length>,
    /// Bits of the slots in use.
    live: Vec<u64>,
    len: usize,
    /// What [`DoubleVectors::prepare`] made.
    codes: Option<Codes>,
    /// With how many vectors codes were found to be of no use.
    refused_at: usize,
}

impl DoubleVectors {
    /// No vectors yet, of a dimension.
    pub fn new(dimension: usize) -> Self {
        Self {
            dimension,
            values: Vec::new(),
            lengths: Vec::new(),
            live: Vec::new(),
            len: 0,
            codes: None,
            refused_at: 0,
        }
    }

    /// Elements of each vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of slots that were given, those of vectors that are gone included.
    pub fn slots(&self) -> usize {
        self.lengths.len()
    }

    /// The vector of a slot.
    pub fn get(&self, slot: Slot) -> Option<&[f64]> {
        let number = slot.0 as usize;
        self.is_live(number).then(|| self.row(number))
    }

    /// Takes in a vector, and says its slot; none when it is of another dimension or 2^32 slots are given.
    pub fn push(&mut self, vector: &[f64]) -> Option<Slot> {
        let number = self.lengths.len();
        let slot = u32::try_from(number).ok()?;
        if vector.len() != self.dimension {
            return None;
        }
        self.values.extend_from_slice(vector);
        self.lengths.push(length(vector));
        if number.is_multiple_of(64) {
            self.live.push(0);
        }
        self.set_live(number, true);
        self.len += 1;
        self.note(Slot(slot));
        Some(Slot(slot))
    }

    /// Gives a slot another vector, also one whose vector is gone; whether that was possible.
    pub fn put(&mut self, slot: Slot, vector: &[f64]) -> bool {
        let number = slot.0 as usize;
        let begin = number * self.dimension;
        let row = self.values.get_mut(begin..begin + self.dimension);
        let (Some(row), Some(known)) = (row, self.lengths.get_mut(number)) else {
            return false;
        };
        if vector.len() != self.dimension {
            return false;
        }
        row.copy_from_slice(vector);
        *known = length(vector);
        if !self.is_live(number) {
            self.set_live(number, true);
            self.len += 1;
        }
        self.note(slot);
        true
    }

    /// Forgets the vector of a slot; whether there was one.
    pub fn remove(&mut self, slot: Slot) -> bool {
        let number = slot.0 as usize;
        let is_live = self.is_live(number);
        if is_live {
            self.set_live(number, false);
            self.len -= 1;
            self.note(slot);
        }
        is_live
    }

    fn note(&mut self, changed: Slot) {
        if let Some(codes) = &mut self.codes {
            codes.change(changed);
        }
    }

    /// The `k` nearest vectors, nearest first, equals by slot, a distance of NaN behind all others; with `among`,
    /// only its slots are candidates. One pass over the vectors, `dimension * 8` bytes each.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the query is of another dimension, and when the metric compares directions
    /// and the query or a candidate is zero.
    pub fn nearest(
        &self,
        metric: DoubleMetric,
        query: &[f64],
        k: usize,
        among: Option<&SlotSet>,
    ) -> Result<Vec<Neighbour>> {
        if query.len() != self.dimension {
            return Err(Error::invalid(format!(
                "the query has {} dimensions, the vectors {}",
                query.len(),
                self.dimension
            )));
        }
        let mut nearest = Nearest::new(k.min(self.len));
        wide(
            #[inline(always)]
            || {
                if metric.compares_directions() {
                    self.offer_directions(metric, query, among, &mut nearest)
                } else {
                    self.offer_differences(metric, query, among, &mut nearest);
                    Ok(())
                }
            },
        )?;
        Ok(nearest.finish())
    }

    #[inline(always)]
    fn offer_differences(
        &self,
        metric: DoubleMetric,
        query: &[f64],
        among: Option<&SlotSet>,
        nearest: &mut Nearest,
    ) {
        // Constants in the loop: one loop for each metric.
        macro_rules! scan {
            ($metric:expr) => {
                self.for_each(among, |slot, number| {
                    let rank = $metric.rank(query, self.row(number));
                    if rank <= nearest.rank_bound || rank.is_nan() {
                        nearest.offer(slot, $metric.of_rank(rank));
                        nearest.rank_bound = match $metric {
                            // Squares a little farther have the same root.
                            DoubleMetric::Euclidean => {
                                nearest.bound * nearest.bound * (1.0 + 4.0 * f64::EPSILON)
                            }
                            _ => nearest.bound,
                        };
                    }
                })
            };
        }
        match metric {
            DoubleMetric::Manhattan => scan!(DoubleMetric::Manhattan),
            DoubleMetric::Chebyshev => scan!(DoubleMetric::Chebyshev),
            DoubleMetric::Euclidean => scan!(DoubleMetric::Euclidean),
            _ => scan!(DoubleMetric::SquaredEuclidean),
        }
    }

    #[inline(always)]
    fn offer_directions(
        &self,
        metric: DoubleMetric,
        query: &[f64],
        among: Option<&SlotSet>,
        nearest: &mut Nearest,
    ) -> Result<()> {
        let query_length = Length::of(query);
        let mut has_zero = false;
        self.for_each(among, |slot, number| {
            let length = self.lengths.get(number).copied();
            let row = self.row(number);
            let found = length.and_then(|length| similar(query, query_length, row, length));
            match found {
                None => has_zero = true,
                // The greater, the nearer: the angle is not computed for what is far.
                Some(similarity) if similarity < nearest.similarity => {}
                Some(similarity) => {
                    nearest.offer(slot, metric.of_similarity(similarity));
                    let bound = match metric {
                        DoubleMetric::Angular => nearest.bound.cos() - 1e-7,
                        _ => 1.0 - nearest.bound - 1e-15,
                    };
                    nearest.similarity = if nearest.bound <= 4.0 { bound } else { -2.0 };
                }
            }
        });
        if has_zero {
            return Err(Error::invalid(
                "a zero vector has no direction, which the metric compares",
            ));
        }
        Ok(())
    }

    /// Visits slots in use, ascending.
    #[inline(always)]
    fn for_each(&self, among: Option<&SlotSet>, mut visit: impl FnMut(Slot, usize)) {
        for (at, word) in (0_u32..).zip(&self.live) {
            let mut word = *word & among.map_or(u64::MAX, |among| among.word(at as usize));
            while let Some(rest) = word.checked_sub(1) {
                let slot = at * 64 + word.trailing_zeros();
                word &= rest;
                visit(Slot(slot), slot as usize);
            }
        }
    }

    #[inline(always)]
    fn row(&self, number: usize) -> &[f64] {
        let begin = number * self.dimension;
        self.values
            .get(begin..begin + self.dimension)
            .unwrap_or_default()
    }

    fn is_live(&self, number: usize) -> bool {
        self.live
            .get(number / 64)
            .is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    fn set_live(&mut self, number: usize, live: bool) {
        if let Some(word) = self.live.get_mut(number / 64) {
            let bit = 1_u64 << (number % 64);
            *word = if live { *word | bit } else { *word & !bit };
        }
    }
}

fn length(vector: &[f64]) -> Length {
    wide(
        #[inline(always)]
        || Length::of(vector),
    )
}

/// The nearest so far, and some more.
struct Nearest {
    k: usize,
    entries: Vec<Neighbour>,
    /// Whatever is farther is not among the nearest; so in ranks, and so in similarities.
    bound: f64,
    rank_bound: f64,
    similarity: f64,
}

impl Nearest {
    fn new(k: usize) -> Self {
        Self {
            k,
            entries: Vec::new(),
            bound: f64::INFINITY,
            rank_bound: f64::INFINITY,
            similarity: -2.0,
        }
    }

    fn offer(&mut self, slot: Slot, distance: f64) {
        self.entries.push(Neighbour { slot, distance });
        if self.entries.len() >= 2 * self.k + 64 {
            self.thin();
        }
    }

    fn thin(&mut self) {
        if self.k == 0 {
            self.entries.clear();
        } else if self.entries.len() > self.k {
            let (_, last, _) = self.entries.select_nth_unstable_by(self.k - 1, order);
            if !last.distance.is_nan() {
                self.bound = last.distance;
            }
            self.entries.truncate(self.k);
        }
    }

    fn finish(mut self) -> Vec<Neighbour> {
        self.thin();
        self.entries.sort_unstable_by(order);
        self.entries
    }
}

/// By distance, NaN last, then by slot.
fn order(a: &Neighbour, b: &Neighbour) -> Ordering {
    let numbers = a.distance.partial_cmp(&b.distance);
    numbers
        .unwrap_or_else(|| a.distance.is_nan().cmp(&b.distance.is_nan()))
        .then_with(|| a.slot.cmp(&b.slot))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_nearest_are_those_of_a_full_sort(
            rows in prop::collection::vec(prop::collection::vec(-3_i8..4, 5), 1..300),
            query in prop::collection::vec(-3_i8..4, 5),
            gone in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
            k in 1_usize..20,
        ) {
            // Directions need something that is not zero.
            let wide = |row: &[i8]| -> Vec<f64> {
                row.iter().map(|v| f64::from(*v)).chain([0.5]).collect()
            };
            let mut vectors = DoubleVectors::new(6);
            for row in &rows {
                vectors.push(&wide(row)).unwrap();
            }
            for index in &gone {
                vectors.remove(Slot(u32::try_from(index.index(rows.len())).unwrap()));
            }
            let odd: SlotSet = (0..300).filter(|slot| slot % 2 == 1).map(Slot).collect();
            let query = wide(&query);
            for metric in DoubleMetric::ALL {
                for among in [None, Some(&odd)] {
                    let mut all: Vec<Neighbour> = (0..vectors.slots())
                        .map(|number| Slot(u32::try_from(number).unwrap()))
                        .filter(|slot| among.is_none_or(|among| among.contains(*slot)))
                        .filter_map(|slot| {
                            let distance = metric.distance(&query, vectors.get(slot)?)?;
                            Some(Neighbour { slot, distance })
                        })
                        .collect();
                    all.sort_by(order);
                    all.truncate(k);
                    prop_assert_eq!(vectors.nearest(metric, &query, k, among).unwrap(), all);
                }
            }
        }
    }

    #[test]
    fn nan_comes_last_and_zero_has_no_direction() {
        let mut vectors = DoubleVectors::new(1);
        for value in [f64::NAN, 2.0, 0.0, f64::INFINITY] {
            vectors.push(&[value]).unwrap();
        }
        let found = vectors
            .nearest(DoubleMetric::Euclidean, &[0.0], 4, None)
            .unwrap();
        let slots: Vec<u32> = found.iter().map(|found| found.slot.0).collect();
        assert_eq!(slots, [2, 1, 3, 0]);
        assert!(
            vectors
                .nearest(DoubleMetric::Cosine, &[1.0], 4, None)
                .is_err()
        );
        assert!(
            vectors
                .nearest(DoubleMetric::Euclidean, &[1.0, 1.0], 4, None)
                .is_err()
        );
        assert!(vectors.remove(Slot(2)) && !vectors.remove(Slot(2)));
        assert!(vectors.put(Slot(2), &[-1.0]) && !vectors.put(Slot(9), &[-1.0]));
        let found = vectors
            .nearest(DoubleMetric::Angular, &[1.0], 4, None)
            .unwrap();
        assert_eq!(found.len(), 4);
        assert_eq!((vectors.push(&[1.0, 2.0]), vectors.len()), (None, 4));
    }
}
