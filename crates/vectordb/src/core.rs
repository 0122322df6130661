//! Vectors by slot, and distances between them.

pub mod distance;
mod elements;
mod floats;
pub(crate) mod image;
mod paged;
mod pages;
mod precision;
mod rows;
mod slot_set;
mod vector_table;
mod wide;

pub(crate) use elements::{check_dimension, floats};
pub use paged::Paged;
pub(crate) use pages::Packed;
pub use precision::Precision;
pub use rows::{LINE_BYTES, Line, Rows};
pub use slot_set::SlotSet;
pub(crate) use vector_table::TableMeta;
pub use vector_table::{VectorRows, VectorTable};
pub(crate) use wide::wide;
