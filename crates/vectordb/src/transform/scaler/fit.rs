//! [`ScalerFit`]: sums, extremes or values of the columns, batch by batch.

use common::{Error, Result};

use super::{Scaler, Scaling};
use crate::transform::check::width;
use crate::transform::matrix::{Float, Matrix, refuse_infinite};
use crate::transform::quantiles::{median, percentile, sorted};
use crate::transform::sums::pairwise;

/// What batches of rows say of the columns to scale; fits of parts [merge](ScalerFit::merge).
///
/// Standard scaling keeps count, mean and variance by column and combines batches as scikit-learn's
/// `partial_fit` does, to the bit; min-max and max-abs scaling keep extremes. Robust scaling has no summary of
/// constant size: it keeps every value, 8 bytes each. Values that are missing (NaN) are not counted.
///
/// ```
/// use vectordb::transform::{Matrix, ScalerFit, Scaling};
/// let mut monday = ScalerFit::new(Scaling::MIN_MAX, 1)?;
/// monday.partial_fit(Matrix::new(&[4.0, f64::NAN], 1)?)?;
/// let mut tuesday = ScalerFit::new(Scaling::MIN_MAX, 1)?;
/// tuesday.partial_fit(Matrix::new(&[8.0], 1)?)?;
/// monday.merge(&tuesday)?;
/// assert_eq!(monday.counts(), [2]);
/// let mut row = [5.0];
/// monday.finish()?.transform(&mut row)?;
/// assert_eq!(row, [0.25]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ScalerFit {
    scaling: Scaling,
    counts: Vec<u64>,
    state: State,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Moments { mean: Vec<f64>, variance: Vec<f64> },
    Extremes { min: Vec<f64>, max: Vec<f64> },
    Values(Vec<Vec<f64>>),
}

impl ScalerFit {
    /// A fit of `columns` columns that has seen no row.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for options that make no sense, and for no column.
    pub fn new(scaling: Scaling, columns: usize) -> Result<Self> {
        scaling.check()?;
        if columns == 0 {
            return Err(Error::invalid("a fit needs a column at least"));
        }
        let state = match scaling {
            Scaling::Standard { .. } => State::Moments {
                mean: vec![0.0; columns],
                variance: vec![0.0; columns],
            },
            Scaling::MinMax { .. } | Scaling::MaxAbs => State::Extremes {
                min: vec![f64::INFINITY; columns],
                max: vec![f64::NEG_INFINITY; columns],
            },
            Scaling::Robust { .. } => State::Values(vec![Vec::new(); columns]),
        };
        Ok(Self {
            scaling,
            counts: vec![0; columns],
            state,
        })
    }

    /// A fit that goes on from another one's [`counts`](Self::counts) and [`summary`](Self::summary).
    ///
    /// # Errors
    /// As [`ScalerFit::new`]; also for different lengths, and for robust scaling, which has no summary.
    pub fn resume(scaling: Scaling, counts: Vec<u64>, summary: [Vec<f64>; 2]) -> Result<Self> {
        let mut fit = Self::new(scaling, counts.len())?;
        let [first, second] = summary;
        width("the summary", first.len(), counts.len())?;
        width("the summary", second.len(), counts.len())?;
        fit.state = match fit.state {
            State::Moments { .. } => State::Moments {
                mean: first,
                variance: second,
            },
            State::Extremes { .. } => State::Extremes {
                min: first,
                max: second,
            },
            State::Values(_) => {
                return Err(Error::invalid(
                    "robust scaling cannot go on: fit all rows at once",
                ));
            }
        };
        fit.counts = counts;
        Ok(fit)
    }

    /// What is kept of each column: means and variances, or minima and maxima; none for robust scaling.
    ///
    /// ```
    /// use vectordb::transform::{Matrix, ScalerFit, Scaling};
    /// let mut fit = ScalerFit::new(Scaling::STANDARD, 1)?;
    /// fit.partial_fit(Matrix::new(&[1.0, 3.0], 1)?)?;
    /// assert_eq!(fit.summary(), Some([&[2.0][..], &[1.0]]));
    /// # Ok::<(), common::Error>(())
    /// ```
    pub fn summary(&self) -> Option<[&[f64]; 2]> {
        match &self.state {
            State::Moments { mean, variance } => Some([mean, variance]),
            State::Extremes { min, max } => Some([min, max]),
            State::Values(_) => None,
        }
    }

    /// How many values each column had that were not missing.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Takes in one batch of rows.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for another number of columns and for an infinite value, by row and
    /// column; nothing is changed then.
    #[expect(private_bounds, reason = "f32 and f64, and nothing else")]
    pub fn partial_fit<T: Float>(&mut self, matrix: Matrix<'_, T>) -> Result<()> {
        width("a row", matrix.columns(), self.counts.len())?;
        refuse_infinite(matrix)?;
        let mut batch = vec![0_u64; self.counts.len()];
        for row in matrix.iter() {
            for (count, x) in batch.iter_mut().zip(row) {
                *count += u64::from(!x.wide().is_nan());
            }
        }
        match &mut self.state {
            State::Moments { mean, variance } => {
                let part = moments(matrix, &batch);
                combine(
                    &floats(&self.counts),
                    mean,
                    variance,
                    &floats(&batch),
                    &part,
                );
            }
            State::Extremes { min, max } => {
                for row in matrix.iter() {
                    for ((min, max), x) in min.iter_mut().zip(&mut *max).zip(row) {
                        *min = min.min(x.wide());
                        *max = max.max(x.wide());
                    }
                }
            }
            State::Values(columns) => {
                for row in matrix.iter() {
                    for (column, x) in columns.iter_mut().zip(row) {
                        column.extend(Some(x.wide()).filter(|x| !x.is_nan()));
                    }
                }
            }
        }
        for (count, more) in self.counts.iter_mut().zip(batch) {
            *count += more;
        }
        Ok(())
    }

    /// Takes in what another fit of the same kind has seen.
    ///
    /// Means and variances then equal one fit of all rows up to rounding (1e-12 relative); extremes and
    /// quantiles exactly.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the other scales otherwise or has other columns.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.scaling != other.scaling {
            return Err(Error::invalid(format!(
                "fits of {:?} and {:?} cannot be merged",
                self.scaling, other.scaling
            )));
        }
        width("the other fit", other.counts.len(), self.counts.len())?;
        match (&mut self.state, &other.state) {
            (
                State::Moments { mean, variance },
                State::Moments {
                    mean: m,
                    variance: v,
                },
            ) => {
                let part: Vec<Part> = (m.iter().zip(v).zip(&other.counts))
                    .map(|((mean, variance), count)| Part {
                        sum: mean * float(*count),
                        squares: variance * float(*count),
                    })
                    .collect();
                let (last, new) = (floats(&self.counts), floats(&other.counts));
                combine(&last, mean, variance, &new, &part);
            }
            (
                State::Extremes { min, max },
                State::Extremes {
                    min: low,
                    max: high,
                },
            ) => {
                for (min, low) in min.iter_mut().zip(low) {
                    *min = min.min(*low);
                }
                for (max, high) in max.iter_mut().zip(high) {
                    *max = max.max(*high);
                }
            }
            (State::Values(columns), State::Values(others)) => {
                for (column, more) in columns.iter_mut().zip(others) {
                    column.extend_from_slice(more);
                }
            }
            // The same scaling has the same kind of state.
            _ => return Err(Error::invalid("the fits are of different kinds")),
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        Ok(())
    }

    /// Takes in one value of each column so many times over; one that is missing is left out.
    pub(in crate::transform) fn add_repeated(&mut self, values: &[f64], times: &[u64]) {
        let times: Vec<u64> = (values.iter().zip(times))
            .map(|(value, times)| if value.is_nan() { 0 } else { *times })
            .collect();
        match &mut self.state {
            State::Moments { mean, variance } => {
                let parts: Vec<Part> = (values.iter().zip(&times))
                    .map(|(value, times)| Part {
                        sum: value * float(*times),
                        squares: 0.0,
                    })
                    .collect();
                let (last, new) = (floats(&self.counts), floats(&times));
                combine(&last, mean, variance, &new, &parts);
            }
            State::Extremes { min, max } => {
                let columns = min.iter_mut().zip(max).zip(values.iter().zip(&times));
                for ((min, max), (value, _)) in columns.filter(|(_, (_, times))| **times > 0) {
                    *min = min.min(*value);
                    *max = max.max(*value);
                }
            }
            State::Values(columns) => {
                for (column, (value, times)) in columns.iter_mut().zip(values.iter().zip(&times)) {
                    let times = usize::try_from(*times).unwrap_or(usize::MAX);
                    column.extend(std::iter::repeat_n(*value, times));
                }
            }
        }
        for (count, more) in self.counts.iter_mut().zip(times) {
            *count += more;
        }
    }

    /// The scaling that follows from everything seen so far; the fit may go on after it.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when a column has had no value, or its values are so large that the
    /// scale is not finite.
    pub fn finish(&self) -> Result<Scaler> {
        if let Some(column) = self.counts.iter().position(|count| *count == 0) {
            return Err(Error::invalid(format!(
                "column {column} has no value to fit on: leave it out, or impute it first"
            )));
        }
        let (offset, scale) = match (&self.state, self.scaling) {
            (State::Moments { mean, variance }, scaling) => {
                let (centred, scaled) = match scaling {
                    Scaling::Standard { centre, scale } => (centre, scale),
                    _ => (true, true),
                };
                let columns = mean.iter().zip(variance).zip(&self.counts);
                let columns = columns.map(|((mean, variance), n)| {
                    let scale = deviation(*mean, *variance, float(*n));
                    (
                        if centred { *mean } else { 0.0 },
                        if scaled { scale } else { 1.0 },
                    )
                });
                columns.unzip()
            }
            (State::Extremes { min, max }, Scaling::MinMax { low, high, .. }) => min
                .iter()
                .zip(max)
                .map(|(min, max)| {
                    let scale = (high - low) / nonzero(max - min);
                    (low - min * scale, scale)
                })
                .unzip(),
            (State::Extremes { min, max }, _) => min
                .iter()
                .zip(max)
                .map(|(min, max)| (0.0, nonzero(min.abs().max(max.abs()))))
                .unzip(),
            (State::Values(columns), scaling) => {
                let (lower, upper) = match scaling {
                    Scaling::Robust { lower, upper } => (lower, upper),
                    _ => (25.0, 75.0),
                };
                let columns = columns.iter().map(|column| {
                    let values = sorted(column.clone());
                    let range = percentile(&values, upper) - percentile(&values, lower);
                    (median(&values), nonzero(range))
                });
                columns.unzip()
            }
        };
        Scaler::from_parts(self.scaling, offset, scale)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^53 are out of reach"
)]
fn float(count: u64) -> f64 {
    count as f64
}

fn floats(counts: &[u64]) -> Vec<f64> {
    counts.iter().copied().map(float).collect()
}

/// Sum, and sum of the squared distances from the mean, of one column of one batch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    pub(super) sum: f64,
    pub(super) squares: f64,
}

/// Two passes with a term that corrects for the rounding of the mean (Chan, Golub and `LeVeque` 1983), in the
/// order in which NumPy adds rows.
fn moments<T: Float>(matrix: Matrix<'_, T>, counts: &[u64]) -> Vec<Part> {
    let sums = column_sums(matrix, |_, x| x);
    let means: Vec<f64> = (sums.iter().zip(counts))
        .map(|(sum, n)| sum / float(*n))
        .collect();
    let mean = |column: usize| means.get(column).copied().unwrap_or_default();
    let corrections = column_sums(matrix, |column, x| x - mean(column));
    let squares = column_sums(matrix, |column, x| {
        let distance = x - mean(column);
        distance * distance
    });
    let parts = sums.iter().zip(corrections).zip(squares).zip(counts);
    parts
        .map(|(((sum, correction), squares), n)| Part {
            sum: *sum,
            squares: squares - correction * correction / float(*n),
        })
        .collect()
}

/// Sums by column of what `map` makes of the values that are not missing. NumPy adds rows one after another,
/// but a single column by halves.
fn column_sums<T: Float>(matrix: Matrix<'_, T>, map: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    let value = |column: usize, x: f64| if x.is_nan() { 0.0 } else { map(column, x) };
    if matrix.columns() == 1 {
        let all: Vec<f64> = matrix
            .iter()
            .flatten()
            .map(|x| value(0, x.wide()))
            .collect();
        return vec![pairwise(&all, |x| x)];
    }
    let mut sums = vec![0.0; matrix.columns()];
    for row in matrix.iter() {
        for (column, (sum, x)) in sums.iter_mut().zip(row).enumerate() {
            *sum += value(column, x.wide());
        }
    }
    sums
}

/// Adds a batch to mean and variance, by the formula (and in the order) of scikit-learn's
/// `_incremental_mean_and_var`.
pub(super) fn combine(
    counts: &[f64],
    mean: &mut [f64],
    variance: &mut [f64],
    batch: &[f64],
    parts: &[Part],
) {
    let columns = mean
        .iter_mut()
        .zip(variance)
        .zip(counts)
        .zip(batch)
        .zip(parts);
    for ((((mean, variance), last), new), part) in columns {
        if *new == 0.0 {
            continue;
        }
        let total = last + new;
        let last_sum = *mean * last;
        let squares = if *last == 0.0 {
            part.squares
        } else {
            let ratio = last / new;
            let distance = last_sum / ratio - part.sum;
            *variance * last + part.squares + ratio / total * (distance * distance)
        };
        *mean = (last_sum + part.sum) / total;
        *variance = squares / total;
    }
}

/// The standard deviation, or 1 where the variance is within what rounding alone can make of a constant.
pub(super) fn deviation(mean: f64, variance: f64, count: f64) -> f64 {
    let error = count * mean * f64::EPSILON;
    if variance <= count * f64::EPSILON * variance + error * error {
        1.0
    } else {
        variance.sqrt()
    }
}

/// `scale`, or 1 where it is too small to divide by.
pub(in crate::transform) fn nonzero(scale: f64) -> f64 {
    if scale < 10.0 * f64::EPSILON {
        1.0
    } else {
        scale
    }
}
