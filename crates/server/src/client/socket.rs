//! [`WebSocketTransport`]: exchanges over one socket that stays, on the calling thread.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::AUTHORIZATION;
use common::{Error, ErrorKind, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use syncdb::Transport;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::stop::Stop;
use super::tls::config;
use super::{Address, ClientOptions};
use crate::http::ANSWER_BYTES_MAX;
use crate::live::Told;
use crate::problem::Problem;

/// Bytes of each buffer.
const BUFFER_BYTES: usize = 16 << 10;

/// What carries the bytes of a socket.
trait Carrier: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Carrier for T {}

struct Socket {
    stream: WebSocketStream<Box<dyn Carrier>>,
    /// When it was last heard of.
    heard: Instant,
}

/// Carries requests to a server over a WebSocket that stays open, and hears when there is news.
///
/// Connects with the first exchange, and again with the next one after the connection has ended: a request may safely arrive
/// twice. Not for use from within an asynchronous runtime, which it would hold up.
///
/// ```no_run
/// use server::client::WebSocketTransport;
/// use syncdb::SyncDb;
/// let phone = SyncDb::client("phone")?;
/// let mut transport = WebSocketTransport::new("https://sync.example.org")?;
/// phone.sync(&mut transport)?;
/// # Ok::<(), common::Error>(())
/// ```
pub struct WebSocketTransport {
    runtime: Runtime,
    link: Link,
    before_each: Option<BeforeEach>,
}

/// What happens before a request leaves.
type BeforeEach = Box<dyn FnMut() -> Result<()> + Send>;

struct Link {
    address: Address,
    options: ClientOptions,
    tls: Option<Arc<ClientConfig>>,
    socket: Option<Socket>,
    /// Whether the server has said that there is news since the last exchange began.
    has_news: bool,
    stop: Stop,
}

impl WebSocketTransport {
    /// Reaches the server at `url`, as in `http://127.0.0.1:8080`, with default options.
    ///
    /// # Errors
    /// As [`WebSocketTransport::with`].
    pub fn new(url: &str) -> Result<Self> {
        Self::with(url, ClientOptions::default())
    }

    /// Reaches the server at `url`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for an address that is none; [`ErrorKind::Io`] when the certificates that the system trusts are
    /// not found.
    pub fn with(url: &str, options: ClientOptions) -> Result<Self> {
        let address = Address::parse(url)?;
        let tls = address.is_tls.then(|| config(&options)).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let link = Link {
            address,
            options,
            tls,
            socket: None,
            has_news: false,
            stop: Stop::default(),
        };
        Ok(Self {
            runtime,
            link,
            before_each: None,
        })
    }

    /// Calls `before` before each request leaves, which does not leave when it fails. A replica that is kept on a disk waits here until
    /// what it sends is there: killed afterwards, it knows what it has sent.
    pub fn before_each(&mut self, before: impl FnMut() -> Result<()> + Send + 'static) {
        self.before_each = Some(Box::new(before));
    }

    /// Ends exchanges and waits, now and later, from another thread.
    pub fn stop_handle(&self) -> Stop {
        self.link.stop.clone()
    }

    /// Whether there is a connection, as far as is known.
    pub fn is_connected(&self) -> bool {
        self.link.socket.is_some()
    }

    /// Ends the connection; the next exchange begins one.
    pub fn disconnect(&mut self) {
        if let Some(mut socket) = self.link.socket.take() {
            // The server finds out by itself where it cannot be told.
            let farewell = socket.stream.close(None);
            let _ = self
                .runtime
                .block_on(async { timeout(Duration::from_millis(100), farewell).await });
        }
    }

    /// Waits until the server says that there is news, or `other` is ready. Returns whether there is news.
    pub(super) fn wait(&mut self, other: impl Future<Output = ()>) -> Result<bool> {
        self.runtime.block_on(self.link.wait(other))
    }

    /// Waits for `wait`, or until it is stopped.
    pub(super) fn sleep(&self, wait: Duration) {
        self.runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.link.stop.stopped() => {}
            }
        });
    }
}

impl Transport for WebSocketTransport {
    fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        if let Some(before) = &mut self.before_each {
            before()?;
        }
        self.runtime.block_on(self.link.exchange(request))
    }
}

impl Link {
    fn failed(&self, error: impl std::error::Error + Send + Sync + 'static) -> Error {
        let url = self.address.url("ws", "/v1/live");
        Error::new(ErrorKind::Io, format!("{url}: {error}")).caused_by(error)
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        self.stop.check()?;
        self.has_news = false;
        let stop = self.stop.clone();
        let longest = self.options.timeout;
        let url = self.address.url("ws", "/v1/live");
        let answered = tokio::select! {
            () = stop.stopped() => Err(Stop::error()),
            answered = timeout(longest, self.ask(request)) => answered.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Io, format!("{url}: no answer within {longest:?}")))
            }),
        };
        // After a problem the server may go on; after anything else nobody knows what comes next.
        let is_passing = |error: &Error| matches!(error.kind(), ErrorKind::Io | ErrorKind::Closed);
        if answered.as_ref().is_err_and(is_passing) {
            self.socket = None;
        }
        answered
    }

    async fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        if self.socket.is_some() {
            match self.ask_once(request).await {
                // It had ended while nobody looked. The request may have arrived, and may arrive again.
                Err(error) if error.kind() == ErrorKind::Io => self.socket = None,
                answered => return answered,
            }
        }
        self.connect().await?;
        self.ask_once(request).await
    }

    async fn ask_once(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        self.send(request).await?;
        loop {
            match self.receive().await? {
                Received::Answer(answer) => return Ok(answer.into()),
                Received::Told(Told::Problem(problem)) => return Err(problem.into_error()),
                Received::Told(Told::Changed { .. }) => self.has_news = true,
                Received::Other => {}
            }
        }
    }

    /// In frames, so that pings are answered while a long request is under way.
    async fn send(&mut self, request: &[u8]) -> Result<()> {
        let mut kind = OpCode::Data(Data::Binary);
        let mut rest = Bytes::copy_from_slice(request);
        loop {
            let part = rest.split_to(rest.len().min(BUFFER_BYTES));
            let frame = Frame::message(part, kind, rest.is_empty());
            let sent = self.stream()?.send(Message::Frame(frame)).await;
            sent.map_err(|error| self.failed(error))?;
            if rest.is_empty() {
                return Ok(());
            }
            kind = OpCode::Data(Data::Continue);
        }
    }

    fn stream(&mut self) -> Result<&mut WebSocketStream<Box<dyn Carrier>>> {
        let socket = self.socket.as_mut();
        let socket = socket.ok_or_else(|| Error::new(ErrorKind::Io, "there is no connection"));
        socket.map(|socket| &mut socket.stream)
    }

    async fn receive(&mut self) -> Result<Received> {
        let message = match self.stream()?.next().await {
            None => return Err(self.failed(SocketError::ConnectionClosed)),
            Some(message) => message.map_err(|error| self.failed(error))?,
        };
        if let Some(socket) = &mut self.socket {
            socket.heard = Instant::now();
        }
        Ok(match message {
            Message::Binary(answer) => Received::Answer(answer),
            // Texts of a later server may say what is not known here.
            Message::Text(text) => {
                serde_json::from_str(&text).map_or(Received::Other, Received::Told)
            }
            Message::Close(frame) => {
                let url = self.address.url("ws", "/v1/live");
                let why = frame.map_or_else(
                    || "without saying why".to_owned(),
                    |frame| format!("with code {}: {}", u16::from(frame.code), frame.reason),
                );
                let message = format!("{url}: the server closed the connection {why}");
                return Err(Error::new(ErrorKind::Io, message));
            }
            _ => Received::Other,
        })
    }

    async fn wait(&mut self, other: impl Future<Output = ()>) -> Result<bool> {
        let stop = self.stop.clone();
        let mut other = std::pin::pin!(other);
        let longest = self.options.timeout;
        let waited = async {
            loop {
                if self.has_news {
                    return Ok(true);
                }
                let heard = self.socket.as_ref().map(|socket| socket.heard);
                let silent = heard.unwrap_or_else(Instant::now) + longest;
                tokio::select! {
                    () = &mut other => return Ok(false),
                    // It pings more often than that: the network has gone without a word.
                    () = sleep_until(silent) => {
                        let url = self.address.url("ws", "/v1/live");
                        let message = format!("{url}: not heard of for {longest:?}");
                        return Err(Error::new(ErrorKind::Io, message));
                    }
                    received = self.receive() => match received? {
                        Received::Told(Told::Changed { .. }) => self.has_news = true,
                        Received::Told(Told::Problem(problem)) => return Err(problem.into_error()),
                        // An answer that nobody waits for any more.
                        Received::Answer(_) | Received::Other => {}
                    },
                }
            }
        };
        let waited = tokio::select! {
            () = stop.stopped() => return Err(Stop::error()),
            waited = waited => waited,
        };
        if waited.is_err() {
            self.socket = None;
        }
        waited
    }

    async fn connect(&mut self) -> Result<()> {
        let connecting = self.connected();
        let longest = self.options.connect_timeout;
        let stream = match timeout(longest, connecting).await {
            Ok(stream) => stream?,
            Err(_) => {
                let url = self.address.url("ws", "/v1/live");
                let message = format!("{url}: no connection within {longest:?}");
                return Err(Error::new(ErrorKind::Io, message));
            }
        };
        self.has_news = false;
        self.socket = Some(Socket {
            stream,
            heard: Instant::now(),
        });
        Ok(())
    }

    async fn connected(&self) -> Result<WebSocketStream<Box<dyn Carrier>>> {
        let url = self.address.url("ws", "/v1/live");
        let request = url.as_str().into_client_request();
        let mut request =
            request.map_err(|error| Error::invalid(format!("server address `{url}`: {error}")))?;
        if let Some(value) = self.options.authorization()? {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let host = self.address.host();
        let tcp = TcpStream::connect((host, self.address.port)).await;
        let tcp = tcp.map_err(|error| self.failed(error))?;
        let _ = tcp.set_nodelay(true);
        let carrier: Box<dyn Carrier> = match &self.tls {
            None => Box::new(tcp),
            Some(config) => {
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|error| Error::invalid(format!("host `{host}`: {error}")))?;
                let tls = TlsConnector::from(Arc::clone(config));
                let stream = tls.connect(name, tcp).await;
                Box::new(stream.map_err(|error| self.failed(error))?)
            }
        };
        let answer_bytes_max = usize::try_from(ANSWER_BYTES_MAX).unwrap_or(usize::MAX);
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES)
            .max_write_buffer_size(1 << 20)
            .max_message_size(Some(answer_bytes_max))
            .max_frame_size(Some(answer_bytes_max));
        match client_async_with_config(request, carrier, Some(config)).await {
            Ok((stream, _)) => Ok(stream),
            Err(SocketError::Http(response)) => {
                let status = response.status();
                let body = response.into_body().unwrap_or_default();
                Err(match serde_json::from_slice::<Problem>(&body) {
                    Ok(problem) => problem.into_error(),
                    Err(_) => Error::new(ErrorKind::Io, format!("{url} answered {status}")),
                })
            }
            Err(error) => Err(self.failed(error)),
        }
    }
}

enum Received {
    Answer(Bytes),
    Told(Told),
    Other,
}

impl fmt::Debug for WebSocketTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketTransport")
            .field("address", &self.link.address)
            .field("is_connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}
