//! [`Imputer`]: something in the place of what is missing; [`ImputerFit`]: what batches say of it.

mod fit;

use common::{Error, Result};
use serde::{Deserialize, Serialize};

use super::check::{finite, width};
use super::matrix::{Float, Matrix};
use super::quantiles::sorted;
use super::rows::by_column;
use crate::core::wide;
pub use fit::ImputerFit;

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
        let mut fit = ImputerFit::new(filling, matrix.columns())?;
        fit.partial_fit(matrix)?;
        fit.finish()
    }

    /// An imputer whose fit is at hand: what [`Imputer::values`] gives.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a value that is not finite.
    pub fn from_values(filling: Filling, values: Vec<f64>) -> Result<Self> {
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
    #[expect(private_bounds, reason = "f32 and f64, and nothing else")]
    pub fn transform<T: Float>(&self, rows: &mut [T]) -> Result<()> {
        width("a row", rows.len() % self.columns().max(1), 0)?;
        self.apply(None, rows);
        Ok(())
    }

    /// Fills what is in `from`, or else in `out`, into `out`.
    pub(super) fn apply<T: Float>(&self, from: Option<&Matrix<'_, T>>, out: &mut [T]) {
        let fitted = (&self.values[..], &self.values[..]);
        wide(
            #[inline(always)]
            || {
                by_column(
                    from,
                    out,
                    fitted,
                    |x, value, _| {
                        if x.wide().is_nan() { value } else { x }
                    },
                );
            },
        );
    }

    /// Writes 1 into `marks` where `row` misses a value, and 0 elsewhere: to be called before the row is filled.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the two have different lengths.
    #[expect(private_bounds, reason = "f32 and f64, and nothing else")]
    pub fn indicate<T: Float>(&self, row: &[T], marks: &mut [T]) -> Result<()> {
        width("the marks", marks.len(), row.len())?;
        for (mark, x) in marks.iter_mut().zip(row) {
            *mark = T::narrow(f64::from(u8::from(x.wide().is_nan())));
        }
        Ok(())
    }
}

/// The values of each column that are not missing, sorted.
pub(crate) fn columns(matrix: Matrix<'_, f64>) -> Result<Vec<Vec<f64>>> {
    let mut columns = vec![Vec::with_capacity(matrix.rows()); matrix.columns()];
    add_values(&mut columns, matrix);
    match columns.iter().position(Vec::is_empty) {
        Some(column) => Err(without_value(column)),
        None => Ok(columns.into_iter().map(sorted).collect()),
    }
}

fn add_values(columns: &mut [Vec<f64>], matrix: Matrix<'_, f64>) {
    for row in matrix.iter() {
        for (column, x) in columns.iter_mut().zip(row) {
            column.extend(Some(*x).filter(|x| !x.is_nan()));
        }
    }
}

fn without_value(column: usize) -> Error {
    Error::invalid(format!(
        "column {column} has no value to fit on: leave it out, or fill in a constant first"
    ))
}
