//! Scans by a distance of the caller's own.

use std::cmp::Ordering;

use common::{Error, Result, Slot};

use super::Scan;
use super::shortlist::order;
use crate::core::{Line, Precision};
use crate::indexing::index::Neighbour;

impl Scan<'_> {
    /// The `k` nearest candidates by a function of the query and a vector, nearest first; `tie` orders those at the
    /// same distance. The scan's own metric has no say.
    ///
    /// The function gets the query as it is given here and vectors as the table holds them: prepared by the metric
    /// that they were stored with, if by one, and with the error of their precision; both have the table's dimension. It
    /// may answer any number but NaN, infinities too. Cost: one call for each candidate, on the scan's threads; no
    /// kernel ranks beforehand, for none knows the function.
    ///
    /// ```
    /// use vectordb::core::VectorTable;
    /// use vectordb::{Metric, Scan};
    /// let mut table = VectorTable::new(2);
    /// let far = table.push(&[0.0, 3.0]);
    /// let near = table.push(&[5.0, 1.0]);
    /// let scan = Scan::new(table.rows(), Metric::Euclidean)?;
    /// // The second element only.
    /// let height = |a: &[f32], b: &[f32]| f64::from((a[1] - b[1]).abs());
    /// let found = scan.nearest_by(&[0.0, 0.0], 1, height, &|a, b| a.cmp(&b))?;
    /// assert_eq!((Some(found[0].slot), found[0].distance), (near, 1.0));
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the query is of another dimension, and when the function answers NaN:
    /// with the lowest slot for which it does.
    ///
    /// # Panics
    /// Where the function panics.
    pub fn nearest_by(
        &self,
        query: &[f32],
        k: usize,
        distance: impl Fn(&[f32], &[f32]) -> f64 + Sync,
        tie: &(impl Fn(Slot, Slot) -> Ordering + Sync),
    ) -> Result<Vec<Neighbour>> {
        let rows = self.rows;
        let (dimension, precision) = (rows.dimension(), rows.precision());
        if query.len() != dimension {
            return Err(Error::invalid(format!(
                "the query has {} dimensions, the table {dimension}",
                query.len()
            )));
        }
        let most = k.min(rows.len());
        let mut nearest = self.by_pages(
            rows.pages(),
            || Nearest {
                most,
                entries: Vec::new(),
                undefined: None,
            },
            |pages, nearest| {
                let mut decoded = vec![0.0; dimension];
                rows.for_fours(pages, self.among, |slots, lines| {
                    for (slot, lines) in slots.iter().zip(lines) {
                        let vector = match precision {
                            Precision::F32 => floats(lines, dimension),
                            _ => {
                                precision.decode(lines, dimension, &mut decoded);
                                &decoded
                            }
                        };
                        nearest.offer(*slot, distance(query, vector), tie);
                    }
                });
            },
            |nearest, other| nearest.merge(other, tie),
        );
        if let Some(Slot(slot)) = nearest.undefined {
            return Err(Error::invalid(format!(
                "the distance to the vector in slot {slot} is NaN, which is neither near nor far; answer infinity for \
                 what is not to be found, or leave the slot out of the candidates"
            )));
        }
        nearest.thin(tie);
        Ok(nearest.entries)
    }
}

fn floats(lines: &[Line], dimension: usize) -> &[f32] {
    let floats: &[f32] = bytemuck::cast_slice(lines);
    floats.get(..dimension).unwrap_or(floats)
}

/// The nearest so far, and some more.
struct Nearest {
    most: usize,
    entries: Vec<Neighbour>,
    /// The lowest slot whose distance is NaN.
    undefined: Option<Slot>,
}

impl Nearest {
    fn offer(&mut self, slot: Slot, distance: f64, tie: &impl Fn(Slot, Slot) -> Ordering) {
        if distance.is_nan() {
            self.undefined = Some(self.undefined.map_or(slot, |known| known.min(slot)));
            return;
        }
        self.entries.push(Neighbour { slot, distance });
        if self.entries.len() >= 2 * self.most + 64 {
            self.thin(tie);
        }
    }

    /// Leaves the nearest, in order.
    fn thin(&mut self, tie: &impl Fn(Slot, Slot) -> Ordering) {
        self.entries.sort_by(|a, b| order(a, b, tie));
        self.entries.truncate(self.most);
    }

    fn merge(&mut self, other: Self, tie: &impl Fn(Slot, Slot) -> Ordering) {
        for entry in other.entries {
            self.offer(entry.slot, entry.distance, tie);
        }
        if let Some(slot) = other.undefined {
            self.offer(slot, f64::NAN, tie);
        }
    }
}
