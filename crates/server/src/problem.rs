//! Errors as problem details after RFC 9457.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::{Error, ErrorKind, Violation};
use serde::{Deserialize, Serialize};

use crate::auth::Scope;

/// The media type of problem details.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Most bytes of a body that are read for nothing.
const DRAIN_BYTES_MAX: usize = 64 << 10;

/// Problem details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Problem {
    /// What kind of problem: the name of the error's kind.
    pub(crate) title: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// The sentence for people.
    pub(crate) detail: String,
    /// Every rule that a row breaks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) violations: Vec<Violation>,
    /// Seconds after which it is worth another try.
    #[serde(skip)]
    pub(crate) retry_after: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, title: &str, detail: impl Into<String>) -> Self {
        Self {
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            violations: Vec::new(),
            retry_after: None,
        }
    }

    /// The same words whatever was wrong: they must not tell what there is.
    pub(crate) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "the request carries no valid credentials",
        )
    }

    /// Credentials that are good, but not for this.
    pub(crate) fn lacks_scope(needs: Scope) -> Self {
        Self::forbidden(format!(
            "the credentials do not have the scope `{}`",
            needs.name()
        ))
    }

    /// What the caller may see, and may not do.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// The request itself is wrong.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorKind::Invalid.name(), detail)
    }

    /// There is no such thing, or none that the caller may see.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorKind::NotFound.name(), detail)
    }

    /// The thing is not in the state that a condition of the request names.
    pub(crate) fn precondition(detail: impl Into<String>) -> Self {
        let status = StatusCode::PRECONDITION_FAILED;
        Self::new(status, "precondition failed", detail)
    }

    /// More than a limit lets through.
    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::LimitExceeded.name(),
            detail,
        )
    }

    /// The server has too much to do.
    pub(crate) fn overloaded(status: StatusCode, detail: impl Into<String>, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..Self::new(status, ErrorKind::LimitExceeded.name(), detail)
        }
    }

    /// A failure of what the caller sent in a body: what is unknown there is wrong in the request, and no missing page.
    pub(crate) fn in_body(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::invalid(error.message()),
            _ => Self::of(error),
        }
    }

    pub(crate) fn of(error: &Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Invalid | ErrorKind::Corrupt | ErrorKind::Unsupported => {
                StatusCode::BAD_REQUEST
            }
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::LimitExceeded => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::Closed => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self {
            violations: error.violations().to_vec(),
            retry_after: (error.kind() == ErrorKind::Closed).then_some(1),
            ..Self::new(status, error.kind().name(), error.message())
        }
    }

    /// The answer to a request whose body nobody wants. A short one is read all the same: where one is left unread, the connection
    /// ends, and with it the next request that is on its way already.
    pub(crate) async fn refuse(self, request: Request) -> Response {
        // Who waits for a word before the body comes gets this one, and no body.
        let is_awaited = !request.headers().contains_key(header::EXPECT);
        if is_awaited
            && axum::body::to_bytes(request.into_body(), DRAIN_BYTES_MAX)
                .await
                .is_ok()
        {
            return self.into_response();
        }
        self.and_end()
    }

    /// The answer to a request whose body is not read to its end. The connection ends with it, and the answer says so: who is not
    /// told would send the next request into a connection that is closed.
    pub(crate) fn and_end(self) -> Response {
        let mut response = self.into_response();
        let close = HeaderValue::from_static("close");
        // HTTP/2, which ends the stream alone, does without the header.
        response.headers_mut().insert(header::CONNECTION, close);
        response
    }

    /// Puts a place in front of the sentence.
    #[must_use]
    pub(crate) fn at(mut self, place: impl std::fmt::Display) -> Self {
        self.detail = format!("{place}: {}", self.detail);
        self
    }

    /// The error that a client makes of it.
    pub(crate) fn into_error(self) -> Error {
        let kinds = [
            ErrorKind::Invalid,
            ErrorKind::NotFound,
            ErrorKind::Conflict,
            ErrorKind::Corrupt,
            ErrorKind::Unsupported,
            ErrorKind::LimitExceeded,
            ErrorKind::Closed,
        ];
        let kind = kinds.into_iter().find(|kind| kind.name() == self.title);
        let message = format!("the server answered {}: {}", self.status, self.detail);
        let kind = kind.unwrap_or(match self.status {
            // The same request again is refused again.
            401 | 403 => ErrorKind::Invalid,
            _ => ErrorKind::Io,
        });
        // A limit that passes, as of requests a second, is no limit of what was sent.
        let is_passing = matches!(self.status, 429 | 503) && kind == ErrorKind::LimitExceeded;
        Error::new(if is_passing { ErrorKind::Io } else { kind }, message)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::of(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, PROBLEM_JSON)];
        let mut response = (status, kind, body).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            // A 401 says how to do better (RFC 9110, section 15.5.2).
            let how = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, how);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
