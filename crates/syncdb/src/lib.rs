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
pub mod migration;
mod names;
pub mod netsim;
pub mod payload;
pub mod power;
pub mod server;
pub mod sync;

pub use client::{CountingTransport, Transport};
pub use db::{SyncDb, SyncTransaction};
pub use names::keep_apart;
pub use server::{
    ClientStatus, RejectedMutation, RevertOptions, Status, SyncServer, SyncServerOptions,
};
pub use sync::conflict::{Meeting, MergeFunction, Rule};
pub use sync::deferred::{Deferred, DeferredId, DeferredReport};
pub use sync::delta::Delta;
pub use sync::deploy::Serving;
pub use sync::digest::Digest;
pub use sync::explain::{ColumnExplanation, Explanation, Origin, Presence};
pub use sync::horizon::VersionInUse;
pub use sync::interest::Interest;
pub use sync::ledger::{
    EntryId, LedgerEntry, LedgerOptions, LedgerQuery, Reverted, Side, Visibility,
};
pub use sync::permission::{Permission, Permissions, Principal};
pub use sync::policy::{DeletionPolicy, Policy, SetBias, Strategy};
pub use sync::protocol::{Outcome, Rejection};
pub use sync::rejected::{PendingMutation, Rejected, RejectedId, RowEdit};
pub use sync::report::SyncReport;
pub use sync::subscription::{Subscription, SubscriptionState};
pub use sync::training::TrainedDictionary;
