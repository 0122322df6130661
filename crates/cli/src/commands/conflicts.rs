//! `tandem conflicts`: the ledger of a database file, and the way to bring back what lost.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use common::{Error, Result, Text};
use serde::Serialize;
use syncdb::{EntryId, LedgerEntry, LedgerQuery, RevertOptions, Reverted};

use super::synced::{Synced, open_to_change, policies, to_json};
use crate::terminal::output;

/// Show how conflicts were resolved, or bring back what lost in one
///
/// In a server's file, what lost is written at once; in a replica's, the server is asked with the next sync. Nothing is
/// written over what somebody wrote after the conflict, unless --force is given.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem conflicts\n  \
    tandem conflicts --db phone.tdb --table notes --json\n  \
    tandem conflicts --revert 41.0")]
pub(crate) struct Conflicts {
    /// Database file, of a server or of a replica
    #[arg(long, default_value = "tandem.tdb")]
    db: PathBuf,
    /// Conflicts in this table only
    #[arg(long)]
    table: Option<String>,
    /// Conflicts in which this replica took part only
    #[arg(long)]
    replica: Option<String>,
    /// Let stand what lost in this conflict
    #[arg(long, value_name = "ID", conflicts_with_all = ["table", "replica"])]
    revert: Option<EntryId>,
    /// Also when somebody wrote there after the conflict
    #[arg(long, requires = "revert")]
    force: bool,
    /// On whose behalf, for the ledger of a server's file
    #[arg(long, requires = "revert", value_name = "NAME")]
    principal: Option<String>,
    /// The policies that the server is run with, as `tandem serve --policies` takes them
    #[arg(long, value_name = "FILE")]
    policies: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// An entry with the name by which it is reverted.
#[derive(Serialize)]
struct Named<'a> {
    id: String,
    #[serde(flatten)]
    entry: &'a LedgerEntry,
}

impl Conflicts {
    pub(crate) fn run(self) -> Result<()> {
        let policies = match &self.policies {
            Some(path) => policies(path)?,
            None => BTreeMap::new(),
        };
        if let Some(id) = self.revert {
            return self.revert(id, policies);
        }
        let wanted = LedgerQuery {
            table: self.table.as_deref().map(Text::new),
            replica: self.replica.as_deref().map(Into::into),
            ..LedgerQuery::default()
        };
        let found = match Synced::of(durable::open(&self.db)?, policies)? {
            Synced::Server(server) => server.find_conflicts(&wanted)?,
            Synced::Replica(replica) => replica.find_conflicts(&wanted)?,
        };
        let mut out = output();
        if self.json {
            let named = found.iter().map(|entry| Named {
                id: entry.id().to_string(),
                entry,
            });
            writeln!(out, "{}", to_json(&named.collect::<Vec<_>>())?)?;
            return Ok(());
        }
        for entry in &found {
            writeln!(out, "{}  {}  {entry}", entry.id(), entry.at)?;
        }
        match found.len() {
            1 => writeln!(out, "(1 conflict)")?,
            count => writeln!(out, "({count} conflicts)")?,
        }
        Ok(())
    }

    fn revert(&self, id: EntryId, policies: BTreeMap<Text, syncdb::Policy>) -> Result<()> {
        let file = open_to_change(&self.db)?;
        let mut out = output();
        match Synced::of(file.database().clone(), policies)? {
            Synced::Server(server) => {
                let options = RevertOptions {
                    force: self.force,
                    principal: self.principal.as_deref().map(Text::new),
                };
                let reverted = server.revert(id, &options)?;
                if let Reverted::Done(_) = &reverted {
                    file.keep()?;
                }
                if self.json {
                    writeln!(out, "{}", to_json(&reverted)?)?;
                    return Ok(());
                }
                match reverted {
                    Reverted::Done(entries) => {
                        for entry in entries {
                            writeln!(out, "{}  {entry}", entry.id())?;
                        }
                    }
                    Reverted::Unchanged => writeln!(out, "what lost in {id} stands anyway")?,
                    Reverted::Already(by) => {
                        writeln!(out, "conflict {id} was reverted already, by entry {by}")?;
                    }
                    Reverted::WrittenSince { replica, value, .. } => {
                        let by = if replica.0.is_empty() {
                            "the server"
                        } else {
                            replica.0.as_str()
                        };
                        return Err(Error::conflict(format!(
                            "{by} wrote there after conflict {id}, and it holds {value:?} now; give --force to \
                             replace it"
                        )));
                    }
                }
            }
            Synced::Replica(replica) => {
                replica.revert(id, self.force)?;
                file.keep()?;
                writeln!(out, "the server is asked with the next sync")?;
            }
        }
        Ok(())
    }
}
