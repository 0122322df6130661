//! The feature store: against naive answers, as tables, read into a matrix, and how its values move.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod as_of;
mod columns;
mod drift;
mod retrieval;
mod store;

use common::Database;
use common::schema::FieldType;
use vectordb::feature::{Entity, FeatureStore, FeatureView, ViewDefinition};
use vectordb::transform::{Filling, Imputer, Matrix, Scaler, Scaling, Step, Steps};

pub(crate) fn store() -> FeatureStore {
    let store = FeatureStore::open(&Database::new()).unwrap();
    store
        .create_entity(&Entity::new("user", [("user_id", FieldType::Int)]))
        .unwrap();
    store
}

pub(crate) fn floats(store: &FeatureStore, names: &[&str]) -> FeatureView {
    let definition = ViewDefinition::new("view", "user").floats(names.iter().copied());
    store.create_view(definition).unwrap()
}

/// A step that shifts every column to mean 0.
pub(crate) fn steps(columns: usize) -> Steps {
    let data: Vec<f64> = (0..4 * columns)
        .map(|x| f64::from(u32::try_from(x).unwrap()))
        .collect();
    let matrix = Matrix::new(&data, columns).unwrap();
    let imputer = Imputer::fit(Filling::Mean, matrix).unwrap();
    let scaler = Scaler::fit(Scaling::STANDARD, matrix).unwrap();
    Steps::new(columns, vec![Step::Impute(imputer), Step::Scale(scaler)]).unwrap()
}
