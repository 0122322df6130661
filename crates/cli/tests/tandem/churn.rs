//! R22 and T42: a server in a process of its own under mixed churn neither grows nor keeps descriptors, and what it leaves behind opens
//! as a fresh copy does.
//!
//! `TANDEMDB_CHURN_SECONDS` sets how long; `cargo xtask soak upkeep` does it for half an hour.

#![cfg(target_os = "linux")]
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::row;
use common::utils::id_generator::SeededRng;
use serde_json::{Value as Json, json};
use server::client::{LiveEvent, LiveReplica, LiveReplicaOptions, WebSocketTransport};
use syncdb::{Digest, SyncDb};

use crate::serving::Serving;
use crate::support::Place;

/// Rows that come and go, by their keys; beside them each replica has one of its own.
const ROWS: u64 = 1_000;
const POINTS: u64 = 500;
const RESIDENTS: i64 = 3;
const VISITORS: i64 = 8;
/// Rounds where nothing says how long, and how often so many if memory has grown: an allocator's memory comes and goes, and a leak
/// grows every time.
const ROUNDS: usize = 400;
const TIMES_MAX: usize = 3;
const CHECKPOINT_BYTES: u64 = 512 << 10;

/// Bytes that memory may grow by in ten minutes, and what it differs by from one moment to the next.
const GROWTH_MAX: f64 = 1_048_576.0;
const NOISE: f64 = 6.0 * 1_048_576.0;

/// Somebody who asks a server.
struct Asking<'s> {
    server: &'s Serving,
    agent: ureq::Agent,
    rng: SeededRng,
}

impl<'s> Asking<'s> {
    fn new(server: &'s Serving) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        Self {
            server,
            agent: config.build().into(),
            rng: SeededRng::new(22),
        }
    }

    fn below(&self, most: u64) -> u64 {
        self.rng.next_u64() % most
    }

    fn ask(&self, path: &str, body: &Json) -> Json {
        self.ask_with(path, None, body)
    }

    /// With a key by which it is done once.
    fn ask_with(&self, path: &str, key: Option<&str>, body: &Json) -> Json {
        let request = self.agent.post(format!("{}{path}", self.server.url));
        let mut request = request.header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let mut answer = request.send(body.to_string()).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        assert!(answer.status().is_success(), "{path}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn delete(&self, path: &str) {
        let answer = self.agent.delete(format!("{}{path}", self.server.url));
        let status = answer.call().unwrap().status();
        assert!(status.is_success() || status == 404, "{path}: {status}");
    }

    fn tables(&self) {
        let fields = json!([{ "name": "id", "type": "int" }, { "name": "text", "type": "text" }]);
        self.ask("/v1/tables", &json!({ "name": "notes", "fields": fields }));
        let vectors =
            json!([{ "dimension": 16, "metric": "euclidean", "index": { "kind": "graph" } }]);
        let metadata = json!([{ "name": "kind", "type": "int" }]);
        let places = json!({ "name": "places", "vectors": vectors, "metadata": metadata });
        self.ask("/v1/vectors", &places);
    }

    fn write(&self, rows: impl Iterator<Item = (u64, String)>) {
        let upsert = |(id, text)| json!({ "upsert": { "table": "notes", "row": { "id": id, "text": text } } });
        let operations: Vec<Json> = rows.map(upsert).collect();
        self.ask("/v1/transaction", &json!({ "operations": operations }));
    }

    fn vector(&self) -> Vec<u64> {
        (0..16).map(|_| self.below(100)).collect()
    }

    fn put_points(&self, ids: impl Iterator<Item = u64>) {
        let point = |id| json!({ "id": id, "vector": self.vector(), "kind": id % 7 });
        let points: Vec<Json> = ids.map(point).collect();
        self.ask("/v1/vectors/places/points", &json!({ "points": points }));
    }

    fn read(&self) {
        let query = json!({ "where": "id > 100", "order": ["-text"], "limit": 50 });
        self.ask("/v1/tables/notes/query", &query);
        let search = json!({ "vector": self.vector(), "k": 10, "filter": "kind > 2" });
        self.ask("/v1/vectors/places/search", &search);
    }

    /// Rows, points and files come and go; questions in between.
    fn round(&self, round: usize) {
        let text = || "x".repeat(usize::try_from(self.below(500)).unwrap());
        self.write((0..40).map(|_| (self.below(ROWS), text())));
        for _ in 0..10 {
            self.delete(&format!("/v1/tables/notes/rows/{}", self.below(ROWS)));
        }
        // Each id once: a request that names one twice is refused.
        let some = |count: u64| {
            let from = self.below(POINTS);
            (from..from + count).map(|id| id % POINTS)
        };
        self.put_points(some(30));
        let ids: Vec<u64> = some(10).collect();
        self.ask("/v1/vectors/places/points/delete", &json!({ "ids": ids }));
        for _ in 0..3 {
            self.read();
        }
        // What is answered to a key is kept for a day, so there are not too many.
        let row = json!({ "id": ROWS + 100 + self.below(20), "text": "once" });
        let key = format!("row {}", row["id"]);
        self.ask_with("/v1/tables/notes/rows", Some(&key), &row);
        if round.is_multiple_of(10) {
            self.ask("/v1/admin/backups", &json!({ "name": "now" }));
            self.delete("/v1/admin/backups/now");
            self.ask("/v1/admin/prune", &json!({}));
        }
        self.rude();
    }

    /// Those who leave in the middle of what they say.
    fn rude(&self) {
        let said: [&[u8]; 4] = [
            b"",
            b"POST /v1/tables/notes/rows HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{\"id\"",
            b"GET /v1/live HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
              sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            b"\xff\xff\xff\xff\r\n\r\n",
        ];
        for said in said {
            let mut stream = TcpStream::connect(self.server.address()).unwrap();
            stream.write_all(said).unwrap();
            if said.starts_with(b"GET") {
                // Until it is a live connection.
                stream.read_exact(&mut [0; 12]).unwrap();
            }
        }
    }

    fn transport(&self) -> WebSocketTransport {
        WebSocketTransport::new(&self.server.url).unwrap()
    }

    /// A replica that begins with nothing, writes its row and goes.
    fn visit(&self, number: i64) -> Digest {
        let db = SyncDb::client(format!("visitor {number}").as_str()).unwrap();
        db.sync(&mut self.transport()).unwrap();
        let row = row! { "id": -10 - number, "text": "visitor" };
        if db.collection("notes").unwrap().get(-10 - number).is_none() {
            db.insert("notes", row).unwrap();
        } else {
            db.delete("notes", -10 - number).unwrap();
        }
        db.sync(&mut self.transport()).unwrap();
        db.digest().unwrap()
    }

    /// The digest of all that is synced, as somebody finds it who begins with nothing.
    fn digest(&self) -> Digest {
        let db = SyncDb::client("visitor 0").unwrap();
        db.sync(&mut self.transport()).unwrap();
        db.digest().unwrap()
    }
}

/// A replica that stays, and what happens to it.
struct Resident {
    number: i64,
    db: Arc<SyncDb>,
    live: LiveReplica,
    happened: Receiver<LiveEvent>,
}

impl Resident {
    fn new(asking: &Asking<'_>, number: i64) -> Self {
        let db = Arc::new(SyncDb::client(format!("resident {number}").as_str()).unwrap());
        db.sync(&mut asking.transport()).unwrap();
        let (events, happened) = channel();
        let live = LiveReplica::start(
            Arc::clone(&db),
            asking.transport(),
            LiveReplicaOptions::default(),
            move |event| {
                let _ = events.send(event);
            },
        );
        Self {
            number,
            db,
            live: live.unwrap(),
            happened,
        }
    }

    fn write(&self, text: &str) {
        let id = -1 - self.number;
        if self.db.collection("notes").unwrap().get(id).is_none() {
            let row = row! { "id": id, "text": text };
            self.db.insert("notes", row).unwrap();
        } else {
            self.db.update("notes", id, row! { "text": text }).unwrap();
        }
        while self.db.pending() > 0 {
            self.happened.recv().unwrap();
        }
    }
}

/// A line of a file of `/proc` on a process.
fn of_process(server: &Serving, file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/{file}", server.id())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line
        .unwrap()
        .trim_start_matches(':')
        .split_whitespace()
        .next();
    number.unwrap().parse().unwrap()
}

fn resident_bytes(server: &Serving) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let kibibytes = of_process(server, "status", "VmRSS") as f64;
    kibibytes * 1_024.0
}

fn descriptors(server: &Serving) -> usize {
    let folder = std::fs::read_dir(format!("/proc/{}/fd", server.id()));
    folder.unwrap().count()
}

fn median(samples: &[(f64, f64)]) -> f64 {
    let mut bytes: Vec<f64> = samples.iter().map(|sample| sample.1).collect();
    bytes.sort_by(f64::total_cmp);
    bytes[bytes.len() / 2]
}

/// What a server takes to open a folder, until it has answered.
#[derive(Debug)]
struct Opening {
    seconds: f64,
    /// Bytes that it has read from files and sockets.
    read: u64,
    resident: f64,
    digest: Digest,
}

impl Opening {
    fn of(place: &Place) -> Self {
        let begun = Instant::now();
        let server = start(place);
        let asking = Asking::new(&server);
        asking.read();
        let seconds = begun.elapsed().as_secs_f64();
        let (read, resident) = (of_process(&server, "io", "rchar"), resident_bytes(&server));
        let digest = asking.digest();
        server.kill();
        Self {
            seconds,
            read,
            resident,
            digest,
        }
    }
}

fn start(place: &Place) -> Serving {
    let options = format!("[storage]\ncheckpoint_bytes = {CHECKPOINT_BYTES}\n");
    place.write("tandem.toml", options);
    // What the allocator keeps of what was freed, and for how long, has nothing to do with what is asked here; the soak runs without this.
    let keeps_nothing = ("MIMALLOC_PURGE_DELAY", "0");
    let environment = if long().is_none() {
        &[keeps_nothing][..]
    } else {
        &[]
    };
    Serving::start_with(place, &["--open", "--config", "tandem.toml"], environment)
}

/// How long the soak wants it.
fn long() -> Option<Duration> {
    let said = std::env::var("TANDEMDB_CHURN_SECONDS").ok()?;
    Some(Duration::from_secs(said.parse().unwrap()))
}

/// What memory did in the last of some rounds.
struct Growth {
    resident: f64,
    bytes: f64,
    minutes: f64,
}

impl Growth {
    /// Of rounds, of which the first half fills tables, buffers and threads.
    fn of(samples: &[(f64, f64)]) -> Self {
        let half = &samples[samples.len() / 2..];
        let (third, last) = half.split_at(half.len() / 2);
        Self {
            resident: median(last),
            bytes: median(last) - median(third),
            minutes: (last[last.len() / 2].0 - third[third.len() / 2].0) / 60.0,
        }
    }

    fn is_bounded(&self) -> bool {
        self.bytes <= NOISE + GROWTH_MAX * self.minutes / 10.0
    }
}

/// Seconds since the beginning and bytes of memory, after each of the rounds that count; and the digest in the end.
fn churn(server: &Serving) -> (Vec<(f64, f64)>, Digest) {
    let long = long();
    let asking = Asking::new(server);
    asking.tables();
    asking.write((0..ROWS).map(|id| (id, "first".to_owned())));
    asking.put_points(0..POINTS);
    let residents: Vec<Resident> = (0..RESIDENTS)
        .map(|number| Resident::new(&asking, number))
        .collect();
    let begun = Instant::now();
    let mut samples = Vec::new();
    for round in 0.. {
        asking.round(round);
        for resident in &residents {
            resident.write(&format!("round {round}"));
        }
        asking.visit(i64::try_from(round).unwrap() % VISITORS);
        samples.push((begun.elapsed().as_secs_f64(), resident_bytes(server)));
        let is_over = match long {
            Some(long) => begun.elapsed() >= long,
            None if samples.len() < ROUNDS => false,
            None => Growth::of(&samples).is_bounded() || round + 1 == TIMES_MAX * ROUNDS,
        };
        if is_over {
            break;
        }
        if long.is_none() && samples.len() == ROUNDS {
            samples.clear();
        }
    }
    for resident in residents {
        resident.live.stop().unwrap();
    }
    let digest = asking.digest();
    (samples, digest)
}

#[test]
fn r22_t42_a_server_under_churn_does_not_grow_and_opens_as_a_fresh_copy_does() {
    let place = Place::new();
    let server = start(&place);
    let before = descriptors(&server);
    let (samples, digest) = churn(&server);
    let growth = Growth::of(&samples);
    // Connections end when the server has seen their end, for which there is time.
    let mut looks = 0;
    while descriptors(&server) > before && looks < 1_500 {
        std::thread::sleep(Duration::from_millis(20));
        looks += 1;
    }
    assert!(
        descriptors(&server) <= before,
        "{} descriptors, and {before} before",
        descriptors(&server)
    );
    let rows = Asking::new(&server).ask("/v1/tables/notes/query", &json!({ "limit": 10_000 }));
    let rows = rows["rows"].as_array().unwrap().clone();
    server.kill();
    let churned = Opening::of(&place);
    assert_eq!(churned.digest, digest, "what is there after it was killed");

    let copy = Place::new();
    let server = start(&copy);
    let asking = Asking::new(&server);
    asking.tables();
    for some in rows.chunks(500) {
        let row = |row: &Json| {
            (
                row["id"].as_i64().unwrap().cast_unsigned(),
                row["text"].as_str().unwrap().to_owned(),
            )
        };
        let some = some
            .iter()
            .map(row)
            .filter(|(id, _)| i64::try_from(*id).is_ok());
        asking.write(some);
    }
    asking.put_points(0..POINTS);
    server.kill();
    let fresh = Opening::of(&copy);
    let summary = json!({
        "rounds": samples.len(),
        "resident_bytes": growth.resident,
        "grown_bytes": growth.bytes,
        "minutes": growth.minutes,
        "open_seconds": [churned.seconds, fresh.seconds],
        "open_read_bytes": [churned.read, fresh.read],
        "open_resident_bytes": [churned.resident, fresh.resident],
    });
    println!("SOAK {summary}");
    assert!(
        growth.is_bounded(),
        "grew by {} bytes in {} minutes: {samples:?}",
        growth.bytes,
        growth.minutes
    );
    // Bytes that are read do not depend on what else the machine does, as seconds would.
    assert!(
        churned.read <= 2 * fresh.read + 4 * CHECKPOINT_BYTES,
        "{churned:?}, and a fresh copy {fresh:?}"
    );
    assert!(
        churned.resident <= 1.5 * fresh.resident + 8.0 * GROWTH_MAX,
        "{churned:?}, and a fresh copy {fresh:?}"
    );
}
