//! The first road: a server and two replicas, each a process, that edit apart and then agree.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use common::serialization::Format;
use common::{Error, Record, Result, Text, Value};
use syncdb::Digest;

use super::child::Process;
use super::data::World;
use crate::commands::replica::{Conflict, Held, Order, Synced};
use crate::terminal::Progress;

/// How many cities each replica edits.
const EDITS: usize = 40;

/// What was measured on the way.
pub(super) struct Facts {
    /// Rows at the server in the end.
    pub(super) rows: u64,
    /// Size of all rows as JSON lines.
    pub(super) json_bytes: u64,
    /// The first sync of the first replica.
    pub(super) initial: Synced,
    pub(super) initial_time: Duration,
    /// Rows edited on each replica while apart.
    pub(super) edited: [usize; 2],
    /// The syncs after that.
    pub(super) increments: Vec<(&'static str, Synced)>,
    pub(super) incremental_time: Duration,
    pub(super) conflicts: Vec<Conflict>,
    /// The city that both replicas changed.
    pub(super) city: String,
    /// What all sides hold in the end.
    pub(super) digest: String,
    pub(super) converged: bool,
    /// Size of the file that the server wrote when it ended.
    pub(super) file_bytes: u64,
}

impl Facts {
    /// Bytes of all syncs after the edits, both directions, both replicas.
    pub(super) fn incremental_bytes(&self) -> u64 {
        self.increments
            .iter()
            .map(|(_, s)| s.bytes_up + s.bytes_down)
            .sum()
    }
}

/// A folder that is removed with everything in it.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let name = format!("tandem-demo-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).map_err(|error| Error::from(error).at(path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn run(world: &World) -> Result<Facts> {
    let progress = Progress::stage("syncing a server and two replicas");
    let folder = Folder::new()?;
    let path = folder.0.join("world.tdb");
    durable::save(&world.database, &path)?;
    let records = records(world)?;
    let json_bytes = json_bytes(world)?;

    let db = path.to_string_lossy().into_owned();
    let mut server = Process::start(
        "server",
        &[
            "serve",
            "--open",
            "--until-input-ends",
            "--listen",
            "127.0.0.1:0",
            "--db",
            &db,
        ],
    )?;
    let line = server.line()?;
    let url = line
        .strip_prefix("listening on ")
        .ok_or_else(|| Error::invalid(format!("the server said `{line}`")))?;
    let mut anna = Process::start(
        "replica anna",
        &["replica", "--name", "anna", "--server", url],
    )?;
    let mut ben = Process::start(
        "replica ben",
        &["replica", "--name", "ben", "--server", url],
    )?;

    let start = Instant::now();
    let initial: Synced = anna.ask(&Order::Sync)?;
    let initial_time = start.elapsed();
    let _: Synced = ben.ask(&Order::Sync)?;

    // From here on neither replica talks to the server.
    let largest = records
        .iter()
        .max_by_key(|record| record.get(population_at(world)).and_then(Value::as_int))
        .ok_or_else(|| Error::invalid("there are no cities"))?;
    progress.say("editing on both replicas while they are apart");
    let by_anna = edit_as_anna(world, &records, largest, &mut anna)?;
    let by_ben = edit_as_ben(world, &records, largest, &mut ben)?;

    progress.say("letting them agree");
    let start = Instant::now();
    let increments: Vec<(&'static str, Synced)> = vec![
        ("anna", anna.ask(&Order::Sync)?),
        ("ben", ben.ask(&Order::Sync)?),
        ("anna", anna.ask(&Order::Sync)?),
    ];
    let incremental_time = start.elapsed();

    let held: [Held; 2] = [anna.ask(&Order::Digest)?, ben.ask(&Order::Digest)?];
    anna.end()?;
    ben.end()?;
    server.end()?;
    // What the server left on the disk is the fourth witness.
    let file = durable::open(&path)?;
    let file_bytes = std::fs::metadata(&path)?.len();
    let tables: Vec<_> = file
        .collections()
        .into_iter()
        .filter(|table| !table.name().starts_with("sync_"))
        .collect();
    let stored = Digest::of(file.snapshot().view(), &tables)?;
    let told = increments
        .last()
        .map(|(_, synced)| synced.digest_server.as_str());
    let digest = stored.to_string();
    let agree = held
        .iter()
        .all(|held| held.digest == digest && held.rows == stored.rows)
        && told == Some(digest.as_str());
    let ends_converged = increments
        .iter()
        .rev()
        .take(2)
        .all(|(_, synced)| synced.converged);
    Ok(Facts {
        rows: stored.rows,
        json_bytes,
        initial,
        initial_time,
        edited: [by_anna, by_ben],
        conflicts: increments
            .iter()
            .flat_map(|(_, s)| s.conflicts.clone())
            .collect(),
        increments,
        incremental_time,
        city: largest
            .get(world.cities.schema().position_of("name")?)
            .map(Value::to_string)
            .unwrap_or_default(),
        digest,
        converged: agree && ends_converged,
        file_bytes,
    })
}

fn population_at(world: &World) -> usize {
    world
        .cities
        .schema()
        .position("population")
        .unwrap_or_default()
}

/// All cities in the order of their ids.
fn records(world: &World) -> Result<Vec<Record>> {
    let mut records: Vec<Record> = Vec::with_capacity(world.cities.len());
    world
        .database
        .snapshot()
        .view()
        .scan(&world.cities, &mut |chunk| {
            records.extend_from_slice(chunk);
            ControlFlow::Continue(())
        })?;
    records.sort_by(|a, b| a.key().cmp(b.key()));
    Ok(records)
}

/// The size of all tables as JSON lines.
fn json_bytes(world: &World) -> Result<u64> {
    let mut all = 0;
    for collection in world.database.collections() {
        let mut failure = None;
        world
            .database
            .snapshot()
            .view()
            .scan(&collection, &mut |records| {
                let mut bytes = Vec::new();
                match Format::Json.encode_rows(&collection.schema(), records, &mut bytes) {
                    Ok(()) => {
                        all += bytes.len() as u64;
                        ControlFlow::Continue(())
                    }
                    Err(error) => {
                        failure = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
        failure.map_or(Ok(()), Err)?;
    }
    Ok(all)
}

fn row<const N: usize>(pairs: [(&str, Value); N]) -> BTreeMap<Text, Value> {
    pairs
        .into_iter()
        .map(|(name, value)| (Text::from(name), value))
        .collect()
}

fn update<const N: usize>(record: &Record, pairs: [(&str, Value); N]) -> Order {
    Order::Update {
        table: "cities".into(),
        key: record.key().to_vec(),
        row: row(pairs),
    }
}

/// `count` cities spread evenly over the table, without the largest.
fn spread<'a>(
    records: &'a [Record],
    largest: &'a Record,
    count: usize,
    first: usize,
) -> impl Iterator<Item = &'a Record> {
    let step = (records.len() / (count + 1)).max(2);
    let others = records.iter().skip(first).step_by(step);
    others
        .filter(move |record| record.key() != largest.key())
        .take(count)
}

/// A census: new populations, one new city, one that was merged into its neighbour.
fn edit_as_anna(
    world: &World,
    records: &[Record],
    largest: &Record,
    anna: &mut Process,
) -> Result<usize> {
    let at = population_at(world);
    let grown = |record: &Record, percent: i64| {
        let population = record.get(at).and_then(Value::as_int).unwrap_or_default();
        Value::from(population + population * percent / 100)
    };
    let mut edited = 0;
    let mut order = |order: &Order| -> Result<()> {
        let _: serde_json::Value = anna.ask(order)?;
        edited += 1;
        Ok(())
    };
    for record in spread(records, largest, EDITS, 0) {
        order(&update(record, [("population", grown(record, 2))]))?;
    }
    let next = records
        .iter()
        .filter_map(|r| r.key().first()?.as_int())
        .max()
        .unwrap_or_default();
    order(&Order::Insert {
        table: "cities".into(),
        row: row([
            ("id", Value::from(next + 1)),
            ("name", Value::from("New Tandem")),
            ("country", Value::from("FI")),
            ("population", Value::from(15_001)),
        ]),
    })?;
    let smallest = records
        .iter()
        .filter(|record| record.key() != largest.key())
        .min_by_key(|record| record.get(at).and_then(Value::as_int));
    if let Some(smallest) = smallest {
        order(&Order::Delete {
            table: "cities".into(),
            key: smallest.key().to_vec(),
        })?;
    }
    order(&update(largest, [("population", grown(largest, 1))]))?;
    Ok(edited)
}

/// Corrected time zones, and another opinion about the largest city.
fn edit_as_ben(
    world: &World,
    records: &[Record],
    largest: &Record,
    ben: &mut Process,
) -> Result<usize> {
    let smallest = records
        .iter()
        .min_by_key(|record| record.get(population_at(world)).and_then(Value::as_int));
    let mut edited = 0;
    for record in spread(records, largest, EDITS, 1) {
        // The one that the other replica deletes stays out of it: there is to be one conflict.
        if smallest.is_some_and(|smallest| smallest.key() == record.key()) {
            continue;
        }
        let _: serde_json::Value =
            ben.ask(&update(record, [("timezone", Value::from("Etc/UTC"))]))?;
        edited += 1;
    }
    let population = largest
        .get(population_at(world))
        .and_then(Value::as_int)
        .unwrap_or_default();
    let estimate = Value::from(population + population * 3 / 100);
    let _: serde_json::Value = ben.ask(&update(largest, [("population", estimate)]))?;
    Ok(edited + 1)
}
