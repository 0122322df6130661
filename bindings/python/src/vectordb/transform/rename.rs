//! Features under other names.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict};

/// A dict of a row's features: those that keep their names, then those renamed, in the order of `pairs`.
pub(super) fn rename<'py>(
    row: &Bound<'py, PyAny>,
    pairs: &[(Bound<'py, PyAny>, Bound<'py, PyAny>)],
) -> PyResult<Bound<'py, PyAny>> {
    let copy = match row.cast_exact::<PyDict>() {
        Ok(row) => row.copy()?,
        Err(_) => {
            let copy = PyDict::new(row.py());
            for item in row.call_method0(intern!(row.py(), "items"))?.try_iter()? {
                let (feature, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = item?.extract()?;
                copy.set_item(feature, value)?;
            }
            copy
        }
    };
    let mut moved = Vec::with_capacity(pairs.len());
    for (source, target) in pairs {
        if let Some(value) = copy.get_item(source)? {
            copy.del_item(source)?;
            moved.push((target, value));
        }
    }
    for (target, value) in moved {
        copy.set_item(target, value)?;
    }
    Ok(copy.into_any())
}
