//! API keys, the audit, conflicts and clients over the wire; how a server begins.

use common::{ErrorKind, Timestamp, row};
use serde_json::json;
use server::auth::{Algorithm, ApiKeyOptions, ApiKeys, AuthOptions, KeyOptions, Scope};
use server::{App, Auth, ServeOptions, Tenant, serve};
use syncdb::SyncDb;

use crate::issuer::Signer;
use crate::site::{Site, fill, notes, options};

#[test]
fn keys_are_made_used_listed_and_revoked_and_the_audit_tells() {
    let site = Site::new();
    let admin = site.signer.token("root", json!({}));
    let made = site.ask(
        "POST",
        "/v1/admin/keys",
        Some(&admin),
        r#"{"name": "report", "scopes": ["read"], "expires": "2099-01-01T00:00:00Z", "claims": {"region": "north"}}"#,
    );
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let (id, secret) = (
        made["id"].as_str().unwrap(),
        made["secret"].as_str().unwrap(),
    );
    assert_eq!(made["scopes"], json!(["read"]));
    assert_eq!(made["created_by"], "root");
    assert_eq!(site.ask("GET", "/v1/status", Some(secret), "").status, 200);
    assert_eq!(
        site.ask("GET", "/v1/admin/keys", Some(secret), "").status,
        403
    );
    let listed = site.ask("GET", "/v1/admin/keys", Some(&admin), "");
    assert!(!listed.text().contains(secret), "the secret is shown once");
    assert!(!listed.text().contains("hash"));
    assert_eq!(
        listed.json()["entries"][0]["expires"],
        "2099-01-01T00:00:00Z"
    );
    // What is stored is not what is shown.
    let table = site.servers[0]
        .database()
        .collection("sync_api_keys")
        .unwrap();
    let stored = format!("{:?}", table.get(id).unwrap().values());
    assert!(!stored.contains(&secret[20..]), "{stored}");
    let path = format!("/v1/admin/keys/{id}");
    let revoked = site.ask("DELETE", &path, Some(&admin), "");
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    assert_eq!(site.ask("GET", "/v1/status", Some(secret), "").status, 401);
    assert_eq!(site.ask("DELETE", &path, Some(&admin), "").status, 200);
    assert_eq!(
        site.ask("DELETE", "/v1/admin/keys/0", Some(&admin), "")
            .status,
        404
    );
    let audit = site.ask("GET", "/v1/admin/audit", Some(&admin), "").json();
    let told: Vec<(&str, &str, &str)> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap();
            assert_eq!(text("principal"), "root");
            (text("action"), text("target"), text("result"))
        })
        .collect();
    assert_eq!(
        told,
        [
            ("keys.revoke", "0", "there is no key `0`"),
            ("keys.revoke", id, "done"),
            ("keys.revoke", id, "done"),
            ("keys.create", "report (read)", "done"),
        ]
    );
    assert!(!audit.to_string().contains(secret));
    // In pages.
    let first = site
        .ask("GET", "/v1/admin/audit?limit=3", Some(&admin), "")
        .json();
    let next = first["next"].as_str().unwrap();
    let path = format!("/v1/admin/audit?limit=3&before={next}");
    let second = site.ask("GET", &path, Some(&admin), "").json();
    assert_eq!(second["entries"].as_array().unwrap().len(), 1);
    assert_eq!(second["entries"][0]["action"], "keys.create");
}

#[test]
fn what_does_not_fit_is_said() {
    let site = Site::new();
    let admin = site.signer.token("root", json!({}));
    for (body, says) in [
        ("", "the body says"),
        ("{", "the body"),
        (r#"{"name": "", "scopes": ["read"]}"#, "1 to 200 bytes"),
        (r#"{"name": "x", "scopes": []}"#, "without scopes"),
        (r#"{"name": "x", "scopes": ["root"]}"#, "root"),
        (
            r#"{"name": "x", "scopes": ["read"], "expires": "2001-01-01T00:00:00Z"}"#,
            "passed",
        ),
        (r#"{"name": "x", "scopes": ["read"], "extra": 1}"#, "extra"),
    ] {
        let answer = site.ask("POST", "/v1/admin/keys", Some(&admin), body);
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        assert!(answer.text().contains(says), "{body}: {}", answer.text());
    }
    for path in [
        "audit?limit=0",
        "audit?limit=1001",
        "audit?before=x",
        "audit?nothing=1",
        "conflicts?after=x",
        "conflicts/x",
        "explain?table=notes",
        "rejected?after=x",
    ] {
        let answer = site.ask("GET", &format!("/v1/admin/{path}"), Some(&admin), "");
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
    }
}

#[test]
fn a_key_is_used_until_its_end_and_that_is_noted() {
    let db = notes();
    let keys = ApiKeys::new(db.clone());
    let at = |seconds: i64| Timestamp(seconds * 1_000_000);
    let options = ApiKeyOptions {
        expires: Some(at(1_000)),
        ..ApiKeyOptions::new("short", [Scope::Read])
    };
    let made = keys.create(&options, None, at(0)).unwrap();
    assert!(keys.check(&made.secret, at(999)).is_some());
    assert!(keys.check(&made.secret, at(1_000)).is_none());
    // Kept with the database.
    assert!(ApiKeys::new(db).check(&made.secret, at(1)).is_some());
    let site = Site::new();
    let key = site.key(0, &[Scope::Read]);
    assert_eq!(site.ask("GET", "/v1/status", Some(&key), "").status, 200);
    let noted = || site.tenants[0].list().unwrap()[0].last_used.is_some();
    // It is noted beside the request.
    for _ in 0..1_000 {
        if noted() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(noted());
    let seq = site.seqs();
    assert_eq!(site.ask("GET", "/v1/status", Some(&key), "").status, 200);
    assert_eq!(site.seqs(), seq, "once a minute");
}

#[test]
fn the_first_key_is_made_once() {
    let keys = ApiKeys::new(notes());
    let first = keys.create_first(Timestamp(1)).unwrap().unwrap();
    assert!(
        keys.check(&first.secret, Timestamp(2))
            .unwrap()
            .scopes
            .has(Scope::Admin)
    );
    assert!(keys.create_first(Timestamp(3)).unwrap().is_none());
    keys.revoke(&first.key.id, Timestamp(4)).unwrap();
    assert!(keys.create_first(Timestamp(5)).unwrap().is_some());
}

#[test]
fn clients_conflicts_rejected_mutations_and_schemas_are_told() {
    let site = Site::new();
    fill(site.servers[0].database(), "text");
    let admin = site.signer.token("root", json!({}));
    let ask = |path: &str| {
        site.ask("GET", &format!("/v1/admin/{path}"), Some(&admin), "")
            .json()
    };
    let user = site.signer.token("alice", json!({ "scope": "read write" }));
    let reader = site.signer.token("ben", json!({ "scope": "read" }));
    let (a, b) = (SyncDb::client("a").unwrap(), SyncDb::client("b").unwrap());
    let c = SyncDb::client("c").unwrap();
    for (db, token) in [(&a, &user), (&b, &user), (&c, &reader)] {
        db.sync(&mut site.transport(token)).unwrap();
        let text = format!("by {}", db.replica());
        db.update("notes", 1, row! { "text": text.as_str() })
            .unwrap();
    }
    for (db, token) in [(&a, &user), (&b, &user), (&c, &reader)] {
        db.sync(&mut site.transport(token)).unwrap();
    }
    let clients = ask("clients");
    let names: Vec<&str> = clients["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|client| client["replica"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(clients["entries"][0]["principal"], "alice");
    let page = ask("clients?limit=2");
    assert_eq!(page["next"], "b");
    assert_eq!(ask("clients?after=b")["entries"][0]["replica"], "c");
    let rejected = ask("rejected");
    assert_eq!(rejected["entries"][0]["replica"], "c");
    assert_eq!(ask("rejected?after=c/1")["entries"], json!([]));
    let conflicts = ask("conflicts?table=notes");
    let id = conflicts["entries"][0]["id"].as_str().unwrap();
    assert_eq!(ask(&format!("conflicts/{id}"))["column"], "text");
    assert_eq!(ask(&format!("conflicts?after={id}"))["entries"], json!([]));
    assert_eq!(ask("conflicts?table=others")["entries"], json!([]));
    let explained = ask("explain?table=notes&key=1");
    assert_eq!(explained["conflicts"].as_array().unwrap().len(), 1);
    assert_eq!(ask("schema")["tables"][0]["name"], "notes");
    let path = format!("/v1/admin/conflicts/{id}/revert");
    let reverted = site.ask("POST", &path, Some(&admin), "");
    assert_eq!(reverted.status, 200, "{}", reverted.text());
    assert_eq!(reverted.json()["done"][0]["principal"], "root");
    let pruned = site.ask("POST", "/v1/admin/prune", Some(&admin), "");
    assert!(pruned.json()["changes"].as_u64().is_some());
    let audit = ask("audit");
    assert_eq!(audit["entries"][0]["action"], "prune");
    assert_eq!(audit["entries"][1]["action"], "conflicts.revert");
    assert_eq!(audit["entries"][1]["target"], id);
}

/// What stands between lines of three backticks, where the first of them says this.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let begin = format!("```{language}\n");
    let after = text.split(begin.as_str()).skip(1);
    after
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

#[test]
fn the_guide_says_what_works() {
    let guide = include_str!("../../../../docs/security.md");
    let examples = blocks(guide, "toml");
    assert_eq!(examples.len(), 3);
    for example in examples {
        server::Config::parse(example).unwrap();
    }
    let site = Site::new();
    let admin = site.signer.token("root", json!({}));
    let body = guide
        .split("-d '")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap();
    let made = site.ask("POST", "/v1/admin/keys", Some(&admin), body);
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    // Every path that the guide names with a method is one of the server's, and the other way round.
    for route in server::routes::table()
        .iter()
        .filter(|route| route.path.contains("admin"))
    {
        let path = route.path.split("/{").next().unwrap();
        assert!(guide.contains(path), "{path}");
    }
    let audit = site
        .ask("GET", "/v1/admin/audit?limit=2", Some(&admin), "")
        .json();
    assert_eq!(audit["entries"][0]["target"], "nightly report (read)");
    let path = format!("/v1/admin/keys/{id}");
    assert_eq!(site.ask("DELETE", &path, Some(&admin), "").status, 200);
}

#[test]
fn an_open_server_listens_on_loopback_only() {
    let open = AuthOptions {
        open: true,
        ..AuthOptions::default()
    };
    let auth = Auth::new(&open).unwrap();
    for address in ["0.0.0.0:0", "192.0.2.1:80", "[::]:0"] {
        let error = auth.check_address(address.parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{address}");
    }
    for address in ["127.0.0.1:0", "127.8.0.1:0", "[::1]:0"] {
        auth.check_address(address.parse().unwrap()).unwrap();
    }
    let anywhere = AuthOptions {
        open_anywhere: true,
        ..open
    };
    let auth_anywhere = Auth::new(&anywhere).unwrap();
    auth_anywhere
        .check_address("0.0.0.0:0".parse().unwrap())
        .unwrap();
    // `serve` itself looks.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let served = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
        let server = std::sync::Arc::new(syncdb::SyncServer::new(notes()).unwrap());
        let app = App::new([Tenant::new(Tenant::DEFAULT, server)], auth);
        serve(
            listener,
            app,
            ServeOptions::default(),
            std::future::pending(),
        )
        .await
    });
    assert_eq!(served.unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn options_that_are_not_safe_are_errors() {
    let hs = Signer::new("k1", Algorithm::Hs256);
    let rsa = Signer::new("k2", Algorithm::Rs256);
    let good = || options(vec![hs.options()]);
    let key = |key: KeyOptions| AuthOptions {
        keys: vec![key],
        ..good()
    };
    let wrong = [
        AuthOptions {
            issuer: None,
            ..good()
        },
        AuthOptions {
            audience: None,
            ..good()
        },
        AuthOptions {
            clock_skew_seconds: 301,
            ..good()
        },
        AuthOptions {
            open: true,
            ..good()
        },
        options(vec![hs.options(), hs.options()]),
        key(KeyOptions {
            secret: Some("short".into()),
            ..hs.options()
        }),
        key(KeyOptions {
            algorithm: Algorithm::Rs256,
            ..hs.options()
        }),
        key(KeyOptions {
            algorithm: Algorithm::Es256,
            ..rsa.options()
        }),
        key(KeyOptions {
            algorithm: Algorithm::Hs256,
            ..rsa.options()
        }),
        key(KeyOptions {
            public_key: Some("-----BEGIN".into()),
            ..rsa.options()
        }),
        key(KeyOptions {
            public_key_file: Some("x".into()),
            ..rsa.options()
        }),
    ];
    for options in wrong {
        assert!(Auth::new(&options).is_err(), "{options:?}");
    }
    let shown = format!("{:?}", good());
    assert!(!shown.contains("secret of the test"), "{shown}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, format!("{}\n", crate::issuer::SECRET)).unwrap();
    let file = KeyOptions {
        secret: None,
        secret_file: Some(path.to_str().unwrap().into()),
        ..hs.options()
    };
    Auth::new(&key(file)).unwrap();
    let unknown = toml::from_str::<AuthOptions>("issuers = 'x'");
    assert!(unknown.is_err());
    assert_eq!(
        toml::from_str::<AuthOptions>("").unwrap(),
        AuthOptions::default()
    );
}
