//! Numbers that break others: each pair of a hostile value and an operation gives a documented error or a
//! clear result, and an error changes nothing.

#![expect(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "a test fails by panicking, and exact results are compared exactly"
)]

use common::limits::VECTOR_DIMENSION_MAX;
use common::query::Filter;
use common::schema::{Field, FieldType};
use common::{ErrorKind, Row, row};
use vectordb::{Metric, SEARCH_K_MAX, Search, VectorCollection, VectorDb, VectorOptions};

const VALUES: [f32; 17] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    0.0,
    -0.0,
    1.0,
    -1.0,
    f32::from_bits(1),
    -f32::MIN_POSITIVE,
    1e-38,
    1e-20,
    1e18,
    -1e18,
    1e19,
    1e38,
    f32::MAX,
    f32::MIN,
];

fn collection(dimension: usize, metric: Metric) -> VectorCollection {
    VectorDb::new()
        .create_collection(
            "c",
            VectorOptions::new(dimension, metric),
            [Field::new("n", FieldType::Int).nullable()],
        )
        .unwrap()
}

/// What the documentation of `Metric::prepare` says about a vector.
fn is_fine(metric: Metric, vector: &[f32]) -> bool {
    let wide = || vector.iter().map(|v| f64::from(*v));
    let max = f64::from(f32::MAX);
    vector.iter().all(|v| v.is_finite())
        && match metric {
            Metric::Hamming | Metric::Jaccard => true,
            Metric::Cosine => vector.iter().any(|v| *v != 0.0),
            Metric::Manhattan => wide().map(f64::abs).sum::<f64>() <= max / 2.0,
            Metric::Chebyshev => wide().all(|v| v.abs() <= max / 2.0),
            _ => wide().map(|v| v * v).sum::<f64>() <= max / 4.0,
        }
}

#[test]
fn every_pair_of_values_in_every_operation() {
    let mut cases = 0;
    for metric in Metric::ALL {
        let things = collection(2, metric);
        things.upsert(0, [3.0, 4.0], row! { "n": 0 }).unwrap();
        for (i, a) in VALUES.iter().enumerate() {
            for (j, b) in VALUES.iter().enumerate() {
                cases += 1;
                let vector = [*a, *b];
                let id = i64::try_from(1 + i * VALUES.len() + j).unwrap();
                let (count, seq) = (things.count(), things.table().database().seq());
                let stored = things.upsert(id, vector, Row::new());
                let found = things.search(&Search::new(vector, SEARCH_K_MAX));
                if is_fine(metric, &vector) {
                    stored.unwrap();
                    let kept = if metric.compares_bits() {
                        metric.prepare(&vector, 2).unwrap()
                    } else {
                        vector.to_vec()
                    };
                    assert_eq!(things.vector(id), Some(kept));
                    let hits = found.unwrap().hits;
                    assert_eq!(hits.len(), count + 1, "{metric} {vector:?}");
                    for hit in &hits {
                        assert!(hit.distance.is_finite(), "{metric} {vector:?} {hit:?}");
                    }
                    assert!(
                        hits.is_sorted_by(|a, b| (a.distance, &a.id) < (b.distance, &b.id)
                            || a.distance < b.distance)
                    );
                    if metric != Metric::Dot {
                        // Nothing is nearer than the vector itself.
                        let first = &hits[0];
                        let own = hits.iter().find(|hit| hit.id == id.into()).unwrap();
                        assert!(first.distance >= 0.0);
                        assert_eq!(own.distance, first.distance, "{metric} {vector:?}");
                    }
                } else {
                    for error in [stored.unwrap_err(), found.unwrap_err()] {
                        assert_eq!(error.kind(), ErrorKind::Invalid, "{metric} {vector:?}");
                    }
                    assert_eq!(things.count(), count);
                    assert_eq!(things.table().database().seq(), seq);
                }
            }
        }
        assert_eq!(things.unsearchable().unwrap(), 0);
    }
    assert_eq!(cases, 8 * 17 * 17);
}

#[test]
fn wrong_dimensions_and_counts() {
    for metric in Metric::ALL {
        let things = collection(3, metric);
        things.upsert(1, [1.0, 2.0, 3.0], Row::new()).unwrap();
        for length in [0, 1, 2, 4, VECTOR_DIMENSION_MAX, VECTOR_DIMENSION_MAX + 1] {
            let vector = vec![1.0; length];
            let error = things.upsert(2, vector.clone(), Row::new()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            let message = format!("the vector has {length} dimensions, the collection 3");
            assert!(error.to_string().contains(&message), "{error}");
            assert!(things.search(&Search::new(vector, 1)).is_err());
        }
        for (k, kind) in [
            (0, Some(ErrorKind::Invalid)),
            (1, None),
            (2, None),
            (SEARCH_K_MAX, None),
            (SEARCH_K_MAX + 1, Some(ErrorKind::LimitExceeded)),
            (usize::MAX, Some(ErrorKind::LimitExceeded)),
        ] {
            for search in [
                Search::new([1.0, 2.0, 3.0], k),
                Search::new([1.0, 2.0, 3.0], k).filter(Filter::eq("n", 7)),
            ] {
                let found = things.search(&search);
                assert_eq!(found.as_ref().err().map(common::Error::kind), kind, "{k}");
                if let Ok(found) = found {
                    assert_eq!(found.hits.len(), usize::from(search.filter.is_none()));
                }
            }
        }
        assert_eq!(things.count(), 1);
    }
}

#[test]
fn dimensions_of_collections() {
    let db = VectorDb::new();
    let create = |dimension| {
        db.create_collection(
            format!("d{dimension}"),
            VectorOptions::new(dimension, Metric::Dot),
            [],
        )
    };
    assert_eq!(create(0).unwrap_err().kind(), ErrorKind::Invalid);
    for dimension in [VECTOR_DIMENSION_MAX + 1, 1 << 40, usize::MAX] {
        assert_eq!(
            create(dimension).unwrap_err().kind(),
            ErrorKind::LimitExceeded
        );
    }
    assert!(db.collections().is_empty() && db.database().collections().is_empty());
    for dimension in [1, VECTOR_DIMENSION_MAX] {
        let things = create(dimension).unwrap();
        things.upsert(1, vec![1.0; dimension], Row::new()).unwrap();
        let found = things
            .search(&Search::new(vec![1.0; dimension], 1))
            .unwrap();
        #[expect(clippy::cast_precision_loss, reason = "at most 65,536")]
        let expect = -(dimension as f64);
        assert_eq!(found.hits[0].distance, expect);
    }
}

#[test]
fn bad_rows_and_searches_change_nothing() {
    let db = VectorDb::new();
    let options = VectorOptions::new(1, Metric::Euclidean);
    let things = db
        .create_collection("t", options.clone(), [Field::new("n", FieldType::Int)])
        .unwrap();
    things.upsert(1, [1.0], row! { "n": 1 }).unwrap();
    let seq = db.database().seq();
    let kind = |error: common::Error| error.kind();
    for metadata in [
        row! {},
        row! { "n": "x" },
        row! { "n": 1, "m": 2 },
        row! { "n": 1, "id": 5 },
        row! { "n": 1, "vector": 5 },
    ] {
        let error = things.upsert(2, [1.0], metadata).unwrap_err();
        assert_eq!(kind(error), ErrorKind::Invalid);
    }
    assert_eq!(
        kind(things.upsert("text", [1.0], row! { "n": 1 }).unwrap_err()),
        ErrorKind::Invalid
    );
    let pair = common::RecordId::composite([1.into(), 2.into()]);
    assert_eq!(
        kind(things.upsert(pair, [1.0], row! { "n": 1 }).unwrap_err()),
        ErrorKind::Invalid
    );
    assert_eq!(kind(things.delete(9).unwrap_err()), ErrorKind::NotFound);
    assert_eq!(
        kind(things.update(9, row! { "n": 1 }).unwrap_err()),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(things.update(1, row! { "vector": 1 }).unwrap_err()),
        ErrorKind::Invalid
    );

    // One bad row of a batch: none of it is stored, and the message says which.
    let error = things
        .upsert_all([
            (2, [1.0], row! { "n": 2 }),
            (3, [f32::NAN], row! { "n": 3 }),
        ])
        .unwrap_err();
    assert!(error.to_string().starts_with("row 1: "), "{error}");
    let error = things
        .upsert_all([(2, [1.0], row! { "n": 2 }), (3, [1.0], row! { "n": "x" })])
        .unwrap_err();
    assert!(error.to_string().starts_with("row 1: "), "{error}");
    // A duplicate id in a batch: the later row stays.
    assert_eq!((things.count(), db.database().seq()), (1, seq));
    things
        .upsert_all([(7, [1.0], row! { "n": 1 }), (7, [5.0], row! { "n": 2 })])
        .unwrap();
    assert_eq!(things.vector(7), Some(vec![5.0]));
    assert_eq!(things.search(&Search::new([5.0], 9)).unwrap().hits.len(), 2);

    let search = Search::new([0.0], 1);
    let error = things
        .search(&search.clone().select(["nowhere"]))
        .unwrap_err();
    assert_eq!(kind(error), ErrorKind::NotFound);
    assert!(
        things
            .search(&search.clone().filter(Filter::eq("nowhere", 1)))
            .is_err()
    );
    assert_eq!(
        kind(db.create_collection("t", options.clone(), []).unwrap_err()),
        ErrorKind::Conflict
    );
    let clash = [Field::new("vector", FieldType::Int)];
    assert_eq!(
        kind(
            db.create_collection("u", options.clone(), clash)
                .unwrap_err()
        ),
        ErrorKind::Invalid
    );
    assert_eq!(
        kind(
            db.open_collection("t", VectorOptions::new(2, Metric::Dot))
                .unwrap_err()
        ),
        ErrorKind::Invalid
    );
    assert_eq!(
        kind(db.open_collection("t", options.column("n")).unwrap_err()),
        ErrorKind::Invalid
    );

    db.drop_collection("t").unwrap();
    assert_eq!(
        kind(things.search(&search).unwrap_err()),
        ErrorKind::NotFound
    );
    assert!(things.upsert(1, [1.0], row! { "n": 1 }).is_err());
    assert_eq!(kind(db.collection("t").unwrap_err()), ErrorKind::NotFound);
}

#[test]
fn what_is_tiny_is_ranked_right() {
    // Squared differences of these are zero in 32 bits; their order is not.
    for metric in [
        Metric::Euclidean,
        Metric::SquaredEuclidean,
        Metric::Dot,
        Metric::Cosine,
    ] {
        let things = collection(2, metric);
        for i in 0_u8..50 {
            let tiny = f32::from(50 - i) * 1e-30;
            things
                .upsert(i32::from(i), [tiny, 2e-30], Row::new())
                .unwrap();
        }
        let found = things.search(&Search::new([1e-30, 0.0], 5)).unwrap();
        let ids: Vec<i64> = found
            .hits
            .iter()
            .map(|hit| hit.id.values()[0].as_int().unwrap())
            .collect();
        let expect = match metric {
            Metric::Dot | Metric::Cosine => [0, 1, 2, 3, 4],
            // Exactly 1e-30 first, then its neighbours on the one side that has some.
            _ => [49, 48, 47, 46, 45],
        };
        assert_eq!(ids, expect, "{metric}");
    }
}
