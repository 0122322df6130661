//! The state at one commit, for as long as a program looks at it.

use std::sync::Arc;

use common::Error;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::error::OrRaise;
use super::reading::{
    Parts, Source, counted, counting, filter_of, found, record_to_python, rows_to_python,
};
use super::value::key_of;

/// The state of all tables at one commit; writes go on and do not change it. What is replaced meanwhile stays in memory until it
/// is closed.
#[pyclass(frozen, module = "syncdb.engine")]
pub(super) struct Snapshot {
    source: Source,
    snapshot: Mutex<Option<Arc<common::Snapshot>>>,
}

impl Snapshot {
    pub(super) fn of(source: Source) -> Self {
        let snapshot = source.database().snapshot();
        Self {
            source,
            snapshot: Mutex::new(Some(Arc::new(snapshot))),
        }
    }

    fn open(&self, py: Python<'_>) -> PyResult<Arc<common::Snapshot>> {
        let snapshot = self.snapshot.lock().clone();
        snapshot
            .ok_or_else(|| Error::closed("the snapshot is closed; take another one"))
            .or_raise(py)
    }
}

#[pymethods]
impl Snapshot {
    /// Number of the last commit that is visible.
    #[getter]
    fn seq(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.open(py)?.seq().0)
    }

    /// The row of this key as a dict, or `None`.
    fn get<'py>(
        &self,
        table: &str,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let py = key.py();
        let id = key_of(key)?;
        let snapshot = self.open(py)?;
        let collection = self.source.collection(table).or_raise(py)?;
        let record = py.detach(|| snapshot.get(&collection, id)).or_raise(py)?;
        record
            .map(|record| record_to_python(py, &collection, &record))
            .transpose()
    }

    /// Rows as dicts; as `SyncDb.query`.
    #[pyo3(signature = (table, filter=None, *, order_by=None, limit=None, offset=0, columns=None, params=None))]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    fn query<'py>(
        &self,
        table: &Bound<'py, PyAny>,
        filter: Option<&Bound<'py, PyAny>>,
        order_by: Option<&Bound<'py, PyAny>>,
        limit: Option<usize>,
        offset: usize,
        columns: Option<&Bound<'py, PyAny>>,
        params: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = table.py();
        let parts = Parts {
            filter,
            order_by,
            limit,
            offset,
            columns,
            params,
        };
        let query = parts.of(table)?;
        let snapshot = self.open(py)?;
        let result = found(py, self.source.database(), snapshot, query)?;
        rows_to_python(py, &result)
    }

    /// Number of rows of a table for which a filter holds.
    #[pyo3(signature = (table, filter=None, *, params=None))]
    fn count(
        &self,
        py: Python<'_>,
        table: &str,
        filter: Option<&Bound<'_, PyAny>>,
        params: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<i64> {
        let filter = filter_of(filter, params)?;
        let snapshot = self.open(py)?;
        let query = counting(table, filter);
        found(py, self.source.database(), snapshot, query).map(|result| counted(&result))
    }

    /// Lets go of it.
    fn close(&self, py: Python<'_>) {
        let snapshot = self.snapshot.lock().take();
        py.detach(|| drop(snapshot));
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, py: Python<'_>, _raised: &Bound<'_, PyTuple>) -> bool {
        self.close(py);
        false
    }
}
