//! The JSON form of experiments and of stored assignments.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::{Error, Limits, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Assignment, Experiment};

fn read<T: DeserializeOwned>(what: &str, json: &[u8], limits: &Limits) -> Result<T> {
    limits.check_total(json.len())?;
    serde_json::from_slice(json)
        .map_err(|error| Error::invalid(format!("not {what}: {error}")).caused_by(error))
}

fn write<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| Error::invalid(format!("has no JSON form: {error}")).caused_by(error))
}

impl Experiment {
    /// Decodes the JSON form and checks it.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the bytes are no experiment, [`common::ErrorKind::LimitExceeded`] beyond a
    /// limit; otherwise as [`Experiment::check`].
    pub fn from_json(json: &[u8], limits: &Limits) -> Result<Self> {
        let experiment: Self = read("an experiment", json, limits)?;
        limits.check_elements(experiment.overrides.len())?;
        experiment.check()?;
        Ok(experiment)
    }

    /// The JSON form.
    ///
    /// # Errors
    /// As [`Experiment::check`]: what is written can be read.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        self.check()?;
        write(self)
    }
}

impl Assignment {
    /// Decodes the JSON form.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the bytes are no assignment, [`common::ErrorKind::LimitExceeded`] beyond a
    /// limit.
    pub fn from_json(json: &[u8], limits: &Limits) -> Result<Self> {
        let assignment: Self = read("an assignment", json, limits)?;
        limits.check_bytes(assignment.unit.len())?;
        Ok(assignment)
    }

    /// The JSON form.
    ///
    /// # Errors
    /// None that is known: every assignment has a JSON form.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        write(self)
    }
}
