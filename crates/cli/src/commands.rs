//! The commands, one file each.

pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod query;
mod query_text;
