//! [`Binner`]: numbers as the numbers of intervals.

use common::{Error, Result};
use serde::{Deserialize, Serialize};

use super::check::{finite, width};
use super::imputer::columns;
use super::matrix::{Float, Matrix, refuse_infinite};
use super::quantiles::percentile;

/// Most bins of one column.
pub const BINS_MAX: usize = 65_536;

/// How the range of a column is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binning {
    /// Into intervals of the same length.
    Uniform,
    /// Into intervals that hold about as many of the fitted values.
    Quantile,
}

/// Replaces each number by the number of the interval that it lies in, from 0; what lies beyond the fit belongs to
/// the first or last one, and a missing value stays missing.
///
/// ```
/// use vectordb::transform::{Binner, Binning, Matrix};
/// let ages = [0.0, 30.0, 90.0];
/// let binner = Binner::fit(Binning::Uniform, 3, Matrix::new(&ages, 1)?)?;
/// let mut rows = [-5.0, 31.0, 90.0];
/// binner.transform(&mut rows)?;
/// assert_eq!(rows, [0.0, 1.0, 2.0]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binner {
    binning: Binning,
    edges: Vec<Vec<f64>>,
}

impl Binner {
    /// Cuts each column into `bins` intervals, fewer where quantiles fall together.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for fewer than 2 or more than [`BINS_MAX`] bins, for an infinite value and
    /// for a column without values.
    pub fn fit(binning: Binning, bins: usize, matrix: Matrix<'_, f64>) -> Result<Self> {
        if !(2..=BINS_MAX).contains(&bins) {
            return Err(Error::invalid(format!(
                "{bins} bins; there are to be 2 to {BINS_MAX}"
            )));
        }
        refuse_infinite(matrix)?;
        let edges = columns(matrix)?
            .iter()
            .map(|c| cut(binning, bins, c))
            .collect();
        let binner = Self { binning, edges };
        binner.check()?;
        Ok(binner)
    }

    pub(crate) fn check(&self) -> Result<()> {
        for (column, edges) in self.edges.iter().enumerate() {
            finite("edges", edges).map_err(|e| e.at(format!("column {column}")))?;
            if edges.len() < 2 || edges.len() > BINS_MAX + 1 || !edges.is_sorted() {
                return Err(Error::invalid(format!(
                    "the {} edges of column {column} are not 2 to {} that ascend",
                    edges.len(),
                    BINS_MAX + 1
                )));
            }
        }
        Ok(())
    }

    /// How many columns were fitted.
    pub fn columns(&self) -> usize {
        self.edges.len()
    }

    /// The ends of the intervals of each column.
    pub fn edges(&self) -> &[Vec<f64>] {
        &self.edges
    }

    /// Bins whole rows in place, one or many; allocates nothing.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `rows` ends within a row.
    #[expect(clippy::cast_precision_loss, reason = "at most 65,536")]
    #[expect(private_bounds, reason = "f32 and f64, and nothing else")]
    pub fn transform<T: Float>(&self, rows: &mut [T]) -> Result<()> {
        width("a row", rows.len() % self.columns().max(1), 0)?;
        for row in rows.chunks_exact_mut(self.columns().max(1)) {
            for (x, edges) in row.iter_mut().zip(&self.edges) {
                let inner = edges.get(1..edges.len() - 1).unwrap_or_default();
                let wide = x.wide();
                if !wide.is_nan() {
                    *x = T::narrow(inner.partition_point(|edge| *edge <= wide) as f64);
                }
            }
        }
        Ok(())
    }

    /// Replaces the number of each interval by the middle of it, in place; a missing value stays missing.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `rows` ends within a row, and for what is no interval of its column.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::float_cmp,
        reason = "compared after the way back"
    )]
    pub fn inverse(&self, rows: &mut [f64]) -> Result<()> {
        width("a row", rows.len() % self.columns().max(1), 0)?;
        for (row, numbers) in rows.chunks_exact_mut(self.columns().max(1)).enumerate() {
            for (column, (x, edges)) in numbers.iter_mut().zip(&self.edges).enumerate() {
                if x.is_nan() {
                    continue;
                }
                let at = *x as usize;
                let found = edges.get(at..).and_then(|rest| rest.first_chunk());
                let Some([low, high]) = found.filter(|_| at as f64 == *x) else {
                    return Err(Error::invalid(format!(
                        "row {row}, column {column} is {x}, which is none of its {} intervals",
                        edges.len() - 1
                    )));
                };
                *x = (low + high) * 0.5;
            }
        }
        Ok(())
    }
}

/// The edges of one column, with the arithmetic of `numpy.linspace` and `numpy.percentile`.
#[expect(clippy::cast_precision_loss, reason = "at most 65,536")]
fn cut(binning: Binning, bins: usize, sorted: &[f64]) -> Vec<f64> {
    let (min, max) = match sorted {
        [min, .., max] if min < max => (*min, *max),
        // One value: one interval.
        _ => {
            let one = sorted.first().copied().unwrap_or_default();
            return vec![one, one];
        }
    };
    let line = |low: f64, high: f64| {
        let step = (high - low) / bins as f64;
        (0..=bins).map(move |at| {
            if at == bins {
                high
            } else {
                at as f64 * step + low
            }
        })
    };
    match binning {
        Binning::Uniform => line(min, max).collect(),
        Binning::Quantile => {
            let mut edges: Vec<f64> = Vec::with_capacity(bins + 1);
            let mut last = f64::NEG_INFINITY;
            for edge in line(0.0, 100.0).map(|percent| percentile(sorted, percent)) {
                // Two that fall together, up to rounding, hold nothing between them.
                if edge - last > 1e-8 {
                    edges.push(edge);
                }
                last = edge;
            }
            if edges.len() < 2 {
                vec![min, max]
            } else {
                edges
            }
        }
    }
}
