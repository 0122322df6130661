//! Deploys while replicas of several versions write and sync over a bad line, all from one seed.
//!
//! Columns of several versions that say the same are one *part*; what is written to it carries a token that nobody else writes. At the end every replica has been brought to a version that is served and has synced, and then:
//!
//! - replicas of one version hold the same rows, and those of a replica that comes new;
//! - the versions say the same of every row, each in its columns;
//! - of a part that one replica alone wrote to, the last write stands, unless the row was deleted, the write was rejected with a
//!   reason, or the ledger says that it lost against a write to a column that it follows from or leads to; what nobody wrote to
//!   is as it was, also where it travelled through versions that do not know it;
//! - every token that stands was written by somebody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::database::DatabaseOptions;
use common::schema::{Field, FieldType, Schema};
use common::utils::id_generator::SeededRng;
use common::utils::time::ManualClock;
use common::{Database, Error, ErrorKind, Record, Result, Row, Value};
use rustix::time::{ClockId, clock_gettime};
use syncdb::migration::{Lineage, Migration, OnLoss, Step};
use syncdb::{Serving, Side, SyncDb, SyncServer, SyncServerOptions};

const ROWS: i64 = 12;
const CLIENTS: usize = 6;
const STEPS: usize = 160;

fn text(name: &str) -> Field {
    Field::new(name, FieldType::Text)
}

/// Versions 1 to 5, as lineages of growing length.
fn lineages() -> Vec<Lineage> {
    let table = Schema::build("t", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(text("name"))
        .field(Field::new("count", FieldType::Int).default_value(0))
        .field(text("flag").default_value("f0"))
        .field(text("city").default_value("c0"));
    let change = |column: &str, to: Field| Step::ChangeColumn {
        table: "t".into(),
        column: column.into(),
        to,
        on_loss: OnLoss::Refuse,
        on_loss_back: OnLoss::Refuse,
    };
    let rename = |column: &str, to: &str| Step::RenameColumn {
        table: "t".into(),
        column: column.into(),
        to: to.into(),
    };
    let add = |name: &str, value: &str| Step::AddColumn {
        table: "t".into(),
        field: text(name).default_value(value),
        value: None,
    };
    let steps = [
        vec![
            Step::SplitColumn {
                table: "t".into(),
                column: "name".into(),
                into: vec![text("first"), text("last")],
                separator: " ".into(),
                on_loss: OnLoss::Refuse,
            },
            add("extra", "e0"),
        ],
        vec![
            change("count", text("count").default_value("0")),
            Step::RemoveColumn {
                table: "t".into(),
                column: "flag".into(),
                instead: Some(Value::from("f1")),
            },
        ],
        vec![
            rename("first", "given"),
            rename("city", "town"),
            add("late", "l0"),
        ],
        vec![Step::MergeColumns {
            table: "t".into(),
            columns: vec!["extra".into(), "late".into()],
            into: text("both"),
            separator: "/".into(),
            on_loss: OnLoss::Refuse,
        }],
    ];
    let mut all = vec![Lineage::new([table.finish().unwrap()]).unwrap()];
    for steps in steps {
        let next = all[all.len() - 1].clone().then(Migration::new(steps));
        all.push(next.unwrap());
    }
    all
}

/// The parts that a version's row says, by a name that is the same in all.
fn parts(version: usize, row: &Row) -> BTreeMap<&'static str, String> {
    let said = |name: &str| {
        row.get(name).map(|value| match value {
            Value::Text(text) => text.to_string(),
            other => other.to_string(),
        })
    };
    let mut parts = BTreeMap::new();
    let mut put = |part: &'static str, value: Option<String>| {
        if let Some(value) = value {
            parts.insert(part, value);
        }
    };
    let halves = |name: &str, separator: char| {
        let whole = said(name);
        let (a, b) = whole
            .as_deref()
            .and_then(|whole| whole.split_once(separator))
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unzip();
        (a, b)
    };
    if version == 1 {
        let (first, last) = halves("name", ' ');
        put("first", first);
        put("last", last);
    } else {
        put("first", said(if version < 4 { "first" } else { "given" }));
        put("last", said("last"));
    }
    put("count", said("count"));
    put("city", said(if version < 4 { "city" } else { "town" }));
    if version < 3 {
        put("flag", said("flag"));
    }
    match version {
        1 => {}
        2..=4 => {
            put("extra", said("extra"));
            put("late", said("late"));
        }
        _ => {
            let (extra, late) = halves("both", '/');
            put("extra", extra);
            put("late", late);
        }
    }
    parts
}

/// The tokens of a value.
fn words(value: &Value) -> Vec<String> {
    let text = match value {
        Value::Text(text) => text.to_string(),
        other => other.to_string(),
    };
    text.split([' ', '/']).map(str::to_owned).collect()
}

/// A write, by what it says of each part.
#[derive(Debug, Clone)]
struct Write {
    client: usize,
    key: i64,
    parts: BTreeMap<&'static str, String>,
}

/// Chance, from a seed.
struct Random(SeededRng);

impl Random {
    fn below<T: TryInto<u64> + TryFrom<u64>>(&self, bound: T) -> T {
        let bound = bound.try_into().ok().unwrap();
        T::try_from(self.0.next_u64() % bound).ok().unwrap()
    }
}

struct Client {
    db: SyncDb,
    version: usize,
}

struct World {
    rng: Random,
    wall: Arc<ManualClock>,
    lineages: Vec<Lineage>,
    db: Database,
    server: SyncServer,
    deployed: usize,
    serving: (usize, usize, usize),
    clients: Vec<Client>,
    writes: Vec<Write>,
    deleted: BTreeSet<i64>,
    tokens: u64,
    trace: Vec<String>,
}

fn database(wall: &Arc<ManualClock>) -> Database {
    Database::with(DatabaseOptions {
        clock: Arc::clone(wall) as Arc<_>,
        ..DatabaseOptions::default()
    })
}

fn serve(
    db: &Database,
    lineage: &Lineage,
    (accepted, served, current): (usize, usize, usize),
) -> SyncServer {
    let number = |version: usize| u32::try_from(version).unwrap();
    let serving = Serving::new(lineage.clone())
        .served_from(number(served))
        .accepted_from(number(accepted))
        .current(number(current));
    let options = SyncServerOptions {
        rng: Arc::new(SeededRng::new(3)),
        ..SyncServerOptions::default().serving(serving)
    };
    SyncServer::with(db.clone(), options).unwrap()
}

fn rows(db: &SyncDb) -> BTreeMap<i64, Row> {
    let Ok(table) = db.collection("t") else {
        return BTreeMap::new();
    };
    let schema = table.schema();
    let mut found = BTreeMap::new();
    let named = |record: &Record| {
        let fields = schema.fields.iter().zip(record.values());
        fields.fold(Row::new(), |row, (field, value)| {
            row.with(field.name.clone(), value.clone())
        })
    };
    db.database()
        .snapshot()
        .view()
        .scan(&table, &mut |records| {
            for record in records {
                found.insert(record[0].as_int().unwrap(), named(record));
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    found
}

impl World {
    fn new(seed: u64) -> Self {
        let wall = Arc::new(ManualClock::new(1_700_000_000_000_000));
        let lineages = lineages();
        let db = database(&wall);
        let server = serve(&db, &lineages[0], (1, 1, 1));
        let mut world = Self {
            rng: Random(SeededRng::new(seed)),
            db,
            server,
            deployed: 1,
            serving: (1, 1, 1),
            clients: Vec::new(),
            writes: Vec::new(),
            deleted: BTreeSet::new(),
            tokens: 0,
            trace: Vec::new(),
            lineages,
            wall,
        };
        for number in 0..CLIENTS {
            let db = world.replica(&format!("c{number}"), 1);
            world.clients.push(Client { db, version: 1 });
        }
        for key in 0..ROWS / 2 {
            world.insert(0, key).unwrap();
        }
        world
    }

    fn replica(&self, name: &str, version: usize) -> SyncDb {
        let lineage = &self.lineages[version - 1];
        SyncDb::with_lineage(database(&self.wall), name, lineage).unwrap()
    }

    fn chance(&self, percent: u32) -> bool {
        self.rng.below(100_u32) < percent
    }

    fn token(&mut self, of: &str) -> String {
        self.tokens += 1;
        format!("{of}{}", self.tokens)
    }

    /// Values of all columns that a version has, or of some.
    fn values(&mut self, version: usize, all: bool) -> Row {
        let mut row = Row::new();
        let mut columns: Vec<(&str, Vec<&str>)> = vec![("count", vec![""])];
        if version == 1 {
            columns.push(("name", vec!["a", " b"]));
        } else {
            columns.push((if version < 4 { "first" } else { "given" }, vec!["a"]));
            columns.push(("last", vec!["b"]));
        }
        columns.push((if version < 4 { "city" } else { "town" }, vec!["c"]));
        if version < 3 {
            columns.push(("flag", vec!["f"]));
        }
        if (2..5).contains(&version) {
            columns.push(("extra", vec!["e"]));
        }
        if version == 4 {
            columns.push(("late", vec!["l"]));
        }
        if version == 5 {
            columns.push(("both", vec!["e", "/l"]));
        }
        let one = self.rng.below(columns.len());
        for (at, (column, tokens)) in columns.into_iter().enumerate() {
            if all || at == one || self.chance(15) {
                let value: String = tokens.iter().map(|of| self.token(of)).collect();
                let value = match column {
                    "count" if version < 3 => Value::from(value.parse::<i64>().unwrap()),
                    _ => Value::from(value.as_str()),
                };
                row = row.with(column, value);
            }
        }
        row
    }

    fn note(&mut self, client: usize, key: i64, version: usize, row: &Row) {
        let parts = parts(version, row);
        self.trace.push(format!(
            "client {client} of version {version} writes row {key}: {parts:?}"
        ));
        self.writes.push(Write { client, key, parts });
    }

    fn insert(&mut self, client: usize, key: i64) -> Result<()> {
        let version = self.clients[client].version;
        let values = self.values(version, true);
        self.clients[client]
            .db
            .insert("t", values.clone().with("id", key))?;
        self.note(client, key, version, &values);
        Ok(())
    }

    fn write(&mut self) {
        let client = self.rng.below(CLIENTS);
        let key = self.rng.below(ROWS);
        let version = self.clients[client].version;
        let here = rows(&self.clients[client].db).contains_key(&key);
        if !here {
            if !self.deleted.contains(&key) {
                // Somebody else may have made it: then the two meet.
                self.insert(client, key).unwrap();
            }
            return;
        }
        if self.chance(3) {
            self.clients[client].db.delete("t", key).unwrap();
            self.trace
                .push(format!("client {client} deletes row {key}"));
            self.deleted.insert(key);
            return;
        }
        let values = self.values(version, false);
        self.clients[client]
            .db
            .update("t", key, values.clone())
            .unwrap();
        self.note(client, key, version, &values);
    }

    /// A sync over a line on which requests and answers get lost, or arrive twice.
    fn sync(&mut self, client: usize) {
        let lost = || Error::new(ErrorKind::Io, "the line is down");
        let bad = self.chance(60);
        let mut dice: Vec<u32> = (0..40).map(|_| self.rng.below(100_u32)).collect();
        let server = &self.server;
        let mut transport = |request: &[u8]| {
            let roll = if bad { dice.pop().unwrap_or(99) } else { 99 };
            match roll {
                0..12 => Err(lost()),
                12..24 => {
                    server.handle(request)?;
                    Err(lost())
                }
                24..34 => {
                    server.handle(request)?;
                    server.handle(request)
                }
                _ => server.handle(request),
            }
        };
        let version = self.clients[client].version;
        let result = self.clients[client].db.sync(&mut transport);
        let is_accepted = version >= self.serving.0 && version <= self.deployed;
        let said = match &result {
            Ok(report) => format!(
                "converged {}, refused {}",
                report.converged,
                report.refused.len()
            ),
            Err(error) => error.to_string(),
        };
        self.trace.push(format!(
            "client {client} of version {version} syncs: {said}"
        ));
        if let Err(error) = result {
            let expected = match error.kind() {
                ErrorKind::Io => bad,
                ErrorKind::Unsupported => !is_accepted,
                _ => false,
            };
            assert!(expected, "client {client}: {error}");
        }
    }

    /// The server's process is replaced by one that serves other versions.
    fn deploy(&mut self) {
        let (mut accepted, mut served, mut current) = self.serving;
        match self.rng.below(10_u32) {
            0..5 if self.deployed < self.lineages.len() => {
                self.deployed += 1;
                current = self.deployed;
            }
            // Back, and forward again.
            0..7 => current = served + self.rng.below(self.deployed - served + 1),
            7..9 if served < current && self.deployed - served >= 2 => served += 1,
            _ if accepted < served => accepted += 1,
            _ => {}
        }
        self.serving = (accepted, served, current);
        // A binary of before has a shorter lineage.
        let lineage = if self.chance(20) {
            current
        } else {
            self.deployed
        };
        let serving = if lineage == self.deployed {
            self.serving
        } else {
            (accepted, served, current)
        };
        self.trace
            .push(format!("deploy of version {lineage}: {serving:?}"));
        self.server = serve(&self.db, &self.lineages[lineage - 1], serving);
    }

    /// A client's application is opened again, perhaps a later one.
    fn open(&mut self) {
        let client = self.rng.below(CLIENTS);
        let newest = (self.deployed + 1).min(self.lineages.len());
        let version = self.clients[client].version;
        let to = if self.chance(60) {
            version + self.rng.below(newest.max(version) - version + 1)
        } else {
            version
        };
        self.upgrade(client, to);
    }

    fn upgrade(&mut self, client: usize, to: usize) {
        self.trace
            .push(format!("client {client} is opened by version {to}"));
        let db = self.clients[client].db.database().clone();
        let name = self.clients[client].db.replica().clone();
        let db = SyncDb::with_lineage(db, name, &self.lineages[to - 1]).unwrap();
        self.clients[client] = Client { db, version: to };
    }

    /// Somebody writes at the server, by the names of the current version.
    fn write_at_server(&mut self) {
        let Ok(table) = self.db.collection("t") else {
            return;
        };
        let key = self.rng.below(ROWS);
        if table.get(key).is_none() {
            return;
        }
        let version = self.serving.2;
        let values = self.values(version, false);
        table.update(key, values.clone()).unwrap();
        self.note(CLIENTS, key, version, &values);
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            self.wall.advance(Duration::from_millis(7));
            match self.rng.below(100_u32) {
                0..45 => self.write(),
                45..84 => {
                    let client = self.rng.below(CLIENTS);
                    self.sync(client);
                }
                84..88 => self.write_at_server(),
                88..94 => self.deploy(),
                _ => self.open(),
            }
        }
        self.settle();
    }

    /// Everybody comes to a version that is served, and syncs over a good line.
    fn settle(&mut self) {
        for client in 0..CLIENTS {
            let version = self.clients[client].version.max(self.serving.1);
            let version = version.min(self.lineages.len());
            self.upgrade(client, version);
        }
        let furthest = self.clients.iter().map(|client| client.version).max();
        self.deployed = self.deployed.max(furthest.unwrap());
        self.server = serve(&self.db, &self.lineages[self.deployed - 1], self.serving);
        for round in 0..3 {
            for client in 0..CLIENTS {
                self.wall.advance(Duration::from_millis(7));
                let (server, db) = (&self.server, &self.clients[client].db);
                let report = db
                    .sync(&mut |request: &[u8]| server.handle(request))
                    .unwrap();
                assert!(
                    report.converged && report.refused.is_empty(),
                    "client {client}: {report:?}"
                );
                assert!(round < 2 || !report.repaired, "client {client}: {report:?}");
            }
        }
    }

    fn check(&self) {
        let mut truth: Option<BTreeMap<i64, BTreeMap<&str, String>>> = None;
        for version in (self.serving.1..=self.deployed).rev() {
            let fresh = self.replica("fresh", version);
            let server = &self.server;
            fresh
                .sync(&mut |request: &[u8]| server.handle(request))
                .unwrap();
            for client in self
                .clients
                .iter()
                .filter(|client| client.version == version)
            {
                assert_eq!(
                    client.db.digest().unwrap(),
                    fresh.digest().unwrap(),
                    "{}",
                    client.db.replica()
                );
            }
            let said: BTreeMap<i64, BTreeMap<&str, String>> = rows(&fresh)
                .iter()
                .map(|(key, row)| (*key, parts(version, row)))
                .collect();
            let Some(truth) = &mut truth else {
                truth = Some(said);
                continue;
            };
            assert!(truth.keys().eq(said.keys()), "rows of version {version}");
            for (key, parts) in said {
                for (part, value) in parts {
                    let known = truth
                        .get_mut(&key)
                        .unwrap()
                        .entry(part)
                        .or_insert_with(|| value.clone());
                    assert_eq!(*known, value, "row {key}, {part} in version {version}");
                }
            }
        }
        self.check_writes(&truth.unwrap());
    }

    fn check_writes(&self, truth: &BTreeMap<i64, BTreeMap<&'static str, String>>) {
        let mut rejected: BTreeSet<String> = BTreeSet::new();
        for client in &self.clients {
            for found in client.db.rejected().unwrap() {
                let known = ["gone", "no row", "no version of the table", "already"];
                let is_known = known.iter().any(|part| found.message.contains(part));
                assert!(is_known, "{found}");
                for edit in &found.ops {
                    rejected.extend(edit.columns.values().flat_map(words));
                    // Columns that are no more have no name any more.
                    if edit.columns.is_empty() || found.message.contains("no version of the table")
                    {
                        let key = edit.key.values()[0].as_int().unwrap();
                        let own = self.writes.iter().filter(|write| write.key == key);
                        rejected.extend(own.flat_map(|write| write.parts.values().cloned()));
                    }
                }
            }
        }
        for entry in self.server.conflicts().unwrap() {
            let lost = match entry.winner {
                Side::Client => &entry.server,
                _ => &entry.client,
            };
            rejected.extend(words(lost));
        }
        for (key, parts) in truth {
            for (part, value) in parts {
                let writes: Vec<&Write> = self
                    .writes
                    .iter()
                    .filter(|write| write.key == *key && write.parts.contains_key(part))
                    .collect();
                let begins = ["f0", "f1", "c0", "e0", "l0", "0"].contains(&value.as_str());
                assert!(
                    begins || writes.iter().any(|write| write.parts[part] == *value),
                    "row {key}: nobody wrote {value} to {part}"
                );
                let last = writes.last();
                let taken = last.filter(|write| !rejected.contains(&write.parts[part]));
                let Some(last) = taken else { continue };
                let alone = writes.iter().all(|write| write.client == last.client);
                if alone && !self.deleted.contains(key) {
                    assert_eq!(
                        last.parts[part], *value,
                        "row {key}, {part}: the only writer's last"
                    );
                }
            }
        }
        let inserted: BTreeSet<i64> = self.writes.iter().map(|write| write.key).collect();
        for key in inserted.difference(&self.deleted) {
            assert!(
                truth.contains_key(key),
                "row {key} is gone, and nobody deleted it"
            );
        }
    }
}

/// Runs one seed; gives the number of steps that were taken.
fn hold(seed: u64) -> std::result::Result<u64, String> {
    let mut world = World::new(seed);
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.run();
        world.check();
    }));
    run.map(|()| world.trace.len() as u64).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let trace = world.trace.iter().rev().take(200).rev();
        let trace: Vec<&str> = trace.map(String::as_str).collect();
        format!(
            "seed {seed}: {}\n{}",
            text.unwrap_or_default(),
            trace.join("\n")
        )
    })
}

#[test]
fn seeds_0_to_79_lose_nothing_over_deploys() {
    for seed in 0..80 {
        if let Err(failure) = hold(seed) {
            panic!("{failure}");
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// `cargo xtask soak versions`.
#[test]
fn soak() {
    if let Some(seed) = setting("TANDEM_SIM_SEED") {
        hold(seed).unwrap_or_else(|failure| panic!("{failure}"));
        return;
    }
    let Some(seeds) = setting("TANDEM_SIM_SEEDS") else {
        return;
    };
    let from = setting("TANDEM_SIM_FROM").unwrap_or_default();
    let next = std::sync::atomic::AtomicU64::new(from);
    let total = parking_lot::Mutex::new((0_u64, Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= from + seeds {
                        break;
                    }
                    let held = hold(seed);
                    let mut total = total.lock();
                    match held {
                        Ok(events) => total.0 += events,
                        Err(failure) => {
                            eprintln!("{failure}\n");
                            total.1.push(seed);
                        }
                    }
                }
            });
        }
    });
    let (events, mut failures) = total.into_inner();
    failures.sort_unstable();
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let core_seconds = Duration::new(
        u64::try_from(cpu.tv_sec).unwrap_or_default(),
        u32::try_from(cpu.tv_nsec).unwrap_or_default(),
    );
    let simulated = seeds * STEPS as u64 * 7 / 1_000;
    println!(
        "SOAK {{\"from\":{from},\"seeds\":{seeds},\"events\":{events},\"simulated_seconds\":{simulated},\"core_seconds\":{},\"twice\":0,\"failures\":{failures:?}}}",
        core_seconds.as_secs_f64()
    );
    assert!(failures.is_empty(), "{failures:?}");
}
