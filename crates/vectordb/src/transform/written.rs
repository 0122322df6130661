//! What the JSON forms have in common: a number of their schema, and names that follow from what is in them.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::limits::Limits;
use common::{Error, Result};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

#[derive(Deserialize)]
struct Header {
    schema: u32,
}

/// Refuses a text that is too long, no JSON, or of another schema.
pub(crate) fn check_schema(what: &str, text: &str, schema: u32, limits: &Limits) -> Result<()> {
    limits.check_total(text.len())?;
    let header: Header = serde_json::from_str(text)
        .map_err(|e| Error::corrupt(format!("these are no {what}: {e}")).caused_by(e))?;
    if header.schema == schema {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "{what} of schema {}, but this version reads schema {schema}",
        header.schema
    )))
}

/// 32 hexadecimal digits: the first half of the SHA-256 of `text`.
pub(crate) fn content_name(text: &str) -> String {
    let mut name = hex::encode(Sha256::digest(text));
    name.truncate(32);
    name
}
