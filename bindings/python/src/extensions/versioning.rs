//! [`PythonVersioning`]: mechanisms that make and compare versions.

use common::versioning::{Causality, ReplicaId, Version, Versioning};
use common::{Error, Result};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::call::{append_bytes, ask};

/// An object with `name`, `next(previous, replica)` and `compare(a, b)`; versions are bytes.
pub(super) struct PythonVersioning {
    name: String,
    object: Py<PyAny>,
}

impl PythonVersioning {
    pub(super) fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self {
            name: object.getattr(intern!(object.py(), "name"))?.extract()?,
            object: object.clone().unbind(),
        })
    }

    /// The bytes of a version of this mechanism.
    fn own<'v>(&self, version: &'v Version) -> Result<&'v [u8]> {
        match version {
            Version::Custom { mechanism, bytes } if mechanism.as_str() == self.name => Ok(bytes),
            other => Err(Error::invalid(format!(
                "a version of mechanism `{}` was given to mechanism `{}`; peers must agree on one",
                other.mechanism(),
                self.name
            ))),
        }
    }
}

impl Versioning for PythonVersioning {
    fn name(&self) -> &str {
        &self.name
    }

    fn next(&self, previous: Option<&Version>, replica: &ReplicaId) -> Result<Version> {
        let previous = previous.map(|version| self.own(version)).transpose()?;
        let who = format!("versioning `{}`: next", self.name);
        let mut bytes = Vec::new();
        ask(&who, |py| {
            let previous = previous.map(|bytes| PyBytes::new(py, bytes));
            let next = self
                .object
                .bind(py)
                .call_method1(intern!(py, "next"), (previous, replica.0.as_str()))?;
            append_bytes(&who, &next, &mut bytes)
        })?;
        Ok(Version::Custom {
            mechanism: self.name.as_str().into(),
            bytes,
        })
    }

    fn compare(&self, a: &Version, b: &Version) -> Result<Causality> {
        let (a, b) = (self.own(a)?, self.own(b)?);
        let who = format!("versioning `{}`: compare", self.name);
        ask(&who, |py| {
            let sides = (PyBytes::new(py, a), PyBytes::new(py, b));
            let answer = self
                .object
                .bind(py)
                .call_method1(intern!(py, "compare"), sides)?;
            causality(&answer)
        })
    }
}

/// What `compare` answers: -1, 0 or 1, and `None` when neither knew of the other.
fn causality(answer: &Bound<'_, PyAny>) -> PyResult<Causality> {
    if answer.is_none() {
        return Ok(Causality::Concurrent);
    }
    match answer.extract::<i64>()? {
        -1 => Ok(Causality::Before),
        0 => Ok(Causality::Equal),
        1 => Ok(Causality::After),
        other => Err(PyValueError::new_err(format!(
            "compare returns -1, 0, 1 or None, not {other}"
        ))),
    }
}

/// Inverse of [`causality`].
pub(super) fn order_of(causality: Causality) -> Option<i64> {
    match causality {
        Causality::Before => Some(-1),
        Causality::Equal => Some(0),
        Causality::After => Some(1),
        Causality::Concurrent => None,
    }
}
