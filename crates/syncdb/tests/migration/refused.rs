use common::schema::{Field, FieldType, ReferenceAction, Schema};
use common::{Database, ErrorKind, Limits, Value, row};
use syncdb::migration::{
    Lineage, Migration, OnLoss, ROWS_NAMED_MAX, STEPS_MAX, Scripts, Step, dry_run, migrate,
    version_of,
};
use syncdb::{SyncDb, SyncServer};

use super::{database, int, lineage, people, rows, text, to};

fn says(steps: impl IntoIterator<Item = Step>, expected: &str) {
    let error = lineage(steps).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    assert!(error.starts_with("migration to version 2"), "{error}");
}

fn remove(column: &str) -> Step {
    Step::RemoveColumn {
        table: "people".into(),
        column: column.into(),
        instead: None,
    }
}

fn narrow(on_loss: OnLoss) -> Step {
    Step::ChangeColumn {
        table: "people".into(),
        column: "name".into(),
        to: int("name"),
        on_loss,
        on_loss_back: OnLoss::Refuse,
    }
}

#[test]
fn steps_that_cannot_be_are_refused_with_what_to_do() {
    says(
        [remove("id")],
        "part of the primary key of `people`; change the key first",
    );
    says(
        [remove("city")],
        "index `city` is over column `city`; remove the index first",
    );
    says([remove("wings")], "has no column `wings`");
    says(
        [Step::AddColumn {
            table: "people".into(),
            field: text("email"),
            value: None,
        }],
        "required, so the rows that are there need a value",
    );
    says(
        [Step::AddColumn {
            table: "people".into(),
            field: text("email").id(2).nullable(),
            value: None,
        }],
        "the number 2 of column `email` was given before",
    );
    says(
        [Step::AddColumn {
            table: "people".into(),
            field: int("level"),
            value: Some("high".into()),
        }],
        "does not fit either",
    );
    says(
        [Step::RenameColumn {
            table: "people".into(),
            column: "name".into(),
            to: "city".into(),
        }],
        "has a column `city` already",
    );
    says(
        [Step::ChangeKey {
            table: "people".into(),
            key: vec!["age".into()],
        }],
        "may be null, so it cannot be part of a key",
    );
    says(
        [Step::SplitColumn {
            table: "people".into(),
            column: "age".into(),
            into: vec![text("a")],
            separator: ",".into(),
            on_loss: OnLoss::Refuse,
        }],
        "only text has parts",
    );
    says(
        [Step::Script {
            table: "people".into(),
            columns: vec!["name".into()],
            into: vec![text("a")],
            keep: true,
            function: "nothing".into(),
        }],
        "no script `nothing` is registered",
    );
    says(
        [Step::RemoveTable {
            table: "sync_queue".into(),
        }],
        "belong to sync",
    );
    says(
        [Step::AddTable { schema: people() }],
        "there is a table `people` already",
    );
    says(
        [
            remove("age"),
            Step::RemoveTable {
                table: "people".into(),
            },
        ],
        "leave those steps out",
    );
    let removed = lineage([Step::RemoveTable {
        table: "people".into(),
    }]);
    let again = removed
        .unwrap()
        .then(Migration::new([Step::AddTable { schema: people() }]));
    assert!(
        again
            .unwrap_err()
            .to_string()
            .contains("or was in an earlier version")
    );
}

fn referring(name: &str, to: &str, nullable: bool) -> Schema {
    let mut other = int("other");
    other.nullable = nullable;
    let action = if nullable {
        ReferenceAction::SetNull
    } else {
        ReferenceAction::Restrict
    };
    Schema::build(name, ["id"])
        .field(int("id"))
        .field(other)
        .reference(["other"], to, action)
        .finish()
        .unwrap()
}

#[test]
fn references_lead_somewhere_and_not_in_a_circle() {
    let circle = [
        referring("a", "b", false),
        referring("b", "c", false),
        referring("c", "a", false),
    ];
    let error = Lineage::new(circle).unwrap_err().to_string();
    assert!(
        error.contains("in a circle: `a` -> `b` -> `c` -> `a`"),
        "{error}"
    );
    Lineage::new([referring("a", "b", false), referring("b", "a", true)]).unwrap();
    Lineage::new([referring("a", "a", false)]).unwrap();
    let nowhere = Lineage::new([referring("a", "b", false)]).unwrap_err();
    assert!(
        nowhere.to_string().contains("there is no such table"),
        "{nowhere}"
    );
    let text_key = Schema::build("b", ["id"])
        .field(text("id"))
        .finish()
        .unwrap();
    let types = Lineage::new([referring("a", "b", false), text_key]).unwrap_err();
    assert!(types.to_string().contains("not of the types"), "{types}");
    let both = Lineage::new([referring("a", "b", false), referring("b", "b", true)]).unwrap();
    let orphaned = both.then(Migration::new([Step::RemoveTable { table: "b".into() }]));
    assert!(
        orphaned
            .unwrap_err()
            .to_string()
            .contains("there is no such table")
    );
}

#[test]
fn rows_that_do_not_fit_are_named_and_nothing_is_changed() {
    let db = database(
        (1..=30).map(|id| row! { "id": id, "name": if id % 10 == 0 { "12" } else { "x" } }),
    );
    let before = rows(&db, "people");
    let refused = lineage([narrow(OnLoss::Refuse)]).unwrap();
    let error = to(&db, &refused, 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.violations().len(), ROWS_NAMED_MAX);
    assert!(
        error.to_string().contains("which 27 values do not fit"),
        "{error}"
    );
    assert!(error.to_string().contains("people(1).name"), "{error}");
    assert_eq!(rows(&db, "people"), before);
    assert_eq!(version_of(&db, &refused).unwrap(), 1);
    let trial = dry_run(&db, &refused, 2, 3).unwrap();
    let found = &trial.tables["people"];
    assert!(!trial.is_possible());
    assert_eq!(
        (found.rows, found.whole, found.refused, found.samples.len()),
        (30, 3, 27, 3)
    );
    let replaced = lineage([narrow(OnLoss::Value(0.into()))]).unwrap();
    let trial = dry_run(&db, &replaced, 2, 3).unwrap();
    let found = &trial.tables["people"];
    assert!(trial.is_possible());
    assert_eq!(
        (found.whole, found.refused, found.lossy["name"]),
        (3, 0, 27)
    );
    let sample = &found.samples[0];
    assert_eq!(
        (&sample.before, &sample.after),
        (&Value::from("x"), &Some(0.into()))
    );
    assert_eq!(rows(&db, "people"), before, "a trial changes nothing");
    assert_eq!(to(&db, &replaced, 2).unwrap().tables["people"].lossy, 27);
}

#[test]
fn a_database_of_an_unknown_version_is_left_alone() {
    let lineage = lineage([narrow(OnLoss::Refuse)]).unwrap();
    let other = Database::new();
    let table = Schema::build("people", ["id"]).field(text("id")).finish();
    other.create_collection(table.unwrap()).unwrap();
    let error = to(&other, &lineage, 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.to_string().contains("not those of any version"),
        "{error}"
    );
    let db = database([]);
    let error = to(&db, &lineage, 9).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("version 9 is not in the lineage"),
        "{error}"
    );
    to(&db, &lineage, 2).unwrap();
    let older = Lineage::new([people()]).unwrap();
    let error = to(&db, &older, 1).unwrap_err();
    assert!(
        error.to_string().contains("of a newer application"),
        "{error}"
    );
}

#[test]
fn the_database_of_a_replica_is_not_migrated_behind_its_back() {
    let server = database([row! { "id": 1, "name": "12" }]);
    let lineage = lineage([narrow(OnLoss::Refuse)]).unwrap();
    let server = SyncServer::new(server).unwrap();
    let replica = SyncDb::client("phone").unwrap();
    replica
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    let db = replica.database();
    let before = rows(db, "people");
    let trial = dry_run(db, &lineage, 2, 1).unwrap_err();
    for error in [to(db, &lineage, 2).unwrap_err(), trial] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let says = "when it is opened with its lineage, not by migrating its tables";
        assert!(error.to_string().contains(says), "{error}");
    }
    assert_eq!(rows(db, "people"), before);
    assert!(db.collection("sync_lineage").is_err());
    to(server.database(), &lineage, 2).unwrap();
}

#[test]
fn progress_is_told_and_may_stop_it() {
    let db = database((0..10_000).map(|id| row! { "id": id, "name": "1" }));
    let lineage = lineage([narrow(OnLoss::Refuse)]).unwrap();
    let mut told = Vec::new();
    let stopped = migrate(&db, &lineage, 2, &mut |table, done, all| {
        told.push((table.to_owned(), done, all));
        done < 8_000
    });
    assert!(
        stopped
            .unwrap_err()
            .to_string()
            .contains("was stopped at row 8192 of 10000")
    );
    assert_eq!(
        told,
        [
            ("people".to_owned(), 4_096, 10_000),
            ("people".to_owned(), 8_192, 10_000)
        ]
    );
    assert_eq!(version_of(&db, &lineage).unwrap(), 1);
    let snapshot = db.snapshot();
    assert_eq!(
        to(&db, &lineage, 2).unwrap_err().kind(),
        ErrorKind::Conflict
    );
    drop(snapshot);
    to(&db, &lineage, 2).unwrap();
    assert_eq!(version_of(&db, &lineage).unwrap(), 2);
}

#[test]
fn what_is_read_has_limits() {
    let limits = Limits::default();
    let read = |json: &str| Migration::from_json(json.as_bytes(), &limits);
    let misspelt = read(r#"{"steps": [{"add_colum": {}}]}"#).unwrap_err();
    assert!(misspelt.to_string().contains("line 1"), "{misspelt}");
    let steps = |count: usize| {
        let step = r#"{"remove_table":{"table":"t"}}"#;
        format!(r#"{{"steps":[{}]}}"#, vec![step; count].join(","))
    };
    assert_eq!(read(&steps(STEPS_MAX)).unwrap().steps.len(), STEPS_MAX);
    assert_eq!(
        read(&steps(STEPS_MAX + 1)).unwrap_err().kind(),
        ErrorKind::LimitExceeded
    );
    let small = Limits::default().total_bytes_max(10);
    assert_eq!(
        Migration::from_json(steps(1).as_bytes(), &small)
            .unwrap_err()
            .kind(),
        ErrorKind::LimitExceeded
    );
    let deep = "[".repeat(10_000);
    assert_eq!(read(&deep).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(
        Lineage::from_json(b"{}", &limits, Scripts::default())
            .unwrap_err()
            .kind(),
        ErrorKind::Invalid
    );
    let field = Field::new("x", FieldType::Int);
    let twice = Schema::build("t", ["x"]).field(field).finish().unwrap();
    assert_eq!(
        Lineage::new([twice.clone(), twice]).unwrap_err().kind(),
        ErrorKind::Conflict
    );
}
