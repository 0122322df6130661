//! [`Rivals`]: the Python process that holds the SDK of `GrowthBook`, `SciPy` and statsmodels.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bench::Result;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A running `rivals.py`: one command a line, one answer a line.
#[derive(Debug)]
pub(crate) struct Rivals {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What a command computed, and the processor time of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Timed<T> {
    pub(crate) seconds: f64,
    pub(crate) answer: T,
}

impl Rivals {
    pub(crate) fn start() -> Result<Self> {
        let python = std::env::var_os("TANDEMDB_BENCH_PYTHON")
            .ok_or("needs the Python that `cargo xtask bench experiment` makes")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("rivals.py");
        let mut process = Command::new(python)
            .arg(script)
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
        })
    }

    /// Sends a command and reads its answer.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, command: &str, given: &Value) -> Result<T> {
        let line = serde_json::to_string(&json!({ "command": command, "given": given }))?;
        writeln!(self.input, "{line}")?;
        self.input.flush()?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        if answer.is_empty() {
            return Err(format!("rivals.py ended at `{command}`; what it says is above").into());
        }
        Ok(serde_json::from_str(&answer)?)
    }
}

impl Drop for Rivals {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
