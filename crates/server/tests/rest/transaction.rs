//! Several writes in one commit.

use serde_json::{Value as Json, json};

use crate::support::run;

#[test]
fn all_operations_are_one_commit() {
    let running = run();
    let operations = json!([
        { "insert": { "table": "notes", "row": { "id": 9, "text": "nine" } } },
        { "upsert": { "table": "notes", "row": { "id": 1, "text": "one" } } },
        { "update": { "table": "notes", "key": { "id": 2 }, "set": { "text": "two" } } },
        { "delete": { "table": "notes", "key": { "id": 3 } } },
        { "update": { "table": "notes", "key": { "id": 9 }, "set": { "text": "seen in the same transaction" } } },
    ]);
    let done = running
        .json(
            "POST",
            "/v1/transaction",
            &json!({ "operations": operations }),
        )
        .ok(200);
    let seq = done["seq"].as_u64().unwrap();
    let db = running.server.database();
    let changes = db.changes_since(common::Seq(seq - 1), 100).unwrap();
    let of_it = changes.iter().filter(|change| change.seq.0 == seq);
    assert_eq!(of_it.count(), 4, "{changes:?}");
    let results = done["results"].as_array().unwrap();
    assert_eq!(results.len(), 5);
    assert_eq!(results[0]["path"], "/v1/tables/notes/rows/9");
    assert_eq!(results[3]["deleted"], true);
    let got = running.get("/v1/tables/notes/rows/9");
    assert_eq!(got.header("etag"), results[4]["etag"]);
    assert_eq!(running.get("/v1/tables/notes/rows/3").status, 404);
    running.end();
}

#[test]
fn one_that_fails_undoes_all_and_is_named() {
    let running = run();
    let digest = running.server.digest().unwrap();
    let first = json!({ "insert": { "table": "notes", "row": { "id": 9, "text": "nine" } } });
    for (second, status, says) in [
        (
            json!({ "insert": { "table": "notes", "row": { "id": 0, "text": "a" } } }),
            409,
            "operation 2: ",
        ),
        (
            json!({ "insert": { "table": "nothing", "row": {} } }),
            404,
            "operation 2: ",
        ),
        (
            json!({ "delete": { "table": "notes", "key": { "id": 77 } } }),
            404,
            "operation 2: ",
        ),
        (
            json!({ "delete": { "table": "notes", "key": {} } }),
            400,
            "operation 2: key column `id`",
        ),
        (
            json!({ "update": { "table": "notes", "key": { "id": 0 }, "set": { "text": "a" }, "if_seq": 999 } }),
            412,
            "operation 2: ",
        ),
        (
            json!({ "update": { "table": "notes", "key": { "id": 0 }, "set": { "slug": "s1" } } }),
            409,
            "unique",
        ),
        (json!({ "replace": { "table": "notes" } }), 400, "replace"),
    ] {
        let body = json!({ "operations": [first, second] });
        let problem = running
            .json("POST", "/v1/transaction", &body)
            .problem(status);
        assert!(problem.contains(says), "{second}: {problem}");
        assert_eq!(running.server.digest().unwrap(), digest, "{second}");
    }
    running.end();
}

#[test]
fn a_thousand_operations_are_taken_and_one_more_is_not() {
    let running = run();
    let body = |count: i64| -> Json {
        let row = |id: i64| json!({ "insert": { "table": "notes", "row": { "id": 1_000 + id, "text": "x" } } });
        json!({ "operations": (0..count).map(row).collect::<Vec<_>>() })
    };
    let problem = running
        .json("POST", "/v1/transaction", &body(1_001))
        .problem(413);
    assert!(problem.contains("1000"), "{problem}");
    assert_eq!(running.server.status().rows, 5);
    running
        .json("POST", "/v1/transaction", &body(1_000))
        .ok(200);
    assert_eq!(running.server.status().rows, 1_005);
    let rows: Vec<Json> = (0..1_001)
        .map(|id| json!({ "id": 5_000 + id, "text": "x" }))
        .collect();
    assert_eq!(
        running
            .json("POST", "/v1/tables/notes/rows", &Json::from(rows))
            .status,
        413
    );
    running.end();
}
