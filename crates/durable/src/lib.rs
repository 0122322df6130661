//! Files that hold databases: written whole or not at all, read back checked.
//!
//! [`replace`] changes a file's content in one step, under a [`WriterLock`] that keeps other writers out.
//!
//! What a crash, a full disk or a failing device can do to a file is tested through one seam, [`Files`].

mod files;
mod lock;
mod replace;

pub use files::{Files, Output, SystemFiles};
pub use lock::WriterLock;
pub use replace::replace;
