//! [`Metric`]: which distance a collection uses.

use common::{Error, Result};
use serde::{Deserialize, Serialize};

use super::kernels::{Form, flat};
use super::level::Level;
use super::scalar::{self, Kernel};
use crate::core::floats::Floats;
use crate::core::vector_table::{has_tiny, norm};
use crate::core::{LINE_BYTES, Line, Precision, wide};

/// How far two vectors are from each other; the smaller, the nearer.
///
/// Names are stable: they are stored with collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// Length of the straight line between the two.
    Euclidean,
    /// Square of [`Metric::Euclidean`]: the same neighbours.
    SquaredEuclidean,
    /// One minus the cosine of the angle between the two: 0 for the same direction, 2 for opposite ones.
    Cosine,
    /// The inner product, negated.
    Dot,
    /// Sum of the absolute differences.
    Manhattan,
    /// Greatest absolute difference.
    Chebyshev,
    /// Number of bits in which the two differ.
    Hamming,
    /// One minus the number of bits that both have over the number that either has; 0 for two vectors without any.
    Jaccard,
}

/// A vector made ready to be compared with rows of a table: prepared for the metric and padded.
#[derive(Debug, Clone)]
pub struct PreparedVector {
    pub(crate) values: Floats,
    /// The same as bits, for the metrics that compare these.
    bits: Option<Vec<Line>>,
    pub(crate) has_tiny: bool,
    /// Its length.
    pub(crate) norm: f64,
}

impl PreparedVector {
    /// What kernels over rows take: bits for the metrics that compare these, floats for all others.
    #[inline]
    pub(crate) fn lines(&self) -> &[Line] {
        self.bits.as_deref().unwrap_or_else(|| self.values.lines())
    }
}

impl Metric {
    /// All metrics.
    pub const ALL: [Self; 8] = [
        Self::Euclidean,
        Self::SquaredEuclidean,
        Self::Cosine,
        Self::Dot,
        Self::Manhattan,
        Self::Chebyshev,
        Self::Hamming,
        Self::Jaccard,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Euclidean => "euclidean",
            Self::SquaredEuclidean => "squared_euclidean",
            Self::Cosine => "cosine",
            Self::Dot => "dot",
            Self::Manhattan => "manhattan",
            Self::Chebyshev => "chebyshev",
            Self::Hamming => "hamming",
            Self::Jaccard => "jaccard",
        }
    }

    /// The metric of this name.
    ///
    /// # Errors
    /// [`common::ErrorKind::Unsupported`], with the names there are.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|metric| metric.name() == name)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::name).join(", ");
                Error::unsupported(format!("no metric is named `{name}`; there are {known}"))
            })
    }

    /// Whether it compares bits, which are stored as [`Precision::Bits`]; all others compare numbers.
    pub const fn compares_bits(self) -> bool {
        matches!(self, Self::Hamming | Self::Jaccard)
    }

    /// The precision that it goes with and that loses nothing.
    pub const fn precision(self) -> Precision {
        if self.compares_bits() {
            Precision::Bits
        } else {
            Precision::F32
        }
    }

    /// Checks that vectors of a precision can be compared.
    ///
    /// ```
    /// use vectordb::{Metric, core::Precision};
    /// assert!(Metric::Hamming.check(Precision::Bits).is_ok());
    /// assert!(Metric::Hamming.check(Precision::F32).is_err());
    /// ```
    ///
    /// # Errors
    /// [`common::ErrorKind::Unsupported`] for [`Metric::Hamming`] and [`Metric::Jaccard`] unless it is
    /// [`Precision::Bits`], and for all others if it is.
    pub fn check(self, precision: Precision) -> Result<()> {
        match (self.compares_bits(), precision) {
            (true, Precision::Bits) => Ok(()),
            (true, _) => Err(Error::unsupported(format!(
                "the {self} metric compares bits, and the vectors are stored as {precision}; store them as bits, \
                 or use another metric"
            ))),
            (false, Precision::Bits) => Err(Error::unsupported(format!(
                "the {self} metric compares numbers, and the vectors are stored as bits; use hamming or jaccard, \
                 or another precision"
            ))),
            (false, _) => Ok(()),
        }
    }

    /// Checks a vector and makes it what is stored and compared: for [`Metric::Cosine`] of length 1, for
    /// [`Metric::Hamming`] and [`Metric::Jaccard`] 1 where it is above zero and 0 elsewhere, otherwise unchanged.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the dimension is another, an element is NaN or infinite, the vector
    /// has no direction although the metric compares directions, or it is so large that 32-bit floats could
    /// not hold a distance to it (a Euclidean norm above 9.2e18 for the Euclidean and dot metrics, a sum of
    /// magnitudes above 1.7e38 for Manhattan, a magnitude above 1.7e38 for Chebyshev).
    pub fn prepare(self, vector: &[f32], dimension: usize) -> Result<Vec<f32>> {
        if vector.len() != dimension {
            return Err(Error::invalid(format!(
                "the vector has {} dimensions, the collection {dimension}",
                vector.len()
            )));
        }
        if let Some(at) = vector.iter().position(|v| !v.is_finite()) {
            let value = vector.get(at).copied().unwrap_or_default();
            return Err(Error::invalid(format!(
                "element {at} of the vector is {value}; only finite numbers have distances"
            )));
        }
        let wide = || vector.iter().map(|v| f64::from(*v));
        let (size, most) = match self {
            Self::Cosine => return normalise(vector),
            Self::Hamming | Self::Jaccard => {
                let bit = |v: &f32| if *v > 0.0 { 1.0 } else { 0.0 };
                return Ok(vector.iter().map(bit).collect());
            }
            Self::Euclidean | Self::SquaredEuclidean | Self::Dot => {
                (wide().map(|v| v * v).sum(), f64::from(f32::MAX) / 4.0)
            }
            Self::Manhattan => (wide().map(f64::abs).sum(), f64::from(f32::MAX) / 2.0),
            Self::Chebyshev => (
                wide().map(f64::abs).fold(0.0, f64::max),
                f64::from(f32::MAX) / 2.0,
            ),
        };
        if size <= most {
            Ok(vector.to_vec())
        } else {
            Err(Error::invalid(format!(
                "the vector is too large: 32-bit floats cannot hold its {} distances; scale it down",
                self.name()
            )))
        }
    }

    /// [`Metric::prepare`] for the vector that is searched for.
    ///
    /// # Errors
    /// As [`Metric::prepare`].
    pub fn prepare_query(self, vector: &[f32], dimension: usize) -> Result<PreparedVector> {
        let values = self.prepare(vector, dimension)?;
        let bits = self.compares_bits().then(|| {
            let lines = Precision::Bits.row_bytes(dimension) / LINE_BYTES;
            let mut bits = vec![Line::default(); lines];
            Precision::Bits.encode(&values, &mut bits);
            bits
        });
        Ok(PreparedVector {
            bits,
            values: Floats::new(&values),
            has_tiny: has_tiny(&values),
            norm: norm(&values),
        })
    }

    /// What ranks prepared vectors as floats, padded: ascending with the distance, and cheaper. Made for this
    /// processor.
    pub fn kernel(self) -> Kernel {
        match (Form::of(self), self) {
            (Some(form), _) => flat(Level::best(), form),
            (None, Self::Jaccard) => scalar::jaccard,
            // Of zeros and ones, differences are 1.
            (None, _) => flat(Level::best(), Form::Absolute),
        }
    }

    /// The distance of two prepared vectors, in 64-bit floats: what hits report.
    pub fn distance(self, a: &[f32], b: &[f32]) -> f64 {
        let squares = || sum(a, b, |a, b| (a - b) * (a - b));
        match self {
            Self::Euclidean => squares().sqrt(),
            Self::SquaredEuclidean => squares(),
            Self::Cosine => (squares() / 2.0).min(2.0),
            // Not `-sum`, which would be -0 for orthogonal vectors.
            Self::Dot => 0.0 - sum(a, b, |a, b| a * b),
            Self::Manhattan | Self::Hamming => sum(a, b, |a, b| (a - b).abs()),
            Self::Chebyshev => {
                let pairs = a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b));
                pairs.map(f64::abs).fold(0.0, f64::max)
            }
            Self::Jaccard => {
                let either = sum(a, b, f64::max);
                sum(a, b, |a, b| (a - b).abs()) / either.max(1.0)
            }
        }
    }
}

/// The sum of a term of each pair of elements, in eight sums at first: a processor adds several at once, and one
/// need not wait for the other. Zeros behind both change nothing.
fn sum(a: &[f32], b: &[f32], term: impl Fn(f64, f64) -> f64) -> f64 {
    wide(
        #[inline(always)]
        || sum_here(a, b, term),
    )
}

#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "to be compiled with the caller's instructions"
)]
fn sum_here(a: &[f32], b: &[f32], term: impl Fn(f64, f64) -> f64) -> f64 {
    let len = a.len().min(b.len());
    let (a, a_rest) = a.get(..len).unwrap_or(a).as_chunks::<8>();
    let (b, b_rest) = b.get(..len).unwrap_or(b).as_chunks::<8>();
    let mut sums = [0.0; 8];
    let mut add = |a: &[f32], b: &[f32]| {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += term(f64::from(*a), f64::from(*b));
        }
    };
    for (a, b) in a.iter().zip(b) {
        add(a, b);
    }
    add(a_rest, b_rest);
    sums.into_iter().sum()
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The vector at length 1. The length is computed in 64 bits: squares of 1e-30 and of 1e30 are no problem.
#[expect(
    clippy::cast_possible_truncation,
    reason = "elements of a vector of length 1 are at most 1"
)]
fn normalise(vector: &[f32]) -> Result<Vec<f32>> {
    let norm = vector
        .iter()
        .map(|v| f64::from(*v) * f64::from(*v))
        .sum::<f64>()
        .sqrt();
    if norm == 0.0 {
        return Err(Error::invalid(
            "the vector is zero and has no direction, which the cosine metric compares; use another metric or \
             leave the vector out",
        ));
    }
    Ok(vector
        .iter()
        .map(|v| (f64::from(*v) / norm) as f32)
        .collect())
}
