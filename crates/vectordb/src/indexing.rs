//! Finding the nearest vectors.

#[expect(dead_code, unused_imports, reason = "no collection asks for it yet")]
mod clustered;
mod exact;
mod index;
mod plan;
mod progress;
#[expect(
    dead_code,
    unused_imports,
    reason = "the indexes that stand on codes are being written"
)]
mod quantize;

pub(crate) use index::{Index, Neighbour};
pub(crate) use plan::check_k;
pub use plan::{Explanation, Method, SEARCH_K_MAX};
pub use progress::{Progress, unwatched};
