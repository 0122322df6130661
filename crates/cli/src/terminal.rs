//! What differs between a person at a terminal and a program at the end of a pipe.

use std::io::{self, IsTerminal as _, StdoutLock, Write, stderr, stdout};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How far a long step has come, on standard error; shows nothing when that is not a terminal.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Counts rows of which nobody knows how many there are.
    pub(crate) fn rows(what: &str) -> Self {
        Self::new(
            what,
            ProgressBar::new_spinner(),
            "{spinner} {msg} {human_pos} rows",
        )
    }

    /// Counts up to a known number of rows.
    pub(crate) fn rows_of(what: &str, all: usize) -> Self {
        let template = "{msg} {bar:24} {human_pos} of {human_len} rows";
        Self::new(what, ProgressBar::new(all as u64), template)
    }

    /// Something of which nothing can be counted.
    pub(crate) fn stage(what: &str) -> Self {
        Self::new(what, ProgressBar::new_spinner(), "{spinner} {msg}")
    }

    /// Says what is being done now.
    pub(crate) fn say(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    fn new(what: &str, bar: ProgressBar, template: &str) -> Self {
        if !stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        // The templates are constants, so a mistake in one would be ours: then the plain style serves.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// Shows a new count, now and then.
    pub(crate) fn tick(&self, count: usize) {
        if count.is_multiple_of(512) {
            self.0.set_position(count as u64);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Standard output. What fails there says so: of a full disk alone nobody would know which one.
pub(crate) struct Output(StdoutLock<'static>);

/// Standard output, held by the caller.
pub(crate) fn output() -> Output {
    Output(stdout().lock())
}

fn named(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("standard output: {error}"))
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(|error| named(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(|error| named(&error))
    }
}

/// Whether standard output may be coloured: it is a terminal, and `NO_COLOR` is not set.
pub(crate) fn is_coloured() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Marks up text for the terminal, or leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    /// Text that stands out.
    pub(crate) fn bold(self, text: impl std::fmt::Display) -> String {
        self.with("1", text)
    }

    /// Text that stands back.
    pub(crate) fn dim(self, text: impl std::fmt::Display) -> String {
        self.with("2", text)
    }

    /// Good news.
    pub(crate) fn green(self, text: impl std::fmt::Display) -> String {
        self.with("32", text)
    }

    fn with(self, code: &str, text: impl std::fmt::Display) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }
}
