//! Vectors by slot, and distances between them.

pub mod distance;
mod paged;
mod rows;
mod vector_table;

pub use paged::Paged;
pub use rows::{LINE_BYTES, Line, Rows};
pub use vector_table::{VectorRows, VectorTable};
