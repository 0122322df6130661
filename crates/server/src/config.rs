//! [`Config`]: the options of a server as a file of TOML.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Error, Result, Text};
use durable::{Durability, check_name};
use serde::{Deserialize, Serialize};

use crate::auth::AuthOptions;
use crate::live::LiveOptions;
use crate::serve::ServeOptions;
use crate::telemetry::{LogFormat, LogLevel};
use crate::tenant::Tenant;
use crate::tls::TlsFiles;

/// A section of the file: its options with what is to be known of each and its default, once for the struct, its
/// documentation and the file that is printed.
macro_rules! section {
    ($(#[doc = $about:literal])* $name:ident { $($(#[doc = $doc:literal])* $key:ident: $ty:ty = $default:expr;)* }) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[doc = $doc])* pub $key: $ty,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl $name {
            /// The section with its defaults and what is to be known of each.
            fn print(out: &mut String, section: &str) {
                let default = Self::default();
                let _ = writeln!(out, "\n#{}\n[{section}]", [$($about),*].join("\n#"));
                $(
                    let lines: &[&str] = &[$($doc),*];
                    for line in lines {
                        let _ = writeln!(out, "#{line}");
                    }
                    // Texts and numbers are written alike in JSON and TOML.
                    match serde_json::to_value(&default.$key) {
                        Ok(value) if !value.is_null() => {
                            let _ = writeln!(out, concat!(stringify!($key), " = {}"), value);
                        }
                        _ => {
                            let _ = writeln!(out, concat!("# ", stringify!($key), " ="));
                        }
                    }
                )*
            }
        }
    };
}

section! {
    /// What is served, and where.
    ServerSection {
        /// Address and port. Port 0 is a free one, which is printed.
        listen: String = "127.0.0.1:8080".to_owned();
        /// Folder that keeps the database, on the disk with every commit; created if it does not exist. Default: tandem-data.
        data: Option<PathBuf> = None;
        /// Database file in place of a folder: in memory until the server ends, then written; created if it does not exist.
        db: Option<PathBuf> = None;
        /// Tenants, each with a database of its own that the others do not see: `default` in the folder itself, every other in
        /// `tenants/NAME` in it. Default: `default` alone.
        tenants: Vec<Text> = Vec::new();
        /// How conflicts are resolved: a JSON file with a policy for each table. Default: by the last writer.
        policies: Option<PathBuf> = None;
        /// Versions of the tables to be served side by side: a lineage as JSON. Default: the tables as they are.
        lineage: Option<PathBuf> = None;
        /// The earliest version of the lineage that replicas are served. Default: the first.
        served_from: Option<u32> = None;
        /// The earliest version whose unsent writes are still taken. Default: as `served_from`.
        accepted_from: Option<u32> = None;
        /// The version of replicas that carry no lineage. Default: the latest.
        current: Option<u32> = None;
    }
}

impl ServerSection {
    /// The folder where nothing is said.
    pub const DATA: &str = "tandem-data";

    /// The names of the tenants.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a name that is no name of a folder, and for two that some systems take for the same.
    pub fn tenants(&self) -> Result<Vec<Text>> {
        if self.tenants.is_empty() {
            return Ok(vec![Tenant::DEFAULT.into()]);
        }
        for (at, name) in self.tenants.iter().enumerate() {
            check_name(name).map_err(|error| error.at(format!("[server] `tenants`, `{name}`")))?;
            let before = self.tenants.iter().take(at);
            if before
                .into_iter()
                .any(|other| other.eq_ignore_ascii_case(name))
            {
                return Err(Error::invalid(format!(
                    "[server] `tenants` has `{name}` twice, or in capital and small letters"
                )));
            }
        }
        Ok(self.tenants.clone())
    }
}

/// When a commit counts as safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSync {
    /// When the disk has confirmed it: a power cut loses nothing that was answered.
    #[default]
    EveryCommit,
    /// When the operating system has it: a killed server loses nothing that was answered, a power cut up to `sync_seconds`.
    Interval,
    /// As before, and the disk is asked at snapshots and at the end only.
    Never,
}

section! {
    /// How the folder of the database is kept.
    StorageSection {
        /// When a write is answered: `every_commit` (the disk has confirmed it), `interval` (the disk is asked every
        /// `sync_seconds`), `never` (the disk is asked at snapshots and at the end).
        sync: LogSync = LogSync::EveryCommit;
        /// Seconds: between two syncs with "interval".
        sync_seconds: f64 = 1.0;
        /// Bytes: of log after which a snapshot is made beside the writers.
        checkpoint_bytes: u64 = 64 << 20;
        /// Folder that gets a copy of the log before it is removed, so that `tandem restore` can go to any commit since a
        /// backup; of a tenant that is not `default`, `tenants/NAME` in it. Default: none.
        archive: Option<PathBuf> = None;
        /// Folder with a folder for each tenant, by name, in which the backups are that are made over HTTP; best on another disk.
        /// Default: `backups` in the folder of each database.
        backups: Option<PathBuf> = None;
    }
}

impl StorageSection {
    /// When a commit counts as safe.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for an interval that makes no sense.
    pub fn durability(&self) -> Result<Durability> {
        Ok(match self.sync {
            LogSync::EveryCommit => Durability::EveryCommit,
            LogSync::Interval => {
                Durability::Every(seconds("storage", "sync_seconds", self.sync_seconds, true)?)
            }
            LogSync::Never => Durability::None,
        })
    }
}

section! {
    /// Encryption. Without a certificate the server speaks plain HTTP: listen on the loopback address only.
    TlsSection {
        /// File with the certificate and those that lead to it, as PEM. Read anew when it changes, and on SIGHUP.
        certificate: Option<PathBuf> = None;
        /// File with its private key, as PEM.
        key: Option<PathBuf> = None;
    }
}

section! {
    /// What one peer or request may take.
    LimitsSection {
        /// Bytes: most in the body of a request. At most 1 GiB.
        body_bytes_max: usize = 8 << 20;
        /// Bytes: most in the body of a request once it is unpacked (zstd, gzip). At most 1 GiB.
        inflated_bytes_max: usize = 8 << 20;
        /// Connections: most at a time, live ones not counted; further ones wait to be accepted.
        connections_max: usize = 1_024;
        /// Live connections: most at a time; further ones are answered 503.
        live_connections_max: usize = 16_384;
        /// Requests: most at a time on one connection of HTTP/2.
        streams_max: u32 = 64;
        /// Requests: most that run at a time.
        running_max: usize = 64;
        /// Requests: most that wait for others to end; further ones are answered 503.
        waiting_max: usize = 1_024;
        /// Requests a second: most of one principal, or of one address where nobody is identified; further ones are answered
        /// 429. Default: no limit.
        requests_per_second_max: Option<NonZeroU32> = None;
        /// Requests: most of these at once. Default: as many as in a second.
        requests_burst_max: Option<NonZeroU32> = None;
    }
}

section! {
    /// How long things may take.
    TimeoutsSection {
        /// Seconds: for the head of a request, idle time between two requests included.
        header_seconds: f64 = 15.0;
        /// Seconds: for the handshake of TLS.
        handshake_seconds: f64 = 10.0;
        /// Seconds: that a connection may stand still inside a request or an answer.
        stall_seconds: f64 = 10.0;
        /// Seconds: for a request from its head to its answer.
        request_seconds: f64 = 30.0;
        /// Seconds: between two looks whether a dictionary of sync is to be learned.
        train_seconds: f64 = 60.0;
        /// Seconds: that a server which is told to stop still takes connections, while `/readyz` sends them elsewhere.
        drain_delay_seconds: f64 = 0.0;
        /// Seconds: that running requests may go on once no more connections are taken.
        drain_seconds: f64 = 10.0;
    }
}

section! {
    /// What is written to standard error.
    LogSection {
        /// Format: "text" for people, "json" for programs.
        format: LogFormat = LogFormat::Text;
        /// The least important that is written: "error", "warn", "info", "debug" (every request) or "trace".
        level: LogLevel = LogLevel::Info;
    }
}

section! {
    /// Where traces of requests go.
    TelemetrySection {
        /// Address of a collector, which gets the traces by OTLP over HTTP, as in `http://127.0.0.1:4318/v1/traces`. What it wants to be
        /// told of whom they come from is in the environment, in `OTEL_EXPORTER_OTLP_HEADERS`. Default: none.
        traces: Option<String> = None;
        /// Share of requests that are traced, from 0 to 1. One that comes with a `traceparent` is as that says.
        sampled: f64 = 1.0;
        /// Name of the service in them.
        service_name: String = "tandem".to_owned();
        /// Spans: most that wait for the collector; further ones are dropped, and no request waits.
        queue_max: usize = 2_048;
        /// Seconds: between two exports.
        export_every_seconds: f64 = 5.0;
        /// Seconds: for an export.
        export_seconds: f64 = 10.0;
    }
}

impl TelemetrySection {
    pub(crate) fn sampled(&self) -> Result<f64> {
        if (0.0..=1.0).contains(&self.sampled) {
            return Ok(self.sampled);
        }
        Err(Error::invalid(format!(
            "[telemetry] `sampled` is {}, expected 0 to 1",
            self.sampled
        )))
    }

    pub(crate) fn queue_max(&self) -> Result<usize> {
        size("telemetry", "queue_max", self.queue_max, 1 << 20)
    }

    pub(crate) fn export_every(&self) -> Result<Duration> {
        seconds(
            "telemetry",
            "export_every_seconds",
            self.export_every_seconds,
            true,
        )
    }

    fn check(&self) -> Result<()> {
        self.sampled()?;
        self.queue_max()?;
        self.export_every()?;
        self.export_timeout()?;
        Ok(())
    }

    pub(crate) fn export_timeout(&self) -> Result<Duration> {
        seconds("telemetry", "export_seconds", self.export_seconds, true)
    }
}

/// The options of a server.
///
/// ```
/// use server::Config;
/// let config = Config::parse("[server]\nlisten = '127.0.0.1:0'")?;
/// assert_eq!(config.server.listen, "127.0.0.1:0");
/// let error = Config::parse("[server]\nlisten = '127.0.0.1:0'\nport = 1").unwrap_err();
/// assert!(error.message().starts_with("line 3, `port`: unknown field"), "{error}");
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is served, and where.
    pub server: ServerSection,
    /// How the folder of the database is kept.
    pub storage: StorageSection,
    /// Encryption.
    pub tls: TlsSection,
    /// What one peer or request may take.
    pub limits: LimitsSection,
    /// How long things may take.
    pub timeouts: TimeoutsSection,
    /// What is written to standard error.
    pub log: LogSection,
    /// Where traces of requests go.
    pub telemetry: TelemetrySection,
    /// How callers show who they are, and what they may do. Without it they show API keys, of which the first is printed.
    pub auth: Option<AuthOptions>,
}

/// Largest size that a body may be given.
const BODY_BYTES_MOST: usize = 1 << 30;
/// Longest time that anything may be given, in seconds.
const SECONDS_MOST: f64 = 86_400.0;

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`common::ErrorKind::Io`] when it cannot be read; otherwise as [`Config::parse`], with the file in front.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).map_err(|error| Error::from(error).at(path.display()))?;
        Self::parse(&text).map_err(|error| error.at(path.display()))
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] with line and key for what is no TOML, no option, or no value of one.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let place = error.span().map(|span| place(text, span.start));
            let message = error.message().replace('\n', " ");
            match place {
                Some(place) => Error::invalid(message).at(place),
                None => Error::invalid(message),
            }
        })?;
        config.options()?;
        Ok(config)
    }

    /// The file that says nothing but what is so anyway: every option with its unit, its default and what it is for.
    pub fn print_defaults() -> String {
        let mut out = String::from(
            "# Options of `tandem serve --config FILE`. Each stands here with its default; flags of the command line go first.\n",
        );
        ServerSection::print(&mut out, "server");
        StorageSection::print(&mut out, "storage");
        TlsSection::print(&mut out, "tls");
        LimitsSection::print(&mut out, "limits");
        TimeoutsSection::print(&mut out, "timeouts");
        LogSection::print(&mut out, "log");
        TelemetrySection::print(&mut out, "telemetry");
        out.push_str(
            "\n# Who may ask, and what: tokens, API keys, permissions, as docs/security.md has them. Without this section, and with it \
             and\n# nothing in it, callers need an API key; the first one is printed once.\n# [auth]\n",
        );
        out
    }

    /// What [`crate::serve()`] is given.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] with section and key for a value that makes no sense.
    pub fn options(&self) -> Result<ServeOptions> {
        if let Some(auth) = &self.auth {
            auth.permissions().map_err(|error| error.at("[auth]"))?;
        }
        self.storage.durability()?;
        self.server.tenants()?;
        self.telemetry.check()?;
        let (limits, timeouts) = (&self.limits, &self.timeouts);
        let tls = match (&self.tls.certificate, &self.tls.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
            }),
            (Some(_), None) => {
                return Err(Error::invalid("[tls] has a `certificate` and no `key`"));
            }
            (None, Some(_)) => {
                return Err(Error::invalid("[tls] has a `key` and no `certificate`"));
            }
        };
        Ok(ServeOptions {
            body_bytes_max: size(
                "limits",
                "body_bytes_max",
                limits.body_bytes_max,
                BODY_BYTES_MOST,
            )?,
            inflated_bytes_max: size(
                "limits",
                "inflated_bytes_max",
                limits.inflated_bytes_max,
                BODY_BYTES_MOST,
            )?,
            connections_max: size("limits", "connections_max", limits.connections_max, 1 << 20)?,
            streams_max: limits.streams_max.clamp(1, 10_000),
            running_max: size("limits", "running_max", limits.running_max, 512)?,
            waiting_max: limits.waiting_max.min(1 << 20),
            requests_per_second_max: limits.requests_per_second_max,
            requests_burst_max: limits.requests_burst_max,
            header_timeout: seconds("timeouts", "header_seconds", timeouts.header_seconds, true)?,
            handshake_timeout: seconds(
                "timeouts",
                "handshake_seconds",
                timeouts.handshake_seconds,
                true,
            )?,
            stall_timeout: seconds("timeouts", "stall_seconds", timeouts.stall_seconds, true)?,
            request_timeout: seconds(
                "timeouts",
                "request_seconds",
                timeouts.request_seconds,
                true,
            )?,
            train_every: seconds("timeouts", "train_seconds", timeouts.train_seconds, true)?,
            drain_delay: seconds(
                "timeouts",
                "drain_delay_seconds",
                timeouts.drain_delay_seconds,
                false,
            )?,
            drain_timeout: seconds("timeouts", "drain_seconds", timeouts.drain_seconds, false)?,
            tls,
            live: LiveOptions {
                connections_max: size(
                    "limits",
                    "live_connections_max",
                    limits.live_connections_max,
                    1 << 20,
                )?,
                ..LiveOptions::default()
            },
        })
    }
}

fn size(section: &str, key: &str, value: usize, most: usize) -> Result<usize> {
    if (1..=most).contains(&value) {
        return Ok(value);
    }
    Err(Error::invalid(format!(
        "[{section}] `{key}` is {value}, expected 1 to {most}"
    )))
}

fn seconds(section: &str, key: &str, value: f64, positive: bool) -> Result<Duration> {
    let least = if positive { 0.001 } else { 0.0 };
    if (least..=SECONDS_MOST).contains(&value) {
        return Ok(Duration::from_secs_f64(value));
    }
    Err(Error::invalid(format!(
        "[{section}] `{key}` is {value}, expected {least} to {SECONDS_MOST} seconds"
    )))
}

/// The line of a position, and the key that stands there. Not the value: it may be a secret.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count();
    let content = text.lines().nth(line).unwrap_or_default();
    let key = content.split('=').next().unwrap_or_default().trim();
    format!("line {}, `{key}`", line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::ServeOptions;

    #[test]
    fn what_is_printed_says_what_is_so_anyway() {
        let printed = Config::print_defaults();
        assert_eq!(Config::parse(&printed).unwrap(), Config::default());
        assert_eq!(
            Config::default().options().unwrap(),
            ServeOptions::default()
        );
        // An option without a default is there as well.
        assert!(printed.contains("# certificate ="), "{printed}");
        assert!(
            printed.contains("\n# Seconds: for the handshake of TLS.\nhandshake_seconds = 10.0\n"),
            "{printed}"
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_key() {
        for (text, begin) in [
            (
                "[limits]\nbody_bytes_max = \"8 MiB\"",
                "line 2, `body_bytes_max`: invalid type",
            ),
            (
                "[limits]\n\nbody_bytes = 1",
                "line 3, `body_bytes`: unknown field",
            ),
            ("[sever]", "line 1, `[sever]`: unknown field"),
            ("[server]\nlisten", "line 2, `listen`:"),
            (
                "[log]\nlevel = \"loud\"",
                "line 2, `level`: unknown variant",
            ),
            (
                "[limits]\nrequests_per_second_max = 0",
                "line 2, `requests_per_second_max`",
            ),
            (
                "[limits]\nbody_bytes_max = 0",
                "[limits] `body_bytes_max` is 0",
            ),
            (
                "[timeouts]\nstall_seconds = nan",
                "[timeouts] `stall_seconds` is NaN",
            ),
            (
                "[timeouts]\nstall_seconds = -1.0",
                "[timeouts] `stall_seconds` is -1",
            ),
            ("[tls]\nkey = \"k\"", "[tls] has a `key`"),
            (
                "[server]\ntenants = [\"a\", \"../b\"]",
                "[server] `tenants`, `../b`: a name has 1 to 100",
            ),
            (
                "[server]\ntenants = [\"acme\", \"Acme\"]",
                "[server] `tenants` has `Acme` twice",
            ),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert!(error.message().starts_with(begin), "{text}\n{error}");
        }
        let error = Config::read(Path::new("/nowhere/tandem.toml")).unwrap_err();
        assert!(
            error.message().starts_with("/nowhere/tandem.toml: "),
            "{error}"
        );
    }
}
