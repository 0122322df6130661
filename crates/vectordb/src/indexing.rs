//! Finding the nearest vectors.

#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "no collection asks for it yet")
)]
mod clustered;
mod exact;
mod index;
mod plan;
mod progress;
#[expect(
    dead_code,
    reason = "the indexes that stand on codes are being written"
)]
mod quantize;

pub use clustered::ClusteredOptions;
pub use exact::{Scan, ScanCodes};
pub(crate) use index::Index;
pub use index::Neighbour;
pub(crate) use plan::check_k;
pub use plan::{Explanation, Method, SEARCH_K_MAX};
pub use progress::{Progress, unwatched};
