//! [`Column`]: the vectors of one column with what finds them, and the records they belong to, by slot.

use std::sync::Arc;

use common::{Record, RecordId, Result, Slot, Value, Vector};
use hashbrown::{HashMap, HashSet};

use super::VectorOptions;
use super::recall::Efforts;
use crate::core::{Paged, VectorRows, VectorTable};
use crate::indexing::{Index, IndexOptions, unwatched};

/// Records on one page of the table of records.
const RECORDS_PER_PAGE: usize = 512;

type Slots = HashMap<RecordId, Slot, foldhash::fast::RandomState>;

/// The vectors of one column as of one commit. Each column has slots of its own, so that rows that lack its vector
/// cost nothing.
pub(super) struct Column {
    /// Position in the schema.
    position: usize,
    /// Whether rows may lack the vector, and are then none of this column's.
    is_optional: bool,
    options: Arc<VectorOptions>,
    vectors: VectorTable,
    index: Index,
    /// Whether the index waits to be built anew from the vectors, and is told of no change until then.
    is_stale: bool,
    efforts: Arc<Efforts>,
    /// Number of vectors that came, changed or went so far.
    changes: u64,
    records: Paged<Option<Record>>,
    slots: Slots,
    /// Rows with a vector that the metric cannot compare.
    unsearchable: HashSet<RecordId, foldhash::fast::RandomState>,
}

/// A column as of one commit, for one reader; later commits do not show in it.
pub(super) struct ColumnView {
    pub(super) options: Arc<VectorOptions>,
    pub(super) rows: VectorRows,
    pub(super) index: Index,
    pub(super) efforts: Arc<Efforts>,
    pub(super) changes: u64,
    records: Paged<Option<Record>>,
    position: usize,
    /// Where rows are that the reader asked for by id.
    named: HashMap<RecordId, Slot>,
}

impl ColumnView {
    pub(super) fn record(&self, slot: Slot) -> Option<&Record> {
        self.records.get(slot.0 as usize)?.as_ref()
    }

    /// Where a row is that the reader asked for, and its vector as it was given.
    pub(super) fn find(&self, id: &RecordId) -> Option<(Slot, &Vector)> {
        let slot = *self.named.get(id)?;
        let vector = self.record(slot)?.get(self.position)?.as_vector()?;
        Some((slot, vector))
    }
}

impl Column {
    pub(super) fn new(
        options: &Arc<VectorOptions>,
        position: usize,
        is_optional: bool,
    ) -> Result<Self> {
        Ok(Self {
            position,
            is_optional,
            vectors: VectorTable::with_precision(options.dimension, options.precision),
            index: Index::new(&index_options(options), options.metric)?
                .threads(options.threads.unwrap_or(1)),
            is_stale: false,
            efforts: Arc::default(),
            changes: 0,
            records: Paged::new(RECORDS_PER_PAGE),
            slots: HashMap::default(),
            unsearchable: HashSet::default(),
            options: options.clone(),
        })
    }

    /// The column as it is now, for a reader who asks for these rows.
    pub(super) fn view<'a>(&self, ids: impl Iterator<Item = &'a RecordId>) -> ColumnView {
        let slot = |id: &RecordId| Some((id.clone(), *self.slots.get(id)?));
        ColumnView {
            options: self.options.clone(),
            rows: self.vectors.rows().clone(),
            index: self.index.clone(),
            efforts: self.efforts.clone(),
            changes: self.changes,
            records: self.records.clone(),
            position: self.position,
            named: ids.filter_map(slot).collect(),
        }
    }

    /// Number of vectors.
    pub(super) fn len(&self) -> usize {
        self.vectors.rows().len()
    }

    /// Rows with a vector that no search finds.
    pub(super) fn unsearchable(&self) -> impl Iterator<Item = &RecordId> {
        self.unsearchable.iter()
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    pub(super) fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Many changes are to come, which are cheaper to index together.
    pub(super) fn set_stale(&mut self) {
        self.is_stale = true;
    }

    /// Indexes what the index was not told of, and builds it where the table has become large enough.
    pub(super) fn index_all(&mut self) -> Result<()> {
        let rows = self.vectors.rows();
        if self.is_stale || self.index.is_due(rows) {
            self.index.rebuild(rows, &unwatched)?;
            self.is_stale = false;
        }
        Ok(())
    }

    /// Takes in a row, new or changed.
    pub(super) fn put(&mut self, record: &Record) {
        let id = record.id();
        let slot = self.slots.get(&id).copied();
        let known = slot.and_then(|slot| self.records.get(slot.0 as usize)?.as_ref());
        if let (Some(slot), true) = (
            slot,
            known.is_some_and(|known| self.is_unmoved(known, record)),
        ) {
            self.records.set(slot.0 as usize, Some(record.clone()));
            return;
        }
        let value = record.get(self.position);
        let (metric, dimension) = (self.options.metric, self.options.dimension);
        let prepared = value
            .and_then(|value| value.as_vector()?.as_f32())
            .and_then(|vector| metric.prepare(vector, dimension).ok());
        let slot = match (prepared, slot) {
            (Some(vector), Some(slot)) => {
                self.forget(slot);
                self.vectors.replace(slot, &vector);
                self.take_in(slot);
                Some(slot)
            }
            (Some(vector), None) => {
                let slot = self.vectors.push(&vector);
                if let Some(slot) = slot {
                    self.take_in(slot);
                }
                slot
            }
            (None, _) => None,
        };
        match slot {
            Some(slot) => {
                self.unsearchable.remove(&id);
                self.records.set(slot.0 as usize, Some(record.clone()));
                self.slots.insert(id, slot);
            }
            None => {
                self.remove(&id);
                if !self.is_optional || value.is_some_and(|value| !value.is_null()) {
                    self.unsearchable.insert(id);
                }
            }
        }
    }

    /// Forgets a row.
    pub(super) fn remove(&mut self, id: &RecordId) {
        self.unsearchable.remove(id);
        if let Some(slot) = self.slots.remove(id) {
            self.forget(slot);
            self.vectors.remove(slot);
            self.records.set(slot.0 as usize, None);
        }
    }

    /// Whether both records share their vector, as versions do between which only metadata changed. Seen from
    /// the records alone, so that it also holds when the table is read afresh.
    fn is_unmoved(&self, a: &Record, b: &Record) -> bool {
        match (a.get(self.position), b.get(self.position)) {
            (Some(Value::Vector(a)), Some(Value::Vector(b))) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// Tells the index of a vector that came.
    fn take_in(&mut self, slot: Slot) {
        self.changes += 1;
        if !self.is_stale {
            self.index.insert(self.vectors.rows(), slot);
        }
    }

    /// Tells the index of a vector that goes.
    fn forget(&mut self, slot: Slot) {
        self.changes += 1;
        if !self.is_stale {
            self.index.remove(self.vectors.rows(), slot);
        }
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
