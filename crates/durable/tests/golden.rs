//! Golden files: folders that a former version wrote, as every later version must read them.
//!
//! `TANDEMDB_GOLDEN=write cargo test -p tandemdb-durable --test golden` writes the folder of this version anew. Do that when a
//! layout is added, under another name: a folder that does not open any more is a format that broke.

#![expect(clippy::unwrap_used, reason = "a test stops at a surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::storage::StorageKind;
use common::{Seq, Value, row};
use durable::{DurableDatabase, DurableOptions};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden/durable")
}

fn write(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    let store = DurableDatabase::open(folder, DurableOptions::default()).unwrap();
    let schema = |name| {
        Schema::build(name, ["id"])
            .field(Field::new("id", FieldType::Int))
            .field(Field::new("name", FieldType::Text))
            .finish()
            .unwrap()
    };
    let db = store.database();
    let cities = db.create_collection(schema("cities")).unwrap();
    let ordered = StorageKind::Ordered;
    let rivers = db.create_collection_in(schema("rivers"), ordered).unwrap();
    cities.insert(row! { "id": 1, "name": "Oulu" }).unwrap();
    cities.insert(row! { "id": 2, "name": "Turku" }).unwrap();
    rivers.insert(row! { "id": 3, "name": "Aura" }).unwrap();
    store.checkpoint().unwrap();
    cities.create_index(IndexSpec::hash(["name"])).unwrap();
    db.transaction(|tx| {
        tx.update(&cities, 1, row! { "name": "Oulu, Finland" })?;
        tx.delete(&rivers, 3)?;
        tx.insert(&rivers, row! { "id": 4, "name": "Kemijoki" })
    })
    .unwrap();
    store.close().unwrap();
    let _ = fs::remove_file(folder.join(".database.lock"));
}

#[test]
fn t26_a_folder_of_version_1_opens_with_counts_and_contents() {
    if std::env::var_os("TANDEMDB_GOLDEN").is_some_and(|value| value == "write") {
        write(&golden());
    }
    let folder = tempfile::tempdir().unwrap();
    let mut files = 0;
    for file in fs::read_dir(golden()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        files += 1;
    }
    assert_eq!(files, 4, "two segments, a snapshot, the mark of the end");
    let store = DurableDatabase::open(folder.path(), DurableOptions::default()).unwrap();
    assert!(store.recovery().was_closed);
    let db = store.database();
    assert_eq!(db.seq(), Seq(4));
    let (cities, rivers) = (
        db.collection("cities").unwrap(),
        db.collection("rivers").unwrap(),
    );
    assert_eq!((cities.len(), rivers.len()), (2, 1));
    assert_eq!(cities.get(1).unwrap()[1], Value::from("Oulu, Finland"));
    assert_eq!(cities.get(1).unwrap().metadata().revision, 2);
    assert_eq!(cities.get(2).unwrap()[1], Value::from("Turku"));
    assert_eq!(rivers.get(4).unwrap()[1], Value::from("Kemijoki"));
    assert!(matches!(rivers.storage_kind(), StorageKind::Ordered));
    assert_eq!(cities.indexes().len(), 1);
    let changes = db.changes_since(Seq(0), 100).unwrap();
    let seqs: Vec<u64> = changes.iter().map(|change| change.seq.0).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 4, 4]);
}
