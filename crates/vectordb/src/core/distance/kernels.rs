//! [`RowKernels`]: the kernels that compare queries with stored rows, chosen once for each search or index.

#[cfg(target_arch = "aarch64")]
use super::aarch64;
use super::bits::BitKernels;
use super::level::Level;
use super::metric::Metric;
use super::scalar::{self, Kernel};
#[cfg(target_arch = "x86_64")]
use super::x86;
use crate::core::{Line, Precision};

/// A query compared with one row.
pub(crate) type OneKernel = fn(&[Line], &[Line]) -> f32;
/// A query compared with four rows.
pub(crate) type FourKernel = fn(&[Line], [&[Line]; 4]) -> [f32; 4];
/// Four queries compared with four rows: for each query, its four distances.
pub(crate) type TileKernel = fn([&[Line]; 4], [&[Line]; 4]) -> [[f32; 4]; 4];

/// What ranks stored rows of one precision under one metric. Queries are
/// [`PreparedVector::lines`](super::PreparedVector::lines).
///
/// All kernels over numbers stay within the error that [`scalar`] states.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowKernels {
    /// For rows that are met one by one.
    pub(crate) one: OneKernel,
    /// For scans: each float of the query is loaded once for four rows.
    pub(crate) four: FourKernel,
    /// For several queries at once: each float of queries and rows is loaded once for four.
    pub(crate) tile: TileKernel,
}

/// Which of the folds over numbers a metric ranks by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Sum of squared differences.
    Squared,
    /// Sum of products, negated.
    Product,
    /// Sum of absolute differences.
    Absolute,
    /// Greatest absolute difference.
    Greatest,
}

impl Form {
    /// The fold of a metric; none of those that compare bits.
    pub(crate) fn of(metric: Metric) -> Option<Self> {
        match metric {
            // Of two vectors of length 1, the cosine distance is half the squared Euclidean one; computed so,
            // near duplicates keep their digits, which `1 - dot` would cancel.
            Metric::Euclidean | Metric::SquaredEuclidean | Metric::Cosine => Some(Self::Squared),
            Metric::Dot => Some(Self::Product),
            Metric::Manhattan => Some(Self::Absolute),
            Metric::Chebyshev => Some(Self::Greatest),
            Metric::Hamming | Metric::Jaccard => None,
        }
    }
}

impl RowKernels {
    /// Of a metric and a precision that do not go together, which [`Metric::check`] refuses: whatever is ranked so
    /// is not found.
    pub(super) const NONE: Self = Self {
        one: |_, _| f32::NAN,
        four: |_, _| [f32::NAN; 4],
        tile: |_, _| [[f32::NAN; 4]; 4],
    };

    /// The kernels for this processor.
    pub(crate) fn choose(metric: Metric, precision: Precision) -> Self {
        match Form::of(metric) {
            Some(form) => Self::at(Level::best(), form, precision),
            None if precision == Precision::Bits => BitKernels::at(Level::best()).rows(metric),
            None => Self::NONE,
        }
    }

    /// The kernels over numbers of a level.
    pub(crate) fn at(level: Level, form: Form, precision: Precision) -> Self {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(proof) => x86::avx2::rows(proof, form, precision),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(proof) => x86::avx512::rows(proof, form, precision),
            #[cfg(target_arch = "x86_64")]
            Level::Vnni(proof) => x86::avx512::rows(proof.into(), form, precision),
            #[cfg(target_arch = "aarch64")]
            Level::Neon(proof) => aarch64::neon::rows(proof, form, precision),
            Level::Scalar => scalar::rows(form, precision),
        }
    }
}

/// The kernel over plain floats of a level.
pub(crate) fn flat(level: Level, form: Form) -> Kernel {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(proof) => x86::avx2::flat(proof, form),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(proof) => x86::avx512::flat(proof, form),
        #[cfg(target_arch = "x86_64")]
        Level::Vnni(proof) => x86::avx512::flat(proof.into(), form),
        #[cfg(target_arch = "aarch64")]
        Level::Neon(proof) => aarch64::neon::flat(proof, form),
        Level::Scalar => scalar::flat(form),
    }
}

#[cfg(test)]
mod tests;
