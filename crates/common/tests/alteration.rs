//! Tables that get other columns while the database is in use.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops where something is wrong"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use common::database::{Alteration, Derivation};
use common::query::{Filter, Query};
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::storage::{Fill, StorageKind};
use common::versioning::ChangeKind;
use common::{Collection, Database, ErrorKind, Result, Value, ValueInput, row};
use proptest::prelude::*;

fn people(columns: &[Field]) -> Schema {
    let schema = Schema::build("people", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("name", FieldType::Text));
    let columns = columns.iter().cloned();
    columns
        .fold(schema, common::schema::SchemaBuilder::field)
        .finish()
        .unwrap()
}

fn age() -> Field {
    Field::new("age", FieldType::Int).default_value(18)
}

fn shout() -> Fill {
    Fill::Computed {
        from: vec![1],
        function: Arc::new(|row| Value::from(row[1].as_text().unwrap_or_default().to_uppercase())),
    }
}

fn filled(schema: Schema, fills: Vec<Fill>) -> Alteration<'static> {
    Alteration::Extend {
        schema,
        fills,
        derivation: None,
    }
}

fn opened() -> (Database, Collection) {
    let db = Database::new();
    let table = db.create_collection(people(&[])).unwrap();
    for (id, name) in [(1, "Aino"), (2, "Bo"), (3, "Cilla")] {
        table.insert(row! { "id": id, "name": name }).unwrap();
    }
    (db, table)
}

fn rows(table: &Collection) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    let snapshot = table.database().snapshot();
    snapshot
        .view()
        .scan(table, &mut |records| {
            rows.extend(records.iter().map(|record| record.values().to_vec()));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    rows.sort();
    rows
}

#[test]
fn a_new_column_shows_in_every_kind_of_read_and_no_row_is_touched() {
    let (db, old) = opened();
    let earlier = db.snapshot();
    let from = db.seq();
    old.update(2, row! { "name": "Bosse" }).unwrap();
    let committed = db.seq();
    let mut schema = people(&[age(), Field::new("loud", FieldType::Text)]);
    schema.indexes.push(IndexSpec::ordered(["age"]));
    db.alter(vec![filled(
        schema,
        vec![Fill::Value(Value::from(18)), shout()],
    )])
    .unwrap();
    assert_eq!(db.seq(), committed, "no commit");
    let table = db.collection("people").unwrap();
    let bosse = [2.into(), "Bosse".into(), 18.into(), Value::from("BOSSE")];
    assert_eq!(table.get(2).unwrap().values(), bosse);
    assert_eq!(rows(&table)[1], bosse);
    assert_eq!(
        earlier.get(&table, 2).unwrap().unwrap().values(),
        [2.into(), "Bo".into(), 18.into(), Value::from("BO")],
        "what was replaced before the alteration, seen by a snapshot of before"
    );
    let by_age = Query::from("people").filter(Filter::eq("age", 18));
    assert_eq!(
        by_age.run(&db.snapshot().view()).unwrap().rows.len(),
        3,
        "by the new index"
    );
    let mut tx = db.begin();
    assert_eq!(tx.get(&table, 1).unwrap().unwrap()[3], Value::from("AINO"));
    tx.update(&table, 1, row! { "age": 40 }).unwrap();
    tx.commit().unwrap();
    assert_eq!(
        table.get(1).unwrap().values(),
        [1.into(), "Aino".into(), 40.into(), Value::from("AINO")]
    );
    assert_eq!(by_age.run(&db.snapshot().view()).unwrap().rows.len(), 2);
    // The log tells of earlier commits as if the columns had been there.
    let changes = db.changes_since(from, 10).unwrap();
    assert_eq!(changes[0].kind, ChangeKind::Update);
    assert_eq!(changes[0].record.values(), bosse);
    let positions: Vec<usize> = changes[0].columns.iter().collect();
    assert_eq!(positions, [1, 3], "the name, and what is computed from it");
    assert_eq!(changes[1].columns.iter().collect::<Vec<_>>(), [2]);
}

#[test]
fn a_handle_of_before_reads_on_and_does_not_write() {
    let (db, old) = opened();
    assert!(old.is_current());
    db.alter(vec![filled(people(&[age()]), vec![Fill::Value(18.into())])])
        .unwrap();
    assert!(!old.is_current());
    assert_eq!(old.get(3).unwrap()[1], Value::from("Cilla"));
    let error = old.insert(row! { "id": 9, "name": "Z" }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().contains("take it anew"), "{error}");
}

#[test]
fn settling_writes_each_row_once_and_may_be_interrupted() {
    let db = Database::new();
    let table = db.create_collection(people(&[])).unwrap();
    db.transaction(|tx| {
        for id in 0..3_000 {
            tx.insert(&table, row! { "id": id, "name": "x" })?;
        }
        Ok(())
    })
    .unwrap();
    db.alter(vec![filled(people(&[age()]), vec![Fill::Value(18.into())])])
        .unwrap();
    let table = db.collection("people").unwrap();
    table.update(5, row! { "age": 5 }).unwrap();
    let whole = rows(&table);
    let seq = db.seq();
    let done = db.settle(&table, &mut |done, all| {
        assert_eq!(all, 2_999, "one was written by somebody else");
        done < 1_500
    });
    assert_eq!(done.unwrap(), 2_048);
    assert_eq!(rows(&table), whole);
    assert_eq!(db.settle(&table, &mut |_, _| true).unwrap(), 951);
    assert_eq!(db.settle(&table, &mut |_, _| true).unwrap(), 0);
    assert_eq!((rows(&table), db.seq()), (whole, seq));
}

#[test]
fn derived_columns_follow_every_write() {
    let (db, _) = opened();
    let derivation = Derivation::new(|_, row| {
        let letters = row[1].as_text().unwrap_or_default().chars();
        row[2] = Value::from(letters.fold(0_i64, |n, _| n + 1));
        if row[2] == Value::from(0) {
            return Err(common::Error::invalid("nobody has no name"));
        }
        Ok(())
    });
    db.alter(vec![Alteration::Extend {
        schema: people(&[Field::new("letters", FieldType::Int).default_value(0)]),
        fills: vec![Fill::Value(0.into())],
        derivation: Some(derivation),
    }])
    .unwrap();
    let table = db.collection("people").unwrap();
    table.insert(row! { "id": 4, "name": "Dag" }).unwrap();
    table.update(1, row! { "name": "Aino-Maria" }).unwrap();
    table
        .upsert(row! { "id": 2, "name": "B", "letters": 77 })
        .unwrap();
    let letters = |id: i64| table.get(id).unwrap()[2].clone();
    assert_eq!(
        [letters(4), letters(1), letters(2)],
        [3.into(), 10.into(), Value::from(1)]
    );
    let refused = table.update(1, row! { "name": "" }).unwrap_err();
    assert!(refused.to_string().contains("nobody has no name"));
    assert_eq!(letters(1), Value::from(10));
}

#[test]
fn a_rebuilt_table_has_other_columns_and_another_key() {
    let (db, old) = opened();
    let by_name = || {
        Schema::build("people", ["name"])
            .field(Field::new("name", FieldType::Text).id(2))
            .index(IndexSpec::hash(["name"]).unique())
            .finish()
            .unwrap()
    };
    let rebuild = || Alteration::Rebuild {
        schema: by_name(),
        row: Box::new(|record, values| {
            values.push((&record[1]).into());
            Ok(())
        }),
        derivation: None,
    };
    let snapshot = db.snapshot();
    let refused = db.alter(vec![rebuild()]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    drop(snapshot);
    old.insert(row! { "id": 4, "name": "Bo" }).unwrap();
    let refused = db.alter(vec![rebuild()]).unwrap_err();
    assert!(refused.to_string().contains("rows 2 and 4"), "{refused}");
    assert!(old.is_current(), "nothing has happened");
    old.delete(4).unwrap();
    let from = db.seq();
    db.alter(vec![rebuild()]).unwrap();
    let table = db.collection("people").unwrap();
    assert_eq!(table.get("Bo").unwrap().values(), [Value::from("Bo")]);
    assert_eq!(
        table.get("Bo").unwrap().metadata().revision,
        1,
        "not written again"
    );
    assert_eq!((table.len(), old.len()), (3, 3));
    assert!(db.changes_since(from, 10).unwrap().is_empty());
    let past = db.changes_since(common::Seq::ZERO, 10).unwrap_err();
    assert_eq!(past.kind(), ErrorKind::NotFound, "its columns are no more");
}

#[test]
fn alterations_take_effect_together_or_not_at_all() {
    let (db, old) = opened();
    let notes = || Alteration::Create {
        schema: Schema::build("notes", ["id"])
            .field(Field::new("id", FieldType::Int))
            .finish()
            .unwrap(),
        kind: StorageKind::Ordered,
    };
    let extend = || filled(people(&[age()]), vec![Fill::Value(18.into())]);
    let drop_it = |table: &str| Alteration::Drop {
        table: table.into(),
    };
    let refused = db
        .alter(vec![notes(), extend(), drop_it("nothing")])
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    assert!(old.is_current() && db.collection("notes").is_err());
    // A commit that fails takes the alterations back.
    let other = db
        .create_collection(
            Schema::build("other", ["id"])
                .field(Field::new("id", FieldType::Int))
                .field(Field::new("code", FieldType::Int))
                .index(IndexSpec::hash(["code"]).unique())
                .finish()
                .unwrap(),
        )
        .unwrap();
    let broken = |second: i64| {
        let mut tx = db.begin();
        tx.insert(&other, row! { "id": 1, "code": 7 })?;
        tx.insert(&other, row! { "id": 2, "code": second })?;
        tx.commit_altered(vec![notes(), extend()])
    };
    assert_eq!(broken(7).unwrap_err().kind(), ErrorKind::Conflict);
    assert!(old.is_current() && db.collection("notes").is_err());
    old.insert(row! { "id": 8, "name": "H" }).unwrap();
    broken(8).unwrap();
    assert_eq!(
        db.collection("notes").unwrap().storage_kind().open().name(),
        "ordered"
    );
    assert_eq!(db.collection("people").unwrap().get(8).unwrap().len(), 3);
    // A table that is written to in the transaction.
    let mut tx = db.begin();
    tx.delete(&other, 1).unwrap();
    let refused = tx.commit_altered(vec![drop_it("other")]).unwrap_err();
    assert!(
        refused.to_string().contains("has written to it"),
        "{refused}"
    );
    db.alter(vec![drop_it("other"), drop_it("notes")]).unwrap();
    assert!(db.collection("other").is_err());
    assert!(
        other
            .insert(row! { "id": 3, "code": 3 })
            .unwrap_err()
            .to_string()
            .contains("dropped")
    );
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let (db, table) = opened();
    let says = |alteration: Alteration<'_>, expected: &str| {
        let error = db.alter(vec![alteration]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    says(
        filled(people(&[age()]), vec![]),
        "1 columns are added, and 0 are filled",
    );
    says(
        filled(
            people(&[Field::new("age", FieldType::Int)]),
            vec![Fill::Value(Value::Null)],
        ),
        "`age` is not nullable",
    );
    let mut moved = people(&[]);
    moved.fields[1].ty = FieldType::Int;
    says(filled(moved, vec![]), "`name` is no more at its place 1");
    let beyond = Fill::Computed {
        from: vec![2],
        function: Arc::new(|_| Value::Null),
    };
    says(
        filled(people(&[age()]), vec![beyond]),
        "which is not before it",
    );
    let mut unique = people(&[age()]);
    unique.indexes.push(IndexSpec::hash(["age"]).unique());
    says(
        filled(unique, vec![Fill::Value(18.into())]),
        "cannot be unique",
    );
    says(
        Alteration::Rebuild {
            schema: people(&[]),
            row: Box::new(|_, values| {
                values.extend([Value::from("one"), Value::Null].map(ValueInput::from));
                Ok(())
            }),
            derivation: None,
        },
        "row 1 of `people`",
    );
    assert!(table.is_current());
}

/// What happens to a table and to the model of it.
#[derive(Debug, Clone)]
enum Event {
    Put(i64, i64),
    Update(i64, i64),
    Delete(i64),
    Constant(i64),
    Computed(usize),
    Settle,
    Rebuild,
}

fn event() -> impl Strategy<Value = Event> {
    let key = 0..12_i64;
    prop_oneof![
        4 => (key.clone(), 0..100_i64).prop_map(|(key, value)| Event::Put(key, value)),
        3 => (key.clone(), 0..100_i64).prop_map(|(key, value)| Event::Update(key, value)),
        2 => key.prop_map(Event::Delete),
        1 => (0..9_i64).prop_map(Event::Constant),
        1 => (0..8_usize).prop_map(Event::Computed),
        1 => Just(Event::Settle),
        1 => Just(Event::Rebuild),
    ]
}

/// The table's columns are integers: a key, one that is written, and those that were added.
fn wide(columns: usize) -> Schema {
    let schema = Schema::build("people", ["id"]);
    let added = (0..=columns).map(|n| match n {
        0 => Field::new("id", FieldType::Int),
        n => Field::new(format!("c{n}"), FieldType::Int).default_value(0),
    });
    let schema = added.fold(schema, common::schema::SchemaBuilder::field);
    schema.index(IndexSpec::ordered(["c1"])).finish().unwrap()
}

fn check(db: &Database, model: &BTreeMap<i64, Vec<Value>>, columns: usize) -> Result<()> {
    let table = db.collection("people")?;
    let expected: Vec<Vec<Value>> = model.values().cloned().collect();
    assert_eq!(rows(&table), expected);
    let found = Query::from("people")
        .filter(Filter::ge("c1", 50))
        .run(&db.snapshot().view())?;
    assert_eq!(
        found.rows.len(),
        expected
            .iter()
            .filter(|row| row[1] >= Value::from(50))
            .count()
    );
    assert_eq!(table.schema().fields.len(), columns + 1);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_table_under_alterations_is_as_its_model(events in proptest::collection::vec(event(), 1..50)) {
        let db = Database::new();
        db.create_collection(wide(1)).unwrap();
        let mut model: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
        let mut columns = 1;
        for event in events {
            let table = db.collection("people").unwrap();
            match event {
                Event::Put(key, value) => {
                    let mut row = vec![Value::from(key), Value::from(value)];
                    row.resize(columns + 1, Value::from(0));
                    db.transaction(|tx| tx.upsert_values(&table, row.clone()).map(drop)).unwrap();
                    model.insert(key, row);
                }
                Event::Update(key, value) => {
                    let updated = table.update_values(key, [(columns, Value::from(value))]);
                    prop_assert_eq!(updated.is_ok(), model.contains_key(&key));
                    if let Some(row) = model.get_mut(&key) {
                        row[columns] = Value::from(value);
                    }
                }
                Event::Delete(key) => {
                    prop_assert_eq!(table.delete(key).is_ok(), model.remove(&key).is_some());
                }
                Event::Constant(value) => {
                    columns += 1;
                    db.alter(vec![filled(wide(columns), vec![Fill::Value(value.into())])]).unwrap();
                    for row in model.values_mut() {
 row.push(value.into());
}
                }
                Event::Computed(from) => {
                    let from = from % (columns + 1);
                    columns += 1;
                    let double = move |row: &[Value]| {
                        Value::from(row[from].as_int().unwrap_or_default() * 2)
                    };
                    for row in model.values_mut() {
 row.push(double(row));
}
                    let fill = Fill::Computed { from: vec![from], function: Arc::new(double) };
                    db.alter(vec![filled(wide(columns), vec![fill])]).unwrap();
                }
                Event::Settle => {
                    db.settle(&table, &mut |_, _| true).unwrap();
                }
                Event::Rebuild => {
                    columns = 1;
                    db.alter(vec![Alteration::Rebuild {
                        schema: wide(1),
                        row: Box::new(|record, values| {
                            values.extend(record[..2].iter().map(ValueInput::from));
                            Ok(())
                        }),
                        derivation: None,
                    }]).unwrap();
                    for row in model.values_mut() {
 row.truncate(2);
}
                }
            }
            check(&db, &model, columns).unwrap();
        }
    }
}
