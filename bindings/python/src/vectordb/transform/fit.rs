//! What operations learn from a batch, and what they make of it for those that come after them.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict, PyFloat};
use vectordb::experiment::{Moments, median};

use super::batch::{Batch, Cell, Column};
use super::operation::{Change, Operation, sorted};
use super::value::{category, number};

/// From here on, different integers may be equal doubles.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Learns from `batch`, of the features named or of those of the operation's own kind.
pub(super) fn fit<'py>(
    operation: &Operation<'py>,
    batch: &Batch<'py>,
    names: Option<&[Bound<'py, PyAny>]>,
) -> PyResult<()> {
    if let Operation::Impute { strategy, .. } = operation
        && !strategy.eq("constant")?
        && !strategy.eq("mean")?
        && !strategy.eq("median")?
    {
        let strategy = strategy.str()?;
        return Err(PyValueError::new_err(format!(
            "Unknown imputation strategy: {strategy}; it is mean, median or constant"
        )));
    }
    let is_chosen = |column: &Column<'_>| match operation {
        _ if names.is_some() => true,
        Operation::Scale { .. } | Operation::Normalize { .. } => column.is_numeric() == Some(true),
        Operation::Encode { .. } => column.is_numeric() == Some(false),
        Operation::Impute { .. } => column.occurs(),
    };
    let mut chosen = Vec::new();
    match names {
        None => chosen.extend(batch.columns.iter().filter(|column| is_chosen(column))),
        Some(names) => {
            for name in names {
                chosen.extend(batch.column(name)?);
            }
        }
    }
    for column in chosen {
        learn(operation, column)?;
    }
    Ok(())
}

fn learn<'py>(operation: &Operation<'py>, column: &Column<'py>) -> PyResult<()> {
    let feature = &column.feature;
    let py = feature.py();
    match operation {
        Operation::Scale { minima, maxima, .. } => {
            if let Some((least, greatest)) = extremes(column)? {
                minima.set_item(feature, least)?;
                maxima.set_item(feature, greatest)?;
            }
        }
        Operation::Normalize { means, deviations } => {
            let values: Vec<f64> = column.numbers().map(|(x, _)| x).collect();
            let moments = Moments::of(&values);
            if let Some(variance) = moments.population_variance() {
                means.set_item(feature, moments.mean)?;
                deviations.set_item(feature, variance.sqrt())?;
            }
        }
        Operation::Encode { categories, .. } => {
            let seen = PyDict::new(py);
            for cell in &column.cells {
                match cell {
                    Cell::Other(value) => seen.set_item(category(value)?, true)?,
                    Cell::Number(x, _) if x.is_nan() => {}
                    Cell::Number(_, Some(value)) => seen.set_item(value, true)?,
                    Cell::Number(x, None) => seen.set_item(x, true)?,
                    Cell::Absent | Cell::Missing => {}
                }
            }
            if !seen.is_empty() {
                categories.set_item(feature, sorted(&seen)?)?;
            }
        }
        Operation::Impute {
            strategy,
            fill_value,
            values,
        } => {
            if strategy.eq("constant")? {
                return values.set_item(feature, fill_value);
            }
            let mut numbers: Vec<f64> = column.numbers().map(|(x, _)| x).collect();
            if numbers.is_empty() {
                return Ok(());
            }
            let filling = if strategy.eq("mean")? {
                Moments::of(&numbers).mean
            } else {
                median(&mut numbers)
            };
            values.set_item(feature, filling)?;
        }
    }
    Ok(())
}

type Extremes<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

/// A number with the object that it was read from.
type Read<'a, 'py> = (f64, Option<&'a Bound<'py, PyAny>>);

/// The least and the greatest number of a column, as the objects that they are.
fn extremes<'py>(column: &Column<'py>) -> PyResult<Option<Extremes<'py>>> {
    let py = column.feature.py();
    let mut numbers = column.numbers();
    let Some(first) = numbers.next() else {
        return Ok(None);
    };
    let (mut least, mut greatest) = (first, first);
    for read in numbers {
        if is_less(read, least)? {
            least = read;
        } else if is_less(greatest, read)? {
            greatest = read;
        }
    }
    let owned = |(x, object): Read<'_, 'py>| match object {
        Some(object) => object.clone(),
        None => PyFloat::new(py, x).into_any(),
    };
    Ok(Some((owned(least), owned(greatest))))
}

/// By the objects themselves where their doubles cannot tell.
#[inline]
fn is_less(a: Read<'_, '_>, b: Read<'_, '_>) -> PyResult<bool> {
    if a.0.abs() < EXACT || a.0.to_bits() != b.0.to_bits() {
        return Ok(a.0 < b.0);
    }
    match (a.1, b.1) {
        (Some(a), Some(b)) => a.lt(b),
        _ => Ok(false),
    }
}

/// Does to the columns what the operation does to rows.
pub(super) fn apply<'py>(
    operation: &Operation<'py>,
    batch: &mut Batch<'py>,
    names: Option<&[Bound<'py, PyAny>]>,
) -> PyResult<()> {
    for feature in operation.learnt(names)? {
        if batch.column(&feature)?.is_none() {
            continue;
        }
        if let Some(encoder) = operation.encoder(&feature)? {
            let cells = batch.cells(&feature)?;
            let places: Vec<Option<Option<usize>>> = cells
                .iter_mut()
                .map(|cell| {
                    let place = match cell {
                        Cell::Absent | Cell::Missing => return Ok(None),
                        Cell::Number(x, _) if x.is_nan() => return Ok(None),
                        Cell::Number(_, Some(value)) | Cell::Other(value) => {
                            encoder.place(value)?
                        }
                        Cell::Number(x, None) => {
                            encoder.place(PyFloat::new(feature.py(), *x).as_any())?
                        }
                    };
                    *cell = Cell::Absent;
                    Ok(Some(place))
                })
                .collect::<PyResult<_>>()?;
            for (column, name) in encoder.columns.iter().enumerate() {
                let cells = batch.cells(name)?;
                for (cell, place) in cells.iter_mut().zip(&places) {
                    if let Some(place) = place {
                        let is_hit = *place == Some(column);
                        *cell = Cell::Number(f64::from(u8::from(is_hit)), None);
                    }
                }
            }
        } else if let Some(change) = operation.change(&feature)? {
            let filling = match &change {
                Change::Fill(value) => Some((value, number(value)?)),
                _ => None,
            };
            for cell in batch.cells(&feature)? {
                match (&mut *cell, &filling) {
                    (Cell::Missing, Some((value, _))) if value.is_none() => {}
                    (Cell::Missing, Some((value, Some(x)))) => {
                        *cell = Cell::Number(*x, Some((*value).clone()));
                    }
                    (Cell::Missing, Some((value, None))) => *cell = Cell::Other((*value).clone()),
                    (Cell::Number(x, object), None) if !x.is_nan() => {
                        *x = change.of(*x);
                        *object = None;
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}
