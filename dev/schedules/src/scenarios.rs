//! Who does what at the same time.

use std::ops::ControlFlow;

use common::query::{LiveQuery, Query};
use common::{ErrorKind, row};
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;
use vectordb::Search;

use crate::world::{ROWS, World, options, tag, vector};

pub type Scenario = fn();

pub const SCENARIOS: &[(&str, Scenario)] = &[
    ("add_search", add_search),
    ("two_add_search", two_add_search),
    ("delete_search", delete_search),
    ("add_delete_search", add_delete_search),
    ("replace_search", replace_search),
    ("delete_add_again", delete_add_again),
    ("update_filtered", update_filtered),
    ("batch_rebuilds", batch_rebuilds),
    ("pruned_log", pruned_log),
    ("compacted_log", compacted_log),
    ("snapshot", snapshot),
    ("open_while_writing", open_while_writing),
    ("drop_while_searching", drop_while_searching),
    ("listen_and_stop", listen_and_stop),
    ("live_query", live_query),
    ("roll_back", roll_back),
];

/// Runs tasks at the same time with one that searches, then checks.
fn with_search(tasks: Vec<Box<dyn FnOnce(&World) + Send>>, filter: bool) {
    let world = World::new();
    let mut handles: Vec<_> = tasks
        .into_iter()
        .map(|task| {
            let world = world.clone();
            thread::spawn(move || task(&world))
        })
        .collect();
    let searching = world.clone();
    handles.push(thread::spawn(move || {
        let first = searching.search(filter);
        let second = searching.search(!filter);
        assert!(first <= second, "the state never goes back");
    }));
    for handle in handles {
        handle.join().unwrap();
    }
    world.check();
}

fn task(task: impl FnOnce(&World) + Send + 'static) -> Box<dyn FnOnce(&World) + Send> {
    Box::new(task)
}

fn add_search() {
    with_search(
        vec![task(|w| (ROWS..ROWS + 3).for_each(|id| w.add(id)))],
        false,
    );
}

fn two_add_search() {
    with_search(
        vec![
            task(|w| (ROWS..ROWS + 2).for_each(|id| w.add(id))),
            task(|w| (ROWS + 2..ROWS + 4).for_each(|id| w.add(id))),
        ],
        false,
    );
}

fn delete_search() {
    with_search(
        vec![task(|w| [3, 0, 19].into_iter().for_each(|id| w.delete(id)))],
        false,
    );
}

/// Slots that one gives free are taken by the other.
fn add_delete_search() {
    with_search(
        vec![
            task(|w| (ROWS..ROWS + 3).for_each(|id| w.add(id))),
            task(|w| [0, 7, 13].into_iter().for_each(|id| w.delete(id))),
        ],
        true,
    );
}

fn replace_search() {
    let replace = |version: i64| {
        task(move |w| {
            for id in [0, 5, 6] {
                w.things
                    .upsert(id, vector(id, version), tag(id, version))
                    .unwrap();
            }
        })
    };
    with_search(vec![replace(1), replace(2)], false);
}

/// The same id by two writers: whatever the order, table and index agree.
fn delete_add_again() {
    with_search(
        vec![
            task(|w| {
                w.present.lock().unwrap().remove(&4);
                w.things.delete(4).unwrap();
            }),
            task(|w| {
                w.present.lock().unwrap().remove(&4);
                w.things.upsert(4, vector(4, 1), tag(4, 1)).unwrap();
            }),
        ],
        false,
    );
}

/// Metadata alone changes: the vector stays where it is, until another writer replaces it.
fn update_filtered() {
    with_search(
        vec![
            task(|w| {
                for id in [2, 3] {
                    w.things.update(id, row! { "note": id }).unwrap();
                }
            }),
            task(|w| {
                w.things
                    .upsert(3, vector(3, 1), tag(3, 1))
                    .map(drop)
                    .unwrap()
            }),
            task(|w| w.delete(9)),
        ],
        true,
    );
}

/// Many at once build the graph anew, while one is added and one removed.
fn batch_rebuilds() {
    with_search(
        vec![
            task(|w| w.add_all(ROWS..ROWS + 16)),
            task(|w| {
                w.add(60);
                w.delete(1);
            }),
        ],
        false,
    );
}

/// The log goes away under the index, which reads the table again.
fn pruned_log() {
    with_search(
        vec![
            task(|w| {
                // Through the table, so that the index does not follow at once.
                for id in [ROWS, ROWS + 1] {
                    let row = tag(id, 0).with("id", id);
                    let row = row.with("vector", common::Vector::from(vector(id, 0)));
                    w.things.table().insert(row).unwrap();
                    w.present.lock().unwrap().insert(id);
                }
            }),
            task(|w| {
                let database = w.db.database();
                database.prune_log_to(database.seq());
                database.prune_log_to(database.seq());
            }),
            task(|w| w.delete(2)),
        ],
        false,
    );
}

fn compacted_log() {
    with_search(
        vec![
            task(|w| {
                w.things.upsert(3, vector(3, 1), tag(3, 1)).unwrap();
                w.things.upsert(3, vector(3, 2), tag(3, 2)).unwrap();
            }),
            task(|w| {
                let database = w.db.database();
                database.compact_log(database.seq());
                database.prune_log();
                database.compact_log(database.seq());
            }),
            task(|w| w.delete(2)),
        ],
        false,
    );
}

/// A snapshot is read twice while rows come, go and change.
fn snapshot() {
    with_search(
        vec![
            task(|w| {
                let snapshot = w.db.database().snapshot();
                let read = || {
                    let mut rows = Vec::new();
                    let scanned = snapshot.view().scan(w.things.table(), &mut |records| {
                        rows.extend(records.iter().map(|record| record.to_vec()));
                        ControlFlow::Continue(())
                    });
                    scanned.unwrap();
                    rows.sort();
                    rows
                };
                let first = read();
                thread::yield_now();
                assert_eq!(read(), first, "a snapshot changed");
            }),
            task(|w| {
                w.things.upsert(3, vector(3, 1), tag(3, 1)).unwrap();
                w.add(ROWS);
            }),
            task(|w| w.delete(2)),
        ],
        false,
    );
}

/// A second index of the same table is built while that changes.
fn open_while_writing() {
    with_search(
        vec![
            task(|w| {
                let mut second = w.clone();
                second.things = w.db.open_collection("things", options()).unwrap();
                second.search(false);
                second.check_index();
            }),
            task(|w| w.add(ROWS)),
            task(|w| w.delete(2)),
        ],
        false,
    );
}

/// Whoever uses a collection that is dropped gets an error or an answer, and nobody waits for ever.
fn drop_while_searching() {
    let world = World::new();
    let use_it = |w: &World| {
        let search = w.things.search(&Search::new(vector(1, 0), 3)).map(drop);
        let upsert = w
            .things
            .upsert(ROWS, vector(ROWS, 0), tag(ROWS, 0))
            .map(drop);
        for result in [search, upsert] {
            if let Err(error) = result {
                assert!(
                    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Closed),
                    "{error}"
                );
            }
        }
    };
    let handles: Vec<_> = (0..2)
        .map(|_| {
            let world = world.clone();
            thread::spawn(move || use_it(&world))
        })
        .collect();
    world.db.drop_collection("things").unwrap();
    for handle in handles {
        handle.join().unwrap();
    }
    assert!(world.things.search(&Search::new(vector(1, 0), 3)).is_err());
    assert!(world.db.collection("things").is_err());
}

/// A listener is told of the commits between its beginning and its end, and may search in them.
fn listen_and_stop() {
    with_search(
        vec![
            task(|w| {
                let told = Arc::new(AtomicUsize::new(0));
                let (counting, things) = (told.clone(), w.things.clone());
                let database = w.db.database();
                let number = database.add_listener(std::sync::Arc::new(move |seq| {
                    counting.fetch_add(1, Ordering::SeqCst);
                    let found = things.search(&Search::new(vector(1, 0), 1)).unwrap();
                    assert!(found.seq >= seq, "a listener sees what it is told of");
                }));
                w.things.upsert(3, vector(3, 1), tag(3, 1)).unwrap();
                database.remove_listener(number);
                assert!(told.load(Ordering::SeqCst) >= 1);
            }),
            task(|w| w.add(ROWS)),
            task(|w| w.delete(2)),
        ],
        false,
    );
}

/// A live query follows the rows to the same end as the table.
fn live_query() {
    with_search(
        vec![
            task(|w| {
                let mut live = LiveQuery::open(w.db.database(), &Query::from("things")).unwrap();
                let rows = live.rows().len();
                live.poll().unwrap();
                assert!(live.rows().len().abs_diff(rows) <= 2);
            }),
            task(|w| w.add(ROWS)),
            task(|w| w.delete(2)),
        ],
        false,
    );
}

/// What a transaction has not committed is never found.
fn roll_back() {
    with_search(
        vec![
            task(|w| {
                w.gone.lock().unwrap().insert(50);
                let mut transaction = w.db.database().begin();
                let row = tag(50, 0).with("id", 50);
                let row = row.with("vector", common::Vector::from(vector(50, 0)));
                transaction.insert(w.things.table(), row).unwrap();
                thread::yield_now();
                transaction.rollback();
            }),
            task(|w| w.add(ROWS)),
        ],
        false,
    );
}
