//! TandemDB over HTTP: [`serve`] answers replicas, [`HttpTransport`](http::HttpTransport) reaches a server.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/sync` | a frame of the sync protocol for a frame, `application/octet-stream` |
//! | `GET /healthz` | `ok` while the process answers |
//! | `GET /v1/status` | rows, last commit, clients and conflicts, as JSON |
//!
//! Errors are problem details after RFC 9457, `application/problem+json`.

pub mod http;
mod problem;
mod serve;
mod slow;

pub use serve::{ServeOptions, serve, stop_signal};
