//! [`Random`]: a small generator, so that a seed names a workload on every machine.

/// The generator called `splitmix64`: 64 bits of state, good enough to pick rows, the same everywhere.
///
/// ```
/// use bench::random::Random;
/// assert_eq!(Random::new(7).below(10), Random::new(7).below(10));
/// ```
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator that starts from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`, or 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.bits()) * bound as u128;
        // The high half of a 64 by 64 bit product is below the bound.
        usize::try_from(wide >> 64).unwrap_or_default()
    }

    /// A number below `bound` of which small ones are more likely, as names and channels are in life.
    pub fn skewed(&mut self, bound: usize) -> usize {
        // The product of two uniform numbers leans towards zero.
        let once = self.below(bound) + 1;
        self.below(once)
    }
}

/// Spreads the bits of a number over all 64.
#[inline]
pub const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_their_bound_and_reach_it() {
        let mut random = Random::new(1);
        let mut seen = [false; 7];
        for _ in 0..1_000 {
            seen[random.below(7)] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(random.below(0), 0);
    }
}
