//! [`router`]: the paths of a server, one module for each group of them; [`TABLE`]: what there is, and what it needs.

mod admin;
mod sync;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use common::ErrorKind;

use crate::app::App;
use crate::auth::Scope;
use crate::problem::Problem;
use crate::serve::ServeOptions;

/// One request that a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path, with names in braces for what varies.
    pub path: &'static str,
    /// The scope that credentials need for it; `None` for what everybody may ask.
    pub needs: Option<Scope>,
}

const fn route(method: &'static str, path: &'static str, needs: Option<Scope>) -> Route {
    Route {
        method,
        path,
        needs,
    }
}

/// All requests that a server answers. What is not in here is refused, so that a path cannot be forgotten.
pub const TABLE: &[Route] = &[
    route("GET", "/healthz", None),
    // Pushed changes are refused one by one without the scope `write`.
    route("POST", "/v1/sync", Some(Scope::Read)),
    route("GET", "/v1/live", Some(Scope::Read)),
    route("GET", "/v1/status", Some(Scope::Read)),
    route("GET", "/v1/admin/clients", Some(Scope::Admin)),
    route("GET", "/v1/admin/conflicts", Some(Scope::Admin)),
    route("GET", "/v1/admin/conflicts/{id}", Some(Scope::Admin)),
    route(
        "POST",
        "/v1/admin/conflicts/{id}/revert",
        Some(Scope::Admin),
    ),
    route("GET", "/v1/admin/explain", Some(Scope::Admin)),
    route("GET", "/v1/admin/rejected", Some(Scope::Admin)),
    route("GET", "/v1/admin/schema", Some(Scope::Admin)),
    route("GET", "/v1/admin/keys", Some(Scope::Admin)),
    route("POST", "/v1/admin/keys", Some(Scope::Admin)),
    route("DELETE", "/v1/admin/keys/{id}", Some(Scope::Admin)),
    route("GET", "/v1/admin/audit", Some(Scope::Admin)),
    route("POST", "/v1/admin/prune", Some(Scope::Admin)),
];

/// All that is at the paths of a server.
pub(crate) fn router(app: App, options: &ServeOptions) -> Router {
    let timeout = options.request_timeout;
    let body_bytes_max = options.body_bytes_max;
    Router::new()
        .merge(sync::routes())
        .merge(crate::live::routes())
        .merge(admin::routes())
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
        .method_not_allowed_fallback(|| async { not_allowed() })
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

fn not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "invalid",
        "this path does not take that method",
    )
}

/// Puts a [`crate::auth::Caller`] into the request, or answers in its place.
async fn identify(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let caller = match app.identify(request.headers()).await {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map(MatchedPath::as_str).unwrap_or_default();
    // As `GET`, but for the body.
    let method = match request.method() {
        &Method::HEAD => &Method::GET,
        method => method,
    };
    let route = TABLE
        .iter()
        .find(|route| route.path == path && route.method == method.as_str());
    let Some(route) = route else {
        return not_allowed().into_response();
    };
    if let Some(needs) = route.needs.filter(|needs| !caller.has(*needs)) {
        return Problem::forbidden(needs).into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}
