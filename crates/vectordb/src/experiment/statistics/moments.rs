//! [`Moments`] and [`PairMoments`]: what is kept of samples, whatever their number.

use serde::{Deserialize, Serialize};

/// Number, mean and squares of a sample.
///
/// Squares are kept as deviations from the mean, so that a large mean costs no digits (Welford 1962; merging by Chan,
/// Golub and `LeVeque` 1979). Cost: three numbers.
///
/// ```
/// use vectordb::experiment::Moments;
/// let mut left: Moments = [1.0, 2.0].into_iter().collect();
/// left.merge(&[3.0, 4.0].into_iter().collect());
/// assert_eq!((left.n, left.mean, left.variance()), (4, 2.5, Some(5.0 / 3.0)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moments {
    /// How many values.
    pub n: u64,
    /// Their mean; 0 of none.
    pub mean: f64,
    /// The sum of squared deviations from the mean.
    pub squares: f64,
}

#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
pub(super) fn float(n: u64) -> f64 {
    n as f64
}

impl Moments {
    /// From the number of values, their sum and the sum of their squares.
    pub fn from_sums(n: u64, sum: f64, sum_of_squares: f64) -> Self {
        if n == 0 {
            return Self::default();
        }
        let mean = sum / float(n);
        Self {
            n,
            mean,
            squares: (sum_of_squares - sum * mean).max(0.0),
        }
    }

    /// Of a sample of zeros and ones.
    pub fn of_proportion(n: u64, successes: u64) -> Self {
        let sum = float(successes);
        Self::from_sums(n, sum, sum)
    }

    /// Takes one more value in.
    #[inline]
    pub fn push(&mut self, value: f64) {
        self.n += 1;
        let before = value - self.mean;
        self.mean += before / float(self.n);
        self.squares += before * (value - self.mean);
    }

    /// Takes another sample in.
    pub fn merge(&mut self, other: &Self) {
        let (a, b) = (float(self.n), float(other.n));
        if other.n == 0 {
            return;
        }
        let apart = other.mean - self.mean;
        self.n += other.n;
        self.mean += apart * b / (a + b);
        self.squares += other.squares + apart * apart * a * b / (a + b);
    }

    /// The sample variance; none of fewer than two values.
    pub fn variance(&self) -> Option<f64> {
        (self.n > 1).then(|| self.squares / float(self.n - 1))
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Self::default();
        values.into_iter().for_each(|value| moments.push(value));
        moments
    }
}

/// As [`Moments`] for pairs of values, with their products: a metric and its covariate, a numerator and its denominator.
///
/// ```
/// use vectordb::experiment::PairMoments;
/// let pairs: PairMoments = [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)].into_iter().collect();
/// assert_eq!((pairs.first.mean, pairs.covariance()), (2.0, Some(2.0)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairMoments {
    /// Of the first values.
    pub first: Moments,
    /// Of the second values, as many.
    pub second: Moments,
    /// The sum of products of deviations from the means.
    pub products: f64,
}

impl PairMoments {
    /// Takes one more pair in.
    #[inline]
    pub fn push(&mut self, first: f64, second: f64) {
        let before = first - self.first.mean;
        self.first.push(first);
        self.second.push(second);
        self.products += before * (second - self.second.mean);
    }

    /// Takes another sample in.
    pub fn merge(&mut self, other: &Self) {
        let (a, b) = (float(self.first.n), float(other.first.n));
        if other.first.n == 0 {
            return;
        }
        let first = other.first.mean - self.first.mean;
        let second = other.second.mean - self.second.mean;
        self.products += other.products + first * second * a * b / (a + b);
        self.first.merge(&other.first);
        self.second.merge(&other.second);
    }

    /// The sample covariance; none of fewer than two pairs.
    pub fn covariance(&self) -> Option<f64> {
        (self.first.n > 1).then(|| self.products / float(self.first.n - 1))
    }
}

impl FromIterator<(f64, f64)> for PairMoments {
    fn from_iter<I: IntoIterator<Item = (f64, f64)>>(pairs: I) -> Self {
        let mut moments = Self::default();
        pairs.into_iter().for_each(|(a, b)| moments.push(a, b));
        moments
    }
}
