//! What a server serves: several versions in a chain, what is refused, retirement, rights, and writes at the server itself.

use common::query::Filter;
use common::{Database, ErrorKind, Value, row};
use syncdb::migration::{OnLoss, Step};
use syncdb::{
    Permission, Permissions, Policy, Serving, Side, Strategy, SyncDb, SyncServer,
    SyncServerOptions, VersionInUse,
};

use super::{columns, first, int, people, reopened, replica, row_of, serve, sync, text, then};
use syncdb::migration::Lineage;

fn split() -> Step {
    Step::SplitColumn {
        table: "people".into(),
        column: "name".into(),
        into: vec![text("first"), text("last")],
        separator: " ".into(),
        on_loss: OnLoss::Value(Value::from("")),
    }
}

fn rename(from: &str, to: &str) -> Step {
    Step::RenameColumn {
        table: "people".into(),
        column: from.into(),
        to: to.into(),
    }
}

/// Versions 1 to 3: a name, then its parts, then the first of them under another name and without an age.
fn three() -> [Lineage; 3] {
    let second = then(&first(), [split()]);
    let third = then(
        &second,
        [
            rename("first", "given"),
            Step::RemoveColumn {
                table: "people".into(),
                column: "age".into(),
                instead: None,
            },
            Step::AddColumn {
                table: "people".into(),
                field: text("mood").default_value("calm"),
                value: None,
            },
        ],
    );
    [first(), second, third]
}

#[test]
fn three_versions_write_to_one_row_and_each_sees_all_that_it_knows() {
    let lineages = three();
    let server = serve(&Database::new(), Serving::new(lineages[2].clone()));
    let [one, two, three] = [0, 1, 2].map(|at| replica(&format!("r{at}"), &lineages[at]));
    one.insert(
        "people",
        row! { "id": 1, "name": "Aino Salo", "age": 5, "city": "Oulu" },
    )
    .unwrap();
    let all = |rounds: usize| {
        for _ in 0..rounds {
            for db in [&one, &two, &three] {
                assert_eq!(sync(&server, db).conflicts, []);
            }
        }
    };
    all(2);
    two.update("people", 1, row! { "first": "Anna" }).unwrap();
    all(2);
    three
        .update("people", 1, row! { "mood": "glad", "last": "Virta" })
        .unwrap();
    all(2);
    one.update("people", 1, row! { "age": 6 }).unwrap();
    all(2);
    let [a, b, c] = [&one, &two, &three].map(|db| row_of(db, "people", 1));
    assert_eq!(
        a,
        columns(&row! { "name": "Anna Virta", "age": 6, "city": "Oulu" })
    );
    let expected = row! { "first": "Anna", "last": "Virta", "age": 6, "city": "Oulu" };
    assert_eq!(b, columns(&expected));
    let expected = row! { "given": "Anna", "last": "Virta", "city": "Oulu", "mood": "glad" };
    assert_eq!(c, columns(&expected));
}

#[test]
fn a_column_that_comes_touches_no_row() {
    let db = Database::new();
    let [v1, ..] = three();
    let server = serve(&db, Serving::new(v1.clone()));
    let old = replica("old", &v1);
    for id in 0..500 {
        old.insert("people", row! { "id": id, "name": "Aino" })
            .unwrap();
    }
    sync(&server, &old);
    drop(server);
    let before = db
        .snapshot()
        .view()
        .get(&db.collection("people").unwrap(), &7.into());
    let before = before.unwrap().unwrap();
    let (at, changes) = (db.seq(), db.count_after(common::Seq::ZERO));
    let v2 = then(
        &v1,
        [Step::AddColumn {
            table: "people".into(),
            field: text("mood").default_value("calm"),
            value: None,
        }],
    );
    let server = serve(&db, Serving::new(v2));
    // One row says which versions there are now.
    assert_eq!(db.count_after(common::Seq::ZERO), changes + 1);
    assert!(db.seq() > at);
    let after = db.collection("people").unwrap().get(7).unwrap();
    assert_eq!((after.seq(), after.len()), (before.seq(), before.len() + 1));
    let idle = sync(&server, &old);
    assert_eq!((idle.rows_received, idle.round_trips), (0, 1));
}

#[test]
fn concurrent_edits_of_columns_that_follow_from_each_other_are_a_conflict_in_the_words_of_each() {
    let lineages = three();
    let server = serve(&Database::new(), Serving::new(lineages[2].clone()));
    let (one, three) = (replica("one", &lineages[0]), replica("three", &lineages[2]));
    one.insert("people", row! { "id": 1, "name": "Aino Salo" })
        .unwrap();
    sync(&server, &one);
    sync(&server, &three);
    three.update("people", 1, row! { "given": "Anna" }).unwrap();
    one.update("people", 1, row! { "name": "Elli Salo" })
        .unwrap();
    sync(&server, &three);
    let report = sync(&server, &one);
    let [entry] = &report.conflicts[..] else {
        panic!("one conflict: {report:?}");
    };
    assert_eq!(entry.column.as_deref(), Some("name"));
    let (had, said) = (Value::from("Anna Salo"), Value::from("Elli Salo"));
    assert_eq!((&entry.server, &entry.client), (&had, &said));
    assert_eq!(entry.base, Some(Value::from("Aino Salo")));
    sync(&server, &three);
    // Which is later, the clock says.
    let stands = match entry.winner {
        Side::Client => "Elli",
        _ => "Anna",
    };
    assert_eq!(row_of(&three, "people", 1)[0].1, Value::from(stands));
    // What does not follow from each other meets without one.
    three.update("people", 1, row! { "mood": "glad" }).unwrap();
    one.update("people", 1, row! { "name": "Veli Salo" })
        .unwrap();
    assert_eq!(sync(&server, &three).conflicts, []);
    assert_eq!(sync(&server, &one).conflicts, []);
}

#[test]
fn what_is_written_at_the_server_reaches_the_columns_of_every_version() {
    let lineages = three();
    let db = Database::new();
    let server = serve(&db, Serving::new(lineages[2].clone()));
    let table = db.collection("people").unwrap();
    table
        .insert(row! { "id": 1, "given": "Aino", "last": "Salo", "mood": "shy" })
        .unwrap();
    let (one, two) = (replica("one", &lineages[0]), replica("two", &lineages[1]));
    sync(&server, &one);
    let expected = row! { "name": "Aino Salo", "age": Value::Null, "city": "Turku" };
    assert_eq!(row_of(&one, "people", 1), columns(&expected));
    table.update(1, row! { "given": "Anna" }).unwrap();
    sync(&server, &one);
    sync(&server, &two);
    assert_eq!(row_of(&one, "people", 1)[0].1, Value::from("Anna Salo"));
    assert_eq!(row_of(&two, "people", 1)[0].1, Value::from("Anna"));
}

#[test]
fn a_retired_version_may_still_send_what_it_has_and_is_told_why_it_gets_nothing() {
    let [v1, v2, _] = three();
    let db = Database::new();
    let server = serve(&db, Serving::new(v2.clone()));
    let (old, new) = (replica("old", &v1), replica("new", &v2));
    old.insert("people", row! { "id": 1, "name": "Aino Salo" })
        .unwrap();
    sync(&server, &old);
    old.update("people", 1, row! { "name": "Anna Salo" })
        .unwrap();
    drop(server);
    let server = serve(
        &db,
        Serving::new(v2.clone()).served_from(2).accepted_from(1),
    );
    let report = old
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    assert_eq!((old.pending(), report.converged), (0, false));
    assert_eq!(report.outcomes.get("applied"), Some(&1));
    let reason = report.refused.values().next().unwrap();
    assert!(
        reason.contains("version 1") && reason.contains("update"),
        "{reason}"
    );
    sync(&server, &new);
    assert_eq!(row_of(&new, "people", 1)[0].1, Value::from("Anna"));
    // It goes on reading and writing by itself, and comes back as the new version.
    old.update("people", 1, row! { "name": "Anna Virta" })
        .unwrap();
    let old = reopened(&old, &v2);
    sync(&server, &old);
    sync(&server, &new);
    assert_eq!(row_of(&new, "people", 1)[1].1, Value::from("Virta"));
}

#[test]
fn a_retired_version_keeps_a_row_in_which_its_edit_met_another() {
    let [v1, v2, _] = three();
    let db = Database::new();
    let server = serve(&db, Serving::new(v2.clone()));
    let (old, new) = (replica("old", &v1), replica("new", &v2));
    old.insert("people", row! { "id": 1, "name": "Aino Salo" })
        .unwrap();
    sync(&server, &old);
    sync(&server, &new);
    old.update("people", 1, row! { "city": "Vaasa" }).unwrap();
    new.update("people", 1, row! { "city": "Oulu" }).unwrap();
    sync(&server, &new);
    drop(server);
    let server = serve(&db, Serving::new(v2).served_from(2).accepted_from(1));
    let report = old.sync(&mut |request: &[u8]| server.handle(request));
    let report = report.unwrap();
    assert_eq!(report.outcomes.get("resolved"), Some(&1), "{report:?}");
    // No answer would bring it again before the update.
    assert!(old.collection("people").unwrap().get(1).is_some());
}

#[test]
fn what_waited_under_a_version_that_is_gone_is_lifted_or_kept_with_the_reason() {
    let lineages = three();
    let db = Database::new();
    let server = serve(&db, Serving::new(lineages[0].clone()));
    let old = replica("old", &lineages[0]);
    for id in 1..=3 {
        old.insert("people", row! { "id": id, "name": "Aino Salo", "age": 5 })
            .unwrap();
    }
    sync(&server, &old);
    drop(server);
    old.update("people", 1, row! { "name": "Anna Virta", "city": "Oulu" })
        .unwrap();
    old.update("people", 2, row! { "age": 6 }).unwrap();
    old.insert("people", row! { "id": 4, "name": "Elli Lahti" })
        .unwrap();
    let server = serve(&db, Serving::new(lineages[2].clone()).served_from(3));
    let fields = db.collection("people").unwrap().schema().fields.len();
    assert_eq!(fields, 5, "columns of versions that are gone are gone");
    // As it is, it is turned away, and keeps everything.
    let error = old
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("from 3 on"), "{error}");
    assert_eq!(old.pending(), 3);
    let turned_away = VersionInUse {
        version: 1,
        replicas: 0,
        last_heard: None,
        turned_away: 1,
    };
    assert_eq!(server.versions(), [turned_away]);

    let old = reopened(&old, &lineages[2]);
    assert_eq!(
        row_of(&old, "people", 1)[0].1,
        Value::from("Anna"),
        "made offline"
    );
    let report = sync(&server, &old);
    assert_eq!(report.outcomes.get("applied"), Some(&2), "{report:?}");
    let rejected = old.rejected().unwrap();
    let [age] = &rejected[..] else {
        panic!("one: {rejected:?}");
    };
    // Nothing follows from an age any more, and nothing else was written.
    assert!(age.message.contains("`age`"), "{age}");
    assert_eq!(row_of(&old, "people", 4)[0].1, Value::from("Elli"));
    let expected = row! { "given": "Anna", "last": "Virta", "city": "Oulu", "mood": "calm" };
    assert_eq!(row_of(&old, "people", 1), columns(&expected));
    let in_use = server.versions();
    assert_eq!(
        in_use.last().map(|found| (found.version, found.replicas)),
        Some((3, 1))
    );
}

#[test]
fn a_server_that_is_behind_says_so_and_nothing_is_lost() {
    let [v1, v2, _] = three();
    let db = Database::new();
    let server = serve(&db, Serving::new(v1));
    let ahead = replica("ahead", &v2);
    ahead
        .insert("people", row! { "id": 1, "first": "Aino", "last": "Salo" })
        .unwrap();
    let error = ahead
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("up to 1"), "{error}");
    assert_eq!(ahead.pending(), 1);
    drop(server);
    let server = serve(&db, Serving::new(v2));
    sync(&server, &ahead);
    assert_eq!(db.collection("people").unwrap().len(), 1);
}

#[test]
fn an_application_of_before_may_serve_again_and_keeps_the_columns_it_does_not_know() {
    let [v1, v2, v3] = three();
    let db = Database::new();
    let server = serve(&db, Serving::new(v3.clone()));
    let (one, three) = (replica("one", &v1), replica("three", &v3));
    one.insert("people", row! { "id": 1, "name": "Aino Salo" })
        .unwrap();
    sync(&server, &one);
    sync(&server, &three);
    three.update("people", 1, row! { "mood": "glad" }).unwrap();
    sync(&server, &three);
    drop(server);
    // The binary of version 2, with the lineage that it has.
    let server = serve(&db, Serving::new(v2));
    one.update("people", 1, row! { "name": "Anna Salo" })
        .unwrap();
    sync(&server, &one);
    db.collection("people")
        .unwrap()
        .update(1, row! { "last": "Virta" })
        .unwrap();
    sync(&server, &three);
    let expected = row! { "given": "Anna", "last": "Virta", "city": "Turku", "mood": "glad" };
    assert_eq!(row_of(&three, "people", 1), columns(&expected));
    drop(server);
    let server = serve(&db, Serving::new(v3));
    sync(&server, &one);
    assert_eq!(row_of(&one, "people", 1)[0].1, Value::from("Anna Virta"));
}

#[test]
fn what_cannot_be_served_is_refused_before_anything_is_touched() {
    let [v1, v2, _] = three();
    let refused = |db: &Database, serving: Serving| {
        let options = SyncServerOptions::default().serving(serving);
        let before = db
            .collection("people")
            .map(|table| (*table.schema()).clone())
            .ok();
        let error = SyncServer::with(db.clone(), options).unwrap_err();
        let after = db
            .collection("people")
            .map(|table| (*table.schema()).clone())
            .ok();
        assert_eq!(before, after);
        error
    };
    let db = Database::new();
    drop(serve(&db, Serving::new(v1.clone())));
    // Another lineage.
    let other = then(&v1, [rename("city", "town")]);
    drop(serve(&db, Serving::new(v2.clone())));
    let error = refused(&db, Serving::new(other));
    assert_eq!(error.kind(), ErrorKind::Conflict);
    // Versions in no order.
    let error = refused(&db, Serving::new(v2.clone()).current(9));
    assert_eq!(error.kind(), ErrorKind::Invalid);
    // Another key.
    let key = Step::ChangeKey {
        table: "people".into(),
        key: vec!["id".into(), "city".into()],
    };
    let index = Step::RemoveIndex {
        table: "people".into(),
        index: people().indexes[0].name.clone(),
    };
    let with_key = then(&v2, [index, key]);
    let error = refused(&db, Serving::new(with_key.clone()));
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("serve from version 3"), "{error}");
    // Rows that do not fit.
    let db = Database::new();
    drop(serve(&db, Serving::new(v1.clone())));
    let table = db.collection("people").unwrap();
    table
        .insert(row! { "id": 1, "name": "Aino", "age": 40 })
        .unwrap();
    table.insert(row! { "id": 2, "name": "Elli" }).unwrap();
    let needs_age = then(
        &v1,
        [Step::ChangeColumn {
            table: "people".into(),
            column: "age".into(),
            to: int("age"),
            on_loss: OnLoss::Refuse,
            on_loss_back: OnLoss::Refuse,
        }],
    );
    let error = refused(&db, Serving::new(needs_age));
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.violations()[0].path, "people(2).age");
    // Tables of no version.
    let db = Database::new();
    let strange = common::schema::Schema::build("strange", ["id"]).field(int("id"));
    db.create_collection(strange.finish().unwrap()).unwrap();
    assert_eq!(refused(&db, Serving::new(v1)).kind(), ErrorKind::NotFound);
}

#[test]
fn rights_speak_of_the_present_version_and_hold_in_every_one() {
    let lineages = three();
    let permissions = Permissions::new(|principal, _| match principal {
        Some(_) => Permission::all(),
        // Everybody sees given names of people in Turku.
        None => Permission::rows(Filter::eq("city", "Turku")).columns(["given", "city"]),
    });
    let options = SyncServerOptions::default()
        .serving(Serving::new(lineages[2].clone()))
        .permissions(permissions);
    let server = SyncServer::with(Database::new(), options).unwrap();
    let admin = "admin".into();
    let one = replica("one", &lineages[0]);
    for (id, city) in [(1, "Turku"), (2, "Oulu")] {
        one.insert(
            "people",
            row! { "id": id, "name": "Aino Salo", "age": 5, "city": city },
        )
        .unwrap();
    }
    one.sync(&mut |request: &[u8]| server.handle_for(Some(&admin), request))
        .unwrap();
    let (old, middle) = (
        replica("old", &lineages[0]),
        replica("middle", &lineages[1]),
    );
    sync(&server, &old);
    sync(&server, &middle);
    assert_eq!(old.collection("people").unwrap().len(), 1);
    // The whole name says more than the part that is permitted.
    let expected = row! { "name": Value::Null, "age": Value::Null, "city": "Turku" };
    assert_eq!(row_of(&old, "people", 1), columns(&expected));
    assert_eq!(row_of(&middle, "people", 1)[0].1, Value::from("Aino"));
    // Nor can it be written.
    old.update("people", 1, row! { "name": "Anna Salo" })
        .unwrap();
    let report = old
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    assert_eq!(report.outcomes.get("rejected"), Some(&1));
    middle
        .update("people", 1, row! { "first": "Anna" })
        .unwrap();
    assert_eq!(sync(&server, &middle).outcomes.get("applied"), Some(&1));
}

#[test]
fn policies_go_by_the_present_names_and_hold_for_those_who_know_others() {
    let v1 = first();
    let v2 = then(&v1, [rename("age", "years")]);
    let options = SyncServerOptions::default()
        .serving(Serving::new(v2.clone()))
        .policy(
            "people",
            Policy::default().column("years", Strategy::Counter),
        );
    let server = SyncServer::with(Database::new(), options).unwrap();
    let (old, new) = (replica("old", &v1), replica("new", &v2));
    old.insert("people", row! { "id": 1, "name": "Aino", "age": 5 })
        .unwrap();
    sync(&server, &old);
    sync(&server, &new);
    old.increment("people", 1, "age", 2).unwrap();
    new.increment("people", 1, "years", 3).unwrap();
    for db in [&old, &new, &old] {
        assert_eq!(sync(&server, db).conflicts, []);
    }
    assert_eq!(row_of(&old, "people", 1)[1].1, Value::from(10));
    assert_eq!(row_of(&new, "people", 1)[1].1, Value::from(10));
}

#[test]
fn a_replica_without_a_lineage_follows_the_server_and_fetches_what_is_new() {
    let [v1, v2, _] = three();
    let db = Database::new();
    let server = serve(&db, Serving::new(v1));
    let follower = SyncDb::client("follower").unwrap();
    sync(&server, &follower);
    for id in 1..=200 {
        follower
            .insert("people", row! { "id": id, "name": "Aino Salo" })
            .unwrap();
    }
    sync(&server, &follower);
    assert_eq!(follower.version().unwrap(), Some(1));
    follower
        .update("people", 7, row! { "name": "Anna Virta" })
        .unwrap();
    drop(server);
    let server = serve(&db, Serving::new(v2));
    let report = sync(&server, &follower);
    assert_eq!(follower.version().unwrap(), Some(2));
    assert_eq!(report.outcomes.get("applied"), Some(&1));
    let expected = row! { "first": "Anna", "last": "Virta", "age": Value::Null, "city": "Turku" };
    assert_eq!(row_of(&follower, "people", 7), columns(&expected));
    assert!(report.bytes_down < 2_000, "{report:?}");
}

#[test]
fn a_server_that_is_told_nothing_serves_as_it_was_told_the_last_time() {
    let [v1, v2, _] = three();
    let db = Database::new();
    drop(serve(
        &db,
        Serving::new(v2.clone()).served_from(1).current(2),
    ));
    let server = SyncServer::new(db.clone()).unwrap();
    let (old, new) = (replica("old", &v1), replica("new", &v2));
    old.insert("people", row! { "id": 1, "name": "Aino Salo" })
        .unwrap();
    sync(&server, &old);
    sync(&server, &new);
    assert_eq!(row_of(&new, "people", 1)[1].1, Value::from("Salo"));
    // A replica counts once it has come with a position.
    sync(&server, &new);
    let in_use: Vec<(u32, u64)> = server
        .status()
        .versions
        .iter()
        .map(|found| (found.version, found.replicas))
        .collect();
    assert_eq!(in_use, [(1, 1), (2, 1)]);
}
