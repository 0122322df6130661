//! [`Steps`] as JSON, and the name that follows from what is in it.

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
use common::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Step, Steps};

/// The version of the JSON form that is written; older ones are read.
pub const STEPS_SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Written<'a> {
    schema: u32,
    columns: usize,
    steps: &'a [Step],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    #[serde(rename = "schema")]
    _schema: u32,
    columns: usize,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Header {
    schema: u32,
}

impl Steps {
    /// Writes everything as JSON; numbers in the fewest digits that read back to the same bits.
    ///
    /// # Errors
    /// Does not fail: every number of checked steps is finite.
    pub fn to_json(&self) -> Result<String> {
        let written = Written {
            schema: STEPS_SCHEMA,
            columns: self.columns,
            steps: &self.order,
        };
        serde_json::to_string(&written)
            .map_err(|e| Error::invalid("steps cannot be written").caused_by(e))
    }

    /// Reads what [`Steps::to_json`] wrote.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] for a text, or numbers of columns or steps, above `limits`;
    /// [`ErrorKind::Unsupported`] for a newer schema; [`ErrorKind::Corrupt`] for anything else that was not
    /// written by this library.
    pub fn from_json(text: &str, limits: &Limits) -> Result<Self> {
        limits.check_total(text.len())?;
        let corrupt = |e: serde_json::Error| {
            Error::corrupt(format!("these are no fitted steps: {e}")).caused_by(e)
        };
        let header: Header = serde_json::from_str(text).map_err(corrupt)?;
        if header.schema != STEPS_SCHEMA {
            return Err(Error::unsupported(format!(
                "fitted steps of schema {}, but this version reads schema {STEPS_SCHEMA}",
                header.schema
            )));
        }
        let read: Read = serde_json::from_str(text).map_err(corrupt)?;
        limits.check_elements(read.columns)?;
        limits.check_elements(read.steps.len())?;
        Self::new(read.columns, read.steps).map_err(|e| match e.kind() {
            ErrorKind::Invalid => Error::corrupt(format!("these are no fitted steps: {e}")),
            _ => e,
        })
    }

    /// A name for exactly these steps, columns and fitted numbers: 32 hexadecimal digits, the first half of the
    /// SHA-256 of [`Steps::to_json`].
    ///
    /// # Errors
    /// As [`Steps::to_json`].
    pub fn version(&self) -> Result<String> {
        use std::fmt::Write as _;
        let digest = Sha256::digest(self.to_json()?);
        let mut name = String::with_capacity(32);
        for byte in digest.iter().take(16) {
            write!(name, "{byte:02x}").map_err(|e| Error::invalid("no name").caused_by(e))?;
        }
        Ok(name)
    }
}
