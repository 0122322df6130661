//! Quantiles of sorted values, by linear interpolation with NumPy's arithmetic.

/// Sorted ascending.
pub(crate) fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The value below which `percent` of the sorted values lie, as `numpy.percentile` interpolates; NaN of none.
pub(crate) fn percentile(sorted: &[f64], percent: f64) -> f64 {
    quantile(sorted, percent / 100.0)
}

/// As [`percentile`], of a share from 0 to 1.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a position within the values, which is small and not negative"
)]
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let at = last as f64 * share;
    let below = (at.floor() as usize).min(last);
    let above = (below + 1).min(last);
    let (Some(a), Some(b)) = (sorted.get(below), sorted.get(above)) else {
        return f64::NAN;
    };
    let part = at - below as f64;
    let distance = b - a;
    if part >= 0.5 {
        b - distance * (1.0 - part)
    } else {
        a + distance * part
    }
}

/// The value in the middle, or the mean of the two there; NaN of none.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    match (
        sorted.get(half),
        half.checked_sub(1).and_then(|at| sorted.get(at)),
    ) {
        (Some(a), Some(b)) if sorted.len().is_multiple_of(2) => f64::midpoint(*b, *a),
        (Some(a), _) => *a,
        (None, _) => f64::NAN,
    }
}
