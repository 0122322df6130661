//! [`Steps`]: fitted transformations of numbers, one after another.

mod json;

use common::{Error, Result};
use serde::{Deserialize, Serialize};

use super::check::{finite, width};
use super::scaler::clamp;
use super::{Binner, Imputer, Matrix, Normalizer, Polynomial, Power, QuantileMap, Scaler};
pub use json::STEPS_SCHEMA;

/// Bytes of rows that go through all steps before the next ones do: a half of a usual first-level cache.
const BLOCK_BYTES: usize = 16 << 10;

/// One fitted transformation of numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Moves and stretches columns.
    Scale(Scaler),
    /// Divides rows by their length.
    Normalize(Normalizer),
    /// Fills in what is missing.
    Impute(Imputer),
    /// Fills in what is missing; columns that mark it follow all others.
    ImputeAndMark(Imputer),
    /// Brings what lies beyond two numbers to the nearer one.
    Clip {
        /// The least number.
        low: f64,
        /// The greatest number.
        high: f64,
    },
    /// The natural logarithm of 1 and the number; missing for what is not above -1.
    Log1p,
    /// Numbers of intervals.
    Bin(Binner),
    /// Shares of the fit below.
    Quantile(QuantileMap),
    /// Powers.
    Power(Power),
    /// Products of columns.
    Polynomial(Polynomial),
}

impl Step {
    /// How many columns it makes of `columns`.
    fn outputs(&self, columns: usize) -> Result<usize> {
        let (takes, makes) = match self {
            Self::Scale(scaler) => (scaler.columns(), scaler.columns()),
            Self::Normalize(normalizer) => (normalizer.columns(), normalizer.columns()),
            Self::Impute(imputer) => (imputer.columns(), imputer.columns()),
            Self::ImputeAndMark(imputer) => (imputer.columns(), 2 * imputer.columns()),
            Self::Clip { .. } | Self::Log1p => (columns, columns),
            Self::Bin(binner) => (binner.columns(), binner.columns()),
            Self::Quantile(map) => (map.columns(), map.columns()),
            Self::Power(power) => (power.columns(), power.columns()),
            Self::Polynomial(polynomial) => (polynomial.columns(), polynomial.outputs()),
        };
        if takes == columns {
            Ok(makes)
        } else {
            Err(Error::invalid(format!(
                "it was fitted on {takes} columns, but {columns} come in"
            )))
        }
    }

    fn check(&self) -> Result<()> {
        match self {
            Self::Scale(scaler) => scaler.check(),
            Self::Impute(imputer) | Self::ImputeAndMark(imputer) => imputer.check(),
            Self::Bin(binner) => binner.check(),
            Self::Quantile(map) => map.check(),
            Self::Power(power) => power.check(),
            Self::Polynomial(polynomial) => polynomial.check(),
            Self::Clip { low, high } if low <= high => finite("bound", &[*low, *high]),
            Self::Clip { low, high } => Err(Error::invalid(format!(
                "clipping needs two numbers that ascend, not {low} and {high}"
            ))),
            Self::Log1p | Self::Normalize(_) => Ok(()),
        }
    }

    /// Transforms whole rows that keep their width.
    fn in_place(&self, rows: &mut [f64]) -> Result<()> {
        match self {
            Self::Scale(scaler) => scaler.transform(rows),
            Self::Normalize(normalizer) => normalizer.transform(rows),
            Self::Impute(imputer) => imputer.transform(rows),
            Self::Bin(binner) => binner.transform(rows),
            Self::Quantile(map) => map.transform(rows),
            Self::Power(power) => power.transform(rows),
            Self::Clip { low, high } => {
                for x in rows {
                    *x = clamp(*x, *low, *high);
                }
                Ok(())
            }
            Self::Log1p => {
                for x in rows {
                    *x = if *x > -1.0 { x.ln_1p() } else { f64::NAN };
                }
                Ok(())
            }
            // These two change the width.
            Self::ImputeAndMark(_) | Self::Polynomial(_) => Ok(()),
        }
    }

    /// Transforms one row into another of another width.
    fn widen(&self, row: &[f64], out: &mut [f64]) -> Result<()> {
        match self {
            Self::ImputeAndMark(imputer) => {
                let (values, marks) = out.split_at_mut(row.len().min(out.len()));
                imputer.indicate(row, marks)?;
                values.copy_from_slice(row);
                imputer.transform(values)
            }
            Self::Polynomial(polynomial) => polynomial.transform_row(row, out),
            _ => Ok(()),
        }
    }
}

/// Fitted transformations of numbers in order, as one: written as JSON with every bit of its numbers.
///
/// Rows go through all steps in blocks that stay in the cache. Steps that keep the number of columns work in place
/// and allocate nothing; only those that change it need room besides.
///
/// ```
/// use common::limits::Limits;
/// use vectordb::transform::{Filling, Imputer, Matrix, Scaler, Scaling, Step, Steps};
/// let ages = [20.0, f64::NAN, 40.0];
/// let imputer = Imputer::fit(Filling::Mean, Matrix::new(&ages, 1)?)?;
/// let scaler = Scaler::fit(Scaling::MIN_MAX, Matrix::new(&ages, 1)?)?;
/// let steps = Steps::new(1, vec![Step::Impute(imputer), Step::Scale(scaler)])?;
/// let mut out = [0.0; 3];
/// steps.transform(Matrix::new(&ages, 1)?, &mut out)?;
/// assert_eq!(out, [0.0, 0.5, 1.0]);
/// assert_eq!(Steps::from_json(&steps.to_json()?, &Limits::default())?, steps);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Steps {
    columns: usize,
    order: Vec<Step>,
    /// Columns after each step.
    widths: Vec<usize>,
}

impl Steps {
    /// Steps on rows of `columns` numbers.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for no column, and when a step, which is named by its place, was fitted on
    /// another number of columns than come to it.
    pub fn new(columns: usize, steps: Vec<Step>) -> Result<Self> {
        if columns == 0 {
            return Err(Error::invalid("steps need a column at least"));
        }
        let mut widths = Vec::with_capacity(steps.len());
        let mut outputs = columns;
        for (at, step) in steps.iter().enumerate() {
            let made = step.check().and_then(|()| step.outputs(outputs));
            outputs = made.map_err(|e| e.at(format!("step {at}")))?;
            widths.push(outputs);
        }
        Ok(Self {
            columns,
            order: steps,
            widths,
        })
    }

    /// The steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.order
    }

    /// How many numbers a row has.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// How many numbers a row becomes.
    pub fn outputs(&self) -> usize {
        self.widths.last().copied().unwrap_or(self.columns)
    }

    /// Transforms the rows of `matrix` into `out`, row after row of [`Steps::outputs`] numbers.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the matrix has other columns or `out` another length.
    pub fn transform(&self, matrix: Matrix<'_, f64>, out: &mut [f64]) -> Result<()> {
        width("a row", matrix.columns(), self.columns)?;
        let made = matrix.rows().checked_mul(self.outputs());
        width("the output", out.len(), made.unwrap_or(usize::MAX))?;
        if self.widths.iter().any(|width| *width != self.columns) {
            return self.transform_wide(matrix, out);
        }
        let rows = (BLOCK_BYTES / 8 / self.columns).max(1);
        let mut source = matrix.iter();
        for block in out.chunks_mut(rows * self.columns) {
            for (to, from) in block.chunks_exact_mut(self.columns).zip(&mut source) {
                to.copy_from_slice(from);
            }
            self.transform_in_place(block)?;
        }
        Ok(())
    }

    /// Transforms whole rows in place, one or many: what a gather calls on rows that it has just copied. Allocates
    /// nothing.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `rows` ends within a row, and when a step changes the number of columns.
    pub fn transform_in_place(&self, rows: &mut [f64]) -> Result<()> {
        width("a row", rows.len() % self.columns, 0)?;
        if self.widths.iter().any(|width| *width != self.columns) {
            return Err(Error::invalid(
                "a step changes the number of columns: transform into another place",
            ));
        }
        self.order.iter().try_for_each(|step| step.in_place(rows))
    }

    fn transform_wide(&self, matrix: Matrix<'_, f64>, out: &mut [f64]) -> Result<()> {
        let (mut row, mut next) = (Vec::new(), Vec::new());
        for (from, to) in matrix
            .iter()
            .zip(out.chunks_exact_mut(self.outputs().max(1)))
        {
            row.clear();
            row.extend_from_slice(from);
            for (step, width) in self.order.iter().zip(&self.widths) {
                if matches!(step, Step::ImputeAndMark(_) | Step::Polynomial(_)) {
                    next.clear();
                    next.resize(*width, 0.0);
                    step.widen(&row, &mut next)?;
                    std::mem::swap(&mut row, &mut next);
                } else {
                    step.in_place(&mut row)?;
                }
            }
            to.copy_from_slice(&row);
        }
        Ok(())
    }
}
