//! Searches and writers while an index is built: nobody waits for it, and each search sees its commit.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, and its numbers are small"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;

use common::query::Filter;
use common::schema::{Field, FieldType};
use common::{RecordId, row};
use vectordb::{
    ClusteredOptions, GraphOptions, IndexOptions, Layout, Method, Metric, Search, VectorCollection,
    VectorDb, VectorOptions,
};

const DIMENSION: usize = 4;

fn vector(seed: usize) -> Vec<f32> {
    let part = |i: usize| ((seed * 31 + i * 17 + 3) % 997) as f32 / 100.0;
    (0..DIMENSION)
        .map(|i| part(seed + i * i) - (seed as f32 * 0.7 + i as f32).sin())
        .collect()
}

/// What is in the collection: for each id, the seed of its vector.
type Model = BTreeMap<i64, usize>;

fn check(things: &VectorCollection, model: &Model, seed: usize) {
    let query = vector(seed);
    for group in [None, Some(1)] {
        let mut search = Search::new(query.clone(), 5).effort(400);
        if let Some(group) = group {
            search = search.filter(Filter::eq("group", group));
        }
        let mut expect: Vec<(f32, i64)> = model
            .iter()
            .filter(|(id, _)| group.is_none_or(|group| *id % 3 == group))
            .map(|(id, seed)| {
                let own = vector(*seed);
                let squares = own.iter().zip(&query).map(|(a, b)| (a - b) * (a - b));
                (squares.sum::<f32>().sqrt(), *id)
            })
            .collect();
        expect.sort_by(|a, b| a.partial_cmp(b).unwrap());
        let found = things.search(&search).unwrap();
        assert_eq!(found.hits.len(), expect.len().min(5));
        // At such an effort, all of them but for chance; the nearest is always there.
        assert_eq!(found.hits[0].id, RecordId::from(expect[0].1));
        let worst = f64::from(expect[found.hits.len() - 1].0) * 1.000_01;
        let right = found
            .hits
            .iter()
            .filter(|hit| hit.distance <= worst)
            .count();
        assert!(right + 1 >= found.hits.len(), "{right}");
    }
}

/// Holds builds when they have begun, until it is let go.
struct Gate {
    begun: mpsc::Receiver<()>,
    go: Arc<AtomicBool>,
}

/// A test that fails must not leave a build waiting for ever.
impl Drop for Gate {
    fn drop(&mut self) {
        self.go.store(true, Ordering::Release);
    }
}

fn gate(things: &VectorCollection) -> Gate {
    let (send, begun) = mpsc::channel();
    let send = Mutex::new(Some(send));
    let go = Arc::new(AtomicBool::new(false));
    let held = go.clone();
    things.watch_builds(move |_, _| {
        if let Some(send) = send.lock().unwrap().take() {
            send.send(()).unwrap();
        }
        while !held.load(Ordering::Acquire) {
            thread::yield_now();
        }
    });
    Gate { begun, go }
}

#[test]
fn searches_and_writers_go_on_while_an_index_is_built() {
    for index in [
        IndexOptions::Graph(GraphOptions::new(Layout::Compact)),
        IndexOptions::Graph(GraphOptions::new(Layout::Fast)),
        IndexOptions::Clustered(ClusteredOptions::default()),
    ] {
        let db = VectorDb::new();
        let options = VectorOptions::new(DIMENSION, Metric::Euclidean).index(index);
        let group = Field::new("group", FieldType::Int);
        let things = db.create_collection("things", options, [group]).unwrap();
        let mut model = Model::new();
        let row = |id: i64, seed: usize| (id, vector(seed), row! { "group": id % 3 });
        // First an index comes to be, then one takes the place of another.
        for round in 0..2_usize {
            let gate = gate(&things);
            let ids = (0..2_500_i64).map(|i| i + 1_200 * round as i64);
            let rows: Vec<_> = ids
                .map(|id| (id, id as usize * 2 + 5_000 * round))
                .collect();
            model.extend(rows.iter().copied());
            let bulk = thread::spawn({
                let things = things.clone();
                move || {
                    things
                        .upsert_all(rows.iter().map(|(id, seed)| row(*id, *seed)))
                        .unwrap();
                    drop(rows);
                }
            });
            gate.begun.recv().unwrap();
            // All of this happens while the build is held.
            check(&things, &model, 77);
            for step in 0..150_usize {
                let id = (step * 13 % 4_000) as i64;
                if step % 4 == 0 {
                    assert_eq!(things.delete(id).is_ok(), model.remove(&id).is_some());
                } else {
                    let (id, vector, metadata) = row(id, step + 20_000);
                    things.upsert(id, vector, metadata).unwrap();
                    model.insert(id, step + 20_000);
                }
                if step % 10 == 0 {
                    check(&things, &model, step + 20_000);
                }
            }
            let explanation = things.explain(&Search::new(vector(9), 5)).unwrap();
            if round == 0 {
                assert_eq!(explanation.method, Method::ScanAll);
            } else {
                assert!(explanation.beside > 100, "{explanation}");
            }
            gate.go.store(true, Ordering::Release);
            bulk.join().unwrap();
            things.wait_for_indexes().unwrap();
            let explanation = things.explain(&Search::new(vector(9), 5)).unwrap();
            assert!(explanation.beside == 0 && explanation.method != Method::ScanAll);
            for seed in (0..40).map(|i| i * 101) {
                check(&things, &model, seed);
            }
        }
        // The new index goes on to be told of each change.
        for id in 0..200 {
            if model.remove(&id).is_some() {
                things.delete(id).unwrap();
            }
        }
        for seed in (0..20).map(|i| i * 7) {
            check(&things, &model, seed);
        }
    }
}

/// Changes of such number come during a build that it begins again.
#[test]
fn a_build_overtaken_by_a_bulk_begins_again() {
    let db = VectorDb::new();
    let index = IndexOptions::Clustered(ClusteredOptions::default());
    let options = VectorOptions::new(DIMENSION, Metric::Euclidean).index(index);
    let group = Field::new("group", FieldType::Int);
    let things = db.create_collection("things", options, [group]).unwrap();
    let gate = gate(&things);
    let rows = |ids: std::ops::Range<i64>| {
        ids.map(|id| (id, vector(id as usize), row! { "group": id % 3 }))
    };
    thread::scope(|scope| {
        let gate = gate;
        scope.spawn(|| things.upsert_all(rows(0..2_500)).unwrap());
        gate.begun.recv().unwrap();
        let first = db.database().seq();
        scope.spawn(|| things.upsert_all(rows(2_500..9_000)).unwrap());
        while db.database().seq() == first {
            thread::yield_now();
        }
        let model: Model = (0..9_000).map(|id| (id, id as usize)).collect();
        check(&things, &model, 6_000);
        gate.go.store(true, Ordering::Release);
    });
    things.wait_for_indexes().unwrap();
    let explanation = things.explain(&Search::new(vector(9), 5)).unwrap();
    assert_eq!(
        (explanation.method, explanation.beside),
        (Method::Clustered, 0)
    );
}

/// Whoever drops a collection does not wait for its index.
#[test]
fn a_build_ends_with_its_collection() {
    let db = VectorDb::new();
    let index = IndexOptions::Graph(GraphOptions::default());
    let options = VectorOptions::new(DIMENSION, Metric::Euclidean).index(index);
    let things = db.create_collection("things", options, []).unwrap();
    let gate = gate(&things);
    // Past the collection, as sync does; then a search takes note of the rows.
    let mut transaction = db.database().begin();
    for id in 0..3_000 {
        let row = row! { "id": id, "vector": vector(usize::try_from(id).unwrap()) };
        transaction.insert(things.table(), row).unwrap();
    }
    transaction.commit().unwrap();
    assert_eq!(
        things.search(&Search::new(vector(1_234), 1)).unwrap().hits[0].id,
        1_234.into()
    );
    gate.begun.recv().unwrap();
    db.drop_collection("things").unwrap();
    drop((things, db));
    gate.go.store(true, Ordering::Release);
}
