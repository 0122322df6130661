//! What the Python package `vectordb` calls.

use pyo3::prelude::*;

mod approximate;
mod distance;
mod entries;
mod estimators;
mod experiment;
mod index;
mod json;
mod lineage;
mod object;
mod store;
mod transform;
mod vector;
mod version;
mod versions;

/// Native parts of the package `vectordb`.
#[pymodule]
pub(crate) mod vectordb {
    #[pymodule_export]
    use super::approximate::{Approximate, signs};
    #[pymodule_export]
    use super::distance::{
        angular_distance, chebyshev_distance, cosine_distance, cosine_similarity,
        euclidean_distance, manhattan_distance, squared_euclidean_distance,
    };
    #[pymodule_export]
    use super::estimators::{
        fill_missing, fit_imputer, fit_scaler, fit_weighted, normalize_rows, scale_columns,
    };
    #[pymodule_export]
    use super::experiment::{Group, Tester};
    #[pymodule_export]
    use super::index::VectorIndex;
    #[pymodule_export]
    use super::lineage::{Lineage, LineageNode};
    #[pymodule_export]
    use super::store::Store;
    #[pymodule_export]
    use super::transform::{fit_rows, rename_features, transform_rows};
    #[pymodule_export]
    use super::vector::{Vector, combine};
    #[pymodule_export]
    use super::version::Version;
    #[pymodule_export]
    use super::versions::Versions;
}
