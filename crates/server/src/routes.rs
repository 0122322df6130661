//! `router`: the paths of a server, one module for each group of them; [`table`]: what there is, and what it needs.

mod admin;
mod backups;
mod experiments;
mod features;
mod health;
mod query;
mod rows;
mod serving;
mod sync;
mod tables;
mod transaction;
mod transformers;
mod vectors;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tracing::Instrument as _;

use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::call::Seen;
use crate::compress::{self, Encoding};
use crate::connection::Peer;
use crate::limits::Payer;
use crate::metrics::method_name;
use crate::openapi::{Document, Group};
use crate::problem::Problem;
use crate::serve::ServeOptions;
use crate::state::Server;
use crate::telemetry::{self, request_span};

/// The groups whose callers are identified. Another group is one more line.
fn groups() -> Vec<Group> {
    vec![
        sync::group(),
        tables::group(),
        rows::group(),
        query::group(),
        transaction::group(),
        vectors::group(),
        features::group(),
        transformers::group(),
        experiments::group(),
        crate::live::group(),
        health::group(),
        admin::group(),
        backups::group(),
    ]
}

/// One request that a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with names in braces for what varies.
    pub path: &'static str,
    /// The scope that credentials need for it; `None` for what everybody may ask.
    pub needs: Option<Scope>,
}

impl Route {
    /// Whether nothing changes by it, neither here nor at a replica.
    fn only_looks(&self) -> bool {
        let syncs = ["/v1/sync", "/v1/live"].contains(&self.path);
        self.needs == Some(Scope::Read) && !syncs
    }
}

/// All requests that a server answers.
pub fn table() -> &'static [Route] {
    static TABLE: OnceLock<Vec<Route>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut groups = groups();
        groups.push(health::public());
        groups.iter().flat_map(Group::table).collect()
    })
}

/// The routes of a path as the router knows it.
fn at(path: &str) -> &'static [Route] {
    static BY_PATH: OnceLock<HashMap<&'static str, Vec<Route>>> = OnceLock::new();
    let by_path = BY_PATH.get_or_init(|| {
        let mut by_path: HashMap<_, Vec<Route>> = HashMap::new();
        for route in table() {
            by_path.entry(route.path).or_default().push(route.clone());
        }
        by_path
    });
    by_path.get(path).map_or(&[], Vec::as_slice)
}

/// All that is at the paths of a server.
pub(crate) fn router(app: App, server: &Server) -> Router {
    let mut document = Document::default();
    let mut router = Router::new();
    for group in groups() {
        router = group.add_to(router, &mut document);
    }
    // Who asks is known from here on, and how often they did.
    router = router.layer(from_fn_with_state((app, server.clone()), identify));
    router = health::public().add_to(router, &mut document);
    server.publish(document.to_json().to_string().into());
    router
        .fallback(|request: Request| {
            Problem::not_found("there is nothing at this path").refuse(request)
        })
        .method_not_allowed_fallback(|request: Request| not_allowed().refuse(request))
        // One layer: each costs every request a microsecond.
        .layer(from_fn_with_state(server.clone(), observed))
        .layer(DefaultBodyLimit::max(server.options().body_bytes_max))
        .with_state(server.clone())
}

fn not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "invalid",
        "this path does not take that method",
    )
}

/// Puts a [`Caller`] into the request, or answers in its place. The answer leaves when all that it speaks of is durable.
async fn identify(
    State((app, server)): State<(App, Server)>,
    mut request: Request,
    next: Next,
) -> Response {
    let identified = app.identify(request.headers()).await;
    if let Some(rate) = server.rate() {
        let address = request
            .extensions()
            .get::<Peer>()
            .map(|peer| Payer::address(peer.address.ip()));
        // Who guesses credentials pays by their address.
        let payer = identified.as_ref().ok().and_then(payer).or(address);
        if let Some(Err(problem)) = payer.map(|payer| rate.take(&payer)) {
            return problem.refuse(request).await;
        }
    }
    let caller = match identified {
        Ok(caller) => caller,
        Err(problem) => return problem.refuse(request).await,
    };
    let route = match check_scope(&caller, &request) {
        Ok(route) => route,
        Err(problem) => return problem.refuse(request).await,
    };
    let tenant = Arc::clone(&caller.tenant);
    request.extensions_mut().insert(caller);
    let answer = next.run(request).await;
    // Refusals as well speak of what was seen.
    let seen = answer.extensions().get::<Seen>();
    let seen = seen.map_or_else(|| tenant.database().seq(), |seen| seen.0);
    match tenant.until_durable(seen).await {
        // The disk has failed. Whoever only looks sees what there is, the last writes that nobody was told of included.
        Err(error) if !route.only_looks() => {
            let (status, kind) = (StatusCode::SERVICE_UNAVAILABLE, error.kind());
            Problem::new(status, kind.name(), error.message()).into_response()
        }
        _ => answer,
    }
}

/// Whether the caller's credentials cover such a request. What is not in the table is refused, so that a path cannot be
/// forgotten.
fn check_scope(caller: &Caller, request: &Request) -> Result<&'static Route, Problem> {
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map(MatchedPath::as_str).unwrap_or_default();
    // As `GET`, but for the body.
    let method = match request.method() {
        &Method::HEAD => &Method::GET,
        method => method,
    };
    let route = at(path)
        .iter()
        .find(|route| route.method == method)
        .ok_or_else(not_allowed)?;
    match route.needs.filter(|needs| !caller.has(*needs)) {
        Some(needs) => Err(Problem::lacks_scope(needs)),
        None => Ok(route),
    }
}

fn payer(caller: &Caller) -> Option<Payer> {
    let name = caller.principal.name.clone()?;
    Some(Payer::Principal(caller.tenant.name().clone(), name))
}

/// Counts the request and says in the log what became of it. Neither has more of the path than the route: keys of rows and
/// what is asked of them are nobody's business there.
async fn observed(State(server): State<Server>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.and_then(|path| at(path.as_str()).first());
    let route = route.map_or("none", |route| route.path);
    let method = request.method().clone();
    let span = request_span(method_name(&method), route, request.headers());
    let accepted = Encoding::accepted(request.headers());
    let answer = async {
        let answer = limited(server.options(), request, next).await;
        compress::deflate(accepted, answer).await
    };
    let response = answer.instrument(span.clone()).await;
    telemetry::answered(&span, response.status());
    let (status, took) = (response.status(), begun.elapsed());
    server.metrics().answered(route, &method, status, took);
    let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    if status.is_server_error() {
        tracing::error!(%method, route, status = status.as_u16(), microseconds, "request");
    } else {
        tracing::debug!(%method, route, status = status.as_u16(), microseconds, "request");
    }
    response
}

/// Refuses what is announced as too long before a byte of it is read, and answers what takes too long.
async fn limited(options: &ServeOptions, request: Request, next: Next) -> Response {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > options.body_bytes_max as u64) {
        let detail = format!("a request has at most {} bytes", options.body_bytes_max);
        return Problem::too_large(detail).and_end();
    }
    let timeout = options.request_timeout;
    let answer = compress::inflated(options, request, next);
    match tokio::time::timeout(timeout, answer).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "limit exceeded",
            format!("the request took longer than {} s", timeout.as_secs_f64()),
        )
        .and_end(),
    }
}
