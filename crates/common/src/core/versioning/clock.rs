//! [`Hlc`]: stamps that follow the wall clock and never go back, and the clock that makes them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::core::base::Timestamp;
use crate::error::{Error, Result};
use crate::utils::time::Clock;

/// A hybrid logical time: milliseconds since 1970 in the upper 48 bits, a counter in the lower 16.
///
/// Stamps order as numbers; a stamp made after another was seen is greater. After S. Kulkarni et al.,
/// "Logical Physical Clocks and Consistent Snapshots in Globally Distributed Databases", 2014.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Hlc(pub u64);

const COUNTER_BITS: u32 = 16;

impl Hlc {
    /// A stamp from its parts; milliseconds outside 0 to 2^48 - 1 are clamped.
    pub fn new(millis: i64, counter: u16) -> Self {
        const MILLIS_MAX: u64 = (1 << 48) - 1;
        let millis = u64::try_from(millis).unwrap_or(0).min(MILLIS_MAX);
        Self(millis << COUNTER_BITS | u64::from(counter))
    }

    /// Milliseconds since 1970.
    #[expect(clippy::cast_possible_wrap, reason = "48 bits fit")]
    pub const fn millis(self) -> i64 {
        (self.0 >> COUNTER_BITS) as i64
    }

    /// Position among the stamps of the same millisecond.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the lower 16 bits are meant"
    )]
    pub const fn counter(self) -> u16 {
        self.0 as u16
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}+{}",
            Timestamp::from_millis(self.millis()),
            self.counter()
        )
    }
}

/// Makes [`Hlc`] stamps from a wall clock, each greater than every stamp made or observed before.
///
/// ```
/// use std::sync::Arc;
/// use common::utils::time::ManualClock;
/// use common::versioning::{Hlc, HybridClock};
/// let wall = Arc::new(ManualClock::new(5_000_000));
/// let clock = HybridClock::new(wall.clone());
/// let first = clock.tick();
/// assert_eq!(first, Hlc::new(5_000, 0));
/// clock.observe(Hlc::new(5_250, 3))?;
/// assert_eq!(clock.tick(), Hlc::new(5_250, 4));
/// assert!(clock.observe(Hlc::new(5_000_000, 0)).is_err(), "80 minutes ahead");
/// # Ok::<(), common::Error>(())
/// ```
pub struct HybridClock {
    wall: Arc<dyn Clock>,
    last: AtomicU64,
}

impl HybridClock {
    /// A stamp further ahead of the wall clock than this, in milliseconds, is refused.
    pub const AHEAD_MILLIS_MAX: i64 = 120_000;

    /// A clock over `wall`.
    pub const fn new(wall: Arc<dyn Clock>) -> Self {
        Self {
            wall,
            last: AtomicU64::new(0),
        }
    }

    /// The wall clock's time.
    #[inline]
    pub fn now(&self) -> Timestamp {
        Timestamp(self.wall.now())
    }

    /// The next stamp.
    pub fn tick(&self) -> Hlc {
        self.tick_at(self.now())
    }

    /// The next stamp, for a caller that has read the wall clock already.
    #[inline]
    pub fn tick_at(&self, now: Timestamp) -> Hlc {
        let now = Hlc::new(now.as_millis(), 0).0;
        // A counter beyond 16 bits carries into the milliseconds, which keeps the order.
        let previous = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(now.max(last.saturating_add(1)))
            })
            .unwrap_or_default();
        Hlc(now.max(previous.saturating_add(1)))
    }

    /// Takes note of a stamp from elsewhere, so that later stamps here are greater.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the stamp is more than [`Self::AHEAD_MILLIS_MAX`] ahead of the
    /// wall clock: one wrong clock must not drag all others along. Nothing is noted then.
    pub fn observe(&self, stamp: Hlc) -> Result<()> {
        let ahead = stamp.millis().saturating_sub(self.now().as_millis());
        if ahead > Self::AHEAD_MILLIS_MAX {
            return Err(Error::invalid(format!(
                "stamp {stamp} is {ahead} ms ahead of the clock here; at most {} ms are accepted",
                Self::AHEAD_MILLIS_MAX
            )));
        }
        self.last.fetch_max(stamp.0, Ordering::Relaxed);
        Ok(())
    }

    /// Goes on after a stamp that this clock made before a restart, however far ahead of the wall clock it is now: the wall
    /// clock may have been set back since.
    ///
    /// ```
    /// use common::versioning::{Hlc, HybridClock};
    /// use std::sync::Arc;
    /// use common::utils::time::ManualClock;
    /// let clock = HybridClock::new(Arc::new(ManualClock::new(0)));
    /// clock.resume(Hlc::new(5_000_000, 0));
    /// assert_eq!(clock.tick(), Hlc::new(5_000_000, 1));
    /// ```
    pub fn resume(&self, stamp: Hlc) {
        self.last.fetch_max(stamp.0, Ordering::Relaxed);
    }
}

impl fmt::Debug for HybridClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HybridClock({})", Hlc(self.last.load(Ordering::Relaxed)))
    }
}
