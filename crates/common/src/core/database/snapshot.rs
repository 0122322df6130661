//! [`Snapshot`]: the state at one commit, for as long as it is held.

use super::collection::Collection;
use super::database::Database;
use super::view::View;
use crate::core::base::{Record, RecordId, Seq};
use crate::error::Result;

/// The state of all tables at one commit; writes go on and do not change it.
///
/// Opening one costs less than a microsecond and copies nothing. Records that are replaced while it is open
/// stay in memory until it is dropped.
pub struct Snapshot {
    db: Database,
    seq: Seq,
}

impl Snapshot {
    pub(super) fn new(db: &Database) -> Self {
        let mut open = db.inner.open.lock();
        // Read under the lock: a commit in between could release what this position still needs.
        let seq = db.seq();
        *open.entry(seq).or_insert(0) += 1;
        drop(open);
        Self {
            db: db.clone(),
            seq,
        }
    }

    /// Position of the last commit that is visible.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// What a query reads.
    pub fn view(&self) -> View<'_> {
        View::of_snapshot(&self.db, self.seq)
    }

    /// The record of this id.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn get(&self, collection: &Collection, id: impl Into<RecordId>) -> Result<Option<Record>> {
        self.view().get(collection, &id.into())
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let mut open = self.db.inner.open.lock();
        if let Some(count) = open.get_mut(&self.seq) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.seq);
            }
        }
        drop(open);
        self.db.inner.release_history();
    }
}
