//! [`SyncDb`]: a replica's rows, and the queue of what it has changed.

mod power;
mod transaction;

use std::fmt;

use common::database::DatabaseOptions;
use common::versioning::{ReplicaId, Retention};
use common::{Collection, Committed, Database, Error, RecordId, Result, Row, Seq, Value};
use parking_lot::Mutex;

use crate::client::Transport;
use crate::migration::Lineage;
use crate::power::{SyncBudget, Waiting};
use crate::sync::digest::Digest;
use crate::sync::explain::{self, Explanation};
use crate::sync::ledger::{EntryId, LedgerEntry, LedgerQuery};
use crate::sync::protocol::REPLICA_BYTES_MAX;
use crate::sync::queue;
use crate::sync::rejected::{self, PendingMutation, Rejected, RejectedId};
use crate::sync::replica::Replica;
use crate::sync::report::SyncReport;
use crate::sync::session::Session;
use crate::sync::subscription::{Subscription, SubscriptionState, Subscriptions};
use crate::sync::system::{State, find_in_ledger, read_all};

pub use transaction::SyncTransaction;

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
    /// What waits, as of one commit.
    waiting: Mutex<Option<(Seq, Waiting)>>,
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
        Self::opened(db, replica.into(), None)
    }

    /// As [`SyncDb::open`], of an application that carries the chain of versions of its tables: they are of the lineage's latest
    /// version, whatever the server's is, until an application with a longer lineage opens them.
    ///
    /// A new replica has its tables at once, so that rows can be written before the first sync. Tables of an earlier version are
    /// brought to the latest in one commit, also offline and over any number of versions; columns that follow from others are made
    /// here, and what others have written to them comes with the next sync, those columns only. What waits to be sent stays as it
    /// was written, and the server lifts it.
    ///
    /// # Errors
    /// As [`SyncDb::open`]; [`common::ErrorKind::NotFound`] for tables of a version that the lineage has not: they were
    /// written by a newer application, or by another. Nothing is changed then.
    pub fn with_lineage(
        db: Database,
        replica: impl Into<ReplicaId>,
        lineage: &Lineage,
    ) -> Result<Self> {
        Self::opened(db, replica.into(), Some(lineage))
    }

    fn opened(db: Database, replica: ReplicaId, lineage: Option<&Lineage>) -> Result<Self> {
        if replica.0.is_empty() || replica.0.len() > REPLICA_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the name of a replica has 1 to {REPLICA_BYTES_MAX} bytes, this one {}",
                replica.0.len()
            )));
        }
        Ok(Self {
            core: Replica::open(db, replica, lineage)?,
            waiting: Mutex::default(),
        })
    }

    /// The replica whose rows are in `db`, under the name that it has there.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when there are the rows of no replica; as [`SyncDb::open`].
    pub fn reopen(db: Database) -> Result<Self> {
        let state = db.collection("sync_state").ok();
        let state = state.map(|state| State::load(&state)).transpose()?;
        let Some(state) = state.flatten() else {
            return Err(Error::not_found(
                "the database is of no replica: none has written its state there",
            ));
        };
        Self::open(db, state.replica)
    }

    /// The database underneath, for reading: queries, snapshots, listeners.
    pub fn database(&self) -> &Database {
        &self.core.db
    }

    /// The replica's name.
    pub fn replica(&self) -> &ReplicaId {
        &self.core.name
    }

    /// The version of the application's tables that are here; `None` before the first sync, and where neither the application
    /// nor the server has a lineage.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the replica's state is damaged.
    pub fn version(&self) -> Result<Option<u32>> {
        let state = State::load(&self.core.tables.state)?;
        let version = state.map(|state| state.version);
        Ok(version.filter(|version| *version != 0))
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
        SyncTransaction::new(&self.core)
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

    /// Subscribes to a part of a table, or changes the filter and columns of the subscription of this name.
    ///
    /// A replica without any subscription has everything. The first one takes the place of that: when its rows have
    /// arrived, the others leave. Rows arrive with the next sync, subscription after subscription in the order in which
    /// they were made, each of them all at once. Of a subscription that was changed only the difference is
    /// sent. A row and a column stay as long as any subscription covers them.
    ///
    /// What this replica inserts outside of its subscriptions stays until the server has it, and leaves
    /// then; see [`SyncReport::left`].
    ///
    /// ```
    /// use common::query::Filter;
    /// use common::schema::{Field, FieldType, Schema};
    /// use common::{row, Database};
    /// use syncdb::{Subscription, SyncDb, SyncServer};
    /// let db = Database::new();
    /// let tasks = db.create_collection(
    ///     Schema::build("tasks", ["id"])
    ///         .field(Field::new("id", FieldType::Int))
    ///         .field(Field::new("owner", FieldType::Text))
    ///         .finish()?,
    /// )?;
    /// tasks.insert(row! { "id": 1, "owner": "anna" })?;
    /// tasks.insert(row! { "id": 2, "owner": "ben" })?;
    /// let server = SyncServer::new(db)?;
    /// let phone = SyncDb::client("phone")?;
    /// phone.subscribe(&Subscription::new("mine", "tasks").filter(Filter::eq("owner", "anna")))?;
    /// phone.sync(&mut |request: &[u8]| server.handle(request))?;
    /// assert!(phone.collection("tasks")?.get(1).is_some());
    /// assert!(phone.collection("tasks")?.get(2).is_none());
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a filter with parameters, or another table than the subscription has;
    /// [`common::ErrorKind::LimitExceeded`] for too many. Whether filter and columns fit the table is found by the
    /// server: see [`SyncReport::refused`].
    pub fn subscribe(&self, subscription: &Subscription) -> Result<()> {
        let change = |subscriptions: &mut Subscriptions| subscriptions.put(subscription);
        self.core.resubscribe(change).map(drop)
    }

    /// Ends a subscription: rows and columns that no other one covers leave at once, or, when it was the last,
    /// when everything has arrived in its place. Returns whether there was one of this name.
    ///
    /// # Errors
    /// What the database fails with.
    pub fn unsubscribe(&self, name: &str) -> Result<bool> {
        self.core
            .resubscribe(|subscriptions| Ok(subscriptions.end(name)))
    }

    /// The subscriptions, in the order of delivery, and how far they are.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the replica's state is damaged.
    pub fn subscriptions(&self) -> Result<Vec<SubscriptionState>> {
        let state = State::load(&self.core.tables.state)?;
        let cursor = state.and_then(|state| state.cursor).map(|(_, seq)| seq);
        Ok(self.core.subscriptions().states(cursor))
    }

    /// The server's commit as of which everything is here that this replica keeps; [`None`] as long as some of it has not arrived.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the replica's state is damaged.
    pub fn cursor(&self) -> Result<Option<Seq>> {
        if self.core.subscriptions().await_any() {
            return Ok(None);
        }
        let state = State::load(&self.core.tables.state)?;
        Ok(state.and_then(|state| state.cursor).map(|(_, seq)| seq))
    }

    /// A session that sends everything in the queue as of now, for hosts that carry the bytes themselves.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the replica's state is damaged.
    pub fn session(&self) -> Result<Session<'_>> {
        self.session_with(&SyncBudget::default())
    }

    /// Pushes what was changed here, pulls what was changed elsewhere, and compares digests.
    ///
    /// Interrupted anywhere, it loses nothing: the next call goes on where this one ended.
    ///
    /// # Errors
    /// What the transport fails with; [`common::ErrorKind::Corrupt`] and
    /// [`common::ErrorKind::LimitExceeded`] for an answer that is none. What was exchanged before stays.
    pub fn sync(&self, transport: &mut dyn Transport) -> Result<SyncReport> {
        self.sync_with(&SyncBudget::default(), transport)
    }

    /// Number of operations that the server has not answered yet.
    pub fn pending(&self) -> usize {
        self.core.pending()
    }

    /// The mutations that the server has not answered yet, oldest first.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the table `sync_queue` was written by somebody else.
    pub fn queued(&self) -> Result<Vec<PendingMutation>> {
        let sent = State::load(&self.core.tables.state)?.map_or(0, |state| state.sent);
        let snapshot = self.core.db.snapshot();
        let ops = queue::all(snapshot.view(), &self.core.tables.queue)?;
        Ok(rejected::pending(&ops, sent, &self.core.synced()))
    }

    /// The conflicts in which this replica took part, oldest first; of the last 10,000 that it was told.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the table `sync_conflicts` was written by somebody else.
    pub fn conflicts(&self) -> Result<Vec<LedgerEntry>> {
        self.find_conflicts(&LedgerQuery::default())
    }

    /// The conflicts that a query wants, oldest first.
    ///
    /// # Errors
    /// As [`SyncDb::conflicts`].
    pub fn find_conflicts(&self, wanted: &LedgerQuery) -> Result<Vec<LedgerEntry>> {
        find_in_ledger(&self.core.db, &self.core.tables.conflicts, wanted)
    }

    /// What is known here about a row: whether it is here or why not, what waits to be sent, and what became of earlier
    /// edits. Who wrote a column last, the server knows.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when a table of sync was written by somebody else.
    pub fn explain(&self, table: &str, id: impl Into<RecordId>) -> Result<Explanation> {
        explain::at_replica(&self.core, table, &id.into())
    }

    /// Asks the server to let stand what lost in a conflict, with the next sync. The rows here change when it answers:
    /// the mutation is rejected when the conflict was reverted before, or when somebody has written there since
    /// and `force` is false.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when the conflict is not in the ledger here.
    pub fn revert(&self, id: EntryId, force: bool) -> Result<Committed> {
        let mut tx = self.begin();
        tx.revert(id, force)?;
        tx.commit()
    }

    /// Adds to a counter; see [`SyncTransaction::increment`].
    ///
    /// # Errors
    /// As [`SyncTransaction::increment`].
    pub fn increment(
        &self,
        table: &str,
        id: impl Into<RecordId>,
        column: &str,
        by: impl Into<Value>,
    ) -> Result<Committed> {
        let collection = self.collection(table)?;
        let mut tx = self.begin();
        tx.increment(&collection, id, column, by)?;
        tx.commit()
    }

    /// Adds an element to a set; see [`SyncTransaction::add_to_set`].
    ///
    /// # Errors
    /// As [`SyncTransaction::add_to_set`].
    pub fn add_to_set(
        &self,
        table: &str,
        id: impl Into<RecordId>,
        column: &str,
        element: impl Into<Value>,
    ) -> Result<Committed> {
        let collection = self.collection(table)?;
        let mut tx = self.begin();
        tx.add_to_set(&collection, id, column, element)?;
        tx.commit()
    }

    /// Removes an element from a set; see [`SyncTransaction::remove_from_set`].
    ///
    /// # Errors
    /// As [`SyncTransaction::remove_from_set`].
    pub fn remove_from_set(
        &self,
        table: &str,
        id: impl Into<RecordId>,
        column: &str,
        element: impl Into<Value>,
    ) -> Result<Committed> {
        let collection = self.collection(table)?;
        let mut tx = self.begin();
        tx.remove_from_set(&collection, id, column, element)?;
        tx.commit()
    }

    /// The mutations that the server rejected, oldest first. They stay until they are tried again or discarded.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the table `sync_rejected` was written by somebody else.
    pub fn rejected(&self) -> Result<Vec<Rejected>> {
        let mut records = read_all(&self.core.db, &self.core.tables.rejected)?;
        records.sort_by(|a, b| a.key().cmp(b.key()));
        records
            .iter()
            .map(|record| Rejected::read(record))
            .collect()
    }

    /// Makes a rejected mutation's edits again, on the rows as they are now, as a new mutation; in one commit it is no
    /// longer a rejected one.
    ///
    /// A new row whose key is taken by now becomes an update of that row. What was added to counters and sets is added
    /// again.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when there is no such rejected mutation, or a row that it updates is gone; what
    /// the rows' schema says against the edits. Nothing is changed then.
    pub fn retry(&self, id: RejectedId) -> Result<Committed> {
        let mut tx = self.begin();
        let rejected = tx.take_rejected(id)?;
        tx.repeat(&rejected)?;
        tx.commit()
    }

    /// As [`SyncDb::retry`], with edits of the application's own, which may begin with
    /// [`SyncTransaction::repeat`] and go on to mend what was wrong.
    ///
    /// # Errors
    /// As [`SyncDb::retry`]; what `edit` fails with.
    pub fn retry_with(
        &self,
        id: RejectedId,
        edit: impl FnOnce(&mut SyncTransaction<'_>, &Rejected) -> Result<()>,
    ) -> Result<Committed> {
        let mut tx = self.begin();
        let rejected = tx.take_rejected(id)?;
        edit(&mut tx, &rejected)?;
        tx.commit()
    }

    /// Forgets a rejected mutation.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when there is no such rejected mutation.
    pub fn discard(&self, id: RejectedId) -> Result<Committed> {
        self.retry_with(id, |_, _| Ok(()))
    }
}

impl fmt::Debug for SyncDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SyncDb({}, {} pending)", self.core.name, self.pending())
    }
}
