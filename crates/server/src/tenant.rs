//! [`Tenant`]: a database of its own, and all that is served of it.

use std::fmt;
use std::sync::Arc;

use common::{Database, Result, Text};
use syncdb::SyncServer;

/// A database of its own, and all that is served of it. Tenants share the process, and nothing else.
pub struct Tenant {
    name: Text,
    sync: Arc<SyncServer>,
}

impl Tenant {
    /// The name of the tenant where there is only one.
    pub const DEFAULT: &'static str = "default";

    /// The tenant whose rows this server brings to replicas.
    pub fn new(name: impl Into<Text>, sync: Arc<SyncServer>) -> Self {
        Self {
            name: name.into(),
            sync,
        }
    }

    /// What tokens call it.
    pub const fn name(&self) -> &Text {
        &self.name
    }

    /// Its replicas.
    pub const fn sync(&self) -> &Arc<SyncServer> {
        &self.sync
    }

    /// Waits until everything that a request may have seen is durable. Every answer passes through here before it leaves.
    ///
    /// A database in memory has nothing to wait for.
    ///
    /// # Errors
    /// [`common::ErrorKind::Io`] and [`common::ErrorKind::Closed`] when it cannot become durable: the answer must not leave.
    #[expect(
        clippy::unused_async,
        clippy::unnecessary_wraps,
        reason = "a database on a disk waits, and may fail"
    )]
    pub(crate) async fn settle(&self) -> Result<()> {
        Ok(())
    }

    /// Its tables.
    pub fn database(&self) -> &Database {
        self.sync.database()
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
