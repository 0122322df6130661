//! Rows and keys of tables between Python and the engine.

use common::{RecordId, Row, Timestamp, Value};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyString};

use super::error::{ROWS_UNCHECKED, let_others_run};
use crate::interchange::{Naive, key_by, micros_of_datetime, read_value, shortened, text_of};

/// Devices of all time zones write the same rows.
const NAIVE: Naive = Naive::IsRefused;

/// A point in time.
pub(super) fn timestamp_of(object: &Bound<'_, PyAny>) -> PyResult<Timestamp> {
    micros_of_datetime(object, NAIVE)
}

/// A value of the engine; `place` says in an error where it stands.
pub(super) fn value_of(object: &Bound<'_, PyAny>, place: &str) -> PyResult<Value> {
    read_value(object, NAIVE).map_err(|wrong| wrong.at(object.py(), place, ""))
}

/// A row of a table by its columns.
pub(super) fn row_of(table: &str, object: &Bound<'_, PyAny>) -> PyResult<Row> {
    let py = object.py();
    let copied;
    let columns = match object.cast::<PyDict>() {
        Ok(columns) => columns,
        Err(_) if object.cast::<PyMapping>().is_ok() => {
            copied = PyDict::new(py);
            copied.update(object.cast::<PyMapping>()?)?;
            &copied
        }
        Err(_) => {
            return Err(PyTypeError::new_err(format!(
                "table '{table}': a row is a dict from columns to values, not {}",
                shortened(object)
            )));
        }
    };
    let mut row = Vec::with_capacity(columns.len());
    for (name, value) in columns.copy()?.iter() {
        let Ok(name) = name.cast::<PyString>() else {
            return Err(PyTypeError::new_err(format!(
                "table '{table}': columns are named by text, {} is none",
                shortened(&name)
            )));
        };
        let name = text_of(name).map_err(|wrong| wrong.at(py, &format!("table '{table}'"), ""))?;
        let value = read_value(&value, NAIVE)
            .map_err(|wrong| wrong.at(py, &format!("table '{table}', column '{}", &*name), "'"))?;
        row.push((name, value));
    }
    Ok(row.into_iter().collect())
}

/// Rows of a table by their columns.
pub(super) fn rows_of(table: &str, rows: &Bound<'_, PyAny>) -> PyResult<Vec<Row>> {
    let mut read = Vec::new();
    for row in rows.try_iter()? {
        if read.len() % ROWS_UNCHECKED == ROWS_UNCHECKED - 1 {
            let_others_run(rows.py())?;
        }
        read.push(row_of(table, &row?)?);
    }
    Ok(read)
}

/// A key: one value, or a tuple of them.
pub(super) fn key_of(object: &Bound<'_, PyAny>) -> PyResult<RecordId> {
    key_by(object, |part| value_of(part, "key"))
}
