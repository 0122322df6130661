//! What the simulation found with replicas of a part of the rows and with merged columns, each as the smallest story that
//! shows it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::query::Filter;
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::{Database, Record, Value, row};
use syncdb::{
    Permission, Permissions, Policy, SetBias, Strategy, Subscription, SyncDb, SyncReport,
    SyncServer, SyncServerOptions,
};

/// A server with tasks in places 0 to 4, and a table of notes.
fn served() -> SyncServer {
    let db = Database::new();
    let tags = FieldType::List(Box::new(FieldType::Text));
    let tasks = Schema::build("tasks", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("place", FieldType::Int))
        .field(Field::new("text", FieldType::Text).default_value("here"))
        .field(Field::new("tags", tags).default_value(Vec::<Value>::new()))
        .field(Field::new("bits", FieldType::Int).default_value(-1));
    let tasks = db.create_collection(tasks.finish().unwrap()).unwrap();
    for id in 0..5 {
        tasks.insert(row! { "id": id, "place": id }).unwrap();
    }
    let notes = Schema::build("notes", ["id"]).field(Field::new("id", FieldType::Int));
    let notes = db.create_collection(notes.finish().unwrap()).unwrap();
    notes.insert(row! { "id": 0 }).unwrap();
    SyncServer::with(db, options()).unwrap()
}

fn options() -> SyncServerOptions {
    let policy = Policy::default()
        .column("tags", Strategy::Set(SetBias::AddWins))
        .column("bits", Strategy::Custom("both".into()));
    let options = SyncServerOptions::default().policy("tasks", policy);
    options.merge_function("both", |meeting| {
        let [a, b] = [meeting.server, meeting.client].map(|value| value.as_int().unwrap());
        Ok(Value::Int(a & b))
    })
}

fn sync(db: &SyncDb, server: &SyncServer) -> SyncReport {
    let report = db.sync(&mut |request: &[u8]| server.handle(request));
    let report = report.unwrap();
    assert!(report.converged && !report.repaired, "{report:?}");
    report
}

fn client(name: &str, server: &SyncServer) -> SyncDb {
    let db = SyncDb::client(name).unwrap();
    sync(&db, server);
    db
}

fn places(name: &str, places: &[i64]) -> Subscription {
    let filter = Filter::is_in("place", places.iter().copied());
    Subscription::new(name, "tasks").filter(filter)
}

fn task(db: &Database, id: i64) -> Option<Record> {
    db.collection("tasks").unwrap().get(id)
}

/// A client that keeps the notes, and the tasks of two places.
fn near(server: &SyncServer) -> SyncDb {
    let phone = SyncDb::client("phone").unwrap();
    phone
        .subscribe(&Subscription::new("notes", "notes"))
        .unwrap();
    phone.subscribe(&places("near", &[0, 1])).unwrap();
    sync(&phone, server);
    phone
}

#[test]
fn a_set_that_was_written_as_a_list_in_no_order_is_the_same_on_both_sides() {
    let server = served();
    let phone = client("phone", &server);
    let list = ["b", "a", "b"].map(Value::from).to_vec();
    phone
        .update("tasks", 0, row! { "tags": list.clone() })
        .unwrap();
    phone
        .insert("tasks", row! { "id": 9, "place": 9, "tags": list })
        .unwrap();
    sync(&phone, &server);
    for id in [0, 9] {
        let [here, there] = [phone.database(), server.database()].map(|db| task(db, id).unwrap());
        assert_eq!(here[3], Value::from(["a", "b"].map(Value::from).to_vec()));
        assert_eq!(here[3], there[3]);
    }
}

#[test]
fn what_was_made_of_two_values_is_not_overwritten_by_who_has_not_seen_it() {
    let server = served();
    let [anna, ben] = ["anna", "ben"].map(|name| client(name, &server));
    ben.update("tasks", 0, row! { "bits": -2 }).unwrap();
    sync(&ben, &server);
    // Two edits of anna's, of which the first meets ben's.
    anna.update("tasks", 0, row! { "bits": -3 }).unwrap();
    anna.update("tasks", 0, row! { "bits": -7 }).unwrap();
    sync(&anna, &server);
    assert_eq!(task(server.database(), 0).unwrap()[4], Value::Int(-2 & -7));
    assert_eq!(task(anna.database(), 0).unwrap()[4], Value::Int(-2 & -7));
}

#[test]
fn a_row_without_a_column_that_other_rows_have_can_be_edited() {
    let server = served();
    let phone = SyncDb::client("phone").unwrap();
    phone.subscribe(&places("all columns", &[0])).unwrap();
    phone
        .subscribe(&places("few columns", &[1]).columns(["place", "bits"]))
        .unwrap();
    sync(&phone, &server);
    assert!(task(phone.database(), 1).unwrap()[2].is_null());
    phone.update("tasks", 1, row! { "bits": 5 }).unwrap();
    assert!(
        phone
            .update("tasks", 0, row! { "text": Value::Null })
            .is_err()
    );
    sync(&phone, &server);
    let there = task(server.database(), 1).unwrap();
    assert_eq!(
        (&there[2], &there[4]),
        (&Value::from("here"), &Value::Int(5))
    );
}

#[test]
fn an_edit_of_rows_that_the_position_has_left_behind_is_a_conflict() {
    let server = served();
    let phone = near(&server);
    let ben = client("ben", &server);
    ben.update("tasks", 0, row! { "text": "of ben" }).unwrap();
    sync(&ben, &server);
    // The log does not say any more what has changed: the subscriptions come anew, one after the other.
    server.database().compact_log(server.database().seq());
    let mut session = phone.session().unwrap();
    while phone.subscriptions().unwrap()[0].cursor != Some(server.database().seq()) {
        let request = session.next_message().unwrap().unwrap();
        session.receive(&server.handle(&request).unwrap()).unwrap();
    }
    drop(session);
    assert_eq!(task(phone.database(), 0).unwrap()[2], Value::from("here"));
    phone
        .update("tasks", 0, row! { "text": "of phone" })
        .unwrap();
    sync(&phone, &server);
    let ledger = server.conflicts().unwrap();
    assert_eq!(ledger.len(), 1, "nobody who wrote one had seen the other");
    assert_eq!(ledger[0].server, Value::from("of ben"));
}

#[test]
fn what_was_made_in_a_table_of_which_nothing_is_kept_leaves() {
    let server = served();
    let phone = near(&server);
    phone.insert("tasks", row! { "id": 9, "place": 0 }).unwrap();
    phone.unsubscribe("near").unwrap();
    assert!(task(phone.database(), 9).is_some(), "it is not sent yet");
    let report = sync(&phone, &server);
    assert!(task(server.database(), 9).is_some());
    assert!(task(phone.database(), 9).is_none());
    assert_eq!(report.left, [("tasks".into(), 9.into())]);
}

#[test]
fn a_row_that_its_replica_moves_to_other_columns_gets_them() {
    let server = served();
    let phone = SyncDb::client("phone").unwrap();
    phone
        .subscribe(&places("no text", &[0]).columns(["place", "tags", "bits"]))
        .unwrap();
    phone
        .subscribe(&places("no bits", &[1]).columns(["place", "text", "tags"]))
        .unwrap();
    sync(&phone, &server);
    phone.update("tasks", 0, row! { "place": 1 }).unwrap();
    sync(&phone, &server);
    let here = task(phone.database(), 0).unwrap();
    assert_eq!((&here[2], &here[4]), (&Value::from("here"), &Value::Null));
}

/// Ben writes the text of task 0; the phone comes past that without seeing it, and writes there too.
fn write_unseen(server: &SyncServer, phone: &SyncDb) {
    let ben = client("ben", server);
    ben.update("tasks", 0, row! { "text": "of ben" }).unwrap();
    sync(&ben, server);
    sync(phone, server);
    let here = task(phone.database(), 0).unwrap();
    assert!(here.get(2).is_some_and(Value::is_null));
    phone
        .update("tasks", 0, row! { "text": "of phone" })
        .unwrap();
}

fn assert_they_met(server: &SyncServer) {
    let ledger = server.conflicts().unwrap();
    let [entry] = ledger.as_slice() else {
        panic!("the phone had not seen the text: {ledger:?}");
    };
    assert_eq!(
        (&entry.base, &entry.server, &entry.client),
        (&None, &Value::from("of ben"), &Value::from("of phone"))
    );
}

#[test]
fn an_edit_of_a_column_that_only_came_to_be_kept_after_it_is_a_conflict() {
    let server = served();
    let phone = SyncDb::client("phone").unwrap();
    let near = places("near", &[0]);
    phone
        .subscribe(&near.clone().columns(["place", "tags", "bits"]))
        .unwrap();
    sync(&phone, &server);
    write_unseen(&server, &phone);
    // The request that brings the edit asks for the column.
    phone.subscribe(&near).unwrap();
    sync(&phone, &server);
    assert_they_met(&server);
    for db in [phone.database(), server.database()] {
        assert_eq!(task(db, 0).unwrap()[2], Value::from("of phone"));
    }
}

#[test]
fn an_edit_of_a_column_that_only_other_rows_have_is_a_conflict() {
    let server = served();
    let phone = SyncDb::client("phone").unwrap();
    phone
        .subscribe(&places("few columns", &[0]).columns(["place", "tags", "bits"]))
        .unwrap();
    phone.subscribe(&places("all columns", &[1])).unwrap();
    sync(&phone, &server);
    write_unseen(&server, &phone);
    // On top of its own it has seen ben's no better, and its own it knows.
    phone
        .update("tasks", 0, row! { "text": "of phone, too" })
        .unwrap();
    phone.update("tasks", 1, row! { "text": "seen" }).unwrap();
    sync(&phone, &server);
    assert_they_met(&server);
    let [first, second] = [0, 1].map(|id| task(server.database(), id).unwrap());
    assert_eq!(
        (&first[2], &second[2]),
        (&Value::from("of phone, too"), &Value::from("seen"))
    );
    assert!(task(phone.database(), 0).unwrap()[2].is_null());
}

#[test]
fn an_edit_of_a_column_that_is_not_kept_any_more_is_no_conflict() {
    let server = served();
    let phone = SyncDb::client("phone").unwrap();
    let near = places("near", &[0]);
    phone.subscribe(&near).unwrap();
    sync(&phone, &server);
    let ben = client("ben", &server);
    ben.update("tasks", 0, row! { "text": "of ben" }).unwrap();
    sync(&ben, &server);
    sync(&phone, &server);
    let here = task(phone.database(), 0).unwrap();
    assert_eq!(here[2], Value::from("of ben"));
    phone
        .update("tasks", 0, row! { "text": "of phone" })
        .unwrap();
    phone
        .subscribe(&near.columns(["place", "tags", "bits"]))
        .unwrap();
    sync(&phone, &server);
    assert_eq!(server.conflicts().unwrap(), []);
    assert_eq!(
        task(server.database(), 0).unwrap()[2],
        Value::from("of phone")
    );
    assert!(task(phone.database(), 0).unwrap()[2].is_null());
}

#[test]
fn a_rejected_edit_of_a_column_that_is_not_kept_says_what_it_was_to_write() {
    let is_closed = Arc::new(AtomicBool::new(false));
    let closed = Arc::clone(&is_closed);
    let permissions = Permissions::new(move |_, _| {
        Permission::rows(if closed.load(Ordering::Relaxed) {
            Filter::eq("place", 1)
        } else {
            Filter::True
        })
    });
    let options = SyncServerOptions::default().permissions(permissions);
    let server = SyncServer::with(served().database().clone(), options).unwrap();
    let phone = SyncDb::client("phone").unwrap();
    phone
        .subscribe(&places("near", &[0]).columns(["place"]))
        .unwrap();
    sync(&phone, &server);
    phone
        .update("tasks", 0, row! { "text": "of phone" })
        .unwrap();
    is_closed.store(true, Ordering::Relaxed);
    phone
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    let rejected = phone.rejected().unwrap();
    let [edit] = &rejected[0].ops[..] else {
        panic!("one edit: {rejected:?}");
    };
    assert_eq!(edit.action, "update");
    assert_eq!(edit.columns["text"], Value::from("of phone"));
    assert!(edit.before["text"].is_null());
}

#[test]
fn a_column_that_was_wanted_for_a_while_does_not_stay() {
    let db = Database::new();
    let tasks = Schema::build("tasks", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("text", FieldType::Text).default_value("here"))
        .field(Field::new("slug", FieldType::Text))
        .index(IndexSpec::hash(["slug"]).unique());
    let tasks = db.create_collection(tasks.finish().unwrap()).unwrap();
    for (id, slug) in [(0, "a"), (1, "b")] {
        tasks.insert(row! { "id": id, "slug": slug }).unwrap();
    }
    let notes = Schema::build("notes", ["id"]).field(Field::new("id", FieldType::Int));
    db.create_collection(notes.finish().unwrap()).unwrap();
    let server = SyncServer::new(db).unwrap();
    let phone = SyncDb::client("phone").unwrap();
    let notes = Subscription::new("notes", "notes");
    let all = Subscription::new("near", "tasks").filter(Filter::eq("id", 0));
    let few = all.clone().columns(["slug"]);
    for subscription in [&notes, &few] {
        phone.subscribe(subscription).unwrap();
    }
    sync(&phone, &server);
    phone.update("tasks", 0, row! { "slug": "b" }).unwrap();
    for subscription in [&notes.filter(Filter::ge("id", 0)), &all] {
        phone.subscribe(subscription).unwrap();
    }
    // The answer says how the row is, with all the columns that are wanted; the subscription itself is still to come.
    let mut session = phone.session().unwrap();
    let request = session.next_message().unwrap().unwrap();
    session.receive(&server.handle(&request).unwrap()).unwrap();
    drop(session);
    assert_eq!(phone.rejected().unwrap().len(), 1, "another has that slug");
    assert_eq!(phone.subscriptions().unwrap()[1].cursor, None);
    phone.subscribe(&few).unwrap();
    sync(&phone, &server);
    let here = task(phone.database(), 0).unwrap();
    assert_eq!((&here[1], &here[2]), (&Value::Null, &Value::from("a")));
}

/// The server with a switch that leaves everybody nothing but the tasks of place 2.
fn closable() -> (SyncServer, Arc<AtomicBool>) {
    let is_closed = Arc::new(AtomicBool::new(false));
    let closed = Arc::clone(&is_closed);
    let permissions = Permissions::new(move |_, table| {
        let is_limited = table.name == "tasks" && closed.load(Ordering::Relaxed);
        Permission::rows(if is_limited {
            Filter::eq("place", 2)
        } else {
            Filter::True
        })
    });
    let options = options().permissions(permissions);
    let server = SyncServer::with(served().database().clone(), options).unwrap();
    (server, is_closed)
}

#[test]
fn a_rejected_edit_of_a_row_that_only_an_ended_subscription_covers_does_not_stay() {
    let (server, is_closed) = closable();
    let phone = near(&server);
    let ben = client("ben", &server);
    ben.update("tasks", 4, row! { "text": "of ben" }).unwrap();
    sync(&ben, &server);
    // The subscriptions come anew, and the tasks are not there yet when others are wanted in their place.
    server.database().compact_log(server.database().seq());
    let mut session = phone.session().unwrap();
    while phone.subscriptions().unwrap()[0].cursor != Some(server.database().seq()) {
        let request = session.next_message().unwrap().unwrap();
        session.receive(&server.handle(&request).unwrap()).unwrap();
    }
    drop(session);
    phone.subscribe(&places("far", &[2])).unwrap();
    phone.subscribe(&places("farther", &[3])).unwrap();
    phone.unsubscribe("near").unwrap();
    phone
        .update("tasks", 0, row! { "text": "of phone" })
        .unwrap();
    is_closed.store(true, Ordering::Relaxed);
    let mut session = phone.session().unwrap();
    let request = session.next_message().unwrap().unwrap();
    session.receive(&server.handle(&request).unwrap()).unwrap();
    drop(session);
    assert_eq!(phone.rejected().unwrap().len(), 1, "it may not be written");
    assert_eq!(phone.subscriptions().unwrap()[2].cursor, None);
    let here = task(phone.database(), 0);
    assert!(
        here.is_none_or(|task| task[2] == Value::from("here")),
        "what was rejected is not to be seen"
    );
    sync(&phone, &server);
}

#[test]
fn an_addition_that_is_tried_again_is_said_though_another_has_made_it() {
    let (server, is_closed) = closable();
    let [anna, ben] = ["anna", "ben"].map(|name| client(name, &server));
    let change = |db: &SyncDb, is_added: bool| {
        let tasks = db.collection("tasks").unwrap();
        let mut tx = db.begin();
        if is_added {
            tx.add_to_set(&tasks, 0, "tags", "urgent").unwrap();
        } else {
            tx.remove_from_set(&tasks, 0, "tags", "urgent").unwrap();
        }
        tx.commit().unwrap();
    };
    change(&anna, true);
    is_closed.store(true, Ordering::Relaxed);
    anna.sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    is_closed.store(false, Ordering::Relaxed);
    change(&ben, true);
    ben.sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    anna.sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    // Anna adds it where it stands already; ben, who has not heard of that, takes his own away.
    let rejected = anna.rejected().unwrap();
    anna.retry(rejected[0].id).unwrap();
    change(&ben, false);
    sync(&ben, &server);
    sync(&anna, &server);
    for db in [server.database(), anna.database()] {
        let tags = task(db, 0).unwrap()[3].clone();
        assert_eq!(tags, Value::from(vec![Value::from("urgent")]));
    }
}

/// The phone edits a row again while the answer to its first edit is under way.
fn edit_before_the_answer(phone: &SyncDb, server: &SyncServer, again: impl FnOnce()) {
    let mut session = phone.session().unwrap();
    let request = session.next_message().unwrap().unwrap();
    let answer = server.handle(&request).unwrap();
    again();
    session.receive(&answer).unwrap();
}

#[test]
fn a_row_that_its_replica_moves_away_and_back_is_there() {
    let server = served();
    let phone = near(&server);
    let move_to = |place: i64| phone.update("tasks", 0, row! { "place": place }).unwrap();
    move_to(3);
    edit_before_the_answer(&phone, &server, || drop(move_to(0)));
    sync(&phone, &server);
    assert_eq!(task(phone.database(), 0).unwrap()[1], Value::Int(0));
}

#[test]
fn a_row_that_its_replica_makes_outside_and_moves_in_is_there() {
    let server = served();
    let phone = near(&server);
    phone.insert("tasks", row! { "id": 9, "place": 3 }).unwrap();
    edit_before_the_answer(&phone, &server, || {
        phone.update("tasks", 9, row! { "place": 1 }).unwrap();
    });
    sync(&phone, &server);
    assert_eq!(task(phone.database(), 9).unwrap()[1], Value::Int(1));
}

#[test]
fn an_edit_is_not_covered_by_rows_of_a_joining_subscription_that_are_older() {
    let server = served();
    let phone = near(&server);
    phone.subscribe(&places("far", &[2])).unwrap();
    sync(&phone, &server);
    phone.subscribe(&places("far", &[0, 2])).unwrap();
    // Its answer is lost, and the server keeps the rows that it began to send.
    let request = phone.session().unwrap().next_message().unwrap();
    server.handle(&request.unwrap()).unwrap();
    phone
        .update("tasks", 0, row! { "place": 1, "text": "of phone" })
        .unwrap();
    sync(&phone, &server);
    let here = task(phone.database(), 0).unwrap();
    assert_eq!(here[2], Value::from("of phone"));
}

#[test]
fn an_edit_is_not_covered_by_long_changes_that_are_older() {
    let server = served();
    let phones = ["0", "1", "2"].map(|name| {
        let phone = SyncDb::client(name).unwrap();
        let few = places("few", &[0, 1, 2]).columns(["place", "text"]);
        for subscription in [&few, &places("all", &[9])] {
            phone.subscribe(subscription).unwrap();
        }
        sync(&phone, &server);
        phone
    });
    let tasks = server.database().collection("tasks").unwrap();
    let mut number = 1_u64;
    for id in 10..13 {
        // Too long for one answer, also when it is packed.
        let mut noise = String::new();
        while noise.len() < 3 << 20 {
            number = number.wrapping_mul(6_364_136_223_846_793_005) + 1;
            noise.push_str(&number.to_string());
        }
        tasks
            .insert(row! { "id": id, "place": 9, "text": noise })
            .unwrap();
    }
    for id in 0..3 {
        // To where there are more columns, so that the row comes whole.
        tasks.update(id, row! { "place": 9 }).unwrap();
    }
    for (before, phone) in (0..).zip(&phones) {
        let mut session = phone.session().unwrap();
        let key = i64::from(before);
        loop {
            if session.report().round_trips == before {
                phone
                    .update("tasks", key, row! { "text": "edited" })
                    .unwrap();
            }
            let Some(request) = session.next_message().unwrap() else {
                break;
            };
            session.receive(&server.handle(&request).unwrap()).unwrap();
        }
        let report = session.into_report();
        assert!(report.converged && !report.repaired, "{report:?}");
        assert!(report.round_trips > 2, "{report:?}");
        let here = task(phone.database(), key).unwrap();
        assert_eq!(here[2], Value::from("edited"));
    }
}
