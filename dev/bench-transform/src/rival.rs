//! [`Rival`]: scikit-learn and NumPy, in a process of their own.

use std::path::{Path, PathBuf};

use bench::Result;
use bench::python::Python;
use serde::Deserialize;

use crate::cases::Case;

pub(crate) const SKLEARN: &str = "scikit-learn";
pub(crate) const NUMPY: &str = "numpy";

/// The process, ended when this is dropped.
pub(crate) struct Rival {
    process: Python,
    folder: PathBuf,
}

#[derive(Deserialize)]
struct Answer {
    nanoseconds: f64,
}

impl Rival {
    /// Starts it, with the data in `folder`.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("transform_rivals.py");
        Ok(Self {
            process: Python::start(&script, &[folder.as_os_str()])?,
            folder: folder.to_owned(),
        })
    }

    /// What `subject` makes of the data.
    pub(crate) fn answer(&mut self, case: &Case, subject: &str) -> Result<Vec<f64>> {
        self.ask(case, subject, 0.0)?;
        let bytes = std::fs::read(self.folder.join("answer"))?;
        let numbers = bytes.as_chunks().0.iter();
        Ok(numbers.map(|x| f64::from_ne_bytes(*x)).collect())
    }

    /// Nanoseconds of one call, from as many calls as take `seconds`.
    pub(crate) fn turn(&mut self, case: &Case, subject: &str, seconds: f64) -> Result<f64> {
        self.ask(case, subject, seconds)
    }

    /// Writes the answer into the folder if there are no seconds to fill.
    fn ask(&mut self, case: &Case, subject: &str, seconds: f64) -> Result<f64> {
        let command = serde_json::json!({ "case": case, "subject": subject, "seconds": seconds });
        let answer: Answer = self
            .process
            .ask(&command)
            .map_err(|error| format!("{subject}: {error}"))?;
        Ok(answer.nanoseconds)
    }
}
