//! Rows transformed one by one into copies of their own kind.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict, PyFloat, PyTuple};

use super::operation::{Change, Encoder, Operation, column_names, tuple_of};
use super::stage::{self, Stage, Values};
use super::value::{category, number};

/// A new dict with what `change` makes of each row.
pub(super) fn map<'py>(
    data: &Bound<'py, PyAny>,
    mut change: impl FnMut(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = data.py();
    if let Ok(data) = data.cast_exact::<PyDict>() {
        // Nobody else has the copy, so that its size stays while it is walked, whatever code runs.
        let rows = data.copy()?;
        for (entity, row) in rows.iter() {
            rows.set_item(entity, change(&row)?)?;
        }
        return Ok(rows.into_any());
    }
    let rows = PyDict::new(py);
    for item in data.call_method0(intern!(py, "items"))?.try_iter()? {
        let (entity, row): (Bound<'py, PyAny>, Bound<'py, PyAny>) = item?.extract()?;
        rows.set_item(entity, change(&row)?)?;
    }
    Ok(rows.into_any())
}

/// A copy of a row with all stages applied.
pub(super) fn transform<'py>(
    row: &Bound<'py, PyAny>,
    stages: &mut [Stage<'py>],
) -> PyResult<Bound<'py, PyAny>> {
    let Ok(row) = row.cast_exact::<PyDict>() else {
        return transform_other(row, stages);
    };
    let copy = row.copy()?;
    for stage in stages {
        match stage {
            Stage::Values(values) => change_values(&copy, values)?,
            Stage::Encode(encoders) => {
                for encoder in encoders {
                    if let Some(value) = copy.get_item(&encoder.feature)?
                        && is_category(&value)
                    {
                        encode(&copy, encoder, &value)?;
                    }
                }
            }
        }
    }
    Ok(copy.into_any())
}

/// As [`transform`], of one of so few rows that stages would cost more than they save.
pub(super) fn transform_one<'py>(
    row: &Bound<'py, PyAny>,
    operations: &[Operation<'py>],
    names: Option<&[Bound<'py, PyAny>]>,
) -> PyResult<Bound<'py, PyAny>> {
    let Ok(row) = row.cast_exact::<PyDict>() else {
        return transform_other(row, &stage::plan(row.py(), operations, names)?);
    };
    let copy = row.copy()?;
    for operation in operations {
        if let (Operation::Impute { values, .. }, None) = (operation, names) {
            // Gaps are few. Nobody else has the copy, so that its size stays while it is walked.
            for (feature, value) in copy.iter() {
                if value.is_none()
                    && let Some(filling) = values.get_item(&feature)?
                {
                    copy.set_item(feature, filling)?;
                }
            }
            continue;
        }
        for feature in operation.learnt(names)? {
            let Some(value) = copy.get_item(&feature)? else {
                continue;
            };
            match operation {
                Operation::Encode {
                    categories,
                    columns,
                } if is_category(&value) => {
                    if let Some(categories) = categories.get_item(&feature)? {
                        let categories = tuple_of(&categories)?;
                        let columns = column_names(columns, &feature, &categories)?;
                        encode_one(&copy, &feature, &value, &categories, &columns)?;
                    }
                }
                _ => {
                    if let Some(change) = operation.change(&feature)? {
                        set(&copy, feature, changed(&value, &[change])?)?;
                    }
                }
            }
        }
    }
    Ok(copy.into_any())
}

/// A value on its way through changes: as it came, or as a number.
enum Current<'py> {
    Same,
    Number(f64),
    Object(Bound<'py, PyAny>),
}

/// What changes, one after another, make of a value.
#[inline]
fn changed<'py>(value: &Bound<'py, PyAny>, changes: &[Change<'py>]) -> PyResult<Current<'py>> {
    let mut current = Current::Same;
    let mut is_number = None;
    for change in changes {
        if let Change::Fill(filling) = change {
            let is_missing = match &current {
                Current::Same => value.is_none(),
                Current::Object(object) => object.is_none(),
                Current::Number(_) => false,
            };
            if is_missing {
                is_number = None;
                current = Current::Object(filling.clone());
            }
            continue;
        }
        let x = match (&current, is_number) {
            (Current::Number(x), _) => Some(*x),
            (_, Some(())) => None,
            (Current::Same, None) => number(value)?,
            (Current::Object(object), None) => number(object)?,
        };
        match x {
            Some(x) if !x.is_nan() => current = Current::Number(change.of(x)),
            _ => is_number = Some(()),
        }
    }
    Ok(current)
}

/// As [`changed`], of a float; nothing when it stays as it is.
#[inline]
fn changed_number(mut x: f64, changes: &[Change<'_>]) -> Option<f64> {
    let mut is_changed = false;
    for change in changes {
        // No gap, and from NaN nothing becomes a number.
        if matches!(change, Change::Fill(_)) || x.is_nan() {
            continue;
        }
        x = change.of(x);
        is_changed = true;
    }
    is_changed.then_some(x)
}

fn change_values<'py>(row: &Bound<'py, PyDict>, values: &mut Values<'py>) -> PyResult<()> {
    for (place, (feature, value)) in row.iter().enumerate() {
        let Some(changes) = values.at(place, &feature)? else {
            continue;
        };
        // Most values are floats.
        if let Ok(number) = value.cast_exact::<PyFloat>() {
            if let Some(x) = changed_number(number.value(), changes) {
                row.set_item(feature, PyFloat::new(row.py(), x))?;
            }
            continue;
        }
        set(row, feature, changed(&value, changes)?)?;
    }
    Ok(())
}

#[inline]
fn set<'py>(
    row: &Bound<'py, PyDict>,
    feature: Bound<'py, PyAny>,
    current: Current<'py>,
) -> PyResult<()> {
    match current {
        Current::Same => Ok(()),
        Current::Number(x) => row.set_item(feature, PyFloat::new(row.py(), x)),
        Current::Object(object) => row.set_item(feature, object),
    }
}

/// Neither `None` nor NaN, which stay as they are.
fn is_category(value: &Bound<'_, PyAny>) -> bool {
    let is_nan = value
        .cast::<PyFloat>()
        .is_ok_and(|float| float.value().is_nan());
    !value.is_none() && !is_nan
}

fn encode<'py>(
    row: &Bound<'py, PyDict>,
    encoder: &Encoder<'py>,
    value: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let place = encoder.place(value)?;
    row.del_item(&encoder.feature)?;
    for (at, column) in encoder.columns.iter().enumerate() {
        let is_hit = place == Some(at);
        row.set_item(column, if is_hit { &encoder.hit } else { &encoder.miss })?;
    }
    Ok(())
}

/// As [`encode`], without an encoder.
fn encode_one<'py>(
    row: &Bound<'py, PyDict>,
    feature: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
    categories: &Bound<'py, PyTuple>,
    columns: &Bound<'py, PyTuple>,
) -> PyResult<()> {
    let value = category(value)?;
    let mut place = categories.iter_borrowed().position(|own| own.is(&value));
    if place.is_none() {
        for (at, own) in categories.iter_borrowed().enumerate() {
            if own.eq(&value)? {
                place = Some(at);
                break;
            }
        }
    }
    row.del_item(feature)?;
    let (hit, miss) = (PyFloat::new(row.py(), 1.0), PyFloat::new(row.py(), 0.0));
    for (at, column) in columns.iter_borrowed().enumerate() {
        let is_hit = place == Some(at);
        row.set_item(column, if is_hit { &hit } else { &miss })?;
    }
    Ok(())
}

/// As [`transform`], of a row that is no plain dict, by its own methods.
fn transform_other<'py>(
    row: &Bound<'py, PyAny>,
    stages: &[Stage<'py>],
) -> PyResult<Bound<'py, PyAny>> {
    let copy = row.call_method0(intern!(row.py(), "copy"))?;
    for stage in stages {
        match stage {
            Stage::Values(values) => {
                for (feature, changes) in &values.features {
                    if !copy.contains(feature)? {
                        continue;
                    }
                    match changed(&copy.get_item(feature)?, changes)? {
                        Current::Same => {}
                        Current::Number(x) => copy.set_item(feature, x)?,
                        Current::Object(object) => copy.set_item(feature, object)?,
                    }
                }
            }
            Stage::Encode(encoders) => {
                for encoder in encoders {
                    if !copy.contains(&encoder.feature)? {
                        continue;
                    }
                    let value = copy.get_item(&encoder.feature)?;
                    if !is_category(&value) {
                        continue;
                    }
                    let place = encoder.place(&value)?;
                    copy.del_item(&encoder.feature)?;
                    for (at, column) in encoder.columns.iter().enumerate() {
                        let is_hit = place == Some(at);
                        copy.set_item(column, if is_hit { &encoder.hit } else { &encoder.miss })?;
                    }
                }
            }
        }
    }
    Ok(copy)
}
