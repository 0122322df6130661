//! [`Tenant`]: a database of its own, and all that is served of it.

use std::fmt;
use std::sync::Arc;

use common::{Database, Text};
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
