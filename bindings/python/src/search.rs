//! What the Python module `vectordb.search` calls: indexes of vectors.

use pyo3::prelude::*;

pub(crate) mod array;
mod files;
mod index;

/// Native parts of `vectordb.search`.
#[pymodule]
pub(crate) mod search {
    #[pymodule_export]
    use super::files::{read_vectors, write_vectors};
    #[pymodule_export]
    use super::index::{Index, OpenedIndex};
}
