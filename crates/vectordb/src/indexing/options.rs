//! [`IndexOptions`]: which index finds the nearest vectors of a table.

use common::Result;
use serde::{Deserialize, Serialize};

use super::clustered::ClusteredOptions;
use super::graph::GraphOptions;

/// Which index finds the nearest vectors of a table, and what it is made like.
///
/// ```
/// use vectordb::{GraphOptions, IndexOptions, Layout};
/// let options: IndexOptions = serde_json::from_str(r#"{ "kind": "graph", "layout": "fast" }"#)?;
/// assert_eq!(options, IndexOptions::Graph(GraphOptions::new(Layout::Fast)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum IndexOptions {
    /// Compares the query with every candidate: always right. The cost of a search grows with the table.
    #[default]
    Exact,
    /// Groups vectors around centres and keeps a bit or more of each element: built in seconds, a tenth of the
    /// vectors' memory, cheap updates. Not for the Manhattan, Chebyshev, Hamming and Jaccard metrics.
    Clustered(ClusteredOptions),
    /// Links each vector with near ones: the fastest searches, a byte or more an element, and a build of minutes
    /// for a million vectors.
    Graph(GraphOptions),
}

impl IndexOptions {
    /// Checks the bounds of the options.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] with the option that is out of its bounds.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Exact => Ok(()),
            Self::Clustered(options) => options.validate(),
            Self::Graph(options) => options.check(),
        }
    }
}
