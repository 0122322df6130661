//! [`Home`]: the database of a handle: in memory, in a file that it keeps locked, or in the folder of a store.

use std::path::PathBuf;
use std::sync::Arc;

use common::{Database, Error, Result};
use durable::DatabaseFile;
use parking_lot::Mutex;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::{raise, watch};
use crate::durable::{DurableDatabase, Kept};

/// A database with the file that it is saved to.
pub(crate) struct Home {
    database: Database,
    file: Arc<Mutex<Option<DatabaseFile>>>,
    kept: Kept,
}

impl Home {
    /// The database in a file, which is made if it is not there and kept from other writers; one in memory without a
    /// path, and one that cannot be saved to its file if it is only read.
    pub(crate) fn open(py: Python<'_>, path: Option<PathBuf>, read_only: bool) -> PyResult<Self> {
        watch::run(py, None, move |_| {
            let Some(path) = path else {
                return Ok((Database::new(), None));
            };
            if read_only {
                return Ok((durable::open(path)?, None));
            }
            let file = DatabaseFile::open_or_create(path)?;
            Ok((file.database().clone(), Some(file)))
        })
        .map(|(database, file)| Self {
            database,
            file: Arc::new(Mutex::new(file)),
            kept: Kept::default(),
        })
    }

    /// The database of a store, where one is given, else as [`Home::open`].
    pub(crate) fn of(
        py: Python<'_>,
        path: Option<PathBuf>,
        read_only: bool,
        store: Option<&Bound<'_, DurableDatabase>>,
    ) -> PyResult<Self> {
        let kept = Kept::of(store);
        let Some(store) = kept.store() else {
            return Self::open(py, path, read_only);
        };
        if path.is_some() || read_only {
            return Err(PyTypeError::new_err(
                "give `path`, a file that `save` writes, or `store`, a folder that is written with every commit",
            ));
        }
        Ok(Self {
            database: store.database().clone(),
            file: Arc::default(),
            kept,
        })
    }

    /// Where what is written is waited for.
    pub(crate) fn kept(&self) -> Kept {
        self.kept.clone()
    }

    /// Does what writes without the interpreter, and waits until it is safe.
    pub(crate) fn change<R: Send>(
        &self,
        py: Python<'_>,
        run: impl FnOnce() -> Result<R> + Send,
    ) -> PyResult<R> {
        py.detach(|| self.kept.safely(run)).map_err(raise)
    }

    /// As [`Home::change`] for what may rebuild tables. Ctrl-C does not wait for it, nor for the snapshot of a store that it waits
    /// for.
    pub(crate) fn alter<R: Send + 'static>(
        &self,
        py: Python<'_>,
        run: impl FnOnce() -> Result<R> + Send + 'static,
    ) -> PyResult<R> {
        let kept = self.kept.clone();
        watch::run(py, None, move |_| kept.altering(run))
    }

    pub(crate) const fn database(&self) -> &Database {
        &self.database
    }

    /// Writes the database to its file, or a copy of it to another. Ctrl-C is not waited for: the file changes as a
    /// whole or not at all.
    pub(crate) fn save(&self, py: Python<'_>, path: Option<PathBuf>) -> PyResult<()> {
        let (database, file) = (self.database.clone(), Arc::clone(&self.file));
        watch::run(py, None, move |_| match path {
            Some(path) => durable::save(&database, path).map(drop),
            None => match &*file.lock() {
                Some(file) => file.save().map(drop),
                None => Err(Error::invalid(
                    "it has no file to be saved to: open it with a path, or name one here",
                )),
            },
        })
    }

    /// Lets go of the file.
    pub(crate) fn close(&self) {
        *self.file.lock() = None;
    }

    /// Saves, unless there is an exception or no file, and closes: the end of a `with` block.
    pub(crate) fn leave(&self, py: Python<'_>, is_failed: bool) -> PyResult<()> {
        let has_file = self.file.lock().is_some();
        let saved = if has_file && !is_failed {
            self.save(py, None)
        } else {
            Ok(())
        };
        self.close();
        saved
    }
}
