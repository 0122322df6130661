//! Queries and transformations.

pub mod query;
pub mod transform;
