//! [`WeightedFit`]: means and variances of columns whose rows have weights.

use common::{Error, Result};

use super::fit::{Part, combine, deviation};
use super::{Scaler, Scaling};
use crate::transform::check::width;
use crate::transform::matrix::{Float, Matrix, refuse_infinite};

/// A fit of standard scaling on rows that count more or less than once: a row of weight 2 is as two rows, one of weight 0
/// as none. Batches come in one by one, by the formulas of scikit-learn's `partial_fit`.
///
/// ```
/// use vectordb::transform::{Matrix, Scaling, WeightedFit};
/// let mut fit = WeightedFit::new(1)?;
/// fit.partial_fit(Matrix::new(&[1.0, 4.0, 100.0], 1)?, &[2.0, 1.0, 0.0])?;
/// assert_eq!((fit.mean(), fit.variance(), fit.weights()), (&[2.0][..], &[2.0][..], &[3.0][..]));
/// assert_eq!(fit.finish(Scaling::STANDARD)?.offset(), [2.0]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedFit {
    weights: Vec<f64>,
    mean: Vec<f64>,
    variance: Vec<f64>,
}

impl WeightedFit {
    /// A fit of `columns` columns that has seen no row.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for no column.
    pub fn new(columns: usize) -> Result<Self> {
        Self::resume(vec![0.0; columns], vec![0.0; columns], vec![0.0; columns])
    }

    /// A fit that goes on from sums of weights, means and variances of the population by column.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for no column, lists of different lengths, and a weight below 0.
    pub fn resume(weights: Vec<f64>, mean: Vec<f64>, variance: Vec<f64>) -> Result<Self> {
        if weights.is_empty() {
            return Err(Error::invalid("a fit needs a column at least"));
        }
        width("the means", mean.len(), weights.len())?;
        width("the variances", variance.len(), weights.len())?;
        check(&weights)?;
        Ok(Self {
            weights,
            mean,
            variance,
        })
    }

    /// Sums of the weights of values that are not missing, by column.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Means by column.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Variances of the population by column.
    pub fn variance(&self) -> &[f64] {
        &self.variance
    }

    /// Takes in one batch of rows, with a weight for each.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for another number of columns or weights, a weight that is negative or not finite,
    /// and an infinite value; nothing is changed then.
    #[expect(private_bounds, reason = "f32 and f64, and nothing else")]
    pub fn partial_fit<T: Float>(&mut self, matrix: Matrix<'_, T>, weights: &[f64]) -> Result<()> {
        let columns = self.weights.len();
        width("a row", matrix.columns(), columns)?;
        width("the list of weights", weights.len(), matrix.rows())?;
        check(weights)?;
        refuse_infinite(matrix)?;
        let mut sums = vec![0.0; columns];
        let mut new = vec![0.0; columns];
        each(matrix, weights, |column, x, weight| {
            if let (Some(sum), Some(new)) = (sums.get_mut(column), new.get_mut(column)) {
                *sum += weight * x;
                *new += weight;
            }
        });
        let means: Vec<f64> = sums.iter().zip(&new).map(|(sum, n)| sum / n).collect();
        let mut distances = vec![(0.0, 0.0); columns];
        each(matrix, weights, |column, x, weight| {
            if let (Some((first, second)), Some(mean)) =
                (distances.get_mut(column), means.get(column))
            {
                let distance = x - mean;
                *first += weight * distance;
                *second += weight * (distance * distance);
            }
        });
        let parts: Vec<Part> = (sums.iter().zip(distances).zip(&new))
            .map(|((sum, (first, second)), n)| Part {
                sum: *sum,
                // Corrects for the rounding of the mean (Chan, Golub and LeVeque 1983).
                squares: second - first * first / n,
            })
            .collect();
        combine(
            &self.weights,
            &mut self.mean,
            &mut self.variance,
            &new,
            &parts,
        );
        for (weight, more) in self.weights.iter_mut().zip(new) {
            *weight += more;
        }
        Ok(())
    }

    /// The scaling that follows from everything seen so far.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a scaling that is not standard, and when a column has had no weight.
    pub fn finish(&self, scaling: Scaling) -> Result<Scaler> {
        let Scaling::Standard { centre, scale } = scaling else {
            return Err(Error::invalid(
                "only standard scaling is fitted with weights",
            ));
        };
        if let Some(column) = self.weights.iter().position(|weight| *weight == 0.0) {
            return Err(Error::invalid(format!(
                "column {column} has no value of a weight above 0 to fit on"
            )));
        }
        let columns = self.mean.iter().zip(&self.variance).zip(&self.weights);
        let parts = columns.map(|((mean, variance), weight)| {
            let deviation = if scale {
                deviation(*mean, *variance, *weight)
            } else {
                1.0
            };
            (if centre { *mean } else { 0.0 }, deviation)
        });
        let (offset, scale) = parts.unzip();
        Scaler::from_parts(scaling, offset, scale)
    }
}

fn check(weights: &[f64]) -> Result<()> {
    let wrong = |weight: &f64| !(weight.is_finite() && *weight >= 0.0);
    match weights.iter().position(wrong) {
        None => Ok(()),
        Some(at) => Err(Error::invalid(format!(
            "weight {at} is negative or not finite: a weight is 0 or more"
        ))),
    }
}

/// Visits the values that are not missing: column, value, weight.
fn each<T: Float>(matrix: Matrix<'_, T>, weights: &[f64], mut visit: impl FnMut(usize, f64, f64)) {
    for (row, weight) in matrix.iter().zip(weights) {
        for (column, x) in row.iter().enumerate() {
            let x = x.wide();
            if !x.is_nan() {
                visit(column, x, *weight);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::ScalerFit;

    #[test]
    fn a_weight_is_as_many_rows() {
        let rows = [1.0, f64::NAN, 4.0, 2.0, -7.5, 3.0, 2.5, 9.0];
        let counts = [2_u8, 0, 1, 3];
        let mut weighted = WeightedFit::new(2).unwrap();
        let mut repeated = ScalerFit::new(Scaling::STANDARD, 2).unwrap();
        for (batch, counts) in rows.chunks(4).zip(counts.chunks(2)) {
            let weights: Vec<f64> = counts.iter().copied().map(f64::from).collect();
            let matrix = Matrix::new(batch, 2).unwrap();
            weighted.partial_fit(matrix, &weights).unwrap();
            for (row, count) in batch.chunks(2).zip(counts) {
                for _ in 0..*count {
                    let row = Matrix::new(row, 2).unwrap();
                    repeated.partial_fit(row).unwrap();
                }
            }
        }
        assert_eq!(weighted.weights(), [6.0, 4.0]);
        let found = weighted.finish(Scaling::STANDARD).unwrap();
        let expected = repeated.finish().unwrap();
        for (a, b) in [
            (found.offset(), expected.offset()),
            (found.scale(), expected.scale()),
        ] {
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() < 1e-12, "{a} {b}");
            }
        }
    }

    #[test]
    fn weights_that_make_no_sense_change_nothing() {
        let mut fit = WeightedFit::new(1).unwrap();
        let rows = Matrix::new(&[1.0, 2.0], 1).unwrap();
        for weights in [
            &[1.0][..],
            &[1.0, -1.0],
            &[1.0, f64::NAN],
            &[f64::INFINITY, 1.0],
        ] {
            assert!(fit.partial_fit(rows, weights).is_err(), "{weights:?}");
        }
        assert_eq!(fit, WeightedFit::new(1).unwrap());
        assert!(fit.finish(Scaling::STANDARD).is_err());
    }
}
