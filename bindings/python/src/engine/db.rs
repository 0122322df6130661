//! A replica: rows that can be read and edited at any time, and synced when there is a connection.

use std::path::PathBuf;
use std::sync::Arc;

use common::database::DatabaseOptions;
use common::{Database, Error, Value};
use durable::DatabaseFile;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use syncdb::migration::Lineage;
use syncdb::{DeferredId, EntryId, RejectedId, Subscription, SyncDb, SyncTransaction};

use super::config::named;
use super::error::{OrRaise, ROWS_UNCHECKED, apart, detached};
use super::migration::PyLineage;
use super::power::PyWaiting;
use super::reading::{
    Owner, Parts, Source, counted, counting, filter_of, followed, found_now, record_to_python,
    rows_to_python,
};
use super::record::{
    Deferred, Explanation, LedgerEntry, PendingMutation, Rejected, SubscriptionState, SyncReport,
};
use super::schema::{PySchema, names_of, schemas_of};
use super::server::{PySyncServer, ledger_query};
use super::simulation::PyClock;
use super::snapshot::Snapshot;
use super::sync::{Aside, budget_of, run_in_process, transport_of};
use super::transaction::Transaction;
use super::value::{key_of, row_of, rows_of, timestamp_of, value_of};
use super::watch::Watch;
use crate::durable::{DurableDatabase, Kept};

/// The lineage of tables that a program declared in one of two ways.
pub(super) fn lineage_of(
    py: Python<'_>,
    tables: Option<&Bound<'_, PyAny>>,
    lineage: Option<&PyLineage>,
) -> PyResult<Option<Lineage>> {
    match (tables, lineage) {
        (Some(_), Some(_)) => Err(pyo3::exceptions::PyTypeError::new_err(
            "give either tables or a lineage, which has them",
        )),
        (Some(tables), None) => Lineage::new(schemas_of(tables)?).map(Some).or_raise(py),
        (None, lineage) => Ok(lineage.map(|lineage| lineage.0.clone())),
    }
}

/// An empty database in memory, whose time is that of a simulated node or the system's.
fn database_at(clock: Option<&PyClock>) -> Database {
    let mut options = DatabaseOptions::default();
    if let Some(clock) = clock {
        options.clock = clock.clock();
    }
    Database::with(options)
}

/// The database of a store, or one in memory.
pub(super) fn database_of(
    store: Option<&Bound<'_, DurableDatabase>>,
    clock: Option<&PyClock>,
) -> PyResult<(Database, Kept)> {
    let kept = Kept::of(store);
    let database = match kept.store() {
        Some(_) if clock.is_some() => {
            return Err(pyo3::exceptions::PyTypeError::new_err(
                "a store has the system's clock; give `store` or `clock`, not both",
            ));
        }
        Some(store) => store.database().clone(),
        None => database_at(clock),
    };
    Ok((database, kept))
}

/// The operations that failed, each with its exception.
type Failed<'py> = Vec<(u64, Bound<'py, PyAny>)>;

struct Held {
    db: Arc<SyncDb>,
    file: Option<Arc<DatabaseFile>>,
    kept: Kept,
    aside: Aside,
}

/// A replica: rows that can be read and edited at any time, and synced when there is a connection.
///
/// `name` tells replicas apart: it is chosen once and never used by two. With `tables` (a list of `Schema`s) or a `lineage`
/// the tables are there at once; without them they come with the first sync. What is written is queued until the server has
/// answered it. With a `store` (`tandemdb.durable.DurableDatabase`) the replica is the one in its folder, and every method that
/// writes returns when that is safe. Every method may be called from any thread. `clock` is that of a node of a simulated network.
#[pyclass(frozen, name = "SyncDb", module = "syncdb.engine")]
pub(super) struct PySyncDb(Mutex<Option<Held>>);

impl PySyncDb {
    fn new_in(
        py: Python<'_>,
        database: Database,
        name: Option<&str>,
        lineage: Option<&Lineage>,
        file: Option<DatabaseFile>,
        kept: Kept,
    ) -> PyResult<Self> {
        let (name, lineage) = (name.map(str::to_owned), lineage.cloned());
        let open = move || match (name, &lineage) {
            (Some(name), Some(lineage)) => SyncDb::with_lineage(database, name.as_str(), lineage),
            (Some(name), None) => SyncDb::open(database, name.as_str()),
            (None, None) => SyncDb::reopen(database),
            (None, Some(lineage)) => {
                let name = SyncDb::reopen(database.clone())?.replica().clone();
                SyncDb::with_lineage(database, name, lineage)
            }
        };
        // What is in memory is empty.
        let (is_long, store) = (file.is_some() || kept.store().is_some(), kept.clone());
        let db = apart(py, is_long, move |_| store.altering(open))?;
        let held = Held {
            db: Arc::new(db),
            file: file.map(Arc::new),
            kept,
            aside: Aside::default(),
        };
        Ok(Self(Mutex::new(Some(held))))
    }

    pub(super) fn db(&self, py: Python<'_>) -> PyResult<Arc<SyncDb>> {
        let held = self.0.lock();
        let db = held.as_ref().map(|held| Arc::clone(&held.db));
        db.ok_or_else(closed).or_raise(py)
    }

    /// Where its rows are kept.
    pub(super) fn kept(&self) -> Kept {
        let held = self.0.lock();
        held.as_ref()
            .map(|held| held.kept.clone())
            .unwrap_or_default()
    }

    fn aside(&self) -> Aside {
        let held = self.0.lock();
        held.as_ref()
            .map(|held| Arc::clone(&held.aside))
            .unwrap_or_default()
    }

    fn source(&self, py: Python<'_>) -> PyResult<Source> {
        Ok(Source {
            owner: Owner::Replica(self.db(py)?),
            kept: self.kept(),
        })
    }

    /// Does what writes, and waits until it is safe.
    fn write<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&SyncDb) -> common::Result<T> + Send,
    ) -> PyResult<T> {
        let (db, kept) = (self.db(py)?, self.kept());
        detached(py, || kept.safely(|| work(&db)))
    }

    fn edit(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&SyncDb) -> common::Result<common::Committed> + Send,
    ) -> PyResult<()> {
        self.write(py, |db| work(db).map(drop))
    }
}

fn closed() -> Error {
    Error::closed("the database is closed; open it again")
}

#[pymethods]
impl PySyncDb {
    #[new]
    #[pyo3(signature = (name, *, tables=None, lineage=None, store=None, clock=None))]
    fn new(
        py: Python<'_>,
        name: &str,
        tables: Option<&Bound<'_, PyAny>>,
        lineage: Option<&PyLineage>,
        store: Option<&Bound<'_, DurableDatabase>>,
        clock: Option<&PyClock>,
    ) -> PyResult<Self> {
        let lineage = lineage_of(py, tables, lineage)?;
        let (database, kept) = database_of(store, clock)?;
        Self::new_in(py, database, Some(name), lineage.as_ref(), None, kept)
    }

    /// Opens the replica in a file, or begins one there; no other process may open it meanwhile. `name` may be left out for a
    /// file that has one. What is written later is kept there by `save`, and at the end of a `with` block.
    #[staticmethod]
    #[pyo3(signature = (path, name=None, *, tables=None, lineage=None))]
    fn open(
        py: Python<'_>,
        path: PathBuf,
        name: Option<&str>,
        tables: Option<&Bound<'_, PyAny>>,
        lineage: Option<&PyLineage>,
    ) -> PyResult<Self> {
        let lineage = lineage_of(py, tables, lineage)?;
        let file = apart(py, true, move |_| DatabaseFile::open_or_create(path))?;
        let database = file.database().clone();
        Self::new_in(
            py,
            database,
            name,
            lineage.as_ref(),
            Some(file),
            Kept::default(),
        )
    }

    /// Writes the rows, the queue and all else to the file that it was opened from, or to `path`: whole or not at all. Returns
    /// the number of bytes.
    #[pyo3(signature = (path=None))]
    fn save(&self, py: Python<'_>, path: Option<PathBuf>) -> PyResult<u64> {
        let db = self.db(py)?;
        // Not kept locked while the file is written: others ask for the database meanwhile.
        let file = self.0.lock().as_ref().and_then(|held| held.file.clone());
        apart(py, true, move |_| {
            let saved = match (file, path) {
                (_, Some(path)) => durable::save(db.database(), path)?,
                (Some(file), None) => file.save()?,
                (None, None) => {
                    return Err(Error::invalid(
                        "the database is in memory only; say to which path it is saved",
                    ));
                }
            };
            Ok(saved.bytes)
        })
    }

    /// Closes it, without saving; whoever uses it afterwards gets `ClosedError`.
    fn close(&self, py: Python<'_>) {
        let held = self.0.lock().take();
        py.detach(|| drop(held));
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, py: Python<'_>, _raised: &Bound<'_, PyTuple>) -> PyResult<bool> {
        let is_of_file = {
            let held = self.0.lock();
            held.as_ref().is_some_and(|held| held.file.is_some())
        };
        let saved = if is_of_file {
            self.save(py, None).map(drop)
        } else {
            Ok(())
        };
        self.close(py);
        saved.map(|()| false)
    }

    /// The replica's name.
    #[getter]
    fn name(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.db(py)?.replica().0.to_string())
    }

    /// The version of the application's tables that are here; `None` before the first sync without a lineage.
    #[getter]
    fn version(&self, py: Python<'_>) -> PyResult<Option<u32>> {
        self.db(py)?.version().or_raise(py)
    }

    /// Names of the application's tables.
    #[getter]
    fn tables(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        Ok(table_names(self.db(py)?.database()))
    }

    /// The schema of a table.
    fn schema(&self, py: Python<'_>, table: &str) -> PyResult<PySchema> {
        let collection = self.db(py)?.collection(table).or_raise(py)?;
        Ok(PySchema((*collection.schema()).clone()))
    }

    /// Inserts a row.
    fn insert(&self, table: &str, row: &Bound<'_, PyAny>) -> PyResult<()> {
        let values = row_of(table, row)?;
        self.edit(row.py(), |db| db.insert(table, values))
    }

    /// Inserts rows in one transaction: all or none.
    fn insert_many(&self, table: &str, rows: &Bound<'_, PyAny>) -> PyResult<usize> {
        let read = rows_of(table, rows)?;
        let number = read.len();
        let (db, kept) = (self.db(rows.py())?, self.kept());
        let table = table.to_owned();
        apart(rows.py(), number > ROWS_UNCHECKED, move |watch| {
            let collection = db.collection(&table)?;
            let insert = |tx: &mut SyncTransaction<'_>| {
                for (at, row) in read.into_iter().enumerate() {
                    watch.check()?;
                    tx.insert(&collection, row)
                        .map_err(|error| error.at(format!("row {at}")))?;
                }
                Ok(number)
            };
            kept.safely(|| db.transaction(insert))
        })
    }

    /// Inserts a row, or replaces the one with its key.
    fn upsert(&self, table: &str, row: &Bound<'_, PyAny>) -> PyResult<()> {
        let values = row_of(table, row)?;
        self.edit(row.py(), |db| db.upsert(table, values))
    }

    /// Changes some columns of a row.
    fn update(
        &self,
        table: &str,
        key: &Bound<'_, PyAny>,
        changes: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (id, values) = (key_of(key)?, row_of(table, changes)?);
        self.edit(key.py(), |db| db.update(table, id, values))
    }

    /// Deletes a row.
    fn delete(&self, table: &str, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let id = key_of(key)?;
        self.edit(key.py(), |db| db.delete(table, id))
    }

    /// Adds to a counter: what several replicas add is summed up.
    #[pyo3(signature = (table, key, column, by=None))]
    fn increment(
        &self,
        table: &str,
        key: &Bound<'_, PyAny>,
        column: &str,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let by = by.map_or(Ok(Value::Int(1)), |by| value_of(by, "by"))?;
        let id = key_of(key)?;
        self.edit(key.py(), |db| db.increment(table, id, column, by))
    }

    /// Adds an element to a set.
    fn add_to_set(
        &self,
        table: &str,
        key: &Bound<'_, PyAny>,
        column: &str,
        element: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (id, element) = (key_of(key)?, value_of(element, "element")?);
        self.edit(key.py(), |db| db.add_to_set(table, id, column, element))
    }

    /// Removes an element from a set.
    fn remove_from_set(
        &self,
        table: &str,
        key: &Bound<'_, PyAny>,
        column: &str,
        element: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (id, element) = (key_of(key)?, value_of(element, "element")?);
        self.edit(key.py(), |db| {
            db.remove_from_set(table, id, column, element)
        })
    }

    /// A transaction, for a `with` block: its edits take effect together, here and at the server.
    fn transaction(&self, py: Python<'_>) -> PyResult<Transaction> {
        Ok(Transaction::begin(self.source(py)?, None))
    }

    /// The row of this key as a dict, or `None`.
    fn get<'py>(
        &self,
        table: &str,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let py = key.py();
        let id = key_of(key)?;
        let collection = self.db(py)?.collection(table).or_raise(py)?;
        let record = py.detach(|| collection.try_get(id)).or_raise(py)?;
        record
            .map(|record| record_to_python(py, &collection, &record))
            .transpose()
    }

    /// Rows as dicts.
    ///
    /// `filter` is text of the common filter syntax (`"done == false and title like 'a%'"`), in which `$name` stands for a
    /// value of `params`, or a dict of columns and values. `order_by` is a path or a list of them, `-` in front for descending.
    /// `columns` are the paths that are wanted. Or give a whole query as a dict in place of the table's name.
    #[pyo3(signature = (table, filter=None, *, order_by=None, limit=None, offset=0, columns=None, params=None))]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    fn query<'py>(
        &self,
        table: &Bound<'py, PyAny>,
        filter: Option<&Bound<'py, PyAny>>,
        order_by: Option<&Bound<'py, PyAny>>,
        limit: Option<usize>,
        offset: usize,
        columns: Option<&Bound<'py, PyAny>>,
        params: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = table.py();
        let parts = Parts {
            filter,
            order_by,
            limit,
            offset,
            columns,
            params,
        };
        let query = parts.of(table)?;
        let db = self.db(py)?;
        let result = found_now(py, db.database(), query)?;
        rows_to_python(py, &result)
    }

    /// Number of rows of a table for which a filter holds.
    #[pyo3(signature = (table, filter=None, *, params=None))]
    fn count(
        &self,
        py: Python<'_>,
        table: &str,
        filter: Option<&Bound<'_, PyAny>>,
        params: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<i64> {
        let filter = filter_of(filter, params)?;
        let db = self.db(py)?;
        let query = counting(table, filter);
        found_now(py, db.database(), query).map(|result| counted(&result))
    }

    /// The state as of now, to be read while writes go on.
    fn snapshot(&self, py: Python<'_>) -> PyResult<Snapshot> {
        Ok(Snapshot::of(self.source(py)?))
    }

    /// Calls `callback` with a list of `Change`s after each commit that touches the table, or any. It may use the database;
    /// what it writes is told when it has returned. It is called with `None` when the log of changes no longer reaches back to
    /// its last call, so that all rows are to be looked at. What it raises goes to `sys.unraisablehook`.
    #[pyo3(signature = (callback, table=None))]
    fn watch(&self, py: Python<'_>, callback: Py<PyAny>, table: Option<String>) -> PyResult<Watch> {
        Ok(Watch::changes(&self.source(py)?, callback, table))
    }

    /// Calls `callback` with a list of tuples `(kind, position, row)` when the result of a query changes; applied in turn to
    /// the rows of the query they give those of now. `kind` is `"added"`, `"removed"` or `"updated"`.
    #[pyo3(signature = (callback, table, filter=None, *, order_by=None, limit=None, columns=None, params=None))]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    fn watch_query(
        &self,
        py: Python<'_>,
        callback: Py<PyAny>,
        table: &Bound<'_, PyAny>,
        filter: Option<&Bound<'_, PyAny>>,
        order_by: Option<&Bound<'_, PyAny>>,
        limit: Option<usize>,
        columns: Option<&Bound<'_, PyAny>>,
        params: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Watch> {
        let parts = Parts {
            filter,
            order_by,
            limit,
            offset: 0,
            columns,
            params,
        };
        let query = parts.of(table)?;
        let source = self.source(py)?;
        let live = followed(py, source.database(), query)?;
        Ok(Watch::query(&source, callback, live))
    }

    /// Syncs through a `SyncServer` in this process, or a callable from request to answer (both bytes). For a server that is
    /// reached by its URL see `syncdb.http.Client`.
    ///
    /// `progress(done, total)` is called with the number of operations and rows that were exchanged; `budget` is a dict with
    /// some of `mutations_max`, `bytes_max`, `level`. `principal` is on whose behalf a `SyncServer` answers.
    #[pyo3(signature = (server, *, principal=None, progress=None, budget=None))]
    fn sync(
        &self,
        py: Python<'_>,
        server: &Bound<'_, PyAny>,
        principal: Option<&str>,
        progress: Option<Py<PyAny>>,
        budget: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<SyncReport> {
        let transport = transport_of(server, principal)?;
        let server = server.cast::<PySyncServer>().ok();
        let server = server.map(|server| server.get().server(py)).transpose()?;
        let budget = budget_of(budget)?;
        let replica = (self.db(py)?, self.kept(), self.aside());
        let server = server.as_deref();
        run_in_process(py, replica, &budget, transport, server, progress).map(SyncReport)
    }

    /// Number of operations that the server has not answered yet.
    #[getter]
    fn pending(&self, py: Python<'_>) -> PyResult<usize> {
        let db = self.db(py)?;
        detached(py, || Ok(db.pending()))
    }

    /// The mutations that the server has not answered yet, oldest first.
    fn queued(&self, py: Python<'_>) -> PyResult<Vec<PendingMutation>> {
        let db = self.db(py)?;
        let queued = detached(py, || db.queued())?;
        Ok(queued.into_iter().map(PendingMutation).collect())
    }

    /// Number of rows and what they add up to, as text: equal at replicas that hold the same.
    fn digest(&self, py: Python<'_>) -> PyResult<String> {
        let db = self.db(py)?;
        detached(py, || db.digest()).map(|digest| digest.to_string())
    }

    /// The conflicts in which this replica took part, oldest first; keywords choose among them.
    #[pyo3(signature = (*, table=None, key=None, column=None, replica=None, rule=None, winner=None, since=None, until=None))]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    fn conflicts(
        &self,
        py: Python<'_>,
        table: Option<&str>,
        key: Option<&Bound<'_, PyAny>>,
        column: Option<&str>,
        replica: Option<&str>,
        rule: Option<&str>,
        winner: Option<&str>,
        since: Option<&Bound<'_, PyAny>>,
        until: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<LedgerEntry>> {
        let wanted = ledger_query(py, table, key, column, replica, rule, winner, since, until)?;
        let db = self.db(py)?;
        let found = detached(py, || db.find_conflicts(&wanted))?;
        Ok(found.into_iter().map(LedgerEntry).collect())
    }

    /// What is known here about a row: whether it is here or why not, what waits to be sent, what became of earlier edits.
    fn explain(&self, table: &str, key: &Bound<'_, PyAny>) -> PyResult<Explanation> {
        let id = key_of(key)?;
        let db = self.db(key.py())?;
        detached(key.py(), || db.explain(table, id)).map(Explanation)
    }

    /// Asks the server, with the next sync, to let stand what lost in a conflict; `id` is that of its entry in the ledger. With
    /// `force` also over what was written since.
    #[pyo3(signature = (id, force=false))]
    fn revert(&self, py: Python<'_>, id: &str, force: bool) -> PyResult<()> {
        let id: EntryId = id.parse::<EntryId>().or_raise(py)?;
        self.edit(py, |db| db.revert(id, force))
    }

    /// The mutations that the server rejected, oldest first. They stay until they are tried again or discarded.
    fn rejected(&self, py: Python<'_>) -> PyResult<Vec<Rejected>> {
        let db = self.db(py)?;
        let rejected = detached(py, || db.rejected())?;
        Ok(rejected.into_iter().map(Rejected).collect())
    }

    /// Makes a rejected mutation's edits again, on the rows as they are now, as a new mutation.
    fn retry(&self, py: Python<'_>, id: &str) -> PyResult<()> {
        let id: RejectedId = id.parse::<RejectedId>().or_raise(py)?;
        self.edit(py, |db| db.retry(id))
    }

    /// A transaction that takes the place of a rejected mutation, for a `with` block: with `repeat` its edits are made first,
    /// and those of the block mend what was wrong.
    #[pyo3(signature = (id, *, repeat=false))]
    fn edit_rejected(&self, py: Python<'_>, id: &str, repeat: bool) -> PyResult<Transaction> {
        let id: RejectedId = id.parse::<RejectedId>().or_raise(py)?;
        let db = self.db(py)?;
        let rejected = detached(py, || {
            let found = db.rejected()?.into_iter().find(|one| one.id == id);
            found.ok_or_else(|| Error::not_found(format!("no rejected mutation is numbered {id}")))
        })?;
        Ok(Transaction::begin(
            Source {
                owner: Owner::Replica(db),
                kept: self.kept(),
            },
            Some((rejected, repeat)),
        ))
    }

    /// Forgets a rejected mutation.
    fn discard(&self, py: Python<'_>, id: &str) -> PyResult<()> {
        let id: RejectedId = id.parse::<RejectedId>().or_raise(py)?;
        self.edit(py, |db| db.discard(id))
    }

    /// Subscribes to a part of a table, or changes the subscription of this name. Without any, everything comes. Rows arrive
    /// with the next sync.
    #[pyo3(signature = (name, table, filter=None, *, columns=None, params=None))]
    fn subscribe(
        &self,
        py: Python<'_>,
        name: &str,
        table: &str,
        filter: Option<&Bound<'_, PyAny>>,
        columns: Option<&Bound<'_, PyAny>>,
        params: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let mut subscription = Subscription::new(name, table).filter(filter_of(filter, params)?);
        if let Some(columns) = columns {
            subscription = subscription.columns(names_of(columns)?);
        }
        self.write(py, |db| db.subscribe(&subscription))
    }

    /// Ends a subscription; returns whether there was one of this name.
    fn unsubscribe(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        self.write(py, |db| db.unsubscribe(name))
    }

    /// The subscriptions, and how far they are.
    fn subscriptions(&self, py: Python<'_>) -> PyResult<Vec<SubscriptionState>> {
        let states = self.db(py)?.subscriptions().or_raise(py)?;
        Ok(states.into_iter().map(SubscriptionState).collect())
    }

    /// What waits to be sent, by priority and deadline: what a `Scheduler` decides by.
    fn waiting(&self, py: Python<'_>) -> PyResult<PyWaiting> {
        let db = self.db(py)?;
        detached(py, || db.waiting()).map(PyWaiting::new)
    }

    /// Keeps an operation of the application's own for the next time that the radio is up; returns its id.
    #[pyo3(signature = (name, payload=None, *, priority="medium", deadline=None))]
    fn defer(
        &self,
        py: Python<'_>,
        name: &str,
        payload: Option<&[u8]>,
        priority: &str,
        deadline: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let mut urgency: syncdb::power::Urgency =
            named::<syncdb::power::Priority>(py, priority, "priority")?.into();
        urgency.deadline = deadline.map(timestamp_of).transpose()?;
        let payload = payload.unwrap_or_default();
        self.write(py, |db| db.defer(name, payload, urgency))
            .map(|id| id.0)
    }

    /// The operations that were deferred and are not finished, in the order in which they are to run.
    fn deferred(&self, py: Python<'_>) -> PyResult<Vec<Deferred>> {
        let db = self.db(py)?;
        let deferred = detached(py, || db.deferred())?;
        Ok(deferred.into_iter().map(Deferred).collect())
    }

    /// Takes a deferred operation away, because it has run; returns whether it was there.
    fn finish_deferred(&self, py: Python<'_>, id: u64) -> PyResult<bool> {
        self.write(py, |db| db.finish_deferred(DeferredId(id)))
    }

    /// Lets a deferred operation that failed wait anew; returns whether it was there.
    fn postpone_deferred(&self, py: Python<'_>, id: u64) -> PyResult<bool> {
        self.write(py, |db| db.postpone_deferred(DeferredId(id)))
    }

    /// Calls `run(operation)` for what was deferred, in order: what succeeds is finished, what raises waits anew. Returns how many
    /// are finished, and pairs of id and exception. `KeyboardInterrupt` and the like end it at once.
    fn run_deferred<'py>(
        &self,
        py: Python<'py>,
        run: &Bound<'py, PyAny>,
    ) -> PyResult<(u64, Failed<'py>)> {
        let db = self.db(py)?;
        let (mut finished, mut failed) = (0, Vec::new());
        for operation in detached(py, || db.deferred())? {
            let id = operation.id;
            match run.call1((Deferred(operation),)) {
                Ok(_) => {
                    self.write(py, |db| db.finish_deferred(id))?;
                    finished += 1;
                }
                Err(error) if error.is_instance_of::<pyo3::exceptions::PyException>(py) => {
                    self.write(py, |db| db.postpone_deferred(id))?;
                    failed.push((id.0, error.into_value(py).into_bound(py).into_any()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((finished, failed))
    }

    fn __repr__(&self) -> String {
        match &*self.0.lock() {
            Some(held) => format!("SyncDb({})", held.db.replica().0),
            None => "SyncDb(closed)".to_owned(),
        }
    }
}

/// Names of the application's tables, sorted.
pub(super) fn table_names(db: &Database) -> Vec<String> {
    let names = db.collections();
    let mut names: Vec<String> = names
        .iter()
        .map(|table| table.name().to_owned())
        .filter(|name| !name.starts_with("sync_"))
        .collect();
    names.sort();
    names
}
