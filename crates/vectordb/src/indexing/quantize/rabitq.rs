//! Codes of one bit per dimension from which distances are estimated without bias: RaBitQ.
//!
//! # The algebra
//!
//! All vectors here are rotated at random ([`super::Rotation`]). Let `u` be a vector, `c` the centre it is coded
//! by, `r = u - c`, `n = |r|`, and `o = r / n` the direction. The code is `x`, the signs of `r`; as a vector of
//! length 1 it is `x / sqrt(D)`, and it points as nearly the way of `o` as such a vector can: with
//! `a = <x, o> / sqrt(D)`, which is `|r|_1 / (n sqrt(D))` and near 0.8,
//!
//! ```text
//! x / sqrt(D) = a o + sqrt(1 - a^2) e          e of length 1, orthogonal to o, in a random direction
//! ```
//!
//! so for any `v`, `<x, v> / (sqrt(D) a) = <o, v> + sqrt(1 - a^2) / a <e, v>`. The last term is zero on average,
//! and `<e, v>` has a standard deviation of at most `|v| / sqrt(D - 1)`. That is the estimator of the inner product
//! and its error. For a query `q`, with `v = q - c`,
//!
//! ```text
//! |q - u|^2 = |q - c|^2 + n^2 - 2 n <o, q - c>
//!          ~= |q - c|^2 + n^2 - 2 n^2 / |r|_1 <x, q - c>
//!           = |q - c|^2 + add + scale <x, q>
//!
//!     scale = -2 n^2 / |r|_1       add = n^2 - scale <x, c>
//!     error = 2 n sqrt(1 - a^2) / a * 1.9 / sqrt(D - 1), times |q - c|
//! ```
//!
//! `add`, `scale` and `error` are the code's [`Factors`]. The query's part, `<x, q>`, is a sum over the signs and
//! does not depend on the centre: one set of tables per query serves all centres. For the inner product as
//! distance the same holds with less: `-<q, u> = -<q, c> - n <o, q>`, so `add` is 0, `scale` and `error` are half as
//! large, and the error is times `|q|`.
//!
//! Rounding in the tables is relative to `|q|` and not to `|q - c|`: where all vectors lie far from the origin and
//! close together, their mean is to be taken off first.
//!
//! With [`EPSILON`] of 1.9, about 3 of 100 true distances are below the least that is stated, whatever the data: the
//! randomness is the rotation's.

use super::fastscan::{
    BLOCK, BlockFactors, Estimates, KERNELS, LINE_BITS, Tables, Terms, code, set_code,
};
use crate::core::{LINE_BYTES, Line, wide};

/// Standard deviations that the stated error has.
pub(crate) const EPSILON: f32 = 1.9;

/// Lines that the factors of a block take.
const FACTOR_LINES: usize = size_of::<BlockFactors>() / LINE_BYTES;

/// What is estimated: what the metric ranks by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    /// The squared Euclidean distance.
    Squared,
    /// The inner product, negated.
    Dot,
}

/// What is kept of a vector besides the signs; see the algebra above.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Factors {
    pub(crate) add: f32,
    pub(crate) scale: f32,
    pub(crate) error: f32,
}

impl Factors {
    /// Those of a lane without a code: infinitely far, and never within a bound.
    pub(crate) const EMPTY: Self = Self {
        add: f32::INFINITY,
        scale: 0.0,
        error: 0.0,
    };
}

/// Where a query is, seen from the centre of some codes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Position {
    /// The rank of the centre itself: its squared distance, or its negated inner product.
    pub(super) base: f32,
    /// What the error is in proportion to.
    pub(super) reach: f32,
}

impl Position {
    /// Of a query at this squared distance from the centre, for [`Rank::Squared`].
    pub(crate) fn squared(distance: f32) -> Self {
        Self {
            base: distance,
            reach: distance.sqrt(),
        }
    }

    /// Of a query of this length whose negated inner product with the centre is `base`, for [`Rank::Dot`].
    pub(crate) fn dot(base: f32, length: f32) -> Self {
        Self {
            base,
            reach: length,
        }
    }
}

/// Writes the signs of `vector - centre`, both rotated, and returns the factors.
pub(crate) fn encode(vector: &[f32], centre: &[f32], rank: Rank, bits: &mut [u64]) -> Factors {
    wide(
        #[inline(always)]
        || encode_wide(vector, centre, rank, bits),
    )
}

#[inline(always)]
#[expect(clippy::cast_precision_loss, reason = "dimensions are small")]
#[expect(
    clippy::indexing_slicing,
    reason = "arrays of one length, indexed below it; so written, compilers make vectors of it"
)]
fn encode_wide(vector: &[f32], centre: &[f32], rank: Rank, bits: &mut [u64]) -> Factors {
    const LANES: usize = 16;
    let mut squares = [0.0_f32; LANES];
    let mut magnitudes = [0.0_f32; LANES];
    let mut centres = [0.0_f32; LANES];
    let words = vector
        .as_chunks::<64>()
        .0
        .iter()
        .zip(centre.as_chunks::<64>().0);
    for ((vector, centre), bits) in words.zip(bits.iter_mut()) {
        let mut word = 0;
        let parts = vector
            .as_chunks::<LANES>()
            .0
            .iter()
            .zip(centre.as_chunks::<LANES>().0);
        for (part, (vector, centre)) in parts.enumerate() {
            let residual: [f32; LANES] = std::array::from_fn(|i| vector[i] - centre[i]);
            for i in 0..LANES {
                squares[i] += residual[i] * residual[i];
                magnitudes[i] += residual[i].abs();
                centres[i] += centre[i].copysign(centre[i] * residual[i]);
                let is_positive = u64::from(!residual[i].is_sign_negative());
                word |= is_positive << (LANES * part + i);
            }
        }
        *bits = word;
    }
    let [squares, magnitudes, centres] =
        [squares, magnitudes, centres].map(|lanes| lanes.iter().sum::<f32>());
    // Signs as a vector: of length `sqrt(D)`.
    let (dimension, length) = (vector.len(), vector.len() as f32);
    factors(squares, magnitudes, centres, length, dimension, rank)
}

/// The factors of a residual `r` of this square that is coded by a vector `y`, given `<y, r>`, `<y, c>` and `|y|^2`.
#[expect(clippy::cast_precision_loss, reason = "dimensions are small")]
pub(super) fn factors(
    square: f32,
    along: f32,
    across: f32,
    length: f32,
    dimension: usize,
    rank: Rank,
) -> Factors {
    if along <= 0.0 {
        // The centre itself, without error.
        return Factors {
            add: 0.0,
            scale: 0.0,
            error: 0.0,
        };
    }
    let scale = -2.0 * square / along;
    // `n / a`, squared, and from it `n sqrt(1 - a^2) / a`.
    let stretched = scale * scale * length / 4.0;
    let error = 2.0 * EPSILON * ((stretched - square).max(0.0) / (dimension as f32 - 1.0)).sqrt();
    match rank {
        Rank::Squared => Factors {
            add: square - scale * across,
            scale,
            error,
        },
        Rank::Dot => Factors {
            add: 0.0,
            scale: scale / 2.0,
            error: error / 2.0,
        },
    }
}

/// Lines that a block of 32 codes of this many bits takes, their factors included.
pub(crate) const fn block_lines(bits: usize) -> usize {
    bits / LINE_BITS + FACTOR_LINES
}

/// The two parts of a block.
fn parts(block: &[Line]) -> Option<(&[Line], &BlockFactors)> {
    let (codes, factors) = block.split_at_checked(block.len().checked_sub(FACTOR_LINES)?)?;
    let factors: &[BlockFactors] = bytemuck::cast_slice(factors);
    Some((codes, factors.first()?))
}

fn parts_mut(block: &mut [Line]) -> Option<(&mut [Line], &mut BlockFactors)> {
    let codes = block.len().checked_sub(FACTOR_LINES)?;
    let (codes, factors) = block.split_at_mut_checked(codes)?;
    let factors: &mut [BlockFactors] = bytemuck::cast_slice_mut(factors);
    Some((codes, factors.first_mut()?))
}

/// Empties a block: it must be before its first code, for a block of zeros has 32 codes.
pub(crate) fn clear(block: &mut [Line]) {
    for lane in 0..BLOCK {
        set_factors(block, lane, Factors::EMPTY);
    }
}

/// Writes a code into a lane, over what was there.
pub(crate) fn set(block: &mut [Line], lane: usize, bits: &[u64], factors: Factors) {
    if let Some((codes, _)) = parts_mut(block) {
        set_code(codes, lane, bits);
    }
    set_factors(block, lane, factors);
}

/// Empties a lane.
pub(crate) fn unset(block: &mut [Line], lane: usize) {
    set_factors(block, lane, Factors::EMPTY);
}

fn set_factors(block: &mut [Line], lane: usize, factors: Factors) {
    let Some((_, all)) = parts_mut(block) else {
        return;
    };
    for (all, factor) in [
        (&mut all.add, factors.add),
        (&mut all.scale, factors.scale),
        (&mut all.error, factors.error),
    ] {
        if let Some(place) = all.get_mut(lane) {
            *place = factor;
        }
    }
}

/// Reads the code of a lane, to put it elsewhere.
pub(crate) fn get(block: &[Line], lane: usize, bits: &mut [u64]) -> Factors {
    let Some((codes, factors)) = parts(block) else {
        return Factors::EMPTY;
    };
    code(codes, lane, bits);
    let factor = |all: &[f32; BLOCK], none| all.get(lane).copied().unwrap_or(none);
    Factors {
        add: factor(&factors.add, f32::INFINITY),
        scale: factor(&factors.scale, 0.0),
        error: factor(&factors.error, 0.0),
    }
}

/// A query that blocks are scanned with. To be kept and filled again: its tables take 4 bytes per dimension.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    tables: Tables,
}

impl Query {
    /// The query, rotated as the codes were.
    pub(crate) fn new(rotated: &[f32]) -> Self {
        let mut query = Self::default();
        query.fill(rotated);
        query
    }

    /// Makes this another query.
    pub(crate) fn fill(&mut self, rotated: &[f32]) {
        self.tables.fill(rotated);
    }

    /// What rounding in the tables is unlikely to exceed, in inner products.
    pub(crate) fn slack(&self) -> f32 {
        self.tables.slack
    }

    /// Estimates the distances of the 32 codes of a block; returns a bit for each that is not out, because the true
    /// distance may be less than `bound`. Empty lanes are always out.
    #[inline]
    pub(crate) fn estimate(
        &self,
        block: &[Line],
        position: Position,
        bound: f32,
        out: &mut Estimates,
    ) -> u32 {
        let Some((codes, factors)) = parts(block) else {
            return 0;
        };
        let terms = Terms {
            step: self.tables.step,
            offset: self.tables.offset,
            slack: self.tables.slack,
            base: position.base,
            reach: position.reach,
            bound,
        };
        (KERNELS.estimate)(self.tables.lines(), codes, factors, &terms, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::distance::scalar;
    use crate::indexing::quantize::{Random, Rotation};

    struct Case {
        centre: Vec<f32>,
        query: Query,
        at: Vec<f32>,
        blocks: Vec<Vec<Line>>,
        vectors: Vec<Vec<f32>>,
    }

    /// Vectors around a centre that is off the origin, and a query, all of the normal distribution.
    fn case(dimension: usize, count: usize, rank: Rank, seed: u64) -> Case {
        let mut random = Random::new(seed);
        let rotation = Rotation::new(dimension, seed);
        let bits = rotation.padded();
        let rotated = |vector: Vec<f32>| {
            let mut out = vec![0.0; bits];
            rotation.apply(&vector, &mut out);
            out
        };
        let centre = rotated(random.normals(dimension));
        let at = rotated(random.normals(dimension));
        let vectors: Vec<Vec<f32>> = (0..count)
            .map(|_| rotated(random.normals(dimension)))
            .collect();
        let blocks = vectors.chunks(BLOCK).map(|vectors| {
            let mut block = vec![Line::default(); block_lines(bits)];
            clear(&mut block);
            for (lane, vector) in vectors.iter().enumerate() {
                let mut code = vec![0; bits / 64];
                let factors = encode(vector, &centre, rank, &mut code);
                set(&mut block, lane, &code, factors);
                let mut read = vec![0; bits / 64];
                assert_eq!(get(&block, lane, &mut read), factors);
                assert_eq!(read, code);
            }
            block
        });
        Case {
            blocks: blocks.collect(),
            query: Query::new(&at),
            centre,
            at,
            vectors,
        }
    }

    fn squared(a: &[f32], b: &[f32]) -> f64 {
        let pairs = a.iter().zip(b);
        pairs
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
            .sum()
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    /// Estimated and least distance beside the true one, in 64 bits.
    fn estimates(case: &Case, rank: Rank) -> Vec<[f64; 3]> {
        let position = match rank {
            Rank::Squared => Position::squared(scalar::squared_euclidean(&case.at, &case.centre)),
            Rank::Dot => Position::dot(
                scalar::negative_dot(&case.at, &case.centre),
                scalar::dot(&case.at, &case.at).sqrt(),
            ),
        };
        let mut found = Vec::new();
        for (block, vectors) in case.blocks.iter().zip(case.vectors.chunks(BLOCK)) {
            let mut out = Estimates::default();
            let mask = case
                .query
                .estimate(block, position, f32::INFINITY, &mut out);
            assert_eq!(mask.count_ones() as usize, vectors.len());
            let median = out.least[0];
            let fewer = case.query.estimate(block, position, median, &mut out);
            assert_eq!(
                fewer,
                (0..)
                    .zip(out.least)
                    .fold(0, |m, (at, least)| m | u32::from(least < median) << at)
            );
            for (lane, vector) in vectors.iter().enumerate() {
                let truth = match rank {
                    Rank::Squared => squared(&case.at, vector),
                    Rank::Dot => -dot(&case.at, vector),
                };
                found.push([out.distance[lane].into(), out.least[lane].into(), truth]);
            }
        }
        found
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    fn estimates_are_unbiased_and_within_their_error() {
        for rank in [Rank::Squared, Rank::Dot] {
            let (mut outside, mut below, mut count) = (0, 0, 0);
            // Errors of one rotation are not independent of each other, so the mean is over all of them.
            let mut sum = 0.0;
            for dimension in (1..=300).step_by(13).chain([784, 1_536, 10_000]) {
                let (vectors, seeds) = if dimension > 2_000 {
                    (40, 2)
                } else {
                    (100, 16)
                };
                let mut squares = 0.0;
                for seed in 0..seeds {
                    let case = case(dimension, vectors, rank, seed);
                    for [estimate, least, truth] in estimates(&case, rank) {
                        // In units of the stated error, which is 1.9 standard deviations.
                        let error = (estimate - truth) / (estimate - least);
                        sum += error;
                        squares += error * error;
                        outside += usize::from(error.abs() > 1.0);
                        below += usize::from(error > 1.0);
                    }
                }
                let here = vectors * usize::try_from(seeds).unwrap();
                count += here;
                let deviation = (squares / here as f64).sqrt();
                assert!(deviation < 0.6, "{rank:?} {dimension}: {deviation}");
                assert!(
                    dimension < 40 || deviation > 0.3,
                    "{rank:?} {dimension}: {deviation}"
                );
            }
            let mean = sum / count as f64;
            assert!(mean.abs() < 0.03, "{rank:?}: {mean}");
            // The normal distribution is outside of 1.9 deviations in 5.7 of 100 cases, half of them on each side.
            assert!(
                (outside as f64) < 0.057 * count as f64,
                "{outside} of {count}"
            );
            assert!((below as f64) < 0.030 * count as f64, "{below} of {count}");
        }
    }

    #[test]
    fn the_centre_is_known_without_error() {
        let mut random = Random::new(4);
        let centre = random.normals(64);
        let query = random.normals(64);
        let mut block = vec![Line::default(); block_lines(64)];
        clear(&mut block);
        let mut bits = [0];
        let factors = encode(&centre, &centre, Rank::Squared, &mut bits);
        set(&mut block, 9, &bits, factors);
        let distance = scalar::squared_euclidean(&query, &centre);
        let mut out = Estimates::default();
        let (query, position) = (Query::new(&query), Position::squared(distance));
        assert_eq!(
            query.estimate(&block, position, f32::INFINITY, &mut out),
            1 << 9
        );
        assert_eq!(
            [out.distance[9], out.least[9]].map(f32::to_bits),
            [distance.to_bits(); 2]
        );
        unset(&mut block, 9);
        assert_eq!(query.estimate(&block, position, f32::INFINITY, &mut out), 0);
    }

    /// Codes of different centres are ranked with the same tables.
    #[test]
    fn the_nearest_by_estimate_are_near() {
        let (near, far) = (
            case(300, 320, Rank::Squared, 1),
            case(300, 320, Rank::Squared, 1),
        );
        assert_eq!(near.blocks, far.blocks);
        let mut found = estimates(&near, Rank::Squared);
        found.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let half = found.len() / 2;
        let sum = |part: &[[f64; 3]]| part.iter().map(|[_, _, truth]| truth).sum::<f64>();
        assert!(sum(&found[..half]) < 0.95 * sum(&found[half..]));
    }
}
