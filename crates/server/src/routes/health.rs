//! `/healthz`, `/readyz`, `/openapi.json` for everybody, `/metrics` for those who may ask.

use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::on;

use super::sync::visible_status;
use crate::call::{Answered, Call};
use crate::metrics::OPENMETRICS;
use crate::negotiate::JSON;
use crate::openapi::{Group, Operation, filter};
use crate::problem::Problem;
use crate::state::Server;

/// For everybody, whoever they are.
pub(super) fn public() -> Group {
    let get = || filter(&Method::GET);
    let text = "text/plain";
    Group::new("health")
        .route_async(
            Method::GET,
            "/healthz",
            on(get(), || async { "ok" }),
            Operation::new("healthz", "Whether the process answers")
                .public()
                .gives_media(200, "`ok`", text),
        )
        .route_async(
            Method::GET,
            "/readyz",
            on(get(), ready),
            Operation::new(
                "readyz",
                "Whether new requests are to be sent here: not while the server drains",
            )
            .public()
            .gives_media(200, "`ready`", text)
            .gives_media(503, "`draining`", text),
        )
        .route_async(
            Method::GET,
            "/openapi.json",
            on(get(), |State(server): State<Server>| async move {
                ([(header::CONTENT_TYPE, JSON)], server.document())
            }),
            Operation::new("openapi", "This document").public().gives(
                200,
                "The document",
                serde_json::json!({ "type": "object" }),
            ),
        )
}

/// For those who were identified.
pub(super) fn group() -> Group {
    Group::new("monitoring").route(
        Method::GET,
        "/metrics",
        metrics,
        Operation::new("metrics", "Metrics in the text format of Prometheus").gives_media(
            200,
            "The metrics",
            "application/openmetrics-text",
        ),
    )
}

async fn ready(State(server): State<Server>) -> Response {
    if server.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining").into_response();
    }
    "ready".into_response()
}

fn metrics(call: &Call) -> Answered {
    let text = call
        .metrics
        .text(&visible_status(&call.caller))
        .map_err(|error| {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Problem::new(
                status,
                "invalid",
                format!("the metrics cannot be written: {error}"),
            )
        })?;
    Ok(([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response())
}
