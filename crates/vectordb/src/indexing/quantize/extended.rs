//! Codes of 2 to 8 bits per dimension, for better estimates of the few candidates that one bit cannot exclude:
//! extended RaBitQ (Gao et al., SIGMOD 2025).
//!
//! The code of a residual `r` is a vector `y` with elements of `+-(m + 1/2)`, `m` below `2^(b - 1)`, that points as
//! nearly the way of `r` as this grid allows. Everything of [`super::rabitq`] holds with `y` in the place of the
//! signs `x`, and the angle between code and residual, thus the error, halves with each bit.
//!
//! Signs of `y` are those of `x`, which the scanned blocks have. What is kept here are the other `b - 1` bits: `m`
//! for a positive sign and its complement for a negative one, which makes `y` linear in the bits:
//!
//! ```text
//! y = 2^(b - 2) x + e + (1/2 - 2^(b - 2))        e the number that the b - 1 bits make
//! ```
//!
//! so `<y, q>` follows from the scan's `<x, q>`, the sum of `q`, and `<e, q>`, which is computed in whole numbers from a
//! query of 14 bits. Bits lie in planes: for each 64 dimensions a word of each weight, the lowest first.

#![expect(
    clippy::inline_always,
    reason = "to be compiled with the instructions of the caller, which `wide` chooses"
)]

use std::sync::LazyLock;

use super::rabitq::{Factors, Position, Rank, factors};
use crate::core::wide;

#[cfg(target_arch = "x86_64")]
mod x86;

/// Greatest magnitude of an element of a query in whole numbers.
const QUERY_MAX: f32 = 8_191.0;

/// For each number of bits, 2 to 8, the width of a level that loses least of a standard normal distribution.
const STEPS: [f32; 7] = [0.996, 0.586, 0.335, 0.188, 0.104, 0.057, 0.031];

/// Widths that are tried, as multiples of the one above: residuals are only nearly normal.
const TRIED: [f32; 7] = [1.0, 0.7, 0.8, 0.9, 1.1, 1.2, 1.35];

/// Words, query elements, planes per 64 dimensions; the sum of products.
type Kernel = fn(&[u64], &[i16], usize) -> i64;

static KERNEL: LazyLock<Kernel> = LazyLock::new(|| kernels().last().copied().unwrap_or(product));

/// All kernels that this machine has, the fastest last.
fn kernels() -> Vec<Kernel> {
    let plain: Kernel = product;
    let kernels = std::iter::once(plain);
    #[cfg(target_arch = "x86_64")]
    let kernels = kernels.chain(x86::available());
    kernels.collect()
}

/// Words that the bits beside the sign take for vectors of a padded dimension.
pub(crate) const fn words(padded: usize, bits: u8) -> usize {
    padded / 64 * (bits as usize - 1)
}

/// Writes the bits of `vector - centre`, both rotated, that stand beside its signs, and returns the factors.
///
/// `bits` is 2 to 8 and `words` as long as [`words`] says.
pub(crate) fn encode(
    vector: &[f32],
    centre: &[f32],
    rank: Rank,
    bits: u8,
    words: &mut [u64],
) -> Factors {
    wide(
        #[inline(always)]
        || encode_wide(vector, centre, rank, bits, words),
    )
}

#[inline(always)]
#[expect(
    clippy::indexing_slicing,
    reason = "arrays of one length, indexed below it; so written, compilers make vectors of it"
)]
fn encode_wide(vector: &[f32], centre: &[f32], rank: Rank, bits: u8, words: &mut [u64]) -> Factors {
    let planes = usize::from(bits - 1);
    let levels = f32::from(1_u8 << planes);
    let residual: Vec<f32> = vector.iter().zip(centre).map(|(v, c)| v - c).collect();
    let Some(step) = best_step(&residual, bits) else {
        words.fill(0);
        return factors(0.0, 0.0, 0.0, 0.0, vector.len(), rank);
    };
    let inverse = 1.0 / step;
    let (mut square, mut along, mut across, mut length) =
        ([0.0; 64], [0.0; 64], [0.0; 64], [0.0; 64]);
    let parts = residual
        .as_chunks::<64>()
        .0
        .iter()
        .zip(centre.as_chunks::<64>().0);
    for ((residual, centre), words) in parts.zip(words.chunks_exact_mut(planes)) {
        let mut codes = [0_u8; 64];
        for at in 0..64 {
            let (r, c) = (residual[at], centre[at]);
            let (magnitude, code) = level(r, inverse, levels);
            let complement = if r.is_sign_negative() { 0xff } else { 0 };
            codes[at] = code ^ complement;
            let y = (magnitude + 0.5).copysign(r);
            square[at] += r * r;
            along[at] += y * r;
            across[at] += y * c;
            length[at] += y * y;
        }
        for (plane, word) in words.iter_mut().enumerate() {
            *word = bits_of(&codes, plane);
        }
    }
    let [square, along, across, length] =
        [square, along, across, length].map(|lanes| lanes.iter().sum::<f32>());
    factors(square, along, across, length, vector.len(), rank)
}

/// One bit of each of 64 bytes.
#[inline(always)]
fn bits_of(bytes: &[u8; 64], bit: usize) -> u64 {
    const LOWEST: u64 = 0x0101_0101_0101_0101;
    // The product's highest byte gathers the lowest bit of each byte, in their order.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let eights = bytes.as_chunks::<8>().0.iter().enumerate();
    eights.fold(0, |word, (at, eight)| {
        let lowest = u64::from_le_bytes(*eight) >> bit & LOWEST;
        word | (lowest.wrapping_mul(GATHER) >> 56) << (8 * at)
    })
}

/// The level of an element: a whole number below `levels`, as a float and as such.
///
/// Rounded by adding a large number, which every machine does in wide registers; a value between two levels may come to
/// either.
#[inline(always)]
fn level(value: f32, inverse: f32, levels: f32) -> (f32, u8) {
    const ROUND: f32 = 8_388_608.0;
    let below = (value.abs() * inverse).min(levels - 0.5);
    let rounded = (below - 0.5).max(0.0) + ROUND;
    (rounded - ROUND, (rounded.to_bits() & 0xff) as u8)
}

/// The width of a level whose code points best; `None` if the residual is zero.
#[expect(clippy::cast_precision_loss, reason = "dimensions are small")]
#[inline(always)]
fn best_step(residual: &[f32], bits: u8) -> Option<f32> {
    let square: f32 = residual.iter().map(|v| v * v).sum();
    let most = residual.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
    let deviation = (square / residual.len() as f32).sqrt();
    let usual = deviation * STEPS.get(usize::from(bits) - 2)?;
    let levels = f32::from(1_u8 << (bits - 1));
    // The last covers the whole range, as suits residuals without tails.
    let steps = TRIED.iter().map(|factor| factor * usual);
    let mut best = (0.0, None);
    for step in steps.chain([most / levels]) {
        if !(step.is_normal() && (1.0 / step).is_normal()) {
            continue;
        }
        let cosine = cosine(residual, 1.0 / step, levels);
        if cosine > best.0 {
            best = (cosine, Some(step));
        }
    }
    best.1
}

/// The cosine of the angle between a residual and its code, times the residual's length.
#[inline(always)]
fn cosine(residual: &[f32], inverse: f32, levels: f32) -> f32 {
    let (mut along, mut length) = ([0.0_f32; 16], [0.0_f32; 16]);
    for values in residual.as_chunks::<16>().0 {
        let sums = along.iter_mut().zip(&mut length);
        for ((along, length), value) in sums.zip(values) {
            let y = level(*value, inverse, levels).0 + 0.5;
            *along += y * value.abs();
            *length += y * y;
        }
    }
    along.iter().sum::<f32>() / length.iter().sum::<f32>().sqrt()
}

/// A query that refines what [`super::Query`] estimated of single codes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refiner {
    values: Vec<i16>,
    planes: usize,
    step: f32,
    /// Factor of the scan's inner product, and what is added to it.
    weight: f32,
    offset: f32,
    /// What rounding is unlikely to exceed in the inner product.
    slack: f32,
}

impl Refiner {
    /// A query, rotated as the codes were, for codes of 2 to 8 bits; `slack` is that of the scan.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "a rounded number of 14 bits; dimensions are small"
    )]
    pub(crate) fn new(rotated: &[f32], bits: u8, slack: f32) -> Self {
        let most = rotated.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
        let step = if most > 0.0 { most / QUERY_MAX } else { 1.0 };
        let inverse = 1.0 / step;
        let weight = f32::from(1_u16 << bits) / 4.0;
        let rounding = 3.0 * step * (rotated.len() as f32 / 12.0).sqrt();
        Self {
            values: rotated
                .iter()
                .map(|v| (v * inverse).round() as i16)
                .collect(),
            planes: usize::from(bits - 1),
            step,
            weight,
            offset: (0.5 - weight) * rotated.iter().sum::<f32>(),
            slack: weight * (slack + 2.0 * rounding),
        }
    }

    /// The estimated distance and what the true one is hardly below, of the code of these words and factors whose
    /// signs have the inner product `product` with the query.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(crate) fn estimate(
        &self,
        words: &[u64],
        factors: Factors,
        product: f32,
        position: Position,
    ) -> (f32, f32) {
        let rest = (*KERNEL)(words, &self.values, self.planes) as f32;
        let product = self.weight * product + self.step * rest + self.offset;
        let distance = position.base + factors.add + factors.scale * product;
        let error = factors.scale.abs() * self.slack + factors.error * position.reach;
        (distance, distance - error)
    }
}

/// The product of a query and the numbers that the planes make, by definition.
fn product(words: &[u64], query: &[i16], planes: usize) -> i64 {
    let mut sum = 0;
    for (words, query) in words.chunks_exact(planes).zip(query.chunks_exact(64)) {
        for (plane, word) in words.iter().enumerate() {
            let values = query.iter().enumerate();
            let chosen =
                values.map(|(at, value)| i32::from(*value) * i32::from(word >> at & 1 == 1));
            sum += i64::from(chosen.sum::<i32>()) << plane;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::rabitq;
    use super::super::{BLOCK, Estimates, Query, Random, Rotation, block_lines};
    use super::*;
    use crate::core::Line;

    #[test]
    fn every_machine_has_the_same_products() {
        for bits in 2..=8 {
            for padded in [64, 192, 832, 40_000_usize.next_multiple_of(64)] {
                let mut random = Random::new(padded as u64);
                let codes: Vec<u64> = (0..words(padded, bits)).map(|_| random.bits()).collect();
                let query: Vec<i16> = (0..padded)
                    .map(|_| i16::try_from(random.below(16_383)).unwrap() - 8_191)
                    .collect();
                let planes = usize::from(bits - 1);
                for (codes, query) in [
                    (codes, query),
                    (vec![u64::MAX; words(padded, bits)], vec![-8_191; padded]),
                ] {
                    let expect = product(&codes, &query, planes);
                    for kernel in kernels() {
                        assert_eq!(kernel(&codes, &query, planes), expect, "{bits} {padded}");
                    }
                }
            }
        }
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    fn each_bit_halves_the_error_and_the_bound_holds() {
        for rank in [Rank::Squared, Rank::Dot] {
            for dimension in [10, 100, 784] {
                let mut errors = vec![f64::INFINITY];
                let (mut below, mut count) = (0, 0);
                for bits in 2..=8 {
                    let mut squares = 0.0;
                    for seed in 0..6 {
                        for [estimate, least, truth] in estimates(dimension, bits, rank, seed) {
                            squares += (estimate - truth).powi(2);
                            below += usize::from(truth < least);
                            count += 1;
                        }
                    }
                    errors.push(squares.sqrt());
                }
                for (at, pair) in errors.windows(2).enumerate() {
                    // With 7 bits and more, rounding of the scan's tables shows.
                    let most = if at < 5 { 0.65 } else { 0.9 };
                    assert!(pair[1] < most * pair[0], "{rank:?} {dimension} {errors:?}");
                }
                assert!(
                    (below as f64) < 0.03 * f64::from(count),
                    "{rank:?} {dimension}: {below}"
                );
            }
        }
    }

    fn estimates(dimension: usize, bits: u8, rank: Rank, seed: u64) -> Vec<[f64; 3]> {
        let mut random = Random::new(seed);
        let rotation = Rotation::new(dimension, seed);
        let padded = rotation.padded();
        let mut rotated = || {
            let mut out = vec![0.0; padded];
            rotation.apply(&random.normals(dimension), &mut out);
            out
        };
        let (centre, at) = (rotated(), rotated());
        let vectors: Vec<Vec<f32>> = (0..BLOCK).map(|_| rotated()).collect();
        let mut block = vec![Line::default(); block_lines(padded)];
        let mut codes = Vec::new();
        for (lane, vector) in vectors.iter().enumerate() {
            let mut signs = vec![0; padded / 64];
            let factors = rabitq::encode(vector, &centre, rank, &mut signs);
            rabitq::set(&mut block, lane, &signs, factors);
            let mut code = vec![1; words(padded, bits)];
            let factors = encode(vector, &centre, rank, bits, &mut code);
            codes.push((code, factors));
        }
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            let pairs = a.iter().zip(b);
            pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let squared = |a: &[f32], b: &[f32]| dot(a, a) + dot(b, b) - 2.0 * dot(a, b);
        #[expect(clippy::cast_possible_truncation, reason = "as searches do")]
        let position = match rank {
            Rank::Squared => Position::squared(squared(&at, &centre) as f32),
            Rank::Dot => Position::dot(-dot(&at, &centre) as f32, dot(&at, &at).sqrt() as f32),
        };
        let query = Query::new(&at);
        let mut out = Estimates::default();
        query.estimate(&block, position, f32::INFINITY, &mut out);
        let refiner = Refiner::new(&at, bits, query.slack());
        let found = vectors.iter().zip(codes).zip(out.product);
        found
            .map(|((vector, (code, factors)), product)| {
                let (estimate, least) = refiner.estimate(&code, factors, product, position);
                let truth = match rank {
                    Rank::Squared => squared(&at, vector),
                    Rank::Dot => -dot(&at, vector),
                };
                [estimate.into(), least.into(), truth]
            })
            .collect()
    }

    #[test]
    fn the_centre_has_no_code() {
        let centre = [0.5; 64];
        let mut words = [7; 3];
        let factors = encode(&centre, &centre, Rank::Squared, 4, &mut words);
        assert_eq!((words, factors.error.to_bits()), ([0; 3], 0));
    }
}
