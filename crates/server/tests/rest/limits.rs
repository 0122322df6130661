//! Too many requests, what monitors are told, and the way out.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::json;
use server::ServeOptions;
use syncdb::SyncServerOptions;

use crate::support::{notes, run, run_with};

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
        drain_delay: Duration::from_millis(1_500),
        ..ServeOptions::default()
    };
    let mut running = run_with(notes(), SyncServerOptions::default(), options);
    assert_eq!(running.get("/readyz").text(), "ready");
    // A request whose body comes while the server is told to stop.
    let body = br#"{"id":9,"text":"in time"}"#;
    let mut stream = std::net::TcpStream::connect(running.address).unwrap();
    let head = format!(
        "POST /v1/tables/notes/rows HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
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
    while std::net::TcpStream::connect(running.address).is_ok() {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::io::Write::write_all(&mut stream, body).unwrap();
    let answer = crate::support::read_to_end(&mut stream);
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
