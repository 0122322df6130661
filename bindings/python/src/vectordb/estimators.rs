//! `vectordb.sklearn`: the crate's transformations on arrays of NumPy, which are read and written where they are.

use numpy::{PyReadonlyArray2, PyReadwriteArray2, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyAny;
use vectordb::transform::{
    Filling, Imputer, ImputerFit, Matrix, Norm, Normalizer, Scaler, ScalerFit, Scaling, WeightedFit,
};

use crate::interchange::{raise, watch};

const LAYOUT: &str = "expected a two-dimensional array of float64 or float32 in C order";

/// Calls `$run` with the rows of an array, in whichever width.
macro_rules! with_rows {
    ($array:expr, |$rows:ident, $columns:ident| $run:expr) => {{
        let array: &Bound<'_, PyAny> = $array;
        if let Ok(array) = array.extract::<PyReadonlyArray2<'_, f64>>() {
            let ($rows, $columns) = rows(&array)?;
            $run
        } else if let Ok(array) = array.extract::<PyReadonlyArray2<'_, f32>>() {
            let ($rows, $columns) = rows(&array)?;
            $run
        } else {
            return Err(PyTypeError::new_err(LAYOUT));
        }
    }};
}

/// As `with_rows`, to be written.
macro_rules! with_rows_mut {
    ($array:expr, |$rows:ident, $columns:ident| $run:expr) => {{
        let array: &Bound<'_, PyAny> = $array;
        if let Ok(mut array) = array.extract::<PyReadwriteArray2<'_, f64>>() {
            let ($rows, $columns) = rows_mut(&mut array)?;
            $run
        } else if let Ok(mut array) = array.extract::<PyReadwriteArray2<'_, f32>>() {
            let ($rows, $columns) = rows_mut(&mut array)?;
            $run
        } else {
            return Err(PyTypeError::new_err(LAYOUT));
        }
    }};
}

fn rows<'a, T: numpy::Element>(array: &'a PyReadonlyArray2<'_, T>) -> PyResult<(&'a [T], usize)> {
    let columns = array.shape().get(1).copied().unwrap_or_default();
    if !array.is_c_contiguous() {
        return Err(PyTypeError::new_err(LAYOUT));
    }
    Ok((array.as_slice()?, columns))
}

fn rows_mut<'a, T: numpy::Element>(
    array: &'a mut PyReadwriteArray2<'_, T>,
) -> PyResult<(&'a mut [T], usize)> {
    let columns = array.shape().get(1).copied().unwrap_or_default();
    if !array.is_c_contiguous() {
        return Err(PyTypeError::new_err(LAYOUT));
    }
    Ok((array.as_slice_mut()?, columns))
}

/// The options of a scaler: its kind, two numbers and two switches, of which each kind reads its own.
fn scaling(kind: &str, numbers: [f64; 2], switches: [bool; 2]) -> PyResult<Scaling> {
    let ([low, high], [first, second]) = (numbers, switches);
    match kind {
        "standard" => Ok(Scaling::Standard {
            centre: first,
            scale: second,
        }),
        "min_max" => Ok(Scaling::MinMax {
            low,
            high,
            clip: first,
        }),
        "max_abs" => Ok(Scaling::MaxAbs),
        "robust" => Ok(Scaling::Robust {
            lower: low,
            upper: high,
        }),
        other => Err(PyValueError::new_err(format!(
            "no scaling is called {other}"
        ))),
    }
}

/// Counts and summary by column, then offset and scale.
type Fitted = (Vec<u64>, Option<[Vec<f64>; 2]>, Vec<f64>, Vec<f64>);

/// Fits a scaler on the rows of an array, going on from `before` (counts and summary) when given.
#[pyfunction]
#[pyo3(signature = (kind, numbers, switches, array, before))]
pub(super) fn fit_scaler(
    py: Python<'_>,
    kind: &str,
    numbers: [f64; 2],
    switches: [bool; 2],
    array: &Bound<'_, PyAny>,
    before: Option<(Vec<u64>, [Vec<f64>; 2])>,
) -> PyResult<Fitted> {
    let scaling = scaling(kind, numbers, switches)?;
    with_rows!(array, |rows, columns| {
        watch::run_on(py, rows, move |rows| {
            let mut fit = match before {
                Some((counts, summary)) => ScalerFit::resume(scaling, counts, summary)?,
                None => ScalerFit::new(scaling, columns)?,
            };
            fit.partial_fit(Matrix::new(rows, columns)?)?;
            let scaler = fit.finish()?;
            let summary = fit.summary().map(|summary| summary.map(<[f64]>::to_vec));
            Ok((
                fit.counts().to_vec(),
                summary,
                scaler.offset().to_vec(),
                scaler.scale().to_vec(),
            ))
        })
    })
}

/// Sums of weights, summary, offset and scale by column.
type WeightedFitted = (Vec<f64>, [Vec<f64>; 2], Vec<f64>, Vec<f64>);

/// Fits standard scaling on the rows of an array with weights, going on from `before` (sums of weights, means and
/// variances) when given.
#[pyfunction]
#[pyo3(signature = (switches, array, weights, before))]
pub(super) fn fit_weighted(
    py: Python<'_>,
    switches: [bool; 2],
    array: &Bound<'_, PyAny>,
    weights: Vec<f64>,
    before: Option<(Vec<f64>, [Vec<f64>; 2])>,
) -> PyResult<WeightedFitted> {
    let scaling = scaling("standard", [0.0; 2], switches)?;
    with_rows!(array, |rows, columns| {
        watch::run_on(py, rows, move |rows| {
            let mut fit = match before {
                Some((sums, [mean, variance])) => WeightedFit::resume(sums, mean, variance)?,
                None => WeightedFit::new(columns)?,
            };
            fit.partial_fit(Matrix::new(rows, columns)?, &weights)?;
            let scaler = fit.finish(scaling)?;
            Ok((
                fit.weights().to_vec(),
                [fit.mean().to_vec(), fit.variance().to_vec()],
                scaler.offset().to_vec(),
                scaler.scale().to_vec(),
            ))
        })
    })
}

/// Scales the rows of an array in place, or undoes it.
#[pyfunction]
#[pyo3(signature = (kind, numbers, switches, offset, scale, array, inverse))]
#[expect(clippy::too_many_arguments, reason = "what a scaler is made of")]
pub(super) fn scale_columns(
    py: Python<'_>,
    kind: &str,
    numbers: [f64; 2],
    switches: [bool; 2],
    offset: Vec<f64>,
    scale: Vec<f64>,
    array: &Bound<'_, PyAny>,
    inverse: bool,
) -> PyResult<()> {
    let scaling = scaling(kind, numbers, switches)?;
    let scaler = Scaler::from_parts(scaling, offset, scale).map_err(raise)?;
    with_rows_mut!(array, |rows, columns| {
        same_width(columns, scaler.columns())?;
        in_place(py, rows, columns, |rows| {
            if inverse {
                scaler.inverse(rows)
            } else {
                scaler.transform(rows)
            }
        })
    })
}

/// Writes over rows of `columns` numbers, some at a time.
fn in_place<T: Send>(
    py: Python<'_>,
    all: &mut [T],
    columns: usize,
    write: impl Fn(&mut [T]) -> common::Result<()> + Sync,
) -> PyResult<()> {
    let rows = all.len() / columns.max(1);
    watch::by_rows(py, (rows, columns), |rows| {
        let whole = rows.start * columns..rows.end * columns;
        write(all.get_mut(whole).unwrap_or_default())
    })
}

fn same_width(columns: usize, fitted: usize) -> PyResult<()> {
    if columns == fitted {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "the array has {columns} columns, the fit {fitted}"
    )))
}

/// Divides each row of an array by its length, in place.
#[pyfunction]
#[pyo3(signature = (norm, array))]
pub(super) fn normalize_rows(py: Python<'_>, norm: &str, array: &Bound<'_, PyAny>) -> PyResult<()> {
    let norm = match norm {
        "l1" => Norm::L1,
        "l2" => Norm::L2,
        "max" => Norm::Max,
        other => return Err(PyValueError::new_err(format!("no norm is called {other}"))),
    };
    with_rows_mut!(array, |rows, columns| {
        let normalizer = Normalizer::new(norm, columns);
        in_place(py, rows, columns, |rows| normalizer.transform(rows))
    })
}

fn filling(strategy: &str, fill_value: f64) -> PyResult<Filling> {
    match strategy {
        "mean" => Ok(Filling::Mean),
        "median" => Ok(Filling::Median),
        "most_frequent" => Ok(Filling::MostFrequent),
        "constant" => Ok(Filling::Constant(fill_value)),
        other => Err(PyValueError::new_err(format!(
            "no strategy is called {other}"
        ))),
    }
}

/// Finds what to fill into each column of an array of float64.
#[pyfunction]
#[pyo3(signature = (strategy, fill_value, array))]
pub(super) fn fit_imputer(
    py: Python<'_>,
    strategy: &str,
    fill_value: f64,
    array: &Bound<'_, PyAny>,
) -> PyResult<Vec<f64>> {
    let filling = filling(strategy, fill_value)?;
    let Ok(array) = array.extract::<PyReadonlyArray2<'_, f64>>() else {
        return Err(PyTypeError::new_err(LAYOUT));
    };
    let (rows, columns) = rows(&array)?;
    watch::run_on(py, rows, move |rows| {
        let mut fit = ImputerFit::new(filling, columns)?;
        fit.partial_fit(Matrix::new(rows, columns)?)?;
        Ok(fit.finish()?.values().to_vec())
    })
}

/// Puts `values` where numbers of an array are missing, in place.
#[pyfunction]
#[pyo3(signature = (values, array))]
pub(super) fn fill_missing(
    py: Python<'_>,
    values: Vec<f64>,
    array: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let imputer = Imputer::from_values(Filling::Constant(0.0), values).map_err(raise)?;
    with_rows_mut!(array, |rows, columns| {
        same_width(columns, imputer.columns())?;
        in_place(py, rows, columns, |rows| imputer.transform(rows))
    })
}
