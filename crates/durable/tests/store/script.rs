//! What the tests do to a database, step by step, and how they look at it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use common::database::Alteration;
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::storage::{Fill, StorageKind};
use common::{Database, Result, Value, ValueInput, row};
use durable::{DurableDatabase, DurableOptions};

use crate::disk::{Disk, Op};

pub(crate) const FOLDER: &str = "data/db";

/// Tables with their schema's id and indexes, and all records with their metadata.
pub(crate) type Dump = BTreeMap<String, Vec<String>>;

pub(crate) fn dump(database: &Database) -> Dump {
    let snapshot = database.snapshot();
    let mut dump = Dump::new();
    for table in database.collections() {
        let schema = table.schema();
        let mut lines = vec![];
        snapshot
            .view()
            .scan(&table, &mut |records| {
                let line = |r: &common::Record| format!("{:?} {:?}", r.values(), r.metadata());
                lines.extend(records.iter().map(line));
                ControlFlow::Continue(())
            })
            .unwrap();
        lines.sort();
        let indexes = table.indexes();
        let indexes: Vec<&str> = indexes.iter().map(|i| i.spec().name.as_str()).collect();
        let kind = table.storage_kind();
        lines.insert(0, format!("{} {kind:?} {indexes:?}", schema.schema_id()));
        dump.insert(table.name().to_owned(), lines);
    }
    dump.insert("seq".to_owned(), vec![database.seq().to_string()]);
    dump
}

/// The changes of the log, each with the name of its table.
pub(crate) fn changes(database: &Database) -> (u64, Vec<String>) {
    let (from, _) = database.log_extent();
    let names: BTreeMap<_, _> = database
        .collections()
        .iter()
        .map(|table| (table.id(), table.name().to_owned()))
        .collect();
    let changes = database.changes_since(from, usize::MAX).unwrap();
    let line = |change: &common::versioning::Change| {
        let table = names.get(&change.table).map_or("gone", String::as_str);
        let columns: Vec<usize> = change.columns.iter().collect();
        format!(
            "{} {:?} {table} {:?} {columns:?} {:?} {:?}",
            change.seq,
            change.stamp,
            change.kind,
            change.record.values(),
            change.record.metadata()
        )
    };
    (from.0, changes.iter().map(line).collect())
}

pub(crate) fn schema(name: &str) -> Schema {
    Schema::build(name, ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("text", FieldType::Text).nullable())
        .finish()
        .unwrap()
}

fn wider(name: &str) -> Schema {
    Schema::build(name, ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("text", FieldType::Text).nullable())
        .field(Field::new("done", FieldType::Bool))
        .version(2)
        .finish()
        .unwrap()
}

/// Number of steps in which everything happens at least once.
pub(crate) const STEPS: usize = 60;

/// Carries out one step; how long texts are differs by seed.
fn step(store: &DurableDatabase, step: usize, seed: usize) -> Result<()> {
    let db = store.database();
    let id = i64::try_from(step).unwrap();
    match step {
        1 => db.create_collection(schema("a")).map(drop),
        2 => db
            .create_collection_in(schema("b"), StorageKind::Ordered)
            .map(drop),
        10 => db.collection("a")?.create_index(IndexSpec::hash(["text"])),
        14 | 30 => store.checkpoint().map(drop),
        _ if step > STEPS && step % 55 == 20 => store.checkpoint().map(drop),
        18 => db.alter(vec![Alteration::Extend {
            schema: wider("a"),
            fills: vec![Fill::Value(Value::from(true))],
            derivation: None,
        }]),
        22 => db.drop_collection("b"),
        23 => db.create_collection(schema("b")).map(drop),
        34 => db.alter(vec![
            Alteration::Rebuild {
                schema: wider("b"),
                row: Box::new(|record, values| {
                    values.extend(record.values().iter().cloned().map(ValueInput::from));
                    values.push(ValueInput::from(record[0].as_int() > Some(3)));
                    Ok(())
                }),
                derivation: None,
            },
            Alteration::Create {
                schema: schema("c"),
                kind: StorageKind::Hash,
            },
        ]),
        _ => {
            let (a, b) = (db.collection("a")?, db.collection("b")?);
            // Rows of more than one sector among small ones.
            let text = "x".repeat(
                (step * 131 + seed * 977) % if step.is_multiple_of(9) { 4_000 } else { 300 },
            );
            let is_wide = |t: &common::Collection| t.schema().fields.len() == 3;
            let row = |t: &common::Collection, id: i64| {
                let row = row! { "id": id, "text": text.as_str() };
                if is_wide(t) {
                    row.with("done", false)
                } else {
                    row
                }
            };
            db.transaction(|tx| {
                tx.upsert(&a, row(&a, id % 7))?;
                tx.upsert(&b, row(&b, id % 5))?;
                if step.is_multiple_of(3) {
                    tx.upsert(&a, row(&a, id))?;
                }
                if step.is_multiple_of(4) && a.get((id - 4) % 7).is_some() && (id - 4) % 7 != id % 7
                {
                    tx.delete(&a, (id - 4) % 7)?;
                }
                if step % 6 == 1 {
                    tx.update(&b, id % 5, row! { "text": "short" })?;
                }
                Ok(())
            })
        }
    }
}

pub(crate) fn options() -> DurableOptions {
    DurableOptions::default().checkpoint_bytes(u64::MAX)
}

pub(crate) fn open(disk: &Disk) -> Result<DurableDatabase> {
    DurableDatabase::open_with(Arc::new(disk.clone()), Path::new(FOLDER), options())
}

/// What the database was like after each step, step 0 being the empty one.
#[derive(Default, Clone)]
pub(crate) struct History {
    pub(crate) states: Vec<(Dump, (u64, Vec<String>))>,
    pub(crate) acked: usize,
    pub(crate) seed: usize,
}

/// Runs the steps, of which some are waited for together; goes on after failures. A step that failed leaves no trace.
pub(crate) fn run(disk: &Disk, history: &mut History, steps: usize) -> Result<()> {
    let store = open(disk)?;
    if history.states.is_empty() {
        history
            .states
            .push((dump(store.database()), changes(store.database())));
    }
    let mut result = Ok(());
    for number in 1..=steps {
        disk.note(Op::Started(history.states.len()));
        let done = step(&store, number, history.seed);
        if done.is_ok() {
            history
                .states
                .push((dump(store.database()), changes(store.database())));
        }
        let waited = match number % 5 {
            1 | 2 => done,
            _ => done.and_then(|()| store.wait(store.database().seq())),
        };
        match waited {
            Ok(()) if number % 5 != 1 && number % 5 != 2 => {
                history.acked = history.states.len() - 1;
                disk.note(Op::Acked(history.acked));
            }
            Ok(()) => {}
            Err(error) => result = Err(error),
        }
    }
    store.close().and(result)
}

/// Checks a database that was opened again: which step it is of.
pub(crate) fn check(store: &DurableDatabase, history: &History, acked: usize, started: usize) {
    let database = store.database();
    let found = dump(database);
    let until = started.min(history.states.len() - 1);
    let at = (acked..=until)
        .rev()
        .find(|at| history.states[*at].0 == found);
    let Some(at) = at else {
        let of = history.states.iter().position(|(state, _)| *state == found);
        panic!(
            "steps {acked} to {started} are possible, the state is that of step {of:?}: {found:#?}"
        );
    };
    // The log may begin later, and is the same from there on.
    let (from, known) = changes(database);
    let (begin, expected) = &history.states[at].1;
    assert!(from >= *begin, "the log begins at {from}, before {begin}");
    let of = |line: &String| line.split(' ').next().unwrap().parse::<u64>().unwrap();
    let expected: Vec<&String> = expected.iter().filter(|line| of(line) > from).collect();
    let known: Vec<&String> = known.iter().collect();
    assert_eq!(known, expected);
}
