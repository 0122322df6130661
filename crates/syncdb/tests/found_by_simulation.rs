//! What the simulation found, each as the smallest story that shows it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use common::database::DatabaseOptions;
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::utils::time::{Clock, ManualClock};
use common::versioning::Hlc;
use common::{Collection, Database, Record, Row, Value, row};
use syncdb::sync::protocol::{OUTCOMES_KEPT, frame_limits};
use syncdb::sync::wire::decode_request;
use syncdb::{Policy, Strategy, SyncDb, SyncReport, SyncServer, SyncServerOptions};

fn options() -> SyncServerOptions {
    let counter = Policy::default().column("n", Strategy::Counter);
    SyncServerOptions::default().policy("notes", counter)
}

fn schema(name: &str) -> Schema {
    Schema::build(name, ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("a", FieldType::Int).default_value(0))
        .field(Field::new("b", FieldType::Int).default_value(0))
        .field(Field::new("n", FieldType::Int).default_value(0))
        .finish()
        .unwrap()
}

/// A server with a table of three notes, and one of names that only one may have.
fn served() -> SyncServer {
    let db = Database::new();
    let notes = db.create_collection(schema("notes")).unwrap();
    for id in 0..3 {
        notes.insert(row! { "id": id }).unwrap();
    }
    let names = Schema::build("names", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("name", FieldType::Text))
        .index(IndexSpec::hash(["name"]).unique());
    let names = db.create_collection(names.finish().unwrap()).unwrap();
    names.insert(row! { "id": 0, "name": "taken" }).unwrap();
    SyncServer::with(db, options()).unwrap()
}

fn sync(db: &SyncDb, server: &SyncServer) -> SyncReport {
    let report = db.sync(&mut |request: &[u8]| server.handle(request));
    let report = report.unwrap();
    assert!(report.converged, "{report:?}");
    report
}

fn client(name: &str, server: &SyncServer) -> SyncDb {
    let db = SyncDb::client(name).unwrap();
    sync(&db, server);
    db
}

fn at(db: &Database, table: &str, id: i64) -> Option<Record> {
    db.collection(table).unwrap().get(id)
}

fn records(db: &Database, table: &Collection) -> Vec<Record> {
    let mut records = Vec::new();
    let mut note = |chunk: &[Record]| {
        records.extend_from_slice(chunk);
        ControlFlow::Continue(())
    };
    db.snapshot().view().scan(table, &mut note).unwrap();
    records
}

fn with_clock(wall: &Arc<ManualClock>) -> Database {
    Database::with(DatabaseOptions {
        clock: Arc::clone(wall) as Arc<dyn Clock>,
        ..DatabaseOptions::default()
    })
}

/// What a database is after it was killed: all that was committed, and no log.
fn copied(original: &Database) -> Database {
    copied_into(Database::new(), original)
}

fn copied_into(db: Database, original: &Database) -> Database {
    for from in original.collections() {
        let to = db.create_collection((*from.schema()).clone()).unwrap();
        db.load(&to, &records(original, &from)).unwrap();
    }
    db.resume_at(original.seq()).unwrap();
    db
}

fn new_table(server: &SyncServer, name: &str) {
    server.database().create_collection(schema(name)).unwrap();
}

#[test]
fn what_was_rejected_while_a_scope_changed_goes() {
    let server = served();
    let phone = client("phone", &server);
    new_table(&server, "later");
    let mut session = phone.session().unwrap();
    // The tables changed, so rows are compared; the edit is younger than what is compared.
    let mut edited = false;
    while let Some(request) = session.next_message().unwrap() {
        session.receive(&server.handle(&request).unwrap()).unwrap();
        if !edited && session.report().round_trips == 1 {
            edited = true;
            phone
                .insert("names", row! { "id": 7, "name": "taken" })
                .unwrap();
        }
    }
    let report = session.into_report();
    assert!(edited && report.converged && !report.repaired, "{report:?}");
    assert_eq!(phone.rejected().unwrap().len(), 1);
    assert!(at(phone.database(), "names", 7).is_none());
}

#[test]
fn what_was_added_here_is_not_taken_for_what_another_added() {
    let server = served();
    let (phone, other) = (client("phone", &server), client("other", &server));
    other.increment("notes", 0, "n", 5).unwrap();
    sync(&other, &server);
    server.database().prune_log_to(server.database().seq());
    // The phone's position is gone, so rows are compared, and by chance its row adds up to the server's.
    phone.increment("notes", 0, "n", 5).unwrap();
    let report = sync(&phone, &server);
    assert!(!report.repaired, "{report:?}");
    for db in [phone.database(), server.database()] {
        assert_eq!(at(db, "notes", 0).unwrap()[3], Value::Int(10));
    }
}

#[test]
fn a_rejected_transaction_takes_no_earlier_edit_with_it() {
    let server = served();
    let phone = client("phone", &server);
    phone.update("notes", 0, row! { "a": 1 }).unwrap();
    let [notes, names] = ["notes", "names"].map(|name| phone.collection(name).unwrap());
    let mut tx = phone.begin();
    tx.update(&notes, 0, row! { "a": 2 }).unwrap();
    tx.insert(&names, row! { "id": 9, "name": "taken" })
        .unwrap();
    tx.commit().unwrap();
    sync(&phone, &server);
    assert_eq!(phone.rejected().unwrap().len(), 1);
    assert_eq!(at(server.database(), "notes", 0).unwrap()[1], Value::Int(1));
}

#[test]
fn a_direct_write_that_nobody_accounted_for_is_a_conflict_all_the_same() {
    let server = served();
    let phone = client("phone", &server);
    phone.update("notes", 1, row! { "a": 1 }).unwrap();
    let write = |server: &SyncServer, column: &str| {
        let notes = server.database().collection("notes").unwrap();
        notes.update(1, Row::new().with(column, 100)).unwrap();
    };
    write(&server, "a");
    // Killed before it has looked at its log, then written to again.
    let server = SyncServer::with(copied(server.database()), options()).unwrap();
    write(&server, "b");
    let report = sync(&phone, &server);
    let [conflict] = report.conflicts.as_slice() else {
        panic!("{report:?}");
    };
    assert_eq!(conflict.column.as_deref(), Some("a"));
    assert_eq!(conflict.server, Value::Int(100));
}

#[test]
fn a_session_ends_although_its_server_lost_the_numbers_it_waits_for() {
    let server = served();
    let old = copied(server.database());
    let phone = client("phone", &server);
    phone.update("notes", 2, row! { "a": 1 }).unwrap();
    sync(&phone, &server);
    // Nothing waits at the phone, and the server counts its mutations from a smaller number again.
    let server = SyncServer::with(old, options()).unwrap();
    let mut session = phone.session().unwrap();
    while let Some(request) = session.next_message().unwrap() {
        session.receive(&server.handle(&request).unwrap()).unwrap();
        assert!(session.report().round_trips < 20, "{:?}", session.report());
    }
    assert!(session.report().converged);
}

#[test]
fn between_two_lives_of_a_replica_its_own_clock_decides() {
    let server = {
        let db = Database::new();
        let notes = db.create_collection(schema("notes")).unwrap();
        notes.insert(row! { "id": 0 }).unwrap();
        let wins = SyncServerOptions::default().strategy("notes", Strategy::ClientWins);
        SyncServer::with(db, wins).unwrap()
    };
    let phone = client("phone", &server);
    phone.update("notes", 0, row! { "a": 1, "b": 1 }).unwrap();
    let backup = copied(phone.database());
    // Merged into the edit before, which so is not the one that the copy has.
    phone.update("notes", 0, row! { "a": 2 }).unwrap();
    sync(&phone, &server);
    let phone = SyncDb::open(backup, "phone").unwrap();
    sync(&phone, &server);
    assert_eq!(at(phone.database(), "notes", 0).unwrap()[1], Value::Int(2));
    assert_eq!(at(server.database(), "notes", 0).unwrap()[1], Value::Int(2));
}

/// In microseconds; an evening in November 2023.
const START: i64 = 1_700_000_000_000_000;
const HOURS_8: i64 = 8 * 3_600_000_000;

/// A server with one note, and a phone that has it, each with a clock of its own.
fn with_clocks() -> (SyncServer, SyncDb, [Arc<ManualClock>; 2]) {
    let clocks = [START; 2].map(|at| Arc::new(ManualClock::new(at)));
    let db = with_clock(&clocks[0]);
    let notes = db.create_collection(schema("notes")).unwrap();
    notes.insert(row! { "id": 0 }).unwrap();
    let server = SyncServer::new(db).unwrap();
    let phone = SyncDb::open(with_clock(&clocks[1]), "phone").unwrap();
    sync(&phone, &server);
    (server, phone, clocks)
}

fn reopened(original: &Database, wall: &Arc<ManualClock>) -> SyncDb {
    SyncDb::open(copied_into(with_clock(wall), original), "phone").unwrap()
}

fn assert_a(phone: &SyncDb, server: &SyncServer, expected: i64) {
    for db in [phone.database(), server.database()] {
        let note = at(db, "notes", 0).unwrap();
        assert_eq!(note.get(1), Some(&Value::Int(expected)));
    }
}

#[test]
fn what_the_server_cut_does_not_become_later_by_being_sent_later() {
    let (server, phone, [there, here]) = with_clocks();
    phone.update("notes", 0, row! { "a": 1, "b": 1 }).unwrap();
    let backup = copied(phone.database());
    // Merged into the edit before, which so is not the one that the copy has.
    phone.update("notes", 0, row! { "a": 2 }).unwrap();
    // A clock that is hours behind: the stamps are far ahead of it, and are cut.
    here.set(START - HOURS_8);
    let mut session = phone.session().unwrap();
    let request = session.next_message().unwrap().unwrap();
    let mut request = decode_request(&request, &frame_limits()).unwrap();
    request.now = Hlc::new((START - HOURS_8) / 1_000, 0);
    server.answer(None, &request).unwrap();
    for clock in [&there, &here] {
        clock.advance(Duration::from_mins(10));
    }
    let phone = reopened(&backup, &here);
    sync(&phone, &server);
    assert_a(&phone, &server, 2);
}

#[test]
fn an_edit_after_one_that_waits_is_later_though_the_clock_went_back_and_it_was_restarted() {
    let (server, phone, [_, here]) = with_clocks();
    phone.update("notes", 0, row! { "a": 1 }).unwrap();
    let backup = copied(phone.database());
    here.set(START - HOURS_8);
    let phone = reopened(phone.database(), &here);
    phone.update("notes", 0, row! { "a": 2 }).unwrap();
    sync(&phone, &server);
    let phone = reopened(&backup, &here);
    sync(&phone, &server);
    assert_a(&phone, &server, 2);
}

#[test]
fn what_is_written_after_a_replica_was_set_back_is_not_taken_for_what_the_server_forgot() {
    let (server, phone, [there, here]) = with_clocks();
    let backup = copied(phone.database());
    for a in 0..=OUTCOMES_KEPT + 1 {
        phone
            .update("notes", 0, row! { "a": a.cast_signed() + 1 })
            .unwrap();
        sync(&phone, &server);
    }
    for clock in [&there, &here] {
        clock.advance(Duration::from_mins(10));
    }
    // Under a number that the server has seen so long ago that it has forgotten what it was.
    let phone = reopened(&backup, &here);
    phone.update("notes", 0, row! { "a": -1 }).unwrap();
    let waiting = copied(phone.database());
    sync(&phone, &server);
    assert_a(&phone, &server, -1);
    // And again, when it is known under the number that it has taken.
    let phone = reopened(&waiting, &here);
    sync(&phone, &server);
    assert_eq!(phone.rejected().unwrap(), []);
    assert_a(&phone, &server, -1);
}
