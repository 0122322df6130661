//! What the Python module `vectordb.collections` calls: collections of vectors with metadata.

use pyo3::prelude::*;

mod collection;
mod database;
mod hits;
mod import;
mod searches;
mod values;

/// Native parts of `vectordb.collections`.
#[pymodule]
pub(crate) mod collections {
    #[pymodule_export]
    use super::collection::VectorCollection;
    #[pymodule_export]
    use super::database::VectorDb;
    #[pymodule_export]
    use super::hits::{Explanation, FusedHit, Hit};
    #[pymodule_export]
    use super::import::Imported;
}
