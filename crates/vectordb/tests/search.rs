//! Search against a naive model: ids, order, filter, updates, deletions; and the road to a result.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::float_cmp,
    reason = "a test fails by panicking, and exact results are compared exactly"
)]

use std::collections::BTreeMap;

use common::query::Filter;
use common::schema::{Field, FieldType};
use common::transform::{Expression, Pipeline, RecordOp};
use common::{RecordId, Row, Value, row};
use proptest::prelude::*;
use vectordb::{Method, Metric, Search, VectorCollection, VectorDb, VectorOptions, evaluate};

const DIMENSION: usize = 3;

fn collection(metric: Metric) -> VectorCollection {
    VectorDb::new()
        .create_collection(
            "things",
            VectorOptions::new(DIMENSION, metric),
            [Field::new("group", FieldType::Int)],
        )
        .unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Upsert(i64, [i8; DIMENSION], i64),
    /// Written through the table, past the index.
    Direct(i64, [i8; DIMENSION], i64),
    Regroup(i64, i64),
    Delete(i64),
    Search([i8; DIMENSION], usize, Option<i64>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0_i64..20;
    // Few values, so that equal distances are common.
    let vector = prop::array::uniform3(-3_i8..4);
    let group = 0_i64..3;
    let step = prop_oneof![
        4 => (id.clone(), vector.clone(), group.clone()).prop_map(|(i, v, g)| Step::Upsert(i, v, g)),
        1 => (id.clone(), vector.clone(), group.clone()).prop_map(|(i, v, g)| Step::Direct(i, v, g)),
        1 => (id.clone(), group.clone()).prop_map(|(i, g)| Step::Regroup(i, g)),
        2 => id.prop_map(Step::Delete),
        3 => (vector, 1_usize..25, prop::option::of(group)).prop_map(|(v, k, g)| Step::Search(v, k, g)),
    ];
    prop::collection::vec(step, 1..60)
}

type Model = BTreeMap<i64, (Vec<f32>, i64)>;

/// Distances of small integers are exact in 32 bits, so ids and order must be the model's to the last tie;
/// cosines are not, so there distances must agree and the set be right to within rounding.
fn check_search(
    things: &VectorCollection,
    model: &Model,
    metric: Metric,
    query: &[f32],
    k: usize,
    group: Option<i64>,
) {
    let mut search = Search::new(query, k);
    if let Some(group) = group {
        search = search.filter(Filter::eq("group", group));
    }
    let mut expect: Vec<(f64, i64)> = model
        .iter()
        .filter(|(_, (_, g))| group.is_none_or(|group| group == *g))
        .map(|(id, (vector, _))| (evaluate::distance(metric, query, vector), *id))
        .filter(|(distance, _)| distance.is_finite())
        .collect();
    let matching = expect.len();
    expect.sort_by(|a, b| a.partial_cmp(b).unwrap());
    expect.truncate(k);

    let found = things.search(&search).unwrap();
    assert_eq!(found.hits.len(), expect.len());
    for (hit, (distance, id)) in found.hits.iter().zip(&expect) {
        if metric == Metric::Cosine {
            assert!((hit.distance - distance).abs() < 1e-6, "{hit:?} {distance}");
        } else {
            assert_eq!((hit.distance, &hit.id), (*distance, &RecordId::from(*id)));
        }
        let (_, own) = &model[&hit.id.values()[0].as_int().unwrap()];
        assert_eq!(hit.row, row! { "group": *own });
    }
    let explanation = things.explain(&search).unwrap();
    assert_eq!(
        (explanation.matched, explanation.visited),
        (matching, matching)
    );
    assert_eq!(explanation.seq, found.seq);
    let method = if group.is_some() {
        Method::ScanMatching
    } else {
        Method::ScanAll
    };
    assert_eq!(explanation.method, method);
}

/// The metrics that compare numbers.
fn of_numbers() -> Vec<Metric> {
    let all = Metric::ALL.into_iter();
    all.filter(|metric| !metric.compares_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_history_of_writes_and_searches_agrees_with_the_model(
        metric in prop::sample::select(of_numbers()),
        steps in steps(),
    ) {
        let things = collection(metric);
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Upsert(id, vector, group) => {
                    let vector = vector.map(f32::from);
                    let stored = things.upsert(id, vector, row! { "group": group });
                    if metric == Metric::Cosine && vector == [0.0; DIMENSION] {
                        prop_assert!(stored.is_err());
                    } else {
                        stored.unwrap();
                        model.insert(id, (vector.to_vec(), group));
                    }
                }
                Step::Direct(id, vector, group) => {
                    // The table accepts the zero vector, which the cosine metric cannot place.
                    let vector = vector.map(f32::from).to_vec();
                    things
                        .table()
                        .upsert(row! { "id": id, "vector": vector.clone(), "group": group })
                        .unwrap();
                    model.insert(id, (vector, group));
                }
                Step::Regroup(id, group) => {
                    let changed = things.update(id, row! { "group": group });
                    prop_assert_eq!(changed.is_ok(), model.contains_key(&id));
                    if let Some(row) = model.get_mut(&id) {
                        row.1 = group;
                    }
                }
                Step::Delete(id) => {
                    prop_assert_eq!(things.delete(id).is_ok(), model.remove(&id).is_some());
                }
                Step::Search(query, k, group) => {
                    let query = query.map(f32::from);
                    if metric != Metric::Cosine || query != [0.0; DIMENSION] {
                        check_search(&things, &model, metric, &query, k, group);
                    }
                }
            }
            prop_assert_eq!(things.count(), model.len());
        }
        let zeros = model.values().filter(|(v, _)| v.iter().all(|x| *x == 0.0)).count();
        let unsearchable = if metric == Metric::Cosine { zeros } else { 0 };
        prop_assert_eq!(things.unsearchable().unwrap(), unsearchable);
        prop_assert_eq!(
            evaluate::recall(&things, [[1.0, 2.0, 3.0_f32]], 5).unwrap(),
            1.0
        );
    }

    /// Vectors of no special shape: every hit's distance is right, and no row that was left out is nearer than
    /// the last hit by more than the rounding of 32 bits.
    #[test]
    fn the_nearest_of_many_are_found(
        metric in prop::sample::select(of_numbers()),
        vectors in prop::collection::vec(prop::array::uniform3(0.001..1.0_f32), 1..400),
        query in prop::array::uniform3(0.001..1.0_f32),
        k in 1_usize..30,
    ) {
        let things = collection(metric);
        let rows = (0_i64..).zip(&vectors).map(|(i, v)| (i, *v, row! { "group": 0 }));
        things.upsert_all(rows).unwrap();
        let truth = evaluate::nearest(&things, &query, k).unwrap();
        let found = things.search(&Search::new(query, k)).unwrap();
        prop_assert_eq!(found.hits.len(), k.min(vectors.len()));
        for (hit, (_, distance)) in found.hits.iter().zip(&truth) {
            prop_assert!((hit.distance - distance).abs() < 3e-6, "{:?} {}", hit, distance);
        }
        prop_assert_eq!(evaluate::recall(&things, [query], k).unwrap(), 1.0);
    }
}

#[test]
fn from_vector_to_result() {
    let db = VectorDb::new();
    let books = db
        .create_collection(
            "books",
            VectorOptions::new(2, Metric::Cosine).key(FieldType::Text),
            [
                Field::new("title", FieldType::Text),
                Field::new("cents", FieldType::Int).nullable(),
                Field::new("language", FieldType::Text),
            ],
        )
        .unwrap();
    for (id, vector, title, cents, language) in [
        ("a", [1.0, 0.0], " Alpha ", Value::from(1_250), "en"),
        ("b", [0.9, 0.1], "Beta", Value::from(900), "fi"),
        ("c", [0.8, 0.2], "Gamma", Value::Null, "en"),
        ("d", [-1.0, 0.0], "Delta", Value::from(100), "en"),
    ] {
        let metadata = row! { "title": title, "cents": cents, "language": language };
        books.upsert(id, vector, metadata).unwrap();
    }
    let pipeline = Pipeline::new()
        .step("clean", RecordOp::trim(["title"]))
        .unwrap()
        .step(
            "euros",
            RecordOp::compute("euros", Expression::column("cents") / 100),
        )
        .unwrap()
        .step("texts", RecordOp::cast("euros", FieldType::Text))
        .unwrap()
        .step("shout", RecordOp::upper(["title"]))
        .unwrap()
        .step(
            "whole",
            RecordOp::compute("cents", Expression::column("cents") % 400),
        )
        .unwrap();
    let search = Search::new([2.0, 0.0], 3)
        .filter(Filter::parse("language = 'en'").unwrap())
        .select(["title", "cents"])
        .pipeline(pipeline);
    let found = books.search(&search).unwrap();
    let ids: Vec<String> = found.hits.iter().map(|hit| hit.id.to_string()).collect();
    assert_eq!(ids, ["a", "c", "d"]);
    assert_eq!(found.hits[0].distance, 0.0);
    assert_eq!(found.hits[2].distance, 2.0);
    assert_eq!(
        found.hits[0].row,
        row! { "title": "ALPHA", "cents": 50, "euros": "12.5" }
    );

    // A row that a step cannot take is a line of the report; the others keep their distances.
    let strict = Pipeline::new()
        .step(
            "priced",
            RecordOp::compute(
                "x",
                Expression::Concatenate(vec![
                    Expression::column("title"),
                    Expression::column("cents"),
                ]),
            ),
        )
        .unwrap();
    let found = books.search(&search.clone().pipeline(strict)).unwrap();
    let rejected: Vec<_> = found
        .rejected
        .iter()
        .map(|r| (r.item, r.step.as_str()))
        .collect();
    assert_eq!(rejected, [(0, "priced"), (2, "priced")]);
    assert_eq!(found.hits[0].id, "c".into());

    // Vector and metadata went through one commit each, and the log has both.
    let changes = db.database().changes_since(common::Seq(0), 100).unwrap();
    assert_eq!(changes.len(), 4);
    assert_eq!(changes[0].record.len(), 5);
    let explanation = books.explain(&search).unwrap();
    assert_eq!((explanation.matched, explanation.rows), (3, 4));
    assert!(explanation.to_string().contains("3 of 4 rows"));
}

#[test]
fn a_table_that_exists_is_indexed_and_followed() {
    let first = collection(Metric::Euclidean);
    let rows = (0..100).map(|i| {
        #[expect(clippy::cast_precision_loss, reason = "below 100")]
        let x = i as f32;
        (i, [x, 0.0, 0.0], row! { "group": i % 3 })
    });
    first.upsert_all(rows).unwrap();
    first.delete(5).unwrap();

    let again = VectorDb::over(first.table().database().clone());
    let options = VectorOptions::new(DIMENSION, Metric::Manhattan);
    let second = again.open_collection("things", options).unwrap();
    let search = Search::new([4.9, 0.0, 0.0], 2).select(Vec::<&str>::new());
    for _ in 0..2 {
        let ids: Vec<_> = second
            .search(&search)
            .unwrap()
            .hits
            .into_iter()
            .map(|h| h.id)
            .collect();
        assert_eq!(ids, [RecordId::from(4), RecordId::from(6)]);
        // Written by the one, found by the other.
        first
            .upsert(5, [5.0, 0.0, 0.0], row! { "group": 0 })
            .unwrap();
        let hits = second.search(&search).unwrap().hits;
        assert_eq!(
            (&hits[0].id, &hits[0].row),
            (&RecordId::from(5), &Row::new())
        );
        first.delete(5).unwrap();
    }
}

#[test]
fn a_log_pruned_past_the_index_is_no_harm() {
    let options = common::database::DatabaseOptions {
        retention: common::versioning::Retention {
            changes_max: 10,
            changes_min: 0,
            ..Default::default()
        },
        ..Default::default()
    };
    let db = VectorDb::over(common::Database::with(options));
    let group = [Field::new("group", FieldType::Int)];
    let vectors = VectorOptions::new(DIMENSION, Metric::Chebyshev);
    let things = db.create_collection("things", vectors, group).unwrap();
    for id in 0..100_i16 {
        let vector = vec![f32::from(id), 0.0, 0.0];
        let row = row! { "id": id, "vector": vector, "group": 0 };
        // Past the index, which is therefore behind.
        things.table().upsert(row).unwrap();
    }
    things.table().delete(7).unwrap();
    db.database().prune_log();
    assert!(db.database().changes_since(common::Seq(0), 1).is_err());
    let found = things.search(&Search::new([7.2, 0.0, 0.0], 2)).unwrap();
    let ids: Vec<_> = found.hits.into_iter().map(|hit| hit.id).collect();
    assert_eq!(ids, [RecordId::from(8), RecordId::from(6)]);
    things.update(8, row! { "group": 5 }).unwrap();
    let search = Search::new([0.0; DIMENSION], 9).filter(Filter::eq("group", 5));
    assert_eq!(things.search(&search).unwrap().hits.len(), 1);
}

#[test]
fn quality_is_measured_by_the_truth() {
    let things = collection(Metric::Euclidean);
    for (id, x, group) in [(1, 0.0, 7), (2, 1.0, 7), (3, 1.5, 8), (4, 9.0, 8)] {
        things
            .upsert(id, [x, 0.0, 0.0], row! { "group": group })
            .unwrap();
    }
    let queries = [
        ([0.2, 0.0, 0.0], Value::from(7)),
        ([8.0, 0.0, 0.0], Value::from(8)),
        ([1.4, 0.0, 0.0], Value::from(7)),
    ];
    let accuracy = |k| evaluate::label_accuracy(&things, "group", queries.clone(), k).unwrap();
    // The nearest alone misleads the third query; of two equals the nearest decides; three outvote it.
    assert_eq!(
        [accuracy(1), accuracy(2), accuracy(3)].map(|a| (a * 3.0).round()),
        [2.0, 2.0, 3.0]
    );
    assert!(evaluate::recall(&things, Vec::<Vec<f32>>::new(), 3).is_err());
    assert!(evaluate::nearest(&things, &[1.0], 3).is_err());
}
