//! R6, T12: `tandem sync` is killed at any moment, while it takes edits and while it sends them: what it has answered
//! arrives at the server, and nothing arrives twice.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};

use common::schema::{Field, FieldType, Schema};
use common::{Seq, row};
use durable::{DurableDatabase, DurableOptions};

use crate::serving::Serving;
use crate::support::Place;

/// Kills in a test; `TANDEMDB_KILLS` sets another number.
const KILLS: usize = 12;

/// Gives edits until the process is killed after so many answers. Returns what was given, and what was answered of it.
fn edit_until_killed(place: &Place, url: &str, first: i64, answers: usize) -> (i64, i64) {
    let mut child = place.spawn(&format!("sync {url} --db phone --watch --orders"));
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // It may have to take what others have before it knows the table.
    let (mut given, mut answered, mut seen) = (first, first, 0);
    let mut order = |id: i64| {
        let row = format!(
            r#"{{"do": "insert", "table": "notes", "row": {{"id": {id}, "text": "of {id}"}}}}"#
        );
        writeln!(input, "{row}").unwrap();
    };
    // Some are on their way when it dies.
    for _ in 0..4 {
        order(given);
        given += 1;
    }
    while let Some(Ok(line)) = lines.next() {
        if !line.starts_with('{') {
            continue;
        }
        if line.starts_with(r#"{"error""#) {
            assert!(line.contains("there is no table"), "{line}");
        }
        // Answers come in the order of the orders.
        answered += 1;
        seen += 1;
        if seen == answers {
            child.kill().unwrap();
        }
        if seen < answers {
            order(given);
            given += 1;
        }
    }
    child.wait().unwrap();
    assert!(seen >= answers, "it ended by itself");
    (given, answered)
}

#[test]
fn r6_t12_killed_while_editing_and_while_pushing_every_answered_edit_arrives_once() {
    let kills = std::env::var("TANDEMDB_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let place = Place::new();
    let store = DurableDatabase::open(place.path("data"), DurableOptions::default()).unwrap();
    let notes = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("text", FieldType::Text))
        .finish()
        .unwrap();
    let notes = store.database().create_collection(notes).unwrap();
    notes.insert(row! { "id": 0, "text": "first" }).unwrap();
    store.close().unwrap();
    drop(store);
    let server = Serving::start(&place, &["--open", "--data", "data"]);
    let url = server.url.clone();
    // The table is known before the first edit.
    place.ok(&format!("sync {url} --db phone"));

    let (mut next, mut random) = (1, 0x2545_f491_4f6c_dd1d_u64);
    let (mut answered, mut given) = (Vec::new(), Vec::new());
    for _ in 0..kills {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let answers = usize::try_from(random % 40).unwrap() + 1;
        let (until, safe) = edit_until_killed(&place, &url, next, answers);
        answered.extend(next..safe);
        given.extend(next..until);
        next = until;
    }
    let said = place.ok(&format!("sync {url} --db phone"));
    assert!(said.ends_with("phone is in step\n"), "{said}");
    let rows = |db: &str| place.ok(&format!("query notes --db {db} --order id --format csv"));
    let there = rows("phone");

    server.end();
    assert_eq!(rows("data"), there);
    let conflicts = place.ok("conflicts --db data");
    assert_eq!(conflicts, "(0 conflicts)\n");
    let rejected = place.ok("rejected --db phone");
    assert_eq!(rejected, "(0 rejected mutations)\n");
    let data = durable::open(place.path("data")).unwrap();
    let notes = data.collection("notes").unwrap().id();
    let mut arrived = BTreeMap::new();
    for change in data.changes_since(Seq(0), usize::MAX).unwrap() {
        if change.table == notes {
            *arrived
                .entry(change.record[0].as_int().unwrap())
                .or_insert(0) += 1;
        }
    }
    assert_eq!(arrived.remove(&0), Some(1));
    for (id, times) in &arrived {
        assert!(given.contains(id), "nobody wrote {id}");
        assert_eq!(*times, 1, "{id} was written {times} times");
    }
    for id in &answered {
        assert!(arrived.contains_key(id), "{id} was answered and is gone");
    }
    let (answered, arrived) = (answered.len(), arrived.len());
    println!(r#"SOAK {{"replica_kills":{kills},"answered":{answered},"arrived":{arrived}}}"#);
}
