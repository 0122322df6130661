//! [`HttpTransport`]: how a replica reaches a server, on the calling thread.

use std::io::Read as _;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::AUTHORIZATION;
use common::{Error, ErrorKind, Result};
use syncdb::Transport;
use ureq::Agent;

use crate::client::{Address, ClientOptions, trusting};
use crate::problem::Problem;

/// Most bytes of an answer that is taken in.
pub(crate) const ANSWER_BYTES_MAX: u64 = 32 << 20;

/// Carries requests to a server by `POST`, over one connection that is kept open.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    agent: Agent,
    url: String,
    authorization: Option<HeaderValue>,
}

impl HttpTransport {
    /// Reaches the server at `url`, as in `http://127.0.0.1:8080`, with 5 s to connect and 60 s for an answer.
    ///
    /// # Errors
    /// As [`HttpTransport::with`].
    pub fn new(url: &str) -> Result<Self> {
        Self::with(url, &ClientOptions::default())
    }

    /// As [`HttpTransport::new`], with another time for one exchange as a whole.
    ///
    /// # Errors
    /// As [`HttpTransport::with`].
    pub fn with_timeout(url: &str, timeout: Duration) -> Result<Self> {
        Self::with(url, &ClientOptions::default().timeout(timeout))
    }

    /// Reaches the server at `url`, by TLS when it begins with `https://`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for an address that is none; [`ErrorKind::Io`] when the certificates that the system trusts are
    /// not found.
    pub fn with(url: &str, options: &ClientOptions) -> Result<Self> {
        let address = Address::parse(url)?;
        let mut config = Agent::config_builder()
            .timeout_connect(Some(options.connect_timeout))
            .timeout_global(Some(options.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            // A sync with nothing new is 140 bytes; what nobody reads would be more than that.
            .user_agent("")
            .accept("")
            .accept_encoding("");
        if address.is_tls {
            config = config.tls_config(trusting(options.authorities.as_deref())?);
        }
        Ok(Self {
            agent: config.build().into(),
            url: address.url("http", "/v1/sync"),
            authorization: options.authorization()?,
        })
    }

    fn failed(&self, error: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::new(ErrorKind::Io, format!("{}: {error}", self.url)).caused_by(error)
    }
}

impl Transport for HttpTransport {
    fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        // No content-type: a frame is what is meant where nothing is said.
        let mut post = self.agent.post(&self.url);
        if let Some(value) = &self.authorization {
            post = post.header(AUTHORIZATION, value);
        }
        let response = post.send(request).map_err(|error| self.failed(error))?;
        let status = response.status();
        let mut bytes = Vec::new();
        let mut body = response
            .into_body()
            .into_reader()
            .take(ANSWER_BYTES_MAX + 1);
        body.read_to_end(&mut bytes)
            .map_err(|error| self.failed(error))?;
        if bytes.len() as u64 > ANSWER_BYTES_MAX {
            return Err(Error::limit_exceeded(format!(
                "the answer has more than {ANSWER_BYTES_MAX} bytes"
            )));
        }
        if status.is_success() {
            return Ok(bytes);
        }
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => Err(problem.into_error()),
            Err(_) => Err(Error::new(
                ErrorKind::Io,
                format!("{} answered {status}", self.url),
            )),
        }
    }
}
