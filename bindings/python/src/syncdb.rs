//! What the Python package `syncdb` calls.

use pyo3::prelude::*;

mod compression;
mod copy;
mod database;
mod exchange;
mod history;
mod hooks;
mod json;
mod migration;
mod schema;
mod stamps;
mod table;
mod wire;

/// Native parts of the package `syncdb`.
#[pymodule]
pub(crate) mod syncdb {
    use pyo3::prelude::*;
    use pyo3::types::PyModule;

    #[pymodule_export]
    use super::compression::{
        BinaryMethods, BooleanMethods, CompressorTableMethods, DateTimeMethods, DictMethods,
        FloatMethods, IntMethods, ListMethods, NoneMethods, PayloadMethods, TextMethods,
    };
    #[pymodule_export]
    use super::copy::deepcopy_of;
    #[pymodule_export]
    use super::database::DatabaseMethods;
    #[pymodule_export]
    use super::exchange::{
        changes_of_rows, note_stamps, put_change, put_changes, rows_lacking, take_changes,
    };
    #[pymodule_export]
    use super::history::{
        ChangeRecordMethods, ChangeTrackerMethods, VersionVectorMethods, are_sendable,
        copy_changes, read_changes,
    };
    #[pymodule_export]
    use super::json::untag;
    #[pymodule_export]
    use super::migration::migrate_rows;
    #[pymodule_export]
    use super::schema::{ColumnMethods, SchemaCache, TableSchemaMethods};
    #[pymodule_export]
    use super::stamps::{RowStamps, Sighting};
    #[pymodule_export]
    use super::table::TableMethods;
    #[pymodule_export]
    use super::wire::{read_message, write_message};

    /// Lets `import` find the module: what is pickled names it.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module
            .py()
            .import("sys")?
            .getattr("modules")?
            .set_item("tandemdb._native.syncdb", module)
    }
}
