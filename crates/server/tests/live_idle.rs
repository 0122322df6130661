//! What an idle live connection costs, in a process of its own so that nothing else is counted.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use common::schema::{Field, FieldType, Schema};
use common::{Database, row};
use server::ServeOptions;
use syncdb::{SyncDb, SyncServer};

use self::listening::Listening;

#[path = "shared/listening.rs"]
mod listening;

/// Most bytes of resident memory for one connection, with the buffers of a client that is a plain socket.
const BYTES_MAX: u64 = 64 << 10;

/// Bytes of memory that the process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
    kibibytes.parse::<u64>().unwrap() * 1_024
}

/// A client that has synced once and says nothing more. Its socket has no buffer here, so what is measured is the server.
fn idle(address: SocketAddr, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let handshake =
        b"GET /v1/live HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(handshake).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    // One frame with a mask of zeros.
    let length = u16::try_from(request.len()).unwrap();
    let mut frame = vec![0x82];
    match u8::try_from(length) {
        Ok(short @ ..=125) => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 0x7E);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(request);
    stream.write_all(&frame).unwrap();
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[0], 0x82, "an answer in one frame");
    let mut length = usize::from(head[1]);
    if length == 126 {
        stream.read_exact(&mut head).unwrap();
        length = usize::from(u16::from_be_bytes(head));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).unwrap();
    stream
}

/// Bytes that `count` idle connections take, each.
fn measure(count: usize) -> u64 {
    let db = Database::new();
    let notes = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .finish()
        .unwrap();
    let notes = db.create_collection(notes).unwrap();
    notes.insert(row! { "id": 1 }).unwrap();
    let server = Arc::new(SyncServer::new(db).unwrap());
    let listening = Listening::start(server, ServeOptions::default());
    let address = listening.address;
    let request = |name: &str| {
        let db = SyncDb::client(name).unwrap();
        db.session().unwrap().next_message().unwrap().unwrap()
    };
    // What the first ones take is of the server, not of them.
    let warm: Vec<TcpStream> = (0..50)
        .map(|number| idle(address, &request(&format!("warm {number}"))))
        .collect();
    let before = resident();
    let clients: Vec<TcpStream> = (0..count)
        .map(|number| idle(address, &request(&format!("client {number}"))))
        .collect();
    let each = resident().saturating_sub(before) / count as u64;
    drop((warm, clients));
    each
}

/// A thousand; for the figure in DESIGN.md `LIVE_IDLE=9900 cargo test -p tandemdb-server --test live_idle -- --nocapture`, which needs
/// 20,000 file descriptors.
#[test]
fn r15_a_thousand_idle_connections_take_little_memory() {
    let count = std::env::var("LIVE_IDLE").map_or(1_000, |count| count.parse().unwrap());
    let each = measure(count);
    eprintln!("{each} bytes each");
    assert!(each <= BYTES_MAX, "{each} bytes each");
}
