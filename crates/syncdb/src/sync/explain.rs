//! [`Explanation`]: where a row and each of its columns came from, or why the row is not here.

use std::fmt;

use common::schema::{FieldId, Schema};
use common::versioning::{ChangeKind, Hlc, ReplicaId};
use common::{Collection, Record, RecordId, Result, Seq, Text, Timestamp, Transaction, Value};
use serde::{Deserialize, Serialize};

use super::authority::Authority;
use super::columns::RowWrites;
use super::conflict::Written;
use super::graves::Grave;
use super::ledger::{LedgerEntry, LedgerQuery};
use super::policy::{Policy, Strategy};
use super::protocol::{Epoch, is_system};
use super::queue::{self, Pending};
use super::rejected::{self, PendingMutation, Rejected};
use super::replica::Replica;
use super::subscription::Kept;
use super::system::{State, find_in_ledger, read_all};

/// Changes of a replica's log that are looked at in one go, for a deletion.
const CHANGES_LOOKED_AT: usize = 4_096;

/// What one side knows about one row. Its text is for people, its fields for programs.
///
/// ```
/// use common::schema::{Field, FieldType, Schema};
/// use common::{Database, row};
/// use syncdb::{Presence, SyncDb, SyncServer};
/// let db = Database::new();
/// let notes = Schema::build("notes", ["id"])
///     .field(Field::new("id", FieldType::Int))
///     .field(Field::new("text", FieldType::Text));
/// db.create_collection(notes.finish()?)?.insert(row! { "id": 1, "text": "hello" })?;
/// let server = SyncServer::new(db)?;
/// let phone = SyncDb::client("phone")?;
/// phone.sync(&mut |request: &[u8]| server.handle(request))?;
/// phone.update("notes", 1, row! { "text": "hello from the phone" })?;
/// assert_eq!(phone.explain("notes", 1)?.pending.len(), 1);
/// phone.sync(&mut |request: &[u8]| server.handle(request))?;
///
/// let explanation = server.explain("notes", 1)?;
/// assert!(matches!(explanation.presence, Presence::Here { .. }));
/// let origin = explanation.columns[0].origin.as_ref().unwrap();
/// assert_eq!((origin.replica.0.as_str(), origin.client_seq), ("phone", 1));
/// assert!(explanation.to_string().contains("by phone, mutation 1"));
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Name of the table.
    pub table: Text,
    /// Which row.
    pub key: RecordId,
    /// Whose knowledge this is; empty for the server's.
    pub replica: ReplicaId,
    /// Whether the row is here, and why not.
    pub presence: Presence,
    /// The columns beside the key's, when the row is here.
    pub columns: Vec<ColumnExplanation>,
    /// What was edited here in that row and is not answered by the server yet; always empty at the server.
    pub pending: Vec<PendingMutation>,
    /// Mutations that touched the row and were rejected; always empty at the server.
    pub rejected: Vec<Rejected>,
    /// Conflicts about the row, oldest first, of which this side knows.
    pub conflicts: Vec<LedgerEntry>,
}

/// Whether a row is here, and why not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Presence {
    /// It is here.
    Here {
        /// The commit of this side that wrote it last.
        seq: Seq,
        /// When it was made here.
        created: Timestamp,
        /// When it was last written here.
        updated: Timestamp,
        /// How many versions it has had here.
        revision: u64,
    },
    /// It was deleted.
    Deleted {
        /// The commit that deleted it, of this side.
        seq: Seq,
        /// Who: empty for the server, `None` where this side was told the deletion only.
        replica: Option<ReplicaId>,
        /// In which of its mutations; 0 for the server.
        client_seq: u64,
        /// When.
        stamp: Hlc,
    },
    /// It was deleted here; the server has not answered that yet.
    DeletedHere,
    /// It was made here and the server rejected that.
    Rejected,
    /// The server has no such table, as far as is known here.
    NoTable,
    /// The table belongs to this side alone and is not synced.
    Local,
    /// The rows that it may be among have not arrived yet, so nothing is known of it.
    NotSynced,
    /// No subscription of the replica has brought it: it is in none of them, or not there at all.
    OutsideSubscriptions {
        /// Names of the subscriptions to parts of the table; without any, nothing of the table comes here.
        subscriptions: Vec<Text>,
    },
    /// Nobody has told of it up to this commit of the server, and nothing here remembers it: it was never there, or was
    /// deleted longer ago than is remembered.
    Unknown {
        /// The server's last commit that is known here.
        seq: Seq,
    },
}

/// One column of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnExplanation {
    /// Its name.
    pub column: Text,
    /// What it holds.
    pub value: Value,
    /// How its conflicts are resolved.
    pub strategy: Strategy,
    /// Columns that stand or fall together with it, itself among them.
    pub group: Vec<Text>,
    /// Whether it was edited here and the server has not answered yet.
    pub pending: bool,
    /// Whether it comes here at all; a column that no subscription has is null.
    pub subscribed: bool,
    /// Who wrote it last; known at the server only.
    pub origin: Option<Origin>,
}

/// One write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The server's commit.
    pub seq: Seq,
    /// By whom; empty for a write at the server.
    pub replica: ReplicaId,
    /// In which of its mutations; 0 for a write at the server.
    pub client_seq: u64,
    /// When it was made.
    pub stamp: Hlc,
}

impl Origin {
    fn of((seq, written): (Seq, &Written)) -> Self {
        Self {
            seq,
            replica: written.replica.clone(),
            client_seq: written.client_seq,
            stamp: written.stamp,
        }
    }
}

/// What the server knows about a row.
pub(crate) fn at_server(authority: &Authority, table: &str, key: &RecordId) -> Result<Explanation> {
    let _one_at_a_time = authority.pushing.lock();
    let mut tx = authority.db.begin();
    authority.account_for_direct_writes(&mut tx)?;
    let mut explanation = Explanation {
        table: table.into(),
        key: key.clone(),
        replica: ReplicaId::from(""),
        presence: Presence::NoTable,
        columns: Vec::new(),
        pending: Vec::new(),
        rejected: Vec::new(),
        conflicts: conflicts(&authority.db, &authority.tables.conflicts, table, key)?,
    };
    if let Ok(collection) = authority.db.collection(table) {
        let row = tx.get(&collection, key.clone())?;
        explanation.presence = match row {
            _ if is_system(table) => Presence::Local,
            Some(row) => {
                let schema = collection.schema();
                let writes = RowWrites::of(&tx, &authority.tables.rows, table, &row)?;
                let origin = |field| Some(Origin::of(writes.last(field)));
                let policy = authority.policy(table);
                explanation.columns = columns(&schema, policy, &row, &origin, &|_| (false, true));
                here(&row)
            }
            None => not_here(authority, &tx, table, key)?,
        };
    }
    if !tx.is_empty() {
        authority.committed(&tx.commit()?);
    }
    Ok(explanation)
}

fn not_here(
    authority: &Authority,
    tx: &Transaction<'_>,
    table: &str,
    key: &RecordId,
) -> Result<Presence> {
    let grave = Grave::of(tx, &authority.tables, table, key)?;
    Ok(match grave {
        Some(Grave { seq, written, .. }) => Presence::Deleted {
            seq,
            replica: Some(written.replica),
            client_seq: written.client_seq,
            stamp: written.stamp,
        },
        None => Presence::Unknown {
            seq: authority.db.seq(),
        },
    })
}

/// What a replica knows about a row.
pub(crate) fn at_replica(replica: &Replica, table: &str, key: &RecordId) -> Result<Explanation> {
    let tables = &replica.tables;
    let synced = replica.synced();
    let state = State::load(&tables.state)?;
    let snapshot = replica.db.snapshot();
    let queued = queue::of_row(snapshot.view(), &tables.queue, &table.into(), key)?;
    let pending_row = Pending::of_ops(&queued);
    let sent = state.as_ref().map_or(0, |state| state.sent);
    let mut rejected: Vec<Rejected> = Vec::new();
    for record in read_all(&replica.db, &tables.rejected)? {
        let found = Rejected::read(&record)?;
        let mut edits = found.ops.iter();
        if edits.any(|edit| edit.table == table && edit.key == *key) {
            rejected.push(found);
        }
    }
    rejected.sort_by_key(|rejected| rejected.id);
    let mut explanation = Explanation {
        table: table.into(),
        key: key.clone(),
        replica: replica.name.clone(),
        presence: Presence::NoTable,
        columns: Vec::new(),
        pending: rejected::pending(&queued, sent, &synced),
        rejected,
        conflicts: conflicts(&replica.db, &tables.conflicts, table, key)?,
    };
    let cursor: Option<(Epoch, Seq)> = state.as_ref().and_then(|state| state.cursor);
    let Some(known) = synced.by_name.get(table) else {
        explanation.presence = match (replica.db.collection(table), cursor) {
            (Ok(_), _) => Presence::Local,
            (Err(_), None) => Presence::NotSynced,
            (Err(_), Some(_)) => Presence::NoTable,
        };
        return Ok(explanation);
    };
    let subscriptions = replica.subscriptions();
    let about = subscriptions.kept.iter();
    let about: Vec<&Kept> = about.filter(|kept| kept.is_about(table)).collect();
    if let Some(row) = snapshot.view().get(&known.collection, key)? {
        let is_pending = |field: FieldId| {
            pending_row.as_ref().is_some_and(|row| {
                row.inserted || row.columns.contains_key(&field) || row.deltas.contains_key(&field)
            })
        };
        let subscribed = |field: FieldId| {
            about.iter().any(|kept| {
                let fields = kept.fields(table);
                fields.is_none_or(|fields| fields.contains(&field))
            })
        };
        let about_column = |field: FieldId| (is_pending(field), subscribed(field));
        explanation.columns = columns(&known.schema, &known.policy, &row, &|_| None, &about_column);
        explanation.presence = here(&row);
        return Ok(explanation);
    }
    let was_rejected = explanation.rejected.iter().any(|rejected| {
        let mut edits = rejected.ops.iter();
        edits.any(|edit| edit.action == "insert" && edit.table == table && edit.key == *key)
    });
    explanation.presence = match (deletion(replica, &known.collection, key)?, cursor) {
        _ if pending_row.as_ref().is_some_and(|row| row.deleted) => Presence::DeletedHere,
        _ if was_rejected => Presence::Rejected,
        (Some(deleted), _) => deleted,
        (None, Some(_)) if about.iter().any(|kept| kept.is_awaited()) => Presence::NotSynced,
        // The subscription to everything has no name.
        (None, Some((_, seq))) if about.iter().any(|kept| kept.name.is_empty()) => {
            Presence::Unknown { seq }
        }
        (None, Some(_)) => Presence::OutsideSubscriptions {
            subscriptions: about.iter().map(|kept| kept.name.clone()).collect(),
        },
        (None, None) => Presence::NotSynced,
    };
    Ok(explanation)
}

/// The last deletion of a row in the log, as far back as that goes.
fn deletion(replica: &Replica, table: &Collection, key: &RecordId) -> Result<Option<Presence>> {
    let (mut from, _) = replica.db.log_extent();
    let mut found = None;
    loop {
        let changes = replica.db.changes_since(from, CHANGES_LOOKED_AT)?;
        let Some(last) = changes.last().map(|change| change.seq) else {
            return Ok(found);
        };
        for change in changes {
            let is_deletion = change.kind == ChangeKind::Delete;
            if is_deletion && change.table == table.id() && change.id() == *key {
                found = Some(Presence::Deleted {
                    seq: change.seq,
                    replica: None,
                    client_seq: 0,
                    stamp: change.stamp,
                });
            }
        }
        from = last;
    }
}

fn conflicts(
    db: &common::Database,
    ledger: &Collection,
    table: &str,
    key: &RecordId,
) -> Result<Vec<LedgerEntry>> {
    let of_row = LedgerQuery {
        table: Some(table.into()),
        key: Some(key.clone()),
        ..LedgerQuery::default()
    };
    find_in_ledger(db, ledger, &of_row)
}

fn here(row: &Record) -> Presence {
    let metadata = row.metadata();
    Presence::Here {
        seq: metadata.seq,
        created: metadata.created,
        updated: metadata.updated,
        revision: metadata.revision.into(),
    }
}

fn columns(
    schema: &Schema,
    policy: &Policy,
    row: &Record,
    origin: &dyn Fn(FieldId) -> Option<Origin>,
    pending_and_subscribed: &dyn Fn(FieldId) -> (bool, bool),
) -> Vec<ColumnExplanation> {
    let fields = schema.fields.iter().zip(row.iter());
    fields
        .skip(schema.key_columns)
        .map(|(field, value)| {
            let (pending, subscribed) = pending_and_subscribed(field.id);
            ColumnExplanation {
                column: field.name.clone(),
                value: value.clone(),
                strategy: policy.of(&field.name).clone(),
                group: policy.group_of(&field.name).unwrap_or_default().to_vec(),
                pending,
                subscribed,
                origin: origin(field.id),
            }
        })
        .collect()
}

struct By<'a>(&'a ReplicaId, u64);

impl fmt::Display for By<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.0.as_str() {
            "" => f.write_str("at the server"),
            name => write!(f, "by {name}, mutation {}", self.1),
        }
    }
}

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here {
                seq,
                created,
                updated,
                revision,
            } => write!(
                f,
                "is here: version {revision}, made {created}, last written {updated} with commit {}",
                seq.0
            ),
            Self::Deleted {
                seq,
                replica: Some(replica),
                client_seq,
                stamp,
            } => write!(
                f,
                "was deleted {}, {stamp}, commit {}",
                By(replica, *client_seq),
                seq.0
            ),
            Self::Deleted { seq, stamp, .. } => write!(
                f,
                "was deleted, or left the subscriptions, and is gone since {stamp}, commit {} of this replica",
                seq.0
            ),
            Self::DeletedHere => {
                f.write_str("was deleted here; the server has not answered that yet")
            }
            Self::Rejected => f.write_str("was made here, and the server rejected that"),
            Self::NoTable => f.write_str("is not here: the server has no such table"),
            Self::Local => f.write_str("is in a table that is not synced"),
            Self::NotSynced => {
                f.write_str("is not here: the rows that it may be among have not arrived yet")
            }
            Self::OutsideSubscriptions { subscriptions } if subscriptions.is_empty() => {
                f.write_str("is not here: no subscription is about the table")
            }
            Self::OutsideSubscriptions { subscriptions } => write!(
                f,
                "is not here: it is outside of the subscriptions {}, or not there at all",
                subscriptions.join(", ")
            ),
            Self::Unknown { seq } => write!(
                f,
                "is not here: up to the server's commit {} nobody has told of it; it was never there, or was deleted \
                 longer ago than is remembered",
                seq.0
            ),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.table, self.key, self.presence)?;
        for column in &self.columns {
            write!(f, "\n  {}: {}", column.column, column.value)?;
            if let Some(origin) = &column.origin {
                let by = By(&origin.replica, origin.client_seq);
                write!(
                    f,
                    ", written {by}, {}, commit {}",
                    origin.stamp, origin.seq.0
                )?;
            }
            if column.pending {
                f.write_str(", edited here and not answered yet")?;
            }
            if !column.subscribed {
                f.write_str(", never comes here: no subscription has the column")?;
            }
            if column.strategy != Strategy::default() {
                write!(f, ", resolved by {:?}", column.strategy)?;
            }
        }
        for pending in &self.pending {
            write!(f, "\n  mutation {} waits", pending.client_seq)?;
            if let Some(rejected) = pending.after_rejected {
                write!(
                    f,
                    ", made on top of mutation {rejected}, which was rejected"
                )?;
            }
            for edit in &pending.ops {
                write!(f, ": {edit}")?;
            }
        }
        for rejected in &self.rejected {
            write!(
                f,
                "\n  mutation {} was rejected: {}: {}",
                rejected.id, rejected.code, rejected.message
            )?;
        }
        for conflict in &self.conflicts {
            write!(f, "\n  conflict {}: {conflict}", conflict.id())?;
        }
        Ok(())
    }
}
