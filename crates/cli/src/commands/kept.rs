//! [`Kept`]: where the database of a tenant is kept: in a folder, or in a file.

use std::fmt::Display;
use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Database, Error, Result, Text};
use durable::{DatabaseFile, DurableDatabase, DurableOptions};
use server::Tenant;
use server::config::{Config, ServerSection};
use syncdb::{SyncServer, SyncServerOptions};

/// The folder of tenants with a name, in the folder of the server.
const TENANTS: &str = "tenants";

/// Where the database of a tenant is kept.
pub(super) struct Kept {
    tenant: Text,
    place: Place,
}

enum Place {
    /// On the disk with every commit.
    Folder {
        store: Arc<DurableDatabase>,
        /// Where its backups go, when that is not inside.
        backups: Option<PathBuf>,
    },
    /// In memory, and in the file at the end.
    File(Box<DatabaseFile>),
}

impl Kept {
    /// Opens what the options name: the databases of all tenants.
    pub(super) fn open(config: &Config) -> Result<Vec<Self>> {
        let ServerSection { db, data, .. } = &config.server;
        let tenants = config.server.tenants()?;
        let Some(db) = db else {
            let folder = data.clone().unwrap_or_else(|| ServerSection::DATA.into());
            let each = tenants.into_iter();
            return each
                .map(|name| Self::folder(config, &folder, name))
                .collect();
        };
        if data.is_some() {
            return Err(Error::invalid(
                "`db` (a file, written at the end) and `data` (a folder, written with every commit) exclude each \
                 other; name one of them",
            ));
        }
        if tenants != [Tenant::DEFAULT] {
            return Err(Error::invalid(
                "`db` is the file of one database, and `tenants` have one each; name a folder with `data`",
            ));
        }
        Ok(vec![Self {
            tenant: Tenant::DEFAULT.into(),
            place: Place::File(Box::new(DatabaseFile::open_or_create(db)?)),
        }])
    }

    fn folder(config: &Config, folder: &Path, tenant: Text) -> Result<Self> {
        // One that was there before there were others stays where it is.
        let of_tenant = |folder: &Path| match tenant.as_str() {
            Tenant::DEFAULT => folder.to_owned(),
            name => folder.join(TENANTS).join(name),
        };
        let folder = of_tenant(folder);
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
        let backups = storage.backups.as_ref();
        Ok(Self {
            place: Place::Folder {
                store: Arc::new(store),
                backups: backups.map(|folder| folder.join(tenant.as_str())),
            },
            tenant,
        })
    }

    /// Whose it is.
    pub(super) const fn name(&self) -> &Text {
        &self.tenant
    }

    pub(super) fn database(&self) -> &Database {
        match &self.place {
            Place::Folder { store, .. } => store.database(),
            Place::File(file) => file.database(),
        }
    }

    /// The tenant as it is served.
    pub(super) fn tenant(&self, options: SyncServerOptions) -> Result<Tenant> {
        let name = self.tenant.clone();
        match &self.place {
            Place::Folder { store, backups } => {
                let tenant = Tenant::durable(name, Arc::clone(store), options)?;
                Ok(match backups {
                    Some(folder) => tenant.with_backups(folder),
                    None => tenant,
                })
            }
            Place::File(file) => {
                let sync = SyncServer::with(file.database().clone(), options)?;
                Ok(Tenant::new(name, Arc::new(sync)))
            }
        }
    }

    /// Keeps everything until now.
    pub(super) fn keep(&self) -> Result<()> {
        match &self.place {
            Place::Folder { store, .. } => store.wait(store.database().seq()),
            Place::File(file) => file.save().map(drop),
        }
    }

    /// Ends it, and says where everything is.
    pub(super) fn end(self) -> Result<String> {
        match self.place {
            Place::Folder { store, .. } => {
                let (seq, folder) = (store.database().seq(), store.folder().display().to_string());
                store.close()?;
                Ok(format!("closed {folder} at commit {seq}"))
            }
            Place::File(file) => {
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
