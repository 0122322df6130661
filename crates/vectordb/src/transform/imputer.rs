//! [`Imputer`]: something in the place of what is missing.

use common::{Error, Result};
use serde::{Deserialize, Serialize};

use super::check::{finite, width};
use super::matrix::{Matrix, refuse_infinite};
use super::quantiles::{median, sorted};
use super::scaler::{Scaler, Scaling};

/// What takes the place of a missing number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filling {
    /// The mean of the column.
    Mean,
    /// The median of the column.
    Median,
    /// The value that the column has most often; the least of several.
    MostFrequent,
    /// This number.
    Constant(f64),
}

/// Fills in missing numbers, and marks where they were if asked to.
///
/// ```
/// use vectordb::transform::{Filling, Imputer, Matrix};
/// let ages = [20.0, f64::NAN, 40.0];
/// let imputer = Imputer::fit(Filling::Mean, Matrix::new(&ages, 1)?)?;
/// let mut row = [f64::NAN];
/// imputer.transform(&mut row)?;
/// assert_eq!(row, [30.0]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imputer {
    filling: Filling,
    values: Vec<f64>,
}

impl Imputer {
    /// Finds what to fill in, column by column. Means are bit-equal to scikit-learn's where no value is missing,
    /// and within 1e-12 otherwise.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for an infinite value, and for a column without values unless the filling
    /// is constant.
    pub fn fit(filling: Filling, matrix: Matrix<'_, f64>) -> Result<Self> {
        refuse_infinite(matrix)?;
        let values = match filling {
            Filling::Constant(value) => vec![value; matrix.columns()],
            Filling::Mean => {
                let scaling = Scaling::Standard {
                    centre: true,
                    scale: false,
                };
                Scaler::fit(scaling, matrix)?.offset().to_vec()
            }
            Filling::Median => columns(matrix)?.iter().map(|c| median(c)).collect(),
            Filling::MostFrequent => columns(matrix)?.iter().map(|c| mode(c)).collect(),
        };
        let imputer = Self { filling, values };
        imputer.check()?;
        Ok(imputer)
    }

    pub(crate) fn check(&self) -> Result<()> {
        finite("filling", &self.values)
    }

    /// How many columns were fitted.
    pub fn columns(&self) -> usize {
        self.values.len()
    }

    /// What is filled into each column.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Fills whole rows in place, one or many; allocates nothing.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `rows` ends within a row.
    pub fn transform(&self, rows: &mut [f64]) -> Result<()> {
        width("a row", rows.len() % self.columns().max(1), 0)?;
        for row in rows.chunks_exact_mut(self.columns().max(1)) {
            for (x, value) in row.iter_mut().zip(&self.values) {
                *x = if x.is_nan() { *value } else { *x };
            }
        }
        Ok(())
    }

    /// Writes 1 into `marks` where `row` misses a value, and 0 elsewhere: to be called before the row is filled.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the two have different lengths.
    pub fn indicate(&self, row: &[f64], marks: &mut [f64]) -> Result<()> {
        width("the marks", marks.len(), row.len())?;
        for (mark, x) in marks.iter_mut().zip(row) {
            *mark = f64::from(u8::from(x.is_nan()));
        }
        Ok(())
    }
}

/// The values of each column that are not missing, sorted.
pub(crate) fn columns(matrix: Matrix<'_, f64>) -> Result<Vec<Vec<f64>>> {
    let mut columns = vec![Vec::with_capacity(matrix.rows()); matrix.columns()];
    for row in matrix.iter() {
        for (column, x) in columns.iter_mut().zip(row) {
            column.extend(Some(*x).filter(|x| !x.is_nan()));
        }
    }
    match columns.iter().position(Vec::is_empty) {
        Some(column) => Err(Error::invalid(format!(
            "column {column} has no value to fit on: leave it out, or fill in a constant first"
        ))),
        None => Ok(columns.into_iter().map(sorted).collect()),
    }
}

/// The value that stands in a row most often among sorted ones; the least of several.
fn mode(sorted: &[f64]) -> f64 {
    let mut best = (0, f64::NAN);
    for run in sorted.chunk_by(|a, b| a >= b) {
        if let Some(value) = run.first().filter(|_| run.len() > best.0) {
            best = (run.len(), *value);
        }
    }
    best.1
}
