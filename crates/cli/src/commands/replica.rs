//! `tandem replica`: a replica in a process of its own, told what to do line by line.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _, stdin};
use std::path::PathBuf;

use clap::Args;
use common::{Database, Error, RecordId, Result, Row, Text, Value};
use serde::{Deserialize, Serialize};
use server::http::HttpTransport;
use syncdb::{SyncDb, SyncReport, Transport as _};

use super::kept_replica::KeptReplica;
use super::migrate::lineage;
use super::reach::Reach;
use crate::show::json_of;
use crate::terminal::output;

/// Run a replica that syncs with a server, told what to do by JSON lines on standard input
///
/// Each line is one order, each answer one line: `{"ok": ..}` or `{"error": ".."}`. Edits are made at once and
/// need no connection; they reach the server with the next `sync`. With --db the rows are in a folder, and an edit is on the
/// disk when it is answered; without it they are in memory and end with the process.
#[derive(Debug, Args)]
#[command(after_help = "Orders:\n  \
    {\"do\": \"sync\"}\n  \
    {\"do\": \"get\", \"table\": \"cities\", \"key\": [643492]}\n  \
    {\"do\": \"insert\", \"table\": \"cities\", \"row\": {\"id\": 1, \"name\": \"Oulu\"}}\n  \
    {\"do\": \"update\", \"table\": \"cities\", \"key\": [1], \"row\": {\"name\": \"Uleåborg\"}}\n  \
    {\"do\": \"delete\", \"table\": \"cities\", \"key\": [1]}\n  \
    {\"do\": \"digest\"}\n\n\
    Examples:\n  \
    echo '{\"do\": \"sync\"}' | tandem replica --name phone --server http://127.0.0.1:8080\n  \
    echo '{\"do\": \"delete\", \"table\": \"cities\", \"key\": [1]}' | tandem replica --db phone\n  \
    tandem sync http://127.0.0.1:8080 --db phone")]
pub(crate) struct Replica {
    /// Name that tells this replica from all others; a folder that is there has one
    #[arg(long, required_unless_present = "db")]
    name: Option<String>,
    /// Address of the server, as `tandem serve` prints it; without one there is no `sync`
    #[arg(long, required_unless_present = "db")]
    server: Option<String>,
    /// Folder of the replica, as `tandem sync` keeps it; created if it does not exist
    #[arg(long, value_name = "FOLDER")]
    db: Option<PathBuf>,
    /// Be of the latest version of this lineage, whatever the server's is: the lineage as JSON, see `tandem migrate`
    #[arg(long, value_name = "FILE", conflicts_with = "db")]
    lineage: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
}

/// One line of standard input.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Order {
    /// Push and pull.
    Sync,
    /// Show a row.
    Get { table: Text, key: Vec<Value> },
    /// Add a row.
    Insert {
        table: Text,
        row: BTreeMap<Text, Value>,
    },
    /// Change columns of a row.
    Update {
        table: Text,
        key: Vec<Value>,
        row: BTreeMap<Text, Value>,
    },
    /// Remove a row.
    Delete { table: Text, key: Vec<Value> },
    /// Number of rows, and what they add up to.
    Digest,
}

/// One line of standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// What was asked for.
    Ok(serde_json::Value),
    /// Why not.
    Error(String),
}

/// What a sync did, as the answer to an order shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Synced {
    pub(crate) rows_received: u64,
    pub(crate) rows_sent: u64,
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    pub(crate) round_trips: u32,
    pub(crate) converged: bool,
    pub(crate) digest_server: String,
    pub(crate) conflicts: Vec<Conflict>,
}

/// One conflict and who won.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Conflict {
    pub(crate) table: String,
    pub(crate) key: String,
    /// The column, or nothing when a deletion met an update.
    pub(crate) column: Option<String>,
    pub(crate) base: Option<String>,
    pub(crate) server: String,
    pub(crate) server_replica: String,
    pub(crate) client: String,
    pub(crate) client_replica: String,
    pub(crate) rule: String,
    pub(crate) winner: String,
}

/// Rows of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) rows: u64,
    pub(crate) digest: String,
}

impl From<SyncReport> for Synced {
    fn from(report: SyncReport) -> Self {
        let conflicts = report.conflicts.iter().map(|entry| Conflict {
            table: entry.table.to_string(),
            key: entry.key.to_string(),
            column: entry.column.as_ref().map(Text::to_string),
            base: entry.base.as_ref().map(Value::to_string),
            server: entry.server.to_string(),
            server_replica: entry.server_replica.to_string(),
            client: entry.client.to_string(),
            client_replica: entry.replica.to_string(),
            rule: entry.rule.to_string(),
            winner: entry.winner.to_string(),
        });
        Self {
            rows_received: report.rows_received,
            rows_sent: report.rows_sent,
            bytes_up: report.bytes_up,
            bytes_down: report.bytes_down,
            round_trips: report.round_trips,
            converged: report.converged,
            digest_server: report.digest_server.clone(),
            conflicts: conflicts.collect(),
        }
    }
}

impl Replica {
    pub(crate) fn run(self) -> Result<()> {
        let options = self.reach.options()?;
        let server = self.server.as_deref();
        let transport = server.map(|url| HttpTransport::with(url, &options));
        let mut transport = transport.transpose()?;
        let mut exchange = |db: &SyncDb, settle: &dyn Fn() -> Result<()>| match &mut transport {
            Some(transport) => db.sync(&mut |request: &[u8]| {
                settle()?;
                transport.exchange(request)
            }),
            None => Err(Error::invalid(
                "there is no server to sync with; name one with --server",
            )),
        };
        let name = self.name.as_deref();
        let Some(path) = &self.db else {
            let name = name.unwrap_or_default();
            let db = match &self.lineage {
                None => SyncDb::client(name)?,
                Some(path) => SyncDb::with_lineage(Database::new(), name, &lineage(path)?)?,
            };
            let in_memory = || Ok(());
            return obey_input(&db, &in_memory, &mut |db| exchange(db, &in_memory));
        };
        let kept = KeptReplica::open(path, name)?;
        let settle = kept.settle();
        let obeyed = obey_input(kept.replica(), &settle, &mut |db| {
            let report = exchange(db, &settle)?;
            kept.keep()?;
            Ok(report)
        });
        kept.keep()?;
        obeyed
    }
}

/// Obeys the orders on standard input to its end. `sync` is what the order of that name does; what was done is answered when
/// `settle` has returned.
pub(super) fn obey_input(
    db: &SyncDb,
    settle: &dyn Fn() -> Result<()>,
    sync: &mut dyn FnMut(&SyncDb) -> Result<SyncReport>,
) -> Result<()> {
    for line in stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = serde_json::from_str(&line)
            .map_err(|error| Error::invalid(format!("not an order: {error}")))
            .and_then(|order| obey(db, sync, order))
            .and_then(|answer| settle().map(|()| answer));
        let answer = match answer {
            Ok(answer) => Answer::Ok(answer),
            Err(error) => Answer::Error(error.to_string()),
        };
        let mut out = output();
        writeln!(out, "{}", to_json(&answer)?)?;
        out.flush()?;
    }
    Ok(())
}

fn to_json(value: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(value).map_err(|error| Error::invalid(error.to_string()))
}

fn obey(
    db: &SyncDb,
    sync: &mut dyn FnMut(&SyncDb) -> Result<SyncReport>,
    order: Order,
) -> Result<serde_json::Value> {
    let row = |row: BTreeMap<Text, Value>| row.into_iter().collect::<Row>();
    let committed = match order {
        Order::Sync => return to_json(&Synced::from(sync(db)?)),
        Order::Digest => {
            let digest = db.digest()?;
            return to_json(&Held {
                rows: digest.rows,
                digest: digest.to_string(),
            });
        }
        Order::Get { table, key } => {
            let collection = db.collection(&table)?;
            let Some(record) = collection.get(RecordId::composite(key)) else {
                return Ok(serde_json::Value::Null);
            };
            let schema = collection.schema();
            let pairs = schema.fields.iter().zip(record.iter());
            let pairs = pairs.map(|(field, value)| Ok((field.name.to_string(), json_of(value)?)));
            return Ok(serde_json::Value::Object(pairs.collect::<Result<_>>()?));
        }
        Order::Insert { table, row: values } => db.insert(&table, row(values))?,
        Order::Update {
            table,
            key,
            row: values,
        } => db.update(&table, RecordId::composite(key), row(values))?,
        Order::Delete { table, key } => db.delete(&table, RecordId::composite(key))?,
    };
    Ok(serde_json::json!({ "seq": committed.seq.0 }))
}
