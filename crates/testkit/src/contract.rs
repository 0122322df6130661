//! Contract tests: one function for each extension point, called with a stranger's implementation.
//!
//! Each panics with the law that was broken and the input that broke it.

mod codec;
mod format;
mod rule;
mod storage;
mod transform;
mod versioning;

pub use codec::{built_in_codec, codec};
pub use format::format;
pub use rule::rule;
pub use storage::storage;
pub use transform::transform;
pub use versioning::versioning;
