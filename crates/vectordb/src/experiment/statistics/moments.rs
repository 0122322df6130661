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

/// A sum with the rounding errors of its additions added up beside it (Ogita, Rump and Oishi 2005), in lanes.
fn exact_sum(values: &[f64], map: impl Fn(f64) -> f64) -> f64 {
    let mut sums = [0.0; 4];
    let mut errors = [0.0; 4];
    let mut add = |lane: usize, x: f64| {
        if let (Some(sum), Some(error)) = (sums.get_mut(lane), errors.get_mut(lane)) {
            (*sum, *error) = two_sum(*sum, x, *error);
        }
    };
    let (blocks, rest) = values.as_chunks::<4>();
    for block in blocks {
        for (lane, x) in block.iter().enumerate() {
            add(lane, map(*x));
        }
    }
    for x in rest {
        add(0, map(*x));
    }
    let mut total = (0.0, errors.iter().sum::<f64>());
    for sum in sums {
        total = two_sum(total.0, sum, total.1);
    }
    // The error of a sum that is not finite is NaN.
    if total.0.is_finite() {
        total.0 + total.1
    } else {
        values.iter().map(|x| map(*x)).sum()
    }
}

/// The rounded sum, and `error` with what the rounding took (Knuth).
#[inline]
fn two_sum(sum: f64, x: f64, error: f64) -> (f64, f64) {
    let total = sum + x;
    let part = total - sum;
    (total, error + ((sum - (total - part)) + (x - part)))
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

    /// Of values that are all at hand, with the digits of sums in twice the width: the mean of whole numbers is rounded
    /// once, equal values have no squares, and squares lose nothing to a large mean. NaN and infinities make the results
    /// what IEEE arithmetic makes of them.
    ///
    /// ```
    /// use vectordb::experiment::Moments;
    /// let far = Moments::of(&[1e9, 1e9 + 1.0, 1e9 + 2.0]);
    /// assert_eq!((far.mean, far.squares), (1e9 + 1.0, 2.0));
    /// assert_eq!(Moments::of(&[0.1; 3]).squares, 0.0);
    /// ```
    pub fn of(values: &[f64]) -> Self {
        let Some(first) = values.first() else {
            return Self::default();
        };
        let n = values.len() as u64;
        if first.is_finite() && values.iter().all(|x| x.to_bits() == first.to_bits()) {
            return Self {
                n,
                mean: *first,
                squares: 0.0,
            };
        }
        let count = float(n);
        let mut mean = exact_sum(values, |x| x) / count;
        if mean.is_infinite() && values.iter().all(|x| x.is_finite()) {
            mean = exact_sum(values, |x| x / count);
        }
        let squares = exact_sum(values, |x| (x - mean) * (x - mean));
        // What the rounding of the mean adds to every distance (Chan, Golub and `LeVeque` 1983).
        let off = exact_sum(values, |x| x - mean);
        let squares = if squares.is_finite() {
            (squares - off * off / count).max(0.0)
        } else {
            squares
        };
        Self { n, mean, squares }
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

    /// The variance of the values as a whole population; none of no value.
    pub fn population_variance(&self) -> Option<f64> {
        (self.n > 0).then(|| self.squares / float(self.n))
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

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "exact means are compared")]

    use super::*;

    #[test]
    fn values_at_hand_are_summed_without_loss() {
        assert_eq!(Moments::of(&[1e16, 1.0, -1e16, 1.0, 1.0]).mean, 0.6);
        let large = Moments::of(&[f64::MAX, f64::MAX, 1.0]).mean / f64::MAX;
        assert!((large - 2.0 / 3.0).abs() < 1e-15);
        assert!(Moments::of(&[1.0, f64::NAN]).mean.is_nan());
        assert_eq!(Moments::of(&[1.0, f64::INFINITY]).mean, f64::INFINITY);
        assert_eq!(
            Moments::of(&[0.1; 7]),
            Moments {
                n: 7,
                mean: 0.1,
                squares: 0.0
            }
        );
        let welford: Moments = (0..1000).map(|i| f64::from(i * i % 37)).collect();
        let values: Vec<f64> = (0..1000).map(|i| f64::from(i * i % 37)).collect();
        let all = Moments::of(&values);
        assert!((all.squares - welford.squares).abs() < 1e-9 * all.squares);
        assert_eq!(all.mean, values.iter().sum::<f64>() / 1000.0);
    }
}
