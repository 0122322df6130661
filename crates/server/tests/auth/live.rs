//! R17 over `GET /v1/live`: credentials that are no good at the handshake, and credentials that go bad under an open connection, before
//! messages of every kind.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::utils::time::ManualClock;
use common::{Timestamp, row};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use server::Auth;
use server::auth::{Algorithm, ApiKeyOptions, Scope};
use syncdb::SyncDb;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::issuer::{Signer, now};
use crate::matrix::bad;
use crate::site::{CANARY, Site, fill, notes, options};

type Socket = WebSocketStream<TcpStream>;

/// A handshake with these credentials; the status and the body of the refusal.
async fn connect(site: &Site, token: Option<&str>) -> Result<Socket, (u16, String)> {
    let stream = TcpStream::connect(site.address).await.unwrap();
    let url = format!("ws://{}/v1/live", site.address);
    let mut request = url.into_client_request().unwrap();
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", value);
    }
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            let body = String::from_utf8(body).unwrap();
            Err((response.status().as_u16(), body))
        }
        Err(error) => panic!("{error}"),
    }
}

/// Sends a request of a session and takes in the answer; says whether there is more to ask.
async fn exchange(socket: &mut Socket, db: &SyncDb) {
    let mut session = db.session().unwrap();
    while let Some(request) = session.next_message().unwrap() {
        socket.send(Message::binary(request)).await.unwrap();
        let answer = loop {
            if let Message::Binary(answer) = socket.next().await.unwrap().unwrap() {
                break answer;
            }
        };
        session.receive(&answer).unwrap();
    }
}

/// Everything that comes until the end, and the code of the end.
async fn to_the_end(socket: &mut Socket) -> (Vec<Message>, Option<u16>) {
    let mut heard = Vec::new();
    // Six times what it may take.
    let patience = Duration::from_secs(30);
    while let Ok(Some(Ok(message))) = tokio::time::timeout(patience, socket.next()).await {
        match message {
            Message::Close(frame) => return (heard, frame.map(|frame| frame.code.into())),
            message => heard.push(message),
        }
    }
    (heard, None)
}

#[test]
fn r17_bad_credentials_get_no_live_connection() {
    let hs = Signer::new("k1", Algorithm::Hs256);
    let rsa = Signer::new("k2", Algorithm::Rs256);
    let options = options(vec![hs.options(), rsa.options()]);
    let site = Site::with(&options, hs, [notes(), notes()]);
    for server in &site.servers {
        fill(server.database(), CANARY);
    }
    let bad = bad(&site, &rsa);
    let before = site.seqs();
    let mut bodies = BTreeSet::new();
    site.runtime.block_on(async {
        // What a head cannot hold at all never gets so far.
        for (name, token) in bad
            .iter()
            .map(|(name, token)| (*name, Some(token.as_str())))
        {
            let (status, body) = connect(&site, token).await.expect_err(name);
            assert_eq!(status, 401, "{name}: {body}");
            bodies.insert(body);
        }
        let (status, body) = connect(&site, None).await.expect_err("none");
        assert_eq!(status, 401, "{body}");
        bodies.insert(body);
        // Good ones that are not for this.
        for scope in ["", "write", "admin", "something"] {
            let token = site.signer.token("alice", json!({ "scope": scope }));
            let (status, body) = connect(&site, Some(&token)).await.expect_err(scope);
            assert_eq!(status, 403, "{scope}: {body}");
            assert!(!body.contains(CANARY), "{body}");
        }
    });
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(site.seqs(), before, "something was written");
}

/// What a client may send whose credentials have gone bad meanwhile.
const MESSAGES: [&str; 6] = ["nothing", "pull", "push", "garbage", "text", "ping"];

fn message_of(kind: &str, db: &SyncDb) -> Option<Message> {
    Some(match kind {
        "nothing" => return None,
        "garbage" => Message::binary(vec![7; 100]),
        "text" => Message::text("hello"),
        "ping" => Message::Ping(Bytes::from_static(b"x")),
        exchange => {
            if exchange == "push" {
                db.update("notes", 1, row! { "text": "by nobody" }).unwrap();
            }
            let mut session = db.session().unwrap();
            Message::binary(session.next_message().unwrap().unwrap())
        }
    })
}

#[test]
fn r17_a_live_connection_ends_with_its_credentials_whatever_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let key_set = folder.path().join("keys.json");
    let publish = |signer: &Signer| {
        let keys = json!({ "keys": [signer.jwk()] }).to_string();
        std::fs::write(&key_set, keys).unwrap();
    };
    let hs = Signer::new("k1", Algorithm::Hs256);
    let (old, new) = (
        Signer::new("old", Algorithm::EdDsa),
        Signer::new("new", Algorithm::EdDsa),
    );
    // The same id, and another key behind it.
    let stolen = Signer::new("new", Algorithm::Es256);
    publish(&old);
    let mut options = options(vec![hs.options()]);
    options.jwks = Some(key_set.to_str().unwrap().to_owned());
    let clock = Arc::new(ManualClock::new(now() * 1_000_000));
    let auth = Auth::with_clock(&options, Arc::clone(&clock) as Arc<_>).unwrap();
    let site = Site::with_auth(&options, auth, hs, [notes(), notes()]);
    for server in &site.servers {
        fill(server.database(), "text");
    }
    let soon = now() + 20;
    let key = |name: &str, expires: Option<i64>| {
        let mut wanted = ApiKeyOptions::new(name, [Scope::Read, Scope::Write]);
        wanted.expires = expires.map(|seconds| Timestamp(seconds * 1_000_000));
        let created = site.tenants[0].create(&wanted, None, Timestamp(now() * 1_000_000));
        created.unwrap()
    };
    let revoked = key("revoked", None);
    let credentials = [
        (
            "a token that expires",
            site.signer.token("alice", json!({ "exp": soon })),
        ),
        (
            "a token whose key is taken out",
            old.token("alice", json!({})),
        ),
        ("a key that expires", key("short", Some(soon)).secret),
        ("a key that is revoked", revoked.secret.clone()),
    ];
    let healthy = site.signer.token("healthy", json!({}));
    let again = new.token("alice", json!({}));
    let (before, heard) = site.runtime.block_on(async {
        let mut cells = Vec::new();
        for (name, token) in &credentials {
            for message in MESSAGES {
                let db = SyncDb::client(format!("{name}, {message}").as_str()).unwrap();
                let mut socket = connect(&site, Some(token)).await.unwrap();
                exchange(&mut socket, &db).await;
                cells.push((*name, message, db, socket));
            }
        }
        let mut good = connect(&site, Some(&healthy)).await.unwrap();
        let phone = SyncDb::client("healthy").unwrap();
        exchange(&mut good, &phone).await;
        // All of them go bad now. The key set is read again as somebody comes with a key that is not in it.
        let revoked = site.tenants[0].revoke(&revoked.key.id, Timestamp(now() * 1_000_000));
        revoked.unwrap();
        publish(&new);
        clock.advance(Duration::from_secs(40));
        connect(&site, Some(&again)).await.unwrap();
        let forged = connect(&site, Some(&stolen.token("alice", json!({})))).await;
        assert_eq!(forged.expect_err("another key of that id").0, 401);
        let before = site.servers[0].digest().unwrap();
        for (_, message, db, socket) in &mut cells {
            if let Some(sent) = message_of(message, db) {
                // It may have ended before that.
                let _ = socket.send(sent).await;
            }
        }
        // News, of which none of them hears.
        let notes = site.servers[0].database().collection("notes").unwrap();
        let mut heard = Vec::new();
        for (name, message, _, mut socket) in cells {
            heard.push((name, message, to_the_end(&mut socket).await));
        }
        let word = row! { "id": 500, "owner": "x", "region": "x", "text": CANARY, "price": 0 };
        notes.insert(word).unwrap();
        // Whose credentials are good goes on.
        exchange(&mut good, &phone).await;
        assert_eq!(phone.digest().unwrap(), site.servers[0].digest().unwrap());
        notes.delete(500).unwrap();
        (before, heard)
    });
    assert_eq!(heard.len(), credentials.len() * MESSAGES.len());
    for (name, message, (heard, code)) in heard {
        assert_eq!(code, Some(4401), "{name}, {message}");
        // Pongs are of the library's making, and say nothing.
        let said = heard.iter().filter(|heard| !heard.is_pong()).count();
        assert_eq!(said, 0, "{name}, {message}: {heard:?}");
    }
    assert_eq!(
        site.servers[0].digest().unwrap(),
        before,
        "something was written"
    );
}

#[test]
fn r17_who_may_only_read_pushes_nothing_over_a_live_connection() {
    let site = Site::new();
    for (server, word) in site.servers.iter().zip(["text", CANARY]) {
        fill(server.database(), word);
    }
    let before: Vec<_> = site
        .servers
        .iter()
        .map(|server| server.digest().unwrap())
        .collect();
    site.runtime.block_on(async {
        let token = site.signer.token("alice", json!({ "scope": "read" }));
        let mut socket = connect(&site, Some(&token)).await.unwrap();
        let db = SyncDb::client("phone").unwrap();
        exchange(&mut socket, &db).await;
        db.update("notes", 1, row! { "text": "by a reader" })
            .unwrap();
        db.delete("notes", 2).unwrap();
        exchange(&mut socket, &db).await;
        assert_eq!(db.rejected().unwrap().len(), 2);
        // Nothing of the other tenant came along.
        let rows = db.collection("notes").unwrap();
        let texts: BTreeSet<String> = (0..40)
            .filter_map(|id| Some(rows.get(id)?.get(3)?.as_text()?.to_owned()))
            .collect();
        assert_eq!(texts, BTreeSet::from(["text".to_owned()]));
    });
    let after: Vec<_> = site
        .servers
        .iter()
        .map(|server| server.digest().unwrap())
        .collect();
    assert_eq!(after, before);
}
