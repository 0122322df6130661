//! [`Search`]: what is looked for, and [`Found`]: what came of it.

use common::query::Filter;
use common::transform::{Pipeline, Rejection};
use common::{RecordId, Row, Seq, Text};

/// A search for the rows nearest to a vector.
///
/// ```
/// use common::query::Filter;
/// use vectordb::Search;
/// let search = Search::new([0.5, 1.0], 10)
///     .filter(Filter::eq("language", "en"))
///     .select(["title"]);
/// assert_eq!(search.k, 10);
/// ```
#[derive(Debug, Clone)]
pub struct Search {
    /// The vector whose neighbours are looked for.
    pub vector: Vec<f32>,
    /// How many neighbours: 1 to [`crate::SEARCH_K_MAX`]. Fewer come back when fewer rows pass the filter.
    pub k: usize,
    /// What the search may take: candidates that a graph keeps on the way, lists that a clustered index scans. More
    /// finds more of the true neighbours. The default of [`Index::nearest`](crate::Index::nearest) if none.
    pub effort: Option<usize>,
    /// Which rows are candidates; all of them if none.
    pub filter: Option<Filter>,
    /// Which columns hits carry; all metadata, and not the vector, if none.
    pub select: Option<Vec<Text>>,
    /// What is done to the rows of hits, in order of distance.
    pub pipeline: Option<Pipeline<Row>>,
}

impl Search {
    /// A search for the `k` rows nearest to `vector`.
    pub fn new(vector: impl Into<Vec<f32>>, k: usize) -> Self {
        Self {
            vector: vector.into(),
            k,
            effort: None,
            filter: None,
            select: None,
            pipeline: None,
        }
    }

    /// The search may take this: see [`Search::effort`].
    #[must_use]
    pub fn effort(mut self, effort: usize) -> Self {
        self.effort = Some(effort);
        self
    }

    /// Only rows that pass the filter are candidates: `k` of these come back, if there are as many.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Hits carry these columns.
    #[must_use]
    pub fn select<N: Into<Text>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.select = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// The rows of hits go through this pipeline.
    #[must_use]
    pub fn pipeline(mut self, pipeline: Pipeline<Row>) -> Self {
        self.pipeline = Some(pipeline);
        self
    }
}

/// What a search found.
#[derive(Debug)]
pub struct Found {
    /// The state of the collection that was searched: that of this commit.
    pub seq: Seq,
    /// The nearest rows, nearest first.
    pub hits: Vec<Hit>,
    /// Hits whose row a step of the pipeline could not take; `item` is the rank, 0 for the nearest.
    pub rejected: Vec<Rejection>,
}

/// A row that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Its id.
    pub id: RecordId,
    /// How far it is, by the collection's metric; the smaller, the nearer.
    pub distance: f64,
    /// The selected columns, after the pipeline.
    pub row: Row,
}
