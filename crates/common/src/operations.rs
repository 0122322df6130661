//! Queries and transformations.

pub mod transform;
