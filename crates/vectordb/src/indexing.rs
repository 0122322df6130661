//! Finding the nearest vectors.

mod batch;
mod clustered;
mod codes;
mod diverse;
mod efforts;
mod exact;
mod graph;
mod index;
mod indexed;
mod options;
mod plan;
mod progress;
mod quantize;
mod request;
mod sparse;
mod tune;

pub(crate) use batch::each;
pub use clustered::ClusteredOptions;
pub use diverse::Diversity;
pub(crate) use diverse::{choose, spread};
pub(crate) use efforts::Efforts;
pub use exact::{DoubleVectors, Scan, ScanCodes};
pub use graph::{GraphOptions, Layout};
pub(crate) use index::{Answer, IndexMeta};
pub use index::{Index, Neighbour};
pub(crate) use indexed::is_many;
pub use indexed::{Additions, Effort, IndexedTable, Wanted};
pub use options::IndexOptions;
pub(crate) use plan::check_k;
pub use plan::{Explanation, Method, SEARCH_K_MAX};
pub use progress::{Progress, unwatched};
pub(crate) use request::Request;
pub use request::Work;
pub use sparse::SparseIndex;
pub(crate) use sparse::{in_order, product};
