//! [`Power`]: columns made more like a normal distribution.

use common::{Error, Result};
use serde::{Deserialize, Serialize};

use super::check::{finite, width};
use super::imputer::columns;
use super::matrix::{Float, Matrix, refuse_infinite};

/// Which family of powers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerFamily {
    /// `(x^lambda - 1) / lambda`, or the logarithm; of positive numbers only. Box and Cox 1964.
    BoxCox,
    /// The same of `x + 1`, mirrored for negative numbers. Yeo and Johnson 2000.
    YeoJohnson,
}

/// Powers of columns, whose exponents were fitted by maximum likelihood.
///
/// Given the exponents, results are within 1e-12 (relative) of scikit-learn's; the exponents themselves are found to
/// about 1e-6, the precision that the likelihood has at its flat top.
///
/// ```
/// use vectordb::transform::{Power, PowerFamily};
/// let power = Power::with_lambdas(PowerFamily::BoxCox, vec![0.0])?;
/// let mut row = [1.0];
/// power.transform(&mut row)?;
/// assert_eq!(row, [0.0]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Power {
    family: PowerFamily,
    lambdas: Vec<f64>,
}

impl Power {
    /// Finds the exponent of each column between -10 and 10; 1 (no change) for a constant column.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for an infinite value, a column without values, and a number that is not
    /// positive with [`PowerFamily::BoxCox`].
    pub fn fit(family: PowerFamily, matrix: Matrix<'_, f64>) -> Result<Self> {
        refuse_infinite(matrix)?;
        let columns = columns(matrix)?;
        for (column, values) in columns.iter().enumerate() {
            if let Some(least) = values
                .first()
                .filter(|x| family == PowerFamily::BoxCox && **x <= 0.0)
            {
                return Err(Error::invalid(format!(
                    "column {column} has the value {least}, but Box-Cox takes positive numbers: use Yeo-Johnson"
                )));
            }
        }
        let lambdas = columns.iter().map(|values| most_likely(family, values));
        Self::with_lambdas(family, lambdas.collect())
    }

    /// With exponents that are known.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for an exponent that is not finite.
    pub fn with_lambdas(family: PowerFamily, lambdas: Vec<f64>) -> Result<Self> {
        let power = Self { family, lambdas };
        power.check()?;
        Ok(power)
    }

    pub(crate) fn check(&self) -> Result<()> {
        finite("exponent", &self.lambdas)
    }

    /// How many columns were fitted.
    pub fn columns(&self) -> usize {
        self.lambdas.len()
    }

    /// The exponent of each column.
    pub fn lambdas(&self) -> &[f64] {
        &self.lambdas
    }

    /// Transforms whole rows in place, one or many; a number that is not positive becomes missing with
    /// [`PowerFamily::BoxCox`].
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `rows` ends within a row.
    #[expect(private_bounds, reason = "f32 and f64, and nothing else")]
    pub fn transform<T: Float>(&self, rows: &mut [T]) -> Result<()> {
        self.each(rows, |x, lambda| raise(self.family, x, lambda))
    }

    /// Undoes [`Power::transform`] in place, up to rounding.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `rows` ends within a row.
    pub fn inverse(&self, rows: &mut [f64]) -> Result<()> {
        self.each(rows, |y, lambda| match self.family {
            PowerFamily::BoxCox => unpower(y, lambda).exp(),
            PowerFamily::YeoJohnson if y >= 0.0 => unpower(y, lambda).exp_m1(),
            PowerFamily::YeoJohnson => -unpower(-y, 2.0 - lambda).exp_m1(),
        })
    }

    fn each<T: Float>(&self, rows: &mut [T], step: impl Fn(f64, f64) -> f64) -> Result<()> {
        width("a row", rows.len() % self.columns().max(1), 0)?;
        for row in rows.chunks_exact_mut(self.columns().max(1)) {
            for (x, lambda) in row.iter_mut().zip(&self.lambdas) {
                *x = T::narrow(step(x.wide(), *lambda));
            }
        }
        Ok(())
    }
}

fn raise(family: PowerFamily, x: f64, lambda: f64) -> f64 {
    match family {
        PowerFamily::BoxCox if x > 0.0 => power_of_log(x.ln(), lambda),
        PowerFamily::BoxCox => f64::NAN,
        PowerFamily::YeoJohnson if x >= 0.0 => power_of_log(x.ln_1p(), lambda),
        PowerFamily::YeoJohnson => -power_of_log((-x).ln_1p(), 2.0 - lambda),
    }
}

/// `(e^log ^ lambda - 1) / lambda`, without loss near zero.
fn power_of_log(log: f64, lambda: f64) -> f64 {
    if lambda.abs() < f64::EPSILON {
        log
    } else {
        (lambda * log).exp_m1() / lambda
    }
}

/// The logarithm that [`power_of_log`] started from.
fn unpower(y: f64, lambda: f64) -> f64 {
    if lambda.abs() < f64::EPSILON {
        y
    } else {
        (y * lambda).ln_1p() / lambda
    }
}

/// The exponent of greatest likelihood, by golden sections after a coarse search.
fn most_likely(family: PowerFamily, values: &[f64]) -> f64 {
    if values.first() == values.last() {
        return 1.0;
    }
    // The logarithm of the derivative, without the factor of lambda - 1.
    let slopes: f64 = (values.iter())
        .map(|x| match family {
            PowerFamily::BoxCox => x.ln(),
            PowerFamily::YeoJohnson => x.abs().ln_1p().copysign(*x),
        })
        .sum();
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts beyond 2^53 are out of reach"
    )]
    let count = values.len() as f64;
    let mut made = vec![0.0; values.len()];
    let mut likelihood = |lambda: f64| {
        for (y, x) in made.iter_mut().zip(values) {
            *y = raise(family, *x, lambda);
        }
        let mean = made.iter().sum::<f64>() / count;
        let variance = made.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / count;
        let log = -count / 2.0 * variance.ln() + (lambda - 1.0) * slopes;
        if log.is_finite() {
            log
        } else {
            f64::NEG_INFINITY
        }
    };
    let coarse = (-20..=20).map(|at| f64::from(at) / 2.0);
    let best = coarse.map(|lambda| (likelihood(lambda), lambda));
    let centre = best
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(1.0, |best| best.1);
    let golden = (5_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (centre - 0.5, centre + 0.5);
    let (mut a, mut b) = (high - golden, low + golden);
    let (mut of_a, mut of_b) = (likelihood(a), likelihood(b));
    while high - low > 1e-9 {
        if of_a > of_b {
            (high, b, of_b) = (b, a, of_a);
            a = high - golden * (high - low);
            of_a = likelihood(a);
        } else {
            (low, a, of_a) = (a, b, of_b);
            b = low + golden * (high - low);
            of_b = likelihood(b);
        }
    }
    f64::midpoint(low, high)
}
