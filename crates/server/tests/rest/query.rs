//! Questions: what they give, page by page, and what is no question.

use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::{Database, row};
use serde_json::{Value as Json, json};
use server::ServeOptions;
use syncdb::SyncServerOptions;

use crate::support::{Running, run, run_with};

fn cities() -> Running {
    let db = Database::new();
    let cities = Schema::build("cities", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("name", FieldType::Text))
        .field(Field::new("country", FieldType::Text))
        .field(Field::new("population", FieldType::Int).nullable())
        .index(IndexSpec::hash(["country"]));
    let cities = db.create_collection(cities.finish().unwrap()).unwrap();
    for id in 0..250 {
        let country = ["FI", "SE", "NO"][usize::try_from(id % 3).unwrap()];
        let name = format!("city {id}");
        let population = (id != 7).then_some(id * 10);
        cities
            .insert(row! { "id": id, "name": name, "country": country, "population": population })
            .unwrap();
    }
    run_with(db, SyncServerOptions::default(), ServeOptions::default())
}

fn ids(page: &Json) -> Vec<i64> {
    let rows = page["rows"].as_array().unwrap();
    rows.iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

#[test]
fn pages_follow_each_other_without_gap_or_repetition() {
    let running = cities();
    let mut seen = Vec::new();
    let mut path =
        "/v1/tables/cities/rows?limit=60&order=-population&where=country%20!%3D%20'NO'".to_owned();
    loop {
        let answer = running.get(&path);
        let page = answer.ok(200);
        seen.extend(ids(&page));
        assert_eq!(page["seq"].to_string(), answer.header("tandem-seq"));
        match page["cursor"].as_str() {
            Some(cursor) => {
                assert_eq!(cursor, answer.header("tandem-cursor"));
                path = format!(
                    "/v1/tables/cities/rows?limit=60&order=-population&where=country%20!%3D%20'NO'&cursor={cursor}"
                );
            }
            None => break,
        }
    }
    let mut expected: Vec<i64> = (0..250).filter(|id| id % 3 != 2).collect();
    expected.sort_by_key(|id| (std::cmp::Reverse((*id != 7).then_some(*id)), *id));
    assert_eq!(seen, expected);
    // By key where nothing is said, 100 at a time.
    assert_eq!(
        ids(&running.get("/v1/tables/cities/rows").ok(200)),
        (0..100).collect::<Vec<i64>>()
    );
    running.end();
}

#[test]
fn filters_columns_and_groups_are_as_asked() {
    let running = cities();
    let ask = |question: Json| running.json("POST", "/v1/tables/cities/query", &question);
    let filter = json!({ "and": [
        { "compare": { "path": "country", "op": "eq", "value": "FI" } },
        { "between": { "path": "population", "low": 100, "high": 200 } },
    ] });
    let found = ask(json!({ "filter": filter, "columns": ["id", { "path": "name", "name": "called" }], "order": ["-id"] })).ok(200);
    assert_eq!(
        found["rows"],
        json!([
            { "id": 18, "called": "city 18" }, { "id": 15, "called": "city 15" }, { "id": 12, "called": "city 12" },
        ])
    );
    // The text and the tree hold together.
    let both = json!({ "filter": filter, "where": "id != 15", "columns": ["id"] });
    assert_eq!(ids(&ask(both).ok(200)), [12, 18]);
    let groups = json!({
        "group_by": ["country"],
        "aggregates": [
            { "function": "count", "name": "n" },
            { "function": "max", "path": "population", "name": "most" },
            { "function": "avg", "path": "population", "name": "mean" },
        ],
        "having": { "compare": { "path": "n", "op": "ge", "value": 1 } },
        "order": ["-most"],
    });
    let groups = ask(groups).ok(200);
    assert_eq!(
        groups["rows"][0],
        json!({ "country": "FI", "n": 84, "most": 2490, "mean": 1245.0 })
    );
    assert_eq!(groups["rows"].as_array().unwrap().len(), 3);
    let explained = ask(json!({ "where": "country == 'FI'", "explain": true })).ok(200);
    assert!(
        explained["text"]
            .as_str()
            .unwrap()
            .contains("index country"),
        "{explained}"
    );
    assert_eq!(ask(json!({ "limit": 0 })).ok(200)["rows"], json!([]));
    running.end();
}

#[test]
fn what_is_no_question_is_said() {
    let running = cities();
    for (question, says) in [
        (json!({ "columns": ["colour"] }), "no column `colour`"),
        (json!({ "where": "colour == 1" }), "no column `colour`"),
        (json!({ "order": ["colour"] }), "no column `colour`"),
        (json!({ "group_by": ["colour"] }), "no column `colour`"),
        (json!({ "where": "country ==" }), "where: line 1"),
        (
            json!({ "filter": { "compare": { "path": "id", "op": "like", "value": 1 } } }),
            "unknown variant `like`",
        ),
        (
            json!({ "filter": { "custom": { "name": "near", "paths": [], "arguments": [] } } }),
            "near",
        ),
        (json!({ "limit": 10_001 }), "at most 10000"),
        (json!({ "limit": -1 }), "not a query"),
        (json!({ "cursor": "AAAA" }), "cursor"),
        (json!({ "from": "notes" }), "unknown field `from`"),
        (json!({ "joins": [] }), "unknown field `joins`"),
        (json!({ "columns": ["id", "id"] }), "two columns `id`"),
        (json!({ "where": "id == $x" }), "parameters without values"),
    ] {
        let problem = running
            .json("POST", "/v1/tables/cities/query", &question)
            .problem(400);
        assert!(problem.contains(says), "{question}: {problem}");
    }
    let problem = running.get("/v1/tables/cities/rows?limits=1").problem(400);
    assert!(problem.contains("limits"), "{problem}");
    assert_eq!(
        running
            .json("POST", "/v1/tables/nothing/query", &json!({}))
            .status,
        404
    );
    assert_eq!(
        running
            .json("POST", "/v1/tables/sync_clients/query", &json!({}))
            .status,
        404
    );
    running.end();
}

/// A text is a text, whatever is in it: it finds what equals it, and nothing else.
#[test]
fn injections_are_texts_or_errors() {
    let running = run();
    let digest = running.server.digest().unwrap();
    for text in [
        "' or '1' == '1",
        "x' or true or 'x' == '",
        "'; drop table notes; --",
        "\\' or 1 == 1 --",
        "\" or \"\" == \"",
        "%' or owner like '%",
        "me' and secret like 'c%",
        "me\u{0}",
        "\u{2028}' or id >= 0",
        "$(reboot)",
        "{\"$map\":{}}",
    ] {
        let ask = |question: Json| running.json("POST", "/v1/tables/notes/query", &question);
        let filter = json!({ "compare": { "path": "owner", "op": "eq", "value": text } });
        assert_eq!(
            ask(json!({ "filter": filter })).ok(200)["rows"],
            json!([]),
            "{text}"
        );
        // In the text syntax, quoted as it has to be.
        let quoted = text.replace('\\', "\\\\").replace('\'', "\\'");
        let found = ask(json!({ "where": format!("owner == '{quoted}'") }));
        assert!(
            found.status == 400 || found.ok(200)["rows"] == json!([]),
            "{text}: {}",
            found.text()
        );
        // As a column, a table, a key.
        assert_eq!(ask(json!({ "columns": [text] })).status, 400, "{text}");
        assert_eq!(ask(json!({ "order": [text] })).status, 400, "{text}");
        let encoded: Vec<String> = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let encoded = encoded.concat();
        assert_eq!(
            running.get(&format!("/v1/tables/{encoded}")).status,
            404,
            "{text}"
        );
        assert_eq!(
            running
                .get(&format!("/v1/tables/notes/rows/{encoded}"))
                .status,
            400,
            "{text}"
        );
    }
    assert_eq!(running.server.digest().unwrap(), digest);
    running.end();
}
