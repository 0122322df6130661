//! [`Tenant`]: a database of its own, and all that is served of it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use common::{Database, Error, Result, Seq, Text, Timestamp};
use durable::{Backup, Backups, DurableDatabase};
use syncdb::{SyncServer, SyncServerOptions};
use tokio::sync::oneshot;

use crate::audit::Audit;
use crate::auth::{ApiKeys, AuthOptions};
use crate::call::Place;
use crate::lane::Lane;
use crate::serving::Serving;
use crate::waiting::Waiting;

/// The file of indexes in the folder of a database.
const INDEXES: &str = "vectors.indexes";
/// The folder of backups in the folder of a database, where no other is named.
const BACKUPS: &str = "backups";

/// A database of its own, and all that is served of it. Tenants share the process, and nothing else.
pub struct Tenant {
    name: Text,
    sync: Arc<SyncServer>,
    serving: Serving,
    api_keys: ApiKeys,
    audit: Audit,
    /// Where single writes take turns.
    lane: Lane,
    /// Where its database is kept; `None` for one in memory.
    durable: Option<Durable>,
}

/// A store, who waits for it, and where its backups are.
struct Durable {
    store: Arc<DurableDatabase>,
    waiting: Arc<Waiting>,
    backups: Backups,
}

impl Tenant {
    /// The name of the tenant where there is only one.
    pub const DEFAULT: &'static str = "default";

    /// The tenant whose rows this server brings to replicas.
    pub fn new(name: impl Into<Text>, sync: Arc<SyncServer>) -> Self {
        let db = sync.database();
        Self {
            name: name.into(),
            serving: Serving::new(db),
            api_keys: ApiKeys::new(db.clone()),
            audit: Audit::new(db.clone(), AuthOptions::default().audit_entries_max),
            lane: Lane::default(),
            durable: None,
            sync,
        }
    }

    /// The tenant whose database this store keeps: what it answers has been made durable first, and replicas are told where it was
    /// restored from a backup.
    ///
    /// # Errors
    /// As [`SyncServer::with`].
    pub fn durable(
        name: impl Into<Text>,
        store: Arc<DurableDatabase>,
        options: SyncServerOptions,
    ) -> Result<Self> {
        let options = SyncServerOptions {
            store: Some(store.id()),
            ..options
        };
        let sync = {
            // Serving other versions may rebuild tables.
            let _held = store.hold_checkpoints();
            SyncServer::with(store.database().clone(), options)?
        };
        Ok(Self::kept(name, store, Arc::new(sync)))
    }

    /// As [`Tenant::durable`] with a sync server that is there already: one of the database that this store keeps.
    pub fn kept(name: impl Into<Text>, store: Arc<DurableDatabase>, sync: Arc<SyncServer>) -> Self {
        let indexes = store.folder().join(INDEXES);
        let backups = Backups::new(store.folder().join(BACKUPS));
        let waiting = Arc::new(Waiting::default());
        let told = Arc::clone(&waiting);
        store.on_durable(move |safe| told.look(safe));
        Self {
            durable: Some(Durable {
                store,
                waiting,
                backups,
            }),
            ..Self::new(name, sync).with_indexes(indexes)
        }
    }

    /// The same tenant, whose indexes of vectors are read from this file when they are first asked for, and saved to it
    /// by [`Tenant::save_indexes`]: there need be no file yet. A durable tenant has one in the folder of its database.
    #[must_use]
    pub fn with_indexes(mut self, path: impl Into<PathBuf>) -> Self {
        self.serving = Serving::new(self.sync.database()).with_indexes(path.into());
        self
    }

    /// The same tenant, whose backups go into this folder. Default: `backups` in the folder of its database. Two tenants that share
    /// one would see each other's. Of a tenant in memory there are no backups.
    #[must_use]
    pub fn with_backups(mut self, folder: impl Into<PathBuf>) -> Self {
        if let Some(durable) = &mut self.durable {
            durable.backups = Backups::new(folder);
        }
        self
    }

    /// Makes a backup beside the writers.
    ///
    /// # Errors
    /// As [`Backups::create`]; [`common::ErrorKind::Unsupported`] for a tenant in memory.
    pub(crate) fn back_up(&self, name: &str) -> Result<Backup> {
        let durable = self.durable.as_ref().ok_or_else(in_memory)?;
        durable.backups.create(&durable.store, name)
    }

    /// Its backups.
    ///
    /// # Errors
    /// [`common::ErrorKind::Unsupported`] for a tenant in memory.
    pub(crate) fn backups(&self) -> Result<&Backups> {
        let durable = self.durable.as_ref().ok_or_else(in_memory)?;
        Ok(&durable.backups)
    }

    /// Saves the indexes of vectors as they are now, so that the next process need not build them: to be called after
    /// the rows are safe, and before the end. Does nothing where there are none.
    ///
    /// # Errors
    /// [`common::ErrorKind::Conflict`] while another process has the file, [`common::ErrorKind::Io`] when the disk fails.
    pub fn save_indexes(&self) -> Result<()> {
        self.serving.save_indexes()
    }

    /// What of it is kept for models.
    pub(crate) const fn serving(&self) -> &Serving {
        &self.serving
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

    /// Alters tables while no snapshot is made, which waits for one that is.
    pub(crate) fn alter<T>(&self, work: impl FnOnce(&Database) -> T) -> T {
        let store = self.durable.as_ref().map(|durable| &durable.store);
        let _held = store.map(|store| store.hold_checkpoints());
        work(self.database())
    }

    /// Does `work` at its place, and gives back what it gave with the last commit that it may have seen: once
    /// that is durable, or cannot become so. `None` when it ended in a panic. The work goes on when nobody waits for it any more.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        place: Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<(T, Seq)> {
        let (tell, told) = oneshot::channel();
        let tenant = Arc::clone(self);
        let job = move || {
            let done = work();
            let seen = tenant.database().seq();
            // Whoever asked is woken once, and may have gone.
            tenant.when_durable(seen, move || drop(tell.send((done, seen))));
        };
        let is_free = || !self.database().is_writing();
        if place.in_turn {
            self.lane.add(place.is_short, is_free, job);
        } else if place.is_short && is_free() {
            // The panic was written to the log.
            let _ = catch_unwind(AssertUnwindSafe(job));
        } else {
            tokio::task::spawn_blocking(job);
        }
        told.await.ok()
    }

    /// Does `next` once everything up to `seen` is durable, or cannot become so; at once for a database in memory.
    fn when_durable(&self, seen: Seq, next: impl FnOnce() + Send + 'static) {
        let Some(Durable { store, waiting, .. }) = &self.durable else {
            return next();
        };
        let is_done = || store.is_durable(seen) || store.failure().is_some();
        waiting.add(seen, is_done, Box::new(next));
    }

    /// Waits until everything up to `seen`, which a request may have seen, is durable. Every answer passes through here before it
    /// leaves.
    ///
    /// A database in memory has nothing to wait for.
    ///
    /// # Errors
    /// [`common::ErrorKind::Io`] and [`common::ErrorKind::Closed`] when it cannot become durable: the answer must not leave.
    pub(crate) async fn until_durable(&self, seen: Seq) -> Result<()> {
        let Some(Durable { store, .. }) = &self.durable else {
            return Ok(());
        };
        while !store.is_durable(seen) {
            if let Some(failure) = store.failure() {
                return Err(failure);
            }
            let (tell, told) = oneshot::channel::<()>();
            self.when_durable(seen, move || drop(tell));
            // Its end is the word: nothing is sent.
            let _ = told.await;
        }
        Ok(())
    }

    /// Its tables.
    pub fn database(&self) -> &Database {
        self.sync.database()
    }
}

fn in_memory() -> Error {
    Error::unsupported(
        "the database is in memory, and has no backups; serve a folder (`tandem serve --data FOLDER`)",
    )
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
