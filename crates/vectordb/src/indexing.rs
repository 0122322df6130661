//! Finding the nearest vectors.

mod batch;
mod clustered;
mod codes;
mod exact;
mod graph;
mod index;
mod options;
mod plan;
mod progress;
mod quantize;
mod request;
mod sparse;
mod tune;

pub(crate) use batch::each;
pub use clustered::ClusteredOptions;
pub use exact::{DoubleVectors, Scan, ScanCodes};
pub use graph::{GraphOptions, Layout};
pub(crate) use index::{Answer, IndexMeta};
pub use index::{Index, Neighbour};
pub use options::IndexOptions;
pub(crate) use plan::check_k;
pub use plan::{Explanation, Method, SEARCH_K_MAX};
pub use progress::{Progress, unwatched};
pub(crate) use request::Request;
pub use request::Work;
pub use sparse::SparseIndex;
pub(crate) use sparse::{in_order, product};
