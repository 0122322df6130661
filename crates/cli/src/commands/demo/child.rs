//! Processes of this same binary, which end with the demonstration whatever happens.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use common::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;

use crate::commands::replica::{Answer, Order};

/// A process that is asked and answers line by line; killed when dropped.
pub(super) struct Process {
    what: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts `tandem` with these arguments.
    pub(super) fn start(what: &'static str, arguments: &[&str]) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Error::from(error).at(format!("starting the {what}")))?;
        let input = child.stdin.take();
        let output = child.stdout.take().map(BufReader::new);
        let output = output.ok_or_else(|| Error::closed(format!("the {what} has no output")))?;
        Ok(Self {
            what,
            child,
            input,
            output,
        })
    }

    /// The next line that the process prints.
    pub(super) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(Error::new(
                ErrorKind::Io,
                format!(
                    "the {} ended before it answered; its message stands above",
                    self.what
                ),
            ));
        }
        Ok(line.trim_end().to_owned())
    }

    /// Gives an order to a replica and waits for its answer.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, order: &Order) -> Result<T> {
        let bad = |error: serde_json::Error| Error::invalid(error.to_string());
        let line = serde_json::to_string(order).map_err(bad)?;
        let input = self.input.as_mut();
        let input = input.ok_or_else(|| Error::closed(format!("the {} was ended", self.what)))?;
        writeln!(input, "{line}")?;
        input.flush()?;
        match serde_json::from_str(&self.line()?).map_err(bad)? {
            Answer::Ok(answer) => serde_json::from_value(answer).map_err(bad),
            Answer::Error(error) => Err(Error::invalid(error).at(self.what)),
        }
    }

    /// Closes the input, which ends the process, and waits for that.
    pub(super) fn end(mut self) -> Result<()> {
        self.input.take();
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(Error::new(
                ErrorKind::Io,
                format!("the {} ended with {status}", self.what),
            ))
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both do nothing to a process that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
