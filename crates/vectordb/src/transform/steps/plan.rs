//! [`StepPlan`]: a step before its fit.

use common::Result;
use serde::{Deserialize, Serialize};

use super::{Step, Steps};
use crate::transform::binner::Binning;
use crate::transform::imputer::Filling;
use crate::transform::normalizer::Norm;
use crate::transform::power::PowerFamily;
use crate::transform::scaler::Scaling;
use crate::transform::{
    Binner, Imputer, Matrix, Normalizer, Polynomial, Power, QuantileMap, Scaler,
};

/// What a step is to be, before training data say the rest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StepPlan {
    /// [`Step::Scale`].
    Scale(Scaling),
    /// [`Step::Normalize`].
    Normalize(Norm),
    /// [`Step::Impute`].
    Impute(Filling),
    /// [`Step::ImputeAndMark`].
    ImputeAndMark(Filling),
    /// [`Step::Clip`].
    Clip {
        /// The least number.
        low: f64,
        /// The greatest number.
        high: f64,
    },
    /// [`Step::Log1p`].
    Log1p,
    /// [`Step::Bin`].
    Bin {
        /// How the range of a column is cut.
        binning: Binning,
        /// Into how many intervals.
        bins: usize,
    },
    /// [`Step::Quantile`], with so many quantiles.
    Quantile(usize),
    /// [`Step::Power`].
    Power(PowerFamily),
    /// [`Step::Polynomial`].
    Polynomial {
        /// How many columns are multiplied at most.
        degree: usize,
        /// Whether no column is multiplied with itself.
        interaction_only: bool,
    },
}

impl StepPlan {
    /// Whether training data say a part of it.
    pub(in crate::transform) const fn learns(self) -> bool {
        match self {
            Self::Scale(_) | Self::Bin { .. } | Self::Quantile(_) | Self::Power(_) => true,
            Self::Impute(filling) | Self::ImputeAndMark(filling) => {
                !matches!(filling, Filling::Constant(_))
            }
            Self::Normalize(_) | Self::Clip { .. } | Self::Log1p | Self::Polynomial { .. } => false,
        }
    }

    /// The step on `columns` columns, if it learns nothing.
    pub(super) fn ready(self, columns: usize) -> Option<Result<Step>> {
        let none = || Matrix::with_stride(&[], 0, columns, columns);
        (!self.learns()).then(|| none().and_then(|rows| self.fit(rows)))
    }

    fn fit(self, matrix: Matrix<'_, f64>) -> Result<Step> {
        let columns = matrix.columns();
        Ok(match self {
            Self::Scale(scaling) => Step::Scale(Scaler::fit(scaling, matrix)?),
            Self::Normalize(norm) => Step::Normalize(Normalizer::new(norm, columns)),
            Self::Impute(filling) => Step::Impute(Imputer::fit(filling, matrix)?),
            Self::ImputeAndMark(filling) => Step::ImputeAndMark(Imputer::fit(filling, matrix)?),
            Self::Clip { low, high } => Step::Clip { low, high },
            Self::Log1p => Step::Log1p,
            Self::Bin { binning, bins } => Step::Bin(Binner::fit(binning, bins, matrix)?),
            Self::Quantile(count) => Step::Quantile(QuantileMap::fit(count, matrix)?),
            Self::Power(family) => Step::Power(Power::fit(family, matrix)?),
            Self::Polynomial {
                degree,
                interaction_only,
            } => Step::Polynomial(Polynomial::new(columns, degree, interaction_only)?),
        })
    }
}

impl Steps {
    /// Fits steps in order, each on what the ones before it make of `matrix`.
    ///
    /// ```
    /// use vectordb::transform::{Filling, Matrix, Scaling, StepPlan, Steps};
    /// let ages = [20.0, f64::NAN, 40.0];
    /// let plan = [StepPlan::Impute(Filling::Mean), StepPlan::Scale(Scaling::MIN_MAX)];
    /// let steps = Steps::fit(&plan, Matrix::new(&ages, 1)?)?;
    /// let mut out = [0.0];
    /// steps.transform_row(&[f64::NAN], &mut out)?;
    /// assert_eq!(out, [0.5]);
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// As the fit of a step, which is named by its place.
    pub fn fit(plan: &[StepPlan], matrix: Matrix<'_, f64>) -> Result<Self> {
        let mut order = Vec::with_capacity(plan.len());
        let (mut made, mut columns) = (Vec::new(), matrix.columns());
        for (at, step) in plan.iter().enumerate() {
            let place = |e: common::Error| e.at(format!("step {at}"));
            let input = if at == 0 {
                matrix
            } else {
                Matrix::new(&made, columns)?
            };
            let fitted = step.fit(input).map_err(place)?;
            if at + 1 < plan.len() {
                // Not reached by the last one: nobody is fitted on what it makes.
                let alone = Self::new(columns, vec![fitted.clone()]).map_err(place)?;
                let mut next = vec![0.0; input.rows() * alone.outputs()];
                alone.transform(input, &mut next)?;
                (made, columns) = (next, alone.outputs());
            }
            order.push(fitted);
        }
        Self::new(matrix.columns(), order)
    }
}
