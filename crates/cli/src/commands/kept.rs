//! [`Kept`]: where a database is kept: in a folder, or in a file.

use std::fmt::Display;
use std::io::{Write as _, stderr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use common::{Database, Error, Result, Seq};
use durable::{DatabaseFile, DurableDatabase, DurableOptions};
use server::Tenant;
use server::config::{Config, ServerSection};
use syncdb::{SyncServer, SyncServerOptions};

/// The folder of tenants with a name, in the folder of the server.
const TENANTS: &str = "tenants";

/// Where a database is kept.
pub(super) enum Kept {
    /// On the disk with every commit.
    Folder(Arc<DurableDatabase>),
    /// In memory, and in the file when it is written.
    File(Box<File>),
}

/// A file, and the commit up to which it has everything.
pub(super) struct File {
    file: DatabaseFile,
    written: Mutex<Option<Seq>>,
}

impl File {
    fn open(path: &Path) -> Result<Self> {
        let file = DatabaseFile::open_or_create(path)?;
        let written = file.existed().then(|| file.database().seq());
        Ok(Self {
            file,
            written: Mutex::new(written),
        })
    }

    /// Writes it, if something has changed.
    fn write(&self) -> Result<()> {
        let seq = self.file.database().seq();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if *written != Some(seq) {
            self.file.save()?;
            *written = Some(seq);
        }
        Ok(())
    }
}

impl Kept {
    /// Opens the database at a path: a file that is there, or a folder, which is made where there is none.
    pub(super) fn at(path: &Path) -> Result<Self> {
        if path.is_file() {
            return Ok(Self::File(Box::new(File::open(path)?)));
        }
        let store = DurableDatabase::open(path, DurableOptions::default())?;
        Ok(Self::Folder(Arc::new(store)))
    }

    /// Opens what the options of a server name for one of its tenants.
    pub(super) fn open(config: &Config, tenant: &str) -> Result<Self> {
        let ServerSection { db, data, .. } = &config.server;
        if let Some(db) = db {
            if data.is_some() {
                return Err(Error::invalid(
                    "`db` (a file, written at the end) and `data` (a folder, written with every commit) exclude each \
                     other; name one of them",
                ));
            }
            if tenant != Tenant::DEFAULT {
                return Err(Error::invalid(
                    "`db` is the file of one database, and `tenants` have one each; name a folder with `data`",
                ));
            }
            return Ok(Self::File(Box::new(File::open(db)?)));
        }
        // The database that was there before there were others stays where it is.
        let of_tenant = |folder: &Path| match tenant {
            Tenant::DEFAULT => folder.to_owned(),
            name => folder.join(TENANTS).join(name),
        };
        let folder = of_tenant(data.as_deref().unwrap_or(Path::new(ServerSection::DATA)));
        let storage = &config.storage;
        let mut options = DurableOptions::default()
            .durability(storage.durability()?)
            .checkpoint_bytes(storage.checkpoint_bytes.max(1));
        options.archive = storage.archive.as_deref().map(of_tenant);
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
            Self::File(file) => file.file.database(),
        }
    }

    /// The tenant as it is served, under a name.
    pub(super) fn tenant(&self, name: &str, options: SyncServerOptions) -> Result<Tenant> {
        match self {
            Self::Folder(store) => Tenant::durable(name, Arc::clone(store), options),
            Self::File(file) => {
                let sync = SyncServer::with(file.file.database().clone(), options)?;
                Ok(Tenant::new(name, Arc::new(sync)))
            }
        }
    }

    /// Keeps everything until now.
    pub(super) fn keep(&self) -> Result<()> {
        match self {
            Self::Folder(store) => store.wait(store.database().seq()),
            Self::File(file) => file.write(),
        }
    }

    /// Waits until everything until now is on the disk, where it gets there by itself.
    pub(super) fn settle(&self) -> Result<()> {
        match self {
            Self::Folder(store) => store.wait(store.database().seq()),
            Self::File(_) => Ok(()),
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
                let saved = file.file.save()?;
                let path = file.file.path().display();
                Ok(format!("saved {} bytes to {path}", saved.bytes))
            }
        }
    }
}

/// Says something beside the output. Who closed it does not want to know.
fn tell(what: impl Display) {
    let _ = writeln!(stderr(), "{what}");
}
