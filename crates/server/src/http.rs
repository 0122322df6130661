//! [`HttpTransport`]: how a replica reaches a server, on the calling thread.

use std::io::Read as _;
use std::time::Duration;

use common::{Error, ErrorKind, Result};
use syncdb::Transport;
use ureq::Agent;

use crate::problem::Problem;

/// Most bytes of an answer that is taken in.
const ANSWER_BYTES_MAX: u64 = 32 << 20;

/// Carries requests to a server by `POST`, over one connection that is kept open.
///
/// Plain `http` only: for a server elsewhere, put a proxy that speaks TLS in front.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    agent: Agent,
    url: String,
}

impl HttpTransport {
    /// Reaches the server at `url`, as in `http://127.0.0.1:8080`, with 5 s to connect and 60 s for an answer.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the address does not begin with `http://`.
    pub fn new(url: &str) -> Result<Self> {
        Self::with_timeout(url, Duration::from_mins(1))
    }

    /// As [`HttpTransport::new`], with another time for one exchange as a whole.
    ///
    /// # Errors
    /// As [`HttpTransport::new`].
    pub fn with_timeout(url: &str, timeout: Duration) -> Result<Self> {
        if !url.starts_with("http://") {
            return Err(Error::invalid(format!(
                "server address `{url}` does not begin with http://"
            )));
        }
        let config = Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            // A sync with nothing new is 140 bytes; what nobody reads would be more than that.
            .user_agent("")
            .accept("")
            .accept_encoding("")
            .build();
        Ok(Self {
            agent: config.into(),
            url: format!("{}/v1/sync", url.trim_end_matches('/')),
        })
    }

    fn failed(&self, error: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::new(ErrorKind::Io, format!("{}: {error}", self.url)).caused_by(error)
    }
}

impl Transport for HttpTransport {
    fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        // No content-type: a frame is what is meant where nothing is said.
        let post = self.agent.post(&self.url);
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
