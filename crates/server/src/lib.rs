//! TandemDB over HTTP: [`serve`] answers replicas and everybody else, [`HttpTransport`](http::HttpTransport) reaches a server.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/sync` | a frame of the sync protocol for a frame, `application/octet-stream` |
//! | `/v1/tables`, `/v1/tables/{table}` | which tables there are; create, describe, alter and drop one |
//! | `/v1/tables/{table}/rows[/{key}]` | rows: insert, get, put, patch, delete, list |
//! | `POST /v1/tables/{table}/query` | rows or groups that answer a question |
//! | `POST /v1/transaction` | several writes in one commit |
//! | `GET /v1/live` | a WebSocket with the same frames as binary messages, and word of what changes; see [`LiveReplica`](client::LiveReplica) |
//! | `GET /v1/status` | rows, last commit, clients and conflicts, as JSON |
//! | `/v1/admin/..` | clients, conflicts, rejected mutations, schemas, API keys, backups, the audit; see `docs/security.md` |
//! | `GET /metrics`, `/healthz`, `/readyz` | for monitors |
//! | `GET /openapi.json` | all of these, described |
//!
//! [`routes::table`] has them all, with the [scope](auth::Scope) that each needs.
//!
//! Errors are problem details after RFC 9457, `application/problem+json`.

mod access;
mod app;
mod audit;
pub mod auth;
mod call;
pub mod client;
mod compress;
pub mod config;
mod connection;
mod hangup;
pub mod http;
mod lane;
mod limits;
mod listen;
mod live;
mod metrics;
mod negotiate;
mod openapi;
mod problem;
mod requests;
mod rfc3339;
pub mod routes;
mod schemas;
mod serve;
mod serving;

mod slow;
mod state;
pub mod telemetry;
mod tenant;
mod tls;
mod waiting;
mod write;

pub use app::App;
pub use auth::{Auth, AuthOptions};
pub use config::Config;
pub use hangup::Hangups;
pub use listen::listen;
pub use live::LiveOptions;
pub use serve::{ServeOptions, serve, service, stop_signal};
pub use tenant::Tenant;
pub use tls::TlsFiles;
