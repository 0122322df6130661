//! Copies of Python objects, as `copy.deepcopy` makes them.
//!
//! Objects of the exact built-in types are copied here; what is shared or recursive stays so. Everything else goes to
//! `copy.deepcopy` with a memo that knows what was copied before.

use std::collections::{HashMap, HashSet};

use pyo3::exceptions::PyRecursionError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple};

/// Most levels of nesting that are copied, as Python has a limit of its own.
pub(super) const DEPTH_MAX: usize = 900;

/// References that a child has which only its container holds: the container's, and ours while we look at it.
const HELD_ONCE: isize = 2;

static DEEPCOPY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Types of the standard library whose objects never change, by address.
static UNCHANGING: PyOnceLock<HashSet<usize>> = PyOnceLock::new();

fn unchanging(py: Python<'_>) -> PyResult<&HashSet<usize>> {
    UNCHANGING.get_or_try_init(py, || {
        let mut types = HashSet::new();
        for (module, names) in [
            (
                "datetime",
                &["datetime", "date", "time", "timedelta", "timezone"][..],
            ),
            ("decimal", &["Decimal"]),
            ("uuid", &["UUID"]),
            ("builtins", &["complex", "type", "range"]),
        ] {
            let module = py.import(module)?;
            for name in names {
                types.insert(module.getattr(*name)?.as_ptr() as usize);
            }
        }
        Ok(types)
    })
}

/// Whether a copy of it is the object itself: numbers, texts, bytes and `None`.
#[inline]
pub(super) fn is_atom(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_none()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyBytes>()
}

#[expect(deprecated, reason = "what replaces it is unsafe")]
fn references(value: &Bound<'_, PyAny>) -> isize {
    value.as_unbound().get_refcnt(value.py())
}

/// Whether something else than its container and the caller holds the object.
pub(super) fn is_shared(value: &Bound<'_, PyAny>) -> bool {
    references(value) > HELD_ONCE
}

/// As many objects as are looked for one after the other, before addresses are hashed.
const LOOKED_THROUGH: usize = 16;

/// Originals and copies: originals are held, so that their addresses are nobody else's.
#[derive(Default)]
struct Seen<'py> {
    pairs: Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>,
    /// Where in `pairs` an address is, once there are many.
    places: HashMap<usize, usize>,
}

impl<'py> Seen<'py> {
    fn get(&self, value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let pair = if self.places.is_empty() {
            self.pairs.iter().find(|(original, _)| original.is(value))
        } else {
            self.places
                .get(&(value.as_ptr() as usize))
                .and_then(|place| self.pairs.get(*place))
        };
        pair.map(|(_, copied)| copied.clone())
    }

    fn note(&mut self, value: &Bound<'py, PyAny>, copied: &Bound<'py, PyAny>) {
        self.pairs.push((value.clone(), copied.clone()));
        if self.pairs.len() > LOOKED_THROUGH {
            let known = self.places.len();
            for (place, (original, _)) in self.pairs.iter().enumerate().skip(known) {
                self.places.insert(original.as_ptr() as usize, place);
            }
        }
    }
}

/// What was copied before, by the address of the original.
enum Memo<'py> {
    Native(Seen<'py>),
    /// Once `copy.deepcopy` took part.
    Python(Bound<'py, PyDict>),
}

struct Copier<'py> {
    py: Python<'py>,
    memo: Memo<'py>,
}

impl<'py> Copier<'py> {
    fn known(&self, value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(match &self.memo {
            Memo::Native(seen) => seen.get(value),
            Memo::Python(seen) => seen.get_item(value.as_ptr() as usize)?,
        })
    }

    fn note(&mut self, value: &Bound<'py, PyAny>, copied: &Bound<'py, PyAny>) -> PyResult<()> {
        match &mut self.memo {
            Memo::Native(seen) => {
                seen.note(value, copied);
                Ok(())
            }
            Memo::Python(seen) => seen.set_item(value.as_ptr() as usize, copied),
        }
    }

    fn foreign(&mut self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let memo = match &self.memo {
            Memo::Python(memo) => memo.clone(),
            Memo::Native(seen) => {
                let memo = PyDict::new(self.py);
                for (original, copied) in &seen.pairs {
                    memo.set_item(original.as_ptr() as usize, copied)?;
                }
                memo
            }
        };
        self.memo = Memo::Python(memo.clone());
        DEEPCOPY
            .import(self.py, "copy", "deepcopy")?
            .call1((value, memo))
    }

    fn any(&mut self, value: &Bound<'py, PyAny>, depth: usize) -> PyResult<Bound<'py, PyAny>> {
        if is_atom(value) {
            return Ok(value.clone());
        }
        if depth > DEPTH_MAX {
            return Err(PyRecursionError::new_err(
                "the value is nested too deeply to be copied",
            ));
        }
        let shared = is_shared(value);
        if shared && let Some(copied) = self.known(value)? {
            return Ok(copied);
        }
        if value.is_exact_instance_of::<PyDict>() {
            self.dict(value.cast()?, shared, depth)
        } else if value.is_exact_instance_of::<PyList>() {
            self.list(value.cast()?, shared, depth)
        } else if value.is_exact_instance_of::<PyTuple>() {
            self.tuple(value.cast()?, shared, depth)
        } else if value.is_exact_instance_of::<PySet>()
            && value.cast::<PySet>()?.iter().all(|one| is_atom(&one))
        {
            let copied = value.call_method0(intern!(self.py, "copy"))?;
            if shared {
                self.note(value, &copied)?;
            }
            Ok(copied)
        } else if unchanging(self.py)?.contains(&(value.get_type_ptr() as usize)) {
            Ok(value.clone())
        } else {
            self.foreign(value)
        }
    }

    fn dict(
        &mut self,
        dict: &Bound<'py, PyDict>,
        shared: bool,
        depth: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let copied = dict.copy()?;
        // No Python code runs while the dictionary is walked: it could change it.
        let mut plain_keys = true;
        let mut others = Vec::new();
        for (key, value) in dict.iter() {
            plain_keys &= is_atom(&key);
            if !is_atom(&value) {
                others.push((key, value));
            }
        }
        if shared && !(depth == 0 && plain_keys && others.is_empty()) {
            self.note(dict, &copied)?;
        }
        if plain_keys {
            for (key, value) in others {
                // A reference more than for other children: `copied` has it too.
                let value = self.child(&value, HELD_ONCE + 1, depth)?;
                copied.set_item(key, value)?;
            }
        } else {
            let items = copied.items();
            copied.clear();
            for item in items {
                let (key, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = item.extract()?;
                let key = self.any(&key, depth + 1)?;
                copied.set_item(key, self.any(&value, depth + 1)?)?;
            }
        }
        Ok(copied.into_any())
    }

    /// Copies a child that has `held` references when nothing else knows it.
    fn child(
        &mut self,
        value: &Bound<'py, PyAny>,
        held: isize,
        depth: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        if references(value) <= held && depth < DEPTH_MAX {
            if value.is_exact_instance_of::<PyDict>() {
                return self.dict(value.cast()?, false, depth + 1);
            }
            if value.is_exact_instance_of::<PyList>() {
                return self.list(value.cast()?, false, depth + 1);
            }
        }
        self.any(value, depth + 1)
    }

    fn list(
        &mut self,
        list: &Bound<'py, PyList>,
        shared: bool,
        depth: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        if list.iter().all(|one| is_atom(&one)) {
            let copied = list.get_slice(0, list.len()).into_any();
            if shared && depth > 0 {
                self.note(list, &copied)?;
            }
            return Ok(copied);
        }
        let copied = PyList::empty(self.py);
        if shared {
            self.note(list, &copied)?;
        }
        let mut at = 0;
        while at < list.len() {
            let one = list.get_item(at)?;
            copied.append(self.any(&one, depth + 1)?)?;
            at += 1;
        }
        Ok(copied.into_any())
    }

    fn tuple(
        &mut self,
        tuple: &Bound<'py, PyTuple>,
        shared: bool,
        depth: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        if tuple.iter_borrowed().all(|one| is_atom(&one)) {
            return Ok(tuple.clone().into_any());
        }
        let mut changed = false;
        let mut elements = Vec::with_capacity(tuple.len());
        for one in tuple {
            let copied = self.any(&one, depth + 1)?;
            changed |= !copied.is(&one);
            elements.push(copied);
        }
        // A tuple in a list in itself was copied below.
        if shared && let Some(copied) = self.known(tuple)? {
            return Ok(copied);
        }
        if !changed {
            return Ok(tuple.clone().into_any());
        }
        let copied = PyTuple::new(self.py, elements)?.into_any();
        if shared {
            self.note(tuple, &copied)?;
        }
        Ok(copied)
    }
}

/// A copy that shares nothing that can change with the original.
pub(super) fn deep_copy<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let mut copier = Copier {
        py,
        memo: Memo::Native(Seen::default()),
    };
    copier.any(value, 0)
}

/// A copy that shares nothing that can change with the original, as `copy.deepcopy`.
#[pyfunction]
#[pyo3(name = "deepcopy", signature = (value, /))]
pub(super) fn deepcopy_of<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    deep_copy(value)
}
