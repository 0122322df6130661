//! What is saved is what is opened; what is not a saved database is refused by name.

use std::fs;
use std::path::PathBuf;

use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::{Database, ErrorKind, Value, row};
use durable::DatabaseFile;

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("cities.tdb");
    (folder, path)
}

fn cities(database: &Database) -> common::Collection {
    let schema = Schema::build("cities", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("name", FieldType::Text).nullable())
        .index(IndexSpec::hash(["name"]))
        .finish()
        .expect("a schema");
    database.create_collection(schema).expect("a table")
}

#[test]
fn rows_metadata_indexes_and_position_come_back() {
    let (_folder, path) = folder();
    let database = Database::new();
    let table = cities(&database);
    for (id, name) in [(1, Some("Oulu")), (2, None), (3, Some("Turku"))] {
        table.insert(row! { "id": id, "name": name }).unwrap();
    }
    table.update(2, row! { "name": "Espoo" }).unwrap();
    table.delete(3).unwrap();
    table.create_index(IndexSpec::ordered(["id"])).unwrap();
    table.drop_index("name").unwrap();

    let saved = durable::save(&database, &path).unwrap();
    assert_eq!(saved.bytes, fs::metadata(&path).unwrap().len());
    let again = durable::open(&path).unwrap();
    let table_again = again.collection("cities").unwrap();
    assert_eq!(table_again.len(), 2);
    assert_eq!(table_again.get(2), table.get(2));
    assert_eq!(table_again.get(2).unwrap().metadata().revision, 2);
    let indexes: Vec<String> = table_again
        .indexes()
        .iter()
        .map(|i| i.spec().name.to_string())
        .collect();
    assert_eq!(indexes, ["id"]);

    // The last commit was a deletion, so no record holds its position; it is not given twice.
    assert_eq!(again.seq(), database.seq());
    let committed = table_again.insert(row! { "id": 4 }).unwrap();
    assert_eq!(committed.seq, saved.seq.next());
    assert!(again.changes_since(saved.seq, 10).is_ok());
    assert_eq!(
        again
            .changes_since(common::Seq::ZERO, 10)
            .unwrap_err()
            .kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn an_empty_database_and_an_empty_table_come_back() {
    let (_folder, path) = folder();
    let database = Database::new();
    durable::save(&database, &path).unwrap();
    assert!(durable::open(&path).unwrap().collections().is_empty());
    cities(&database);
    durable::save(&database, &path).unwrap();
    assert!(
        durable::open(&path)
            .unwrap()
            .collection("cities")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn every_damaged_or_foreign_file_is_refused_by_name() {
    let (_folder, path) = folder();
    let database = Database::new();
    let table = cities(&database);
    for id in 0..8 {
        table
            .insert(row! { "id": id, "name": format!("city {id}") })
            .unwrap();
    }
    durable::save(&database, &path).unwrap();
    let good = fs::read(&path).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let error = durable::open(&path).expect_err(what);
        assert!(
            matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported),
            "{what}: {error:?}"
        );
        assert!(
            error.message().starts_with(&path.display().to_string()),
            "{error}"
        );
    };
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        refused(&bytes, &format!("byte {at} changed"));
    }
    for length in (0..good.len()).step_by(7) {
        refused(&good[..length], &format!("cut to {length} bytes"));
    }
    refused(b"id,name\n1,Oulu\n", "a CSV file");
    refused(&[&good[..], b"x"].concat(), "one byte more");
    fs::write(&path, &good).unwrap();
    assert_eq!(
        durable::open(&path)
            .unwrap()
            .collection("cities")
            .unwrap()
            .len(),
        8
    );
}

#[test]
fn a_missing_file_is_named() {
    let (_folder, path) = folder();
    let error = durable::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let expected = format!(
        "{}: there is no such database file; check the path",
        path.display()
    );
    assert!(error.message().starts_with(&expected), "{error}");
}

#[test]
fn a_writer_keeps_others_out_from_opening_to_dropping() {
    let (_folder, path) = folder();
    let file = DatabaseFile::open_or_create(&path).unwrap();
    assert!(!file.existed());
    assert_eq!(
        DatabaseFile::open_or_create(&path).unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert_eq!(
        durable::save(&Database::new(), &path).unwrap_err().kind(),
        ErrorKind::Conflict
    );
    cities(file.database())
        .insert(row! { "id": 1, "name": Value::Null })
        .unwrap();
    assert!(!path.exists(), "nothing is written before it is asked for");
    file.save().unwrap();
    assert!(durable::open(&path).is_ok(), "readers do not wait");
    drop(file);
    let file = DatabaseFile::open_or_create(&path).unwrap();
    assert!(file.existed());
    assert_eq!(file.database().collection("cities").unwrap().len(), 1);
}

#[cfg(unix)]
#[test]
fn saving_through_a_link_changes_the_file_behind_it() {
    let (folder, path) = folder();
    let link = folder.path().join("link.tdb");
    durable::save(&Database::new(), &path).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let database = Database::new();
    cities(&database);
    durable::save(&database, &link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(durable::open(&path).unwrap().collections().len(), 1);
}

#[test]
fn writing_goes_on_while_a_state_is_saved() {
    let (_folder, path) = folder();
    let database = Database::new();
    let table = cities(&database);
    for id in 0..500 {
        table.insert(row! { "id": id }).unwrap();
    }
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for pair in 0..200 {
                database
                    .transaction(|tx| {
                        tx.insert(&table, row! { "id": 1_000 + 2 * pair })?;
                        tx.insert(&table, row! { "id": 1_001 + 2 * pair }).map(drop)
                    })
                    .unwrap();
            }
        });
        while !writer.is_finished() {
            durable::save(&database, &path).unwrap();
            let rows = durable::open(&path)
                .unwrap()
                .collection("cities")
                .unwrap()
                .len();
            assert_eq!(rows % 2, 0, "half a transaction was saved: {rows} rows");
        }
    });
}
