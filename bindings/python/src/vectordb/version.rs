//! `Version`: a value of a feature at a time.

use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering};

use parking_lot::Mutex;
use pyo3::basic::CompareOp;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFloat, PyString, PyTuple, PyType};

use super::object::{self, Field, Imported, new_id};

static COMMON_VERSION: Imported = Imported::new("common.core.versioning", "Version");
static DEEPCOPY: Imported = Imported::new("copy", "deepcopy");

/// In place of the hash of an id that has none.
const UNHASHABLE: isize = -1;

/// The hash, which is never -1 in Python.
pub(super) fn hash_of(id: &Bound<'_, PyAny>) -> isize {
    id.hash().unwrap_or(UNHASHABLE)
}

/// A value of a feature at a time.
///
/// Id and time are made when they are `None`. Equal to another one with the same id; ordered by time; unhashable.
#[pyclass(
    frozen,
    subclass,
    dict,
    weakref,
    name = "Version",
    module = "vectordb.feature_store.version"
)]
#[expect(clippy::struct_field_names, reason = "as callers know them")]
pub(crate) struct Version {
    value: Field,
    version_id: Field,
    timestamp: Field,
    created_by: Field,
    description: Field,
    metadata: Field,
    /// The hash of the id, and the timestamp if it is a float, else NaN: to pass over a version quickly.
    id_hash: AtomicIsize,
    time_bits: AtomicU64,
    /// Where the store has it indexed: the key, and the metadata that went there with it.
    pub(super) indexed: Mutex<Option<(Py<PyAny>, Py<PyDict>)>>,
}

/// What a version is made of.
#[derive(Default)]
pub(super) struct Parts<'py> {
    pub(super) version_id: Option<Bound<'py, PyAny>>,
    pub(super) timestamp: Option<Bound<'py, PyAny>>,
    pub(super) created_by: Option<Bound<'py, PyAny>>,
    pub(super) description: Option<Bound<'py, PyAny>>,
    pub(super) metadata: Option<Bound<'py, PyAny>>,
}

impl Version {
    fn empty() -> Self {
        let field = || Field::new(None);
        Self {
            value: field(),
            version_id: field(),
            timestamp: field(),
            created_by: field(),
            description: field(),
            metadata: field(),
            id_hash: AtomicIsize::new(UNHASHABLE),
            time_bits: AtomicU64::new(f64::NAN.to_bits()),
            indexed: Mutex::new(None),
        }
    }

    fn set_id(&self, id: &Bound<'_, PyAny>) {
        self.id_hash.store(hash_of(id), Ordering::Relaxed);
        self.version_id.set(Some(id.clone().unbind()));
    }

    fn set_time(&self, timestamp: &Bound<'_, PyAny>) {
        let number = timestamp.cast_exact::<PyFloat>();
        let number = number.map_or(f64::NAN, PyFloatMethods::value);
        self.time_bits.store(number.to_bits(), Ordering::Relaxed);
        self.timestamp.set(Some(timestamp.clone().unbind()));
    }

    /// The timestamp, if it is a float.
    pub(super) fn number(&self) -> Option<f64> {
        let number = f64::from_bits(self.time_bits.load(Ordering::Relaxed));
        (!number.is_nan()).then_some(number)
    }

    pub(super) fn has_id(&self, id: &Bound<'_, PyAny>, hash: isize) -> PyResult<bool> {
        let own_hash = self.id_hash.load(Ordering::Relaxed);
        if own_hash != hash && own_hash != UNHASHABLE && hash != UNHASHABLE {
            return Ok(false);
        }
        let own = self.id_of(id.py());
        Ok(own.is(id) || own.bind(id.py()).eq(id)?)
    }

    fn fill<'py>(&self, value: Bound<'py, PyAny>, parts: Parts<'py>) -> PyResult<()> {
        let py = value.py();
        self.value.set(Some(value.unbind()));
        let id = parts.version_id.unwrap_or_else(|| new_id(py));
        self.set_id(&id);
        let now = || PyFloat::new(py, object::now()).into_any();
        let timestamp = parts.timestamp.unwrap_or_else(now);
        self.set_time(&timestamp);
        self.created_by.set(parts.created_by.map(Bound::unbind));
        self.description.set(parts.description.map(Bound::unbind));
        self.metadata.set(match parts.metadata {
            Some(metadata) if metadata.is_truthy()? => Some(metadata.unbind()),
            _ => None,
        });
        Ok(())
    }

    pub(super) fn new_in<'py>(
        py: Python<'py>,
        value: Bound<'py, PyAny>,
        parts: Parts<'py>,
    ) -> PyResult<Bound<'py, Self>> {
        let version = Self::empty();
        version.fill(value, parts)?;
        Bound::new(py, version)
    }

    pub(super) fn value_of(&self, py: Python<'_>) -> Py<PyAny> {
        self.value.or_none(py)
    }

    pub(super) fn id_of(&self, py: Python<'_>) -> Py<PyAny> {
        self.version_id.or_none(py)
    }

    pub(super) fn time_of(&self, py: Python<'_>) -> Py<PyAny> {
        self.timestamp.or_none(py)
    }

    pub(super) fn creator_of(&self, py: Python<'_>) -> Py<PyAny> {
        self.created_by.or_none(py)
    }
}

#[pymethods]
impl Version {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(value, version_id=None, timestamp=None, created_by=None, description=None, metadata=None)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::empty()
    }

    #[pyo3(signature = (value, version_id=None, timestamp=None, created_by=None, description=None, metadata=None))]
    fn __init__<'py>(
        &self,
        value: Bound<'py, PyAny>,
        version_id: Option<Bound<'py, PyAny>>,
        timestamp: Option<Bound<'py, PyAny>>,
        created_by: Option<Bound<'py, PyAny>>,
        description: Option<Bound<'py, PyAny>>,
        metadata: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let parts = Parts {
            version_id,
            timestamp,
            created_by,
            description,
            metadata,
        };
        self.fill(value, parts)
    }

    /// The object that was given.
    #[getter]
    fn value(&self, py: Python<'_>) -> Py<PyAny> {
        self.value.or_none(py)
    }

    #[setter]
    fn set_value(&self, value: Py<PyAny>) {
        self.value.set(Some(value));
    }

    /// The identifier.
    #[getter]
    fn version_id(&self, py: Python<'_>) -> Py<PyAny> {
        self.version_id.or_none(py)
    }

    #[setter]
    fn set_version_id(&self, value: &Bound<'_, PyAny>) {
        self.set_id(value);
    }

    /// Since when, in seconds since the epoch.
    #[getter]
    fn timestamp(&self, py: Python<'_>) -> Py<PyAny> {
        self.timestamp.or_none(py)
    }

    #[setter]
    fn set_timestamp(&self, value: &Bound<'_, PyAny>) {
        self.set_time(value);
    }

    /// Who made it, or `None`.
    #[getter]
    fn created_by(&self, py: Python<'_>) -> Py<PyAny> {
        self.created_by.or_none(py)
    }

    #[setter]
    fn set_created_by(&self, value: Py<PyAny>) {
        self.created_by.set(Some(value));
    }

    /// What it is, or `None`.
    #[getter]
    fn description(&self, py: Python<'_>) -> Py<PyAny> {
        self.description.or_none(py)
    }

    #[setter]
    fn set_description(&self, value: Py<PyAny>) {
        self.description.set(Some(value));
    }

    /// A live dict.
    #[getter]
    fn metadata(&self, py: Python<'_>) -> Py<PyAny> {
        self.metadata.dict(py)
    }

    #[setter]
    fn set_metadata(&self, value: Py<PyAny>) {
        self.metadata.set(Some(value));
    }

    /// The timestamp as a naive time in UTC, to the second.
    #[getter]
    fn created_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        object::moment(self.timestamp.or_none(py).bind(py))
    }

    /// The six attributes; the value is the object itself.
    pub(super) fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        // A copy with the keys in place costs half of what six new keys do.
        static EMPTY: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
        let empty = EMPTY.get_or_try_init(py, || -> PyResult<_> {
            let dict = PyDict::new(py);
            for key in [
                "version_id",
                "value",
                "timestamp",
                "created_by",
                "description",
                "metadata",
            ] {
                dict.set_item(PyString::intern(py, key), py.None())?;
            }
            Ok(dict.unbind())
        })?;
        let dict = empty.bind(py).copy()?;
        let fields = [
            (intern!(py, "version_id"), &self.version_id),
            (intern!(py, "value"), &self.value),
            (intern!(py, "timestamp"), &self.timestamp),
            (intern!(py, "created_by"), &self.created_by),
            (intern!(py, "description"), &self.description),
        ];
        for (key, field) in fields {
            if let Some(value) = field.get(py) {
                dict.set_item(key, value)?;
            }
        }
        dict.set_item(intern!(py, "metadata"), self.metadata.dict(py))?;
        Ok(dict)
    }

    /// Inverse of `to_dict`. Raises `KeyError` without `value`, `version_id` or `timestamp`.
    #[classmethod]
    fn from_dict<'py>(
        cls: &Bound<'py, PyType>,
        data: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let kwargs = PyDict::new(cls.py());
        for name in ["value", "version_id", "timestamp"] {
            kwargs.set_item(name, data.get_item(name)?)?;
        }
        for name in ["created_by", "description", "metadata"] {
            if data.contains(name)? {
                kwargs.set_item(name, data.get_item(name)?)?;
            }
        }
        cls.call((), Some(&kwargs))
    }

    /// As a version of the package `common`, without the value; creator and description go into its metadata.
    fn to_common_version<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let metadata = PyDict::new(py);
        metadata.update(self.metadata.dict(py).bind(py).cast()?)?;
        for (name, field) in [
            ("created_by", &self.created_by),
            ("description", &self.description),
        ] {
            let value = field.or_none(py);
            if value.is_truthy(py)? {
                metadata.set_item(name, value)?;
            }
        }
        let kwargs = PyDict::new(py);
        kwargs.set_item("version_id", self.version_id.or_none(py))?;
        kwargs.set_item("timestamp", self.timestamp.or_none(py))?;
        kwargs.set_item("metadata", metadata)?;
        COMMON_VERSION.get(py)?.call((), Some(&kwargs))
    }

    /// Inverse of `to_common_version`, with a value.
    #[classmethod]
    fn from_common_version<'py>(
        cls: &Bound<'py, PyType>,
        common_version: &Bound<'py, PyAny>,
        value: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = cls.py();
        let kwargs = PyDict::new(py);
        kwargs.set_item("value", value)?;
        for name in ["version_id", "timestamp"] {
            kwargs.set_item(name, common_version.getattr(name)?)?;
        }
        let metadata = common_version.getattr("metadata")?;
        let metadata = DEEPCOPY.get(py)?.call1((metadata,))?;
        for name in ["created_by", "description"] {
            let taken = metadata.call_method1("pop", (name, py.None()))?;
            kwargs.set_item(name, taken)?;
        }
        kwargs.set_item("metadata", metadata)?;
        cls.call((), Some(&kwargs))
    }

    fn __richcmp__<'py>(
        &self,
        other: &Bound<'py, PyAny>,
        op: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = other.py();
        let is_equal = || match other.cast::<Self>() {
            Ok(other) => self.id_of(py).bind(py).eq(other.get().id_of(py)),
            Err(_) => Ok(false),
        };
        let answer = match (op, other.cast::<Self>()) {
            (CompareOp::Eq, _) => is_equal()?,
            (CompareOp::Ne, _) => !is_equal()?,
            // `a > b` comes here as `b < a`.
            (CompareOp::Lt, Ok(other)) => self.time_of(py).bind(py).lt(other.get().time_of(py))?,
            (CompareOp::Gt, Ok(other)) => self.time_of(py).bind(py).gt(other.get().time_of(py))?,
            _ => return Ok(py.NotImplemented().into_bound(py)),
        };
        Ok(answer.into_pyobject(py)?.to_owned().into_any())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let time = self.created_at(py)?.str()?;
        let id = self.id_of(py);
        Ok(format!(
            "Version(id={}, timestamp={time})",
            id.bind(py).str()?
        ))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let this = slf.get();
        let attributes = (
            this.value.get(py),
            this.version_id.get(py),
            this.timestamp.get(py),
            this.created_by.get(py),
            this.description.get(py),
            this.metadata.get(py),
        );
        object::reduce(slf.as_any(), attributes.into_pyobject(py)?)
    }

    fn __setstate__<'py>(slf: &Bound<'py, Self>, state: &Bound<'py, PyTuple>) -> PyResult<()> {
        let attributes = object::restore(slf.as_any(), state)?;
        let this = slf.get();
        let fields = [
            &this.value,
            &this.version_id,
            &this.timestamp,
            &this.created_by,
            &this.description,
            &this.metadata,
        ];
        for (field, value) in fields.into_iter().zip(attributes.iter()) {
            field.set((!value.is_none()).then(|| value.unbind()));
        }
        this.set_id(&attributes.get_item(1)?);
        this.set_time(&attributes.get_item(2)?);
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.value.visit(&visit)?;
        self.metadata.visit(&visit)
    }

    fn __clear__(&self) {
        self.value.set(None);
        self.metadata.set(None);
    }
}
