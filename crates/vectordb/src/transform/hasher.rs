//! [`Hasher`]: texts as counts in buckets, without a fit.

use common::{Error, Result};
use serde::{Deserialize, Serialize};

use super::check::width;

/// Most buckets of a [`Hasher`].
pub const BUCKETS_MAX: usize = 1 << 20;

/// Counts texts in buckets by their 32-bit `MurmurHash3` (seed 0, of their UTF-8), as scikit-learn's `FeatureHasher`
/// does: equal to it in every bit.
///
/// ```
/// use vectordb::transform::Hasher;
/// let mut out = [0.0; 16];
/// Hasher::new(16, false)?.transform(["Oulu", "Turku", "Oulu"], &mut out)?;
/// assert_eq!(out.iter().sum::<f64>(), 3.0);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hasher {
    buckets: usize,
    signed: bool,
}

impl Hasher {
    /// Into `buckets`; if `signed`, a half of the texts counts -1, so that collisions cancel on average.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for no bucket or more than [`BUCKETS_MAX`].
    pub fn new(buckets: usize, signed: bool) -> Result<Self> {
        let hasher = Self { buckets, signed };
        hasher.check()?;
        Ok(hasher)
    }

    pub(crate) fn check(&self) -> Result<()> {
        if (1..=BUCKETS_MAX).contains(&self.buckets) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "{} buckets; there are to be 1 to {BUCKETS_MAX}",
            self.buckets
        )))
    }

    /// How many numbers the texts of a row become.
    pub const fn outputs(&self) -> usize {
        self.buckets
    }

    /// Writes the counts of the texts of one row into `out`; allocates nothing.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `out` has not [`Hasher::outputs`] numbers.
    pub fn transform<'a>(
        &self,
        texts: impl IntoIterator<Item = &'a str>,
        out: &mut [f64],
    ) -> Result<()> {
        width("the output", out.len(), self.buckets)?;
        out.fill(0.0);
        for text in texts {
            // The published algorithm gives a signed number; its magnitude chooses the bucket.
            let hash = murmur3(text.as_bytes()).cast_signed();
            let bucket = hash.unsigned_abs() as usize % self.buckets;
            if let Some(count) = out.get_mut(bucket) {
                *count += if self.signed && hash < 0 { -1.0 } else { 1.0 };
            }
        }
        Ok(())
    }
}

/// `MurmurHash3_x86_32` with seed 0, by Austin Appleby.
fn murmur3(bytes: &[u8]) -> u32 {
    let mix = |word: u32| {
        word.wrapping_mul(0xcc9e_2d51)
            .rotate_left(15)
            .wrapping_mul(0x1b87_3593)
    };
    let (words, rest) = bytes.as_chunks::<4>();
    let mut hash = words.iter().fold(0_u32, |hash, word| {
        (hash ^ mix(u32::from_le_bytes(*word)))
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64)
    });
    let tail = rest
        .iter()
        .rev()
        .fold(0, |tail, byte| tail << 8 | u32::from(*byte));
    hash ^= mix(tail);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the algorithm takes the length in 32 bits"
    )]
    let length = bytes.len() as u32;
    hash ^= length;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}
