//! `Version`: a value of a feature at a time.

use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering};

use parking_lot::Mutex;
use pyo3::basic::CompareOp;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFloat, PyString, PyTuple, PyType};

use super::object::{self, Fields, Imported, new_id};

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
pub(crate) struct Version {
    fields: Fields<6>,
    /// The hash of the id, and the timestamp if it is a float, else NaN: to pass over a version quickly.
    id_hash: AtomicIsize,
    time_bits: AtomicU64,
    /// Where the store has it indexed: the key, and the metadata that went there with it.
    pub(super) indexed: Mutex<Option<(Py<PyAny>, Py<PyDict>)>>,
}

type Attributes = [Option<Py<PyAny>>; 6];

// Places in `fields`, in the order of `to_dict`.
const ID: usize = 0;
const VALUE: usize = 1;
const TIMESTAMP: usize = 2;
const CREATED_BY: usize = 3;
const DESCRIPTION: usize = 4;
const METADATA: usize = 5;

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
    fn of(fields: Attributes, id_hash: isize, time: f64) -> Self {
        Self {
            fields: Fields::new(fields),
            id_hash: AtomicIsize::new(id_hash),
            time_bits: AtomicU64::new(time.to_bits()),
            indexed: Mutex::new(None),
        }
    }

    fn set_id(&self, id: &Bound<'_, PyAny>) {
        self.id_hash.store(hash_of(id), Ordering::Relaxed);
        self.fields.set(ID, Some(id.clone().unbind()));
    }

    fn set_time(&self, timestamp: &Bound<'_, PyAny>) {
        let bits = float_or_nan(timestamp).to_bits();
        self.time_bits.store(bits, Ordering::Relaxed);
        self.fields.set(TIMESTAMP, Some(timestamp.clone().unbind()));
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

    pub(super) fn new_in<'py>(
        py: Python<'py>,
        value: Bound<'py, PyAny>,
        parts: Parts<'py>,
    ) -> PyResult<Bound<'py, Self>> {
        let (fields, id_hash, time) = parts.fields(value)?;
        Bound::new(py, Self::of(fields, id_hash, time))
    }

    pub(super) fn value_of(&self, py: Python<'_>) -> Py<PyAny> {
        self.fields.or_none(py, VALUE)
    }

    pub(super) fn id_of(&self, py: Python<'_>) -> Py<PyAny> {
        self.fields.or_none(py, ID)
    }

    pub(super) fn time_of(&self, py: Python<'_>) -> Py<PyAny> {
        self.fields.or_none(py, TIMESTAMP)
    }

    pub(super) fn creator_of(&self, py: Python<'_>) -> Py<PyAny> {
        self.fields.or_none(py, CREATED_BY)
    }
}

impl Parts<'_> {
    /// The attributes, what is missing made; with the hash of the id, and the time if it is a float.
    fn fields(self, value: Bound<'_, PyAny>) -> PyResult<(Attributes, isize, f64)> {
        let py = value.py();
        let id = self
            .version_id
            .map_or_else(|| new_id(py).unbind(), Bound::unbind);
        let timestamp = self.timestamp.map_or_else(
            || PyFloat::new(py, object::now()).into_any().unbind(),
            Bound::unbind,
        );
        let metadata = match self.metadata {
            Some(metadata) if metadata.is_truthy()? => Some(metadata.unbind()),
            _ => None,
        };
        let (id_hash, time) = (hash_of(id.bind(py)), float_or_nan(timestamp.bind(py)));
        let fields = [
            Some(id),
            Some(value.unbind()),
            Some(timestamp),
            self.created_by.map(Bound::unbind),
            self.description.map(Bound::unbind),
            metadata,
        ];
        Ok((fields, id_hash, time))
    }
}

/// A number that is exactly a float.
fn float_or_nan(number: &Bound<'_, PyAny>) -> f64 {
    let number = number.cast_exact::<PyFloat>();
    number.map_or(f64::NAN, PyFloatMethods::value)
}

#[pymethods]
impl Version {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(value, version_id=None, timestamp=None, created_by=None, description=None, metadata=None)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::of([const { None }; 6], UNHASHABLE, f64::NAN)
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
        let (fields, id_hash, time) = parts.fields(value)?;
        self.id_hash.store(id_hash, Ordering::Relaxed);
        self.time_bits.store(time.to_bits(), Ordering::Relaxed);
        self.fields.replace(fields);
        Ok(())
    }

    /// The object that was given.
    #[getter]
    fn value(&self, py: Python<'_>) -> Py<PyAny> {
        self.fields.or_none(py, VALUE)
    }

    #[setter]
    fn set_value(&self, value: Py<PyAny>) {
        self.fields.set(VALUE, Some(value));
    }

    /// The identifier.
    #[getter]
    fn version_id(&self, py: Python<'_>) -> Py<PyAny> {
        self.fields.or_none(py, ID)
    }

    #[setter]
    fn set_version_id(&self, value: &Bound<'_, PyAny>) {
        self.set_id(value);
    }

    /// Since when, in seconds since the epoch.
    #[getter]
    fn timestamp(&self, py: Python<'_>) -> Py<PyAny> {
        self.fields.or_none(py, TIMESTAMP)
    }

    #[setter]
    fn set_timestamp(&self, value: &Bound<'_, PyAny>) {
        self.set_time(value);
    }

    /// Who made it, or `None`.
    #[getter]
    fn created_by(&self, py: Python<'_>) -> Py<PyAny> {
        self.fields.or_none(py, CREATED_BY)
    }

    #[setter]
    fn set_created_by(&self, value: Py<PyAny>) {
        self.fields.set(CREATED_BY, Some(value));
    }

    /// What it is, or `None`.
    #[getter]
    fn description(&self, py: Python<'_>) -> Py<PyAny> {
        self.fields.or_none(py, DESCRIPTION)
    }

    #[setter]
    fn set_description(&self, value: Py<PyAny>) {
        self.fields.set(DESCRIPTION, Some(value));
    }

    /// A live dict.
    #[getter]
    fn metadata(&self, py: Python<'_>) -> Py<PyAny> {
        self.fields.dict(py, METADATA)
    }

    #[setter]
    fn set_metadata(&self, value: Py<PyAny>) {
        self.fields.set(METADATA, Some(value));
    }

    /// The timestamp as a naive time in UTC, to the second.
    #[getter]
    fn created_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        object::moment(self.fields.or_none(py, TIMESTAMP).bind(py))
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
        let keys = [
            intern!(py, "version_id"),
            intern!(py, "value"),
            intern!(py, "timestamp"),
            intern!(py, "created_by"),
            intern!(py, "description"),
        ];
        for (key, value) in keys.into_iter().zip(self.fields.all(py)) {
            if let Some(value) = value {
                dict.set_item(key, value)?;
            }
        }
        dict.set_item(intern!(py, "metadata"), self.fields.dict(py, METADATA))?;
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
        metadata.update(self.fields.dict(py, METADATA).bind(py).cast()?)?;
        for (name, field) in [("created_by", CREATED_BY), ("description", DESCRIPTION)] {
            let value = self.fields.or_none(py, field);
            if value.is_truthy(py)? {
                metadata.set_item(name, value)?;
            }
        }
        let kwargs = PyDict::new(py);
        kwargs.set_item("version_id", self.fields.or_none(py, ID))?;
        kwargs.set_item("timestamp", self.fields.or_none(py, TIMESTAMP))?;
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
        let attributes = PyTuple::new(py, this.fields.all(py))?;
        object::reduce(slf.as_any(), attributes)
    }

    fn __setstate__<'py>(slf: &Bound<'py, Self>, state: &Bound<'py, PyTuple>) -> PyResult<()> {
        let attributes = object::restore(slf.as_any(), state)?;
        let this = slf.get();
        for (at, value) in attributes.iter().enumerate() {
            let value = (!value.is_none()).then(|| value.unbind());
            this.fields.set(at, value);
        }
        this.set_id(&attributes.get_item(ID)?);
        this.set_time(&attributes.get_item(TIMESTAMP)?);
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.fields.visit(&visit)?;
        if let Some(indexed) = self.indexed.try_lock()
            && let Some((key, metadata)) = &*indexed
        {
            visit.call(key)?;
            visit.call(metadata)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        self.fields.clear();
        let indexed = self.indexed.lock().take();
        drop(indexed);
    }
}
