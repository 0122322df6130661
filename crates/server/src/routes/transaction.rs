//! `POST /v1/transaction`: writes to several rows and tables, all in one commit or none.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use common::Text;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::rows::outcome;
use crate::access::Access;
use crate::auth::Scope;
use crate::call::{Answered, Call};
use crate::limits::OPERATIONS_MAX;
use crate::negotiate::{Condition, Media, Reply};
use crate::openapi::{Group, Operation, reference};
use crate::problem::Problem;
use crate::requests::commit;
use crate::write;

pub(super) fn group() -> Group {
    Group::new("transactions").route(
        Method::POST,
        "/v1/transaction",
        transaction,
        Operation::new(
            "transaction",
            "Write to several rows and tables: all in one commit, or nothing",
        )
        .needs(Scope::Write)
        .header(
            "Idempotency-Key",
            "Made again within 24 hours, the request is answered as before and writes nothing",
        )
        .takes(reference("Transaction"))
        .gives(200, "What became of each operation", reference("Written")),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    operations: Vec<Write<'a>>,
}

/// One write. `if_seq` is the number in the row's tag.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Write<'a> {
    Insert {
        table: Text,
        #[serde(borrow)]
        row: &'a RawValue,
    },
    Upsert {
        table: Text,
        #[serde(borrow)]
        row: &'a RawValue,
        if_seq: Option<u64>,
    },
    Update {
        table: Text,
        #[serde(borrow)]
        key: &'a RawValue,
        #[serde(borrow)]
        set: &'a RawValue,
        if_seq: Option<u64>,
    },
    Delete {
        table: Text,
        #[serde(borrow)]
        key: &'a RawValue,
        if_seq: Option<u64>,
    },
}

impl Write<'_> {
    const fn table(&self) -> &Text {
        match self {
            Self::Insert { table, .. }
            | Self::Upsert { table, .. }
            | Self::Update { table, .. }
            | Self::Delete { table, .. } => table,
        }
    }
}

fn transaction(call: &Call) -> Answered {
    Media::json_only(call)?;
    let body: Body<'_> = serde_json::from_slice(&call.body)
        .map_err(|error| Problem::invalid(format!("not a transaction: {error}")))?;
    if body.operations.len() > OPERATIONS_MAX {
        return Err(Problem::too_large(format!(
            "a transaction has at most {OPERATIONS_MAX} operations, this one {}",
            body.operations.len()
        )));
    }
    let mut tables = BTreeMap::new();
    for (number, write) in body.operations.iter().enumerate() {
        let name = write.table();
        if !tables.contains_key(name) {
            let access = Access::open(&call.caller, name);
            let access = access.map_err(|problem| problem.at(place(number)))?;
            tables.insert(name.clone(), access);
        }
    }
    commit(call, |tx| {
        let mut results = Vec::with_capacity(body.operations.len());
        for (number, operation) in body.operations.iter().enumerate() {
            let name = operation.table();
            let access = tables
                .get(name)
                .ok_or_else(|| crate::access::no_table(name))?;
            let object = |raw: &RawValue| access.given(raw.get().as_bytes());
            let key = |raw: &RawValue| access.key_of(&object(raw)?);
            let mut write = || match operation {
                Write::Insert { row, .. } => write::insert(tx, access, object(row)?),
                Write::Upsert { row, if_seq, .. } => {
                    write::upsert(tx, access, object(row)?, &Condition::at(*if_seq))
                }
                Write::Update {
                    key: id,
                    set,
                    if_seq,
                    ..
                } => write::update(tx, access, key(id)?, object(set)?, &Condition::at(*if_seq)),
                Write::Delete {
                    key: id, if_seq, ..
                } => write::delete(tx, access, key(id)?, &Condition::at(*if_seq)),
            };
            let written = write().map_err(|problem| problem.at(place(number)))?;
            results.push(outcome(access, &written));
        }
        let seq = tx.seq().0;
        Reply::json(StatusCode::OK, &json!({ "seq": seq, "results": results }))
    })
}

fn place(number: usize) -> String {
    format!("operation {}", number + 1)
}
