//! Backups over HTTP: made, listed, restored, deleted; and names that lead elsewhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use durable::{DurableDatabase, DurableOptions, Until};
use serde_json::json;
use server::{ServeOptions, Tenant};
use syncdb::SyncServerOptions;

use crate::support::{Running, notes, run_tenant, run_with};

const PATH: &str = "/v1/admin/backups";

/// A server whose database is in the folder `data` of this place, with a table of three rows.
fn running(place: &Path) -> Running {
    let store = DurableDatabase::open(place.join("data"), DurableOptions::default()).unwrap();
    let options = SyncServerOptions::default();
    let tenant = Tenant::durable("default", Arc::new(store), options).unwrap();
    let running = run_tenant(
        tenant.with_backups(place.join("backups")),
        ServeOptions::default(),
    );
    let schema = json!({ "name": "t", "fields": [{ "name": "id", "type": "int" }, { "name": "text", "type": "text" }] });
    running.json("POST", "/v1/tables", &schema).ok(201);
    for id in 0..3 {
        insert(&running, id);
    }
    running
}

fn insert(running: &Running, id: i32) {
    let row = json!({ "id": id, "text": format!("row {id}") });
    running.json("POST", "/v1/tables/t/rows", &row).ok(201);
}

fn rows(database: &common::Database) -> Vec<String> {
    let query = common::query::Query::from("t").order_by(common::query::OrderBy::ascending("id"));
    let records = query.records(&database.snapshot().view()).unwrap();
    records
        .iter()
        .map(|record| format!("{:?}", record.values()))
        .collect()
}

/// Every file below a folder with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.display().to_string();
                all.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    all
}

#[test]
fn a_backup_is_made_beside_writers_listed_restored_to_the_same_rows_and_deleted() {
    let place = tempfile::tempdir().unwrap();
    let running = running(place.path());
    assert_eq!(running.get(PATH).ok(200)["entries"], json!([]));
    let before = rows(running.server.database());
    let made = running.json("POST", PATH, &json!({ "name": "monday" }));
    assert_eq!(made.header("location"), "/v1/admin/backups/monday");
    let made = made.ok(201);
    assert!(made["bytes"].as_u64().unwrap() > 0, "{made}");
    let second = running.send("POST", PATH, &[], b"").ok(201);
    let name = second["name"].as_str().unwrap();
    assert!(name.starts_with("20"), "{name}");
    insert(&running, 3);
    // Each says what it is, in a list and alone.
    assert_eq!(running.get(PATH).ok(200)["entries"], json!([second, made]));
    assert_eq!(running.get(&format!("{PATH}/monday")).ok(200), made);
    let page = running.get(&format!("{PATH}?limit=1")).ok(200);
    assert_eq!(page["next"], name);
    let page = running.get(&format!("{PATH}?after={name}")).ok(200);
    assert_eq!(page["entries"], json!([made]));
    let again = running.json("POST", PATH, &json!({ "name": "monday" }));
    assert!(again.problem(409).contains("`monday`"));
    // As it was, and with the log of the running server as it is.
    let restore = |to: &str, log: &[std::path::PathBuf]| {
        let to = place.path().join(to);
        durable::restore(place.path().join("backups/monday"), log, &to, Until::End).unwrap();
        rows(&durable::open(&to).unwrap())
    };
    assert_eq!(restore("restored", &[]), before);
    let now = rows(running.server.database());
    assert_eq!(now.len(), 4);
    assert_eq!(
        restore("restored-to-now", &[place.path().join("data")]),
        now
    );
    let path = format!("{PATH}/monday");
    assert_eq!(running.delete(&path).status, 204);
    running.get(&path).problem(404);
    running.delete(&path).problem(404);
    assert!(!place.path().join("backups/monday").exists());
    let audit = running.get("/v1/admin/audit").ok(200);
    let told: Vec<(&str, &str, &str)> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap();
            (text("action"), text("target"), text("result"))
        })
        .collect();
    let none = "there is no backup `monday`";
    let taken = "there is a backup `monday` already; choose another name, or delete it first";
    assert_eq!(
        told,
        [
            ("backups.delete", "monday", none),
            ("backups.delete", "monday", "done"),
            ("backups.create", "monday", taken),
            ("backups.create", name, "done"),
            ("backups.create", "monday", "done"),
        ]
    );
    running.end();
}

/// Path traversal: what is outside of the folder of backups is neither touched nor told of.
#[test]
fn names_of_backups_that_lead_elsewhere_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let running = running(place.path());
    running
        .json("POST", PATH, &json!({ "name": "monday" }))
        .ok(201);
    // What a name that got through would find: a database, beside the backups.
    let secret = place.path().join("canary");
    durable::restore(
        place.path().join("backups/monday"),
        &[],
        &secret,
        Until::End,
    )
    .unwrap();
    let absolute = secret.display().to_string();
    let long = "a".repeat(10_000);
    let before = files(place.path());
    let names = [
        "",
        ".",
        "..",
        "../canary",
        "../../etc/passwd",
        "monday/../../canary",
        "..\\canary",
        "./monday",
        "monday/",
        "monday\0",
        "\0",
        "%2e%2e%2fcanary",
        ".monday.making",
        "-rf",
        "a b",
        "\u{2024}\u{2024}/canary",
        "~",
        &absolute,
        &long,
    ];
    for name in names {
        let said = running
            .json("POST", PATH, &json!({ "name": name }))
            .problem(400);
        assert!(said.starts_with("a name has 1 to 100"), "{said}");
    }
    for name in [
        "%2e%2e%2fcanary",
        "%2E%2E%2Fcanary",
        "..%2fcanary",
        "..%5ccanary",
        "%2e%2e",
        "monday%2f..%2f..%2fcanary",
        "monday%00",
        "%00",
        "%252e%252e%252fcanary",
        "%ff%fe",
        &absolute.replace('/', "%2f"),
        &long,
    ] {
        for method in ["GET", "DELETE"] {
            let answer = running.send(method, &format!("{PATH}/{name}"), &[], b"");
            let said = answer.problem(400);
            assert!(!said.contains("canary"), "{said}");
        }
    }
    // Not decoded, these are other paths, at which there is nothing. A client would put them right before it sends them.
    for name in [
        "../canary",
        "../../canary",
        "/canary",
        "monday/../../canary",
    ] {
        for method in ["GET", "DELETE"] {
            let request =
                format!("{method} {PATH}/{name} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            let answer = running.raw(request.as_bytes());
            assert!(answer.starts_with("HTTP/1.1 404"), "{name}: {answer}");
            assert!(answer.contains("application/problem+json"), "{answer}");
        }
    }
    for body in [
        "{",
        "[]",
        r#"{"name": 7}"#,
        r#"{"folder": "/tmp"}"#,
        "\u{0}",
    ] {
        running
            .send("POST", PATH, &[], body.as_bytes())
            .problem(400);
    }
    // The log has the audit's entries, and nothing else has changed.
    let changed = |files: BTreeMap<String, Vec<u8>>| -> BTreeMap<String, Vec<u8>> {
        let is_log = |name: &String| name.contains("/data/");
        files
            .into_iter()
            .filter(|(name, _)| !is_log(name))
            .collect()
    };
    assert_eq!(changed(files(place.path())), changed(before));
    assert_eq!(running.get("/healthz").text(), "ok");
    running.end();
}

#[test]
fn a_database_in_memory_has_no_backups_and_says_so() {
    let running = run_with(
        notes(),
        SyncServerOptions::default(),
        ServeOptions::default(),
    );
    for (method, path) in [
        ("GET", PATH),
        ("POST", PATH),
        ("GET", "/v1/admin/backups/monday"),
        ("DELETE", "/v1/admin/backups/monday"),
    ] {
        let said = running.send(method, path, &[], b"").problem(400);
        assert!(said.contains("in memory"), "{said}");
    }
    running.end();
}
