//! Finding the nearest vectors.

mod exact;
mod index;
mod plan;
mod progress;

pub(crate) use index::{Index, Neighbour};
pub(crate) use plan::check_k;
pub use plan::{Explanation, Method, SEARCH_K_MAX};
pub use progress::{Progress, unwatched};
