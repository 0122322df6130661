//! What the Python modules `syncdb.engine`, `syncdb.http` and `syncdb.simulation` call.

use pyo3::prelude::*;

mod config;
mod db;
mod error;
mod http;
mod migration;
mod payload;
mod power;
mod reading;
mod record;
mod schema;
mod server;
mod simulation;
mod snapshot;
mod sync;
mod transaction;
mod value;
mod watch;

/// The engine's own sync: replicas, the server, HTTP and all that goes with them.
#[pymodule]
pub(crate) mod engine {
    use pyo3::prelude::*;
    use pyo3::types::PyModule;

    #[pymodule_export]
    use super::db::PySyncDb;
    #[pymodule_export]
    use super::http::{Cancel, HttpClient, HttpServer};
    #[pymodule_export]
    use super::migration::{PyLineage, PyStep, dry_run_of, plan_steps};
    #[pymodule_export]
    use super::payload::{PyDictionary, block_statistics, decode_rows, encode_rows};
    #[pymodule_export]
    use super::power::{PyDecision, PyScheduler, PyWaiting};
    #[pymodule_export]
    use super::record::{
        ColumnExplanation, Deferred, Explanation, LedgerEntry, PendingMutation, Rejected, RowEdit,
        SubscriptionState, SyncReport,
    };
    #[pymodule_export]
    use super::schema::{PyField, PySchema};
    #[pymodule_export]
    use super::server::{PyMeeting, PyPermission, PyPolicy, PySyncServer};
    #[pymodule_export]
    use super::simulation::{PyClock, PyConnection, PyNetwork};
    #[pymodule_export]
    use super::snapshot::Snapshot;
    #[pymodule_export]
    use super::transaction::Transaction;
    #[pymodule_export]
    use super::watch::{Change, Watch};

    /// Lets `import` find the module.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module
            .py()
            .import("sys")?
            .getattr("modules")?
            .set_item("tandemdb._native.engine", module)
    }
}
