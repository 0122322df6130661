//! Every kind of step with an old and a new version alive: the table in `docs/migration.md`, line by line.
//!
//! In each case, a replica of version 1 and one of version 2 write to the same rows; another one of version 1 has written before the
//! server came to version 2, and a fourth one has written and was brought to version 2 before it was online again.

use common::schema::IndexSpec;
use common::transform::Expression;
use common::{Database, Error, Row, Value, row};
use syncdb::migration::{Lineage, OnLoss, Script, Scripts, Step};
use syncdb::{Serving, SyncDb};

use super::{columns, first, int, people, reopened, replica, row_of, serve, sync, text, then};

/// What happens to a row that reads `Aino Korhonen, 40, Turku` in version 1.
struct Case {
    lineage: Lineage,
    /// The row as version 2 has it.
    begins: Row,
    /// What the old version writes, and what the new one sees of the row then.
    old: Row,
    new_sees: Row,
    /// What the new version writes after that, and what the old one sees then.
    new: Row,
    old_sees: Row,
    /// The row of a new key that the old version writes, as the new one sees it.
    old_inserts: Row,
    new_sees_inserted: Row,
    /// The same the other way round.
    new_inserts: Row,
    old_sees_inserted: Row,
}

fn aino() -> Row {
    row! { "name": "Aino Korhonen", "age": 40, "city": "Turku" }
}

fn with_id(id: i64, row: &Row) -> Row {
    row.clone().with("id", id)
}

fn check(case: &Case) {
    let old_lineage = first();
    let new_lineage = &case.lineage;
    let db = Database::new();
    let server = serve(&db, Serving::new(old_lineage.clone()));
    let [old, late, moved] = ["old", "late", "moved"].map(|name| replica(name, &old_lineage));
    for id in 1..=4 {
        old.insert("people", with_id(id, &aino())).unwrap();
    }
    for db in [&old, &late, &moved] {
        sync(&server, db);
    }
    late.update("people", 2, case.old.clone()).unwrap();
    moved.update("people", 3, case.old.clone()).unwrap();
    drop(server);

    let server = serve(&db, Serving::new(new_lineage.clone()));
    // An old replica notices nothing.
    let idle = sync(&server, &old);
    assert_eq!((idle.rows_received, idle.round_trips), (0, 1));
    let new = replica("new", new_lineage);
    sync(&server, &new);
    for id in 1..=4 {
        assert_eq!(row_of(&new, "people", id), columns(&case.begins), "begins");
    }
    old.update("people", 1, case.old.clone()).unwrap();
    sync(&server, &old);
    sync(&server, &new);
    assert_eq!(
        row_of(&new, "people", 1),
        columns(&case.new_sees),
        "the old one writes"
    );
    if !case.new.is_empty() {
        new.update("people", 1, case.new.clone()).unwrap();
    }
    assert_eq!(sync(&server, &new).conflicts, []);
    sync(&server, &old);
    assert_eq!(
        row_of(&old, "people", 1),
        columns(&case.old_sees),
        "the new one writes"
    );

    // What waited at an old replica.
    let report = sync(&server, &late);
    assert_eq!(
        (report.conflicts.len(), late.rejected().unwrap().len()),
        (0, 0)
    );
    // And at one that is of the new version when it is sent.
    let moved = reopened(&moved, new_lineage);
    assert_eq!(moved.version().unwrap(), Some(2));
    assert_eq!(
        row_of(&moved, "people", 3),
        columns(&case.new_sees),
        "made offline"
    );
    let report = sync(&server, &moved);
    assert_eq!(
        (report.conflicts.len(), moved.rejected().unwrap().len()),
        (0, 0)
    );
    sync(&server, &new);
    for (db, id) in [(&new, 2), (&new, 3), (&moved, 3), (&moved, 2)] {
        assert_eq!(
            row_of(db, "people", id),
            columns(&case.new_sees),
            "queued, row {id}"
        );
    }

    old.insert("people", with_id(11, &case.old_inserts))
        .unwrap();
    new.insert("people", with_id(12, &case.new_inserts))
        .unwrap();
    for db in [&old, &new, &old] {
        sync(&server, db);
    }
    assert_eq!(row_of(&new, "people", 11), columns(&case.new_sees_inserted));
    assert_eq!(row_of(&old, "people", 12), columns(&case.old_sees_inserted));
    // Each has what it wrote itself.
    assert_eq!(row_of(&old, "people", 11), columns(&case.old_inserts));
    // And a row that nobody wrote to is as it was.
    assert_eq!(row_of(&old, "people", 4), columns(&aino()));
    assert_eq!(row_of(&new, "people", 4), columns(&case.begins));

    // A deletion is one in every version.
    new.delete("people", 4).unwrap();
    sync(&server, &new);
    sync(&server, &old);
    assert!(old.collection("people").unwrap().get(4).is_none());
    everybody_agrees(&server, new_lineage, &[&old, &late], &[&new, &moved]);

    // Rolled back, the server goes on with both.
    drop(server);
    let server = serve(&db, Serving::new(new_lineage.clone()).current(1));
    old.update("people", 2, case.old.clone()).unwrap();
    sync(&server, &old);
    sync(&server, &new);
    assert_eq!(row_of(&new, "people", 2), columns(&case.new_sees));
    everybody_agrees(&server, new_lineage, &[&old, &late], &[&new, &moved]);
}

/// Replicas of one version have the same rows, and so has one that comes new.
fn everybody_agrees(
    server: &syncdb::SyncServer,
    new_lineage: &Lineage,
    old: &[&SyncDb],
    new: &[&SyncDb],
) {
    for (lineage, replicas) in [(&first(), old), (new_lineage, new)] {
        let fresh = replica("fresh", lineage);
        sync(server, &fresh);
        for db in replicas {
            sync(server, db);
            assert_eq!(
                db.digest().unwrap(),
                fresh.digest().unwrap(),
                "{}",
                db.replica()
            );
        }
    }
}

fn lineage(step: Step) -> Lineage {
    then(&first(), [step])
}

#[test]
fn a_column_is_added() {
    check(&Case {
        lineage: lineage(Step::AddColumn {
            table: "people".into(),
            field: text("mood").default_value("calm"),
            value: None,
        }),
        begins: aino().with("mood", "calm"),
        old: row! { "age": 41 },
        new_sees: aino().with("age", 41).with("mood", "calm"),
        new: row! { "mood": "glad", "city": "Oulu" },
        old_sees: aino().with("age", 41).with("city", "Oulu"),
        old_inserts: row! { "name": "Elli", "age": 7, "city": "Kemi" },
        new_sees_inserted: row! { "name": "Elli", "age": 7, "city": "Kemi", "mood": "calm" },
        new_inserts: row! { "name": "Veli", "age": 8, "city": "Kemi", "mood": "shy" },
        old_sees_inserted: row! { "name": "Veli", "age": 8, "city": "Kemi" },
    });
}

#[test]
fn a_column_is_removed() {
    check(&Case {
        lineage: lineage(Step::RemoveColumn {
            table: "people".into(),
            column: "age".into(),
            instead: Some(Value::from(18)),
        }),
        begins: row! { "name": "Aino Korhonen", "city": "Turku" },
        old: row! { "age": 41, "name": "Aino K" },
        new_sees: row! { "name": "Aino K", "city": "Turku" },
        new: row! { "city": "Oulu" },
        // What only the old ones know stays.
        old_sees: row! { "name": "Aino K", "age": 41, "city": "Oulu" },
        old_inserts: row! { "name": "Elli", "age": Value::Null, "city": "Kemi" },
        new_sees_inserted: row! { "name": "Elli", "city": "Kemi" },
        new_inserts: row! { "name": "Veli", "city": "Kemi" },
        old_sees_inserted: row! { "name": "Veli", "age": 18, "city": "Kemi" },
    });
}

#[test]
fn a_column_is_renamed() {
    check(&Case {
        lineage: lineage(Step::RenameColumn {
            table: "people".into(),
            column: "city".into(),
            to: "town".into(),
        }),
        begins: row! { "name": "Aino Korhonen", "age": 40, "town": "Turku" },
        old: row! { "city": "Oulu" },
        new_sees: row! { "name": "Aino Korhonen", "age": 40, "town": "Oulu" },
        new: row! { "town": "Kemi" },
        old_sees: aino().with("city", "Kemi"),
        old_inserts: row! { "name": "Elli", "age": 7, "city": "Kemi" },
        new_sees_inserted: row! { "name": "Elli", "age": 7, "town": "Kemi" },
        new_inserts: row! { "name": "Veli", "age": 8, "town": "Kemi" },
        old_sees_inserted: row! { "name": "Veli", "age": 8, "city": "Kemi" },
    });
}

fn age_as(ty: common::schema::Field, on_loss: OnLoss, on_loss_back: OnLoss) -> Lineage {
    lineage(Step::ChangeColumn {
        table: "people".into(),
        column: "age".into(),
        to: ty,
        on_loss,
        on_loss_back,
    })
}

#[test]
fn a_column_is_widened() {
    check(&Case {
        lineage: age_as(text("age").nullable(), OnLoss::Refuse, OnLoss::Null),
        begins: aino().with("age", "40"),
        old: row! { "age": 41 },
        new_sees: aino().with("age", "41"),
        new: row! { "age": "forty" },
        old_sees: aino().with("age", Value::Null),
        old_inserts: row! { "name": "Elli", "age": Value::Null, "city": "Kemi" },
        new_sees_inserted: row! { "name": "Elli", "age": Value::Null, "city": "Kemi" },
        new_inserts: row! { "name": "Veli", "age": "8", "city": "Kemi" },
        old_sees_inserted: row! { "name": "Veli", "age": 8, "city": "Kemi" },
    });
}

#[test]
fn a_column_is_narrowed() {
    let most = common::schema::Rule::at_most(100);
    check(&Case {
        lineage: age_as(
            int("age").nullable().rule(most),
            OnLoss::Clamp,
            OnLoss::Refuse,
        ),
        begins: aino(),
        old: row! { "age": 130 },
        new_sees: aino().with("age", 100),
        new: row! { "city": "Oulu" },
        // It is not cut off for those who wrote it.
        old_sees: aino().with("age", 130).with("city", "Oulu"),
        old_inserts: row! { "name": "Elli", "age": 107, "city": "Kemi" },
        new_sees_inserted: row! { "name": "Elli", "age": 100, "city": "Kemi" },
        new_inserts: row! { "name": "Veli", "age": 8, "city": "Kemi" },
        old_sees_inserted: row! { "name": "Veli", "age": 8, "city": "Kemi" },
    });
}

#[test]
fn an_optional_column_becomes_required() {
    check(&Case {
        lineage: age_as(int("age"), OnLoss::Value(Value::from(0)), OnLoss::Refuse),
        begins: aino(),
        old: row! { "age": Value::Null },
        new_sees: aino().with("age", 0),
        new: row! { "age": 3 },
        old_sees: aino().with("age", 3),
        old_inserts: row! { "name": "Elli", "age": Value::Null, "city": "Kemi" },
        new_sees_inserted: row! { "name": "Elli", "age": 0, "city": "Kemi" },
        new_inserts: row! { "name": "Veli", "age": 8, "city": "Kemi" },
        old_sees_inserted: row! { "name": "Veli", "age": 8, "city": "Kemi" },
    });
}

#[test]
fn a_required_column_becomes_optional() {
    let to = text("name").nullable();
    check(&Case {
        lineage: lineage(Step::ChangeColumn {
            table: "people".into(),
            column: "name".into(),
            to,
            on_loss: OnLoss::Refuse,
            on_loss_back: OnLoss::Value(Value::from("?")),
        }),
        begins: aino(),
        old: row! { "name": "Aino" },
        new_sees: aino().with("name", "Aino"),
        new: row! { "name": Value::Null },
        old_sees: aino().with("name", "?"),
        old_inserts: row! { "name": "Elli", "age": 7, "city": "Kemi" },
        new_sees_inserted: row! { "name": "Elli", "age": 7, "city": "Kemi" },
        new_inserts: row! { "name": Value::Null, "age": 8, "city": "Kemi" },
        old_sees_inserted: row! { "name": "?", "age": 8, "city": "Kemi" },
    });
}

#[test]
fn a_column_is_split() {
    check(&Case {
        lineage: lineage(Step::SplitColumn {
            table: "people".into(),
            column: "name".into(),
            into: vec![text("first"), text("last")],
            separator: " ".into(),
            on_loss: OnLoss::Value(Value::from("")),
        }),
        begins: row! { "first": "Aino", "last": "Korhonen", "age": 40, "city": "Turku" },
        old: row! { "name": "Aino Virtanen" },
        new_sees: row! { "first": "Aino", "last": "Virtanen", "age": 40, "city": "Turku" },
        new: row! { "first": "Anna" },
        old_sees: aino().with("name", "Anna Virtanen"),
        old_inserts: row! { "name": "Elli Salo", "age": 7, "city": "Kemi" },
        new_sees_inserted: row! { "first": "Elli", "last": "Salo", "age": 7, "city": "Kemi" },
        new_inserts: row! { "first": "Veli", "last": "Salo", "age": 8, "city": "Kemi" },
        old_sees_inserted: row! { "name": "Veli Salo", "age": 8, "city": "Kemi" },
    });
}

#[test]
fn columns_are_merged() {
    check(&Case {
        lineage: then(
            &first(),
            [
                Step::RemoveIndex {
                    table: "people".into(),
                    index: people().indexes[0].name.clone(),
                },
                Step::MergeColumns {
                    table: "people".into(),
                    columns: vec!["name".into(), "city".into()],
                    into: text("label"),
                    separator: ", ".into(),
                    on_loss: OnLoss::Value(Value::from("")),
                },
            ],
        ),
        begins: row! { "label": "Aino Korhonen, Turku", "age": 40 },
        old: row! { "city": "Oulu" },
        new_sees: row! { "label": "Aino Korhonen, Oulu", "age": 40 },
        new: row! { "label": "Aino, Kemi" },
        old_sees: row! { "name": "Aino", "age": 40, "city": "Kemi" },
        old_inserts: row! { "name": "Elli, the elder", "age": 7, "city": "Kemi" },
        new_sees_inserted: row! { "label": "Elli, the elder, Kemi", "age": 7 },
        new_inserts: row! { "label": "Veli, Kemi", "age": 8 },
        old_sees_inserted: row! { "name": "Veli", "age": 8, "city": "Kemi" },
    });
}

#[test]
fn a_column_is_computed() {
    check(&Case {
        lineage: lineage(Step::ComputeColumn {
            table: "people".into(),
            field: int("months").nullable(),
            from: Expression::column("age") * Expression::literal(12),
            on_loss: OnLoss::Refuse,
        }),
        begins: aino().with("months", 480),
        old: row! { "age": 41 },
        new_sees: aino().with("age", 41).with("months", 492),
        new: row! { "age": 50 },
        old_sees: aino().with("age", 50),
        old_inserts: row! { "name": "Elli", "age": 7, "city": "Kemi" },
        new_sees_inserted: row! { "name": "Elli", "age": 7, "city": "Kemi", "months": 84 },
        new_inserts: row! { "name": "Veli", "age": 8, "city": "Kemi", "months": 96 },
        old_sees_inserted: row! { "name": "Veli", "age": 8, "city": "Kemi" },
    });
}

#[test]
fn columns_are_made_by_a_script() {
    let cents = |row: &[Value]| match row[0].as_int() {
        Some(age) => Ok(vec![Value::from(age * 100)]),
        None => Err(Error::invalid("no age")),
    };
    let back = |row: &[Value]| Ok(vec![Value::from(row[0].as_int().unwrap_or(0) / 100)]);
    let scripts = Scripts::default().with("cents", Script::new(cents).backward(back));
    let lineage = first().scripts(scripts);
    check(&Case {
        lineage: then(
            &lineage,
            [Step::Script {
                table: "people".into(),
                columns: vec!["age".into()],
                into: vec![int("hundredths")],
                keep: false,
                function: "cents".into(),
            }],
        ),
        begins: row! { "name": "Aino Korhonen", "hundredths": 4_000, "city": "Turku" },
        old: row! { "age": 41 },
        new_sees: row! { "name": "Aino Korhonen", "hundredths": 4_100, "city": "Turku" },
        new: row! { "hundredths": 5_000 },
        old_sees: aino().with("age", 50),
        old_inserts: row! { "name": "Elli", "age": 7, "city": "Kemi" },
        new_sees_inserted: row! { "name": "Elli", "hundredths": 700, "city": "Kemi" },
        new_inserts: row! { "name": "Veli", "hundredths": 800, "city": "Kemi" },
        old_sees_inserted: row! { "name": "Veli", "age": 8, "city": "Kemi" },
    });
}

#[test]
fn an_index_comes_and_another_goes() {
    check(&Case {
        lineage: then(
            &first(),
            [
                Step::AddIndex {
                    table: "people".into(),
                    index: IndexSpec::ordered(["age"]),
                },
                Step::RemoveIndex {
                    table: "people".into(),
                    index: people().indexes[0].name.clone(),
                },
            ],
        ),
        begins: aino(),
        old: row! { "age": 41 },
        new_sees: aino().with("age", 41),
        new: row! { "city": "Oulu" },
        old_sees: aino().with("age", 41).with("city", "Oulu"),
        old_inserts: row! { "name": "Elli", "age": 7, "city": "Kemi" },
        new_sees_inserted: row! { "name": "Elli", "age": 7, "city": "Kemi" },
        new_inserts: row! { "name": "Veli", "age": 8, "city": "Kemi" },
        old_sees_inserted: row! { "name": "Veli", "age": 8, "city": "Kemi" },
    });
}

#[test]
fn every_line_of_the_documentation_has_its_test() {
    let folder = env!("CARGO_MANIFEST_DIR");
    let read = |path: &str| std::fs::read_to_string(format!("{folder}/{path}")).unwrap();
    let sources =
        ["kinds", "deploys", "upgrade"].map(|name| read(&format!("tests/versions/{name}.rs")));
    let page = read("../../docs/migration.md");
    let table = page.split("| step | the old one writes |").nth(1).unwrap();
    let lines = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut count = 0;
    for line in lines {
        let name = line
            .trim_end_matches([' ', '|'])
            .rsplit('`')
            .nth(1)
            .unwrap();
        let declared = format!("fn {name}()");
        assert!(
            sources.iter().any(|source| source.contains(&declared)),
            "{line}"
        );
        count += 1;
    }
    assert_eq!(count, 14);
}
