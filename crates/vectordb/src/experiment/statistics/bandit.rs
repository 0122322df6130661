//! [`Bandit`]: which variant the next unit gets, by what the units before brought.

use common::utils::id_generator::SeededRng;
use common::utils::validation::check_in_range;
use common::{Error, Result};
use serde::{Deserialize, Serialize};

use super::moments::float;

/// What one variant brought so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Arm {
    /// Units with success.
    pub successes: u64,
    /// Units without.
    pub failures: u64,
}

/// Chooses variants, more often those that brought more; the same seed, the same choices.
///
/// ```
/// use vectordb::experiment::{Arm, Bandit};
/// let arms = [Arm { successes: 5, failures: 95 }, Arm { successes: 50, failures: 50 }];
/// let bandit = Bandit::new(7);
/// let better = (0..100).filter(|_| bandit.thompson(&arms).is_ok_and(|arm| arm == 1)).count();
/// assert_eq!(better, 100);
/// ```
#[derive(Debug)]
pub struct Bandit(SeededRng);

impl Bandit {
    /// Choices that follow from a seed.
    pub fn new(seed: u64) -> Self {
        Self(SeededRng::new(seed))
    }

    /// Thompson sampling (1933) with a uniform prior: each arm as often as it is the best in what is known.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] without arms.
    pub fn thompson(&self, arms: &[Arm]) -> Result<usize> {
        let drawn = arms.iter().map(|arm| {
            let successes = self.gamma(float(arm.successes) + 1.0);
            let failures = self.gamma(float(arm.failures) + 1.0);
            successes / (successes + failures)
        });
        largest(drawn)
    }

    /// The arm with the best rate so far, an untried one before all; with probability `epsilon`, any.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] without arms and for an `epsilon` outside 0..=1.
    pub fn epsilon_greedy(&self, arms: &[Arm], epsilon: f64) -> Result<usize> {
        check_in_range("epsilon", epsilon, 0.0..=1.0)?;
        if self.uniform() < epsilon {
            return largest(arms.iter().map(|_| self.uniform()));
        }
        largest(arms.iter().map(|arm| {
            let units = float(arm.successes.saturating_add(arm.failures));
            if units == 0.0 {
                f64::INFINITY
            } else {
                float(arm.successes) / units
            }
        }))
    }

    /// In the open interval 0..1.
    fn uniform(&self) -> f64 {
        (float(self.0.next_u64() >> 12) + 0.5) / float(1 << 52)
    }

    fn normal(&self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.uniform()).cos()
    }

    /// A draw of the gamma distribution with a shape of 1 or more (Marsaglia and Tsang 2000).
    fn gamma(&self, shape: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let root = 1.0 + c * x;
            if root > 0.0 {
                let v = root * root * root;
                if self.uniform().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                    return d * v;
                }
            }
        }
    }
}

fn largest(values: impl Iterator<Item = f64>) -> Result<usize> {
    let best = values.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    best.map(|(at, _)| at)
        .ok_or_else(|| Error::invalid("a bandit has one arm or more"))
}
