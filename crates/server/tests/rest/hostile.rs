//! What somebody sends who means harm: each is refused with a problem, in bounded memory, and the server goes on.

use std::io::Write as _;

use serde_json::{Value as Json, json};
use server::ServeOptions;
use server::http::HttpTransport;
use syncdb::sync::protocol::{Scope, frame_limits};
use syncdb::sync::wire::{self, Frame};
use syncdb::{SyncDb, SyncServerOptions};

use crate::support::{Running, notes, run, run_with};

/// Bytes of memory that this process has.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap_or_default();
    let kib = line
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<usize>().ok());
    kib.unwrap_or_default() << 10
}

fn post(running: &Running, path: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    let answer = running.send("POST", path, &all, body);
    assert!(answer.status >= 400, "{path}");
    answer.problem(answer.status);
    answer.status
}

/// Sync counts the levels and says that there are too many; others take it for no JSON.
fn too_deep(status: u16, path: &str) {
    assert!(matches!(status, 400 | 413), "{path}: {status}");
}

const PATHS: [&str; 5] = [
    "/v1/sync",
    "/v1/tables",
    "/v1/tables/notes/rows",
    "/v1/tables/notes/query",
    "/v1/transaction",
];

/// How often each payload is sent; the soak says more by `TANDEMDB_HOSTILE_ROUNDS`.
fn rounds() -> usize {
    let said = std::env::var("TANDEMDB_HOSTILE_ROUNDS").ok();
    said.map_or(100, |rounds| rounds.parse().unwrap())
}

/// R14: bombs, announced lengths, nesting, batches.
#[test]
fn t48_hostile_payloads_cost_bounded_memory() {
    let running = run();
    let digest = running.server.digest().unwrap();
    let zeros = vec![b' '; 256 << 20];
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&zeros).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = zstd::bulk::compress(&zeros, 3).unwrap();
    drop(zeros);
    let deep = [b"[".repeat(10_000), b"]".repeat(10_000)].concat();
    let deep_object = [
        br#"{"a":"#.repeat(10_000),
        b"1".to_vec(),
        b"}".repeat(10_000),
    ]
    .concat();
    let deep_filter = [
        br#"{"filter":"#.to_vec(),
        br#"{"not":"#.repeat(10_000),
        b"\"true\"".to_vec(),
        b"}".repeat(10_001),
    ]
    .concat();
    let deep_row = [br#"{"id":9,"text":"#.to_vec(), deep.clone(), b"}".to_vec()].concat();
    let many = json!({ "operations": vec![json!({ "delete": { "table": "notes", "key": { "id": 1 } } }); 1_001] }).to_string();
    let wide = json!({ "filter": { "and": vec!["true"; 5_000] } }).to_string();
    let long = vec![b'x'; (8 << 20) + 1];
    let before = resident();
    for _ in 0..rounds() {
        for path in PATHS {
            assert_eq!(
                post(&running, path, &[("content-encoding", "gzip")], &gzip),
                413,
                "{path}"
            );
            assert_eq!(
                post(&running, path, &[("content-encoding", "zstd")], &zstd),
                413,
                "{path}"
            );
            assert_eq!(
                post(&running, path, &[("content-encoding", "br")], b"x"),
                415,
                "{path}"
            );
            assert_eq!(
                post(&running, path, &[("content-encoding", "gzip")], b"garbage"),
                400,
                "{path}"
            );
            too_deep(post(&running, path, &[], &deep), path);
            too_deep(post(&running, path, &[], &deep_object), path);
            too_deep(post(&running, path, &[], &deep_filter), path);
            assert_eq!(post(&running, path, &[], b"\xff\xfe"), 400, "{path}");
        }
        post(&running, "/v1/tables/notes/rows", &[], &deep_row);
        assert_eq!(post(&running, "/v1/transaction", &[], many.as_bytes()), 413);
        assert_eq!(
            post(&running, "/v1/tables/notes/query", &[], wide.as_bytes()),
            413
        );
    }
    // What is announced as 4 GiB is refused before it comes; what comes without a length, when it is too much.
    for path in PATHS {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4294967296\r\n\r\n"
        );
        assert!(
            running.raw(head.as_bytes()).starts_with("HTTP/1.1 413"),
            "{path}"
        );
    }
    let chunked = [
        b"POST /v1/tables/notes/rows HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".as_slice(),
        format!("{:x}\r\n", long.len()).as_bytes(),
        &long,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let answer = running.raw(&chunked);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 413"),
        "{answer}"
    );
    let grown = resident().saturating_sub(before);
    eprintln!("grew by {grown} bytes");
    assert!(grown <= 64 << 20, "grew by {grown} bytes");
    assert_eq!(running.server.digest().unwrap(), digest);
    assert_eq!(running.get("/healthz").text(), "ok");
    running.end();
}

/// A replica that asks for 100,000 parts of the rows, as bytes and as JSON.
#[test]
fn a_hundred_thousand_subscriptions_are_refused() {
    // So much that the body itself is none too large.
    let options = ServeOptions {
        body_bytes_max: 32 << 20,
        ..ServeOptions::default()
    };
    let running = run_with(notes(), SyncServerOptions::default(), options);
    let phone = SyncDb::client("phone").unwrap();
    phone
        .sync(&mut HttpTransport::new(&running.url()).unwrap())
        .unwrap();
    let before = running.server.digest().unwrap();
    let request = phone.session().unwrap().next_message().unwrap().unwrap();
    let limits = frame_limits();
    let json = wire::to_json(&request, &limits).unwrap();
    let mut json: Json = serde_json::from_slice(&json).unwrap();
    let scopes = json["request"]["scopes"].as_array_mut().unwrap();
    let scope = scopes[0].clone();
    *scopes = (0..100_000)
        .map(|slot| {
            let mut scope = scope.clone();
            scope["slot"] = json!(slot);
            scope
        })
        .collect();
    let json = json.to_string();
    let Frame::Request(mut read) = wire::decode(&request, &limits).unwrap() else {
        panic!("it is a request");
    };
    let scope = read.scopes[0].clone();
    let slots = (0..100_000).map(|slot| Scope {
        slot,
        ..scope.clone()
    });
    read.scopes = slots.collect();
    let bytes = wire::encode_request(&read).unwrap();
    let mut resident_before = 0;
    for round in 0..6 {
        let refused = post(&running, "/v1/sync", &[], json.as_bytes());
        assert!([400, 413].contains(&refused), "{refused}");
        let octets = [("content-type", "application/octet-stream")];
        let answer = running.send("POST", "/v1/sync", &octets, &bytes);
        assert!([400, 413].contains(&answer.status), "{}", answer.status);
        answer.problem(answer.status);
        if round == 0 {
            // What client and server need for one of them, they have now.
            resident_before = resident();
        }
    }
    let grown = resident().saturating_sub(resident_before);
    assert!(grown <= 64 << 20, "grew by {grown} bytes");
    assert_eq!(running.server.digest().unwrap(), before);
    phone
        .sync(&mut HttpTransport::new(&running.url()).unwrap())
        .unwrap();
    running.end();
}

/// T48: heads without end.
#[test]
fn t48_heads_are_bounded() {
    let running = run();
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(200_000));
    assert!(running.raw(long.as_bytes()).starts_with("HTTP/1.1 4"));
    let many: Vec<String> = (0..10_000).map(|n| format!("x-{n}: y\r\n")).collect();
    let many = many.concat();
    let many = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n");
    assert!(running.raw(many.as_bytes()).starts_with("HTTP/1.1 431"));
    for garbage in [
        "\r\n\r\n\r\n\r\nx\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage garbage garbage",
    ] {
        running.raw(garbage.as_bytes());
    }
    assert_eq!(running.get("/healthz").text(), "ok");
    running.end();
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// `GET / HTTP/2`, host x.
const HEAD: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'x'];

/// T48: floods of HTTP/2 that cost the peer nothing.
#[test]
fn t48_floods_of_http2_end_their_connection() {
    let running = run();
    let mut resets = PREFACE.to_vec();
    for stream in (1..20_001).step_by(2) {
        resets.extend(frame(1, 0x5, stream, HEAD));
        resets.extend(frame(3, 0, stream, &[0, 0, 0, 8]));
    }
    // A head that never ends, in frames that continue it.
    let mut endless = PREFACE.to_vec();
    endless.extend(frame(1, 0, 1, HEAD));
    let header = [&[0, 1, b'a', 127, 129, 62], [b'b'; 8_000].as_slice()].concat();
    for _ in 0..100 {
        endless.extend(frame(9, 0, 1, &header));
    }
    let mut garbage = PREFACE.to_vec();
    garbage.extend(frame(1, 0x5, 1, &[0xff; 200]));
    for flood in [resets, endless, garbage] {
        // Returns only when the server has closed the connection.
        running.raw(&flood);
        assert_eq!(running.get("/healthz").text(), "ok");
    }
    running.end();
}
