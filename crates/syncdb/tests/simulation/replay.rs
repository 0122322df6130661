//! Faults one by one instead of by chance: every message lost, every byte cut, every old copy restored, every request said
//! again.

use std::sync::Arc;

use common::schema::{Field, FieldType, Schema};
use common::utils::id_generator::SeededRng;
use common::utils::time::{Clock, ManualClock};
use common::versioning::Retention;
use common::{Database, Value, row};
use parking_lot::Mutex;
use syncdb::netsim::{Fault, Network, START_MICROS};
use syncdb::{LedgerOptions, Strategy, SyncDb, SyncServer, SyncServerOptions};

use super::tables;

fn wall() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(START_MICROS))
}

fn options(clock: &Arc<ManualClock>, changes_max: usize) -> common::database::DatabaseOptions {
    tables::options(Arc::clone(clock) as Arc<dyn Clock>, changes_max)
}

fn serve(db: Database) -> SyncServer {
    let options = SyncServerOptions {
        rng: Arc::new(SeededRng::new(1)),
        ..SyncServerOptions::default()
    };
    SyncServer::with(db, options.strategy("notes", Strategy::LastWriteWins)).unwrap()
}

fn server(clock: &Arc<ManualClock>, rows: i64) -> SyncServer {
    let db = Database::with(options(clock, 1 << 20));
    let schema = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("text", FieldType::Text))
        .field(Field::new("n", FieldType::Int).default_value(0))
        .finish()
        .unwrap();
    let notes = db.create_collection(schema).unwrap();
    for id in 0..rows {
        notes
            .insert(row! { "id": id, "text": format!("note {id}") })
            .unwrap();
    }
    serve(db)
}

fn replica(clock: &Arc<ManualClock>, name: &str) -> SyncDb {
    SyncDb::open(Database::with(options(clock, 1 << 12)), name).unwrap()
}

fn tick(clock: &ManualClock) {
    clock.advance(std::time::Duration::from_millis(10));
}

#[track_caller]
fn sync(db: &SyncDb, server: &SyncServer) {
    let report = db.sync(&mut |request: &[u8]| server.handle(request));
    let report = report.unwrap();
    assert!(report.converged && !report.repaired, "{report:?}");
}

fn note(server: &SyncServer, id: i64) -> Vec<Value> {
    let notes = server.database().collection("notes").unwrap();
    notes
        .get(id)
        .map(|note| note.values().to_vec())
        .unwrap_or_default()
}

/// A first sync, edits and a second one over a network, with faults for the messages from the server and to it.
/// Returns how many messages were sent each way.
fn session(up: &[(u64, Fault)], down: &[(u64, Fault)]) -> (u64, u64) {
    let clock = wall();
    let server = server(&clock, 3);
    let network = Network::new(1);
    let (cloud, phone) = (network.add_node("cloud"), network.add_node("phone"));
    for (from, to, faults) in [(phone, cloud, up), (cloud, phone, down)] {
        for number in 0..40 {
            let planned = faults.iter().find(|(at, _)| *at == number);
            network.inject(from, to, planned.map_or(Fault::Pass, |(_, fault)| *fault));
        }
    }
    let mut transport = network.connect(phone, cloud, |request: &[u8]| server.handle(request));
    let db = replica(&clock, "phone");
    while db.sync(&mut transport).is_err() {}
    db.transaction(|tx| {
        let notes = db.collection("notes")?;
        tx.insert(&notes, row! { "id": 10, "text": "new" })?;
        tx.update(&notes, 1, row! { "n": 1 })?;
        tx.delete(&notes, 2)
    })
    .unwrap();
    db.update("notes", 0, row! { "text": "changed" }).unwrap();
    while db.sync(&mut transport).is_err() {}
    let report = loop {
        if let Ok(report) = db.sync(&mut transport) {
            break report;
        }
    };
    assert!(report.converged && !report.repaired, "{up:?} {down:?}");
    assert_eq!(db.digest().unwrap(), server.digest().unwrap());
    assert_eq!(server.status().rows, 3, "{up:?} {down:?}");
    assert_eq!(server.status().conflicts, 0, "{up:?} {down:?}");
    let notes = server.database().collection("notes").unwrap();
    assert_eq!(
        notes.get(1).unwrap().metadata().revision,
        2,
        "{up:?} {down:?}"
    );
    assert_eq!(db.pending(), 0);
    (
        network.statistics(phone, cloud).sent,
        network.statistics(cloud, phone).sent,
    )
}

#[test]
fn any_two_messages_may_be_lost_or_come_twice() {
    let (up, down) = session(&[], &[]);
    for first in 0..up + 2 {
        for second in 0..down + 2 {
            for fault in [Fault::Lose, Fault::Duplicate] {
                session(&[(first, fault)], &[(second, fault)]);
                session(&[(first, fault), (second, fault)], &[]);
                session(&[], &[(first, fault), (second, fault)]);
            }
        }
    }
}

#[test]
fn a_message_may_end_at_any_byte() {
    // The longest message of the session has fewer bytes than this.
    for at in 0..420 {
        for number in 0..3 {
            if at % 3 == number {
                session(&[(number, Fault::Cut(at.try_into().unwrap()))], &[]);
                session(&[], &[(number, Fault::Cut(at.try_into().unwrap()))]);
            }
        }
    }
}

#[test]
fn a_push_said_again_applies_once_also_after_a_restart_and_compaction() {
    let clock = wall();
    let mut server = server(&clock, 3);
    let db = replica(&clock, "phone");
    sync(&db, &server);
    let said = Mutex::new(Vec::new());
    for round in 0..10_i64 {
        tick(&clock);
        db.update("notes", 0, row! { "n": round + 1 }).unwrap();
        let id = 100 + round;
        db.insert("notes", row! { "id": id, "text": "once" })
            .unwrap();
        db.delete("notes", id - 1).ok();
        let mut listening = |request: &[u8]| {
            said.lock().push(request.to_vec());
            server.handle(request)
        };
        assert!(db.sync(&mut listening).unwrap().converged);
        for again in said.lock().iter() {
            for _ in 0..=round % 3 {
                server.handle(again).unwrap();
            }
        }
        match round % 3 {
            0 => {
                server.database().compact_log(server.database().seq());
            }
            1 => {
                let saved = tables::image(server.database());
                server = serve(tables::open(&saved, options(&clock, 1 << 20)));
            }
            _ => {}
        }
        for again in said.lock().iter() {
            server.handle(again).unwrap();
        }
        assert_eq!(note(&server, 0)[2], Value::from(round + 1));
        assert_eq!(server.status().rows, 4, "a deleted note stays deleted");
        assert_eq!(server.status().conflicts, 0);
    }
    sync(&db, &server);
}

#[test]
fn a_replica_set_back_to_any_of_its_past_copies_settles() {
    let edits: i64 = 8;
    for back_to in 0..=2 * edits {
        let clock = wall();
        let server = server(&clock, 3);
        let mut db = replica(&clock, "phone");
        let other = replica(&clock, "laptop");
        sync(&other, &server);
        let mut copies = vec![tables::image(db.database())];
        sync(&db, &server);
        for edit in 0..edits {
            tick(&clock);
            let id = 100 + edit;
            db.insert("notes", row! { "id": id, "text": "made once" })
                .unwrap();
            db.update("notes", 0, row! { "n": edit + 1 }).unwrap();
            copies.push(tables::image(db.database()));
            if edit % 3 == 2 {
                db.delete("notes", id).unwrap();
            }
            sync(&db, &server);
            copies.push(tables::image(db.database()));
        }
        let at = usize::try_from(back_to).unwrap();
        db = SyncDb::open(tables::open(&copies[at], options(&clock, 1 << 12)), "phone").unwrap();
        for _ in 0..2 {
            sync(&db, &server);
            sync(&other, &server);
        }
        assert_eq!(
            note(&server, 0)[2],
            Value::from(edits),
            "set back to copy {back_to}"
        );
        let deleted = (0..edits).filter(|edit| edit % 3 == 2).count();
        let rows = u64::try_from(edits).unwrap() + 3 - deleted as u64;
        assert_eq!(server.status().rows, rows, "set back to copy {back_to}");
        assert_eq!(other.digest().unwrap(), server.digest().unwrap());
        assert!(
            db.rejected().unwrap().is_empty(),
            "set back to copy {back_to}"
        );
    }
}

#[test]
fn what_a_replica_set_back_overwrites_unseen_is_a_conflict() {
    let clock = wall();
    let server = server(&clock, 1);
    let db = replica(&clock, "phone");
    sync(&db, &server);
    let copy = tables::image(db.database());
    tick(&clock);
    db.update("notes", 0, row! { "text": "of the lost life" })
        .unwrap();
    sync(&db, &server);
    let db = SyncDb::open(tables::open(&copy, options(&clock, 1 << 12)), "phone").unwrap();
    tick(&clock);
    db.update("notes", 0, row! { "text": "of the new life" })
        .unwrap();
    sync(&db, &server);
    assert_eq!(note(&server, 0)[1], Value::from("of the new life"));
    let ledger = server.conflicts().unwrap();
    assert_eq!(ledger.len(), 1);
    assert_eq!(ledger[0].server, Value::from("of the lost life"));
}

#[test]
fn a_mutation_too_old_to_be_remembered_is_kept_for_its_user_to_decide() {
    let clock = wall();
    let server = server(&clock, 1);
    let db = replica(&clock, "phone");
    sync(&db, &server);
    db.update("notes", 0, row! { "text": "before the copy" })
        .unwrap();
    let copy = tables::image(db.database());
    for n in 0..200 {
        tick(&clock);
        db.update("notes", 0, row! { "n": n + 1 }).unwrap();
        sync(&db, &server);
    }
    let db = SyncDb::open(tables::open(&copy, options(&clock, 1 << 12)), "phone").unwrap();
    sync(&db, &server);
    let rejected = db.rejected().unwrap();
    assert_eq!(rejected.len(), 1, "neither applied twice nor dropped");
    assert_eq!(note(&server, 0)[2], Value::from(200));
    db.discard(rejected[0].id).unwrap();
    sync(&db, &server);
}

#[test]
fn an_edit_on_top_of_one_that_waits_is_a_conflict_with_what_it_hides() {
    let clock = wall();
    let server = server(&clock, 1);
    let [anna, ben] = ["anna", "ben"].map(|name| replica(&clock, name));
    sync(&anna, &server);
    sync(&ben, &server);
    anna.update("notes", 0, row! { "text": "anna's first" })
        .unwrap();
    tick(&clock);
    ben.update("notes", 0, row! { "text": "ben's" }).unwrap();
    sync(&ben, &server);
    // Anna's request is lost; ben's value comes, and stays under hers, because hers is not answered yet.
    let mut session = anna.session().unwrap();
    let _lost = session.next_message().unwrap();
    drop(session);
    tick(&clock);
    let mut between = |request: &[u8]| {
        anna.update("notes", 0, row! { "text": "anna's second" })?;
        server.handle(request)
    };
    anna.sync(&mut between).unwrap();
    sync(&anna, &server);
    assert_eq!(note(&server, 0)[1], Value::from("anna's second"));
    let ledger = server.conflicts().unwrap();
    let lost = |text: &str| ledger.iter().any(|entry| entry.server == Value::from(text));
    assert!(lost("ben's"), "{ledger:?}");
}

#[test]
fn a_row_deleted_and_made_again_survives_compaction() {
    let clock = wall();
    let server = server(&clock, 2);
    let db = replica(&clock, "phone");
    sync(&db, &server);
    let notes = server.database().collection("notes").unwrap();
    notes.delete(1).unwrap();
    notes.insert(row! { "id": 1, "text": "again" }).unwrap();
    server.database().compact_log(server.database().seq());
    sync(&db, &server);
    let found = db.collection("notes").unwrap().get(1).unwrap();
    assert_eq!(found[1], Value::from("again"));
}

#[test]
fn deletions_leave_bounded_traces_and_nothing_comes_back() {
    const ROUNDS: i64 = 40;
    const EACH: i64 = 250;
    let clock = wall();
    let mut small = options(&clock, 2_000);
    small.retention = Retention {
        changes_max: 2_000,
        ..small.retention
    };
    let db = Database::with(small);
    let schema = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("text", FieldType::Text))
        .finish()
        .unwrap();
    db.create_collection(schema).unwrap();
    let ledger = LedgerOptions {
        deleted_max: 300,
        ..LedgerOptions::default()
    };
    let server = SyncServer::with(db, SyncServerOptions::default().ledger(ledger)).unwrap();
    let [busy, away] = ["busy", "away"].map(|name| replica(&clock, name));
    sync(&busy, &server);
    busy.insert("notes", row! { "id": 1, "text": "to be deleted" })
        .unwrap();
    sync(&busy, &server);
    sync(&away, &server);
    away.update("notes", 1, row! { "text": "edited while away" })
        .unwrap();
    busy.delete("notes", 1).unwrap();
    for round in 0..ROUNDS {
        tick(&clock);
        for id in 0..EACH {
            let id = 10 + round * EACH + id;
            busy.insert("notes", row! { "id": id, "text": "short-lived" })
                .unwrap();
            // One in fifty lives on.
            if id % 50 != 0 {
                busy.delete("notes", id).unwrap();
            }
        }
        sync(&busy, &server);
        let found = |table| tables::count(server.database(), table);
        let live = found("notes");
        assert!(found("sync_rows") <= live, "round {round}");
        assert!(
            found("sync_deleted") <= 300 + 600,
            "round {round}: {}",
            found("sync_deleted")
        );
        assert!(found("sync_outcomes") <= 1_200, "round {round}");
        let (_, changes) = server.database().log_extent();
        assert!(changes <= 2_000 + 100, "round {round}: {changes}");
    }
    // Older than the log: a snapshot, and its edit of a row deleted long ago is told and does not bring it back.
    sync(&away, &server);
    assert!(note(&server, 1).is_empty());
    assert_eq!(away.digest().unwrap(), server.digest().unwrap());
    let told = away.conflicts().unwrap().len() + away.rejected().unwrap().len();
    assert_eq!(told, 1);
}
