//! `tandem serve` with several tenants: each has a database, keys and backups of its own.

use std::collections::BTreeMap;

use crate::serving::Serving;
use crate::support::Place;
use crate::tokens::token;

const NAMES: [&str; 3] = ["default", "acme", "globex"];
const TABLE: &str =
    r#"{"name":"notes","fields":[{"name":"id","type":"int"},{"name":"text","type":"text"}]}"#;

/// Writes one row into the tenant's table, which is made first: the same id in each, with a word of its own.
fn fill(server: &Serving, key: &str, name: &str) {
    assert_eq!(server.curl("/v1/tables", key, &["-d", TABLE]).0, 201);
    let row = format!(r#"{{"id":1,"text":"word of {name}"}}"#);
    let (status, said) = server.curl("/v1/tables/notes/rows", key, &["-d", &row]);
    assert_eq!(status, 201, "{said}");
}

#[test]
fn a_key_is_good_for_its_own_tenant_and_shows_nothing_of_the_others() {
    let place = Place::new();
    place.write(
        "tandem.toml",
        "[server]\ntenants = [\"default\", \"acme\", \"globex\"]\n\n[storage]\nbackups = \"backups\"\narchive = \"archive\"\n",
    );
    let server = Serving::start(&place, &["--config", "tandem.toml"]);
    let keys: BTreeMap<&str, &str> = server
        .keys
        .iter()
        .map(|(whose, key)| (whose.as_str(), key.as_str()))
        .collect();
    assert_eq!(keys.len(), 3, "{keys:?}");
    for name in NAMES {
        fill(&server, keys[name], name);
        let named = r#"{"name":"monday"}"#;
        let made = server.curl("/v1/admin/backups", keys[name], &["-d", named]);
        assert_eq!(made.0, 201, "{}", made.1);
    }
    for name in NAMES {
        for path in [
            "/v1/tables/notes/rows/1",
            "/v1/tables/notes/rows",
            "/v1/tables",
            "/v1/admin/keys",
            "/v1/admin/audit",
            "/v1/admin/backups",
        ] {
            let (status, said) = server.curl(path, keys[name], &[]);
            assert_eq!(status, 200, "{said}");
            for other in NAMES.iter().filter(|other| **other != name) {
                let is_told = said.contains(&format!("word of {other}"));
                assert!(!is_told, "{name} sees at {path}: {said}");
            }
        }
        let backups = server.curl("/v1/admin/backups", keys[name], &[]).1;
        assert_eq!(backups.matches("\"name\"").count(), 1, "{backups}");
    }
    let (default, acme) = (keys["default"].to_owned(), keys["acme"].to_owned());
    server.end();
    // Each in a folder of its own, also its backup and the archive of its log.
    for (name, data, archive) in [
        ("default", "tandem-data", "archive"),
        ("acme", "tandem-data/tenants/acme", "archive/tenants/acme"),
        (
            "globex",
            "tandem-data/tenants/globex",
            "archive/tenants/globex",
        ),
    ] {
        let backup = format!("backups/{name}/monday");
        for folder in [data, &backup] {
            let rows = place.ok(&format!("query --db {folder} notes --format csv"));
            assert_eq!(rows, format!("id,text\n1,word of {name}\n"));
        }
        assert!(place.path(archive).is_dir());
    }
    // By flags, some of them: who is of another one is nobody here.
    let server = Serving::start(&place, &["--tenant", "acme", "--tenant", "globex"]);
    assert_eq!(server.keys, []);
    let path = "/v1/tables/notes/rows/1";
    assert!(server.curl(path, &acme, &[]).1.contains("word of acme"));
    assert_eq!(server.curl(path, &default, &[]).0, 401);
    server.end();
}

#[test]
fn a_token_is_of_the_tenant_that_its_claim_names() {
    let place = Place::new();
    place.write("secret", crate::tokens::SECRET);
    place.write(
        "tandem.toml",
        "[server]\ntenants = [\"acme\", \"globex\"]\n\n[auth]\nissuer = \"https://id.example\"\naudience = \"tandem\"\n\n\
         [[auth.keys]]\nid = \"k1\"\nalgorithm = \"HS256\"\nsecret_file = \"secret\"\n",
    );
    let server = Serving::start(&place, &["--config", "tandem.toml"]);
    let of = |tenant: Option<&str>| token(crate::tokens::SECRET, tenant);
    for name in ["acme", "globex"] {
        fill(&server, &of(Some(name)), name);
    }
    for name in ["acme", "globex"] {
        let (status, said) = server.curl("/v1/tables/notes/rows/1", &of(Some(name)), &[]);
        assert_eq!(status, 200, "{said}");
        assert!(said.contains(&format!("word of {name}")), "{said}");
    }
    // One that is not served, and none where there is no `default`: as a token that is no good.
    let refused = server.curl("/v1/tables", "garbage", &[]);
    assert_eq!(refused.0, 401);
    for tenant in [
        None,
        Some("default"),
        Some("initech"),
        Some("../acme"),
        Some("ACME"),
    ] {
        assert_eq!(server.curl("/v1/tables", &of(tenant), &[]), refused);
    }
    server.end();
}

#[test]
fn tenants_that_cannot_be_served_are_errors_at_the_start() {
    let place = Place::new();
    for (line, says) in [
        ("serve --tenant ../acme", "`../acme`: a name has 1 to 100"),
        ("serve --tenant a --tenant A", "has `A` twice"),
        ("serve --tenant acme --db x.tdb", "cannot be used with"),
        ("serve --tenant acme --open", "is not among the tenants"),
    ] {
        let ran = place.run(line);
        assert!(
            ran.code != 0 && ran.err.contains(says),
            "{line}: {}",
            ran.err
        );
    }
    place.write(
        "tandem.toml",
        "[server]\ndb = \"x.tdb\"\ntenants = [\"a\"]\n",
    );
    let ran = place.run("serve --config tandem.toml");
    assert!(ran.err.contains("`tenants` have one each"), "{}", ran.err);
    assert!(!place.path("../acme").exists());
}
