//! Database files of sync: a server's, or a replica's.

use std::collections::BTreeMap;
use std::path::Path;

use common::{Database, Error, ErrorKind, RecordId, Result, Text, Value};
use serde::Serialize;
use syncdb::{Policy, SyncDb, SyncServer, SyncServerOptions};

use ::import::text_to_value;

use super::kept::Kept;

/// What a file holds.
#[expect(clippy::large_enum_variant, reason = "there is one in a run")]
pub(super) enum Synced {
    Server(SyncServer),
    Replica(SyncDb),
}

impl Synced {
    /// A file with the rows of neither is looked at as a server's that no replica has come to yet.
    pub(super) fn of(database: Database, policies: BTreeMap<Text, Policy>) -> Result<Self> {
        match SyncDb::reopen(database.clone()) {
            Ok(replica) => Ok(Self::Replica(replica)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let options = SyncServerOptions {
                    policies,
                    ..SyncServerOptions::default()
                };
                SyncServer::with(database, options).map(Self::Server)
            }
            Err(error) => Err(error),
        }
    }
}

/// The policies in a JSON file, by table.
pub(super) fn policies(path: &Path) -> Result<BTreeMap<Text, Policy>> {
    let json = std::fs::read(path).map_err(|error| Error::from(error).at(path.display()))?;
    serde_json::from_slice(&json).map_err(|error| {
        Error::invalid(format!("no policies by table: {error}")).at(path.display())
    })
}

/// A database that is there, to be changed.
pub(super) fn open_to_change(path: &Path) -> Result<Kept> {
    if !path.is_file() {
        // Says what is wrong with one that is not there; the next call would begin one.
        durable::open(path)?;
    }
    Kept::at(path)
}

/// A key as it is written on a command line, a word for each of its columns.
pub(super) fn key_of(database: &Database, table: &str, words: &[String]) -> Result<RecordId> {
    let schema = database.collection(table)?.schema();
    if words.len() != schema.key_columns {
        return Err(Error::invalid(format!(
            "the key of table `{table}` has {} columns, {} were given",
            schema.key_columns,
            words.len()
        )));
    }
    let fields = schema.fields.iter().zip(words);
    let values = fields.map(|(field, word)| {
        text_to_value(word, &field.ty)
            .map_err(|what| Error::invalid(what).at(format!("column `{}`", field.name)))
    });
    Ok(RecordId::composite(values.collect::<Result<Vec<Value>>>()?))
}

pub(super) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| Error::invalid(error.to_string()))
}
