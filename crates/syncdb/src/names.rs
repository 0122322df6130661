//! Which tables of a database are the application's, and which belong to sync.

use common::schema::Schema;
use common::{Collection, Database, Text};

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

/// The name that a column of one schema has in another, which knows it by its number.
pub(crate) fn renamed(from: &Schema, to: &Schema, column: &Text) -> Option<Text> {
    let id = from.fields.iter().find(|field| field.name == *column)?.id;
    let field = to.fields.iter().find(|field| field.id == id)?;
    Some(field.name.clone())
}
