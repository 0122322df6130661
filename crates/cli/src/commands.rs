//! The commands, one file each.

pub(crate) mod backup;
pub(crate) mod conflicts;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod features;
pub(crate) mod import;
pub(crate) mod inspect;
mod kept;
mod kept_replica;
mod kept_tenant;
pub(crate) mod migrate;
pub(crate) mod query;
mod query_text;
mod reach;
pub(crate) mod rejected;
pub(crate) mod repair;
pub(crate) mod replica;
pub(crate) mod restore;
pub(crate) mod serve;
pub(crate) mod sync;
mod synced;
pub(crate) mod vectors;
pub(crate) mod verify;
