//! [`KeptTenant`]: a tenant of a server, and where its database is kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Error, Result, Text};
use durable::DurableOptions;
use server::Tenant;
use server::config::{Config, ServerSection};
use syncdb::{SyncServer, SyncServerOptions};

use super::kept::Kept;

/// The folder of tenants with a name, in the folder of the server.
const TENANTS: &str = "tenants";

/// A tenant of a server, and where its database is kept.
pub(super) struct KeptTenant {
    pub(super) name: Text,
    pub(super) kept: Kept,
    /// Where its backups go, when that is not inside.
    backups: Option<PathBuf>,
}

impl KeptTenant {
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
            name: Tenant::DEFAULT.into(),
            kept: Kept::file(db)?,
            backups: None,
        }])
    }

    fn folder(config: &Config, folder: &Path, name: Text) -> Result<Self> {
        // One that was there before there were others stays where it is.
        let of_tenant = |folder: &Path| match name.as_str() {
            Tenant::DEFAULT => folder.to_owned(),
            name => folder.join(TENANTS).join(name),
        };
        let storage = &config.storage;
        let mut options = DurableOptions::default()
            .durability(storage.durability()?)
            .checkpoint_bytes(storage.checkpoint_bytes.max(1));
        options.archive = storage.archive.as_deref().map(of_tenant);
        let backups = storage.backups.as_ref();
        Ok(Self {
            kept: Kept::folder(&of_tenant(folder), options)?,
            backups: backups.map(|folder| folder.join(name.as_str())),
            name,
        })
    }

    /// The tenant as it is served.
    pub(super) fn tenant(&self, options: SyncServerOptions) -> Result<Tenant> {
        let name = self.name.clone();
        match &self.kept {
            Kept::Folder(store) => {
                let tenant = Tenant::durable(name, Arc::clone(store), options)?;
                Ok(match &self.backups {
                    Some(folder) => tenant.with_backups(folder),
                    None => tenant,
                })
            }
            Kept::File(_) => {
                let sync = SyncServer::with(self.kept.database().clone(), options)?;
                Ok(Tenant::new(name, Arc::new(sync)))
            }
        }
    }
}
