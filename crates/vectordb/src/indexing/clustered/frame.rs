//! [`Frame`]: where and how large vectors are for the index, whatever they are for the user.

use crate::core::VectorRows;
use crate::indexing::quantize::{Random, Rank, Rotation};
use common::Slot;

/// From vectors of a table to those that are coded: moved so that their mean is the origin, scaled to a usual length
/// of about the root of the dimension, and rotated.
///
/// Moving keeps digits of vectors that lie close together and far from the origin; scaling keeps squares of very
/// large and very small ones in the range of 32-bit floats. Inner products change when vectors move, so for
/// [`Rank::Dot`] they do not.
#[derive(Debug)]
pub(super) struct Frame {
    /// Of the rotation.
    seed: u64,
    rotation: Rotation,
    mean: Vec<f32>,
    /// A power of two.
    scale: f32,
}

impl Frame {
    /// The frame that suits a sample of vectors of a table.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "a mean of 32-bit floats is one; counts are small"
    )]
    pub(super) fn new(rows: &VectorRows, sample: &[Slot], rank: Rank, random: &mut Random) -> Self {
        let dimension = rows.dimension();
        let count = sample.len().max(1) as f64;
        let sample = || sample.iter().filter_map(|slot| rows.floats(*slot));
        let mut mean = vec![0.0_f64; dimension];
        if rank == Rank::Squared {
            for row in sample() {
                for (mean, value) in mean.iter_mut().zip(&*row) {
                    *mean += f64::from(*value) / count;
                }
            }
        }
        let mean: Vec<f32> = mean.into_iter().map(|mean| mean as f32).collect();
        let square = |row: &[f32]| -> f64 {
            let pairs = row.iter().zip(&mean);
            pairs
                .map(|(v, m)| (f64::from(*v) - f64::from(*m)).powi(2))
                .sum()
        };
        let squares: f64 = sample().map(|row| square(&row)).sum();
        let usual = (squares / count / dimension.max(1) as f64).sqrt();
        let exponent = usual.log2().round().clamp(-120.0, 120.0);
        let scale = if usual > 0.0 {
            (-exponent).exp2() as f32
        } else {
            1.0
        };
        Self::of(mean, random.bits(), scale)
    }

    /// The frame about a mean.
    pub(super) fn of(mean: Vec<f32>, seed: u64, scale: f32) -> Self {
        Self {
            seed,
            rotation: Rotation::new(mean.len(), seed),
            mean,
            scale,
        }
    }

    /// What [`Frame::of`] made it of.
    pub(super) fn parts(&self) -> (&[f32], u64, f32) {
        (&self.mean, self.seed, self.scale)
    }

    /// Number of elements of vectors in the frame: a multiple of 64.
    pub(super) fn padded(&self) -> usize {
        self.rotation.padded()
    }

    pub(super) fn bytes(&self) -> usize {
        self.rotation.bytes() + size_of_val(self.mean.as_slice())
    }

    /// What ranks in the table, distances squared or inner products, are times in the frame.
    pub(super) fn rank_scale(&self) -> f64 {
        f64::from(self.scale) * f64::from(self.scale)
    }

    /// Brings a padded row or query into the frame.
    pub(super) fn apply(&self, row: &[f32], out: &mut [f32]) {
        for ((out, value), mean) in out.iter_mut().zip(row).zip(&self.mean) {
            *out = (value - mean) * self.scale;
        }
        out.get_mut(self.mean.len()..).unwrap_or_default().fill(0.0);
        self.rotation.turn(out);
    }
}
