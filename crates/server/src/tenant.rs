//! [`Tenant`]: a database of its own, and all that is served of it.

use std::fmt;
use std::sync::Arc;

use common::{Database, Text, Timestamp};
use syncdb::SyncServer;

use crate::audit::Audit;
use crate::auth::{ApiKeys, AuthOptions};

/// A database of its own, and all that is served of it. Tenants share the process, and nothing else.
pub struct Tenant {
    name: Text,
    sync: Arc<SyncServer>,
    api_keys: ApiKeys,
    audit: Audit,
}

impl Tenant {
    /// The name of the tenant where there is only one.
    pub const DEFAULT: &'static str = "default";

    /// The tenant whose rows this server brings to replicas.
    pub fn new(name: impl Into<Text>, sync: Arc<SyncServer>) -> Self {
        let db = sync.database();
        Self {
            name: name.into(),
            api_keys: ApiKeys::new(db.clone()),
            audit: Audit::new(db.clone(), AuthOptions::default().audit_entries_max),
            sync,
        }
    }

    /// Sets how many entries its audit keeps; the oldest make room. Default 100,000.
    #[must_use]
    pub fn audit_entries_max(mut self, entries: usize) -> Self {
        self.audit = Audit::new(self.database().clone(), entries);
        self
    }

    /// What tokens call it.
    pub const fn name(&self) -> &Text {
        &self.name
    }

    /// Its replicas.
    pub const fn sync(&self) -> &Arc<SyncServer> {
        &self.sync
    }

    /// The keys that it gave to programs.
    pub const fn api_keys(&self) -> &ApiKeys {
        &self.api_keys
    }

    /// What was administered.
    pub(crate) const fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The time, by its database's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.database().clock().now()
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
