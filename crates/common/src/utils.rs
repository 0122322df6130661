//! Leaves: ids, time, validation helpers, type conversion.
//!
//! Nothing here knows what a record is: of this crate, these files use [`crate::error`] and
//! [`crate::limits`] only.

pub mod id_generator;
pub mod time;
pub mod types;
pub mod validation;
