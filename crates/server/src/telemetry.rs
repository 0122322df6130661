//! [`write_log`]: what the server says of its work, on standard error.

use std::io::stderr;

use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;

/// How the lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// A sentence a line, for people.
    #[default]
    Text,
    /// A JSON object a line, for programs.
    Json,
}

/// The least important of what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What may soon.
    Warn,
    /// What the server does.
    #[default]
    Info,
    /// Every request, by its route.
    Debug,
    /// Everything.
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// Writes the log of this process to standard error from now on. A process that has a log already keeps that.
///
/// Neither paths nor bodies nor headers of requests are written, so no key, no row and no token gets into it.
pub fn write_log(format: LogFormat, level: LogLevel) {
    let builder = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from(level))
        .with_writer(stderr);
    let _ = match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
