//! [`Backoff`]: how long to wait before the next attempt.

use std::time::Duration;

use common::utils::id_generator::Rng;

/// How long to wait after failures: twice as long each time up to a longest wait, less up to a half by chance, so that
/// clients that failed together do not come back together.
///
/// ```
/// use common::utils::id_generator::SeededRng;
/// use server::client::Backoff;
/// use std::time::Duration;
/// let backoff = Backoff::default();
/// let wait = backoff.wait(3, &SeededRng::new(1));
/// assert!(Duration::from_secs(2) <= wait && wait <= Duration::from_secs(4));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Longest wait after the first failure. Default 500 ms.
    pub first: Duration,
    /// Longest wait after any failure. Default 60 s.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_mins(1),
        }
    }
}

impl Backoff {
    /// How long to wait when there were `failures` before the last one, one after the other.
    pub fn wait(&self, failures: u32, rng: &dyn Rng) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.min(20));
        let mut chance = [0; 4];
        rng.fill(&mut chance);
        let chance = f64::from(u32::from_le_bytes(chance)) / f64::from(u32::MAX);
        let part = 1.0 - chance / 2.0;
        doubled.min(self.longest).mul_f64(part)
    }
}

#[cfg(test)]
mod tests {
    use common::utils::id_generator::SeededRng;

    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_spread() {
        let backoff = Backoff::default();
        for failures in (0..40).chain([u32::MAX]) {
            let mut least = Duration::MAX;
            let mut most = Duration::ZERO;
            let bound = (backoff.first * (1 << failures.min(7))).min(backoff.longest);
            for seed in 0..200 {
                let wait = backoff.wait(failures, &SeededRng::new(seed));
                assert_eq!(wait, backoff.wait(failures, &SeededRng::new(seed)));
                assert!(bound / 2 <= wait && wait <= bound, "{failures}: {wait:?}");
                least = least.min(wait);
                most = most.max(wait);
            }
            // Spread over most of the half that chance has.
            assert!(most.saturating_sub(least) > bound * 2 / 5, "{failures}");
        }
    }
}
