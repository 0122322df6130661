//! What happens when two sides write the same: strategies, the ledger, rejected mutations, explanations.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod explain;
mod ledger;
mod rejected;
mod strategies;

use std::sync::Arc;
use std::time::Duration;

use common::database::DatabaseOptions;
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::utils::id_generator::SeededRng;
use common::utils::time::{Clock, ManualClock};
use common::{Collection, Database, Value, row};
use syncdb::{Policy, Strategy, SyncDb, SyncReport, SyncServer, SyncServerOptions};

const START: i64 = 1_700_000_000_000_000;

/// A server, replicas and the clock that all of them share.
struct Setting {
    wall: Arc<ManualClock>,
    server: SyncServer,
}

fn schema() -> Schema {
    let text = |name: &str| Field::new(name, FieldType::Text).nullable();
    Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(text("title"))
        .field(text("body"))
        .field(Field::new("stars", FieldType::Int).default_value(0))
        .field(text("slug"))
        .index(IndexSpec::hash(["slug"]).unique())
        .finish()
        .unwrap()
}

impl Setting {
    fn new(policy: Policy) -> Self {
        Self::with(SyncServerOptions::default().policy("notes", policy))
    }

    fn with(options: SyncServerOptions) -> Self {
        let wall = Arc::new(ManualClock::new(START));
        let db = database(&wall);
        let notes = db.create_collection(schema()).unwrap();
        for id in 1..=3 {
            let slug = format!("s{id}");
            notes
                .insert(row! { "id": id, "title": "first", "body": "first", "slug": slug })
                .unwrap();
        }
        let options = SyncServerOptions {
            rng: Arc::new(SeededRng::new(1)),
            ..options
        };
        let server = SyncServer::with(db, options).unwrap();
        Self { wall, server }
    }

    fn replica(&self, name: &str) -> SyncDb {
        let db = SyncDb::open(database(&self.wall), name).unwrap();
        self.sync(&db);
        db
    }

    fn sync(&self, db: &SyncDb) -> SyncReport {
        self.tick();
        let report = db
            .sync(&mut |request: &[u8]| self.server.handle(request))
            .unwrap();
        assert!(report.converged && !report.repaired, "{report:?}");
        report
    }

    /// One request reaches the server; its answer is lost.
    fn push_only(&self, db: &SyncDb) {
        let mut session = db.session().unwrap();
        let request = session.next_message().unwrap().unwrap();
        self.server.handle(&request).unwrap();
    }

    fn tick(&self) {
        self.wall.advance(Duration::from_millis(10));
    }

    fn notes(&self) -> Collection {
        self.server.database().collection("notes").unwrap()
    }

    /// A column of a row at the server.
    fn cell(&self, id: i64, column: usize) -> Option<Value> {
        self.notes().get(id).map(|row| row[column].clone())
    }

    /// Two replicas write the title of row 1; the second one's later. Returns both after they have synced.
    fn conflict(&self) -> (SyncDb, SyncDb) {
        let (a, b) = (self.replica("a"), self.replica("b"));
        a.update("notes", 1, row! { "title": "by a" }).unwrap();
        self.tick();
        b.update("notes", 1, row! { "title": "by b" }).unwrap();
        self.sync(&a);
        assert_eq!(self.sync(&b).conflicts.len(), 1);
        self.sync(&a);
        (a, b)
    }
}

fn database(wall: &Arc<ManualClock>) -> Database {
    Database::with(DatabaseOptions {
        clock: Arc::clone(wall) as Arc<dyn Clock>,
        ..DatabaseOptions::default()
    })
}

/// The database as it is after it was saved and opened again.
fn reopened(original: &Database, wall: &Arc<ManualClock>) -> Database {
    let db = database(wall);
    for from in original.collections() {
        let to = db.create_collection((*from.schema()).clone()).unwrap();
        let mut records = Vec::new();
        let snapshot = original.snapshot();
        let mut note = |chunk: &[common::Record]| {
            records.extend_from_slice(chunk);
            std::ops::ControlFlow::Continue(())
        };
        snapshot.view().scan(&from, &mut note).unwrap();
        db.load(&to, &records).unwrap();
    }
    db.resume_at(original.seq()).unwrap();
    db
}

fn title(db: &SyncDb, id: i64) -> Option<Value> {
    let notes = db.collection("notes").unwrap();
    notes.get(id).map(|row| row[1].clone())
}

fn counters() -> Policy {
    Policy::default().column("stars", Strategy::Counter)
}
