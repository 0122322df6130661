//! Kernels over rows of unsigned bytes: exact, and with a quarter of the memory of floats.

#[cfg(target_arch = "aarch64")]
use super::aarch64;
use super::bits::BitKernels;
use super::level::Level;
use super::metric::Metric;
#[cfg(target_arch = "x86_64")]
use super::x86::bytes as x86;
use crate::core::{LINE_BYTES, Line};

/// A distance between two codes of the same number of lines: of unsigned bytes, or of bits for the metrics that
/// compare bits.
pub(crate) type ByteKernel = fn(&[Line], &[Line]) -> u32;

/// The kernel that ranks codes under a metric: of [`ByteKernels`] or [`BitKernels`], for this processor.
pub(crate) fn byte_kernel(metric: Metric) -> ByteKernel {
    let kernels = ByteKernels::at(Level::best());
    match metric {
        Metric::Euclidean | Metric::SquaredEuclidean | Metric::Cosine | Metric::Dot => {
            kernels.squared
        }
        Metric::Manhattan => kernels.absolute,
        Metric::Chebyshev => kernels.greatest,
        Metric::Hamming => BitKernels::at(Level::best()).hamming_codes,
        Metric::Jaccard => BitKernels::at(Level::best()).jaccard_codes,
    }
}

/// The kernels of one [`Level`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByteKernels {
    /// As [`squared_bytes`].
    pub(crate) squared: ByteKernel,
    /// As [`absolute_bytes`].
    pub(crate) absolute: ByteKernel,
    /// As [`greatest_bytes`].
    pub(crate) greatest: ByteKernel,
}

impl ByteKernels {
    /// The kernels of a level.
    pub(crate) fn at(level: Level) -> Self {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(proof) => x86::avx2(proof),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(proof) => x86::avx512(proof),
            #[cfg(target_arch = "x86_64")]
            Level::Vnni(proof) => x86::vnni(proof),
            #[cfg(target_arch = "aarch64")]
            Level::Neon(proof) => aarch64::bytes::neon(proof),
            Level::Scalar => Self {
                squared: squared_bytes,
                absolute: absolute_bytes,
                greatest: greatest_bytes,
            },
        }
    }
}

#[inline]
fn fold(a: &[Line], b: &[Line], mut step: impl FnMut(u8)) {
    debug_assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        for (a, b) in a.0.iter().zip(&b.0) {
            step(a.abs_diff(*b));
        }
    }
}

/// Sum of squared differences: exact up to 66,051 bytes, modulo 2^32 beyond.
pub(crate) fn squared_bytes(a: &[Line], b: &[Line]) -> u32 {
    let mut sum = 0_u32;
    fold(a, b, |d| {
        sum = sum.wrapping_add(u32::from(d) * u32::from(d));
    });
    sum
}

/// Sum of absolute differences.
pub(crate) fn absolute_bytes(a: &[Line], b: &[Line]) -> u32 {
    let mut sum = 0_u32;
    fold(a, b, |d| sum = sum.wrapping_add(u32::from(d)));
    sum
}

/// Greatest absolute difference.
pub(crate) fn greatest_bytes(a: &[Line], b: &[Line]) -> u32 {
    let mut greatest = [0_u8; LINE_BYTES];
    for (a, b) in a.iter().zip(b) {
        for (most, (a, b)) in greatest.iter_mut().zip(a.0.iter().zip(&b.0)) {
            *most = (*most).max(a.abs_diff(*b));
        }
    }
    u32::from(greatest.into_iter().fold(0, u8::max))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that look random, with runs of the extremes.
    fn lines(count: usize, seed: u64) -> Vec<Line> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            match state >> 60 {
                0 => 0,
                1 => 255,
                _ => state.to_le_bytes()[4],
            }
        };
        (0..count)
            .map(|_| Line(std::array::from_fn(|_| next())))
            .collect()
    }

    fn check(a: &[Line], b: &[Line]) {
        let differences = || {
            let pairs = a.iter().zip(b).flat_map(|(a, b)| a.0.iter().zip(&b.0));
            pairs.map(|(a, b)| (i64::from(*a) - i64::from(*b)).abs())
        };
        let squared = differences().map(|d| d * d).sum::<i64>();
        let absolute = differences().sum::<i64>();
        let greatest = differences().max().unwrap_or(0);
        for level in Level::available() {
            let kernels = ByteKernels::at(level);
            let found = [kernels.squared, kernels.absolute, kernels.greatest].map(|k| k(a, b));
            let expect = [squared, absolute, greatest];
            assert_eq!(found.map(i64::from), expect, "{level:?} {}", a.len());
        }
    }

    #[test]
    fn every_level_is_exact() {
        for count in (0..70).chain([157, 1_023, 1_024]) {
            check(&lines(count, 3), &lines(count, 4));
            // The extremes in every byte: 65,536 of them are the most that a vector has.
            check(
                &vec![Line([0; LINE_BYTES]); count],
                &vec![Line([255; LINE_BYTES]); count],
            );
        }
        // One byte at each place of a line.
        for at in 0..LINE_BYTES {
            let mut line = Line::default();
            line.0[at] = 200;
            check(&[line, Line::default()], &[Line::default(); 2]);
        }
    }

    #[test]
    fn metrics_have_their_kernel() {
        let (a, b) = (lines(3, 5), lines(3, 6));
        assert_eq!(
            byte_kernel(Metric::Euclidean)(&a, &b),
            squared_bytes(&a, &b)
        );
        assert_eq!(byte_kernel(Metric::Cosine)(&a, &b), squared_bytes(&a, &b));
        assert_eq!(
            byte_kernel(Metric::Manhattan)(&a, &b),
            absolute_bytes(&a, &b)
        );
        assert_eq!(
            byte_kernel(Metric::Chebyshev)(&a, &b),
            greatest_bytes(&a, &b)
        );
        super::super::prefetch(&a);
    }
}
