//! [`Kept`]: where the database of a server is kept: in a folder, or in a file.

use std::fmt::Display;
use std::io::{Write as _, stderr};
use std::sync::Arc;

use common::{Database, Error, Result};
use durable::{DatabaseFile, DurableDatabase, DurableOptions};
use server::Tenant;
use server::config::{Config, ServerSection};
use syncdb::{SyncServer, SyncServerOptions};

/// Where the database of a server is kept.
pub(super) enum Kept {
    /// On the disk with every commit.
    Folder(Arc<DurableDatabase>),
    /// In memory, and in the file at the end.
    File(Box<DatabaseFile>),
}

impl Kept {
    /// Opens what the options name.
    pub(super) fn open(config: &Config) -> Result<Self> {
        let ServerSection { db, data, .. } = &config.server;
        if let Some(db) = db {
            if data.is_some() {
                return Err(Error::invalid(
                    "`db` (a file, written at the end) and `data` (a folder, written with every commit) exclude each \
                     other; name one of them",
                ));
            }
            return Ok(Self::File(Box::new(DatabaseFile::open_or_create(db)?)));
        }
        let folder = data.clone().unwrap_or_else(|| ServerSection::DATA.into());
        let storage = &config.storage;
        let mut options = DurableOptions::default()
            .durability(storage.durability()?)
            .checkpoint_bytes(storage.checkpoint_bytes.max(1));
        options.archive.clone_from(&storage.archive);
        let store = DurableDatabase::open(&folder, options)?;
        let found = store.recovery();
        if found.torn_bytes > 0 {
            tell(format_args!(
                "{}: {} bytes at the end of the log were half written and were cut off; nobody had been told that they \
                 were safe",
                folder.display(),
                found.torn_bytes
            ));
        } else if !found.was_closed && found.seq.0 > 0 {
            tell(format_args!(
                "{}: the last server did not come to its end; the database is as of commit {}",
                folder.display(),
                found.seq
            ));
        }
        Ok(Self::Folder(Arc::new(store)))
    }

    pub(super) fn database(&self) -> &Database {
        match self {
            Self::Folder(store) => store.database(),
            Self::File(file) => file.database(),
        }
    }

    /// The one tenant of the server.
    pub(super) fn tenant(&self, options: SyncServerOptions) -> Result<Tenant> {
        match self {
            Self::Folder(store) => Tenant::durable(Tenant::DEFAULT, Arc::clone(store), options),
            Self::File(file) => {
                let sync = SyncServer::with(file.database().clone(), options)?;
                Ok(Tenant::new(Tenant::DEFAULT, Arc::new(sync)))
            }
        }
    }

    /// Keeps everything until now.
    pub(super) fn keep(&self) -> Result<()> {
        match self {
            Self::Folder(store) => store.wait(store.database().seq()),
            Self::File(file) => file.save().map(drop),
        }
    }

    /// Ends it, and says where everything is.
    pub(super) fn end(self) -> Result<String> {
        match self {
            Self::Folder(store) => {
                let (seq, folder) = (store.database().seq(), store.folder().display().to_string());
                store.close()?;
                Ok(format!("closed {folder} at commit {seq}"))
            }
            Self::File(file) => {
                let saved = file.save()?;
                let path = file.path().display();
                Ok(format!("saved {} bytes to {path}", saved.bytes))
            }
        }
    }
}

/// Says something beside the output. Who closed it does not want to know.
fn tell(what: impl Display) {
    let _ = writeln!(stderr(), "{what}");
}
