//! What a record is, and what happens to one.

pub mod base;
pub mod schema;
pub mod serialization;
