//! `/v1/tables/{table}/rows`: one row by its key, or a few new ones.

use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use common::{RecordId, Row};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use serde_json::value::RawValue;

use crate::access::Access;
use crate::auth::Scope;
use crate::call::{Answered, Call};
use crate::limits::OPERATIONS_MAX;
use crate::negotiate::{Condition, Media, Reply, etag};
use crate::openapi::{Group, Operation, reference};
use crate::problem::Problem;
use crate::requests::commit;
use crate::write::{self, Written};

const ROWS: &str = "/v1/tables/{table}/rows";
const ROW: &str = "/v1/tables/{table}/rows/{key}";

pub(super) fn group() -> Group {
    let row = || reference("Row");
    let rows = json!({ "type": "array", "items": row() });
    let once = "Made again within 24 hours, the request is answered as before and writes nothing";
    let if_match = "The row's `ETag`: nothing is changed when it has another by now";
    let known = "A tag: 304 without a body when the row still has it";
    Group::new("rows")
        .route(
            Method::POST,
            ROWS,
            insert,
            Operation::new(
                "insertRows",
                "Insert a row, or up to 1,000 of them, in one commit",
            )
            .needs(Scope::Write)
            .in_turn()
            .short()
            .header("Idempotency-Key", once)
            .takes(json!({ "anyOf": [row(), rows] }))
            .takes_protobuf()
            .gives(
                201,
                "The row with its defaults; of several, keys and tags",
                json!({ "anyOf": [row(), reference("Written")] }),
            ),
        )
        .route(
            Method::GET,
            ROW,
            get,
            Operation::new("getRow", "A row by its key")
                .short()
                .header("If-None-Match", known)
                .gives(200, "The row", row())
                .gives_protobuf()
                .gives_nothing(304, "The row has the tag that the request names"),
        )
        .route(
            Method::PUT,
            ROW,
            put,
            Operation::new("putRow", "Insert a row, or replace the one under the key")
                .needs(Scope::Write)
                .in_turn()
                .short()
                .header("If-Match", if_match)
                .header("Idempotency-Key", once)
                .header("If-None-Match", "`*`: only when there is no row yet")
                .takes(row())
                .takes_protobuf()
                .gives(200, "The row that took the place of another", row())
                .gives(201, "The new row", row())
                .gives_protobuf(),
        )
        .route(
            Method::PATCH,
            ROW,
            patch,
            Operation::new("patchRow", "Set some columns of a row")
                .needs(Scope::Write)
                .in_turn()
                .short()
                .header("If-Match", if_match)
                .header("Idempotency-Key", once)
                .takes(row())
                .gives(200, "The row", row())
                .gives_protobuf(),
        )
        .route(
            Method::DELETE,
            ROW,
            delete,
            // Not short: what refers to it may be much.
            Operation::new(
                "deleteRow",
                "Delete a row, and what refers to it where a reference says so",
            )
            .needs(Scope::Write)
            .in_turn()
            .header("If-Match", if_match)
            .header("Idempotency-Key", once)
            .gives_nothing(204, "It is gone"),
        )
}

/// The rows of a body: one, or a list of them.
enum Given {
    One(Row),
    Many(Vec<Row>),
}

fn given(call: &Call, access: &Access) -> Result<Given, Problem> {
    if Media::of_body(call)? == Media::Protobuf {
        return access.given_whole(&call.body).map(Given::Many);
    }
    let first = call.body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'[') {
        return access.given(&call.body).map(Given::One);
    }
    let rows: Vec<&RawValue> = serde_json::from_slice(&call.body)
        .map_err(|error| Problem::invalid(format!("not a list of rows as JSON: {error}")))?;
    if rows.len() > OPERATIONS_MAX {
        return Err(Problem::too_large(format!(
            "one request inserts at most {OPERATIONS_MAX} rows, this one {}",
            rows.len()
        )));
    }
    let rows = rows.iter().enumerate().map(|(number, row)| {
        let row = access.given(row.get().as_bytes());
        row.map_err(|problem| problem.at(format!("row {}", number + 1)))
    });
    rows.collect::<Result<_, _>>().map(Given::Many)
}

fn insert(call: &Call) -> Answered {
    let access = Access::open(&call.caller, call.parameter("table"))?;
    let media = Media::of_answer(call)?;
    let given = given(call, &access)?;
    commit(call, |tx| match given {
        Given::One(row) => {
            let written = write::insert(tx, &access, row)?;
            let path = path_of(&access, &written.id);
            row_reply(StatusCode::CREATED, media, &access, &written)
                .map(|reply| reply.location(path))
        }
        Given::Many(rows) => {
            let written = rows.into_iter().enumerate().map(|(number, row)| {
                let written = write::insert(tx, &access, row);
                written
                    .map(|written| outcome(&access, &written))
                    .map_err(|problem| problem.at(format!("row {}", number + 1)))
            });
            let results = written.collect::<Result<Vec<_>, _>>()?;
            let seq = tx.seq().0;
            Reply::json(
                StatusCode::CREATED,
                &json!({ "seq": seq, "results": results }),
            )
        }
    })
}

/// What a write among several did.
pub(super) fn outcome(access: &Access, written: &Written) -> serde_json::Value {
    let path = path_of(access, &written.id);
    if written.record.is_none() {
        return json!({ "path": path, "deleted": true });
    }
    json!({ "path": path, "etag": etag(written.seq), "created": written.created })
}

/// Where a row is found.
fn path_of(access: &Access, id: &RecordId) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let values = id.values().iter().map(|value| {
        let text = value
            .as_text()
            .map_or_else(|| value.to_string(), str::to_owned);
        encode(&text)
    });
    let key = values.collect::<Vec<_>>().join(",");
    format!("/v1/tables/{}/rows/{key}", encode(&access.visible.name))
}

fn row_reply(
    status: StatusCode,
    media: Media,
    access: &Access,
    written: &Written,
) -> Result<Reply, Problem> {
    let record = written
        .record
        .as_ref()
        .ok_or_else(|| access.no_row(&written.id))?;
    let reply = Reply::row(status, media, &access.visible, &access.shown(record))?;
    Ok(reply.etag(written.seq))
}

fn get(call: &Call) -> Answered {
    let access = Access::open(&call.caller, call.parameter("table"))?;
    let media = Media::of_answer(call)?;
    let id = access.key_in_path(&call.path)?;
    let condition = Condition::of(call)?;
    let found = access.collection.try_get(id.clone())?;
    let record = found.filter(|record| access.sees(record));
    let record = record.ok_or_else(|| access.no_row(&id))?;
    if condition.is_known(record.seq()) {
        let nothing = Reply::of(StatusCode::NOT_MODIFIED, media.name(), Vec::new());
        return Ok(nothing.etag(record.seq()).into_response());
    }
    condition.check(Some(record.seq()))?;
    let reply = Reply::row(
        StatusCode::OK,
        media,
        &access.visible,
        &access.shown(&record),
    )?;
    Ok(reply.etag(record.seq()).into_response())
}

/// The row of a body, which may leave out the key that the path has.
fn row_at(call: &Call, access: &Access, id: &RecordId) -> Result<Row, Problem> {
    let mut row = match Media::of_body(call)? {
        Media::Json => access.given(&call.body)?,
        Media::Protobuf => {
            let mut rows = access.given_whole(&call.body)?;
            match (rows.pop(), rows.is_empty()) {
                (Some(row), true) => row,
                _ => return Err(Problem::invalid("the body is one row")),
            }
        }
    };
    let fields = access.visible.key_fields().iter().zip(id.values());
    for (field, value) in fields {
        if row.get(&field.name).is_some_and(|given| given != value) {
            return Err(Problem::invalid(format!(
                "column `{}` is part of the key, and the path has another value for it",
                field.name
            )));
        }
        row.set(field.name.clone(), value.clone());
    }
    Ok(row)
}

fn put(call: &Call) -> Answered {
    let access = Access::open(&call.caller, call.parameter("table"))?;
    let media = Media::of_answer(call)?;
    let id = access.key_in_path(&call.path)?;
    let row = row_at(call, &access, &id)?;
    let condition = Condition::of(call)?;
    commit(call, |tx| {
        let written = write::upsert(tx, &access, row, &condition)?;
        let status = if written.created {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        row_reply(status, media, &access, &written)
    })
}

fn patch(call: &Call) -> Answered {
    let access = Access::open(&call.caller, call.parameter("table"))?;
    let media = Media::of_answer(call)?;
    let id = access.key_in_path(&call.path)?;
    Media::json_only(call)?;
    let changes = row_at(call, &access, &id)?;
    let condition = Condition::of(call)?;
    commit(call, |tx| {
        let written = write::update(tx, &access, id, changes, &condition)?;
        row_reply(StatusCode::OK, media, &access, &written)
    })
}

fn delete(call: &Call) -> Answered {
    let access = Access::open(&call.caller, call.parameter("table"))?;
    let id = access.key_in_path(&call.path)?;
    let condition = Condition::of(call)?;
    commit(call, |tx| {
        write::delete(tx, &access, id, &condition)?;
        Ok(Reply::of(StatusCode::NO_CONTENT, "", Vec::new()))
    })
}
