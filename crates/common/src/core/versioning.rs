//! Which version came before which, and the log of every change.

mod change;
mod clock;
mod entries;
mod tracker;
mod vector;
mod version;

pub use change::{Change, ChangeKind, ColumnSet, TableId};
pub use clock::{Hlc, HybridClock};
pub use tracker::{ChangeTracker, ReaderId, Retention};
pub use vector::{ReplicaId, VersionVector};
pub use version::{
    Causality, CounterVersioning, HlcVersioning, VectorVersioning, Version, Versioning,
};
