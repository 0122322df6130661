//! Replicas over HTTP, strangers at their path, slow peers, and the end.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::schema::{Field, FieldType, Schema};
use common::utils::id_generator::{Rng as _, SeededRng};
use common::{Database, ErrorKind, row};
use server::ServeOptions;
use server::http::HttpTransport;
use syncdb::sync::protocol::frame_limits;
use syncdb::sync::wire;
use syncdb::{SyncDb, SyncServerOptions, Transport as _};

use crate::support::{Running, run_with};

/// 500 notes, over HTTP.
fn run(options: ServeOptions) -> Running {
    let db = Database::new();
    let notes = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("text", FieldType::Text))
        .finish()
        .unwrap();
    let notes = db.create_collection(notes).unwrap();
    for id in 0..500 {
        notes
            .insert(row! { "id": id, "text": format!("note {id}") })
            .unwrap();
    }
    run_with(db, SyncServerOptions::default(), options)
}

fn over_http(running: &Running) -> HttpTransport {
    HttpTransport::new(&running.url()).unwrap()
}

/// The whole answer to a request without a body.
fn get(running: &Running, path: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    running.raw(head.as_bytes())
}

#[test]
fn replicas_meet_over_http() {
    let running = run(ServeOptions::default());
    let (a, b) = (SyncDb::client("a").unwrap(), SyncDb::client("b").unwrap());
    let mut transport = over_http(&running);
    assert!(a.sync(&mut transport).unwrap().converged);
    assert!(b.sync(&mut over_http(&running)).unwrap().converged);
    a.update("notes", 7, row! { "text": "by a" }).unwrap();
    let report = a.sync(&mut transport).unwrap();
    assert!(report.converged);
    assert_eq!(report.round_trips, 1);
    b.sync(&mut over_http(&running)).unwrap();
    assert_eq!(b.digest().unwrap(), running.server.digest().unwrap());
    let address = running.address;
    running.end();
    let nobody = TcpStream::connect(address).is_err();
    assert!(nobody, "nobody listens any more");
}

/// Passes one connection on to a server and counts the bytes both ways, heads and all.
fn counted(server: SocketAddr) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let bytes = Arc::new(AtomicU64::new(0));
    let total = Arc::clone(&bytes);
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect(server).unwrap();
        let pass = |mut from: TcpStream, mut to: TcpStream, total: Arc<AtomicU64>| {
            let mut chunk = [0; 4_096];
            while let Ok(read @ 1..) = from.read(&mut chunk) {
                total.fetch_add(read as u64, Ordering::Relaxed);
                to.write_all(chunk.get(..read).unwrap()).unwrap();
            }
        };
        let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let up = Arc::clone(&total);
        std::thread::spawn(move || pass(from, to, up));
        pass(server, client, total);
    });
    (format!("http://{address}"), bytes)
}

#[test]
fn nothing_new_is_one_round_trip_of_less_than_300_bytes_heads_included() {
    let running = run(ServeOptions::default());
    let phone = SyncDb::client("phone").unwrap();
    let (url, bytes) = counted(running.address);
    let mut transport = HttpTransport::new(&url).unwrap();
    phone.sync(&mut transport).unwrap();
    let before = bytes.load(Ordering::Relaxed);
    let report = phone.sync(&mut transport).unwrap();
    let took = bytes.load(Ordering::Relaxed) - before;
    assert!(report.converged);
    assert_eq!(report.round_trips, 1);
    assert!(took < 300, "{took} bytes, {report:?}");
    drop(transport);
    running.end();
}

#[test]
fn a_request_in_json_is_answered_in_json() {
    let running = run(ServeOptions::default());
    let phone = SyncDb::client("phone").unwrap();
    let frame = phone.session().unwrap().next_message().unwrap().unwrap();
    let json = wire::to_json(&frame, &frame_limits()).unwrap();
    let post = |headers: &str, body: &[u8]| {
        let head = format!(
            "POST /v1/sync HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        running.raw(&[head.as_bytes(), body].concat())
    };
    let answer = post("content-type: application/json; charset=utf-8\r\n", &json);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains("content-type: application/json\r\n"),
        "{answer}"
    );
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["answer"]["schemas"][0]["name"], "notes");
    // The form of the answer can be asked for, either way.
    let answer = post("accept: text/html, application/json;q=0.9\r\n", &frame);
    assert!(answer.contains("\"schemas\":"), "{answer}");
    let octets = "content-type: application/json\r\naccept: application/octet-stream\r\n";
    let answer = post(octets, &json);
    assert!(
        answer.contains("content-type: application/octet-stream\r\n"),
        "{answer}"
    );
    let answer = post("content-type: application/json\r\n", b"{\"version\":1}");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    running.end();
}

#[test]
fn health_and_status_are_there() {
    let running = run(ServeOptions::default());
    assert!(get(&running, "/healthz").ends_with("\r\n\r\nok"));
    let status = get(&running, "/v1/status");
    let body = status.split("\r\n\r\n").nth(1).unwrap();
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(json.get("rows").unwrap(), 500);
    assert_eq!(json.get("conflicts").unwrap(), 0);
    running.end();
}

#[test]
fn errors_are_problem_details() {
    let running = run(ServeOptions {
        body_bytes_max: 1_000,
        ..ServeOptions::default()
    });
    for (path, status) in [("/", "404"), ("/v1/sync", "405")] {
        let answer = get(&running, path);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    let mut transport = over_http(&running);
    let error = transport.exchange(b"not a frame").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let error = transport.exchange(&[0; 1_001]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.message().contains("413"), "{error}");
    // A body that is announced too long is refused before it is sent.
    let announced = b"POST /v1/sync HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4294967296\r\n\r\n";
    assert!(running.raw(announced).starts_with("HTTP/1.1 413"));
    assert_eq!(running.server.status().rows, 500);
    running.end();
}

#[test]
fn a_peer_that_stands_still_is_let_go() {
    let short = Duration::from_millis(200);
    let running = run(ServeOptions {
        header_timeout: short,
        stall_timeout: short,
        request_timeout: short,
        ..ServeOptions::default()
    });
    for begun in [
        "",
        "POST",
        "POST /v1/sync HTTP/1.1\r\nhost: x\r\n",
        "POST /v1/sync HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n",
        "POST /v1/sync HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc",
    ] {
        // Returns only when the server has closed the connection.
        running.raw(begun.as_bytes());
    }
    assert!(get(&running, "/healthz").ends_with("ok"));
    running.end();
}

#[test]
fn a_peer_that_sends_garbage_harms_nobody_else() {
    let running = run(ServeOptions {
        // Some of what is sent is the beginning of a head.
        header_timeout: Duration::from_millis(500),
        ..ServeOptions::default()
    });
    let phone = SyncDb::client("phone").unwrap();
    phone.sync(&mut over_http(&running)).unwrap();
    let session = SyncDb::client("other").unwrap();
    let right = session.session().unwrap().next_message().unwrap().unwrap();
    let rng = SeededRng::new(19);
    for round in 0..60_usize {
        let mut body = right.clone();
        match round % 3 {
            0 => {
                let at = usize::try_from(rng.next_u64()).unwrap() % body.len();
                *body.get_mut(at).unwrap() ^= 1 << (round % 8);
            }
            1 => body.truncate(round * body.len() / 60),
            _ => rng.fill(&mut body),
        }
        let head = format!(
            "POST /v1/sync HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let answer = running.raw(&[head.as_bytes(), &body].concat());
        assert!(!answer.starts_with("HTTP/1.1 5"), "{answer}");
        // No HTTP at all.
        let _ = running.raw(&[body.as_slice(), b"\r\n\r\n"].concat());
        let text = format!("round {round}");
        phone.update("notes", 1, row! { "text": text }).unwrap();
        assert!(phone.sync(&mut over_http(&running)).unwrap().converged);
    }
    assert_eq!(running.server.status().rows, 500);
    running.end();
}

#[test]
fn wrong_addresses_are_named() {
    assert_eq!(
        HttpTransport::new("ftp://x").unwrap_err().kind(),
        ErrorKind::Invalid
    );
    let nobody = TcpStream::connect("127.0.0.1:1").is_err();
    assert!(nobody);
    let error = HttpTransport::new("http://127.0.0.1:1")
        .unwrap()
        .exchange(b"x")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.message().contains("127.0.0.1:1"), "{error}");
}
