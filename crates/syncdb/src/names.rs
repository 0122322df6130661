//! Which tables of a database are the application's, and which belong to sync.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use common::schema::{Field, FieldType, Schema};
use common::{Collection, Database, Result, Text, Value, row};

/// Table of the names of tables that replicas know nothing of: `name` (the key).
const APART: &str = "sync_apart";

/// The table names that belong to the machinery of sync and are not synced themselves.
pub fn is_system(table: &str) -> bool {
    table.starts_with("sync_")
}

/// The application's tables, sorted by name.
pub(crate) fn user_tables(db: &Database) -> Vec<Collection> {
    let apart = apart(db);
    let mut tables = db.collections();
    tables.retain(|table| !is_system(table.name()) && !apart.contains(table.name()));
    tables
}

/// Has a server keep a table of this name to itself, or no longer: replicas know nothing of it, and cannot write to it.
/// The table need not be there yet. What replicas have of it they drop at their next sync.
///
/// For tables that other parts of an application keep in the same database, such as vectors and features.
///
/// ```
/// use common::schema::{Field, FieldType, Schema};
/// use common::{Database, row};
/// use syncdb::{SyncDb, SyncServer, keep_apart};
/// let db = Database::new();
/// keep_apart(&db, "models", true)?;
/// for name in ["models", "notes"] {
///     let table = Schema::build(name, ["id"]).field(Field::new("id", FieldType::Int)).finish()?;
///     db.create_collection(table)?.insert(row! { "id": 1 })?;
/// }
/// let server = SyncServer::new(db)?;
/// let phone = SyncDb::client("phone")?;
/// phone.sync(&mut |request: &[u8]| server.handle(request))?;
/// assert!(phone.collection("notes").is_ok() && phone.collection("models").is_err());
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// What the database fails with.
pub fn keep_apart(db: &Database, table: &str, apart: bool) -> Result<()> {
    if is_apart(db, table) == apart {
        return Ok(());
    }
    let name = Field::new("name", FieldType::Text);
    let names = db.open_collection(Schema::build(APART, ["name"]).field(name).finish()?)?;
    if apart {
        names.upsert(row! { "name": table }).map(drop)
    } else {
        names.delete(table).map(drop)
    }
}

/// Whether a server keeps the table of this name to itself.
pub(crate) fn is_apart(db: &Database, table: &str) -> bool {
    let names = db.collection(APART);
    names.is_ok_and(|names| names.get(table).is_some())
}

fn apart(db: &Database) -> BTreeSet<Text> {
    let mut apart = BTreeSet::new();
    if let Ok(names) = db.collection(APART) {
        // It is in memory, where a scan does not fail.
        let _ = db.snapshot().view().scan(&names, &mut |records| {
            let names = records.iter().filter_map(|record| record.first());
            apart.extend(names.filter_map(Value::as_text).map(Text::from));
            ControlFlow::Continue(())
        });
    }
    apart
}

/// The name that a column of one schema has in another, which knows it by its number.
pub(crate) fn renamed(from: &Schema, to: &Schema, column: &Text) -> Option<Text> {
    let id = from.fields.iter().find(|field| field.name == *column)?.id;
    let field = to.fields.iter().find(|field| field.id == id)?;
    Some(field.name.clone())
}
