//! R6: a real process is killed at random moments under load; what it had acknowledged is there, nothing is by half.
//!
//! `TANDEMDB_KILLS` sets how often; `cargo xtask soak kill` does it 200 times.

#![cfg(unix)]
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test stops at a surprise"
)]

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
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
    let rounds = env::var("TANDEMDB_KILL_ROUNDS").unwrap_or_default();
    let rounds = rounds.parse().ok();
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
                let end = rounds.map_or(i64::MAX, |rounds: i64| begin + rounds);
                for count in begin + 1..=end {
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

/// What several processes did to a folder, one after the other.
struct Victim {
    folder: tempfile::TempDir,
    /// The count that each thread said was safe.
    acked: BTreeMap<i64, i64>,
    torn_bytes: u64,
}

impl Victim {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            acked: BTreeMap::new(),
            torn_bytes: 0,
        }
    }

    /// Lets a process write, which is killed after so many answers, or by `strace` with these arguments. Returns how many answers
    /// there were, and whether it was killed.
    fn run(&mut self, by: Option<&[String]>, answers: Option<u64>) -> (u64, bool) {
        let this = env::current_exe().unwrap();
        let mut command = match by {
            None => Command::new(this),
            Some(by) => {
                let mut command = Command::new("strace");
                command.args(by).arg(this);
                command
            }
        };
        let mut child = command
            .args(["work_until_killed", "--exact", "--nocapture"])
            .env("TANDEMDB_KILL_FOLDER", self.folder.path())
            .env(
                "TANDEMDB_KILL_ROUNDS",
                if by.is_some() { "100" } else { "" },
            )
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while let Some(Ok(line)) = lines.next() {
            let Some((thread, count)) = line
                .strip_prefix("acked ")
                .and_then(|words| words.split_once(' '))
            else {
                continue;
            };
            // The line that it was killed within may be there by half.
            let (Ok(thread), Ok(count)) = (thread.parse(), count.parse()) else {
                continue;
            };
            self.acked.insert(thread, count);
            seen += 1;
            if Some(seen) == answers {
                child.kill().unwrap();
            }
            // What was said before it died counts too.
        }
        let status = child.wait().unwrap();
        (seen, status.signal().is_some())
    }

    /// Everything that was safe is there, and of no transaction a half.
    fn check(&mut self, when: &str) {
        let store = open(self.folder.path());
        self.torn_bytes += store.recovery().torn_bytes;
        let db = store.database();
        let (Ok(a), Ok(b)) = (db.collection("a"), db.collection("b")) else {
            assert!(self.acked.is_empty(), "{when}: the tables are gone");
            return;
        };
        for (thread, count) in &self.acked {
            let found = a.get(*thread).unwrap();
            assert!(
                found[1] >= Value::from(*count),
                "{when}: {found:?} after {count}"
            );
        }
        for thread in 0..THREADS {
            let values = |t: &common::Collection| t.get(thread).map(|r| r.values().to_vec());
            assert_eq!(values(&a), values(&b), "{when}: half a transaction");
        }
    }
}

fn kills() -> u64 {
    env::var("TANDEMDB_KILLS").map_or(20, |kills| kills.parse().unwrap())
}

#[test]
fn r6_t23_t42_killed_at_random_moments_nothing_acknowledged_is_lost() {
    let kills = kills();
    let mut victim = Victim::new();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for kill in 0..kills {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let moment = random % 300 + 1;
        let (seen, _) = victim.run(None, Some(moment));
        assert!(seen >= moment, "it ended by itself");
        victim.check(&format!("kill {kill}"));
    }
    let (lines, torn) = (victim.acked.values().sum::<i64>(), victim.torn_bytes);
    println!(r#"SOAK {{"kills":{kills},"acknowledged":{lines},"torn_bytes":{torn}}}"#);
    assert!(lines.cast_unsigned() > kills, "{lines} acknowledged");
}

/// Calls that change what is on the disk, or that make it safe.
const CALLS: [&str; 6] = [
    "fdatasync",
    "fsync",
    "write",
    "rename",
    "unlink",
    "ftruncate",
];

/// Killed as the nth call of a thread begins: what was before it is done, what comes after it is not. Needs `strace`, and says
/// so where there is none.
#[test]
fn r6_t25_killed_at_the_nth_call_of_the_system_nothing_acknowledged_is_lost() {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("strace is not installed: nobody was killed");
        return;
    }
    let points = kills();
    let (mut killed, mut acked, mut torn) = (0, 0, 0);
    let mut by_call = BTreeMap::new();
    // A new folder now and then, so that its beginning is met as well.
    'all: for at in 1.. {
        let mut victim = Victim::new();
        for call in CALLS {
            for when in [at, at * 7] {
                if killed >= points {
                    break 'all;
                }
                let by = [
                    "-f".to_owned(),
                    "-qqq".to_owned(),
                    "-o/dev/null".to_owned(),
                    format!("-etrace={call}"),
                    format!("-einject={call}:signal=KILL:when={when}"),
                ];
                // Some calls are rare: then it comes to its end.
                let (_, is_killed) = victim.run(Some(&by), None);
                if is_killed {
                    killed += 1;
                    *by_call.entry(call).or_insert(0) += 1;
                }
                victim.check(&format!("{call} {when}"));
            }
        }
        acked += victim.acked.values().sum::<i64>();
        torn += victim.torn_bytes;
        assert!(at < points + 10, "only {by_call:?} were met");
    }
    let calls = format!("{by_call:?}");
    println!(
        r#"SOAK {{"killed_at_calls":{killed},"calls":{calls},"acknowledged":{acked},"torn_bytes":{torn}}}"#
    );
}
