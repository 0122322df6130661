//! What a replica and a server do together, one case at a time.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::time::Duration;

use common::database::DatabaseOptions;
use common::schema::{Field, FieldType, IndexSpec, Reference, ReferenceAction, Schema};
use common::utils::time::{Clock, ManualClock, SystemClock};
use common::{Database, ErrorKind, Value, row};
use syncdb::power::SyncBudget;
use syncdb::{Rule, Side, Strategy, SyncDb, SyncReport, SyncServer, SyncServerOptions};

fn notes_schema() -> Schema {
    Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("title", FieldType::Text))
        .field(Field::new("stars", FieldType::Int).default_value(0))
        .finish()
        .unwrap()
}

/// A replica whose clock stands still until it is moved.
fn replica_at(name: &str, wall: &Arc<ManualClock>) -> SyncDb {
    let options = DatabaseOptions {
        clock: Arc::clone(wall) as Arc<dyn Clock>,
        ..DatabaseOptions::default()
    };
    SyncDb::open(Database::with(options), name).unwrap()
}

fn server_of(rows: i64, options: SyncServerOptions) -> SyncServer {
    let db = Database::new();
    let notes = db.create_collection(notes_schema()).unwrap();
    for id in 1..=rows {
        notes
            .insert(row! { "id": id, "title": format!("note {id}"), "stars": 0 })
            .unwrap();
    }
    SyncServer::with(db, options).unwrap()
}

fn sync(db: &SyncDb, server: &SyncServer) -> SyncReport {
    let report = db
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    assert!(report.converged, "{report:?}");
    assert!(!report.repaired, "{report:?}");
    assert_eq!(report.digest_local, report.digest_server);
    report
}

#[test]
fn a_session_may_be_left_between_messages_and_reports_add_up() {
    let both = |left_after: u32| {
        let server = server_of(2_000, SyncServerOptions::default());
        let phone = SyncDb::client("phone").unwrap();
        sync(&phone, &server);
        for id in 3_000..3_400 {
            phone
                .insert("notes", row! { "id": id, "title": "mine", "stars": 1 })
                .unwrap();
        }
        server
            .database()
            .collection("notes")
            .unwrap()
            .update(5, row! { "title": "theirs" })
            .unwrap();
        let budget = SyncBudget::default().mutations_max(100);
        let mut report = SyncReport::default();
        for exchanges in [left_after, u32::MAX] {
            let mut session = phone.session_with(&budget).unwrap();
            while session.report().round_trips < exchanges
                && let Some(request) = session.next_message().unwrap()
            {
                session.receive(&server.handle(&request).unwrap()).unwrap();
            }
            assert_eq!(session.is_over(), exchanges == u32::MAX);
            report = report.and(session.into_report());
        }
        assert!(report.converged && !report.repaired, "{report:?}");
        (
            report.rows_sent,
            report.rows_received,
            report.round_trips,
            report.outcomes,
            report.digest_server,
        )
    };
    let whole = both(0);
    assert_eq!((whole.0, whole.1), (400, 1));
    for left_after in 1..4 {
        assert_eq!(both(left_after), whole, "left after {left_after}");
    }
}

fn cell(db: &SyncDb, id: i64, column: usize) -> Option<Value> {
    db.collection("notes")
        .unwrap()
        .get(id)
        .map(|record| record[column].clone())
}

#[test]
fn a_new_replica_gets_everything_and_an_idle_one_nothing() {
    let server = server_of(3_000, SyncServerOptions::default());
    let a = SyncDb::client("a").unwrap();
    let first = sync(&a, &server);
    assert_eq!(first.rows_received, 3_000);
    let idle = sync(&a, &server);
    assert_eq!(
        (idle.rows_received, idle.rows_sent, idle.round_trips),
        (0, 0, 1)
    );
    assert!(idle.bytes_up + idle.bytes_down < 300, "{idle:?}");
}

#[test]
fn edits_travel_both_ways_in_one_round_trip() {
    let server = server_of(10, SyncServerOptions::default());
    let (a, b) = (SyncDb::client("a").unwrap(), SyncDb::client("b").unwrap());
    sync(&a, &server);
    sync(&b, &server);
    a.update("notes", 1, row! { "title": "by a" }).unwrap();
    b.update("notes", 2, row! { "stars": 5 }).unwrap();
    b.insert("notes", row! { "id": 11, "title": "new" })
        .unwrap();
    b.delete("notes", 3).unwrap();
    let report = sync(&b, &server);
    assert_eq!(
        (report.rows_sent, report.rows_received, report.round_trips),
        (3, 0, 1)
    );
    let report = sync(&a, &server);
    assert_eq!(
        (report.rows_sent, report.rows_received, report.round_trips),
        (1, 3, 1)
    );
    sync(&b, &server);
    for db in [&a, &b] {
        assert_eq!(cell(db, 1, 1), Some(Value::from("by a")));
        assert_eq!(cell(db, 2, 2), Some(Value::from(5)));
        assert_eq!(cell(db, 11, 1), Some(Value::from("new")));
        assert_eq!(cell(db, 3, 1), None);
    }
    assert_eq!(server.status().conflicts, 0);
}

#[test]
fn different_columns_of_a_row_do_not_conflict() {
    let server = server_of(1, SyncServerOptions::default());
    let (a, b) = (SyncDb::client("a").unwrap(), SyncDb::client("b").unwrap());
    sync(&a, &server);
    sync(&b, &server);
    a.update("notes", 1, row! { "title": "by a" }).unwrap();
    b.update("notes", 1, row! { "stars": 9 }).unwrap();
    sync(&a, &server);
    assert!(sync(&b, &server).conflicts.is_empty());
    sync(&a, &server);
    for db in [&a, &b] {
        assert_eq!(cell(db, 1, 1), Some(Value::from("by a")));
        assert_eq!(cell(db, 1, 2), Some(Value::from(9)));
    }
}

#[test]
fn the_later_write_of_a_column_wins_and_the_conflict_is_told_once() {
    let server = server_of(1, SyncServerOptions::default());
    let wall = Arc::new(ManualClock::new(SystemClock.now()));
    let (a, b) = (replica_at("a", &wall), replica_at("b", &wall));
    sync(&a, &server);
    sync(&b, &server);
    wall.advance(Duration::from_secs(1));
    b.update("notes", 1, row! { "title": "earlier" }).unwrap();
    wall.advance(Duration::from_secs(1));
    a.update("notes", 1, row! { "title": "later" }).unwrap();
    assert!(sync(&a, &server).conflicts.is_empty());
    let report = sync(&b, &server);
    let [entry] = report.conflicts.as_slice() else {
        panic!("{report:?}");
    };
    assert_eq!(entry.rule, Rule::LastWriteWins);
    assert_eq!(entry.winner, Side::Server);
    assert_eq!(entry.base, Some(Value::from("note 1")));
    assert_eq!(entry.server, Value::from("later"));
    assert_eq!(entry.client, Value::from("earlier"));
    assert_eq!(entry.column.as_deref(), Some("title"));
    assert_eq!(
        (entry.replica.to_string(), entry.server_replica.to_string()),
        ("b".into(), "a".into())
    );
    assert!(sync(&b, &server).conflicts.is_empty());
    assert!(sync(&a, &server).conflicts.is_empty());
    assert_eq!(server.conflicts().unwrap(), std::slice::from_ref(entry));
    assert_eq!(b.conflicts().unwrap(), std::slice::from_ref(entry));
    // The other one whose value met it is told, too.
    assert_eq!(a.conflicts().unwrap(), std::slice::from_ref(entry));
    for db in [&a, &b] {
        assert_eq!(cell(db, 1, 1), Some(Value::from("later")));
    }
}

#[test]
fn strategies_are_by_table() {
    for (strategy, winner, title) in [
        (Strategy::ServerWins, Side::Server, "first"),
        (Strategy::ClientWins, Side::Client, "second"),
    ] {
        let server = server_of(
            1,
            SyncServerOptions::default().strategy("notes", strategy.clone()),
        );
        let (a, b) = (SyncDb::client("a").unwrap(), SyncDb::client("b").unwrap());
        sync(&a, &server);
        sync(&b, &server);
        // The stamps say the opposite of each strategy.
        let (first, second) = if winner == Side::Server {
            (&a, &b)
        } else {
            (&b, &a)
        };
        a.update(
            "notes",
            1,
            row! { "title": if winner == Side::Server { "first" } else { "second" } },
        )
        .unwrap();
        b.update(
            "notes",
            1,
            row! { "title": if winner == Side::Server { "second" } else { "first" } },
        )
        .unwrap();
        sync(first, &server);
        let report = sync(second, &server);
        assert_eq!(report.conflicts.len(), 1);
        assert_eq!(report.conflicts[0].winner, winner);
        sync(first, &server);
        for db in [&a, &b] {
            assert_eq!(cell(db, 1, 1), Some(Value::from(title)), "{strategy:?}");
        }
    }
}

#[test]
fn a_deletion_wins_over_an_update_from_either_side() {
    let server = server_of(2, SyncServerOptions::default());
    let (a, b) = (SyncDb::client("a").unwrap(), SyncDb::client("b").unwrap());
    sync(&a, &server);
    sync(&b, &server);
    a.delete("notes", 1).unwrap();
    a.update("notes", 2, row! { "title": "kept?" }).unwrap();
    b.update("notes", 1, row! { "title": "kept?" }).unwrap();
    b.delete("notes", 2).unwrap();
    sync(&a, &server);
    let report = sync(&b, &server);
    let mut winners: Vec<_> = report
        .conflicts
        .iter()
        .map(|entry| (entry.key.to_string(), entry.rule.clone(), entry.winner))
        .collect();
    winners.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        winners,
        [
            ("1".to_owned(), Rule::DeleteWins, Side::Server),
            ("2".to_owned(), Rule::DeleteWins, Side::Client)
        ]
    );
    sync(&a, &server);
    for db in [&a, &b] {
        assert!(db.collection("notes").unwrap().is_empty());
    }
}

#[test]
fn what_the_server_writes_itself_arrives_and_conflicts_too() {
    let server = server_of(2, SyncServerOptions::default());
    let wall = Arc::new(ManualClock::new(SystemClock.now()));
    let a = replica_at("a", &wall);
    sync(&a, &server);
    let notes = server.database().collection("notes").unwrap();
    a.update("notes", 1, row! { "title": "by a" }).unwrap();
    notes.update(1, row! { "stars": 3 }).unwrap();
    notes.update(2, row! { "title": "by the server" }).unwrap();
    wall.advance(Duration::from_mins(1));
    a.update("notes", 2, row! { "title": "by a, later" })
        .unwrap();
    let report = sync(&a, &server);
    assert_eq!(report.conflicts.len(), 1, "{:?}", report.conflicts);
    assert_eq!(report.conflicts[0].winner, Side::Client);
    assert_eq!(cell(&a, 1, 1), Some(Value::from("by a")));
    assert_eq!(cell(&a, 1, 2), Some(Value::from(3)));
    assert_eq!(notes.get(2).unwrap()[1], Value::from("by a, later"));
}

#[test]
fn a_mutation_that_does_not_fit_is_rejected_as_a_whole_and_kept_aside() {
    let db = Database::new();
    let people = Schema::build("people", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("email", FieldType::Text))
        .index(IndexSpec::hash(["email"]).unique())
        .finish()
        .unwrap();
    db.create_collection(people)
        .unwrap()
        .insert(row! { "id": 1, "email": "x@y" })
        .unwrap();
    let server = SyncServer::new(db).unwrap();
    let a = SyncDb::client("a").unwrap();
    sync(&a, &server);
    a.transaction(|tx| {
        let people = a.collection("people")?;
        tx.insert(&people, row! { "id": 2, "email": "x@y" })?;
        tx.update(&people, 1, row! { "email": "x@y " })?;
        tx.insert(&people, row! { "id": 3, "email": "x@y " })
    })
    .unwrap();
    a.insert("people", row! { "id": 4, "email": "z@y" })
        .unwrap();
    let report = sync(&a, &server);
    assert_eq!(report.outcomes.get("rejected"), Some(&1));
    assert_eq!(report.outcomes.get("applied"), Some(&1));
    let people = a.collection("people").unwrap();
    assert_eq!(people.len(), 2);
    assert_eq!(people.get(1).unwrap()[1], Value::from("x@y"));
    let [rejected] = &a.rejected().unwrap()[..] else {
        panic!("one rejected mutation");
    };
    assert_eq!(rejected.code, "conflict");
    assert_eq!(rejected.ops.len(), 3);
}

#[test]
fn rows_that_follow_a_reference_come_back() {
    let db = Database::new();
    let parent = Schema::build("parent", ["id"]).field(Field::new("id", FieldType::Int));
    db.create_collection(parent.finish().unwrap()).unwrap();
    let mut child = Schema::build("child", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("of", FieldType::Int))
        .finish()
        .unwrap();
    child.references.push(Reference {
        columns: vec!["of".into()],
        table: "parent".into(),
        on_delete: ReferenceAction::Cascade,
    });
    db.create_collection(child).unwrap();
    let server = SyncServer::new(db).unwrap();
    let a = SyncDb::client("a").unwrap();
    sync(&a, &server);
    a.insert("parent", row! { "id": 1 }).unwrap();
    a.insert("child", row! { "id": 1, "of": 1 }).unwrap();
    sync(&a, &server);
    a.delete("parent", 1).unwrap();
    assert_eq!(
        a.collection("child").unwrap().len(),
        1,
        "references are the server's"
    );
    sync(&a, &server);
    assert!(a.collection("child").unwrap().is_empty());
    a.insert("child", row! { "id": 2, "of": 7 }).unwrap();
    assert_eq!(sync(&a, &server).outcomes.get("rejected"), Some(&1));
    assert!(a.collection("child").unwrap().is_empty());
}

#[test]
fn repeated_edits_of_a_column_are_sent_once() {
    let server = server_of(2, SyncServerOptions::default());
    let a = SyncDb::client("a").unwrap();
    sync(&a, &server);
    for stars in 1..100 {
        a.update("notes", 1, row! { "stars": stars }).unwrap();
    }
    a.update("notes", 2, row! { "stars": 1, "title": "t" })
        .unwrap();
    a.update("notes", 2, row! { "stars": 2 }).unwrap();
    assert_eq!(a.pending(), 3);
    let report = sync(&a, &server);
    assert_eq!(report.rows_sent, 3);
    let notes = server.database().collection("notes").unwrap();
    assert_eq!(notes.get(1).unwrap()[2], Value::from(99));
    assert_eq!(
        notes.get(2).unwrap().values()[1..],
        [Value::from("t"), Value::from(2)]
    );
}

#[test]
fn a_pruned_log_means_a_snapshot_and_unsent_edits_stay() {
    let server = server_of(50, SyncServerOptions::default());
    let a = SyncDb::client("a").unwrap();
    sync(&a, &server);
    a.update("notes", 1, row! { "title": "unsent" }).unwrap();
    a.insert("notes", row! { "id": 100, "title": "unsent too" })
        .unwrap();
    a.delete("notes", 5).unwrap();
    let notes = server.database().collection("notes").unwrap();
    notes.delete(2).unwrap();
    notes.update(1, row! { "stars": 4 }).unwrap();
    server.account_for_direct_writes().unwrap();
    let report = {
        let server = reopened(&server);
        let report = a
            .sync(&mut |request: &[u8]| server.handle(request))
            .unwrap();
        let notes = server.database().collection("notes").unwrap();
        assert_eq!(
            notes.get(1).unwrap().values()[1..],
            [Value::from("unsent"), Value::from(4)]
        );
        assert!(notes.get(100).is_some());
        assert!(notes.get(5).is_none());
        report
    };
    assert!(report.converged);
    assert!(report.conflicts.is_empty(), "{report:?}");
    assert_eq!(cell(&a, 2, 1), None);
    assert_eq!(cell(&a, 1, 1), Some(Value::from("unsent")));
    assert_eq!(cell(&a, 1, 2), Some(Value::from(4)));
    assert_eq!(a.pending(), 0);
}

#[test]
fn a_number_used_again_for_another_mutation_gets_no_stored_outcome() {
    let server = server_of(3, SyncServerOptions::default());
    let a = SyncDb::client("a").unwrap();
    sync(&a, &server);
    let copy = SyncDb::open(copied(a.database()), "a").unwrap();
    a.update("notes", 1, row! { "title": "first" }).unwrap();
    sync(&a, &server);
    // The same replica, set back to a copy from before that edit, numbers its next edit like that one.
    copy.update("notes", 2, row! { "title": "second" }).unwrap();
    let report = sync(&copy, &server);
    assert_eq!(report.outcomes.get("applied"), Some(&1));
    let notes = server.database().collection("notes").unwrap();
    assert_eq!(notes.get(1).unwrap()[1], Value::from("first"));
    assert_eq!(notes.get(2).unwrap()[1], Value::from("second"));
}

/// The server as it is after its database was saved and opened again: the rows are there, the log is not.
fn reopened(server: &SyncServer) -> SyncServer {
    SyncServer::new(copied(server.database())).unwrap()
}

fn copied(original: &Database) -> Database {
    let db = Database::new();
    for from in original.collections() {
        let to = db.create_collection((*from.schema()).clone()).unwrap();
        let mut records = Vec::new();
        original
            .snapshot()
            .view()
            .scan(&from, &mut |chunk| {
                records.extend_from_slice(chunk);
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        db.load(&to, &records).unwrap();
    }
    db
}

#[test]
fn another_server_is_taken_in_without_losing_edits() {
    let one = server_of(3, SyncServerOptions::default());
    let a = SyncDb::client("a").unwrap();
    sync(&a, &one);
    a.update("notes", 1, row! { "title": "sent" }).unwrap();
    sync(&a, &one);
    // Made first: the later write wins.
    let two = server_of(2, SyncServerOptions::default());
    a.update("notes", 2, row! { "title": "unsent" }).unwrap();
    let report = a.sync(&mut |request: &[u8]| two.handle(request)).unwrap();
    assert!(report.converged, "{report:?}");
    assert_eq!(cell(&a, 1, 1), Some(Value::from("note 1")));
    assert_eq!(cell(&a, 2, 1), Some(Value::from("unsent")));
    assert_eq!(cell(&a, 3, 1), None);
}

#[test]
fn rows_damaged_at_a_replica_are_repaired() {
    let server = server_of(20, SyncServerOptions::default());
    let a = SyncDb::client("a").unwrap();
    sync(&a, &server);
    let notes = a.collection("notes").unwrap();
    notes.update(7, row! { "title": "past the queue" }).unwrap();
    notes.delete(8).unwrap();
    let report = a
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    assert!(report.converged && report.repaired, "{report:?}");
    assert_eq!(cell(&a, 7, 1), Some(Value::from("note 7")));
    assert!(notes.get(8).is_some());
}

#[test]
fn a_replica_set_back_to_an_old_copy_loses_no_new_edit() {
    let server = server_of(3, SyncServerOptions::default());
    let a = SyncDb::client("a").unwrap();
    sync(&a, &server);
    for stars in 1..=3 {
        a.update("notes", stars, row! { "stars": stars }).unwrap();
        sync(&a, &server);
    }
    // A new process under the old name, which knows nothing of the mutations sent before.
    let again = SyncDb::client("a").unwrap();
    sync(&again, &server);
    again
        .update("notes", 1, row! { "title": "after the loss" })
        .unwrap();
    let report = sync(&again, &server);
    assert_eq!(report.outcomes.get("applied"), Some(&1));
    let notes = server.database().collection("notes").unwrap();
    assert_eq!(notes.get(1).unwrap()[1], Value::from("after the loss"));
}

#[test]
fn a_table_made_later_appears() {
    let server = server_of(1, SyncServerOptions::default());
    let a = SyncDb::client("a").unwrap();
    sync(&a, &server);
    let tags = Schema::build("tags", ["name"]).field(Field::new("name", FieldType::Text));
    let tags = server
        .database()
        .create_collection(tags.finish().unwrap())
        .unwrap();
    tags.insert(row! { "name": "red" }).unwrap();
    sync(&a, &server);
    assert!(a.collection("tags").unwrap().get("red").is_some());
    server.database().drop_collection("tags").unwrap();
    sync(&a, &server);
    assert_eq!(
        a.collection("tags").unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn a_table_kept_apart_comes_to_no_replica_and_takes_nothing_from_one() {
    let server = server_of(2, SyncServerOptions::default());
    let models = Schema::build("models", ["id"]).field(Field::new("id", FieldType::Int));
    let models = server
        .database()
        .create_collection(models.finish().unwrap())
        .unwrap();
    models.insert(row! { "id": 1 }).unwrap();
    let early = SyncDb::client("early").unwrap();
    sync(&early, &server);
    assert_eq!(early.collection("models").unwrap().len(), 1);
    syncdb::keep_apart(server.database(), "models", true).unwrap();
    models.insert(row! { "id": 2 }).unwrap();
    assert_eq!(server.status().tables.len(), 1);

    let late = SyncDb::client("late").unwrap();
    sync(&late, &server);
    assert!(late.collection("models").is_err());
    // Who had it before writes to it in vain.
    early.insert("models", row! { "id": 3 }).unwrap();
    early.update("notes", 1, row! { "stars": 5 }).unwrap();
    let report = sync(&early, &server);
    assert_eq!(report.outcomes.get("rejected"), Some(&1));
    assert_eq!((models.len(), cell(&early, 1, 2)), (2, Some(5.into())));

    syncdb::keep_apart(server.database(), "models", false).unwrap();
    sync(&late, &server);
    assert_eq!(late.collection("models").unwrap().len(), 2);
}
