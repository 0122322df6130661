//! The schemas of what administers a server.

use serde_json::{Value as Json, json};

use super::{asked, list, text, told, whole};
use crate::openapi::reference;

/// All of them, with their names.
pub(super) fn all() -> Vec<(&'static str, Json)> {
    [replicas(), keys(), backups()].concat()
}

/// A page of a list.
fn page(items: Json) -> Json {
    json!({
        "type": "object",
        "required": ["entries"],
        "properties": {
            "entries": list(items),
            "next": { "type": "string", "description": "What to go on after; not there when this is the last page" },
        },
    })
}

fn text_or_null() -> Json {
    json!({ "type": ["string", "null"] })
}

fn number_or_null() -> Json {
    json!({ "type": ["integer", "null"] })
}

#[expect(clippy::too_many_lines, reason = "a list of schemas")]
fn replicas() -> Vec<(&'static str, Json)> {
    let version = told(json!({
        "version": whole(),
        "replicas": whole(),
        "last_heard": {},
        "turned_away": whole(),
    }));
    let client = told(json!({
        "replica": text(),
        "principal": text_or_null(),
        "last_mutation": whole(),
        "acknowledged": whole(),
        "cursor": number_or_null(),
        "last_heard": {},
        "version": whole(),
    }));
    let entry = json!({
        "seq": whole(),
        "number": whole(),
        "replica": text(),
        "client_seq": whole(),
        "table": text(),
        "key": {},
        "column": { "type": ["string", "null"], "description": "null when it concerns the whole row" },
        "base": {},
        "server": {},
        "client": {},
        "rule": {},
        "winner": {},
        "server_stamp": {},
        "server_replica": text(),
        "client_stamp": {},
        "at": {},
        "result": {},
        "principal": text_or_null(),
        "server_principal": text_or_null(),
        "reverts": {},
    });
    let mut conflict = entry.clone();
    if let Some(conflict) = conflict.as_object_mut() {
        conflict.insert("id".to_owned(), text());
    }
    let column = told(json!({
        "column": text(),
        "value": {},
        "strategy": {},
        "group": list(text()),
        "pending": { "type": "boolean" },
        "subscribed": { "type": "boolean" },
        "origin": {},
    }));
    let rejected = told(json!({
        "replica": text(),
        "client_seq": whole(),
        "seq": whole(),
        "code": text(),
        "message": text(),
    }));
    vec![
        (
            "SyncFrame",
            json!({ "type": "object", "description": "A frame of the sync protocol: docs/sync-protocol.md" }),
        ),
        ("VersionInUse", version),
        (
            "Status",
            told(json!({
                "rows": whole(),
                "tables": { "type": "object", "additionalProperties": whole() },
                "seq": { "type": "integer", "description": "Last commit" },
                "epoch": { "type": "string", "description": "Which log that commit is of, in hexadecimal" },
                "clients": whole(),
                "conflicts": whole(),
                "repairs": whole(),
                "rows_repaired": whole(),
                "rows_pinned": whole(),
                "segment_bytes": whole(),
                "versions": list(reference("VersionInUse")),
            })),
        ),
        ("Client", client),
        ("Clients", page(reference("Client"))),
        ("LedgerEntry", told(entry)),
        ("Conflict", told(conflict)),
        ("Conflicts", page(reference("Conflict"))),
        (
            "RevertConflict",
            asked(
                &[],
                json!({
                    "force": { "type": "boolean", "default": false, "description": "Whether it may replace what was written after the conflict" },
                }),
            ),
        ),
        (
            "Reverted",
            json!({
                "description": "`unchanged` when it stands anyway; otherwise `done` with the entries that say so, or why it was not done",
                "type": ["string", "object"],
            }),
        ),
        (
            "RowExplanation",
            told(json!({
                "table": text(),
                "key": {},
                "replica": text(),
                "presence": { "description": "Whether the row is here, and why not" },
                "columns": list(column),
                "pending": list(json!({ "type": "object" })),
                "rejected": list(json!({ "type": "object" })),
                "conflicts": list(reference("LedgerEntry")),
            })),
        ),
        ("RejectedMutation", rejected),
        ("RejectedMutations", page(reference("RejectedMutation"))),
        (
            "Schemas",
            told(
                json!({ "tables": list(reference("Schema")), "versions": list(reference("VersionInUse")) }),
            ),
        ),
        (
            "Pruned",
            told(
                json!({ "changes": { "type": "integer", "description": "Changes that the log keeps no more" } }),
            ),
        ),
    ]
}

fn keys() -> Vec<(&'static str, Json)> {
    let scopes = || json!({ "type": "array", "items": { "enum": ["read", "write", "admin"] } });
    let key = || {
        json!({
            "id": { "type": "string", "description": "Its name among keys, which is no secret" },
            "name": text(),
            "scopes": scopes(),
            "claims": { "type": "object", "additionalProperties": true },
            "created": text(),
            "created_by": text_or_null(),
            "expires": text_or_null(),
            "revoked": text_or_null(),
            "last_used": text_or_null(),
        })
    };
    let mut made = key();
    if let Some(made) = made.as_object_mut() {
        let what =
            json!({ "type": "string", "description": "What callers send; it is told this once" });
        made.insert("secret".to_owned(), what);
    }
    let entry = told(json!({
        "number": whole(),
        "at": text(),
        "principal": text_or_null(),
        "action": text(),
        "target": text(),
        "result": { "type": "string", "description": "`begun`, `done`, or why it was not done" },
    }));
    vec![
        ("ApiKey", told(key())),
        ("ApiKeys", page(reference("ApiKey"))),
        (
            "CreateApiKey",
            asked(
                &["name", "scopes"],
                json!({
                    "name": text(),
                    "scopes": scopes(),
                    "expires": { "type": ["string", "null"], "format": "date-time" },
                    "claims": { "type": "object", "additionalProperties": true },
                }),
            ),
        ),
        ("NewApiKey", told(made)),
        ("AuditEntry", entry),
        ("Audit", page(reference("AuditEntry"))),
    ]
}

fn backups() -> Vec<(&'static str, Json)> {
    vec![
        (
            "Backup",
            told(json!({
                "name": text(),
                "seq": { "type": ["integer", "null"], "description": "The commit that it was made at; null where it is damaged" },
                "time": { "type": ["string", "null"], "description": "When it was made; null where it is damaged" },
                "bytes": whole(),
            })),
        ),
        ("Backups", page(reference("Backup"))),
        (
            "CreateBackup",
            asked(
                &[],
                json!({
                    "name": {
                        "type": ["string", "null"],
                        "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
                        "description": "What to call it; the time, where nothing is said",
                    },
                }),
            ),
        ),
    ]
}
