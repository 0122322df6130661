//! The kinds of search of a collection, against naive answers: named vectors, ranges, neighbours of a row, hits that
//! differ, a recall.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    reason = "a test fails by panicking, and its numbers are small"
)]

use common::query::Filter;
use common::schema::{Field, FieldType};
use common::{ErrorKind, Record, RecordId, Row, row};
use proptest::prelude::*;
use vectordb::core::Precision;
use vectordb::{
    ClusteredOptions, CollectionOptions, Found, GraphOptions, IndexOptions, Method, Metric, Search,
    VectorCollection, VectorDb, VectorOptions, Vectors, evaluate,
};

/// Points on a spiral: no two at the same distance from anything.
fn point(i: usize) -> Vec<f32> {
    let angle = i as f32 * 0.37;
    let radius = 1.0 + i as f32 * 0.01;
    vec![radius * angle.cos(), radius * angle.sin(), i as f32 * 0.003]
}

fn things(options: VectorOptions, count: usize) -> VectorCollection {
    let group = Field::new("group", FieldType::Int);
    let things = VectorDb::new()
        .create_collection("things", options, [group])
        .unwrap();
    let rows = (0..count).map(|i| (i as i64, point(i), row! { "group": (i % 3) as i64 }));
    things.upsert_all(rows).unwrap();
    things
}

fn ids(found: &Found) -> Vec<i64> {
    let id = |id: &RecordId| id.values()[0].as_int().unwrap();
    found.hits.iter().map(|hit| id(&hit.id)).collect()
}

fn indexes() -> [IndexOptions; 3] {
    [
        IndexOptions::Exact,
        IndexOptions::Graph(GraphOptions::default()),
        IndexOptions::Clustered(ClusteredOptions::default()),
    ]
}

/// All rows by distance, those of one group if one is given.
fn truth(metric: Metric, query: &[f32], count: usize, group: Option<usize>) -> Vec<(f64, i64)> {
    let mut all: Vec<(f64, i64)> = (0..count)
        .filter(|i| group.is_none_or(|group| i % 3 == group))
        .map(|i| (evaluate::distance(metric, query, &point(i)), i as i64))
        .collect();
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    all
}

#[test]
fn a_range_is_complete_whatever_the_index() {
    let count = 3_000;
    for index in indexes() {
        let options = VectorOptions::new(3, Metric::Euclidean).index(index.clone());
        let things = things(options.threads(2), count);
        for (query, distance, limit, group) in [
            ([0.5, 0.5, 1.0], 3.0, 100_000, None),
            ([0.5, 0.5, 1.0], 3.0, 7, None),
            ([9.0, -2.0, 3.0], 5.5, 100_000, Some(1)),
            ([0.0, 0.0, 0.0], 0.0, 10, None),
            ([0.0, 0.0, 0.0], -1.0, 10, Some(0)),
            ([0.0, 0.0, 0.0], f64::INFINITY, 100_000, None),
        ] {
            let mut search = Search::new(query, limit).within(distance);
            if let Some(group) = group {
                search = search.filter(Filter::eq("group", group as i64));
            }
            let expect: Vec<i64> = truth(Metric::Euclidean, &query, count, group)
                .into_iter()
                .filter(|(d, _)| *d <= distance)
                .map(|(_, id)| id)
                .take(limit)
                .collect();
            assert_eq!(ids(&things.search(&search).unwrap()), expect, "{index:?}");
            let method = things.explain(&search).unwrap().method;
            assert!(matches!(method, Method::ScanAll | Method::ScanMatching));
        }
        // With an effort the index is asked, and nothing farther comes back.
        let search = Search::new([0.5, 0.5, 1.0], 50).within(1.2).effort(200);
        let found = things.search(&search).unwrap();
        assert!(!found.hits.is_empty() && found.hits.iter().all(|hit| hit.distance <= 1.2));
        let method = things.explain(&search).unwrap().method;
        assert_eq!(method == Method::ScanAll, index == IndexOptions::Exact);
    }
}

#[test]
fn neighbours_of_a_row_leave_it_out() {
    let count = 2_500;
    for index in indexes() {
        let things = things(VectorOptions::new(3, Metric::Euclidean).index(index), count);
        for id in [0_usize, 77, 2_499] {
            for group in [None, Some(id % 3), Some((id + 1) % 3)] {
                let mut search = Search::like(id as i64, 6);
                if let Some(group) = group {
                    search = search.filter(Filter::eq("group", group as i64));
                }
                let mut expect = truth(Metric::Euclidean, &point(id), count, group);
                expect.retain(|(_, other)| *other != id as i64);
                let expect: Vec<i64> = expect.iter().map(|(_, id)| *id).take(6).collect();
                assert_eq!(ids(&things.search(&search).unwrap()), expect);
            }
        }
        let error = things.search(&Search::like(9_999, 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("9999"), "{error}");
    }
}

#[test]
fn searches_together_find_what_each_finds_alone() {
    let by = |x: usize| Search::new([x as f32 * 0.1, 1.0, 0.5], 4 + x % 3);
    for index in indexes() {
        for threads in [1, 3] {
            let options = VectorOptions::new(3, Metric::Euclidean).index(index.clone());
            let things = things(options.threads(threads), 2_200);
            let mut searches: Vec<Search> = (0..40).map(by).collect();
            searches.extend((0..9).map(|x| by(x).filter(Filter::eq("group", x as i64 % 3))));
            searches.extend((0..3).map(|x| by(x).within(1.5)));
            searches.extend([Search::like(5, 3), by(1).effort(90), by(2).diverse(0.3, 20)]);
            searches.push(by(3).select(["vector"]));
            let together = things.search_many(&searches).unwrap();
            assert_eq!(together.len(), searches.len());
            for (search, found) in searches.iter().zip(&together) {
                assert_eq!(
                    found.hits,
                    things.search(search).unwrap().hits,
                    "{search:?}"
                );
            }
            let wrong = [by(1), Search::new([1.0], 1)];
            let error = things.search_many(&wrong).unwrap_err();
            assert!(error.to_string().contains("search 1"), "{error}");
            assert!(things.search_many(&[]).unwrap().is_empty());
        }
    }
}

#[test]
fn hits_that_differ_are_chosen_from_the_nearest() {
    let things = things(VectorOptions::new(3, Metric::Euclidean), 500);
    let query = [0.3, 0.2, 0.1];
    let near = ids(&things.search(&Search::new(query, 40)).unwrap());
    // By nearness alone nothing changes.
    let alike = Search::new(query, 10).diverse(1.0, 40);
    assert_eq!(ids(&things.search(&alike).unwrap()), near[..10]);
    let unlike = things
        .search(&Search::new(query, 10).diverse(0.2, 40))
        .unwrap();
    let chosen = ids(&unlike);
    assert!(chosen != near[..10] && chosen[0] == near[0]);
    assert!(chosen.iter().all(|id| near.contains(id)));
    let explanation = things.explain(&alike).unwrap();
    assert_eq!(explanation.reranked, 40);
    for (wrong, kind) in [
        (alike.clone().diverse(1.5, 40), ErrorKind::Invalid),
        (alike.clone().diverse(f64::NAN, 40), ErrorKind::Invalid),
        (alike.clone().diverse(0.5, 9), ErrorKind::Invalid),
        (
            alike.clone().diverse(0.5, 1 << 30),
            ErrorKind::LimitExceeded,
        ),
        (alike.clone().within(f64::NAN), ErrorKind::Invalid),
        (alike.recall(1.1), ErrorKind::Invalid),
    ] {
        assert_eq!(things.search(&wrong).unwrap_err().kind(), kind);
    }
}

#[test]
fn a_recall_is_turned_into_an_effort() {
    let graph = IndexOptions::Graph(GraphOptions::default());
    let things = things(VectorOptions::new(3, Metric::Euclidean).index(graph), 4_000);
    let search = |recall| Search::new([3.0, 1.0, 2.0], 10).recall(recall);
    let effort = |recall| things.explain(&search(recall)).unwrap().effort;
    let first = effort(0.9);
    assert!(first.is_some());
    // None where no effort is enough, and rows are scanned.
    assert!(effort(0.999).is_none_or(|more| Some(more) >= first));
    assert_eq!(effort(0.9), first);
    // Nothing to tune where rows are scanned.
    let exact = self::things(VectorOptions::new(3, Metric::Euclidean), 10);
    assert_eq!(exact.explain(&search(0.9)).unwrap().effort, None);
}

fn two_columns() -> (VectorDb, VectorCollection) {
    let db = VectorDb::new();
    let options = CollectionOptions::new()
        .key(FieldType::Text)
        .vectors(VectorOptions::new(2, Metric::Cosine).column("text"))
        .vectors(
            VectorOptions::new(1, Metric::Euclidean)
                .column("image")
                .precision(Precision::F16),
        );
    let n = Field::new("n", FieldType::Int).nullable();
    let things = db.create_collection("things", options, [n]).unwrap();
    (db, things)
}

#[test]
fn mistakes_about_columns_are_named() {
    let (_, things) = two_columns();
    let both = || {
        Vectors::new()
            .dense("text", [1.0, 0.0])
            .dense("image", [2.0])
    };
    things.upsert("a", both(), row! { "n": 1 }).unwrap();
    let message = |result: common::Result<()>, kind| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        error.to_string()
    };
    let search = |search: Search| things.search(&search).map(|_| ());
    let upsert = |vectors: Vectors| things.upsert("b", vectors, Row::new()).map(|_| ());
    let text = message(search(Search::new([1.0], 1)), ErrorKind::Invalid);
    assert!(text.contains("`text`, `image`"), "{text}");
    let text = message(
        search(Search::new([1.0], 1).on("sound")),
        ErrorKind::NotFound,
    );
    assert!(
        text.contains("`sound`") && text.contains("`text`, `image`"),
        "{text}"
    );
    let text = message(search(Search::new([1.0], 1).on("text")), ErrorKind::Invalid);
    assert!(
        text.contains("1 dimensions") && text.contains('2'),
        "{text}"
    );
    message(upsert([1.0].into()), ErrorKind::Invalid);
    message(
        upsert(Vectors::new().dense("n", [1.0])),
        ErrorKind::NotFound,
    );
    message(upsert(both().dense("text", [0.0, 1.0])), ErrorKind::Invalid);
    // Too large for the precision of its column.
    message(
        upsert(Vectors::new().dense("image", [1e6])),
        ErrorKind::Invalid,
    );
    let metadata = row! { "image": vec![1.0_f32] };
    let stored = things
        .upsert("b", Vectors::new(), metadata.clone())
        .map(|_| ());
    message(stored, ErrorKind::Invalid);
    message(things.update("a", metadata).map(|_| ()), ErrorKind::Invalid);
    assert_eq!(things.count(), 1);
    let db = VectorDb::new();
    let none = db.create_collection("none", CollectionOptions::new(), []);
    message(none.map(|_| ()), ErrorKind::Invalid);
    let threads = VectorOptions::new(1, Metric::Dot).threads(0);
    message(
        db.create_collection("none", threads, []).map(|_| ()),
        ErrorKind::Invalid,
    );
    let text =
        CollectionOptions::new().vectors(VectorOptions::new(1, Metric::Dot).key(FieldType::Text));
    message(
        db.create_collection("none", text, []).map(|_| ()),
        ErrorKind::Invalid,
    );
    assert!(db.database().collection("none").is_err());
}

#[test]
fn rows_that_no_search_finds_are_counted_and_those_without_a_vector_are_not() {
    let (_, things) = two_columns();
    let put = |text: Option<Vec<f32>>| {
        let row = row! { "id": "a", "text": text, "image": vec![1.0_f32] };
        things.table().upsert(row).unwrap();
        things.unsearchable().unwrap()
    };
    // Written past the collection, a vector without a direction.
    assert_eq!(put(Some(vec![0.0, 0.0])), 1);
    assert!(things.search(&Search::like("a", 1).on("text")).is_err());
    assert_eq!(put(None), 0);
    assert_eq!(put(Some(vec![0.0, 1.0])), 0);
}

#[test]
fn all_are_compared_where_many_are_wanted() {
    for index in indexes() {
        let things = things(VectorOptions::new(3, Metric::Euclidean).index(index), 3_000);
        let search = Search::new([1.0, 2.0, 3.0], 1_000);
        let expect = truth(Metric::Euclidean, &[1.0, 2.0, 3.0], 3_000, None);
        let expect: Vec<i64> = expect.iter().map(|(_, id)| *id).take(1_000).collect();
        assert_eq!(ids(&things.search(&search).unwrap()), expect);
        assert_eq!(things.explain(&search).unwrap().method, Method::ScanAll);
    }
}

#[test]
fn options_written_before_there_were_more_are_read() {
    let old = r#"{ "dimension": 4, "metric": "dot", "key": "int", "column": "v" }"#;
    let options: VectorOptions = serde_json::from_str(old).unwrap();
    assert_eq!(options, VectorOptions::new(4, Metric::Dot).column("v"));
    let all = CollectionOptions::from(options.precision(Precision::I8).threads(3));
    let json = serde_json::to_string(&all).unwrap();
    assert_eq!(
        serde_json::from_str::<CollectionOptions>(&json).unwrap(),
        all
    );
}

#[derive(Debug, Clone)]
enum Step {
    Upsert(u8, Option<[i8; 2]>, Option<i8>),
    Text(u8, [i8; 2]),
    Number(u8, i64),
    Delete(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0_u8..8;
    let text = prop::array::uniform2(1_i8..5);
    let step = prop_oneof![
        4 => (id.clone(), prop::option::of(text.clone()), prop::option::of(0_i8..9))
            .prop_map(|(id, text, image)| Step::Upsert(id, text, image)),
        2 => (id.clone(), text).prop_map(|(id, text)| Step::Text(id, text)),
        1 => (id.clone(), 0_i64..3).prop_map(|(id, n)| Step::Number(id, n)),
        1 => id.prop_map(Step::Delete),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    /// Each column finds just the rows that have its vector now.
    #[test]
    fn columns_know_which_rows_have_their_vector(steps in steps()) {
        let (_, things) = two_columns();
        let name = |id: u8| format!("row {id}");
        for step in steps {
            match step {
                Step::Upsert(id, text, image) => {
                    let mut vectors = Vectors::new();
                    if let Some(text) = text {
                        vectors = vectors.dense("text", text.map(f32::from));
                    }
                    if let Some(image) = image {
                        vectors = vectors.dense("image", [f32::from(image)]);
                    }
                    things.upsert(name(id), vectors, Row::new()).unwrap();
                }
                Step::Text(id, text) => {
                    let vectors = Vectors::new().dense("text", text.map(f32::from));
                    let is_there = things.get(name(id)).is_some();
                    prop_assert_eq!(things.update_vectors(name(id), vectors).is_ok(), is_there);
                }
                Step::Number(id, n) => drop(things.update(name(id), row! { "n": n })),
                Step::Delete(id) => drop(things.delete(name(id))),
            }
            for (column, query) in [("text", vec![1.0, 2.0]), ("image", vec![3.0])] {
                let at = things.schema().position_of(column).unwrap();
                let mut expect: Vec<RecordId> = (0..8)
                    .filter_map(|id| things.get(name(id)))
                    .filter(|record: &Record| !record[at].is_null())
                    .map(|record| record.id())
                    .collect();
                let found = things.search(&Search::new(query, 100).on(column)).unwrap();
                let mut found: Vec<RecordId> = found.hits.into_iter().map(|hit| hit.id).collect();
                expect.sort();
                found.sort();
                prop_assert_eq!(found, expect);
            }
            prop_assert_eq!(things.unsearchable().unwrap(), 0);
        }
    }
}
