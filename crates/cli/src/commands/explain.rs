//! `tandem explain`: where a row came from, or why it is not there.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use common::{RecordId, Result, Text};

use super::synced::{Synced, key_of, policies, to_json};
use crate::terminal::output;

/// Show where a row and each of its columns came from, or why the row is not there
///
/// In a server's file: which replica wrote each column, when, and in which commit, and who deleted a row. In a replica's
/// file: what waits to be sent and what was rejected. In both: the conflicts about the row.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem explain cities 643492\n  \
    tandem explain --db phone.tdb members club 17 --json")]
pub(crate) struct Explain {
    /// Table of the row
    table: String,
    /// The row's key, a word for each of its columns
    #[arg(required = true)]
    key: Vec<String>,
    /// Database file, of a server or of a replica
    #[arg(long, default_value = "tandem.tdb")]
    db: PathBuf,
    /// The policies that the server is run with, as `tandem serve --policies` takes them
    #[arg(long, value_name = "FILE")]
    policies: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(crate) fn run(self) -> Result<()> {
        let database = durable::open(&self.db)?;
        let policies = match &self.policies {
            Some(path) => policies(path)?,
            None => BTreeMap::new(),
        };
        let key = match key_of(&database, &self.table, &self.key) {
            Ok(key) => key,
            // Of a table that is not there the key has no types.
            Err(_) if database.collection(&self.table).is_err() => RecordId::composite(
                self.key
                    .iter()
                    .map(|word| common::Value::from(Text::new(word).as_str())),
            ),
            Err(error) => return Err(error),
        };
        let explanation = match Synced::of(database, policies)? {
            Synced::Server(server) => server.explain(&self.table, key)?,
            Synced::Replica(replica) => replica.explain(&self.table, key)?,
        };
        let text = if self.json {
            to_json(&explanation)?
        } else {
            explanation.to_string()
        };
        writeln!(output(), "{text}")?;
        Ok(())
    }
}
