//! Rows that are gone stay gone: in every answer, beside builds of indexes and compaction of the log, and when an index
//! was begun from what has been deleted since.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, and its numbers are small"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use common::schema::{Field, FieldType};
use common::{RecordId, Row, Value, row};
use proptest::prelude::*;
use vectordb::{
    ClusteredOptions, GraphOptions, IndexOptions, Layout, Metric, Search, VectorCollection,
    VectorDb, VectorOptions,
};

const DIMENSION: usize = 6;

fn vector(seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (0..DIMENSION).map(|_| next()).collect()
}

fn kinds() -> [IndexOptions; 3] {
    [
        IndexOptions::Graph(GraphOptions::new(Layout::Compact)),
        IndexOptions::Graph(GraphOptions::new(Layout::Fast)),
        IndexOptions::Clustered(ClusteredOptions::default()),
    ]
}

/// A collection with an index of 2,500 rows, whose vectors have their ids for seeds.
fn collection(index: IndexOptions) -> (VectorDb, VectorCollection) {
    let db = VectorDb::new();
    let options = VectorOptions::new(DIMENSION, Metric::Euclidean).index(index);
    let seed = Field::new("seed", FieldType::Int);
    let things = db.create_collection("things", options, [seed]).unwrap();
    things.upsert_all((0..2_500).map(|id| one(id, id))).unwrap();
    things.wait_for_indexes().unwrap();
    (db, things)
}

fn one(id: i64, seed: i64) -> (i64, Vec<f32>, Row) {
    (id, vector(seed as u64), row! { "seed": seed })
}

/// Every row of an answer is there, with the vector that it has now; and the row asked for by its vector comes first.
fn check(things: &VectorCollection, model: &BTreeMap<i64, i64>, seed: i64) {
    let search = Search::new(vector(seed as u64), 20).effort(300);
    for hit in things.search(&search).unwrap().hits {
        let row = things.get(hit.id).expect("a row that is there");
        let id = row.values().first().and_then(Value::as_int).unwrap();
        let own = vector(*model.get(&id).expect("a row that was not deleted") as u64);
        let squares = own.iter().zip(vector(seed as u64)).map(|(a, b)| {
            let difference = f64::from(*a) - f64::from(b);
            difference * difference
        });
        assert!((squares.sum::<f64>().sqrt() - hit.distance).abs() < 1e-5);
    }
}

/// Every row finds itself.
fn check_all(things: &VectorCollection, model: &BTreeMap<i64, i64>) {
    assert_eq!(things.count(), model.len());
    for (id, seed) in model {
        let search = Search::new(vector(*seed as u64), 1).effort(100);
        let hit = things.search(&search).unwrap().hits.swap_remove(0);
        assert_eq!((hit.id, hit.distance), (RecordId::from(*id), 0.0), "{seed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn t32_every_answer_is_of_rows_that_are_there(
        kind in 0_usize..3,
        steps in prop::collection::vec((0_i64..2_600, prop::bool::weighted(0.6), 0_i64..1_000_000), 1..300),
    ) {
        let [compact, fast, clustered] = kinds();
        let (_db, things) = collection([compact, fast, clustered].into_iter().nth(kind).unwrap());
        let mut model: BTreeMap<i64, i64> = (0..2_500).map(|id| (id, id)).collect();
        for (id, deletes, seed) in steps {
            if deletes {
                prop_assert_eq!(things.delete(id).is_ok(), model.remove(&id).is_some());
                // Where it was, others are found.
                check(&things, &model, id);
            } else {
                let (id, vector, metadata) = one(id, seed);
                things.upsert(id, vector, metadata).unwrap();
                model.insert(id, seed);
            }
            check(&things, &model, seed);
        }
    }
}

#[test]
fn t35_rows_come_and_go_beside_builds_and_compaction() {
    for index in kinds() {
        let (db, things) = collection(index);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    db.database().compact_log(db.database().seq());
                    db.database().prune_log();
                    let search = Search::new(vector(7), 10);
                    assert_eq!(things.search(&search).unwrap().hits.len(), 10);
                    thread::yield_now();
                }
            });
            let deletes = scope.spawn(|| {
                (0..2_500)
                    .step_by(2)
                    .for_each(|id| drop(things.delete(id).unwrap()));
            });
            let inserts = scope.spawn(|| {
                for id in 10_000..10_500 {
                    let (id, vector, metadata) = one(id, id);
                    things.upsert(id, vector, metadata).unwrap();
                }
            });
            // So many at once that the index is built anew.
            things
                .upsert_all((20_000..26_000).map(|id| one(id, id)))
                .unwrap();
            deletes.join().unwrap();
            inserts.join().unwrap();
            stop.store(true, Ordering::Release);
        });
        things.wait_for_indexes().unwrap();
        let odd = (0..2_500).skip(1).step_by(2);
        let model = odd.chain(10_000..10_500).chain(20_000..26_000);
        check_all(&things, &model.map(|id| (id, id)).collect());
    }
}

/// Holds a build from a share of its work on, until told to go on.
fn hold(things: &VectorCollection, share: f64) -> (mpsc::Receiver<()>, Arc<AtomicBool>) {
    let (send, held) = mpsc::channel();
    let send = Mutex::new(Some(send));
    let go = Arc::new(AtomicBool::new(false));
    let released = go.clone();
    things.watch_builds(move |done, all| {
        if (done as f64) < share * all as f64 {
            return;
        }
        if let Some(send) = send.lock().unwrap().take() {
            send.send(()).unwrap();
        }
        while !released.load(Ordering::Acquire) {
            thread::yield_now();
        }
    });
    (held, go)
}

#[test]
fn t37_a_build_from_a_stale_version_brings_no_row_back() {
    for index in kinds() {
        for share in [0.0, 0.5, 1.0] {
            let (db, things) = collection(index.clone());
            let mut model: BTreeMap<i64, i64> = (0..8_000).map(|id| (id, id)).collect();
            let (held, go) = hold(&things, share);
            let bulk = thread::spawn({
                let things = things.clone();
                move || {
                    things
                        .upsert_all((2_500..8_000).map(|id| one(id, id)))
                        .unwrap()
                }
            });
            held.recv().unwrap();
            for id in (0..8_000).step_by(5) {
                things.delete(id).unwrap();
                model.remove(&id);
            }
            // Some come again, with other vectors, perhaps in the slots of others.
            for id in (0..8_000).step_by(35) {
                let (id, vector, metadata) = one(id, id + 50_000);
                things.upsert(id, vector, metadata).unwrap();
                model.insert(id, id + 50_000);
            }
            db.database().compact_log(db.database().seq());
            db.database().prune_log();
            go.store(true, Ordering::Release);
            bulk.join().unwrap();
            things.wait_for_indexes().unwrap();
            check_all(&things, &model);
            for seed in (0..8_000).step_by(40) {
                check(&things, &model, seed);
            }
        }
    }
}
