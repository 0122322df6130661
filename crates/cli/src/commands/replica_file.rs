//! The file of a replica: the one place where one is opened, begun and kept.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::utils::id_generator::IdGenerator;
use common::{Error, ErrorKind, Result, Seq};
use durable::DatabaseFile;
use syncdb::SyncDb;

/// A replica whose rows, and whose edits that wait to be sent, are in a file.
pub(super) struct ReplicaFile {
    path: PathBuf,
    file: DatabaseFile,
    replica: Arc<SyncDb>,
    /// The commit up to which the file has everything.
    saved: Cell<Option<Seq>>,
}

impl ReplicaFile {
    /// Opens the replica in a file, or begins one of this name where there is no file.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a file that is no replica's; [`ErrorKind::Conflict`] when it is a replica's of another
    /// name, and while another process has it.
    pub(super) fn open(path: &Path, name: Option<&str>) -> Result<Self> {
        let file = DatabaseFile::open_or_create(path)?;
        let database = file.database().clone();
        let replica = if file.existed() {
            let replica = SyncDb::reopen(database).map_err(|error| {
                if error.kind() != ErrorKind::NotFound {
                    return error;
                }
                Error::invalid(
                    "the file has tables and is of no replica; give another file, or serve this one with `tandem serve`",
                )
            });
            let replica = replica.map_err(|error| error.at(path.display()))?;
            if name.is_some_and(|name| name != replica.replica().0.as_str()) {
                let message = format!(
                    "the file is of replica `{}`; leave out --name",
                    replica.replica()
                );
                return Err(Error::new(ErrorKind::Conflict, message).at(path.display()));
            }
            replica
        } else {
            let chosen = || format!("tandem-{}", IdGenerator::system().uuid_v4());
            SyncDb::open(database, name.map_or_else(chosen, str::to_owned).as_str())?
        };
        let saved = file.existed().then(|| replica.database().seq());
        Ok(Self {
            path: path.to_owned(),
            file,
            replica: Arc::new(replica),
            saved: Cell::new(saved),
        })
    }

    pub(super) fn replica(&self) -> &Arc<SyncDb> {
        &self.replica
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what has changed since the last time.
    pub(super) fn save(&self) -> Result<()> {
        let seq = self.replica.database().seq();
        if self.saved.get() != Some(seq) {
            self.file.save()?;
            self.saved.set(Some(seq));
        }
        Ok(())
    }
}
