//! Which effort a recall takes: tried out on queries like the vectors.

use std::num::NonZeroUsize;

use common::{Error, Result, Slot};

use super::exact::Scan;
use super::index::Index;
use crate::core::VectorRows;
use crate::core::distance::PreparedVector;

/// Queries that are tried.
const QUERIES: usize = 100;
/// The least effort that is tried.
const EFFORT_MIN: usize = 4;

impl Index {
    /// The least effort at which a search for the `k` nearest finds this share of them, on average: see
    /// [`Index::nearest`]. `None` if no effort does.
    ///
    /// It is tried out on a hundred queries, each half way between a vector of the table and one of its nearest:
    /// where real queries lie elsewhere, more effort may be needed. Cost: two scans of the table for all of them
    /// together, on all cores, and some thousand searches.
    ///
    /// ```
    /// use vectordb::core::VectorTable;
    /// use vectordb::{ClusteredOptions, Index, IndexOptions, Metric, unwatched};
    /// let mut table = VectorTable::new(2);
    /// for i in 0..3_000_i16 {
    ///     table.push(&[f32::from(i % 60), f32::from(i / 60)]);
    /// }
    /// let options = IndexOptions::Clustered(ClusteredOptions::default());
    /// let index = Index::build(&options, Metric::Euclidean, table.rows(), &unwatched)?;
    /// let effort = index.effort_for(table.rows(), 0.95, 10)?;
    /// assert!(effort.is_some_and(|effort| effort > 1));
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a recall that is no share between 0 and 1, and for `k` of 0, [`common::ErrorKind::Corrupt`] as
    /// [`Index::nearest`].
    pub fn effort_for(&self, rows: &VectorRows, recall: f64, k: usize) -> Result<Option<usize>> {
        if !(0.0..=1.0).contains(&recall) || k == 0 {
            return Err(Error::invalid(format!(
                "effort is tuned for a recall between 0 and 1 and for at least one neighbour, not for {recall} and {k}"
            )));
        }
        let trials = self.trials(rows, k);
        let finds = |effort: usize| -> Result<bool> {
            Ok(self.recall(rows, &trials, k, effort)? >= recall)
        };
        let most = rows.len().max(EFFORT_MIN);
        let mut enough = EFFORT_MIN;
        while !finds(enough)? {
            if enough >= most {
                return Ok(None);
            }
            enough = (enough * 2).min(most);
        }
        // More effort finds no less, but for chance.
        let mut short = enough / 2;
        while enough - short > 1 + short / 16 {
            let between = short + (enough - short) / 2;
            if finds(between)? {
                enough = between;
            } else {
                short = between;
            }
        }
        Ok(Some(enough))
    }

    /// Queries, and how far the last of the true nearest is.
    fn trials(&self, rows: &VectorRows, k: usize) -> Vec<(PreparedVector, f64)> {
        let scan = Scan {
            rows,
            metric: self.metric(),
            among: None,
            threads: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        };
        let tie = |a: Slot, b: Slot| a.cmp(&b);
        let dimension = rows.dimension();
        let vector = |slot: Slot| {
            let mut vector = vec![0.0; dimension];
            rows.decode(slot, &mut vector);
            vector
        };
        let prepared = |vector: &[f32]| self.metric().prepare_query(vector, dimension).ok();
        let step = (rows.len() / QUERIES).max(1);
        let (slots, own): (Vec<Slot>, Vec<PreparedVector>) = rows
            .slots()
            .step_by(step)
            .take(QUERIES)
            .filter_map(|slot| Some((slot, prepared(&vector(slot))?)))
            .unzip();
        let near = scan.nearest_to_each(&own, 2, &tie);
        let queries: Vec<PreparedVector> = slots
            .iter()
            .zip(near)
            .filter_map(|(slot, near)| {
                let other = near.iter().map(|n| n.slot).find(|n| n != slot)?;
                let (own, other) = (vector(*slot), vector(other));
                let half: Vec<f32> = own.iter().zip(&other).map(|(a, b)| (a + b) / 2.0).collect();
                prepared(&half)
            })
            .collect();
        let truth = scan.nearest_to_each(&queries, k, &tie);
        let queries = queries.into_iter().zip(truth);
        queries
            .filter_map(|(query, truth)| Some((query, truth.last()?.distance)))
            .collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    fn recall(
        &self,
        rows: &VectorRows,
        trials: &[(PreparedVector, f64)],
        k: usize,
        effort: usize,
    ) -> Result<f64> {
        let wanted = k.min(rows.len()) * trials.len();
        let mut found = 0;
        for (query, worst) in trials {
            let nearest = self.nearest(rows, query, k, Some(effort), None)?;
            found += nearest.iter().filter(|n| n.distance <= *worst).count();
        }
        Ok(found as f64 / wanted.max(1) as f64)
    }
}
