//! The side that every replica talks to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::server::{App, Auth, Tenant};
use common::schema::Schema;
use common::utils::id_generator::SeededRng;
use common::{Error, ErrorKind, Text, Timestamp};
use durable::DatabaseFile;
use parking_lot::Mutex;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMapping};
use syncdb::migration::Lineage;
use syncdb::{
    EntryId, LedgerQuery, Meeting, Permissions, Policy, Principal, RevertOptions, Reverted, Rule,
    Serving, Side, SyncServer, SyncServerOptions,
};

use super::config::{named, options_of, plain};
use super::db::{database_of, lineage_of, table_names};
use super::error::{OrRaise, ROWS_UNCHECKED, apart, called_by_engine, detached};
use super::migration::PyLineage;
use super::reading::{
    Owner, Parts, Source, counted, counting, filter_of, followed, found_now, record_to_python,
    rows_to_python,
};
use super::record::{Explanation, LedgerEntry};
use super::schema::{PySchema, names_of};
use super::simulation::PyClock;
use super::snapshot::Snapshot;
use super::transaction::Transaction;
use super::value::{key_of, row_of, rows_of, timestamp_of, value_of};
use super::watch::Watch;
use crate::durable::{DurableDatabase, Kept};
use crate::interchange::{key_to_python, time_to_python, value_to_python};

/// How long a deployment waits for those who still use the server.
const LEAVING: Duration = Duration::from_millis(200);

/// How the conflicts of a table are resolved.
///
/// `strategy` is for all columns that are not named in `columns`, and for `groups` of columns that stand or fall together:
/// `"last_write_wins"`, `"server_wins"`, `"client_wins"`, `"max"`, `"min"`, `"counter"`, `{"set": "add_wins"}`,
/// `{"set": "remove_wins"}` or `{"custom": NAME}` for one of the server's merge functions. `deletion` is what stands when a
/// deletion meets an update: `"delete_wins"` or `"update_resurrects"`.
#[pyclass(frozen, name = "Policy", module = "syncdb.engine")]
#[derive(Clone)]
pub(super) struct PyPolicy(pub(super) Policy);

#[pymethods]
impl PyPolicy {
    #[new]
    #[pyo3(signature = (strategy=None, *, columns=None, groups=None, deletion="delete_wins"))]
    fn new(
        py: Python<'_>,
        strategy: Option<&Bound<'_, PyAny>>,
        columns: Option<&Bound<'_, PyAny>>,
        groups: Option<&Bound<'_, PyAny>>,
        deletion: &str,
    ) -> PyResult<Self> {
        let mut policy = Policy::default();
        if let Some(strategy) = strategy {
            policy.strategy = options_of(strategy, "strategy")?;
        }
        if let Some(columns) = columns {
            policy.columns = options_of(columns, "columns")?;
        }
        if let Some(groups) = groups {
            policy.groups = options_of(groups, "groups")?;
        }
        policy.deletion = named(py, deletion, "deletion")?;
        Ok(Self(policy))
    }

    /// The policy as a dict, as files of policies have it.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        plain(py, &self.0)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast::<Self>()
            .is_ok_and(|other| self.0 == other.get().0)
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// Which rows and columns of a table somebody may see and change.
///
/// `rows` is a filter, text or a dict of columns and values (with `params` for its `$name`s); `columns` names those beside the
/// key's. `Permission()` is everything; to refuse a table give `None` in its place.
#[pyclass(frozen, name = "Permission", module = "syncdb.engine")]
#[derive(Clone)]
pub(super) struct PyPermission(syncdb::Permission);

#[pymethods]
impl PyPermission {
    #[new]
    #[pyo3(signature = (rows=None, *, columns=None, params=None))]
    fn new(
        rows: Option<&Bound<'_, PyAny>>,
        columns: Option<&Bound<'_, PyAny>>,
        params: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let mut permission = syncdb::Permission::rows(filter_of(rows, params)?);
        if let Some(columns) = columns {
            permission = permission.columns(names_of(columns)?);
        }
        Ok(Self(permission))
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// Two values of one column, written by sides that had not seen each other's: what a merge function is given.
#[pyclass(frozen, name = "Meeting", module = "syncdb.engine", get_all)]
pub(super) struct PyMeeting {
    /// Name of the table.
    table: String,
    /// Key of the row.
    key: Py<PyAny>,
    /// Name of the column.
    column: String,
    /// What both sides started from; `None` where that is not known, too.
    base: Py<PyAny>,
    /// What the server has.
    server: Py<PyAny>,
    /// What the replica sends.
    client: Py<PyAny>,
    /// Who wrote the server's value; empty when it was written at the server.
    server_replica: String,
    /// Who wrote the replica's value.
    client_replica: String,
}

impl PyMeeting {
    fn of(py: Python<'_>, meeting: &Meeting<'_>) -> PyResult<Self> {
        let value = |value| value_to_python(py, value).map(Bound::unbind);
        Ok(Self {
            table: meeting.table.to_owned(),
            key: key_to_python(py, meeting.key.values())?.unbind(),
            column: meeting.column.to_owned(),
            base: value(meeting.base.unwrap_or(&common::Value::Null))?,
            server: value(meeting.server)?,
            client: value(meeting.client)?,
            server_replica: meeting.server_written.replica.0.to_string(),
            client_replica: meeting.client_written.replica.0.to_string(),
        })
    }
}

fn with_merge_function(
    options: SyncServerOptions,
    name: &str,
    function: Py<PyAny>,
) -> SyncServerOptions {
    options.merge_function(name, move |meeting| {
        called_by_engine(|py| {
            let merged = function.call1(py, (PyMeeting::of(py, meeting)?,))?;
            value_of(merged.bind(py), meeting.column)
        })
    })
}

/// What the application's function says; nothing is allowed where it fails.
fn permissions_by(function: Py<PyAny>) -> Permissions {
    Permissions::new(move |principal: Option<&Principal>, table: &Schema| {
        let decided = called_by_engine(|py| {
            let principal = principal.map(|principal| principal.name.to_string());
            let answer = function.bind(py).call1((principal, &*table.name));
            let decided = answer.and_then(|answer| {
                if answer.is_none() {
                    return Ok(syncdb::Permission::none());
                }
                match answer.cast::<PyPermission>() {
                    Ok(permission) => Ok(permission.get().0.clone()),
                    Err(_) => Err(PyTypeError::new_err(
                        "permissions answer with a Permission, or None for nothing",
                    )),
                }
            });
            if let Err(error) = &decided {
                error
                    .clone_ref(py)
                    .write_unraisable(py, Some(function.bind(py)));
            }
            decided
        });
        decided.unwrap_or_else(|_| syncdb::Permission::none())
    })
}

/// Which entries of a ledger are wanted.
#[expect(clippy::too_many_arguments, reason = "keywords of Python")]
pub(super) fn ledger_query(
    py: Python<'_>,
    table: Option<&str>,
    key: Option<&Bound<'_, PyAny>>,
    column: Option<&str>,
    replica: Option<&str>,
    rule: Option<&str>,
    winner: Option<&str>,
    since: Option<&Bound<'_, PyAny>>,
    until: Option<&Bound<'_, PyAny>>,
) -> PyResult<LedgerQuery> {
    let unknown = |what: &str, name: &str| Error::invalid(format!("there is no {what} `{name}`"));
    let rule = rule.map(|name| Rule::from_name(name).ok_or_else(|| unknown("rule", name)));
    let winner = winner.map(|name| Side::from_name(name).ok_or_else(|| unknown("side", name)));
    Ok(LedgerQuery {
        table: table.map(Text::new),
        key: key.map(key_of).transpose()?,
        column: column.map(Text::new),
        replica: replica.map(Into::into),
        rule: rule.transpose().or_raise(py)?,
        winner: winner.transpose().or_raise(py)?,
        since: since.map(timestamp_of).transpose()?,
        until: until.map(timestamp_of).transpose()?,
    })
}

struct Held {
    server: Arc<SyncServer>,
    options: SyncServerOptions,
    file: Option<Arc<DatabaseFile>>,
    kept: Kept,
}

/// The side that every replica talks to. It does no input or output itself: `syncdb.http.Server` serves it over HTTP, `handle`
/// turns a request's bytes into an answer's, and replicas of the same process sync with the object.
///
/// `tables` (a list of `Schema`s) or `lineage` says which tables there are; of a lineage all versions from `served_from` on are
/// served side by side. `policies` is a dict from tables to `Policy`s, `merge_functions` one from names to functions that get a
/// `Meeting` and return the value that stands; `permissions` a function of a principal's name (or `None`) and a table's name
/// that returns a `Permission` or `None`. `ledger` is a dict with some of `entries_max`, `age_seconds_max`, `deleted_max`,
/// `gone_max`, `visible_to`. With `path`, the database is in that file, and `save` writes it there; with `store` (`tandemdb.durable.DurableDatabase`) it is in
/// that folder, and what writes or answers returns when all of it is safe. Functions are called while
/// the database waits, from the threads that serve: they look at their arguments only. `clock` is that of a node of a simulated
/// network, and `seed` chooses what else is by chance.
#[pyclass(frozen, name = "SyncServer", module = "syncdb.engine")]
pub(super) struct PySyncServer(Arc<Mutex<Option<Held>>>);

impl PySyncServer {
    pub(super) fn server(&self, py: Python<'_>) -> PyResult<Arc<SyncServer>> {
        let held = self.0.lock();
        let server = held.as_ref().map(|held| Arc::clone(&held.server));
        drop(held);
        server.ok_or_else(being_deployed).or_raise(py)
    }

    /// What an HTTP server serves: an answer leaves when all that it tells of is safe.
    pub(super) fn app(&self, py: Python<'_>) -> PyResult<App> {
        let server = self.server(py)?;
        Ok(match self.kept().store() {
            Some(store) => App::new(
                [Tenant::kept(Tenant::DEFAULT, Arc::clone(store), server)],
                Auth::Open,
            ),
            None => App::from(server),
        })
    }

    /// Where its rows are kept.
    pub(super) fn kept(&self) -> Kept {
        let held = self.0.lock();
        held.as_ref()
            .map(|held| held.kept.clone())
            .unwrap_or_default()
    }

    fn source(&self, py: Python<'_>) -> PyResult<Source> {
        Ok(Source {
            owner: Owner::Server(self.server(py)?),
            kept: self.kept(),
        })
    }

    /// Does what writes rows, and waits until it is safe.
    fn write<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Source) -> common::Result<T> + Send,
    ) -> PyResult<T> {
        let source = self.source(py)?;
        detached(py, || source.kept.safely(|| work(&source)))
    }
}

fn being_deployed() -> Error {
    Error::closed("other versions are being deployed; try again when that is done")
}

/// The server of a database; serving other versions may rebuild tables, which no snapshot of the store may meet.
fn opened(
    database: common::Database,
    options: SyncServerOptions,
    kept: &Kept,
) -> common::Result<SyncServer> {
    kept.altering(|| SyncServer::with(database, options))
}

impl Held {
    /// The same database, serving other versions.
    fn deployed(&self, serving: Serving) -> common::Result<Self> {
        // The last threads of an HTTP server that was stopped may still be on their way out.
        let until = Instant::now() + LEAVING;
        while Arc::strong_count(&self.server) > 1 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        if Arc::strong_count(&self.server) > 1 {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the server is in use: stop the HTTP servers on it, and end its transactions and snapshots, before other \
                 versions are deployed",
            ));
        }
        let options = self.options.clone().serving(serving);
        self.server.account_for_direct_writes()?;
        let database = self.server.database().clone();
        Ok(Self {
            server: Arc::new(opened(database, options.clone(), &self.kept)?),
            options,
            file: self.file.clone(),
            kept: self.kept.clone(),
        })
    }
}

fn serving_of(
    lineage: Lineage,
    served_from: Option<u32>,
    accepted_from: Option<u32>,
    current: Option<u32>,
) -> Serving {
    let mut serving = Serving::new(lineage);
    if let Some(version) = served_from {
        serving = serving.served_from(version);
    }
    if let Some(version) = accepted_from {
        serving = serving.accepted_from(version);
    }
    if let Some(version) = current {
        serving = serving.current(version);
    }
    serving
}

#[pymethods]
impl PySyncServer {
    #[new]
    #[pyo3(signature = (tables=None, *, lineage=None, path=None, store=None, policies=None, merge_functions=None, permissions=None,
        ledger=None, served_from=None, accepted_from=None, current=None, clock=None, seed=None))]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    fn new(
        py: Python<'_>,
        tables: Option<&Bound<'_, PyAny>>,
        lineage: Option<&PyLineage>,
        path: Option<PathBuf>,
        store: Option<&Bound<'_, DurableDatabase>>,
        policies: Option<&Bound<'_, PyAny>>,
        merge_functions: Option<&Bound<'_, PyAny>>,
        permissions: Option<Py<PyAny>>,
        ledger: Option<&Bound<'_, PyAny>>,
        served_from: Option<u32>,
        accepted_from: Option<u32>,
        current: Option<u32>,
        clock: Option<&PyClock>,
        seed: Option<u64>,
    ) -> PyResult<Self> {
        let mut options = SyncServerOptions::default();
        if let Some(seed) = seed {
            options.rng = Arc::new(SeededRng::new(seed));
        }
        if let Some(lineage) = lineage_of(py, tables, lineage)? {
            options = options.serving(serving_of(lineage, served_from, accepted_from, current));
        }
        if let Some(policies) = policies {
            for item in policies.cast::<PyMapping>()?.items()?.iter() {
                let (table, policy): (String, Bound<'_, PyAny>) = item.extract()?;
                let policy = match policy.cast::<PyPolicy>() {
                    Ok(policy) => policy.get().0.clone(),
                    Err(_) => options_of(&policy, &format!("policy of table '{table}'"))?,
                };
                options = options.policy(table, policy);
            }
        }
        if let Some(functions) = merge_functions {
            for item in functions.cast::<PyMapping>()?.items()?.iter() {
                let (name, function): (String, Py<PyAny>) = item.extract()?;
                options = with_merge_function(options, &name, function);
            }
        }
        if let Some(function) = permissions {
            options = options.permissions(permissions_by(function));
        }
        if let Some(ledger) = ledger {
            options = options.ledger(options_of(ledger, "ledger")?);
        }
        if path.is_some() && store.is_some() {
            return Err(PyTypeError::new_err(
                "give `path`, a file that `save` writes, or `store`, a folder that is written with every commit",
            ));
        }
        let file = path.map(|path| apart(py, true, move |_| DatabaseFile::open_or_create(path)));
        let file = file.transpose()?.map(Arc::new);
        let (mut database, kept) = database_of(store, clock)?;
        if let Some(file) = &file {
            database = file.database().clone();
        }
        options.store = kept.store().map(|store| store.id());
        let server = detached(py, || {
            kept.safely(|| opened(database, options.clone(), &kept))
        })?;
        let held = Held {
            server: Arc::new(server),
            options,
            file,
            kept,
        };
        Ok(Self(Arc::new(Mutex::new(Some(held)))))
    }

    /// Serves the versions of a longer lineage from now on: rows there are get its columns, and replicas of earlier versions go
    /// on, each with the columns that it has. Nobody may be served meanwhile: stop `syncdb.http.Server` before, and start it
    /// after. Raises `ConflictError` where somebody still uses it. Ctrl-C ends the wait, not the deployment.
    #[pyo3(signature = (lineage, *, served_from=None, accepted_from=None, current=None))]
    fn deploy(
        &self,
        py: Python<'_>,
        lineage: &PyLineage,
        served_from: Option<u32>,
        accepted_from: Option<u32>,
        current: Option<u32>,
    ) -> PyResult<()> {
        let serving = serving_of(lineage.0.clone(), served_from, accepted_from, current);
        let place = Arc::clone(&self.0);
        apart(py, true, move |_| {
            // Taken out, not kept locked: scripts of the lineage are Python's.
            let held = place.lock().take().ok_or_else(being_deployed)?;
            let deployed = held.deployed(serving);
            let (held, done) = match deployed {
                Ok(deployed) => (deployed, Ok(())),
                Err(error) => (held, Err(error)),
            };
            *place.lock() = Some(held);
            done
        })
    }

    /// Answers one request: bytes for bytes. `principal` is on whose behalf the replica speaks, whom the caller has
    /// authenticated.
    #[pyo3(signature = (request, *, principal=None))]
    fn handle<'py>(
        &self,
        py: Python<'py>,
        request: &[u8],
        principal: Option<&str>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let server = self.server(py)?;
        let principal = principal.map(Principal::from);
        let kept = self.kept();
        let answer = detached(py, || {
            kept.safely(|| server.handle_for(principal.as_ref(), request))
        })?;
        Ok(PyBytes::new(py, &answer))
    }

    /// Writes the database to its file, or to `path`: whole or not at all. Returns the number of bytes.
    #[pyo3(signature = (path=None))]
    fn save(&self, py: Python<'_>, path: Option<PathBuf>) -> PyResult<u64> {
        let server = self.server(py)?;
        let file = self.0.lock().as_ref().and_then(|held| held.file.clone());
        apart(py, true, move |_| {
            server.account_for_direct_writes()?;
            let saved = match (file, path) {
                (_, Some(path)) => durable::save(server.database(), path)?,
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

    /// Names of the application's tables.
    #[getter]
    fn tables(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        Ok(table_names(self.server(py)?.database()))
    }

    /// The schema of a table.
    fn schema(&self, py: Python<'_>, table: &str) -> PyResult<PySchema> {
        let collection = self.source(py)?.collection(table).or_raise(py)?;
        Ok(PySchema((*collection.schema()).clone()))
    }

    /// Inserts a row; replicas get it like any other.
    fn insert(&self, table: &str, row: &Bound<'_, PyAny>) -> PyResult<()> {
        let values = row_of(table, row)?;
        self.write(row.py(), |source| {
            source.collection(table)?.insert(values).map(drop)
        })
    }

    /// Inserts rows in one transaction: all or none.
    fn insert_many(&self, table: &str, rows: &Bound<'_, PyAny>) -> PyResult<usize> {
        let read = rows_of(table, rows)?;
        let number = read.len();
        let source = self.source(rows.py())?;
        let table = table.to_owned();
        apart(rows.py(), number > ROWS_UNCHECKED, move |watch| {
            let collection = source.collection(&table)?;
            let insert = |tx: &mut common::Transaction<'_>| {
                for (at, row) in read.into_iter().enumerate() {
                    watch.check()?;
                    tx.insert(&collection, row)
                        .map_err(|error| error.at(format!("row {at}")))?;
                }
                Ok(number)
            };
            source.kept.safely(|| source.database().transaction(insert))
        })
    }

    /// Inserts a row, or replaces the one with its key.
    fn upsert(&self, table: &str, row: &Bound<'_, PyAny>) -> PyResult<()> {
        let values = row_of(table, row)?;
        self.write(row.py(), |source| {
            source.collection(table)?.upsert(values).map(drop)
        })
    }

    /// Changes some columns of a row.
    fn update(
        &self,
        table: &str,
        key: &Bound<'_, PyAny>,
        changes: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (id, values) = (key_of(key)?, row_of(table, changes)?);
        self.write(key.py(), |source| {
            source.collection(table)?.update(id, values).map(drop)
        })
    }

    /// Deletes a row.
    fn delete(&self, table: &str, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let id = key_of(key)?;
        self.write(key.py(), |source| {
            source.collection(table)?.delete(id).map(drop)
        })
    }

    /// A transaction, for a `with` block.
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
        let collection = self.source(py)?.collection(table).or_raise(py)?;
        let record = py.detach(|| collection.try_get(id)).or_raise(py)?;
        record
            .map(|record| record_to_python(py, &collection, &record))
            .transpose()
    }

    /// Rows as dicts; as `SyncDb.query`.
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
        let source = self.source(py)?;
        let result = found_now(py, source.database(), query)?;
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
        let source = self.source(py)?;
        let query = counting(table, filter);
        found_now(py, source.database(), query).map(|result| counted(&result))
    }

    /// The state as of now, to be read while writes go on.
    fn snapshot(&self, py: Python<'_>) -> PyResult<Snapshot> {
        Ok(Snapshot::of(self.source(py)?))
    }

    /// Calls `callback` with a list of `Change`s after each commit; as `SyncDb.watch`.
    #[pyo3(signature = (callback, table=None))]
    fn watch(&self, py: Python<'_>, callback: Py<PyAny>, table: Option<String>) -> PyResult<Watch> {
        Ok(Watch::changes(&self.source(py)?, callback, table))
    }

    /// Calls `callback` when the result of a query changes; as `SyncDb.watch_query`.
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

    /// The conflicts in the ledger, oldest first; keywords choose among them.
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
        let server = self.server(py)?;
        let found = detached(py, || server.find_conflicts(&wanted))?;
        Ok(found.into_iter().map(LedgerEntry).collect())
    }

    /// Where a row and each of its columns came from, or why it is not there.
    fn explain(&self, table: &str, key: &Bound<'_, PyAny>) -> PyResult<Explanation> {
        let id = key_of(key)?;
        let server = self.server(key.py())?;
        detached(key.py(), || server.explain(table, id)).map(Explanation)
    }

    /// Lets stand what lost in a conflict, in a commit of its own; `id` is that of its entry in the ledger. Returns the new
    /// entries, and none when it stands anyway. Raises `ConflictError` when it was reverted before, or when somebody wrote there
    /// since and `force` is false.
    #[pyo3(signature = (id, *, force=false, principal=None))]
    fn revert(
        &self,
        py: Python<'_>,
        id: &str,
        force: bool,
        principal: Option<&str>,
    ) -> PyResult<Vec<LedgerEntry>> {
        let id: EntryId = id.parse::<EntryId>().or_raise(py)?;
        let options = RevertOptions {
            force,
            principal: principal.map(Text::new),
        };
        let server = self.server(py)?;
        let kept = self.kept();
        let revert = || match server.revert(id, &options)? {
            Reverted::Done(entries) => Ok(entries),
            Reverted::Unchanged => Ok(Vec::new()),
            Reverted::Already(by) => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "conflict {id} was reverted before, by {by}, which can be reverted in turn"
                ),
            )),
            Reverted::WrittenSince { replica, value, .. } => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "conflict {id} was written over since, by `{}`: {value} stands there; force=True replaces it",
                    replica.0
                ),
            )),
        };
        let entries = detached(py, || kept.safely(revert))?;
        Ok(entries.into_iter().map(LedgerEntry).collect())
    }

    /// Number of rows and what they add up to, as text.
    fn digest(&self, py: Python<'_>) -> PyResult<String> {
        let server = self.server(py)?;
        detached(py, || server.digest()).map(|digest| digest.to_string())
    }

    /// What the server has, as a dict: rows, last commit, clients, conflicts, ...
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let server = self.server(py)?;
        let status = detached(py, || Ok(server.status()))?;
        plain(py, &status)
    }

    /// The versions of the tables that replicas were heard of, as dicts with `version`, `replicas`, `last_heard`, `turned_away`.
    fn versions<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let server = self.server(py)?;
        let versions = detached(py, || Ok(server.versions()))?;
        let shown = versions.iter().map(|version| {
            let dict = plain(py, version)?;
            if let Some(Timestamp(micros)) = version.last_heard {
                dict.set_item("last_heard", time_to_python(py, Timestamp(micros))?)?;
            }
            Ok(dict)
        });
        shown.collect()
    }

    /// Drops the part of the log that no active replica needs; returns the number of changes dropped.
    fn prune(&self, py: Python<'_>) -> PyResult<usize> {
        let server = self.server(py)?;
        apart(py, true, move |_| server.prune())
    }

    /// Learns shared dictionaries from the rows of large tables, by which small changes take fewer bytes; returns how many are new.
    fn train_dictionaries(&self, py: Python<'_>) -> PyResult<usize> {
        let server = self.server(py)?;
        apart(py, true, move |_| server.train_dictionaries()).map(|trained| trained.len())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("SyncServer({})", self.tables(py)?.join(", ")))
    }
}
