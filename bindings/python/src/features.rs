//! `tandemdb._native.features`: the engine's feature store and lineage.

use pyo3::prelude::*;

mod as_of;
mod lineage;
mod retrieval;
mod store;
mod table;
mod training;
mod view;

pub(crate) use store::FeatureStore;

/// Native part of `vectordb.features` and `vectordb.lineage`.
#[pymodule]
pub(crate) mod features {
    #[pymodule_export]
    use super::as_of::AsOf;
    #[pymodule_export]
    use super::lineage::{Lineage, LineageNode, Origin, Related};
    #[pymodule_export]
    use super::retrieval::{Retrieval, Retrieved};
    #[pymodule_export]
    use super::store::FeatureStore;
    #[pymodule_export]
    use super::training::TrainingSet;
    #[pymodule_export]
    use super::view::{FeatureRow, FeatureView, Ingested};
}
