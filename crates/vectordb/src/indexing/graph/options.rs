//! [`GraphOptions`]: what a graph index is made like.

use common::{Error, Result};
use serde::{Deserialize, Serialize};

/// How a graph index lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Layout {
    /// One byte a dimension and 4 bytes a neighbour: about `dimension + 140` bytes a vector.
    #[default]
    Compact,
    /// Beside that, with each vector, one bit a dimension for each of its neighbours, 256 bits where there are fewer
    /// dimensions: about `degree * (max(dimension, 256) / 8 + 8)` bytes a vector more, and several times the speed at
    /// many dimensions.
    Fast,
}

/// Options of a graph index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GraphOptions {
    /// Most neighbours of a vector: a multiple of 32, 32 to 128. Default 32. More find more at the same effort
    /// where data has many dimensions, and take 4 bytes a neighbour.
    pub degree: usize,
    /// Candidates that are kept while the neighbours of a vector are looked for: 16 to 2,048. Default 100. More
    /// make a better graph and a longer build.
    pub build_candidates: usize,
    /// How much longer a detour may be than the neighbour it makes unnecessary: 1 to 2. Default 1.1. More keeps
    /// longer links.
    pub spread: f32,
    /// How the graph lies in memory. Default compact.
    pub layout: Layout,
    /// Seed of what is random: the order of building. The same seed and vectors give the same graph, whatever
    /// the number of threads. Default 0.
    pub seed: u64,
    /// Threads that build: 1 to 1,024; all cores if none.
    pub threads: Option<usize>,
}

impl Default for GraphOptions {
    fn default() -> Self {
        Self {
            degree: 32,
            build_candidates: 100,
            spread: 1.1,
            layout: Layout::default(),
            seed: 0,
            threads: None,
        }
    }
}

impl GraphOptions {
    /// The defaults in a layout.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            ..Self::default()
        }
    }

    /// Checks the bounds.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] with the option that is out of its bounds.
    pub fn check(&self) -> Result<()> {
        let wrong = |name: &str, value: &dyn std::fmt::Display, bounds: &str| {
            Err(Error::invalid(format!(
                "`{name}` of a graph index is {bounds}, not {value}"
            )))
        };
        if !(32..=128).contains(&self.degree) || !self.degree.is_multiple_of(32) {
            return wrong("degree", &self.degree, "32, 64, 96 or 128");
        }
        if !(16..=2_048).contains(&self.build_candidates) {
            return wrong("build_candidates", &self.build_candidates, "16 to 2,048");
        }
        if !(1.0..=2.0).contains(&self.spread) {
            return wrong("spread", &self.spread, "1 to 2");
        }
        match self.threads {
            Some(0 | 1_025..) => wrong("threads", &self.threads.unwrap_or(0), "1 to 1,024"),
            _ => Ok(()),
        }
    }
}
