//! Vectors by slot, and distances between them.

pub mod distance;
mod paged;
mod rows;
mod slot_set;
mod vector_table;

pub use paged::Paged;
pub use rows::{LINE_BYTES, Line, Rows};
pub use slot_set::SlotSet;
pub use vector_table::{VectorRows, VectorTable};
