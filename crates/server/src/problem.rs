//! Errors as problem details after RFC 9457.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::auth::Scope;

/// The media type of problem details.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Problem details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Problem {
    /// What kind of problem: the name of the error's kind.
    pub(crate) title: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// The sentence for people.
    pub(crate) detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, title: &str, detail: impl Into<String>) -> Self {
        Self {
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
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
    pub(crate) fn forbidden(needs: Scope) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("the credentials do not have the scope `{}`", needs.name()),
        )
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
        Self::new(status, error.kind().name(), error.message())
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
        Error::new(kind, message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            // A 401 says how to do better (RFC 9110, section 15.5.2).
            let how = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, how);
        }
        response
    }
}
