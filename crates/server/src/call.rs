//! [`Call`]: a request as handlers get it, and the one way from it to an answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, RawPathParamsRejection};
use axum::extract::{Extension, Query, RawPathParams, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use common::{Database, ErrorKind, Seq};
use serde::de::DeserializeOwned;

use crate::auth::Caller;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::state::Server;

/// What a handler gives.
pub(crate) type Answered = Result<Response, Problem>;

/// Answers a call on a thread that may wait for the database.
pub(crate) type Handler = fn(&Call) -> Answered;

/// A request as a handler gets it: who asks, and what.
pub(crate) struct Call {
    pub(crate) caller: Caller,
    pub(crate) method: Method,
    /// The path as it was sent.
    pub(crate) path: String,
    /// Behind the question mark.
    pub(crate) query: Option<String>,
    parameters: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) metrics: Arc<Metrics>,
}

impl Call {
    /// The tables of the tenant who is asked.
    pub(crate) fn database(&self) -> &Database {
        self.caller.tenant.database()
    }

    /// A part of the path, decoded.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    /// What stands behind the question mark.
    pub(crate) fn queried<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let uri: Uri = format!("/?{}", self.query.as_deref().unwrap_or_default())
            .parse()
            .map_err(|_| Problem::invalid("what is behind `?` is no query string"))?;
        let read = Query::<T>::try_from_uri(&uri);
        read.map(|read| read.0)
            .map_err(|error| Problem::invalid(error.body_text()))
    }

    /// A header that stands once.
    pub(crate) fn header(&self, name: &HeaderName) -> Result<Option<&str>, Problem> {
        let mut values = self.headers.get_all(name).iter();
        let (first, second) = (values.next(), values.next());
        if second.is_some() {
            return Err(Problem::invalid(format!(
                "header `{name}` stands more than once"
            )));
        }
        let text = first.map(|value| value.to_str());
        text.transpose()
            .map_err(|_| Problem::invalid(format!("header `{name}` is not plain ASCII text")))
    }
}

/// What the extractors found of a request.
pub(crate) struct Parts {
    pub(crate) caller: Extension<Caller>,
    pub(crate) server: State<Server>,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) parameters: Result<RawPathParams, RawPathParamsRejection>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Result<Bytes, BytesRejection>,
}

/// The last commit that a handler may have seen, in the extensions of its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen(pub(crate) Seq);

/// Where a handler runs: on a thread of its own unless something else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// With others of its kind, one after the other.
    pub(crate) in_turn: bool,
    /// It takes microseconds: where the request is, as long as nothing has to be waited for there.
    pub(crate) is_short: bool,
}

/// Longest body of a request that is answered where it is, in bytes.
const SHORT_BODY_BYTES_MAX: usize = 8 << 10;

/// Runs a handler at its place, once there is room.
pub(crate) async fn answer(handler: Handler, place: Place, parts: Parts) -> Response {
    let body = match parts.body {
        Ok(body) => body,
        Err(rejection) => {
            let title = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                ErrorKind::LimitExceeded.name()
            } else {
                ErrorKind::Invalid.name()
            };
            return Problem::new(rejection.status(), title, rejection.body_text()).and_end();
        }
    };
    let (Extension(caller), State(server)) = (parts.caller, parts.server);
    let Ok(parameters) = &parts.parameters else {
        return Problem::invalid("the path is not UTF-8").into_response();
    };
    let call = Call {
        caller,
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        parameters: parameters
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        headers: parts.headers,
        body,
        metrics: Arc::clone(server.metrics()),
    };
    let permit = match server.gate().enter().await {
        Ok(permit) => permit,
        Err(problem) => return problem.into_response(),
    };
    let tenant = Arc::clone(&call.caller.tenant);
    let place = Place {
        is_short: place.is_short && call.body.len() <= SHORT_BODY_BYTES_MAX,
        ..place
    };
    // Held by the thread: a request that was given up goes on there.
    let run = move || {
        let answered = handler(&call);
        drop(permit);
        answered
    };
    let Some((answered, seen)) = tenant.run(place, run).await else {
        return ended().into_response();
    };
    let mut answer = answered.unwrap_or_else(Problem::into_response);
    answer.extensions_mut().insert(Seen(seen));
    answer
}

fn ended() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "closed",
        "the request ended without an answer",
    )
}
