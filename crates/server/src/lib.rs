//! TandemDB over HTTP: [`serve`] answers replicas, [`HttpTransport`](http::HttpTransport) reaches a server.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/sync` | a frame of the sync protocol for a frame, `application/octet-stream` |
//! | `GET /healthz` | `ok` while the process answers |
//! | `/v1/vectors`, `/v1/features`, `/v1/transformers`, `/v1/experiments` | what models are served with: `docs/serving.md` |
//! | `GET /v1/status` | rows, last commit, clients and conflicts, as JSON |
//! | `/v1/admin/..` | clients, conflicts, rejected mutations, schemas, API keys, the audit; see `docs/security.md` |
//!
//! [`routes::TABLE`] has them all, with the [scope](auth::Scope) that each needs.
//!
//! Errors are problem details after RFC 9457, `application/problem+json`.

mod app;
mod audit;
pub mod auth;
pub mod http;
mod problem;
mod rfc3339;
pub mod routes;
mod serve;
mod serving;
mod slow;
mod tenant;

pub use app::App;
pub use auth::{Auth, AuthOptions};
pub use serve::{ServeOptions, serve, stop_signal};
pub use tenant::Tenant;
