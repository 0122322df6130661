//! `tandem backup`: a copy of a durable database that no program has open.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use common::Result;
use durable::{DurableDatabase, DurableOptions};

use crate::terminal::output;

/// Copy a durable database into another folder, which holds a database then
///
/// No program may have the database open: a server makes its own backups.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem backup data backups/monday\n  \
    tandem verify backups/monday")]
pub(crate) struct Backup {
    /// Folder of the database
    folder: PathBuf,
    /// Folder of the backup, which holds no database yet
    to: PathBuf,
}

impl Backup {
    pub(crate) fn run(self) -> Result<()> {
        // Opening a folder that holds no database would begin one.
        durable::verify(&self.folder)?;
        let store = DurableDatabase::open(&self.folder, DurableOptions::default())?;
        let saved = store.backup(&self.to)?;
        store.close()?;
        writeln!(
            output(),
            "{} holds commit {}, {} bytes",
            self.to.display(),
            saved.seq,
            saved.bytes
        )?;
        Ok(())
    }
}
