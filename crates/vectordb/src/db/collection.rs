//! [`VectorCollection`]: vectors with metadata.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::schema::Schema;
use common::{Collection, Database, Error, Record, RecordId, Result};

use super::column::Column;
use super::follower::{Follower, Indexed};
use super::options::CollectionOptions;
use super::saved::SavedColumns;
use crate::core::floats;

/// Vectors with metadata. A handle; clones share the collection.
///
/// Searches run while others write: neither waits for the other, and each search sees the state of one commit.
#[derive(Clone)]
pub struct VectorCollection {
    inner: Arc<Inner>,
}

struct Inner {
    table: Collection,
    options: CollectionOptions,
    follower: Follower,
    is_closed: AtomicBool,
}

impl VectorCollection {
    pub(super) fn open(
        database: &Database,
        table: Collection,
        options: CollectionOptions,
        positions: Vec<usize>,
        saved: SavedColumns,
    ) -> Result<Self> {
        let follower = Follower::new(database, table.clone(), &options, positions, saved)?;
        Ok(Self {
            inner: Arc::new(Inner {
                table,
                options,
                follower,
                is_closed: AtomicBool::new(false),
            }),
        })
    }

    pub(super) fn close(&self) {
        self.inner.is_closed.store(true, Ordering::Release);
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.inner.is_closed.load(Ordering::Acquire) {
            return Err(Error::not_found(format!(
                "collection `{}` was dropped",
                self.name()
            )));
        }
        Ok(())
    }

    /// Name of the collection.
    pub fn name(&self) -> &str {
        self.inner.table.name()
    }

    /// Number of times that an index was built from its vectors since the collection was opened, builds that go on
    /// included: none where indexes came from a file and nothing much was written.
    pub fn builds(&self) -> usize {
        self.inner.follower.builds()
    }

    /// Takes in what was committed through a transaction, as the next search would, and begins the builds of indexes
    /// that are due. Does not wait for them.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn catch_up(&self) -> Result<()> {
        self.follow()
    }

    /// Takes in what was committed.
    pub(super) fn follow(&self) -> Result<()> {
        self.inner.follower.follow()
    }

    /// Takes in what was committed, and waits for the indexes that are built anew for it: who brings many rows
    /// at once is to bring no more before.
    pub(super) fn follow_bulk(&self) -> Result<()> {
        self.inner.follower.follow()?;
        // The rows are committed and found whether or not an index could be built.
        let _ = self.inner.follower.wait();
        Ok(())
    }

    /// Waits until no index is being built. Searches need not wait: until then rows that an index does not know are
    /// compared beside it.
    ///
    /// # Errors
    /// That of the last build, if it failed; searches then compare rows beside an older index, or all rows.
    pub fn wait_for_indexes(&self) -> Result<()> {
        self.inner.follower.follow()?;
        self.inner.follower.wait()
    }

    /// Has builds of indexes tell how far they are: from then on `watcher` is called from time to time, by the threads
    /// that build, with the number of vectors done and of all. The build goes on when it returns.
    pub fn watch_builds(&self, watcher: impl Fn(usize, usize) + Send + Sync + 'static) {
        self.inner.follower.watch(Arc::new(watcher));
    }

    /// Has its columns of vectors saved.
    ///
    /// # Errors
    /// What `save` fails with.
    pub(super) fn with_columns<R>(&self, save: impl FnOnce(&[Column]) -> Result<R>) -> Result<R> {
        self.inner.follower.with_columns(save)
    }

    /// What searches read.
    pub(super) fn indexed(&self, rows: &[(usize, &RecordId)]) -> Result<Indexed> {
        self.inner.follower.indexed(rows)
    }

    /// What its vectors are.
    pub fn options(&self) -> &CollectionOptions {
        &self.inner.options
    }

    /// Columns of the collection: the id, the vectors, the metadata.
    pub fn schema(&self) -> Arc<Schema> {
        self.inner.table.schema()
    }

    /// Bytes that the indexes take beside the vectors, by part; empty where rows are scanned.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn index_bytes(&self) -> Result<Vec<(&'static str, usize)>> {
        self.inner.follower.index_bytes()
    }

    /// Whether the index and what is beside it belong together, now that nobody writes.
    ///
    /// # Panics
    /// When they do not.
    #[cfg(shuttle)]
    pub fn check_index(&self) {
        self.inner.follower.check();
    }

    /// The table underneath, for queries, transactions and indexes on metadata.
    pub fn table(&self) -> &Collection {
        &self.inner.table
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.inner.table.len()
    }

    /// Number of rows that no search finds, for they came through the table, as synced rows do, with a vector
    /// that the metric cannot compare: none, a zero one under [`Metric::Cosine`](crate::Metric::Cosine), one that is too large.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn unsearchable(&self) -> Result<usize> {
        self.inner.follower.unsearchable()
    }

    /// The row of this id, vectors included.
    pub fn get(&self, id: impl Into<RecordId>) -> Option<Record> {
        self.inner.table.get(id)
    }

    /// The dense vector of this id, as it was given, of a collection that has one column of them; where bits are
    /// compared, zeros and ones.
    pub fn vector(&self, id: impl Into<RecordId>) -> Option<Vec<f32>> {
        let options = self.inner.options.vectors_of(None).ok()?;
        self.vector_of(id, &options.column)
    }

    /// The dense vector of this id and column, as it was given; `None` also if the row lacks it.
    pub fn vector_of(&self, id: impl Into<RecordId>, column: &str) -> Option<Vec<f32>> {
        let at = self.schema().position_of(column).ok()?;
        let record = self.get(id)?;
        let vector = floats(record.get(at)?.as_vector()?)?;
        Some(vector.into_owned())
    }
}

impl fmt::Debug for VectorCollection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} rows", self.name(), self.count())?;
        for options in &self.inner.options.sparse {
            write!(f, ", {}: sparse", options.column)?;
        }
        for options in &self.inner.options.vectors {
            let (dimension, metric) = (options.dimension, options.metric);
            write!(f, ", {}: {dimension} dimensions, {metric}", options.column)?;
        }
        Ok(())
    }
}
