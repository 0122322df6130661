//! What the Python module `tandemdb.durable` calls: databases that a folder keeps, for every package.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::common::{Error, ErrorKind, Result, Seq};
use ::durable::{Durability, DurableOptions, Recovery, Until};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::common::access::PythonClass;
use crate::interchange::{micros_of, raise, watch};

static LOCKED: PythonClass = PythonClass::new("tandemdb.durable", "LockedError");
static DAMAGED: PythonClass = PythonClass::new("tandemdb.durable", "DamagedError");

/// As everywhere, but for what a folder may be: in use, or damaged.
fn raise_of_folder(py: Python<'_>, error: Error) -> PyErr {
    let class = match error.kind() {
        ErrorKind::Conflict => &LOCKED,
        ErrorKind::Corrupt => &DAMAGED,
        _ => return raise(error),
    };
    let made = class
        .get(py)
        .and_then(|class| class.call1((error.to_string(),)));
    made.map_or_else(|raised| raised, PyErr::from_value)
}

/// Reads or writes a folder in a thread of its own: Ctrl-C does not wait for it.
fn apart<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> PyResult<T> {
    watch::outcome(py, true, None, move |_| work())?.map_err(|error| raise_of_folder(py, error))
}

/// The store of a handle, if it has one: what it writes is waited for.
#[derive(Clone, Default)]
pub(crate) struct Kept(Option<Arc<::durable::DurableDatabase>>);

impl Kept {
    /// The store that a caller gave.
    pub(crate) fn of(store: Option<&Bound<'_, DurableDatabase>>) -> Self {
        Self(store.map(|store| Arc::clone(&store.get().0)))
    }

    pub(crate) const fn store(&self) -> Option<&Arc<::durable::DurableDatabase>> {
        self.0.as_ref()
    }

    /// Waits until every commit until now is as safe as the store promises. A database in memory has nothing to wait for.
    ///
    /// # Errors
    /// As [`::durable::DurableDatabase::wait`].
    pub(crate) fn settle(&self) -> Result<()> {
        let wait = |store: &Arc<::durable::DurableDatabase>| store.wait(store.database().seq());
        self.0.as_ref().map_or(Ok(()), wait)
    }

    /// Does what writes, and waits until it is safe.
    ///
    /// # Errors
    /// Those of the work, and as [`Kept::settle`].
    pub(crate) fn safely<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let done = work()?;
        self.settle()?;
        Ok(done)
    }

    /// As [`Kept::safely`] for what may rebuild tables, which no snapshot of the store may meet: it waits for one that is being
    /// made, and none begins meanwhile.
    ///
    /// # Errors
    /// As [`Kept::safely`].
    pub(crate) fn altering<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.safely(|| {
            let _held = self.store().map(|store| store.hold_checkpoints());
            work()
        })
    }
}

/// When a commit is on the disk.
fn durability_of(given: &Bound<'_, PyAny>) -> PyResult<Durability> {
    if let Ok(name) = given.cast::<PyString>() {
        return match &*name.to_cow()? {
            "every_commit" => Ok(Durability::EveryCommit),
            "none" => Ok(Durability::None),
            name => Err(PyValueError::new_err(format!(
                "there is no durability '{name}'; it is 'every_commit', a number of seconds between syncs, or 'none'"
            ))),
        };
    }
    let seconds: f64 = given.extract().map_err(|_| {
        PyTypeError::new_err("durability is 'every_commit', a number of seconds, or 'none'")
    })?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(every) if !every.is_zero() => Ok(Durability::Every(every)),
        _ => Err(PyValueError::new_err(format!(
            "durability is a number of seconds above 0, not {seconds}"
        ))),
    }
}

fn recovery_to_python<'py>(py: Python<'py>, found: &Recovery) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("snapshot", found.snapshot.0)?;
    dict.set_item("seq", found.seq.0)?;
    dict.set_item("entries", found.entries)?;
    dict.set_item("torn_bytes", found.torn_bytes)?;
    dict.set_item("was_closed", found.was_closed)?;
    Ok(dict)
}

/// A database that a folder keeps: all of it in memory, every change in a log on the disk before it counts.
///
/// Give it as `store` to `syncdb.engine.SyncDb` and `SyncServer`, `vectordb.collections.VectorDb` and
/// `vectordb.features.FeatureStore`; one store may have them all, but only one replica or server. A method of theirs that
/// writes returns when its commit is as safe as `durability` says: `'every_commit'` is on the disk, and commits of several
/// threads share one sync; a number of seconds is how often the disk is synced, so that a power cut may lose that much, and
/// a killed process nothing; `'none'` leaves syncs to snapshots.
///
/// After `checkpoint_bytes` of log a snapshot is made beside the writers. `archive` is a folder that keeps the log's old
/// segments, for `restore` to any commit. Raises `LockedError` while another program has the folder, `DamagedError` with file
/// and byte where something is damaged that was safe on the disk before.
#[pyclass(frozen, module = "tandemdb.durable")]
pub(crate) struct DurableDatabase(Arc<::durable::DurableDatabase>);

#[pymethods]
impl DurableDatabase {
    #[new]
    #[pyo3(signature = (folder, *, durability=None, checkpoint_bytes=67_108_864, archive=None))]
    fn new(
        py: Python<'_>,
        folder: PathBuf,
        durability: Option<&Bound<'_, PyAny>>,
        checkpoint_bytes: u64,
        archive: Option<PathBuf>,
    ) -> PyResult<Self> {
        let mut options = DurableOptions::default().checkpoint_bytes(checkpoint_bytes.max(1));
        if let Some(given) = durability {
            options = options.durability(durability_of(given)?);
        }
        options.archive = archive;
        // Rules and storages of Python's belong to tables of `common.extensions`, which are in memory.
        let store = apart(py, move || {
            ::durable::DurableDatabase::open(folder, options)
        })?;
        Ok(Self(Arc::new(store)))
    }

    /// Where the files are.
    #[getter]
    fn folder(&self) -> PathBuf {
        self.0.folder().to_owned()
    }

    /// What was found when the folder was opened: the commits of the snapshot and at the end, entries of the log since,
    /// bytes that a kill left half written and that were cut off, and whether the last program closed it.
    #[getter]
    fn recovery<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        recovery_to_python(py, self.0.recovery())
    }

    /// Number of the last commit.
    #[getter]
    fn seq(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.0.database().seq().0)
    }

    /// Number of the last commit that is on the disk.
    #[getter]
    fn durable_seq(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.0.durable_seq().0)
    }

    /// Why writes are refused, once the log has failed; `None` as long as all is well.
    #[getter]
    fn failure(&self, py: Python<'_>) -> Option<String> {
        py.detach(|| self.0.failure().map(|error| error.to_string()))
    }

    /// Waits until everything until now is as safe as `durability` says: for what other threads and live syncs wrote.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        let kept = Kept(Some(Arc::clone(&self.0)));
        apart(py, move || kept.settle())
    }

    /// Makes a snapshot beside running writers, and removes the log that is not needed any more; its bytes.
    fn checkpoint(&self, py: Python<'_>) -> PyResult<u64> {
        let store = Arc::clone(&self.0);
        apart(py, move || store.checkpoint().map(|saved| saved.bytes))
    }

    /// Writes a consistent copy into an empty folder beside running writers, which opens like any other; its bytes.
    fn backup(&self, py: Python<'_>, to: PathBuf) -> PyResult<u64> {
        let store = Arc::clone(&self.0);
        apart(py, move || store.backup(to).map(|saved| saved.bytes))
    }

    /// Syncs everything, ends the log, and gives the folder free. What still uses the store reads what it held, and is refused
    /// writes.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.0.close())
            .map_err(|error| raise_of_folder(py, error))
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, py: Python<'_>, _raised: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self) -> String {
        format!("DurableDatabase({})", self.0.folder().display())
    }
}

/// Reads everything in a folder as opening it does, and changes nothing. Raises `DamagedError`, `LockedError`, or `KeyError`
/// where there is no database.
#[pyfunction]
fn verify(py: Python<'_>, folder: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let found = apart(py, move || ::durable::verify(folder))?;
    recovery_to_python(py, &found)
}

/// Cuts a damaged log at its last whole entry, so that the folder opens again; what is cut off is kept in files beside it.
///
/// Returns the bytes that were cut off, and those files. Raises `DamagedError` when the damage is elsewhere, and only a backup
/// helps.
#[pyfunction]
fn repair(py: Python<'_>, folder: PathBuf) -> PyResult<(u64, Vec<PathBuf>)> {
    let done = apart(py, move || ::durable::repair(folder))?;
    Ok((done.cut_bytes, done.kept))
}

/// Makes a database in the empty folder `to` from a backup and the log's segments in the folders `logs` (archives, or the
/// folder of the database itself): to their end, to a commit (`seq`) or to the last one not after a `time`. Returns the number
/// of its last commit.
#[pyfunction]
#[pyo3(signature = (backup, logs, to, *, seq=None, time=None))]
fn restore(
    py: Python<'_>,
    backup: PathBuf,
    logs: Vec<PathBuf>,
    to: PathBuf,
    seq: Option<u64>,
    time: Option<&Bound<'_, PyAny>>,
) -> PyResult<u64> {
    let until = match (seq, time) {
        (None, None) => Until::End,
        (Some(seq), None) => Until::Seq(Seq(seq)),
        (None, Some(time)) => Until::Time(micros_of(time)?),
        (Some(_), Some(_)) => {
            return Err(PyTypeError::new_err("give `seq` or `time`, not both"));
        }
    };
    apart(py, move || {
        ::durable::restore(backup, &logs, to, until).map(|seq| seq.0)
    })
}

/// Native parts of `tandemdb.durable`.
#[pymodule]
pub(crate) mod durable {
    #[pymodule_export]
    use super::{DurableDatabase, repair, restore, verify};
}
