//! Where schema, storage, versions and the log meet: every write passes through here.
//!
//! One writer at a time, readers at any time. A transaction collects its writes aside, checks them all, then
//! applies them to the storages and indexes, appends them to the log and publishes the commit by one atomic
//! store. Storage holds the latest state only; while a snapshot is open, or while a long commit is under way,
//! the records that are replaced wait in a side table (`history`) of their collection. A short commit with no
//! snapshot open keeps nothing aside and holds the latch of snapshots for as long as it is applied.

mod alteration;
mod collection;
mod commit;
#[expect(
    clippy::module_inception,
    reason = "the database is what this folder is about"
)]
mod database;
mod history;
mod journal;
mod lay_out;
mod snapshot;
mod table;
mod transaction;
mod view;
mod write_set;

pub use alteration::{Alteration, Derivation, DeriveFunction, RebuildFunction};
pub use collection::Collection;
pub use commit::Committed;
pub use database::{CommitListener, Database, DatabaseOptions};
pub use journal::{
    ChangeReplay, JournalEntry, JournalFunction, ReplayEntry, TableEntry, TableReplay, TableRows,
};
pub use snapshot::Snapshot;
pub use transaction::{Savepoint, Transaction};
pub use view::View;
