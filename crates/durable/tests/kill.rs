//! R6: a real process is killed at random moments under load; what it had acknowledged is there, nothing is by half.
//!
//! `TANDEMDB_KILLS` sets how often; `cargo xtask soak kill` does it 200 times.

#![expect(clippy::unwrap_used, reason = "a test stops at a surprise")]

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use common::schema::{Field, FieldType, Schema};
use common::{Value, row};
use durable::{DurableDatabase, DurableOptions};

const THREADS: i64 = 4;

fn open(folder: &Path) -> DurableDatabase {
    // Snapshots come and go while it is killed.
    let mut options = DurableOptions::default().checkpoint_bytes(100_000);
    options.database.retention.changes_max = 500;
    DurableDatabase::open(folder, options).unwrap()
}

/// What the process does that is killed: each thread counts up in two tables at once, and says what is safe.
#[test]
fn work_until_killed() {
    let Some(folder) = env::var_os("TANDEMDB_KILL_FOLDER") else {
        return;
    };
    let store = open(Path::new(&folder));
    let schema = |name| {
        Schema::build(name, ["thread"])
            .field(Field::new("thread", FieldType::Int))
            .field(Field::new("count", FieldType::Int))
            .field(Field::new("text", FieldType::Text))
            .finish()
            .unwrap()
    };
    let db = store.database();
    let a = db.open_collection(schema("a")).unwrap();
    let b = db.open_collection(schema("b")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, a, b) = (&store, &a, &b);
            scope.spawn(move || {
                let begin = a
                    .get(thread)
                    .map_or(0, |record| record[1].as_int().unwrap());
                for count in begin + 1.. {
                    let text = "x".repeat(usize::try_from(count % 2_000).unwrap());
                    let row = || row! { "thread": thread, "count": count, "text": text.as_str() };
                    let mut transaction = store.database().begin();
                    transaction.upsert(a, row()).unwrap();
                    transaction.upsert(b, row()).unwrap();
                    let seq = transaction.commit().unwrap().seq;
                    store.wait(seq).unwrap();
                    // One write, so that the reader sees whole lines.
                    let line = format!("\nacked {thread} {count}\n");
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
}

#[test]
fn r6_t23_t42_killed_at_random_moments_nothing_acknowledged_is_lost() {
    let kills = env::var("TANDEMDB_KILLS").map_or(20, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut acked: BTreeMap<i64, i64> = BTreeMap::new();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut torn = 0;
    for kill in 0..kills {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["work_until_killed", "--exact", "--nocapture"])
            .env("TANDEMDB_KILL_FOLDER", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let moment = random % 300;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while let Some(Ok(line)) = lines.next() {
            let Some(words) = line.strip_prefix("acked ") else {
                continue;
            };
            let (thread, count) = words.split_once(' ').unwrap();
            acked.insert(thread.parse().unwrap(), count.parse().unwrap());
            seen += 1;
            if seen == moment {
                child.kill().unwrap();
            }
            // What was said before it died counts too.
        }
        child.wait().unwrap();
        assert!(seen >= moment, "it ended by itself");
        let store = open(folder.path());
        torn += store.recovery().torn_bytes;
        let db = store.database();
        let (a, b) = (db.collection("a").unwrap(), db.collection("b").unwrap());
        for (thread, count) in &acked {
            let found = a.get(*thread).unwrap();
            assert!(
                found[1] >= Value::from(*count),
                "kill {kill}: {found:?} after {count}"
            );
        }
        for thread in 0..THREADS {
            let values = |t: &common::Collection| t.get(thread).map(|r| r.values().to_vec());
            assert_eq!(values(&a), values(&b), "half a transaction, kill {kill}");
        }
    }
    let lines: i64 = acked.values().sum();
    println!("{kills} kills, {lines} acknowledged, {torn} bytes torn");
    assert!(lines > kills, "{lines} acknowledged, {torn} bytes torn");
}
