//! [`SyncBudget`]: what one sync may take.

use serde::{Deserialize, Serialize};

use crate::payload::Level;

/// Most mutations in one request, whatever a budget says.
pub const MUTATIONS_MAX: usize = 1_000;
/// Most bytes of mutations in one request, whatever a budget says, but for a single mutation that has more.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;

/// What one sync may take: how much goes into a request, how hard it is packed, and how much the host does at a time.
///
/// The default is what a sync takes when nobody asks for less. A smaller request is a smaller loss on a link that breaks,
/// and takes less memory; everything in the queue is sent all the same, in more requests of the same connection.
///
/// ```
/// use syncdb::payload::Level;
/// use syncdb::power::SyncBudget;
/// let budget = SyncBudget::default().mutations_max(25).bytes_max(16 << 10).level(Level::Small);
/// assert_eq!(budget.mutations_max, 25);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyncBudget {
    /// Most mutations in one request. Default and at most 1,000; at least 1.
    pub mutations_max: usize,
    /// A request takes no further mutation once those in it are estimated at this many bytes. Default and at most 1 MiB;
    /// a mutation is never divided.
    pub bytes_max: usize,
    /// How hard requests are packed. Default [`Level::Fast`]. The server packs its answers as it always does.
    pub level: Level,
    /// How many operations the host runs at a time, deferred ones among them. Default 4, at least 1. One sync is one of
    /// them, and there is never a second one.
    pub concurrent_max: u32,
}

impl Default for SyncBudget {
    fn default() -> Self {
        Self {
            mutations_max: MUTATIONS_MAX,
            bytes_max: REQUEST_BYTES_MAX,
            level: Level::Fast,
            concurrent_max: 4,
        }
    }
}

impl SyncBudget {
    /// Sets [`SyncBudget::mutations_max`].
    pub const fn mutations_max(mut self, mutations: usize) -> Self {
        self.mutations_max = mutations;
        self
    }

    /// Sets [`SyncBudget::bytes_max`].
    pub const fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Sets [`SyncBudget::level`].
    pub const fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Sets [`SyncBudget::concurrent_max`].
    pub const fn concurrent_max(mut self, operations: u32) -> Self {
        self.concurrent_max = operations;
        self
    }
}
