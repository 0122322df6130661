//! Migrations: what each step makes of rows, what is refused, and that nothing that fits is lost.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops where something is wrong"
)]

mod chain;
mod people;
mod planned;
mod refused;
mod steps;

use common::{Collection, Database, Result, Row, Value};
use people::{int, people, text};
use syncdb::migration::{Lineage, Migration, MigrationReport, Step, migrate};

fn database(rows: impl IntoIterator<Item = Row>) -> Database {
    let db = Database::new();
    let table = db.create_collection(people()).unwrap();
    for row in rows {
        table.insert(row).unwrap();
    }
    db
}

fn lineage(steps: impl IntoIterator<Item = Step>) -> Result<Lineage> {
    Lineage::new([people()])?.then(Migration::new(steps))
}

fn to(db: &Database, lineage: &Lineage, version: u32) -> Result<MigrationReport> {
    migrate(db, lineage, version, &mut |_, _, _| true)
}

fn table(db: &Database) -> Collection {
    db.collection("people").unwrap()
}

/// All rows by name, sorted by key.
fn rows(db: &Database, name: &str) -> Vec<Vec<(String, Value)>> {
    let table = db.collection(name).unwrap();
    let schema = table.schema();
    let names: Vec<String> = schema.fields.iter().map(|f| f.name.to_string()).collect();
    let mut rows: Vec<Vec<Value>> = Vec::new();
    db.snapshot()
        .view()
        .scan(&table, &mut |records| {
            rows.extend(records.iter().map(|record| record.values().to_vec()));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    rows.sort();
    let with_names = rows
        .into_iter()
        .map(|row| names.iter().cloned().zip(row).collect());
    with_names.collect()
}
