//! [`LedgerEntry`]: the record of one conflict, and the table `sync_conflicts` that keeps them.

use std::fmt;

use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::versioning::{Hlc, ReplicaId};
use common::{Error, Record, RecordId, Result, Seq, Text, Timestamp, Value};
use serde::{Deserialize, Serialize};

use super::conflict::Rule;

/// Name of the table that keeps the ledger, on the server and on each replica that was told.
pub const CONFLICTS: &str = "sync_conflicts";

/// A side of a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// What the server had.
    Server,
    /// What the replica sent.
    Client,
}

impl Side {
    /// The side's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One conflict and how it was resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The server's commit that resolved it.
    pub seq: Seq,
    /// Number among the conflicts of that commit, from 0.
    pub number: u32,
    /// The replica whose mutation met a concurrent change.
    pub replica: ReplicaId,
    /// Number of that mutation.
    pub client_seq: u64,
    /// Name of the table.
    pub table: Text,
    /// Which row.
    pub key: RecordId,
    /// Name of the column; `None` when a deletion met an update, which concerns the whole row.
    pub column: Option<Text>,
    /// What both sides started from, where that is known.
    pub base: Option<Value>,
    /// What the server had: for a whole row, its columns by name; null when the row was deleted.
    pub server: Value,
    /// What the replica sent, likewise.
    pub client: Value,
    /// How it was resolved.
    pub rule: Rule,
    /// Whose value stands.
    pub winner: Side,
    /// When the server's value was written.
    pub server_stamp: Hlc,
    /// Who wrote the server's value; empty when it was written at the server.
    pub server_replica: ReplicaId,
    /// When the replica's value was written.
    pub client_stamp: Hlc,
    /// When the conflict was resolved, by the server's clock.
    pub at: Timestamp,
}

/// One sentence for people.
impl fmt::Display for LedgerEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.column.as_ref().map_or("row", Text::as_str);
        write!(
            f,
            "{} {}, {place}: server {:?}, {} {:?}; {} keeps the {}'s",
            self.table, self.key, self.server, self.replica, self.client, self.rule, self.winner
        )
    }
}

/// The schema of the ledger.
///
/// # Errors
/// Never with the names as they are.
pub fn schema() -> Result<Schema> {
    let any = |name: &str| Field::new(name, FieldType::Any).nullable();
    Schema::build(CONFLICTS, ["seq", "number"])
        .field(Field::new("seq", FieldType::Int))
        .field(Field::new("number", FieldType::Int))
        .field(Field::new("replica", FieldType::Text))
        .field(Field::new("client_seq", FieldType::Int))
        .field(Field::new("table", FieldType::Text))
        .field(Field::new("key", FieldType::List(Box::new(FieldType::Any))))
        .field(Field::new("column", FieldType::Text).nullable())
        .field(Field::new("base_known", FieldType::Bool))
        .field(any("base"))
        .field(any("server"))
        .field(any("client"))
        .field(Field::new("rule", FieldType::Text))
        .field(Field::new("winner", FieldType::Text))
        .field(Field::new("server_stamp", FieldType::Int))
        .field(Field::new("server_replica", FieldType::Text))
        .field(Field::new("client_stamp", FieldType::Int))
        .field(Field::new("at", FieldType::Timestamp))
        .index(IndexSpec::hash(["table", "key"]))
        .finish()
}

impl LedgerEntry {
    /// The entry as a row of the ledger, one value for each column.
    pub fn to_values(&self) -> Vec<Value> {
        vec![
            Value::Int(self.seq.0.cast_signed()),
            Value::from(self.number),
            Value::Text(self.replica.0.clone()),
            Value::Int(self.client_seq.cast_signed()),
            Value::Text(self.table.clone()),
            Value::List(self.key.values().into()),
            Value::from(self.column.clone()),
            Value::from(self.base.is_some()),
            self.base.clone().unwrap_or_default(),
            self.server.clone(),
            self.client.clone(),
            Value::from(self.rule.name()),
            Value::from(self.winner.name()),
            Value::Int(self.server_stamp.0.cast_signed()),
            Value::Text(self.server_replica.0.clone()),
            Value::Int(self.client_stamp.0.cast_signed()),
            Value::Timestamp(self.at),
        ]
    }

    /// The entry that a row of the ledger, or a frame, holds.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the values are no entry.
    pub fn from_values(values: &[Value]) -> Result<Self> {
        Self::read(values).ok_or_else(|| Error::corrupt("the values are no entry of the ledger"))
    }

    fn read(values: &[Value]) -> Option<Self> {
        let [
            seq,
            number,
            replica,
            client_seq,
            table,
            key,
            column,
            base_known,
            base,
            server,
            client,
            rule,
            winner,
            server_stamp,
            server_replica,
            client_stamp,
            at,
        ] = values
        else {
            return None;
        };
        let text = |value: &Value| value.as_text().map(Text::new);
        let number_of = |value: &Value| value.as_int().map(i64::cast_unsigned);
        let key = key.as_list().filter(|key| !key.is_empty())?;
        let column = match column {
            Value::Null => None,
            column => Some(text(column)?),
        };
        let base = match (base_known.as_bool()?, base) {
            (true, base) => Some(base.clone()),
            (false, Value::Null) => None,
            (false, _) => return None,
        };
        Some(Self {
            seq: Seq(number_of(seq)?),
            number: number.as_int()?.try_into().ok()?,
            replica: ReplicaId(text(replica)?),
            client_seq: number_of(client_seq)?,
            table: text(table)?,
            key: RecordId::from(key),
            column,
            base,
            server: server.clone(),
            client: client.clone(),
            rule: Rule::from_name(rule.as_text()?)?,
            winner: match winner.as_text()? {
                "server" => Side::Server,
                "client" => Side::Client,
                _ => return None,
            },
            server_stamp: Hlc(number_of(server_stamp)?),
            server_replica: ReplicaId(text(server_replica)?),
            client_stamp: Hlc(number_of(client_stamp)?),
            at: at.as_timestamp()?,
        })
    }

    /// The entry that a record of the ledger holds.
    ///
    /// # Errors
    /// As [`LedgerEntry::from_values`].
    pub fn from_record(record: &Record) -> Result<Self> {
        Self::from_values(record)
    }
}
