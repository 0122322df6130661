//! How a search is run, and the account of it.

use std::fmt;
use std::time::Duration;

use common::{Error, Result, Seq, Text};
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

/// Most neighbours that one search returns.
pub const SEARCH_K_MAX: usize = 1 << 20;

/// How the candidates of a search are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Method {
    /// Every row is compared with the query.
    ScanAll,
    /// Every row that passes the filter is compared with the query.
    ScanMatching,
    /// The lists of the nearest clusters are scanned as codes, and what these do not exclude is compared.
    Clustered,
    /// As [`Method::Clustered`], and only what passes the filter is compared.
    ClusteredMatching,
    /// The links of a graph are followed, and the nearest by their codes are compared.
    Graph,
    /// As [`Method::Graph`] among the rows that pass the filter; where few do, their codes are scanned.
    GraphMatching,
    /// The postings of a sparse query's positions are gone through, exactly, past those that cannot matter.
    Postings,
    /// As [`Method::Postings`] among the rows that pass the filter.
    PostingsMatching,
}

/// What a search did: for people, and for tests that care.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Explanation {
    /// The column of vectors that was searched.
    pub column: Text,
    /// How candidates were found.
    pub method: Method,
    /// State that was searched.
    pub seq: Seq,
    /// Rows with a vector in the collection.
    pub rows: usize,
    /// Rows that passed the filter; all of them without one.
    pub matched: usize,
    /// Rows whose distance was estimated or computed from codes; none in a scan.
    pub compared: usize,
    /// Rows whose vector was compared with the query.
    pub visited: usize,
    /// Of these, rows that were compared beside the index, which does not know them until it has been built anew.
    pub beside: usize,
    /// What the index was allowed, where the search or its recall said so.
    pub effort: Option<usize>,
    /// Rows from which those that differ were chosen; none where the nearest were wanted.
    pub reranked: usize,
    /// Time for the filter.
    pub filter_time: Duration,
    /// Time for the comparison with candidates.
    pub search_time: Duration,
}

impl Explanation {
    /// Share of the rows that passed the filter; 1 of no rows.
    #[expect(clippy::cast_precision_loss, reason = "a share to look at")]
    pub fn selectivity(&self) -> f64 {
        if self.rows == 0 {
            1.0
        } else {
            self.matched as f64 / self.rows as f64
        }
    }
}

/// With times in seconds, and beside the fields the selectivity and, as `text`, what people read.
impl Serialize for Explanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut all = serializer.serialize_struct("Explanation", 14)?;
        all.serialize_field("column", &self.column)?;
        all.serialize_field("method", &self.method)?;
        all.serialize_field("seq", &self.seq)?;
        all.serialize_field("rows", &self.rows)?;
        all.serialize_field("matched", &self.matched)?;
        all.serialize_field("compared", &self.compared)?;
        all.serialize_field("visited", &self.visited)?;
        all.serialize_field("beside", &self.beside)?;
        all.serialize_field("effort", &self.effort)?;
        all.serialize_field("reranked", &self.reranked)?;
        all.serialize_field("selectivity", &self.selectivity())?;
        all.serialize_field("filter_seconds", &self.filter_time.as_secs_f64())?;
        all.serialize_field("search_seconds", &self.search_time.as_secs_f64())?;
        all.serialize_field("text", &self.to_string())?;
        all.end()
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.method {
            Method::ScanAll => "exact, all rows",
            Method::ScanMatching => "exact, rows that pass the filter",
            Method::Clustered => "clustered, lists near the query",
            Method::ClusteredMatching => {
                "clustered, rows of lists near the query that pass the filter"
            }
            Method::Graph => "graph",
            Method::GraphMatching => "graph, rows that pass the filter",
            Method::Postings => "postings",
            Method::PostingsMatching => "postings, rows that pass the filter",
        };
        writeln!(f, "vectors  {}", self.column)?;
        writeln!(f, "method   {method}")?;
        if let Some(effort) = self.effort {
            writeln!(f, "effort   {effort}")?;
        }
        writeln!(f, "state    commit {}", self.seq)?;
        writeln!(
            f,
            "matched  {} of {} rows in {:?}",
            self.matched, self.rows, self.filter_time
        )?;
        if self.compared > 0 {
            writeln!(f, "compared {} rows by their codes", self.compared)?;
        }
        if self.beside > 0 {
            writeln!(
                f,
                "beside   {} rows, for the index is being built",
                self.beside
            )?;
        }
        if self.reranked > 0 {
            writeln!(f, "reranked {} rows for diversity", self.reranked)?;
        }
        write!(
            f,
            "visited  {} rows in {:?}",
            self.visited, self.search_time
        )
    }
}

/// Checks the number of neighbours asked for.
pub(crate) fn check_k(k: usize) -> Result<()> {
    match k {
        0 => Err(Error::invalid(
            "a search asks for at least one neighbour (k)",
        )),
        1..=SEARCH_K_MAX => Ok(()),
        _ => Err(Error::limit_exceeded(format!(
            "a search returns at most {SEARCH_K_MAX} neighbours (k), asked for {k}"
        ))),
    }
}
