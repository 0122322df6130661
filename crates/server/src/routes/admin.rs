//! `/v1/admin/..`: clients, conflicts, rejected mutations, schemas, API keys and the audit, for who has the scope `admin`.
//!
//! Everything is of the caller's own tenant. What changes something is in the [audit](crate::audit::Audit).

use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use common::schema::Schema;
use common::{Error, RecordId, Result, Text, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use syncdb::sync::protocol::is_system;
use syncdb::{EntryId, LedgerEntry, LedgerQuery, RevertOptions, VersionInUse};

use crate::auth::{ApiKeyOptions, Caller, Scope};
use crate::call::{Answered, Call};
use crate::negotiate::{Reply, object};
use crate::openapi::{Group, Operation, reference};

/// Most entries of one answer.
const ENTRIES_MAX: usize = 1_000;
/// Entries of an answer when nothing is said.
const ENTRIES_DEFAULT: usize = 100;

#[expect(clippy::too_many_lines, reason = "a list of routes")]
pub(super) fn group() -> Group {
    Group::new("administration")
        .route(
            Method::GET,
            "/v1/admin/clients",
            clients,
            Operation::new(
                "listClients",
                "Replicas, their versions and how far each has read",
            )
            .needs(Scope::Admin)
            .query("after", "The `next` of the page before")
            .query(
                "limit",
                "Most entries, 1 to 1,000; 100 where nothing is said",
            )
            .gives(200, "What was found or done", reference("Clients")),
        )
        .route(
            Method::GET,
            "/v1/admin/conflicts",
            conflicts,
            Operation::new("listConflicts", "Conflicts and how they were resolved")
                .needs(Scope::Admin)
                .query("table", "Name of a table")
                .query("column", "Name of a column")
                .query("replica", "Name of a replica")
                .query("after", "The `next` of the page before")
                .query(
                    "limit",
                    "Most entries, 1 to 1,000; 100 where nothing is said",
                )
                .gives(200, "What was found or done", reference("Conflicts")),
        )
        .route(
            Method::GET,
            "/v1/admin/conflicts/{id}",
            conflict,
            Operation::new("getConflict", "One conflict")
                .needs(Scope::Admin)
                .gives(200, "What was found or done", reference("Conflict")),
        )
        .route(
            Method::POST,
            "/v1/admin/conflicts/{id}/revert",
            revert,
            Operation::new("revertConflict", "Write what a conflict had put aside")
                .needs(Scope::Admin)
                .may_take(reference("RevertConflict"))
                .gives(200, "What was found or done", reference("Reverted")),
        )
        .route(
            Method::GET,
            "/v1/admin/explain",
            explain,
            Operation::new("explainRow", "Where the values of a row came from")
                .needs(Scope::Admin)
                .needs_query("table", "Name of a table")
                .needs_query(
                    "key",
                    "The key as JSON: a value, or a list of them; what is no JSON is a text",
                )
                .gives(200, "What was found or done", reference("RowExplanation")),
        )
        .route(
            Method::GET,
            "/v1/admin/rejected",
            rejected,
            Operation::new("listRejected", "Mutations that were refused, and why")
                .needs(Scope::Admin)
                .query("after", "The `next` of the page before")
                .query(
                    "limit",
                    "Most entries, 1 to 1,000; 100 where nothing is said",
                )
                .gives(
                    200,
                    "What was found or done",
                    reference("RejectedMutations"),
                ),
        )
        .route(
            Method::GET,
            "/v1/admin/schema",
            schema,
            Operation::new(
                "schema",
                "Tables and the versions of the application that are in use",
            )
            .needs(Scope::Admin)
            .gives(200, "What was found or done", reference("Schemas")),
        )
        .route(
            Method::GET,
            "/v1/admin/keys",
            keys,
            Operation::new("listKeys", "API keys, without their secrets")
                .needs(Scope::Admin)
                .gives(200, "What was found or done", reference("ApiKeys")),
        )
        .route(
            Method::POST,
            "/v1/admin/keys",
            create_key,
            Operation::new(
                "createKey",
                "Make an API key; its secret is in this answer and nowhere else",
            )
            .needs(Scope::Admin)
            .takes(reference("CreateApiKey"))
            .gives(201, "What was found or done", reference("NewApiKey")),
        )
        .route(
            Method::DELETE,
            "/v1/admin/keys/{id}",
            revoke_key,
            Operation::new("revokeKey", "Revoke an API key")
                .needs(Scope::Admin)
                .gives(200, "What was found or done", reference("ApiKey")),
        )
        .route(
            Method::GET,
            "/v1/admin/audit",
            audit,
            Operation::new("audit", "What was administered, by whom, and how it went")
                .needs(Scope::Admin)
                .query("before", "The `next` of the page before")
                .query(
                    "limit",
                    "Most entries, 1 to 1,000; 100 where nothing is said",
                )
                .gives(200, "What was found or done", reference("Audit")),
        )
        .route(
            Method::POST,
            "/v1/admin/prune",
            prune,
            Operation::new(
                "prune",
                "Drop the part of the log that no active replica needs",
            )
            .needs(Scope::Admin)
            .gives(200, "What was found or done", reference("Pruned")),
        )
}

/// Answers with what was found.
pub(super) fn found(what: &impl Serialize) -> Answered {
    Ok(Reply::json(StatusCode::OK, what)?.into_response())
}

/// The JSON of a body; without one, what the default is.
pub(super) fn body<T: DeserializeOwned + Default>(call: &Call) -> Result<T> {
    if call.body.is_empty() {
        return Ok(T::default());
    }
    object(&call.body)
}

/// A list, with what to say for the next page where there is more.
#[derive(Serialize)]
pub(super) struct Page<T> {
    pub(super) entries: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

impl<T> Page<T> {
    /// The first of `all`, and what the one after them is called.
    pub(super) fn of(
        all: impl IntoIterator<Item = T>,
        limit: usize,
        name: impl Fn(&T) -> String,
    ) -> Self {
        let mut entries: Vec<T> = all.into_iter().take(limit + 1).collect();
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| more).map(name);
        Self { entries, next }
    }
}

pub(super) fn limit(asked: Option<usize>) -> Result<usize> {
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
pub(super) struct PageOf {
    pub(super) after: Option<Text>,
    pub(super) limit: Option<usize>,
}

fn clients(call: &Call) -> Answered {
    let asked: PageOf = call.queried()?;
    let clients = call.caller.tenant.sync().clients()?.into_iter();
    let after = |name: &Text| asked.after.as_ref().is_none_or(|after| name > after);
    let clients = clients.filter(|client| after(&client.replica.0));
    found(&Page::of(clients, limit(asked.limit)?, |client| {
        client.replica.0.to_string()
    }))
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

fn conflicts(call: &Call) -> Answered {
    let asked: Conflicts = call.queried()?;
    let after: Option<EntryId> = asked.after.map(|id| id.parse()).transpose()?;
    let wanted = LedgerQuery {
        table: asked.table,
        column: asked.column,
        replica: asked.replica.as_deref().map(Into::into),
        ..LedgerQuery::default()
    };
    let entries = call.caller.tenant.sync().find_conflicts(&wanted)?;
    let entries = entries
        .into_iter()
        .filter(|entry| after.is_none_or(|after| entry.id() > after))
        .map(Conflict::from);
    found(&Page::of(entries, limit(asked.limit)?, |entry| {
        entry.id.clone()
    }))
}

fn conflict(call: &Call) -> Answered {
    let id: EntryId = call.parameter("id").parse()?;
    let entries = call.caller.tenant.sync().conflicts()?;
    let entry = entries.into_iter().find(|entry| entry.id() == id);
    let entry =
        entry.ok_or_else(|| Error::not_found(format!("conflict {id} is not in the ledger")))?;
    found(&Conflict::from(entry))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Revert {
    /// Whether it may replace what was written after the conflict.
    force: bool,
}

fn revert(call: &Call) -> Answered {
    let id = call.parameter("id");
    let entry: EntryId = id.parse()?;
    let Revert { force } = body(call)?;
    let options = RevertOptions {
        force,
        principal: call.caller.principal.name.clone(),
    };
    let sync = call.caller.tenant.sync();
    found(&recorded(call, "conflicts.revert", id, || {
        sync.revert(entry, &options)
    })?)
}

/// Does what is to be in the audit.
pub(super) fn recorded<T>(
    call: &Call,
    action: &str,
    target: &str,
    act: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let Caller {
        principal, tenant, ..
    } = &call.caller;
    tenant
        .audit()
        .record(principal.name.as_ref(), action, target, act)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Explain {
    table: Text,
    /// The key as JSON: a value, or a list of them; what is no JSON is a text.
    key: String,
}

fn explain(call: &Call) -> Answered {
    let asked: Explain = call.queried()?;
    let key = serde_json::from_str(&asked.key).unwrap_or(Value::from(asked.key.as_str()));
    let key = match key {
        Value::List(parts) => RecordId::composite(parts.iter().cloned()),
        value => RecordId::from(value),
    };
    found(&call.caller.tenant.sync().explain(&asked.table, key)?)
}

fn rejected(call: &Call) -> Answered {
    let asked: PageOf = call.queried()?;
    let after = asked.after.as_ref().map(|after| {
        let parts = after.rsplit_once('/');
        let parts = parts.and_then(|(replica, number)| Some((replica, number.parse().ok()?)));
        parts.ok_or_else(|| Error::invalid("`after` is a replica and a number, as in phone/41"))
    });
    let after: Option<(&str, u64)> = after.transpose()?;
    let entries = call.caller.tenant.sync().rejected()?.into_iter();
    let entries = entries.filter(|entry| {
        let place = (entry.replica.0.as_str(), entry.client_seq);
        after.is_none_or(|after| place > after)
    });
    found(&Page::of(entries, limit(asked.limit)?, |entry| {
        format!("{}/{}", entry.replica.0, entry.client_seq)
    }))
}

/// The application's tables, and the versions of them that replicas were heard of.
#[derive(Serialize)]
struct Schemas {
    tables: Vec<Schema>,
    versions: Vec<VersionInUse>,
}

fn schema(call: &Call) -> Answered {
    let tables = call.database().collections();
    let tables = tables.iter().filter(|table| !is_system(table.name()));
    found(&Schemas {
        tables: tables.map(|table| (*table.schema()).clone()).collect(),
        versions: call.caller.tenant.sync().versions(),
    })
}

fn keys(call: &Call) -> Answered {
    found(&Page {
        entries: call.caller.tenant.api_keys().list()?,
        next: None,
    })
}

fn create_key(call: &Call) -> Answered {
    let options: Option<ApiKeyOptions> = body(call)?;
    let options = options.ok_or_else(|| {
        Error::invalid(
            r#"the body says what the key is to be, as in {"name": "report", "scopes": ["read"]}"#,
        )
    })?;
    let (tenant, by) = (&call.caller.tenant, call.caller.principal.name.as_ref());
    let target = format!("{} ({})", options.name, options.scopes);
    let created = recorded(call, "keys.create", &target, || {
        tenant.api_keys().create(&options, by, tenant.now())
    })?;
    Ok(Reply::json(StatusCode::CREATED, &created)?.into_response())
}

fn revoke_key(call: &Call) -> Answered {
    let (tenant, id) = (&call.caller.tenant, call.parameter("id"));
    found(&recorded(call, "keys.revoke", id, || {
        tenant.api_keys().revoke(id, tenant.now())
    })?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditBefore {
    before: Option<i64>,
    limit: Option<usize>,
}

fn audit(call: &Call) -> Answered {
    let asked: AuditBefore = call.queried()?;
    let limit = limit(asked.limit)?;
    let audit = call.caller.tenant.audit();
    let entries = audit.entries(asked.before, limit + 1)?;
    found(&Page::of(entries, limit, |entry| entry.number.to_string()))
}

/// How much of the log went.
#[derive(Serialize)]
struct Pruned {
    changes: usize,
}

fn prune(call: &Call) -> Answered {
    let sync = call.caller.tenant.sync();
    let changes = recorded(call, "prune", "log", || sync.prune())?;
    found(&Pruned { changes })
}
