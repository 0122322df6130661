//! [`router`]: the paths of a server, one module for each group of them.

mod sync;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use common::ErrorKind;

use crate::app::App;
use crate::problem::Problem;
use crate::serve::ServeOptions;

/// All that is at the paths of a server.
pub(crate) fn router(app: App, options: &ServeOptions) -> Router {
    let timeout = options.request_timeout;
    let body_bytes_max = options.body_bytes_max;
    Router::new()
        .merge(sync::routes())
        .merge(crate::live::routes())
        // Who asks is known from here on.
        .layer(axum::middleware::from_fn_with_state(app.clone(), identify))
        .route("/healthz", get(|| async { "ok" }))
        .fallback(|| async {
            Problem::new(
                StatusCode::NOT_FOUND,
                "not found",
                "there is nothing at this path",
            )
        })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "invalid",
                "this path does not take that method",
            )
        })
        .layer(axum::middleware::from_fn(
            move |request: Request, next: Next| async move {
                let announced = request.headers().get(header::CONTENT_LENGTH);
                let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
                if announced.is_some_and(|length: u64| length > body_bytes_max as u64) {
                    // Before a byte of it is read.
                    return Problem::new(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        ErrorKind::LimitExceeded.name(),
                        format!("a request has at most {body_bytes_max} bytes"),
                    )
                    .into_response();
                }
                match tokio::time::timeout(timeout, next.run(request)).await {
                    Ok(response) => response,
                    Err(_) => Problem::new(
                        StatusCode::REQUEST_TIMEOUT,
                        "limit exceeded",
                        format!("the request took longer than {} s", timeout.as_secs()),
                    )
                    .into_response(),
                }
            },
        ))
        .layer(DefaultBodyLimit::max(options.body_bytes_max))
        .with_state(app)
}

/// Puts a [`crate::auth::Caller`] into the request, or answers in its place.
async fn identify(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match app.identify(request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}
