//! Vectors by slot, and distances between them.

pub mod distance;
mod paged;
mod vector_table;

pub use paged::Paged;
pub use vector_table::{VectorRows, VectorTable};
