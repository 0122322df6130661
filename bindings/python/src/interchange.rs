//! What native modules of the engine share: errors, values, times and columns on their way between Python and the crates.

mod columns;
mod home;
mod keys;
mod times;
mod values;

use std::cell::Cell;
use std::io;

use ::common::{Error, ErrorKind};
use pyo3::exceptions::{PyKeyError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

pub(crate) use columns::{Column, KeyList, Table, Units, array, borrowed, units_of};
pub(crate) use home::Home;
pub(crate) use keys::{id_of, key_by, key_to_python};
pub(crate) use times::{Naive, micros_of, micros_of_datetime, time_to_python};
pub(crate) use values::{
    DECIMAL, map_to_python, read_value, shortened, text_of, value_of, value_to_python,
};

/// An error of the engine, with its own message.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn raise(error: Error) -> PyErr {
    let message = error.to_string();
    match error.kind() {
        ErrorKind::NotFound => PyKeyError::new_err(message),
        ErrorKind::Closed => PyRuntimeError::new_err(message),
        ErrorKind::Io => os_error(&error, message),
        _ => PyValueError::new_err(message),
    }
}

/// With the number of the system's error, Python makes it `FileNotFoundError` and the like.
fn os_error(error: &Error, message: String) -> PyErr {
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        if let Some(number) = source
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
        {
            return PyOSError::new_err((number, message));
        }
        cause = source.source();
    }
    PyOSError::new_err(message)
}

thread_local! {
    /// Whether this thread writes a batch, and calls Python in between.
    static IS_WRITING: Cell<bool> = const { Cell::new(false) };
}

/// Runs what changes a database without the interpreter; refused within the progress callback of a batch, which would wait
/// for itself.
pub(crate) fn change<R: Send>(
    py: Python<'_>,
    run: impl FnOnce() -> Result<R, Error> + Send,
) -> PyResult<R> {
    if IS_WRITING.get() {
        return Err(PyRuntimeError::new_err(
            "a progress callback runs within a batch: the database can be changed after it, not from within",
        ));
    }
    py.detach(run).map_err(raise)
}

/// As `change`, of what calls Python now and then.
pub(crate) fn change_watched<R: Send>(
    py: Python<'_>,
    run: impl FnOnce() -> Result<R, Error> + Send,
) -> PyResult<R> {
    struct Done;
    impl Drop for Done {
        fn drop(&mut self) {
            IS_WRITING.set(false);
        }
    }
    change(py, || {
        IS_WRITING.set(true);
        let _done = Done;
        run()
    })
}

/// Reads what `serde` knows from dicts, lists and scalars, or from JSON text.
pub(crate) fn read<T: serde::de::DeserializeOwned>(
    what: &str,
    object: &Bound<'_, PyAny>,
) -> PyResult<T> {
    if let Ok(text) = object.extract::<String>() {
        return serde_json::from_str(&text)
            .map_err(|error| PyValueError::new_err(format!("this is no {what}: {error}")));
    }
    pythonize::depythonize(object)
        .map_err(|error| PyValueError::new_err(format!("this is no {what}: {error}")))
}

/// Writes what `serde` knows as dicts, lists and scalars.
pub(crate) fn write<'py, T: serde::Serialize>(
    py: Python<'py>,
    value: &T,
) -> PyResult<Bound<'py, PyAny>> {
    pythonize::pythonize(py, value).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Calls a method in the default executor of the running loop, and returns what can be awaited.
pub(crate) fn in_executor<'py>(
    object: &Bound<'py, PyAny>,
    method: &str,
    arguments: &Bound<'py, pyo3::types::PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let begin = vec![object.getattr(method)?];
    let all = begin.into_iter().chain(arguments.iter());
    let all = pyo3::types::PyTuple::new(py, all.collect::<Vec<_>>())?;
    let call = py
        .import("functools")?
        .getattr("partial")?
        .call(all, keywords)?;
    let running = py.import("asyncio")?.call_method0("get_running_loop")?;
    running.call_method1("run_in_executor", (py.None(), call))
}
