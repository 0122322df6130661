//! [`Follower`]: the vector columns of one table, kept up to date from the change log.

use std::sync::Arc;

use common::versioning::{Change, ReaderId, TableId};
use common::{Collection, Database, Error, ErrorKind, RecordId, Result, Seq};
use hashbrown::HashSet;
use parking_lot::RwLock;

use super::column::{Column, ColumnView};
use super::options::{CollectionOptions, VectorOptions};

/// Changes read from the log at once.
const CHANGES_AT_ONCE: usize = 4_096;

/// Changes at once that make an index be built anew, if they are more than this share of its vectors as well.
const REBUILT_MIN: usize = 2_000;
const REBUILT_SHARE: usize = 2;

/// The vector columns of one table. It takes its lock before any of the database's; the database calls nothing here.
pub(super) struct Follower {
    database: Database,
    table: Collection,
    options: Vec<Arc<VectorOptions>>,
    /// Positions of the vector columns.
    positions: Vec<usize>,
    reader: ReaderId,
    state: RwLock<State>,
}

/// The table as of one commit.
struct State {
    applied: Seq,
    columns: Vec<Column>,
}

/// The table as of one commit, for one reader; later commits do not show in it.
pub(super) struct Indexed {
    pub(super) seq: Seq,
    pub(super) columns: Vec<ColumnView>,
}

impl Indexed {
    /// The column of this number.
    pub(super) fn column(&self, number: usize) -> Result<&ColumnView> {
        let column = self.columns.get(number);
        column.ok_or_else(|| Error::not_found("the collection has no such column of vectors"))
    }
}

impl Follower {
    pub(super) fn new(
        database: &Database,
        table: Collection,
        options: &CollectionOptions,
        positions: Vec<usize>,
    ) -> Result<Self> {
        let options: Vec<_> = options.vectors.iter().cloned().map(Arc::new).collect();
        let state = State::new(&options, &positions)?;
        // Registered first, so that the log keeps what is committed while the table is read.
        let reader =
            database.register_reader(format!("vectors of {}", table.name()), database.seq());
        let follower = Self {
            database: database.clone(),
            table,
            options,
            positions,
            reader,
            state: RwLock::new(state),
        };
        follower.rebuild(&mut follower.state.write())?;
        Ok(follower)
    }

    /// The table as of the last commit, for a reader who asks for some rows by number of column and id. In
    /// microseconds when the indexes are up to date.
    pub(super) fn indexed(&self, rows: &[(usize, &RecordId)]) -> Result<Indexed> {
        self.follow()?;
        let state = self.state.read();
        let columns = state.columns.iter().enumerate().map(|(at, column)| {
            let rows = rows.iter().filter(|(column, _)| *column == at);
            column.view(rows.map(|(_, id)| *id))
        });
        Ok(Indexed {
            seq: state.applied,
            columns: columns.collect(),
        })
    }

    /// Number of rows with a vector that no search finds.
    pub(super) fn unsearchable(&self) -> Result<usize> {
        self.follow()?;
        let state = self.state.read();
        let ids: HashSet<_> = state
            .columns
            .iter()
            .flat_map(Column::unsearchable)
            .collect();
        Ok(ids.len())
    }

    /// Bytes of the indexes by part, of all columns together.
    pub(super) fn index_bytes(&self) -> Result<Vec<(&'static str, usize)>> {
        self.follow()?;
        let state = self.state.read();
        let mut bytes: Vec<(&'static str, usize)> = Vec::new();
        for (part, more) in state
            .columns
            .iter()
            .flat_map(|column| column.index().bytes())
        {
            match bytes.iter_mut().find(|(name, _)| *name == part) {
                Some((_, bytes)) => *bytes += more,
                None => bytes.push((part, more)),
            }
        }
        Ok(bytes)
    }

    /// Applies the commits that the indexes have not seen.
    pub(super) fn follow(&self) -> Result<()> {
        let target = self.database.seq();
        {
            let state = self.state.read();
            if state.applied >= target && !state.columns.iter().any(Column::is_stale) {
                return Ok(());
            }
        }
        let mut state = self.state.write();
        while state.applied < target {
            let changes = match self.database.changes_since(state.applied, CHANGES_AT_ONCE) {
                Ok(changes) => changes,
                // The log was pruned past the indexes: read the table again.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return self.rebuild(&mut state);
                }
                Err(error) => return Err(error),
            };
            // Commits come whole, so the last change's position is reached in full.
            state.applied = changes.last().map_or(target, |change| change.seq);
            for column in &mut state.columns {
                // Many at once are cheaper to index together.
                if changes.len() > (column.len() / REBUILT_SHARE).max(REBUILT_MIN) {
                    column.set_stale();
                }
            }
            let id = self.table.id();
            for change in &changes {
                state.apply(id, change);
            }
        }
        state.index_all()?;
        self.database.acknowledge(self.reader, state.applied)
    }

    fn rebuild(&self, state: &mut State) -> Result<()> {
        let snapshot = self.database.snapshot();
        let mut fresh = State::new(&self.options, &self.positions)?;
        fresh.applied = snapshot.seq();
        fresh.columns.iter_mut().for_each(Column::set_stale);
        snapshot.view().scan(&self.table, &mut |records| {
            for record in records {
                fresh
                    .columns
                    .iter_mut()
                    .for_each(|column| column.put(record));
            }
            std::ops::ControlFlow::Continue(())
        })?;
        fresh.index_all()?;
        *state = fresh;
        self.database.acknowledge(self.reader, state.applied)
    }
}

impl State {
    fn new(options: &[Arc<VectorOptions>], positions: &[usize]) -> Result<Self> {
        let columns = options
            .iter()
            .zip(positions)
            .map(|(options, position)| Column::new(options, *position, positions.len() > 1));
        Ok(Self {
            applied: Seq::ZERO,
            columns: columns.collect::<Result<_>>()?,
        })
    }

    fn index_all(&mut self) -> Result<()> {
        self.columns.iter_mut().try_for_each(Column::index_all)
    }

    fn apply(&mut self, table: TableId, change: &Change) {
        if change.table != table {
            return;
        }
        for column in &mut self.columns {
            match change.after() {
                Some(record) => column.put(record),
                None => column.remove(&change.id()),
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.database.unregister_reader(self.reader);
    }
}
