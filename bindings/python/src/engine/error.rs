//! Errors of the engine as Python exceptions, and back.

use std::cell::Cell;

use common::{Error, ErrorKind};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::common::access::PythonClass;
use crate::interchange::watch::{self, Watch, raised, raised_in};

const MODULE: &str = "syncdb.engine.errors";

static INVALID: PythonClass = PythonClass::new(MODULE, "InvalidError");
static NOT_FOUND: PythonClass = PythonClass::new(MODULE, "NotFoundError");
static CONFLICT: PythonClass = PythonClass::new(MODULE, "ConflictError");
static CORRUPT: PythonClass = PythonClass::new(MODULE, "CorruptError");
static UNSUPPORTED: PythonClass = PythonClass::new(MODULE, "UnsupportedError");
static LIMIT_EXCEEDED: PythonClass = PythonClass::new(MODULE, "LimitExceededError");
static CLOSED: PythonClass = PythonClass::new(MODULE, "ClosedError");
static TRANSPORT: PythonClass = PythonClass::new(MODULE, "TransportError");

thread_local! {
    /// Whether this thread runs Python code for the engine, which holds its locks meanwhile.
    static CALLED_BY_ENGINE: Cell<bool> = const { Cell::new(false) };
}

/// The exception for an error; one that Python code raised is raised again.
pub(super) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    if let Some(raised) = raised_in(error) {
        return raised.clone_ref(py);
    }
    let class = match error.kind() {
        ErrorKind::NotFound => &NOT_FOUND,
        ErrorKind::Conflict => &CONFLICT,
        ErrorKind::Corrupt => &CORRUPT,
        ErrorKind::Unsupported => &UNSUPPORTED,
        ErrorKind::LimitExceeded => &LIMIT_EXCEEDED,
        ErrorKind::Closed => &CLOSED,
        ErrorKind::Io => &TRANSPORT,
        _ => &INVALID,
    };
    let violations: Vec<(&str, &str, &str)> = error
        .violations()
        .iter()
        .map(|broken| (&*broken.path, &*broken.rule, &*broken.message))
        .collect();
    let made = class
        .get(py)
        .and_then(|class| class.call1((error.to_string(), violations)));
    match made {
        Ok(made) => PyErr::from_value(made),
        Err(raised) => raised,
    }
}

/// Results of the engine as results of Python.
pub(super) trait OrRaise<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for common::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| exception(py, &error))
    }
}

/// Refuses, within Python code that the engine calls, what waits for the engine.
fn refuse_within_engine() -> PyResult<()> {
    if CALLED_BY_ENGINE.get() {
        return Err(PyRuntimeError::new_err(
            "a merge function, migration script or permission may not write, sync or explain: the database waits for it; \
             let it look at its arguments only",
        ));
    }
    Ok(())
}

/// Runs what may wait for the engine's locks without holding the interpreter: whoever has them may need it.
pub(super) fn detached<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> common::Result<T> + Send,
) -> PyResult<T> {
    refuse_within_engine()?;
    py.detach(work).or_raise(py)
}

/// As [`detached`] for what may take long; Ctrl-C does not wait for it then.
pub(super) fn apart<T: Send + 'static>(
    py: Python<'_>,
    is_long: bool,
    work: impl FnOnce(&Watch) -> common::Result<T> + Send + 'static,
) -> PyResult<T> {
    refuse_within_engine()?;
    watch::outcome(py, is_long, None, work)?.or_raise(py)
}

/// As [`detached`] for what calls Python in this thread on its way.
pub(super) fn here<T: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&Watch) -> common::Result<T> + Send,
) -> PyResult<T> {
    refuse_within_engine()?;
    watch::here(py, progress, work).or_raise(py)
}

/// How many rows are written or converted before Ctrl-C has waited too long.
pub(super) const ROWS_UNCHECKED: usize = 1_024;

/// Lets other threads of Python run, and looks for Ctrl-C.
pub(super) fn let_others_run(py: Python<'_>) -> PyResult<()> {
    py.detach(std::thread::yield_now);
    py.check_signals()
}

/// Calls Python code on the engine's behalf, which may hold locks: what would wait for them is refused meanwhile.
pub(super) fn called_by_engine<T>(
    work: impl FnOnce(Python<'_>) -> PyResult<T>,
) -> common::Result<T> {
    let called = Python::try_attach(|py| {
        let outer = CALLED_BY_ENGINE.replace(true);
        let result = work(py);
        CALLED_BY_ENGINE.set(outer);
        result
    });
    match called {
        Some(result) => result.map_err(raised),
        None => Err(Error::closed("the Python interpreter has ended")),
    }
}
