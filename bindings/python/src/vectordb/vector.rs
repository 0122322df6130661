//! `Vector`: floats with an id and metadata.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFloat, PyInt, PyList, PySlice, PyString, PyTuple, PyType};
use vectordb::core::distance::{dot, magnitude};

use super::json::{read_vector, write_floats};
use super::object::{self, derived, is_exactly};

/// Floats with an id, metadata and times.
///
/// `values` is any iterable of what `float()` accepts, NumPy arrays included; it raises `ValueError` when it is empty or
/// an item is no number. The values never change. Vectors are equal when their values are, and unhashable.
#[pyclass(
    frozen,
    subclass,
    dict,
    weakref,
    name = "Vector",
    module = "vectordb.core.vector"
)]
pub(crate) struct Vector {
    /// One lock for all, because each costs as much as what it guards; never held while Python code runs.
    core: Mutex<Core>,
}

type Floats = Arc<[f64]>;
type Given = Option<Py<PyAny>>;

/// What an index keeps of a vector.
pub(super) struct Kept {
    pub(super) id: Given,
    pub(super) floats: Floats,
    /// Whether there is something in it or not.
    pub(super) metadata: Given,
    /// Whether its values are those that it was first made with.
    pub(super) is_as_made: bool,
}

#[derive(Default)]
struct Core {
    values: Arc<[f64]>,
    /// The values as Python has them, once asked for.
    tuple: Option<Py<PyTuple>>,
    id: Given,
    metadata: Given,
    /// Given, or set by `update`; otherwise the time of the making.
    created_at: Given,
    updated_at: Given,
    made_at: f64,
    /// Whether the constructor ran again, which gives other values to a vector that an index may hold.
    is_remade: bool,
}

impl Vector {
    /// One of values that are known to be some.
    pub(super) fn of(values: Arc<[f64]>, id: Option<Py<PyAny>>) -> Self {
        Self {
            core: Mutex::new(Core {
                values,
                id,
                made_at: object::now(),
                ..Core::default()
            }),
        }
    }

    pub(super) fn floats(&self) -> Arc<[f64]> {
        Arc::clone(&self.core.lock().values)
    }

    /// What an index keeps of it.
    pub(super) fn entry(&self, py: Python<'_>) -> Kept {
        let core = self.core.lock();
        let copy = |field: &Given| field.as_ref().map(|value| value.clone_ref(py));
        Kept {
            id: copy(&core.id),
            floats: Arc::clone(&core.values),
            metadata: copy(&core.metadata),
            is_as_made: !core.is_remade,
        }
    }

    pub(super) fn carry(&self, metadata: Option<Py<PyAny>>) {
        self.set(|core| &mut core.metadata, metadata);
    }

    fn get(&self, py: Python<'_>, of: impl FnOnce(&Core) -> &Given) -> Given {
        of(&self.core.lock())
            .as_ref()
            .map(|value| value.clone_ref(py))
    }

    fn set(&self, of: impl FnOnce(&mut Core) -> &mut Given, value: Given) {
        // What was there may run Python code as it goes: after the lock.
        let old = std::mem::replace(of(&mut self.core.lock()), value);
        drop(old);
    }

    /// The metadata; a new dict when nobody asked for it yet.
    fn live_metadata(&self, py: Python<'_>) -> Py<PyAny> {
        if let Some(metadata) = self.get(py, |core| &core.metadata) {
            return metadata;
        }
        let new = PyDict::new(py).into_any().unbind();
        let mut core = self.core.lock();
        core.metadata.get_or_insert(new).clone_ref(py)
    }

    /// The metadata when there is some.
    pub(super) fn metadata_given(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        filled(py, self.get(py, |core| &core.metadata))
    }

    /// The other operand's values, of the same dimension.
    fn operand(&self, other: &Bound<'_, PyAny>) -> PyResult<(Floats, Floats)> {
        let (ours, theirs) = (self.floats(), floats_of(other)?);
        if ours.len() != theirs.len() {
            return Err(PyValueError::new_err(format!(
                "Vectors must have the same dimension: {} and {}",
                ours.len(),
                theirs.len()
            )));
        }
        Ok((ours, theirs))
    }

    /// A vector of other values with the same id and a copy of the metadata.
    fn with_values(&self, py: Python<'_>, values: Arc<[f64]>) -> PyResult<Self> {
        let own = self.entry(py);
        let new = Self::of(values, own.id);
        if let Some(metadata) = filled(py, own.metadata)? {
            new.carry(Some(metadata.call_method0(py, intern!(py, "copy"))?));
        }
        Ok(new)
    }

    fn tuple<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let values = {
            let core = self.core.lock();
            if let Some(tuple) = &core.tuple {
                return Ok(tuple.bind(py).clone());
            }
            Arc::clone(&core.values)
        };
        let new = PyTuple::new(py, values.iter())?;
        let mut core = self.core.lock();
        let tuple = core.tuple.get_or_insert_with(|| new.clone().unbind());
        Ok(tuple.bind(py).clone())
    }

    fn time(&self, py: Python<'_>, of: impl FnOnce(&Core) -> &Given) -> Py<PyAny> {
        let core = self.core.lock();
        if let Some(time) = of(&core) {
            return time.clone_ref(py);
        }
        let made_at = core.made_at;
        drop(core);
        PyFloat::new(py, made_at).into_any().unbind()
    }

    fn shown_id(&self, py: Python<'_>) -> PyResult<Option<String>> {
        match self.get(py, |core| &core.id) {
            Some(id) if id.is_truthy(py)? => Ok(Some(id.bind(py).str()?.extract()?)),
            _ => Ok(None),
        }
    }
}

#[pymethods]
impl Vector {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(values, id=None, metadata=None, created_at=None, updated_at=None)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            core: Mutex::default(),
        }
    }

    #[pyo3(signature = (values, id=None, metadata=None, created_at=None, updated_at=None))]
    fn __init__(
        &self,
        values: &Bound<'_, PyAny>,
        id: Option<Py<PyAny>>,
        metadata: Option<Bound<'_, PyAny>>,
        created_at: Option<Py<PyAny>>,
        updated_at: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = values.py();
        let (floats, tuple) = read(values)?;
        let created = created_at.as_ref().map(|time| time.clone_ref(py));
        let mut new = Core {
            values: floats,
            tuple,
            id,
            metadata: filled(py, metadata.map(Bound::unbind))?,
            created_at,
            updated_at: updated_at.or(created),
            made_at: object::now(),
            is_remade: false,
        };
        {
            let mut core = self.core.lock();
            new.is_remade = !core.values.is_empty();
            std::mem::swap(&mut *core, &mut new);
        }
        Ok(())
    }

    /// The identifier, any hashable object, or `None`.
    #[getter]
    fn id(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.get(py, |core| &core.id)
    }

    #[setter]
    fn set_id(&self, id: Option<Py<PyAny>>) {
        self.set(|core| &mut core.id, id);
    }

    /// The floats, as a tuple; the same one every time.
    #[getter]
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.tuple(py)
    }

    /// How many values there are.
    #[getter]
    fn dimension(&self) -> usize {
        self.core.lock().values.len()
    }

    /// A live dict.
    #[getter]
    fn metadata(&self, py: Python<'_>) -> Py<PyAny> {
        self.live_metadata(py)
    }

    #[setter]
    fn set_metadata(&self, metadata: Py<PyAny>) {
        self.carry(Some(metadata));
    }

    /// When it was made, in seconds since the epoch, unless given.
    #[getter]
    fn created_at(&self, py: Python<'_>) -> Py<PyAny> {
        self.time(py, |core| &core.created_at)
    }

    #[setter]
    fn set_created_at(&self, time: Py<PyAny>) {
        self.set(|core| &mut core.created_at, Some(time));
    }

    /// When its metadata last changed, in seconds since the epoch.
    #[getter]
    fn updated_at(&self, py: Python<'_>) -> Py<PyAny> {
        self.time(py, |core| &core.updated_at)
    }

    #[setter]
    fn set_updated_at(&self, time: Py<PyAny>) {
        self.set(|core| &mut core.updated_at, Some(time));
    }

    /// Sum of the products. Raises `ValueError` for another dimension.
    fn dot(&self, other: &Bound<'_, PyAny>) -> PyResult<f64> {
        let (ours, theirs) = self.operand(other)?;
        Ok(dot(&ours, &theirs))
    }

    /// Root of the sum of the squares.
    fn magnitude(&self) -> f64 {
        magnitude(&self.floats())
    }

    /// A vector of length 1 in the same direction, with the same id. Raises `ValueError` for a zero vector.
    fn normalize(&self, py: Python<'_>) -> PyResult<Self> {
        let values = self.floats();
        let length = magnitude(&values);
        if length == 0.0 {
            return Err(PyValueError::new_err("Cannot normalize a zero vector"));
        }
        self.with_values(py, values.iter().map(|value| value / length).collect())
    }

    /// The sum, without an id. Raises `ValueError` for another dimension.
    fn add(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (ours, theirs) = self.operand(other)?;
        let sums = ours.iter().zip(theirs.iter()).map(|(a, b)| a + b);
        Ok(Self::of(sums.collect(), None))
    }

    /// The difference, without an id. Raises `ValueError` for another dimension.
    fn subtract(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (ours, theirs) = self.operand(other)?;
        let differences = ours.iter().zip(theirs.iter()).map(|(a, b)| a - b);
        Ok(Self::of(differences.collect(), None))
    }

    /// Each value times the scalar, with the same id. Raises `TypeError` for what cannot multiply a float.
    fn scale(&self, scalar: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = scalar.py();
        let values = self.floats();
        if scalar.is_instance_of::<PyFloat>() || scalar.is_instance_of::<PyInt>() {
            let scalar: f64 = scalar.extract()?;
            return self.with_values(py, values.iter().map(|value| value * scalar).collect());
        }
        let products = PyList::empty(py);
        for value in values.iter() {
            products.append(PyFloat::new(py, *value).mul(scalar)?)?;
        }
        self.with_values(py, read(&products)?.0)
    }

    /// `values` as a list and, when there is one, `id`; then metadata and times, when the vector was given some.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item(intern!(py, "values"), self.tuple(py)?.to_list())?;
        self.add_record(&dict)?;
        Ok(dict)
    }

    /// `to_dict` as JSON.
    fn to_json<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if !is_exactly::<Self>(slf) {
            return object::dumps(&slf.call_method0(intern!(py, "to_dict"))?);
        }
        let this = slf.get();
        let mut text = String::from("{\"values\": ");
        write_floats(&this.floats(), &mut text);
        let record = PyDict::new(py);
        this.add_record(&record)?;
        if record.is_empty() {
            text.push('}');
        } else {
            let rest: String = object::dumps(&record)?.extract()?;
            text.push_str(", ");
            text.push_str(rest.get(1..).unwrap_or_default());
        }
        Ok(PyString::new(py, &text).into_any())
    }

    /// Inverse of `to_dict`; only `values` is required. Raises `ValueError` without it.
    #[classmethod]
    fn from_dict<'py>(
        cls: &Bound<'py, PyType>,
        data: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = cls.py();
        let key = intern!(py, "values");
        if !data.contains(key)? {
            return Err(PyValueError::new_err(
                "Dictionary must contain 'values' field",
            ));
        }
        let rest = PyDict::new(py);
        for name in RECORD_KEYS {
            if data.contains(name)? {
                rest.set_item(name, data.get_item(name)?)?;
            }
        }
        cls.call((data.get_item(key)?,), Some(&rest))
    }

    /// Inverse of `to_json`. Raises `ValueError` for what is no JSON.
    #[classmethod]
    fn from_json<'py>(
        cls: &Bound<'py, PyType>,
        json_str: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = cls.py();
        if derived::<Self>(cls).is_none()
            && let Ok(text) = json_str.cast::<PyString>()
            && let Some((values, rest)) = read_vector(&text.to_cow()?)
        {
            let vector = Bound::new(py, Self::of(values.into(), None))?;
            if let Some(rest) = rest {
                let rest = object::loads(PyString::new(py, &rest).as_any())?;
                if rest.contains(intern!(py, "values"))? {
                    let data = object::loads(json_str)?;
                    return Self::from_dict(cls, &data);
                }
                vector.get().take_record(&rest)?;
            }
            return Ok(vector.into_any());
        }
        let data = object::loads(json_str)?;
        if !data.is_instance_of::<PyDict>() {
            return Err(PyValueError::new_err("A vector is a JSON object"));
        }
        cls.call_method1(intern!(py, "from_dict"), (data,))
    }

    /// Merges into the metadata and sets `updated_at` to now.
    #[pyo3(signature = (metadata=None))]
    fn update(&self, py: Python<'_>, metadata: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        if let Some(new) = metadata
            && new.is_truthy()?
        {
            let own = self.live_metadata(py);
            own.call_method1(py, intern!(py, "update"), (new,))?;
        }
        let made_at = self.created_at(py);
        self.set(|core| &mut core.created_at, Some(made_at));
        let now = PyFloat::new(py, object::now()).into_any().unbind();
        self.set(|core| &mut core.updated_at, Some(now));
        Ok(())
    }

    fn __len__(&self) -> usize {
        self.dimension()
    }

    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = index.py();
        if index.is_exact_instance_of::<PyInt>()
            && let Ok(at) = index.extract::<isize>()
        {
            let core = self.core.lock();
            let at = if at < 0 {
                core.values.len().checked_add_signed(at)
            } else {
                Some(at.unsigned_abs())
            };
            if let (Some(at), Some(tuple)) = (at, &core.tuple)
                && at < core.values.len()
            {
                return tuple.bind(py).get_item(at);
            }
            if let Some(value) = at.and_then(|at| core.values.get(at)) {
                let value = *value;
                drop(core);
                return Ok(PyFloat::new(py, value).into_any());
            }
        }
        let tuple = self.tuple(py)?;
        if index.is_instance_of::<PySlice>() || index.hasattr(intern!(py, "__index__"))? {
            return tuple.as_any().get_item(index);
        }
        Err(PyTypeError::new_err(format!(
            "vector indices must be integers or slices, not {}",
            index.get_type().name()?
        )))
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.tuple(py)?.try_iter()?.into_any())
    }

    fn __reversed__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let tuple = self.tuple(py)?;
        py.import("builtins")?
            .getattr(intern!(py, "reversed"))?
            .call1((tuple,))
    }

    fn __contains__(&self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.tuple(value.py())?.as_any().contains(value)
    }

    #[expect(clippy::unused_self, reason = "the protocol's")]
    fn __bool__(&self) -> bool {
        true
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        let py = other.py();
        let is_equal = || {
            other.cast::<Self>().is_ok_and(|other| {
                let (ours, theirs) = (self.floats(), other.get().floats());
                Arc::ptr_eq(&ours, &theirs) || ours == theirs
            })
        };
        let answer = match op {
            CompareOp::Eq => is_equal(),
            CompareOp::Ne => !is_equal(),
            _ => return Ok(py.NotImplemented()),
        };
        Ok(answer.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let dimension = self.dimension();
        Ok(match self.shown_id(py)? {
            Some(id) => format!("Vector(id={id}, dimension={dimension})"),
            None => format!("Vector(dimension={dimension})"),
        })
    }

    fn __str__(&self, py: Python<'_>) -> PyResult<String> {
        let tuple = self.tuple(py)?;
        let mut text: String = tuple.repr()?.extract()?;
        if text.len() > 50 {
            let len = tuple.len();
            let first: String = tuple.get_slice(0, 3).repr()?.extract()?;
            let last: String = tuple
                .get_slice(len.saturating_sub(3), len)
                .repr()?
                .extract()?;
            let (first, last) = (
                first.trim_end_matches([')', ',']),
                last.trim_start_matches('('),
            );
            text = format!("{first}, ..., {last}");
        }
        Ok(match self.shown_id(py)? {
            Some(id) => format!("Vector(id={id}, values={text})"),
            None => format!("Vector(values={text})"),
        })
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let this = slf.get();
        let attributes = (
            this.tuple(py)?,
            this.get(py, |core| &core.id),
            this.get(py, |core| &core.metadata),
            this.get(py, |core| &core.created_at),
            this.get(py, |core| &core.updated_at),
            this.core.lock().made_at,
        );
        object::reduce(slf.as_any(), attributes.into_pyobject(py)?)
    }

    fn __setstate__<'py>(slf: &Bound<'py, Self>, state: &Bound<'py, PyTuple>) -> PyResult<()> {
        type Attributes<'py> = (
            Bound<'py, PyTuple>,
            Option<Py<PyAny>>,
            Option<Py<PyAny>>,
            Option<Py<PyAny>>,
            Option<Py<PyAny>>,
            f64,
        );
        let attributes = object::restore(slf.as_any(), state)?;
        let (values, id, metadata, created_at, updated_at, made_at): Attributes<'py> =
            attributes.extract()?;
        let this = slf.get();
        let values = floats(values.as_any())?;
        let mut new = Core {
            values,
            tuple: None,
            id,
            metadata,
            created_at,
            updated_at,
            made_at,
            is_remade: false,
        };
        {
            let mut core = this.core.lock();
            new.is_remade = !core.values.is_empty();
            std::mem::swap(&mut *core, &mut new);
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(core) = self.core.try_lock() else {
            return Ok(());
        };
        visit.call(&core.id)?;
        visit.call(&core.metadata)?;
        visit.call(&core.created_at)?;
        visit.call(&core.updated_at)
    }

    fn __clear__(&self) {
        let taken = {
            let mut core = self.core.lock();
            [
                core.id.take(),
                core.metadata.take(),
                core.created_at.take(),
                core.updated_at.take(),
            ]
        };
        drop(taken);
    }
}

/// An object that is true, if it is one.
fn filled(py: Python<'_>, object: Given) -> PyResult<Given> {
    match object {
        Some(object) if object.bind(py).is_truthy()? => Ok(Some(object)),
        _ => Ok(None),
    }
}

const RECORD_KEYS: [&str; 4] = ["id", "metadata", "created_at", "updated_at"];

impl Vector {
    /// Adds what a dict of the vector has beside the values.
    fn add_record(&self, dict: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = dict.py();
        let copy = |field: &Given| field.as_ref().map(|value| value.clone_ref(py));
        let [id, metadata, created_at, updated_at] = {
            let core = self.core.lock();
            [&core.id, &core.metadata, &core.created_at, &core.updated_at].map(copy)
        };
        if let Some(id) = id {
            dict.set_item(intern!(py, "id"), id)?;
        }
        if let Some(metadata) = filled(py, metadata)? {
            dict.set_item(intern!(py, "metadata"), metadata)?;
        }
        if let Some(time) = created_at {
            dict.set_item(intern!(py, "created_at"), time)?;
        }
        if let Some(time) = updated_at {
            dict.set_item(intern!(py, "updated_at"), time)?;
        }
        Ok(())
    }

    /// Inverse of [`Vector::add_record`].
    fn take_record(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let get = |name: &str| -> PyResult<Option<Py<PyAny>>> {
            let found = data.cast::<PyDict>()?.get_item(name)?;
            Ok(found.filter(|value| !value.is_none()).map(Bound::unbind))
        };
        let created_at = get("created_at")?;
        let created = created_at.as_ref().map(|time| time.clone_ref(data.py()));
        let (id, metadata) = (get("id")?, get("metadata")?);
        let updated_at = get("updated_at")?.or(created);
        self.set(|core| &mut core.id, id);
        self.carry(metadata);
        self.set(|core| &mut core.created_at, created_at);
        self.set(|core| &mut core.updated_at, updated_at);
        Ok(())
    }
}

/// The values of a vector, or of anything that has `dimension` and `values`.
pub(super) fn floats_of(object: &Bound<'_, PyAny>) -> PyResult<Arc<[f64]>> {
    static VALUES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    if let Ok(vector) = object.cast::<Vector>() {
        let own = || -> PyResult<_> {
            Ok(py
                .get_type::<Vector>()
                .getattr(intern!(py, "values"))?
                .unbind())
        };
        if is_exactly::<Vector>(object)
            || object
                .get_type()
                .getattr(intern!(py, "values"))?
                .is(VALUES.get_or_try_init(py, own)?)
        {
            return Ok(vector.get().floats());
        }
    }
    object.getattr(intern!(py, "dimension"))?;
    floats(&object.getattr(intern!(py, "values"))?)
}

/// What a vector holds: its floats, and these as Python has them when that is known.
type Contents = (Arc<[f64]>, Option<Py<PyTuple>>);

/// The constructor's rules for values.
fn read(values: &Bound<'_, PyAny>) -> PyResult<Contents> {
    let py = values.py();
    let empty = || PyValueError::new_err("Vector cannot be empty");
    if let Ok(vector) = values.cast_exact::<Vector>() {
        return Ok((vector.get().floats(), None));
    }
    let tuple = match values.cast_exact::<PyList>() {
        Ok(list) => Some(list.to_tuple()),
        Err(_) => values.cast_exact::<PyTuple>().ok().cloned(),
    };
    if let Some(tuple) = tuple.as_ref().filter(|tuple| !tuple.is_empty()) {
        // Of nothing but floats it is what `values` answers.
        let mut floats = Vec::with_capacity(tuple.len());
        floats.extend(tuple.iter_borrowed().map_while(|item| {
            let float = item.cast_exact::<PyFloat>().ok()?;
            Some(float.value())
        }));
        if floats.len() == tuple.len() {
            return Ok((floats.into(), Some(tuple.clone().unbind())));
        }
    }
    let found = if let Some(tuple) = tuple {
        floats(tuple.as_any())
    } else if let Some(to_list) = values.getattr_opt(intern!(py, "tolist"))? {
        // An array: its truth value is none.
        floats(&to_list.call0()?)
    } else if values.is_truthy()? {
        floats(values)
    } else {
        return Err(empty());
    };
    match found {
        Ok(found) if found.is_empty() => Err(empty()),
        Err(error)
            if error.is_instance_of::<PyTypeError>(py)
                || error.is_instance_of::<PyValueError>(py) =>
        {
            Err(PyValueError::new_err("Vector values must be numeric"))
        }
        found => Ok((found?, None)),
    }
}

/// The items of an iterable as `float()` has them.
pub(super) fn floats(values: &Bound<'_, PyAny>) -> PyResult<Arc<[f64]>> {
    if let Ok(list) = values.cast_exact::<PyList>() {
        let mut floats = Vec::with_capacity(list.len());
        for item in list.iter() {
            floats.push(float(&item)?);
        }
        return Ok(floats.into());
    }
    if let Ok(tuple) = values.cast_exact::<PyTuple>() {
        let mut floats = Vec::with_capacity(tuple.len());
        for item in tuple.iter_borrowed() {
            floats.push(float(&item)?);
        }
        return Ok(floats.into());
    }
    let mut floats = Vec::new();
    for item in values.try_iter()? {
        floats.push(float(&item?)?);
    }
    Ok(floats.into())
}

#[inline]
fn float(item: &Bound<'_, PyAny>) -> PyResult<f64> {
    if let Ok(float) = item.cast_exact::<PyFloat>() {
        return Ok(float.value());
    }
    if item.is_exact_instance_of::<PyInt>() {
        return item.extract();
    }
    // Text, and whatever has `__float__`.
    let py = item.py();
    py.get_type::<PyFloat>().call1((item,))?.extract()
}

/// The sum, mean, difference, product or mean direction of some vectors, of which there is at least one.
#[pyfunction]
#[expect(
    clippy::needless_pass_by_value,
    reason = "arguments are taken out of a list"
)]
pub(super) fn combine<'py>(
    operation: &str,
    vectors: Vec<Bound<'py, Vector>>,
) -> PyResult<Bound<'py, Vector>> {
    let wrong = |text: String| PyValueError::new_err(text);
    let Some(first) = vectors.first() else {
        return Err(wrong("there are no vectors to combine".to_owned()));
    };
    let py = first.py();
    let sum = |all: &[Arc<[f64]>]| -> PyResult<Vec<f64>> {
        let mut sums = Vec::new();
        for vector in all {
            if sums.is_empty() {
                sums = vector.to_vec();
            } else if sums.len() == vector.len() {
                for (sum, value) in sums.iter_mut().zip(vector.iter()) {
                    *sum += value;
                }
            } else {
                return Err(wrong(format!(
                    "Vectors must have the same dimension: {} and {}",
                    sums.len(),
                    vector.len()
                )));
            }
        }
        Ok(sums)
    };
    let mut all: Vec<Arc<[f64]>> = vectors.iter().map(|vector| vector.get().floats()).collect();
    #[expect(clippy::cast_precision_loss, reason = "a number of vectors")]
    let share = 1.0 / all.len() as f64;
    let new = |values: Vec<f64>| Bound::new(py, Vector::of(values.into(), None));
    match operation {
        "add" if vectors.len() == 1 => Ok(first.clone()),
        "add" => new(sum(&all)?),
        "average" | "mean" => new(sum(&all)?.iter().map(|sum| sum * share).collect()),
        "subtract" | "scale" => {
            let [first, second] = vectors.as_slice() else {
                return Err(wrong(format!(
                    "Operation '{operation}' requires exactly two vectors, not {}",
                    vectors.len()
                )));
            };
            if operation == "subtract" {
                return Bound::new(py, first.get().subtract(second)?);
            }
            let second = second.get().floats();
            let [scalar] = *second else {
                return Err(wrong(format!(
                    "The second vector of a scale operation has one component, not {}",
                    second.len()
                )));
            };
            let scalar = PyFloat::new(py, scalar);
            Bound::new(py, first.get().scale(scalar.as_any())?)
        }
        "normalize" => {
            for vector in &mut all {
                let length = magnitude(vector);
                if length == 0.0 {
                    return Err(wrong("Cannot normalize a zero vector".to_owned()));
                }
                *vector = vector.iter().map(|value| value / length).collect();
            }
            new(sum(&all)?.iter().map(|sum| sum * share).collect())
        }
        _ => Err(wrong(format!("Unsupported vector operation: {operation}"))),
    }
}
