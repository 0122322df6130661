//! Who may ask what of a server on a real socket: tokens, keys, scopes, permissions, tenants, the audit.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod administration;
#[path = "../shared/described.rs"]
mod described;
mod isolation;
mod issuer;
mod jwks;
#[path = "../shared/listening.rs"]
mod listening;
mod live;
mod matrix;
mod permissions;
mod replay;
mod site;
