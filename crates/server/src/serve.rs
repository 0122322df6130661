//! [`serve`]: an [`App`] behind a listener, until told to stop.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use common::{Error, Result};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower_service::Service;

use crate::app::App;
use crate::live::{Live, LiveOptions};
use crate::routes::router;
use crate::slow::{IdleTimeout, Released};

/// How a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeOptions {
    /// Most bytes in the body of a request. Default 8 MiB.
    pub body_bytes_max: usize,
    /// How long a connection may take to send the head of a request, idle time between two requests included.
    /// Default 15 s.
    pub header_timeout: Duration,
    /// How long a connection may stand still inside a request or an answer. Default 10 s.
    pub stall_timeout: Duration,
    /// How long a request may take from its head to its answer. Default 30 s.
    pub request_timeout: Duration,
    /// How often it is looked whether a table's shared dictionary is to be learned (anew). Default 60 s.
    pub train_every: Duration,
    /// How long running requests may go on once the server is told to stop. Default 10 s.
    pub drain_timeout: Duration,
    /// Most connections at a time, live ones not counted; further ones wait to be accepted. Default 1,024.
    pub connections_max: usize,
    /// How live connections are kept.
    pub live: LiveOptions,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            body_bytes_max: 8 << 20,
            header_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            train_every: Duration::from_mins(1),
            drain_timeout: Duration::from_secs(10),
            connections_max: 1_024,
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
/// let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
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
/// [`ErrorKind::Invalid`] when [`Auth::Open`](crate::Auth::Open) is to be served where others reach it;
/// [`ErrorKind::Io`] when the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    app: impl Into<App>,
    options: ServeOptions,
    stop: impl Future<Output = ()> + Send,
) -> Result<()> {
    let app = app.into();
    app.check_address(listener.local_addr()?)?;
    let training = tokio::spawn(train(app.clone(), options.train_every));
    let live = Arc::new(Live::new(&options));
    let router = router(app, &options).layer(Extension(Arc::clone(&live)));
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(options.connections_max.max(1)));
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    // Without a timer hyper's own timeouts do nothing.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        // A frame carries the server's clock, finer than this; in a sync with nothing new it would be an eighth of
        // the bytes. Who caches answers to POST by their date needs a proxy in front, which adds one.
        .auto_date_header(false)
        .max_buf_size(64 << 10);
    let mut stop = std::pin::pin!(stop);
    loop {
        let slot = Arc::clone(&slots).acquire_owned();
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = async { (slot.await, listener.accept().await) } => accepted,
        };
        let (slot, stream) = match accepted {
            (Ok(slot), Ok((stream, _))) => (slot, stream),
            (Ok(_), Err(error)) if is_passing(&error) => continue,
            // Out of file descriptors, most likely: connections that end make room.
            (Ok(_), Err(error)) if error.raw_os_error().is_some() => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            (Ok(_), Err(error)) => return Err(Error::from(error).at("accepting a connection")),
            (Err(_), _) => return Err(Error::closed("the server's connection slots are closed")),
        };
        let _ = stream.set_nodelay(true);
        let released = Released::default();
        let io = TokioIo::new(IdleTimeout::new(
            stream,
            options.stall_timeout,
            options.header_timeout,
            released.clone(),
        ));
        let router = router.clone();
        let service = hyper::service::service_fn(move |mut request: hyper::Request<_>| {
            request.extensions_mut().insert(released.clone());
            router.clone().call(request.map(Body::new))
        });
        let connection = builder.serve_connection_with_upgrades(io, service);
        let connection = graceful.watch(connection.into_owned());
        tokio::spawn(async move {
            // A connection that breaks concerns nobody but its peer.
            let _ = connection.await;
            drop(slot);
        });
    }
    drop(listener);
    training.abort();
    let drained = async { tokio::join!(graceful.shutdown(), live.stop()) };
    let _ = tokio::time::timeout(options.drain_timeout, drained).await;
    Ok(())
}

/// Learns shared dictionaries when they are due, beside the requests.
async fn train(app: App, every: Duration) {
    let mut interval = tokio::time::interval(every.max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        for tenant in app.tenants() {
            // Without a dictionary, or with the one before, everything goes on.
            let _ = tokio::task::spawn_blocking(move || tenant.sync().train_dictionaries()).await;
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
/// [`ErrorKind::Io`] when the signals cannot be watched.
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
