//! Slow and silent clients, too many of them, and the end of the server.

use std::sync::Arc;
use std::time::Duration;

use common::row;
use common::utils::id_generator::SeededRng;
use futures_util::{SinkExt as _, StreamExt as _};
use server::client::LiveEvent;
use server::{LiveOptions, ServeOptions};
use syncdb::SyncDb;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::support::{closing_code, connect, has_rows, keep, next, quick, run, sync, until};

/// The head of a handshake.
fn handshake() -> &'static [u8] {
    b"GET /v1/live HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
      sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
}

#[test]
fn r16_a_silent_client_is_let_go_and_one_that_answers_pings_is_not() {
    let running = run(quick());
    running.runtime.block_on(async {
        let mut answering = connect(running.address).await;
        let mut silent = TcpStream::connect(running.address).await.unwrap();
        silent.write_all(handshake()).await.unwrap();
        let mut heard = Vec::new();
        // Reads what comes, so that pings arrive, and says nothing, until the server has closed.
        let reading = silent.read_to_end(&mut heard);
        tokio::select! {
            read = reading => drop(read.unwrap()),
            message = async { loop { match answering.next().await { Some(Ok(Message::Ping(_))) => {}, other => break other } } } =>
                panic!("the client that answers was let go first: {message:?}"),
        }
        let text = String::from_utf8_lossy(&heard);
        assert!(text.starts_with("HTTP/1.1 101"), "{text}");
        assert!(heard.windows(2).any(|code| code == 4409_u16.to_be_bytes()), "{text}");
        let phone = SyncDb::client("phone").unwrap();
        sync(&mut answering, &phone).await;
    });
    running.end();
}

/// Clients that never read; the soak says more by `TANDEMDB_DEAF`.
fn deaf_clients() -> usize {
    let said = std::env::var("TANDEMDB_DEAF").ok();
    said.map_or(1_000, |clients| clients.parse().unwrap())
}

#[test]
fn r15_clients_that_never_read_are_let_go_and_the_others_go_on() {
    let mut options = quick();
    options.live.connections_max = 1 + deaf_clients();
    let running = run(options);
    // Nothing that packs well: an answer is more than the system's buffers take.
    let rng = SeededRng::new(15);
    for id in 0..2_000 {
        let words: Vec<String> = (0..64)
            .map(|_| format!("{:016x}", rng.next_u64()))
            .collect();
        let text = words.concat();
        running.write(id, &text);
    }
    let healthy = Arc::new(SyncDb::client("healthy").unwrap());
    let (live, happened) = keep(&healthy, &running.url());
    let writes = |text: &str| {
        until(&happened, || has_rows(&healthy));
        healthy.update("notes", 0, row! { "text": text }).unwrap();
        until(&happened, || healthy.pending() == 0);
    };
    writes("before");
    let deaf = running.runtime.block_on(async {
        let mut deaf = Vec::new();
        for number in 0..deaf_clients() {
            let tcp = TcpSocket::new_v4().unwrap();
            tcp.set_recv_buffer_size(4_096).unwrap();
            let stream = tcp.connect(running.address).await.unwrap();
            let url = format!("ws://{}/v1/live", running.address);
            let mut socket = client_async(url, stream).await.unwrap().0;
            // Everything anew, again and again, and nothing of it is read.
            let db = SyncDb::client(format!("deaf {number}").as_str()).unwrap();
            let request = db.session().unwrap().next_message().unwrap().unwrap();
            for _ in 0..3 {
                socket.send(Message::binary(request.clone())).await.unwrap();
            }
            deaf.push(socket);
        }
        deaf
    });
    for round in 0..20 {
        writes(&format!("round {round}"));
    }
    running.runtime.block_on(async {
        // All places were taken. Each of them has been freed when as many others have one at the same time.
        let url = format!("ws://{}/v1/live", running.address);
        let mut others = 0;
        while others < deaf.len() {
            let stream = TcpStream::connect(running.address).await.unwrap();
            match client_async(&url, stream).await {
                Ok((mut socket, _)) => {
                    others += 1;
                    // Answers pings.
                    tokio::spawn(async move { while let Some(Ok(_)) = socket.next().await {} });
                }
                Err(Error::Http(response)) => assert_eq!(response.status(), 503),
                Err(error) => panic!("{error}"),
            }
        }
    });
    writes("after");
    live.stop().unwrap();
    assert_eq!(running.server.status().clients, 1);
    running.end();
}

#[test]
fn one_connection_too_many_is_told_to_come_later() {
    let running = run(ServeOptions {
        live: LiveOptions {
            connections_max: 2,
            ..LiveOptions::default()
        },
        ..ServeOptions::default()
    });
    running.runtime.block_on(async {
        let (_first, second) = (
            connect(running.address).await,
            connect(running.address).await,
        );
        let url = format!("ws://{}/v1/live", running.address);
        let stream = TcpStream::connect(running.address).await.unwrap();
        match client_async(&url, stream).await {
            Err(Error::Http(response)) => {
                assert_eq!(response.status(), 503);
                assert_eq!(response.headers()["retry-after"], "5");
            }
            other => panic!("{other:?}"),
        }
        drop(second);
        // The place is free as soon as the server has seen the end.
        loop {
            let stream = TcpStream::connect(running.address).await.unwrap();
            if client_async(&url, stream).await.is_ok() {
                break;
            }
        }
    });
    running.end();
}

#[test]
fn a_replica_that_is_told_to_come_later_does() {
    let running = run(ServeOptions {
        live: LiveOptions {
            connections_max: 1,
            ..LiveOptions::default()
        },
        ..ServeOptions::default()
    });
    let other = running.runtime.block_on(connect(running.address));
    let db = Arc::new(SyncDb::client("a").unwrap());
    let (live, happened) = keep(&db, &running.url());
    match happened.recv() {
        Ok(LiveEvent::Offline { error, .. }) => assert!(error.message().contains("503"), "{error}"),
        event => panic!("{event:?}"),
    }
    drop(other);
    until(&happened, || has_rows(&db));
    live.stop().unwrap();
    running.end();
}

#[test]
fn the_end_of_the_server_is_told_with_a_code() {
    let running = run(ServeOptions {
        drain_timeout: Duration::from_mins(5),
        ..ServeOptions::default()
    });
    let phone = SyncDb::client("phone").unwrap();
    running.runtime.block_on(async {
        let mut idle = connect(running.address).await;
        let mut asking = connect(running.address).await;
        sync(&mut asking, &phone).await;
        phone.update("notes", 0, row! { "text": "last" }).unwrap();
        let mut session = phone.session().unwrap();
        let request = session.next_message().unwrap().unwrap();
        asking.send(Message::binary(request)).await.unwrap();
        let Message::Binary(answer) = next(&mut asking).await else {
            panic!("no answer")
        };
        running.stop();
        session.receive(&answer).unwrap();
        let (idle, asking) = tokio::join!(closing_code(&mut idle), closing_code(&mut asking));
        assert_eq!((idle, asking), (Some(1001), Some(1001)));
    });
    // Long before the time to drain is over: nobody is there any more.
    running.end();
    assert_eq!(phone.pending(), 0);
}

#[test]
fn a_thousand_clients_come_back_at_once() {
    let running = run(ServeOptions::default());
    let requests: Vec<Vec<u8>> = (0..1_000)
        .map(|number| {
            let db = SyncDb::client(format!("client {number}").as_str()).unwrap();
            db.session().unwrap().next_message().unwrap().unwrap()
        })
        .collect();
    running.runtime.block_on(async {
        let address = running.address;
        let clients = requests.into_iter().map(|request| {
            tokio::spawn(async move {
                let mut socket = connect(address).await;
                socket.send(Message::binary(request)).await.unwrap();
                assert!(matches!(next(&mut socket).await, Message::Binary(_)));
                socket
            })
        });
        let clients: Vec<_> = clients.collect();
        let mut sockets = Vec::new();
        for client in clients {
            sockets.push(client.await.unwrap());
        }
        // All are there at the same time, and one commit is told to each of them.
        running.write(0, "for all");
        let seq = running.server.database().seq().0;
        for mut socket in sockets {
            let told = next(&mut socket).await;
            assert!(
                told.to_text().unwrap().contains(&format!("{seq}")),
                "{told}"
            );
        }
    });
    running.end();
}
