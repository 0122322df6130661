//! Transactions that a program holds open while its own code runs: edits are collected, and made together at the end.

use std::collections::HashMap;

use common::{
    Collection, Error, ErrorKind, Record, RecordId, Result, Row, Seq, Snapshot, Text, Timestamp,
    Value, View,
};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyType};
use syncdb::power::Priority;
use syncdb::{DeferredId, EntryId, Rejected, SyncTransaction};

use super::config::named;
use super::error::{OrRaise, detached};
use super::reading::{
    Owner, Parts, Source, counted, counting, filter_of, record_to_python, rows_to_python,
};
use super::value::{key_of, row_of, timestamp_of, value_of};

/// One edit, to be made again whenever the transaction is.
#[derive(Clone)]
pub(super) enum Edit {
    Insert(Row),
    Upsert(Row),
    Update(RecordId, Row),
    Delete(RecordId),
    Increment(RecordId, String, Value),
    AddToSet(RecordId, String, Value),
    RemoveFromSet(RecordId, String, Value),
}

/// An open transaction of the engine, which holds the writer's lock: never while Python runs.
enum Open<'a> {
    Replica(SyncTransaction<'a>),
    Server(common::Transaction<'a>),
}

impl<'a> Open<'a> {
    fn begin(source: &'a Source) -> Self {
        match &source.owner {
            Owner::Replica(db) => Self::Replica(db.begin()),
            Owner::Server(server) => Self::Server(server.database().begin()),
        }
    }

    fn get(&self, collection: &Collection, id: &RecordId) -> Result<Option<Record>> {
        match self {
            Self::Replica(tx) => tx.get(collection, id.clone()),
            Self::Server(tx) => tx.get(collection, id.clone()),
        }
    }

    fn view(&self) -> View<'_> {
        match self {
            Self::Replica(tx) => tx.view(),
            Self::Server(tx) => tx.view(),
        }
    }

    fn make(&mut self, collection: &Collection, edit: Edit) -> Result<()> {
        match (self, edit) {
            (Self::Replica(tx), edit) => make_in(tx, collection, edit),
            (Self::Server(tx), Edit::Insert(row)) => tx.insert(collection, row).map(drop),
            (Self::Server(tx), Edit::Upsert(row)) => tx.upsert(collection, row).map(drop),
            (Self::Server(tx), Edit::Update(id, row)) => tx.update(collection, id, row).map(drop),
            (Self::Server(tx), Edit::Delete(id)) => tx.delete(collection, id),
            (Self::Server(_), _) => Err(Error::new(
                ErrorKind::Unsupported,
                "counters and sets are edited at replicas; at the server write the value itself",
            )),
        }
    }

    fn commit(self) -> Result<Seq> {
        match self {
            Self::Replica(tx) => tx.commit().map(|committed| committed.seq),
            Self::Server(tx) => tx.commit().map(|committed| committed.seq),
        }
    }
}

/// What was done so far.
struct Collected {
    snapshot: Snapshot,
    edits: Vec<(Collection, Edit)>,
    /// Which edits concern a row.
    of_row: HashMap<(Text, RecordId), Vec<usize>>,
    /// The commit of each row that was read or written, as the transaction found it.
    seen: HashMap<(Text, RecordId), (Collection, Option<Seq>)>,
    reverts: Vec<(EntryId, bool)>,
    deferred: Vec<(String, Vec<u8>, Priority)>,
    finished: Vec<DeferredId>,
    priority: Option<Priority>,
    deadline: Option<Timestamp>,
    /// The rejected mutation that goes with this transaction, and whether its own edits are made again.
    retries: Option<(Rejected, bool)>,
}

impl Collected {
    fn see(&mut self, collection: &Collection, id: &RecordId) -> Result<Option<Record>> {
        let record = self.snapshot.get(collection, id.clone())?;
        let row = (Text::new(collection.name()), id.clone());
        let seq = record.as_ref().map(Record::seq);
        self.seen.entry(row).or_insert((collection.clone(), seq));
        Ok(record)
    }

    /// A transaction of the engine in which the edits of a rejected mutation were made again, if it is to be repeated.
    fn begin<'a>(&self, source: &'a Source) -> Result<Open<'a>> {
        let mut open = Open::begin(source);
        if let (Some((rejected, true)), Open::Replica(tx)) = (&self.retries, &mut open) {
            tx.repeat(rejected)?;
        }
        Ok(open)
    }

    fn repeats(&self) -> bool {
        matches!(self.retries, Some((_, true)))
    }

    /// Makes edits again in a transaction of the engine.
    fn repeat(&self, open: &mut Open<'_>, which: &[usize]) -> Result<()> {
        for at in which {
            if let Some((collection, edit)) = self.edits.get(*at) {
                open.make(collection, edit.clone())?;
            }
        }
        Ok(())
    }

    /// Tries an edit out on top of the earlier ones of its row, and keeps it.
    fn edit(&mut self, source: &Source, collection: Collection, edit: Edit) -> Result<()> {
        let id = match &edit {
            Edit::Insert(row) | Edit::Upsert(row) => key_in(&collection, row),
            Edit::Update(id, _)
            | Edit::Delete(id)
            | Edit::Increment(id, ..)
            | Edit::AddToSet(id, ..)
            | Edit::RemoveFromSet(id, ..) => Some(id.clone()),
        };
        let row = id.map(|id| (Text::new(collection.name()), id));
        if let Some((_, id)) = &row {
            self.see(&collection, id)?;
        }
        let earlier = row.as_ref().and_then(|row| self.of_row.get(row));
        let mut open = self.begin(source)?;
        self.repeat(&mut open, earlier.map(Vec::as_slice).unwrap_or_default())?;
        open.make(&collection, edit.clone())?;
        drop(open);
        if let Some(row) = row {
            self.of_row.entry(row).or_default().push(self.edits.len());
        }
        self.edits.push((collection, edit));
        Ok(())
    }

    fn get(
        &mut self,
        source: &Source,
        collection: &Collection,
        id: &RecordId,
    ) -> Result<Option<Record>> {
        let row = (Text::new(collection.name()), id.clone());
        let Some(earlier) = self.of_row.get(&row) else {
            return self.see(collection, id);
        };
        let mut open = self.begin(source)?;
        self.repeat(&mut open, earlier)?;
        open.get(collection, id)
    }

    /// Reads in the state as it is with all edits.
    fn read<T>(&self, source: &Source, read: impl FnOnce(&View<'_>) -> Result<T>) -> Result<T> {
        if self.edits.is_empty() && !self.repeats() {
            return read(&self.snapshot.view());
        }
        let mut open = self.begin(source)?;
        let all: Vec<usize> = (0..self.edits.len()).collect();
        self.repeat(&mut open, &all)?;
        read(&open.view())
    }

    fn commit(self, source: &Source) -> Result<Option<Seq>> {
        if let (Some((rejected, with_own_edits)), Owner::Replica(db)) =
            (self.retries, &source.owner)
        {
            let committed = db.retry_with(rejected.id, |tx, rejected| {
                if with_own_edits {
                    tx.repeat(rejected)?;
                }
                for (collection, edit) in self.edits {
                    make_in(tx, &collection, edit)?;
                }
                Ok(())
            });
            return committed.map(|committed| Some(committed.seq));
        }
        let is_empty = self.edits.is_empty()
            && self.reverts.is_empty()
            && self.deferred.is_empty()
            && self.finished.is_empty();
        if is_empty {
            return Ok(None);
        }
        let mut open = Open::begin(source);
        for ((table, id), (collection, seq)) in &self.seen {
            let now = open.get(collection, id)?.as_ref().map(Record::seq);
            if now != *seq {
                return Err(Error::conflict(format!(
                    "row {id} of table `{table}` was written by somebody else while the transaction was open; nothing \
                     was changed, run it again"
                )));
            }
        }
        if let Open::Replica(tx) = &mut open {
            if let Some(priority) = self.priority {
                tx.priority(priority);
            }
            if let Some(deadline) = self.deadline {
                tx.deadline(deadline);
            }
            for (id, force) in self.reverts {
                tx.revert(id, force)?;
            }
            for (name, payload, priority) in self.deferred {
                tx.defer(&name, &payload, priority)?;
            }
            for id in self.finished {
                tx.finish_deferred(id)?;
            }
        }
        for (collection, edit) in self.edits {
            open.make(&collection, edit)?;
        }
        open.commit().map(Some)
    }
}

fn make_in(tx: &mut SyncTransaction<'_>, collection: &Collection, edit: Edit) -> Result<()> {
    match edit {
        Edit::Insert(row) => tx.insert(collection, row).map(drop),
        Edit::Upsert(row) => tx.upsert(collection, row).map(drop),
        Edit::Update(id, row) => tx.update(collection, id, row).map(drop),
        Edit::Delete(id) => tx.delete(collection, id),
        Edit::Increment(id, column, by) => tx.increment(collection, id, &column, by).map(drop),
        Edit::AddToSet(id, column, element) => {
            tx.add_to_set(collection, id, &column, element).map(drop)
        }
        Edit::RemoveFromSet(id, column, element) => tx
            .remove_from_set(collection, id, &column, element)
            .map(drop),
    }
}

/// The key that a row has; nothing when a part of it is left out.
fn key_in(collection: &Collection, row: &Row) -> Option<RecordId> {
    let schema = collection.schema();
    let values = schema.key_fields().iter().map(|field| {
        let given = row.get(&field.name).cloned();
        given.or_else(|| field.default.clone())
    });
    Some(RecordId::composite(values.collect::<Option<Vec<_>>>()?))
}

/// Edits that take effect together, here and at the server. Commits at the end of a `with` block, and takes everything back
/// when that ends with an exception.
///
/// What is read inside is the state at its beginning with its own edits. When somebody else wrote a row that it read or wrote,
/// the commit raises `ConflictError` and changes nothing.
#[pyclass(frozen, module = "syncdb.engine")]
pub(super) struct Transaction {
    source: Source,
    collected: Mutex<Option<Collected>>,
}

impl Transaction {
    pub(super) fn begin(source: Source, retries: Option<(Rejected, bool)>) -> Self {
        let collected = Collected {
            snapshot: source.database().snapshot(),
            edits: Vec::new(),
            of_row: HashMap::new(),
            seen: HashMap::new(),
            reverts: Vec::new(),
            deferred: Vec::new(),
            finished: Vec::new(),
            priority: None,
            deadline: None,
            retries,
        };
        Self {
            source,
            collected: Mutex::new(Some(collected)),
        }
    }

    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Source, &mut Collected) -> Result<T> + Send,
    ) -> PyResult<T> {
        detached(py, || {
            let mut collected = self.collected.lock();
            let open = collected.as_mut().ok_or_else(over)?;
            work(&self.source, open)
        })
    }

    fn edit(&self, py: Python<'_>, table: &str, edit: Edit) -> PyResult<()> {
        self.with(py, |source, collected| {
            let collection = source.collection(table)?;
            collected.edit(source, collection, edit)
        })
    }
}

fn over() -> Error {
    Error::closed("the transaction is over; begin another one")
}

#[pymethods]
impl Transaction {
    /// Inserts a row.
    fn insert(&self, table: &str, row: &Bound<'_, PyAny>) -> PyResult<()> {
        self.edit(row.py(), table, Edit::Insert(row_of(table, row)?))
    }

    /// Inserts a row, or replaces the one with its key.
    fn upsert(&self, table: &str, row: &Bound<'_, PyAny>) -> PyResult<()> {
        self.edit(row.py(), table, Edit::Upsert(row_of(table, row)?))
    }

    /// Changes some columns of a row.
    fn update(
        &self,
        table: &str,
        key: &Bound<'_, PyAny>,
        changes: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let edit = Edit::Update(key_of(key)?, row_of(table, changes)?);
        self.edit(key.py(), table, edit)
    }

    /// Deletes a row.
    fn delete(&self, table: &str, key: &Bound<'_, PyAny>) -> PyResult<()> {
        self.edit(key.py(), table, Edit::Delete(key_of(key)?))
    }

    /// Adds to a counter.
    #[pyo3(signature = (table, key, column, by=None))]
    fn increment(
        &self,
        table: &str,
        key: &Bound<'_, PyAny>,
        column: String,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let by = by.map_or(Ok(Value::Int(1)), |by| value_of(by, "by"))?;
        self.edit(key.py(), table, Edit::Increment(key_of(key)?, column, by))
    }

    /// Adds an element to a set.
    fn add_to_set(
        &self,
        table: &str,
        key: &Bound<'_, PyAny>,
        column: String,
        element: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let edit = Edit::AddToSet(key_of(key)?, column, value_of(element, "element")?);
        self.edit(key.py(), table, edit)
    }

    /// Removes an element from a set.
    fn remove_from_set(
        &self,
        table: &str,
        key: &Bound<'_, PyAny>,
        column: String,
        element: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let edit = Edit::RemoveFromSet(key_of(key)?, column, value_of(element, "element")?);
        self.edit(key.py(), table, edit)
    }

    /// Asks the server to let stand what lost in a conflict, by the id of its entry in the ledger.
    #[pyo3(signature = (id, force=false))]
    fn revert(&self, py: Python<'_>, id: &str, force: bool) -> PyResult<()> {
        let id: EntryId = id.parse::<EntryId>().or_raise(py)?;
        self.with(py, |_, collected| {
            collected.reverts.push((id, force));
            Ok(())
        })
    }

    /// Defers an operation of the application's own, in the commit of this transaction.
    #[pyo3(signature = (name, payload=None, priority="medium"))]
    fn defer(
        &self,
        py: Python<'_>,
        name: String,
        payload: Option<&[u8]>,
        priority: &str,
    ) -> PyResult<()> {
        let priority = named(py, priority, "priority")?;
        let payload = payload.unwrap_or_default().to_vec();
        self.with(py, |_, collected| {
            collected.deferred.push((name, payload, priority));
            Ok(())
        })
    }

    /// Takes a deferred operation away in the commit of this transaction, because it has run.
    fn finish_deferred(&self, py: Python<'_>, id: u64) -> PyResult<()> {
        self.with(py, |_, collected| {
            collected.finished.push(DeferredId(id));
            Ok(())
        })
    }

    /// Sets how soon it has to leave: `"critical"`, `"high"`, `"medium"`, `"low"` or `"maintenance"`.
    fn priority(&self, py: Python<'_>, priority: &str) -> PyResult<()> {
        let priority = named(py, priority, "priority")?;
        self.with(py, |_, collected| {
            collected.priority = Some(priority);
            Ok(())
        })
    }

    /// Sets when it has to have left.
    fn deadline(&self, at: &Bound<'_, PyAny>) -> PyResult<()> {
        let deadline = timestamp_of(at)?;
        self.with(at.py(), |_, collected| {
            collected.deadline = Some(deadline);
            Ok(())
        })
    }

    /// The row of this key as a dict, or `None`.
    fn get<'py>(
        &self,
        table: &str,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let py = key.py();
        let id = key_of(key)?;
        let collection = self.source.collection(table).or_raise(py)?;
        let record = self.with(py, |source, collected| {
            collected.get(source, &collection, &id)
        })?;
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
        let result = self.with(py, |source, collected| {
            collected.read(source, |view| query.run(view))
        })?;
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
        self.with(py, |source, collected| {
            let query = counting(table, filter);
            collected.read(source, |view| {
                query.run(view).map(|result| counted(&result))
            })
        })
    }

    /// Makes all edits visible at once and queues them for the server; returns the number of the commit, or `None` when there
    /// was nothing to do.
    fn commit(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        let seq = detached(py, || {
            let collected = self.collected.lock().take().ok_or_else(over)?;
            self.source.kept.safely(|| collected.commit(&self.source))
        })?;
        Ok(seq.map(|seq| seq.0))
    }

    /// Takes everything back.
    fn rollback(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || {
            drop(self.collected.lock().take());
            Ok(())
        })
    }

    /// Whether it was neither committed nor rolled back yet.
    #[getter]
    fn is_open(&self, py: Python<'_>) -> PyResult<bool> {
        detached(py, || Ok(self.collected.lock().is_some()))
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (kind, _value, _traceback))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: Option<&Bound<'_, PyType>>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        if kind.is_some() {
            self.rollback(py)?;
        } else if self.is_open(py)? {
            self.commit(py)?;
        }
        Ok(false)
    }
}
