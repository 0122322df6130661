//! [`Follower`]: the columns of vectors of one table, kept up to date from the change log.

use std::sync::Arc;

use common::versioning::{Change, ReaderId, TableId};
use common::{Collection, Database, Error, ErrorKind, RecordId, Result, Seq};
use hashbrown::HashSet;
use parking_lot::RwLock;

use super::builder::{Builder, Watcher};
use super::column::{Column, ColumnOptions, ColumnView};
use super::dense::Dense;
use super::options::CollectionOptions;
use super::saved::SavedColumns;

/// Changes read from the log at once.
const CHANGES_AT_ONCE: usize = 4_096;

/// The vector columns of one table. It takes its lock before any of the database's; the database calls nothing here.
pub(super) struct Follower {
    database: Database,
    table: Collection,
    options: Vec<ColumnOptions>,
    /// Positions of the vector columns.
    positions: Vec<usize>,
    reader: ReaderId,
    state: Arc<RwLock<State>>,
    builder: Arc<Builder>,
}

/// The table as of one commit.
pub(super) struct State {
    applied: Seq,
    pub(super) columns: Vec<Column>,
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
        saved: SavedColumns,
    ) -> Result<Self> {
        let options = options.by_column();
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
            builder: Arc::default(),
            state: Arc::new(RwLock::new(state)),
        };
        let mut state = follower.state.write();
        if follower.resume(&mut state, saved).is_err() {
            // What was saved is of no use: all of it is in the rows as well.
            follower.read_again(&mut state)?;
        }
        drop(state);
        follower.build_if_due();
        follower.wait()?;
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
        for (part, more) in state.columns.iter().flat_map(Column::index_bytes) {
            match bytes.iter_mut().find(|(name, _)| *name == part) {
                Some((_, bytes)) => *bytes += more,
                None => bytes.push((part, more)),
            }
        }
        Ok(bytes)
    }

    /// Applies the commits that have not been seen. Indexes that are to be built anew are so by a thread of their
    /// own: nobody waits for that here.
    pub(super) fn follow(&self) -> Result<()> {
        let target = self.database.seq();
        if self.state.read().applied >= target {
            return Ok(());
        }
        self.catch_up(&mut self.state.write(), target)?;
        self.build_if_due();
        Ok(())
    }

    fn catch_up(&self, state: &mut State, target: Seq) -> Result<()> {
        while state.applied < target {
            let changes = match self.database.changes_since(state.applied, CHANGES_AT_ONCE) {
                Ok(changes) => changes,
                // The log was pruned past what was applied.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return self.read_again(state);
                }
                Err(error) => return Err(error),
            };
            // Commits come whole, so the last change's position is reached in full.
            state.applied = changes.last().map_or(target, |change| change.seq);
            let id = self.table.id();
            let own = changes.iter().filter(|change| change.table == id).count();
            let dense = state.columns.iter_mut().filter_map(Column::dense_mut);
            dense.for_each(|dense| dense.expect(own));
            for change in &changes {
                state.apply(id, change);
            }
        }
        self.database.acknowledge(self.reader, state.applied)
    }

    /// Whether all columns are in order.
    ///
    /// # Panics
    /// When one is not.
    #[cfg(shuttle)]
    pub(super) fn check(&self) {
        self.state.read().columns.iter().for_each(Column::check);
    }

    /// Takes what was saved, and brings it up to the table.
    fn resume(&self, state: &mut State, saved: SavedColumns) -> Result<()> {
        let mut resumed = State::new(&self.options, &self.positions)?;
        let mut numbers = Vec::new();
        for (number, (column, saved)) in resumed.columns.iter_mut().zip(saved).enumerate() {
            if let Some(saved) = saved {
                column.resume(saved)?;
                numbers.push(number);
            }
        }
        self.read(state, resumed)?;
        let resumed = numbers.iter();
        resumed
            .filter_map(|number| state.columns.get_mut(*number).map(Column::resumed))
            .collect()
    }

    /// Reads the whole table.
    fn read_again(&self, state: &mut State) -> Result<()> {
        self.read(state, State::new(&self.options, &self.positions)?)
    }

    /// Reads the whole table into columns that hold no other rows.
    fn read(&self, state: &mut State, mut fresh: State) -> Result<()> {
        let snapshot = self.database.snapshot();
        fresh.applied = snapshot.seq();
        snapshot.view().scan(&self.table, &mut |records| {
            for record in records {
                fresh
                    .columns
                    .iter_mut()
                    .for_each(|column| column.put(record));
            }
            std::ops::ControlFlow::Continue(())
        })?;
        *state = fresh;
        self.database.acknowledge(self.reader, state.applied)
    }

    /// Has the columns saved as of one commit.
    ///
    /// # Errors
    /// What `save` fails with.
    pub(super) fn with_columns<R>(&self, save: impl FnOnce(&[Column]) -> Result<R>) -> Result<R> {
        self.follow()?;
        // That a build failed is no reason not to save the rest.
        let _ = self.wait();
        save(&self.state.read().columns)
    }

    fn build_if_due(&self) {
        if self.state.read().is_due() {
            self.builder.start(&self.state);
        }
    }

    /// Waits until no index is being built.
    ///
    /// # Errors
    /// That of the last build, if it failed.
    pub(super) fn wait(&self) -> Result<()> {
        self.builder.wait()
    }

    /// Number of index builds begun so far.
    pub(super) fn builds(&self) -> usize {
        self.builder.builds()
    }

    pub(super) fn watch(&self, watcher: Watcher) {
        self.builder.watch(watcher);
    }
}

impl State {
    fn new(options: &[ColumnOptions], positions: &[usize]) -> Result<Self> {
        let columns = options
            .iter()
            .zip(positions)
            .map(|(options, position)| Column::new(options, *position, positions.len() > 1));
        Ok(Self {
            applied: Seq::ZERO,
            columns: columns.collect::<Result<_>>()?,
        })
    }

    pub(super) fn is_due(&self) -> bool {
        let mut dense = self.columns.iter().filter_map(Column::dense);
        dense.any(Dense::is_due)
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
        self.builder.stop();
        self.database.unregister_reader(self.reader);
    }
}
