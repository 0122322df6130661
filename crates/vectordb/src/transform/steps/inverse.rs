//! [`Steps::inverse`]: back from what came out to what went in.

use common::{Error, Result};

use super::{Step, Steps};
use crate::transform::check::width;
use crate::transform::matrix::Matrix;

impl Steps {
    /// Undoes [`Steps::transform`] up to rounding: rows of [`Steps::outputs`] numbers into `out`, row after row of
    /// [`Steps::columns`].
    ///
    /// Intervals become their middles, and what was clipped by a scaler stays clipped.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when a step, which is named, has no inverse (normalisation, imputation without
    /// marks, clipping), for another width or length, and for numbers that a step cannot have made.
    pub fn inverse(&self, matrix: Matrix<'_, f64>, out: &mut [f64]) -> Result<()> {
        width("a row", matrix.columns(), self.outputs())?;
        let made = matrix.rows().checked_mul(self.columns);
        width("the output", out.len(), made.unwrap_or(usize::MAX))?;
        let mut row = Vec::with_capacity(self.outputs());
        for (from, to) in matrix.iter().zip(out.chunks_exact_mut(self.columns)) {
            row.clear();
            row.extend_from_slice(from);
            for (at, step) in self.order.iter().enumerate().rev() {
                step.invert(&mut row)
                    .map_err(|e| e.at(format!("step {at}, {}", step.word())))?;
            }
            to.copy_from_slice(&row);
        }
        Ok(())
    }
}

impl Step {
    /// Undoes the step on one row.
    fn invert(&self, row: &mut Vec<f64>) -> Result<()> {
        let none = |why: &str| Err(Error::invalid(format!("it has no inverse: {why}")));
        match self {
            Self::Scale(scaler) => scaler.inverse(row),
            Self::Power(power) => power.inverse(row),
            Self::Bin(binner) => binner.inverse(row),
            Self::Quantile(map) => map.inverse(row),
            Self::Log1p => {
                for x in row {
                    *x = x.exp_m1();
                }
                Ok(())
            }
            Self::ImputeAndMark(imputer) => {
                let (values, marks) = row.split_at_mut(imputer.columns());
                for (x, mark) in values.iter_mut().zip(marks) {
                    *x = if *mark == 0.0 { *x } else { f64::NAN };
                }
                row.truncate(imputer.columns());
                Ok(())
            }
            Self::Polynomial(polynomial) => {
                // Products of one factor come first.
                row.truncate(polynomial.columns());
                Ok(())
            }
            Self::Normalize(_) => none("the length of a row is not kept"),
            Self::Impute(_) => none("what was missing is not marked"),
            Self::Clip { .. } => none("what was clipped is not kept"),
        }
    }

    /// The word for it in the JSON form.
    pub(in crate::transform) const fn word(&self) -> &'static str {
        match self {
            Self::Scale(_) => "scale",
            Self::Normalize(_) => "normalize",
            Self::Impute(_) => "impute",
            Self::ImputeAndMark(_) => "impute_and_mark",
            Self::Clip { .. } => "clip",
            Self::Log1p => "log1p",
            Self::Bin(_) => "bin",
            Self::Quantile(_) => "quantile",
            Self::Power(_) => "power",
            Self::Polynomial(_) => "polynomial",
        }
    }
}
