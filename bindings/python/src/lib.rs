//! `tandemdb._native`: what the Python packages call. Handles, conversions and errors; the work is done by the crates.

use pyo3::prelude::*;

mod common;
mod syncdb;
mod vectordb;

/// The native module of the Python packages `common`, `syncdb` and `vectordb`.
#[pymodule]
mod _native {
    use pyo3::prelude::*;
    use pyo3::types::PyModule;

    #[pymodule_export]
    use super::common::common;
    #[pymodule_export]
    use super::syncdb::syncdb;
    #[pymodule_export]
    use super::vectordb::vectordb;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
