//! The schemas that the OpenAPI document names.

mod administration;
mod serving;

use serde_json::{Map, Value as Json, json};

use crate::limits::{ANSWER_ROWS, ANSWER_ROWS_MAX, OPERATIONS_MAX};
use crate::openapi::reference;

/// All of them, by name.
pub(crate) fn all() -> Json {
    let mut all = tables();
    if let Some(all) = all.as_object_mut() {
        let further = administration::all().into_iter().chain(serving::all());
        all.extend(further.map(|(name, schema)| (name.to_owned(), schema)));
    }
    all
}

fn text() -> Json {
    json!({ "type": "string" })
}

fn whole() -> Json {
    json!({ "type": "integer" })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "schemas are written where they are used"
)]
fn list(items: Json) -> Json {
    json!({ "type": "array", "items": items })
}

/// What a caller sends: what is not named is refused.
#[expect(
    clippy::needless_pass_by_value,
    reason = "schemas are written where they are used"
)]
fn asked(required: &[&str], properties: Json) -> Json {
    json!({
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    })
}

/// What the server answers: all of it is there, and later versions may have more.
#[expect(
    clippy::needless_pass_by_value,
    reason = "schemas are written where they are used"
)]
fn told(properties: Json) -> Json {
    let required: Vec<&String> = properties
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

/// Those of tables, rows and questions.
fn tables() -> Json {
    json!({
        "Problem": problem(),
        "Row": {
            "type": "object",
            "description": "The columns of a row by name. Times and dates are text after RFC 3339, bytes are base64, vectors are lists of numbers.",
            "additionalProperties": true,
        },
        "Filter": {
            "description": "A tree of conditions, as in {\"and\": [{\"compare\": {\"path\": \"country\", \"op\": \"eq\", \"value\": \"FI\"}}, {\"is_null\": {\"path\": \"name\"}}]}; beside these in, between, like, starts_with, contains, or, not; \"true\" for every row.",
        },
        "Query": query(),
        "Page": {
            "type": "object",
            "required": ["rows", "cursor", "seq"],
            "properties": {
                "rows": { "type": "array", "items": reference("Row") },
                "cursor": { "type": ["string", "null"], "description": "Where the next page begins; null when this is the last" },
                "seq": { "type": "integer", "description": "The commit that the rows are as of" },
            },
        },
        "Plan": told(json!({ "plan": {}, "text": text() })),
        "Field": field(),
        "Schema": schema(),
        "Table": {
            "type": "object",
            "required": ["name", "schema", "schema_id"],
            "properties": {
                "name": { "type": "string" },
                "rows": { "type": ["integer", "null"], "description": "Number of rows; null where some may not be seen" },
                "schema": reference("Schema"),
                "schema_id": { "type": "string", "description": "Name of the schema by its content, which rows as Protocol Buffers begin with" },
            },
        },
        "Migration": {
            "type": "object",
            "required": ["steps"],
            "properties": {
                "steps": {
                    "type": "array",
                    "items": { "type": "object" },
                    "description": "As in {\"add_column\": {\"table\": \"tasks\", \"field\": {\"name\": \"done\", \"type\": \"bool\", \"default\": false}}}",
                },
            },
        },
        "Transaction": transaction(),
        "Written": {
            "type": "object",
            "required": ["seq", "results"],
            "properties": {
                "seq": { "type": "integer", "description": "The commit" },
                "results": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "path": { "type": "string" },
                            "etag": { "type": "string" },
                            "created": { "type": "boolean" },
                            "deleted": { "type": "boolean" },
                        },
                    },
                },
            },
        },
    })
}

fn problem() -> Json {
    let violation = json!({
        "type": "object",
        "properties": { "path": { "type": "string" }, "rule": { "type": "string" }, "message": { "type": "string" } },
    });
    json!({
        "type": "object",
        "required": ["title", "status", "detail"],
        "properties": {
            "title": { "type": "string", "description": "What kind of problem" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "What, where, and what to do" },
            "violations": { "type": "array", "items": violation, "description": "Every rule that a row breaks" },
        },
    })
}

fn query() -> Json {
    let path = json!({ "type": "string" });
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "filter": reference("Filter"),
            "where": { "type": ["string", "null"], "description": "Conditions as text: `country == 'FI' and population > 1000`" },
            "columns": { "type": "array", "items": { "oneOf": [path, { "type": "object", "properties": { "path": path, "name": path } }] } },
            "group_by": { "type": "array", "items": path },
            "aggregates": { "type": "array", "items": { "type": "object", "properties": { "function": { "enum": ["count", "count_distinct", "sum", "min", "max", "avg"] }, "path": path, "name": path } } },
            "having": reference("Filter"),
            "order": { "type": "array", "items": { "oneOf": [{ "type": "string", "description": "A column, `-` in front for the greatest first" }, { "type": "object" }] } },
            "limit": { "type": ["integer", "null"], "minimum": 0, "maximum": ANSWER_ROWS_MAX, "default": ANSWER_ROWS },
            "cursor": { "type": ["string", "null"], "description": "Where the page before ended; null for the first page" },
            "explain": { "type": "boolean", "description": "How the question would be answered, in place of the rows" },
        },
    })
}

fn field() -> Json {
    json!({
        "type": "object",
        "required": ["name", "type"],
        "properties": {
            "id": { "type": "integer", "description": "Stable number; given where left out" },
            "name": { "type": "string" },
            "type": { "description": "bool, int, float, text, bytes, timestamp, date, uuid, any, or an object for lists, maps and vectors" },
            "nullable": { "type": "boolean", "default": false },
            "default": { "description": "The value of rows that leave the column out" },
            "rules": { "type": "array", "items": { "type": ["object", "string"] }, "description": "As in {\"range\": {\"min\": 0}}, or the name of one without parts" },
        },
    })
}

fn schema() -> Json {
    let columns = json!({ "type": "array", "items": { "type": "string" } });
    json!({
        "type": "object",
        "required": ["name", "fields"],
        "properties": {
            "name": { "type": "string" },
            "version": { "type": "integer", "default": 1 },
            "key_columns": { "type": "integer", "default": 1, "description": "How many of the first columns are the key" },
            "fields": { "type": "array", "items": reference("Field") },
            "indexes": { "type": "array", "items": { "type": "object", "properties": { "name": { "type": "string" }, "columns": columns, "kind": { "enum": ["hash", "ordered"] }, "unique": { "type": "boolean" } } } },
            "references": { "type": "array", "items": { "type": "object", "properties": { "columns": columns, "table": { "type": "string" }, "on_delete": { "enum": ["restrict", "cascade", "set_null"] } } } },
        },
    })
}

fn transaction() -> Json {
    let table = json!({ "type": "string" });
    let row = || reference("Row");
    let if_seq = json!({ "type": "integer", "description": "The number in the row's tag: the transaction fails when it is another by now" });
    let operation = |name: &str, properties: Json| json!({ "type": "object", "required": [name], "properties": { name: { "type": "object", "properties": properties } } });
    json!({
        "type": "object",
        "required": ["operations"],
        "properties": {
            "operations": {
                "type": "array",
                "maxItems": OPERATIONS_MAX,
                "items": { "oneOf": [
                    operation("insert", json!({ "table": table, "row": row() })),
                    operation("upsert", json!({ "table": table, "row": row(), "if_seq": if_seq })),
                    operation("update", json!({ "table": table, "key": row(), "set": row(), "if_seq": if_seq })),
                    operation("delete", json!({ "table": table, "key": row(), "if_seq": if_seq })),
                ] },
            },
        },
    })
}
