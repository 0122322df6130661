//! How far two vectors are from each other.

mod metric;
pub mod scalar;

pub use metric::{Metric, PreparedVector};
