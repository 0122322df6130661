//! What a replica does when its application opens it with a longer lineage, and without one.

use common::query::Filter;
use common::schema::Schema;
use common::{Database, ErrorKind, RecordId, Value, row};
use syncdb::migration::{Lineage, OnLoss, Step};
use syncdb::sync::protocol::{BlockKind, frame_limits};
use syncdb::sync::wire::{decode_answer, decode_blocks};
use syncdb::{Serving, Subscription, SyncDb};

use super::{columns, first, int, named, reopened, replica, row_of, serve, sync, text, then};

fn add(name: &str) -> Step {
    Step::AddColumn {
        table: "people".into(),
        field: text(name).default_value("none"),
        value: None,
    }
}

fn rename(from: &str, to: &str) -> Step {
    Step::RenameColumn {
        table: "people".into(),
        column: from.into(),
        to: to.into(),
    }
}

/// Five versions.
fn five() -> Vec<Lineage> {
    let pets = Schema::build("pets", ["id"])
        .field(int("id"))
        .field(text("name"));
    let mut all = vec![first()];
    let steps = [
        vec![Step::SplitColumn {
            table: "people".into(),
            column: "name".into(),
            into: vec![text("first"), text("last")],
            separator: " ".into(),
            on_loss: OnLoss::Value(Value::from("")),
        }],
        vec![
            add("mood"),
            Step::AddTable {
                schema: pets.finish().unwrap(),
            },
        ],
        vec![
            rename("mood", "humour"),
            Step::ChangeColumn {
                table: "people".into(),
                column: "age".into(),
                to: text("age").nullable(),
                on_loss: OnLoss::Refuse,
                on_loss_back: OnLoss::Null,
            },
        ],
        vec![Step::MergeColumns {
            table: "people".into(),
            columns: vec!["last".into(), "first".into()],
            into: text("label"),
            separator: ", ".into(),
            on_loss: OnLoss::Value(Value::from("")),
        }],
    ];
    for steps in steps {
        all.push(then(all.last().unwrap(), steps));
    }
    all
}

#[test]
fn several_missed_versions_are_caught_up_with_offline_and_the_rest_comes_online() {
    let lineages = five();
    let db = Database::new();
    let server = serve(&db, Serving::new(lineages[0].clone()));
    let phone = replica("phone", &lineages[0]);
    for id in 1..=3 {
        phone
            .insert("people", row! { "id": id, "name": "Aino Salo", "age": 40 })
            .unwrap();
    }
    sync(&server, &phone);
    phone
        .update("people", 1, row! { "name": "Anna Virta" })
        .unwrap();
    drop(server);

    // The application was updated after a year, and there is no network.
    let phone = reopened(&phone, &lineages[4]);
    assert_eq!(phone.version().unwrap(), Some(5));
    let expected = row! { "label": "Virta, Anna", "age": "40", "city": "Turku", "humour": "none" };
    let sorted = |mut row: Vec<(String, Value)>| {
        row.sort();
        row
    };
    assert_eq!(
        sorted(row_of(&phone, "people", 1)),
        sorted(columns(&expected))
    );
    phone
        .update("people", 2, row! { "humour": "glad" })
        .unwrap();
    phone
        .insert("pets", row! { "id": 1, "name": "Musti" })
        .unwrap();

    let server = serve(&db, Serving::new(lineages[4].clone()));
    let tablet = replica("tablet", &lineages[2]);
    sync(&server, &tablet);
    tablet
        .update("people", 3, row! { "first": "Elli", "mood": "shy" })
        .unwrap();
    sync(&server, &tablet);
    let report = sync(&server, &phone);
    assert_eq!(report.outcomes.get("applied"), Some(&3), "{report:?}");
    assert_eq!(phone.rejected().unwrap(), []);
    let expected = row! { "label": "Salo, Elli", "age": "40", "city": "Turku", "humour": "shy" };
    assert_eq!(
        sorted(row_of(&phone, "people", 3)),
        sorted(columns(&expected))
    );
    sync(&server, &tablet);
    assert_eq!(row_of(&tablet, "people", 1)[0].1, Value::from("Anna"));
    assert_eq!(row_of(&tablet, "pets", 1)[0].1, Value::from("Musti"));
}

#[test]
fn an_upgraded_replica_fetches_new_columns_and_tables_only() {
    let lineages = five();
    let db = Database::new();
    let server = serve(&db, Serving::new(lineages[2].clone()));
    let (old, new) = (replica("old", &lineages[1]), replica("new", &lineages[2]));
    for id in 0..1_000 {
        let city = format!("city number {}", id * 7_919 % 1_000);
        let person = row! { "id": id, "first": "Aino", "last": "Salo", "city": city.as_str() };
        old.insert("people", person).unwrap();
    }
    sync(&server, &old);
    sync(&server, &new);
    new.update("people", 5, row! { "mood": "glad" }).unwrap();
    new.insert("pets", row! { "id": 1, "name": "Musti" })
        .unwrap();
    sync(&server, &new);
    sync(&server, &old);

    let old = reopened(&old, &lineages[2]);
    let mut session = old.session().unwrap();
    let mut kinds = Vec::new();
    while let Some(request) = session.next_message().unwrap() {
        let answer = server.handle(&request).unwrap();
        let read = decode_answer(&answer, &frame_limits()).unwrap();
        for frame in read.staged.iter().flat_map(|staged| &staged.segments) {
            for block in decode_blocks(frame, &frame_limits()).unwrap() {
                kinds.push((
                    block.table.to_string(),
                    block.kind,
                    block.fields.len(),
                    block.rows(),
                ));
            }
        }
        session.receive(&answer).unwrap();
    }
    assert!(session.report().converged && !session.report().repaired);
    kinds.sort();
    let expected = [
        ("people".to_owned(), BlockKind::Patch, 1, 1_000),
        ("pets".to_owned(), BlockKind::Put, 1, 1),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(row_of(&old, "people", 5)[4].1, Value::from("glad"));
    assert_eq!(row_of(&old, "people", 6)[4].1, Value::from("none"));
}

#[test]
fn a_new_replica_writes_before_it_has_ever_synced() {
    let lineage = first();
    let server = serve(&Database::new(), Serving::new(lineage.clone()));
    let phone = replica("phone", &lineage);
    phone
        .insert("people", row! { "id": 1, "name": "Aino" })
        .unwrap();
    let phone = reopened(&phone, &lineage);
    phone.update("people", 1, row! { "age": 5 }).unwrap();
    sync(&server, &phone);
    let table = server.database().collection("people").unwrap();
    assert_eq!(table.get(1).unwrap()[2], Value::from(5));
}

#[test]
fn a_subscription_keeps_its_filter_and_columns_over_a_renaming() {
    let v1 = first();
    let v2 = then(&v1, [rename("city", "town"), add("mood")]);
    let db = Database::new();
    let server = serve(&db, Serving::new(v1.clone()));
    let phone = replica("phone", &v1);
    let mine = Subscription::new("mine", "people")
        .filter(Filter::eq("city", "Oulu"))
        .columns(["name", "city"]);
    phone.subscribe(&mine).unwrap();
    let people = db.collection("people").unwrap();
    for (id, city) in [(1, "Oulu"), (2, "Turku")] {
        people
            .insert(row! { "id": id, "name": "Aino", "city": city, "age": 5 })
            .unwrap();
    }
    sync(&server, &phone);
    drop(server);
    let server = serve(&db, Serving::new(v2.clone()));
    let phone = reopened(&phone, &v2);
    let [state] = &phone.subscriptions().unwrap()[..] else {
        panic!("one subscription");
    };
    assert_eq!(state.subscription.filter, Filter::eq("town", "Oulu"));
    let report = sync(&server, &phone);
    assert!(report.refused.is_empty(), "{report:?}");
    assert_eq!(phone.collection("people").unwrap().len(), 1);
    // What it did not want it does not get.
    let expected = row! { "name": "Aino", "age": Value::Null, "town": "Oulu", "mood": Value::Null };
    assert_eq!(row_of(&phone, "people", 1), columns(&expected));
    server
        .database()
        .collection("people")
        .unwrap()
        .update(2, row! { "town": "Oulu" })
        .unwrap();
    sync(&server, &phone);
    assert_eq!(phone.collection("people").unwrap().len(), 2);
}

#[test]
fn an_older_application_does_not_open_what_a_newer_one_wrote() {
    let lineages = five();
    let phone = replica("phone", &lineages[1]);
    phone
        .insert("people", row! { "id": 1, "first": "Aino", "last": "Salo" })
        .unwrap();
    let error = SyncDb::with_lineage(phone.database().clone(), "phone", &lineages[0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("newer application"), "{error}");
    assert_eq!(
        row_of(&reopened(&phone, &lineages[1]), "people", 1)[0].1,
        Value::from("Aino")
    );
}

#[test]
fn opened_without_its_lineage_a_replica_stays_what_it_is() {
    let lineages = five();
    let db = Database::new();
    let server = serve(&db, Serving::new(lineages[3].clone()));
    let phone = replica("phone", &lineages[0]);
    phone
        .insert("people", row! { "id": 1, "name": "Aino Salo" })
        .unwrap();
    sync(&server, &phone);
    let phone = SyncDb::reopen(phone.database().clone()).unwrap();
    phone
        .update("people", 1, row! { "name": "Anna Salo" })
        .unwrap();
    sync(&server, &phone);
    assert_eq!(phone.version().unwrap(), Some(1));
    assert_eq!(row_of(&phone, "people", 1)[0].1, Value::from("Anna Salo"));
}

#[test]
fn a_replica_that_followed_takes_up_the_lineage_of_its_application() {
    let lineages = five();
    let db = Database::new();
    let server = serve(&db, Serving::new(lineages[0].clone()));
    let phone = SyncDb::client("phone").unwrap();
    sync(&server, &phone);
    phone
        .insert("people", row! { "id": 1, "name": "Aino Salo" })
        .unwrap();
    drop(server);
    let phone = reopened(&phone, &lineages[1]);
    assert_eq!(row_of(&phone, "people", 1)[1].1, Value::from("Salo"));
    let server = serve(&db, Serving::new(lineages[1].clone()));
    sync(&server, &phone);
    let table = server.database().collection("people").unwrap();
    let row = named(&table.schema(), &table.get(RecordId::from(1)).unwrap());
    assert_eq!(
        row.iter().find(|(name, _)| name == "last").unwrap().1,
        Value::from("Salo")
    );
}

#[test]
fn a_rejected_edit_of_an_earlier_version_is_tried_again_in_the_words_of_the_present_one() {
    let lineages = five();
    let db = Database::new();
    let server = serve(&db, Serving::new(lineages[0].clone()));
    let phone = replica("phone", &lineages[0]);
    phone
        .insert("people", row! { "id": 1, "name": "Aino Salo" })
        .unwrap();
    sync(&server, &phone);
    phone
        .update("people", 1, row! { "name": "Anna Virta" })
        .unwrap();
    // Gone at the server, and with it the edit.
    db.collection("people").unwrap().delete(1).unwrap();
    sync(&server, &phone);
    drop(server);
    let server = serve(&db, Serving::new(lineages[1].clone()));
    let phone = reopened(&phone, &lineages[1]);
    sync(&server, &phone);
    for rejected in phone.rejected().unwrap() {
        let error = phone.retry(rejected.id).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::NotFound,
            "the row is gone: {error}"
        );
        phone.discard(rejected.id).unwrap();
    }
    sync(&server, &phone);
}

#[test]
fn an_edit_of_a_column_that_was_not_fetched_yet_never_writes_over_another_in_silence() {
    let lineages = five();
    let server = serve(&Database::new(), Serving::new(lineages[2].clone()));
    let (old, new) = (replica("old", &lineages[1]), replica("new", &lineages[2]));
    old.insert("people", row! { "id": 1, "first": "Aino", "last": "Salo" })
        .unwrap();
    sync(&server, &old);
    sync(&server, &new);
    new.update("people", 1, row! { "mood": "glad" }).unwrap();
    sync(&server, &new);
    // It comes past the commit, and its version does not know the column.
    sync(&server, &old);
    let old = reopened(&old, &lineages[2]);
    old.update("people", 1, row! { "mood": "shy" }).unwrap();
    let report = sync(&server, &old);
    let [entry] = &report.conflicts[..] else {
        panic!("one conflict: {report:?}");
    };
    assert_eq!(
        (&entry.server, &entry.client),
        (&"glad".into(), &"shy".into())
    );
}
