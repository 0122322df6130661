use common::schema::{Field, FieldType, IndexSpec, Rule};
use common::transform::Expression;
use common::{Database, Value, row};
use syncdb::migration::{Lineage, Migration, OnLoss, Script, Scripts, Step, Way};

use super::{database, int, lineage, people, rows, table, text, to};

/// The one row after the step, and that going back gives the row before.
fn there_and_back(step: Step, row: common::Row) -> Vec<(String, Value)> {
    let db = database([row]);
    let before = rows(&db, "people");
    let lineage = lineage([step]).unwrap();
    to(&db, &lineage, 2).unwrap();
    let after = rows(&db, "people").remove(0);
    to(&db, &lineage, 1).unwrap();
    assert_eq!(rows(&db, "people"), before);
    after
}

fn named(values: &[(&str, Value)]) -> Vec<(String, Value)> {
    let values = values.iter();
    values
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn aino() -> common::Row {
    row! { "id": 1, "name": "Aino Maria Korhonen", "age": 40, "city": "Oulu" }
}

#[test]
fn a_column_is_added_in_place() {
    let step = |value: Option<Value>| Step::AddColumn {
        table: "people".into(),
        field: text("email").default_value("none"),
        value,
    };
    let after = there_and_back(step(None), aino());
    assert_eq!(after[4], ("email".into(), Value::from("none")));
    let after = there_and_back(step(Some("unknown".into())), aino());
    assert_eq!(after[4], ("email".into(), Value::from("unknown")));
    let db = database([aino()]);
    let report = to(&db, &lineage([step(None)]).unwrap(), 2).unwrap();
    assert_eq!(report.tables["people"].way, Way::InPlace);
    table(&db).insert(row! { "id": 2, "name": "B" }).unwrap();
    assert_eq!(rows(&db, "people")[1][4].1, Value::from("none"));
}

#[test]
fn a_removed_column_comes_back_as_said() {
    let db = database([aino()]);
    let lineage = lineage([
        Step::RemoveIndex {
            table: "people".into(),
            index: "city".into(),
        },
        Step::RemoveColumn {
            table: "people".into(),
            column: "city".into(),
            instead: Some("Nowhere".into()),
        },
    ])
    .unwrap();
    to(&db, &lineage, 2).unwrap();
    let left = named(&[
        ("id", 1.into()),
        ("name", "Aino Maria Korhonen".into()),
        ("age", 40.into()),
    ]);
    assert_eq!(rows(&db, "people"), [left]);
    to(&db, &lineage, 1).unwrap();
    assert_eq!(
        rows(&db, "people")[0][3],
        ("city".into(), Value::from("Nowhere"))
    );
    assert_eq!(table(&db).indexes().len(), 1);
}

#[test]
fn a_renamed_column_takes_its_index_along() {
    let step = Step::RenameColumn {
        table: "people".into(),
        column: "city".into(),
        to: "town".into(),
    };
    let after = there_and_back(step.clone(), aino());
    assert_eq!(after[3], ("town".into(), Value::from("Oulu")));
    let db = database([aino()]);
    let report = to(&db, &lineage([step]).unwrap(), 2).unwrap();
    assert_eq!(report.tables["people"].way, Way::InPlace);
    let table = table(&db);
    assert_eq!(table.schema().indexes[0].columns, ["town"]);
    let index = table.indexes()[0].clone();
    let found = db
        .snapshot()
        .view()
        .equal(&table, &index, &["Oulu".into()])
        .unwrap();
    assert_eq!(found.len(), 1);
}

#[test]
fn a_column_is_widened_and_narrowed() {
    let age = |to: Field, on_loss: OnLoss| Step::ChangeColumn {
        table: "people".into(),
        column: "age".into(),
        to,
        on_loss,
        on_loss_back: OnLoss::Refuse,
    };
    let wide = there_and_back(age(text("age").nullable(), OnLoss::Refuse), aino());
    assert_eq!(wide[2], ("age".into(), Value::from("40")), "in its place");
    let float = Field::new("years", FieldType::Float).nullable();
    let after = there_and_back(age(float, OnLoss::Refuse), aino());
    assert_eq!(
        after[2],
        ("years".into(), Value::from(40.0)),
        "under another name"
    );
    let required = there_and_back(age(int("age"), OnLoss::Value(0.into())), aino());
    assert_eq!(required[2].1, Value::from(40));
    let nobody = row! { "id": 2, "name": "B", "age": Value::Null, "city": "x" };
    let db = database([aino(), nobody]);
    let lineage = lineage([age(int("age").rule(Rule::between(0, 30)), OnLoss::Clamp)]);
    let refused = to(&db, &lineage.unwrap(), 2).unwrap_err();
    assert!(
        refused.to_string().contains("people(2).age"),
        "null has no nearest: {refused}"
    );
    let lineage = super::lineage([age(
        int("age").nullable().rule(Rule::between(0, 30)),
        OnLoss::Clamp,
    )]);
    let report = to(&db, &lineage.unwrap(), 2).unwrap();
    assert_eq!(report.tables["people"].lossy, 1);
    assert_eq!(rows(&db, "people")[0][2].1, Value::from(30));
    assert_eq!(rows(&db, "people")[1][2].1, Value::Null);
}

#[test]
fn a_text_is_cut_to_its_new_length() {
    let step = Step::ChangeColumn {
        table: "people".into(),
        column: "name".into(),
        to: text("name").rule(Rule::length(0, 4)),
        on_loss: OnLoss::Clamp,
        on_loss_back: OnLoss::Refuse,
    };
    let db = database([aino(), row! { "id": 2, "name": "Åsa" }]);
    to(&db, &lineage([step]).unwrap(), 2).unwrap();
    assert_eq!(rows(&db, "people")[0][1].1, Value::from("Aino"));
    assert_eq!(rows(&db, "people")[1][1].1, Value::from("Åsa"));
}

#[test]
fn an_enumeration_grows() {
    let colour = |values: &[&str]| {
        let values = values.iter().copied().map(Value::from).collect();
        text("city").rule(Rule::OneOf(values))
    };
    let mut schema = people();
    schema.fields[3] = colour(&["Oulu", "Turku"]).id(4);
    let grow = |on_loss_back| Step::ChangeColumn {
        table: "people".into(),
        column: "city".into(),
        to: colour(&["Oulu", "Turku", "Pori"]),
        on_loss: OnLoss::Refuse,
        on_loss_back,
    };
    let db = Database::new();
    db.create_collection(schema.clone())
        .unwrap()
        .insert(aino())
        .unwrap();
    let lineage = |on_loss_back| {
        let first = Lineage::new([schema.clone()])?;
        first.then(Migration::new([grow(on_loss_back)]))
    };
    let turku = lineage(OnLoss::Value("Turku".into())).unwrap();
    to(&db, &turku, 2).unwrap();
    table(&db).update(1, row! { "city": "Pori" }).unwrap();
    let refused = to(&db, &lineage(OnLoss::Refuse).unwrap(), 1).unwrap_err();
    assert!(refused.to_string().contains("people(1).city"), "{refused}");
    let report = to(&db, &turku, 1).unwrap();
    assert_eq!(report.tables["people"].lossy, 1);
    assert_eq!(rows(&db, "people")[0][3].1, Value::from("Turku"));
    let wrong = lineage(OnLoss::Value("Rome".into())).unwrap_err();
    assert!(wrong.to_string().contains("does not fit either"), "{wrong}");
}

#[test]
fn a_column_is_split_and_others_are_merged() {
    let split = Step::SplitColumn {
        table: "people".into(),
        column: "name".into(),
        into: vec![text("first"), text("last").nullable()],
        separator: " ".into(),
        on_loss: OnLoss::Refuse,
    };
    let after = there_and_back(split.clone(), aino());
    let split_names = [
        ("first".into(), Value::from("Aino")),
        ("last".into(), "Maria Korhonen".into()),
    ];
    assert_eq!(after[1..3], split_names);
    let single = there_and_back(split, row! { "id": 1, "name": "Cher" });
    assert_eq!(single[2], ("last".into(), Value::Null));
    let db = database([aino()]);
    let merged = lineage([
        Step::RemoveIndex {
            table: "people".into(),
            index: "city".into(),
        },
        Step::MergeColumns {
            table: "people".into(),
            columns: vec!["age".into(), "city".into()],
            into: text("label").nullable(),
            separator: "@".into(),
            on_loss: OnLoss::Refuse,
        },
    ])
    .unwrap();
    let before = rows(&db, "people");
    to(&db, &merged, 2).unwrap();
    assert_eq!(
        rows(&db, "people")[0][2],
        ("label".into(), Value::from("40@Oulu"))
    );
    to(&db, &merged, 1).unwrap();
    assert_eq!(rows(&db, "people"), before, "the number is a number again");
}

#[test]
fn a_column_is_computed_from_others() {
    let step = Step::ComputeColumn {
        table: "people".into(),
        field: int("months").nullable(),
        from: Expression::column("age") * Expression::literal(12),
        on_loss: OnLoss::Refuse,
    };
    let after = there_and_back(step, aino());
    assert_eq!(after[4], ("months".into(), Value::from(480)));
}

#[test]
fn a_script_does_what_no_step_does() {
    let reversed = |row: &[Value]| {
        let text = row[0].as_text().unwrap_or_default();
        Ok(vec![Value::from(text.chars().rev().collect::<String>())])
    };
    let scripts = Scripts::default().with("reversed", Script::new(reversed).backward(reversed));
    let step = Step::Script {
        table: "people".into(),
        columns: vec!["name".into()],
        into: vec![text("eman")],
        keep: false,
        function: "reversed".into(),
    };
    let lineage = Lineage::new([people()])
        .unwrap()
        .scripts(scripts.clone())
        .then(Migration::new([step]))
        .unwrap();
    let db = database([aino()]);
    let before = rows(&db, "people");
    to(&db, &lineage, 2).unwrap();
    assert_eq!(
        rows(&db, "people")[0][1].1,
        Value::from("nenohroK airaM oniA")
    );
    to(&db, &lineage, 1).unwrap();
    assert_eq!(rows(&db, "people"), before);
    // The chain is data, but for its functions.
    let json = lineage.to_json().unwrap();
    let limits = common::Limits::default();
    let read = Lineage::from_json(&json, &limits, scripts).unwrap();
    assert_eq!(read.latest().schemas, lineage.latest().schemas);
    let unknown = Lineage::from_json(&json, &limits, Scripts::default()).unwrap_err();
    assert!(
        unknown
            .to_string()
            .contains("no script `reversed` is registered"),
        "{unknown}"
    );
}

#[test]
fn a_table_gets_another_key() {
    let step = Step::ChangeKey {
        table: "people".into(),
        key: vec!["city".into(), "name".into()],
    };
    let db = database([aino(), row! { "id": 2, "name": "B" }]);
    let before = rows(&db, "people");
    let lineage = lineage([step]).unwrap();
    to(&db, &lineage, 2).unwrap();
    let found = table(&db).get(common::RecordId::composite([
        "Oulu".into(),
        "Aino Maria Korhonen".into(),
    ]));
    assert_eq!(found.unwrap()[2], Value::from(1));
    to(&db, &lineage, 1).unwrap();
    assert_eq!(rows(&db, "people"), before);
    table(&db).insert(row! { "id": 3, "name": "B" }).unwrap();
    let refused = to(&db, &lineage, 2).unwrap_err();
    assert!(refused.to_string().contains("rows 2 and 3"), "{refused}");
    assert_eq!(table(&db).schema().key_columns, 1);
}

#[test]
fn tables_and_indexes_come_and_go() {
    let notes = common::schema::Schema::build("notes", ["id"]).field(int("id"));
    let steps = [
        Step::AddTable {
            schema: notes.finish().unwrap(),
        },
        Step::AddIndex {
            table: "people".into(),
            index: IndexSpec::ordered(["age"]),
        },
        Step::RemoveIndex {
            table: "people".into(),
            index: "city".into(),
        },
    ];
    let lineage = lineage(steps)
        .unwrap()
        .then(Migration::new([Step::RemoveTable {
            table: "people".into(),
        }]))
        .unwrap();
    let db = database([aino()]);
    to(&db, &lineage, 2).unwrap();
    assert_eq!(table(&db).schema().indexes, [IndexSpec::ordered(["age"])]);
    assert!(db.collection("notes").unwrap().is_empty());
    let report = to(&db, &lineage, 3).unwrap();
    assert_eq!(
        (report.tables["people"].way, report.tables["people"].rows),
        (Way::Drop, 1)
    );
    assert!(db.collection("people").is_err());
    to(&db, &lineage, 1).unwrap();
    assert_eq!(rows(&db, "people"), Vec::<Vec<(String, Value)>>::new());
    assert!(db.collection("notes").is_err());
}
