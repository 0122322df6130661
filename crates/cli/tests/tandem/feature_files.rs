//! Files of features: what is exported is imported again, deletions and all; rows without a key or time are judged one by
//! one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use common::schema::{Field, FieldType, Schema, SchemaVersion};
use common::serialization::Format;
use common::{Date, Metadata, Record, RecordId, Timestamp, Value};
use durable::DatabaseFile;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use vectordb::feature::{
    AsOf, Column, Definitions, FeatureBatch, FeatureRow, FeatureStore, OnInvalid, Times,
};

use crate::support::Place;

const FORMATS: [&str; 4] = ["csv", "jsonl", "parquet", "arrow"];

const DEFINITION: &str = r#"{
  "entities": [{"name": "taste", "keys": [{"name": "user_id", "type": "int"}, {"name": "item", "type": "text"}]}],
  "views": [{"name": "v", "entity": "taste", "features": [
    {"name": "count", "type": "int"},
    {"name": "fare", "type": "float", "nullable": true},
    {"name": "city", "type": "text", "nullable": true},
    {"name": "flag", "type": "bool", "nullable": true},
    {"name": "day", "type": "date", "nullable": true},
    {"name": "seen", "type": "timestamp", "nullable": true}
  ]}]
}"#;
const FEATURES: [&str; 6] = ["count", "fare", "city", "flag", "day", "seen"];

/// One event: key, time of event, time of knowledge, and values unless it is a deletion.
type Event = ((i64, String), i64, i64, Option<[Value; 6]>);

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => prop::sample::select(vec!["", " ", "Oulu", "null", "\"", "a,b", "x\ny", "\r", "\u{feff}", "1", "é;\t|"])
            .prop_map(str::to_owned),
        1 => "[ -~]{0,6}",
        1 => "\\PC{0,4}",
    ]
}

fn event() -> impl Strategy<Value = Event> {
    const INTEGER_MAX: i64 = 1 << 53;
    let maybe = |value: BoxedStrategy<Value>| prop_oneof![1 => Just(Value::Null), 3 => value];
    let number = prop_oneof![
        prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
        (-9..9_i32).prop_map(f64::from),
    ];
    let integer = prop_oneof![-3..9_i64, -INTEGER_MAX..=INTEGER_MAX];
    let values = (
        integer.clone().prop_map(Value::from),
        maybe(number.prop_map(Value::from).boxed()),
        maybe(text().prop_map(Value::from).boxed()),
        maybe(any::<bool>().prop_map(Value::from).boxed()),
        maybe(
            (-30_000..60_000_i32)
                .prop_map(|day| Value::Date(Date(day)))
                .boxed(),
        ),
        maybe(
            integer
                .prop_map(|micros| Value::Timestamp(Timestamp(micros)))
                .boxed(),
        ),
    )
        .prop_map(<[Value; 6]>::from);
    let event = prop_oneof![3 => 0..6_i64, 1 => 0..1_000_000_000_000_000_i64];
    let values = prop_oneof![1 => Just(None), 3 => values.prop_map(Some)];
    ((-1..3_i64, text()), event, 0..4_i64, values)
}

/// A file with a database that has the view, in which these events are.
fn fill(place: &Place, events: &[Event]) -> usize {
    let file = DatabaseFile::open_or_create(place.path("a.tdb")).unwrap();
    let store = FeatureStore::open(file.database()).unwrap();
    let definitions = Definitions::from_json(DEFINITION.as_bytes(), &common::Limits::default());
    store.apply(&definitions.unwrap()).unwrap();
    let view = store.view("v").unwrap();
    let keys: Vec<RecordId> = (events.iter())
        .map(|((user, item), ..)| {
            RecordId::composite([Value::from(*user), Value::from(item.as_str())])
        })
        .collect();
    let times: Vec<Timestamp> = events
        .iter()
        .map(|(_, event, ..)| Timestamp(*event))
        .collect();
    let known: Vec<Timestamp> = events
        .iter()
        .map(|(_, _, known, _)| Timestamp(*known))
        .collect();
    let deletions: Vec<bool> = events.iter().map(|(.., values)| values.is_none()).collect();
    let columns: Vec<Vec<Value>> = (0..FEATURES.len())
        .map(|at| {
            let values = events.iter().map(|(.., values)| values.as_ref());
            values
                .map(|values| {
                    values
                        .and_then(|values| values.get(at))
                        .cloned()
                        .unwrap_or_default()
                })
                .collect()
        })
        .collect();
    let mut batch = FeatureBatch::new(&keys, Timestamp(0))
        .at(&times)
        .known(Times::Each(&known))
        .deletions(&deletions);
    for (name, values) in FEATURES.iter().zip(&columns) {
        batch = batch.column(*name, Column::Values(values));
    }
    // Those at the same two times with other values are left out.
    let report = view.ingest(&batch, OnInvalid::Skip).unwrap();
    file.save().unwrap();
    report.events
}

/// All that a view answers: histories, and what it is as of some times.
fn answers(place: &Place, name: &str) -> Vec<(RecordId, FeatureRow)> {
    let database = durable::open(place.path(name)).unwrap();
    let view = FeatureStore::open(&database).unwrap().view("v").unwrap();
    let mut all = Vec::new();
    for key in view.keys().unwrap() {
        let mut rows = view.history(&key).unwrap();
        for time in [0, 2, 4, 1 << 40] {
            let as_of = AsOf::event(Timestamp(time));
            rows.push(view.get(&key, as_of).unwrap());
            rows.push(view.get(&key, as_of.known(Timestamp(time / 2))).unwrap());
        }
        all.extend(rows.into_iter().map(|mut row| {
            // The commit is another one.
            row.seq = common::Seq::ZERO;
            (key.clone(), row)
        }));
    }
    all
}

/// Exports the view and imports it into another file, in every format.
fn round_trip(place: &Place, events: usize) {
    place.write("f.json", DEFINITION);
    let expected = answers(place, "a.tdb");
    for format in FORMATS {
        let _ = std::fs::remove_file(place.path("b.tdb"));
        place.ok(&format!("features export a.tdb v out.{format}"));
        place.ok("features apply b.tdb f.json");
        let said = place.ok(&format!(
            "features import b.tdb v out.{format} --known-at known_at"
        ));
        let says = format!("{events} events imported, 0 unchanged, 0 left out, 0 values missing;");
        assert!(said.starts_with(&says), "{format}: {said}");
        let found = answers(place, "b.tdb");
        assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{format}");
        place.ok(&format!("features export b.tdb v again.{format}"));
        assert!(
            place.read(&format!("out.{format}")) == place.read(&format!("again.{format}")),
            "{format}"
        );
    }
}

#[test]
fn every_history_is_the_same_after_a_file() {
    let mut runner = TestRunner::new(Config::with_cases(6));
    let events = prop::collection::vec(event(), 1..60);
    let ran = runner.run(&events, |events| {
        let place = Place::new();
        let kept = fill(&place, &events);
        round_trip(&place, kept);
        Ok(())
    });
    ran.unwrap();
}

#[test]
fn files_of_several_blocks_are_whole() {
    let events: Vec<Event> = (0..2_500_i64)
        .map(|at| {
            let number = Value::from(at);
            let values = [
                number,
                Value::Null,
                Value::from(""),
                Value::Null,
                Value::Null,
                Value::Null,
            ];
            (
                (at % 7, "x".to_owned()),
                at,
                1,
                (at % 11 != 0).then_some(values),
            )
        })
        .collect();
    let place = Place::new();
    assert_eq!(fill(&place, &events), 2_500);
    round_trip(&place, 2_500);
}

#[test]
fn rows_without_a_key_or_time_are_judged_one_by_one() {
    let fields = vec![
        Field::new("count", FieldType::Int),
        Field::new("user_id", FieldType::Int).nullable(),
        Field::new("item", FieldType::Text).nullable(),
        Field::new("event_time", FieldType::Timestamp).nullable(),
        Field::new("deleted", FieldType::Bool).nullable(),
    ];
    let schema = Schema {
        name: "rows".into(),
        version: SchemaVersion(1),
        key_columns: 1,
        fields,
        indexes: Vec::new(),
        references: Vec::new(),
    };
    let time = || Value::Timestamp(Timestamp(5));
    let rows = [
        [1.into(), 7.into(), "a".into(), time(), Value::Null],
        [2.into(), Value::Null, "a".into(), time(), false.into()],
        [3.into(), 7.into(), "".into(), time(), false.into()],
        [4.into(), 7.into(), "a".into(), Value::Null, false.into()],
        [5.into(), 7.into(), "b".into(), time(), true.into()],
        [6.into(), 7.into(), Value::Null, time(), false.into()],
    ];
    let records = rows.map(|values: [Value; 5]| Record::new(Metadata::default(), 1, values));
    for (name, format) in [("x.parquet", Format::Parquet), ("x.arrow", Format::Arrow)] {
        let place = Place::with("f.json", DEFINITION);
        let mut bytes = Vec::new();
        format.encode_rows(&schema, &records, &mut bytes).unwrap();
        place.write(name, bytes);
        place.ok("features apply f.tdb f.json");
        let before = place.read("f.tdb");
        let import = format!("features import f.tdb v {name}");
        let ran = place.run(&import);
        assert_eq!(ran.code, 1, "{}", ran.err);
        for says in [
            "line 2, column `user_id`: is empty",
            "line 4, column `event_time`: is empty",
            "line 6, column `item`: is empty",
            "nothing was imported",
        ] {
            assert!(ran.err.contains(says), "{says}: {}", ran.err);
        }
        assert_eq!(place.read("f.tdb"), before);
        let ran = place.run(&format!("{import} --on-invalid skip"));
        assert_eq!(ran.code, 0, "{}", ran.err);
        // The fifth row is a deletion that has a value.
        assert!(
            ran.err
                .contains("line 5: it is a deletion, which has no values"),
            "{}",
            ran.err
        );
        assert!(
            ran.out
                .starts_with("2 events imported, 0 unchanged, 4 left out"),
            "{}",
            ran.out
        );
    }
    // As rows of any table: the row is refused, not the file.
    let place = Place::new();
    let mut bytes = Vec::new();
    Format::Arrow
        .encode_rows(&schema, &records, &mut bytes)
        .unwrap();
    place.write("x.arrow", bytes);
    let ran = place.run("import x.arrow --table t --db t.tdb --key user_id,item --on-error skip");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        place
            .ok("query t --db t.tdb --format csv --select user_id,item")
            .contains("7,\"\"\n")
    );
    let ran = place.run("import x.arrow --table u --db t.tdb --key user_id,item");
    assert_eq!(ran.code, 1, "{}", ran.out);
}
