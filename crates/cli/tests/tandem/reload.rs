//! SIGHUP: a running server reads its certificate, its keys and the level of its log anew.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::serving::Serving;
use crate::support::Place;
use crate::tokens::{SECRET, token};

const OTHER_SECRET: &str = "the second secret, of more than 32 bytes";

/// Writes a certificate for this address and its key; what a client is to trust goes into a file by the same name.
fn certify(place: &Place, name: &str) {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    place.write("key.pem", certified.signing_key.serialize_pem());
    place.write("cert.pem", certified.cert.pem());
    place.write(name, certified.cert.pem());
}

fn configure(place: &Place, level: &str) {
    place.write(
        "tandem.toml",
        format!(
            "[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n\n[log]\nlevel = \"{level}\"\n\n[auth]\nissuer = \
             \"https://id.example\"\naudience = \"tandem\"\n\n[[auth.keys]]\nid = \"k1\"\nalgorithm = \"HS256\"\n\
             secret_file = \"secret\"\n"
        ),
    );
}

#[test]
fn sighup_has_certificate_keys_and_the_level_of_the_log_read_anew() {
    let place = Place::new();
    certify(&place, "first.pem");
    configure(&place, "info");
    place.write("secret", SECRET);
    let server = Serving::start(&place, &["--config", "tandem.toml"]);
    let ask = |secret: &str, trusted: &str| {
        let trusted = place.path(trusted).display().to_string();
        let answered = server.curl("/v1/status", &token(secret, None), &["--cacert", &trusted]);
        answered.0
    };
    assert_eq!(ask(SECRET, "first.pem"), 200);
    assert_eq!(ask(OTHER_SECRET, "first.pem"), 401);
    certify(&place, "second.pem");
    configure(&place, "debug");
    place.write("secret", OTHER_SECRET);
    // As long as nobody says so, the keys stay. The certificate may be the new one by now, or not yet.
    let both = [place.read("first.pem"), place.read("second.pem")].concat();
    place.write("both.pem", both);
    assert_eq!(ask(SECRET, "both.pem"), 200);
    server.signal("HUP");
    server.logged("the keys of tokens were read anew", 1);
    server.logged("the certificate was read anew", 1);
    assert_eq!(ask(OTHER_SECRET, "second.pem"), 200);
    assert_eq!(ask(SECRET, "second.pem"), 401);
    assert_eq!(
        ask(OTHER_SECRET, "first.pem"),
        0,
        "the certificate is another"
    );
    // Every request, at this level.
    while ask(OTHER_SECRET, "second.pem") == 200 && !server.has_logged("route=\"/v1/status\"") {}
    // What does not read leaves everything as it is.
    place.write("cert.pem", "no certificate");
    place.write("tandem.toml", "[log]\nlevel = \"loud\"\n");
    place.write("secret", "short");
    server.signal("HUP");
    server.logged("the certificate stays as it was", 1);
    server.logged("keys of tokens stay as they were", 1);
    server.logged("the level of the log stays as it was", 1);
    assert_eq!(ask(OTHER_SECRET, "second.pem"), 200);
    let (_, log) = server.end();
    for secret in [SECRET, OTHER_SECRET, "eyJ"] {
        assert!(!log.contains(secret), "{log}");
    }
}

/// Also without anything to read: the signal would end the process, and with it what it serves.
#[test]
fn sighup_ends_no_server() {
    let place = Place::new();
    let server = Serving::start(&place, &["--open"]);
    assert_eq!(server.curl("/v1/status", "", &[]).0, 200);
    server.signal("HUP");
    assert_eq!(server.curl("/v1/status", "", &[]).0, 200);
    server.end();
}
