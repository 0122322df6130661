//! [`Rival`]: scikit-learn and NumPy, in a process of their own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bench::Result;
use serde::Deserialize;

use crate::cases::Case;

pub(crate) const SKLEARN: &str = "scikit-learn";
pub(crate) const NUMPY: &str = "numpy";

/// The process, ended when this is dropped.
pub(crate) struct Rival {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    folder: PathBuf,
}

#[derive(Deserialize)]
struct Answer {
    nanoseconds: f64,
}

impl Rival {
    /// Starts it, with the data in `folder`.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let python = std::env::var_os("TANDEMDB_BENCH_PYTHON")
            .ok_or("needs the Python that `cargo xtask bench transform` makes")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("rivals.py");
        let mut process = Command::new(python)
            .arg(script)
            .arg(folder)
            .env("OMP_NUM_THREADS", "1")
            .env("OPENBLAS_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take().ok_or("no input")?;
        let output = BufReader::new(process.stdout.take().ok_or("no output")?);
        Ok(Self {
            process,
            input,
            output,
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
        writeln!(self.input, "{command}")?;
        self.input.flush()?;
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(format!("{subject} ended: {}", self.process.wait()?).into());
        }
        Ok(serde_json::from_str::<Answer>(&line)?.nanoseconds)
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
