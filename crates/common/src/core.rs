//! What a record is, and what happens to one.

pub mod base;
pub mod database;
pub mod schema;
pub mod serialization;
pub mod storage;
pub mod versioning;
