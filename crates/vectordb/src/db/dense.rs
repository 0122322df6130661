//! [`Dense`]: dense vectors of a column, and the index of them, which may lag behind.

use std::cmp::Ordering;
use std::mem;
use std::sync::Arc;

use common::{Result, Slot};

use super::VectorOptions;
use crate::core::{SlotSet, VectorRows, VectorTable};
use crate::indexing::{Answer, Efforts, Index, IndexOptions, Progress, Request, is_many};

/// So few changes are told to a new index while searches and writers wait.
const CAUGHT_UP_AT_ONCE: usize = 32;
/// So often a new index is told of changes while others write; then they wait once.
const CATCH_UPS_MAX: usize = 16;

/// Dense vectors and what finds them.
pub(super) struct Dense {
    pub(super) options: Arc<VectorOptions>,
    vectors: VectorTable,
    index: Index,
    behind: Option<Behind>,
    building: Building,
    efforts: Arc<Efforts>,
    /// Number of vectors that came, changed or went so far.
    changes: u64,
}

/// What has changed since the index was last told; it stays as it was meanwhile.
#[derive(Clone)]
struct Behind {
    /// The vectors that the index knows.
    rows: VectorRows,
    /// Slots whose vector came, changed or went since.
    changed: Arc<SlotSet>,
}

/// Whether the index is to be built anew.
enum Building {
    No,
    /// It waits for somebody to do so.
    Due,
    /// Somebody does, and has to be told of these slots in the end.
    Now(SlotSet),
    /// It failed: not again before many more changes.
    Failed,
}

/// Dense vectors as of one commit.
pub(super) struct DenseView {
    pub(super) options: Arc<VectorOptions>,
    pub(super) rows: VectorRows,
    index: Index,
    behind: Option<Behind>,
    efforts: Arc<Efforts>,
    changes: u64,
}

/// An index that is being built beside the one that searches use.
pub(super) struct Build {
    index: Index,
    rows: VectorRows,
    catch_ups: usize,
    /// Those of the column, which tell it from one that took its place.
    efforts: Arc<Efforts>,
}

impl Dense {
    /// Whether these are the slots in use, and the index belongs to the vectors it knows.
    ///
    /// # Panics
    /// When not.
    #[cfg(shuttle)]
    pub(super) fn check(&self, slots: impl ExactSizeIterator<Item = Slot>) {
        let rows = self.vectors.rows();
        assert_eq!(rows.len(), slots.len(), "one slot for each id");
        for slot in slots {
            assert!(rows.contains(slot), "{slot:?} has no vector");
        }
        let known = self.behind.as_ref().map_or(rows, |behind| &behind.rows);
        self.index.check_structure(known);
    }

    pub(super) fn new(options: &Arc<VectorOptions>) -> Result<Self> {
        Ok(Self {
            vectors: VectorTable::with_precision(options.dimension, options.precision),
            index: Index::new(&index_options(options), options.metric)?
                .threads(options.threads.unwrap_or(1)),
            behind: None,
            building: Building::No,
            efforts: Arc::default(),
            changes: 0,
            options: options.clone(),
        })
    }

    pub(super) fn view(&self) -> DenseView {
        DenseView {
            options: self.options.clone(),
            rows: self.vectors.rows().clone(),
            index: self.index.clone(),
            behind: self.behind.clone(),
            efforts: self.efforts.clone(),
            changes: self.changes,
        }
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// So many changes are to come: if these are many, they are cheaper to index together.
    pub(super) fn expect(&mut self, changes: usize) {
        if !is_many(changes, self.vectors.rows().len()) {
            return;
        }
        if self.index.is_scan() {
            // It need not be told of anything, and is built once there are enough vectors.
            if matches!(self.building, Building::Failed) {
                self.building = Building::No;
            }
            return;
        }
        if self.behind.is_none() {
            self.behind = Some(Behind {
                rows: self.vectors.rows().clone(),
                changed: Arc::default(),
            });
        }
        if !matches!(self.building, Building::Now(_)) {
            self.building = Building::Due;
        }
    }

    /// Takes a table and its index as they were saved; whether they are of these options.
    pub(super) fn resume(&mut self, vectors: VectorTable, index: Index) -> bool {
        let (rows, options) = (vectors.rows(), &self.options);
        let fits = rows.dimension() == options.dimension
            && rows.precision() == options.precision
            && index.metric() == options.metric
            && *index.options() == index_options(options);
        if fits {
            self.index = index.threads(options.threads.unwrap_or(1));
            self.vectors = vectors;
        }
        fits
    }

    /// The table and its index, to be saved; none while the index does not know all vectors.
    pub(super) fn resumable(&self) -> Option<(&VectorTable, &Index)> {
        let is_told = self.behind.is_none() && matches!(self.building, Building::No);
        is_told.then_some((&self.vectors, &self.index))
    }

    /// Whether a slot holds this vector.
    pub(super) fn holds(&self, slot: Slot, vector: &[f32]) -> bool {
        self.vectors.rows().holds(slot, vector)
    }

    /// Whether all that was read so far of a file was whole.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] if not.
    pub(super) fn intact(&self) -> Result<()> {
        self.index.check(self.vectors.rows())
    }

    /// Puts a vector in a slot, or in a new one; `None` when there is none left.
    pub(super) fn put(&mut self, slot: Option<Slot>, vector: &[f32]) -> Option<Slot> {
        let slot = match slot {
            Some(slot) => {
                self.forget(slot);
                self.vectors.replace(slot, vector);
                slot
            }
            None => self.vectors.push(vector)?,
        };
        if !self.lags(slot) {
            self.index.insert(self.vectors.rows(), slot);
        }
        Some(slot)
    }

    /// Removes the vector of a slot.
    pub(super) fn remove(&mut self, slot: Slot) {
        self.forget(slot);
        self.vectors.remove(slot);
    }

    fn forget(&mut self, slot: Slot) {
        if !self.lags(slot) {
            self.index.remove(self.vectors.rows(), slot);
        }
    }

    /// Notes that a slot changes; whether the index is not to be told now.
    fn lags(&mut self, slot: Slot) -> bool {
        self.changes += 1;
        if let Building::Now(changed) = &mut self.building {
            changed.insert(slot);
        }
        if let Some(behind) = &mut self.behind {
            Arc::make_mut(&mut behind.changed).insert(slot);
        }
        self.behind.is_some()
    }

    /// Whether an index is to be built.
    pub(super) fn is_due(&self) -> bool {
        match self.building {
            Building::Due => true,
            Building::No => self.index.is_due(self.vectors.rows()),
            Building::Now(_) | Building::Failed => false,
        }
    }

    /// Begins to build an index, if one is due.
    pub(super) fn begin(&mut self) -> Option<Build> {
        if !self.is_due() {
            return None;
        }
        self.building = Building::Now(SlotSet::default());
        Some(Build {
            index: self.index.clone(),
            rows: self.vectors.rows().clone(),
            catch_ups: 0,
            efforts: self.efforts.clone(),
        })
    }

    /// Takes over an index that was built, if few changes came meanwhile; otherwise gives it back with the changes to
    /// be told. `None` if it is taken, or of no use here any more.
    pub(super) fn finish(&mut self, mut build: Build) -> Option<(Build, CatchUp)> {
        let Building::Now(changed) = &mut self.building else {
            return None;
        };
        if !Arc::ptr_eq(&self.efforts, &build.efforts) {
            return None;
        }
        let changed = mem::take(changed);
        let rows = self.vectors.rows();
        if is_many(changed.len(), rows.len()) {
            build.rows = rows.clone();
            return Some((build, CatchUp::Anew));
        }
        if changed.len() > CAUGHT_UP_AT_ONCE && build.catch_ups < CATCH_UPS_MAX {
            let rows = rows.clone();
            return Some((build, CatchUp::Tell { changed, rows }));
        }
        build.tell(&changed, rows.clone());
        self.index = build.index;
        self.behind = None;
        self.building = Building::No;
        None
    }

    /// Gives up a build; searches go on with what there was.
    pub(super) fn fail(&mut self) {
        if matches!(self.building, Building::Now(_)) {
            self.building = Building::Failed;
        }
    }
}

/// What a new index lacks.
pub(super) enum CatchUp {
    /// So much that it is built again.
    Anew,
    /// These slots.
    Tell { changed: SlotSet, rows: VectorRows },
}

impl Build {
    /// Builds the index from the vectors.
    pub(super) fn run(&mut self, progress: Progress<'_>) -> Result<()> {
        self.index.rebuild(&self.rows, progress)
    }

    /// Brings the index from the vectors it knows to later ones.
    pub(super) fn tell(&mut self, changed: &SlotSet, rows: VectorRows) {
        self.catch_ups += 1;
        // All go before any comes: what is left while one goes or comes has the same vector in both.
        for slot in changed.iter().filter(|slot| self.rows.contains(*slot)) {
            self.index.remove(&self.rows, slot);
        }
        for slot in changed.iter().filter(|slot| rows.contains(*slot)) {
            self.index.insert(&rows, slot);
        }
        self.rows = rows;
    }
}

impl DenseView {
    /// Whether all candidates are compared.
    pub(super) fn is_scan(&self) -> bool {
        self.index.is_scan()
    }

    /// Whether all that was read so far of a file was whole: to be asked after a search.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] if not.
    pub(super) fn check(&self) -> Result<()> {
        self.index.check(&self.rows)
    }

    /// All candidates no farther than a distance.
    pub(super) fn within(&self, request: &Request<'_>, distance: f64) -> Answer {
        self.index.within(request, distance)
    }

    /// Compares all candidates.
    pub(super) fn scan(&self, request: &Request<'_>) -> Answer {
        self.index.scan(request)
    }

    /// The nearest by the index, and by a scan of what the index was not told of; the number of these.
    pub(super) fn search(&self, request: &Request<'_>, effort: Option<usize>) -> (Answer, usize) {
        let Some(Behind { rows, changed }) = &self.behind else {
            return (self.index.search(request, effort), 0);
        };
        let is_known = |slot: &Slot| request.accepts(*slot) && !changed.contains(*slot);
        let are_all_known = request.filter.is_none() && !changed.iter().any(|s| rows.contains(s));
        let known: Option<SlotSet> =
            (!are_all_known).then(|| rows.slots().filter(is_known).collect());
        let is_new = |slot: &Slot| request.accepts(*slot) && request.rows.contains(*slot);
        let new: SlotSet = changed.iter().filter(is_new).collect();
        let old = Request {
            rows,
            filter: known.as_ref(),
            ..*request
        };
        let mut answer = self.index.search(&old, effort);
        let beside = self.index.scan(&Request {
            filter: Some(&new),
            ..*request
        });
        answer.work.ranked += beside.work.ranked;
        answer.nearest.extend(beside.nearest);
        answer.nearest.sort_by(|a, b| -> Ordering {
            let by_distance = a.distance.total_cmp(&b.distance);
            by_distance.then_with(|| (request.tie)(a.slot, b.slot))
        });
        answer.nearest.truncate(request.k);
        (answer, new.len())
    }

    /// Answers requests that differ in their query only.
    pub(super) fn search_each(
        &self,
        requests: &[Request<'_>],
        queries: &[crate::core::distance::PreparedVector],
        effort: Option<usize>,
        threads: usize,
    ) -> Vec<(Answer, usize)> {
        if self.behind.is_some() {
            return crate::indexing::each(threads, requests, |request| {
                self.search(request, effort)
            });
        }
        let answers = self.index.search_each(requests, queries, effort, threads);
        answers.into_iter().map(|answer| (answer, 0)).collect()
    }

    /// The effort at which the index finds this share of the `k` nearest; `None` if no effort does.
    pub(super) fn effort_for(&self, recall: f64, k: usize) -> Result<Option<usize>> {
        let rows = self
            .behind
            .as_ref()
            .map_or(&self.rows, |behind| &behind.rows);
        let find = || self.index.effort_for(rows, recall, k);
        self.efforts
            .get_or_find(recall, k, self.changes, self.rows.len(), find)
    }
}

/// The options of the index, with the column's number of threads where they name none.
fn index_options(options: &VectorOptions) -> IndexOptions {
    let mut index = options.index.clone();
    match &mut index {
        IndexOptions::Exact => {}
        IndexOptions::Clustered(clustered) => {
            let threads = options.threads.and_then(|n| n.try_into().ok());
            clustered.threads = clustered.threads.or(threads);
        }
        IndexOptions::Graph(graph) => graph.threads = graph.threads.or(options.threads),
    }
    index
}
