//! What a database refuses, and that a refusal changes nothing.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::database::DatabaseOptions;
use common::schema::{Field, FieldType, IndexSpec, ReferenceAction, Rule, Schema};
use common::storage::{HashStorage, Storage, StorageKind, Visitor, Write};
use common::versioning::{ChangeKind, Retention};
use common::{
    Collection, Database, Error, ErrorKind, Record, Result, Seq, Slot, Value, ValueInput, row,
};

fn people(db: &Database) -> Collection {
    let schema = Schema::build("people", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("email", FieldType::Text).nullable())
        .field(
            Field::new("age", FieldType::Int)
                .rule(Rule::between(0, 150))
                .default_value(0),
        )
        .index(IndexSpec::hash(["email"]).unique())
        .finish()
        .unwrap();
    db.create_collection(schema).unwrap()
}

fn tasks(db: &Database, on_delete: ReferenceAction) -> Collection {
    let schema = Schema::build("tasks", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("owner", FieldType::Int).nullable())
        .reference(["owner"], "people", on_delete)
        .finish()
        .unwrap();
    db.create_collection(schema).unwrap()
}

fn refused<T>(result: Result<T>, kind: ErrorKind, parts: &[&str]) -> Error {
    let Err(error) = result else {
        panic!("expected an error of kind {kind:?}")
    };
    assert_eq!(error.kind(), kind, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{error} lacks {part:?}");
    }
    error
}

#[test]
fn borrowed_texts_come_in_as_values_do() {
    let schema = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("text", FieldType::Text))
        .field(Field::new("checked", FieldType::Text).rule(Rule::Length { min: 1, max: 300 }))
        .field(Field::new("any", FieldType::Any))
        .field(Field::new("number", FieldType::Float));
    let db = Database::new();
    let notes = db.create_collection(schema.finish().unwrap()).unwrap();
    // Inside a value, the least and the most that lies in a record, and beyond.
    let lengths = [2, 23, 24, 256, 257];
    for (id, length) in (0_i64..).zip(lengths) {
        let text = "ä".repeat(length / 2) + &"b".repeat(length % 2);
        let other = text.replace('ä', "ö");
        let list = Value::from(vec![Value::from(text.as_str())]);
        let mut values = [
            ValueInput::from(id),
            ValueInput::from(&text),
            ValueInput::from(other.as_str()),
            ValueInput::from(list.clone()),
            ValueInput::from(id),
        ];
        notes.insert_from(&mut values).unwrap();
        let stored = notes.get(id).unwrap();
        let (text, other) = (Value::from(text), Value::from(other));
        let number = Value::from(f64::from(u8::try_from(id).unwrap()));
        assert_eq!(*stored, [Value::from(id), text, other, list, number]);
    }
    let wrong = |values: &mut [ValueInput<'_>], parts: &[&str]| {
        refused(notes.insert_from(values), ErrorKind::Invalid, parts);
    };
    let text = ValueInput::from("fine");
    let (id, one) = (ValueInput::from(9), ValueInput::from(1));
    wrong(
        &mut [
            id.clone(),
            text.clone(),
            "".into(),
            text.clone(),
            one.clone(),
        ],
        &["notes", "checked", "length"],
    );
    wrong(
        &mut [
            id.clone(),
            one.clone(),
            text.clone(),
            text.clone(),
            text.clone(),
        ],
        &["text", "number"],
    );
    wrong(&mut [id.clone(), text.clone()], &["5 columns"]);
    assert!(notes.get(9).is_none());
    let mut taken = [0.into(), text.clone(), text.clone(), text, one];
    refused(notes.insert_from(&mut taken), ErrorKind::Conflict, &["0"]);
    assert_eq!(notes.len(), lengths.len());
}

#[test]
fn a_wrong_row_names_everything_that_is_wrong() {
    let db = Database::new();
    let people = people(&db);
    let row = row! { "id": "one", "age": 151, "name": "Ann" };
    let error = refused(people.insert(row), ErrorKind::Invalid, &["people"]);
    let broken: Vec<(&str, &str)> = error
        .violations()
        .iter()
        .map(|v| (v.path.as_str(), v.rule.as_str()))
        .collect();
    assert_eq!(
        broken,
        [("name", "unknown_column"), ("id", "type"), ("age", "range")]
    );
    refused(
        people.insert(row! { "age": 3 }),
        ErrorKind::Invalid,
        &["id", "required"],
    );
    refused(
        people.insert_values(vec![Value::from(1)]),
        ErrorKind::Invalid,
        &["3 columns"],
    );
    refused(
        people.update(7, row! { "age": 3 }),
        ErrorKind::NotFound,
        &["people", "7"],
    );
    refused(people.delete(7), ErrorKind::NotFound, &["people", "7"]);
    people.insert(row! { "id": 1 }).unwrap();
    refused(
        people.insert(row! { "id": 1 }),
        ErrorKind::Conflict,
        &["people", "1"],
    );
    refused(
        people.update(1, row! { "id": 2 }),
        ErrorKind::Invalid,
        &["primary key"],
    );
    refused(
        people.update_values(1, [(0, Value::from(2))]),
        ErrorKind::Invalid,
        &["primary key"],
    );
    refused(
        people.update_values(1, [(9, Value::from(2))]),
        ErrorKind::Invalid,
        &["3 columns"],
    );
    assert_eq!((people.len(), db.seq()), (1, Seq(1)), "nothing was changed");
    assert_eq!(people.get(1).unwrap()[2], Value::from(0), "the default");
}

#[test]
fn no_table_twice_and_none_unknown() {
    let db = Database::new();
    let people = people(&db);
    let schema = Schema::clone(&people.schema());
    refused(
        db.create_collection(schema),
        ErrorKind::Conflict,
        &["people"],
    );
    refused(
        db.collection("person"),
        ErrorKind::NotFound,
        &["person", "people"],
    );
    let other = Database::new();
    refused(
        other.begin().insert(&people, row! { "id": 1 }),
        ErrorKind::Invalid,
        &["another"],
    );
    db.drop_collection("people").unwrap();
    refused(
        people.insert(row! { "id": 1 }),
        ErrorKind::Closed,
        &["people"],
    );
}

#[test]
fn unique_values_are_checked_at_commit() {
    let db = Database::new();
    let people = people(&db);
    people.insert(row! { "id": 1, "email": "a@x" }).unwrap();
    people.insert(row! { "id": 2, "email": "b@x" }).unwrap();
    people.insert(row! { "id": 3 }).unwrap();
    people.insert(row! { "id": 4 }).unwrap();
    let parts = ["email", "people(5)", "row 1"];
    refused(
        people.insert(row! { "id": 5, "email": "a@x" }),
        ErrorKind::Conflict,
        &parts,
    );
    // Two rows may exchange their values, because only the state after the transaction counts.
    db.transaction(|tx| {
        tx.update(&people, 1, row! { "email": "b@x" })?;
        tx.update(&people, 2, row! { "email": "a@x" })
    })
    .unwrap();
    let twice = db.transaction(|tx| {
        tx.insert(&people, row! { "id": 6, "email": "c@x" })?;
        tx.insert(&people, row! { "id": 7, "email": "c@x" })
    });
    refused(twice, ErrorKind::Conflict, &["people(7)", "row 6"]);
    // A write that changes nothing still holds its value.
    let held = db.transaction(|tx| {
        tx.update(&people, 1, row! { "email": "b@x" })?;
        tx.insert(&people, row! { "id": 8, "email": "b@x" })
    });
    refused(held, ErrorKind::Conflict, &["people(8)", "row 1"]);
    assert_eq!(people.len(), 4);
}

#[test]
fn references_are_kept() {
    let db = Database::new();
    let people = people(&db);
    let tasks = tasks(&db, ReferenceAction::Restrict);
    refused(
        tasks.insert(row! { "id": 1, "owner": 1 }),
        ErrorKind::Conflict,
        &["tasks(1)", "row 1 of `people`"],
    );
    // Within one transaction the order does not matter.
    db.transaction(|tx| {
        tx.insert(&tasks, row! { "id": 1, "owner": 1 })?;
        tx.insert(&people, row! { "id": 1 })
    })
    .unwrap();
    tasks.insert(row! { "id": 2 }).unwrap();
    refused(
        people.delete(1),
        ErrorKind::Conflict,
        &["people(1)", "row 1 of `tasks`"],
    );
    refused(
        db.drop_collection("people"),
        ErrorKind::Conflict,
        &["tasks"],
    );
    db.transaction(|tx| {
        tx.delete(&people, 1)?;
        tx.delete(&tasks, 1)
    })
    .unwrap();
    assert_eq!((people.len(), tasks.len()), (0, 1));
}

#[test]
fn references_cascade_or_become_null() {
    for action in [ReferenceAction::Cascade, ReferenceAction::SetNull] {
        let db = Database::new();
        let people = people(&db);
        let tasks = tasks(&db, action);
        people.insert(row! { "id": 1 }).unwrap();
        people.insert(row! { "id": 2 }).unwrap();
        for id in 0..4 {
            tasks
                .insert(row! { "id": id, "owner": id % 2 + 1 })
                .unwrap();
        }
        let committed = people.delete(1).unwrap();
        assert_eq!(
            committed.changes.len(),
            3,
            "one commit: the person and two tasks"
        );
        let owners: Vec<Option<i64>> = (0..4)
            .filter_map(|id| tasks.get(id))
            .map(|task| task[1].as_int())
            .collect();
        match action {
            ReferenceAction::Cascade => assert_eq!(owners, [Some(2), Some(2)]),
            _ => assert_eq!(owners, [None, Some(2), None, Some(2)]),
        }
    }
}

#[test]
fn changes_carry_what_changed() {
    let db = Database::new();
    let people = people(&db);
    let inserted = people.insert(row! { "id": 1, "age": 30 }).unwrap();
    assert_eq!(inserted.changes[0].kind, ChangeKind::Insert);
    let updated = people.update(1, row! { "age": 31 }).unwrap();
    let change = &updated.changes[0];
    assert_eq!(change.kind, ChangeKind::Update);
    assert!(change.columns.iter().eq([2]));
    assert_eq!(change.before.as_ref().unwrap()[2], Value::from(30));
    let metadata = change.record.metadata();
    assert_eq!((metadata.seq, metadata.revision), (Seq(2), 2));
    let same = people.update(1, row! { "age": 31 }).unwrap();
    assert!(
        same.changes.is_empty(),
        "a write that changes nothing is no commit"
    );
    assert_eq!(same.seq, Seq(2));
    let deleted = people.delete(1).unwrap();
    let change = &deleted.changes[0];
    assert_eq!((change.kind, change.record.len()), (ChangeKind::Delete, 1));
    assert_eq!(change.before.as_ref().unwrap()[2], Value::from(31));
    let log = db.changes_since(Seq::ZERO, 100).unwrap();
    assert_eq!(log.len(), 3);
    assert!(
        log.iter().all(|change| change.before.is_none()),
        "the log keeps none by default"
    );
}

#[test]
fn listeners_hear_of_each_commit_and_may_read() {
    let db = Database::new();
    let people = people(&db);
    let heard = Arc::new(AtomicU64::new(0));
    let listener = db.add_listener({
        let (heard, people) = (Arc::clone(&heard), people.clone());
        Arc::new(move |seq| {
            assert!(people.get(1).is_some());
            heard.store(seq.0, Ordering::SeqCst);
        })
    });
    people.insert(row! { "id": 1 }).unwrap();
    assert_eq!(heard.load(Ordering::SeqCst), 1);
    people.update(1, row! { "age": 0 }).unwrap();
    assert_eq!(heard.load(Ordering::SeqCst), 1, "nothing changed");
    db.remove_listener(listener);
    people.update(1, row! { "age": 5 }).unwrap();
    assert_eq!(heard.load(Ordering::SeqCst), 1);
}

#[test]
fn a_pruned_log_says_so() {
    let retention = Retention {
        changes_max: 3,
        ..Retention::default()
    };
    let db = Database::with(DatabaseOptions {
        retention,
        ..DatabaseOptions::default()
    });
    let people = people(&db);
    for id in 0..10 {
        people.insert(row! { "id": id }).unwrap();
    }
    assert_eq!(db.log_extent(), (Seq(7), 3));
    assert_eq!(db.changes_since(Seq(7), 100).unwrap().len(), 3);
    refused(
        db.changes_since(Seq(6), 100),
        ErrorKind::NotFound,
        &["7", "snapshot"],
    );
    refused(
        db.changes_since(Seq(11), 100),
        ErrorKind::Invalid,
        &["11", "10"],
    );
}

#[test]
fn loading_keeps_records_as_they_are() {
    let db = Database::new();
    let from = people(&db);
    from.insert(row! { "id": 1, "email": "a@x" }).unwrap();
    from.update(1, row! { "age": 9 }).unwrap();
    let record = from.get(1).unwrap();

    let copy = Database::new();
    let to = people(&copy);
    copy.load(&to, std::slice::from_ref(&record)).unwrap();
    assert_eq!(to.get(1), Some(record.clone()));
    assert_eq!(copy.seq(), Seq(2));
    refused(
        copy.load(&to, std::slice::from_ref(&record)),
        ErrorKind::Conflict,
        &["people"],
    );
    assert_eq!(
        to.insert(row! { "id": 2 }).unwrap().seq,
        Seq(3),
        "the log goes on"
    );
    refused(
        to.insert(row! { "id": 3, "email": "a@x" }),
        ErrorKind::Conflict,
        &["email"],
    );

    let third = Database::new();
    let empty = people(&third);
    refused(
        third.load(&empty, &[record.clone(), record]),
        ErrorKind::Conflict,
        &["key 1"],
    );
    assert!(empty.is_empty());
}

/// Fails every write after the first few, and the undoing of writes too when told to.
struct Failing {
    inner: HashStorage,
    writes_left: AtomicU64,
}

impl Storage for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn get(&self, key: &[Value]) -> Result<Option<(Slot, Record)>> {
        self.inner.get(key)
    }

    fn read(&self, slots: &[Slot], records: &mut Vec<Record>) -> Result<()> {
        self.inner.read(slots, records)
    }

    fn scan(&self, visit: Visitor<'_>) -> Result<()> {
        self.inner.scan(visit)
    }

    fn apply(&self, writes: &[Write], slots: &mut Vec<Slot>) -> Result<()> {
        let left = self.writes_left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(Error::new(ErrorKind::Io, "the disk is full"));
        }
        self.writes_left.store(left - 1, Ordering::SeqCst);
        self.inner.apply(writes, slots)
    }
}

fn failing(db: &Database, name: &str, writes: u64) -> Collection {
    let schema = Schema::build(name, ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("n", FieldType::Int))
        .index(IndexSpec::hash(["n"]))
        .finish()
        .unwrap();
    let storage = Failing {
        inner: HashStorage::new(),
        writes_left: AtomicU64::new(writes),
    };
    db.create_collection_in(schema, StorageKind::Custom(Arc::new(storage)))
        .unwrap()
}

#[test]
fn a_commit_that_a_storage_refuses_leaves_no_trace() {
    let db = Database::new();
    let people = people(&db);
    let limited = failing(&db, "limited", 1);
    people.insert(row! { "id": 1, "age": 1 }).unwrap();
    limited.insert(row! { "id": 1, "n": 1 }).unwrap();
    let seq = db.seq();
    let result = db.transaction(|tx| {
        tx.update(&people, 1, row! { "age": 2, "email": "new@x" })?;
        tx.insert(&people, row! { "id": 2 })?;
        tx.insert(&limited, row! { "id": 2, "n": 2 })
    });
    refused(result, ErrorKind::Io, &["limited", "full"]);
    assert_eq!(db.seq(), seq);
    assert_eq!(people.get(1).unwrap()[2], Value::from(1));
    assert_eq!((people.len(), limited.len(), people.retained()), (1, 1, 0));
    let snapshot = db.snapshot();
    let by_email = snapshot
        .view()
        .equal(&people, &people.indexes()[0], &[Value::from("new@x")]);
    assert!(by_email.unwrap().is_empty(), "the index was taken back too");
    people.insert(row! { "id": 2, "email": "new@x" }).unwrap();
}

#[test]
fn a_commit_that_cannot_be_taken_back_closes_the_database() {
    let db = Database::new();
    let first = failing(&db, "first", 1);
    let second = failing(&db, "second", 0);
    let result = db.transaction(|tx| {
        tx.insert(&first, row! { "id": 1, "n": 1 })?;
        tx.insert(&second, row! { "id": 1, "n": 1 })
    });
    refused(result, ErrorKind::Io, &["second"]);
    refused(
        first.insert(row! { "id": 2, "n": 2 }),
        ErrorKind::Closed,
        &["refuses writes"],
    );
    assert!(first.get(1).is_none(), "the half commit stays invisible");
}
