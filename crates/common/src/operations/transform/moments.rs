//! [`Moments`]: count, mean, variance and extremes in one pass, over parts that are merged.

use serde::{Deserialize, Serialize};

/// Values that [`Moments::extend`] takes at once: they stay in the first-level cache for their second pass.
const CHUNK: usize = 256;

/// Count, mean, variance, minimum and maximum of numbers, in one pass and constant memory.
///
/// Parts that were counted separately (on other threads, on other days) [merge](Moments::merge) to what one
/// pass over everything gives, up to rounding; the algorithm (Welford's for single values, two passes within
/// a chunk, Chan's merge) stays accurate where the sum of squares loses everything to cancellation.
///
/// NaN and infinities have no mean: they are counted in [`Moments::skipped`] and change nothing else.
///
/// ```
/// use common::operations::transform::Moments;
/// let mut monday: Moments = [1e9 + 4.0, 1e9 + 7.0].into_iter().collect();
/// let tuesday: Moments = [1e9 + 13.0, 1e9 + 16.0, f64::NAN].into_iter().collect();
/// monday.merge(&tuesday);
/// assert_eq!(monday.count(), 4);
/// assert_eq!(monday.mean(), Some(1e9 + 10.0));
/// assert_eq!(monday.variance(), Some(22.5));
/// assert_eq!(monday.skipped(), 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    count: u64,
    skipped: u64,
    mean: f64,
    /// Sum of the squared distances from the mean.
    squares: f64,
    min: f64,
    max: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            count: 0,
            skipped: 0,
            mean: 0.0,
            squares: 0.0,
            // Replaced by the first value; never shown before.
            min: f64::MAX,
            max: f64::MIN,
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^53 are out of reach"
)]
impl Moments {
    /// The moments of no number.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one number.
    #[inline]
    pub fn push(&mut self, value: f64) {
        if !value.is_finite() {
            self.skipped += 1;
            return;
        }
        self.count += 1;
        let before = value - self.mean;
        self.mean = step(self.mean, value, 1.0, self.count as f64);
        self.squares += before * (value - self.mean);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Counts many numbers: faster and more accurate than one by one.
    pub fn extend(&mut self, values: &[f64]) {
        for chunk in values.chunks(CHUNK) {
            let (sum, min, max) = lanes(chunk, (0.0, f64::MAX, f64::MIN), |(s, min, max), v| {
                (s + v, min.min(v), max.max(v))
            })
            .into_iter()
            .fold((0.0, f64::MAX, f64::MIN), |(s, min, max), lane| {
                (s + lane.0, min.min(lane.1), max.max(lane.2))
            });
            // The sum is not finite if any value is not, or if finite values overflow it: one by one then.
            if !f64::is_finite(sum) {
                for value in chunk {
                    self.push(*value);
                }
                continue;
            }
            let mean = sum / chunk.len() as f64;
            let squares = lanes(chunk, 0.0, |s: f64, v| s + (v - mean) * (v - mean));
            self.merge(&Self {
                count: chunk.len() as u64,
                skipped: 0,
                mean,
                squares: squares.iter().sum(),
                min,
                max,
            });
        }
    }

    /// Counts in everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.skipped += other.skipped;
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = Self {
                skipped: self.skipped,
                ..*other
            };
            return;
        }
        let (here, there) = (self.count as f64, other.count as f64);
        self.count += other.count;
        let total = self.count as f64;
        let distance = other.mean - self.mean;
        self.mean = step(self.mean, other.mean, there, total);
        self.squares += other.squares + distance * distance * (here / total * there);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// How many numbers were counted; those that were skipped are not.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// How many values were NaN or infinite.
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The arithmetic mean; `None` of no number.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }

    /// The variance of these numbers as the whole population (divided by their count); `None` of no number.
    ///
    /// Infinite when it is beyond the range of floats.
    pub fn variance(&self) -> Option<f64> {
        (self.count > 0).then(|| self.squares / self.count as f64)
    }

    /// The unbiased variance of these numbers as a sample (divided by one less than their count); `None` of
    /// fewer than two numbers.
    pub fn sample_variance(&self) -> Option<f64> {
        (self.count > 1).then(|| self.squares / (self.count - 1) as f64)
    }

    /// Square root of [`Moments::variance`].
    pub fn deviation(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }

    /// The least number; `None` of no number.
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The greatest number; `None` of no number.
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Self::new();
        for value in values {
            moments.push(value);
        }
        moments
    }
}

/// The mean moved towards `value`, which stands for `weight` of `total` numbers.
fn step(mean: f64, value: f64, weight: f64, total: f64) -> f64 {
    let distance = value - mean;
    if distance.is_finite() {
        mean + distance * (weight / total)
    } else {
        // The two are so far apart that their distance overflows: halve both first.
        2.0 * (mean / 2.0 + (value / 2.0 - mean / 2.0) * (weight / total))
    }
}

/// Folds in four independent lanes, so that the processor need not wait for each addition.
fn lanes<A: Copy>(values: &[f64], start: A, fold: impl Fn(A, f64) -> A) -> [A; 4] {
    let mut lanes = [start; 4];
    let mut blocks = values.chunks_exact(4);
    for block in &mut blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane = fold(*lane, *value);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(blocks.remainder()) {
        *lane = fold(*lane, *value);
    }
    lanes
}
