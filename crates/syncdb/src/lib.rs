//! Rows that several replicas edit, also offline, and that converge.
//!
//! A [`SyncServer`] holds the authoritative rows; each replica is a [`SyncDb`]. A replica edits its own rows at
//! any time; [`SyncDb::sync`] pushes what it changed, pulls what others changed, and ends with a digest that
//! says whether both sides hold the same rows. Concurrent changes of a column are resolved by rule, and every
//! such conflict stands in a ledger.
//!
//! Nothing here does input or output: a [`Transport`] carries bytes, and the crate `server` has one over HTTP.
//! [`netsim`] has one over a network that exists in memory only and fails by seed.

pub mod client;
pub mod db;
pub mod netsim;
pub mod server;
pub mod sync;

pub use client::Transport;
pub use db::{Rejected, SyncDb, SyncTransaction};
pub use server::{Status, SyncServer, SyncServerOptions};
pub use sync::conflict::{Rule, Strategy};
pub use sync::digest::Digest;
pub use sync::ledger::{LedgerEntry, Side};
pub use sync::protocol::{Outcome, Rejection};
pub use sync::session::SyncReport;
