//! `/v1/admin/backups`: copies of the tenant's database, made beside its writers, for who has the scope `admin`.
//!
//! A backup is a folder on the machine of the server: `tandem restore` makes a database of one.

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::IntoResponse;
use common::{Error, Seq, Text, Timestamp};
use serde::{Deserialize, Serialize};

use super::admin::{Page, PageOf, body, found, limit, recorded};
use crate::auth::Scope;
use crate::call::{Answered, Call};
use crate::negotiate::Reply;
use crate::openapi::{Group, Operation, reference};

const PATH: &str = "/v1/admin/backups";

pub(super) fn group() -> Group {
    Group::new("backups")
        .route(
            Method::GET,
            PATH,
            list,
            Operation::new("listBackups", "Backups of the database")
                .needs(Scope::Admin)
                .query("after", "Name of a backup: those behind it")
                .query(
                    "limit",
                    "Most of them, 1 to 1,000; 100 where nothing is said",
                )
                .gives(200, "The backups, by name", reference("Backups")),
        )
        .route(
            Method::POST,
            PATH,
            create,
            Operation::new("createBackup", "Make a backup beside the writers")
                .needs(Scope::Admin)
                .may_take(reference("CreateBackup"))
                .gives(
                    201,
                    "The backup, whole and on the disk",
                    reference("Backup"),
                ),
        )
        .route(
            Method::GET,
            "/v1/admin/backups/{name}",
            one,
            Operation::new("getBackup", "One backup")
                .needs(Scope::Admin)
                .gives(200, "The backup", reference("Backup")),
        )
        .route(
            Method::DELETE,
            "/v1/admin/backups/{name}",
            remove,
            Operation::new("deleteBackup", "Delete a backup")
                .needs(Scope::Admin)
                .gives_nothing(204, "It is gone"),
        )
}

/// A backup as it is told.
#[derive(Serialize)]
struct Backup {
    name: Text,
    /// The commit that it was made at, and when; `null` where it is damaged.
    seq: Option<Seq>,
    #[serde(with = "crate::rfc3339::option")]
    time: Option<Timestamp>,
    bytes: u64,
}

impl From<durable::Backup> for Backup {
    fn from(backup: durable::Backup) -> Self {
        let durable::Backup {
            name,
            seq,
            time,
            bytes,
            ..
        } = backup;
        Self {
            name,
            seq,
            time,
            bytes,
        }
    }
}

fn list(call: &Call) -> Answered {
    let asked: PageOf = call.queried()?;
    let backups = call.caller.tenant.backups()?.list()?.into_iter();
    let after = |name: &Text| asked.after.as_ref().is_none_or(|after| name > after);
    let backups = backups.filter(|backup| after(&backup.name));
    let backups = backups.map(Backup::from);
    found(&Page::of(backups, limit(asked.limit)?, |backup| {
        backup.name.to_string()
    }))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    name: Option<String>,
}

fn create(call: &Call) -> Answered {
    let Asked { name } = body(call)?;
    let tenant = &call.caller.tenant;
    // A colon has a meaning in paths of some systems.
    let name = name.unwrap_or_else(|| tenant.now().to_string().replace(':', "-"));
    let made = recorded(call, "backups.create", &name, || tenant.back_up(&name))?;
    let place = HeaderValue::try_from(format!("{PATH}/{}", made.name))
        .map_err(|_| Error::invalid("the name is no part of a path"))?;
    let mut answer = Reply::json(StatusCode::CREATED, &Backup::from(made))?.into_response();
    answer.headers_mut().insert(header::LOCATION, place);
    Ok(answer)
}

fn one(call: &Call) -> Answered {
    let backup = call.caller.tenant.backups()?.get(call.parameter("name"))?;
    found(&Backup::from(backup))
}

fn remove(call: &Call) -> Answered {
    let name = call.parameter("name");
    recorded(call, "backups.delete", name, || {
        call.caller.tenant.backups()?.remove(name)
    })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
