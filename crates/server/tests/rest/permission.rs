//! What a caller may not see is to them as if it were not there, in every route.

use common::query::Filter;
use common::serialization::{Format, decode_schema};
use common::{Limits, Value, row};
use serde_json::{Value as Json, json};
use server::ServeOptions;
use syncdb::{Permission, Permissions, SyncServerOptions};

use crate::support::{Answer, Running, notes, run_with};

/// Rows of `me`, and no column `secret`; a table of which nothing may be seen.
fn limited() -> Running {
    let db = notes();
    let hidden = common::schema::Schema::build("hidden", ["id"]).field(common::schema::Field::new(
        "id",
        common::schema::FieldType::Int,
    ));
    let hidden = db.create_collection(hidden.finish().unwrap()).unwrap();
    hidden.insert(row! { "id": 1 }).unwrap();
    let permissions = Permissions::new(|_, table| match table.name.as_str() {
        "notes" => {
            Permission::rows(Filter::eq("owner", "me")).columns(["owner", "text", "at", "slug"])
        }
        "hidden" => Permission::none(),
        _ => Permission::all(),
    });
    let options = SyncServerOptions::default().permissions(permissions);
    run_with(db, options, ServeOptions::default())
}

/// Neither rows of others nor the column are in an answer.
#[track_caller]
fn tells_nothing(answer: &Answer) {
    let text = answer.text();
    for canary in ["canary", "secret", "\"you\"", "note 1", "note 3"] {
        assert!(!text.contains(canary), "{canary}: {text}");
    }
}

#[test]
fn a_row_of_somebody_else_is_no_row() {
    let running = limited();
    let digest = running.server.digest().unwrap();
    let absent = running.get("/v1/tables/notes/rows/77");
    let other = running.get("/v1/tables/notes/rows/1");
    assert_eq!(other.status, 404);
    assert_eq!(
        other.text(),
        absent.text().replace("77", "1"),
        "told apart by nothing"
    );
    let body = json!({ "text": "mine now" });
    for method in ["PATCH", "PUT"] {
        let refused = running.json(method, "/v1/tables/notes/rows/1", &body);
        assert!(
            refused.problem(404).contains("no row with the key 1"),
            "{method}"
        );
    }
    assert_eq!(running.delete("/v1/tables/notes/rows/1").status, 404);
    for operation in [
        json!({ "update": { "table": "notes", "key": { "id": 1 }, "set": body } }),
        json!({ "delete": { "table": "notes", "key": { "id": 1 } } }),
        json!({ "upsert": { "table": "notes", "row": { "id": 1, "text": "mine" } } }),
    ] {
        let refused = running.json(
            "POST",
            "/v1/transaction",
            &json!({ "operations": [operation] }),
        );
        assert_eq!(refused.status, 404, "{operation}");
        tells_nothing(&refused);
    }
    // A tag that is right does not open it either.
    let tag = format!(
        "\"{}\"",
        running
            .server
            .database()
            .collection("notes")
            .unwrap()
            .get(1)
            .unwrap()
            .seq()
            .0
    );
    let headers = [
        ("content-type", "application/json"),
        ("if-match", tag.as_str()),
    ];
    let refused = running.send(
        "PATCH",
        "/v1/tables/notes/rows/1",
        &headers,
        body.to_string().as_bytes(),
    );
    assert_eq!(refused.status, 404);
    assert_eq!(running.server.digest().unwrap(), digest);
    running.end();
}

#[test]
fn no_row_leaves_what_the_caller_may_see() {
    let running = limited();
    let digest = running.server.digest().unwrap();
    let away = json!({ "owner": "you" });
    running
        .json("PATCH", "/v1/tables/notes/rows/0", &away)
        .problem(403);
    running
        .json(
            "PUT",
            "/v1/tables/notes/rows/0",
            &json!({ "owner": "you", "text": "a" }),
        )
        .problem(403);
    // Whether there is such a row or not.
    for id in [1, 77] {
        let row = json!({ "id": id, "owner": "you", "text": "planted" });
        running
            .json("POST", "/v1/tables/notes/rows", &row)
            .problem(403);
    }
    assert_eq!(running.server.digest().unwrap(), digest);
    // One that stays is changed, and its hidden column is left alone.
    let put = running.json("PUT", "/v1/tables/notes/rows/0", &json!({ "text": "mine" }));
    put.ok(200);
    tells_nothing(&put);
    let notes = running.server.database().collection("notes").unwrap();
    assert_eq!(notes.get(0).unwrap()[4], Value::from("canary 0"));
    let inserted = running.json(
        "POST",
        "/v1/tables/notes/rows",
        &json!({ "id": 8, "text": "new" }),
    );
    inserted.ok(201);
    tells_nothing(&inserted);
    // The slug of a row that may not be seen: taken, and no word about whose it is.
    let taken = running.json("PATCH", "/v1/tables/notes/rows/0", &json!({ "slug": "s3" }));
    assert!(!taken.problem(409).contains("row 3"));
    running.end();
}

#[test]
fn a_column_that_may_not_be_seen_is_no_column() {
    let running = limited();
    let digest = running.server.digest().unwrap();
    tells_nothing(&running.get("/v1/tables/notes/rows/0"));
    tells_nothing(&running.get("/v1/tables/notes"));
    tells_nothing(&running.get("/v1/tables"));
    tells_nothing(&running.get("/v1/tables/notes/rows"));
    let unknown = running.json(
        "PATCH",
        "/v1/tables/notes/rows/0",
        &json!({ "colour": "x" }),
    );
    let unknown = unknown.problem(400);
    let hidden = |answer: Answer| {
        // Word for word what is said of a column that is not there.
        assert_eq!(answer.problem(400).replace("secret", "colour"), unknown);
    };
    hidden(running.json(
        "PATCH",
        "/v1/tables/notes/rows/0",
        &json!({ "secret": "x" }),
    ));
    hidden(running.json(
        "PUT",
        "/v1/tables/notes/rows/0",
        &json!({ "text": "a", "secret": "x" }),
    ));
    hidden(running.json(
        "POST",
        "/v1/tables/notes/rows",
        &json!({ "id": 9, "text": "a", "secret": "x" }),
    ));
    let ask = |question: Json| running.json("POST", "/v1/tables/notes/query", &question);
    hidden(ask(json!({ "columns": ["secret"] })));
    hidden(ask(json!({ "where": "secret like 'c%'" })));
    hidden(ask(json!({ "where": "not (id == 1 or secret is null)" })));
    hidden(ask(
        json!({ "filter": { "compare": { "path": "secret", "op": "eq", "value": "canary 0" } } }),
    ));
    hidden(ask(json!({ "order": ["secret"] })));
    hidden(ask(json!({ "group_by": ["secret"] })));
    hidden(ask(
        json!({ "aggregates": [{ "function": "max", "path": "secret", "name": "m" }] }),
    ));
    for question in [
        json!({ "where": "notes.secret == 'a'" }),
        json!({ "columns": ["notes.secret"] }),
    ] {
        assert_eq!(ask(question).status, 400);
    }
    assert_eq!(
        running.get("/v1/tables/notes/rows?order=secret").status,
        400
    );
    assert_eq!(running.server.digest().unwrap(), digest);
    running.end();
}

#[test]
fn questions_are_answered_from_the_rows_that_may_be_seen() {
    let running = limited();
    let ask = |question: Json| running.json("POST", "/v1/tables/notes/query", &question);
    let all = ask(json!({}));
    tells_nothing(&all);
    let ids: Vec<i64> = all.ok(200)["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, [0, 2, 4]);
    // In the other form as well, under the schema that the caller has of the table.
    let table = running.get("/v1/tables/notes").ok(200);
    let schema = table["schema"].to_string();
    let schema = decode_schema(schema.as_bytes(), &Limits::default()).unwrap();
    let protobuf = [("accept", "application/x-protobuf")];
    let page = running.send("GET", "/v1/tables/notes/rows", &protobuf, b"");
    tells_nothing(&page);
    let rows = Format::Protobuf.decode_rows(&schema, &page.body, &Limits::default());
    assert_eq!(rows.unwrap().len(), 3);
    for text in [
        "id == 1",
        "owner == 'you'",
        "id == 1 or owner == 'you'",
        "not (owner == 'me')",
    ] {
        assert_eq!(
            ask(json!({ "where": text })).ok(200)["rows"],
            json!([]),
            "{text}"
        );
    }
    let count = json!({ "aggregates": [{ "function": "count", "name": "n" }] });
    assert_eq!(ask(count).ok(200)["rows"], json!([{ "n": 3 }]));
    // Which plan is taken tells of what there is.
    ask(json!({ "explain": true })).problem(403);
    assert_eq!(running.get("/v1/tables/notes").ok(200)["rows"], json!(null));
    running.end();
}

/// A cursor says where a page ends; whatever is made of it, no page shows more.
#[test]
fn a_tampered_cursor_shows_nothing_that_may_not_be_seen() {
    let running = limited();
    let digest = running.server.digest().unwrap();
    let path = "/v1/tables/notes/rows?limit=1&order=-text";
    let page = running.get(path).ok(200);
    let cursor = page["cursor"].as_str().unwrap();
    let seen = |cursor: &str| {
        let answer = running.get(&format!("{path}&cursor={cursor}"));
        tells_nothing(&answer);
        match answer.status {
            200 => {
                let page = answer.json();
                let rows = page["rows"].as_array().unwrap();
                assert!(rows.iter().all(|row| row["owner"] == "me"), "{page}");
                true
            }
            _ => {
                answer.problem(400);
                false
            }
        }
    };
    assert!(seen(cursor));
    let (mut taken, mut refused) = (0, 0);
    for at in 0..cursor.len() {
        for other in ['A', 'Q', 'z', '9', '_', '~'] {
            let mut changed: Vec<char> = cursor.chars().collect();
            changed[at] = other;
            if seen(&changed.into_iter().collect::<String>()) {
                taken += 1;
            } else {
                refused += 1;
            }
        }
        assert!(!seen(&cursor[..at]) || at == 0, "cut off at {at}");
    }
    assert!(refused > taken, "{refused} refused, {taken} taken");
    // One of another order, and one of another table.
    let other = running
        .get("/v1/tables/notes/rows?limit=1&order=-at,-text")
        .ok(200);
    seen(other["cursor"].as_str().unwrap());
    let hidden = format!("/v1/tables/hidden/rows?cursor={cursor}");
    assert_eq!(running.get(&hidden).status, 404);
    assert_eq!(running.server.digest().unwrap(), digest);
    running.end();
}

#[test]
fn a_table_of_which_nothing_may_be_seen_is_no_table() {
    let running = limited();
    let absent = running.get("/v1/tables/absent").text();
    for (method, path) in [
        ("GET", ""),
        ("DELETE", ""),
        ("PATCH", ""),
        ("GET", "/rows"),
        ("POST", "/rows"),
        ("POST", "/query"),
        ("GET", "/rows/1"),
        ("PUT", "/rows/1"),
        ("PATCH", "/rows/1"),
        ("DELETE", "/rows/1"),
    ] {
        let headers = [("content-type", "application/json")];
        let answer = running.send(method, &format!("/v1/tables/hidden{path}"), &headers, b"{}");
        assert_eq!(answer.status, 404, "{method} {path}");
        assert_eq!(
            answer.text().replace("hidden", "absent"),
            absent,
            "{method} {path}"
        );
    }
    assert!(!running.get("/v1/tables").text().contains("hidden"));
    let status = running.get("/v1/status");
    assert!(!status.text().contains("hidden"));
    assert_eq!(status.ok(200)["rows"], 0, "nor how many rows others have");
    assert!(running.get("/metrics").text().contains("tandem_rows 0\n"));
    // Nor is a table created under its name, altered or dropped by somebody who does not see all of it.
    let schema = json!({ "name": "hidden", "fields": [{ "name": "id", "type": "int" }] });
    running.json("POST", "/v1/tables", &schema).problem(403);
    running.delete("/v1/tables/notes").problem(403);
    let steps = json!({ "steps": [{ "remove_column": { "table": "notes", "column": "secret" } }] });
    running
        .json("PATCH", "/v1/tables/notes", &steps)
        .problem(403);
    assert!(running.server.database().collection("hidden").is_ok());
    running.end();
}
