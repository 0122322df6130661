//! `tandem verify`, `backup`, `restore`, `repair`, and what other commands make of the folder of a durable database.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use common::row;
use common::schema::{Field, FieldType, Schema};
use durable::{DurableDatabase, DurableOptions};

use crate::support::Place;

/// A folder with 3 rows, of which 2 are behind a snapshot, and its archive.
fn place() -> Place {
    let place = Place::new();
    let options = DurableOptions::default().archive(place.path("archive"));
    let store = DurableDatabase::open(place.path("data"), options).unwrap();
    let schema = Schema::build("cities", ["id"]).field(Field::new("id", FieldType::Int));
    let cities = store
        .database()
        .create_collection(schema.finish().unwrap())
        .unwrap();
    cities.insert(row! { "id": 1 }).unwrap();
    store.backup(place.path("backup")).unwrap();
    for id in [2, 3] {
        let seq = cities.insert(row! { "id": id }).unwrap().seq;
        store.wait(seq).unwrap();
    }
    store.close().unwrap();
    place
}

#[test]
fn a_folder_is_verified_inspected_and_queried() {
    let place = place();
    let out = place.ok("verify data");
    assert!(out.contains("data is whole: commit 3"), "{out}");
    let report: serde_json::Value = serde_json::from_str(&place.ok("verify data --json")).unwrap();
    assert_eq!(
        (&report["position"], &report["was_closed"]),
        (&3.into(), &true.into())
    );
    let out = place.ok("inspect --db data --json");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["tables"][0]["rows"], 3);
    assert_eq!(report["log"]["changes"], 3);
    let ran = place.run("verify nothing");
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("no durable database in this folder"),
        "{}",
        ran.err
    );
}

#[test]
fn a_backup_is_restored_to_a_commit_or_the_end() {
    let place = place();
    place.ok("backup data copy");
    assert!(place.ok("verify copy").contains("commit 3"));
    assert!(
        place
            .run("backup data copy")
            .err
            .contains("holds a database already")
    );
    assert!(place.ok("verify backup").contains("commit 1"));
    let logs = "--log archive --log data";
    let out = place.ok(&format!("restore backup second {logs} --commit 2"));
    assert!(out.contains("as of commit 2"), "{out}");
    assert!(place.ok("verify second").contains("commit 2"));
    assert!(
        place
            .ok(&format!("restore backup end {logs}"))
            .contains("commit 3")
    );
    let past = place.ok(&format!(
        "restore backup past {logs} --time 2000-01-01T00:00:00Z"
    ));
    assert!(past.contains("commit 1"), "{past}");
    let ran = place.run(&format!("restore backup beyond {logs} --commit 9"));
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("the log ends at commit 3"), "{}", ran.err);
    assert!(
        !place
            .path("beyond")
            .join("snapshot-0000000000000001.tdb")
            .exists()
    );
}

#[test]
fn damage_is_named_and_repaired_only_when_asked() {
    let place = place();
    let log = place.path("data").join("log-0000000000000002");
    let mut bytes = fs::read(&log).unwrap();
    let end = bytes.len() - 3;
    bytes[end] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let ran = place.run("verify data");
    assert_eq!(ran.code, 4);
    for part in ["log-0000000000000002", "byte ", "tandem repair"] {
        assert!(ran.err.contains(part), "{}", ran.err);
    }
    assert_eq!(fs::read(&log).unwrap(), bytes);
    let out = place.ok("repair data");
    assert!(out.contains("opens again, at commit 2"), "{out}");
    assert!(out.contains("log-0000000000000002.damaged-"), "{out}");
    assert!(place.ok("verify data").contains("commit 2"));
    assert!(place.ok("repair data").contains("nothing was changed"));
}
