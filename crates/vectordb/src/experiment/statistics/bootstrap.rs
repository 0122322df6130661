//! [`bootstrap`]: an interval by drawing from the sample itself.

use std::ops::ControlFlow;

use common::utils::id_generator::SeededRng;
use common::utils::validation::check_in_range;
use common::{Error, Result};

use super::moments::float;

/// Most samples that are drawn.
pub const RESAMPLES_MAX: usize = 1_000_000;

/// A percentile interval of the difference of means, the variant's less the control's, from samples drawn with
/// replacement (Efron 1979); the same seed, the same interval.
///
/// Cost: `resamples` passes over both samples.
///
/// ```
/// use vectordb::experiment::bootstrap;
/// let [low, high] = bootstrap(&[1.0, 2.0, 3.0, 2.5], &[4.0, 5.0, 6.0], 0.95, 1000, 7)?;
/// assert!(low > 1.0 && high < 5.0);
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// [`common::ErrorKind::Invalid`] for an empty sample, a value that is not finite, no resamples and a confidence outside
/// 0.5..1; [`common::ErrorKind::LimitExceeded`] beyond [`RESAMPLES_MAX`].
pub fn bootstrap(
    control: &[f64],
    variant: &[f64],
    confidence: f64,
    resamples: usize,
    seed: u64,
) -> Result<[f64; 2]> {
    bootstrap_watched(control, variant, confidence, resamples, seed, &mut |_| {
        ControlFlow::Continue(())
    })
}

/// As [`bootstrap`], and says before each resample how many are done; [`ControlFlow::Break`] cancels it.
///
/// # Errors
/// As [`bootstrap`], and [`common::ErrorKind::Closed`] when it is cancelled.
pub fn bootstrap_watched(
    control: &[f64],
    variant: &[f64],
    confidence: f64,
    resamples: usize,
    seed: u64,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<[f64; 2]> {
    check_in_range("confidence", confidence, 0.5..=1.0 - 1e-9)?;
    if resamples > RESAMPLES_MAX {
        return Err(Error::limit_exceeded(format!(
            "{resamples} resamples, but the limit is {RESAMPLES_MAX}"
        )));
    }
    let is_usable = |values: &[f64]| !values.is_empty() && values.iter().all(|v| v.is_finite());
    if resamples == 0 || !is_usable(control) || !is_usable(variant) {
        return Err(Error::invalid(
            "a bootstrap takes one resample or more of samples that are not empty and finite",
        ));
    }
    let rng = SeededRng::new(seed);
    let mean = |values: &[f64]| {
        let drawn = values.iter().map(|_| draw(values, rng.next_u64()));
        drawn.sum::<f64>() / float(values.len() as u64)
    };
    let mut differences = Vec::with_capacity(resamples);
    for done in 0..resamples {
        if progress(done).is_break() {
            return Err(Error::closed(format!(
                "the bootstrap was cancelled after {done} of {resamples} resamples"
            )));
        }
        let before = mean(control);
        differences.push(mean(variant) - before);
    }
    differences.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    Ok([
        quantile(&differences, tail),
        quantile(&differences, 1.0 - tail),
    ])
}

/// One of the values by 64 random bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the product's upper half is below the length"
)]
fn draw(values: &[f64], bits: u64) -> f64 {
    let at = (u128::from(bits) * values.len() as u128) >> 64;
    values.get(at as usize).copied().unwrap_or_default()
}

/// Between the two nearest of sorted values.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a slice"
)]
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * float(sorted.len() as u64 - 1);
    let at = |place: f64| sorted.get(place as usize).copied().unwrap_or_default();
    let low = at(place.floor());
    low + (at(place.ceil()) - low) * place.fract()
}
