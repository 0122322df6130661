//! [`Version`] as data, and the mechanisms that make and compare versions.

use serde::{Deserialize, Serialize};

use super::clock::{Hlc, HybridClock};
use super::vector::{ReplicaId, VersionVector};
use crate::core::base::Text;
use crate::error::{Error, Result};

/// How one version stands to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Causality {
    /// They are the same.
    Equal,
    /// The first was known when the second was made.
    Before,
    /// The second was known when the first was made.
    After,
    /// Neither was known to the maker of the other.
    Concurrent,
}

impl Causality {
    /// The same relation seen from the other side.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::Before => Self::After,
            Self::After => Self::Before,
            same @ (Self::Equal | Self::Concurrent) => same,
        }
    }
}

/// One version of something, as it is stored and sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Version {
    /// A number that one writer counts up.
    Counter(u64),
    /// A hybrid logical time.
    Hlc(Hlc),
    /// What each replica had contributed.
    Vector(VersionVector),
    /// A version of a mechanism that the application supplies.
    Custom {
        /// Name of the mechanism.
        mechanism: Text,
        /// The version in that mechanism's own encoding.
        bytes: Vec<u8>,
    },
}

impl Version {
    /// Name of the mechanism that made this version.
    pub fn mechanism(&self) -> &str {
        match self {
            Self::Counter(_) => "counter",
            Self::Hlc(_) => "hlc",
            Self::Vector(_) => "vector",
            Self::Custom { mechanism, .. } => mechanism,
        }
    }
}

/// Makes versions and says which of two came first.
///
/// Implemented outside this crate when an application brings its own notion of version, such as a revision
/// tree or a number drawn from another system. Peers compare [`Versioning::name`] when they meet; two
/// that differ do not talk. Laws that `testkit::contract::versioning` checks: a version equals itself; what
/// [`Versioning::next`] returns comes after what it was given; swapping the sides reverses the answer.
pub trait Versioning: Send + Sync {
    /// Name of the mechanism, the same on every peer that understands it.
    fn name(&self) -> &str;

    /// A version after `previous`, made by `replica`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when `previous` is of another mechanism.
    fn next(&self, previous: Option<&Version>, replica: &ReplicaId) -> Result<Version>;

    /// How `a` stands to `b`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when either is of another mechanism.
    fn compare(&self, a: &Version, b: &Version) -> Result<Causality>;
}

fn foreign(expected: &str, found: &Version) -> Error {
    Error::invalid(format!(
        "a version of mechanism `{}` was given to mechanism `{expected}`; peers must agree on one",
        found.mechanism()
    ))
}

fn from_order(order: std::cmp::Ordering) -> Causality {
    match order {
        std::cmp::Ordering::Less => Causality::Before,
        std::cmp::Ordering::Equal => Causality::Equal,
        std::cmp::Ordering::Greater => Causality::After,
    }
}

/// Versions that one writer counts up: total order, no concurrency.
#[derive(Debug, Clone, Copy, Default)]
pub struct CounterVersioning;

impl Versioning for CounterVersioning {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn next(&self, previous: Option<&Version>, _replica: &ReplicaId) -> Result<Version> {
        match previous {
            None => Ok(Version::Counter(1)),
            Some(Version::Counter(last)) => last
                .checked_add(1)
                .map(Version::Counter)
                .ok_or_else(|| Error::limit_exceeded("the version counter is at 2^64 - 1")),
            Some(other) => Err(foreign(self.name(), other)),
        }
    }

    fn compare(&self, a: &Version, b: &Version) -> Result<Causality> {
        match (a, b) {
            (Version::Counter(a), Version::Counter(b)) => Ok(from_order(a.cmp(b))),
            (Version::Counter(_), other) | (other, _) => Err(foreign(self.name(), other)),
        }
    }
}

/// Versions by hybrid logical time: total order; two replicas that make a stamp at the same moment are told
/// apart by chance of their counters only, so use it where the last writer may win.
#[derive(Debug)]
pub struct HlcVersioning(pub HybridClock);

impl Versioning for HlcVersioning {
    fn name(&self) -> &'static str {
        "hlc"
    }

    fn next(&self, previous: Option<&Version>, _replica: &ReplicaId) -> Result<Version> {
        match previous {
            None => {}
            Some(Version::Hlc(last)) => self.0.observe(*last)?,
            Some(other) => return Err(foreign(self.name(), other)),
        }
        Ok(Version::Hlc(self.0.tick()))
    }

    fn compare(&self, a: &Version, b: &Version) -> Result<Causality> {
        match (a, b) {
            (Version::Hlc(a), Version::Hlc(b)) => Ok(from_order(a.cmp(b))),
            (Version::Hlc(_), other) | (other, _) => Err(foreign(self.name(), other)),
        }
    }
}

/// Versions by what each replica contributed: partial order, concurrency is detected.
#[derive(Debug, Clone, Copy, Default)]
pub struct VectorVersioning;

impl Versioning for VectorVersioning {
    fn name(&self) -> &'static str {
        "vector"
    }

    fn next(&self, previous: Option<&Version>, replica: &ReplicaId) -> Result<Version> {
        let mut vector = match previous {
            None => VersionVector::new(),
            Some(Version::Vector(last)) => last.clone(),
            Some(other) => return Err(foreign(self.name(), other)),
        };
        if vector.get(replica) == u64::MAX {
            return Err(Error::limit_exceeded(
                "the replica's counter is at 2^64 - 1",
            ));
        }
        vector.increment(replica);
        Ok(Version::Vector(vector))
    }

    fn compare(&self, a: &Version, b: &Version) -> Result<Causality> {
        match (a, b) {
            (Version::Vector(a), Version::Vector(b)) => Ok(a.compare(b)),
            (Version::Vector(_), other) | (other, _) => Err(foreign(self.name(), other)),
        }
    }
}
