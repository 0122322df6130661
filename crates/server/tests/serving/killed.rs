//! A server in a process of its own, over a store on the disk, that is killed or told to stop: nothing that was answered is
//! lost, and it answers as before.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use common::utils::id_generator::{Rng as _, SeededRng};
use durable::{DurableDatabase, DurableOptions};
use serde_json::{Value as Json, json};
use server::{App, Auth, ServeOptions, Tenant, serve, stop_signal};
use syncdb::SyncServerOptions;

use crate::running::Client;

const FOLDER: &str = "TANDEM_TEST_SERVE_FOLDER";

/// What the tests below run in a process of its own; by itself it does nothing.
#[test]
fn a_server_for_the_others() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let store =
        Arc::new(DurableDatabase::open(folder.join("store"), DurableOptions::default()).unwrap());
    let options = SyncServerOptions::default();
    let tenant = Tenant::durable(Tenant::DEFAULT, Arc::clone(&store), options).unwrap();
    let tenant = Arc::new(tenant);
    let app = App::new([Arc::clone(&tenant)], Auth::Open);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
    let listener = runtime.block_on(listener).unwrap();
    say(&format!("at {}", listener.local_addr().unwrap()));
    let commands = {
        let (store, tenant) = (Arc::clone(&store), Arc::clone(&tenant));
        move || {
            for line in std::io::stdin().lines() {
                match line.unwrap().as_str() {
                    "checkpoint" => {
                        store.checkpoint().unwrap();
                        tenant.save_indexes().unwrap();
                    }
                    other => panic!("{other}"),
                }
                say("done");
            }
        }
    };
    std::thread::spawn(commands);
    let stop = async {
        let _ = stop_signal().await;
    };
    runtime
        .block_on(serve(listener, app, ServeOptions::default(), stop))
        .unwrap();
    store.close().unwrap();
}

/// Past what captures the output of tests.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "serving: {line}").unwrap();
    out.flush().unwrap();
}

struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    client: Client,
}

impl Process {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::a_server_for_the_others", "--nocapture"])
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let address = heard(&mut output);
        let address = address.strip_prefix("at ").unwrap().parse().unwrap();
        Self {
            child,
            input,
            output,
            client: Client::new(address),
        }
    }

    fn command(&mut self, command: &str) {
        writeln!(self.input, "{command}").unwrap();
        assert_eq!(heard(&mut self.output), "done");
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        assert!(self.child.wait().unwrap().success());
    }
}

/// The next line that the server says.
fn heard(output: &mut BufReader<ChildStdout>) -> String {
    loop {
        let mut line = String::new();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the server ended");
        if let Some((_, said)) = line.trim_end().split_once("serving: ") {
            return said.to_owned();
        }
    }
}

fn vector(rng: &mut SeededRng) -> [f32; 8] {
    [(); 8].map(|()| {
        let mut bytes = [0; 2];
        rng.fill(&mut bytes);
        f32::from(i16::from_le_bytes(bytes)) / 512.0
    })
}

fn fill(client: &Client, rows: i64) {
    client.post(
        "/v1/vectors",
        &json!({ "name": "places", "metadata": [{ "name": "note", "type": "text" }],
                 "vectors": [{ "dimension": 8, "metric": "euclidean", "index": { "kind": "graph" } }] }),
    );
    let mut rng = SeededRng::new(1);
    let points: Vec<Json> = (0..rows)
        .map(|id| json!({ "id": id, "vector": vector(&mut rng), "note": format!("note {id}") }))
        .collect();
    for some in points.chunks(500) {
        client.post("/v1/vectors/places/points", &json!({ "points": some }));
    }
}

/// All rows with their vectors, and the answers to some searches.
fn seen(client: &Client) -> (Vec<Json>, Vec<String>) {
    let (mut rows, mut after) = (Vec::new(), Json::Null);
    loop {
        let mut asked = json!({ "limit": 1_000, "select": ["note", "vector"] });
        if !after.is_null() {
            asked["after"] = after;
        }
        let page = client.post("/v1/vectors/places/points/scroll", &asked);
        rows.extend(page["points"].as_array().unwrap().iter().cloned());
        after = page["next"].clone();
        if after.is_null() {
            break;
        }
    }
    let mut rng = SeededRng::new(2);
    let answers = (0..20).map(|_| {
        let asked = json!({ "vector": vector(&mut rng), "k": 10 });
        client.post("/v1/vectors/places/search", &asked)["hits"].to_string()
    });
    let answers = answers.collect();
    (rows, answers)
}

#[test]
fn t30_rows_and_answers_are_there_after_a_kill_and_after_a_stop() {
    for rows in [1, 999, 1_000, 1_001] {
        for is_killed in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let process = Process::start(folder.path());
            fill(&process.client, rows);
            let before = seen(&process.client);
            assert_eq!(before.0.len(), usize::try_from(rows).unwrap());
            if is_killed {
                process.kill();
            } else {
                process.stop();
            }
            let process = Process::start(folder.path());
            assert_eq!(
                seen(&process.client),
                before,
                "{rows} rows, killed: {is_killed}"
            );
            process.stop();
        }
    }
}

#[test]
fn t31_an_index_of_before_a_kill_answers_to_the_bit_without_a_build() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path());
    fill(&process.client, 3_000);
    process.command("checkpoint");
    assert_ne!(process.client.get("/v1/vectors/places")["builds"], 0);
    let before = seen(&process.client);
    process.kill();
    for _ in 0..2 {
        let process = Process::start(folder.path());
        assert_eq!(seen(&process.client), before);
        assert_eq!(process.client.get("/v1/vectors/places")["builds"], 0);
        process.kill();
    }
    // Rows that came after the index was saved come from the log.
    let process = Process::start(folder.path());
    let points = json!({ "points": [{ "id": 9_000, "vector": vec![0.5; 8], "note": "late" }] });
    process.client.post("/v1/vectors/places/points", &points);
    process.client.post(
        "/v1/vectors/places/points/delete",
        &json!({ "ids": [5, 6] }),
    );
    process.kill();
    let process = Process::start(folder.path());
    let asked = json!({ "vector": vec![0.5; 8], "k": 1 });
    let found = process.client.post("/v1/vectors/places/search", &asked);
    assert_eq!(
        (&found["hits"][0]["id"], &found["hits"][0]["distance"]),
        (&json!(9_000), &json!(0.0))
    );
    let described = process.client.get("/v1/vectors/places");
    assert_eq!(
        (&described["count"], &described["builds"]),
        (&json!(2_999), &json!(0))
    );
    process.stop();
}

#[test]
fn events_of_features_come_back_from_the_log_and_are_written_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let view = |features: &[&str]| {
        let features = features
            .iter()
            .map(|name| json!({ "name": name, "type": "float", "nullable": true }));
        json!({ "entities": [{ "name": "user", "keys": [{ "name": "user_id", "type": "int" }] }],
                "views": [{ "name": "rides", "entity": "user", "features": features.collect::<Vec<_>>() }] })
    };
    let read = json!({ "features": [{ "view": "rides", "features": ["fare"] }], "keys": [1, 2, 3],
                       "as_of": { "event": "2026-03-01T00:00:00Z" } });
    let process = Process::start(folder.path());
    process
        .client
        .put("/v1/features/definitions", &view(&["fare"]));
    let event = |user: i64, fare: f64| json!({ "events": [{ "user_id": user, "event_time": user, "fare": fare }] });
    process
        .client
        .post("/v1/features/views/rides/events", &event(1, 0.1));
    process.kill();
    let log = || {
        let files = std::fs::read_dir(folder.path().join("store")).unwrap();
        files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum::<u64>()
    };
    // Another definition: the events are made anew, and come back as well.
    let process = Process::start(folder.path());
    process
        .client
        .post("/v1/features/views/rides/events", &event(2, 0.2));
    let altered = process
        .client
        .put("/v1/features/definitions", &view(&["tip", "fare"]));
    assert_eq!(
        altered.json()["views"][0]["change"],
        "altered",
        "{}",
        altered.text()
    );
    process
        .client
        .post("/v1/features/views/rides/events", &event(3, 0.3));
    process.kill();
    let size = log();
    for _ in 0..3 {
        let process = Process::start(folder.path());
        let rows = process.client.post("/v1/features/retrieve", &read);
        assert_eq!(rows["rows"], json!([[0.1], [0.2], [0.3]]));
        process.kill();
    }
    assert_eq!(log(), size, "to open the store writes nothing");
}
