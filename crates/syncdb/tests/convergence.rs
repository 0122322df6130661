//! Two and three replicas over a bad network: they converge on what a simple model says, every mutation takes
//! effect once, every conflict is told once. A failing seed is printed and repeats exactly.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::database::DatabaseOptions;
use common::schema::{Field, FieldType, Schema};
use common::utils::id_generator::SeededRng;
use common::utils::time::{Clock, ManualClock};
use common::versioning::{Hlc, Retention};
use common::{Committed, Database, Error, RecordId, Result, Row, Value, row};
use syncdb::sync::protocol::ROW_GONE;
use syncdb::{SyncDb, SyncServer, SyncServerOptions, Transport};

/// Rows that are never deleted: their columns have one right value each.
const KEPT: i64 = 8;
const COLUMNS: [&str; 3] = ["a", "b", "c"];
const START: i64 = 1_700_000_000_000_000;

struct Random(SeededRng);

impl Random {
    fn below(&self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T>(&self, items: &'a [T]) -> &'a T {
        let at = usize::try_from(self.below(items.len() as u64)).unwrap();
        &items[at]
    }
}

/// A network that loses, repeats, replays, cuts and damages.
struct Network<'a> {
    server: &'a SyncServer,
    random: &'a Random,
    /// Earlier requests, of anybody.
    past: &'a mut Vec<Vec<u8>>,
    percent: u64,
}

fn lost() -> Error {
    Error::closed("lost")
}

impl Transport for Network<'_> {
    fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        let random = self.random;
        if random.chance(self.percent) && !self.past.is_empty() {
            let _ = self.server.handle(random.pick::<Vec<u8>>(self.past));
        }
        if self.past.len() < 64 {
            self.past.push(request.to_vec());
        }
        if !random.chance(self.percent) {
            return self.server.handle(request);
        }
        let mut damaged = request.to_vec();
        match random.below(6) {
            0 => Err(lost()),
            1 => {
                self.server.handle(request)?;
                Err(lost())
            }
            2 => {
                let _ = self.server.handle(request);
                self.server.handle(request)
            }
            3 => {
                let answer = self.server.handle(request)?;
                let cut = random.below(answer.len() as u64);
                Ok(answer[..usize::try_from(cut).unwrap()].to_vec())
            }
            4 => {
                let mut answer = self.server.handle(request)?;
                let at = usize::try_from(random.below(answer.len() as u64)).unwrap();
                answer[at] ^= 1 << random.below(8);
                Ok(answer)
            }
            _ => {
                let at = usize::try_from(random.below(damaged.len() as u64)).unwrap();
                damaged[at] ^= 1 << random.below(8);
                self.server.handle(&damaged)
            }
        }
    }
}

/// When, and by whom.
type Written = (Hlc, String);

/// What must come out: for each column of a kept row, the value with the greatest stamp.
#[derive(Default)]
struct Model {
    columns: BTreeMap<(i64, &'static str), (Written, i64)>,
    inserted: BTreeSet<i64>,
    deleted: BTreeSet<i64>,
}

impl Model {
    fn write(&mut self, id: i64, column: &'static str, stamp: Hlc, by: &str, value: i64) {
        let written = ((stamp, by.to_owned()), value);
        let known = self
            .columns
            .entry((id, column))
            .or_insert_with(|| written.clone());
        if known.0 < written.0 {
            *known = written;
        }
    }
}

fn schema() -> Schema {
    let begun = Schema::build("rows", ["id"]).field(Field::new("id", FieldType::Int));
    let fields = COLUMNS
        .iter()
        .map(|name| Field::new(*name, FieldType::Int).default_value(0));
    fields
        .fold(begun, common::schema::SchemaBuilder::field)
        .finish()
        .unwrap()
}

fn database(clock: &Arc<ManualClock>, changes_max: usize) -> Database {
    Database::with(DatabaseOptions {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        retention: Retention {
            changes_max,
            ..Retention::default()
        },
        ..DatabaseOptions::default()
    })
}

#[expect(
    clippy::too_many_lines,
    reason = "one list of what may happen, and what must come out"
)]
fn run(seed: u64) {
    let random = Random(SeededRng::new(seed));
    let prunes = random.chance(40);
    let wall = Arc::new(ManualClock::new(START));
    let server_db = database(&wall, if prunes { 60 } else { 1 << 20 });
    let rows = server_db.create_collection(schema()).unwrap();
    for id in 0..KEPT {
        rows.insert(row! { "id": id }).unwrap();
    }
    let options = SyncServerOptions {
        rng: Arc::new(SeededRng::new(seed)),
        ..SyncServerOptions::default()
    };
    let server = SyncServer::with(server_db, options).unwrap();
    // Clocks that are off, within what the protocol takes without correction.
    let count = 2 + random.below(2);
    let replicas: Vec<(String, SyncDb, Arc<ManualClock>)> = (0..count)
        .map(|number| {
            let name = format!("replica-{number}");
            let off = i64::try_from(random.below(100)).unwrap() - 50;
            let clock = Arc::new(ManualClock::new(START + off * 1_000_000));
            let db = SyncDb::open(database(&clock, 1 << 10), name.as_str()).unwrap();
            (name, db, clock)
        })
        .collect();
    let mut past = Vec::new();
    let mut model = Model::default();
    let mut told = Vec::new();
    let mut next_id = 1_000;
    let mut next_value = 1;
    for (_, db, _) in &replicas {
        assert!(
            db.sync(&mut |request: &[u8]| server.handle(request))
                .unwrap()
                .converged
        );
    }
    for _ in 0..120 {
        let step = Duration::from_millis(1 + random.below(40));
        wall.advance(step);
        for (_, _, clock) in &replicas {
            clock.advance(step);
        }
        let (name, db, _) = random.pick(&replicas);
        let here = db.collection("rows").unwrap();
        let column = *random.pick(&COLUMNS);
        let id = i64::try_from(random.below(KEPT.cast_unsigned())).unwrap();
        next_value += 1;
        // Few distinct values, so that both sides sometimes write the same one.
        let value = next_value % 5;
        let wrote = |committed: &Committed| !committed.changes.is_empty();
        match random.below(10) {
            0..=3 => {
                let done = db
                    .update("rows", id, Row::new().with(column, value))
                    .unwrap();
                if wrote(&done) {
                    model.write(id, column, done.stamp, name, value);
                }
            }
            4 => {
                let mut tx = db.begin();
                let other = (id + 1) % KEPT;
                let before = [id, other].map(|id| here.get(id).unwrap());
                tx.update(&here, id, row! { "a": value, "b": value })
                    .unwrap();
                tx.update(&here, other, row! { "c": value }).unwrap();
                let done = tx.commit().unwrap();
                let changes = [(0, 1, "a"), (0, 2, "b"), (1, 3, "c")];
                for (row, position, column) in changes {
                    if before[row][position] != Value::from(value) {
                        model.write([id, other][row], column, done.stamp, name, value);
                    }
                }
            }
            5 => {
                next_id += 1;
                db.insert("rows", row! { "id": next_id, "a": value })
                    .unwrap();
                model.inserted.insert(next_id);
            }
            6 => {
                let there: Vec<i64> = model
                    .inserted
                    .iter()
                    .copied()
                    .filter(|id| here.get(*id).is_some())
                    .collect();
                if !there.is_empty() {
                    let id = *random.pick(&there);
                    if random.chance(50) {
                        db.delete("rows", id).unwrap();
                        model.deleted.insert(id);
                    } else {
                        db.update("rows", id, Row::new().with(column, value))
                            .unwrap();
                    }
                }
            }
            7 if !prunes => {
                let done = rows.update(id, Row::new().with(column, value)).unwrap();
                if wrote(&done) {
                    model.write(id, column, done.stamp, "", value);
                }
            }
            _ => {
                let mut network = Network {
                    server: &server,
                    random: &random,
                    past: &mut past,
                    percent: 35,
                };
                let mut session = db.session().unwrap();
                while let Ok(Some(request)) = session.next_message() {
                    let arrived = network.exchange(&request);
                    // What was told before the failure counts: the replica has it.
                    if arrived.and_then(|answer| session.receive(&answer)).is_err() {
                        break;
                    }
                }
                told.extend(session.into_report().conflicts);
            }
        }
    }
    for _ in 0..2 {
        for (name, db, _) in &replicas {
            let report = db
                .sync(&mut |request: &[u8]| server.handle(request))
                .unwrap();
            assert!(report.converged, "seed {seed}, {name}: {report:?}");
            assert!(!report.repaired, "seed {seed}, {name} had to be repaired");
            told.extend(report.conflicts);
        }
    }
    for (name, db, _) in &replicas {
        assert_eq!(
            db.digest().unwrap(),
            server.digest().unwrap(),
            "seed {seed}, {name}"
        );
        assert_eq!(db.pending(), 0, "seed {seed}, {name}");
        // What was edited after the log had let go of its deletion.
        for rejected in db.rejected().unwrap() {
            assert!(prunes && rejected.code == ROW_GONE, "seed {seed}, {name}");
            let gone = |id: &i64| rejected.ops[0].key == RecordId::from(*id);
            assert!(model.deleted.iter().any(gone), "seed {seed}, {name}");
        }
    }
    for ((id, column), (written, value)) in &model.columns {
        let found = rows.get(*id).unwrap();
        let position = rows.schema().position(column).unwrap();
        assert_eq!(
            found[position],
            Value::from(*value),
            "seed {seed}: row {id}, column {column}, last written {written:?}"
        );
    }
    for id in &model.inserted {
        let gone = model.deleted.contains(id);
        assert_eq!(rows.get(*id).is_none(), gone, "seed {seed}: row {id}");
    }
    let mut ledger = server.conflicts().unwrap();
    told.sort_by_key(|entry| (entry.seq, entry.number));
    for entry in told.iter_mut().chain(&mut ledger) {
        // The replica may know the base where the server does not.
        entry.base = None;
    }
    assert_eq!(told, ledger, "seed {seed}: every conflict is told once");
}

#[test]
fn replicas_converge_on_what_the_model_says() {
    for seed in 0..60 {
        run(seed);
    }
}

#[test]
fn an_interruption_at_any_exchange_costs_nothing() {
    // Every exchange of a sync with much to say fails once, before or after the server has seen it.
    for (failing, delivered) in (0..4).flat_map(|n| [(n, false), (n, true)]) {
        let server = SyncServer::new({
            let db = Database::new();
            let rows = db.create_collection(schema()).unwrap();
            for id in 0..200 {
                rows.insert(row! { "id": id }).unwrap();
            }
            db
        })
        .unwrap();
        let db = SyncDb::client("a").unwrap();
        let mut exchanges = 0;
        let mut flaky = |request: &[u8]| {
            exchanges += 1;
            if exchanges == failing + 1 {
                if delivered {
                    server.handle(request)?;
                }
                return Err(lost());
            }
            server.handle(request)
        };
        while db.sync(&mut flaky).is_err() {}
        for id in 0..1_200 {
            let changed = row! { "id": id, "a": id };
            db.upsert("rows", changed).unwrap();
        }
        let report = loop {
            if let Ok(report) = db.sync(&mut flaky) {
                break report;
            }
        };
        assert!(report.converged && !report.repaired);
        let rows = server.database().collection("rows").unwrap();
        assert_eq!(rows.len(), 1_200);
        assert_eq!(rows.get(1_199).unwrap()[1], Value::from(1_199));
        // Row 0 holds its zeros already: nothing to send.
        assert_eq!(rows.get(7).unwrap().metadata().revision, 2, "applied once");
        assert_eq!(server.status().conflicts, 0);
    }
}
