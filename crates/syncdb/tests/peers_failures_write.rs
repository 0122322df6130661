//! Failures that others had on the way of a write: lost answers, repeats, edits in the middle of a sync, wrong clocks. Each
//! test names the case of the list that it stands for.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::database::DatabaseOptions;
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::utils::id_generator::SeededRng;
use common::utils::time::{Clock, ManualClock};
use common::versioning::Hlc;
use common::{Collection, Database, Record, Seq, Value, row};
use syncdb::sync::protocol::{Outcome, Request, frame_limits};
use syncdb::sync::wire::{decode_answer, decode_request, encode_request};
use syncdb::{Policy, Side, Strategy, SyncDb, SyncReport, SyncServer, SyncServerOptions};

const START: i64 = 1_700_000_000_000_000;
const ACCOUNTS: i64 = 4;

fn database(wall: &Arc<ManualClock>) -> Database {
    Database::with(DatabaseOptions {
        clock: Arc::clone(wall) as Arc<dyn Clock>,
        ..DatabaseOptions::default()
    })
}

fn options() -> SyncServerOptions {
    SyncServerOptions {
        rng: Arc::new(SeededRng::new(7)),
        ..SyncServerOptions::default()
    }
    .policy(
        "accounts",
        Policy::default().column("balance", Strategy::Counter),
    )
}

/// A server with a few accounts of 100 each.
fn served(wall: &Arc<ManualClock>) -> SyncServer {
    let db = database(wall);
    let schema = Schema::build("accounts", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("name", FieldType::Text).nullable())
        .field(Field::new("balance", FieldType::Int).default_value(0))
        .field(Field::new("iban", FieldType::Text).nullable())
        .index(IndexSpec::hash(["iban"]).unique());
    let accounts = db.create_collection(schema.finish().unwrap()).unwrap();
    for id in 0..ACCOUNTS {
        let iban = format!("iban {id}");
        accounts
            .insert(row! { "id": id, "name": "first", "balance": 100, "iban": iban })
            .unwrap();
    }
    SyncServer::with(db, options()).unwrap()
}

fn replica(name: &str, wall: &Arc<ManualClock>) -> SyncDb {
    SyncDb::open(database(wall), name).unwrap()
}

fn sync(db: &SyncDb, server: &SyncServer) -> SyncReport {
    let report = db
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    assert!(report.converged && !report.repaired, "{report:?}");
    report
}

/// The database as it is after it was saved and opened again: the rows are there, the log is not.
fn reopened(original: &Database, wall: &Arc<ManualClock>) -> Database {
    let db = database(wall);
    for from in original.collections() {
        let to = db.create_collection((*from.schema()).clone()).unwrap();
        db.load(&to, &records(original, &from)).unwrap();
    }
    db.resume_at(original.seq()).unwrap();
    db
}

fn restarted(server: &SyncServer, wall: &Arc<ManualClock>) -> SyncServer {
    server.account_for_direct_writes().unwrap();
    SyncServer::with(reopened(server.database(), wall), options()).unwrap()
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

fn account(db: &Database, id: i64) -> Option<Record> {
    db.collection("accounts").unwrap().get(id)
}

/// A transfer, a new account, a rejected mutation and one that meets a conflict, all waiting to be sent.
fn with_edits(server: &SyncServer, wall: &Arc<ManualClock>) -> SyncDb {
    let a = replica("a", wall);
    sync(&a, server);
    wall.advance(Duration::from_millis(5));
    a.transaction(|tx| {
        let accounts = a.collection("accounts")?;
        tx.increment(&accounts, 0, "balance", -30)?;
        tx.increment(&accounts, 1, "balance", 30)
    })
    .unwrap();
    a.insert("accounts", row! { "id": 9, "balance": 5 })
        .unwrap();
    a.update("accounts", 2, row! { "iban": "iban 3" }).unwrap();
    wall.advance(Duration::from_millis(5));
    let b = replica("b", wall);
    sync(&b, server);
    b.update("accounts", 3, row! { "name": "by b" }).unwrap();
    sync(&b, server);
    wall.advance(Duration::from_millis(5));
    a.update("accounts", 3, row! { "name": "by a" }).unwrap();
    a
}

fn check_once(a: &SyncDb, server: &SyncServer, what: &str) {
    for db in [a.database(), server.database()] {
        let balance = |id: i64| account(db, id).unwrap()[2].clone();
        let balances = [0, 1, 9].map(balance);
        assert_eq!(balances, [70, 130, 5].map(Value::from), "{what}");
        let name = account(db, 3).unwrap()[1].clone();
        assert_eq!(name, Value::from("by a"), "{what}");
        assert_eq!(account(db, 2).unwrap()[3], Value::from("iban 2"), "{what}");
    }
    assert_eq!(a.rejected().unwrap().len(), 1, "{what}");
    assert_eq!(server.conflicts().unwrap().len(), 1, "{what}");
    assert_eq!(a.conflicts().unwrap().len(), 1, "{what}");
    assert_eq!(a.pending(), 0, "{what}");
}

/// R19: the answer is cut after every byte, the request repeated up to ten times, also at a server that was restarted or has
/// compacted its log, and at a replica that was restarted; every mutation takes effect once.
#[test]
fn an_answer_lost_at_any_byte_costs_nothing() {
    let wall = Arc::new(ManualClock::new(START));
    let first = served(&wall);
    let edited = with_edits(&first, &wall);
    // Both as they are before the exchange.
    let copies = || {
        let server = SyncServer::with(reopened(first.database(), &wall), options()).unwrap();
        let db = SyncDb::open(reopened(edited.database(), &wall), "a").unwrap();
        (server, db)
    };
    let length = {
        let (server, db) = copies();
        // A replica that comes to a server without a log gets a snapshot first; from then on it is an exchange.
        sync_until_pushed(&server, &db).1.len()
    };
    assert!(length > 200, "{length}");
    for cut in 0..=length {
        let (mut server, mut db) = copies();
        let (request, answer) = sync_until_pushed(&server, &db);
        assert_eq!(answer.len(), length);
        let outcomes = decode_answer(&answer, &frame_limits()).unwrap().outcomes;
        assert_eq!(outcomes.len(), 4);
        for _ in 0..cut % 10 {
            let again = server.handle(&request).unwrap();
            let again = decode_answer(&again, &frame_limits()).unwrap().outcomes;
            assert_eq!(again, outcomes, "the stored outcomes");
        }
        match cut % 3 {
            0 => server = restarted(&server, &wall),
            1 => {
                let seq = server.database().seq();
                server.database().compact_log(seq);
            }
            _ => {}
        }
        if cut % 2 == 0 {
            db = SyncDb::open(reopened(db.database(), &wall), "a").unwrap();
        } else {
            let mut session = db.session().unwrap();
            session.next_message().unwrap();
            assert!(session.receive(&answer[..cut.min(length - 1)]).is_err());
        }
        sync(&db, &server);
        server.handle(&request).unwrap();
        sync(&db, &server);
        check_once(&db, &server, &format!("cut at {cut}"));
    }
}

/// Syncs until mutations are answered; returns the request and its answer, which the replica has not got.
fn sync_until_pushed(server: &SyncServer, db: &SyncDb) -> (Vec<u8>, Vec<u8>) {
    let mut session = db.session().unwrap();
    while let Some(request) = session.next_message().unwrap() {
        let answer = server.handle(&request).unwrap();
        let read = decode_answer(&answer, &frame_limits()).unwrap();
        if !read.outcomes.is_empty() {
            return (request, answer);
        }
        session.receive(&answer).unwrap();
    }
    panic!("nothing was pushed");
}

fn request_of(db: &SyncDb) -> Request {
    let bytes = db.session().unwrap().next_message().unwrap().unwrap();
    decode_request(&bytes, &frame_limits()).unwrap()
}

/// Numbers of mutations are contiguous: at a gap nothing happens, and the server says which number it expects.
#[test]
fn a_gap_is_answered_with_the_number_that_is_expected() {
    let wall = Arc::new(ManualClock::new(START));
    let server = served(&wall);
    let a = replica("a", &wall);
    sync(&a, &server);
    for id in 0..3 {
        a.increment("accounts", id, "balance", 1).unwrap();
    }
    let request = request_of(&a);
    let without_first = Request {
        mutations: request.mutations[1..].to_vec(),
        ..request.clone()
    };
    let before = server.digest().unwrap();
    let answer = server.answer(None, &without_first).unwrap();
    assert_eq!((answer.next, answer.outcomes.len()), (1, 0));
    assert_eq!(server.digest().unwrap(), before);
    // All of it, then a part of it again: the rest follows nothing and repeats nothing.
    let answer = server.answer(None, &request).unwrap();
    assert_eq!((answer.next, answer.outcomes.len()), (4, 3));
    let after = server.digest().unwrap();
    let again = server.answer(None, &without_first).unwrap();
    assert_eq!((again.next, again.outcomes.len()), (4, 2));
    assert_eq!(server.digest().unwrap(), after);
    sync(&a, &server);
}

/// T3: both sides compact between any two exchanges; the conflict still comes out, on both.
#[test]
fn t3_a_conflict_is_surfaced_although_both_sides_compact() {
    for compacting in 0..8 {
        let wall = Arc::new(ManualClock::new(START));
        let server = served(&wall);
        let (a, b) = (replica("a", &wall), replica("b", &wall));
        let mut exchange = 0;
        let mut step = |db: &SyncDb| {
            let mut session = db.session().unwrap();
            while let Some(request) = session.next_message().unwrap() {
                if exchange == compacting {
                    for db in [server.database(), a.database(), b.database()] {
                        db.compact_log(db.seq());
                    }
                }
                exchange += 1;
                session.receive(&server.handle(&request).unwrap()).unwrap();
            }
            assert!(session.report().converged && !session.report().repaired);
        };
        step(&a);
        step(&b);
        a.update("accounts", 0, row! { "name": "by a" }).unwrap();
        wall.advance(Duration::from_secs(1));
        b.update("accounts", 0, row! { "name": "by b" }).unwrap();
        for db in [&a, &b, &a] {
            step(db);
        }
        for db in [&a, &b] {
            let entry = &db.conflicts().unwrap()[0];
            assert_eq!(entry.winner, Side::Client, "compacted before {compacting}");
            let name = account(db.database(), 0).unwrap()[1].clone();
            assert_eq!(name, Value::from("by b"));
        }
    }
}

/// T10: transfers move money between rows; nobody ever sees a sum that is not the whole, here or at the server, and each
/// replica sees its own transfers at once.
#[test]
fn t10_a_transaction_is_seen_whole_or_not_at_all() {
    let wall = Arc::new(ManualClock::new(START));
    let server = served(&wall);
    let broken = Arc::new(AtomicBool::new(false));
    let watch = |db: &Database| {
        let (watched, broken) = (db.clone(), Arc::clone(&broken));
        db.add_listener(Arc::new(move |_| {
            let Ok(accounts) = watched.collection("accounts") else {
                return;
            };
            let rows = records(&watched, &accounts);
            let balances = rows.iter().map(|row| row[2].as_int().unwrap());
            let sum: i64 = balances.sum();
            if !rows.is_empty() && sum != 100 * ACCOUNTS {
                broken.store(true, Ordering::Relaxed);
            }
        }));
    };
    let replicas = ["a", "b", "c"].map(|name| replica(name, &wall));
    for db in &replicas {
        watch(db.database());
    }
    watch(server.database());
    let random = SeededRng::new(3);
    let below = |bound: i64| i64::try_from(random.next_u64() % bound.cast_unsigned()).unwrap();
    for db in &replicas {
        sync(db, &server);
    }
    for _ in 0..60 {
        wall.advance(Duration::from_millis(1));
        let db = &replicas[usize::try_from(below(3)).unwrap()];
        if below(3) == 0 {
            sync(db, &server);
            continue;
        }
        let (from, to, by) = (below(ACCOUNTS), below(ACCOUNTS), below(50));
        let accounts = db.collection("accounts").unwrap();
        let before = accounts.get(to).unwrap()[2].as_int().unwrap();
        db.transaction(|tx| {
            tx.increment(&accounts, from, "balance", -by)?;
            tx.increment(&accounts, to, "balance", by)
        })
        .unwrap();
        let own = if from == to { before } else { before + by };
        assert_eq!(accounts.get(to).unwrap()[2], Value::from(own));
        assert!(!broken.load(Ordering::Relaxed));
    }
    for _ in 0..2 {
        for db in &replicas {
            sync(db, &server);
        }
    }
    assert!(!broken.load(Ordering::Relaxed));
    assert!(server.conflicts().unwrap().is_empty());
}

/// T14: rows that were made and deleted, also between two syncs and again, never come back on a fresh install.
#[test]
fn t14_what_was_deleted_does_not_come_back_on_a_fresh_install() {
    for seed in 0..20 {
        let wall = Arc::new(ManualClock::new(START));
        let server = served(&wall);
        let (a, b) = (replica("a", &wall), replica("b", &wall));
        let random = SeededRng::new(seed);
        let below = |bound: i64| i64::try_from(random.next_u64() % bound.cast_unsigned()).unwrap();
        sync(&a, &server);
        sync(&b, &server);
        for round in 0..40 {
            wall.advance(Duration::from_millis(1));
            let db = [&a, &b][usize::try_from(below(2)).unwrap()];
            let id = 20 + below(5);
            match below(4) {
                0 => drop(
                    db.upsert("accounts", row! { "id": id, "name": "made" })
                        .unwrap(),
                ),
                1 if account(db.database(), id).is_some() => {
                    db.delete("accounts", id).unwrap();
                }
                // Made and deleted before anybody was told.
                2 => {
                    let id = 100 + round;
                    db.insert("accounts", row! { "id": id }).unwrap();
                    db.delete("accounts", id).unwrap();
                }
                _ => drop(sync(db, &server)),
            }
        }
        for db in [&a, &b, &a] {
            sync(db, &server);
        }
        let fresh = replica("fresh", &wall);
        sync(&fresh, &server);
        let ids = |db: &Database| {
            let accounts = db.collection("accounts").unwrap();
            let rows = records(db, &accounts);
            let mut ids: Vec<i64> = rows.iter().map(|row| row[0].as_int().unwrap()).collect();
            ids.sort_unstable();
            ids
        };
        let at_server = ids(server.database());
        assert!(at_server.iter().all(|id| *id < 100), "seed {seed}");
        for db in [&a, &b, &fresh] {
            assert_eq!(ids(db.database()), at_server, "seed {seed}");
        }
    }
}

/// T15: ten thousand rows within one millisecond, and a clock that is set back in between: what travels is told by commits,
/// not by time.
#[test]
fn t15_rows_of_one_millisecond_and_a_clock_set_back_are_not_missed() {
    let wall = Arc::new(ManualClock::new(START));
    let server = served(&wall);
    let (a, b) = (replica("a", &wall), replica("b", &wall));
    sync(&a, &server);
    sync(&b, &server);
    for part in 0..10 {
        a.transaction(|tx| {
            let accounts = a.collection("accounts")?;
            for id in 0..1_000 {
                tx.insert(&accounts, row! { "id": 1_000 + part * 1_000 + id })?;
            }
            Ok(())
        })
        .unwrap();
        if part == 4 {
            sync(&a, &server);
            wall.set(START - 1_000_000);
        }
    }
    let up = sync(&a, &server);
    assert_eq!(up.rows_sent, 5_000);
    // More than one answer holds.
    let down = sync(&b, &server);
    assert_eq!(down.rows_received, 10_000, "none missed, none again");
    assert_eq!(b.collection("accounts").unwrap().len(), 10_004);
}

/// T16: an edit at every point between the steps of a sync is neither lost nor in the way.
#[test]
fn t16_an_edit_at_any_point_of_a_sync_is_kept_and_sent() {
    for at in 0..7 {
        let wall = Arc::new(ManualClock::new(START));
        let server = served(&wall);
        let (a, b) = (replica("a", &wall), replica("b", &wall));
        sync(&b, &server);
        b.increment("accounts", 0, "balance", 7).unwrap();
        b.update("accounts", 1, row! { "name": "by b" }).unwrap();
        sync(&b, &server);
        let mut point = 0;
        let mut edits = 0;
        let mut maybe_edit = |db: &SyncDb| {
            let there = account_or_none(db, 0).is_some();
            if point >= at && edits == 0 && there {
                edits += 1;
                edit(db, &wall);
            }
            point += 1;
        };
        maybe_edit(&a);
        let mut session = a.session().unwrap();
        while let Some(request) = session.next_message().unwrap() {
            maybe_edit(&a);
            let answer = server.handle(&request).unwrap();
            maybe_edit(&a);
            session.receive(&answer).unwrap();
            maybe_edit(&a);
        }
        drop(session);
        if edits == 0 {
            edit(&a, &wall);
        }
        sync(&a, &server);
        sync(&b, &server);
        for db in [a.database(), b.database(), server.database()] {
            let row = account(db, 0).unwrap();
            assert_eq!(row[2], Value::from(108), "point {at} of {point}");
            assert_eq!(
                account(db, 1).unwrap()[1],
                Value::from("by a"),
                "point {at}"
            );
            assert!(account(db, 50).is_some(), "point {at}");
        }
        assert_eq!(a.pending(), 0);
    }
}

fn account_or_none(db: &SyncDb, id: i64) -> Option<Record> {
    db.collection("accounts").ok()?.get(id)
}

fn edit(db: &SyncDb, wall: &Arc<ManualClock>) {
    wall.advance(Duration::from_secs(1));
    db.increment("accounts", 0, "balance", 1).unwrap();
    db.update("accounts", 1, row! { "name": "by a" }).unwrap();
    db.insert("accounts", row! { "id": 50, "name": "by a" })
        .unwrap();
}

/// T21: after any error, on either side, the next sync works.
#[test]
fn t21_after_any_error_both_sides_go_on() {
    let wall = Arc::new(ManualClock::new(START));
    let server = served(&wall);
    let a = with_edits(&server, &wall);
    let (request, answer) = sync_until_pushed(&server, &a);
    for at in 0..request.len().max(answer.len()) {
        if let Some(byte) = request.get(at) {
            let mut damaged = request.clone();
            damaged[at] = byte.wrapping_add(1);
            assert!(server.handle(&damaged).is_err(), "request, byte {at}");
        }
        if let Some(byte) = answer.get(at) {
            let mut damaged = answer.clone();
            damaged[at] = byte.wrapping_add(1);
            let mut session = a.session().unwrap();
            session.next_message().unwrap();
            assert!(session.receive(&damaged).is_err(), "answer, byte {at}");
        }
    }
    // Well-formed, and nonsense: operations on tables and columns that are none, on the server's own tables.
    let mut nonsense = request_of(&a);
    nonsense.replica = "stranger".into();
    for mutation in &mut nonsense.mutations {
        for op in &mut mutation.ops {
            op.table = "sync_outcomes".into();
        }
    }
    let frame = encode_request(&nonsense).unwrap();
    let answered = server.handle(&frame).unwrap();
    let answered = decode_answer(&answered, &frame_limits()).unwrap();
    let rejected = |(_, outcome): &(u64, Outcome)| matches!(outcome, Outcome::Rejected(_));
    assert!(answered.outcomes.iter().all(rejected), "{answered:?}");
    sync(&a, &server);
    check_once(&a, &server, "after all that");
}

/// Clocks that are off, ahead or behind, by seconds or by a day: the write that was made later stands, stamps at the server are
/// never further ahead than two minutes, and nothing is dropped.
#[test]
fn a_wrong_clock_neither_wins_nor_loses_by_being_wrong() {
    let day = 86_400_i64;
    for off in [day, -day, 3_600, -3_600, 180, -180, 60, 0] {
        let wall = Arc::new(ManualClock::new(START));
        let wrong = Arc::new(ManualClock::new(START + off * 1_000_000));
        let server = served(&wall);
        let (a, b) = (replica("a", &wrong), replica("b", &wall));
        let pass = |seconds: u64| {
            for clock in [&wall, &wrong] {
                clock.advance(Duration::from_secs(seconds));
            }
        };
        sync(&a, &server);
        sync(&b, &server);
        a.update("accounts", 0, row! { "name": "earlier, by a" })
            .unwrap();
        b.update("accounts", 1, row! { "name": "earlier, by b" })
            .unwrap();
        pass(90);
        b.update("accounts", 0, row! { "name": "later, by b" })
            .unwrap();
        a.update("accounts", 1, row! { "name": "later, by a" })
            .unwrap();
        pass(1);
        sync(&b, &server);
        sync(&a, &server);
        sync(&b, &server);
        for db in [a.database(), b.database(), server.database()] {
            let name = |id: i64| account(db, id).unwrap()[1].clone();
            assert_eq!(name(0), Value::from("later, by b"), "off by {off} s");
            assert_eq!(name(1), Value::from("later, by a"), "off by {off} s");
        }
        let latest = Hlc::new(wall.now() / 1_000 + 120_000, u16::MAX);
        for entry in server.conflicts().unwrap() {
            assert!(entry.client_stamp <= latest, "off by {off} s: {entry:?}");
            assert!(entry.server_stamp <= latest, "off by {off} s: {entry:?}");
        }
        assert_eq!(server.conflicts().unwrap().len(), 2);
        assert!(server.database().seq() > Seq::ZERO);
    }
}
