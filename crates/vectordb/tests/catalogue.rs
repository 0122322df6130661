//! Collections that a database remembers, with and without a file of their indexes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use common::schema::{Field, FieldType, Schema};
use common::{Database, ErrorKind, row};
use vectordb::{
    ClusteredOptions, GraphOptions, IndexOptions, Metric, Search, VectorCollection, VectorDb,
    VectorOptions,
};

fn graph() -> VectorOptions {
    VectorOptions::new(2, Metric::Euclidean).index(IndexOptions::Graph(GraphOptions::default()))
}

fn fill(collection: &VectorCollection, rows: i16) {
    let rows = (0..rows).map(|at| {
        let vector = [f32::from(at % 60), f32::from(at / 60)];
        (i64::from(at), vector, row! {})
    });
    collection.upsert_all(rows).unwrap();
    collection.wait_for_indexes().unwrap();
}

fn answers(collection: &VectorCollection) -> Vec<Vec<(String, u64)>> {
    (0..30_u8)
        .map(|at| {
            let query = [f32::from(at) * 1.7, 20.3];
            let found = collection.search(&Search::new(query, 5)).unwrap();
            let hits = found.hits.iter();
            hits.map(|hit| (hit.id.to_string(), hit.distance.to_bits()))
                .collect()
        })
        .collect()
}

#[test]
fn what_is_remembered_is_what_there_is() {
    let database = Database::new();
    let db = VectorDb::open_in(&database).unwrap();
    db.create_collection("a", graph(), []).unwrap();
    db.create_collection("b", graph(), []).unwrap();
    db.drop_collection("b").unwrap();
    let table = Schema::build("c", ["id"]).field(Field::new("id", FieldType::Int));
    database.create_collection(table.finish().unwrap()).unwrap();
    let taken = db.create_collection("c", graph(), []).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Conflict);
    let clustered = graph().index(IndexOptions::Clustered(ClusteredOptions::default()));
    db.open_collection("a", clustered.clone()).unwrap();
    // A crash before the table was made leaves this behind.
    let options = serde_json::to_string(&vectordb::CollectionOptions::from(graph())).unwrap();
    let notes = database.collection(VectorDb::TABLE).unwrap();
    notes
        .insert(row! { "name": "d", "options": options })
        .unwrap();
    drop(db);

    let db = VectorDb::open_in(&database).unwrap();
    let names: Vec<String> = db
        .collections()
        .iter()
        .map(|collection| collection.name().to_owned())
        .collect();
    assert_eq!(names, ["a"]);
    let a = db.collection("a").unwrap();
    assert_eq!(a.options().vectors, [clustered]);
    db.create_collection("d", graph(), []).unwrap();
    notes.update("a", row! { "options": "{" }).unwrap();
    let wrong = VectorDb::open_in(&database).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Corrupt);
    assert!(wrong.to_string().contains("`a`"), "{wrong}");
}

#[test]
fn indexes_of_a_file_are_taken_for_the_same_options_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("indexes");
    let database = Database::new();
    let db = VectorDb::open_with_indexes(&database, &path).unwrap();
    let made = db.create_collection("a", graph(), []).unwrap();
    fill(&made, 3_000);
    assert_eq!(made.builds(), 1);
    let before = answers(&made);
    let first = db.save_indexes(&path).unwrap();
    let again = db.save_indexes(&path).unwrap();
    // Pages that did not change are not written; what is no page (the beginnings of searches, the coding of bytes) is.
    assert!(
        again.written <= 4 && first.written > 8,
        "{first:?} {again:?}"
    );
    drop((made, db));

    let db = VectorDb::open_with_indexes(&database, &path).unwrap();
    let a = db.collection("a").unwrap();
    assert_eq!((a.builds(), answers(&a)), (0, before));
    // Other options: those of the file are of no use.
    let other = graph().index(IndexOptions::Graph(GraphOptions {
        degree: 64,
        ..GraphOptions::default()
    }));
    db.open_collection("a", other).unwrap();
    drop((a, db));
    let db = VectorDb::open_with_indexes(&database, &path).unwrap();
    assert_eq!(db.collection("a").unwrap().builds(), 1);
    // Another writer of the file is kept out, and says so.
    db.save_indexes(&path).unwrap();
    let second = VectorDb::open_with_indexes(&database, &path).unwrap();
    let busy = second.save_indexes(&path).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Conflict);
}
