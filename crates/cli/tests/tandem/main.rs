//! The built `tandem` binary, run as a user runs it.

mod demo;
mod durable_folder;
mod features;
mod import;
mod inspect;
mod migrate;
mod query;
mod serve;
mod support;
mod sync;
mod sync_killed;
mod synced;
mod vectors;
mod versions;
