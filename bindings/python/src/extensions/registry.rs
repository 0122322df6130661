//! What was registered, and the engine's functions that find it by name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use common::optimization::compression::{Codec, CodecRegistry, Compression};
use common::schema::RuleRegistry;
use common::serialization::{Format, FormatRegistry};
use common::transform::{
    OperationRegistry, OperationSpec, Pipeline, PipelineSpec, RecordOp, StepSpec,
};
use common::versioning::{ReplicaId, Version, Versioning};
use common::{Error, Limits, Row, Value};
use parking_lot::Mutex;
use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use super::call::{bytes_of, raised};
use super::codec::PythonCodec;
use super::format::PythonFormat;
use super::operation::{PythonOperation, dict_of, row_of};
use super::rule::{answer, rule};
use super::versioning::{PythonVersioning, order_of};
use crate::interchange::{value_of, value_to_python};

/// Extensions by kind and name. Locked only to look up and to add; what is found is used after that.
static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

/// Whether any rule was registered, so that schemas need not look for theirs.
static HAS_RULES: AtomicBool = AtomicBool::new(false);

struct Registry {
    codecs: CodecRegistry,
    codecs_by_name: BTreeMap<String, Arc<dyn Codec>>,
    formats: FormatRegistry,
    versionings: BTreeMap<String, Arc<dyn Versioning>>,
    operations: OperationRegistry<Row>,
    own_operations: BTreeMap<String, PythonOperation>,
    rules: BTreeMap<String, Py<PyAny>>,
    storages: BTreeMap<String, Py<PyAny>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            codecs: CodecRegistry::default(),
            codecs_by_name: BTreeMap::new(),
            formats: FormatRegistry::default(),
            versionings: BTreeMap::new(),
            operations: RecordOp::registry(),
            own_operations: BTreeMap::new(),
            rules: BTreeMap::new(),
            storages: BTreeMap::new(),
        }
    }
}

fn unknown(kind: &str, name: &str) -> PyErr {
    PyKeyError::new_err(format!(
        "no {kind} is registered as `{name}`; register it first"
    ))
}

fn callable(object: &Bound<'_, PyAny>, what: &str) -> PyResult<()> {
    if object.is_callable() {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!("{what} must be callable")))
}

/// Registers a compression algorithm: an object with `tag` (128 to 255), `name`, `compress` and `decompress`.
///
/// Raises `ValueError` when the tag or the name is taken.
#[pyfunction]
pub(super) fn register_codec(codec: &Bound<'_, PyAny>) -> PyResult<()> {
    let own: Arc<dyn Codec> = Arc::new(PythonCodec::new(codec)?);
    let name = own.name().to_owned();
    let mut registry = REGISTRY.lock();
    let done = registry.codecs.register(Arc::clone(&own));
    if done.is_ok() {
        registry.codecs_by_name.insert(name, own);
    }
    drop(registry);
    done.map_err(|error| raised(codec.py(), &error))
}

/// Registers a serialization format: an object with `tag` (128 to 255), `name`, `encode` and `decode`.
///
/// Raises `ValueError` when the tag or the name is taken.
#[pyfunction]
pub(super) fn register_format(format: &Bound<'_, PyAny>) -> PyResult<()> {
    let own = Arc::new(PythonFormat::new(format)?);
    let done = REGISTRY.lock().formats.register(own);
    done.map(drop).map_err(|error| raised(format.py(), &error))
}

/// Registers a versioning mechanism: an object with `name`, `next` and `compare`. Raises `ValueError` for a name that is
/// taken.
#[pyfunction]
pub(super) fn register_versioning(versioning: &Bound<'_, PyAny>) -> PyResult<()> {
    let own: Arc<dyn Versioning> = Arc::new(PythonVersioning::new(versioning)?);
    let name = own.name().to_owned();
    let is_built_in = ["counter", "hlc", "vector"].contains(&name.as_str());
    let mut registry = REGISTRY.lock();
    if is_built_in || registry.versionings.contains_key(&name) {
        drop(registry);
        let error = Error::conflict(format!("there is a versioning named `{name}` already"));
        return Err(raised(versioning.py(), &error));
    }
    registry.versionings.insert(name, own);
    Ok(())
}

/// Registers a storage strategy: a callable that makes an object with `get`, `put`, `remove` and `keys`.
#[pyfunction]
pub(super) fn register_storage(name: String, factory: Bound<'_, PyAny>) -> PyResult<()> {
    callable(&factory, "what makes a storage")?;
    let old = REGISTRY.lock().storages.insert(name, factory.unbind());
    drop(old);
    Ok(())
}

/// Registers a rule for values: a callable that returns what is wrong with one, or `None`.
#[pyfunction]
pub(super) fn register_rule(name: String, check: Bound<'_, PyAny>) -> PyResult<()> {
    callable(&check, "a rule")?;
    let old = REGISTRY.lock().rules.insert(name, check.unbind());
    HAS_RULES.store(true, Ordering::Release);
    drop(old);
    Ok(())
}

/// Registers an operation on rows: a callable from dict to dict. Raises `ValueError` for a name that is taken.
#[pyfunction]
#[pyo3(signature = (name, function, version=1))]
pub(super) fn register_operation(
    name: String,
    function: &Bound<'_, PyAny>,
    version: u32,
) -> PyResult<()> {
    callable(function, "an operation")?;
    let own = PythonOperation {
        name: name.clone(),
        version,
        function: Arc::new(function.clone().unbind()),
    };
    let kept = own.clone();
    let mut registry = REGISTRY.lock();
    let done = registry.operations.register(name.as_str(), move |spec| {
        if spec.version != own.version {
            return Err(Error::new(
                common::ErrorKind::Unsupported,
                format!(
                    "operation `{}` is registered in version {}, not {}",
                    own.name, own.version, spec.version
                ),
            ));
        }
        Ok(Arc::new(own.clone()) as Arc<_>)
    });
    if done.is_ok() {
        registry.own_operations.insert(name, kept);
    }
    drop(registry);
    done.map_err(|error| raised(function.py(), &error))
}

/// Names of what is registered, the engine's own included, by kind.
#[pyfunction]
pub(super) fn registered(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let registry = REGISTRY.lock();
    let own = |names: &[&str], more: Vec<String>| -> Vec<String> {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .chain(more)
            .collect()
    };
    let codecs = own(
        &["none", "lz4", "zstd"],
        registry.codecs_by_name.keys().cloned().collect(),
    );
    let formats: Vec<String> = registry
        .formats
        .iter()
        .map(|format| format.name().to_owned())
        .collect();
    let versionings = own(
        &["counter", "hlc", "vector"],
        registry.versionings.keys().cloned().collect(),
    );
    let operations: Vec<String> = registry
        .operations
        .names()
        .map(ToString::to_string)
        .collect();
    let rules: Vec<String> = registry.rules.keys().cloned().collect();
    let storages = own(
        &["hash", "ordered"],
        registry.storages.keys().cloned().collect(),
    );
    drop(registry);
    let all = PyDict::new(py);
    all.set_item("codec", codecs)?;
    all.set_item("format", formats)?;
    all.set_item("operation", operations)?;
    all.set_item("rule", rules)?;
    all.set_item("storage", storages)?;
    all.set_item("versioning", versionings)?;
    Ok(all)
}

/// The registered codec of a name.
pub(super) fn codec_of(name: &str) -> PyResult<Arc<dyn Codec>> {
    let found = REGISTRY.lock().codecs_by_name.get(name).cloned();
    found.ok_or_else(|| unknown("codec", name))
}

/// The registered operation of a name.
pub(super) fn operation_of(name: &str) -> PyResult<PythonOperation> {
    let found = REGISTRY.lock().own_operations.get(name).cloned();
    found.ok_or_else(|| unknown("operation", name))
}

/// Bytes in a frame that says how they were packed and whether they are whole.
#[pyfunction]
#[pyo3(signature = (data, codec="zstd"))]
pub(super) fn pack<'py>(data: &Bound<'py, PyAny>, codec: &str) -> PyResult<Bound<'py, PyBytes>> {
    let py = data.py();
    let raw = bytes_of(data)?;
    let compression = match codec {
        "none" => Compression::None,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::zstd(),
        name => Compression::Custom(codec_of(name)?),
    };
    let raw = raw.as_bytes();
    let packed = py.detach(|| compression.encode(raw));
    Ok(PyBytes::new(
        py,
        &packed.map_err(|error| raised(py, &error))?,
    ))
}

/// What was packed. Raises `ValueError` for what is no frame, or one that was damaged.
#[pyfunction]
pub(super) fn unpack<'py>(frame: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let py = frame.py();
    let frame = bytes_of(frame)?;
    let codecs = REGISTRY.lock().codecs.clone();
    let bytes = frame.as_bytes();
    let raw = py.detach(|| codecs.decode(bytes, &Limits::default()));
    Ok(PyBytes::new(py, &raw.map_err(|error| raised(py, &error))?))
}

/// The format of a name.
pub(super) fn format_of(name: &str) -> PyResult<Format> {
    let found = REGISTRY.lock().formats.by_name(name);
    found.map_err(|error| PyKeyError::new_err(error.to_string()))
}

/// A value in a format.
#[pyfunction]
#[pyo3(signature = (value, format="json"))]
pub(super) fn encode<'py>(
    value: &Bound<'py, PyAny>,
    format: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = value.py();
    let (format, value) = (format_of(format)?, value_of(value)?);
    let bytes = py.detach(|| {
        let mut bytes = Vec::new();
        format.encode_value(&value, &mut bytes).map(|()| bytes)
    });
    Ok(PyBytes::new(
        py,
        &bytes.map_err(|error| raised(py, &error))?,
    ))
}

/// Inverse of `encode`.
#[pyfunction]
#[pyo3(signature = (data, format="json"))]
pub(super) fn decode<'py>(data: &Bound<'py, PyAny>, format: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = data.py();
    let (format, data) = (format_of(format)?, bytes_of(data)?);
    let bytes = data.as_bytes();
    let value = py.detach(|| format.decode_value(bytes, &Limits::default()));
    value_to_python(py, &value.map_err(|error| raised(py, &error))?)
}

/// The registered versioning of a name.
pub(super) fn versioning_of(name: &str) -> PyResult<Arc<dyn Versioning>> {
    let found = REGISTRY.lock().versionings.get(name).cloned();
    found.ok_or_else(|| unknown("versioning", name))
}

fn version_of(mechanism: &str, bytes: &Bound<'_, PyAny>) -> PyResult<Version> {
    Ok(Version::Custom {
        mechanism: mechanism.into(),
        bytes: bytes_of(bytes)?.as_bytes().to_vec(),
    })
}

/// The version after `previous` (`None` for the first), made by `replica`.
#[pyfunction]
#[pyo3(signature = (versioning, previous, replica))]
pub(super) fn next_version<'py>(
    py: Python<'py>,
    versioning: &str,
    previous: Option<&Bound<'py, PyAny>>,
    replica: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let own = versioning_of(versioning)?;
    let previous = previous
        .map(|bytes| version_of(versioning, bytes))
        .transpose()?;
    let replica = ReplicaId::from(replica);
    let next = py.detach(|| own.next(previous.as_ref(), &replica));
    match next.map_err(|error| raised(py, &error))? {
        Version::Custom { bytes, .. } => Ok(PyBytes::new(py, &bytes)),
        other => Err(PyTypeError::new_err(format!(
            "versioning `{versioning}` made a version of mechanism `{}`",
            other.mechanism()
        ))),
    }
}

/// -1 when `a` was known to the maker of `b`, 1 the other way round, 0 when they are the same, `None` when neither.
#[pyfunction]
pub(super) fn compare_versions(
    py: Python<'_>,
    versioning: &str,
    a: &Bound<'_, PyAny>,
    b: &Bound<'_, PyAny>,
) -> PyResult<Option<i64>> {
    let own = versioning_of(versioning)?;
    let (a, b) = (version_of(versioning, a)?, version_of(versioning, b)?);
    let found = py.detach(|| own.compare(&a, &b));
    Ok(order_of(found.map_err(|error| raised(py, &error))?))
}

/// One step of a pipeline: a name, or a dict of `name`, `version` and `parameters`.
fn spec_of(step: &Bound<'_, PyAny>) -> PyResult<OperationSpec> {
    let py = step.py();
    let (name, version, parameters) = match step.cast::<PyDict>() {
        Ok(dict) => {
            let name = dict
                .get_item(intern!(py, "name"))?
                .ok_or_else(|| PyKeyError::new_err("a step has a name"))?;
            let version = dict.get_item(intern!(py, "version"))?;
            let parameters = dict.get_item(intern!(py, "parameters"))?;
            (
                name.cast::<PyString>()?.to_cow()?.into_owned(),
                version.map(|version| version.extract()).transpose()?,
                parameters.map_or(Ok(Value::Null), |given| value_of(&given))?,
            )
        }
        Err(_) => (
            step.cast::<PyString>()?.to_cow()?.into_owned(),
            None,
            Value::Null,
        ),
    };
    let registered = || {
        let registry = REGISTRY.lock();
        registry.own_operations.get(&name).map(|own| own.version)
    };
    Ok(OperationSpec {
        version: version.or_else(registered).unwrap_or(1),
        name: name.into(),
        parameters,
    })
}

/// Rows after some operations, and those that were refused: position, name of the step, exception.
#[pyfunction]
pub(super) fn transform<'py>(
    rows: &Bound<'py, PyAny>,
    steps: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>)> {
    let py = rows.py();
    let mut spec = PipelineSpec { steps: Vec::new() };
    for (at, step) in steps.try_iter()?.enumerate() {
        let operation = spec_of(&step?)?;
        spec.steps.push(StepSpec {
            name: format!("{} {}", at + 1, operation.name).into(),
            operation,
        });
    }
    let operations = REGISTRY.lock().operations.clone();
    let pipeline = Pipeline::build(&spec, &operations).map_err(|error| raised(py, &error))?;
    let mut items = Vec::new();
    for row in rows.try_iter()? {
        items.push(row_of(row?.cast::<PyDict>()?)?);
    }
    let outcome = py
        .detach(|| pipeline.apply(items))
        .map_err(|error| raised(py, &error))?;
    let rows = PyList::empty(py);
    for row in &outcome.items {
        rows.append(dict_of(py, row)?)?;
    }
    let rejected = PyList::empty(py);
    for one in &outcome.rejected {
        let exception = raised(py, &one.error).into_value(py);
        rejected.append((one.item, one.step.as_str(), exception))?;
    }
    Ok((rows, rejected))
}

/// The rules of the names, for a database of the engine.
pub(super) fn rules(py: Python<'_>) -> RuleRegistry {
    let mut rules = RuleRegistry::default();
    let registry = REGISTRY.lock();
    for (name, check) in &registry.rules {
        rules.register(name.as_str(), rule(name.clone(), check.clone_ref(py)));
    }
    rules
}

/// Whether there is a rule of that name.
pub(super) fn has_rule(name: &str) -> bool {
    REGISTRY.lock().rules.contains_key(name)
}

/// What makes storages of a name.
pub(super) fn storage_factory(py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
    let registry = REGISTRY.lock();
    let found = registry
        .storages
        .get(name)
        .map(|factory| factory.clone_ref(py));
    drop(registry);
    found.ok_or_else(|| unknown("storage", name))
}

/// The registered rule of a name.
pub(super) fn rule_of(py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
    let registry = REGISTRY.lock();
    let found = registry.rules.get(name).map(|check| check.clone_ref(py));
    drop(registry);
    found.ok_or_else(|| unknown("rule", name))
}

/// What a registered rule says of a value: nothing when it is well.
#[pyfunction]
pub(super) fn broken_rule_of(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let py = value.py();
    answer(&rule_of(py, name)?.bind(py).call1((value,))?)
}

/// The first complaint of the registered rules that constraints switch on.
pub(crate) fn broken_rule(
    constraints: &Bound<'_, PyDict>,
    value: &Bound<'_, PyAny>,
) -> PyResult<Option<String>> {
    if !HAS_RULES.load(Ordering::Acquire) || constraints.is_empty() {
        return Ok(None);
    }
    let py = value.py();
    for (name, wanted) in constraints.copy()? {
        let Ok(name) = name.extract::<String>() else {
            continue;
        };
        let check = REGISTRY
            .lock()
            .rules
            .get(&name)
            .map(|check| check.clone_ref(py));
        if let Some(check) = check
            && wanted.is_truthy()?
            && let Some(wrong) = answer(&check.bind(py).call1((value,))?)?
        {
            return Ok(Some(wrong));
        }
    }
    Ok(None)
}
