//! TandemDB over HTTP: [`serve`] answers replicas, [`HttpTransport`](http::HttpTransport) reaches a server.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/sync` | a frame of the sync protocol for a frame, `application/octet-stream` |
//! | `GET /v1/live` | a WebSocket with the same frames as binary messages, and word of what changes; see [`LiveReplica`](client::LiveReplica) |
//! | `GET /healthz` | `ok` while the process answers |
//! | `GET /v1/status` | rows, last commit, clients and conflicts, as JSON |
//! | `/v1/admin/..` | clients, conflicts, rejected mutations, schemas, API keys, the audit; see `docs/security.md` |
//!
//! [`routes::TABLE`] has them all, with the [scope](auth::Scope) that each needs.
//!
//! Errors are problem details after RFC 9457, `application/problem+json`.

mod app;
mod audit;
pub mod auth;
pub mod client;
pub mod http;
mod live;
mod problem;
mod rfc3339;
pub mod routes;
mod serve;
mod slow;
mod tenant;

pub use app::App;
pub use auth::{Auth, AuthOptions};
pub use live::LiveOptions;
pub use serve::{ServeOptions, serve, stop_signal};
pub use tenant::Tenant;
