//! What the Python package `vectordb` calls.

use pyo3::prelude::*;

/// Native parts of the package `vectordb`.
#[pymodule]
pub(crate) mod vectordb {}
