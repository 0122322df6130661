//! Several versions of an application's tables at one server: who sees what, and that nothing is lost on the way.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops where something is wrong"
)]

mod deploys;
mod kinds;
#[path = "../migration/people.rs"]
mod people;
mod simulation;
mod upgrade;

use common::schema::Schema;
use common::{Database, Record, RecordId, Row, Value};
use people::{int, people, text};
use syncdb::migration::{Lineage, Migration, Step};
use syncdb::{Serving, SyncDb, SyncReport, SyncServer, SyncServerOptions};

fn first() -> Lineage {
    Lineage::new([people()]).unwrap()
}

fn then(lineage: &Lineage, steps: impl IntoIterator<Item = Step>) -> Lineage {
    lineage.clone().then(Migration::new(steps)).unwrap()
}

fn serve(db: &Database, serving: Serving) -> SyncServer {
    SyncServer::with(db.clone(), SyncServerOptions::default().serving(serving)).unwrap()
}

fn replica(name: &str, lineage: &Lineage) -> SyncDb {
    SyncDb::with_lineage(Database::new(), name, lineage).unwrap()
}

/// The replica as an application with another lineage opens it.
fn reopened(db: &SyncDb, lineage: &Lineage) -> SyncDb {
    let name = db.replica().clone();
    SyncDb::with_lineage(db.database().clone(), name, lineage).unwrap()
}

/// A sync that ends with the same rows on both sides, without a repair.
fn sync(server: &SyncServer, db: &SyncDb) -> SyncReport {
    let report = db
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    assert!(report.converged, "{}: {report:?}", db.replica());
    assert!(!report.repaired, "{}: {report:?}", db.replica());
    report
}

/// A row by the names of its columns, without the key.
fn named(schema: &Schema, row: &Record) -> Vec<(String, Value)> {
    let fields = schema.fields.iter().map(|field| field.name.to_string());
    let columns = fields.zip(row.values().iter().cloned());
    columns.skip(schema.key_columns).collect()
}

fn row_of(db: &SyncDb, table: &str, id: impl Into<RecordId>) -> Vec<(String, Value)> {
    let table = db.collection(table).unwrap();
    named(&table.schema(), &table.get(id.into()).unwrap())
}

fn columns(expected: &Row) -> Vec<(String, Value)> {
    let columns = expected.clone().into_iter();
    columns
        .map(|(name, value)| (name.to_string(), value))
        .collect()
}
