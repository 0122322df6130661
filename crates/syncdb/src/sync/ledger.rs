//! [`LedgerEntry`]: the record of one conflict, and the table `sync_conflicts` that keeps them.

use std::fmt;
use std::str::FromStr;

use common::query::Filter;
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
    /// Neither alone: the value was made of both.
    Merged,
}

impl Side {
    /// The side's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Merged => "merged",
        }
    }

    /// The side of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Server, Self::Client, Self::Merged];
        all.into_iter().find(|side| side.name() == name)
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which entry of a server's ledger: written `SEQ.NUMBER`.
///
/// ```
/// use syncdb::EntryId;
/// let id: EntryId = "41.2".parse()?;
/// assert_eq!((id.seq.0, id.number), (41, 2));
/// assert_eq!(id.to_string(), "41.2");
/// # Ok::<(), common::Error>(())
/// ```
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct EntryId {
    /// The server's commit that wrote it.
    pub seq: Seq,
    /// Number among the entries of that commit, from 0.
    pub number: u32,
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.seq.0, self.number)
    }
}

impl FromStr for EntryId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('.');
        let id = parts.and_then(|(seq, number)| {
            Some(Self {
                seq: Seq(seq.parse().ok()?),
                number: number.parse().ok()?,
            })
        });
        id.ok_or_else(|| {
            Error::invalid(format!(
                "`{text}` is no entry of the ledger: expected a commit and a number, as in 41.0"
            ))
        })
    }
}

/// How long a server keeps what explains the past, and who may read it.
///
/// The oldest are forgotten in the commits of later pushes, a few at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerOptions {
    /// Most entries kept. Default 100,000.
    pub entries_max: usize,
    /// Oldest entry kept, in seconds. Default 90 days.
    pub age_seconds_max: u64,
    /// Most deleted rows of which the server remembers what they held and who deleted them. Default 10,000.
    pub deleted_max: usize,
    /// Most deleted rows of which the server remembers that they were there, about 270 bytes each: who writes to one that
    /// was deleted before the log's beginning is told so ([`ROW_GONE`](super::protocol::ROW_GONE)). Default 250,000.
    pub gone_max: usize,
    /// Who is sent the entries. Default: who took part.
    pub visible_to: Visibility,
}

impl Default for LedgerOptions {
    fn default() -> Self {
        Self {
            entries_max: 100_000,
            age_seconds_max: 90 * 24 * 3_600,
            deleted_max: 10_000,
            gone_max: 250_000,
            visible_to: Visibility::default(),
        }
    }
}

/// Which replicas are sent an entry of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// The two whose values met.
    #[default]
    Participants,
    /// All.
    Everyone,
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
    /// What stands after it: as [`LedgerEntry::server`] for a whole row.
    pub result: Value,
    /// On whose behalf the replica spoke, where the server knows.
    pub principal: Option<Text>,
    /// On whose behalf the writer of the server's value spoke last, where the server knows.
    pub server_principal: Option<Text>,
    /// The entry whose losing value this one brought back.
    pub reverts: Option<EntryId>,
}

/// What came of asking for what had lost in a conflict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reverted {
    /// It stands now. Each of these entries names the one that it reverts; columns of a group come back together.
    Done(Vec<LedgerEntry>),
    /// It stands anyway. Nothing was written.
    Unchanged,
    /// It was reverted before, by this entry, which can be reverted in turn. Nothing was written.
    Already(EntryId),
    /// Somebody wrote there after the conflict. Nothing was written; with `force` it would be.
    WrittenSince {
        /// Who; empty for the server.
        replica: ReplicaId,
        /// When.
        stamp: Hlc,
        /// What stands; null for a row that was deleted.
        value: Value,
    },
}

/// Which entries of the ledger are wanted; everything that is given has to hold.
///
/// The ledger is a table as any other, `sync_conflicts`: [`LedgerQuery::filter`] is a filter on it for queries, and
/// live queries, of one's own.
///
/// ```
/// use common::{Database, query::Query};
/// use syncdb::{LedgerQuery, SyncServer};
/// let server = SyncServer::new(Database::new())?;
/// let of_notes = LedgerQuery { table: Some("notes".into()), ..LedgerQuery::default() };
/// assert!(server.find_conflicts(&of_notes)?.is_empty());
/// let query = Query::from("sync_conflicts").filter(of_notes.filter());
/// assert!(query.run(&server.database().snapshot().view())?.rows.is_empty());
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerQuery {
    /// Conflicts in this table.
    pub table: Option<Text>,
    /// Conflicts of this row; together with its table.
    pub key: Option<RecordId>,
    /// Conflicts of this column.
    pub column: Option<Text>,
    /// Conflicts in which this replica took part.
    pub replica: Option<ReplicaId>,
    /// Conflicts resolved by this rule.
    pub rule: Option<Rule>,
    /// Conflicts that this side won.
    pub winner: Option<Side>,
    /// Conflicts resolved at this time or later.
    pub since: Option<Timestamp>,
    /// Conflicts resolved before this time.
    pub until: Option<Timestamp>,
}

impl LedgerQuery {
    /// The filter on the table `sync_conflicts`.
    pub fn filter(&self) -> Filter {
        let text = |path: &'static str, value: Option<&str>| {
            value.map(|value| Filter::eq(path, Value::from(value)))
        };
        let replica = self.replica.as_ref().map(|replica| {
            let is = |path: &'static str| Filter::eq(path, Value::Text(replica.0.clone()));
            is("replica").or(is("server_replica"))
        });
        let conditions = [
            text("table", self.table.as_deref()),
            self.key
                .as_ref()
                .map(|key| Filter::eq("key", Value::List(key.values().into()))),
            text("column", self.column.as_deref()),
            replica,
            text("rule", self.rule.as_ref().map(Rule::name).as_deref()),
            text("winner", self.winner.map(Side::name)),
            self.since.map(|at| Filter::ge("at", Value::Timestamp(at))),
            self.until.map(|at| Filter::lt("at", Value::Timestamp(at))),
        ];
        Filter::And(conditions.into_iter().flatten().collect())
    }
}

/// One sentence for people.
impl fmt::Display for LedgerEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.column.as_ref().map_or("row", Text::as_str);
        write!(
            f,
            "{} {}, {place}: server {:?}, {} {:?}; {} ",
            self.table, self.key, self.server, self.replica, self.client, self.rule
        )?;
        match (self.reverts, self.winner) {
            (Some(id), _) => write!(f, "of {id} brings back {:?}", self.result),
            (None, Side::Merged) => write!(f, "makes {:?} of both", self.result),
            (None, winner) => write!(f, "keeps the {winner}'s"),
        }
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
        .field(any("result"))
        .field(Field::new("principal", FieldType::Text).nullable())
        .field(Field::new("server_principal", FieldType::Text).nullable())
        .field(Field::new("reverts_seq", FieldType::Int).nullable())
        .field(Field::new("reverts_number", FieldType::Int).nullable())
        .index(IndexSpec::hash(["table", "key"]))
        .index(IndexSpec::ordered(["seq"]))
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
            Value::Text(self.rule.name()),
            Value::from(self.winner.name()),
            Value::Int(self.server_stamp.0.cast_signed()),
            Value::Text(self.server_replica.0.clone()),
            Value::Int(self.client_stamp.0.cast_signed()),
            Value::Timestamp(self.at),
            self.result.clone(),
            Value::from(self.principal.clone()),
            Value::from(self.server_principal.clone()),
            Value::from(self.reverts.map(|id| id.seq.0.cast_signed())),
            Value::from(self.reverts.map(|id| i64::from(id.number))),
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
            result,
            principal,
            server_principal,
            reverts_seq,
            reverts_number,
        ] = values
        else {
            return None;
        };
        let text = |value: &Value| value.as_text().map(Text::new);
        let number_of = |value: &Value| value.as_int().map(i64::cast_unsigned);
        let key = key.as_list().filter(|key| !key.is_empty())?;
        let optional = |value: &Value| match value {
            Value::Null => Some(None),
            value => text(value).map(Some),
        };
        let reverts = match (reverts_seq, reverts_number) {
            (Value::Null, Value::Null) => None,
            (seq, number) => Some(EntryId {
                seq: Seq(number_of(seq)?),
                number: number.as_int()?.try_into().ok()?,
            }),
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
            column: optional(column)?,
            base,
            server: server.clone(),
            client: client.clone(),
            rule: Rule::from_name(rule.as_text()?)?,
            winner: Side::from_name(winner.as_text()?)?,
            server_stamp: Hlc(number_of(server_stamp)?),
            server_replica: ReplicaId(text(server_replica)?),
            client_stamp: Hlc(number_of(client_stamp)?),
            at: at.as_timestamp()?,
            result: result.clone(),
            principal: optional(principal)?,
            server_principal: optional(server_principal)?,
            reverts,
        })
    }

    /// Which entry it is.
    pub const fn id(&self) -> EntryId {
        EntryId {
            seq: self.seq,
            number: self.number,
        }
    }

    /// The entry that a record of the ledger holds.
    ///
    /// # Errors
    /// As [`LedgerEntry::from_values`].
    pub fn from_record(record: &Record) -> Result<Self> {
        Self::from_values(record)
    }
}
