//! [`Rotation`]: a random turn of space that costs `D log D`.

#![expect(
    clippy::inline_always,
    reason = "to be compiled with the instructions of the caller, which `wide` chooses"
)]

use super::random::Random;
use crate::core::wide;

/// Dimensions are padded to a multiple of this: a code is then made of whole words, and a block of whole lines.
const PAD: usize = 64;

/// A random orthogonal transform of vectors of one dimension into a padded one, which follows from its seed.
///
/// Lengths, distances and angles stay; whatever was special about single dimensions (pixels that are always
/// dark, a few large coordinates) is spread over all.
///
/// Each round changes random signs and does a Walsh-Hadamard transform on the largest power of two that fits:
/// in turn on the first elements and on the last. Between rounds, each element of the first half is mixed with
/// its partner in the second, as in Kac's random walk. So the padded dimension is the next multiple of 64, and
/// not the next power of two.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    dimension: usize,
    padded: usize,
    /// Length of the transforms: a power of two.
    block: usize,
    /// For each round and element of its block, a random sign times the transform's scale.
    signs: Vec<f32>,
}

impl Rotation {
    /// The rotation of this seed into the least padded dimension.
    pub(crate) fn new(dimension: usize, seed: u64) -> Self {
        Self::into_at_least(dimension, 1, seed)
    }

    /// The rotation of this seed into so many dimensions or more. Codes of one bit a dimension that comes out say
    /// the more the more come out: an estimate's error falls with the root of their number.
    #[expect(clippy::cast_precision_loss, reason = "dimensions are small")]
    pub(crate) fn into_at_least(dimension: usize, least: usize, seed: u64) -> Self {
        let padded = dimension.max(least).max(1).next_multiple_of(PAD);
        let block = 1 << padded.ilog2();
        let rounds = if block == padded { 3 } else { 4 };
        let scale = 1.0 / (block as f32).sqrt();
        let mut random = Random::new(seed);
        let signs = (0..rounds * block / 64)
            .flat_map(|_| {
                let word = random.bits();
                (0..64).map(move |bit| if word >> bit & 1 == 0 { scale } else { -scale })
            })
            .collect();
        Self {
            dimension,
            padded,
            block,
            signs,
        }
    }

    /// Number of elements that come out: a multiple of 64.
    pub(crate) fn padded(&self) -> usize {
        self.padded
    }

    /// Bytes that the rotation takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.signs.as_slice())
    }

    /// Turns a vector; what lies beyond its dimension, as in a padded row, is ignored.
    ///
    /// # Panics
    /// When `out` has not the padded length.
    pub(crate) fn apply(&self, vector: &[f32], out: &mut [f32]) {
        let vector = vector.get(..self.dimension).unwrap_or(vector);
        let (front, rest) = out.split_at_mut(vector.len());
        front.copy_from_slice(vector);
        rest.fill(0.0);
        self.turn(out);
    }

    /// Turns what is already padded, in place.
    ///
    /// # Panics
    /// When the vector has not the padded length.
    pub(crate) fn turn(&self, vector: &mut [f32]) {
        assert_eq!(vector.len(), self.padded, "a padded vector");
        wide(
            #[inline(always)]
            || self.rounds(vector),
        );
    }

    #[inline(always)]
    fn rounds(&self, vector: &mut [f32]) {
        let is_whole = self.block == self.padded;
        for (round, signs) in self.signs.chunks_exact(self.block).enumerate() {
            let begin = if round % 2 == 0 {
                0
            } else {
                self.padded - self.block
            };
            let block = vector
                .get_mut(begin..begin + self.block)
                .unwrap_or_default();
            for (value, sign) in block.iter_mut().zip(signs) {
                *value *= sign;
            }
            hadamard(block);
            if !is_whole {
                mix_halves(vector);
            }
        }
    }
}

/// The Walsh-Hadamard transform, not scaled, of a power of two of elements, at least 16.
#[inline(always)]
fn hadamard(values: &mut [f32]) {
    for chunk in values.as_chunks_mut::<16>().0 {
        hadamard_16(chunk);
    }
    let mut half = 16;
    while half < values.len() {
        for pair in values.chunks_exact_mut(2 * half) {
            let (a, b) = pair.split_at_mut(half);
            for (a, b) in a.iter_mut().zip(b) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

#[inline(always)]
fn hadamard_16(values: &mut [f32; 16]) {
    for half in [1, 2, 4, 8] {
        for pair in values.chunks_exact_mut(2 * half) {
            let (a, b) = pair.split_at_mut(half);
            for (a, b) in a.iter_mut().zip(b) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
    }
}

/// Turns each pair of an element of the first half and its partner in the second by 45 degrees.
#[inline(always)]
fn mix_halves(values: &mut [f32]) {
    let (a, b) = values.split_at_mut(values.len() / 2);
    for (a, b) in a.iter_mut().zip(b) {
        let scale = std::f32::consts::FRAC_1_SQRT_2;
        (*a, *b) = ((*a + *b) * scale, (*a - *b) * scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    #[test]
    fn lengths_and_angles_stay() {
        for dimension in (1..=300).chain([784, 1_536, 10_000]) {
            let rotation = Rotation::new(dimension, 7);
            assert_eq!(rotation.padded(), dimension.next_multiple_of(64));
            let mut random = Random::new(dimension as u64);
            let pair = [(); 2].map(|()| random.normals(dimension));
            let turned = pair.clone().map(|vector| {
                let mut out = vec![f32::NAN; rotation.padded()];
                rotation.apply(&vector, &mut out);
                out
            });
            let size = dot(&pair[0], &pair[0]);
            for (a, b) in [(0, 0), (0, 1), (1, 1)] {
                let (before, after) = (dot(&pair[a], &pair[b]), dot(&turned[a], &turned[b]));
                assert!((before - after).abs() < 1e-5 * size, "{dimension}");
            }
        }
    }

    #[test]
    fn unit_vectors_turn_into_an_orthonormal_base() {
        for padded in [64, 192, 320] {
            let rotation = Rotation::new(padded, 3);
            let turned: Vec<Vec<f32>> = (0..padded)
                .map(|at| {
                    let mut unit = vec![0.0; padded];
                    unit[at] = 1.0;
                    rotation.turn(&mut unit);
                    unit
                })
                .collect();
            for (i, a) in turned.iter().enumerate() {
                for (j, b) in turned.iter().enumerate() {
                    let expect = if i == j { 1.0 } else { 0.0 };
                    assert!((dot(a, b) - expect).abs() < 1e-5);
                }
                // Spread out: no element keeps much.
                assert!(a.iter().all(|v| v.abs() < 0.75), "{padded}");
            }
        }
    }

    #[test]
    fn the_seed_decides() {
        let turn = |seed| {
            let mut out = vec![0.0; 128];
            Rotation::new(100, seed).apply(&[1.0; 100], &mut out);
            out.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
        };
        assert_eq!(turn(5), turn(5));
        assert_ne!(turn(5), turn(6));
    }
}
