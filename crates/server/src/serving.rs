//! [`Serving`]: the vector collections, the feature store and the experiments of a tenant, opened when they are asked for.

use std::path::PathBuf;
use std::time::Duration;

use common::{Database, ErrorKind, Result, Seq};
use parking_lot::Mutex;
use vectordb::VectorDb;
use vectordb::experiment::ExperimentLog;
use vectordb::feature::FeatureStore;

use crate::app::App;

/// How often opening the feature store is tried, and how long it waits in between.
const OPEN_TRIES: u32 = 100;
const OPEN_PAUSE: Duration = Duration::from_millis(20);

/// What of a tenant is kept for models rather than for replicas.
///
/// Each part makes tables of its own in the tenant's database, so none is opened before somebody has a use for it.
pub(crate) struct Serving {
    database: Database,
    /// Where the indexes of vectors are saved, if they are.
    indexes: Option<PathBuf>,
    vectors: Mutex<Option<VectorDb>>,
    features: Mutex<Option<FeatureStore>>,
    experiments: Mutex<Option<ExperimentLog>>,
    /// The commit as of which indexes were saved last.
    saved: Mutex<Option<Seq>>,
}

impl Serving {
    pub(crate) fn new(database: &Database) -> Self {
        Self {
            database: database.clone(),
            indexes: None,
            vectors: Mutex::default(),
            features: Mutex::default(),
            experiments: Mutex::default(),
            saved: Mutex::default(),
        }
    }

    /// The same with indexes that are read from a file, and saved to it by [`Serving::save_indexes`].
    pub(crate) fn with_indexes(mut self, path: PathBuf) -> Self {
        self.indexes = Some(path);
        self
    }

    /// The vector collections.
    pub(crate) fn vectors(&self) -> Result<VectorDb> {
        opened(&self.vectors, || {
            self.keep_apart(VectorDb::TABLE)?;
            match &self.indexes {
                Some(path) => VectorDb::open_with_indexes(&self.database, path),
                None => VectorDb::open_in(&self.database),
            }
        })
    }

    /// The feature store.
    pub(crate) fn features(&self) -> Result<FeatureStore> {
        opened(&self.features, || {
            for table in FeatureStore::TABLES {
                self.keep_apart(table)?;
            }
            let mut tries = OPEN_TRIES;
            loop {
                match FeatureStore::open(&self.database) {
                    // The events of views move to where reads want them, for which no snapshot may be open.
                    Err(error) if error.kind() == ErrorKind::Conflict && tries > 0 => {
                        tries -= 1;
                        std::thread::sleep(OPEN_PAUSE);
                    }
                    opened => return opened,
                }
            }
        })
    }

    /// Experiments, and what is known of them.
    pub(crate) fn experiments(&self) -> Result<ExperimentLog> {
        opened(&self.experiments, || {
            for table in ExperimentLog::TABLES {
                self.keep_apart(table)?;
            }
            ExperimentLog::open(&self.database)
        })
    }

    /// Opens what the database has of them, which may take a while, so that no request has to wait for it.
    fn open_known(&self) {
        let is_there = |table: &str| self.database.collection(table).is_ok();
        // What cannot be opened says so to whoever asks for it.
        if is_there(VectorDb::TABLE) {
            let _ = self.vectors();
        }
        if FeatureStore::TABLES.iter().all(|table| is_there(table)) {
            let _ = self.features();
        }
    }

    /// Has a table that is about to be made be none of the replicas'. One that is there is left as it is: who made it
    /// has decided.
    pub(crate) fn keep_apart(&self, table: &str) -> Result<()> {
        if self.database.collection(table).is_ok() {
            return Ok(());
        }
        syncdb::keep_apart(&self.database, table, true)
    }

    /// A table that was kept apart is gone: another of its name may be anybody's.
    pub(crate) fn let_go(&self, table: &str) -> Result<()> {
        if self.database.collection(table).is_ok() {
            return Ok(());
        }
        syncdb::keep_apart(&self.database, table, false)
    }

    /// Saves the indexes of vectors as they are now, if there are any that changed, and a file for them.
    ///
    /// # Errors
    /// As [`VectorDb::save_indexes`].
    pub(crate) fn save_indexes(&self) -> Result<()> {
        let open = self.vectors.lock().clone();
        let (Some(vectors), Some(path)) = (open, &self.indexes) else {
            return Ok(());
        };
        let seq = self.database.seq();
        let mut saved = self.saved.lock();
        if *saved != Some(seq) {
            vectors.save_indexes(path)?;
            *saved = Some(seq);
        }
        Ok(())
    }
}

/// Opens what all tenants have, then saves their indexes again and again.
pub(crate) async fn open_and_save_indexes(app: App, every: Duration) {
    for tenant in app.tenants() {
        let _ = tokio::task::spawn_blocking(move || tenant.serving().open_known()).await;
    }
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first one comes at once, when there is nothing new.
    interval.tick().await;
    loop {
        interval.tick().await;
        save_indexes(&app).await;
    }
}

/// Saves the indexes of all tenants.
pub(crate) async fn save_indexes(app: &App) {
    for tenant in app.tenants() {
        // What is not saved is built again from the rows, which are kept elsewhere.
        let saved = tokio::task::spawn_blocking(move || tenant.save_indexes()).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(%error, "the indexes of vectors were not saved");
        }
    }
}

/// What is there, opened first if it is not.
fn opened<T: Clone>(place: &Mutex<Option<T>>, open: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut place = place.lock();
    if let Some(open) = &*place {
        return Ok(open.clone());
    }
    let fresh = open()?;
    *place = Some(fresh.clone());
    Ok(fresh)
}
