//! The shared core of TandemDB: records, schemas, storage, versioning, queries and transformations.
//!
//! Everything that both riders need stands here once. This crate does no input or output, starts no thread
//! and has no async code: time, randomness and bytes come in from outside.

pub mod core;
pub mod error;
pub mod limits;
pub mod operations;
pub mod optimization;
pub mod utils;

pub use crate::core::base::{
    Date, Extension, Map, Metadata, Record, RecordId, Row, Seq, Slot, Text, Timestamp, Value,
    ValueInput, ValueKind, Vector, VectorElement,
};
pub use crate::core::database::{Collection, Committed, Database, Snapshot, Transaction, View};
pub use crate::core::{database, schema, serialization, storage, versioning};
pub use crate::error::{Error, ErrorKind, Result, Violation};
pub use crate::limits::Limits;
pub use crate::operations::query;
pub use crate::operations::transform;
