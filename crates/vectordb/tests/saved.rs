//! A `VectorDb` that is saved and opened again: the same rows, the same answers, no rebuild, whatever became of its files.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and its numbers are small"
)]

use std::fs;
use std::path::Path;

use common::schema::{Field, FieldType};
use common::{ErrorKind, RecordId, row};
use vectordb::{
    CollectionOptions, GraphOptions, IndexOptions, Layout, Method, Metric, Search, SparseOptions,
    VectorCollection, VectorDb, VectorOptions, Vectors,
};

const DIMENSION: usize = 8;

fn vector(seed: usize) -> Vec<f32> {
    (0..DIMENSION)
        .map(|at| ((seed * 131 + at * 57) % 9_973) as f32 / 100.0)
        .collect()
}

fn options() -> VectorOptions {
    VectorOptions::new(DIMENSION, Metric::Euclidean)
        .index(IndexOptions::Graph(GraphOptions::new(Layout::Compact)))
}

fn filled(count: usize) -> VectorDb {
    let db = VectorDb::new();
    let kind = Field::new("kind", FieldType::Int);
    let things = db.create_collection("things", options(), [kind]).unwrap();
    let rows = (0..count).map(|seed| {
        (
            seed as i64,
            vector(seed),
            row! { "kind": (seed % 3) as i64 },
        )
    });
    things.upsert_all(rows).unwrap();
    db
}

type Answers = Vec<Vec<(RecordId, u64)>>;

fn answers(things: &VectorCollection) -> Answers {
    let answer = |seed: usize| {
        let found = things
            .search(&Search::new(vector(seed * 7 + 3), 6))
            .unwrap();
        let hits = found.hits.into_iter();
        hits.map(|hit| (hit.id, hit.distance.to_bits())).collect()
    };
    (0..20).map(answer).collect()
}

#[test]
fn t30_no_row_is_lost_at_any_size() {
    let folder = tempfile::tempdir().unwrap();
    for count in [0, 1, 999, 1_000, 1_001, 1_999, 2_000, 2_500] {
        let path = folder.path().join(format!("{count}.tdb"));
        let db = filled(count);
        db.save(&path).unwrap();
        let before = answers(&db.collection("things").unwrap());
        drop(db);
        for _ in 0..2 {
            // Searched, saved and opened again, as imported files are in use.
            let db = VectorDb::open(&path).unwrap();
            let things = db.collection("things").unwrap();
            assert_eq!(things.count(), count);
            assert_eq!(answers(&things), before);
            db.save(&path).unwrap();
        }
    }
}

#[test]
fn golden_files_still_open() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden");
    let files = ["vectordb.tdb", "vectordb.tdb.vectors"];
    let packed = files.map(|name| golden.join(format!("{name}.zst")));
    let folder = tempfile::tempdir().unwrap();
    let unpacked = files.map(|name| folder.path().join(name));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        filled(20).save(&unpacked[0]).unwrap();
        for (from, to) in unpacked.iter().zip(&packed) {
            let bytes = zstd::encode_all(fs::File::open(from).unwrap(), 19).unwrap();
            fs::write(to, bytes).unwrap();
        }
    }
    for (from, to) in packed.iter().zip(&unpacked) {
        let bytes = zstd::decode_all(fs::File::open(from).unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
    let db = VectorDb::open(&unpacked[0]).unwrap();
    let things = db.collection("things").unwrap();
    assert_eq!(
        answers(&things),
        answers(&filled(20).collection("things").unwrap())
    );
    assert_eq!(things.options().vectors_of(None).unwrap(), &options());
}

#[test]
fn an_index_is_opened_and_not_built() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tdb");
    let db = filled(2_500);
    let things = db.collection("things").unwrap();
    // Removed and written again, so that the slots are not those that a new build would give.
    for id in [5, 900, 17] {
        things.delete(id).unwrap();
    }
    things
        .upsert(17, vector(5_000), row! { "kind": 1 })
        .unwrap();
    db.save(&path).unwrap();
    let before = answers(&things);
    drop((things, db));

    let db = VectorDb::open(&path).unwrap();
    let things = db.collection("things").unwrap();
    assert_eq!(answers(&things), before);
    let explained = things.explain(&Search::new(vector(1), 5)).unwrap();
    assert_eq!(explained.method, Method::Graph);
    // Saving what was opened writes next to nothing: its pages are those of the file.
    let again = db.save(&path).unwrap().indexes;
    assert!(again.written_bytes < 60_000, "{again:?}");
    things
        .upsert(9_000, vector(9_000), row! { "kind": 2 })
        .unwrap();
    db.save(&path).unwrap();
    drop((things, db));
    let things = VectorDb::open(&path).unwrap().collection("things").unwrap();
    let found = things.search(&Search::new(vector(9_000), 1)).unwrap();
    assert_eq!(
        (found.hits[0].id.clone(), things.count()),
        (9_000.into(), 2_499)
    );
}

#[test]
fn a_file_is_the_same_by_every_way_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let db = filled(2_100);
    db.save(link.join("a.tdb")).unwrap();
    // What is there is known.
    let again = db.save(real.join("a.tdb")).unwrap().indexes;
    assert!(again.written_bytes < 60_000, "{again:?}");
}

#[test]
fn rows_count_and_not_what_was_saved_of_their_index() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("a.tdb"), folder.path().join("b.tdb"));
    let file_of = |path: &Path| path.with_extension("tdb.vectors");
    let db = filled(2_500);
    db.save(&path).unwrap();
    let things = db.collection("things").unwrap();
    for id in 0..40 {
        things.delete(id).unwrap();
    }
    for id in 40..60 {
        things
            .upsert(id, vector(7_000 + id as usize), row! { "kind": 0 })
            .unwrap();
    }
    for id in 8_000..8_020 {
        things
            .upsert(id, vector(id as usize), row! { "kind": 0 })
            .unwrap();
    }
    db.save(&other).unwrap();
    // The index of before with the rows of now, as after a crash between the two files, and the other way round.
    fs::copy(file_of(&path), folder.path().join("kept")).unwrap();
    fs::copy(file_of(&other), file_of(&path)).unwrap();
    fs::rename(folder.path().join("kept"), file_of(&other)).unwrap();
    for (path, count) in [(&path, 2_500), (&other, 2_480)] {
        let things = VectorDb::open(path).unwrap().collection("things").unwrap();
        assert_eq!(things.count(), count);
        // Row 50 has one vector before, another after.
        let own = things.vector(50).unwrap();
        assert_eq!(own, vector(if count == 2_500 { 50 } else { 7_050 }));
        let nearest = things.search(&Search::new(own, 1)).unwrap().hits.remove(0);
        assert_eq!((nearest.id, nearest.distance), (50.into(), 0.0));
        for seed in 0..40 {
            let found = things.search(&Search::new(vector(seed), 10)).unwrap();
            assert_eq!(found.hits.len(), 10, "rows that are gone take no place");
        }
        for seed in [0, 45, 100, 7_050, 8_011] {
            let exact = things
                .search(&Search::new(vector(seed), 10).within(1e9))
                .unwrap();
            let found = things
                .search(&Search::new(vector(seed), 10).effort(200))
                .unwrap();
            let ids = |found: &vectordb::Found| {
                let hits = found.hits.iter();
                hits.map(|hit| (hit.id.clone(), hit.distance.to_bits()))
                    .collect::<Vec<_>>()
            };
            assert_eq!(ids(&found), ids(&exact), "{seed}");
            assert!(
                found
                    .hits
                    .iter()
                    .all(|hit| things.get(hit.id.clone()).is_some())
            );
        }
    }
}

#[test]
fn several_columns_and_sparse_ones_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tdb");
    let db = VectorDb::new();
    let options = CollectionOptions::new()
        .vectors(options().column("image"))
        .vectors(VectorOptions::new(3, Metric::Cosine).column("colour"))
        .sparse(SparseOptions::new("words"));
    let things = db.create_collection("things", options, []).unwrap();
    for seed in 0..30_usize {
        let mut vectors = Vectors::new().dense("image", vector(seed));
        if seed % 2 == 0 {
            vectors = vectors.dense("colour", [1.0, seed as f32, 2.0]);
        }
        let word = u32::try_from(seed).unwrap();
        vectors = vectors.sparse("words", [(word, 1.0), (word + 1, 0.5)]);
        things.upsert(seed as i64, vectors, row! {}).unwrap();
    }
    let searches = [
        Search::new(vector(3), 4).on("image"),
        Search::new([1.0, 5.0, 2.0], 4).on("colour"),
        Search::sparse([(7, 1.0)], 4).on("words"),
    ];
    let ask = |things: &VectorCollection| {
        let found = searches
            .iter()
            .map(|search| things.search(search).unwrap().hits);
        found.collect::<Vec<_>>()
    };
    let before = ask(&things);
    db.save(&path).unwrap();
    drop((things, db));
    let things = VectorDb::open(&path).unwrap().collection("things").unwrap();
    assert_eq!(ask(&things), before);
}

#[test]
fn files_that_are_missing_or_damaged_say_so_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tdb");
    let vectors = folder.path().join("a.tdb.vectors");
    let db = filled(2_200);
    db.save(&path).unwrap();
    let error = db.save(folder.path().join("no/such/a.tdb")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    drop(db);
    let whole = fs::read(&vectors).unwrap();
    // A damaged vector: the column is indexed again, from the rows.
    let mut damaged = whole.clone();
    damaged[whole.len() / 3] ^= 4;
    damaged[5_000] ^= 4;
    fs::write(&vectors, &damaged).unwrap();
    let things = VectorDb::open(&path).unwrap().collection("things").unwrap();
    let found = things.search(&Search::new(vector(77), 1)).unwrap();
    assert_eq!(
        (things.count(), found.hits[0].id.clone()),
        (2_200, 77.into())
    );
    drop(things);
    for (content, kind) in [
        (&whole[..9_000], ErrorKind::Corrupt),
        (b"none", ErrorKind::Corrupt),
    ] {
        fs::write(&vectors, content).unwrap();
        let error = VectorDb::open(&path).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains("a.tdb.vectors"), "{error}");
    }
    // Saved over what cannot be read: the rows are kept, and what to do is said.
    let db = filled(7);
    let error = db.save(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(
        error
            .to_string()
            .contains("a.tdb.vectors away, and save again"),
        "{error}"
    );
    assert_eq!(
        durable::open(&path)
            .unwrap()
            .collection("things")
            .unwrap()
            .len(),
        7
    );
    assert_eq!(fs::read(&vectors).unwrap(), b"none");
    fs::rename(&vectors, folder.path().join("away")).unwrap();
    db.save(&path).unwrap();
    drop(db);
    assert_eq!(
        VectorDb::open(&path)
            .unwrap()
            .collection("things")
            .unwrap()
            .count(),
        7
    );
    filled(2_200).save(&path).unwrap();
    fs::remove_file(&vectors).unwrap();
    assert_eq!(VectorDb::open(&path).unwrap_err().kind(), ErrorKind::Io);
    // The rows are there all the same.
    let db = VectorDb::over(durable::open(&path).unwrap());
    assert_eq!(
        db.open_collection("things", options()).unwrap().count(),
        2_200
    );
}
