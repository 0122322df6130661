//! [`IndexedTable`]: a table of vectors and its index, which change together.

use std::sync::Arc;

use common::{Error, Result, Slot};

use super::diverse::{Diversity, spread};
use super::efforts::Efforts;
use super::index::{Answer, Index, Neighbour};
use super::options::IndexOptions;
use super::plan::check_k;
use super::progress::{Progress, report, unwatched};
use super::request::Request;
use crate::core::distance::{Metric, PreparedVector};
use crate::core::{Precision, SlotSet, VectorRows, VectorTable, check_dimension};

/// Changes at once that make an index be built anew, if they are more than this share of its vectors as well.
const REBUILT_MIN: usize = if cfg!(shuttle) { 12 } else { 2_000 };
const REBUILT_SHARE: usize = 2;
/// Vectors that are told to an index between two reports of progress.
const TOLD_AT_ONCE: usize = 16;

/// Whether so many changes of a table of so many vectors are cheaper to index together.
pub(crate) fn is_many(changes: usize, vectors: usize) -> bool {
    changes > (vectors / REBUILT_SHARE).max(REBUILT_MIN)
}

/// What a search may take.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Effort {
    /// What [`Index::nearest`] takes if it is told nothing.
    #[default]
    Usual,
    /// So many candidates of a graph, or lists of a clustered index.
    Of(usize),
    /// The least that finds this share of the true neighbours, between 0 and 1, on average: found by trying at the
    /// first search for it, and kept until an eighth of the vectors has changed.
    Recall(f64),
}

/// Which neighbours are wanted.
///
/// ```
/// use vectordb::{Effort, Wanted};
/// let wanted = Wanted::new(10).effort(Effort::Recall(0.95)).within(0.5);
/// assert_eq!(wanted.k, 10);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// How many: 1 to [`SEARCH_K_MAX`](crate::SEARCH_K_MAX).
    pub k: usize,
    /// What the search may take.
    pub effort: Effort,
    /// None farther than this. With the usual effort all of them, up to `k`, by a scan.
    pub within: Option<f64>,
    /// How they are to differ from each other: see [`Search::diverse`](crate::Search::diverse).
    pub diversity: Option<Diversity>,
    /// Which slots are candidates; all that are in use if none.
    pub among: Option<&'a SlotSet>,
    /// A slot that is left out: the one whose neighbours are looked for.
    pub except: Option<Slot>,
}

impl<'a> Wanted<'a> {
    /// The `k` nearest.
    pub fn new(k: usize) -> Self {
        Self {
            k,
            effort: Effort::Usual,
            within: None,
            diversity: None,
            among: None,
            except: None,
        }
    }

    /// Sets what the search may take.
    #[must_use]
    pub fn effort(mut self, effort: Effort) -> Self {
        self.effort = effort;
        self
    }

    /// None farther than `distance`.
    #[must_use]
    pub fn within(mut self, distance: f64) -> Self {
        self.within = Some(distance);
        self
    }

    /// Only these slots are candidates.
    #[must_use]
    pub fn among(mut self, slots: &'a SlotSet) -> Self {
        self.among = Some(slots);
        self
    }

    /// Checks the bounds.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] or [`common::ErrorKind::LimitExceeded`] with what is out of its bounds.
    pub fn check(&self) -> Result<()> {
        check_k(self.k)?;
        if self.within.is_some_and(f64::is_nan) {
            return Err(Error::invalid(
                "the distance of a range search is not a number",
            ));
        }
        if let Effort::Recall(recall) = self.effort
            && !(0.0..=1.0).contains(&recall)
        {
            return Err(Error::invalid(format!(
                "the recall of a search is between 0 and 1, not {recall}"
            )));
        }
        self.diversity
            .map_or(Ok(()), |diversity| diversity.check(self.k))
    }
}

/// A table of vectors and its index: what comes, changes and goes is told to both.
///
/// A clone costs a few reference counts and never changes: searches hold one while others write.
///
/// ```
/// use vectordb::core::Precision;
/// use vectordb::{GraphOptions, IndexOptions, IndexedTable, Metric, Wanted, unwatched};
/// let options = IndexOptions::Graph(GraphOptions::default());
/// let empty = IndexedTable::new(&options, Metric::Euclidean, Precision::F32, 2)?;
/// let mut additions = empty.additions();
/// for i in 0..3_000_i16 {
///     additions.push(&[f32::from(i % 60), f32::from(i / 60)])?;
/// }
/// let (mut grid, _) = additions.finish(&unwatched)?;
/// let slot = grid.insert(&[7.2, 30.1])?;
/// let query = grid.query(&[7.2, 30.2])?;
/// assert_eq!(grid.search(&query, &Wanted::new(1))?[0].slot, slot);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct IndexedTable {
    table: VectorTable,
    index: Index,
    efforts: Arc<Efforts>,
    /// Number of vectors that came, changed or went so far.
    changes: u64,
}

/// What a search may take, now that its recall has been looked up.
enum Allowed {
    Usual,
    Effort(usize),
    /// Only a scan finds enough.
    Scan,
}

/// Vectors on their way into an [`IndexedTable`], which stays as it is until they are all there.
#[derive(Debug)]
pub struct Additions {
    to: IndexedTable,
    slots: Vec<Slot>,
}

impl IndexedTable {
    /// No vectors yet, of `dimension` elements.
    ///
    /// # Errors
    /// As [`Index::new`] and [`Metric::check`]; for a dimension as [`Index::build`].
    pub fn new(
        options: &IndexOptions,
        metric: Metric,
        precision: Precision,
        dimension: usize,
    ) -> Result<Self> {
        check_dimension(dimension)?;
        metric.check(precision)?;
        Ok(Self::of(
            VectorTable::with_precision(dimension, precision),
            Index::new(options, metric)?,
        ))
    }

    /// A table and the index of its vectors, as [`IndexFile::open`](crate::IndexFile::open) gives them.
    pub fn of(table: VectorTable, index: Index) -> Self {
        Self {
            table,
            index,
            efforts: Arc::default(),
            changes: 0,
        }
    }

    /// Sets the most threads that one search runs on where it scans; one if not set.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.index = self.index.threads(threads);
        self
    }

    /// The table.
    pub fn table(&self) -> &VectorTable {
        &self.table
    }

    /// The vectors.
    pub fn rows(&self) -> &VectorRows {
        self.table.rows()
    }

    /// The index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// A vector that is searched for, made ready.
    ///
    /// # Errors
    /// As [`Metric::prepare`].
    pub fn query(&self, vector: &[f32]) -> Result<PreparedVector> {
        self.index
            .metric()
            .prepare_query(vector, self.rows().dimension())
    }

    /// The vector of a slot, as a query.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when the slot has none.
    pub fn query_of(&self, slot: Slot) -> Result<PreparedVector> {
        let mut vector = vec![0.0; self.rows().dimension()];
        if !self.rows().decode(slot, &mut vector) {
            return Err(missing(slot));
        }
        self.query(&vector)
    }

    fn prepare(&self, vector: &[f32]) -> Result<Vec<f32>> {
        let rows = self.rows();
        let prepared = self.index.metric().prepare(vector, rows.dimension())?;
        rows.precision().check(&prepared)?;
        Ok(prepared)
    }

    /// Adds a vector. Cost: as [`Index::insert`]; the one that makes the table large enough for a structure, or outgrow
    /// the one it has, builds it.
    ///
    /// # Errors
    /// As [`Metric::prepare`] and [`Precision::check`]; [`common::ErrorKind::LimitExceeded`] when all slots are taken. Nothing
    /// is changed then.
    pub fn insert(&mut self, vector: &[f32]) -> Result<Slot> {
        let vector = self.prepare(vector)?;
        let slot = self.table.push(&vector).ok_or_else(full)?;
        self.changes += 1;
        self.index.insert(self.table.rows(), slot);
        if self.index.is_due(self.table.rows())
            && let Err(error) = self.index.rebuild(self.table.rows(), &unwatched)
        {
            self.remove(slot);
            return Err(error);
        }
        Ok(slot)
    }

    /// Puts another vector in a slot.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when the slot has none; otherwise as [`IndexedTable::insert`]. Nothing is changed then.
    pub fn replace(&mut self, slot: Slot, vector: &[f32]) -> Result<()> {
        let vector = self.prepare(vector)?;
        if !self.rows().contains(slot) {
            return Err(missing(slot));
        }
        self.changes += 1;
        self.index.remove(self.table.rows(), slot);
        self.table.replace(slot, &vector);
        self.index.insert(self.table.rows(), slot);
        Ok(())
    }

    /// Removes the vector of a slot; whether there was one.
    pub fn remove(&mut self, slot: Slot) -> bool {
        if !self.rows().contains(slot) {
            return false;
        }
        self.changes += 1;
        self.index.remove(self.table.rows(), slot);
        self.table.remove(slot)
    }

    /// Begins to add many vectors at once.
    pub fn additions(&self) -> Additions {
        Additions {
            to: self.clone(),
            slots: Vec::new(),
        }
    }

    /// The nearest vectors, nearest first, those at the same distance in the order of their slots; hits that are to
    /// differ come in the order in which they were chosen.
    ///
    /// # Errors
    /// As [`Wanted::check`]; [`common::ErrorKind::Corrupt`] as [`Index::nearest`].
    pub fn search(&self, query: &PreparedVector, wanted: &Wanted<'_>) -> Result<Vec<Neighbour>> {
        wanted.check()?;
        let request = self.request(query, wanted);
        let answer = match (wanted.within, wanted.effort) {
            (Some(distance), Effort::Usual) => self.index.within(&request, distance),
            _ => match self.allowed(wanted)? {
                Allowed::Usual => self.index.search(&request, None),
                Allowed::Effort(effort) => self.index.search(&request, Some(effort)),
                Allowed::Scan => self.index.scan(&request),
            },
        };
        self.index.check(self.rows())?;
        Ok(self.chosen(answer, wanted))
    }

    /// For each query what [`IndexedTable::search`] finds, on so many threads: see [`Index::nearest_to_each`].
    ///
    /// # Errors
    /// As [`IndexedTable::search`].
    pub fn search_each(
        &self,
        queries: &[PreparedVector],
        wanted: &Wanted<'_>,
        threads: usize,
    ) -> Result<Vec<Vec<Neighbour>>> {
        wanted.check()?;
        if wanted.within.is_some() && wanted.effort == Effort::Usual {
            let found = super::each(threads, queries, |query| self.search(query, wanted));
            return found.into_iter().collect();
        }
        let requests: Vec<Request<'_>> = queries.iter().map(|q| self.request(q, wanted)).collect();
        let each = |effort| self.index.search_each(&requests, queries, effort, threads);
        let answers = match self.allowed(wanted)? {
            Allowed::Usual => each(None),
            Allowed::Effort(effort) => each(Some(effort)),
            Allowed::Scan => super::each(threads, &requests, |request| self.index.scan(request)),
        };
        self.index.check(self.rows())?;
        let answers = answers.into_iter();
        Ok(answers.map(|answer| self.chosen(answer, wanted)).collect())
    }

    fn request<'q>(&'q self, query: &'q PreparedVector, wanted: &Wanted<'q>) -> Request<'q> {
        let candidates = wanted.diversity.map_or(wanted.k, |d| d.candidates);
        Request {
            rows: self.rows(),
            metric: self.index.metric(),
            query,
            k: candidates + usize::from(wanted.except.is_some()),
            filter: wanted.among,
            tie: &|a: Slot, b: Slot| a.cmp(&b),
        }
    }

    fn allowed(&self, wanted: &Wanted<'_>) -> Result<Allowed> {
        Ok(match wanted.effort {
            Effort::Usual => Allowed::Usual,
            Effort::Of(effort) => Allowed::Effort(effort),
            Effort::Recall(_) if self.index.is_scan() => Allowed::Usual,
            Effort::Recall(recall) => match self.effort_for(recall, wanted.k)? {
                Some(effort) => Allowed::Effort(effort),
                None => Allowed::Scan,
            },
        })
    }

    /// The effort that a recall takes: see [`Index::effort_for`]; found once and kept as [`Effort::Recall`] says.
    ///
    /// # Errors
    /// As [`Index::effort_for`].
    pub fn effort_for(&self, recall: f64, k: usize) -> Result<Option<usize>> {
        let rows = self.rows();
        let find = || self.index.effort_for(rows, recall, k);
        self.efforts
            .get_or_find(recall, k, self.changes, rows.len(), find)
    }

    /// Whether [`IndexedTable::effort_for`] need not try: it tried before, or all vectors are scanned.
    pub fn knows_effort(&self, recall: f64, k: usize) -> bool {
        let rows = self.rows().len();
        self.index.is_scan() || self.efforts.knows(recall, k, self.changes, rows)
    }

    /// What is wanted of the candidates.
    fn chosen(&self, answer: Answer, wanted: &Wanted<'_>) -> Vec<Neighbour> {
        let mut nearest = answer.nearest;
        let bound = wanted.within.unwrap_or(f64::INFINITY);
        nearest.retain(|n| n.distance <= bound && Some(n.slot) != wanted.except);
        match wanted.diversity {
            Some(diversity) => {
                nearest.truncate(diversity.candidates);
                let metric = self.index.metric();
                spread(self.rows(), metric, &nearest, wanted.k, diversity.lambda)
            }
            None => {
                nearest.truncate(wanted.k);
                nearest
            }
        }
    }
}

impl Additions {
    /// The next vector. It is found once all are there.
    ///
    /// # Errors
    /// As [`IndexedTable::insert`], with the number of the vector, from 0, in front.
    pub fn push(&mut self, vector: &[f32]) -> Result<()> {
        let number = self.slots.len();
        let place = |error: Error| error.at(format!("row {number}"));
        let vector = self.to.prepare(vector).map_err(place)?;
        let slot = self.to.table.push(&vector).ok_or_else(|| place(full()))?;
        self.slots.push(slot);
        Ok(())
    }

    /// The table with all of them, and their slots in order. Where they are many, the index is built anew.
    ///
    /// # Errors
    /// [`common::ErrorKind::Closed`] when cancelled; otherwise as [`Index::build`].
    pub fn finish(self, progress: Progress<'_>) -> Result<(IndexedTable, Vec<Slot>)> {
        let Self { mut to, slots } = self;
        let rows = to.table.rows();
        to.changes += slots.len() as u64;
        if to.index.is_due(rows) || is_many(slots.len(), rows.len()) {
            to.index.rebuild(rows, progress)?;
        } else {
            for (number, some) in slots.chunks(TOLD_AT_ONCE).enumerate() {
                report(progress, number * TOLD_AT_ONCE, slots.len())?;
                for slot in some {
                    to.index.insert(rows, *slot);
                }
            }
        }
        Ok((to, slots))
    }
}

fn missing(slot: Slot) -> Error {
    Error::not_found(format!("no vector has the number {}", slot.0))
}

fn full() -> Error {
    Error::limit_exceeded("a table has at most 2^32 vectors, and this one is full")
}
