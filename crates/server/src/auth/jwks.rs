//! [`Jwks`]: a key set in a file or at an address, read again when it has to be.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, Uri};
use common::{Error, ErrorKind, Result};
use parking_lot::{Mutex, RwLock};
use ureq::Agent;

use super::keys::KeySet;
use super::options::AuthOptions;
use crate::client::trusting;

/// A key set that lies elsewhere. What was read last is used until something newer could be read.
pub(crate) struct Jwks {
    source: Source,
    bytes_max: usize,
    refresh_micros: i64,
    age_micros_max: i64,
    keys: RwLock<Arc<KeySet>>,
    /// When it was read last, well or not.
    tried: Mutex<i64>,
    /// Held while it is read.
    reading: Mutex<()>,
}

enum Source {
    File(PathBuf),
    Url { agent: Box<Agent>, url: String },
}

impl Jwks {
    /// The key set of the options, not read yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for plain `http` to another machine.
    pub(super) fn new(location: &str, options: &AuthOptions) -> Result<Self> {
        let micros = |seconds: u32| i64::from(seconds).saturating_mul(1_000_000);
        Ok(Self {
            source: Source::new(location, options)?,
            bytes_max: options.jwks_bytes_max,
            refresh_micros: micros(options.jwks_refresh_seconds),
            age_micros_max: micros(options.jwks_age_seconds_max),
            keys: RwLock::default(),
            tried: Mutex::new(i64::MIN),
            reading: Mutex::new(()),
        })
    }

    /// The keys as they were read last.
    pub(crate) fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read())
    }

    /// Whether they are so old that they are to be read again.
    pub(crate) fn is_old(&self, now: i64) -> bool {
        now.saturating_sub(*self.tried.lock()) >= self.age_micros_max
    }

    /// Whether they may be read again because a key is missing.
    pub(crate) fn may_refresh(&self, now: i64) -> bool {
        now.saturating_sub(*self.tried.lock()) >= self.refresh_micros
    }

    /// Reads the keys, or waits while somebody else does; it takes as long as the source takes. When it fails, the keys of before stay.
    ///
    /// # Errors
    /// What reading fails with.
    pub(crate) fn refresh(&self, now: i64) -> Result<()> {
        {
            // One reads, the others use what came of it.
            let Some(_reading) = self.reading.try_lock() else {
                drop(self.reading.lock());
                return Ok(());
            };
            *self.tried.lock() = now;
            let bytes = self.source.read(self.bytes_max)?;
            let keys = KeySet::from_jwks(&bytes, self.bytes_max)?;
            if keys.is_empty() {
                return Err(Error::invalid(
                    "the key set has no key that tokens can be signed with",
                ));
            }
            *self.keys.write() = Arc::new(keys);
        }
        Ok(())
    }
}

impl Source {
    fn new(location: &str, options: &AuthOptions) -> Result<Self> {
        let is_plain = location.starts_with("http://");
        if !is_plain && !location.starts_with("https://") {
            return Ok(Self::File(location.into()));
        }
        if is_plain && !is_loopback(location) {
            return Err(Error::invalid(format!(
                "key set {location}: who is between could put in keys of their own; use https"
            )));
        }
        let timeout = Duration::from_secs(options.jwks_timeout_seconds.max(1).into());
        let mut config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None);
        if !is_plain {
            let path = options.jwks_authorities_file.as_deref();
            let pem =
                path.map(|path| std::fs::read(path).map_err(|error| Error::from(error).at(path)));
            let tls = trusting(pem.transpose()?.as_deref());
            config = config.tls_config(tls.map_err(|error| error.at("`jwks_authorities_file`"))?);
        }
        Ok(Self::Url {
            agent: Box::new(config.build().into()),
            url: location.to_owned(),
        })
    }

    fn read(&self, bytes_max: usize) -> Result<Vec<u8>> {
        let limit = bytes_max as u64 + 1;
        let mut bytes = Vec::new();
        match self {
            Self::File(path) => {
                let read = std::fs::File::open(path)
                    .and_then(|file| file.take(limit).read_to_end(&mut bytes));
                read.map_err(|error| Error::from(error).at(path.display()))?;
            }
            Self::Url { agent, url } => {
                let failed = |error: &dyn std::fmt::Display| {
                    Error::new(ErrorKind::Io, format!("{url}: {error}"))
                };
                let response = agent.get(url).call().map_err(|error| failed(&error))?;
                // A redirect has a body as well, which may be anybody's.
                if response.status() != StatusCode::OK {
                    return Err(failed(&format_args!("answered {}", response.status())));
                }
                let mut body = response.into_body().into_reader().take(limit);
                body.read_to_end(&mut bytes)
                    .map_err(|error| failed(&error))?;
            }
        }
        Ok(bytes)
    }
}

/// Whether an address is this machine's own.
fn is_loopback(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}
