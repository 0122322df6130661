//! T30: a process that saves a `VectorDb` again and again is killed; what it said was saved is there.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    clippy::print_stdout,
    reason = "a test fails by panicking, its numbers are small, and the other process reads what one prints"
)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::row;
use common::schema::{Field, FieldType};
use vectordb::{
    GraphOptions, IndexOptions, Layout, Metric, Search, VectorCollection, VectorDb, VectorOptions,
};

/// Names the file to the process that is to be killed.
const CHILD: &str = "TANDEMDB_TEST_KILLED";
/// Rows that are there at first, and that come before each save: the numbers of rows around which others lost some.
const FIRST: usize = 990;
const MORE: usize = 7;
const ROUNDS: u64 = 12;

fn vector(seed: usize) -> [f32; 4] {
    [0, 1, 2, 3].map(|at| ((seed * 131 + at * 57) % 9_973) as f32 / 100.0)
}

fn add(things: &VectorCollection, rows: std::ops::Range<usize>) {
    let rows = rows.map(|seed| {
        (
            seed as i64,
            vector(seed),
            row! { "kind": (seed % 3) as i64 },
        )
    });
    things.upsert_all(rows).unwrap();
}

/// What the killed process does: rows come, are saved, and their number is said.
fn save_for_ever(path: &Path) -> ! {
    let mut db = VectorDb::open(path).unwrap();
    for round in 0.. {
        let things = db.collection("things").unwrap();
        let count = things.count();
        add(&things, count..count + MORE);
        if round % 3 == 1 {
            things.delete(0).unwrap();
            things.upsert(0, vector(0), row! { "kind": 0 }).unwrap();
        }
        db.save(path).unwrap();
        println!("saved {}", things.count());
        if round % 4 == 3 {
            drop(db);
            db = VectorDb::open(path).unwrap();
        }
    }
    unreachable!("it is killed");
}

/// Ends a process: by a signal that it could have handled, or by one that no process can.
fn end(child: &mut Child, gently: bool) {
    if gently {
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
    } else {
        child.kill().unwrap();
    }
    child.wait().unwrap();
}

#[test]
fn t30_what_was_saved_is_there_when_the_process_is_killed() {
    if let Some(path) = std::env::var_os(CHILD) {
        save_for_ever(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("things.tdb");
    let options = VectorOptions::new(4, Metric::Euclidean)
        .index(IndexOptions::Graph(GraphOptions::new(Layout::Compact)));
    let db = VectorDb::new();
    let kind = Field::new("kind", FieldType::Int);
    add(
        &db.create_collection("things", options, [kind]).unwrap(),
        0..FIRST,
    );
    db.save(&path).unwrap();
    drop(db);

    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "t30_what_was_saved_is_there_when_the_process_is_killed",
                "--nocapture",
            ])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = |line: std::io::Result<String>| {
            let line = line.ok()?;
            line.split_once("saved ")?.1.parse::<usize>().ok()
        };
        // From the first save on, at another moment of the next ones in every round.
        let mut last = lines.by_ref().find_map(said).unwrap();
        std::thread::sleep(Duration::from_micros(round * 1_700));
        end(&mut child, round % 3 == 2);
        last = lines.filter_map(said).last().unwrap_or(last);

        let db = VectorDb::open(&path).unwrap();
        let things = db.collection("things").unwrap();
        let count = things.count();
        assert!(
            count == last || count == last + MORE,
            "round {round}: {last} rows were saved, {count} are there"
        );
        for seed in (0..count).step_by(13).chain([0, count - 1]) {
            let found = things.search(&Search::new(vector(seed), 1)).unwrap();
            assert_eq!(
                found.hits[0].distance, 0.0,
                "round {round}, row {seed} of {count}"
            );
        }
    }
}
