//! [`Child`]: the process of one subject.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Stdio};

use bench::Result;
use serde::de::DeserializeOwned;

use crate::protocol::{Command, Figures, Hello};
use crate::{arguments, ours, rust_rivals};

/// The argument that makes this program serve a subject.
pub(crate) const SERVE: &str = "serve-subject";

/// Libraries that `rivals.py` serves.
const PYTHON: [&str; 19] = [
    "hnswlib",
    "symphonyqg",
    "symphonyqg 8 bits",
    "glass sq8",
    "glass sq8 only",
    "glass sq4",
    "rabitq hnsw",
    "faiss hnsw",
    "faiss hnsw sq8",
    "svs",
    "svs f16",
    "faiss ivf fastscan",
    "faiss ivf rabitq",
    "rabitq ivf",
    "rabitq ivf raw",
    "scann",
    "ngt",
    FAISS_FLAT,
    FAISS_FLAT_BLAS,
];

const FAISS_FLAT: &str = "faiss flat";
const FAISS_FLAT_BLAS: &str = "faiss flat blas";

/// Everyone who can take part, ours first.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ours::NAMES
        .into_iter()
        .chain(rust_rivals::NAMES)
        .chain(PYTHON)
}

/// Whether a subject compares with every row, which is no point of a curve.
pub(crate) fn is_exact(name: &str) -> bool {
    [ours::EXACT, FAISS_FLAT, FAISS_FLAT_BLAS].contains(&name)
}

/// The process of one subject, stopped when this is dropped.
pub(crate) struct Child {
    pub(crate) name: &'static str,
    pub(crate) hello: Hello,
    process: std::process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Child {
    /// Starts a subject; `folder` takes what it prints.
    pub(crate) fn start(name: &'static str, folder: &Path) -> Result<Self> {
        let mut command = if PYTHON.contains(&name) {
            let python = std::env::var_os("TANDEMDB_BENCH_PYTHON")
                .ok_or("needs the Python that `cargo xtask bench ann` makes")?;
            let script = arguments::root().join("dev/bench-ann/rivals.py");
            let mut command = std::process::Command::new(python);
            command.arg(script).arg(name);
            command
        } else {
            let mut command = std::process::Command::new(std::env::current_exe()?);
            command.args([SERVE, name]);
            command
        };
        // One thread unless a library is told otherwise, and freed memory goes back, so that memory can be weighed.
        let log = File::create(folder.join(format!("{}.log", name.replace(' ', "-"))))?;
        // The OpenBLAS within faiss takes processors newer than itself for very old ones.
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        if processor.contains("avx512vl") {
            command.env("OPENBLAS_CORETYPE", "SkylakeX");
            command.env_remove("OPENBLAS_L2_SIZE");
        }
        let mut process = command
            .env("OMP_NUM_THREADS", "1")
            .env("OMP_WAIT_POLICY", "passive")
            .env("OPENBLAS_NUM_THREADS", "1")
            .env("MALLOC_TRIM_THRESHOLD_", "65536")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let input = process.stdin.take().ok_or("no input")?;
        let output = BufReader::new(process.stdout.take().ok_or("no output")?);
        let mut child = Self {
            name,
            hello: Hello {
                version: String::new(),
                efforts: Vec::new(),
                filters: false,
                updates: false,
            },
            process,
            input,
            output,
        };
        child.hello = child.ask(&Command::Hello)?;
        Ok(child)
    }

    /// Gives a command and waits until it is done.
    pub(crate) fn tell(&mut self, command: &Command) -> Result<Figures> {
        self.ask(command)
    }

    fn ask<T: DeserializeOwned>(&mut self, command: &Command) -> Result<T> {
        serde_json::to_writer(&mut self.input, command)?;
        writeln!(self.input)?;
        self.input.flush()?;
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(format!("{} ended: {}", self.name, self.process.wait()?).into());
        }
        let answer: serde_json::Value = serde_json::from_str(&line)?;
        if let Some(error) = answer.get("error") {
            return Err(format!("{}: {error}", self.name).into());
        }
        Ok(serde_json::from_value(answer)?)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
