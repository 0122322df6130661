//! `/v1/admin/..`: clients, conflicts, rejected mutations, schemas, API keys and the audit, for who has the scope `admin`.
//!
//! Everything is of the caller's own tenant. What changes something is in the [audit](crate::audit::Audit).

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, Path, RawQuery};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{delete, get, post};
use common::schema::Schema;
use common::{Error, ErrorKind, RecordId, Result, Text, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use syncdb::sync::protocol::is_system;
use syncdb::{EntryId, LedgerEntry, LedgerQuery, RevertOptions, VersionInUse};

use crate::auth::{ApiKeyOptions, Caller, Scope};
use crate::call::ended;
use crate::openapi::{Group, Operation};
use crate::problem::Problem;

/// Most entries of one answer.
const ENTRIES_MAX: usize = 1_000;
/// Entries of an answer when nothing is said.
const ENTRIES_DEFAULT: usize = 100;

#[expect(clippy::too_many_lines, reason = "a list of routes")]
pub(super) fn group() -> Group {
    let object = || json!({ "type": "object" });
    Group::new("administration")
        .route_async(
            Method::GET,
            "/v1/admin/clients",
            get(clients),
            Operation::new(
                "listClients",
                "Replicas, their versions and how far each has read",
            )
            .needs(Scope::Admin)
            .gives(200, "What was found or done", object()),
        )
        .route_async(
            Method::GET,
            "/v1/admin/conflicts",
            get(conflicts),
            Operation::new("listConflicts", "Conflicts and how they were resolved")
                .needs(Scope::Admin)
                .gives(200, "What was found or done", object()),
        )
        .route_async(
            Method::GET,
            "/v1/admin/conflicts/{id}",
            get(conflict),
            Operation::new("getConflict", "One conflict")
                .needs(Scope::Admin)
                .gives(200, "What was found or done", object()),
        )
        .route_async(
            Method::POST,
            "/v1/admin/conflicts/{id}/revert",
            post(revert),
            Operation::new("revertConflict", "Write what a conflict had put aside")
                .needs(Scope::Admin)
                .takes(object())
                .gives(200, "What was found or done", object()),
        )
        .route_async(
            Method::GET,
            "/v1/admin/explain",
            get(explain),
            Operation::new("explainRow", "Where the values of a row came from")
                .needs(Scope::Admin)
                .gives(200, "What was found or done", object()),
        )
        .route_async(
            Method::GET,
            "/v1/admin/rejected",
            get(rejected),
            Operation::new("listRejected", "Mutations that were refused, and why")
                .needs(Scope::Admin)
                .gives(200, "What was found or done", object()),
        )
        .route_async(
            Method::GET,
            "/v1/admin/schema",
            get(schema),
            Operation::new(
                "schema",
                "Tables and the versions of the application that are in use",
            )
            .needs(Scope::Admin)
            .gives(200, "What was found or done", object()),
        )
        .route_async(
            Method::GET,
            "/v1/admin/keys",
            get(keys),
            Operation::new("listKeys", "API keys, without their secrets")
                .needs(Scope::Admin)
                .gives(200, "What was found or done", object()),
        )
        .route_async(
            Method::POST,
            "/v1/admin/keys",
            post(create_key),
            Operation::new(
                "createKey",
                "Make an API key; its secret is in this answer and nowhere else",
            )
            .needs(Scope::Admin)
            .takes(object())
            .gives(201, "What was found or done", object()),
        )
        .route_async(
            Method::DELETE,
            "/v1/admin/keys/{id}",
            delete(revoke_key),
            Operation::new("revokeKey", "Revoke an API key")
                .needs(Scope::Admin)
                .gives(200, "What was found or done", object()),
        )
        .route_async(
            Method::GET,
            "/v1/admin/audit",
            get(audit),
            Operation::new("audit", "What was administered, by whom, and how it went")
                .needs(Scope::Admin)
                .gives(200, "What was found or done", object()),
        )
        .route_async(
            Method::POST,
            "/v1/admin/prune",
            post(prune),
            Operation::new(
                "prune",
                "Drop the part of the log that no active replica needs",
            )
            .needs(Scope::Admin)
            .gives(200, "What was found or done", object()),
        )
}

/// Answers with what `work` finds, past the threads that answer others.
async fn answer<T: Serialize + Send + 'static>(
    caller: Caller,
    work: impl FnOnce(&Caller) -> Result<T> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(move || work(&caller)).await {
        Ok(Ok(found)) => Json(found).into_response(),
        Ok(Err(error)) => Problem::of(&error).into_response(),
        Err(_) => ended().into_response(),
    }
}

/// The parameters behind `?`.
fn parameters<T: DeserializeOwned>(query: Option<&str>) -> Result<T> {
    let uri = format!("/?{}", query.unwrap_or_default());
    let uri = uri
        .parse()
        .map_err(|_| Error::invalid("the query of the address does not read"))?;
    let read = axum::extract::Query::<T>::try_from_uri(&uri);
    read.map(|read| read.0)
        .map_err(|error| Error::invalid(error.body_text()))
}

/// The JSON of a body; without one, what the default is.
fn body<T: DeserializeOwned + Default>(
    body: std::result::Result<Bytes, BytesRejection>,
) -> Result<T> {
    let bytes = body.map_err(|rejection| {
        let kind = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            ErrorKind::LimitExceeded
        } else {
            ErrorKind::Invalid
        };
        Error::new(kind, rejection.body_text())
    })?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&bytes).map_err(|error| Error::invalid(format!("the body: {error}")))
}

/// A list, with what to say for the next page where there is more.
#[derive(Serialize)]
struct Page<T> {
    entries: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl<T> Page<T> {
    /// The first of `all`, and what the one after them is called.
    fn of(all: impl IntoIterator<Item = T>, limit: usize, name: impl Fn(&T) -> String) -> Self {
        let mut entries: Vec<T> = all.into_iter().take(limit + 1).collect();
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| more).map(name);
        Self { entries, next }
    }
}

fn limit(asked: Option<usize>) -> Result<usize> {
    match asked {
        None => Ok(ENTRIES_DEFAULT),
        Some(limit @ 1..=ENTRIES_MAX) => Ok(limit),
        Some(limit) => Err(Error::invalid(format!(
            "`limit` is 1 to {ENTRIES_MAX}, not {limit}"
        ))),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageOf {
    after: Option<Text>,
    limit: Option<usize>,
}

async fn clients(Extension(caller): Extension<Caller>, RawQuery(query): RawQuery) -> Response {
    answer(caller, move |caller| {
        let asked: PageOf = parameters(query.as_deref())?;
        let clients = caller.tenant.sync().clients()?.into_iter();
        let after = |name: &Text| asked.after.as_ref().is_none_or(|after| name > after);
        let clients = clients.filter(|client| after(&client.replica.0));
        Ok(Page::of(clients, limit(asked.limit)?, |client| {
            client.replica.0.to_string()
        }))
    })
    .await
}

/// A conflict with its id.
#[derive(Serialize)]
struct Conflict {
    id: String,
    #[serde(flatten)]
    entry: LedgerEntry,
}

impl From<LedgerEntry> for Conflict {
    fn from(entry: LedgerEntry) -> Self {
        Self {
            id: entry.id().to_string(),
            entry,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Conflicts {
    table: Option<Text>,
    column: Option<Text>,
    replica: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

async fn conflicts(Extension(caller): Extension<Caller>, RawQuery(query): RawQuery) -> Response {
    answer(caller, move |caller| {
        let asked: Conflicts = parameters(query.as_deref())?;
        let after: Option<EntryId> = asked.after.map(|id| id.parse()).transpose()?;
        let wanted = LedgerQuery {
            table: asked.table,
            column: asked.column,
            replica: asked.replica.as_deref().map(Into::into),
            ..LedgerQuery::default()
        };
        let found = caller.tenant.sync().find_conflicts(&wanted)?.into_iter();
        let found = found.filter(|entry| after.is_none_or(|after| entry.id() > after));
        let found = found.map(Conflict::from);
        Ok(Page::of(found, limit(asked.limit)?, |found| {
            found.id.clone()
        }))
    })
    .await
}

async fn conflict(Extension(caller): Extension<Caller>, Path(id): Path<String>) -> Response {
    answer(caller, move |caller| {
        let id: EntryId = id.parse()?;
        let found = caller.tenant.sync().conflicts()?;
        let found = found.into_iter().find(|entry| entry.id() == id);
        found
            .map(Conflict::from)
            .ok_or_else(|| Error::not_found(format!("conflict {id} is not in the ledger")))
    })
    .await
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Revert {
    /// Whether it may replace what was written after the conflict.
    force: bool,
}

async fn revert(
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    given: std::result::Result<Bytes, BytesRejection>,
) -> Response {
    answer(caller, move |caller| {
        let entry: EntryId = id.parse()?;
        let Revert { force } = body(given)?;
        let principal = caller.principal.name.clone();
        let options = RevertOptions {
            force,
            principal: principal.clone(),
        };
        let (audit, sync) = (caller.tenant.audit(), caller.tenant.sync());
        audit.record(principal.as_ref(), "conflicts.revert", &id, || {
            sync.revert(entry, &options)
        })
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Explain {
    table: Text,
    /// The key as JSON: a value, or a list of them; what is no JSON is a text.
    key: String,
}

async fn explain(Extension(caller): Extension<Caller>, RawQuery(query): RawQuery) -> Response {
    answer(caller, move |caller| {
        let asked: Explain = parameters(query.as_deref())?;
        let key = serde_json::from_str(&asked.key).unwrap_or(Value::from(asked.key.as_str()));
        let key = match key {
            Value::List(parts) => RecordId::composite(parts.iter().cloned()),
            value => RecordId::from(value),
        };
        caller.tenant.sync().explain(&asked.table, key)
    })
    .await
}

async fn rejected(Extension(caller): Extension<Caller>, RawQuery(query): RawQuery) -> Response {
    answer(caller, move |caller| {
        let asked: PageOf = parameters(query.as_deref())?;
        let after = asked.after.as_ref().map(|after| {
            let parts = after.rsplit_once('/');
            let parts = parts.and_then(|(replica, number)| Some((replica, number.parse().ok()?)));
            parts.ok_or_else(|| Error::invalid("`after` is a replica and a number, as in phone/41"))
        });
        let after: Option<(&str, u64)> = after.transpose()?;
        let found = caller.tenant.sync().rejected()?.into_iter();
        let found = found.filter(|found| {
            let place = (found.replica.0.as_str(), found.client_seq);
            after.is_none_or(|after| place > after)
        });
        Ok(Page::of(found, limit(asked.limit)?, |found| {
            format!("{}/{}", found.replica.0, found.client_seq)
        }))
    })
    .await
}

/// The application's tables, and the versions of them that replicas were heard of.
#[derive(Serialize)]
struct Schemas {
    tables: Vec<Schema>,
    versions: Vec<VersionInUse>,
}

async fn schema(Extension(caller): Extension<Caller>) -> Response {
    answer(caller, |caller| {
        let tables = caller.tenant.database().collections();
        let tables = tables.iter().filter(|table| !is_system(table.name()));
        Ok(Schemas {
            tables: tables.map(|table| (*table.schema()).clone()).collect(),
            versions: caller.tenant.sync().versions(),
        })
    })
    .await
}

async fn keys(Extension(caller): Extension<Caller>) -> Response {
    answer(caller, |caller| {
        let entries = caller.tenant.api_keys().list()?;
        Ok(Page {
            entries,
            next: None,
        })
    })
    .await
}

async fn create_key(
    Extension(caller): Extension<Caller>,
    given: std::result::Result<Bytes, BytesRejection>,
) -> Response {
    let created = answer(caller, move |caller| {
        let options: Option<ApiKeyOptions> = body(given)?;
        let options = options.ok_or_else(|| {
            Error::invalid(r#"the body says what the key is to be, as in {"name": "report", "scopes": ["read"]}"#)
        })?;
        let by = caller.principal.name.as_ref();
        let (audit, now) = (caller.tenant.audit(), caller.tenant.now());
        let target = format!("{} ({})", options.name, options.scopes);
        audit.record(by, "keys.create", &target, || {
            caller.tenant.api_keys().create(&options, by, now)
        })
    });
    let mut created = created.await;
    if created.status() == StatusCode::OK {
        *created.status_mut() = StatusCode::CREATED;
    }
    created
}

async fn revoke_key(Extension(caller): Extension<Caller>, Path(id): Path<String>) -> Response {
    answer(caller, move |caller| {
        let by = caller.principal.name.as_ref();
        let (audit, now) = (caller.tenant.audit(), caller.tenant.now());
        audit.record(by, "keys.revoke", &id, || {
            caller.tenant.api_keys().revoke(&id, now)
        })
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditBefore {
    before: Option<i64>,
    limit: Option<usize>,
}

async fn audit(Extension(caller): Extension<Caller>, RawQuery(query): RawQuery) -> Response {
    answer(caller, move |caller| {
        let asked: AuditBefore = parameters(query.as_deref())?;
        let limit = limit(asked.limit)?;
        let entries = caller.tenant.audit().entries(asked.before, limit + 1)?;
        Ok(Page::of(entries, limit, |entry| entry.number.to_string()))
    })
    .await
}

/// How much of the log went.
#[derive(Serialize)]
struct Pruned {
    changes: usize,
}

async fn prune(Extension(caller): Extension<Caller>) -> Response {
    answer(caller, |caller| {
        let by = caller.principal.name.as_ref();
        let changes = caller
            .tenant
            .audit()
            .record(by, "prune", "log", || caller.tenant.sync().prune())?;
        Ok(Pruned { changes })
    })
    .await
}
