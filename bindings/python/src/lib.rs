//! `tandemdb._native`: what the Python packages call. Handles, conversions and errors; the work is done by the crates.

use pyo3::prelude::*;

mod arrow;
mod collections;
mod common;
mod durable;
mod engine;
mod experiments;
mod extensions;
mod features;
mod interchange;
mod search;
mod statistics;
mod syncdb;
mod transformers;
mod vectordb;

/// The native module of the Python packages `common`, `syncdb` and `vectordb`.
#[pymodule]
mod _native {
    use pyo3::prelude::*;
    use pyo3::types::PyModule;

    #[pymodule_export]
    use super::arrow::arrow;
    #[pymodule_export]
    use super::collections::collections;
    #[pymodule_export]
    use super::common::common;
    #[pymodule_export]
    use super::durable::durable;
    #[pymodule_export]
    use super::engine::engine;
    #[pymodule_export]
    use super::experiments::experiments;
    #[pymodule_export]
    use super::extensions::extensions;
    #[pymodule_export]
    use super::features::features;
    #[pymodule_export]
    use super::search::search;
    #[pymodule_export]
    use super::statistics::statistics;
    #[pymodule_export]
    use super::syncdb::syncdb;
    #[pymodule_export]
    use super::transformers::transformers;
    #[pymodule_export]
    use super::vectordb::vectordb;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
