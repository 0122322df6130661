//! [`Retrieval`]: a read of features that is planned once and then made often.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Text, Timestamp};
use numpy::{PyArray1, PyArray2, PyArrayMethods as _, PyUntypedArrayMethods as _};
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyString, PyTuple};
use vectordb::feature::{self, BatchOptions, BatchReport, KnownAt, Order, Status, Times};

use super::as_of::as_of;
use super::table::Numbers;
use crate::interchange::{KeyList, Table, awaited, id_of, micros_of, raise};

/// Entities that are read between two looks at signals.
const ROWS_UNWATCHED: usize = 1 << 16;

/// Features of one entity or many as rows of one matrix, transformed: take it from `FeatureStore.retrieval`.
///
/// A value that is missing or expired, and all values of an entity that is unknown, are NaN, or what the transformer makes
/// of missing ones.
#[pyclass(frozen, module = "vectordb.features")]
pub(crate) struct Retrieval {
    pub(super) inner: feature::Retrieval,
    pub(super) store: feature::FeatureStore,
    /// Names of the numbers that an entity becomes.
    pub(super) outputs: Vec<String>,
    pub(super) keys: Vec<Text>,
    /// Who is told of batches, shown to the garbage collector here.
    pub(super) observer: Option<Arc<Py<PyAny>>>,
}

/// The rows of a training set: keys, times, and how late data count.
pub(super) struct Rows {
    pub(super) keys: KeyList,
    pub(super) times: Vec<Timestamp>,
    pub(super) known: KnownAt,
}

impl Retrieval {
    /// Reads what a join is to be of.
    pub(super) fn rows(
        &self,
        rows: &Bound<'_, PyAny>,
        at: &str,
        known: &Bound<'_, PyAny>,
    ) -> PyResult<Rows> {
        let known = match known.cast::<PyString>() {
            Ok(word) => match &*word.to_cow()? {
                "event" => KnownAt::Event,
                "ever" => KnownAt::Ever,
                other => {
                    return Err(PyValueError::new_err(format!(
                        "known is 'event', 'ever' or a point in time, not {other:?}"
                    )));
                }
            },
            Err(_) => KnownAt::By(micros_of(known)?),
        };
        let mut table = Table::of(rows)?;
        Ok(Rows {
            times: table.take(at)?.into_times(&format!("column `{at}`"))?,
            keys: KeyList::from_table(&mut table, &self.keys)?,
            known,
        })
    }

    fn retrieved(
        &self,
        py: Python<'_>,
        values: Py<PyAny>,
        statuses: &[Status],
        report: BatchReport,
        rows: Option<Py<PyAny>>,
    ) -> PyResult<Retrieved> {
        let views = self.inner.views();
        let codes: Vec<u8> = statuses.iter().map(|status| *status as u8).collect();
        let codes = PyArray1::from_vec(py, codes);
        Ok(Retrieved {
            values,
            statuses: codes
                .reshape([statuses.len() / views.max(1), views])?
                .unbind(),
            columns: self.outputs.clone(),
            report,
            rows,
        })
    }
}

/// Reads in blocks of rows, with a look at signals after each.
fn in_blocks<T: Send>(
    py: Python<'_>,
    (rows, outputs, views): (usize, usize, usize),
    out: &mut [T],
    is_whole: bool,
    mut read: impl FnMut(usize, usize, &mut [T], &mut [Status]) -> common::Result<BatchReport> + Send,
) -> PyResult<(Vec<Status>, BatchReport)> {
    let mut statuses = vec![Status::Unread; rows * views];
    let mut report = BatchReport::default();
    let block = if is_whole {
        rows.max(1)
    } else {
        ROWS_UNWATCHED
    };
    for from in (0..rows).step_by(block) {
        let to = (from + block).min(rows);
        let out = out
            .get_mut(from * outputs..to * outputs)
            .unwrap_or_default();
        let statuses = statuses
            .get_mut(from * views..to * views)
            .unwrap_or_default();
        let done = py.detach(|| read(from, to, out, statuses)).map_err(raise)?;
        report.present += done.present;
        report.incomplete += done.incomplete;
        report.unread += done.unread;
        py.check_signals()?;
    }
    Ok((statuses, report))
}

#[pymethods]
impl Retrieval {
    /// Names of the features in the order in which they are read, before they are transformed.
    #[getter]
    fn features(&self) -> Vec<String> {
        self.inner
            .features()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// Names of the numbers that each entity has.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.outputs.clone()
    }

    /// How many views are read: there is a status for each of an entity's.
    #[getter]
    fn views(&self) -> usize {
        self.inner.views()
    }

    fn __repr__(&self) -> String {
        format!("Retrieval({})", self.outputs.join(", "))
    }

    /// Reads one entity: its numbers, and the worst of its views' states.
    #[pyo3(signature = (key, as_of = None), text_signature = "($self, key, as_of=None)")]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        as_of: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyArray1<f64>>, &'static str)> {
        let at = self::as_of(as_of, || self.store.now())?;
        let mut out = vec![0.0; self.inner.outputs()];
        let status = self.inner.get(&id_of(key)?, at, &mut out).map_err(raise)?;
        Ok((PyArray1::from_vec(py, out), status.name()))
    }

    /// Reads many entities into one matrix of NumPy, as of now unless `as_of` says otherwise.
    ///
    /// `keys` is a list or an array, tuples for keys of several columns, or a table of these columns. `dtype` is `float64`
    /// or `float32`, `order` `C` (all numbers of an entity together) or `F`. After `deadline` seconds what was not read
    /// is said to be `unread`.
    #[pyo3(signature = (keys, as_of = None, *, dtype = "float64", order = "C", threads = 1, deadline = None),
        text_signature = "($self, keys, as_of=None, *, dtype='float64', order='C', threads=1, deadline=None)")]
    #[expect(clippy::too_many_arguments, reason = "keywords")]
    fn get_many(
        &self,
        py: Python<'_>,
        keys: &Bound<'_, PyAny>,
        as_of: Option<&Bound<'_, PyAny>>,
        dtype: &str,
        order: &str,
        threads: usize,
        deadline: Option<f64>,
    ) -> PyResult<Retrieved> {
        let keys = KeyList::of(keys, &self.keys)?;
        let at = self::as_of(as_of, || self.store.now())?;
        let is_fortran = match order {
            "C" => false,
            "F" => true,
            other => {
                return Err(PyValueError::new_err(format!(
                    "order is C or F, not {other:?}"
                )));
            }
        };
        let deadline = deadline
            .map(|seconds| {
                let most = Duration::try_from_secs_f64(seconds).map_err(|error| {
                    PyValueError::new_err(format!("deadline of {seconds} seconds: {error}"))
                })?;
                Ok::<_, PyErr>(Instant::now() + most.min(Duration::from_secs(1 << 30)))
            })
            .transpose()?;
        let options = BatchOptions {
            order: if is_fortran {
                Order::ColumnMajor
            } else {
                Order::RowMajor
            },
            deadline,
            threads,
        };
        let (rows, outputs, views) = (keys.len(), self.inner.outputs(), self.inner.views());
        let sizes = (rows, outputs, views);
        macro_rules! read {
            ($type:ty, $method:ident) => {{
                let matrix = PyArray2::<$type>::zeros(py, [rows, outputs], is_fortran);
                let mut guard = matrix.readwrite();
                let out = guard.as_slice_mut()?;
                let (statuses, report) =
                    in_blocks(py, sizes, out, is_fortran, |from, to, out, statuses| {
                        keys.with(from, to, |keys| {
                            self.inner.$method(keys, at, out, statuses, options)
                        })
                    })?;
                drop(guard);
                self.retrieved(py, matrix.into_any().unbind(), &statuses, report, None)
            }};
        }
        match dtype {
            "float64" => read!(f64, get_many),
            "float32" => read!(f32, get_many_f32),
            other => Err(PyValueError::new_err(format!(
                "dtype is float64 or float32, not {other:?}"
            ))),
        }
    }

    /// Reads batches of entities one after the other, each when it is asked for: `get_many` of each of `batches`, with its
    /// keywords. No more than one is in memory.
    #[pyo3(signature = (batches, **options),
        text_signature = "($self, batches, *, as_of=None, dtype='float64', order='C', threads=1, deadline=None)")]
    fn stream<'py>(
        slf: &Bound<'py, Self>,
        batches: &Bound<'py, PyAny>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let read = py
            .import("functools")?
            .getattr("partial")?
            .call((slf.getattr("get_many")?,), options)?;
        py.import("builtins")?.call_method1("map", (read, batches))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.observer {
            Some(observer) => visit.call(&**observer),
            None => Ok(()),
        }
    }

    /// As `get_many`, awaited: `await retrieval.get_many_async(keys)`.
    #[pyo3(signature = (*args, **kwargs), text_signature = "($self, keys, as_of=None, *, dtype='float64', order='C', threads=1, deadline=None)")]
    fn get_many_async<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        awaited(slf.as_any(), "get_many", args, kwargs)
    }

    /// Joins features to rows of entity and time, each as of its own time: what a model is trained on.
    ///
    /// `rows` is a dict of columns, a list of dicts or a table of Arrow with the key columns and, under the name `at`, a
    /// time for each row; other columns, such as labels, stay. `known` says which late data count: `event`, what was known
    /// at the row's time, as if it had been served then; `ever`; or by a point in time.
    #[pyo3(signature = (rows, *, at = "event_time", known = None, threads = 1),
        text_signature = "($self, rows, *, at='event_time', known='event', threads=1)")]
    fn join(
        &self,
        py: Python<'_>,
        rows: &Bound<'_, PyAny>,
        at: &str,
        known: Option<&Bound<'_, PyAny>>,
        threads: usize,
    ) -> PyResult<Retrieved> {
        let event = PyString::new(py, "event").into_any();
        let of = self.rows(rows, at, known.unwrap_or(&event))?;
        let (count, outputs, views) = (of.keys.len(), self.inner.outputs(), self.inner.views());
        let matrix = PyArray2::<f64>::zeros(py, [count, outputs], false);
        let mut guard = matrix.readwrite();
        let options = BatchOptions {
            threads,
            ..BatchOptions::default()
        };
        let (statuses, report) = in_blocks(
            py,
            (count, outputs, views),
            guard.as_slice_mut()?,
            false,
            |from, to, out, statuses| {
                let times = Times::Each(of.times.get(from..to).unwrap_or_default());
                of.keys.with(from, to, |keys| {
                    self.inner
                        .join(keys, times, of.known, out, statuses, options)
                })
            },
        )?;
        drop(guard);
        let rows = Some(rows.clone().unbind());
        self.retrieved(py, matrix.into_any().unbind(), &statuses, report, rows)
    }

    /// As `join`, awaited.
    #[pyo3(signature = (*args, **kwargs), text_signature = "($self, rows, *, at='event_time', known='event', threads=1)")]
    fn join_async<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        awaited(slf.as_any(), "join", args, kwargs)
    }
}

/// What a batch read: a matrix of numbers, and what was found for each entity.
#[pyclass(frozen, module = "vectordb.features")]
pub(crate) struct Retrieved {
    values: Py<PyAny>,
    statuses: Py<PyArray2<u8>>,
    columns: Vec<String>,
    report: BatchReport,
    /// What a join was given.
    rows: Option<Py<PyAny>>,
}

/// The numbers of a matrix row after row, in 64 bits.
pub(super) fn numbers_of(values: &Bound<'_, PyAny>) -> PyResult<Vec<f64>> {
    let numpy = values.py().import("numpy")?;
    let array = numpy.call_method1("ascontiguousarray", (values, "float64"))?;
    let array = array.cast::<PyArray2<f64>>()?.readonly();
    Ok(array.as_slice()?.to_vec())
}

#[pymethods]
impl Retrieved {
    /// The matrix: a row for each entity, a column for each of `columns`.
    #[getter]
    fn values(&self, py: Python<'_>) -> Py<PyAny> {
        self.values.clone_ref(py)
    }

    /// What was found for each entity in each view: numbers of `vectordb.features.STATUSES`, 0 for a value that is there.
    #[getter]
    fn statuses(&self, py: Python<'_>) -> Py<PyArray2<u8>> {
        self.statuses.clone_ref(py)
    }

    /// Whether each entity had a row that has not expired in every view: an array of bools.
    #[getter]
    fn is_present<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<bool>>> {
        let statuses = self.statuses.bind(py).readonly();
        let views = statuses.shape().get(1).copied().unwrap_or_default();
        let rows = statuses.as_slice()?.chunks(views.max(1));
        let rows = rows.map(|row| row.iter().all(|status| *status == Status::Present as u8));
        Ok(PyArray1::from_vec(py, rows.collect()))
    }

    /// Names of the columns.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    /// Entities of which every view had a row that has not expired.
    #[getter]
    fn present(&self) -> usize {
        self.report.present
    }

    /// Entities of which some view had none, or whose values the transformer refused.
    #[getter]
    fn incomplete(&self) -> usize {
        self.report.incomplete
    }

    /// Entities that were not read when the deadline came.
    #[getter]
    fn unread(&self) -> usize {
        self.report.unread
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.statuses
            .bind(py)
            .shape()
            .first()
            .copied()
            .unwrap_or_default()
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "Retrieved({} x {}; {} present, {} incomplete, {} unread)",
            self.__len__(py),
            self.columns.len(),
            self.report.present,
            self.report.incomplete,
            self.report.unread
        )
    }

    /// The columns by name; of a join after those of the rows that it was given, in their form: a dict of columns, or an
    /// `ArrowTable`.
    fn to_table<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let values = numbers_of(self.values.bind(py))?;
        let numbers = Numbers {
            names: &self.columns,
            values: &values,
        };
        match &self.rows {
            Some(rows) => numbers.beside(rows.bind(py)),
            None => Ok(numbers.beside_columns(&PyDict::new(py))?.into_any()),
        }
    }

    /// A capsule with the columns as a stream of Arrow; what is missing is null.
    #[pyo3(signature = (requested_schema = None), text_signature = "($self, requested_schema=None)")]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let values = numbers_of(self.values.bind(py))?;
        let numbers = Numbers {
            names: &self.columns,
            values: &values,
        };
        if let Some(rows) = &self.rows
            && let Ok(table) = numbers
                .beside(rows.bind(py))?
                .cast::<crate::arrow::ArrowTable>()
        {
            return table.get().__arrow_c_stream__(py, requested_schema);
        }
        numbers
            .beside_arrow(None)?
            .__arrow_c_stream__(py, requested_schema)
    }
}
