//! Too many requests, what monitors are told, and the way out.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::json;
use server::ServeOptions;
use syncdb::SyncServerOptions;

use crate::support::{Running, notes, read_to_end, run, run_with};

#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let options = ServeOptions {
        requests_per_second_max: NonZeroU32::new(1),
        requests_burst_max: NonZeroU32::new(3),
        ..ServeOptions::default()
    };
    let running = run_with(notes(), SyncServerOptions::default(), options);
    let answers: Vec<_> = (0..20).map(|_| running.get("/v1/status")).collect();
    assert!(answers.iter().take(3).all(|answer| answer.status == 200));
    let refused = answers.iter().find(|answer| answer.status == 429).unwrap();
    refused.problem(429);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    // Monitors are not counted.
    assert_eq!(running.get("/healthz").status, 200);
    running.end();
}

/// The value of a metric's line.
fn value(text: &str, begin: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(begin))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn metrics_say_what_was_done_and_name_no_path() {
    let running = run();
    for id in 0..30 {
        running.get(&format!("/v1/tables/notes/rows/{id}"));
        running.get(&format!("/made/up/{id}"));
        running.send(&format!("METHOD{id}"), "/v1/status", &[], b"x");
    }
    running
        .json(
            "POST",
            "/v1/tables/notes/rows",
            &json!({ "id": 9, "text": "a" }),
        )
        .ok(201);
    let answer = running.get("/metrics");
    assert!(
        answer
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    let text = answer.text();
    let row =
        r#"tandem_requests_total{route="/v1/tables/{table}/rows/{key}",method="GET",status="200"}"#;
    assert_eq!(value(&text, row), Some(5.0), "{text}");
    assert_eq!(value(&text, &row.replace("200", "404")), Some(25.0));
    assert_eq!(
        value(
            &text,
            r#"tandem_requests_total{route="none",method="GET",status="404"}"#
        ),
        Some(30.0)
    );
    assert_eq!(value(&text, "tandem_rows "), Some(6.0));
    assert_eq!(
        value(&text, "tandem_seq ").map(|seq| seq.to_string()),
        Some(running.server.status().seq.to_string())
    );
    assert!(value(&text, "tandem_connections ").unwrap() >= 1.0);
    let histogram =
        r#"tandem_request_seconds_count{route="/v1/tables/{table}/rows/{key}",method="GET"}"#;
    assert_eq!(value(&text, histogram), Some(30.0));
    assert!(!text.contains("made"), "{text}");
    assert!(!text.contains("METHOD"), "{text}");
    assert!(text.ends_with("# EOF\n"));
    running.end();
}

#[test]
fn a_server_that_drains_says_so_and_answers_what_has_begun() {
    let options = ServeOptions {
        // Time for what is asked meanwhile, also on a machine that has much else to do.
        drain_delay: Duration::from_secs(4),
        ..ServeOptions::default()
    };
    let running = run_with(notes(), SyncServerOptions::default(), options);
    assert_eq!(running.get("/readyz").text(), "ready");
    // A request whose body comes while the server is told to stop.
    let body = br#"{"id":9,"text":"in time"}"#;
    let mut stream = TcpStream::connect(running.address).unwrap();
    let head = format!(
        "POST /v1/tables/notes/rows HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    running.stop();
    loop {
        let ready = running.get("/readyz");
        if ready.status == 503 {
            break;
        }
        assert_eq!(ready.status, 200);
    }
    assert_eq!(running.get("/healthz").status, 200);
    running
        .json(
            "PATCH",
            "/v1/tables/notes/rows/0",
            &json!({ "text": "still" }),
        )
        .ok(200);
    // Past the delay no connection is taken any more.
    while TcpStream::connect(running.address).is_ok() {
        std::thread::sleep(Duration::from_millis(20));
    }
    stream.write_all(body).unwrap();
    let answer = read_to_end(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    running.end();
}

#[test]
fn who_finds_no_place_to_wait_is_sent_away() {
    let options = ServeOptions {
        running_max: 1,
        waiting_max: 1,
        ..ServeOptions::default()
    };
    let running = run_with(notes(), SyncServerOptions::default(), options);
    // As long as this transaction is open, no other one begins.
    let db = running.server.database().clone();
    let held = db.begin();
    let (done, answers) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for id in 0..3 {
            let (done, running) = (done.clone(), &running);
            scope.spawn(move || {
                let path = format!("/v1/tables/notes/rows/{id}");
                let answer = running.json("PATCH", &path, &json!({ "text": "waited" }));
                done.send(answer).unwrap();
            });
        }
        // One runs and one waits, so the first answer is that of the third.
        let refused = answers.recv().unwrap();
        refused.problem(503);
        assert_eq!(refused.header("retry-after"), "1");
        assert_eq!(running.get("/healthz").status, 200);
        drop(held);
        answers.recv().unwrap().ok(200);
        answers.recv().unwrap().ok(200);
    });
    running
        .json(
            "PATCH",
            "/v1/tables/notes/rows/0",
            &json!({ "text": "after" }),
        )
        .ok(200);
    running.end();
}

/// Sends a head, gives the server time to answer it, then the rest; all that comes until the end.
fn in_two_parts(running: &Running, head: &str, rest: &[u8]) -> String {
    let mut stream = TcpStream::connect(running.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let pause = Some(Duration::from_millis(100));
    stream.set_read_timeout(pause).unwrap();
    let mut early = vec![0; 4_096];
    let read = stream.read(&mut early).unwrap_or(0);
    early.truncate(read);
    let _ = stream.write_all(rest);
    String::from_utf8(early).unwrap() + &read_to_end(&mut stream)
}

/// A client that keeps its connection sends the next request into one that is closed, unless it is told.
#[test]
fn a_refusal_leaves_the_connection_to_the_next_request_or_says_that_it_ends() {
    let running = run_with(
        notes(),
        SyncServerOptions::default(),
        ServeOptions {
            body_bytes_max: 100_000,
            ..ServeOptions::default()
        },
    );
    let next = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let rows = "POST /v1/tables/notes/rows HTTP/1.1\r\nhost: x\r\n";
    for (head, status) in [
        (format!("{rows}content-encoding: br\r\n"), 415),
        (rows.replace("POST", "PATCH"), 405),
        (rows.replace("/v1/tables", "/v2/tables"), 404),
    ] {
        // A short body is read, when it comes.
        let short = format!("{head}content-length: 1\r\n\r\n");
        let said = in_two_parts(&running, &short, format!("x{next}").as_bytes());
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{said}");
        assert!(said.ends_with("\r\n\r\nok"), "{said}");
        // A long one is not.
        let said = in_two_parts(
            &running,
            &format!("{head}content-length: 90000\r\n\r\n"),
            &b"x".repeat(90_000),
        );
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{said}");
        assert!(said.contains("connection: close\r\n"), "{said}");
    }
    for more in [
        "content-length: 100001\r\n",
        "content-length: 1000001\r\ncontent-encoding: gzip\r\n",
    ] {
        let said = in_two_parts(&running, &format!("{rows}{more}\r\n"), b"");
        assert!(said.starts_with("HTTP/1.1 413"), "{said}");
        assert!(said.contains("connection: close\r\n"), "{said}");
    }
    // Of an unknown length, until it is too long.
    let chunked = format!("{rows}transfer-encoding: chunked\r\n\r\n");
    let long = [
        b"1adb0\r\n".as_slice(),
        &b" ".repeat(0x1_adb0),
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let said = in_two_parts(&running, &chunked, &long);
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");
    assert!(said.contains("connection: close\r\n"), "{said}");
    running.end();
}
