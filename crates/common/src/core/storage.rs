//! Where the current records of one table are kept, and the indexes beside them.
//!
//! Storage holds only the latest committed state; what an open snapshot still needs is kept aside by
//! [`crate::database`], the same way for every storage.

mod extended;
mod hash;
mod index;
mod ordered;
mod page;
mod posting;
#[expect(
    clippy::module_inception,
    reason = "the trait is what this folder is about"
)]
mod storage;

pub(crate) use extended::ExtendedStorage;
pub use extended::{Fill, FillFunction};
pub use hash::HashStorage;
pub use index::{Direction, Index, IndexKey, KeyRange};
pub use ordered::OrderedStorage;
pub use storage::{Storage, StorageKind, Visitor, Write};
