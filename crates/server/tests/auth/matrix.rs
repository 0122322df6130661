//! R17: every credential that is no good, at every path that needs one.

use std::io::{Read as _, Write as _};

use serde_json::{Value as Json, json};
use server::auth::{Algorithm, Scope};
use server::routes::table;

use crate::issuer::{self, Signer, claims, forged, signed_with};
use crate::site::{CANARY, Site, fill, notes, options};

/// Paths with values for what varies: of things that are there, so that a right caller would change something.
fn path(route: &str) -> String {
    let route = route.replace("{id}", "0.0").replace("{table}", "notes");
    route.replace("{key}", "1")
}

/// Credentials that are no good, by what is wrong with them.
pub(crate) fn bad(site: &Site, rsa: &Signer) -> Vec<(&'static str, String)> {
    let hs = &site.signer;
    let now = issuer::now();
    let revoked = site.key(0, &[Scope::Read, Scope::Write, Scope::Admin]);
    let id = revoked.get(4..20).unwrap();
    site.tenants[0].revoke(id, common::Timestamp(1)).unwrap();
    let good_key = site.key(0, &[Scope::Admin]);
    let right = claims("alice", json!({}));
    let head = |algorithm: &str, id: &str| json!({ "alg": algorithm, "typ": "JWT", "kid": id });
    let good = hs.token("alice", json!({}));
    let (unsigned, signature) = good.rsplit_once('.').unwrap();
    let mut flipped = signature.as_bytes().to_vec();
    flipped[3] = if flipped[3] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let without = |claim: &str| hs.token("alice", json!({ claim: null }));
    let with = |more: Json| hs.token("alice", more);
    vec![
        ("empty", String::new()),
        ("garbage", "garbage".into()),
        ("dots", "..".into()),
        ("three parts", "a.b.c".into()),
        ("long", format!("{unsigned}.{}", "A".repeat(9_000))),
        ("expired", with(json!({ "exp": now - 60 }))),
        ("expired long ago", with(json!({ "exp": -1 }))),
        (
            "end in milliseconds of the past",
            with(json!({ "exp": "tomorrow" })),
        ),
        ("without end", without("exp")),
        ("not yet", with(json!({ "nbf": now + 60 }))),
        ("issued in the future", with(json!({ "iat": now + 60 }))),
        ("wrong audience", with(json!({ "aud": "somebody" }))),
        ("without audience", without("aud")),
        (
            "wrong issuer",
            with(json!({ "iss": "https://evil.example" })),
        ),
        ("without issuer", without("iss")),
        ("without a name", without("sub")),
        ("a name of nothing", with(json!({ "sub": "" }))),
        (
            "a key's name",
            with(json!({ "sub": "key:0011223344556677" })),
        ),
        ("alg none", forged(&head("none", "k1"), &right, b"")),
        ("alg None", forged(&head("None", "k1"), &right, b"")),
        ("alg none with a signature", {
            let token = forged(&head("none", "k1"), &right, b"x");
            format!("{}.{signature}", token.rsplit_once('.').unwrap().0)
        }),
        ("alg HS512", forged(&head("HS512", "k1"), &right, &[0; 64])),
        ("no signature", format!("{unsigned}.")),
        ("wrong signature", format!("{unsigned}.{flipped}")),
        (
            "HS with the RSA key",
            signed_with(rsa.public.as_bytes(), &rsa.id, &right),
        ),
        (
            "HS with the RSA key, without its end of line",
            signed_with(rsa.public.trim_end().as_bytes(), &rsa.id, &right),
        ),
        (
            "RS by the HS key",
            forged(&head("RS256", "k1"), &right, &[0; 256]),
        ),
        ("another secret", signed_with(&[7; 40], "k1", &right)),
        (
            "unknown key",
            signed_with(issuer::SECRET.as_bytes(), "k9", &right),
        ),
        ("another key's id", {
            let mut other = rsa.clone();
            other.id = "k1".into();
            other.token("alice", json!({}))
        }),
        ("no key id", {
            let key = jsonwebtoken::EncodingKey::from_secret(issuer::SECRET.as_bytes()).unwrap();
            let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
            jsonwebtoken::encode(&header, &right, &key).unwrap()
        }),
        (
            "a tenant that is not there",
            with(json!({ "tenant": "nobody" })),
        ),
        ("a tenant that is no name", with(json!({ "tenant": 7 }))),
        ("scopes that are none", with(json!({ "scope": 7 }))),
        ("revoked key", revoked.clone()),
        (
            "stolen id of a key",
            format!("tdk_{}_{}", &good_key[4..20], "A".repeat(43)),
        ),
        ("id of a key alone", good_key[..20].to_owned()),
        ("key with one character more", format!("{good_key}A")),
        (
            "key with one character less",
            good_key[..good_key.len() - 1].to_owned(),
        ),
    ]
}

#[test]
fn r17_bad_credentials_are_refused_at_every_path_and_leave_nothing() {
    let hs = Signer::new("k1", Algorithm::Hs256);
    let rsa = Signer::new("k2", Algorithm::Rs256);
    let site = {
        let options = options(vec![hs.options(), rsa.options()]);
        Site::with(&options, hs, [notes(), notes()])
    };
    for server in &site.servers {
        fill(server.database(), CANARY);
    }
    let bad = bad(&site, &rsa);
    let before = site.seqs();
    let mut cells = 0;
    for route in table().iter().filter(|route| route.needs.is_some()) {
        let none = ("none", None);
        let shown = bad
            .iter()
            .map(|(name, token)| (*name, Some(token.as_str())));
        let mut bodies = std::collections::BTreeSet::new();
        for (name, token) in std::iter::once(none).chain(shown) {
            let place = format!("{} {} with {name}", route.method, route.path);
            let body = r#"{"name": "mine", "scopes": ["admin"]}"#;
            let answer = site.ask(route.method.as_str(), &path(route.path), token, body);
            assert_eq!(answer.status, 401, "{place}: {}", answer.text());
            assert!(answer.head.contains("application/problem+json"), "{place}");
            assert!(answer.head.contains("www-authenticate: Bearer"), "{place}");
            bodies.insert(answer.text());
            cells += 1;
        }
        // The same words whatever was wrong, and nothing of what is there.
        assert_eq!(bodies.len(), 1, "{bodies:?}");
        let body = bodies.first().unwrap();
        for told in [
            CANARY, "notes", "default", "other", "k1", "alice", "token", "expired",
        ] {
            assert!(!body.contains(told), "{body}");
        }
    }
    assert!(cells > 400, "{cells}");
    assert_eq!(site.seqs(), before, "something was written");
}

#[test]
fn r17_scopes_that_are_missing_are_refused_at_every_path() {
    let site = Site::new();
    for server in &site.servers {
        fill(server.database(), CANARY);
    }
    let combinations = [
        vec![],
        vec!["read"],
        vec!["write"],
        vec!["read", "write"],
        vec!["something", "readwrite", "ADMIN"],
    ];
    for scopes in combinations {
        let token = site.signer.token("alice", json!({ "scope": scopes }));
        let before = site.seqs();
        for route in table() {
            let Some(needs) = route.needs else {
                continue;
            };
            if scopes.contains(&needs.name()) {
                continue;
            }
            let place = format!("{} {} with {scopes:?}", route.method, route.path);
            let body = r#"{"name": "mine", "scopes": ["admin"]}"#;
            let answer = site.ask(route.method.as_str(), &path(route.path), Some(&token), body);
            assert_eq!(answer.status, 403, "{place}: {}", answer.text());
            assert!(!answer.text().contains(CANARY), "{place}");
            // Methods that a path does not take tell nothing either.
            let other = site.ask("PURGE", &path(route.path), Some(&token), body);
            assert_eq!(other.status, 405, "{place}");
        }
        assert_eq!(site.seqs(), before, "something was written");
    }
}

#[test]
fn what_needs_no_credentials_is_in_the_table_too() {
    let site = Site::new();
    for route in table().iter().filter(|route| route.needs.is_none()) {
        let answer = site.ask(route.method.as_str(), &path(route.path), None, "");
        assert_eq!(answer.status, 200, "{} {}", route.method, route.path);
    }
    let nothing = site.ask("GET", "/v1/nothing", None, "");
    assert!([401, 404].contains(&nothing.status), "{}", nothing.status);
}

#[test]
fn good_tokens_of_every_algorithm_are_taken() {
    let all = [
        Algorithm::Hs256,
        Algorithm::Rs256,
        Algorithm::Es256,
        Algorithm::EdDsa,
    ];
    let signers: Vec<Signer> = all
        .iter()
        .map(|algorithm| Signer::new(&format!("{algorithm:?}"), *algorithm))
        .collect();
    let keys = signers.iter().map(Signer::options).collect();
    let site = Site::with(&options(keys), signers[0].clone(), [notes(), notes()]);
    for signer in &signers {
        let token = signer.token("alice", json!({}));
        let answer = site.ask("GET", "/v1/status", Some(&token), "");
        assert_eq!(
            answer.status,
            200,
            "{:?}: {}",
            signer.algorithm,
            answer.text()
        );
        // Each key with the name of each other one: the algorithm is the key's.
        for other in signers.iter().filter(|other| other.id != signer.id) {
            let mut wrong = signer.clone();
            wrong.id.clone_from(&other.id);
            let token = wrong.token("alice", json!({}));
            let answer = site.ask("GET", "/v1/status", Some(&token), "");
            assert_eq!(answer.status, 401, "{} as {}", signer.id, other.id);
        }
    }
    let now = issuer::now();
    for more in [
        json!({ "aud": ["somebody", issuer::AUDIENCE] }),
        json!({ "nbf": now - 10, "iat": now - 10 }),
        // Within what clocks may differ.
        json!({ "exp": now - 2 }),
        json!({ "nbf": now + 2 }),
        json!({ "tenant": "other" }),
    ] {
        let token = signers[3].token("alice", more.clone());
        let answer = site.ask("GET", "/v1/status", Some(&token), "");
        assert_eq!(answer.status, 200, "{more}: {}", answer.text());
    }
}

#[test]
fn a_token_or_key_with_any_one_character_changed_is_refused() {
    let site = Site::new();
    let token = site.signer.token("alice", json!({}));
    for good in [token, site.key(0, &[Scope::Read])] {
        assert_eq!(site.ask("GET", "/v1/status", Some(&good), "").status, 200);
        for at in 0..good.len() {
            let mut changed = good.clone().into_bytes();
            changed[at] = if changed[at] == b'Q' { b'R' } else { b'Q' };
            let changed = String::from_utf8(changed).unwrap();
            let answer = site.ask("GET", "/v1/status", Some(&changed), "");
            assert_eq!(answer.status, 401, "character {at} of {good}");
        }
    }
}

#[test]
fn several_credentials_in_one_request_are_none() {
    let site = Site::new();
    let token = site.signer.token("alice", json!({}));
    let mut stream = std::net::TcpStream::connect(site.address).unwrap();
    let request = format!(
        "GET /v1/status HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         authorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}
