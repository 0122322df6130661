//! The engine's contract tests, run over what Python code registered.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use std::sync::Arc;

use common::schema::{CustomRule, Schema};
use common::serialization::{Encoding, Format};
use common::storage::Storage;
use common::{Error, ErrorKind, Limits, Record, Result, Row, Value};
use pyo3::exceptions::{PyAssertionError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use testkit::contract;

use super::operation::row_of;
use super::registry::{codec_of, format_of, operation_of, rule_of, storage_factory, versioning_of};
use super::rule::{rule, taken};
use super::storage::PythonStorage;
use crate::interchange::{value_of, value_to_python, watch};

/// Checks an extension that is registered against the laws of its kind: `codec`, `format`, `operation`, `rule`, `storage`
/// or `versioning`. For the tests of whoever writes one.
///
/// It is called with what strangers and storms would bring: damaged bytes, values of all kinds, many threads. An operation
/// needs `samples`: rows that it takes, rows that it refuses, and hostile ones. A rule needs values that it accepts and
/// values that it refuses, and is asked about random ones of their kinds as well, for which it may not raise. A storage's
/// factory is called several times, and makes an empty one each time. A format raises `NotImplementedError` for a kind of
/// value that it does not hold. Raises `AssertionError` with the law that was broken and the input that broke it,
/// `KeyError` for a name that is not registered.
///
/// The engine has values that Python's objects do not tell apart, such as vectors of different elements; formats and rules
/// are not asked about those.
#[pyfunction]
#[pyo3(signature = (kind, name, samples = Vec::new()), text_signature = "(kind, name, samples=())")]
#[expect(clippy::needless_pass_by_value, reason = "what Python hands over")]
pub(super) fn check_contract(
    py: Python<'_>,
    kind: &str,
    name: &str,
    samples: Vec<Bound<'_, PyAny>>,
) -> PyResult<()> {
    if ["operation", "rule"].contains(&kind) && samples.is_empty() {
        return Err(PyValueError::new_err(format!(
            "give `samples` for {kind} `{name}`: some that it takes, and some that it refuses"
        )));
    }
    match kind {
        "codec" => {
            let codec = codec_of(name)?;
            obeys(py, move || contract::codec(&*codec))
        }
        "operation" => {
            let operation = operation_of(name)?;
            let samples: Vec<Row> = samples.iter().map(sample).collect::<PyResult<_>>()?;
            obeys(py, move || {
                contract::transform(&operation, &samples, |a, b| a == b, None);
            })
        }
        "format" => {
            let format = HeldByPython(format_of(name)?);
            obeys(py, move || contract::format(&format))
        }
        "rule" => {
            let check = rule(name.to_owned(), rule_of(py, name)?);
            let check = without_exceptions(name.to_owned(), check);
            let samples: Vec<Value> = samples.iter().map(value_of).collect::<PyResult<_>>()?;
            obeys(py, move || contract::rule(&check, &samples))
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
            "there are laws for codec, format, operation, rule, storage and versioning, not for {kind:?}"
        ))),
    }
}

fn sample(given: &Bound<'_, PyAny>) -> PyResult<Row> {
    let row = given.cast::<PyDict>().map_err(|_| {
        PyTypeError::new_err("samples of an operation are rows, as dicts of columns and values")
    })?;
    row_of(row)
}

/// Whether a value that Python code is handed is the same when it comes back.
fn comes_back(value: &Value) -> bool {
    Python::attach(|py| {
        let back = value_to_python(py, value).and_then(|object| value_of(&object));
        back.is_ok_and(|back| testkit::values::identical(&back, value))
    })
}

/// A format that is asked only about values that Python's objects stand for.
struct HeldByPython(Format);

impl HeldByPython {
    fn check<'a>(&self, values: impl IntoIterator<Item = &'a Value>) -> Result<()> {
        if values.into_iter().all(comes_back) {
            return Ok(());
        }
        let text = format!("format `{}`: Python has no such value", self.0.name());
        Err(Error::new(ErrorKind::Unsupported, text))
    }
}

impl Encoding for HeldByPython {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn tag(&self) -> u8 {
        self.0.tag()
    }

    fn encode_value(&self, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        self.check([value])?;
        self.0.encode_value(value, out)
    }

    fn decode_value(&self, bytes: &[u8], limits: &Limits) -> Result<Value> {
        self.0.decode_value(bytes, limits)
    }

    fn encode_rows(&self, schema: &Schema, records: &[Record], out: &mut Vec<u8>) -> Result<()> {
        self.check(records.iter().flat_map(Record::values))?;
        self.0.encode_rows(schema, records, out)
    }

    fn decode_rows(
        &self,
        schema: &Schema,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Vec<Vec<Value>>> {
        self.0.decode_rows(schema, bytes, limits)
    }
}

/// A rule that is asked only about values that Python's objects stand for, and for which raising is breaking a law.
fn without_exceptions(
    name: String,
    check: impl Fn(&Value) -> Option<String> + Send + Sync + 'static,
) -> CustomRule {
    Arc::new(move |value| {
        if !comes_back(value) {
            return None;
        }
        let answer = check(value);
        if let Some(raised) = taken() {
            panic!("rule `{name}` answers with what is wrong, and raised {raised} for {value:?}");
        }
        answer
    })
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
