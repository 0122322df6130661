//! What every benchmark of TandemDB shares: timing, statistics, reports, the machine, and the workloads.
//!
//! A benchmark is a question with its answer checked: all subjects do the same work on the same rows, and
//! what they read is compared by digest before any figure is reported. Subjects take turns round by round in
//! one process, so that whatever else the machine does meets all of them alike.
//!
//! This crate knows TandemDB and the bare `HashMap` that is its limit; rivals live in `bench-compare`.

pub mod alloc;
pub mod clock;
pub mod machine;
pub mod mobile;
pub mod python;
pub mod random;
pub mod report;
pub mod stats;
pub mod store;

/// What a benchmark step returns; a failed step ends the run with its message.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
