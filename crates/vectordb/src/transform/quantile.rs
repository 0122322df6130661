//! [`QuantileMap`]: numbers as the share of the fit that lies below them.

use common::{Error, Result};
use serde::{Deserialize, Serialize};

use super::check::{finite, width};
use super::imputer::columns;
use super::matrix::{Float, Matrix, refuse_infinite};
use super::quantiles;

/// Replaces each number by the share of the fitted values below it, from 0 to 1: scikit-learn's
/// `QuantileTransformer` with a uniform output, within 1e-12. A missing value stays missing.
///
/// ```
/// use vectordb::transform::{Matrix, QuantileMap};
/// let incomes = [1.0, 2.0, 3.0, 4.0, 1000.0];
/// let map = QuantileMap::fit(5, Matrix::new(&incomes, 1)?)?;
/// let mut rows = [0.0, 3.5, 1000.0];
/// map.transform(&mut rows)?;
/// assert_eq!(rows, [0.0, 0.625, 1.0]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantileMap {
    quantiles: Vec<Vec<f64>>,
}

/// Most quantiles of one column.
pub const QUANTILES_MAX: usize = 65_536;

impl QuantileMap {
    /// Finds `count` quantiles of each column, from the minimum to the maximum.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for fewer than 2 or more than [`QUANTILES_MAX`] quantiles, for an infinite value
    /// and for a column without values.
    pub fn fit(count: usize, matrix: Matrix<'_, f64>) -> Result<Self> {
        if !(2..=QUANTILES_MAX).contains(&count) {
            return Err(Error::invalid(format!(
                "{count} quantiles; there are to be 2 to {QUANTILES_MAX}"
            )));
        }
        refuse_infinite(matrix)?;
        let of = |column: &Vec<f64>| {
            let mut greatest = f64::NEG_INFINITY;
            let shares = (0..count).map(|at| share(at, count));
            let values = shares.map(|share| {
                // Rounding must not make them descend.
                greatest = quantiles::quantile(column, share).max(greatest);
                greatest
            });
            values.collect()
        };
        let map = Self {
            quantiles: columns(matrix)?.iter().map(of).collect(),
        };
        map.check()?;
        Ok(map)
    }

    pub(crate) fn check(&self) -> Result<()> {
        for (column, quantiles) in self.quantiles.iter().enumerate() {
            finite("quantiles", quantiles).map_err(|e| e.at(format!("column {column}")))?;
            if !(2..=QUANTILES_MAX).contains(&quantiles.len()) || !quantiles.is_sorted() {
                return Err(Error::invalid(format!(
                    "the {} quantiles of column {column} are not 2 to {QUANTILES_MAX} that ascend",
                    quantiles.len()
                )));
            }
        }
        Ok(())
    }

    /// How many columns were fitted.
    pub fn columns(&self) -> usize {
        self.quantiles.len()
    }

    /// Transforms whole rows in place, one or many; allocates nothing.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `rows` ends within a row.
    #[expect(private_bounds, reason = "f32 and f64, and nothing else")]
    pub fn transform<T: Float>(&self, rows: &mut [T]) -> Result<()> {
        width("a row", rows.len() % self.columns().max(1), 0)?;
        for row in rows.chunks_exact_mut(self.columns().max(1)) {
            for (x, quantiles) in row.iter_mut().zip(&self.quantiles) {
                *x = T::narrow(rank(quantiles, x.wide()));
            }
        }
        Ok(())
    }

    /// Replaces each share by the number that so many of the fitted values lie below, in place; what is not from 0 to 1
    /// is taken for the nearer end. A missing value stays missing.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `rows` ends within a row.
    pub fn inverse(&self, rows: &mut [f64]) -> Result<()> {
        width("a row", rows.len() % self.columns().max(1), 0)?;
        for row in rows.chunks_exact_mut(self.columns().max(1)) {
            for (x, quantiles) in row.iter_mut().zip(&self.quantiles) {
                if !x.is_nan() {
                    *x = quantiles::quantile(quantiles, x.clamp(0.0, 1.0));
                }
            }
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most 65,536")]
fn share(at: usize, count: usize) -> f64 {
    if at + 1 == count {
        1.0
    } else {
        at as f64 * (1.0 / (count - 1) as f64)
    }
}

/// The share below `x`; in the middle of the quantiles that equal it.
fn rank(quantiles: &[f64], x: f64) -> f64 {
    let (Some(min), Some(max)) = (quantiles.first(), quantiles.last()) else {
        return f64::NAN;
    };
    if x.is_nan() {
        return x;
    }
    // The lower end first: a constant column is 0, as in scikit-learn.
    if x <= *min {
        return 0.0;
    }
    if x >= *max {
        return 1.0;
    }
    let below = quantiles.partition_point(|q| *q < x);
    let through = quantiles.partition_point(|q| *q <= x);
    if below < through {
        let first = share(below, quantiles.len());
        return f64::midpoint(first, share(through - 1, quantiles.len()));
    }
    let (Some(low), Some(high)) = (quantiles.get(below - 1), quantiles.get(below)) else {
        return f64::NAN;
    };
    let (from, to) = (
        share(below - 1, quantiles.len()),
        share(below, quantiles.len()),
    );
    from + (to - from) * ((x - low) / (high - low))
}
