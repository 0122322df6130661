//! Peers that take their time: each is let go, and others are answered meanwhile.

use std::io::Write as _;
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
    for (at_once, dripped) in drips.into_iter().cycle().take(60) {
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
