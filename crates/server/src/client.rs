//! How a replica reaches a server: [`HttpTransport`](crate::http::HttpTransport) and [`WebSocketTransport`] carry its
//! requests, [`LiveReplica`] keeps it in sync.

mod backoff;
mod live;
mod socket;
mod stop;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderValue, Uri};
use common::{Error, Result, Text};

pub use self::backoff::Backoff;
pub use self::live::{LiveEvent, LiveReplica, LiveReplicaOptions};
pub use self::socket::WebSocketTransport;
pub use self::stop::Stop;
pub(crate) use self::tls::trusting;

/// What a client shows to say who it is: a token, or an API key.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(Text);

// No derived one: it would write secrets into logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// How a client reaches a server.
///
/// ```
/// use server::client::ClientOptions;
/// use server::http::HttpTransport;
/// let options = ClientOptions::default().credentials("eyJhbGciOi...")?;
/// HttpTransport::with("https://sync.example.org", &options)?;
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// How long it may take to connect. Default 5 s.
    pub connect_timeout: Duration,
    /// How long one exchange may take. Default 60 s.
    pub timeout: Duration,
    /// How it shows who it is. Default: not at all.
    pub credentials: Option<Credentials>,
    /// Certificates in PEM that servers' are signed by; default: those that the system trusts.
    pub authorities: Option<Arc<[u8]>>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_mins(1),
            credentials: None,
            authorities: None,
        }
    }
}

impl ClientOptions {
    /// Sets how long one exchange may take.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Shows a token or an API key, as in `authorization: Bearer ..`.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for one that does not fit a header.
    pub fn credentials(mut self, secret: impl Into<Text>) -> Result<Self> {
        let secret = secret.into();
        if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            // Not quoted: errors end up in logs.
            return Err(Error::invalid(
                "a token or API key is made of letters, digits and signs of ASCII, without spaces or line breaks",
            ));
        }
        self.credentials = Some(Credentials(secret));
        Ok(self)
    }

    /// Trusts servers whose certificates are signed by one of these, in PEM, and no others.
    #[must_use]
    pub fn authorities(mut self, pem: impl Into<Arc<[u8]>>) -> Self {
        self.authorities = Some(pem.into());
        self
    }

    /// The value of the header `authorization`, where there is one.
    pub(crate) fn authorization(&self) -> Result<Option<HeaderValue>> {
        let Some(Credentials(secret)) = &self.credentials else {
            return Ok(None);
        };
        let mut value = HeaderValue::from_str(&format!("Bearer {secret}"))
            .map_err(|_| Error::invalid("the credentials do not fit a header"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// The address of a server, without the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) is_tls: bool,
    authority: Authority,
    port: u16,
    /// What stands before the paths of the server.
    prefix: String,
}

impl Address {
    /// Reads `http://host:port/prefix` or the same with `https`.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let invalid = |what: &str| Error::invalid(format!("server address `{url}` {what}"));
        let parts = match url.parse::<Uri>() {
            Ok(uri) => uri.into_parts(),
            Err(error) => return Err(invalid(&format!("is none: {error}"))),
        };
        let is_tls = match parts.scheme.as_ref().map(Scheme::as_str) {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(invalid("does not begin with http:// or https://")),
        };
        let authority = parts.authority.filter(|found| !found.host().is_empty());
        let authority = authority.ok_or_else(|| invalid("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("carries a user name; give a token or an API key"));
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => Some(if is_tls { 443 } else { 80 }),
            _ => authority.port_u16(),
        };
        let port = port.ok_or_else(|| invalid("names a port that is none"))?;
        let path = parts.path_and_query.as_ref();
        if url.contains('#') || path.is_some_and(|path| path.query().is_some()) {
            return Err(invalid("has more than host, port and path"));
        }
        let prefix = path.map_or("", PathAndQuery::path);
        Ok(Self {
            is_tls,
            port,
            prefix: prefix.trim_end_matches('/').to_owned(),
            authority,
        })
    }

    /// The host without the brackets of an IPv6 address.
    fn host(&self) -> &str {
        let host = self.authority.host();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The URL of a path of the server, which begins with a slash.
    pub(crate) fn url(&self, scheme: &str, path: &str) -> String {
        let s = if self.is_tls { "s" } else { "" };
        format!("{scheme}{s}://{}{}{path}", self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_refused() {
        let read = |url: &str| {
            let address = Address::parse(url).unwrap();
            (
                address.host().to_owned(),
                address.port,
                address.url("ws", "/v1/live"),
            )
        };
        let of = |host: &str, port, url: &str| (host.to_owned(), port, url.to_owned());
        assert_eq!(read("http://a"), of("a", 80, "ws://a/v1/live"));
        assert_eq!(read("https://a.b:1/"), of("a.b", 1, "wss://a.b:1/v1/live"));
        assert_eq!(
            read("https://[::1]/x/y/"),
            of("::1", 443, "wss://[::1]/x/y/v1/live")
        );
        assert_eq!(read("http://[::1]:8"), of("::1", 8, "ws://[::1]:8/v1/live"));
        for url in [
            "a",
            "ftp://a",
            "http://",
            "http://:1",
            "http://a:70000",
            "http://a:b",
            "http://a:",
            "http://a/#f",
            "http://u@a",
            "http://a/?q",
            "http://a b",
        ] {
            assert!(Address::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn secrets_are_not_shown_and_fit_a_header() {
        let options = ClientOptions::default().credentials("abc").unwrap();
        assert!(!format!("{options:?}").contains("abc"));
        let value = options.authorization().unwrap().unwrap();
        assert_eq!(value, "Bearer abc");
        assert!(!format!("{value:?}").contains("abc"));
        for secret in ["", "a b", "a\r\nx: y", "ä"] {
            assert!(ClientOptions::default().credentials(secret).is_err());
        }
    }
}
