//! [`serve`]: an [`App`] behind a listener, until told to stop.

use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use common::{Error, Result};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::app::App;
use crate::connection::{Connections, Peer, builder};
use crate::live::LiveOptions;
use crate::routes::router;
use crate::serving;
use crate::state::Server;
use crate::tls::{Tls, TlsFiles};

/// How often indexes of vectors are saved, beside once in the end: what is saved need not be built by the next process.
const SAVE_INDEXES_EVERY: Duration = Duration::from_mins(10);

/// How a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeOptions {
    /// Most bytes in the body of a request. Default 8 MiB.
    pub body_bytes_max: usize,
    /// Most bytes in the body of a request once it is unpacked. Default 8 MiB.
    pub inflated_bytes_max: usize,
    /// How long a connection may take to send the head of a request, idle time between two requests included.
    /// Default 15 s.
    pub header_timeout: Duration,
    /// How long a connection may take for the handshake of TLS. Default 10 s.
    pub handshake_timeout: Duration,
    /// How long a connection may stand still inside a request or an answer. Default 10 s.
    pub stall_timeout: Duration,
    /// How long a request may take from its head to its answer. Default 30 s.
    pub request_timeout: Duration,
    /// How often it is looked whether a table's shared dictionary is to be learned (anew). Default 60 s.
    pub train_every: Duration,
    /// How long a server that is told to stop still takes connections, while `/readyz` sends them elsewhere. Default none.
    pub drain_delay: Duration,
    /// How long running requests may go on once the server takes no more connections. Default 10 s.
    pub drain_timeout: Duration,
    /// Most connections at a time, live ones not counted; further ones wait to be accepted. Default 1,024.
    pub connections_max: usize,
    /// Most requests of one connection of HTTP/2 at a time. Default 64.
    pub streams_max: u32,
    /// Most requests that run at a time. Default 64.
    pub running_max: usize,
    /// Most requests that wait for others to end; further ones are answered 503. Default 1,024.
    pub waiting_max: usize,
    /// Most requests in a second, in the long run, of one principal, or of one address where nobody is identified; further
    /// ones are answered 429. Default: no limit.
    pub requests_per_second_max: Option<NonZeroU32>,
    /// Most of these requests at once. Default: as many as in a second.
    pub requests_burst_max: Option<NonZeroU32>,
    /// Certificate and key for TLS. Default: none, plain HTTP.
    pub tls: Option<TlsFiles>,
    /// How live connections are kept.
    pub live: LiveOptions,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            body_bytes_max: 8 << 20,
            inflated_bytes_max: 8 << 20,
            header_timeout: Duration::from_secs(15),
            handshake_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            train_every: Duration::from_mins(1),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
            connections_max: 1_024,
            streams_max: 64,
            running_max: 64,
            waiting_max: 1_024,
            requests_per_second_max: None,
            requests_burst_max: None,
            tls: None,
            live: LiveOptions::default(),
        }
    }
}

/// Answers connections of `listener` until `stop` is ready, then lets running requests end.
///
/// [`stop_signal`] is the usual `stop`: SIGTERM or ctrl-c.
///
/// ```
/// use std::sync::Arc;
/// use common::Database;
/// use server::{ServeOptions, http::HttpTransport, serve};
/// use syncdb::{SyncDb, SyncServer};
///
/// let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
/// let listener = runtime.block_on(server::listen("127.0.0.1:0"))?;
/// let url = format!("http://{}", listener.local_addr()?);
/// let server = Arc::new(SyncServer::new(Database::new())?);
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// let serving = runtime.spawn(serve(listener, server, ServeOptions::default(), async {
///     let _ = stopped.await;
/// }));
///
/// let phone = SyncDb::client("phone")?;
/// assert!(phone.sync(&mut HttpTransport::new(&url)?)?.converged);
/// let _ = stop.send(());
/// runtime.block_on(serving).expect("the server does not panic")?;
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// [`common::ErrorKind::Invalid`] when [`Auth::Open`](crate::Auth::Open) is to be served where others reach it;
/// [`common::ErrorKind::Io`] when the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    app: impl Into<App>,
    options: ServeOptions,
    stop: impl Future<Output = ()> + Send,
) -> Result<()> {
    let app = app.into();
    app.check_address(listener.local_addr()?)?;
    let tls = options.tls.clone().map(Tls::open).transpose()?;
    let server = Server::new(options);
    let mut chores = JoinSet::new();
    chores.spawn(train(app.clone(), server.clone()));
    chores.spawn(serving::open_and_save_indexes(
        app.clone(),
        SAVE_INDEXES_EVERY,
    ));
    chores.spawn(app.clone().reload_keys());
    if let Some(tls) = &tls {
        chores.spawn(tls.clone().watch());
    }
    let connections = Connections {
        router: router(app.clone(), &server),
        builder: builder(server.options()),
        tls,
        server: server.clone(),
    };
    let slots = Arc::new(Semaphore::new(server.options().connections_max.max(1)));
    let (ending, ended) = watch::channel(false);
    let mut open = JoinSet::new();
    let mut stop = std::pin::pin!(drained(stop, &server));
    loop {
        let slot = Arc::clone(&slots).acquire_owned();
        let accepted = tokio::select! {
            () = &mut stop => break,
            // Connections that are over.
            Some(_) = open.join_next() => continue,
            accepted = async { (slot.await, listener.accept().await) } => accepted,
        };
        let (slot, stream, address) = match accepted {
            (Ok(slot), Ok((stream, address))) => (slot, stream, address),
            (Ok(_), Err(error)) if is_passing(&error) => continue,
            // Out of file descriptors, most likely: connections that end make room.
            (Ok(_), Err(error)) if error.raw_os_error().is_some() => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            (Ok(_), Err(error)) => return Err(Error::from(error).at("accepting a connection")),
            (Err(_), _) => return Err(Error::closed("the server's connection slots are closed")),
        };
        let peer = Peer {
            address,
            _slot: Arc::new((slot, server.metrics().connection())),
        };
        open.spawn(connections.clone().answer(stream, peer, ended.clone()));
    }
    drop(listener);
    let _ = ending.send(true);
    let all = async {
        server.live().stop().await;
        while open.join_next().await.is_some() {}
    };
    if tokio::time::timeout(server.options().drain_timeout, all)
        .await
        .is_err()
    {
        tracing::warn!("connections were cut off: their requests took too long");
    }
    serving::save_indexes(&app).await;
    Ok(())
}

/// The paths of a server as a service, for a program that has a listener of its own, or asks without a socket.
///
/// Limits of requests and bodies are as in [`serve`]. What protects against peers that are slow, TLS, live connections that end with the server, and
/// upkeep beside the requests are not part of it.
///
/// ```
/// use std::sync::Arc;
/// use axum::{body::Body, http::Request};
/// use common::Database;
/// use server::{ServeOptions, service};
/// use syncdb::SyncServer;
/// use tower_service::Service as _;
///
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// let status = runtime.block_on(async {
///     let app = Arc::new(SyncServer::new(Database::new())?);
///     let mut service = service(app, ServeOptions::default());
///     let request = Request::get("/healthz").body(Body::empty()).expect("a request");
///     Ok::<_, common::Error>(service.call(request).await.expect("services always answer").status())
/// })?;
/// assert_eq!(status, 200);
/// # Ok::<(), common::Error>(())
/// ```
pub fn service(app: impl Into<App>, options: ServeOptions) -> axum::Router {
    router(app.into(), &Server::new(options))
}

/// Ready when the server takes no more connections: some time after it was told to stop, in which it says so.
async fn drained(stop: impl Future<Output = ()>, server: &Server) {
    stop.await;
    server.drain();
    let delay = server.options().drain_delay;
    if !delay.is_zero() {
        tracing::info!(seconds = delay.as_secs_f64(), "draining");
        tokio::time::sleep(delay).await;
    }
}

/// What is due now and then beside the requests: shared dictionaries are learned, direct writes accounted for, and buckets
/// that are full forgotten.
async fn train(app: App, server: Server) {
    let every = server.options().train_every.max(Duration::from_millis(1));
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Some(rate) = server.rate() {
            rate.forget();
        }
        for tenant in app.tenants() {
            // Without a dictionary, or with the one before, everything goes on.
            let _ = tokio::task::spawn_blocking(move || {
                let accounted = tenant.sync().account_for_direct_writes();
                let trained = tenant.sync().train_dictionaries();
                if let Some(error) = accounted.err().or_else(|| trained.err()) {
                    tracing::warn!(tenant = %tenant.name(), %error, "upkeep failed");
                }
            })
            .await;
        }
    }
}

/// Whether only this one connection failed.
fn is_passing(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::ConnectionRefused
    )
}

/// Ready when the process is told to stop: SIGTERM, or ctrl-c.
///
/// # Errors
/// [`common::ErrorKind::Io`] when the signals cannot be watched.
pub async fn stop_signal() -> Result<()> {
    #[cfg(unix)]
    {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}
