//! The engine's contract tests, run over what Python code registered.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use common::Row;
use common::storage::Storage;
use pyo3::exceptions::{PyAssertionError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use testkit::contract;

use super::operation::row_of;
use super::registry::{codec_of, operation_of, storage_factory, versioning_of};
use super::storage::PythonStorage;
use crate::interchange::watch;

/// Checks an extension that is registered against the laws of its kind: `codec`, `operation`, `storage` or
/// `versioning`. For the tests of whoever writes one.
///
/// It is called with what strangers and storms would bring: damaged bytes, values of all kinds, many threads. An operation
/// needs `samples`: rows that it takes, rows that it refuses, and hostile ones. A storage's factory is called several times,
/// and makes an empty one each time. Raises `AssertionError` with the law that was broken and the input that broke it,
/// `KeyError` for a name that is not registered.
///
/// Not for formats: the engine has values, such as sparse vectors, that Python's objects do not tell apart.
#[pyfunction]
#[pyo3(signature = (kind, name, samples = Vec::new()), text_signature = "(kind, name, samples=())")]
#[expect(clippy::needless_pass_by_value, reason = "what Python hands over")]
pub(super) fn check_contract(
    py: Python<'_>,
    kind: &str,
    name: &str,
    samples: Vec<Bound<'_, PyDict>>,
) -> PyResult<()> {
    let samples: Vec<Row> = samples.iter().map(row_of).collect::<PyResult<_>>()?;
    if kind == "operation" && samples.is_empty() {
        return Err(PyValueError::new_err(
            "an operation is checked with `samples`: rows that it takes, and rows that it refuses",
        ));
    }
    match kind {
        "codec" => {
            let codec = codec_of(name)?;
            obeys(py, move || contract::codec(&*codec))
        }
        "operation" => {
            let operation = operation_of(name)?;
            obeys(py, move || {
                contract::transform(&operation, &samples, |a, b| a == b, None);
            })
        }
        "storage" => {
            let (factory, name) = (storage_factory(py, name)?, name.to_owned());
            obeys(py, move || contract::storage(|| opened(&factory, &name)))
        }
        "versioning" => {
            let versioning = versioning_of(name)?;
            obeys(py, move || contract::versioning(&*versioning))
        }
        _ => Err(PyValueError::new_err(format!(
            "there are laws for codec, operation, storage and versioning, not for {kind:?}"
        ))),
    }
}

/// A new storage of a factory.
fn opened(factory: &Py<PyAny>, name: &str) -> Box<dyn Storage> {
    let made = Python::attach(|py| {
        let object = factory.bind(py).call0()?;
        PythonStorage::new(name.to_owned(), &object)
    });
    // A panic is how a contract test says that a law is broken.
    Box::new(made.unwrap_or_else(|error| panic!("storage `{name}` cannot be made: {error}")))
}

/// Runs a contract test, which panics where a law is broken.
fn obeys(py: Python<'_>, test: impl FnOnce() + Send + 'static) -> PyResult<()> {
    let outcome = watch::run(py, None, move |_| Ok(catch_unwind(AssertUnwindSafe(test))))?;
    outcome.map_err(|law| PyAssertionError::new_err(said(&*law)))
}

/// What a panic said.
fn said(law: &(dyn Any + Send)) -> String {
    law.downcast_ref::<String>()
        .cloned()
        .or_else(|| law.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_else(|| "a law was broken".to_owned())
}
