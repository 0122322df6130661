//! [`Python`]: a script that holds the rivals of a benchmark which are libraries of Python, in a process of its own.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Result;

/// The variable that says which Python has the libraries; `cargo xtask bench` sets it.
pub const VARIABLE: &str = "TANDEMDB_BENCH_PYTHON";

/// A running script: one JSON object a line goes in, one comes out. Ended when this is dropped.
#[derive(Debug)]
pub struct Python {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Python {
    /// Starts a script, on one thread.
    ///
    /// # Errors
    /// When there is no Python with the libraries, or it does not start.
    pub fn start(script: &Path, arguments: &[&OsStr]) -> Result<Self> {
        let python = std::env::var_os(VARIABLE)
            .ok_or_else(|| format!("needs {VARIABLE}: run it as `cargo xtask bench NAME`"))?;
        let mut process = Command::new(python)
            .arg(script)
            .args(arguments)
            .env("OMP_NUM_THREADS", "1")
            .env("OPENBLAS_NUM_THREADS", "1")
            .env("POLARS_MAX_THREADS", "1")
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
    ///
    /// # Errors
    /// When the script ended, or answers something else than `T`.
    pub fn ask<T: DeserializeOwned>(&mut self, command: &Value) -> Result<T> {
        writeln!(self.input, "{command}")?;
        self.input.flush()?;
        let mut answer = String::new();
        if self.output.read_line(&mut answer)? == 0 {
            let status = self.process.wait()?;
            return Err(format!("the script ended ({status}); what it says is above").into());
        }
        Ok(serde_json::from_str(&answer)?)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
