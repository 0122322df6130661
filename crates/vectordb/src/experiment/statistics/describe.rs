//! [`Description`]: a sample in a few numbers.

use super::moments::Moments;

/// What values are like: moments, extremes and the middle.
///
/// ```
/// use vectordb::experiment::Description;
/// let described = Description::of(vec![2.0, 4.0, 9.0]);
/// assert_eq!((described.moments.mean, described.median), (5.0, 4.0));
/// assert_eq!((described.least_at, described.greatest_at), (Some(0), Some(2)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Description {
    /// Number, mean and squares, with the digits of [`Moments::of`].
    pub moments: Moments,
    /// Where the first of the least values is; none when there is no value but NaN.
    pub least_at: Option<usize>,
    /// Where the first of the greatest values is.
    pub greatest_at: Option<usize>,
    /// The value in the middle, or the mean of the two there; NaN of none and when NaN is among the values.
    pub median: f64,
}

impl Description {
    /// Describes `values`. Cost: linear; no sorting.
    pub fn of(mut values: Vec<f64>) -> Self {
        let moments = Moments::of(&values);
        let (mut least, mut greatest) = (None::<(usize, f64)>, None::<(usize, f64)>);
        let mut is_whole = true;
        for (at, x) in values.iter().enumerate() {
            if x.is_nan() {
                is_whole = false;
                continue;
            }
            if least.is_none_or(|(_, low)| *x < low) {
                least = Some((at, *x));
            }
            if greatest.is_none_or(|(_, high)| *x > high) {
                greatest = Some((at, *x));
            }
        }
        Self {
            moments,
            least_at: least.map(|(at, _)| at),
            greatest_at: greatest.map(|(at, _)| at),
            median: if is_whole {
                median(&mut values)
            } else {
                f64::NAN
            },
        }
    }
}

/// The value in the middle, or the mean of the two there; NaN of none. Leaves `values` in another order. Cost: linear.
///
/// ```
/// assert_eq!(vectordb::experiment::median(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
/// ```
pub fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let is_even = values.len().is_multiple_of(2);
    let half = values.len() / 2;
    let (below, middle, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    match below.iter().copied().max_by(f64::total_cmp) {
        Some(before) if is_even => f64::midpoint(before, *middle),
        _ => *middle,
    }
}
