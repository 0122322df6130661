//! One connection from its first byte to its last: TLS, HTTP/1.1 or HTTP/2, and when it is over.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tower_service::Service as _;

use crate::metrics::OpenConnection;
use crate::serve::ServeOptions;
use crate::slow::{Activity, IdleTimeout};
use crate::state::Server;
use crate::tls::Tls;

/// Most bytes in the head of a request.
const HEAD_BYTES_MAX: u32 = 64 << 10;
/// Requests of HTTP/2 that a peer may take back before the server has looked at them: a flood of these costs it nothing else.
const RESETS_MAX: usize = 20;
/// Most bytes on their way to a peer of HTTP/2 for one request, and of one request to the server.
const STREAM_BYTES: u32 = 256 << 10;
const CONNECTION_BYTES: u32 = 1 << 20;

/// Who is at the other end, in the extensions of each request. The connection counts as open for as long as one of these
/// lives: also when it has become one of another protocol.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) _slot: Arc<(OwnedSemaphorePermit, OpenConnection)>,
}

/// What answers connections.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) router: Router,
    pub(crate) builder: auto::Builder<TokioExecutor>,
    pub(crate) tls: Option<Tls>,
    pub(crate) server: Server,
}

/// Both protocols, with every limit set.
pub(crate) fn builder(options: &ServeOptions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // Heads that come too slowly are found by [`Activity`], which needs no timer for each request.
        .header_read_timeout(None)
        // A frame of sync carries the server's clock, finer than this; in a sync with nothing new it would be an eighth of
        // the bytes. Who caches answers to POST by their date needs a proxy in front, which adds one.
        .auto_date_header(false)
        .max_buf_size(HEAD_BYTES_MAX as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.streams_max)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .initial_stream_window_size(STREAM_BYTES)
        .initial_connection_window_size(CONNECTION_BYTES)
        .max_send_buf_size(STREAM_BYTES as usize)
        .auto_date_header(false);
    builder
}

impl Connections {
    /// Answers a connection until its peer leaves or stands still, or `ended` becomes true and its requests are answered.
    pub(crate) async fn answer(self, stream: TcpStream, peer: Peer, ended: watch::Receiver<bool>) {
        let _ = stream.set_nodelay(true);
        let options = self.server.options();
        let activity = Arc::new(Activity::new());
        let io = IdleTimeout::new(
            stream,
            Arc::clone(&activity),
            options.stall_timeout,
            options.header_timeout,
        );
        let Some(tls) = &self.tls else {
            return self.requests(io, peer, &activity, ended).await;
        };
        match tokio::time::timeout(options.handshake_timeout, tls.acceptor().accept(io)).await {
            Ok(Ok(io)) => self.requests(io, peer, &activity, ended).await,
            Ok(Err(error)) => tracing::debug!(%error, "no handshake"),
            Err(_) => self.server.metrics().timed_out(),
        }
    }

    async fn requests(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        activity: &Arc<Activity>,
        mut ended: watch::Receiver<bool>,
    ) {
        let options = self.server.options();
        let (between, stall) = (options.header_timeout, options.stall_timeout);
        let service = hyper::service::service_fn(|request: hyper::Request<_>| {
            let running = activity.request();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            request.extensions_mut().insert(Arc::clone(activity));
            let answer = self.router.clone().call(request);
            async move {
                let answer = answer.await;
                drop(running);
                answer
            }
        });
        let connection = self
            .builder
            .serve_connection_with_upgrades(TokioIo::new(io), service);
        let mut connection = std::pin::pin!(connection);
        let mut is_ending = false;
        let mut left = between;
        loop {
            tokio::select! {
                // A connection that breaks concerns nobody but its peer.
                _ = connection.as_mut() => return,
                // An error is that the server itself is gone.
                _ = ended.changed(), if !is_ending => {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = tokio::time::sleep(left) => match activity.left(between, stall) {
                    Some(more) => left = more,
                    None => {
                        self.server.metrics().timed_out();
                        return;
                    }
                },
            }
        }
    }
}
