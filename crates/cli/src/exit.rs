//! What the process tells its caller: each kind of error is one exit code.

use std::error::Error as _;
use std::process::ExitCode;

use common::{Error, ErrorKind};

/// The exit code of an error; the help text of `tandem` lists them. 2 is given by the reader of the command
/// line.
pub(crate) fn code_of(kind: ErrorKind) -> ExitCode {
    ExitCode::from(match kind {
        ErrorKind::Io => 3,
        ErrorKind::Corrupt | ErrorKind::Unsupported => 4,
        _ => 1,
    })
}

/// Whether the reader of our output has gone, as `head` does when it has enough: no failure.
pub(crate) fn is_closed_pipe(error: &Error) -> bool {
    let io = error
        .source()
        .and_then(|source| source.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
