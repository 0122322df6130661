//! Features in and out, as of times, with lineage; training sets and transformers of them.

use serde_json::{Value as Json, json};

use crate::running::Running;

fn shop() -> Running {
    let server = Running::new();
    let definitions = json!({
        "entities": [{ "name": "user", "keys": [{ "name": "user_id", "type": "int" }] }],
        "views": [
            { "name": "rides", "entity": "user", "features": [
                { "name": "fare", "type": "float", "nullable": true },
                { "name": "km", "type": "float", "nullable": true, "rules": [{ "range": { "min": 0.0, "max": null } }] } ] },
            { "name": "tastes", "entity": "user", "features": [
                { "name": "genre", "type": "text", "nullable": true },
                { "name": "km", "type": "float", "nullable": true } ] },
        ],
    });
    let applied = server.put("/v1/features/definitions", &definitions);
    assert_eq!(applied.status, 200, "{}", applied.text());
    assert_eq!(applied.json()["views"][0]["change"], "created");
    let again = server.put("/v1/features/definitions", &definitions).json();
    assert_eq!(again["views"][0]["change"], "unchanged");
    let events = json!({
        "events": [
            { "user_id": 1, "event_time": "2026-01-01T00:00:00Z", "fare": 9.5, "km": 3.0 },
            { "user_id": 1, "event_time": "2026-02-01T00:00:00Z", "fare": 12.0 },
            { "user_id": 2, "event_time": "2026-01-15T00:00:00Z", "fare": 7.0, "km": 2.0 },
        ],
        "source": { "name": "rides.csv", "version": "v1" },
    });
    let report = server.post("/v1/features/views/rides/events", &events);
    assert_eq!(
        (&report["events"], &report["unchanged"]),
        (&json!(3), &json!(0))
    );
    server
}

#[test]
fn values_are_those_of_the_time_that_is_asked_for() {
    let server = shop();
    let asked = |event: &str| {
        json!({ "features": [{ "view": "rides", "features": ["km", "fare"] }], "keys": [2, 1, 9],
                "as_of": { "event": event } })
    };
    let now = server.post("/v1/features/retrieve", &asked("2026-03-01T00:00:00Z"));
    assert_eq!(now["columns"], json!(["km", "fare"]));
    assert_eq!(now["rows"], json!([[2.0, 7.0], [null, 12.0], [null, null]]));
    assert_eq!(
        now["statuses"],
        json!([["present"], ["present"], ["unknown"]])
    );
    assert_eq!(
        (&now["present"], &now["incomplete"]),
        (&json!(2), &json!(1))
    );
    let then = server.post("/v1/features/retrieve", &asked("2026-01-10T00:00:00Z"));
    assert_eq!(
        then["rows"],
        json!([[null, null], [3.0, 9.5], [null, null]])
    );
    // What a tag names stays as it was.
    server.post("/v1/features/tags", &json!({ "name": "before" }));
    let late =
        json!({ "events": [{ "user_id": 2, "event_time": "2026-01-20T00:00:00Z", "fare": 70.0 }] });
    server.post("/v1/features/views/rides/events", &late);
    let mut by_tag = asked("");
    by_tag["as_of"] = json!({ "tag": "before" });
    let tagged = server.post("/v1/features/retrieve", &by_tag);
    assert_eq!(tagged["rows"][0], json!([2.0, 7.0]));
    let all = server.post(
        "/v1/features/views/rides/get",
        &json!({ "keys": [2], "as_of": { "event": "2026-03-01T00:00:00Z" } }),
    );
    assert_eq!(
        all["rows"][0]["features"],
        json!({ "fare": 70.0, "km": null })
    );
    assert_eq!(
        all["rows"][0]["statuses"],
        json!({ "fare": "present", "km": "missing" })
    );
    let history = server.post("/v1/features/views/rides/history", &json!({ "key": 2 }));
    let fares = history["events"].as_array().unwrap().iter();
    let fares: Vec<&Json> = fares.map(|event| &event["features"]["fare"]).collect();
    assert_eq!(fares, [&json!(7.0), &json!(70.0)]);
    let forgotten = server.post("/v1/features/views/rides/forget", &json!({ "keys": [2] }));
    assert_eq!(forgotten["events"], 2);
}

#[test]
fn an_arrow_stream_has_the_same_numbers() {
    use common::serialization::Format;
    let server = shop();
    let asked = json!({ "features": [{ "view": "rides" }], "keys": [2, 1, 9] }).to_string();
    let stream = server.post_as(
        "/v1/features/retrieve",
        "application/vnd.apache.arrow.stream",
        &asked,
    );
    assert_eq!(stream.media, "application/vnd.apache.arrow.stream");
    let float =
        |name| common::schema::Field::new(name, common::schema::FieldType::Float).nullable();
    let table = common::schema::Schema::build("features", ["user_id"])
        .field(common::schema::Field::new(
            "user_id",
            common::schema::FieldType::Int,
        ))
        .field(float("fare"))
        .field(float("km"))
        .finish()
        .unwrap();
    let rows = Format::Arrow
        .decode_rows(&table, &stream.bytes, &common::Limits::default())
        .unwrap();
    let plain = server.post(
        "/v1/features/retrieve",
        &serde_json::from_str(&asked).unwrap(),
    );
    for (at, row) in rows.iter().enumerate() {
        for (column, value) in row.iter().skip(1).enumerate() {
            let number = match value {
                common::Value::Float(value) => json!(value),
                _ => Json::Null,
            };
            assert_eq!(number, plain["rows"][at][column]);
        }
    }
    assert_eq!(rows.len(), 3);
}

#[test]
fn wrong_events_are_refused_left_out_or_taken_as_missing() {
    let server = shop();
    let events = |policy: &str| {
        json!({ "on_invalid": policy, "events": [
            { "user_id": 5, "event_time": "2026-01-01T00:00:00Z", "fare": 1.0, "km": -1.0 },
            { "user_id": 6, "event_time": "2026-01-01T00:00:00Z", "fare": 2.0, "km": 1.0 },
        ] })
    };
    let path = "/v1/features/views/rides/events";
    let (status, says) = server.refused(path, &events("refuse").to_string());
    assert_eq!(status, 400);
    assert!(says.contains("event 0") && says.contains("km"), "{says}");
    assert_eq!(
        server.get("/v1/features/views/rides")["events"],
        3,
        "nothing was kept"
    );
    let skipped = server.post(path, &events("skip"));
    assert_eq!(
        (&skipped["events"], &skipped["skipped"][0]["event"]),
        (&json!(1), &json!(0))
    );
    let missing = server.post(path, &events("missing"));
    assert_eq!(missing["missing"][0]["feature"], "km");
    for (body, field) in [
        (
            r#"{"events": [{"user_id": 1, "event_time": "soon"}]}"#,
            "event_time",
        ),
        (
            r#"{"events": [{"user_id": "x", "event_time": 0}]}"#,
            "user_id",
        ),
        (
            r#"{"events": [{"user_id": 1, "event_time": 0, "mood": 1}]}"#,
            "mood",
        ),
        (
            r#"{"events": [{"user_id": 1, "event_time": 0, "fare": 1e400}]}"#,
            "fare",
        ),
        (
            r#"{"events": [{"user_id": 1, "event_time": 0, "known_at": 0}, {"user_id": 1, "event_time": 1}]}"#,
            "known_at",
        ),
    ] {
        let (status, says) = server.refused(path, body);
        assert_eq!(status, 400, "{body}");
        assert!(says.contains(field), "{body}: {says}");
    }
}

#[test]
fn a_training_set_comes_back_with_what_it_was_made_of() {
    let server = shop();
    let asked = json!({ "name": "first", "known_at": "ever",
        "features": [{ "view": "rides", "features": ["fare"] }],
        "rows": [
            { "user_id": 1, "event_time": "2026-01-10T00:00:00Z" },
            { "user_id": 1, "event_time": "2026-02-10T00:00:00Z" },
            { "user_id": 2, "event_time": "2026-01-10T00:00:00Z" },
        ] });
    let set = server.post("/v1/features/training-sets", &asked);
    assert_eq!((&set["rows"], &set["complete"]), (&json!(3), &json!(2)));
    let path = format!("/v1/features/training-sets/{}", set["id"].as_str().unwrap());
    let back_fill =
        json!({ "events": [{ "user_id": 2, "event_time": "2026-01-02T00:00:00Z", "fare": 1.0 }] });
    server.post("/v1/features/views/rides/events", &back_fill);
    let again = server.get(&path);
    let fares = again["rows"].as_array().unwrap().iter();
    let fares: Vec<Json> = fares.map(|row| row["fare"].clone()).collect();
    assert_eq!(fares, [json!(9.5), json!(12.0), Json::Null]);
    let lines = server.get_as(&path, "application/x-ndjson").text();
    assert_eq!(lines.lines().count(), 3);
    assert_eq!(
        server
            .get_as(&path, "application/vnd.apache.arrow.stream")
            .status,
        200
    );
    assert_eq!(
        server.get_as("/v1/features/training-sets/none", "").status,
        404
    );

    // A transformer of it, and where that came from.
    let fit = json!({ "name": "scaled", "training_set": set["id"], "steps": [{ "scale": { "standard": { "centre": true, "scale": true } } }] });
    let fitted = server.post_as("/v1/transformers", "", &fit.to_string());
    assert_eq!(fitted.status, 201, "{}", fitted.text());
    let rows = json!({ "rows": [[9.5], [12.0], [null]] });
    let scaled = server.post("/v1/transformers/scaled/transform", &rows);
    assert_eq!(scaled["rows"], json!([[-1.0], [1.0], [null]]));
    let read = json!({ "features": [{ "view": "rides", "features": ["fare"] }], "keys": [1],
        "transformer": { "name": "scaled" } });
    let read = server.post("/v1/features/retrieve", &read);
    assert_eq!(read["rows"], json!([[1.0]]));
    assert_eq!(
        server.get("/v1/transformers")["transformers"][0]["name"],
        "scaled"
    );
    let nodes = server.get("/v1/features/lineage");
    let transform = nodes["nodes"].as_array().unwrap().iter();
    let transform = transform
        .clone()
        .find(|node| node["kind"] == "transform")
        .unwrap();
    let path = format!("/v1/features/lineage/{}", transform["id"].as_str().unwrap());
    let around = server.get(&path);
    let parents = around["ancestors"].as_array().unwrap().iter();
    assert!(
        parents.clone().any(|node| node["id"] == set["lineage"]),
        "{around}"
    );
    assert!(
        server
            .get_as(&path, "text/vnd.graphviz")
            .text()
            .starts_with("digraph")
    );
    let event = server
        .get_as(&path, "application/vnd.openlineage+json")
        .json();
    assert!(
        event["schemaURL"].as_str().unwrap().contains("openlineage"),
        "{event}"
    );
    let why = json!({ "view": "rides", "feature": "fare", "key": 1 });
    let why = server.post("/v1/features/why", &why);
    assert_eq!(
        (&why["value"], &why["run"]["name"]),
        (&json!(12.0), &json!("rides.csv"))
    );
}

#[test]
fn columns_are_fitted_on_rows_and_take_texts() {
    let server = Running::new();
    let fit = json!({ "name": "mixed",
        "columns": { "numbers": ["age"], "texts": ["city"], "routes": [
            { "name": "age", "columns": ["age"], "source": "numbers", "steps": [{ "scale": { "min_max": { "low": 0.0, "high": 1.0 } } }] },
            { "name": "city", "columns": ["city"], "source": { "encode": { "encoding": "one_hot", "unknown": "ignore", "missing": "ignore" } }, "steps": [] } ] },
        "rows": [{ "age": 10.0, "city": "a" }, { "age": 20.0, "city": "b" }] });
    let fitted = server.post_as("/v1/transformers", "", &fit.to_string());
    assert_eq!(fitted.status, 201, "{}", fitted.text());
    let rows = server.post(
        "/v1/transformers/mixed/transform",
        &json!({ "rows": [{ "age": 15.0, "city": "b" }] }),
    );
    assert_eq!(rows["rows"], json!([[0.5, 0.0, 1.0]]), "{rows}");
}
