//! [`Column`]: the vectors of one column with what finds them, and the records they belong to, by slot.

use std::sync::Arc;

use common::{Record, RecordId, Result, Slot, Value, Vector};
use hashbrown::{HashMap, HashSet};

use super::dense::{Dense, DenseView};
use super::options::{SparseOptions, VectorOptions};
use super::saved::SavedColumn;
use crate::core::image::corrupt;
use crate::core::{Paged, VectorTable, floats};
use crate::indexing::{Index, SparseIndex};

/// Records on one page of the table of records.
const RECORDS_PER_PAGE: usize = 512;

/// The options of one column.
#[derive(Debug, Clone)]
pub(super) enum ColumnOptions {
    Dense(Arc<VectorOptions>),
    Sparse(Arc<SparseOptions>),
}

/// The vectors of one column as of one commit. Each column has slots of its own, so that rows that lack its vector
/// cost nothing.
pub(super) struct Column {
    /// Position in the schema.
    position: usize,
    /// Whether rows may lack the vector, and are then none of this column's.
    is_optional: bool,
    vectors: Vectors,
    records: Paged<Option<Record>>,
    slots: HashMap<RecordId, Slot, foldhash::fast::RandomState>,
    /// Rows with a vector that the metric cannot compare.
    unsearchable: HashSet<RecordId, foldhash::fast::RandomState>,
}

/// The vectors of a column.
#[expect(clippy::large_enum_variant, reason = "one for each column")]
enum Vectors {
    Dense(Dense),
    Sparse(Sparse),
}

/// Sparse vectors, which their records keep.
struct Sparse {
    options: Arc<SparseOptions>,
    index: SparseIndex,
    free: Vec<Slot>,
    /// Number of slots ever given.
    slots: u32,
}

/// A column as of one commit, for one reader; later commits do not show in it.
pub(super) struct ColumnView {
    pub(super) vectors: VectorsView,
    records: Paged<Option<Record>>,
    position: usize,
    /// Number of rows.
    len: usize,
    /// Where rows are that the reader asked for by id.
    named: HashMap<RecordId, Slot>,
}

/// The vectors of a column as of one commit.
#[expect(clippy::large_enum_variant, reason = "one for each search")]
pub(super) enum VectorsView {
    Dense(DenseView),
    Sparse(Arc<SparseOptions>, SparseIndex),
}

impl ColumnView {
    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn record(&self, slot: Slot) -> Option<&Record> {
        self.records.get(slot.0 as usize)?.as_ref()
    }

    /// The records with their slots.
    pub(super) fn records(&self) -> impl Iterator<Item = (Slot, &Record)> {
        let records = self.records.pages().iter().flat_map(|page| page.iter());
        let records = (0_u32..).zip(records);
        records.filter_map(|(slot, record)| Some((Slot(slot), record.as_ref()?)))
    }

    /// The vector of a slot, as it was given.
    pub(super) fn vector(&self, slot: Slot) -> Option<&Vector> {
        self.record(slot)?.get(self.position)?.as_vector()
    }

    /// Where a row is that the reader asked for, and its vector as it was given.
    pub(super) fn find(&self, id: &RecordId) -> Option<(Slot, &Vector)> {
        let slot = *self.named.get(id)?;
        Some((slot, self.vector(slot)?))
    }

    /// Name of the column.
    pub(super) fn name(&self) -> &common::Text {
        match &self.vectors {
            VectorsView::Dense(dense) => &dense.options.column,
            VectorsView::Sparse(options, _) => &options.column,
        }
    }
}

impl Column {
    /// Whether vectors, records, slots and index belong together.
    ///
    /// # Panics
    /// When they do not.
    #[cfg(shuttle)]
    pub(super) fn check(&self) {
        for (id, slot) in &self.slots {
            let record = self.records.get(slot.0 as usize).and_then(Option::as_ref);
            assert_eq!(record.map(Record::id).as_ref(), Some(id), "{slot:?}");
        }
        if let Vectors::Dense(dense) = &self.vectors {
            dense.check(self.slots.values().copied());
        }
    }

    pub(super) fn new(options: &ColumnOptions, position: usize, is_optional: bool) -> Result<Self> {
        Ok(Self {
            position,
            is_optional,
            vectors: match options {
                ColumnOptions::Dense(options) => Vectors::Dense(Dense::new(options)?),
                ColumnOptions::Sparse(options) => Vectors::Sparse(Sparse {
                    options: options.clone(),
                    index: SparseIndex::default(),
                    free: Vec::new(),
                    slots: 0,
                }),
            },
            records: Paged::new(RECORDS_PER_PAGE),
            slots: HashMap::default(),
            unsearchable: HashSet::default(),
        })
    }

    /// The column as it is now, for a reader who asks for these rows.
    pub(super) fn view<'a>(&self, ids: impl Iterator<Item = &'a RecordId>) -> ColumnView {
        let slot = |id: &RecordId| Some((id.clone(), *self.slots.get(id)?));
        ColumnView {
            vectors: match &self.vectors {
                Vectors::Dense(dense) => VectorsView::Dense(dense.view()),
                Vectors::Sparse(sparse) => {
                    VectorsView::Sparse(sparse.options.clone(), sparse.index.clone())
                }
            },
            records: self.records.clone(),
            position: self.position,
            len: self.slots.len(),
            named: ids.filter_map(slot).collect(),
        }
    }

    /// The dense vectors, if they are such.
    pub(super) fn dense(&self) -> Option<&Dense> {
        match &self.vectors {
            Vectors::Dense(dense) => Some(dense),
            Vectors::Sparse(_) => None,
        }
    }

    pub(super) fn dense_mut(&mut self) -> Option<&mut Dense> {
        match &mut self.vectors {
            Vectors::Dense(dense) => Some(dense),
            Vectors::Sparse(_) => None,
        }
    }

    /// Bytes of the index by part.
    pub(super) fn index_bytes(&self) -> Vec<(&'static str, usize)> {
        match &self.vectors {
            Vectors::Dense(dense) => dense.index().bytes(),
            Vectors::Sparse(sparse) => vec![("postings", sparse.index.bytes())],
        }
    }

    /// Rows with a vector that no search finds.
    pub(super) fn unsearchable(&self) -> impl Iterator<Item = &RecordId> {
        self.unsearchable.iter()
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
        let old = known.and_then(|known| known.get(self.position)?.as_vector());
        let new = value.and_then(Value::as_vector);
        let placed = match &mut self.vectors {
            Vectors::Dense(dense) => {
                let (metric, dimension) = (dense.options.metric, dense.options.dimension);
                new.and_then(|vector| metric.prepare(&floats(vector)?, dimension).ok())
                    .and_then(|vector| match slot {
                        // As it was saved.
                        Some(slot) if known.is_none() && dense.holds(slot, &vector) => Some(slot),
                        slot => dense.put(slot, &vector),
                    })
            }
            Vectors::Sparse(sparse) => new
                .filter(|vector| vector.is_finite())
                .and_then(|vector| sparse.put(slot, old, vector)),
        };
        match placed {
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

    /// Takes the vectors of a column as they were saved, with the ids they are of, before all rows of its table are put.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] if they do not fit together.
    pub(super) fn resume(&mut self, saved: SavedColumn) -> Result<()> {
        let wrong = || corrupt("the ids of the vectors are not those of the vectors");
        let SavedColumn { table, index, ids } = saved;
        let Vectors::Dense(dense) = &mut self.vectors else {
            return Err(wrong());
        };
        let slots: Vec<Slot> = table.rows().slots().collect();
        if slots.len() != ids.len() {
            return Err(wrong());
        }
        if dense.resume(table, index) {
            self.slots = ids.into_iter().zip(slots.iter().copied()).collect();
            if self.slots.len() != slots.len() {
                return Err(wrong());
            }
        }
        Ok(())
    }

    /// Forgets the rows that were saved and are no more, after all others were put.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the file turned out to be damaged.
    pub(super) fn resumed(&mut self) -> Result<()> {
        let is_gone = |slot: &Slot| {
            let record = self.records.get(slot.0 as usize);
            record.is_none_or(Option::is_none)
        };
        let slots = self.slots.iter();
        let gone: Vec<RecordId> = slots
            .filter(|(_, slot)| is_gone(slot))
            .map(|(id, _)| id.clone())
            .collect();
        for id in &gone {
            self.remove(id);
        }
        self.dense().map_or(Ok(()), Dense::intact)
    }

    /// The vectors with their index, and the ids of their slots in order, to be saved; none of sparse vectors, whose index is
    /// made of their records in little time, and none while the index does not know all.
    pub(super) fn resumable(&self) -> Option<(&VectorTable, &Index, Vec<RecordId>)> {
        let (table, index) = self.dense()?.resumable()?;
        let id = |slot: Slot| Some(self.records.get(slot.0 as usize)?.as_ref()?.id());
        let ids: Vec<RecordId> = table.rows().slots().filter_map(id).collect();
        (ids.len() == table.rows().len()).then_some((table, index, ids))
    }

    /// Forgets a row.
    pub(super) fn remove(&mut self, id: &RecordId) {
        self.unsearchable.remove(id);
        if let Some(slot) = self.slots.remove(id) {
            match &mut self.vectors {
                Vectors::Dense(dense) => dense.remove(slot),
                Vectors::Sparse(sparse) => {
                    let known = self.records.get(slot.0 as usize).and_then(Option::as_ref);
                    let old = known.and_then(|known| known.get(self.position)?.as_vector());
                    sparse.forget(slot, old);
                    sparse.free.push(slot);
                }
            }
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
}

impl Sparse {
    /// Puts a vector in a slot that has an old one, or in a new slot; `None` when there is none left.
    fn put(&mut self, slot: Option<Slot>, old: Option<&Vector>, new: &Vector) -> Option<Slot> {
        let Vector::Sparse {
            indices, values, ..
        } = new
        else {
            return None;
        };
        let slot = match slot.or_else(|| self.free.pop()) {
            Some(slot) => slot,
            None => {
                let slot = Slot(self.slots);
                self.slots = self.slots.checked_add(1)?;
                slot
            }
        };
        if old.is_some() {
            self.forget(slot, old);
        }
        self.index.insert(slot, indices, values);
        Some(slot)
    }

    fn forget(&mut self, slot: Slot, old: Option<&Vector>) {
        if let Some(Vector::Sparse { indices, .. }) = old {
            self.index.remove(slot, indices);
        }
    }
}
