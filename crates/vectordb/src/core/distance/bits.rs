//! Kernels over rows of bits: exact, for they count.
//!
//! Plain Rust, which compilers turn into the counting instructions that a level has: none of them is worth its own
//! code.

#![expect(
    clippy::inline_always,
    reason = "to be compiled with the instructions of the caller"
)]

use super::bytes::ByteKernel;
use super::kernels::RowKernels;
use super::level::Level;
use super::metric::Metric;
#[cfg(target_arch = "x86_64")]
use super::x86::bits as x86;
use crate::core::{LINE_BYTES, Line};

/// 64-bit words of a line.
const WORDS: usize = LINE_BYTES / size_of::<u64>();

/// The kernels of one [`Level`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct BitKernels {
    /// Ranks by [`hamming`].
    pub(super) hamming: RowKernels,
    /// Ranks by [`jaccard`].
    pub(super) jaccard: RowKernels,
    /// Codes by the number of bits in which they differ.
    pub(super) hamming_codes: ByteKernel,
    /// Codes by [`jaccard`], in steps of 2^-31.
    pub(super) jaccard_codes: ByteKernel,
}

impl BitKernels {
    const PLAIN: Self = Self {
        hamming: RowKernels {
            one: |query, row| hamming(query, row),
            four: |query, rows| hamming_four(query, rows),
            tile: |queries, rows| queries.map(|query| hamming_four(query, rows)),
        },
        jaccard: RowKernels {
            one: |query, row| jaccard(query, row),
            four: |query, rows| jaccard_four(query, rows),
            tile: |queries, rows| queries.map(|query| jaccard_four(query, rows)),
        },
        hamming_codes: |a, b| differing(a, b),
        jaccard_codes: |a, b| jaccard_steps(a, b),
    };

    /// The kernels of a level.
    pub(crate) fn at(level: Level) -> Self {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(proof) => x86::avx2(proof),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(proof) => x86::avx512(proof),
            #[cfg(target_arch = "x86_64")]
            Level::Vnni(proof) => x86::vnni(proof),
            // Compilers count with NEON by themselves, which every program for 64-bit ARM may use.
            #[cfg(target_arch = "aarch64")]
            Level::Neon(_) => Self::PLAIN,
            Level::Scalar => Self::PLAIN,
        }
    }

    /// What ranks rows: by [`Metric::Jaccard`], or by [`Metric::Hamming`].
    pub(crate) fn rows(&self, metric: Metric) -> RowKernels {
        match metric {
            Metric::Jaccard => self.jaccard,
            _ => self.hamming,
        }
    }
}

/// Counts the bits of words, lane by lane, and adds the lanes.
#[inline(always)]
fn count<const N: usize>(a: &[Line], b: &[Line], words: impl Fn(u64, u64) -> [u64; N]) -> [u32; N] {
    let mut lanes = [[0_u64; WORDS]; N];
    for (a, b) in a.iter().zip(b) {
        let (a, b): ([u64; WORDS], [u64; WORDS]) = (bytemuck::cast(a.0), bytemuck::cast(b.0));
        for (at, (a, b)) in a.into_iter().zip(b).enumerate() {
            for (lanes, word) in lanes.iter_mut().zip(words(a, b)) {
                if let Some(lane) = lanes.get_mut(at) {
                    *lane += u64::from(word.count_ones());
                }
            }
        }
    }
    let mut counts = [0; N];
    for (count, lanes) in counts.iter_mut().zip(lanes) {
        let total: u64 = lanes.into_iter().sum();
        *count = u32::try_from(total).unwrap_or(u32::MAX);
    }
    counts
}

/// Number of bits in which two rows differ.
#[inline(always)]
pub(super) fn differing(a: &[Line], b: &[Line]) -> u32 {
    let [count] = count(
        a,
        b,
        #[inline(always)]
        |a, b| [a ^ b],
    );
    count
}

/// How many of the bits that either row has are not in both, and how many either has.
#[inline(always)]
fn unshared(a: &[Line], b: &[Line]) -> (u32, u32) {
    let [differing, either] = count(
        a,
        b,
        #[inline(always)]
        |a, b| [a ^ b, a | b],
    );
    (differing, either)
}

/// The rank for [`Metric::Hamming`]: exact below 2^24.
#[inline(always)]
#[expect(clippy::cast_precision_loss, reason = "rounded at most once")]
pub(super) fn hamming(query: &[Line], row: &[Line]) -> f32 {
    differing(query, row) as f32
}

/// The rank for [`Metric::Jaccard`], rounded at most thrice.
#[inline(always)]
#[expect(clippy::cast_precision_loss, reason = "rounded at most thrice")]
pub(super) fn jaccard(query: &[Line], row: &[Line]) -> f32 {
    let (differing, either) = unshared(query, row);
    differing as f32 / either.max(1) as f32
}

#[inline(always)]
pub(super) fn hamming_four(query: &[Line], rows: [&[Line]; 4]) -> [f32; 4] {
    let [a, b, c, d] = rows;
    [
        hamming(query, a),
        hamming(query, b),
        hamming(query, c),
        hamming(query, d),
    ]
}

#[inline(always)]
pub(super) fn jaccard_four(query: &[Line], rows: [&[Line]; 4]) -> [f32; 4] {
    let [a, b, c, d] = rows;
    [
        jaccard(query, a),
        jaccard(query, b),
        jaccard(query, c),
        jaccard(query, d),
    ]
}

/// [`Metric::Jaccard`] as a whole number of steps of 2^-31.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "at most 2^31")]
pub(super) fn jaccard_steps(a: &[Line], b: &[Line]) -> u32 {
    let (differing, either) = unshared(a, b);
    ((u64::from(differing) << 31) / u64::from(either.max(1))) as u32
}

/// The distance of two rows, exactly: [`Metric::Jaccard`], or [`Metric::Hamming`].
pub(crate) fn distance(metric: Metric, a: &[Line], b: &[Line]) -> f64 {
    let (differing, either) = unshared(a, b);
    match metric {
        Metric::Jaccard => f64::from(differing) / f64::from(either.max(1)),
        _ => f64::from(differing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits that look random, the more of them set the greater the density.
    fn bits(dimension: usize, density: u64, seed: u64) -> Vec<bool> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 56
        };
        (0..dimension).map(|_| next() < density).collect()
    }

    fn packed(bits: &[bool]) -> Vec<Line> {
        let mut lines = vec![Line::default(); bits.len().div_ceil(LINE_BYTES * 8)];
        for (at, _) in bits.iter().enumerate().filter(|(_, bit)| **bit) {
            lines[at / 512].0[at % 512 / 8] |= 1 << (at % 8);
        }
        lines
    }

    #[test]
    fn every_level_counts_right() {
        for dimension in (1..=20).chain([511, 512, 513, 1_024, 10_000, 65_536]) {
            for (x, y) in [
                (0, 0),
                (0, 128),
                (256, 256),
                (256, 0),
                (128, 128),
                (4, 20),
                (200, 100),
            ] {
                let (a, b) = (bits(dimension, x, 1), bits(dimension, y, 2));
                let both = |pick: fn(bool, bool) -> bool| {
                    let count = a.iter().zip(&b).filter(|(a, b)| pick(**a, **b)).count();
                    u32::try_from(count).unwrap_or(u32::MAX)
                };
                let (differing, either) = (both(|a, b| a != b), both(|a, b| a || b));
                let jaccard = match either {
                    0 => 0.0,
                    _ => 1.0 - f64::from(both(|a, b| a && b)) / f64::from(either),
                };
                let (a, b) = (packed(&a), packed(&b));
                let hamming = f64::from(differing);
                assert_eq!(
                    distance(Metric::Hamming, &a, &b).to_bits(),
                    hamming.to_bits()
                );
                assert!((distance(Metric::Jaccard, &a, &b) - jaccard).abs() < 1e-15);
                for level in Level::available() {
                    let kernels = BitKernels::at(level);
                    assert_eq!((kernels.hamming_codes)(&a, &b), differing, "{level:?}");
                    let steps = f64::from((kernels.jaccard_codes)(&a, &b));
                    assert!(
                        (steps - jaccard * 2.0_f64.powi(31)).abs() < 1.001,
                        "{level:?}"
                    );
                    for (metric, expect) in [(Metric::Hamming, hamming), (Metric::Jaccard, jaccard)]
                    {
                        let RowKernels { one, four, tile } = kernels.rows(metric);
                        let mut found = vec![one(&a, &b)];
                        found.extend(four(&a, [&b; 4]));
                        found.extend(tile([&a; 4], [&b; 4]).as_flattened());
                        for found in found {
                            let error = (f64::from(found) - expect).abs();
                            assert!(error <= expect * 2.0_f64.powi(-23), "{level:?} {metric}");
                        }
                    }
                }
            }
        }
    }
}
