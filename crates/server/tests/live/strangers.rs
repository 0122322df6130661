//! What no client of ours would send.

use std::sync::Arc;

use common::row;
use common::utils::id_generator::{Rng as _, SeededRng};
use futures_util::SinkExt as _;
use server::ServeOptions;
use syncdb::SyncDb;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::support::{Running, closing_code, connect, next, run, sync};

/// Bytes after a handshake; returns the code of the end, where one was told.
async fn after_handshake(running: &Running, bytes: &[u8]) -> Option<u16> {
    let mut socket = connect(running.address).await;
    let stream = socket.get_mut();
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    closing_code(&mut socket).await
}

#[test]
fn t19_garbage_frames_end_their_own_connection_and_no_other() {
    let running = run(ServeOptions::default());
    running.runtime.block_on(async {
        let healthy = SyncDb::client("healthy").unwrap();
        let mut socket = connect(running.address).await;
        sync(&mut socket, &healthy).await;
        let masked = |first: u8, payload: &[u8]| {
            let length = u8::try_from(payload.len()).unwrap();
            [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
        };
        for (frame, code) in [
            // A reserved kind, a reserved bit, a piece of nothing, a ping in pieces, no mask.
            (masked(0x83, b""), 1002),
            (masked(0xC2, b""), 1002),
            (masked(0x80, b""), 1002),
            (masked(0x09, b""), 1002),
            (vec![0x82, 0], 1002),
            // A text, and one that is none.
            (masked(0x81, b"hello"), 1007),
            (masked(0x81, b"\xff\xfe"), 1007),
            // 4 GiB and 16 EiB are announced.
            (vec![0x82, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], 1009),
            (
                vec![
                    0x82, 0xFF, 0x7F, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0,
                ],
                1009,
            ),
        ] {
            assert_eq!(
                after_handshake(&running, &frame).await,
                Some(code),
                "{frame:?}"
            );
        }
        let rng = SeededRng::new(19);
        for round in 0..200 {
            let mut bytes = vec![0; 1 + usize::try_from(rng.next_u64() % 200).unwrap()];
            rng.fill(&mut bytes);
            after_handshake(&running, &bytes).await;
            if round % 20 == 0 {
                let text = format!("round {round}");
                healthy.update("notes", 0, row! { "text": text }).unwrap();
                sync(&mut socket, &healthy).await;
            }
        }
        running.write(1, "for the healthy one");
        assert!(next(&mut socket).await.is_text());
    });
    running.end();
}

#[test]
fn a_message_that_is_no_request_is_answered_with_a_problem_and_the_end() {
    let running = run(ServeOptions::default());
    running.runtime.block_on(async {
        let other = SyncDb::client("other").unwrap();
        let right = other.session().unwrap().next_message().unwrap().unwrap();
        let rng = SeededRng::new(7);
        for round in 0..100 {
            let mut request = right.clone();
            match round % 3 {
                0 => request.truncate(round * request.len() / 100),
                1 => request.clear(),
                _ => rng.fill(&mut request),
            }
            let mut socket = connect(running.address).await;
            socket.send(Message::binary(request)).await.unwrap();
            let message = next(&mut socket).await;
            let problem = message.to_text().unwrap();
            assert!(problem.starts_with(r#"{"problem":{"title":""#), "{problem}");
            assert_eq!(closing_code(&mut socket).await, Some(1007));
        }
    });
    running.end();
}

#[test]
fn a_message_beyond_the_limit_ends_the_connection_before_it_is_held() {
    let running = run(ServeOptions {
        body_bytes_max: 10_000,
        ..ServeOptions::default()
    });
    running.runtime.block_on(async {
        // One frame, and many.
        let mut frame = vec![0x82, 0xFE];
        frame.extend(10_001_u16.to_be_bytes());
        frame.extend([0; 4]);
        assert_eq!(after_handshake(&running, &frame).await, Some(1009));
        let mut pieces = vec![0x02, 0x80 | 0x64, 0, 0, 0, 0];
        pieces.extend([7; 100]);
        for _ in 0..100 {
            pieces.extend([0x00, 0x80 | 0x64, 0, 0, 0, 0]);
            pieces.extend([7; 100]);
        }
        assert_eq!(after_handshake(&running, &pieces).await, Some(1009));
    });
    running.end();
}

#[test]
fn a_request_that_is_no_handshake_is_told_what_is_missing() {
    let running = Arc::new(run(ServeOptions::default()));
    running.runtime.block_on(async {
        for (head, status) in [
            ("GET /v1/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "400"),
            ("POST /v1/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", "405"),
        ] {
            let mut stream = TcpStream::connect(running.address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            assert!(answer.contains("application/problem+json"), "{answer}");
        }
    });
    Arc::into_inner(running).unwrap().end();
}
