//! Syncs of a size that nobody has every day: a replica that was away for 100,000 changes, a commit of 1,000,000 rows. Here they are
//! scaled down; `cargo xtask soak sync-size` runs them in full and shows what they cost.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Instant;

use common::schema::{Field, FieldType, Schema};
use common::{Collection, Database, Error, row};
use syncdb::{SyncDb, SyncServer};

/// Edits of the replica that is away; the server's rows are edited as often meanwhile.
const CHANGES: i64 = 10_000;
/// Rows of one commit.
const ROWS: i64 = 50_000;
/// No frame is longer.
const FRAME_MAX: u64 = 32 << 20;
/// Encoded segments that the server keeps.
const SEGMENTS_MAX: u64 = 64 << 20;

/// The size, or another that the soak asks for.
fn size(name: &str, here: i64) -> i64 {
    let given = std::env::var(name).ok();
    given.map_or(here, |given| given.parse().unwrap())
}

fn served() -> (SyncServer, Collection) {
    let db = Database::new();
    let schema = Schema::build("tasks", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("title", FieldType::Text))
        .field(Field::new("stars", FieldType::Int).default_value(0))
        .field(Field::new("done", FieldType::Bool).default_value(false));
    let tasks = db.create_collection(schema.finish().unwrap()).unwrap();
    (SyncServer::new(db).unwrap(), tasks)
}

/// Fills the table with rows in one commit.
fn fill(server: &SyncServer, tasks: &Collection, rows: std::ops::Range<i64>) {
    let all = |tx: &mut common::Transaction<'_>| {
        for id in rows.clone() {
            let title = format!("task {id} of the {}", id % 97);
            tx.insert(tasks, row! { "id": id, "title": title, "stars": id % 5 })?;
        }
        Ok(())
    };
    server.database().transaction(all).unwrap();
}

/// What a sync with interruptions came to.
#[derive(Debug, Default)]
struct Cost {
    up: u64,
    down: u64,
    longest: u64,
    exchanges: u64,
    interruptions: u64,
    /// Whether ranges were compared.
    repaired: bool,
}

/// Syncs over a connection that loses the first answer and every third after it, each time with the replica closed and opened again.
fn sync(mut db: SyncDb, server: &SyncServer, cost: &mut Cost) -> SyncDb {
    loop {
        let mut exchange = |request: &[u8]| {
            let answer = server.handle(request)?;
            cost.exchanges += 1;
            cost.up += request.len() as u64;
            cost.down += answer.len() as u64;
            cost.longest = cost.longest.max(request.len().max(answer.len()) as u64);
            let status = server.status();
            assert!(status.segment_bytes <= SEGMENTS_MAX, "{status:?}");
            assert!(status.rows_pinned <= 2 * status.rows, "{status:?}");
            if cost.exchanges % 3 == 1 {
                return Err(Error::closed("lost"));
            }
            Ok(answer)
        };
        if let Ok(report) = db.sync(&mut exchange) {
            assert!(report.converged, "{report:?}");
            cost.repaired |= report.repaired;
            return db;
        }
        cost.interruptions += 1;
        // What the replica knows is what stands in its tables.
        db = SyncDb::open(db.database().clone(), "phone").unwrap();
    }
}

/// The most memory that the process has had, where the system says so.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let bytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    bytes.map_or_else(|| "?".to_owned(), |kib| format!("{} MiB", kib / 1_024))
}

#[expect(
    clippy::print_stdout,
    reason = "what `cargo xtask soak sync-size` shows"
)]
fn show(what: &str, rows: i64, cost: &Cost, begin: Instant) {
    println!(
        "{what}: {rows} rows, {} bytes up, {} down, longest frame {}, {} exchanges of which {} lost, {:.2} s, \
         peak memory of replica and server {}",
        cost.up,
        cost.down,
        cost.longest,
        cost.exchanges,
        cost.interruptions,
        begin.elapsed().as_secs_f64(),
        peak()
    );
    assert!(cost.longest <= FRAME_MAX, "{cost:?}");
}

/// R1: a replica edits offline, others edit the same rows and delete some; everything arrives, once.
#[test]
fn a_replica_away_for_many_changes_loses_nothing() {
    let changes = size("TANDEM_CHANGES", CHANGES);
    let rows = changes;
    let (server, tasks) = served();
    fill(&server, &tasks, 0..rows);
    let mut cost = Cost::default();
    let mut phone = sync(SyncDb::client("phone").unwrap(), &server, &mut cost);
    for number in 0..changes {
        // Different rows, so that each edit is a mutation of its own.
        if number % 10 == 0 {
            let new = row! { "id": 2 * rows + number, "title": format!("new {number}") };
            phone.insert("tasks", new).unwrap();
        } else {
            let id = number * 7 % rows;
            phone.update("tasks", id, row! { "stars": number }).unwrap();
        }
        let id = number * 11 % rows;
        tasks
            .update(id, row! { "title": format!("edit {number}") })
            .unwrap();
    }
    assert_eq!(phone.pending(), usize::try_from(changes).unwrap());
    let mut cost = Cost::default();
    let begin = Instant::now();
    phone = sync(phone, &server, &mut cost);
    show("away", changes, &cost, begin);
    assert_eq!(phone.pending(), 0);
    assert!(!cost.repaired && cost.interruptions > 0, "{cost:?}");
    assert_eq!(phone.digest().unwrap(), server.digest().unwrap());
    let new = (changes + 9) / 10;
    assert_eq!(tasks.len(), usize::try_from(rows + new).unwrap());
    assert!(phone.rejected().unwrap().is_empty());
    let outcomes = server.database().collection("sync_outcomes").unwrap();
    assert!(outcomes.len() <= 10_000);
}

/// One commit of the server with more rows than any answer holds arrives whole, however often the connection fails.
#[test]
fn a_commit_of_many_rows_arrives_over_a_bad_connection() {
    let rows = size("TANDEM_ROWS", ROWS);
    let (server, tasks) = served();
    fill(&server, &tasks, 0..rows / 2);
    let mut cost = Cost::default();
    let begin = Instant::now();
    let mut phone = sync(SyncDb::client("phone").unwrap(), &server, &mut cost);
    show("first sync", rows / 2, &cost, begin);
    let half = |tx: &mut common::Transaction<'_>| {
        for id in 0..rows / 2 {
            match id % 4 {
                0 => tx.delete(&tasks, id).map(drop)?,
                _ => tx
                    .update(&tasks, id, row! { "done": true, "stars": id })
                    .map(drop)?,
            }
        }
        for id in rows / 2..rows {
            tx.insert(&tasks, row! { "id": id, "title": format!("task {id}") })?;
        }
        Ok(())
    };
    server.database().transaction(half).unwrap();
    let mut cost = Cost::default();
    let begin = Instant::now();
    phone = sync(phone, &server, &mut cost);
    show("one commit", rows, &cost, begin);
    assert_eq!(phone.digest().unwrap(), server.digest().unwrap());
    assert_eq!(phone.collection("tasks").unwrap().len(), tasks.len());
    // Nothing that was kept aside is left.
    let staged = phone.database().collection("sync_blocks").unwrap();
    assert!(staged.is_empty());
}
