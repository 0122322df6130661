//! Deep copies of plain data, without asking each value how it is copied.

use std::collections::HashMap;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};

use super::access::PythonClass;

/// Below this Python's own function goes on: it raises `RecursionError` in time.
const DEPTH_MAX: usize = 100;

static DEEPCOPY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static OBJECT_NEW: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static CHANGE_TYPE: PythonClass = PythonClass::new("common.core.versioning", "ChangeType");
static CHANGE: PythonClass = PythonClass::new("common.core.versioning", "Change");
static VERSION: PythonClass = PythonClass::new("common.core.versioning", "Version");

/// What `copy.deepcopy` gives, faster for plain data.
#[pyfunction]
pub(crate) fn deep_copy<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    Copier::new().copy(value, 0)
}

/// An object of a class, made without its constructor.
///
/// Attributes that are then set in the constructor's order are laid out as the constructor lays them out, and as quick to
/// read; a `__dict__` that is put in place whole is not.
pub(crate) fn blank_object<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let new = OBJECT_NEW.get_or_try_init(py, || {
        py.get_type::<PyAny>()
            .getattr(intern!(py, "__new__"))
            .map(Bound::unbind)
    })?;
    new.bind(py).call1((class,))
}

/// Copies with one memory of what is copied already, so that what was shared stays shared.
pub(crate) struct Copier<'py> {
    /// Copies by the address of the original.
    memo: HashMap<usize, Bound<'py, PyAny>>,
}

impl<'py> Copier<'py> {
    pub(crate) fn new() -> Self {
        Self {
            memo: HashMap::new(),
        }
    }

    pub(crate) fn copy(
        &mut self,
        value: &Bound<'py, PyAny>,
        depth: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        if is_atomic(value) {
            return Ok(value.clone());
        }
        if let Some(copied) = self.memo.get(&address(value)) {
            return Ok(copied.clone());
        }
        if depth > DEPTH_MAX {
            return self.ask_python(value);
        }
        if let Ok(dict) = value.cast_exact::<PyDict>() {
            let copied = PyDict::new(value.py());
            self.memo.insert(address(value), copied.clone().into_any());
            // Copying a value may run code that changes the dict.
            for (key, item) in dict.copy()? {
                copied.set_item(self.copy(&key, depth + 1)?, self.copy(&item, depth + 1)?)?;
            }
            return Ok(copied.into_any());
        }
        if let Ok(list) = value.cast_exact::<PyList>() {
            let copied = PyList::empty(value.py());
            self.memo.insert(address(value), copied.clone().into_any());
            for item in list {
                copied.append(self.copy(&item, depth + 1)?)?;
            }
            return Ok(copied.into_any());
        }
        if let Ok(tuple) = value.cast_exact::<PyTuple>()
            && tuple.iter().all(|item| is_atomic(&item))
        {
            return Ok(value.clone());
        }
        if CHANGE_TYPE.is_of(value)? {
            return Ok(value.clone());
        }
        if CHANGE.is_of(value)? || VERSION.is_of(value)? {
            return self.copy_object(value, depth);
        }
        self.ask_python(value)
    }

    /// An object whose whole state is its `__dict__`, which is not reached from within itself by plain data.
    fn copy_object(
        &mut self,
        object: &Bound<'py, PyAny>,
        depth: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        let copied = blank_object(&object.get_type())?;
        self.memo.insert(address(object), copied.clone());
        let original = object.getattr(intern!(py, "__dict__"))?;
        for (key, item) in original.cast::<PyDict>()?.copy()? {
            let item = self.copy(&item, depth + 1)?;
            copied.setattr(key.cast::<PyString>()?, item)?;
        }
        Ok(copied)
    }

    /// `copy.deepcopy`, which keeps its memory by the same addresses.
    fn ask_python(&mut self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let memo = PyDict::new(value.py());
        for (address, copied) in &self.memo {
            memo.set_item(address, copied)?;
        }
        let copied = DEEPCOPY
            .import(value.py(), "copy", "deepcopy")?
            .call1((value, &memo))?;
        for (address, copied) in memo {
            if let Ok(address) = address.extract() {
                self.memo.insert(address, copied);
            }
        }
        Ok(copied)
    }
}

/// What `id` gives.
fn address(value: &Bound<'_, PyAny>) -> usize {
    value.as_ptr().addr()
}

fn is_atomic(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyBytes>()
}
