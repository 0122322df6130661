//! [`Steps`]: fitted transformations of numbers, one after another.

mod fit;
mod inverse;
mod json;
mod plan;

use common::{Error, Result};
use serde::{Deserialize, Serialize};

use super::check::{finite, width};
use super::matrix::Float;
use super::rows::{by_number, clamp};
use super::{Binner, Imputer, Matrix, Normalizer, Polynomial, Power, QuantileMap, Scaler};
use crate::core::wide;
pub(in crate::transform) use fit::Prepared;
pub use fit::StepsFit;
pub use json::STEPS_SCHEMA;
pub use plan::StepPlan;

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

    const fn keeps_width(&self) -> bool {
        !matches!(self, Self::ImputeAndMark(_) | Self::Polynomial(_))
    }

    /// Whether it makes of each number, by itself, another one, and nothing of a missing one.
    const fn is_by_number(&self) -> bool {
        matches!(self, Self::Clip { .. } | Self::Log1p)
    }

    /// Transforms whole rows that keep their width: those of `from`, or else those in `out`, into `out`.
    fn apply<T: Float>(&self, from: Option<&Matrix<'_, T>>, out: &mut [T]) -> Result<()> {
        // The first two are as fast as memory: they read where the numbers are.
        match self {
            Self::Scale(scaler) => {
                scaler.apply(from, out);
                return Ok(());
            }
            Self::Impute(imputer) => {
                imputer.apply(from, out);
                return Ok(());
            }
            Self::Clip { low, high } => {
                let (low, high) = (T::narrow(*low), T::narrow(*high));
                wide(
                    #[inline(always)]
                    || by_number(from, out, |x| clamp(x, low, high)),
                );
                return Ok(());
            }
            _ => {}
        }
        if let Some(from) = from {
            copy(from, out);
        }
        match self {
            Self::Normalize(normalizer) => normalizer.transform(out),
            Self::Bin(binner) => binner.transform(out),
            Self::Quantile(map) => map.transform(out),
            Self::Power(power) => power.transform(out),
            Self::Log1p => {
                for x in out {
                    let wide = x.wide();
                    *x = T::narrow(if wide > -1.0 { wide.ln_1p() } else { f64::NAN });
                }
                Ok(())
            }
            Self::Scale(_) | Self::Impute(_) | Self::Clip { .. } => Ok(()),
            // These two change the width.
            Self::ImputeAndMark(_) | Self::Polynomial(_) => Ok(()),
        }
    }

    /// Transforms one row into another of another width.
    fn widen<T: Float>(&self, row: &[T], out: &mut [T]) -> Result<()> {
        match self {
            Self::ImputeAndMark(imputer) => {
                let (values, marks) = out.split_at_mut(row.len().min(out.len()));
                imputer.indicate(row, marks)?;
                imputer.apply(Some(&Matrix::of_row(row)), values);
                Ok(())
            }
            Self::Polynomial(polynomial) => polynomial.transform_row(row, out),
            _ => Ok(()),
        }
    }

    /// Names of the columns that it makes.
    fn names(&self, mut inputs: Vec<String>) -> Vec<String> {
        match self {
            Self::ImputeAndMark(_) => {
                let marks = inputs.iter().map(|name| format!("missingindicator_{name}"));
                let marks: Vec<String> = marks.collect();
                inputs.extend(marks);
                inputs
            }
            Self::Polynomial(polynomial) => polynomial.names(&inputs),
            _ => inputs,
        }
    }
}

fn copy<T: Float>(from: &Matrix<'_, T>, out: &mut [T]) {
    for (to, from) in out.chunks_exact_mut(from.columns().max(1)).zip(from.iter()) {
        to.copy_from_slice(from);
    }
}

/// Fitted transformations of numbers in order, as one: written as JSON with every bit of its numbers.
///
/// Rows go through all steps in blocks that stay in the cache; the first step reads them where they are. Steps that keep
/// the number of columns allocate nothing; only those that change it need room besides.
///
/// Numbers are 64 or 32 bits wide. Of the latter, scaling, imputation, clipping, normalisation and products are computed
/// in 32 bits with fitted numbers that are rounded to them, as scikit-learn does; everything else in 64 bits, and rounded
/// once.
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
    keep_width: bool,
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
            keep_width: steps.iter().all(Step::keeps_width),
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

    /// Whether rows keep their number of columns through every step.
    pub const fn keep_width(&self) -> bool {
        self.keep_width
    }

    /// Names of the columns that come out, from those of the columns that go in, with scikit-learn's words for
    /// products (`a b`, `a^2`) and marks (`missingindicator_a`).
    pub fn names(&self, inputs: &[String]) -> Vec<String> {
        let steps = self.order.iter();
        steps.fold(inputs.to_vec(), |names, step| step.names(names))
    }

    /// Transforms the rows of `matrix` into `out`, row after row of [`Steps::outputs`] numbers.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the matrix has other columns or `out` another length.
    #[expect(private_bounds, reason = "f32 and f64, and nothing else")]
    pub fn transform<T: Float>(&self, matrix: Matrix<'_, T>, out: &mut [T]) -> Result<()> {
        width("a row", matrix.columns(), self.columns)?;
        let made = matrix.rows().checked_mul(self.outputs());
        width("the output", out.len(), made.unwrap_or(usize::MAX))?;
        if !self.keep_width {
            return self.transform_wide(matrix, out);
        }
        match &self.order[..] {
            [] => {
                copy(&matrix, out);
                Ok(())
            }
            [only] => only.apply(Some(&matrix), out),
            [first, rest @ ..] => {
                let rows = (BLOCK_BYTES / size_of::<T>() / self.columns).max(1);
                for (at, block) in out.chunks_mut(rows * self.columns).enumerate() {
                    let from = matrix.part(at * rows..(at + 1) * rows, 0..self.columns);
                    first.apply(Some(&from), block)?;
                    rest.iter().try_for_each(|step| step.apply(None, block))?;
                }
                Ok(())
            }
        }
    }

    /// Transforms one row; allocates nothing if [`Steps::keep_width`].
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `row` has not [`Steps::columns`] numbers or `out` not [`Steps::outputs`].
    #[expect(private_bounds, reason = "f32 and f64, and nothing else")]
    pub fn transform_row<T: Float>(&self, row: &[T], out: &mut [T]) -> Result<()> {
        width("the row", row.len(), self.columns)?;
        width("the output", out.len(), self.outputs())?;
        let row = Matrix::of_row(row);
        if !self.keep_width {
            return self.transform_wide(row, out);
        }
        match &self.order[..] {
            [] => {
                copy(&row, out);
                Ok(())
            }
            [first, rest @ ..] => {
                first.apply(Some(&row), out)?;
                rest.iter().try_for_each(|step| step.apply(None, out))
            }
        }
    }

    /// Transforms whole rows in place, one or many: what a gather calls on rows that it has just copied. Allocates
    /// nothing.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `rows` ends within a row, and when a step changes the number of columns.
    #[expect(private_bounds, reason = "f32 and f64, and nothing else")]
    pub fn transform_in_place<T: Float>(&self, rows: &mut [T]) -> Result<()> {
        width("a row", rows.len() % self.columns, 0)?;
        if !self.keep_width {
            return Err(Error::invalid(
                "a step changes the number of columns: transform into another place",
            ));
        }
        let block = (BLOCK_BYTES / size_of::<T>() / self.columns).max(1) * self.columns;
        for rows in rows.chunks_mut(block) {
            self.order
                .iter()
                .try_for_each(|step| step.apply(None, rows))?;
        }
        Ok(())
    }

    fn transform_wide<T: Float>(&self, matrix: Matrix<'_, T>, out: &mut [T]) -> Result<()> {
        let (mut row, mut next) = (Vec::new(), Vec::new());
        for (from, to) in matrix
            .iter()
            .zip(out.chunks_exact_mut(self.outputs().max(1)))
        {
            row.clear();
            row.extend_from_slice(from);
            for (step, width) in self.order.iter().zip(&self.widths) {
                if step.keeps_width() {
                    step.apply(None, &mut row)?;
                } else {
                    next.clear();
                    next.resize(*width, T::default());
                    step.widen(&row, &mut next)?;
                    std::mem::swap(&mut row, &mut next);
                }
            }
            to.copy_from_slice(&row);
        }
        Ok(())
    }
}
