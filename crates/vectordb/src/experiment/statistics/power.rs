//! Before and around a comparison: power, sample size, sample-ratio mismatch.

use common::utils::validation::check_in_range;
use common::{Error, Result};
use serde::{Deserialize, Serialize};

use super::distribution::{chi_square_above, normal_above, normal_upper};
use super::moments::float;

/// The probability that a two-sided z-test at `level` sees a difference of `effect` standard deviations, with `n` units in
/// the control and `ratio` times as many in the variant.
///
/// ```
/// use vectordb::experiment::power;
/// assert!((power(0.1, 1570.0, 1.0, 0.05)? - 0.8).abs() < 0.001);
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// [`common::ErrorKind::Invalid`] for an effect that is not finite, a number of units or a ratio that is not positive, and
/// for a level outside 0..0.5.
pub fn power(effect: f64, n: f64, ratio: f64, level: f64) -> Result<f64> {
    check_in_range("level", level, 1e-12..=0.5)?;
    let is_positive = |x: f64| x.is_finite() && x > 0.0;
    if !effect.is_finite() || !is_positive(n) || !is_positive(ratio) {
        return Err(Error::invalid(format!(
            "power takes a finite effect and a positive number of units and ratio, not {effect}, {n} and {ratio}"
        )));
    }
    let critical = normal_upper(level / 2.0);
    let shift = effect * (n * ratio / (1.0 + ratio)).sqrt();
    Ok(normal_above(critical - shift) + normal_above(critical + shift))
}

/// The number of units in the control that [`power`] takes to reach `wanted`; a fraction, to be rounded up.
///
/// ```
/// use vectordb::experiment::sample_size;
/// assert_eq!(sample_size(0.1, 0.8, 1.0, 0.05)?.ceil(), 1570.0);
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// As [`power`]; [`common::ErrorKind::Invalid`] for an effect of zero and for a power outside `level..1`.
pub fn sample_size(effect: f64, wanted: f64, ratio: f64, level: f64) -> Result<f64> {
    check_in_range("level", level, 1e-12..=0.5)?;
    if effect == 0.0 || !(wanted > level && wanted < 1.0) {
        return Err(Error::invalid(format!(
            "no number of units shows an effect of {effect} with power {wanted} at level {level}"
        )));
    }
    let (mut low, mut high) = (1e-6, 1.0);
    while power(effect, high, ratio, level)? < wanted {
        low = high;
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if power(effect, middle, ratio, level)? < wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(f64::midpoint(low, high))
}

/// Whether units came to variants in the shares that were meant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SampleRatio {
    /// Chi-square.
    pub statistic: f64,
    /// The probability of such counts if nothing is wrong.
    pub p_value: f64,
    /// Below 0.001: something loses or doubles units, and no comparison is to be trusted.
    pub is_mismatch: bool,
}

/// Tests counts of units against the shares that were meant: Pearson's chi-square, threshold 0.001.
///
/// ```
/// use vectordb::experiment::sample_ratio;
/// assert!(!sample_ratio(&[5000, 5050], &[0.5, 0.5])?.is_mismatch);
/// assert!(sample_ratio(&[5000, 5500], &[0.5, 0.5])?.is_mismatch);
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// [`common::ErrorKind::Invalid`] when there is not one share for each count, or shares are negative or without sum.
pub fn sample_ratio(counts: &[u64], shares: &[f64]) -> Result<SampleRatio> {
    let sum: f64 = shares.iter().sum();
    let is_fine = shares.iter().all(|share| *share >= 0.0) && sum > 0.0 && sum.is_finite();
    if counts.len() != shares.len() || !is_fine {
        return Err(Error::invalid(format!(
            "{} counts need as many shares that are not negative, not {shares:?}",
            counts.len()
        )));
    }
    let total = float(counts.iter().sum());
    let (mut statistic, mut cells) = (0.0, 0_u64);
    let mut is_impossible = false;
    for (count, share) in counts.iter().zip(shares) {
        let expected = total * share / sum;
        if *share > 0.0 {
            cells += 1;
            if expected > 0.0 {
                let apart = float(*count) - expected;
                statistic += apart * apart / expected;
            }
        } else {
            is_impossible |= *count > 0;
        }
    }
    let p_value = if is_impossible {
        0.0
    } else if cells < 2 {
        1.0
    } else {
        chi_square_above(statistic, float(cells - 1))
    };
    Ok(SampleRatio {
        statistic,
        p_value,
        is_mismatch: p_value < 0.001,
    })
}
