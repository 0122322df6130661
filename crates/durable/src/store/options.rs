//! [`DurableOptions`]: when a commit counts as safe, and how much log gathers before a snapshot.

use std::path::PathBuf;
use std::time::Duration;

use common::database::DatabaseOptions;

/// When a commit is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// [`crate::DurableDatabase::wait`] returns when the disk has confirmed the commit; commits that wait at the same
    /// time share one sync. A power cut loses nothing that was waited for.
    #[default]
    EveryCommit,
    /// The disk is synced this often; `wait` returns when the operating system has the commit. A killed process loses
    /// nothing that was waited for, a power cut up to this much time.
    Every(Duration),
    /// The disk is synced at snapshots and at the end only; `wait` as with [`Durability::Every`].
    None,
}

/// How a durable database is kept.
#[derive(Clone)]
pub struct DurableOptions {
    /// When a commit is on the disk. Default [`Durability::EveryCommit`].
    pub durability: Durability,
    /// Bytes of log after which a snapshot is made beside the writers; it is also made no sooner than the log has half
    /// the size of the last snapshot. Default 64 MiB.
    pub checkpoint_bytes: u64,
    /// A folder, which may be on another disk, that gets a copy of each segment of the log before it is removed, so that [`crate::restore`] can
    /// go to any commit since a backup. Default none.
    pub archive: Option<PathBuf>,
    /// How the database in memory is set up.
    pub database: DatabaseOptions,
}

impl Default for DurableOptions {
    fn default() -> Self {
        Self {
            durability: Durability::EveryCommit,
            checkpoint_bytes: 64 << 20,
            archive: None,
            database: DatabaseOptions::default(),
        }
    }
}

impl DurableOptions {
    /// Sets [`DurableOptions::durability`].
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets [`DurableOptions::checkpoint_bytes`].
    #[must_use]
    pub const fn checkpoint_bytes(mut self, bytes: u64) -> Self {
        self.checkpoint_bytes = bytes;
        self
    }

    /// Sets [`DurableOptions::archive`].
    #[must_use]
    pub fn archive(mut self, folder: impl Into<PathBuf>) -> Self {
        self.archive = Some(folder.into());
        self
    }

    /// Sets [`DurableOptions::database`].
    #[must_use]
    pub fn database(mut self, options: DatabaseOptions) -> Self {
        self.database = options;
        self
    }
}
