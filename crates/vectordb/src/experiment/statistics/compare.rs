//! Two variants compared: Welch's t, z for proportions, ratios by the delta method, CUPED.

use common::utils::validation::check_in_range;
use common::{Error, Result};
use serde::{Deserialize, Serialize};

use super::distribution::{normal_above, normal_upper, student_outer, student_outside};
use super::moments::{Moments, PairMoments, float};

/// What was done to numbers on their way into a result. Nothing is done that is not listed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// Variances are not taken to be equal; degrees of freedom after Welch and Satterthwaite.
    Welch,
    /// The p-value of two proportions is by their common variance, the interval by those of each (Wald).
    PooledProportion,
    /// The variance of a ratio is by the delta method.
    DeltaRatio,
    /// The metric is adjusted by a covariate from before the experiment (Deng, Xu, Kohavi and Walker 2013).
    Cuped,
    /// The covariate does not vary, so that nothing was adjusted.
    CupedWithoutEffect,
    /// p-values are adjusted after Holm (1979), for the family-wise error rate.
    Holm,
    /// p-values are adjusted after Benjamini and Hochberg (1995), for the false discovery rate.
    BenjaminiHochberg,
    /// A variant has fewer than two values, or nothing varies: p is 1 and there is no interval.
    NoVariance,
    /// The control's mean is zero: there is no relative lift.
    ZeroBaseline,
}

/// What one variant showed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many units.
    pub n: u64,
    /// The mean of the metric, adjusted as the corrections say; a ratio of means for ratios.
    pub mean: f64,
    /// Its standard error; none of fewer than two units.
    pub standard_error: Option<f64>,
}

/// A difference in relation to the control's mean, by the delta method.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lift {
    /// The difference, divided by the control's mean: 0.1 is ten per cent more.
    pub value: f64,
    /// Where it lies with the comparison's confidence.
    pub interval: Option<[f64; 2]>,
}

/// A variant against the control, for a number of units that was fixed before.
///
/// ```
/// use vectordb::experiment::{Moments, compare_means};
/// let control: Moments = [1.0, 2.0, 3.0].into_iter().collect();
/// let variant: Moments = [4.0, 5.0, 7.0].into_iter().collect();
/// let comparison = compare_means(&control, &variant, 0.95)?;
/// assert!(comparison.p_value < 0.05 && comparison.difference > 3.0);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The control.
    pub control: Summary,
    /// The variant.
    pub variant: Summary,
    /// The variant's mean less the control's.
    pub difference: f64,
    /// Of the difference; none without variance.
    pub standard_error: Option<f64>,
    /// t or z; none without variance.
    pub statistic: Option<f64>,
    /// Degrees of freedom of t; none for z.
    pub degrees: Option<f64>,
    /// Two-sided.
    pub p_value: f64,
    /// The confidence of the intervals, as 0.95.
    pub confidence: f64,
    /// Where the difference lies; none without variance.
    pub interval: Option<[f64; 2]>,
    /// None when the control's mean is zero.
    pub lift: Option<Lift>,
    /// The difference in pooled standard deviations; none without variance and for ratios.
    pub cohens_d: Option<f64>,
    /// Cohen's d without its bias in small samples (Hedges 1981, with the gamma function).
    pub hedges_g: Option<f64>,
    /// All that was done to the numbers.
    pub corrections: Vec<Correction>,
}

/// What a comparison is made from: a mean and its variance (that of the mean) for each side.
struct Side {
    n: u64,
    mean: f64,
    /// Of the mean.
    variance: Option<f64>,
}

impl Side {
    fn of(moments: &Moments) -> Self {
        Self {
            n: moments.n,
            mean: moments.mean,
            variance: moments.variance().map(|v| v / float(moments.n)),
        }
    }

    fn summary(&self) -> Summary {
        Summary {
            n: self.n,
            mean: self.mean,
            standard_error: self.variance.map(f64::sqrt),
        }
    }
}

fn check_finite(sides: [&Side; 2], confidence: f64) -> Result<()> {
    check_in_range("confidence", confidence, 0.5..=1.0 - 1e-9)?;
    for side in sides {
        if !side.mean.is_finite() || side.variance.is_some_and(|v| !v.is_finite() || v < 0.0) {
            return Err(Error::invalid(
                "a mean or variance is not a finite number: leave out values that are not finite, or scale them down",
            ));
        }
    }
    Ok(())
}

/// Everything but effect sizes; `degrees` none for a normal statistic, `null_variance` in place of the sum of both under
/// the hypothesis that nothing differs.
fn compare(
    a: &Side,
    b: &Side,
    confidence: f64,
    is_student: bool,
    null_variance: Option<f64>,
    mut corrections: Vec<Correction>,
) -> Result<Comparison> {
    check_finite([a, b], confidence)?;
    let difference = b.mean - a.mean;
    let variances = a.variance.zip(b.variance).filter(|(a, b)| a + b > 0.0);
    let (mut statistic, mut degrees, mut interval, mut p_value) = (None, None, None, 1.0);
    let mut critical = 0.0;
    if let Some((va, vb)) = variances {
        let error = (va + vb).sqrt();
        let at = difference / null_variance.map_or(error, f64::sqrt);
        statistic = Some(at);
        if is_student {
            let denominator = va * va / float(a.n - 1) + vb * vb / float(b.n - 1);
            // Squares of the smallest variances are zero: what remains is the smaller number of units.
            let freedom = if denominator > 0.0 {
                (va + vb) * (va + vb) / denominator
            } else {
                float(a.n.min(b.n) - 1)
            };
            degrees = Some(freedom);
            p_value = student_outside(at, freedom);
            critical = student_outer(1.0 - confidence, freedom);
        } else {
            p_value = 2.0 * normal_above(at.abs());
            critical = normal_upper((1.0 - confidence) / 2.0);
        }
        interval = Some([difference - critical * error, difference + critical * error]);
    } else {
        corrections.push(Correction::NoVariance);
    }
    let lift = (a.mean != 0.0).then(|| {
        let value = difference / a.mean;
        let interval = variances.map(|(va, vb)| {
            let ratio = b.mean / a.mean;
            let error = (vb + ratio * ratio * va).sqrt() / a.mean.abs();
            [value - critical * error, value + critical * error]
        });
        Lift { value, interval }
    });
    let lift = lift.filter(|lift| lift.value.is_finite());
    if lift.is_none() {
        corrections.push(Correction::ZeroBaseline);
    }
    Ok(Comparison {
        control: a.summary(),
        variant: b.summary(),
        difference,
        standard_error: variances.map(|(va, vb)| (va + vb).sqrt()),
        statistic,
        degrees,
        p_value,
        confidence,
        interval,
        lift,
        cohens_d: None,
        hedges_g: None,
        corrections,
    })
}

/// Adds the effect sizes of two samples.
fn with_effect(mut comparison: Comparison, a: &Moments, b: &Moments) -> Comparison {
    let freedom = float((a.n + b.n).saturating_sub(2));
    let deviation = ((a.squares + b.squares) / freedom).sqrt();
    if deviation > 0.0 && deviation.is_finite() {
        let d = comparison.difference / deviation;
        comparison.cohens_d = Some(d);
        comparison.hedges_g = Some(d * hedges(freedom));
    }
    comparison
}

/// What Cohen's d is multiplied by: `gamma(f / 2) / (sqrt(f / 2) gamma((f - 1) / 2))`.
fn hedges(freedom: f64) -> f64 {
    use statrs::function::gamma::ln_gamma;
    let half = freedom / 2.0;
    if freedom < 2.0 {
        return 0.0;
    }
    if half > 200.0 {
        // Differences of large logarithms lose digits; the series in 1 / half does not.
        let i = 1.0 / half;
        return 1.0 - i * (3.0 / 8.0 + i * (7.0 / 128.0 + i * (9.0 / 1024.0 - i * 59.0 / 32768.0)));
    }
    (ln_gamma(half) - ln_gamma(half - 0.5)).exp() / half.sqrt()
}

/// Means of two samples by Welch's t-test.
///
/// # Errors
/// [`common::ErrorKind::Invalid`] for a confidence outside 0.5..1 and for moments that are not finite.
pub fn compare_means(control: &Moments, variant: &Moments, confidence: f64) -> Result<Comparison> {
    let sides = (Side::of(control), Side::of(variant));
    let comparison = compare(
        &sides.0,
        &sides.1,
        confidence,
        true,
        None,
        vec![Correction::Welch],
    )?;
    Ok(with_effect(comparison, control, variant))
}

/// Shares of successes in two samples by the z-test, each given as its number of units and of successes.
///
/// ```
/// use vectordb::experiment::compare_proportions;
/// let comparison = compare_proportions([1000, 100], [1000, 130], 0.95)?;
/// assert!((comparison.difference - 0.03).abs() < 1e-12 && comparison.p_value < 0.05);
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// As [`compare_means`]; [`common::ErrorKind::Invalid`] for more successes than units.
pub fn compare_proportions(
    control: [u64; 2],
    variant: [u64; 2],
    confidence: f64,
) -> Result<Comparison> {
    let side = |[n, successes]: [u64; 2]| {
        if successes > n {
            return Err(Error::invalid(format!(
                "{successes} successes of {n} units"
            )));
        }
        let mean = if n == 0 {
            0.0
        } else {
            float(successes) / float(n)
        };
        let variance = (n > 0).then(|| mean * (1.0 - mean) / float(n));
        Ok(Side { n, mean, variance })
    };
    let (a, b) = (side(control)?, side(variant)?);
    let (n_a, n_b) = (float(a.n), float(b.n));
    let pooled = (a.mean * n_a + b.mean * n_b) / (n_a + n_b);
    let null = pooled * (1.0 - pooled) * (1.0 / n_a + 1.0 / n_b);
    let null = (null.is_finite() && null > 0.0).then_some(null);
    let named = vec![Correction::PooledProportion];
    let comparison = compare(&a, &b, confidence, false, null, named)?;
    let moments = |[n, successes]: [u64; 2]| Moments::of_proportion(n, successes);
    Ok(with_effect(
        comparison,
        &moments(control),
        &moments(variant),
    ))
}

/// Ratios of means, such as revenue per visit over units that visit more than once, by the delta method (Deng, Knoblich
/// and Lu 2018): `first` is the numerator, `second` the denominator of each unit.
///
/// # Errors
/// As [`compare_means`]; [`common::ErrorKind::Invalid`] when a denominator has mean zero.
pub fn compare_ratios(
    control: &PairMoments,
    variant: &PairMoments,
    confidence: f64,
) -> Result<Comparison> {
    let side = |pair: &PairMoments| {
        let below = pair.second.mean;
        if below == 0.0 {
            return Err(Error::invalid("the denominator of a ratio has mean 0"));
        }
        let mean = pair.first.mean / below;
        let parts = (
            pair.first.variance(),
            pair.second.variance(),
            pair.covariance(),
        );
        let variance = match parts {
            (Some(vf), Some(vs), Some(cov)) => {
                let variance = vf - 2.0 * mean * cov + mean * mean * vs;
                Some(variance.max(0.0) / (below * below * float(pair.first.n)))
            }
            _ => None,
        };
        Ok(Side {
            n: pair.first.n,
            mean,
            variance,
        })
    };
    let (a, b) = (side(control)?, side(variant)?);
    compare(
        &a,
        &b,
        confidence,
        false,
        None,
        vec![Correction::DeltaRatio],
    )
}

/// Means adjusted by what was known of each unit before, then as [`compare_means`]: `first` is the metric, `second` the
/// covariate. The covariate's weight is that of both samples together.
///
/// # Errors
/// As [`compare_means`].
pub fn compare_cuped(
    control: &PairMoments,
    variant: &PairMoments,
    confidence: f64,
) -> Result<Comparison> {
    let spread = control.second.squares + variant.second.squares;
    let weight = (control.products + variant.products) / spread;
    if spread <= 0.0 || !weight.is_finite() {
        let mut plain = compare_means(&control.first, &variant.first, confidence)?;
        plain.corrections.push(Correction::CupedWithoutEffect);
        return Ok(plain);
    }
    let mut all = control.second;
    all.merge(&variant.second);
    let adjusted = |pair: &PairMoments| Moments {
        n: pair.first.n,
        mean: pair.first.mean - weight * (pair.second.mean - all.mean),
        squares: (pair.first.squares - 2.0 * weight * pair.products
            + weight * weight * pair.second.squares)
            .max(0.0),
    };
    let mut comparison = compare_means(&adjusted(control), &adjusted(variant), confidence)?;
    comparison.corrections.push(Correction::Cuped);
    Ok(comparison)
}
