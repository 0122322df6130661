//! Feature views as tables: what they accept, how they change, what is left of them on disk and in training sets.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use common::query::Query;
use common::schema::{Field, FieldType, Rule};
use common::{Date, ErrorKind, Record, RecordId, Seq, Snapshot, Timestamp, Value, row};
use proptest::prelude::*;
use vectordb::feature::{
    AsOf, BatchOptions, Column, Entity, FeatureBatch, FeatureStore, FeatureView, KnownAt,
    OnInvalid, Status, Times, ViewDefinition,
};

use crate::{floats, steps, store};

/// A feature of each type.
fn typed(store: &FeatureStore) -> FeatureView {
    let field = |name: &str, ty| Field::new(name, ty).nullable();
    let definition = ViewDefinition::new("typed", "user")
        .feature(field("float", FieldType::Float).rule(Rule::between(-1e300, 1e300)))
        .feature(field("int", FieldType::Int))
        .feature(field("bool", FieldType::Bool))
        .feature(field("time", FieldType::Timestamp))
        .feature(field("date", FieldType::Date))
        .feature(field("text", FieldType::Text).rule(Rule::length(0, 12)))
        .feature(Field::new("required", FieldType::Int))
        .feature(Field::new("filled", FieldType::Int).default_value(3));
    store.create_view(definition).unwrap()
}

#[test]
fn every_type_comes_back_as_it_went_in() {
    let view = typed(&store());
    let edge = 1_i64 << 53;
    let rows = [
        row! { "float": -0.0, "int": -edge, "bool": true, "time": Timestamp(edge), "date": Date(-719_528), "text": "", "required": 0 },
        row! { "float": 5e-324, "int": edge, "bool": false, "time": Timestamp(-1), "date": Date(0), "text": "Ää", "required": 1, "filled": 9 },
        row! { "required": -1 },
    ];
    for (user, row) in (0_i64..).zip(rows) {
        view.upsert(user, Timestamp(1), row.clone()).unwrap();
        let read = view.get(user, AsOf::latest()).unwrap();
        let record = view
            .table()
            .try_get(view.history_id(user))
            .unwrap()
            .unwrap();
        for (at, field) in view.definition().features.iter().enumerate() {
            let given = row
                .get(&field.name)
                .cloned()
                .or(field.default.clone())
                .unwrap_or_default();
            assert_eq!(read.values[at], given, "{}", field.name);
            assert_eq!(record[at + 4], given);
            let status = if given.is_null() {
                Status::Missing
            } else {
                Status::Present
            };
            assert_eq!(read.status_of(at), status);
        }
    }
    let zero = view.get(0, AsOf::latest()).unwrap().values[0]
        .as_float()
        .unwrap();
    assert!(zero == 0.0 && zero.is_sign_negative());
}

trait HistoryId {
    fn history_id(&self, user: i64) -> RecordId;
}

impl HistoryId for FeatureView {
    /// The key of a user's last event in the table.
    fn history_id(&self, user: i64) -> RecordId {
        let last = self.history(user).unwrap().pop().unwrap();
        RecordId::composite([
            Value::from(user),
            Value::Timestamp(last.event),
            Value::Timestamp(last.known),
        ])
    }
}

/// What becomes of values that are wrong, by policy: of each, what a batch of it alone and one of a good event beside it do.
#[test]
fn values_that_are_wrong_follow_the_policy() {
    let edge = (1_i64 << 53) + 1;
    let wrong: [(&str, Value, &str); 8] = [
        ("float", f64::INFINITY.into(), "finite"),
        ("float", f64::NAN.into(), "finite"),
        ("float", 1e301.into(), "range"),
        ("float", "1".into(), "type"),
        ("int", edge.into(), "range"),
        ("int", 1.5.into(), "type"),
        ("text", "more than twelve".into(), "length"),
        ("time", Timestamp(i64::MAX).into(), "range"),
    ];
    for (feature, value, rule) in wrong {
        let view = typed(&store());
        let values = [Value::Null, value.clone()];
        let batch = FeatureBatch::new(&[1, 2], Timestamp(5))
            .column(feature, Column::Values(&values))
            .column("required", Column::Ints(&[7, 7]));
        let what = format!("{feature} = {value:?}");

        let error = view.ingest(&batch, OnInvalid::Refuse).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{what}");
        let mut broken = error.violations().iter();
        assert!(broken.any(|broken| broken.rule == rule), "{what}: {error}");
        assert!(
            error.to_string().contains("event 1 of the batch, user 2"),
            "{error}"
        );
        assert!(
            view.is_empty() && view.table().is_empty(),
            "{what}: nothing of the batch is kept"
        );

        let done = view.ingest(&batch, OnInvalid::Skip).unwrap();
        assert_eq!(
            (done.events, done.skipped.len(), done.skipped[0].0),
            (1, 1, 1),
            "{what}"
        );
        assert_eq!(view.entities(), 1);

        let done = view.ingest(&batch, OnInvalid::Missing).unwrap();
        assert_eq!((done.events, done.missing.len()), (2, 1), "{what}");
        assert_eq!(
            (done.missing[0].0, done.missing[0].1.as_str()),
            (1, feature)
        );
        let read = view.get(2, AsOf::latest()).unwrap();
        let at = view.definition().position(feature).unwrap();
        assert_eq!(
            (read.status, read.status_of(at)),
            (Status::Present, Status::Missing)
        );
    }
}

#[test]
fn what_cannot_be_taken_as_missing_is_left_out_or_refused() {
    let view = typed(&store());
    let (none, wrong) = ([Value::Null], [Value::from("x")]);
    for column in [
        None,
        Some(Column::Values(&none)),
        Some(Column::Values(&wrong)),
    ] {
        let mut batch = FeatureBatch::new(&[1], Timestamp(5));
        if let Some(column) = column {
            batch = batch.column("required", column);
        }
        assert_eq!(
            view.ingest(&batch, OnInvalid::Refuse).unwrap_err().kind(),
            ErrorKind::Invalid
        );
        for policy in [OnInvalid::Skip, OnInvalid::Missing] {
            let done = view.ingest(&batch, policy).unwrap();
            assert_eq!(
                (done.events, done.skipped.len(), done.missing.len()),
                (0, 1, 0)
            );
        }
    }
    let good = |batch: FeatureBatch<'static>| batch.column("required", Column::Ints(&[1]));
    let id = [RecordId::from("seven")];
    let ids: &'static [RecordId] = Box::leak(Box::new(id));
    let later = Timestamp(i64::MAX);
    for (batch, kind, word) in [
        (
            good(FeatureBatch::new(ids, Timestamp(5))),
            ErrorKind::Invalid,
            "user_id",
        ),
        (
            good(FeatureBatch::new(&[1], Timestamp(5))).known(Times::All(later)),
            ErrorKind::Invalid,
            "become known",
        ),
        (
            good(FeatureBatch::new(&[1, 2], Timestamp(5))),
            ErrorKind::Invalid,
            "1 elements, but there are 2 keys",
        ),
        (
            good(FeatureBatch::new(&[1], Timestamp(5))).floats("flaot", &[1.0]),
            ErrorKind::NotFound,
            "has float, int",
        ),
        (
            good(good(FeatureBatch::new(&[1], Timestamp(5)))),
            ErrorKind::Invalid,
            "given twice",
        ),
        (
            good(FeatureBatch::new(&[1], Timestamp(5)).at(&[])),
            ErrorKind::Invalid,
            "0 elements",
        ),
    ] {
        let error = view.ingest(&batch, OnInvalid::Refuse).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(view.is_empty());
}

#[test]
fn definitions_that_make_no_sense_are_refused() {
    let store = store();
    let view = |name: &str| ViewDefinition::new(name, "user");
    let list = FieldType::List(Box::new(FieldType::Int));
    for (definition, word) in [
        (view("empty"), "no feature"),
        (view("two words").floats(["a"]), "identifier"),
        (view("twice").floats(["a", "a"]), "a"),
        (view("key").floats(["user_id"]), "user_id"),
        (view("own").floats(["event_time"]), "event_time"),
        (view("lists").feature(Field::new("l", list)), "list of int"),
        (
            ViewDefinition::new("orphan", "driver").floats(["a"]),
            "there is no entity `driver`; there is user",
        ),
    ] {
        let error = store.create_view(definition).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    for entity in [
        Entity::new("none", [] as [(&str, FieldType); 0]),
        Entity::new("a b", [("id", FieldType::Int)]),
        Entity::new("float", [("id", FieldType::Float)]),
    ] {
        assert_eq!(
            store.create_entity(&entity).unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
    let other = Entity::new("user", [("id", FieldType::Text)]);
    assert_eq!(
        store.create_entity(&other).unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert!(store.views().is_empty());
    let tables = store.database().collections();
    assert!(
        tables
            .iter()
            .all(|table| !table.name().starts_with("features_")),
        "no table is left behind"
    );
}

#[test]
fn keys_of_any_type_find_their_entity() {
    let store = store();
    let pair = Entity::new(
        "pair",
        [("user", FieldType::Int), ("item", FieldType::Text)],
    );
    let word = Entity::new("word", [("text", FieldType::Text)]);
    for (entity, keys) in [
        (
            pair,
            vec![
                RecordId::composite([1.into(), "a".into()]),
                RecordId::composite([1.into(), "b".into()]),
            ],
        ),
        (
            word,
            vec![
                RecordId::from("ä"),
                RecordId::from("a text that is longer than what lies within"),
                RecordId::from(""),
            ],
        ),
    ] {
        store.create_entity(&entity).unwrap();
        let view = store
            .create_view(
                ViewDefinition::new(format!("of_{}", entity.name), entity.name.clone())
                    .floats(["x"]),
            )
            .unwrap();
        let x: Vec<f64> = (0..keys.len())
            .map(|i| f64::from(u8::try_from(i).unwrap()))
            .collect();
        view.ingest(
            &FeatureBatch::new(&keys, Timestamp(1)).floats("x", &x),
            OnInvalid::Refuse,
        )
        .unwrap();
        let retrieval = store.retrieval().view(view.name()).prepare().unwrap();
        let mut out = vec![0.0; keys.len()];
        retrieval
            .get_many(
                &keys,
                AsOf::latest(),
                &mut out,
                &mut [],
                BatchOptions::default(),
            )
            .unwrap();
        assert_eq!(out, x);
        if entity.name == "word" {
            let texts: Vec<&str> = keys
                .iter()
                .map(|id| id.values()[0].as_text().unwrap())
                .collect();
            retrieval
                .get_many(
                    texts.as_slice(),
                    AsOf::latest(),
                    &mut out,
                    &mut [],
                    BatchOptions::default(),
                )
                .unwrap();
            assert_eq!(out, x);
        }
        assert_eq!(view.get(1, AsOf::latest()).unwrap().status, Status::Unknown);
        view.forget(&keys[..1]).unwrap();
        assert_eq!(
            view.get(&keys[0], AsOf::latest()).unwrap().status,
            Status::Unknown
        );
        assert_eq!(
            view.get(&keys[1], AsOf::latest()).unwrap().values,
            [Value::from(1.0)]
        );
    }
}

#[test]
fn a_view_gets_and_loses_features_and_keeps_its_events() {
    let store = store();
    let view = floats(&store, &["a", "b"]);
    view.upsert(1, Timestamp(1), row! { "a": 1.0, "b": 2.0 })
        .unwrap();
    let seq = view.delete(2, Timestamp(1)).unwrap();
    let altered = ViewDefinition::new("view", "user")
        .feature(Field::new("new", FieldType::Int).default_value(7))
        .floats(["b"])
        .ttl_seconds(1);
    let newer = store.alter_view(altered.clone()).unwrap();
    assert_eq!(
        (newer.version(), store.versions("view").unwrap()),
        (2, vec![1, 2])
    );
    assert_eq!(
        newer.get(1, AsOf::latest()).unwrap().values,
        [Value::from(7), Value::from(2.0)]
    );
    assert_eq!(
        newer.get(2, AsOf::latest()).unwrap().seq,
        seq,
        "an event keeps its commit"
    );
    assert_eq!(store.definition("view", 1).unwrap().features.len(), 2);
    assert_eq!(
        store.alter_view(altered.clone()).unwrap().version(),
        2,
        "the same again changes nothing"
    );

    for (definition, word) in [
        (
            ViewDefinition::new("view", "user").feature(Field::new("b", FieldType::Int)),
            "cannot become int",
        ),
        (
            ViewDefinition::new("view", "user")
                .feature(Field::new("b", FieldType::Float).rule(Rule::at_most(1.0))),
            "b",
        ),
        (
            ViewDefinition::new("other", "user").floats(["b"]),
            "there is no feature view `other`",
        ),
        (
            ViewDefinition::new("view", "item").floats(["b"]),
            "is of entity `user`",
        ),
    ] {
        let error = store.alter_view(definition).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(store.view("view").unwrap().version(), 2);
    }
    store
        .view("view")
        .unwrap()
        .upsert(3, Timestamp(1), row! { "b": 5.0 })
        .unwrap();
    store.drop_view("view").unwrap();
    assert!(store.view("view").is_err() && newer.get(1, AsOf::latest()).is_err());
    assert_eq!(store.create_view(altered).unwrap().version(), 3);
}

#[test]
fn a_saved_store_opens_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.tdb");
    let store = store();
    let view = typed(&store);
    for user in 0..50 {
        view.upsert(
            user,
            Timestamp(user),
            row! { "text": format!("text {}", user % 7), "required": user },
        )
        .unwrap();
        view.upsert(user, Timestamp(user - 1), row! { "required": -user })
            .unwrap();
    }
    view.delete(3, Timestamp(100)).unwrap();
    let tag = store.tag("before").unwrap();
    floats(&store, &["x"]);
    store.drop_view("view").unwrap();
    durable::save(store.database(), &path).unwrap();

    let opened = FeatureStore::open(&durable::open(&path).unwrap()).unwrap();
    assert_eq!(opened.views().len(), 1);
    let again = opened.view("typed").unwrap();
    assert_eq!(
        (again.definition(), again.version()),
        (view.definition(), 1)
    );
    for user in 0..50 {
        assert_eq!(again.history(user).unwrap(), view.history(user).unwrap());
        assert_eq!(
            again.get(user, AsOf::latest()).unwrap(),
            view.get(user, AsOf::latest()).unwrap()
        );
    }
    assert_eq!(opened.tagged("before").unwrap(), tag);
    assert_eq!(
        opened.tag("before").unwrap_err().kind(),
        ErrorKind::Conflict
    );
    again
        .upsert(1, Timestamp(500), row! { "required": 5 })
        .unwrap();
    assert_eq!(
        again.get(1, tag).unwrap(),
        view.get(1, tag).unwrap(),
        "a tag does not see what comes later"
    );
}

#[test]
fn a_training_set_gives_the_same_bytes_after_back_fills_and_says_when_it_cannot() {
    let store = store();
    let view = floats(&store, &["a", "b"]);
    for user in 0..20 {
        view.upsert(
            user,
            Timestamp(10),
            row! { "a": 1.5, "b": f64::from(i32::try_from(user).unwrap()) },
        )
        .unwrap();
    }
    let keys: Vec<i64> = (0..25).collect();
    let times: Vec<Timestamp> = (0..25).map(Timestamp).collect();
    let retrieval = store
        .retrieval()
        .features("view", ["b", "a"])
        .transform(steps(2))
        .prepare()
        .unwrap();
    let set = store
        .create_training_set(
            "first",
            &retrieval,
            &keys,
            Times::Each(&times),
            KnownAt::Ever,
        )
        .unwrap();
    assert_eq!(set.statuses[9..11], [Status::Unknown, Status::Present]);
    let same = store
        .create_training_set(
            "second",
            &retrieval,
            &keys,
            Times::Each(&times),
            KnownAt::Ever,
        )
        .unwrap();
    // The first set is a commit of its own, so that the second sees one more.
    assert_ne!(same.id, set.id);
    let bits = |set: &vectordb::feature::TrainingSet| {
        set.values.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(bits(&same), bits(&set));

    view.upsert(12, Timestamp(11), row! { "a": 0.0 }).unwrap();
    let known = [Timestamp(1)];
    let late = FeatureBatch::new(&[13], Timestamp(11))
        .known(Times::Each(&known))
        .floats("a", &[9.0]);
    view.ingest(&late, OnInvalid::Refuse).unwrap();
    let longer = ViewDefinition::new("view", "user")
        .floats(["b", "c", "a"])
        .ttl_seconds(1);
    store.alter_view(longer).unwrap();
    let again = store.training_set(&set.id).unwrap();
    assert_eq!((bits(&again), &again.statuses), (bits(&set), &set.statuses));
    let rows = store.training_rows(&set.id).unwrap();
    assert_eq!((rows.keys.len(), &rows.keys[3]), (25, &3.into()));
    assert_eq!((rows.times, rows.features[0].1.as_str()), (times, "b"));

    store.view("view").unwrap().forget(&[15]).unwrap();
    assert_eq!(
        store.training_set(&set.id).unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert_eq!(
        store.training_set("none").unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn a_view_is_a_table_that_can_be_queried_and_read_in_a_snapshot() {
    let store = store();
    let view = floats(&store, &["a"]);
    view.upsert(1, Timestamp(1), row! { "a": 1.0 }).unwrap();
    let snapshot = store.database().snapshot();
    view.upsert(1, Timestamp(2), row! { "a": 2.0 }).unwrap();
    view.forget(&[1]).unwrap();
    view.upsert(2, Timestamp(3), row! { "a": 3.0 }).unwrap();
    let query = Query::from("features_view").select(["user_id", "a"]);
    let rows = |snapshot: &Snapshot| query.run(&snapshot.view()).unwrap().rows.len();
    assert_eq!(rows(&store.database().snapshot()), 1);
    assert_eq!(
        rows(&snapshot),
        1,
        "what was forgotten is there for a snapshot that was open"
    );
    let change = store
        .database()
        .changes_since(Seq::ZERO, 100)
        .unwrap()
        .pop()
        .unwrap();
    assert_eq!(change.record[4], Value::from(3.0));
}

/// Times, revision and position of a record are kept to the bit, and slots behave as in any storage.
#[derive(Debug, Clone)]
enum Change {
    Put(i64, i64, Option<u8>),
    Remove(i64, i64),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_table_of_a_view_agrees_with_a_map(
        steps in proptest::collection::vec(
            prop_oneof![
                3 => (0..5_i64, 0..4_i64, proptest::option::of(0..6_u8)).prop_map(|(u, t, x)| Change::Put(u, t, x)),
                1 => (0..5_i64, 0..4_i64).prop_map(|(u, t)| Change::Remove(u, t)),
            ],
            1..60,
        ),
    ) {
        let store = store();
        let definition = ViewDefinition::new("view", "user")
            .feature(Field::new("text", FieldType::Text).nullable())
            .floats(["x"]);
        let table = store.create_view(definition).unwrap().table().clone();
        let mut model: BTreeMap<RecordId, Record> = BTreeMap::new();
        for step in steps {
            match step {
                Change::Put(user, time, x) => {
                    let text = x.map(|x| "long enough to lie elsewhere ".repeat(usize::from(x % 3)));
                    let row = row! {
                        "user_id": user, "event_time": Timestamp(time), "known_at": Timestamp(0),
                        "text": text.map_or(Value::Null, Value::from), "x": x.map_or(Value::Null, |x| f64::from(x).into()),
                    };
                    let done = table.upsert(row).unwrap();
                    if let [change] = done.changes.as_slice() {
                        model.insert(change.id(), change.record.clone());
                    }
                }
                Change::Remove(user, time) => {
                    let id = RecordId::composite([user.into(), Timestamp(time).into(), Timestamp(0).into()]);
                    prop_assert_eq!(table.delete(id.clone()).is_ok(), model.remove(&id).is_some());
                }
            }
            prop_assert_eq!(table.len(), model.len());
        }
        let same = |a: &Record, b: &Record| a.values() == b.values() && a.metadata() == b.metadata();
        for (id, record) in &model {
            let found = table.get(id.clone()).unwrap();
            prop_assert!(same(&found, record), "{:?} {:?}", found.metadata(), record.metadata());
        }
        let mut scanned = 0;
        store.database().snapshot().view().scan(&table, &mut |records| {
            scanned += records.iter().filter(|record| same(record, &model[&record.id()])).count();
            ControlFlow::Continue(())
        }).unwrap();
        prop_assert_eq!(scanned, model.len());
    }
}

#[test]
fn a_batch_that_is_stopped_leaves_nothing() {
    let store = store();
    let view = floats(&store, &["x"]);
    let keys: Vec<i64> = (0..10_000).collect();
    let values = vec![1.0; keys.len()];
    let batch = FeatureBatch::new(&keys, Timestamp(1)).floats("x", &values);
    let mut seen = Vec::new();
    let stopped = view.ingest_watched(&batch, OnInvalid::Refuse, &mut |done| {
        seen.push(done);
        if done > 5_000 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!((seen, view.len()), (vec![0, 4_096, 8_192], 0));
    view.ingest(&batch, OnInvalid::Refuse).unwrap();
    assert_eq!(view.len(), 10_000);
}
