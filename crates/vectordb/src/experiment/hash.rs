//! [`Algorithm`]: how a salt and a unit become a bucket. A published algorithm is never changed, only joined by others.

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use super::growthbook;

/// How a salt and a unit become a bucket; its name is stored with every assignment.
///
/// ```
/// use vectordb::experiment::Algorithm;
/// assert_eq!(Algorithm::Xxh3.name(), "tandem-xxh3-v1");
/// assert!(Algorithm::Xxh3.bucket("salt", "user-1") < Algorithm::Xxh3.buckets());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Algorithm {
    /// `XXH3` with 64 bits of the unit's UTF-8, seeded by that of the salt, in 1,000,000 buckets.
    #[default]
    #[serde(rename = "tandem-xxh3-v1")]
    Xxh3,
    /// Version 1 of `GrowthBook`'s SDKs, in 1,000 buckets.
    #[serde(rename = "growthbook-v1")]
    GrowthbookV1,
    /// Version 2 of `GrowthBook`'s SDKs, in 10,000 buckets.
    #[serde(rename = "growthbook-v2")]
    GrowthbookV2,
}

impl Algorithm {
    /// Its name in definitions and assignments.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xxh3 => "tandem-xxh3-v1",
            Self::GrowthbookV1 => "growthbook-v1",
            Self::GrowthbookV2 => "growthbook-v2",
        }
    }

    /// How many buckets there are.
    pub fn buckets(self) -> u32 {
        match self {
            Self::Xxh3 => 1_000_000,
            Self::GrowthbookV1 => 1_000,
            Self::GrowthbookV2 => 10_000,
        }
    }

    /// The bucket of a unit, below [`Algorithm::buckets`].
    pub fn bucket(self, salt: &str, unit: &str) -> u32 {
        Salted::new(self, salt).bucket(unit)
    }
}

/// An algorithm with the part done that is the same for every unit.
#[derive(Debug, Clone)]
pub(super) struct Salted {
    algorithm: Algorithm,
    /// Seed, or state of the hash after the salt.
    state: u64,
    salt: Box<str>,
}

impl Salted {
    pub(super) fn new(algorithm: Algorithm, salt: &str) -> Self {
        let state = match algorithm {
            Algorithm::Xxh3 => XxHash3_64::oneshot(salt.as_bytes()),
            Algorithm::GrowthbookV1 => 0,
            Algorithm::GrowthbookV2 => {
                u64::from(growthbook::fnv1a32_on(growthbook::FNV_BASIS, salt))
            }
        };
        Self {
            algorithm,
            state,
            salt: salt.into(),
        }
    }

    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the upper half of a product with a million, or 32 bits that were widened"
    )]
    pub(super) fn bucket(&self, unit: &str) -> u32 {
        match self.algorithm {
            Algorithm::Xxh3 => {
                let hash = XxHash3_64::oneshot_with_seed(self.state, unit.as_bytes());
                ((u128::from(hash) * u128::from(Algorithm::Xxh3.buckets())) >> 64) as u32
            }
            Algorithm::GrowthbookV1 => {
                let hash = growthbook::fnv1a32_on(growthbook::FNV_BASIS, unit);
                growthbook::fnv1a32_on(hash, &self.salt) % 1_000
            }
            Algorithm::GrowthbookV2 => {
                let hash = growthbook::fnv1a32_on(self.state as u32, unit);
                growthbook::fnv1a32_of_decimal(hash) % 10_000
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_the_published_hash_scaled() {
        // XXH3-64 of "" is 0x2d06800538d394c2: the published value of the empty input with seed 0.
        assert_eq!(XxHash3_64::oneshot(b""), 0x2d06_8005_38d3_94c2);
        let hash = XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(b"s"), "usér".as_bytes());
        let scaled = (u128::from(hash) * 1_000_000) >> 64;
        assert_eq!(u128::from(Algorithm::Xxh3.bucket("s", "usér")), scaled);
    }

    #[test]
    fn names_are_those_of_the_json_form() {
        for algorithm in [
            Algorithm::Xxh3,
            Algorithm::GrowthbookV1,
            Algorithm::GrowthbookV2,
        ] {
            let json = serde_json::to_string(&algorithm).unwrap();
            assert_eq!(json, format!("\"{}\"", algorithm.name()));
        }
    }
}
