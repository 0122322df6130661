//! [`sequential`]: a comparison that may be looked at as often as one likes.

use common::utils::validation::check_in_range;
use common::{Error, Result};
use serde::{Deserialize, Serialize};

use super::compare::Comparison;
use super::moments::float;

/// How a sequential test is tuned; what was chosen before the first look must stay.
///
/// ```
/// use vectordb::experiment::SequentialOptions;
/// let options = SequentialOptions::default();
/// assert_eq!((options.level, options.units_min), (0.05, 50));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SequentialOptions {
    /// The probability of a false alarm over all looks together. Default 0.05.
    pub level: f64,
    /// The number of units in both variants at which the interval is narrowest. Default 5,000.
    pub units_planned: u64,
    /// Units in each variant before which nothing is said: variances of fewer are not to be trusted. Default 50.
    pub units_min: u64,
}

impl Default for SequentialOptions {
    fn default() -> Self {
        Self {
            level: 0.05,
            units_planned: 5_000,
            units_min: 50,
        }
    }
}

/// What a look at a running experiment says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sequential {
    /// Always valid: the smallest of all looks is one, too.
    pub p_value: f64,
    /// Holds the true difference at all looks together, with probability `1 - level`; none before there are enough units
    /// or without variance.
    pub interval: Option<[f64; 2]>,
    /// How the test was tuned.
    pub options: SequentialOptions,
}

/// A look at a running experiment: an asymptotic confidence sequence with a normal mixture, and the p-value of the
/// mixture sequential probability ratio test that belongs to it.
///
/// After Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, *Time-uniform central limit theory and asymptotic confidence
/// sequences* (2021), and Johari, Koomen, Pekelis and Walsh, *Peeking at A/B tests* (2017). Takes any comparison with a
/// standard error: of means, proportions, ratios, or with CUPED.
///
/// ```
/// use vectordb::experiment::{SequentialOptions, compare_proportions, sequential};
/// let comparison = compare_proportions([4000, 400], [4000, 600], 0.95)?;
/// let look = sequential(&comparison, SequentialOptions::default())?;
/// assert!(look.p_value < 0.05 && look.p_value > comparison.p_value);
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// [`common::ErrorKind::Invalid`] for a level outside 0..0.5 and for no planned units.
pub fn sequential(comparison: &Comparison, options: SequentialOptions) -> Result<Sequential> {
    check_in_range("level", options.level, 1e-9..=0.5)?;
    if options.units_planned == 0 {
        return Err(Error::invalid(
            "a sequential test is planned for one unit or more",
        ));
    }
    let (a, b) = (comparison.control.n, comparison.variant.n);
    let error = match comparison.standard_error {
        Some(error) if a.min(b) >= options.units_min.max(2) => error,
        _ => {
            return Ok(Sequential {
                p_value: 1.0,
                interval: None,
                options,
            });
        }
    };
    // The mixture's variance that makes the interval narrowest at the planned number (the paper's equation 10).
    let twice = -2.0 * options.level.ln();
    let mixture = (twice + twice.ln() + 1.0) / float(options.units_planned);
    let spread = float(a + b) * mixture + 1.0;
    let share = spread / (float(a + b) * mixture);
    let z = comparison.difference / error;
    let p_value = (spread.sqrt() * (-0.5 * z * z / share).exp()).min(1.0);
    let radius = error * (2.0 * share * (spread.sqrt() / options.level).ln()).sqrt();
    Ok(Sequential {
        p_value,
        interval: Some([
            comparison.difference - radius,
            comparison.difference + radius,
        ]),
        options,
    })
}
