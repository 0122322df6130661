//! R19: what callers hold is good after a restart, and after the log was compacted: idempotency keys, cursors of questions, tags.

use std::path::Path;
use std::sync::Arc;

use durable::{DurableDatabase, DurableOptions};
use serde_json::{Value as Json, json};
use server::{ServeOptions, Tenant};
use syncdb::{SyncDb, SyncServerOptions};

use crate::support::{Answer, Running, run_tenant};

fn start(folder: &Path) -> (Arc<DurableDatabase>, Running) {
    let store = DurableDatabase::open(folder, DurableOptions::default()).unwrap();
    let store = Arc::new(store);
    let options = SyncServerOptions::default();
    let tenant = Tenant::durable("default", Arc::clone(&store), options).unwrap();
    (store, run_tenant(tenant, ServeOptions::default()))
}

/// Inserts a row, which cannot be done twice.
fn insert_once(running: &Running) -> Answer {
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "k"),
    ];
    let body = br#"{"id":9,"text":"once"}"#;
    running.send("POST", "/v1/tables/t/rows", &headers, body)
}

/// The page behind a cursor.
fn page(running: &Running, cursor: Option<&Json>) -> Json {
    let question = match cursor {
        Some(cursor) => json!({ "limit": 3, "cursor": cursor }),
        None => json!({ "limit": 3 }),
    };
    running
        .json("POST", "/v1/tables/t/query", &question)
        .ok(200)
}

#[test]
fn r19_keys_cursors_and_positions_hold_after_a_restart_and_after_compaction() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, mut running) = start(folder.path());
    let fields = json!([{ "name": "id", "type": "int" }, { "name": "text", "type": "text" }]);
    let schema = json!({ "name": "t", "fields": fields });
    running.json("POST", "/v1/tables", &schema).ok(201);
    for id in 0..9 {
        let row = json!({ "id": id, "text": "x" });
        running.json("POST", "/v1/tables/t/rows", &row).ok(201);
    }
    let first = insert_once(&running);
    assert_eq!(first.status, 201, "{}", first.text());
    let phone = SyncDb::client("phone").unwrap();
    let mut cursor = page(&running, None)["cursor"].clone();
    let mut pages = 1;
    for round in 0..4 {
        phone
            .sync(&mut |request: &[u8]| running.server.handle(request))
            .unwrap();
        if round % 2 == 1 {
            let db = store.database();
            db.prune_log_to(db.seq());
            store.checkpoint().unwrap();
        }
        running.end();
        store.close().unwrap();
        drop(store);
        (store, running) = start(folder.path());

        let again = insert_once(&running);
        assert_eq!(
            (again.status, &again.body),
            (201, &first.body),
            "round {round}"
        );
        assert_eq!(again.header("etag"), first.header("etag"));
        // Had it been written again, it would have another tag.
        let tag = first.header("etag").to_owned();
        let known = running.send(
            "GET",
            "/v1/tables/t/rows/9",
            &[("if-none-match", &tag)],
            b"",
        );
        assert_eq!(known.status, 304);
        // The replica goes on where it was: nothing comes again.
        let report = phone
            .sync(&mut |request: &[u8]| running.server.handle(request))
            .unwrap();
        assert!(report.converged);
        assert_eq!(report.rows_received, 0, "round {round}");
        if pages < 3 {
            let next = page(&running, Some(&cursor));
            let ids: Vec<i64> = next["rows"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["id"].as_i64().unwrap())
                .collect();
            assert_eq!(ids, [3 * pages, 3 * pages + 1, 3 * pages + 2]);
            cursor = next["cursor"].clone();
            pages += 1;
        }
    }
    assert_eq!(pages, 3, "all nine rows");
    running.end();
}
