//! Peers that take their time: each is let go, and others are answered meanwhile.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use server::ServeOptions;
use syncdb::SyncServerOptions;

use crate::support::{notes, read_to_end, run_with};

/// R16 and T47: an idle connection, part of a line, a head and a body byte by byte, the beginning of HTTP/2 byte by byte, and
/// one that never sends the request it has settled for.
#[test]
fn t47_slow_peers_are_let_go_and_others_are_answered() {
    let short = Duration::from_millis(400);
    let options = ServeOptions {
        header_timeout: short,
        stall_timeout: short,
        request_timeout: short,
        ..ServeOptions::default()
    };
    let running = run_with(notes(), SyncServerOptions::default(), options);
    let address = running.address;
    let head = "POST /v1/sync HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n";
    // An empty frame of settings follows the preface of HTTP/2.
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let drips = [
        ("", ""),
        ("GET /hea", ""),
        (
            "",
            "GET /healthz HTTP/1.1\r\nhost: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ),
        (
            head,
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ),
        ("", preface),
        (preface, ""),
    ];
    let mut threads = Vec::new();
    for (at_once, dripped) in drips.into_iter().cycle().take(500) {
        threads.push(std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(at_once.as_bytes()).unwrap();
            for byte in dripped.bytes() {
                // Often enough that the connection never stands still.
                std::thread::sleep(Duration::from_millis(50));
                if stream.write_all(&[byte]).is_err() {
                    break;
                }
            }
            // Returns only when the server has closed the connection.
            read_to_end(&mut stream);
        }));
    }
    while threads.iter().any(|thread| !thread.is_finished()) {
        assert_eq!(running.get("/v1/tables/notes/rows/0").status, 200);
        std::thread::sleep(Duration::from_millis(20));
    }
    for thread in threads {
        thread.join().unwrap();
    }
    running.end();
}

/// A head that takes too long ends the connection; a body that does is answered, as there is somebody to answer.
#[test]
fn a_slow_head_is_cut_off_and_a_slow_body_is_answered_408() {
    let options = ServeOptions {
        header_timeout: Duration::from_millis(400),
        request_timeout: Duration::from_millis(600),
        ..ServeOptions::default()
    };
    let running = run_with(notes(), SyncServerOptions::default(), options);
    let dripped = |at_once: &str, dripped: &str| {
        let mut stream = TcpStream::connect(running.address).unwrap();
        stream.write_all(at_once.as_bytes()).unwrap();
        for byte in dripped.bytes() {
            std::thread::sleep(Duration::from_millis(50));
            if stream.write_all(&[byte]).is_err() {
                break;
            }
        }
        read_to_end(&mut stream)
    };
    let head = dripped("GET /healthz HTTP/1.1\r\nx: ", &"a".repeat(100));
    assert!(
        head.is_empty() || head.starts_with("HTTP/1.1 408"),
        "{head}"
    );
    let body = dripped(
        "POST /v1/tables/notes/rows HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n",
        &" ".repeat(20),
    );
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    assert!(
        body.contains("content-type: application/problem+json"),
        "{body}"
    );
    assert!(body.contains(r#""status":408"#), "{body}");
    assert_eq!(running.get("/healthz").text(), "ok");
    running.end();
}

/// R16: a peer of HTTP/2 that asks for nothing, and pings and answers pings all the time.
#[test]
fn t47_a_peer_that_only_pings_is_let_go() {
    let short = Duration::from_millis(400);
    let options = ServeOptions {
        header_timeout: short,
        stall_timeout: short,
        ..ServeOptions::default()
    };
    let running = run_with(notes(), SyncServerOptions::default(), options);
    let mut stream = TcpStream::connect(running.address).unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .unwrap();
    let mut reading = stream.try_clone().unwrap();
    let pings = std::thread::spawn(move || {
        let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0], b"12345678".as_slice()].concat();
        let mut sent = 0;
        while stream.write_all(&ping).is_ok() {
            sent += 1;
            std::thread::sleep(Duration::from_millis(50));
        }
        sent
    });
    // Reads all that comes until the server closes the connection.
    reading
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut answers = Vec::new();
    match reading.read_to_end(&mut answers) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    assert!(pings.join().unwrap() > 1);
    // It was HTTP/2, and pings were answered.
    assert!(answers.windows(8).any(|bytes| bytes == b"12345678"));
    running.end();
}
