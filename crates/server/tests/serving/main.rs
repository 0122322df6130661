//! Vectors, features, transformers and experiments, served over real sockets.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../shared/described.rs"]
mod described;
mod experiments;
mod features;
mod hostile;
mod killed;
#[path = "../shared/listening.rs"]
mod listening;
mod manual;
mod permitted;
mod reopen;
mod running;
mod vectors;
