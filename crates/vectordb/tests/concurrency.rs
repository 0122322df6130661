//! Searches while others write: nobody waits for ever, and every search sees the state of one commit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::query::Filter;
use common::schema::{Field, FieldType};
use common::{RecordId, Value, row};
use vectordb::{Metric, Search, VectorDb, VectorOptions};

const PAIRS: i64 = 40;
const ROUNDS: i64 = 150;
const WRITERS: i64 = 2;

/// Each writer moves pairs of rows to a place that only this round has, both in one commit. A search must
/// never see the two of a pair in different places, nor metadata of another round than the vector.
#[test]
fn a_search_sees_one_commit() {
    let db = VectorDb::new();
    let things = db
        .create_collection(
            "things",
            VectorOptions::new(2, Metric::Euclidean),
            [
                Field::new("round", FieldType::Int),
                Field::new("pair", FieldType::Int),
            ],
        )
        .unwrap();
    let place = |pair: i64, round: i64| {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let place = [pair as f32, round as f32];
        let metadata = || row! { "round": round, "pair": pair };
        [
            (2 * pair, place, metadata()),
            (2 * pair + 1, place, metadata()),
        ]
    };
    things
        .upsert_all((0..PAIRS).flat_map(|pair| place(pair, 0)))
        .unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let things = things.clone();
                scope.spawn(move || {
                    for round in 1..ROUNDS {
                        let pair = (round * 7 + writer) % (PAIRS / WRITERS) * WRITERS + writer;
                        if round % 5 == 0 {
                            for row in [2 * pair, 2 * pair + 1] {
                                let _ = things.delete(row);
                            }
                        }
                        things.upsert_all(place(pair, round)).unwrap();
                    }
                })
            })
            .collect();
        for reader in 0..2 {
            let (things, done) = (things.clone(), &done);
            scope.spawn(move || {
                let mut last = common::Seq::ZERO;
                while !done.load(Ordering::Acquire) {
                    let mut search = Search::new([0.0, 0.0], 4 * usize::try_from(PAIRS).unwrap());
                    if reader == 1 {
                        search = search.filter(Filter::ge("round", 1));
                    }
                    let found = things.search(&search).unwrap();
                    assert!(found.seq >= last, "the state never goes back");
                    last = found.seq;
                    assert!(found.hits.is_sorted_by(|a, b| a.distance <= b.distance));
                    for hit in &found.hits {
                        let get = |name| hit.row.get(name).and_then(Value::as_float).unwrap();
                        let expect = (get("pair").powi(2) + get("round").powi(2)).sqrt();
                        assert!((hit.distance - expect).abs() < 1e-9, "{hit:?}");
                        let id = hit.id.values()[0].as_int().unwrap();
                        let other = found.hits.iter().find(|h| h.id == RecordId::from(id ^ 1));
                        // Deletions are two commits, so a pair may be half; but never in two places.
                        if let Some(other) = other {
                            assert_eq!(other.row, hit.row);
                        }
                    }
                }
            });
        }
        let results: Vec<_> = writers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        done.store(true, Ordering::Release);
        assert!(results.into_iter().all(|result| result.is_ok()));
    });
    assert_eq!(things.count(), 2 * usize::try_from(PAIRS).unwrap());
    assert_eq!(
        things
            .search(&Search::new([0.0, 0.0], 1_000))
            .unwrap()
            .hits
            .len(),
        things.count()
    );
}

/// Whoever wrote finds it at once, however many others write.
#[test]
fn writers_read_what_they_wrote() {
    let db = VectorDb::new();
    let things = db
        .create_collection("things", VectorOptions::new(1, Metric::Manhattan), [])
        .unwrap();
    thread::scope(|scope| {
        for writer in 0_u16..4 {
            let things = things.clone();
            scope.spawn(move || {
                for i in 0_u16..200 {
                    let id = writer * 1_000 + i;
                    things
                        .upsert(u32::from(id), [f32::from(id)], row! {})
                        .unwrap();
                    let found = things.search(&Search::new([f32::from(id)], 1)).unwrap();
                    assert_eq!(found.hits[0].id, RecordId::from(u32::from(id)));
                    if i % 3 == 0 {
                        things.delete(u32::from(id)).unwrap();
                        let found = things.search(&Search::new([f32::from(id)], 1)).unwrap();
                        assert!(
                            found
                                .hits
                                .iter()
                                .all(|hit| hit.id != RecordId::from(u32::from(id)))
                        );
                    }
                }
            });
        }
    });
    assert_eq!(things.count(), 4 * 133);
}
