//! `POST /v1/sync`: frames of the sync protocol, as bytes or JSON; `GET /v1/status`.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use syncdb::Status;
use syncdb::sync::protocol::frame_limits;
use syncdb::sync::wire;

use crate::access::Access;
use crate::auth::Caller;
use crate::call::{Answered, Call};
use crate::negotiate::{JSON, Reply, names};
use crate::openapi::{Group, Operation, reference};

const OCTETS: &str = "application/octet-stream";

pub(super) fn group() -> Group {
    Group::new("sync")
        .route(
            Method::POST,
            "/v1/sync",
            sync,
            Operation::new("sync", "A frame of the sync protocol for a frame")
                .takes_bytes(OCTETS)
                .takes(reference("SyncFrame"))
                .gives(200, "The answer's frame", reference("SyncFrame"))
                .also_gives(OCTETS),
        )
        .route(
            Method::GET,
            "/v1/status",
            status,
            Operation::new("status", "Rows, last commit, clients and conflicts").gives(
                200,
                "What the server has",
                reference("Status"),
            ),
        )
}

/// The answer, with a media type where that is not what the other side takes it for.
fn sync(call: &Call) -> Answered {
    let limits = frame_limits();
    let (server, principal) = (
        call.caller.tenant.sync(),
        call.caller.principal.who.as_ref(),
    );
    let from_json = names(&call.headers, header::CONTENT_TYPE, JSON);
    let asked = |media| names(&call.headers, header::ACCEPT, media);
    let request = if from_json {
        Cow::Owned(wire::from_json(&call.body, &limits)?)
    } else {
        Cow::Borrowed(&call.body[..])
    };
    // Who accepts anything gets what they speak themselves.
    if asked(JSON) || (from_json && !asked(OCTETS)) {
        let answer = server.handle_plainly_for(principal, &request)?;
        let json = wire::to_json(&answer, &limits)?;
        return Ok(([(header::CONTENT_TYPE, JSON)], json).into_response());
    }
    let answer = server.handle_for(principal, &request)?;
    if asked(OCTETS) {
        return Ok(([(header::CONTENT_TYPE, OCTETS)], answer).into_response());
    }
    Ok(Response::new(Body::from(answer)))
}

fn status(call: &Call) -> Answered {
    Ok(Reply::json(StatusCode::OK, &visible_status(&call.caller))?.into_response())
}

/// What the server has, for somebody who may see this much: tables of which all rows may be seen, and their rows.
pub(super) fn visible_status(caller: &Caller) -> Status {
    let mut status = caller.tenant.sync().status();
    status
        .tables
        .retain(|name, _| Access::open(caller, name).is_ok_and(|access| access.has_all_rows()));
    status.rows = status.tables.values().sum();
    status
}
