//! [`VersionVector`]: what one replica has seen of every other.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::version::Causality;
use crate::core::base::Text;

/// Name of one replica: a server, a phone, a process. Chosen once, kept for good.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplicaId(pub Text);

impl From<&str> for ReplicaId {
    fn from(name: &str) -> Self {
        Self(Text::new(name))
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many events of each replica have been seen; a replica that is not named has 0.
///
/// Under [`merge`](Self::merge) vectors form a join-semilattice: merging is commutative, associative and
/// idempotent, and the result dominates both sides. After D. S. Parker et al., "Detection of Mutual
/// Inconsistency in Distributed Systems", IEEE TSE 9(3), 1983.
///
/// ```
/// use common::versioning::{Causality, VersionVector};
/// let mut phone = VersionVector::new();
/// phone.increment(&"phone".into());
/// let mut laptop = phone.clone();
/// laptop.increment(&"laptop".into());
/// assert_eq!(phone.compare(&laptop), Causality::Before);
/// phone.increment(&"phone".into());
/// assert_eq!(phone.compare(&laptop), Causality::Concurrent);
/// phone.merge(&laptop);
/// assert!(phone.dominates(&laptop));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(from = "BTreeMap<ReplicaId, u64>", into = "BTreeMap<ReplicaId, u64>")]
pub struct VersionVector {
    // No zero entries: equal vectors have equal maps.
    counters: BTreeMap<ReplicaId, u64>,
}

impl VersionVector {
    /// The vector that has seen nothing.
    pub const fn new() -> Self {
        Self {
            counters: BTreeMap::new(),
        }
    }

    /// How many events of `replica` have been seen.
    pub fn get(&self, replica: &ReplicaId) -> u64 {
        self.counters.get(replica).copied().unwrap_or(0)
    }

    /// Counts one more event of `replica` and returns its number.
    ///
    /// # Panics
    /// After 2^64 - 1 events of one replica.
    pub fn increment(&mut self, replica: &ReplicaId) -> u64 {
        let counter = self.counters.entry(replica.clone()).or_insert(0);
        // Stops: a counter that wrapped would order new events before old ones.
        assert!(*counter < u64::MAX, "replica {replica} counted 2^64 events");
        *counter += 1;
        *counter
    }

    /// Notes that events of `replica` up to `count` have been seen; never goes back.
    pub fn observe(&mut self, replica: &ReplicaId, count: u64) {
        if count > self.get(replica) {
            self.counters.insert(replica.clone(), count);
        }
    }

    /// Takes the greater count of each replica.
    pub fn merge(&mut self, other: &Self) {
        for (replica, &count) in &other.counters {
            self.observe(replica, count);
        }
    }

    /// Whether everything that `other` has seen has been seen here too.
    pub fn dominates(&self, other: &Self) -> bool {
        other
            .counters
            .iter()
            .all(|(replica, &count)| self.get(replica) >= count)
    }

    /// Whether each side has seen something that the other has not.
    pub fn is_concurrent_with(&self, other: &Self) -> bool {
        self.compare(other) == Causality::Concurrent
    }

    /// How the two stand to one another.
    pub fn compare(&self, other: &Self) -> Causality {
        match (self.dominates(other), other.dominates(self)) {
            (true, true) => Causality::Equal,
            (true, false) => Causality::After,
            (false, true) => Causality::Before,
            (false, false) => Causality::Concurrent,
        }
    }

    /// Replicas with at least one event, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&ReplicaId, u64)> {
        self.counters
            .iter()
            .map(|(replica, &count)| (replica, count))
    }

    /// Number of replicas with at least one event.
    pub fn len(&self) -> usize {
        self.counters.len()
    }

    /// Whether nothing has been seen.
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }
}

impl From<BTreeMap<ReplicaId, u64>> for VersionVector {
    fn from(mut counters: BTreeMap<ReplicaId, u64>) -> Self {
        counters.retain(|_, count| *count > 0);
        Self { counters }
    }
}

impl From<VersionVector> for BTreeMap<ReplicaId, u64> {
    fn from(vector: VersionVector) -> Self {
        vector.counters
    }
}

impl<R: Into<ReplicaId>> FromIterator<(R, u64)> for VersionVector {
    fn from_iter<I: IntoIterator<Item = (R, u64)>>(pairs: I) -> Self {
        let mut vector = Self::new();
        for (replica, count) in pairs {
            vector.observe(&replica.into(), count);
        }
        vector
    }
}
