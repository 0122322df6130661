//! The wire: bytes and JSON of frames, their published description, and what strangers may send.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod frames;
mod golden;
mod hostile;
mod json;
mod proto;
