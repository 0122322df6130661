//! [`DoubleMetric`]: distances of vectors that are given and compared in 64-bit floats.
//!
//! Sums are of sixteen sums side by side, so they differ from a plain loop's in the last places; a distance is the
//! same wherever it is computed.
#![expect(
    clippy::inline_always,
    reason = "loops are compiled with the instructions of the function that `wide` calls"
)]

use crate::core::wide;

/// How far two vectors of 64-bit floats are from each other; the smaller, the nearer.
///
/// ```
/// use vectordb::core::distance::DoubleMetric;
/// assert_eq!(DoubleMetric::Euclidean.distance(&[0.0, 0.0], &[3.0, 4.0]), Some(5.0));
/// assert_eq!(DoubleMetric::Cosine.distance(&[0.0, 0.0], &[3.0, 4.0]), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DoubleMetric {
    /// Length of the straight line between the two.
    Euclidean,
    /// Square of [`DoubleMetric::Euclidean`].
    SquaredEuclidean,
    /// Sum of the absolute differences.
    Manhattan,
    /// One minus the [`similarity`].
    Cosine,
    /// The angle between the two, in radians.
    Angular,
    /// Greatest absolute difference.
    Chebyshev,
}

impl DoubleMetric {
    /// All metrics.
    pub const ALL: [Self; 6] = [
        Self::Euclidean,
        Self::SquaredEuclidean,
        Self::Manhattan,
        Self::Cosine,
        Self::Angular,
        Self::Chebyshev,
    ];

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Euclidean => "euclidean",
            Self::SquaredEuclidean => "squared_euclidean",
            Self::Manhattan => "manhattan",
            Self::Cosine => "cosine",
            Self::Angular => "angular",
            Self::Chebyshev => "chebyshev",
        }
    }

    /// Whether it compares directions, of which a zero vector has none.
    pub const fn compares_directions(self) -> bool {
        matches!(self, Self::Cosine | Self::Angular)
    }

    /// The distance of two vectors of one dimension; none when it is of directions and one of them is zero.
    ///
    /// What a float cannot hold is infinite. NaN in an element makes a distance of NaN.
    pub fn distance(self, a: &[f64], b: &[f64]) -> Option<f64> {
        wide(
            #[inline(always)]
            || {
                if self.compares_directions() {
                    return Some(self.of_similarity(similar(a, Length::of(a), b, Length::of(b))?));
                }
                Some(self.of_rank(self.rank(a, b)))
            },
        )
    }

    /// For metrics of differences, what orders as the distance does, at less cost.
    #[inline(always)]
    pub(crate) fn rank(self, a: &[f64], b: &[f64]) -> f64 {
        match self {
            Self::Manhattan => sum(a, b, |a, b| (a - b).abs()),
            Self::Chebyshev => greatest(a, b),
            _ => sum(a, b, |a, b| (a - b) * (a - b)),
        }
    }

    /// The distance of a rank.
    #[inline(always)]
    pub(crate) fn of_rank(self, rank: f64) -> f64 {
        match self {
            Self::Euclidean => rank.sqrt(),
            _ => rank,
        }
    }

    /// The distance of a similarity.
    #[inline(always)]
    pub(crate) fn of_similarity(self, similarity: f64) -> f64 {
        match self {
            Self::Angular => similarity.acos(),
            _ => 1.0 - similarity,
        }
    }
}

/// How long a vector is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Length {
    squares: f64,
    norm: f64,
}

impl Length {
    #[inline(always)]
    pub(crate) fn of(vector: &[f64]) -> Self {
        let squares = sum(vector, vector, |a, b| a * b);
        if is_exact(squares) {
            let norm = squares.sqrt();
            return Self { squares, norm };
        }
        // Zero, NaN, infinite, or so large or small that squares are not to be had.
        let (scaled, scale) = scaled(vector);
        let norm = sum(&scaled, &scaled, |a, b| a * b).sqrt() * scale;
        Self { squares, norm }
    }
}

/// Whether a sum of squares, or a product of lengths, lost nothing to overflow or underflow.
#[inline(always)]
fn is_exact(squares: f64) -> bool {
    (1e-270..=1e290).contains(&squares)
}

/// The vector divided by a power of two near its greatest element, and that power. As it is when it is zero or has
/// an element that is no finite number.
fn scaled(vector: &[f64]) -> (Vec<f64>, f64) {
    let most = vector.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    if most == 0.0 || !vector.iter().all(|v| v.is_finite()) {
        return (vector.to_vec(), 1.0);
    }
    // Two steps: the power itself may have no inverse.
    let scale = f64::from_bits((most.to_bits() >> 52).clamp(1, 2046) << 52);
    (vector.iter().map(|v| v / scale).collect(), scale)
}

/// The inner product of two vectors of one dimension.
///
/// ```
/// assert_eq!(vectordb::core::distance::dot(&[1.0, 2.0], &[3.0, 4.0]), 11.0);
/// ```
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    wide(
        #[inline(always)]
        || sum(a, b, |a, b| a * b),
    )
}

/// The length of a vector, also where squares of its elements would be too large or too small for a float.
///
/// ```
/// assert_eq!(vectordb::core::distance::magnitude(&[0.0, 3e200]), 3e200);
/// ```
pub fn magnitude(vector: &[f64]) -> f64 {
    wide(
        #[inline(always)]
        || Length::of(vector).norm,
    )
}

/// The cosine of the angle between two vectors of one dimension, from -1 to 1; none when one of them is zero.
///
/// ```
/// assert_eq!(vectordb::core::distance::similarity(&[2.0, 0.0], &[0.0, 1.0]), Some(0.0));
/// ```
pub fn similarity(a: &[f64], b: &[f64]) -> Option<f64> {
    wide(
        #[inline(always)]
        || similar(a, Length::of(a), b, Length::of(b)),
    )
}

/// [`similarity`] of vectors whose lengths are known.
#[inline(always)]
pub(crate) fn similar(a: &[f64], a_length: Length, b: &[f64], b_length: Length) -> Option<f64> {
    if a_length.norm == 0.0 || b_length.norm == 0.0 {
        return None;
    }
    if is_exact(a_length.squares) && is_exact(b_length.squares) {
        let product = sum(a, b, |a, b| a * b);
        // Then the similarity of a vector to itself is 1.
        let lengths = if a_length.squares.to_bits() == b_length.squares.to_bits() {
            a_length.squares
        } else {
            a_length.norm * b_length.norm
        };
        return Some((product / lengths).clamp(-1.0, 1.0));
    }
    let ((a, _), (b, _)) = (scaled(a), scaled(b));
    let norm = |v: &[f64]| sum(v, v, |a, b| a * b).sqrt();
    let product = sum(&a, &b, |a, b| a * b);
    Some((product / (norm(&a) * norm(&b))).clamp(-1.0, 1.0))
}

/// The sum of a term of each pair of elements.
#[inline(always)]
fn sum(a: &[f64], b: &[f64], term: impl Fn(f64, f64) -> f64) -> f64 {
    let mut sums = [0.0; 16];
    let mut add = |a: &[f64], b: &[f64]| {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += term(*a, *b);
        }
    };
    let len = a.len().min(b.len());
    let (a, a_rest) = a.get(..len).unwrap_or(a).as_chunks::<16>();
    let (b, b_rest) = b.get(..len).unwrap_or(b).as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        add(a, b);
    }
    add(a_rest, b_rest);
    halve(sums, |a, b| a + b)
}

/// The greatest absolute difference; NaN where there is one.
#[inline(always)]
fn greatest(a: &[f64], b: &[f64]) -> f64 {
    let pick = |most: f64, next: f64| {
        if next > most || next.is_nan() {
            next
        } else {
            most
        }
    };
    let mut greatest = [0.0; 16];
    let mut add = |a: &[f64], b: &[f64]| {
        for (most, (a, b)) in greatest.iter_mut().zip(a.iter().zip(b)) {
            *most = pick(*most, (a - b).abs());
        }
    };
    let len = a.len().min(b.len());
    let (a, a_rest) = a.get(..len).unwrap_or(a).as_chunks::<16>();
    let (b, b_rest) = b.get(..len).unwrap_or(b).as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        add(a, b);
    }
    add(a_rest, b_rest);
    halve(greatest, pick)
}

/// Sixteen as one, in four steps of independent pairs.
#[inline(always)]
fn halve(lanes: [f64; 16], join: impl Fn(f64, f64) -> f64) -> f64 {
    let mut lanes = lanes;
    for half in [8, 4, 2, 1] {
        let (low, high) = lanes.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high) {
            *low = join(*low, *high);
        }
    }
    let [sum, ..] = lanes;
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The textbook's formulas.
    fn plain(metric: DoubleMetric, a: &[f64], b: &[f64]) -> f64 {
        let pairs = || a.iter().zip(b);
        let squares: f64 = pairs().map(|(a, b)| (a - b).powi(2)).sum();
        let dot: f64 = pairs().map(|(a, b)| a * b).sum();
        let norm = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
        let cosine = (dot / (norm(a) * norm(b))).clamp(-1.0, 1.0);
        match metric {
            DoubleMetric::Euclidean => squares.sqrt(),
            DoubleMetric::SquaredEuclidean => squares,
            DoubleMetric::Manhattan => pairs().map(|(a, b)| (a - b).abs()).sum(),
            DoubleMetric::Cosine => 1.0 - cosine,
            DoubleMetric::Angular => cosine.acos(),
            DoubleMetric::Chebyshev => pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max),
        }
    }

    proptest! {
        #[test]
        fn distances_are_the_textbooks(pairs in prop::collection::vec((-9.0..9.0, -9.0..9.0), 1..70)) {
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            for metric in DoubleMetric::ALL {
                let (ours, theirs) = (metric.distance(&a, &b).unwrap(), plain(metric, &a, &b));
                // The arc cosine of what is near 1 has half of its digits.
                let near = if metric == DoubleMetric::Angular { 1e-7 } else { 1e-12 };
                prop_assert!((ours - theirs).abs() <= near * theirs.max(1.0), "{metric:?}: {ours} {theirs}");
                let same = metric.distance(&a, &a).unwrap();
                prop_assert!(same == 0.0, "{metric:?}: {same}");
            }
        }
    }

    #[test]
    fn directions_need_no_scale() {
        for scale in [1e-300, 1e-160, 1.0, 1e160, 1e300] {
            let (a, b) = ([3.0 * scale, 4.0 * scale], [4.0 * scale, 3.0 * scale]);
            assert!((magnitude(&a) / scale - 5.0).abs() < 1e-12, "{scale}");
            assert!(
                (similarity(&a, &b).unwrap() - 0.96).abs() < 1e-12,
                "{scale}"
            );
            assert!((similarity(&a, &[3.0, 4.0]).unwrap() - 1.0).abs() < 1e-12);
        }
        assert_eq!(similarity(&[1.0], &[0.0]), None);
        assert_eq!(similarity(&[5e-324], &[5e-324]), Some(1.0));
        let opposite = similarity(&[1.0; 3], &[-1.0; 3]);
        assert_eq!(opposite, Some(-1.0));
    }

    #[test]
    fn what_no_float_holds_is_infinite_and_nan_stays() {
        let (large, nan) = (vec![1e300; 20], {
            let mut nan = vec![0.0; 20];
            nan[17] = f64::NAN;
            nan
        });
        for metric in DoubleMetric::ALL {
            let far = metric.distance(&large, &[-1e300; 20]).unwrap();
            let is_sum_of_squares = matches!(
                metric,
                DoubleMetric::Euclidean | DoubleMetric::SquaredEuclidean
            );
            assert_eq!(far.is_infinite(), is_sum_of_squares, "{metric:?}");
            assert!(
                metric.distance(&large, &nan).unwrap().is_nan(),
                "{metric:?}"
            );
        }
    }
}
