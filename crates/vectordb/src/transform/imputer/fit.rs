//! [`ImputerFit`]: what is filled in, found batch by batch.

use common::{Error, Result};

use super::{Filling, Imputer, add_values, without_value};
use crate::transform::check::width;
use crate::transform::matrix::{Matrix, refuse_infinite};
use crate::transform::quantiles::{median, sorted};
use crate::transform::scaler::{ScalerFit, Scaling};

/// A fit of an [`Imputer`] that is still going on: batches come in one by one, and fits of parts are merged.
///
/// Means take a few words a column; medians and most frequent values keep every value that was seen.
///
/// ```
/// use vectordb::transform::{Filling, ImputerFit, Matrix};
/// let mut monday = ImputerFit::new(Filling::Mean, 1)?;
/// monday.partial_fit(Matrix::new(&[4.0, f64::NAN], 1)?)?;
/// let mut tuesday = ImputerFit::new(Filling::Mean, 1)?;
/// tuesday.partial_fit(Matrix::new(&[8.0], 1)?)?;
/// monday.merge(&tuesday)?;
/// assert_eq!(monday.finish()?.values(), [6.0]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ImputerFit {
    filling: Filling,
    state: State,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Mean(ScalerFit),
    Values(Vec<Vec<f64>>),
}

impl ImputerFit {
    /// A fit of `columns` columns that has seen no row.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for no column.
    pub fn new(filling: Filling, columns: usize) -> Result<Self> {
        let means = Scaling::Standard {
            centre: true,
            scale: false,
        };
        // It refuses a fit without a column, whatever is filled in.
        let fit = ScalerFit::new(means, columns)?;
        let state = match filling {
            Filling::Mean => State::Mean(fit),
            _ => State::Values(vec![Vec::new(); columns]),
        };
        Ok(Self { filling, state })
    }

    /// Takes in one batch of rows.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for another number of columns and for an infinite value, by row and column;
    /// nothing is changed then.
    pub fn partial_fit(&mut self, matrix: Matrix<'_, f64>) -> Result<()> {
        match &mut self.state {
            State::Mean(fit) => fit.partial_fit(matrix),
            State::Values(columns) => {
                width("a row", matrix.columns(), columns.len())?;
                refuse_infinite(matrix)?;
                if !matches!(self.filling, Filling::Constant(_)) {
                    add_values(columns, matrix);
                }
                Ok(())
            }
        }
    }

    /// Takes in what another fit of the same filling has seen: means then equal one fit of all rows up to rounding
    /// (1e-12 relative), everything else exactly.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the other fills otherwise or has other columns.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        match (&mut self.state, &other.state) {
            (State::Mean(fit), State::Mean(more)) => fit.merge(more),
            (State::Values(columns), State::Values(others)) if self.filling == other.filling => {
                width("the other fit", others.len(), columns.len())?;
                for (column, more) in columns.iter_mut().zip(others) {
                    column.extend_from_slice(more);
                }
                Ok(())
            }
            _ => Err(Error::invalid(format!(
                "fits of {:?} and {:?} cannot be merged",
                self.filling, other.filling
            ))),
        }
    }

    /// The imputer that follows from everything seen so far; the fit may go on after it.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when a column has had no value, unless the filling is constant.
    pub fn finish(&self) -> Result<Imputer> {
        let values = match (&self.state, self.filling) {
            (State::Mean(fit), _) => fit.finish()?.offset().to_vec(),
            (State::Values(columns), Filling::Constant(value)) => vec![value; columns.len()],
            (State::Values(columns), filling) => {
                if let Some(column) = columns.iter().position(Vec::is_empty) {
                    return Err(without_value(column));
                }
                let middle = if filling == Filling::Median {
                    median
                } else {
                    mode
                };
                let columns = columns.iter();
                columns.map(|c| middle(&sorted(c.clone()))).collect()
            }
        };
        let imputer = Imputer {
            filling: self.filling,
            values,
        };
        imputer.check()?;
        Ok(imputer)
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
