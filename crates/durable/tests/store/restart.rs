//! What comes back after a restart, and copies of a database.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::database::Alteration;
use common::schema::SchemaVersion;
use common::{Seq, Timestamp, ValueInput, row};
use durable::{Durability, DurableDatabase, DurableOptions, Until, restore_with};

use crate::disk::{Disk, Image};
use crate::script::{FOLDER, History, STEPS, changes, check, dump, open, options, run, schema};

#[test]
fn t26_everything_is_as_before_after_a_clean_restart() {
    let disk = Disk::default();
    let mut history = History::default();
    run(&disk, &mut history, STEPS).unwrap();
    let last = history.states.len() - 1;
    let store = open(&disk).unwrap();
    assert!(store.recovery().was_closed);
    check(&store, &history, last, last);
    drop(store);
    let store = open(&disk).unwrap();
    check(&store, &history, last, last);
}

#[test]
fn the_log_reaches_as_far_back_after_restarts_and_snapshots_as_before() {
    let disk = Disk::default();
    let mut known = Vec::new();
    for round in 0..4 {
        let store = open(&disk).unwrap();
        let db = store.database();
        let table = db.open_collection(schema("a")).unwrap();
        assert_eq!(changes(db).1, known);
        for id in 0..5 {
            table
                .upsert(row! { "id": id, "text": format!("{round}") })
                .unwrap();
        }
        if round % 2 == 0 {
            store.checkpoint().unwrap();
        }
        table.delete(3).unwrap();
        known = changes(db).1;
    }
    assert_eq!(known.len(), 4 * 6);
    assert_eq!(changes(open(&disk).unwrap().database()), (0, known));
}

#[test]
fn t24_files_of_others_do_not_stop_a_start_and_stay() {
    let disk = Disk::default();
    run(&disk, &mut History::default(), STEPS).unwrap();
    let mut image = disk.image();
    for name in [
        "notes.txt",
        "log-1.tmp",
        "snapshot.tmp",
        ".log-0000000000000009.new-7-0",
    ] {
        image.insert(Path::new(FOLDER).join(name), b"?".to_vec());
    }
    let disk = Disk::of(&image);
    let store = open(&disk).unwrap();
    drop(store);
    let left = disk.image();
    assert!(left.contains_key(Path::new("data/db/log-1.tmp")));
    assert!(left.contains_key(Path::new("data/db/notes.txt")));
    assert!(
        !left
            .keys()
            .any(|path| path.to_string_lossy().contains(".new-"))
    );
}

#[test]
fn t30_every_count_of_rows_survives_a_clean_end_and_a_kill() {
    for rows in [1, 999, 1_000, 1_001] {
        for is_killed in [false, true] {
            let disk = Disk::default();
            let store = open(&disk).unwrap();
            let table = store.database().create_collection(schema("a")).unwrap();
            for id in 0..rows {
                table.insert(row! { "id": id, "text": "v" }).unwrap();
            }
            let found = if is_killed {
                store.wait(store.database().seq()).unwrap();
                Disk::of(&disk.image())
            } else {
                store.close().unwrap();
                disk.clone()
            };
            let again = open(&found).unwrap();
            let table = again.database().collection("a").unwrap();
            assert_eq!(table.len(), usize::try_from(rows).unwrap());
            assert!(
                (0..rows).all(|id| table.get(id).is_some()),
                "contents, not counts"
            );
        }
    }
}

#[test]
fn t27_t31_a_restored_copy_answers_the_same_and_survives_restarts() {
    let disk = Disk::default();
    let archive = PathBuf::from("archive");
    let with_archive = || options().archive(&archive);
    let files = || Arc::new(disk.clone());
    let store = DurableDatabase::open_with(files(), Path::new(FOLDER), with_archive()).unwrap();
    let table = store.database().create_collection(schema("a")).unwrap();
    table.insert(row! { "id": 1 }).unwrap();
    store.backup("backup").unwrap();
    let mut states = Vec::new();
    for id in 2..=9 {
        let committed = table.insert(row! { "id": id }).unwrap();
        states.push((committed.seq, committed.stamp, dump(store.database())));
        if id % 3 == 0 {
            store.checkpoint().unwrap();
        }
        store.database().prune_log_to(committed.seq);
    }
    store.close().unwrap();
    let logs = [archive, PathBuf::from(FOLDER)];
    for (i, (seq, stamp, state)) in states.iter().enumerate() {
        let to = PathBuf::from(format!("restored{i}"));
        let until = if i % 2 == 0 {
            Until::Seq(*seq)
        } else {
            // Stamps of one millisecond are not told apart.
            let last = states
                .iter()
                .rfind(|(_, s, _)| s.millis() == stamp.millis());
            if last.unwrap().0 != *seq {
                continue;
            }
            Until::Time(Timestamp::from_millis(stamp.millis()))
        };
        let found = restore_with(&disk, Path::new("backup"), &logs, &to, until).unwrap();
        assert_eq!(found, *seq);
        for _ in 0..2 {
            let again = DurableDatabase::open_with(files(), &to, options()).unwrap();
            assert_eq!(dump(again.database()), *state);
        }
    }
    let end = Path::new("end");
    let seq = restore_with(&disk, Path::new("backup"), &logs, end, Until::End).unwrap();
    assert_eq!(seq, states.last().unwrap().0);
    let beyond = Until::Seq(Seq(seq.0 + 1));
    assert!(restore_with(&disk, Path::new("backup"), &logs, Path::new("no"), beyond).is_err());
    assert!(
        restore_with(&disk, Path::new("backup"), &logs, end, Until::End).is_err(),
        "a folder in use"
    );
    let copy = DurableDatabase::open_with(files(), Path::new("backup"), options()).unwrap();
    assert_eq!(copy.database().collection("a").unwrap().len(), 1);
}

#[test]
fn t41_many_threads_share_syncs_and_lose_nothing_and_listeners_hear_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = DurableDatabase::open(folder.path(), DurableOptions::default()).unwrap();
    let table = store.database().create_collection(schema("a")).unwrap();
    let heard = Arc::new(AtomicU64::new(0));
    let listener = Arc::clone(&heard);
    store.on_durable(move |safe| {
        listener.fetch_max(safe.unwrap().0, Ordering::Relaxed);
    });
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (store, table) = (&store, &table);
            scope.spawn(move || {
                for i in 0..25 {
                    let id = thread * 100 + i;
                    let seq = table.insert(row! { "id": id }).unwrap().seq;
                    store.wait(seq).unwrap();
                    assert!(store.durable_seq() >= seq);
                }
            });
        }
    });
    assert_eq!(store.durable_seq(), Seq(200));
    store.close().unwrap();
    assert_eq!(heard.load(Ordering::Relaxed), 200);
    assert!(store.wait(Seq(200)).is_ok() && store.wait(Seq(201)).is_err());
    assert!(table.insert(row! { "id": -1 }).is_err(), "closed");
    drop(store);
    let store = DurableDatabase::open(folder.path(), DurableOptions::default()).unwrap();
    assert_eq!(store.database().collection("a").unwrap().len(), 200);
    let second = DurableDatabase::open(folder.path(), DurableOptions::default());
    assert!(second.is_err(), "one process at a time");
}

#[test]
fn snapshots_come_by_themselves_and_the_log_stays_small() {
    let disk = Disk::default();
    let mut options = DurableOptions::default()
        .checkpoint_bytes(20_000)
        .durability(Durability::None);
    options.database.retention.changes_max = 50;
    let files = Arc::new(disk.clone());
    let store = DurableDatabase::open_with(files, Path::new(FOLDER), options).unwrap();
    let table = store.database().create_collection(schema("a")).unwrap();
    for id in 0..3_000 {
        table
            .upsert(row! { "id": id % 100, "text": format!("text {id} that takes room") })
            .unwrap();
        store.wait(store.database().seq()).unwrap();
    }
    store.close().unwrap();
    let image = disk.image();
    assert!(
        image
            .keys()
            .any(|path| path.to_string_lossy().contains("snapshot-"))
    );
    let bytes = |image: &Image| image.values().map(Vec::len).sum::<usize>();
    assert!(bytes(&image) < 150_000, "{} bytes", bytes(&image));
    let again = open(&disk).unwrap();
    assert_eq!(again.database().seq(), Seq(3_000));
}

#[test]
fn a_table_is_rebuilt_between_snapshots_that_are_held_back() {
    let disk = Disk::default();
    let store = open(&disk).unwrap();
    let db = store.database();
    let table = db.create_collection(schema("a")).unwrap();
    for id in 0..2_000 {
        table.insert(row! { "id": id }).unwrap();
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for copy in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                store.checkpoint().unwrap();
                store.backup(format!("backup{copy}")).unwrap();
            }
        });
        let rebuilt = (2..40).try_for_each(|version| {
            let held = store.hold_checkpoints();
            let mut schema = schema("a");
            schema.version = SchemaVersion(version);
            let rebuilt = db.alter(vec![Alteration::Rebuild {
                schema,
                row: Box::new(|record, values| {
                    values.extend(record.iter().cloned().map(ValueInput::from));
                    Ok(())
                }),
                derivation: None,
            }]);
            drop(held);
            rebuilt
        });
        stop.store(true, Ordering::Relaxed);
        rebuilt.unwrap();
    });
    let before = dump(db);
    store.close().unwrap();
    drop(store);
    assert_eq!(dump(open(&disk).unwrap().database()), before);
}
