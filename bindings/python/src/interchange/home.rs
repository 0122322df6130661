//! [`Home`]: the database of a handle, in memory or in a file that it keeps locked.

use std::path::PathBuf;
use std::sync::Arc;

use common::{Database, Error};
use durable::DatabaseFile;
use parking_lot::Mutex;
use pyo3::prelude::*;

use super::watch;

/// A database with the file that it is saved to.
pub(crate) struct Home {
    database: Database,
    file: Arc<Mutex<Option<DatabaseFile>>>,
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
        })
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
