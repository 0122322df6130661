//! [`Telemetry`]: what the server says of its work: the log on standard error, traces for a collector.

#[cfg(feature = "otlp")]
mod traces;

use std::fmt;
use std::io::stderr;
use std::path::PathBuf;

use axum::http::{HeaderMap, StatusCode};
use common::Result;
use serde::{Deserialize, Serialize};
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Span};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, reload};

use crate::config::Config;
use crate::hangup::Hangups;

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

/// What the spans of requests are told from others by.
const TARGET: &str = "tandem::request";

/// What this process says of its work: a log, whose level can be changed, and traces of requests where a collector takes them.
#[derive(Clone)]
pub struct Telemetry {
    /// `None` when the process had a log before.
    level: Option<reload::Handle<LevelFilter, Registry>>,
    #[cfg(feature = "otlp")]
    traces: Option<traces::Traces>,
}

impl Telemetry {
    /// Writes the log of this process to standard error from now on, and sends traces. A process that has a log already keeps that,
    /// with its level, and sends none.
    ///
    /// Neither paths nor bodies nor headers of requests are written or sent, so no key, no row and no token gets there: of a
    /// request there are its route, its method, its status and the time that it took.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a collector that has no address; [`common::ErrorKind::Unsupported`] for one in a program without the feature
    /// `otlp`.
    pub fn begin(config: &Config) -> Result<Self> {
        let (format, level) = (config.log.format, config.log.level);
        #[cfg(feature = "otlp")]
        let traces = traces::Traces::begin(&config.telemetry)?;
        #[cfg(not(feature = "otlp"))]
        if config.telemetry.traces.is_some() {
            return Err(common::Error::unsupported(
                "[telemetry] `traces`: this program was built without them; build it with the feature `otlp`",
            ));
        }
        let (level, handle) = reload::Layer::new(LevelFilter::from(level));
        let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
        let lines = match format {
            LogFormat::Text => lines.with_ansi(false).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        // Spans are for the collector: a line of the log says all of it by itself.
        let lines =
            lines.with_filter(level.and(filter_fn(|metadata: &Metadata<'_>| metadata.is_event())));
        let registry = tracing_subscriber::registry().with(lines);
        #[cfg(feature = "otlp")]
        let registry = registry.with(traces.as_ref().map(traces::Traces::layer));
        let begun = registry.try_init().is_ok();
        Ok(Self {
            level: begun.then_some(handle),
            #[cfg(feature = "otlp")]
            traces,
        })
    }

    /// Writes from now on what is at least this important.
    pub fn set_level(&self, level: LogLevel) {
        if let Some(handle) = &self.level {
            // It fails only when the log is gone, and with it what has a level.
            let _ = handle.reload(LevelFilter::from(level));
        }
    }

    /// Sets the level that a file of options has, whenever the process is told to read its files anew. It never ends.
    pub async fn follow(self, options: PathBuf) {
        let mut hangups = Hangups::new();
        loop {
            hangups.next().await;
            match Config::read(&options) {
                Ok(config) => self.set_level(config.log.level),
                Err(error) => tracing::warn!(%error, "the level of the log stays as it was"),
            }
        }
    }

    /// Sends the traces that wait, as far as that takes no longer than two seconds. To be called at the end of the process.
    pub fn end(&self) {
        #[cfg(feature = "otlp")]
        if let Some(traces) = &self.traces {
            traces.end();
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

/// The span of a request, of the trace that the request says it is part of. It costs next to nothing where no traces are kept.
pub(crate) fn request_span(method: &'static str, route: &str, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = format_args!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    );
    #[cfg(feature = "otlp")]
    if !span.is_disabled() {
        traces::join(&span, headers);
    }
    #[cfg(not(feature = "otlp"))]
    let _ = headers;
    span
}

/// Notes what became of a request.
pub(crate) fn answered(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}
