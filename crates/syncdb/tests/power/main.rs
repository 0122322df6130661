//! When a replica syncs, and how much a sync takes: each rule of `docs/power.md` is a test here.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod deferred;
mod profiles;
mod properties;
mod queue;
mod schedule;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use common::database::DatabaseOptions;
use common::schema::{Field, FieldType, Schema};
use common::serialization::{ImageWriter, read_image};
use common::utils::id_generator::SeededRng;
use common::utils::time::ManualClock;
use common::{Database, Limits, Timestamp};

use syncdb::power::{Decision, DeviceState, Measured, NetworkType, Scheduler, Waiting};
use syncdb::{SyncDb, SyncServer, SyncServerOptions};

/// Seconds after the beginning of a test.
const fn at(seconds: i64) -> Timestamp {
    Timestamp((1_000_000 + seconds) * 1_000_000)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A phone in a pocket, with the battery at 15 %: the profile is `low`.
fn pocket() -> DeviceState {
    DeviceState::default()
        .battery(0.15)
        .network(NetworkType::Cellular)
        .foreground(false)
}

fn until(decision: &Decision) -> Option<Timestamp> {
    match decision {
        Decision::Wait { until, .. } => *until,
        Decision::Sync { .. } => panic!("expected to wait, not {decision:?}"),
    }
}

/// A sync from one time to another that comes to its end, or not.
fn run(
    scheduler: &mut Scheduler,
    device: &DeviceState,
    waiting: &Waiting,
    times: (Timestamp, Timestamp),
    succeeded: bool,
) {
    scheduler.start(times.0, device, waiting);
    let measured = Measured {
        succeeded,
        ..Measured::default()
    };
    scheduler.finish(times.1, &measured, 4_711);
}

/// A server with one table, and a replica that has it.
///
/// Their clocks stand still and their chance is seeded, so that requests have the same bytes in every run.
fn pair() -> (SyncServer, SyncDb) {
    let options = || DatabaseOptions {
        clock: Arc::new(ManualClock::new(at(0).0)),
        ..DatabaseOptions::default()
    };
    let db = Database::with(options());
    let notes = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("text", FieldType::Text).nullable())
        .field(Field::new("stars", FieldType::Int).default_value(0));
    db.create_collection(notes.finish().unwrap()).unwrap();
    let rules = SyncServerOptions {
        rng: Arc::new(SeededRng::new(1)),
        ..SyncServerOptions::default()
    };
    let server = SyncServer::with(db, rules).unwrap();
    let phone = SyncDb::open(Database::with(options()), "phone").unwrap();
    phone
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    (server, phone)
}

/// The replica from its bytes, as after a restart.
fn reopened(phone: SyncDb) -> SyncDb {
    let db = phone.database();
    let snapshot = db.snapshot();
    let mut image = ImageWriter::new(Vec::new(), snapshot.seq()).unwrap();
    for collection in db.collections() {
        image.table(&collection.schema()).unwrap();
        let rows = &mut |records: &[common::Record]| {
            image.rows(records).unwrap();
            ControlFlow::Continue(())
        };
        snapshot.view().scan(&collection, rows).unwrap();
    }
    let bytes = image.finish().unwrap();
    drop((snapshot, phone));
    let image = read_image(&bytes, &Limits::default()).unwrap();
    let db = Database::new();
    for (schema, records) in image.tables {
        let table = db.create_collection(schema).unwrap();
        db.load(&table, &records).unwrap();
    }
    db.resume_at(image.seq).unwrap();
    SyncDb::open(db, "phone").unwrap()
}
