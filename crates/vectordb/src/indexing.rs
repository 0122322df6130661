//! Finding the nearest vectors.

mod exact;
mod index;
mod plan;

pub(crate) use index::{Index, Neighbour};
pub(crate) use plan::check_k;
pub use plan::{Explanation, Method, SEARCH_K_MAX};
