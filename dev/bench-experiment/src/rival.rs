//! [`Rivals`]: the Python process that holds the SDK of `GrowthBook`, `SciPy` and statsmodels.

use std::path::Path;

use bench::Result;
use bench::python::Python;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A running `experiment_rivals.py`.
#[derive(Debug)]
pub(crate) struct Rivals(Python);

/// What a command computed, and the processor time of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Timed<T> {
    pub(crate) seconds: f64,
    pub(crate) answer: T,
}

impl Rivals {
    pub(crate) fn start() -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiment_rivals.py");
        Ok(Self(Python::start(&script, &[])?))
    }

    /// Sends a command and reads its answer.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, command: &str, given: &Value) -> Result<T> {
        let asked = self.0.ask(&json!({ "command": command, "given": given }));
        asked.map_err(|error| format!("{command}: {error}").into())
    }
}
