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

use super::{Step, Steps};
use crate::transform::written::{check_schema, content_name};

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
        check_schema("fitted steps", text, STEPS_SCHEMA, limits)?;
        let read: Read = serde_json::from_str(text)
            .map_err(|e| Error::corrupt(format!("these are no fitted steps: {e}")).caused_by(e))?;
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
        Ok(content_name(&self.to_json()?))
    }
}
