//! What the Python package `syncdb` calls.

use pyo3::prelude::*;

/// Native parts of the package `syncdb`.
#[pymodule]
pub(crate) mod syncdb {}
