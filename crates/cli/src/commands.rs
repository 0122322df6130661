//! The commands, one file each.

pub(crate) mod demo;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod query;
mod query_text;
pub(crate) mod replica;
pub(crate) mod serve;
