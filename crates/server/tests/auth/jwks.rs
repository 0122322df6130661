//! Key sets that lie elsewhere: keys that come and go, sources that fail.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::ErrorKind;
use common::utils::time::ManualClock;
use parking_lot::Mutex;
use serde_json::json;
use server::auth::{Algorithm, AuthOptions, KeySet};
use server::{App, Auth, ServeOptions, Tenant};
use syncdb::SyncServer;

use crate::issuer::{Signer, now};
use crate::listening::Listening;
use crate::site::{ask, notes, options};

/// What an address answers, and how often it was asked.
struct Published {
    url: String,
    answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicU64>,
}

fn publish(keys: &[&Signer]) -> Published {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let published = Published {
        url,
        answer: Arc::new(Mutex::new((200, set(keys)))),
        asked: Arc::default(),
    };
    let (answer, asked) = (Arc::clone(&published.answer), Arc::clone(&published.asked));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4_096];
            let _ = stream.read(&mut head);
            asked.fetch_add(1, Ordering::SeqCst);
            let (status, body) = answer.lock().clone();
            let head = format!(
                "HTTP/1.1 {status} x\r\nlocation: /other\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat());
        }
    });
    published
}

fn set(keys: &[&Signer]) -> String {
    let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// A server whose clock is moved by hand.
struct Site {
    listening: Listening,
    clock: Arc<ManualClock>,
}

fn site(options: &AuthOptions) -> Site {
    let clock = Arc::new(ManualClock::new(now() * 1_000_000));
    let auth = Auth::with_clock(options, Arc::clone(&clock) as Arc<_>).unwrap();
    let server = Arc::new(SyncServer::new(notes()).unwrap());
    let app = App::new([Tenant::new(Tenant::DEFAULT, server)], auth);
    Site {
        listening: Listening::start(app, ServeOptions::default()),
        clock,
    }
}

impl Site {
    fn status(&self, signer: &Signer) -> u16 {
        let token = signer.token("alice", json!({ "exp": now() + 1_000_000 }));
        ask(
            self.listening.address,
            "GET",
            "/v1/status",
            Some(&token),
            b"",
        )
        .status
    }

    fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Lets the server come to its end.
    fn end(self) {
        drop(self.listening);
    }
}

#[test]
fn keys_come_and_go_while_the_server_runs() {
    let old = Signer::new("old", Algorithm::Es256);
    let new = Signer::new("new", Algorithm::EdDsa);
    let published = publish(&[&old]);
    let site = site(&AuthOptions {
        jwks: Some(published.url.clone()),
        ..options(Vec::new())
    });
    let asked = || published.asked.load(Ordering::SeqCst);
    assert_eq!((site.status(&old), asked()), (200, 1));
    // A key that nobody knows: asked for at most every 30 s, however many tokens name it.
    for _ in 0..5 {
        assert_eq!(site.status(&new), 401);
    }
    assert_eq!(asked(), 1, "asked again before the time");
    site.wait(30);
    for _ in 0..5 {
        assert_eq!(site.status(&new), 401);
    }
    assert_eq!(asked(), 2, "asked once more");
    *published.answer.lock() = (200, set(&[&old, &new]));
    site.wait(30);
    assert_eq!((site.status(&new), asked()), (200, 3));
    assert_eq!(site.status(&old), 200);
    // A key that is taken out is believed no longer than the set may be old.
    *published.answer.lock() = (200, set(&[&new]));
    assert_eq!(site.status(&old), 200);
    site.wait(600);
    assert_eq!((site.status(&old), site.status(&new)), (401, 200));
    site.end();
}

#[test]
fn while_the_source_fails_the_keys_of_before_are_good() {
    let key = Signer::new("a", Algorithm::Es256);
    let published = publish(&[&key]);
    let site = site(&AuthOptions {
        jwks: Some(published.url.clone()),
        jwks_bytes_max: 2_000,
        ..options(Vec::new())
    });
    let other = Signer::new("b", Algorithm::Es256);
    let large = format!("{}{}", set(&[&other]), " ".repeat(2_000));
    for (status, body) in [
        (500, "no".to_owned()),
        (302, set(&[&other])),
        (200, "{".to_owned()),
        (200, r#"{"keys": []}"#.to_owned()),
        (200, large),
    ] {
        *published.answer.lock() = (status, body.clone());
        site.wait(600);
        assert_eq!(site.status(&key), 200, "{status} {body}");
        assert_eq!(site.status(&other), 401, "{status} {body}");
    }
    *published.answer.lock() = (200, set(&[&other]));
    site.wait(600);
    assert_eq!((site.status(&key), site.status(&other)), (401, 200));
    site.end();
}

#[test]
fn a_key_set_in_a_file_is_read_again_as_well() {
    let (one, two) = (
        Signer::new("one", Algorithm::Rs256),
        Signer::new("two", Algorithm::EdDsa),
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, set(&[&one])).unwrap();
    let site = site(&AuthOptions {
        jwks: Some(path.to_str().unwrap().to_owned()),
        ..options(Vec::new())
    });
    assert_eq!((site.status(&one), site.status(&two)), (200, 401));
    std::fs::write(&path, set(&[&two])).unwrap();
    site.wait(600);
    assert_eq!((site.status(&one), site.status(&two)), (401, 200));
    site.end();
}

/// Answers with a key set by TLS, under a certificate of its own for `localhost`, which is returned as PEM.
fn publish_by_tls(body: String) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            let mut head = [0; 4_096];
            if stream.read(&mut head).is_ok() {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes());
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    (format!("https://localhost:{port}/keys"), pem)
}

#[test]
fn a_key_set_comes_by_https_from_whom_the_authorities_vouch_for() {
    let key = Signer::new("a", Algorithm::Es256);
    let (url, pem) = publish_by_tls(set(&[&key]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authorities.pem");
    std::fs::write(&path, pem).unwrap();
    let by = |path: &std::path::Path| AuthOptions {
        jwks: Some(url.clone()),
        jwks_authorities_file: Some(path.to_str().unwrap().to_owned()),
        ..options(Vec::new())
    };
    let trusted = site(&by(&path));
    assert_eq!(trusted.status(&key), 200);
    trusted.end();
    // Another authority, and files that name none.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for pem in [other.cert.pem(), String::new(), "no certificate".to_owned()] {
        std::fs::write(&path, pem).unwrap();
        Auth::new(&by(&path)).unwrap_err();
    }
}

#[test]
fn a_server_does_not_begin_with_keys_that_it_cannot_read() {
    let at = |jwks: &str| AuthOptions {
        jwks: Some(jwks.to_owned()),
        ..options(Vec::new())
    };
    let missing = Auth::new(&at("/nowhere/keys.json")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Io, "{missing}");
    let plain = Auth::new(&at("http://id.example.org/keys")).unwrap_err();
    assert_eq!(plain.kind(), ErrorKind::Invalid, "{plain}");
    assert!(plain.to_string().contains("use https"), "{plain}");
    let published = publish(&[]);
    assert!(Auth::new(&at(&published.url)).is_err());
}

#[test]
fn of_a_key_set_what_no_token_can_be_signed_with_is_left_out() {
    let good = Signer::new("good", Algorithm::Es256).jwk();
    let keys = |list: serde_json::Value| {
        let json = json!({ "keys": list }).to_string();
        KeySet::from_jwks(json.as_bytes(), 100_000)
    };
    let mut encryption = good.clone();
    encryption["use"] = "enc".into();
    let mut other = good.clone();
    other["alg"] = "RS256".into();
    let mut small = Signer::new("small", Algorithm::Rs256).jwk();
    small["n"] = "AQAB".into();
    let secret = json!({ "kty": "oct", "kid": "s", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0" });
    let strange = json!({ "kty": "lattice", "kid": "l" });
    let left_out = [encryption, other, small, secret, strange, json!(7)];
    let mut all = left_out.to_vec();
    all.push(good.clone());
    assert_eq!(keys(json!(all)).unwrap().len(), 1);
    let twice = keys(json!([good, good])).unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Invalid);
    let many: Vec<_> = (0..257).map(|_| json!(7)).collect();
    assert_eq!(
        keys(json!(many)).unwrap_err().kind(),
        ErrorKind::LimitExceeded
    );
    let large = KeySet::from_jwks(&[b' '; 11], 10).unwrap_err();
    assert_eq!(large.kind(), ErrorKind::LimitExceeded);
    assert_eq!(
        KeySet::from_jwks(b"[]", 10).unwrap_err().kind(),
        ErrorKind::Invalid
    );
}
