//! [`SyncDb`]: a replica's rows, and the queue of what it has changed.

use std::collections::HashMap;
use std::fmt;

use common::database::DatabaseOptions;
use common::versioning::{ColumnSet, ReplicaId, Retention};
use common::{
    Collection, Committed, Database, Error, Record, RecordId, Result, Row, Text, Timestamp,
    Transaction, Value,
};

use crate::client::{Transport, drive};
use crate::sync::digest::Digest;
use crate::sync::ledger::LedgerEntry;
use crate::sync::protocol::{
    Action, MUTATION_BYTES_MAX, OPS_MAX, Op, REPLICA_BYTES_MAX, is_system,
};
use crate::sync::queue::{self, Queued};
use crate::sync::replica::Replica;
use crate::sync::session::{Session, SyncReport};
use crate::sync::system::{
    State, Synced, SyncedTables, read_all, read_ledger, read_list, read_number, read_text,
};

/// Changes that a replica's own log keeps: what is to be sent stands in the queue, not in the log.
const LOG_CHANGES_MAX: usize = 1 << 16;

/// A replica: rows that can be read and edited at any time, and synced when there is a connection.
///
/// Write through this handle, not through the collections of [`SyncDb::database`]: a write that goes past it is
/// never sent, and is undone when the next sync finds that the digests differ. Tables appear with the first
/// sync; uniqueness and references are checked by the server, and a write that breaks them comes back as a
/// [`Rejected`] one.
pub struct SyncDb {
    core: Replica,
}

/// A mutation that the server rejected, kept until it is discarded.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejected {
    /// Number of the mutation.
    pub client_seq: u64,
    /// When the rejection arrived.
    pub at: Timestamp,
    /// Name of the kind of error.
    pub code: Text,
    /// The server's reason.
    pub message: Text,
    /// Its operations, each as `[table, key, action, columns]`.
    pub ops: Vec<Value>,
}

impl SyncDb {
    /// A new replica in memory. The name tells replicas apart: it is chosen once and never used by two.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the name is empty or longer than [`REPLICA_BYTES_MAX`] bytes.
    pub fn client(replica: impl Into<ReplicaId>) -> Result<Self> {
        let options = DatabaseOptions {
            retention: Retention {
                changes_max: LOG_CHANGES_MAX,
                ..Retention::default()
            },
            ..DatabaseOptions::default()
        };
        Self::open(Database::with(options), replica)
    }

    /// The replica whose rows are in `db`, or a new one when there are none.
    ///
    /// # Errors
    /// As [`SyncDb::client`]; [`common::ErrorKind::Conflict`] when the rows are those of another replica.
    pub fn open(db: Database, replica: impl Into<ReplicaId>) -> Result<Self> {
        let replica = replica.into();
        if replica.0.is_empty() || replica.0.len() > REPLICA_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the name of a replica has 1 to {REPLICA_BYTES_MAX} bytes, this one {}",
                replica.0.len()
            )));
        }
        Ok(Self {
            core: Replica::open(db, replica)?,
        })
    }

    /// The database underneath, for reading: queries, snapshots, listeners.
    pub fn database(&self) -> &Database {
        &self.core.db
    }

    /// The replica's name.
    pub fn replica(&self) -> &ReplicaId {
        &self.core.name
    }

    /// The table of this name, for reading.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`]; before the first sync there is no table.
    pub fn collection(&self, name: &str) -> Result<Collection> {
        self.core.db.collection(name)
    }

    /// Inserts a row.
    ///
    /// # Errors
    /// As [`Collection::insert`].
    pub fn insert(&self, table: &str, row: Row) -> Result<Committed> {
        let collection = self.collection(table)?;
        let mut tx = self.begin();
        tx.insert(&collection, row)?;
        tx.commit()
    }

    /// Inserts a row, or replaces the one with its key.
    ///
    /// # Errors
    /// As [`Collection::upsert`].
    pub fn upsert(&self, table: &str, row: Row) -> Result<Committed> {
        let collection = self.collection(table)?;
        let mut tx = self.begin();
        tx.upsert(&collection, row)?;
        tx.commit()
    }

    /// Changes some columns of a row.
    ///
    /// # Errors
    /// As [`Collection::update`].
    pub fn update(&self, table: &str, id: impl Into<RecordId>, changes: Row) -> Result<Committed> {
        let collection = self.collection(table)?;
        let mut tx = self.begin();
        tx.update(&collection, id, changes)?;
        tx.commit()
    }

    /// Deletes a row.
    ///
    /// # Errors
    /// As [`Collection::delete`].
    pub fn delete(&self, table: &str, id: impl Into<RecordId>) -> Result<Committed> {
        let collection = self.collection(table)?;
        let mut tx = self.begin();
        tx.delete(&collection, id)?;
        tx.commit()
    }

    /// Begins a transaction: its writes take effect together, here and at the server.
    pub fn begin(&self) -> SyncTransaction<'_> {
        SyncTransaction {
            owner: self,
            tx: self.core.db.begin(),
            touched: Vec::new(),
            positions: HashMap::new(),
        }
    }

    /// Runs `body` in a transaction: committed when it succeeds, rolled back when it fails.
    ///
    /// # Errors
    /// What `body` fails with; what the commit fails with.
    pub fn transaction<T>(
        &self,
        body: impl FnOnce(&mut SyncTransaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut tx = self.begin();
        let result = body(&mut tx)?;
        tx.commit()?;
        Ok(result)
    }

    /// The digest of the synced tables as of now.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn digest(&self) -> Result<Digest> {
        self.core.digest()
    }

    /// A session that sends everything in the queue as of now, for hosts that carry the bytes themselves.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the replica's state is damaged.
    pub fn session(&self) -> Result<Session<'_>> {
        Session::new(&self.core)
    }

    /// Pushes what was changed here, pulls what was changed elsewhere, and compares digests.
    ///
    /// Interrupted anywhere, it loses nothing: the next call goes on where this one ended.
    ///
    /// # Errors
    /// What the transport fails with; [`common::ErrorKind::Corrupt`] and
    /// [`common::ErrorKind::LimitExceeded`] for an answer that is none. What was exchanged before stays.
    pub fn sync(&self, transport: &mut dyn Transport) -> Result<SyncReport> {
        drive(self.session()?, transport)
    }

    /// Number of operations that the server has not answered yet.
    pub fn pending(&self) -> usize {
        self.core.pending()
    }

    /// The conflicts that this replica's mutations met, oldest first.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the table `sync_conflicts` was written by somebody else.
    pub fn conflicts(&self) -> Result<Vec<LedgerEntry>> {
        read_ledger(&self.core.db, &self.core.tables.conflicts)
    }

    /// The mutations that the server rejected, oldest first.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the table `sync_rejected` was written by somebody else.
    pub fn rejected(&self) -> Result<Vec<Rejected>> {
        let mut records = read_all(&self.core.db, &self.core.tables.rejected)?;
        records.sort_by(|a, b| a.key().cmp(b.key()));
        let read = |record: &Record| -> Result<Rejected> {
            Ok(Rejected {
                client_seq: read_number(record, 0)?,
                at: record
                    .get(1)
                    .and_then(Value::as_timestamp)
                    .unwrap_or_default(),
                code: read_text(record, 2)?,
                message: read_text(record, 3)?,
                ops: read_list(record, 4)?.to_vec(),
            })
        };
        records.iter().map(read).collect()
    }
}

impl fmt::Debug for SyncDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SyncDb({}, {} pending)", self.core.name, self.pending())
    }
}

/// A row as a transaction found it.
struct Touched {
    collection: Collection,
    id: RecordId,
    before: Option<Record>,
}

/// Writes that take effect together, here and at the server. Dropping a transaction rolls it back.
///
/// Tables that the server does not have are written like any others; they stay local.
pub struct SyncTransaction<'db> {
    owner: &'db SyncDb,
    tx: Transaction<'db>,
    touched: Vec<Touched>,
    positions: HashMap<(Text, RecordId), usize>,
}

impl SyncTransaction<'_> {
    /// The record of this id, as this transaction sees it.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn get(&self, collection: &Collection, id: impl Into<RecordId>) -> Result<Option<Record>> {
        self.tx.get(collection, id)
    }

    /// Inserts a row and returns its id.
    ///
    /// # Errors
    /// As [`Transaction::insert`].
    pub fn insert(&mut self, collection: &Collection, row: Row) -> Result<RecordId> {
        let values = collection.validator().values(row)?;
        let key = values.get(..collection.validator().key_columns());
        self.touch(collection, &RecordId::from(key.unwrap_or_default()))?;
        self.tx.insert_values(collection, values)
    }

    /// Inserts a row, or replaces the one with its key, and returns its id.
    ///
    /// # Errors
    /// As [`Transaction::upsert`].
    pub fn upsert(&mut self, collection: &Collection, row: Row) -> Result<RecordId> {
        let values = collection.validator().values(row)?;
        let key = values.get(..collection.validator().key_columns());
        self.touch(collection, &RecordId::from(key.unwrap_or_default()))?;
        self.tx.upsert_values(collection, values)
    }

    /// Changes some columns of a row.
    ///
    /// # Errors
    /// As [`Transaction::update`].
    pub fn update(
        &mut self,
        collection: &Collection,
        id: impl Into<RecordId>,
        changes: Row,
    ) -> Result<()> {
        let id = id.into();
        self.touch(collection, &id)?;
        self.tx.update(collection, id, changes)
    }

    /// Deletes a row.
    ///
    /// # Errors
    /// As [`Transaction::delete`].
    pub fn delete(&mut self, collection: &Collection, id: impl Into<RecordId>) -> Result<()> {
        let id = id.into();
        self.touch(collection, &id)?;
        self.tx.delete(collection, id)
    }

    fn touch(&mut self, collection: &Collection, id: &RecordId) -> Result<()> {
        if is_system(collection.name()) {
            return Err(Error::invalid(format!(
                "table `{}` is written by sync alone",
                collection.name()
            )));
        }
        let row = (Text::new(collection.name()), id.clone());
        if self.positions.contains_key(&row) {
            return Ok(());
        }
        let before = self.tx.get(collection, id.clone())?;
        self.positions.insert(row, self.touched.len());
        self.touched.push(Touched {
            collection: collection.clone(),
            id: id.clone(),
            before,
        });
        Ok(())
    }

    /// Makes all writes visible at once and queues them for the server, in one commit.
    ///
    /// # Errors
    /// As [`Transaction::commit`]; [`common::ErrorKind::LimitExceeded`] when the transaction is too large to be
    /// sent as one. Nothing is changed then.
    pub fn commit(mut self) -> Result<Committed> {
        let synced = self.owner.core.synced();
        let mut ops = Vec::new();
        for touched in &self.touched {
            let Some(table) = synced.by_name.get(touched.collection.name()) else {
                continue;
            };
            let after = self.tx.get(&touched.collection, touched.id.clone())?;
            ops.extend(net(table, touched, after.as_ref()));
        }
        if !ops.is_empty() {
            self.enqueue(&synced, ops)?;
        }
        let committed = self.tx.commit()?;
        self.owner.core.committed(&committed);
        Ok(committed)
    }

    fn enqueue(&mut self, synced: &SyncedTables, ops: Vec<(Op, Vec<Value>)>) -> Result<()> {
        let bytes: usize = ops.iter().map(|(op, _)| queue::op_bytes(op)).sum();
        if ops.len() > OPS_MAX || bytes > MUTATION_BYTES_MAX {
            return Err(Error::limit_exceeded(format!(
                "a synced transaction has at most {OPS_MAX} rows and {MUTATION_BYTES_MAX} bytes, this one \
                 {} and {bytes}; write it in parts",
                ops.len()
            )));
        }
        let tables = &self.owner.core.tables;
        let tx = &mut self.tx;
        let mut state = State::read(tx, &tables.state, &self.owner.core.name)?;
        let base = state.base();
        let stamp = self.owner.core.db.clock().tick();
        for (op, _) in &ops {
            queue::coalesce(tx, &tables.queue, synced, state.sent, base, op)?;
        }
        for (number, (op, before)) in (0..).zip(ops) {
            let queued = Queued {
                client_seq: state.next,
                number,
                base,
                stamp,
                op,
                before,
            };
            queued.write(tx, &tables.queue)?;
        }
        state.next += 1;
        state.write(tx, &tables.state)
    }

    /// Takes everything back; the same as dropping the transaction.
    pub fn rollback(self) {
        drop(self);
    }
}

/// What a transaction did to a row, with what the changed columns held before.
fn net(table: &Synced, touched: &Touched, after: Option<&Record>) -> Option<(Op, Vec<Value>)> {
    let fields = &table.schema.fields;
    let columns = |positions: ColumnSet, record: &Record| {
        let positions = positions.iter().filter(|p| *p >= table.schema.key_columns);
        let columns = positions
            .filter_map(|position| Some((fields.get(position)?.id, record.get(position)?.clone())));
        columns.collect::<Vec<_>>()
    };
    let (action, before) = match (&touched.before, after) {
        (None, None) => return None,
        (None, Some(after)) => {
            let all = ColumnSet::all(fields.len());
            (Action::Insert(columns(all, after)), Vec::new())
        }
        (Some(before), Some(after)) => {
            let changed = ColumnSet::difference(before, after);
            if changed.is_empty() {
                return None;
            }
            let held = columns(changed.clone(), before);
            let held = held.into_iter().map(|(_, value)| value).collect();
            (Action::Update(columns(changed, after)), held)
        }
        (Some(_), None) => (Action::Delete, Vec::new()),
    };
    let op = Op {
        table: table.schema.name.clone(),
        key: touched.id.clone(),
        action,
    };
    Some((op, before))
}
