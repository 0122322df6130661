//! Tables come, change and go.

use serde_json::json;

use crate::support::run;

#[test]
fn a_table_is_created_described_altered_and_dropped() {
    let running = run();
    let schema = json!({
        "name": "tasks",
        "fields": [{ "name": "id", "type": "int" }, { "name": "title", "type": "text" }],
        "indexes": [{ "name": "by_title", "columns": ["title"], "kind": "ordered" }],
    });
    let created = running.json("POST", "/v1/tables", &schema);
    let table = created.ok(201);
    assert_eq!(created.header("location"), "/v1/tables/tasks");
    assert_eq!(table["schema"]["fields"][1]["id"], 2);
    assert_eq!(running.get("/v1/tables/tasks").ok(200), table);
    let names = |json: serde_json::Value| -> Vec<String> {
        let tables = json["tables"].as_array().unwrap();
        tables
            .iter()
            .map(|table| table["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(running.get("/v1/tables").ok(200)), ["notes", "tasks"]);
    running
        .json(
            "POST",
            "/v1/tables/tasks/rows",
            &json!({ "id": 1, "title": "a" }),
        )
        .ok(201);

    // A replica that has the table gets the new column with its next sync.
    let phone = syncdb::SyncDb::client("phone").unwrap();
    let server = std::sync::Arc::clone(&running.server);
    let mut transport = |request: &[u8]| server.handle(request);
    phone.sync(&mut transport).unwrap();
    let field = json!({ "name": "done", "type": "bool", "default": false });
    let steps = json!({ "steps": [{ "add_column": { "table": "tasks", "field": field } }] });
    let altered = running.json("PATCH", "/v1/tables/tasks", &steps).ok(200);
    assert_eq!(altered["schema"]["fields"][2]["name"], "done");
    assert_eq!(
        running.get("/v1/tables/tasks/rows/1").ok(200)["done"],
        false
    );
    let steps = json!({ "steps": [{ "rename_column": { "table": "tasks", "column": "title", "to": "name" } }] });
    running.json("PATCH", "/v1/tables/tasks", &steps).ok(200);
    assert_eq!(running.get("/v1/tables/tasks/rows/1").ok(200)["name"], "a");
    running
        .json("PATCH", "/v1/tables/tasks/rows/1", &json!({ "done": true }))
        .ok(200);
    assert!(phone.sync(&mut transport).unwrap().converged);
    let row = phone.collection("tasks").unwrap().get(1).unwrap();
    assert_eq!(row[2], common::Value::from(true));

    assert_eq!(running.delete("/v1/tables/tasks").status, 204);
    assert_eq!(running.get("/v1/tables/tasks").status, 404);
    assert_eq!(running.delete("/v1/tables/tasks").status, 404);
    running.end();
}

#[test]
fn what_is_no_table_is_refused() {
    let running = run();
    let id = json!([{ "name": "id", "type": "int" }]);
    for (schema, status, says) in [
        (json!({ "name": "notes", "fields": id }), 409, "notes"),
        (
            json!({ "name": "sync_clients", "fields": id }),
            400,
            "the server's own",
        ),
        (json!({ "name": "", "fields": id }), 400, "empty"),
        (json!({ "name": "a", "fields": [] }), 400, "key"),
        (
            json!({ "name": "a", "fields": [{ "name": "id", "type": "number" }] }),
            400,
            "number",
        ),
        (json!({ "name": "a", "fields": "id" }), 400, "not a schema"),
        (json!([]), 400, "not a schema"),
    ] {
        let problem = running.json("POST", "/v1/tables", &schema).problem(status);
        assert!(problem.contains(says), "{schema}: {problem}");
    }
    let other = json!({ "steps": [{ "remove_table": { "table": "others" } }] });
    assert!(
        running
            .json("PATCH", "/v1/tables/notes", &other)
            .problem(400)
            .contains("`others`")
    );
    let unknown =
        json!({ "steps": [{ "remove_column": { "table": "notes", "column": "colour" } }] });
    assert!(
        running
            .json("PATCH", "/v1/tables/notes", &unknown)
            .problem(400)
            .contains("colour")
    );
    running.end();
}
