//! Where a replica is kept: the one place where one is opened and begun.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::utils::id_generator::IdGenerator;
use common::{Database, Error, ErrorKind, Result};
use syncdb::SyncDb;
use syncdb::sync::protocol::is_system;

use super::kept::Kept;

/// A replica whose rows, and whose edits that wait to be sent, are in a folder or in a file.
pub(super) struct KeptReplica {
    path: PathBuf,
    kept: Arc<Kept>,
    replica: Arc<SyncDb>,
}

impl KeptReplica {
    /// Opens the replica of a folder or a file, or begins one of this name in a folder where there is nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for what is no replica's; [`ErrorKind::Conflict`] when it is a replica's of another name, and
    /// while another process has it.
    pub(super) fn open(path: &Path, name: Option<&str>) -> Result<Self> {
        let kept = Kept::at(path)?;
        let database = kept.database().clone();
        let replica = match SyncDb::reopen(database.clone()) {
            Ok(replica) => replica,
            Err(error) if error.kind() == ErrorKind::NotFound && is_new(&database) => {
                let chosen = || format!("tandem-{}", IdGenerator::system().uuid_v4());
                SyncDb::open(database, name.map_or_else(chosen, str::to_owned).as_str())?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let message = "has tables and is of no replica; name another folder, or serve this database with `tandem serve`";
                return Err(Error::invalid(message).at(path.display()));
            }
            Err(error) => return Err(error.at(path.display())),
        };
        if name.is_some_and(|name| name != replica.replica().0.as_str()) {
            let message = format!("it is of replica `{}`; leave out --name", replica.replica());
            return Err(Error::new(ErrorKind::Conflict, message).at(path.display()));
        }
        Ok(Self {
            path: path.to_owned(),
            kept: Arc::new(kept),
            replica: Arc::new(replica),
        })
    }

    pub(super) fn replica(&self) -> &Arc<SyncDb> {
        &self.replica
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps everything until now: a file is written where something has changed.
    pub(super) fn keep(&self) -> Result<()> {
        self.kept.keep()
    }

    /// Waits until everything until now is on the disk, for a replica in a folder; a file has it when it is written next. What
    /// is sent, and what somebody is told of, passes through here: a kill takes back neither.
    pub(super) fn settle(&self) -> impl Fn() -> Result<()> + Send + Sync + 'static {
        let kept = Arc::clone(&self.kept);
        move || kept.settle()
    }
}

/// Whether there is nothing, or what is left of a replica that was killed when it had just begun.
fn is_new(database: &Database) -> bool {
    let tables = database.collections();
    tables.iter().all(|table| is_system(table.name()))
        && database.collection("sync_server").is_err()
}
