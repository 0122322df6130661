//! [`PythonOperation`]: operations on rows.

use std::sync::Arc;

use common::transform::{Batch, Transform};
use common::{Error, Result, Row};
use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::call::carried;
use crate::interchange::{value_of, value_to_python};

/// A callable that takes a row as a dict and returns a row.
#[derive(Clone)]
pub(super) struct PythonOperation {
    pub(super) name: String,
    pub(super) version: u32,
    pub(super) function: Arc<Py<PyAny>>,
}

impl PythonOperation {
    fn change(&self, py: Python<'_>, row: &Row) -> PyResult<Row> {
        let changed = self.function.bind(py).call1((dict_of(py, row)?,))?;
        let Ok(changed) = changed.cast::<PyDict>() else {
            return Err(PyTypeError::new_err(format!(
                "operation `{}` must return a dict, not {}",
                self.name,
                changed.get_type().name()?
            )));
        };
        row_of(changed)
    }
}

impl Transform<Row> for PythonOperation {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn apply(&self, batch: &mut Batch<Row>) -> Result<()> {
        let who = format!("operation `{}`", self.name);
        // Once for all rows: taking the interpreter costs more than a small function.
        let done = Python::try_attach(|py| {
            let mut stopped: Option<Error> = None;
            batch.for_each(|row| {
                if stopped.is_some() {
                    return Ok(());
                }
                match self.change(py, row) {
                    Ok(changed) => *row = changed,
                    // An interrupt is no fault of the row's.
                    Err(raised) if !raised.is_instance_of::<PyException>(py) => {
                        stopped = Some(carried(py, &who, raised));
                    }
                    Err(raised) => return Err(carried(py, &who, raised)),
                }
                Ok(())
            });
            stopped.map_or(Ok(()), Err)
        });
        done.unwrap_or_else(|| Err(Error::closed("the Python interpreter has ended")))
    }
}

/// A row as a dict.
pub(super) fn dict_of<'py>(py: Python<'py>, row: &Row) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in row.iter() {
        dict.set_item(name.as_str(), value_to_python(py, value)?)?;
    }
    Ok(dict)
}

/// Inverse of [`dict_of`].
pub(super) fn row_of(dict: &Bound<'_, PyDict>) -> PyResult<Row> {
    let mut row = Row::default();
    for (name, value) in dict.copy()? {
        let Ok(name) = name.cast::<PyString>() else {
            return Err(PyTypeError::new_err(format!(
                "columns of a row are named by texts, not by {}",
                name.get_type().name()?
            )));
        };
        row.set(&*name.to_cow()?, value_of(&value)?);
    }
    Ok(row)
}
