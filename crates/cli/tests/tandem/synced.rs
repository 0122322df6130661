//! `tandem explain`, `conflicts` and `rejected`: what sync left in a server's and in a replica's file.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::{Database, row};
use syncdb::{Strategy, SyncDb, SyncServer, SyncServerOptions};

use crate::support::Place;

/// A server's and a replica's file with one conflict and one rejected mutation.
fn place() -> Place {
    let db = Database::new();
    let schema = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("title", FieldType::Text))
        .field(Field::new("slug", FieldType::Text).nullable())
        .index(IndexSpec::hash(["slug"]).unique());
    let notes = db.create_collection(schema.finish().unwrap()).unwrap();
    for id in 1..=2 {
        let slug = format!("s{id}");
        notes
            .insert(row! { "id": id, "title": "first", "slug": slug })
            .unwrap();
    }
    // Whoever comes last wins, whatever the clock says.
    let options = SyncServerOptions::default().strategy("notes", Strategy::ClientWins);
    let server = SyncServer::with(db, options).unwrap();
    let [tablet, phone] = ["tablet", "phone"].map(|name| {
        let replica = SyncDb::client(name).unwrap();
        replica
            .sync(&mut |request: &[u8]| server.handle(request))
            .unwrap();
        replica
    });
    for replica in [&tablet, &phone] {
        let title = format!("by {}", replica.replica());
        replica.update("notes", 1, row! { "title": title }).unwrap();
    }
    phone.update("notes", 1, row! { "slug": "s2" }).unwrap();
    for replica in [&tablet, &phone] {
        replica
            .sync(&mut |request: &[u8]| server.handle(request))
            .unwrap();
    }
    server.account_for_direct_writes().unwrap();
    let place = Place::new();
    durable::save(server.database(), place.path("tandem.tdb")).unwrap();
    durable::save(phone.database(), place.path("phone.tdb")).unwrap();
    place
}

fn only_id(json: &str) -> String {
    let found: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1, "{json}");
    match &found[0]["id"] {
        serde_json::Value::String(id) => id.clone(),
        id => format!("{}@{}", id["client_seq"], id["at"]),
    }
}

#[test]
fn a_row_is_explained_from_either_side() {
    let place = place();
    let out = place.ok("explain notes 1");
    assert!(out.starts_with("notes 1 is here: version "), "{out}");
    assert!(out.contains("written by "), "{out}");
    let out = place.ok("explain --db phone.tdb notes 1");
    assert!(out.contains("was rejected: conflict"), "{out}");
    let out = place.ok("explain notes 1 --json");
    let explanation: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(explanation["columns"][0]["column"], "title");
    assert!(place.ok("explain notes 9").contains("notes 9 is not here"));
    assert!(place.ok("explain tags red").contains("no such table"));
    let ran = place.run("explain notes one");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("column `id`"), "{}", ran.err);
    let ran = place.run("explain notes 1 2");
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("has 1 columns, 2 were given"),
        "{}",
        ran.err
    );
    assert_eq!(place.run("explain --db missing.tdb notes 1").code, 3);
}

#[test]
fn conflicts_are_listed_and_reverted_in_a_servers_file() {
    let place = place();
    let out = place.ok("conflicts");
    assert!(out.ends_with("(1 conflict)\n"), "{out}");
    assert!(out.contains("notes 1, title: "), "{out}");
    assert!(place.ok("conflicts --table tags").contains("(0 conflicts)"));
    assert!(
        place
            .ok("conflicts --db phone.tdb --replica tablet")
            .contains("(1 conflict)")
    );
    let id = only_id(&place.ok("conflicts --json"));
    let standing = place.ok("query notes");
    assert!(standing.contains("by phone"), "{standing}");
    let out = place.ok(&format!("conflicts --revert {id} --principal alice"));
    assert!(
        out.contains(&format!("revert of {id} brings back")),
        "{out}"
    );
    let standing = place.ok("query notes");
    assert!(standing.contains("by tablet"), "{standing}");
    let again = place.ok(&format!("conflicts --revert {id}"));
    assert!(again.contains("was reverted already"), "{again}");
    let ran = place.run("conflicts --revert 99.0");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("no conflict 99.0"), "{}", ran.err);
    assert_eq!(place.run("conflicts --revert 41").code, 2);
    assert_eq!(place.run("conflicts --db missing.tdb --revert 1.0").code, 3);
}

#[test]
fn a_replica_asks_and_tries_again_from_its_file() {
    let place = place();
    let id = only_id(&place.ok("conflicts --db phone.tdb --json"));
    let out = place.ok(&format!("conflicts --db phone.tdb --revert {id}"));
    assert!(out.contains("asked with the next sync"), "{out}");
    assert!(
        place
            .ok("explain --db phone.tdb notes 1")
            .contains("waits: revert")
    );

    let out = place.ok("rejected --db phone.tdb");
    assert!(out.contains("update notes 1, slug: s2 (was s1)"), "{out}");
    assert!(out.ends_with("(1 rejected mutation)\n"), "{out}");
    let id = only_id(&place.ok("rejected --db phone.tdb --json"));
    let out = place.ok(&format!("rejected --db phone.tdb --retry {id}"));
    assert!(out.contains("made again"), "{out}");
    assert!(place.ok("rejected --db phone.tdb").contains("(0 rejected"));
    let ran = place.run(&format!("rejected --db phone.tdb --discard {id}"));
    assert_eq!(ran.code, 1, "{}", ran.err);
    let ran = place.run("rejected");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("of no replica"), "{}", ran.err);
}

#[test]
fn policies_are_read_from_a_file() {
    let place = place();
    place.write(
        "policies.json",
        r#"{"notes": {"groups": [["title", "slug"]]}}"#,
    );
    let out = place.ok("explain --policies policies.json notes 1 --json");
    assert!(out.contains("\"slug\""), "{out}");
    place.write("wrong.json", r#"{"notes": {"strategy": "coin"}}"#);
    let ran = place.run("explain --policies wrong.json notes 1");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("wrong.json"), "{}", ran.err);
    place.write(
        "misfit.json",
        r#"{"notes": {"columns": {"title": "counter"}}}"#,
    );
    let ran = place.run("serve --db tandem.tdb --policies misfit.json");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("cannot be a Counter"), "{}", ran.err);
}
