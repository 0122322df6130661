//! Many hypotheses at once: p-values adjusted for their number.

/// p-values adjusted after Holm (1979), in the order given: to reject those below a level keeps the probability of one
/// false rejection or more below it. A p-value that is not a number counts as 1.
///
/// ```
/// use vectordb::experiment::holm;
/// assert_eq!(holm(&[0.01, 0.04]), [0.02, 0.04]);
/// ```
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut largest = 0.0_f64;
    adjust(p_values, false, |rank, count, p| {
        largest = largest.max(p * (count - rank));
        largest.min(1.0)
    })
}

/// p-values adjusted after Benjamini and Hochberg (1995), in the order given: to reject those below a level keeps the
/// expected share of false ones among the rejections below it. A p-value that is not a number counts as 1.
///
/// ```
/// use vectordb::experiment::benjamini_hochberg;
/// assert_eq!(benjamini_hochberg(&[0.01, 0.04]), [0.02, 0.04]);
/// ```
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let mut smallest = 1.0_f64;
    adjust(p_values, true, |rank, count, p| {
        smallest = smallest.min(p * count / (rank + 1.0));
        smallest
    })
}

/// Visits p-values from the smallest, or the largest, with rank and number.
#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn adjust(
    p_values: &[f64],
    from_largest: bool,
    mut step: impl FnMut(f64, f64, f64) -> f64,
) -> Vec<f64> {
    let clean = |p: f64| if p.is_nan() { 1.0 } else { p.clamp(0.0, 1.0) };
    let mut order: Vec<(usize, f64)> = p_values.iter().copied().map(clean).enumerate().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut ranked: Vec<(usize, (usize, f64))> = order.into_iter().enumerate().collect();
    if from_largest {
        ranked.reverse();
    }
    let count = p_values.len() as f64;
    let mut adjusted = vec![1.0; p_values.len()];
    for (rank, (at, p)) in ranked {
        let value = step(rank as f64, count, p);
        if let Some(place) = adjusted.get_mut(at) {
            *place = value;
        }
    }
    adjusted
}
