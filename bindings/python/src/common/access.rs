//! Reading attributes and fields of records that are any Python objects.

use std::cell::Cell;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};

/// `builtins.getattr`, which says that there is no attribute without making an exception.
static GETATTR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// An attribute that many objects are asked for.
///
/// In the stable interface a read that fails makes an exception, which takes ten times as long as one that succeeds;
/// after the first failure objects are asked another way, which takes the same time for both.
pub(crate) struct Attribute<'py> {
    name: Bound<'py, PyString>,
    is_missed: Cell<bool>,
}

impl<'py> Attribute<'py> {
    pub(crate) fn new(name: Bound<'py, PyString>) -> Self {
        Self {
            name,
            is_missed: Cell::new(false),
        }
    }

    /// The attribute, or nothing when it is absent or `None`.
    pub(crate) fn of(&self, object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let found = if self.is_missed.get() {
            attribute_or_none(object, &self.name)?
        } else {
            let found = object.getattr_opt(&self.name)?;
            self.is_missed.set(found.is_none());
            found
        };
        Ok(found.filter(|value| !value.is_none()))
    }
}

/// `getattr(object, name, None)`.
pub(crate) fn attribute_or_none<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    let value = GETATTR
        .import(py, "builtins", "getattr")?
        .call1((object, name, py.None()))?;
    Ok((!value.is_none()).then_some(value))
}

/// A field of records: their attribute of that name when it is not `None`, else what their metadata says.
pub(crate) struct FieldOf<'py> {
    attribute: Attribute<'py>,
    metadata: Attribute<'py>,
}

impl<'py> FieldOf<'py> {
    pub(crate) fn new(name: &Bound<'py, PyString>) -> Self {
        Self {
            attribute: Attribute::new(name.clone()),
            metadata: Attribute::new(intern!(name.py(), "metadata").clone()),
        }
    }

    /// As `new`, when records are known to lack the attribute.
    pub(crate) fn expected(name: &Bound<'py, PyString>, is_missed: bool) -> Self {
        let field = Self::new(name);
        field.attribute.is_missed.set(is_missed);
        field
    }

    /// Whether the last record asked had no such attribute.
    pub(crate) fn is_missed(&self) -> bool {
        self.attribute.is_missed.get()
    }

    /// The value, or nothing.
    pub(crate) fn of(&self, record: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if let Some(value) = self.attribute.of(record)? {
            return Ok(Some(value));
        }
        let Some(metadata) = self.metadata.of(record)? else {
            return Ok(None);
        };
        let name = &self.attribute.name;
        let value = if let Ok(metadata) = metadata.cast::<PyDict>() {
            metadata.get_item(name)?
        } else if metadata.hasattr(intern!(name.py(), "__contains__"))?
            && metadata.contains(name)?
        {
            Some(metadata.get_item(name)?)
        } else {
            None
        };
        Ok(value.filter(|value| !value.is_none()))
    }
}

/// A class of the package's Python side, looked up once.
pub(crate) struct PythonClass {
    module: &'static str,
    name: &'static str,
    found: PyOnceLock<Py<PyType>>,
}

impl PythonClass {
    pub(crate) const fn new(module: &'static str, name: &'static str) -> Self {
        Self {
            module,
            name,
            found: PyOnceLock::new(),
        }
    }

    pub(crate) fn get<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyType>> {
        self.found.import(py, self.module, self.name)
    }

    /// Whether the object is of this very class.
    pub(crate) fn is_of(&self, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(object.get_type().is(self.get(object.py())?))
    }
}

/// Members of an enum of the package's Python side, looked up once.
pub(crate) struct Members<const N: usize> {
    class: PythonClass,
    names: [&'static str; N],
    found: PyOnceLock<[Py<PyAny>; N]>,
}

impl<const N: usize> Members<N> {
    pub(crate) const fn new(
        module: &'static str,
        class: &'static str,
        names: [&'static str; N],
    ) -> Self {
        Self {
            class: PythonClass::new(module, class),
            names,
            found: PyOnceLock::new(),
        }
    }

    fn all(&self, py: Python<'_>) -> PyResult<&[Py<PyAny>; N]> {
        self.found.get_or_try_init(py, || {
            let class = self.class.get(py)?;
            let mut members = Vec::with_capacity(N);
            for name in self.names {
                members.push(class.getattr(name)?.unbind());
            }
            members.try_into().map_err(|_| {
                pyo3::exceptions::PyRuntimeError::new_err("an enum has fewer members than names")
            })
        })
    }

    /// Which member it is, by position in the names.
    pub(crate) fn position(&self, member: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        let members = self.all(member.py())?;
        Ok(members.iter().position(|known| known.is(member)))
    }

    /// The member at a position.
    pub(crate) fn member<'py>(
        &self,
        py: Python<'py>,
        position: usize,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self
            .all(py)?
            .get(position)
            .map(|member| member.bind(py).clone()))
    }
}
