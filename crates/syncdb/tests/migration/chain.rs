use common::schema::{Field, FieldType};
use common::transform::Expression;
use common::{Row, Value, row};
use proptest::prelude::*;
use syncdb::migration::{Lineage, Migration, OnLoss, Step, migrate, version_of};

use super::{database, int, people, rows, text, to};

fn on(step: impl FnOnce(common::Text) -> Step) -> Step {
    step("people".into())
}

/// Four migrations, one column through several of them.
fn chain() -> Lineage {
    let migrations = [
        vec![
            on(|table| Step::SplitColumn {
                table,
                column: "name".into(),
                into: vec![text("first"), text("last").nullable()],
                separator: " ".into(),
                on_loss: OnLoss::Refuse,
            }),
            on(|table| Step::AddColumn {
                table,
                field: int("level").default_value(1),
                value: None,
            }),
        ],
        vec![
            on(|table| Step::RenameColumn {
                table,
                column: "last".into(),
                to: "family".into(),
            }),
            on(|table| Step::ChangeColumn {
                table,
                column: "age".into(),
                to: text("age").nullable(),
                on_loss: OnLoss::Refuse,
                on_loss_back: OnLoss::Null,
            }),
        ],
        vec![
            on(|table| Step::MergeColumns {
                table,
                columns: vec!["family".into(), "first".into()],
                into: text("listed").nullable(),
                separator: ", ".into(),
                on_loss: OnLoss::Refuse,
            }),
            on(|table| Step::ComputeColumn {
                table,
                field: int("points").nullable(),
                from: Expression::column("level") * Expression::literal(10),
                on_loss: OnLoss::Refuse,
            }),
        ],
        vec![
            on(|table| Step::ChangeColumn {
                table,
                column: "city".into(),
                to: Field::new("city", FieldType::Text).nullable(),
                on_loss: OnLoss::Refuse,
                on_loss_back: OnLoss::Value("Turku".into()),
            }),
            on(|table| Step::ChangeKey {
                table,
                key: vec!["level".into(), "id".into()],
            }),
        ],
    ];
    let first = Lineage::new([people()]).unwrap();
    let migrations = migrations.into_iter().map(Migration::new);
    migrations.fold(first, |lineage, migration| lineage.then(migration).unwrap())
}

fn person() -> impl Strategy<Value = (String, Option<i64>, Option<String>)> {
    (
        "[a-zåö]{0,5}( [a-z]{1,5}){0,2}",
        proptest::option::of(0..120_i64),
        proptest::option::of("[A-Z]{0,3}"),
    )
}

fn people_of(found: &[(String, Option<i64>, Option<String>)]) -> Vec<Row> {
    let numbered = (0_i64..).zip(found);
    let rows = numbered.map(|(id, (name, age, city))| {
        let row = row! { "id": id, "name": name.as_str(), "age": *age };
        match city {
            Some(city) => row.with("city", city.as_str()),
            None => row,
        }
    });
    rows.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn several_versions_in_one_pass_are_as_one_after_another(
        found in proptest::collection::vec(person(), 0..12),
        target in 2..=5_u32,
    ) {
        let lineage = chain();
        let (at_once, by_steps) = (database(people_of(&found)), database(people_of(&found)));
        let before = rows(&at_once, "people");
        to(&at_once, &lineage, target).unwrap();
        for version in 2..=target {
            to(&by_steps, &lineage, version).unwrap();
        }
        prop_assert_eq!(rows(&at_once, "people"), rows(&by_steps, "people"));
        prop_assert_eq!(version_of(&at_once, &lineage).unwrap(), target);
        // And back: what went into the steps comes out of them. A text does not tell an empty part from one that is not there.
        if target != 4 {
            to(&by_steps, &lineage, target - 1).unwrap();
            to(&by_steps, &lineage, target).unwrap();
            prop_assert_eq!(rows(&at_once, "people"), rows(&by_steps, "people"));
        }
        if target <= 3 {
            to(&at_once, &lineage, 1).unwrap();
            prop_assert_eq!(rows(&at_once, "people"), before);
        }
    }
}

#[test]
fn a_database_that_missed_versions_catches_up_in_one_commit() {
    let lineage = chain();
    let db = database([row! { "id": 7, "name": "Aino Korhonen", "age": 40, "city": "Oulu" }]);
    let seq = db.seq();
    let report = migrate(&db, &lineage, 5, &mut |_, _, _| true).unwrap();
    assert_eq!((report.from, report.to), (1, 5));
    assert_eq!(db.seq().0, seq.0 + 1);
    let row: Vec<Value> = rows(&db, "people")
        .remove(0)
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    let expected: [Value; 6] = [
        1.into(),
        7.into(),
        "Korhonen, Aino".into(),
        "40".into(),
        "Oulu".into(),
        10.into(),
    ];
    assert_eq!(row, expected);
    let history = db.collection("sync_lineage").unwrap();
    assert_eq!(history.get(1).unwrap()[2], Value::from(5));
}
