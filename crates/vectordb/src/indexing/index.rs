//! [`Index`]: what finds the nearest vectors of a table.

use std::cmp::Ordering;
use std::sync::Arc;

use common::{Result, Slot};
use durable::PageSource;

use super::clustered::ClusteredIndex;
use super::exact::Scan;
use super::graph::GraphIndex;
use super::options::IndexOptions;
use super::plan::Method;
use super::progress::Progress;
use super::request::{Request, Work};
use crate::core::distance::{Metric, PreparedVector};
use crate::core::{SlotSet, VectorRows, check_dimension};

mod stored;

pub(crate) use stored::IndexMeta;

/// Tables of fewer vectors are scanned, whatever the options say: that is faster, and right.
pub(crate) const INDEXED_MIN: usize = if cfg!(shuttle) { 16 } else { 2_000 };
/// Candidates that a search of a graph keeps unless it is told otherwise.
const EFFORT: usize = 64;
/// The share of the clusters that a search of a clustered index scans unless it is told otherwise: one in so many.
const PROBED_SHARE: usize = 16;
/// A clustered index scans all rows that pass a filter if these are fewer than one in so many.
const FILTERED_SHARE: usize = 50;
/// All candidates are compared if more than one in so many is wanted.
const WANTED_SHARE: usize = 16;

/// A vector that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Where it is.
    pub slot: Slot,
    /// How far from the query it is, in 64-bit floats.
    pub distance: f64,
}

/// What finds the nearest vectors of a table. It knows slots, never records, and follows the table: whoever
/// changes that tells [`Index::insert`] and [`Index::remove`].
///
/// A clone costs a few reference counts and never changes: searches hold one while others write.
///
/// ```
/// use vectordb::core::VectorTable;
/// use vectordb::{GraphOptions, Index, IndexOptions, Metric, unwatched};
/// let mut table = VectorTable::new(2);
/// for i in 0..3_000_i16 {
///     table.push(&[f32::from(i % 60), f32::from(i / 60)]);
/// }
/// let options = IndexOptions::Graph(GraphOptions::default());
/// let index = Index::build(&options, Metric::Euclidean, table.rows(), &unwatched)?;
/// let query = Metric::Euclidean.prepare_query(&[7.2, 30.1], 2)?;
/// let nearest = index.nearest(table.rows(), &query, 1, None, None)?;
/// assert_eq!(nearest[0].slot, common::Slot(30 * 60 + 7));
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Index {
    options: Arc<IndexOptions>,
    metric: Metric,
    structure: Structure,
    /// The file that parts of it may still lie in.
    source: Option<PageSource>,
    /// Most threads of one scan.
    threads: usize,
}

/// What there is beside the vectors.
#[derive(Debug, Clone)]
enum Structure {
    /// Nothing: all of them are compared.
    None,
    Clustered(Arc<ClusteredIndex>),
    Graph(Arc<GraphIndex>),
}

/// What a search found, and how.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) nearest: Vec<Neighbour>,
    pub(crate) method: Method,
    pub(crate) work: Work,
}

impl Index {
    /// An index of no vectors.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for options out of their bounds, [`common::ErrorKind::Unsupported`] for a
    /// metric that the index has not.
    pub fn new(options: &IndexOptions, metric: Metric) -> Result<Self> {
        options.check()?;
        match options {
            IndexOptions::Exact => {}
            IndexOptions::Clustered(_) => ClusteredIndex::supports(metric)?,
            IndexOptions::Graph(options) => GraphIndex::supports(options.layout, metric)?,
        }
        Ok(Self {
            options: Arc::new(options.clone()),
            metric,
            structure: Structure::None,
            source: None,
            threads: 1,
        })
    }

    /// Sets the most threads that one search runs on where it scans; one if not set.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// An index of the vectors of a table; tables of fewer than 2,000 vectors are scanned by any index.
    ///
    /// The same options and vectors give the same index, whatever the number of threads.
    ///
    /// # Errors
    /// As [`Index::new`], and as [`Metric::check`] for the rows' precision; [`common::ErrorKind::Invalid`] for rows
    /// of no dimension; [`common::ErrorKind::LimitExceeded`] above
    /// [`VECTOR_DIMENSION_MAX`](common::limits::VECTOR_DIMENSION_MAX) dimensions and for a graph of more than 2^31 vectors,
    /// [`common::ErrorKind::Closed`] when cancelled.
    pub fn build(
        options: &IndexOptions,
        metric: Metric,
        rows: &VectorRows,
        progress: Progress<'_>,
    ) -> Result<Self> {
        let mut index = Self::new(options, metric)?;
        index.rebuild(rows, progress)?;
        Ok(index)
    }

    /// Makes the index anew from the vectors of a table; on an error it stays as it was.
    ///
    /// # Errors
    /// As [`Index::build`].
    pub fn rebuild(&mut self, rows: &VectorRows, progress: Progress<'_>) -> Result<()> {
        self.metric.check(rows.precision())?;
        check_dimension(rows.dimension())?;
        self.structure = match &*self.options {
            _ if rows.len() < INDEXED_MIN => Structure::None,
            IndexOptions::Exact => Structure::None,
            IndexOptions::Clustered(options) => {
                let index = ClusteredIndex::build(options, self.metric, rows, progress)?;
                Structure::Clustered(Arc::new(index))
            }
            IndexOptions::Graph(options) => {
                let graph = GraphIndex::build(options, self.metric, rows, progress)?;
                Structure::Graph(Arc::new(graph))
            }
        };
        Ok(())
    }

    /// The metric it ranks by.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The options it was made with.
    pub fn options(&self) -> &IndexOptions {
        &self.options
    }

    /// Whether the options ask for a structure that the table has been too small for, and no longer is, or has outgrown.
    pub(crate) fn is_due(&self, rows: &VectorRows) -> bool {
        match &self.structure {
            Structure::None => *self.options != IndexOptions::Exact && rows.len() >= INDEXED_MIN,
            Structure::Clustered(_) => false,
            Structure::Graph(graph) => graph.is_outgrown(),
        }
    }

    /// Bytes that the index takes beside the vectors, by part.
    pub fn bytes(&self) -> Vec<(&'static str, usize)> {
        match &self.structure {
            Structure::None => Vec::new(),
            Structure::Clustered(index) => {
                let bytes = index.bytes();
                vec![
                    ("centres", bytes.centres),
                    ("codes", bytes.codes),
                    ("words", bytes.words),
                    ("places", bytes.places),
                    ("frame", bytes.frame),
                ]
            }
            Structure::Graph(graph) => graph.bytes().to_vec(),
        }
    }

    /// Whether what the index holds follows from the vectors of its table.
    ///
    /// # Panics
    /// When it does not.
    #[cfg(shuttle)]
    pub(crate) fn check_structure(&self, rows: &VectorRows) {
        if let Structure::Graph(graph) = &self.structure {
            graph.check(rows);
        }
    }

    /// Takes in the vector that a slot has been given. Whatever vector the slot had before was removed.
    ///
    /// Cost: hundreds of microseconds for a graph, a few for a clustered index.
    pub fn insert(&mut self, rows: &VectorRows, slot: Slot) {
        match &mut self.structure {
            Structure::None => {}
            Structure::Clustered(index) => Arc::make_mut(index).insert(rows, slot),
            Structure::Graph(graph) => Arc::make_mut(graph).insert(rows, slot),
        }
    }

    /// Forgets the vector of a slot, before the slot is given free or another vector.
    pub fn remove(&mut self, rows: &VectorRows, slot: Slot) {
        match &mut self.structure {
            Structure::None => {}
            Structure::Clustered(index) => {
                Arc::make_mut(index).remove(slot);
            }
            Structure::Graph(graph) => Arc::make_mut(graph).remove(rows, slot),
        }
    }

    /// The `k` nearest vectors of a table, nearest first, those at the same distance in the order of their slots.
    ///
    /// `effort` is what the search may take: candidates that a graph keeps on the way (at least `k`; 64 if not
    /// given), lists that a clustered index scans (a sixteenth of them if not given). With `filter`, only its slots
    /// are candidates.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the table or the index lies in a file that is damaged.
    pub fn nearest(
        &self,
        rows: &VectorRows,
        query: &PreparedVector,
        k: usize,
        effort: Option<usize>,
        filter: Option<&SlotSet>,
    ) -> Result<Vec<Neighbour>> {
        let request = Request {
            rows,
            metric: self.metric,
            query,
            k,
            filter,
            tie: &|a: Slot, b: Slot| a.cmp(&b),
        };
        let answer = self.search(&request, effort);
        self.check(rows)?;
        Ok(answer.nearest)
    }

    /// Whether all candidates are compared, for there is no structure.
    pub(crate) fn is_scan(&self) -> bool {
        matches!(self.structure, Structure::None)
    }

    /// Whether all candidates are compared: there is no structure, or so many are wanted that nearly all would be met
    /// on the way to them.
    pub(super) fn is_scan_for(&self, request: &Request<'_>) -> bool {
        let matched = request.filter.map_or(request.rows.len(), SlotSet::len);
        self.is_scan() || request.k.saturating_mul(WANTED_SHARE) >= matched
    }

    /// Whether all that was read so far of files was whole: to be asked after a search.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] if not.
    pub(crate) fn check(&self, rows: &VectorRows) -> Result<()> {
        rows.check()?;
        self.source.as_ref().map_or(Ok(()), PageSource::check)
    }

    /// Answers a request, and says how; see [`Index::check`].
    pub(crate) fn search(&self, request: &Request<'_>, effort: Option<usize>) -> Answer {
        if request.k == 0 {
            return Answer {
                nearest: Vec::new(),
                method: Method::ScanAll,
                work: Work::default(),
            };
        }
        if self.is_scan_for(request) {
            return self.scan(request);
        }
        match &self.structure {
            Structure::None => self.scan(request),
            Structure::Clustered(index) => self.clustered(index, request, effort),
            Structure::Graph(graph) => {
                let (nearest, work) = graph.search(request, effort.unwrap_or(EFFORT));
                Answer {
                    nearest,
                    method: match request.filter {
                        None => Method::Graph,
                        Some(_) => Method::GraphMatching,
                    },
                    work,
                }
            }
        }
    }

    /// All candidates no farther than a distance, nearest first, at most `k` of them: always by a scan. Codes and
    /// links tell what is near, and never that nothing else is.
    pub(crate) fn within(&self, request: &Request<'_>, distance: f64) -> Answer {
        let tie = |a: Slot, b: Slot| -> Ordering { (request.tie)(a, b) };
        let scan = self.scan_of(request);
        let nearest = scan.within(request.query, distance, request.k, &tie);
        Answer {
            nearest,
            ..scanned(request)
        }
    }

    fn scan_of<'a>(&self, request: &Request<'a>) -> Scan<'a> {
        Scan {
            rows: request.rows,
            metric: request.metric,
            among: request.filter,
            threads: self.threads,
        }
    }

    /// Compares all candidates.
    pub(crate) fn scan(&self, request: &Request<'_>) -> Answer {
        let tie = |a: Slot, b: Slot| -> Ordering { (request.tie)(a, b) };
        let nearest = self
            .scan_of(request)
            .nearest(request.query, request.k, &tie);
        Answer {
            nearest,
            ..scanned(request)
        }
    }

    fn clustered(
        &self,
        index: &ClusteredIndex,
        request: &Request<'_>,
        effort: Option<usize>,
    ) -> Answer {
        let clusters = index.clusters();
        let mut probes = effort.unwrap_or_else(|| (clusters / PROBED_SHARE).max(1));
        if let Some(filter) = request.filter {
            let (matched, all) = (filter.len(), index.len());
            if matched.saturating_mul(FILTERED_SHARE) < all {
                return self.scan(request);
            }
            // As many that pass as there would be without a filter.
            probes = probes.saturating_mul(all.div_ceil(matched.max(1)));
        }
        let wanted = request
            .k
            .min(request.filter.map_or(index.len(), SlotSet::len));
        let tie = |a: Slot, b: Slot| -> Ordering { (request.tie)(a, b) };
        let found = index.search(
            request.rows,
            request.metric,
            request.query,
            wanted,
            probes.min(clusters),
            request.filter,
            &tie,
        );
        if found.nearest.len() < wanted {
            // The lists near the query have too few that pass.
            return self.scan(request);
        }
        Answer {
            nearest: found.nearest,
            method: match request.filter {
                None => Method::Clustered,
                Some(_) => Method::ClusteredMatching,
            },
            work: Work {
                compared: found.estimated,
                ranked: found.compared,
            },
        }
    }
}

/// The account of a scan, without its answer.
pub(super) fn scanned(request: &Request<'_>) -> Answer {
    Answer {
        nearest: Vec::new(),
        method: match request.filter {
            None => Method::ScanAll,
            Some(_) => Method::ScanMatching,
        },
        work: Work {
            compared: 0,
            ranked: request.filter.map_or(request.rows.len(), SlotSet::len),
        },
    }
}
