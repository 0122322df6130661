//! Whether methods that programs may replace are still ours.

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

/// Methods of a native class, by name, that subclasses, classes and instances may replace.
pub(super) struct Hooks {
    names: &'static [&'static str],
    /// Attributes that an instance has of itself: with no more of them it has no method among them.
    attributes: usize,
    ours: PyOnceLock<Vec<(Py<PyString>, Py<PyAny>)>>,
    plain: PyOnceLock<PlainClass>,
}

/// The package's own class right on the native one, whose methods were all found to be native.
struct PlainClass {
    class: Py<PyAny>,
    /// Its `__dict__`, live, and how long that was: with a method put into it it would be longer.
    members: Py<PyAny>,
    members_len: usize,
}

impl Hooks {
    pub(super) const fn new(names: &'static [&'static str], attributes: usize) -> Self {
        Self {
            names,
            attributes,
            ours: PyOnceLock::new(),
            plain: PyOnceLock::new(),
        }
    }

    /// Whether none of the methods at these places of the list was replaced; `own` is the instance's `__dict__`.
    #[inline]
    pub(super) fn untouched<C: PyTypeInfo>(
        &self,
        object: &Bound<'_, PyAny>,
        own: &Bound<'_, PyDict>,
        which: &[usize],
    ) -> PyResult<bool> {
        let py = object.py();
        if own.len() <= self.attributes
            && let Some(plain) = self.plain.get(py)
            && object.get_type_ptr().cast() == plain.class.as_ptr()
            && plain.members.bind(py).len()? == plain.members_len
        {
            return Ok(true);
        }
        self.look::<C>(object, own, which)
    }

    fn look<C: PyTypeInfo>(
        &self,
        object: &Bound<'_, PyAny>,
        own: &Bound<'_, PyDict>,
        which: &[usize],
    ) -> PyResult<bool> {
        let py = object.py();
        let native = py.get_type::<C>();
        let ours = self.ours.get_or_try_init(py, || {
            self.names
                .iter()
                .map(|name| {
                    Ok((
                        PyString::intern(py, name).unbind(),
                        native.getattr(*name)?.unbind(),
                    ))
                })
                .collect::<PyResult<Vec<_>>>()
        })?;
        let class = object.get_type();
        let mut is_plain = class.getattr("__base__")?.is(&native);
        let mut untouched = true;
        for (at, (name, method)) in ours.iter().enumerate() {
            let is_ours = class.getattr(name)?.is(method);
            is_plain &= is_ours;
            if which.contains(&at) && (!is_ours || own.contains(name)?) {
                untouched = false;
            }
        }
        if is_plain && self.plain.get(py).is_none() {
            let members = class.getattr("__dict__")?;
            let members_len = members.len()?;
            let plain = PlainClass {
                class: class.into_any().unbind(),
                members: members.unbind(),
                members_len,
            };
            // Another thread may have been first, with the same.
            let _ = self.plain.set(py, plain);
        }
        Ok(untouched)
    }
}
