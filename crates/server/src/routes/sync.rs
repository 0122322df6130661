//! `POST /v1/sync`: frames of the sync protocol, as bytes or JSON; `GET /v1/status`.

use std::borrow::Cow;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Extension;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use common::{ErrorKind, Result};
use syncdb::sync::protocol::frame_limits;
use syncdb::sync::wire;

use crate::app::App;
use crate::auth::Caller;
use crate::problem::Problem;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/sync", post(sync))
        .route("/v1/status", get(status))
}

const JSON: &str = "application/json";
const OCTETS: &str = "application/octet-stream";

/// Whether a header names a media type, with or without parameters.
fn names(headers: &HeaderMap, name: HeaderName, media: &str) -> bool {
    let values = headers.get_all(name).iter();
    let mut types = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next());
    types.any(|found| found.trim().eq_ignore_ascii_case(media))
}

/// The answer, with a media type where that is not what the other side takes it for.
fn answer(caller: &Caller, headers: &HeaderMap, body: &[u8]) -> Result<Response> {
    let limits = frame_limits();
    let (server, principal) = (caller.tenant.sync(), caller.principal.who.as_ref());
    let from_json = names(headers, header::CONTENT_TYPE, JSON);
    let asked = |media| names(headers, header::ACCEPT, media);
    let request = if from_json {
        Cow::Owned(wire::from_json(body, &limits)?)
    } else {
        Cow::Borrowed(body)
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

async fn sync(
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: std::result::Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            let title = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                ErrorKind::LimitExceeded.name()
            } else {
                ErrorKind::Invalid.name()
            };
            return Problem::new(rejection.status(), title, rejection.body_text()).into_response();
        }
    };
    // Applying a push takes as long as it takes; other connections go on meanwhile.
    let answered = tokio::task::spawn_blocking(move || answer(&caller, &headers, &body)).await;
    match answered {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Problem::of(&error).into_response(),
        Err(_) => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "closed",
            "the request ended without an answer",
        )
        .into_response(),
    }
}

async fn status(Extension(caller): Extension<Caller>) -> Response {
    Json(caller.tenant.sync().status()).into_response()
}
