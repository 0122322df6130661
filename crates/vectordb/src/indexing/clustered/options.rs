//! [`ClusteredOptions`]: how an inverted file is built.

use std::num::NonZeroUsize;

use common::{Error, Result};
use serde::{Deserialize, Serialize};

/// How an inverted file is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ClusteredOptions {
    /// Number of clusters, 1 to 65,536. Without one, it is twice the square root of the number of vectors, at most
    /// 16,384.
    pub clusters: Option<usize>,
    /// Bits of each code for each dimension, 1 to 8. Default 1.
    pub bits: u8,
    /// What decides the rotation and where clusters begin. Default 0.
    pub seed: u64,
    /// Threads that build the index, 1 to 1,024; they do not change it. Without a number, as many as the machine
    /// runs at once.
    pub threads: Option<NonZeroUsize>,
}

impl Default for ClusteredOptions {
    fn default() -> Self {
        Self {
            clusters: None,
            bits: 1,
            seed: 0,
            threads: None,
        }
    }
}

impl ClusteredOptions {
    /// Most clusters.
    pub const CLUSTERS_MAX: usize = 1 << 16;
    /// Most bits for each dimension.
    pub const BITS_MAX: u8 = 8;
    /// Most threads.
    pub const THREADS_MAX: usize = 1_024;

    /// Sets the number of clusters: 1 to [`ClusteredOptions::CLUSTERS_MAX`].
    pub fn clusters(mut self, clusters: usize) -> Self {
        self.clusters = Some(clusters);
        self
    }

    /// Sets the bits of each code for each dimension: 1 to [`ClusteredOptions::BITS_MAX`].
    pub fn bits(mut self, bits: u8) -> Self {
        self.bits = bits;
        self
    }

    /// Sets what decides the rotation and where clusters begin.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the number of threads that build the index: 1 to [`ClusteredOptions::THREADS_MAX`].
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Checks the bounds.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`], with the option and its bounds.
    pub fn validate(&self) -> Result<()> {
        let within = |name: &str, value: usize, most: usize| {
            if (1..=most).contains(&value) {
                Ok(())
            } else {
                Err(Error::invalid(format!(
                    "`{name}` of a clustered index is 1 to {most}, not {value}"
                )))
            }
        };
        within("clusters", self.clusters.unwrap_or(1), Self::CLUSTERS_MAX)?;
        within("bits", self.bits.into(), Self::BITS_MAX.into())?;
        let threads = self.threads.map_or(1, NonZeroUsize::get);
        within("threads", threads, Self::THREADS_MAX)
    }

    /// The number of clusters of so many vectors; never more than vectors, and at least one.
    pub(super) fn clusters_of(&self, vectors: usize) -> usize {
        let clusters = self
            .clusters
            .unwrap_or_else(|| (2 * vectors.isqrt()).min(1 << 14));
        clusters.min(vectors).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_checked_at_the_bound_and_one_past_it() {
        let options = ClusteredOptions::default();
        assert!(options.validate().is_ok());
        let threads = |n| NonZeroUsize::new(n).unwrap();
        for (fits, too_much) in [
            (options.clone().clusters(1), options.clone().clusters(0)),
            (
                options.clone().clusters(65_536),
                options.clone().clusters(65_537),
            ),
            (options.clone().bits(8), options.clone().bits(9)),
            (options.clone().bits(1), options.clone().bits(0)),
            (
                options.clone().threads(threads(1_024)),
                options.clone().threads(threads(1_025)),
            ),
        ] {
            assert!(fits.validate().is_ok(), "{fits:?}");
            let error = too_much.validate().unwrap_err();
            assert_eq!(error.kind(), common::ErrorKind::Invalid);
        }
    }

    #[test]
    fn the_number_of_clusters_follows_from_the_vectors() {
        let options = ClusteredOptions::default();
        assert_eq!(options.clusters_of(0), 1);
        assert_eq!(options.clusters_of(3), 2);
        assert_eq!(options.clusters_of(60_000), 488);
        assert_eq!(options.clusters_of(1 << 40), 16_384);
        assert_eq!(options.clusters(100).clusters_of(7), 7);
    }

    #[test]
    fn options_are_plain_data() {
        let read: ClusteredOptions = serde_json::from_str(r#"{"bits": 4, "seed": 7}"#).unwrap();
        assert_eq!(read, ClusteredOptions::default().bits(4).seed(7));
        let text = serde_json::to_string(&read).unwrap();
        assert_eq!(
            text,
            r#"{"clusters":null,"bits":4,"seed":7,"threads":null}"#
        );
        assert!(serde_json::from_str::<ClusteredOptions>(r#"{"probes": 4}"#).is_err());
    }
}
