//! Whatever fails, and whenever the power goes, a file holds its old content or its new content.
//!
//! The test stops [`durable::replace`] at each
//! of its calls, works out every content the disk may show after a restart, and reads each of them.

use std::ops::ControlFlow;
use std::path::Path;

use crate::model_disk::{Disk, Fault, ModelFiles};
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::{Database, Record, row};
use durable::{Files, open_with, replace, save_with};

const FILE: &str = "folder/data.tdb";

/// Contents larger than one write call, so that writing has a middle.
fn contents() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    (
        vec![b'o'; 1_500_000],
        vec![b'n'; 3_000_000],
        b"third".to_vec(),
    )
}

fn disk_with(content: &[u8]) -> Disk {
    let files = ModelFiles::default();
    replace(&files, Path::new(FILE), content).unwrap();
    let disk = files.disk().clone();
    Disk { calls: 0, ..disk }
}

/// Calls that one undisturbed replacement makes.
fn calls_of_a_replacement(start: &Disk, content: &[u8]) -> usize {
    let files = ModelFiles::of(start.clone());
    replace(&files, Path::new(FILE), content).unwrap();
    files.disk().calls
}

#[test]
fn after_every_failed_call_the_file_is_old_or_new_and_can_be_replaced_again() {
    let (old, new, third) = contents();
    let start = disk_with(&old);
    let calls = calls_of_a_replacement(&start, &new);
    assert!(
        calls >= 7,
        "list, create, 3 writes, sync, rename, sync: {calls}"
    );
    let mut refused = 0;
    for at in 1..=calls {
        for fault in [Fault::Error, Fault::Half] {
            let files = ModelFiles::of(Disk {
                fault: Some((at, fault)),
                ..start.clone()
            });
            let result = replace(&files, Path::new(FILE), &new);
            let found = files.read(Path::new(FILE)).unwrap();
            match &result {
                Ok(()) => assert_eq!(found, new, "success means the new content, call {at}"),
                Err(error) if error.message().contains("as it was before") => {
                    refused += 1;
                    assert_eq!(found, old, "call {at}: {error}");
                }
                Err(error) => assert_eq!(found, new, "call {at}: {error}"),
            }
            assert_eq!(files.disk().names.len(), 1, "left behind, call {at}");
            replace(&files, Path::new(FILE), &third).unwrap();
            assert_eq!(files.read(Path::new(FILE)).unwrap(), third);
        }
    }
    assert_eq!(
        refused,
        2 * (calls - 2),
        "all but the listing and the last sync"
    );
}

#[test]
fn after_a_power_cut_at_every_call_the_file_is_old_or_new() {
    let (old, new, third) = contents();
    let start = disk_with(&old);
    let calls = calls_of_a_replacement(&start, &new);
    let mut seen = [0, 0];
    for at in 1..=calls + 1 {
        let files = ModelFiles::of(Disk {
            fault: Some((at, Fault::PowerCut)),
            ..start.clone()
        });
        let done = replace(&files, Path::new(FILE), &new).is_ok();
        assert_eq!(done, at > calls);
        for disk in files.disk().after_power_cut() {
            let files = ModelFiles::of(disk);
            let found = files.read(Path::new(FILE)).expect("there is always a file");
            let is_new = found == new;
            assert!(is_new || found == old, "a mixture after call {at}");
            assert!(is_new || !done, "acknowledged, then lost");
            seen[usize::from(is_new)] += 1;
            replace(&files, Path::new(FILE), &third).unwrap();
            assert_eq!(files.disk().names.len(), 1, "leftovers are removed");
        }
    }
    assert!(
        seen.iter().all(|times| *times > 0),
        "both outcomes were met: {seen:?}"
    );
}

#[test]
fn files_of_others_beside_it_are_left_alone() {
    let files = ModelFiles::of(disk_with(b"one"));
    for other in [
        "folder/.other.tdb.new-1-1",
        "folder/data.tdb.new-1-1",
        "folder/.data.tdb.lock",
    ] {
        files.create(Path::new(other), Path::new(FILE)).unwrap();
    }
    files
        .create(Path::new("folder/.data.tdb.new-1-1"), Path::new(FILE))
        .unwrap();
    replace(&files, Path::new(FILE), b"two").unwrap();
    assert_eq!(files.disk().names.len(), 4);
}

fn database(rows: i64) -> Database {
    let database = Database::new();
    let schema = Schema::build("cities", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("name", FieldType::Text))
        .index(IndexSpec::hash(["name"]))
        .finish()
        .unwrap();
    let cities = database.create_collection(schema).unwrap();
    for id in 0..rows {
        cities
            .insert(row! { "id": id, "name": format!("city {id}") })
            .unwrap();
    }
    database
}

fn ids(database: &Database) -> Vec<i64> {
    let cities = database.collection("cities").unwrap();
    let mut ids = Vec::new();
    let snapshot = database.snapshot();
    let mut collect = |records: &[Record]| {
        ids.extend(records.iter().map(|record| record[0].as_int().unwrap()));
        ControlFlow::Continue(())
    };
    snapshot.view().scan(&cities, &mut collect).unwrap();
    ids.sort_unstable();
    ids
}

#[test]
fn a_saved_database_opens_whatever_fails_while_it_is_saved_again() {
    let path = Path::new(FILE);
    let (old, new) = (database(3), database(5));
    let files = ModelFiles::default();
    save_with(&files, &old, path).unwrap();
    let start = Disk {
        calls: 0,
        ..files.disk().clone()
    };
    let mut seen = [0, 0];
    for at in 1.. {
        let mut refused = 0;
        for fault in [Fault::Error, Fault::Half, Fault::PowerCut] {
            let files = ModelFiles::of(Disk {
                fault: Some((at, fault)),
                ..start.clone()
            });
            refused += usize::from(save_with(&files, &new, path).is_err());
            let disks = match fault {
                Fault::PowerCut => files.disk().after_power_cut(),
                _ => vec![files.disk().clone()],
            };
            for disk in disks {
                let found = ids(&open_with(&ModelFiles::of(disk), path).unwrap());
                assert!(found == ids(&old) || found == ids(&new), "{found:?}");
                seen[usize::from(found == ids(&new))] += 1;
            }
        }
        // The first call is the listing, which may fail without harm.
        if refused == 0 && at > 1 {
            break;
        }
    }
    assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
}
