//! [`Scaler`]: columns moved and stretched by what was fitted; [`ScalerFit`]: what batches say of it.

mod fit;
mod weighted;

use common::{Error, Result};
use serde::{Deserialize, Serialize};

use super::check::{finite, width};
use super::matrix::{Float, Matrix};
use super::rows::{by_column, clamp};
use crate::core::wide;
pub use fit::ScalerFit;
pub use weighted::WeightedFit;

/// How a column is scaled, with scikit-learn's meaning of each.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Scaling {
    /// Less the mean, divided by the standard deviation of the population.
    Standard {
        /// Whether the mean is taken off.
        centre: bool,
        /// Whether to divide by the deviation.
        scale: bool,
    },
    /// Minimum and maximum of the fit become `low` and `high`.
    MinMax {
        /// Where the minimum goes.
        low: f64,
        /// Where the maximum goes; above `low`.
        high: f64,
        /// Whether what lies beyond is brought to the nearer end.
        clip: bool,
    },
    /// Divided by the greatest magnitude of the fit.
    MaxAbs,
    /// Less the median, divided by the distance of two quantiles.
    Robust {
        /// The lower quantile, in percent; 25 usually.
        lower: f64,
        /// The upper quantile, in percent; 75 usually.
        upper: f64,
    },
}

impl Scaling {
    /// Mean 0, standard deviation 1.
    pub const STANDARD: Self = Self::Standard {
        centre: true,
        scale: true,
    };
    /// From 0 to 1, without clipping.
    pub const MIN_MAX: Self = Self::MinMax {
        low: 0.0,
        high: 1.0,
        clip: false,
    };
    /// Median and quartiles.
    pub const ROBUST: Self = Self::Robust {
        lower: 25.0,
        upper: 75.0,
    };

    pub(crate) fn check(&self) -> Result<()> {
        match *self {
            Self::MinMax { low, high, .. } if !(low < high && (high - low).is_finite()) => {
                Err(Error::invalid(format!(
                    "min-max scaling needs a finite range that ascends, not {low} to {high}"
                )))
            }
            Self::Robust { lower, upper }
                if !(0.0 <= lower && lower <= upper && upper <= 100.0) =>
            {
                Err(Error::invalid(format!(
                    "robust scaling needs two percentages that ascend, not {lower} and {upper}"
                )))
            }
            _ => Ok(()),
        }
    }
}

/// A fitted scaling of columns.
///
/// Standard, max-abs and robust scaling compute `(x - offset) / scale`, min-max scaling `x * scale + offset`,
/// both in the width of the elements, one rounding after each operation. A missing value (NaN) stays missing.
///
/// ```
/// use vectordb::transform::{Matrix, Scaler, Scaling};
/// let heights = [1.0, 10.0, 3.0, 30.0];
/// let scaler = Scaler::fit(Scaling::STANDARD, Matrix::new(&heights, 2)?)?;
/// let mut row = [3.0, 10.0];
/// scaler.transform(&mut row)?;
/// assert_eq!(row, [1.0, -1.0]);
/// scaler.inverse(&mut row)?;
/// assert_eq!(row, [3.0, 10.0]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaler {
    scaling: Scaling,
    offset: Vec<f64>,
    scale: Vec<f64>,
}

impl Scaler {
    /// Fits `scaling` on all rows of `matrix` at once.
    ///
    /// On rows of two or more columns the fit is bit-equal to scikit-learn's on the same rows in C order.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for an infinite value (by row and column), a column without any value,
    /// and options that make no sense.
    #[expect(private_bounds, reason = "f32 and f64, and nothing else")]
    pub fn fit<T: Float>(scaling: Scaling, matrix: Matrix<'_, T>) -> Result<Self> {
        let mut fit = ScalerFit::new(scaling, matrix.columns())?;
        fit.partial_fit(matrix)?;
        fit.finish()
    }

    /// A scaling whose fit is at hand as numbers: what [`Scaler::offset`] and [`Scaler::scale`] give.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for different lengths, numbers that are not finite, a scale of 0, and options that
    /// make no sense.
    pub fn from_parts(scaling: Scaling, offset: Vec<f64>, scale: Vec<f64>) -> Result<Self> {
        let scaler = Self {
            scaling,
            offset,
            scale,
        };
        scaler.check()?;
        Ok(scaler)
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.scaling.check()?;
        width("scale", self.scale.len(), self.offset.len())?;
        finite("offset", &self.offset)?;
        finite("scale", &self.scale)?;
        match self.scale.iter().position(|s| *s == 0.0) {
            Some(column) => Err(Error::invalid(format!("the scale of column {column} is 0"))),
            None => Ok(()),
        }
    }

    /// What was asked for.
    pub const fn scaling(&self) -> Scaling {
        self.scaling
    }

    /// How many columns were fitted.
    pub fn columns(&self) -> usize {
        self.offset.len()
    }

    /// What is taken off each column (added, for min-max scaling): `mean_`, `center_` or `min_` of scikit-learn.
    pub fn offset(&self) -> &[f64] {
        &self.offset
    }

    /// What each column is divided by (multiplied with, for min-max scaling): `scale_` of scikit-learn.
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// Scales whole rows in place, one or many; allocates nothing.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `rows` ends within a row; nothing is changed then.
    #[expect(private_bounds, reason = "f32 and f64, and nothing else")]
    pub fn transform<T: Float>(&self, rows: &mut [T]) -> Result<()> {
        width("a row", rows.len() % self.columns().max(1), 0)?;
        self.apply(None, rows);
        Ok(())
    }

    /// Scales what is in `from`, or else in `out`, into `out`.
    pub(super) fn apply<T: Float>(&self, from: Option<&Matrix<'_, T>>, out: &mut [T]) {
        wide(
            #[inline(always)]
            || self.run(from, out),
        );
    }

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "compiled for the registers of the caller"
    )]
    fn run<T: Float>(&self, from: Option<&Matrix<'_, T>>, out: &mut [T]) {
        let fitted = (&self.offset[..], &self.scale[..]);
        match self.scaling {
            Scaling::MinMax {
                low,
                high,
                clip: true,
            } => {
                let (low, high) = (T::narrow(low), T::narrow(high));
                by_column(from, out, fitted, |x, min, scale| {
                    clamp(x * scale + min, low, high)
                });
            }
            Scaling::MinMax { .. } => {
                by_column(from, out, fitted, |x, min, scale| x * scale + min);
            }
            Scaling::MaxAbs | Scaling::Standard { centre: false, .. } => {
                by_column(from, out, fitted, |x, _, scale| x / scale);
            }
            Scaling::Standard { .. } | Scaling::Robust { .. } => {
                by_column(from, out, fitted, |x, centre, scale| (x - centre) / scale);
            }
        }
    }

    /// Undoes [`Scaler::transform`] in place, up to rounding; what was clipped stays clipped.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `rows` ends within a row.
    #[expect(private_bounds, reason = "f32 and f64, and nothing else")]
    pub fn inverse<T: Float>(&self, rows: &mut [T]) -> Result<()> {
        width("a row", rows.len() % self.columns().max(1), 0)?;
        let fitted = (&self.offset[..], &self.scale[..]);
        match self.scaling {
            Scaling::MinMax { .. } => {
                by_column(None, rows, fitted, |x, min, scale| (x - min) / scale);
            }
            Scaling::MaxAbs | Scaling::Standard { centre: false, .. } => {
                by_column(None, rows, fitted, |x, _, scale| x * scale);
            }
            Scaling::Standard { .. } | Scaling::Robust { .. } => {
                by_column(None, rows, fitted, |x, centre, scale| x * scale + centre);
            }
        }
        Ok(())
    }
}
