//! A server on a real socket, asked by HTTP: tables, rows, questions, permissions, limits, and those who mean harm.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod backups;
#[path = "../shared/described.rs"]
mod described;
mod disk;
mod hostile;
mod limits;
#[path = "../shared/listening.rs"]
mod listening;
mod negotiation;
mod openapi;
mod permission;
mod query;
mod replicas;
mod restart;
mod rows;
mod slow;
mod support;
mod tables;
mod tls;
mod transaction;
