//! [`Posterior`] and [`weigh`]: how likely each variant is the best, and what choosing it would cost.

use common::{Error, Result};
use serde::{Deserialize, Serialize};
use statrs::function::beta::{beta_reg, ln_beta};

use super::distribution::normal_above;
use super::moments::{Moments, float};

/// What is believed of a variant's mean after its data.
///
/// ```
/// use vectordb::experiment::Posterior;
/// let belief = Posterior::of_proportion([10, 3], [1.0, 1.0])?;
/// assert_eq!(belief, Posterior::Beta { a: 4.0, b: 8.0 });
/// assert!((belief.mean() - 1.0 / 3.0).abs() < 1e-12);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Posterior {
    /// A share of successes.
    Beta {
        /// Successes, those believed before among them.
        a: f64,
        /// Failures likewise.
        b: f64,
    },
    /// A mean.
    Normal {
        /// Where it is.
        mean: f64,
        /// How far it may be off.
        deviation: f64,
    },
}

impl Posterior {
    /// From units and successes, with the `a` and `b` of a beta prior, 1 or more each: `[1.0, 1.0]` knows nothing.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a prior below 1 and for more successes than units.
    pub fn of_proportion([n, successes]: [u64; 2], prior: [f64; 2]) -> Result<Self> {
        let [a, b] = prior;
        if successes > n || !(a >= 1.0 && b >= 1.0 && a.is_finite() && b.is_finite()) {
            return Err(Error::invalid(format!(
                "a beta posterior takes successes among units and a prior of 1 or more, not {successes} of {n} and {prior:?}"
            )));
        }
        Ok(Self::Beta {
            a: a + float(successes),
            b: b + float(n - successes),
        })
    }

    /// From a sample with a normal prior `[mean, deviation]`, or none.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a sample without variance, which says nothing of its own precision, and for a
    /// prior without deviation.
    pub fn of_mean(sample: &Moments, prior: Option<[f64; 2]>) -> Result<Self> {
        let variance = sample.variance().filter(|v| *v > 0.0 && v.is_finite());
        let Some(variance) = variance else {
            return Err(Error::invalid(
                "a normal posterior takes a sample that varies",
            ));
        };
        let precision = float(sample.n) / variance;
        let [before, weight] = match prior {
            None => [0.0, 0.0],
            Some([mean, deviation]) if mean.is_finite() && deviation > 0.0 => {
                [mean, 1.0 / (deviation * deviation)]
            }
            Some(_) => return Err(Error::invalid("a normal prior has a positive deviation")),
        };
        let sum = precision + weight;
        Ok(Self::Normal {
            mean: (precision * sample.mean + weight * before) / sum,
            deviation: sum.sqrt().recip(),
        })
    }

    /// The expected value.
    pub fn mean(&self) -> f64 {
        match self {
            Self::Beta { a, b } => a / (a + b),
            Self::Normal { mean, .. } => *mean,
        }
    }

    fn deviation(&self) -> f64 {
        match self {
            Self::Beta { a, b } => (a * b / (a + b + 1.0)).sqrt() / (a + b),
            Self::Normal { deviation, .. } => *deviation,
        }
    }

    fn density(&self, x: f64) -> f64 {
        match self {
            Self::Beta { a, b } => {
                ((a - 1.0) * x.ln() + (b - 1.0) * (-x).ln_1p() - ln_beta(*a, *b)).exp()
            }
            Self::Normal { mean, deviation } => {
                let z = (x - mean) / deviation;
                (-0.5 * z * z).exp() / (deviation * (2.0 * std::f64::consts::PI).sqrt())
            }
        }
    }

    fn below(&self, x: f64) -> f64 {
        match self {
            Self::Beta { a, b } => beta_reg(*a, *b, x.clamp(0.0, 1.0)),
            Self::Normal { mean, deviation } => normal_above((mean - x) / deviation),
        }
    }

    fn limits(&self) -> [f64; 2] {
        let reach = 12.0 * self.deviation();
        let [low, high] = [self.mean() - reach, self.mean() + reach];
        match self {
            Self::Beta { .. } => [low.max(0.0), high.min(1.0)],
            Self::Normal { .. } => [low, high],
        }
    }
}

/// What speaks for one of several variants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The probability that it is the best.
    pub best: f64,
    /// How much less than the best it brings, in expectation: what choosing it costs.
    pub expected_loss: f64,
}

/// Nodes and weights of Gauss-Legendre quadrature with 10 points, one half of them.
const NODES: [[f64; 2]; 5] = [
    [0.148_874_338_981_631_22, 0.295_524_224_714_752_87],
    [0.433_395_394_129_247_2, 0.269_266_719_309_996_35],
    [0.679_409_568_299_024_4, 0.219_086_362_515_982_04],
    [0.865_063_366_688_984_5, 0.149_451_349_150_580_6],
    [0.973_906_528_517_171_7, 0.066_671_344_308_688_14],
];

/// Weighs variants whose larger mean is better, by quadrature: no sampling, so the same answer each time.
///
/// Cost: some thousand evaluations of each posterior.
///
/// ```
/// use vectordb::experiment::{Posterior, weigh};
/// let of = |successes| Posterior::of_proportion([1000, successes], [1.0, 1.0]);
/// let verdicts = weigh(&[of(100)?, of(130)?])?;
/// assert!(verdicts[1].best > 0.97 && verdicts[1].expected_loss < verdicts[0].expected_loss);
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// [`common::ErrorKind::Invalid`] for a posterior without finite mean and positive deviation.
pub fn weigh(posteriors: &[Posterior]) -> Result<Vec<Verdict>> {
    for posterior in posteriors {
        let deviation = posterior.deviation();
        if !posterior.mean().is_finite() || !deviation.is_finite() || deviation <= 0.0 {
            return Err(Error::invalid(format!("{posterior:?} is no distribution")));
        }
    }
    let limits = posteriors.iter().map(Posterior::limits);
    let (low, high) = limits.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), [l, h]| {
        (low.min(l), high.max(h))
    });
    // Panels as fine as each posterior needs where it is.
    let mut edges = vec![low, high];
    for posterior in posteriors {
        let step = posterior.deviation() / 2.0;
        edges.extend((-24..=24).map(|k| posterior.mean() + f64::from(k) * step));
    }
    edges.retain(|edge| (low..=high).contains(edge));
    edges.sort_by(f64::total_cmp);
    let mut best = vec![0.0; posteriors.len()];
    // The expected value of the largest: what lies above `low`, by the complement of its distribution.
    let mut largest = low;
    let mut below = vec![0.0; posteriors.len()];
    for pair in edges.windows(2) {
        let [from, to] = pair else { continue };
        let (middle, half) = (f64::midpoint(*from, *to), (to - from) / 2.0);
        for [node, weight] in NODES {
            for x in [middle - half * node, middle + half * node] {
                for (place, posterior) in below.iter_mut().zip(posteriors) {
                    *place = posterior.below(x);
                }
                largest += half * weight * (1.0 - below.iter().product::<f64>());
                for (number, posterior) in posteriors.iter().enumerate() {
                    let others = below
                        .iter()
                        .enumerate()
                        .filter(|(other, _)| *other != number);
                    let others: f64 = others.map(|(_, below)| below).product();
                    if let Some(sum) = best.get_mut(number) {
                        *sum += half * weight * posterior.density(x) * others;
                    }
                }
            }
        }
    }
    let verdict = |(posterior, best): (&Posterior, f64)| Verdict {
        best: best.clamp(0.0, 1.0),
        expected_loss: (largest - posterior.mean()).max(0.0),
    };
    Ok(posteriors.iter().zip(best).map(verdict).collect())
}
