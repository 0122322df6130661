//! Callbacks that are told what changed.

use std::sync::Arc;

use common::query::{Difference, LiveQuery};
use common::versioning::{Change as EngineChange, ChangeKind};
use common::{Collection, Database, ErrorKind, Seq};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use super::error::OrRaise;
use super::reading::{Source, dict_of, record_to_python};
use crate::durable::Kept;
use crate::interchange::key_to_python;

/// Most changes that one call brings.
const CHANGES_MAX: usize = 10_000;

/// What one commit did to one row.
#[pyclass(frozen, module = "syncdb.engine")]
pub(super) struct Change {
    change: EngineChange,
    collection: Collection,
}

#[pymethods]
impl Change {
    /// Name of the table.
    #[getter]
    fn table(&self) -> &str {
        self.collection.name()
    }

    /// `"insert"`, `"update"` or `"delete"`.
    #[getter]
    fn kind(&self) -> &'static str {
        match self.change.kind {
            ChangeKind::Insert => "insert",
            ChangeKind::Update => "update",
            ChangeKind::Delete => "delete",
        }
    }

    /// Key of the row.
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        key_to_python(py, self.change.id().values())
    }

    /// The row after the change; `None` when it was deleted.
    #[getter]
    fn row<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let after = self.change.after();
        after
            .map(|record| record_to_python(py, &self.collection, record))
            .transpose()
    }

    /// Names of the columns whose values changed.
    #[getter]
    fn columns(&self) -> Vec<String> {
        let schema = self.collection.schema();
        let changed = self.change.columns.iter();
        changed
            .filter_map(|at| Some(schema.fields.get(at)?.name.to_string()))
            .collect()
    }

    /// Number of the commit.
    #[getter]
    fn seq(&self) -> u64 {
        self.change.seq.0
    }

    fn __repr__(&self) -> String {
        format!(
            "Change({} {} {})",
            self.kind(),
            self.table(),
            self.change.id()
        )
    }
}

/// What is delivered to whom.
enum Followed {
    /// Changes of a table, or of all that are the application's.
    Changes { table: Option<String>, seq: Seq },
    /// What becomes of a query's result.
    Query(Box<LiveQuery>),
}

struct State {
    /// Gone while its next message is made and delivered.
    followed: Option<Followed>,
    /// Whether something was committed meanwhile.
    again: bool,
    is_closed: bool,
    listener: u64,
}

struct Watched {
    db: Database,
    kept: Kept,
    callback: Py<PyAny>,
    state: Mutex<State>,
}

impl Watched {
    /// Delivers what there is. Called after each commit, by whoever made it, without any lock; what is committed by the
    /// callback itself, or by another thread meanwhile, is delivered when it has returned.
    fn deliver(&self) {
        let mut state = self.state.lock();
        state.again = true;
        let Some(mut followed) = state.followed.take() else {
            return;
        };
        while state.again && !state.is_closed {
            state.again = false;
            drop(state);
            let told = Python::try_attach(|py| {
                if let Err(error) = self.tell(py, &mut followed) {
                    error.write_unraisable(py, Some(self.callback.bind(py)));
                }
            });
            state = self.state.lock();
            if told.is_none() {
                break;
            }
        }
        state.followed = Some(followed);
    }

    fn tell(&self, py: Python<'_>, followed: &mut Followed) -> PyResult<()> {
        match followed {
            Followed::Changes { table, seq } => {
                let changes = py.detach(|| self.db.changes_since(*seq, CHANGES_MAX));
                let changes = match changes {
                    // The log is gone so far back: whoever follows it has to look at all rows.
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        *seq = self.db.seq();
                        self.callback.call1(py, (py.None(),))?;
                        return Ok(());
                    }
                    changes => changes.or_raise(py)?,
                };
                let Some(last) = changes.last() else {
                    return Ok(());
                };
                *seq = last.seq;
                if changes.len() >= CHANGES_MAX {
                    self.state.lock().again = true;
                }
                let collections = self.db.collections();
                let told = PyList::empty(py);
                for change in changes {
                    let found = collections.iter().find(|one| one.id() == change.table);
                    let Some(collection) = found else {
                        continue;
                    };
                    let is_wanted = match table {
                        Some(table) => collection.name() == table,
                        None => !collection.name().starts_with("sync_"),
                    };
                    if is_wanted {
                        let collection = collection.clone();
                        told.append(Py::new(py, Change { change, collection })?)?;
                    }
                }
                if !told.is_empty() {
                    self.settle(py)?;
                    self.callback.call1(py, (told,))?;
                }
            }
            Followed::Query(query) => {
                let differences = py.detach(|| query.poll()).or_raise(py)?;
                if !differences.is_empty() {
                    self.settle(py)?;
                    let told = differences_to_python(py, query, &differences)?;
                    self.callback.call1(py, (told,))?;
                }
            }
        }
        Ok(())
    }

    /// Waits until what is told is as safe as the store promises: a kill takes nothing back that somebody has heard of.
    fn settle(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.kept.settle()).or_raise(py)
    }
}

fn differences_to_python<'py>(
    py: Python<'py>,
    query: &LiveQuery,
    differences: &[Difference],
) -> PyResult<Bound<'py, PyList>> {
    let names: Vec<_> = query
        .columns()
        .iter()
        .map(|name| PyString::new(py, name))
        .collect();
    let told = PyList::empty(py);
    for difference in differences {
        let (kind, position, row) = match difference {
            Difference::Added { position, row } => ("added", position, row),
            Difference::Removed { position, row } => ("removed", position, row),
            Difference::Updated { position, row, .. } => ("updated", position, row),
        };
        told.append((kind, *position, dict_of(py, &names, row)?))?;
    }
    Ok(told)
}

/// A callback that is told of every commit until it is closed. Use it in a `with` block, or call `close`.
#[pyclass(frozen, module = "syncdb.engine")]
pub(super) struct Watch(Arc<Watched>);

impl Watch {
    fn start(source: &Source, callback: Py<PyAny>, followed: Followed) -> Self {
        let db = source.database();
        let watched = Arc::new(Watched {
            db: db.clone(),
            kept: source.kept.clone(),
            callback,
            state: Mutex::new(State {
                followed: Some(followed),
                again: false,
                is_closed: false,
                listener: 0,
            }),
        });
        let told = Arc::downgrade(&watched);
        let listener = db.add_listener(Arc::new(move |_| {
            if let Some(watched) = told.upgrade() {
                watched.deliver();
            }
        }));
        watched.state.lock().listener = listener;
        Self(watched)
    }

    pub(super) fn changes(source: &Source, callback: Py<PyAny>, table: Option<String>) -> Self {
        let seq = source.database().seq();
        Self::start(source, callback, Followed::Changes { table, seq })
    }

    pub(super) fn query(source: &Source, callback: Py<PyAny>, query: LiveQuery) -> Self {
        Self::start(source, callback, Followed::Query(Box::new(query)))
    }
}

#[pymethods]
impl Watch {
    /// Ends it: the callback is not called any more, but for a call that is under way.
    fn close(&self) {
        let listener = {
            let mut state = self.0.state.lock();
            state.is_closed = true;
            state.listener
        };
        self.0.db.remove_listener(listener);
    }

    /// Whether it was ended.
    #[getter]
    fn closed(&self) -> bool {
        self.0.state.lock().is_closed
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, _raised: &Bound<'_, pyo3::types::PyTuple>) -> bool {
        self.close();
        false
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.close();
    }
}
