//! Live connections on real sockets: word of changes, strangers, slow and silent peers, cuts, the end.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod credentials;
mod cuts;
mod limits;
#[path = "../shared/listening.rs"]
mod listening;
mod news;
mod proxy;
mod strangers;
mod support;
mod tls;
