//! [`Search`]: what is looked for, and [`Found`]: what came of it.

use common::query::Filter;
use common::transform::{Pipeline, Rejection};
use common::{RecordId, Row, Seq, Text};

use crate::indexing::Diversity;

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
    /// What the neighbours are looked for of.
    pub target: Target,
    /// The column of vectors that is searched; the only one if none.
    pub on: Option<Text>,
    /// How many neighbours: 1 to [`crate::SEARCH_K_MAX`]. Fewer come back when fewer rows pass the filter.
    pub k: usize,
    /// Only rows no farther than this are found.
    pub within: Option<f64>,
    /// What the search may take: candidates that a graph keeps on the way, lists that a clustered index scans. More
    /// finds more of the true neighbours. The default of [`Index::nearest`](crate::Index::nearest) if none.
    pub effort: Option<usize>,
    /// Which share of the true neighbours is to be found, on average; see [`Search::recall`].
    pub recall: Option<f64>,
    /// How the hits are to differ from each other.
    pub diversity: Option<Diversity>,
    /// Which rows are candidates; all of them if none.
    pub filter: Option<Filter>,
    /// Which columns hits carry; all metadata, and no vector, if none.
    pub select: Option<Vec<Text>>,
    /// What is done to the rows of hits, in order of distance.
    pub pipeline: Option<Pipeline<Row>>,
}

/// What the neighbours are looked for of.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Target {
    /// A vector.
    Vector(Vec<f32>),
    /// A sparse vector: positions, each once, with their weights.
    Sparse(Vec<(u32, f32)>),
    /// The vector of a row of the collection.
    Row(RecordId),
}

impl Search {
    /// A search for the `k` rows nearest to `vector`.
    pub fn new(vector: impl Into<Vec<f32>>, k: usize) -> Self {
        Self::of(Target::Vector(vector.into()), k)
    }

    /// A search for the `k` rows nearest to a row of the collection, which itself is left out.
    ///
    /// ```
    /// use vectordb::{Metric, Search, VectorDb, VectorOptions};
    /// let db = VectorDb::new();
    /// let things = db.create_collection("things", VectorOptions::new(1, Metric::Euclidean), [])?;
    /// things.upsert_all([(1, [0.0], common::row! {}), (2, [3.0], common::row! {}), (3, [4.0], common::row! {})])?;
    /// let like = things.search(&Search::like(2, 1))?;
    /// assert_eq!((like.hits[0].id.clone(), like.hits[0].distance), (3.into(), 1.0));
    /// # Ok::<(), common::Error>(())
    /// ```
    pub fn like(id: impl Into<RecordId>, k: usize) -> Self {
        Self::of(Target::Row(id.into()), k)
    }

    /// A search for the `k` rows with the greatest inner products with a sparse vector: positions, each once and in any
    /// order, with their weights. Distances are the products, negated. Rows that share no position are not found.
    ///
    /// Exact. Cost: the postings of the positions, past those that cannot matter.
    ///
    /// ```
    /// use vectordb::{CollectionOptions, Search, SparseOptions, VectorDb, Vectors};
    /// let db = VectorDb::new();
    /// let options = CollectionOptions::new().sparse(SparseOptions::new("words"));
    /// let texts = db.create_collection("texts", options, [])?;
    /// texts.upsert(1, Vectors::new().sparse("words", [(17, 0.5), (4_000, 1.5)]), common::row! {})?;
    /// texts.upsert(2, Vectors::new().sparse("words", [(17, 2.0)]), common::row! {})?;
    /// let found = texts.search(&Search::sparse([(17, 1.0)], 5))?;
    /// assert_eq!((found.hits[0].id.clone(), found.hits[0].distance), (2.into(), -2.0));
    /// # Ok::<(), common::Error>(())
    /// ```
    pub fn sparse(elements: impl IntoIterator<Item = (u32, f32)>, k: usize) -> Self {
        Self::of(Target::Sparse(elements.into_iter().collect()), k)
    }

    fn of(target: Target, k: usize) -> Self {
        Self {
            target,
            on: None,
            k,
            within: None,
            effort: None,
            recall: None,
            diversity: None,
            filter: None,
            select: None,
            pipeline: None,
        }
    }

    /// The search is on the vectors of this column.
    #[must_use]
    pub fn on(mut self, column: impl Into<Text>) -> Self {
        self.on = Some(column.into());
        self
    }

    /// Only rows no farther than `distance` are found: all of them, up to `k`, by a scan, unless the effort or the
    /// recall of the search is given. With one of these, those of the `k` nearest by the index.
    ///
    /// ```
    /// # use vectordb::{Metric, Search, VectorDb, VectorOptions};
    /// # let db = VectorDb::new();
    /// # let things = db.create_collection("things", VectorOptions::new(1, Metric::Euclidean), [])?;
    /// things.upsert_all([(1, [0.0], common::row! {}), (2, [3.0], common::row! {}), (3, [4.0], common::row! {})])?;
    /// let near = things.search(&Search::new([1.0], 1_000).within(2.0))?;
    /// assert_eq!(near.hits.len(), 2);
    /// # Ok::<(), common::Error>(())
    /// ```
    #[must_use]
    pub fn within(mut self, distance: f64) -> Self {
        self.within = Some(distance);
        self
    }

    /// The search may take this: see [`Search::effort`].
    #[must_use]
    pub fn effort(mut self, effort: usize) -> Self {
        self.effort = Some(effort);
        self
    }

    /// The search takes the effort that finds this share of the true neighbours, between 0 and 1, on average.
    ///
    /// The first search of this share and `k` finds that effort by trying, as
    /// [`Index::effort_for`](crate::Index::effort_for) does, which takes seconds for a million vectors; it is kept
    /// until an eighth of the vectors has changed. Where no effort is enough, rows are scanned.
    #[must_use]
    pub fn recall(mut self, share: f64) -> Self {
        self.recall = Some(share);
        self
    }

    /// Hits are chosen one after another from the `candidates` nearest, each by what it adds: the one with the
    /// greatest `lambda * s - (1 - lambda) * t`, where `s` is its similarity to the target and `t` the greatest to a
    /// hit before it, and similarity is the negated distance. Hits come in the order in which they were chosen.
    ///
    /// Cost beside the search: `k` distances for each candidate. Carbonell and Goldstein, "The use of MMR,
    /// diversity-based reranking for reordering documents and producing summaries", SIGIR 1998.
    ///
    /// ```
    /// # use vectordb::{Metric, Search, VectorDb, VectorOptions};
    /// # let db = VectorDb::new();
    /// # let things = db.create_collection("things", VectorOptions::new(2, Metric::Euclidean), [])?;
    /// let vectors = [(1, [1.0, 0.0]), (2, [1.1, 0.0]), (3, [0.0, 2.0])];
    /// things.upsert_all(vectors.map(|(id, vector)| (id, vector, common::row! {})))?;
    /// let found = things.search(&Search::new([0.0, 0.0], 2).diverse(0.5, 3))?;
    /// let ids: Vec<_> = found.hits.iter().map(|hit| hit.id.to_string()).collect();
    /// assert_eq!(ids, ["1", "3"]);
    /// # Ok::<(), common::Error>(())
    /// ```
    #[must_use]
    pub fn diverse(mut self, lambda: f64, candidates: usize) -> Self {
        self.diversity = Some(Diversity { lambda, candidates });
        self
    }

    /// Only rows that pass the filter are candidates: `k` of these come back, if there are as many.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Hits carry these columns, vectors among them if they are named.
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
