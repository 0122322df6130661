//! Vectors from arrays, lists and what speaks `DLPack` or the buffer protocol; results as arrays or lists.

use common::Slot;
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyMemoryView, PyModule, PySlice, PyTuple};
use vectordb::Neighbour;
use vectordb::core::SlotSet;

use crate::interchange::raise;

/// NumPy, if it is installed: imported when the first array is needed.
pub(crate) fn numpy(py: Python<'_>) -> Option<&Bound<'_, PyModule>> {
    static NUMPY: PyOnceLock<Option<Py<PyModule>>> = PyOnceLock::new();
    let numpy = NUMPY.get_or_init(py, || py.import("numpy").ok().map(Bound::unbind));
    numpy.as_ref().map(|numpy| numpy.bind(py))
}

/// Vectors that a caller gave, one a row.
pub(crate) struct Matrix<'py> {
    pub(crate) rows: usize,
    /// Elements of each; none of no lists.
    pub(crate) columns: Option<usize>,
    given: Given<'py>,
}

enum Given<'py> {
    /// Read where they are.
    Floats(PyReadonlyArray2<'py, f32>),
    /// Of other elements or in another layout: converted block by block.
    Array(Bound<'py, PyAny>),
    /// Converted row by row.
    Lists(Bound<'py, PyAny>),
}

const MATRIX: &str = "expected vectors as a two-dimensional array of numbers, one in each row";
const VECTOR: &str = "expected a vector as a one-dimensional array or a list of numbers";

impl<'py> Matrix<'py> {
    /// # Errors
    /// `TypeError` and `ValueError` for what is no matrix of numbers, with its type, or with its shape and dtype.
    pub(crate) fn of(given: &Bound<'py, PyAny>) -> PyResult<Self> {
        if given.is_instance_of::<PyList>() || given.is_instance_of::<PyTuple>() {
            return Self::of_lists(given.clone());
        }
        let Some(numpy) = numpy(given.py()) else {
            // A buffer of two axes becomes lists.
            let view = PyMemoryView::from(given).map_err(|_| unknown(MATRIX, given))?;
            return Self::of_lists(view.call_method0("tolist")?);
        };
        let array = as_array(numpy, given, 2, MATRIX)?;
        let (rows, columns) = array.getattr("shape")?.extract()?;
        let floats = array.extract::<PyReadonlyArray2<'_, f32>>().ok();
        Ok(Self {
            rows,
            columns: Some(columns),
            given: match floats.filter(|floats| floats.is_c_contiguous()) {
                Some(floats) => Given::Floats(floats),
                None => Given::Array(array),
            },
        })
    }

    fn of_lists(lists: Bound<'py, PyAny>) -> PyResult<Self> {
        let rows = lists.len()?;
        let columns = if rows == 0 {
            None
        } else {
            Some(
                vector(&lists.get_item(0)?)
                    .map_err(|error| at_row(error, 0, lists.py()))?
                    .len(),
            )
        };
        Ok(Self {
            rows,
            columns,
            given: Given::Lists(lists),
        })
    }

    /// Some of the rows one after another, as 32-bit floats.
    ///
    /// # Errors
    /// `TypeError` and `ValueError` for rows that are no vectors or of another length.
    pub(crate) fn block(&self, begin: usize, end: usize) -> PyResult<Vec<f32>> {
        let columns = self.columns.unwrap_or_default();
        match &self.given {
            Given::Floats(floats) => {
                let all = floats.as_slice()?;
                let block = all.get(begin * columns..end * columns);
                Ok(block.unwrap_or_default().to_vec())
            }
            Given::Array(array) => {
                let slice = PySlice::new(array.py(), begin.cast_signed(), end.cast_signed(), 1);
                let block = array.get_item(slice)?.call_method1("reshape", (-1,))?;
                floats(&block)
            }
            Given::Lists(lists) => {
                let mut block = Vec::with_capacity((end - begin) * columns);
                for row in begin..end {
                    let place = |error| at_row(error, row, lists.py());
                    let vector = lists
                        .get_item(row)
                        .and_then(|v| vector(&v))
                        .map_err(place)?;
                    if vector.len() != columns {
                        return Err(place(PyValueError::new_err(format!(
                            "the vector has {} dimensions, the first one {columns}",
                            vector.len()
                        ))));
                    }
                    block.extend(vector);
                }
                Ok(block)
            }
        }
    }
}

/// Elements that are taken from an array between two looks at signals.
const BLOCK_ELEMENTS: usize = 1 << 18;

/// Visits the rows of a matrix in blocks, without the GIL; signals are looked at in between.
pub(crate) fn try_each_row(
    py: Python<'_>,
    vectors: &Matrix<'_>,
    mut visit: impl FnMut(&[f32]) -> common::Result<()> + Send,
) -> PyResult<()> {
    let columns = vectors.columns.unwrap_or(1).max(1);
    let step = (BLOCK_ELEMENTS / columns).max(1);
    for begin in (0..vectors.rows).step_by(step) {
        let block = vectors.block(begin, (begin + step).min(vectors.rows))?;
        py.detach(|| block.chunks(columns).try_for_each(&mut visit))
            .map_err(raise)?;
        py.check_signals()?;
    }
    Ok(())
}

/// As [`try_each_row`] for visits that cannot fail.
pub(crate) fn for_each_row(
    py: Python<'_>,
    vectors: &Matrix<'_>,
    mut visit: impl FnMut(&[f32]) + Send,
) -> PyResult<()> {
    try_each_row(py, vectors, |row| {
        visit(row);
        Ok(())
    })
}

/// One vector as 32-bit floats.
///
/// # Errors
/// `TypeError` and `ValueError` for anything else.
pub(crate) fn vector(given: &Bound<'_, PyAny>) -> PyResult<Vec<f32>> {
    let list = if given.is_instance_of::<PyList>() || given.is_instance_of::<PyTuple>() {
        given.clone()
    } else if let Some(numpy) = numpy(given.py()) {
        if let Ok(array) = given.extract::<PyReadonlyArray1<'_, f32>>()
            && let Ok(values) = array.as_slice()
        {
            return Ok(values.to_vec());
        }
        return floats(&as_array(numpy, given, 1, VECTOR)?);
    } else {
        let view = PyMemoryView::from(given).map_err(|_| unknown(VECTOR, given))?;
        view.call_method0("tolist")?
    };
    let values: Vec<f64> = list.extract().map_err(|_| unknown(VECTOR, given))?;
    Ok(narrowed(&values))
}

/// The numbers of an array of one axis.
fn floats(array: &Bound<'_, PyAny>) -> PyResult<Vec<f32>> {
    let py = array.py();
    let dtype = array.getattr(intern!(py, "dtype"))?;
    let kind: String = dtype.getattr(intern!(py, "kind"))?.extract()?;
    let bytes: usize = dtype.getattr(intern!(py, "itemsize"))?.extract()?;
    let is_narrow = kind == "f" && bytes <= size_of::<f32>();
    let to = if is_narrow { "float32" } else { "float64" };
    let converted = array.call_method1(intern!(py, "astype"), (to, "C"))?;
    if is_narrow {
        let values: PyReadonlyArray1<'_, f32> = converted.extract()?;
        return Ok(values.as_slice()?.to_vec());
    }
    let values: PyReadonlyArray1<'_, f64> = converted.extract()?;
    Ok(narrowed(values.as_slice()?))
}

/// Each number as the nearest 32-bit float; one that is beyond them becomes infinite, which no index takes.
#[expect(clippy::cast_possible_truncation, reason = "documented rounding")]
fn narrowed(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

/// Something array-like as an array of NumPy, of numbers and so many axes.
fn as_array<'py>(
    numpy: &Bound<'py, PyModule>,
    given: &Bound<'py, PyAny>,
    axes: usize,
    expected: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let py = given.py();
    let array = if given.is_instance(&numpy.getattr(intern!(py, "ndarray"))?)? {
        given.clone()
    } else if given.hasattr(intern!(py, "__dlpack__"))? {
        numpy
            .call_method1(intern!(py, "from_dlpack"), (given,))
            .map_err(|error| unread(expected, given, &error))?
    } else {
        numpy.call_method1(intern!(py, "asarray"), (given,))?
    };
    let dtype = array.getattr(intern!(py, "dtype"))?;
    let kind: String = dtype.getattr(intern!(py, "kind"))?.extract()?;
    if !matches!(kind.as_str(), "f" | "i" | "u" | "b") {
        return Err(PyTypeError::new_err(format!(
            "{expected}; got a {} of {dtype}",
            given.get_type().name()?
        )));
    }
    let shape = array.getattr(intern!(py, "shape"))?;
    if shape.len()? != axes {
        return Err(PyValueError::new_err(format!(
            "{expected}; got an array of shape {shape} and dtype {dtype}"
        )));
    }
    Ok(array)
}

/// Why a tensor gives no array: it is on another device, of elements that NumPy does not have, or belongs to a computation.
fn unread(expected: &str, given: &Bound<'_, PyAny>, error: &PyErr) -> PyErr {
    let (py, ty) = (given.py(), given.get_type());
    let what = match given.getattr(intern!(py, "dtype")) {
        Ok(dtype) => format!("a {ty} of {dtype}"),
        Err(_) => format!("a {ty}"),
    };
    let unread = PyTypeError::new_err(format!(
        "{expected}; {what} cannot be read ({}): make it one of float32 on the CPU, detached from what computes gradients",
        error.value(py)
    ));
    unread.set_cause(py, Some(error.clone_ref(py)));
    unread
}

fn unknown(expected: &str, given: &Bound<'_, PyAny>) -> PyErr {
    let ty = given.get_type();
    PyTypeError::new_err(format!("{expected}; got a {ty}"))
}

/// An exception of the same type that names the row.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn at_row(error: PyErr, row: usize, py: Python<'_>) -> PyErr {
    let message = format!("row {row}: {}", error.value(py));
    PyErr::from_type(error.get_type(py), message)
}

/// Numbers of vectors: an array or a list of integers, one integer, or an array of booleans that says for each whether it
/// is meant.
pub(crate) fn slots(given: &Bound<'_, PyAny>) -> PyResult<Vec<Slot>> {
    let py = given.py();
    let wrong = || {
        PyTypeError::new_err(
            "expected the numbers of vectors: integers from 0, or an array of booleans",
        )
    };
    if let Ok(one) = given.extract::<i64>() {
        return Ok(vec![slot(one)?]);
    }
    let is_mask = given
        .getattr_opt(intern!(py, "dtype"))?
        .is_some_and(|dtype| {
            dtype
                .getattr("kind")
                .is_ok_and(|kind| kind.eq("b").unwrap_or(false))
        });
    let list = match (numpy(py), is_mask) {
        (Some(numpy), true) => numpy
            .call_method1("flatnonzero", (given,))?
            .call_method0("tolist")?,
        _ if given.hasattr(intern!(py, "tolist"))? => given.call_method0("tolist")?,
        _ => given.clone(),
    };
    let mut slots = Vec::new();
    for number in list.try_iter()? {
        slots.push(slot(number?.extract::<i64>().map_err(|_| wrong())?)?);
    }
    Ok(slots)
}

/// # Errors
/// `ValueError` for what no vector can have as its number.
pub(crate) fn slot(number: i64) -> PyResult<Slot> {
    let number = u32::try_from(number).map_err(|_| {
        PyValueError::new_err(format!(
            "the number of a vector is 0 to 4294967295, not {number}"
        ))
    })?;
    Ok(Slot(number))
}

/// A set of numbers of vectors.
pub(crate) fn slot_set(given: &Bound<'_, PyAny>) -> PyResult<SlotSet> {
    Ok(slots(given)?.into_iter().collect())
}

/// Numbers as an array of 64-bit integers, or as a list.
pub(crate) fn numbers(
    py: Python<'_>,
    slots: impl IntoIterator<Item = Slot>,
) -> PyResult<Bound<'_, PyAny>> {
    let numbers = slots.into_iter().map(|slot| i64::from(slot.0)).collect();
    values(py, numbers)
}

/// Values as an array, which takes over their memory, or as a list.
pub(crate) fn values<'py, T>(py: Python<'py>, values: Vec<T>) -> PyResult<Bound<'py, PyAny>>
where
    T: numpy::Element + IntoPyObject<'py>,
{
    match numpy(py) {
        Some(_) => Ok(PyArray1::from_vec(py, values).into_any()),
        None => Ok(PyList::new(py, values)?.into_any()),
    }
}

/// As [`values`], in rows of so many.
pub(crate) fn rows<'py, T>(
    py: Python<'py>,
    values: Vec<T>,
    columns: usize,
) -> PyResult<Bound<'py, PyAny>>
where
    T: numpy::Element + IntoPyObject<'py> + Copy,
{
    let count = values.len().checked_div(columns).unwrap_or(0);
    if numpy(py).is_some() {
        let array = PyArray1::from_vec(py, values);
        return Ok(array.reshape([count, columns])?.into_any());
    }
    let lists = PyList::empty(py);
    for row in values.chunks(columns.max(1)) {
        lists.append(PyList::new(py, row.iter().copied())?)?;
    }
    Ok(lists.into_any())
}

/// What one search found: numbers and distances.
pub(crate) fn found<'py>(py: Python<'py>, nearest: &[Neighbour]) -> PyResult<Bound<'py, PyTuple>> {
    let ids = numbers(py, nearest.iter().map(|n| n.slot))?;
    let distances = values(py, nearest.iter().map(|n| n.distance).collect())?;
    PyTuple::new(py, [ids, distances])
}

/// What many searches found, in rows of the same length: -1 and infinity where one found fewer.
pub(crate) fn found_each<'py>(
    py: Python<'py>,
    nearest: &[Vec<Neighbour>],
    columns: usize,
) -> PyResult<Bound<'py, PyTuple>> {
    let mut ids = Vec::with_capacity(nearest.len() * columns);
    let mut distances = Vec::with_capacity(nearest.len() * columns);
    for row in nearest {
        ids.extend(row.iter().map(|n| i64::from(n.slot.0)));
        ids.extend(std::iter::repeat_n(-1, columns.saturating_sub(row.len())));
        distances.extend(row.iter().map(|n| n.distance));
        let missing = columns.saturating_sub(row.len());
        distances.extend(std::iter::repeat_n(f64::INFINITY, missing));
    }
    PyTuple::new(py, [rows(py, ids, columns)?, rows(py, distances, columns)?])
}
