//! `vectordb.transform`: batches of rows (entity -> feature -> value) in one native pass.
//!
//! An operation comes as a tuple of its name and its parameters, which are the live dicts of the Python object: a fit writes
//! what it learns into them. [`batch`] holds a batch by column, for fits; [`stage`] and [`rows`] transform row by row.

mod batch;
mod fit;
mod operation;
mod rename;
mod rows;
mod stage;
mod value;

use pyo3::prelude::*;
use pyo3::types::{PyAny, PyTuple};

pub(in crate::vectordb) use value::number;

use batch::Batch;
use operation::Operation;

/// So many rows are transformed before making stages of the operations pays.
const FEW: usize = 3;

/// Reads a collection of names once, without repetitions.
fn distinct<'py>(names: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let seen = pyo3::types::PyDict::new(names.py());
    for name in names.try_iter()? {
        seen.set_item(name?, true)?;
    }
    Ok(seen.keys().iter().collect())
}

/// Names of features as callers give them; `None` where the operation chooses.
fn named<'py>(names: &Bound<'py, PyAny>) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
    if names.is_none() {
        return Ok(None);
    }
    distinct(names).map(Some)
}

fn operations<'py>(operations: &Bound<'py, PyTuple>) -> PyResult<Vec<Operation<'py>>> {
    operations
        .iter()
        .map(|operation| Operation::read(&operation))
        .collect()
}

/// Fits operations one after another, each on what the ones before make of the rows.
#[pyfunction]
#[pyo3(signature = (steps, data, feature_names))]
pub(super) fn fit_rows(
    steps: &Bound<'_, PyTuple>,
    data: &Bound<'_, PyAny>,
    feature_names: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let names = named(feature_names)?;
    let operations = operations(steps)?;
    let mut batch = Batch::read(data, names.as_deref())?;
    for (at, operation) in operations.iter().enumerate() {
        fit::fit(operation, &batch, names.as_deref())?;
        if at + 1 < operations.len() {
            fit::apply(operation, &mut batch, names.as_deref())?;
        }
    }
    Ok(())
}

/// What operations, one after another, make of rows: a new dict of copied rows.
#[pyfunction]
#[pyo3(signature = (steps, data, feature_names))]
pub(super) fn transform_rows<'py>(
    steps: &Bound<'py, PyTuple>,
    data: &Bound<'py, PyAny>,
    feature_names: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let names = named(feature_names)?;
    let operations = operations(steps)?;
    if data.len()? <= FEW {
        return rows::map(data, |row| {
            rows::transform_one(row, &operations, names.as_deref())
        });
    }
    let mut stages = stage::plan(steps.py(), &operations, names.as_deref())?;
    rows::map(data, |row| rows::transform(row, &mut stages))
}

/// Copies of rows whose features have the names that `mapping` gives them.
#[pyfunction]
#[pyo3(signature = (data, mapping))]
pub(super) fn rename_features<'py>(
    data: &Bound<'py, PyAny>,
    mapping: &Bound<'py, pyo3::types::PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let pairs: Vec<_> = mapping.iter().collect();
    rows::map(data, |row| rename::rename(row, &pairs))
}
