//! [`Follower`]: the index of one table, kept up to date from the change log.

use std::sync::Arc;

use common::versioning::{Change, ReaderId, TableId};
use common::{Collection, Database, ErrorKind, Record, RecordId, Result, Seq, Slot, Value};
use hashbrown::{HashMap, HashSet};
use parking_lot::RwLock;

use super::VectorOptions;
use crate::core::{Paged, VectorRows, VectorTable};
use crate::indexing::{Index, unwatched};

/// Records on one page of the table of records.
const RECORDS_PER_PAGE: usize = 512;
/// Changes read from the log at once.
const CHANGES_AT_ONCE: usize = 4_096;

/// Changes at once that make an index be built anew, if they are more than this share of its vectors as well.
const REBUILT_MIN: usize = if cfg!(shuttle) { 12 } else { 2_000 };
const REBUILT_SHARE: usize = 2;

/// The index of one table. It takes its lock before any of the database's; the database calls nothing here.
pub(super) struct Follower {
    database: Database,
    table: Collection,
    options: VectorOptions,
    /// Position of the vector column.
    column: usize,
    reader: ReaderId,
    state: RwLock<State>,
}

/// The table as of one commit: vectors and records by slot.
struct State {
    applied: Seq,
    vectors: VectorTable,
    index: Index,
    /// Whether the index waits to be built anew from the vectors, and is told of no change until then.
    is_stale: bool,
    records: Paged<Option<Record>>,
    slots: HashMap<RecordId, Slot, foldhash::fast::RandomState>,
    /// Rows without a vector that the metric can compare.
    unsearchable: HashSet<RecordId, foldhash::fast::RandomState>,
}

/// The table as of one commit, for one reader; later commits do not show in it.
pub(super) struct Indexed {
    pub(super) seq: Seq,
    pub(super) rows: VectorRows,
    pub(super) index: Index,
    pub(super) records: Paged<Option<Record>>,
    pub(super) unsearchable: usize,
}

impl Indexed {
    pub(super) fn record(&self, slot: Slot) -> Option<&Record> {
        self.records.get(slot.0 as usize)?.as_ref()
    }
}

impl Follower {
    pub(super) fn new(
        database: &Database,
        table: Collection,
        options: &VectorOptions,
        column: usize,
    ) -> Result<Self> {
        // Registered first, so that the log keeps what is committed while the table is read.
        let reader =
            database.register_reader(format!("vectors of {}", table.name()), database.seq());
        let follower = Self {
            database: database.clone(),
            table,
            column,
            reader,
            state: RwLock::new(State::new(options)?),
            options: options.clone(),
        };
        follower.rebuild(&mut follower.state.write())?;
        Ok(follower)
    }

    /// The table as of the last commit, in microseconds when the index is up to date.
    pub(super) fn indexed(&self) -> Result<Indexed> {
        self.follow()?;
        let state = self.state.read();
        Ok(Indexed {
            seq: state.applied,
            rows: state.vectors.rows().clone(),
            index: state.index.clone(),
            records: state.records.clone(),
            unsearchable: state.unsearchable.len(),
        })
    }

    /// Applies the commits that the index has not seen.
    pub(super) fn follow(&self) -> Result<()> {
        let target = self.database.seq();
        {
            let state = self.state.read();
            if state.applied >= target && !state.is_stale {
                return Ok(());
            }
        }
        let mut state = self.state.write();
        while state.applied < target {
            let changes = match self.database.changes_since(state.applied, CHANGES_AT_ONCE) {
                Ok(changes) => changes,
                // The log was pruned past the index: read the table again.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return self.rebuild(&mut state);
                }
                Err(error) => return Err(error),
            };
            // Commits come whole, so the last change's position is reached in full.
            state.applied = changes.last().map_or(target, |change| change.seq);
            let id = self.table.id();
            // Many at once are cheaper to index together.
            let many = state.vectors.rows().len() / REBUILT_SHARE;
            state.is_stale |= changes.len() > many.max(REBUILT_MIN);
            for change in &changes {
                self.apply(&mut state, id, change);
            }
        }
        state.index_all()?;
        self.database.acknowledge(self.reader, state.applied)
    }

    /// Whether vectors, records, slots and index belong together.
    ///
    /// # Panics
    /// When they do not.
    #[cfg(shuttle)]
    pub(super) fn check(&self) {
        let state = self.state.read();
        let rows = state.vectors.rows();
        assert!(!state.is_stale, "nothing waits to be indexed");
        assert_eq!(rows.len(), state.slots.len(), "one slot for each id");
        for (id, slot) in &state.slots {
            assert!(
                rows.contains(*slot),
                "{id} is at {slot:?}, where nothing is"
            );
            let record = state.records.get(slot.0 as usize).and_then(Option::as_ref);
            assert_eq!(record.map(Record::id).as_ref(), Some(id), "{slot:?}");
        }
        state.index.check(rows);
    }

    fn rebuild(&self, state: &mut State) -> Result<()> {
        let snapshot = self.database.snapshot();
        let mut fresh = State::new(&self.options)?;
        fresh.applied = snapshot.seq();
        fresh.is_stale = true;
        snapshot.view().scan(&self.table, &mut |records| {
            for record in records {
                self.put(&mut fresh, record);
            }
            std::ops::ControlFlow::Continue(())
        })?;
        fresh.index_all()?;
        *state = fresh;
        self.database.acknowledge(self.reader, state.applied)
    }

    fn apply(&self, state: &mut State, table: TableId, change: &Change) {
        if change.table != table {
            return;
        }
        match change.after() {
            Some(record) => self.put(state, record),
            None => state.remove(&change.id()),
        }
    }

    fn put(&self, state: &mut State, record: &Record) {
        let id = record.id();
        let slot = state.slots.get(&id).copied();
        let known = slot.and_then(|slot| state.records.get(slot.0 as usize)?.as_ref());
        if let (Some(slot), true) = (
            slot,
            known.is_some_and(|known| self.is_unmoved(known, record)),
        ) {
            state.records.set(slot.0 as usize, Some(record.clone()));
            return;
        }
        let (metric, dimension) = (self.options.metric, self.options.dimension);
        let prepared = record
            .get(self.column)
            .and_then(|value| value.as_vector()?.as_f32())
            .and_then(|vector| metric.prepare(vector, dimension).ok());
        let slot = match (prepared, slot) {
            (Some(vector), Some(slot)) => {
                state.forget(slot);
                state.vectors.replace(slot, &vector);
                state.take_in(slot);
                Some(slot)
            }
            (Some(vector), None) => {
                let slot = state.vectors.push(&vector);
                if let Some(slot) = slot {
                    state.take_in(slot);
                }
                slot
            }
            (None, _) => None,
        };
        match slot {
            Some(slot) => {
                state.unsearchable.remove(&id);
                state.records.set(slot.0 as usize, Some(record.clone()));
                state.slots.insert(id, slot);
            }
            None => {
                state.remove(&id);
                state.unsearchable.insert(id);
            }
        }
    }

    /// Whether both records share their vector, as versions do between which only metadata changed. Seen from
    /// the records alone, so that it also holds when the table is read afresh.
    fn is_unmoved(&self, a: &Record, b: &Record) -> bool {
        match (a.get(self.column), b.get(self.column)) {
            (Some(Value::Vector(a)), Some(Value::Vector(b))) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl State {
    fn new(options: &VectorOptions) -> Result<Self> {
        Ok(Self {
            applied: Seq::ZERO,
            vectors: VectorTable::new(options.dimension),
            index: Index::new(&options.index, options.metric)?,
            is_stale: false,
            records: Paged::new(RECORDS_PER_PAGE),
            slots: HashMap::default(),
            unsearchable: HashSet::default(),
        })
    }

    /// Indexes what the index was not told of, and builds it where the table has become large enough.
    fn index_all(&mut self) -> Result<()> {
        let rows = self.vectors.rows();
        if self.is_stale || self.index.is_due(rows) {
            self.index.rebuild(rows, &unwatched)?;
            self.is_stale = false;
        }
        Ok(())
    }

    /// Tells the index of a vector that came.
    fn take_in(&mut self, slot: Slot) {
        if !self.is_stale {
            self.index.insert(self.vectors.rows(), slot);
        }
    }

    /// Tells the index of a vector that goes.
    fn forget(&mut self, slot: Slot) {
        if !self.is_stale {
            self.index.remove(self.vectors.rows(), slot);
        }
    }

    fn remove(&mut self, id: &RecordId) {
        self.unsearchable.remove(id);
        if let Some(slot) = self.slots.remove(id) {
            self.forget(slot);
            self.vectors.remove(slot);
            self.records.set(slot.0 as usize, None);
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.database.unregister_reader(self.reader);
    }
}
