//! [`Subject`]: what a store must do to be measured.

use std::ops::Range;
use std::time::Duration;

use super::row::{Digest, Row};
use crate::Result;

/// What the primary key is, and which indexes the table has beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// None.
    Plain,
    /// `region` by equality and `created` by order.
    Indexed,
    /// The same, and the primary key is the row's [UUID](crate::store::uuid_of) instead of its number.
    Uuid,
}

impl Layout {
    /// Whether the table has its secondary indexes.
    pub const fn is_indexed(self) -> bool {
        matches!(self, Self::Indexed | Self::Uuid)
    }
}

/// A new score for the row of this key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The row's key.
    pub id: i64,
    /// Its new score.
    pub score: f64,
}

/// One write among several.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Adds a row.
    Insert(Row),
    /// Changes a score.
    Update(Change),
    /// Removes the row of this key.
    Delete(i64),
}

/// A store under measurement, used by one thread. Methods take a whole batch, so that the way into a store
/// costs nothing per operation.
///
/// Rows come in by reference in every store: copying them in is part of storing them. A row that is read is
/// one the caller could keep, so copying or sharing it is part of reading.
pub trait Subject {
    /// Fills the empty store in the fastest way it has; not measured.
    ///
    /// # Errors
    /// Whatever the store reports.
    fn load(&mut self, rows: &[Row]) -> Result<()>;

    /// Adds rows, each with a commit of its own.
    ///
    /// # Errors
    /// Whatever the store reports, a key that exists included.
    fn insert(&mut self, rows: &[Row]) -> Result<()>;

    /// Reads rows by key, all columns of each.
    ///
    /// # Errors
    /// Whatever the store reports.
    fn get(&mut self, ids: &[i64]) -> Result<Digest>;

    /// Changes scores, each with a commit of its own.
    ///
    /// # Errors
    /// Whatever the store reports, a missing key included.
    fn update(&mut self, changes: &[Change]) -> Result<()>;

    /// Removes rows, each with a commit of its own.
    ///
    /// # Errors
    /// Whatever the store reports, a missing key included.
    fn delete(&mut self, ids: &[i64]) -> Result<()>;

    /// Reads all rows of each region through the index, one query for each.
    ///
    /// # Errors
    /// Whatever the store reports.
    fn by_region(&mut self, regions: &[String]) -> Result<Digest>;

    /// Reads all rows created in each range through the index in order, one query for each.
    ///
    /// # Errors
    /// Whatever the store reports.
    fn by_created(&mut self, ranges: &[Range<i64>]) -> Result<Digest>;

    /// Applies operations, each with a commit of its own.
    ///
    /// # Errors
    /// Whatever the store reports.
    fn apply(&mut self, operations: &[Operation]) -> Result<()>;

    /// Applies each group of operations in one transaction with one commit.
    ///
    /// # Errors
    /// Whatever the store reports.
    fn transact(&mut self, groups: &[Vec<Operation>]) -> Result<()>;

    /// Adds the rows in one transaction, abandons it, and returns how long the abandoning took; `None` for
    /// a store that cannot.
    ///
    /// # Errors
    /// Whatever the store reports.
    fn roll_back(&mut self, rows: &[Row]) -> Result<Option<Duration>>;

    /// Opens a consistent view for each key and reads the row from it; `None` for a store that cannot.
    ///
    /// # Errors
    /// Whatever the store reports.
    fn snapshot(&mut self, ids: &[i64]) -> Result<Option<Digest>>;

    /// Bytes that the store holds, if they are not on this program's own heap.
    ///
    /// # Errors
    /// Whatever the store reports.
    fn foreign_bytes(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

/// A store that several threads read while one writes. Methods take a batch; each operation sees the
/// newest commits, except that a store with read transactions may use one for the batch.
pub trait Shared: Send + Sync {
    /// Reads rows by key, all columns of each.
    ///
    /// # Errors
    /// Whatever the store reports.
    fn get(&self, ids: &[i64]) -> Result<Digest>;

    /// Changes scores, each with a commit of its own.
    ///
    /// # Errors
    /// Whatever the store reports.
    fn update(&self, changes: &[Change]) -> Result<()>;
}

/// Opens a store with these rows for several threads.
pub type Share = fn(&[Row]) -> Result<Box<dyn Shared>>;

/// A store that takes part, and how to open it empty.
#[derive(Debug, Clone, Copy)]
pub struct Contender {
    /// Name in reports.
    pub name: &'static str,
    /// Opens an empty store for one thread.
    pub open: fn(Layout) -> Result<Box<dyn Subject>>,
    /// Opens a store with these rows and no secondary index for several threads.
    pub share: Option<Share>,
    /// Names of the only cases in which it takes part; empty for all.
    pub only: &'static [&'static str],
}

impl Contender {
    /// Whether it takes part in this case.
    pub fn takes_part(&self, case: &str) -> bool {
        self.only.is_empty() || self.only.contains(&case)
    }
}
