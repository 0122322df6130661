//! When rows last changed: a count of a table's changes, and for each key the count at its last one.
//!
//! Unlike the change log it is not cut, names each key once, and counts what a rollback takes back as well. Sync asks it
//! what a client lacks, and whether a row changed since a client saw it.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};

/// Counts of changes.
type Counts = Arc<Mutex<HashSet<u64>>>;

thread_local! {
    /// Who wants to know which changes this thread makes: the address of the stamps, and where to note the counts.
    static WATCHING: RefCell<Vec<(usize, Counts)>> = const { RefCell::new(Vec::new()) };
}

/// Counts the changes of one table object; a copy of the table is another origin.
#[pyclass(frozen, module = "tandemdb._native.syncdb")]
pub(super) struct RowStamps {
    origin: Mutex<String>,
    count: AtomicU64,
    /// Key to the count at its last change, in the order of those; deleted keys stay.
    stamps: Py<PyDict>,
}

impl RowStamps {
    /// Notes a change of the row with that key.
    pub(super) fn note(&self, key: &Bound<'_, PyTuple>) -> PyResult<u64> {
        let stamps = self.stamps.bind(key.py());
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        // To the end, as the order is by the last change.
        if stamps.contains(key)? {
            stamps.del_item(key)?;
        }
        stamps.set_item(key, count)?;
        WATCHING.with_borrow(|watching| {
            for (stamps, counts) in watching {
                if *stamps == std::ptr::from_ref(self).addr() {
                    counts.lock().insert(count);
                }
            }
        });
        Ok(count)
    }

    /// The count at the last change of a key; 0 if none is known.
    pub(super) fn last(&self, key: &Bound<'_, PyTuple>) -> PyResult<u64> {
        match self.stamps.bind(key.py()).get_item(key)? {
            Some(count) => count.extract(),
            None => Ok(0),
        }
    }
}

#[pymethods]
impl RowStamps {
    #[new]
    fn new(py: Python<'_>) -> Self {
        Self {
            origin: Mutex::new(uuid::Uuid::new_v4().simple().to_string()),
            count: AtomicU64::new(0),
            stamps: PyDict::new(py).unbind(),
        }
    }

    /// Names this table object among all.
    #[getter]
    fn origin(&self) -> String {
        self.origin.lock().clone()
    }

    /// Starts another generation, named after a dot: who knew the rows before has to be told all of them.
    fn renew(&self) {
        let mut origin = self.origin.lock();
        let (table, generation) = origin.split_once('.').unwrap_or((&origin, "0"));
        let next = generation.parse::<u64>().unwrap_or(0) + 1;
        *origin = format!("{table}.{next}");
    }

    /// Changes so far.
    #[getter]
    fn position(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Notes a change of the row with that key, and returns its count.
    fn touch(&self, key: &Bound<'_, PyTuple>) -> PyResult<u64> {
        self.note(key)
    }

    /// The count at the last change of a key; 0 if none is known.
    fn stamp(&self, key: &Bound<'_, PyTuple>) -> PyResult<u64> {
        self.last(key)
    }

    /// Keys that changed after `position`, the one that changed last at the end.
    fn changed_since<'py>(&self, py: Python<'py>, position: u64) -> PyResult<Bound<'py, PyList>> {
        let keys = PyList::empty(py);
        if position >= self.position() {
            return Ok(keys);
        }
        let items = self.stamps.bind(py).call_method0(intern!(py, "items"))?;
        let latest_first = py
            .import(intern!(py, "builtins"))?
            .getattr(intern!(py, "reversed"))?
            .call1((items,))?;
        for item in latest_first.try_iter()? {
            let (key, count): (Bound<'py, PyAny>, u64) = item?.extract()?;
            if count <= position {
                break;
            }
            keys.append(key)?;
        }
        keys.reverse()?;
        Ok(keys)
    }

    /// Other rows may change in each copy.
    fn __deepcopy__(&self, py: Python<'_>, _memo: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self {
            origin: Mutex::new(uuid::Uuid::new_v4().simple().to_string()),
            count: AtomicU64::new(self.position()),
            stamps: self.stamps.bind(py).copy()?.unbind(),
        })
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, Bound<'py, PyTuple>) {
        (slf.get_type(), PyTuple::empty(slf.py()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.stamps)
    }
}

/// What a handler saw of a table when it looked for conflicts, so that it overwrites nothing that came later.
///
/// In a `with` block, changes that this thread makes are the handler's own: a resolver may write to the table.
#[pyclass(frozen, module = "tandemdb._native.syncdb")]
pub(super) struct Sighting {
    stamps: Py<RowStamps>,
    position: u64,
    own: Counts,
}

impl Sighting {
    /// Whether nobody else has changed the row since.
    pub(super) fn is_current(&self, key: &Bound<'_, PyTuple>) -> PyResult<bool> {
        let count = self.stamps.get().last(key)?;
        Ok(count <= self.position || self.own.lock().contains(&count))
    }

    /// Calls a function whose changes are the handler's own.
    pub(super) fn during<T>(&self, call: impl FnOnce() -> T) -> T {
        self.__enter__();
        let outcome = call();
        self.leave();
        outcome
    }

    fn leave(&self) {
        WATCHING.with_borrow_mut(|watching| {
            if let Some(at) = watching
                .iter()
                .rposition(|(_, counts)| Arc::ptr_eq(counts, &self.own))
            {
                watching.remove(at);
            }
        });
    }
}

#[pymethods]
impl Sighting {
    #[new]
    fn new(stamps: &Bound<'_, RowStamps>) -> Self {
        Self {
            position: stamps.get().position(),
            stamps: stamps.clone().unbind(),
            own: Counts::default(),
        }
    }

    fn __enter__(&self) {
        let watch = (
            std::ptr::from_ref(self.stamps.get()).addr(),
            Arc::clone(&self.own),
        );
        WATCHING.with_borrow_mut(|watching| watching.push(watch));
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, _args: &Bound<'_, PyTuple>) {
        self.leave();
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.stamps)
    }
}
