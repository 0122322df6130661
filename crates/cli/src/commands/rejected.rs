//! `tandem rejected`: what the server refused, and the way to try it again or to forget it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use common::{Database, Error, Result};
use syncdb::{RejectedId, SyncDb};

use super::synced::{Synced, open_to_change, to_json};
use crate::terminal::output;

/// Show what the server rejected of a replica's edits, try it again, or forget it
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem rejected --db phone.tdb\n  \
    tandem rejected --db phone.tdb --retry 7@1700000000000000\n  \
    tandem rejected --db phone.tdb --discard 7@1700000000000000")]
pub(crate) struct Rejected {
    /// Folder or file of a replica
    #[arg(long, default_value = "tandem.tdb")]
    db: PathBuf,
    /// Make these edits again, on the rows as they are now, to be sent with the next sync
    #[arg(long, value_name = "ID", conflicts_with = "discard")]
    retry: Option<RejectedId>,
    /// Forget these edits
    #[arg(long, value_name = "ID")]
    discard: Option<RejectedId>,
    /// Print the result as JSON
    #[arg(long, conflicts_with_all = ["retry", "discard"])]
    json: bool,
}

fn replica(database: Database, path: &Path) -> Result<SyncDb> {
    match Synced::of(database, BTreeMap::new())? {
        Synced::Replica(replica) => Ok(replica),
        Synced::Server(_) => Err(Error::invalid(
            "the file is of no replica; a server keeps no rejected edits, the replica that made them does",
        )
        .at(path.display())),
    }
}

impl Rejected {
    pub(crate) fn run(self) -> Result<()> {
        let mut out = output();
        if let Some(id) = self.retry.or(self.discard) {
            let file = open_to_change(&self.db)?;
            let replica = replica(file.database().clone(), &self.db)?;
            if self.retry.is_some() {
                replica.retry(id)?;
            } else {
                replica.discard(id)?;
            }
            file.keep()?;
            let done = if self.retry.is_some() {
                "made again, to be sent with the next sync"
            } else {
                "forgotten"
            };
            writeln!(out, "{id} is {done}")?;
            return Ok(());
        }
        let found = replica(durable::open(&self.db)?, &self.db)?.rejected()?;
        if self.json {
            writeln!(out, "{}", to_json(&found)?)?;
            return Ok(());
        }
        for rejected in &found {
            writeln!(out, "{rejected}")?;
        }
        match found.len() {
            1 => writeln!(out, "(1 rejected mutation)")?,
            count => writeln!(out, "({count} rejected mutations)")?,
        }
        Ok(())
    }
}
