//! What the Python package `common` calls.

use pyo3::prelude::*;

/// Native parts of the package `common`.
#[pymodule]
pub(crate) mod common {}
