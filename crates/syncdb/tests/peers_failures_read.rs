//! What a replica keeps and how it gets it: subscriptions, permissions, interrupted bootstraps, repair by ranges, returning
//! after a long time. Tests that stand for a failure of others name its number in the list.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::time::Duration;

use common::database::DatabaseOptions;
use common::query::Filter;
use common::schema::{Field, FieldType, Schema};
use common::utils::id_generator::SeededRng;
use common::utils::time::{Clock, ManualClock};
use common::{Database, RecordId, Value, row};
use syncdb::{
    Permission, Permissions, Subscription, SyncDb, SyncReport, SyncServer, SyncServerOptions,
};

fn schema() -> Schema {
    Schema::build("tasks", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("owner", FieldType::Text))
        .field(Field::new("title", FieldType::Text))
        .field(Field::new("stars", FieldType::Int).default_value(0))
        .finish()
        .unwrap()
}

fn served(rows: i64, options: SyncServerOptions) -> SyncServer {
    let db = Database::new();
    let tasks = db.create_collection(schema()).unwrap();
    db.transaction(|tx| {
        for id in 0..rows {
            let owner = ["anna", "ben", "carl"][usize::try_from(id % 3).unwrap()];
            tx.insert(
                &tasks,
                row! { "id": id, "owner": owner, "title": format!("task {id}"), "stars": id % 5 },
            )?;
        }
        Ok(())
    })
    .unwrap();
    SyncServer::with(db, options).unwrap()
}

fn sync(db: &SyncDb, server: &SyncServer) -> SyncReport {
    let report = db
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    assert!(report.converged && !report.repaired, "{report:?}");
    report
}

fn owned(owner: &str) -> Filter {
    Filter::eq("owner", owner)
}

fn len(db: &SyncDb) -> usize {
    db.collection("tasks").unwrap().len()
}

fn has(db: &SyncDb, id: i64) -> bool {
    db.collection("tasks").unwrap().get(id).is_some()
}

#[test]
fn rows_move_in_and_out_of_a_filter_and_nothing_else_travels() {
    let server = served(300, SyncServerOptions::default());
    let tasks = server.database().collection("tasks").unwrap();
    let phone = SyncDb::client("phone").unwrap();
    phone
        .subscribe(&Subscription::new("mine", "tasks").filter(owned("anna")))
        .unwrap();
    assert_eq!(sync(&phone, &server).rows_received, 100);
    assert_eq!(len(&phone), 100);
    // In, out, within, and outside.
    tasks.update(1, row! { "owner": "anna" }).unwrap();
    tasks.update(0, row! { "owner": "ben" }).unwrap();
    tasks.update(3, row! { "stars": 9 }).unwrap();
    tasks.update(4, row! { "stars": 9 }).unwrap();
    tasks.delete(5).unwrap();
    tasks.delete(6).unwrap();
    let report = sync(&phone, &server);
    assert_eq!((report.rows_received, report.round_trips), (4, 1));
    assert_eq!(
        [0, 1, 3, 6].map(|id| has(&phone, id)),
        [false, true, true, false]
    );
    // There and back again within one pull is nothing.
    tasks.update(4, row! { "owner": "anna" }).unwrap();
    tasks.update(4, row! { "owner": "ben" }).unwrap();
    assert_eq!(sync(&phone, &server).rows_received, 0);
    let state = &phone.subscriptions().unwrap()[0];
    assert_eq!(state.cursor, Some(server.database().seq()));
}

#[test]
fn a_changed_filter_fetches_the_difference_alone() {
    let server = served(3_000, SyncServerOptions::default());
    let phone = SyncDb::client("phone").unwrap();
    let some = |stars: i64| Subscription::new("s", "tasks").filter(Filter::lt("stars", stars));
    phone.subscribe(&some(3)).unwrap();
    assert_eq!(sync(&phone, &server).rows_received, 1_800);
    phone.subscribe(&some(4)).unwrap();
    assert_eq!(sync(&phone, &server).rows_received, 600);
    assert_eq!(len(&phone), 2_400);
    phone.subscribe(&some(1)).unwrap();
    let report = sync(&phone, &server);
    assert_eq!(report.rows_received, 1_800, "keys of rows that leave");
    assert!(report.bytes_down < 8_000, "{report:?}");
    assert_eq!(len(&phone), 600);
    assert_eq!(phone.subscriptions().unwrap()[0].filter_version, 3);
}

#[test]
fn a_row_and_a_column_stay_while_any_subscription_covers_them() {
    let server = served(300, SyncServerOptions::default());
    let tasks = server.database().collection("tasks").unwrap();
    let phone = SyncDb::client("phone").unwrap();
    let titles = Subscription::new("titles", "tasks").columns(["title"]);
    let mine = Subscription::new("mine", "tasks").filter(owned("anna"));
    phone.subscribe(&titles).unwrap();
    sync(&phone, &server);
    assert_eq!(len(&phone), 300);
    let row = |id: i64| phone.collection("tasks").unwrap().get(id).unwrap();
    assert_eq!(row(0)[1], Value::Null, "a column that no subscription has");
    assert_eq!(row(0)[2], Value::from("task 0"));
    // What is not kept does not travel when it changes.
    tasks.update(1, row! { "stars": 77 }).unwrap();
    assert_eq!(sync(&phone, &server).rows_received, 0);
    phone.subscribe(&mine).unwrap();
    sync(&phone, &server);
    assert_eq!(row(0)[1], Value::from("anna"));
    assert_eq!(row(1)[1], Value::Null);
    // Out of the one, still in the other: without the columns of the one.
    tasks.update(0, row! { "owner": "ben" }).unwrap();
    sync(&phone, &server);
    assert_eq!(
        (row(0)[1].clone(), row(0)[2].clone()),
        (Value::Null, Value::from("task 0"))
    );
    phone.unsubscribe("titles").unwrap();
    assert_eq!(len(&phone), 99);
    assert!(has(&phone, 3) && !has(&phone, 0));
    sync(&phone, &server);
    // The last one gives way to everything.
    phone.unsubscribe("mine").unwrap();
    sync(&phone, &server);
    assert_eq!(len(&phone), 300);
    assert_eq!(phone.digest().unwrap(), server.digest().unwrap());
}

#[test]
fn a_row_written_outside_the_subscriptions_stays_until_it_is_answered() {
    let server = served(30, SyncServerOptions::default());
    let phone = SyncDb::client("phone").unwrap();
    phone
        .subscribe(&Subscription::new("mine", "tasks").filter(owned("anna")))
        .unwrap();
    sync(&phone, &server);
    phone
        .insert(
            "tasks",
            row! { "id": 100, "owner": "ben", "title": "for ben" },
        )
        .unwrap();
    phone.update("tasks", 0, row! { "owner": "ben" }).unwrap();
    assert!(has(&phone, 100) && has(&phone, 0));
    let report = sync(&phone, &server);
    assert!(!has(&phone, 100) && !has(&phone, 0));
    let left = |id: i64| ("tasks".into(), RecordId::from(id));
    assert_eq!(report.left, [left(0), left(100)]);
    let tasks = server.database().collection("tasks").unwrap();
    assert_eq!(tasks.get(100).unwrap()[2], Value::from("for ben"));
}

#[test]
fn what_may_be_changed_can_be_less_than_what_may_be_seen_and_never_more() {
    let permissions = Permissions::new(|_, _| Permission::rows(Filter::ge("id", 100)))
        .writing(|_, _| Permission::rows(Filter::lt("id", 200)).columns(["title"]));
    let server = served(300, SyncServerOptions::default().permissions(permissions));
    let anna = "anna".into();
    let phone = SyncDb::client("phone").unwrap();
    let mut as_anna = |request: &[u8]| server.handle_for(Some(&anna), request);
    phone.sync(&mut as_anna).unwrap();
    assert_eq!(len(&phone), 200);
    let before = server.digest().unwrap();
    // Seen and not to be changed; a column; not seen.
    phone.update("tasks", 250, row! { "title": "x" }).unwrap();
    phone.update("tasks", 150, row! { "owner": "x" }).unwrap();
    phone.delete("tasks", 251).unwrap();
    phone.sync(&mut as_anna).unwrap();
    assert_eq!(phone.rejected().unwrap().len(), 3);
    assert_eq!(server.digest().unwrap(), before);
    phone.update("tasks", 150, row! { "title": "x" }).unwrap();
    phone.sync(&mut as_anna).unwrap();
    let tasks = server.database().collection("tasks").unwrap();
    assert_eq!(tasks.get(150).unwrap()[2], Value::from("x"));
    // A replica is one principal's.
    let ben = "ben".into();
    let mut as_ben = |request: &[u8]| server.handle_for(Some(&ben), request);
    let error = phone.sync(&mut as_ben).unwrap_err();
    assert!(error.to_string().contains("another principal"), "{error}");
    // Who may not write does not, whatever the permissions say.
    let reader = syncdb::Principal::new("reader").read_only();
    let mut as_reader = |request: &[u8]| server.handle_for(Some(&reader), request);
    let tablet = SyncDb::client("tablet").unwrap();
    tablet.sync(&mut as_reader).unwrap();
    tablet.update("tasks", 150, row! { "title": "y" }).unwrap();
    tablet.sync(&mut as_reader).unwrap();
    assert_eq!(tablet.rejected().unwrap().len(), 1);
}

#[test]
fn permissions_hold_in_both_directions() {
    let permissions = Permissions::new(|principal, _| match principal {
        Some(anybody) => {
            Permission::rows(Filter::eq("owner", anybody.name.clone())).columns(["owner", "title"])
        }
        None => Permission::none(),
    });
    let server = served(300, SyncServerOptions::default().permissions(permissions));
    let anna = "anna".into();
    let phone = SyncDb::client("phone").unwrap();
    let mut as_anna = |request: &[u8]| server.handle_for(Some(&anna), request);
    assert!(phone.sync(&mut as_anna).unwrap().converged);
    assert_eq!(len(&phone), 100);
    assert_eq!(
        phone.collection("tasks").unwrap().get(0).unwrap()[3],
        Value::Null
    );
    // A row of somebody else's, a column that is not permitted, a row given away: none of it.
    phone
        .insert(
            "tasks",
            row! { "id": 1, "owner": "anna", "title": "mine now" },
        )
        .unwrap();
    phone.update("tasks", 3, row! { "owner": "ben" }).unwrap();
    phone
        .update("tasks", 6, row! { "title": "allowed" })
        .unwrap();
    let report = phone.sync(&mut as_anna).unwrap();
    assert_eq!(report.outcomes["rejected"], 2, "{report:?}");
    assert!(report.converged);
    let tasks = server.database().collection("tasks").unwrap();
    assert_eq!(tasks.get(1).unwrap()[1], Value::from("ben"));
    assert_eq!(tasks.get(3).unwrap()[1], Value::from("anna"));
    assert_eq!(tasks.get(6).unwrap()[2], Value::from("allowed"));
    let nobody = SyncDb::client("nobody").unwrap();
    let report = nobody
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    assert_eq!((report.rows_received, report.converged), (0, true));
}

/// T13, T2: what differs is found by ranges; the cost follows what differs, not what there is.
#[test]
fn repair_costs_what_differs() {
    let server = served(20_000, SyncServerOptions::default());
    let phone = SyncDb::client("phone").unwrap();
    sync(&phone, &server);
    let mut costs = Vec::new();
    for damaged in [1_i64, 10, 100] {
        let tasks = phone.database().collection("tasks").unwrap();
        for number in 0..damaged {
            let id = (number * 7_919 + damaged) % 20_000;
            match number % 3 {
                0 => drop(tasks.update(id, row! { "title": "damaged" }).unwrap()),
                1 => drop(tasks.delete(id).unwrap()),
                _ => drop(
                    tasks
                        .insert(row! { "id": 50_000 + id, "owner": "x", "title": "x" })
                        .unwrap(),
                ),
            }
        }
        let report = phone
            .sync(&mut |request: &[u8]| server.handle(request))
            .unwrap();
        assert!(report.converged && report.repaired, "{report:?}");
        assert_eq!(report.rows_repaired, damaged.cast_unsigned());
        costs.push(report.bytes_up + report.bytes_down);
    }
    assert_eq!(phone.digest().unwrap(), server.digest().unwrap());
    assert!(costs[0] < 6_000, "{costs:?}");
    assert!(
        costs[1] < 10 * costs[0] && costs[2] < 10 * costs[1],
        "{costs:?}"
    );
    assert_eq!(server.status().rows_repaired, 1 + 7 + 67);
}

/// T1, T5: cut at every 1,000th byte of what arrives, each time with the replica closed and opened again, a bootstrap goes
/// on and never starts over: a cut costs the answer that it falls into.
#[test]
fn a_bootstrap_cut_at_every_thousandth_byte_goes_on() {
    let server = served(0, SyncServerOptions::default());
    let tasks = server.database().collection("tasks").unwrap();
    // What does not get shorter by compression, so that there are several answers.
    let random = SeededRng::new(5);
    for id in 0..2_600 {
        let words: Vec<String> = (0..64).map(|_| random.next_u64().to_string()).collect();
        let title = words.concat();
        tasks
            .insert(row! { "id": id, "owner": "anna", "title": title })
            .unwrap();
    }
    let undisturbed = sync(&SyncDb::client("whole").unwrap(), &server);
    let whole = undisturbed.bytes_down;
    assert!(undisturbed.round_trips > 1, "{undisturbed:?}");
    let mut phone = SyncDb::client("phone").unwrap();
    let mut at = 1_000;
    let (mut arrived, mut cuts, mut answers) = (0, 0, 0);
    loop {
        let mut cut = |request: &[u8]| {
            let mut answer = server.handle(request)?;
            answers += 1;
            let end = arrived + answer.len() as u64;
            if (arrived + 1..end).contains(&at) {
                answer.truncate(usize::try_from(at - arrived).unwrap());
                at += 1_000;
                cuts += 1;
            } else {
                arrived = end;
                at = at.max(end.next_multiple_of(1_000));
            }
            Ok(answer)
        };
        if phone.sync(&mut cut).is_ok() {
            break;
        }
        // Nothing is seen of what is not complete.
        assert!(phone.collection("tasks").map_or(0, |tasks| tasks.len()) == 0);
        phone = SyncDb::open(phone.database().clone(), "phone").unwrap();
    }
    assert!(cuts >= whole / 1_000 - 1, "{cuts} of {whole} bytes");
    assert_eq!(answers, u64::from(undisturbed.round_trips) + cuts);
    assert_eq!(
        arrived.abs_diff(whole) / 100,
        0,
        "{arrived} of {whole} bytes"
    );
    assert_eq!(phone.digest().unwrap(), server.digest().unwrap());
}

/// A commit larger than any answer is staged, and seen whole or not at all.
#[test]
fn a_commit_of_any_size_becomes_visible_at_once() {
    let server = served(10, SyncServerOptions::default());
    let phone = SyncDb::client("phone").unwrap();
    sync(&phone, &server);
    let tasks = server.database().collection("tasks").unwrap();
    let title = "x".repeat(400);
    server
        .database()
        .transaction(|tx| {
            for id in 10..30_000 {
                tx.insert(
                    &tasks,
                    row! { "id": id, "owner": "anna", "title": title.clone() },
                )?;
            }
            Ok(())
        })
        .unwrap();
    let seen = std::cell::RefCell::new(Vec::new());
    let report = phone
        .sync(&mut |request: &[u8]| {
            seen.borrow_mut().push(len(&phone));
            server.handle(request)
        })
        .unwrap();
    assert!(report.converged && !report.repaired);
    assert!(seen.borrow().iter().all(|len| *len == 10), "{seen:?}");
    assert_eq!(len(&phone), 30_000);
}

/// T7, T14, T17: the log is pruned below a replica; it keeps its rows and its edits, gets the difference, and what was
/// deleted meanwhile does not come back.
#[test]
fn a_replica_gone_for_long_gets_the_difference_and_loses_nothing() {
    let server = served(20_000, SyncServerOptions::default());
    let tasks = server.database().collection("tasks").unwrap();
    let phone = SyncDb::client("phone").unwrap();
    sync(&phone, &server);
    phone
        .update("tasks", 7, row! { "title": "edited offline" })
        .unwrap();
    phone
        .insert(
            "tasks",
            row! { "id": 90_000, "owner": "anna", "title": "new offline" },
        )
        .unwrap();
    phone
        .update("tasks", 8, row! { "title": "of a row that is gone" })
        .unwrap();
    tasks.delete(8).unwrap();
    for id in 100..150 {
        tasks.update(id, row! { "stars": 99 }).unwrap();
    }
    server.database().prune_log_to(server.database().seq());
    let report = sync(&phone, &server);
    assert!(report.rows_received < 200, "{report:?}");
    assert!(report.bytes_down < 20_000, "{report:?}");
    assert!(!has(&phone, 8));
    assert_eq!(tasks.get(7).unwrap()[2], Value::from("edited offline"));
    assert_eq!(tasks.get(90_000).unwrap()[2], Value::from("new offline"));
    assert!(tasks.get(8).is_none());
    assert_eq!(phone.digest().unwrap(), server.digest().unwrap());
}

/// T17, T18: the log shrinks to what active replicas need, and a replica that does not come back holds up nothing.
#[test]
fn the_log_is_pruned_up_to_what_active_replicas_have() {
    let wall = Arc::new(ManualClock::new(1_700_000_000_000_000));
    let db = Database::with(DatabaseOptions {
        clock: Arc::clone(&wall) as Arc<dyn Clock>,
        ..DatabaseOptions::default()
    });
    let tasks = db.create_collection(schema()).unwrap();
    let server = SyncServer::new(db).unwrap();
    let insert = |id: i64| {
        tasks
            .insert(row! { "id": id, "owner": "anna", "title": "t" })
            .unwrap();
    };
    insert(1);
    let (phone, lost) = (
        SyncDb::client("phone").unwrap(),
        SyncDb::client("lost").unwrap(),
    );
    for db in [&phone, &lost] {
        sync(db, &server);
        sync(db, &server);
    }
    for id in 2..50 {
        insert(id);
    }
    sync(&phone, &server);
    sync(&phone, &server);
    server.prune().unwrap();
    let kept = server.database().log_extent().1;
    assert!(kept >= 48, "the replica that is away needs {kept}");
    sync(&lost, &server);
    wall.advance(Duration::from_hours(31 * 24));
    insert(50);
    sync(&phone, &server);
    sync(&phone, &server);
    server.prune().unwrap();
    assert!(server.database().log_extent().1 < 8);
    // It returns after all.
    lost.update("tasks", 1, row! { "title": "still here" })
        .unwrap();
    sync(&lost, &server);
    assert_eq!(tasks.get(1).unwrap()[2], Value::from("still here"));
    assert!(has(&lost, 50));
}
