//! [`Codes`]: vectors of 64-bit floats in a byte an element, to choose which of them are compared.

use common::Slot;

use super::DoubleVectors;
use crate::core::distance::{DoubleMetric, Metric};
use crate::core::{SlotSet, VectorTable};
use crate::indexing::exact::{Scan, ScanCodes};

/// Fewer vectors are compared faster than chosen from.
const LEAST: usize = 4_096;
/// Vectors that came or changed since are compared one and all; codes are made anew when they are one in so many.
const LOOSE_SHARE: usize = 8;
/// With so many vectors, all processors scan.
const MANY: usize = 100_000;
/// Queries that new codes are tried with, how many neighbours of each, and how many must be right.
const TRIALS: usize = 8;
const NEIGHBOURS: usize = 10;
const RIGHT: usize = TRIALS * NEIGHBOURS * 97 / 100;
const EFFORT: usize = 50;

#[derive(Debug, Clone)]
pub(super) struct Codes {
    metric: DoubleMetric,
    table: VectorTable,
    bytes: ScanCodes,
    /// Slots whose vectors are not in the table.
    loose: SlotSet,
}

/// The metric of 32-bit floats that orders in the same way.
const fn narrow(metric: DoubleMetric) -> Metric {
    match metric {
        DoubleMetric::Euclidean | DoubleMetric::SquaredEuclidean => Metric::Euclidean,
        DoubleMetric::Manhattan => Metric::Manhattan,
        DoubleMetric::Cosine | DoubleMetric::Angular => Metric::Cosine,
        DoubleMetric::Chebyshev => Metric::Chebyshev,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "what is too large becomes infinite, and is refused"
)]
fn narrowed(vector: &[f64]) -> Vec<f32> {
    vector.iter().map(|value| *value as f32).collect()
}

impl Codes {
    /// Codes of all vectors; none when 32-bit floats do not hold one of them.
    fn build(vectors: &DoubleVectors, metric: DoubleMetric) -> Option<Self> {
        let dimension = vectors.dimension();
        let mut table = VectorTable::new(dimension);
        let zeros = vec![0.0; dimension];
        for number in 0..vectors.slots() {
            let slot = Slot(u32::try_from(number).ok()?);
            match vectors.get(slot) {
                Some(vector) => {
                    let row = narrow(metric).prepare(&narrowed(vector), dimension).ok()?;
                    table.push(&row)?;
                }
                None => {
                    table.push(&zeros)?;
                }
            }
        }
        // Not before: a slot that is given free would be given again.
        for number in 0..vectors.slots() {
            let slot = Slot(u32::try_from(number).ok()?);
            if vectors.get(slot).is_none() {
                table.remove(slot);
            }
        }
        let bytes = ScanCodes::build(table.rows(), narrow(metric));
        Some(Self {
            metric,
            table,
            bytes,
            loose: SlotSet::default(),
        })
    }

    /// Notes that a slot got another vector, or lost it.
    pub(super) fn change(&mut self, slot: Slot) {
        self.table.remove(slot);
        self.loose.insert(slot);
    }

    /// At least `count` of the vectors that are near by their codes, as far as there are so many, and all loose ones.
    fn choose(&self, query: &[f64], count: usize, among: Option<&SlotSet>) -> Option<SlotSet> {
        let metric = narrow(self.metric);
        let rows = self.table.rows();
        let query = metric.prepare_query(&narrowed(query), rows.dimension());
        let mut scan = Scan::new(rows, metric).ok()?;
        scan.among = among;
        if rows.len() >= MANY {
            scan.threads = std::thread::available_parallelism().map_or(1, usize::from);
        }
        let near = self
            .bytes
            .nearest(&scan, &query.ok()?, count, &|a: Slot, b: Slot| a.cmp(&b));
        let near = near.into_iter().map(|neighbour| neighbour.slot);
        let loose = self.loose.iter();
        let loose = loose.filter(|slot| among.is_none_or(|among| among.contains(*slot)));
        Some(near.chain(loose).collect())
    }
}

impl DoubleVectors {
    /// Makes codes, if there are so many vectors that a search gains by them and those there are do not do. Codes that
    /// miss too much of a sample are not kept. Cost: a few passes over the vectors.
    pub fn prepare(&mut self, metric: DoubleMetric) {
        if !self.is_due(metric) {
            return;
        }
        self.codes = Codes::build(self, metric);
        if self.finds_little(metric) {
            self.codes = None;
        }
        self.refused_at = if self.codes.is_some() { 0 } else { self.len() };
    }

    /// Whether [`DoubleVectors::prepare`] would make codes.
    pub fn is_due(&self, metric: DoubleMetric) -> bool {
        if self.len() < LEAST || self.len() < 2 * self.refused_at {
            return false;
        }
        self.codes.as_ref().is_none_or(|codes| {
            codes.metric != metric || codes.loose.len() > self.len() / LOOSE_SHARE
        })
    }

    /// Whether neighbours of some of the vectors are missed.
    fn finds_little(&self, metric: DoubleMetric) -> bool {
        let step = (self.slots() / TRIALS).max(1);
        let numbers = (0..self.slots()).step_by(step).take(TRIALS);
        let mut right = 0;
        for number in numbers {
            let slot = u32::try_from(number).map(Slot);
            let Some(query) = slot.ok().and_then(|slot| self.get(slot)) else {
                right += NEIGHBOURS;
                continue;
            };
            let truth = self.nearest(metric, query, NEIGHBOURS, None);
            let found = self.nearest_chosen(metric, query, NEIGHBOURS, EFFORT, None);
            let (Ok(truth), Ok(found)) = (truth, found) else {
                return true;
            };
            let bound = truth.last().map_or(0.0, |last| last.distance);
            right += found.iter().filter(|near| near.distance <= bound).count();
        }
        right < RIGHT
    }

    /// As [`DoubleVectors::nearest`], of the vectors that are chosen by their codes, if [`DoubleVectors::prepare`] made
    /// some: at least `effort` of them and `k`. Distances and order are exact, and so is the number of neighbours.
    ///
    /// ```
    /// use vectordb::DoubleVectors;
    /// use vectordb::core::distance::DoubleMetric;
    /// let mut vectors = DoubleVectors::new(1);
    /// for i in 0..10_000_u16 {
    ///     vectors.push(&[f64::from(i)]);
    /// }
    /// vectors.prepare(DoubleMetric::Euclidean);
    /// let found = vectors.nearest_chosen(DoubleMetric::Euclidean, &[77.2], 2, 50, None)?;
    /// assert_eq!((found[0].slot.0, found[1].slot.0), (77, 78));
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`DoubleVectors::nearest`].
    pub fn nearest_chosen(
        &self,
        metric: DoubleMetric,
        query: &[f64],
        k: usize,
        effort: usize,
        among: Option<&SlotSet>,
    ) -> common::Result<Vec<crate::Neighbour>> {
        let count = k.max(effort).max(16);
        let eligible = among.map_or(self.len(), SlotSet::len);
        let codes = self
            .codes
            .as_ref()
            .filter(|codes| codes.metric == metric && count < eligible / 4);
        let chosen = codes
            .filter(|_| query.len() == self.dimension())
            .and_then(|codes| codes.choose(query, count, among));
        match chosen {
            Some(chosen) => self.nearest(metric, query, k, Some(&chosen)),
            None => self.nearest(metric, query, k, among),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64, number: u64) -> f64 {
        let mut z = seed.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let bits = u32::try_from((z ^ (z >> 31)) >> 32).unwrap();
        f64::from(bits) / f64::from(u32::MAX) - 0.5
    }

    fn vector(seed: u64) -> Vec<f64> {
        (0..24).map(|i| noise(seed, i)).collect()
    }

    #[test]
    fn chosen_neighbours_are_nearly_all_through_changes() {
        for metric in DoubleMetric::ALL {
            let mut vectors = DoubleVectors::new(24);
            for i in 0..6_000 {
                vectors.push(&vector(i)).unwrap();
            }
            vectors.remove(Slot(17));
            vectors.prepare(metric);
            assert!(vectors.codes.is_some(), "{metric:?}");
            for i in 0..300_u32 {
                vectors.put(Slot(i * 3), &vector(u64::from(i) + 10_000));
                vectors.push(&vector(u64::from(i) + 20_000)).unwrap();
                vectors.remove(Slot(i * 5 + 1));
            }
            let even: SlotSet = (0..6_300).step_by(2).map(Slot).collect();
            let (mut right, mut all) = (0, 0);
            for query in (0..40).map(|i| vector(30_000 + i)) {
                for among in [None, Some(&even)] {
                    let truth = vectors.nearest(metric, &query, 10, among).unwrap();
                    let found = vectors
                        .nearest_chosen(metric, &query, 10, 50, among)
                        .unwrap();
                    assert_eq!(found.len(), 10);
                    assert!(found.is_sorted_by(|a, b| a.distance <= b.distance));
                    right += found.iter().filter(|near| truth.contains(near)).count();
                    all += truth.len();
                }
            }
            assert!(right * 100 >= all * 97, "{metric:?}: {right} of {all}");
        }
    }

    #[test]
    fn codes_that_tell_nothing_are_not_kept() {
        let mut vectors = DoubleVectors::new(24);
        vectors.push(&[1e6; 24]).unwrap();
        for i in 0..5_000 {
            vectors.push(&vector(i)).unwrap();
        }
        vectors.prepare(DoubleMetric::Euclidean);
        assert!(vectors.codes.is_none());
        vectors.push(&[f64::NAN; 24]).unwrap();
        let found = vectors.nearest_chosen(DoubleMetric::Euclidean, &vector(5), 1, 50, None);
        assert_eq!(found.unwrap()[0].slot, Slot(6));
    }
}
