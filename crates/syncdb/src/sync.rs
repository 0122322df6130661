//! The protocol itself, without input or output: bytes, stamps and randomness come in as arguments.
//!
//! One exchange is one [`protocol::Request`] and one [`protocol::Answer`]. A request carries what the replica
//! has changed (*push*) and the position up to which it has seen the server's log; the answer carries an
//! outcome for every mutation and what happened after that position (*pull*). Both parts are idempotent, so a
//! lost, repeated or cut exchange costs nothing but its bytes:
//!
//! - Mutations of a replica are numbered without gaps (`client_seq`). The server applies number *n + 1* after
//!   number *n*, in one commit with its outcome; a number it has seen gets the stored outcome again.
//! - The position advances on the replica in the same commit as the rows up to it.
//!
//! A replica that has no usable position (it is new, the log was pruned, the server is another one) gets a
//! snapshot in blocks. They are kept aside and become visible together; unsent mutations stay on top.

pub(crate) mod apply;
pub(crate) mod authority;
pub(crate) mod catalogue;
pub(crate) mod columns;
pub(crate) mod dictionaries;
pub(crate) mod gone;
pub(crate) mod graves;
pub(crate) mod holdings;
pub(crate) mod increment;
pub(crate) mod pinned;
#[cfg(not(feature = "planted-bugs"))]
pub(crate) mod planted;
#[cfg(feature = "planted-bugs")]
pub mod planted;
pub(crate) mod push;
pub(crate) mod queue;
pub(crate) mod reading;
pub(crate) mod reconcile;
pub(crate) mod references;
pub(crate) mod replica;
pub(crate) mod reshape;
pub(crate) mod scope;
pub(crate) mod system;
pub(crate) mod token;
pub(crate) mod training;

pub mod conflict;
pub mod deferred;
pub mod delta;
pub mod deploy;
pub mod digest;
pub mod explain;
pub mod horizon;
pub mod interest;
pub mod ledger;
pub mod permission;
pub mod policy;
pub mod protocol;
pub mod rejected;
pub mod report;
pub mod session;
pub mod subscription;
pub mod wire;
