//! One row by its key.

use common::Value;
use serde_json::json;

use server::ServeOptions;
use syncdb::SyncServerOptions;

use crate::support::{run, run_with};

#[test]
fn a_row_is_inserted_read_replaced_patched_and_deleted() {
    let running = run();
    let row = json!({ "id": 9, "text": "ni\u{f1}o\nline", "at": "2026-01-02T03:04:05Z" });
    let inserted = running.json("POST", "/v1/tables/notes/rows", &row);
    let full = inserted.ok(201);
    assert_eq!(inserted.header("location"), "/v1/tables/notes/rows/9");
    assert_eq!(
        (&full["owner"], &full["slug"]),
        (&json!("me"), &json!(null))
    );
    let got = running.get("/v1/tables/notes/rows/9");
    assert_eq!(got.ok(200), full);
    assert_eq!(got.header("etag"), inserted.header("etag"));
    assert_eq!(full["at"], "2026-01-02T03:04:05Z");

    let replaced = running.json("PUT", "/v1/tables/notes/rows/9", &json!({ "text": "new" }));
    let expected = json!({ "id": 9, "owner": "me", "text": "new", "at": null, "secret": "none", "slug": null });
    assert_eq!(replaced.ok(200), expected);
    let created = running.json(
        "PUT",
        "/v1/tables/notes/rows/10",
        &json!({ "id": 10, "text": "ten" }),
    );
    assert_eq!(created.ok(201)["id"], 10);
    let patched = running.json(
        "PATCH",
        "/v1/tables/notes/rows/9",
        &json!({ "slug": "nine" }),
    );
    assert_eq!(patched.ok(200)["text"], "new");

    // What sync sees is the same table.
    let notes = running.server.database().collection("notes").unwrap();
    assert_eq!(notes.get(9).unwrap()[5], Value::from("nine"));
    let deleted = running.delete("/v1/tables/notes/rows/9");
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert!(
        running
            .get("/v1/tables/notes/rows/9")
            .problem(404)
            .contains("no row with the key 9")
    );
    assert!(
        running
            .delete("/v1/tables/notes/rows/9")
            .problem(404)
            .contains('9')
    );
    running.end();
}

#[test]
fn what_replicas_have_is_what_rest_writes() {
    let running = run();
    let phone = syncdb::SyncDb::client("phone").unwrap();
    let server = std::sync::Arc::clone(&running.server);
    let mut transport = |request: &[u8]| server.handle(request);
    phone.sync(&mut transport).unwrap();
    running
        .json(
            "PATCH",
            "/v1/tables/notes/rows/0",
            &json!({ "text": "by rest" }),
        )
        .ok(200);
    running.delete("/v1/tables/notes/rows/1");
    phone
        .update("notes", 2, common::row! { "text": "by phone" })
        .unwrap();
    assert!(phone.sync(&mut transport).unwrap().converged);
    assert_eq!(phone.digest().unwrap(), running.server.digest().unwrap());
    assert_eq!(
        running.get("/v1/tables/notes/rows/2").ok(200)["text"],
        "by phone"
    );
    running.end();
}

#[test]
fn a_tag_protects_what_it_names() {
    let running = run();
    let path = "/v1/tables/notes/rows/0";
    let tag = running.get(path).header("etag").to_owned();
    let with = |method, name, tag: &str| {
        let headers = [("content-type", "application/json"), (name, tag)];
        running.send(method, path, &headers, br#"{"text":"changed"}"#)
    };
    assert_eq!(with("PATCH", "if-match", "\"999\"").status, 412);
    assert_eq!(running.get(path).ok(200)["text"], "note 0");
    let changed = with("PATCH", "if-match", &tag);
    changed.ok(200);
    let newer = changed.header("etag").to_owned();
    assert_ne!(newer, tag);
    assert!(
        with("PATCH", "if-match", &tag)
            .problem(412)
            .contains(&newer)
    );
    assert_eq!(with("DELETE", "if-match", &tag).status, 412);
    // Nothing changed: the same tag, and the one that the row goes on to have.
    assert_eq!(with("PATCH", "if-match", &newer).header("etag"), newer);
    assert_eq!(running.get(path).header("etag"), newer);
    let known = running.send("GET", path, &[("if-none-match", &newer)], b"");
    assert_eq!((known.status, known.body.len()), (304, 0));
    assert_eq!(
        running
            .send("GET", path, &[("if-none-match", &tag)], b"")
            .status,
        200
    );
    assert_eq!(with("PUT", "if-none-match", "*").status, 412);
    assert_eq!(with("PUT", "if-match", "no quotes").status, 400);
    running.end();
}

#[test]
fn what_does_not_fit_is_named_and_changes_nothing() {
    let running = run();
    let digest = running.server.digest().unwrap();
    let post = |body: &str| {
        let headers = [("content-type", "application/json")];
        running.send("POST", "/v1/tables/notes/rows", &headers, body.as_bytes())
    };
    for (body, status, says) in [
        (r#"{"id":9}"#, 400, "text"),
        (r#"{"id":9,"text":""}"#, 400, "length"),
        (
            r#"{"id":9,"text":"a","colour":1}"#,
            400,
            "no column `colour`; its columns are id, owner",
        ),
        (r#"{"id":9,"text":7}"#, 400, "column `text`"),
        (r#"{"id":"9","text":"a"}"#, 400, "column `id`"),
        (r#"{"id":9,"text":"a","text":"b"}"#, 400, "text"),
        (
            r#"{"id":9,"text":"a","at":"yesterday"}"#,
            400,
            "column `at`",
        ),
        (r#"{"id":0,"text":"a"}"#, 409, "has a row with the key 0"),
        (r#"{"id":9,"text":"a","slug":"s1"}"#, 409, "unique"),
        (r#"[{"id":8,"text":"a"},{"id":9}]"#, 400, "row 2: "),
        (r#"{"id":9,"text":"a"} trailing"#, 400, "row"),
        ("", 400, "not a row"),
        ("[1]", 400, "row 1: "),
        ("null", 400, "not a row"),
    ] {
        let problem = post(body).problem(status);
        assert!(problem.contains(says), "{body}: {problem}");
    }
    let missing = post(r#"{"id":9}"#).json();
    assert_eq!(missing["violations"][0]["path"], "text");
    assert_eq!(missing["violations"][0]["rule"], "required");
    assert!(
        running
            .json("PATCH", "/v1/tables/notes/rows/0", &json!({ "id": 1 }))
            .problem(400)
            .contains("`id`")
    );
    assert!(
        running
            .get("/v1/tables/notes/rows/one")
            .problem(400)
            .contains("column `id`")
    );
    assert!(
        running
            .get("/v1/tables/nothing/rows/1")
            .problem(404)
            .contains("`nothing`")
    );
    assert!(
        running
            .get("/v1/tables/sync_clients/rows/1")
            .problem(404)
            .contains("no table")
    );
    assert_eq!(running.server.digest().unwrap(), digest);
    running.end();
}

#[test]
fn keys_of_every_type_and_of_several_columns_stand_in_a_path() {
    let running = run();
    let rows = [
        ("text", json!("a,b/c d?\u{e9}"), "a,b%2Fc%20d%3F%C3%A9"),
        ("int", json!(-7), "-7"),
        (
            "uuid",
            json!("67e55044-10b1-426f-9247-bb680e5fe0c8"),
            "67e55044-10b1-426f-9247-bb680e5fe0c8",
        ),
        ("date", json!("2026-02-03"), "2026-02-03"),
        (
            "timestamp",
            json!("2026-01-02T03:04:05Z"),
            "2026-01-02T03:04:05Z",
        ),
        ("bool", json!(true), "true"),
    ];
    for (ty, key, text) in rows {
        let table = format!("of_{ty}");
        let schema = json!({ "name": table, "fields": [{ "name": "k", "type": ty }] });
        running.json("POST", "/v1/tables", &schema).ok(201);
        let inserted = running.json(
            "POST",
            &format!("/v1/tables/{table}/rows"),
            &json!({ "k": key }),
        );
        inserted.ok(201);
        let path = format!("/v1/tables/{table}/rows/{text}");
        assert_eq!(running.get(&path).ok(200)["k"], key, "{ty}");
        // The path that the server gives leads there as well.
        assert_eq!(
            running.get(inserted.header("location")).ok(200)["k"],
            key,
            "{ty}"
        );
    }
    let fields = json!([{ "name": "a", "type": "text" }, { "name": "b", "type": "int" }]);
    let schema = json!({ "name": "pairs", "key_columns": 2, "fields": fields });
    running.json("POST", "/v1/tables", &schema).ok(201);
    let inserted = running.json(
        "POST",
        "/v1/tables/pairs/rows",
        &json!({ "a": "x,y", "b": 2 }),
    );
    assert_eq!(inserted.header("location"), "/v1/tables/pairs/rows/x%2Cy,2");
    assert_eq!(running.get("/v1/tables/pairs/rows/x%2Cy,2").ok(200)["b"], 2);
    assert!(
        running
            .get("/v1/tables/pairs/rows/x")
            .problem(400)
            .contains("2 columns")
    );
    let of_none = running.get("/v1/tables/pairs/rows/x,y").problem(400);
    assert!(of_none.contains("`x,y` in the path"), "{of_none}");
    running.end();
}

#[test]
fn a_request_with_an_idempotency_key_is_done_once() {
    let running = run();
    let send = |key: &str, body: &str| {
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        running.send("POST", "/v1/tables/notes/rows", &headers, body.as_bytes())
    };
    let body = r#"{"id":9,"text":"once"}"#;
    let first = send("k1", body);
    first.ok(201);
    let seq = running.server.database().seq();
    for _ in 0..3 {
        let again = send("k1", body);
        assert_eq!((again.status, &again.body), (201, &first.body));
        for name in ["etag", "location", "content-type"] {
            assert_eq!(again.header(name), first.header(name));
        }
    }
    assert_eq!(running.server.database().seq(), seq, "nothing was written");
    assert!(
        send("k1", r#"{"id":10,"text":"other"}"#)
            .problem(422)
            .contains("another request")
    );
    // A request that failed may be made again.
    assert_eq!(send("k2", r#"{"id":9,"text":"taken"}"#).status, 409);
    send("k2", r#"{"id":11,"text":"free"}"#).ok(201);
    assert_eq!(send(&"k".repeat(256), body).status, 400);

    // An answer that is too long to be kept is short the first time as well.
    let text = "x".repeat(1_000);
    let rows: Vec<_> = (100..500)
        .map(|id| json!({ "id": id, "text": text }))
        .collect();
    let rows = serde_json::Value::from(rows).to_string();
    let long = send("k3", &rows);
    assert!(long.ok(201)["seq"].is_u64());
    assert!(long.body.len() < 100, "{}", long.text());
    assert_eq!(send("k3", &rows).body, long.body);

    // A server that is started again on the same tables knows it still.
    let db = running.server.database().clone();
    running.end();
    let running = run_with(db, SyncServerOptions::default(), ServeOptions::default());
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "k1"),
    ];
    let again = running.send("POST", "/v1/tables/notes/rows", &headers, body.as_bytes());
    assert_eq!((again.status, &again.body), (201, &first.body));
    running.end();
}
