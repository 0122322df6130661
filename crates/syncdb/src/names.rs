//! Which tables of a database are the application's, and which belong to sync.

use common::{Collection, Database};

/// The table names that belong to the machinery of sync and are not synced themselves.
pub fn is_system(table: &str) -> bool {
    table.starts_with("sync_")
}

/// The application's tables, sorted by name.
pub(crate) fn user_tables(db: &Database) -> Vec<Collection> {
    let mut tables = db.collections();
    tables.retain(|table| !is_system(table.name()));
    tables
}
