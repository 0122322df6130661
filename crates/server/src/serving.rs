//! [`Serving`]: the vector collections, the feature store and the experiments of a tenant, opened when they are asked for.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{Database, Result};
use vectordb::VectorDb;
use vectordb::experiment::ExperimentLog;
use vectordb::feature::FeatureStore;

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
}

impl Serving {
    pub(crate) fn new(database: &Database) -> Self {
        Self {
            database: database.clone(),
            indexes: None,
            vectors: Mutex::default(),
            features: Mutex::default(),
            experiments: Mutex::default(),
        }
    }

    /// The same with indexes that are read from a file, and saved to it by [`Serving::save_indexes`].
    pub(crate) fn with_indexes(mut self, path: PathBuf) -> Self {
        self.indexes = Some(path);
        self
    }

    /// The vector collections.
    pub(crate) fn vectors(&self) -> Result<VectorDb> {
        opened(&self.vectors, || match &self.indexes {
            Some(path) => VectorDb::open_with_indexes(&self.database, path),
            None => VectorDb::open_in(&self.database),
        })
    }

    /// The feature store.
    pub(crate) fn features(&self) -> Result<FeatureStore> {
        opened(&self.features, || FeatureStore::open(&self.database))
    }

    /// Experiments, and what is known of them.
    pub(crate) fn experiments(&self) -> Result<ExperimentLog> {
        opened(&self.experiments, || ExperimentLog::open(&self.database))
    }

    /// Saves the indexes of vectors as they are now, if there are any and a file for them.
    ///
    /// # Errors
    /// As [`VectorDb::save_indexes`].
    pub(crate) fn save_indexes(&self) -> Result<()> {
        let open = lock(&self.vectors).clone();
        match (open, &self.indexes) {
            (Some(vectors), Some(path)) => vectors.save_indexes(path).map(drop),
            _ => Ok(()),
        }
    }
}

fn lock<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind it is replaced whole, never changed in steps.
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is there, opened first if it is not.
fn opened<T: Clone>(place: &Mutex<Option<T>>, open: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut place = lock(place);
    if let Some(open) = &*place {
        return Ok(open.clone());
    }
    let fresh = open()?;
    *place = Some(fresh.clone());
    Ok(fresh)
}
