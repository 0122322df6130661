//! [`NodeClock`]: what a node believes the time to be.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::utils::time::Clock;

/// What the clocks of all nodes show at the beginning: 2023-11-14T22:13:20Z, in microseconds since 1970.
pub const START_MICROS: i64 = 1_700_000_000_000_000;

const PPM: i64 = 1_000_000;

/// The wall clock of one node: the network's time, off by as much as it was told.
///
/// Give it to the node's [`DatabaseOptions`](common::database::DatabaseOptions). All methods take `&self`.
///
/// ```
/// use common::utils::time::Clock;
/// use syncdb::netsim::{Network, START_MICROS};
/// let network = Network::new(1);
/// let phone = network.add_node("phone");
/// let clock = network.clock(phone);
/// clock.jump(-86_400_000_000);
/// assert_eq!(clock.now(), START_MICROS - 86_400_000_000, "yesterday");
/// ```
pub struct NodeClock {
    elapsed: Arc<AtomicI64>,
    offset: AtomicI64,
    drift_ppm: AtomicI64,
}

impl NodeClock {
    pub(super) const fn new(elapsed: Arc<AtomicI64>) -> Self {
        Self {
            elapsed,
            offset: AtomicI64::new(0),
            drift_ppm: AtomicI64::new(0),
        }
    }

    /// Microseconds by which the clock is ahead (negative: behind), its drift left aside.
    pub fn offset(&self) -> i64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// Moves the clock by `micros` microseconds at once, forwards or backwards, as a person or a time server does.
    pub fn jump(&self, micros: i64) {
        self.offset.fetch_add(micros, Ordering::Relaxed);
    }

    /// Lets the clock run too fast (negative: too slow), in parts per million; a quartz is off by 20 to 200. Counted from
    /// the beginning of the simulation.
    pub fn set_drift_ppm(&self, ppm: i32) {
        self.drift_ppm.store(ppm.into(), Ordering::Relaxed);
    }
}

impl Clock for NodeClock {
    fn now(&self) -> i64 {
        let elapsed = self.elapsed.load(Ordering::Relaxed);
        let drift = self.drift_ppm.load(Ordering::Relaxed);
        let drifted = elapsed / PPM * drift + elapsed % PPM * drift / PPM;
        START_MICROS
            .saturating_add(elapsed)
            .saturating_add(drifted)
            .saturating_add(self.offset())
    }
}

impl fmt::Debug for NodeClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeClock({}, off by {})", self.now(), self.offset())
    }
}
