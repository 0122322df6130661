//! [`Follower`]: the index of one table, kept up to date from the change log.

use std::sync::Arc;

use common::versioning::{Change, ReaderId, TableId};
use common::{Collection, Database, ErrorKind, Record, RecordId, Result, Seq, Slot, Value};
use hashbrown::{HashMap, HashSet};
use parking_lot::RwLock;

use crate::core::distance::Metric;
use crate::core::{Paged, VectorRows, VectorTable};

/// Records on one page of the table of records.
const RECORDS_PER_PAGE: usize = 512;
/// Changes read from the log at once.
const CHANGES_AT_ONCE: usize = 4_096;

/// The index of one table. It takes its lock before any of the database's; the database calls nothing here.
pub(super) struct Follower {
    database: Database,
    table: Collection,
    metric: Metric,
    /// Position of the vector column.
    column: usize,
    reader: ReaderId,
    state: RwLock<State>,
}

/// The table as of one commit: vectors and records by slot.
struct State {
    applied: Seq,
    vectors: VectorTable,
    records: Paged<Option<Record>>,
    slots: HashMap<RecordId, Slot, foldhash::fast::RandomState>,
    /// Rows without a vector that the metric can compare.
    unsearchable: HashSet<RecordId, foldhash::fast::RandomState>,
}

/// The table as of one commit, for one reader; later commits do not show in it.
pub(super) struct Indexed {
    pub(super) seq: Seq,
    pub(super) rows: VectorRows,
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
        metric: Metric,
        dimension: usize,
        column: usize,
    ) -> Result<Self> {
        // Registered first, so that the log keeps what is committed while the table is read.
        let reader =
            database.register_reader(format!("vectors of {}", table.name()), database.seq());
        let follower = Self {
            database: database.clone(),
            table,
            metric,
            column,
            reader,
            state: RwLock::new(State::new(dimension)),
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
            records: state.records.clone(),
            unsearchable: state.unsearchable.len(),
        })
    }

    /// Applies the commits that the index has not seen.
    pub(super) fn follow(&self) -> Result<()> {
        let target = self.database.seq();
        if self.state.read().applied >= target {
            return Ok(());
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
            for change in &changes {
                self.apply(&mut state, id, change);
            }
        }
        self.database.acknowledge(self.reader, state.applied)
    }

    fn rebuild(&self, state: &mut State) -> Result<()> {
        let snapshot = self.database.snapshot();
        let mut fresh = State::new(state.vectors.rows().dimension());
        fresh.applied = snapshot.seq();
        snapshot.view().scan(&self.table, &mut |records| {
            for record in records {
                self.put(&mut fresh, record);
            }
            std::ops::ControlFlow::Continue(())
        })?;
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
        let dimension = state.vectors.rows().dimension();
        let prepared = record
            .get(self.column)
            .and_then(|value| value.as_vector()?.as_f32())
            .and_then(|vector| self.metric.prepare(vector, dimension).ok());
        let slot = match (prepared, slot) {
            (Some(vector), Some(slot)) => {
                state.vectors.replace(slot, &vector);
                Some(slot)
            }
            (Some(vector), None) => state.vectors.push(&vector),
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
    fn new(dimension: usize) -> Self {
        Self {
            applied: Seq::ZERO,
            vectors: VectorTable::new(dimension),
            records: Paged::new(RECORDS_PER_PAGE),
            slots: HashMap::default(),
            unsearchable: HashSet::default(),
        }
    }

    fn remove(&mut self, id: &RecordId) {
        self.unsearchable.remove(id);
        if let Some(slot) = self.slots.remove(id) {
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
