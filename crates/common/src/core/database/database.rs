//! [`Database`]: tables, one log, one writer.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use super::collection::Collection;
use super::commit::Committed;
use super::journal::{JournalFunction, TableEntry};
use super::snapshot::Snapshot;
use super::table::Table;
use super::transaction::Transaction;
use super::write_set::WriteSet;
use crate::core::base::{Record, Seq, Slot, Text, Timestamp, Value};
use crate::core::schema::{RuleRegistry, Schema};
use crate::core::storage::StorageKind;
use crate::core::versioning::{Change, ChangeTracker, HybridClock, ReaderId, Retention, TableId};
use crate::error::{Error, Result};
use crate::limits::COLLECTIONS_MAX;
use crate::utils::time::{Clock, SystemClock};

/// Called after each commit with its position, on the thread that committed, outside of the writer's lock.
pub type CommitListener = Arc<dyn Fn(Seq) + Send + Sync>;

/// How a database is set up.
#[derive(Clone)]
pub struct DatabaseOptions {
    /// How much of the log is kept.
    pub retention: Retention,
    /// Where time comes from. Default: the system's clock.
    pub clock: Arc<dyn Clock>,
    /// The application's own checks, for schemas that name them.
    pub rules: RuleRegistry,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            clock: Arc::new(SystemClock),
            rules: RuleRegistry::default(),
        }
    }
}

#[derive(Default)]
pub(super) struct Tables {
    pub(super) by_name: BTreeMap<Text, Arc<Table>>,
}

/// State that only the writer touches.
pub(super) struct Writer {
    pub(super) next_table: u32,
}

/// What all handles of one database share.
pub(super) struct Inner {
    pub(super) tables: RwLock<Tables>,
    /// Whether any schema has a reference, so that most deletions need not look.
    pub(super) has_references: AtomicBool,
    /// Whether any table got columns after records were written.
    pub(super) has_extended: AtomicBool,
    pub(super) writer: Mutex<Writer>,
    pub(super) log: RwLock<ChangeTracker>,
    pub(super) committed: AtomicU64,
    /// Number of replaced records kept for open snapshots, over all tables.
    pub(super) kept_aside: Arc<AtomicUsize>,
    /// Whether a short commit is being applied under the lock of `open`.
    pub(super) applying: AtomicBool,
    /// Positions of open snapshots with the number of each.
    pub(super) open: Mutex<BTreeMap<Seq, usize>>,
    pub(super) clock: HybridClock,
    pub(super) rules: RuleRegistry,
    /// Told of every change before it takes effect.
    pub(super) journal: OnceLock<JournalFunction>,
    poisoned: RwLock<Option<String>>,
    is_poisoned: AtomicBool,
    listeners: RwLock<Vec<(u64, CommitListener)>>,
    has_listeners: AtomicBool,
}

/// An in-memory database: tables, secondary indexes, transactions, snapshots, and one log of all changes.
///
/// A handle; clones share the database. One transaction writes at a time; readers do not wait for it, at
/// most for a few writes that are being applied at that moment.
///
/// ```
/// use common::schema::{Field, FieldType, IndexSpec, Schema};
/// use common::{row, Database, Value};
/// let db = Database::new();
/// let cities = db.create_collection(
///     Schema::build("cities", ["id"])
///         .field(Field::new("id", FieldType::Int))
///         .field(Field::new("name", FieldType::Text))
///         .index(IndexSpec::hash(["name"]))
///         .finish()?,
/// )?;
/// cities.insert(row! { "id": 1, "name": "Oulu" })?;
/// let snapshot = db.snapshot();
/// db.transaction(|tx| {
///     tx.insert(&cities, row! { "id": 2, "name": "Turku" })?;
///     tx.delete(&cities, 1)
/// })?;
/// assert_eq!(cities.len(), 1);
/// assert!(cities.get(1).is_none());
/// assert_eq!(snapshot.get(&cities, 1)?.unwrap()[1], Value::from("Oulu"));
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Clone)]
pub struct Database {
    pub(super) inner: Arc<Inner>,
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

impl Database {
    /// An empty database with default options.
    pub fn new() -> Self {
        Self::with(DatabaseOptions::default())
    }

    /// An empty database.
    pub fn with(options: DatabaseOptions) -> Self {
        Self {
            inner: Arc::new(Inner {
                tables: RwLock::default(),
                has_references: AtomicBool::new(false),
                has_extended: AtomicBool::new(false),
                writer: Mutex::new(Writer { next_table: 1 }),
                log: RwLock::new(ChangeTracker::new(options.retention)),
                committed: AtomicU64::new(0),
                kept_aside: Arc::default(),
                applying: AtomicBool::new(false),
                open: Mutex::new(BTreeMap::new()),
                clock: HybridClock::new(options.clock),
                rules: options.rules,
                journal: OnceLock::new(),
                poisoned: RwLock::new(None),
                is_poisoned: AtomicBool::new(false),
                listeners: RwLock::new(Vec::new()),
                has_listeners: AtomicBool::new(false),
            }),
        }
    }

    /// Creates an empty table in memory, found by hash of its key.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when there is a table of this name,
    /// [`crate::ErrorKind::Invalid`] when the schema does not compile,
    /// [`crate::ErrorKind::LimitExceeded`] beyond [`COLLECTIONS_MAX`] tables.
    pub fn create_collection(&self, schema: Schema) -> Result<Collection> {
        self.create_collection_in(schema, StorageKind::Hash)
    }

    /// The table of the schema's name, created if it is not there: for tables that a library keeps beside the
    /// application's own.
    ///
    /// ```
    /// use common::Database;
    /// use common::schema::{Field, FieldType, Schema};
    /// let notes = |ty| Schema::build("notes", ["id"]).field(Field::new("id", ty)).finish();
    /// let db = Database::new();
    /// let first = db.open_collection(notes(FieldType::Int)?)?;
    /// assert_eq!(db.open_collection(notes(FieldType::Int)?)?.id(), first.id());
    /// assert!(db.open_collection(notes(FieldType::Text)?).is_err());
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when a table of the name has other columns; otherwise as
    /// [`Database::create_collection`].
    pub fn open_collection(&self, schema: Schema) -> Result<Collection> {
        match self.inner.table(&schema.name) {
            None => self.create_collection(schema),
            Some(table) if table.schema().fields == schema.fields => {
                Ok(Collection::new(self.clone(), table))
            }
            Some(table) => Err(Error::conflict(format!(
                "table `{}` has other columns than are needed here: rename it",
                table.name
            ))),
        }
    }

    /// Creates a table whose records are kept by a storage of the given kind.
    ///
    /// # Errors
    /// As [`Database::create_collection`].
    pub fn create_collection_in(&self, schema: Schema, kind: StorageKind) -> Result<Collection> {
        let mut writer = self.inner.lock_writer()?;
        let name = schema.name.clone();
        {
            let tables = self.inner.tables.read();
            if tables.by_name.contains_key(&name) {
                return Err(Error::conflict(format!(
                    "there is a table `{name}` already"
                )));
            }
            if tables.by_name.len() >= COLLECTIONS_MAX {
                return Err(Error::limit_exceeded(format!(
                    "a database has at most {COLLECTIONS_MAX} tables"
                )));
            }
        }
        let id = TableId(writer.next_table);
        let table = Arc::new(Table::new(
            id,
            schema,
            kind,
            &self.inner.rules,
            Arc::clone(&self.inner.kept_aside),
        )?);
        self.inner.tell_tables(&[TableEntry::Created {
            schema: &table.schema(),
            kind: &table.kind,
        }])?;
        writer.next_table += 1;
        if table.has_references {
            self.inner.has_references.store(true, Ordering::Relaxed);
        }
        self.inner
            .tables
            .write()
            .by_name
            .insert(name, Arc::clone(&table));
        Ok(Collection::new(self.clone(), table))
    }

    /// Fills an empty table with records exactly as they are, metadata included, without logging them: how a
    /// saved database is opened. The log goes on after the highest seq loaded.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when the table is not empty, the log has begun or there is a journal; otherwise as
    /// [`Collection::insert_values`]. Nothing is loaded then.
    pub fn load(&self, collection: &Collection, records: &[Record]) -> Result<()> {
        let _writer = self.inner.lock_writer()?;
        self.inner.check_unjournaled()?;
        let table = &collection.table;
        if !table.storage.is_empty() || !self.inner.log.read().is_empty() {
            return Err(Error::conflict(format!(
                "records are loaded into empty tables of a database without commits; `{}` has {} records",
                table.name,
                table.storage.len()
            )));
        }
        for record in records {
            table.validator.check(record)?;
        }
        let last = records.iter().map(Record::seq).max().unwrap_or_default();
        let mut keys: Vec<&[Value]> = records.iter().map(Record::key).collect();
        keys.sort_unstable();
        if let Some([key, _]) = keys.array_windows().find(|[a, b]| a == b) {
            return Err(Error::conflict(format!(
                "table `{}` would have two records with the key {}",
                table.name,
                crate::RecordId::from(*key)
            )));
        }
        super::commit::load(table, records)?;
        let last = last.max(self.seq());
        let mut log = self.inner.log.write();
        let retention = log.retention().clone();
        *log = ChangeTracker::starting_after(last, retention);
        self.inner.committed.store(last.0, Ordering::Release);
        Ok(())
    }

    /// Lets the log go on after `seq`: the position at which a saved database stood, which is beyond all of its
    /// records when the last commits were deletions. Used after [`Database::load`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when there was a commit already,
    /// [`crate::ErrorKind::Invalid`] when a record loaded is newer.
    pub fn resume_at(&self, seq: Seq) -> Result<()> {
        let _writer = self.inner.lock_writer()?;
        self.inner.check_unjournaled()?;
        let mut log = self.inner.log.write();
        if !log.is_empty() {
            return Err(Error::conflict("the log has begun already"));
        }
        if seq < self.seq() {
            return Err(Error::invalid(format!(
                "the position {seq} lies before the record written at {}",
                self.seq()
            )));
        }
        let retention = log.retention().clone();
        *log = ChangeTracker::starting_after(seq, retention);
        self.inner.committed.store(seq.0, Ordering::Release);
        Ok(())
    }

    /// The table of this name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], with the names there are.
    pub fn collection(&self, name: &str) -> Result<Collection> {
        match self.inner.table(name) {
            Some(table) => Ok(Collection::new(self.clone(), table)),
            None => {
                let tables = self.inner.tables.read();
                let known: Vec<&str> = tables.by_name.keys().map(Text::as_str).collect();
                Err(Error::not_found(format!(
                    "there is no table `{name}`; the tables are [{}]",
                    known.join(", ")
                )))
            }
        }
    }

    /// All tables, sorted by name.
    pub fn collections(&self) -> Vec<Collection> {
        let tables = self.inner.tables.read();
        tables
            .by_name
            .values()
            .map(|t| Collection::new(self.clone(), Arc::clone(t)))
            .collect()
    }

    /// Drops a table with its records. Handles to it refuse writes from then on; the log keeps its past changes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`]; [`crate::ErrorKind::Conflict`] while another table refers to it.
    pub fn drop_collection(&self, name: &str) -> Result<()> {
        let _writer = self.inner.lock_writer()?;
        let collection = self.collection(name)?;
        let referrer = self
            .inner
            .referrers(name)
            .into_iter()
            .find(|(table, _)| table.name != name);
        if let Some((referrer, _)) = referrer {
            return Err(Error::conflict(format!(
                "table `{name}` is referred to by `{}`; drop that one first",
                referrer.name
            )));
        }
        self.inner.tell_tables(&[TableEntry::Dropped {
            table: &collection.table.name,
        }])?;
        collection.table.dropped.store(true, Ordering::Relaxed);
        self.inner.tables.write().by_name.remove(name);
        Ok(())
    }

    /// Begins a transaction; other writers wait until it ends. Dropping it rolls it back.
    pub fn begin(&self) -> Transaction<'_> {
        Transaction::new(self)
    }

    /// Whether a transaction or an alteration is under way at this moment, for which [`Database::begin`] would wait.
    pub fn is_writing(&self) -> bool {
        self.inner.writer.is_locked()
    }

    /// Runs `body` in a transaction: committed when it succeeds, rolled back when it fails.
    ///
    /// # Errors
    /// What `body` fails with; what the commit fails with.
    pub fn transaction<T>(
        &self,
        body: impl FnOnce(&mut Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut transaction = self.begin();
        let result = body(&mut transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    /// A consistent state of all tables as of now, which later writes do not change. Costs less than a
    /// microsecond; while it is open, records that are replaced stay in memory.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self)
    }

    /// Position of the last commit.
    pub fn seq(&self) -> Seq {
        self.inner.committed()
    }

    /// Stamps of this database: to observe stamps from elsewhere, and to tell the time.
    pub fn clock(&self) -> &HybridClock {
        &self.inner.clock
    }

    /// Changes of all commits after `seq`, whole commits, until at least `changes_max` are gathered.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when the log no longer reaches back so far: start over from a
    /// snapshot. [`crate::ErrorKind::Invalid`] for a position in the future.
    pub fn changes_since(&self, seq: Seq, changes_max: usize) -> Result<Vec<Change>> {
        let committed = self.seq();
        let mut changes = self.inner.log.read().since(seq, changes_max)?;
        // The log is written just before the commit is published.
        changes.retain(|change| change.seq <= committed);
        if self.inner.has_extended.load(Ordering::Acquire) {
            let tables = self.inner.tables.read();
            for change in &mut changes {
                let mut extended = tables.by_name.values().filter(|t| t.extended.is_some());
                if let Some(table) = extended.find(|table| table.id == change.table) {
                    table.whole_change(change);
                }
            }
        }
        Ok(changes)
    }

    /// Registers a reader of the log that has seen everything up to `seq`.
    pub fn register_reader(&self, name: impl Into<Text>, seq: Seq) -> ReaderId {
        self.inner.log.write().register(name, seq)
    }

    /// Notes that a reader has dealt with everything up to `seq`.
    ///
    /// # Errors
    /// As [`ChangeTracker::acknowledge`].
    pub fn acknowledge(&self, reader: ReaderId, seq: Seq) -> Result<()> {
        self.inner.log.write().acknowledge(reader, seq)
    }

    /// Forgets a reader of the log.
    pub fn unregister_reader(&self, reader: ReaderId) {
        self.inner.log.write().unregister(reader);
    }

    /// Drops what the log need not keep any more and returns the number of changes dropped.
    pub fn prune_log(&self) -> usize {
        self.inner.log.write().prune(self.inner.clock.now())
    }

    /// Drops all of the log up to `seq`, whatever its readers have acknowledged, and returns the number of changes
    /// dropped.
    pub fn prune_log_to(&self, seq: Seq) -> usize {
        self.inner.log.write().prune_to(seq)
    }

    /// Makes the log keep the record before each change from now on: the switch of
    /// [`Retention::before`], for who is handed a database that somebody else has set up. It costs the memory of
    /// one more record for each row that was changed in the span of the log. Returns the commit after which it is kept.
    pub fn keep_before(&self) -> Seq {
        self.inner.log.write().keep_before()
    }

    /// Number of changes that the log keeps of commits after `seq`.
    pub fn count_after(&self, seq: Seq) -> usize {
        self.inner.log.read().count_after(seq)
    }

    /// Keeps only the last change of each record up to `seq`; see [`ChangeTracker::compact`].
    pub fn compact_log(&self, seq: Seq) -> usize {
        self.inner.log.write().compact(seq)
    }

    /// First position that [`Database::changes_since`] accepts, and number of changes kept.
    pub fn log_extent(&self) -> (Seq, usize) {
        let log = self.inner.log.read();
        (log.pruned(), log.len())
    }

    /// Commits up to this one were compacted; see [`ChangeTracker::compacted`].
    pub fn log_compacted(&self) -> Seq {
        self.inner.log.read().compacted()
    }

    /// Calls `listener` after each commit until [`Database::remove_listener`] is given the number returned.
    pub fn add_listener(&self, listener: CommitListener) -> u64 {
        let mut listeners = self.inner.listeners.write();
        let number = listeners.last().map_or(1, |(number, _)| number + 1);
        listeners.push((number, listener));
        self.inner.has_listeners.store(true, Ordering::Release);
        number
    }

    /// Stops calling a listener.
    pub fn remove_listener(&self, number: u64) {
        let mut listeners = self.inner.listeners.write();
        listeners.retain(|(known, _)| *known != number);
        self.inner
            .has_listeners
            .store(!listeners.is_empty(), Ordering::Release);
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = self.inner.tables.read();
        f.debug_struct("Database")
            .field("seq", &self.seq())
            .field("tables", &tables.by_name.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Inner {
    #[inline]
    pub(super) fn committed(&self) -> Seq {
        Seq(self.committed.load(Ordering::Acquire))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The writer's lock, unless the database is poisoned.
    pub(super) fn lock_writer(&self) -> Result<parking_lot::MutexGuard<'_, Writer>> {
        let writer = self.writer.lock();
        self.check_usable()?;
        Ok(writer)
    }

    pub(super) fn check_usable(&self) -> Result<()> {
        if !self.is_poisoned.load(Ordering::Acquire) {
            return Ok(());
        }
        let why = self.poisoned.read().clone().unwrap_or_default();
        Err(Error::closed(format!(
            "the database refuses writes because {why}; reads go on, reopen it from durable storage"
        )))
    }

    /// Refuses all further writes.
    pub(super) fn poison(&self, why: &str) {
        self.poisoned.write().get_or_insert_with(|| why.to_owned());
        self.is_poisoned.store(true, Ordering::Release);
    }

    pub(super) fn table(&self, name: &str) -> Option<Arc<Table>> {
        self.tables.read().by_name.get(name).cloned()
    }

    /// Tables with a reference to the table `name`, each with the position of that reference.
    pub(super) fn referrers(&self, name: &str) -> Vec<(Arc<Table>, usize)> {
        if !self.has_references.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let tables = self.tables.read();
        let with_references = tables.by_name.values().filter(|table| table.has_references);
        let mut found = Vec::new();
        for table in with_references {
            let schema = table.schema();
            let positions = schema
                .references
                .iter()
                .enumerate()
                .filter(|(_, r)| r.table == name);
            found.extend(positions.map(|(position, _)| (Arc::clone(table), position)));
        }
        found
    }

    /// Rows of `referrer` whose reference at `position` holds `key`, as a transaction sees them.
    pub(super) fn referring(
        set: &WriteSet,
        referrer: &Table,
        position: usize,
        key: &[Value],
    ) -> Result<Vec<Record>> {
        let schema = referrer.schema();
        let columns: Vec<usize> = schema
            .references
            .get(position)
            .map(|r| {
                r.columns
                    .iter()
                    .filter_map(|c| schema.position(c))
                    .collect()
            })
            .unwrap_or_default();
        let refers = |record: &Record| {
            columns.len() == key.len()
                && columns
                    .iter()
                    .zip(key)
                    .all(|(c, value)| record.get(*c) == Some(value))
        };
        let mut found = Vec::new();
        let indexes = referrer.indexes();
        match indexes.iter().find(|index| index.columns() == columns) {
            Some(index) => {
                let mut slots = Vec::new();
                index.equal(key, &mut slots);
                referrer.storage.read(&slots, &mut found)?;
            }
            None => referrer.storage.scan(&mut |records: &[(Slot, Record)]| {
                found.extend(
                    records
                        .iter()
                        .map(|(_, r)| r)
                        .filter(|r| refers(r))
                        .cloned(),
                );
                ControlFlow::Continue(())
            })?,
        }
        found.retain(|record| set.find(referrer.id, record.key()).is_none());
        let pending = set.of_table(referrer.id).filter_map(|write| write.after());
        found.extend(pending.filter(|record| refers(record)).cloned());
        Ok(found)
    }

    /// Position that every open snapshot, and every one opened later, is at or beyond.
    pub(super) fn horizon(&self) -> Seq {
        let open = self.open.lock();
        open.keys()
            .next()
            .copied()
            .unwrap_or_else(|| self.committed())
    }

    /// Lets go of what only a snapshot that was just closed could see.
    pub(super) fn release_history(&self) {
        if self.kept_aside.load(Ordering::Acquire) == 0 {
            return;
        }
        let horizon = self.horizon();
        self.tables
            .read()
            .by_name
            .values()
            .for_each(|table| table.history.release(horizon));
    }

    /// Tells the listeners of a commit; called without any lock.
    pub(super) fn notify(&self, committed: &Committed) {
        if committed.changes.is_empty() || !self.has_listeners.load(Ordering::Acquire) {
            return;
        }
        let listeners: Vec<CommitListener> = self
            .listeners
            .read()
            .iter()
            .map(|(_, listener)| Arc::clone(listener))
            .collect();
        for listener in listeners {
            listener(committed.seq);
        }
    }
}
