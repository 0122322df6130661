//! Word of changes, and replicas that are kept in sync by it.

use std::sync::Arc;

use common::query::Filter;
use common::row;
use futures_util::SinkExt as _;
use server::ServeOptions;
use server::client::LiveEvent;
use syncdb::{Subscription, SyncDb};
use tokio_tungstenite::tungstenite::Message;

use super::support::{connect, has_rows, keep, next, run, sync, until};

fn changed(message: &Message) -> u64 {
    let json: serde_json::Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
    json["changed"]["seq"].as_u64().unwrap()
}

#[test]
fn a_client_hears_once_of_many_commits_and_again_when_it_has_asked() {
    let running = run(ServeOptions::default());
    running.runtime.block_on(async {
        let phone = SyncDb::client("phone").unwrap();
        let mut socket = connect(running.address).await;
        assert_eq!(sync(&mut socket, &phone).await, []);
        for round in 0..3 {
            for id in 0..50 {
                running.write(id, &format!("round {round}"));
            }
            let last = running.server.database().seq().0;
            // The first of them was told of; the next word but answers follows only after a request.
            assert!(changed(&next(&mut socket).await) <= last);
            assert_eq!(sync(&mut socket, &phone).await, []);
            assert_eq!(phone.digest().unwrap(), running.server.digest().unwrap());
        }
    });
    running.end();
}

#[test]
fn a_client_hears_of_nothing_but_what_it_subscribes() {
    let running = run(ServeOptions::default());
    running.runtime.block_on(async {
        let phone = SyncDb::client("phone").unwrap();
        let mine = Subscription::new("mine", "notes").filter(Filter::eq("text", "mine"));
        phone.subscribe(&mine).unwrap();
        let mut socket = connect(running.address).await;
        assert_eq!(sync(&mut socket, &phone).await, []);
        for id in 1..100 {
            running.write(id, "of somebody else");
        }
        running.write(7, "mine");
        let seq = running.server.database().seq().0;
        // Had the others been told of, the first word would come before this commit.
        assert_eq!(changed(&next(&mut socket).await), seq);
        sync(&mut socket, &phone).await;
        // A row that leaves the subscription is news too.
        running.write(7, "of somebody else");
        let seq = running.server.database().seq().0;
        assert_eq!(changed(&next(&mut socket).await), seq);
    });
    running.end();
}

#[test]
fn own_commits_are_no_news() {
    let running = run(ServeOptions::default());
    running.runtime.block_on(async {
        let phone = SyncDb::client("phone").unwrap();
        let mut socket = connect(running.address).await;
        sync(&mut socket, &phone).await;
        for round in 0..50 {
            let text = format!("round {round}");
            phone.update("notes", 0, row! { "text": text }).unwrap();
            assert_eq!(sync(&mut socket, &phone).await, []);
        }
        socket.send(Message::Ping("x".into())).await.unwrap();
        running.write(1, "by another");
        let seq = running.server.database().seq().0;
        assert_eq!(changed(&next(&mut socket).await), seq);
    });
    running.end();
}

#[test]
fn what_one_replica_writes_reaches_another_without_being_asked_for() {
    let running = run(ServeOptions::default());
    let (a, b) = (SyncDb::client("a").unwrap(), SyncDb::client("b").unwrap());
    let (a, b) = (Arc::new(a), Arc::new(b));
    let (live_a, happened_a) = keep(&a, &running.url());
    let (live_b, happened_b) = keep(&b, &running.url());
    until(&happened_a, || has_rows(&a));
    until(&happened_b, || has_rows(&b));
    let text_at = |db: &SyncDb| {
        let row = db.collection("notes").unwrap().get(0).unwrap();
        row[1].as_text().unwrap().to_owned()
    };
    for round in 0..20 {
        let text = format!("round {round}");
        let (from, to, happened) = if round % 2 == 0 {
            (&a, &b, &happened_b)
        } else {
            (&b, &a, &happened_a)
        };
        from.update("notes", 0, row! { "text": text.as_str() })
            .unwrap();
        until(happened, || text_at(to) == text);
    }
    live_a.stop().unwrap();
    live_b.stop().unwrap();
    running.end();
}

#[test]
fn a_replica_goes_on_offline_and_sends_when_the_server_is_there() {
    let running = run(ServeOptions::default());
    let url = running.url();
    let address = running.address;
    let db = Arc::new(SyncDb::client("a").unwrap());
    let (live, happened) = keep(&db, &url);
    until(&happened, || has_rows(&db));
    let server = Arc::clone(&running.server);
    running.end();
    loop {
        if let LiveEvent::Offline { error, wait } = happened.recv().unwrap() {
            assert!(!wait.is_zero());
            assert!(error.message().contains("ws://127.0.0.1"), "{error}");
            break;
        }
    }
    db.update("notes", 0, row! { "text": "offline" }).unwrap();
    assert_eq!(db.pending(), 1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Somebody else's connection may have the port for a moment.
    let listener = loop {
        match runtime.block_on(tokio::net::TcpListener::bind(address)) {
            Ok(listener) => break listener,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{error}"),
        }
    };
    let options = ServeOptions::default();
    let never = std::future::pending();
    runtime.spawn(server::serve(listener, server.clone(), options, never));
    until(&happened, || db.pending() == 0);
    assert_eq!(db.digest().unwrap(), server.digest().unwrap());
    live.stop().unwrap();
    runtime.shutdown_background();
}

#[test]
fn a_live_replica_stops_while_it_waits_and_while_nobody_answers() {
    let running = run(ServeOptions::default());
    let db = Arc::new(SyncDb::client("a").unwrap());
    let (live, happened) = keep(&db, &running.url());
    until(&happened, || has_rows(&db));
    live.stop().unwrap();
    running.end();
    // Accepts, and says nothing for ever.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let (live, _) = keep(&db, &url);
    let _held = silent.accept().unwrap();
    live.stop().unwrap();
    // Where trying again does not help it ends by itself.
    let (live, _) = keep(&db, &refusing());
    assert_eq!(live.wait().unwrap_err().kind(), common::ErrorKind::Invalid);
}

/// The address of a server that takes nobody's credentials.
fn refusing() -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // All of the head: what is left unread at the end would take the answer with it.
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap() == 0 {
                    break;
                }
                head.extend(byte);
            }
            let body = r#"{"title":"unauthorized","status":401,"detail":"no valid credentials"}"#;
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 401 Unauthorized\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    url
}
