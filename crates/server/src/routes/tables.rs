//! `/v1/tables`: which tables there are, what columns they have, and how they change.

use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use common::serialization::decode_schema;
use common::{Database, ErrorKind};
use serde_json::{Value as Json, json};
use syncdb::Permission;
use syncdb::migration::{Migration, alter};
use syncdb::sync::protocol::is_system;

use crate::access::{Access, body_limits};
use crate::auth::Scope;
use crate::call::{Answered, Call};
use crate::negotiate::{Media, Reply};
use crate::openapi::{Group, Operation, reference};
use crate::problem::Problem;

const TABLES: &str = "/v1/tables";
const TABLE: &str = "/v1/tables/{table}";

pub(super) fn group() -> Group {
    let table = || reference("Table");
    Group::new("tables")
        .route(
            Method::GET,
            TABLES,
            list,
            Operation::new("listTables", "The tables of which the caller may see something").gives(
                200,
                "The tables, by name",
                json!({ "type": "object", "properties": { "tables": { "type": "array", "items": reference("Table") } } }),
            ),
        )
        .route(
            Method::POST,
            TABLES,
            create,
            Operation::new("createTable", "Create an empty table")
                .needs(Scope::Admin)
                .takes(reference("Schema"))
                .gives(201, "The table", table()),
        )
        .route(
            Method::GET,
            TABLE,
            describe,
            Operation::new("describeTable", "The columns of a table, as the caller sees it")
                .gives(200, "The table", table()),
        )
        .route(
            Method::PATCH,
            TABLE,
            migrate,
            Operation::new("alterTable", "Alter a table by the steps of a migration: all of them, or none")
                .needs(Scope::Admin)
                .takes(reference("Migration"))
                .gives(200, "The table", table()),
        )
        .route(
            Method::DELETE,
            TABLE,
            remove,
            Operation::new("dropTable", "Drop a table with its rows")
                .needs(Scope::Admin).gives_nothing(204, "It is gone"),
        )
}

fn described(access: &Access) -> Json {
    // How many rows others have is not for everybody.
    let rows = access.has_all_rows().then(|| access.collection.len());
    json!({
        "name": access.visible.name,
        "rows": rows,
        "schema": access.visible,
        "schema_id": access.visible.schema_id().to_string(),
    })
}

fn list(call: &Call) -> Answered {
    let collections = call.database().collections().into_iter();
    let user = collections.filter(|table| !is_system(table.name()));
    let mut tables = Vec::new();
    for collection in user {
        match Access::of(&call.caller, collection) {
            Ok(access) => tables.push(described(&access)),
            Err(problem) if problem.status == StatusCode::NOT_FOUND.as_u16() => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok(Reply::json(StatusCode::OK, &json!({ "tables": tables }))?.into_response())
}

fn describe(call: &Call) -> Answered {
    let access = Access::open(&call.caller, call.parameter("table"))?;
    Ok(Reply::json(StatusCode::OK, &described(&access))?.into_response())
}

/// Tables are altered only where no lineage says what they are.
fn check_may_alter(call: &Call) -> Result<&Database, Problem> {
    if call.caller.tenant.sync().serves_versions() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            ErrorKind::Conflict.name(),
            "the tables are versions of a lineage that the server was started with: add a migration to that",
        ));
    }
    Ok(call.database())
}

fn create(call: &Call) -> Answered {
    let db = check_may_alter(call)?;
    Media::json_only(call)?;
    let schema = decode_schema(&numbered(&call.body)?, &body_limits());
    let schema = schema.map_err(|error| Problem::in_body(&error))?;
    if is_system(&schema.name) {
        return Err(Problem::invalid(format!(
            "table `{}`: names that begin with `sync_` are the server's own",
            schema.name
        )));
    }
    if call.caller.permission(&schema) != Permission::all() {
        return Err(Problem::forbidden(format!(
            "you may not see all of a table `{}`, so you may not create it",
            schema.name
        )));
    }
    let collection = db.create_collection(schema)?;
    let access = Access::of(&call.caller, collection)?;
    let reply = Reply::json(StatusCode::CREATED, &described(&access))?;
    let path = percent_encoding::utf8_percent_encode(
        &access.visible.name,
        percent_encoding::NON_ALPHANUMERIC,
    );
    Ok(reply.location(format!("{TABLES}/{path}")).into_response())
}

/// The schema with what nobody wants to write by hand: its version, the numbers of its columns, a key of the first one.
fn numbered(body: &[u8]) -> Result<Vec<u8>, Problem> {
    let wrong = |error: serde_json::Error| Problem::invalid(format!("not a schema: {error}"));
    let mut schema: Json = serde_json::from_slice(body).map_err(wrong)?;
    if let Some(schema) = schema.as_object_mut() {
        schema.entry("version").or_insert_with(|| json!(1));
        schema.entry("key_columns").or_insert_with(|| json!(1));
    }
    let fields = schema.get_mut("fields").and_then(Json::as_array_mut);
    let fields = fields.into_iter().flatten().filter_map(Json::as_object_mut);
    let fields: Vec<_> = fields.collect();
    let known = fields.iter().filter_map(|field| field.get("id")?.as_u64());
    let mut next = known.max().unwrap_or_default();
    for field in fields {
        if !field.contains_key("id") {
            next += 1;
            field.insert("id".to_owned(), json!(next));
        }
    }
    serde_json::to_vec(&schema).map_err(wrong)
}

fn migrate(call: &Call) -> Answered {
    let name = call.parameter("table");
    whole(call, name)?;
    check_may_alter(call)?;
    Media::json_only(call)?;
    let migration = Migration::from_json(&call.body, &body_limits());
    let migration = migration.map_err(|error| Problem::in_body(&error))?;
    if let Some(step) = migration.steps.iter().find(|step| *step.table() != *name) {
        return Err(Problem::invalid(format!(
            "this is for table `{name}`, a step is for `{}`",
            step.table()
        )));
    }
    let altered = call.caller.tenant.alter(|db| alter(db, migration));
    altered.map_err(|error| Problem::in_body(&error))?;
    // Under a new name, if a step gave it one.
    let renamed = Access::open(&call.caller, name)?;
    Ok(Reply::json(StatusCode::OK, &described(&renamed))?.into_response())
}

fn remove(call: &Call) -> Answered {
    let name = call.parameter("table");
    whole(call, name)?;
    check_may_alter(call)?.drop_collection(name)?;
    Ok(Reply::of(StatusCode::NO_CONTENT, "", Vec::new()).into_response())
}

/// A table goes on for those who see all of it only.
fn whole(call: &Call, name: &str) -> Result<(), Problem> {
    if Access::open(&call.caller, name)?.is_whole() {
        return Ok(());
    }
    Err(Problem::forbidden(format!(
        "`{name}` has rows or columns that you may not see, so you may not alter or drop it"
    )))
}
