//! [`Positions`]: where MD5 puts units between 0 and 1, and which share a place falls in.

use md5::{Digest, Md5};

/// The state of MD5 after a salt and a colon: every unit goes on from there.
///
/// A place is the digest of `salt:unit` as a big-endian fraction of one, rounded once. It depends on nothing else, so
/// that every machine puts a unit at the same place.
///
/// ```
/// use vectordb::experiment::Positions;
/// let positions = Positions::new("exp");
/// assert_eq!(positions.of("user0"), 0.764_363_310_331_669_3);
/// assert_eq!(Positions::choose(0.76, [0.5, 0.5]), Some(1));
/// ```
#[derive(Debug, Clone)]
pub struct Positions {
    salted: Md5,
}

impl Positions {
    /// Positions under a salt.
    pub fn new(salt: &str) -> Self {
        Self {
            salted: Md5::new_with_prefix(salt).chain_update(b":"),
        }
    }

    /// The place of a unit, from 0 to 1.
    #[expect(
        clippy::cast_precision_loss,
        reason = "rounding to the nearest double is what is wanted"
    )]
    pub fn of(&self, unit: &str) -> f64 {
        let digest = self.salted.clone().chain_update(unit).finalize();
        // Both divisors are powers of two: the only rounding is that to a double.
        u128::from_be_bytes(digest.into()) as f64 / (1_u128 << 127) as f64 / 2.0
    }

    /// Which of `shares` a place falls in, when they are laid side by side and stretched to fill 0 to 1; equal ones when
    /// all are zero. None when there is no share.
    #[expect(clippy::cast_precision_loss, reason = "shares are few")]
    pub fn choose<I>(position: f64, shares: I) -> Option<usize>
    where
        I: IntoIterator<Item = f64, IntoIter: Clone + ExactSizeIterator>,
    {
        let shares = shares.into_iter();
        let last = shares.len().checked_sub(1)?;
        let mut total = 0.0;
        for share in shares.clone() {
            total += share;
        }
        let even = 1.0 / (last + 1) as f64;
        let mut end = 0.0;
        for (at, share) in shares.enumerate() {
            end += if total > 0.0 { share / total } else { even };
            if position < end {
                return Some(at);
            }
        }
        Some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_choices_are_the_published_ones() {
        let positions = Positions::new("s1");
        assert_eq!(
            positions.of("id-1").to_bits(),
            0.139_844_330_431_875_16_f64.to_bits()
        );
        let chosen: Vec<_> = (0..6)
            .map(|i| Positions::choose(positions.of(&format!("id-{i}")), [0.2, 0.3, 0.5]))
            .collect();
        assert_eq!(chosen, [2, 0, 0, 2, 2, 0].map(Some));
    }

    #[test]
    fn shares_fill_everything_whatever_their_sum() {
        assert_eq!(Positions::choose(0.6, [0.1, 0.1]), Some(1));
        assert_eq!(Positions::choose(0.6, [0.0, 0.0, 0.0]), Some(1));
        assert_eq!(Positions::choose(1.0, [0.3, 0.7]), Some(1));
        assert_eq!(Positions::choose(0.5, []), None);
    }
}
