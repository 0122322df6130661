//! [`Series`]: repeated measurements of one thing.

/// Measurements of one thing, one for each round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series(Vec<f64>);

impl Series {
    /// Adds a measurement.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The measurements in the order taken.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// The middle measurement, or the mean of the middle two; NaN without measurements.
    pub fn median(&self) -> f64 {
        f64::midpoint(
            self.quantile(0.5, f64::floor),
            self.quantile(0.5, f64::ceil),
        )
    }

    /// Distance between the quartiles as a share of the median: 0.02 means that the middle half of the
    /// measurements lies within 2 %.
    pub fn spread(&self) -> f64 {
        let (low, high) = (
            self.quantile(0.25, f64::round),
            self.quantile(0.75, f64::round),
        );
        if high <= low {
            return 0.0;
        }
        (high - low) / self.median()
    }

    /// Median of the quotients round by round, which cancels what slowed a whole round.
    ///
    /// ```
    /// use bench::stats::Series;
    /// let fast: Series = [10.0, 5.0, 10.0].into_iter().collect();
    /// let slow: Series = [5.0, 2.5, 5.0].into_iter().collect();
    /// assert_eq!(fast.ratio(&slow), 2.0);
    /// ```
    pub fn ratio(&self, other: &Self) -> f64 {
        if other.0.len() < self.0.len() {
            // The other was too slow to measure in every round.
            return self.median() / other.median();
        }
        self.0
            .iter()
            .zip(&other.0)
            .map(|(a, b)| a / b)
            .collect::<Self>()
            .median()
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a position among a few rounds"
    )]
    fn quantile(&self, share: f64, round: fn(f64) -> f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let position = round(sorted.len().saturating_sub(1) as f64 * share);
        sorted.get(position as usize).copied().unwrap_or(f64::NAN)
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the values are exact")]
mod tests {
    use super::*;

    #[test]
    fn median_and_spread() {
        let series: Series = [5.0, 1.0, 3.0, 100.0, 2.0].into_iter().collect();
        assert_eq!(series.median(), 3.0);
        assert_eq!(series.spread(), 1.0);
        let even: Series = [1.0, 2.0].into_iter().collect();
        assert_eq!(even.median(), 1.5);
        assert!(Series::default().median().is_nan());
    }

    #[test]
    fn ratios_of_uneven_series_are_those_of_their_medians() {
        let series: Series = [4.0, 6.0, 8.0].into_iter().collect();
        let once: Series = [3.0].into_iter().collect();
        assert_eq!(series.ratio(&once), 2.0);
    }
}
