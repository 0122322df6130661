//! The built `tandem` binary, run as a user runs it.

mod churn;
mod demo;
mod durable_folder;
mod feature_files;
mod features;
mod import;
mod inspect;
mod migrate;
mod output;
mod query;
mod reload;
mod serve;
mod serving;
mod support;
mod sync;
mod sync_killed;
mod synced;
mod tenants;
mod tokens;
mod traces;
mod vectors;
mod versions;
