//! A sync server on a port, and replicas that reach one by its URL.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ::server::client::{
    Backoff, ClientOptions, LiveEvent, LiveReplica, LiveReplicaOptions, WebSocketTransport,
};
use ::server::http::HttpTransport;
use ::server::{App, ServeOptions, listen, serve};
use common::utils::id_generator::{Rng as _, SystemRng};
use common::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use syncdb::Transport;
use tokio::sync::oneshot;

use super::db::PySyncDb;
use super::error::{OrRaise, detached, here};
use super::record::SyncReport;
use super::server::PySyncServer;
use super::sync::{budget_of, run_with};
use crate::durable::Kept;
use crate::interchange::watch::{POLL, Watch, raised};

/// How long the threads of a server that was stopped may still take for a request that runs.
const SHUTDOWN: Duration = Duration::from_millis(20);

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<()>>,
}

impl Running {
    fn start(listener: TcpListener, app: App, options: ServeOptions) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("syncdb-http")
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new().name("syncdb-http".to_owned());
        let thread = thread.spawn(move || {
            let ended = runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let until = async {
                    // A sender that was dropped says the same.
                    let _ = stopped.await;
                };
                serve(listener, app, options, until).await
            });
            runtime.shutdown_timeout(SHUTDOWN);
            ended
        })?;
        Ok(Self { stop, thread })
    }

    fn stop(self) -> Result<()> {
        let _ = self.stop.send(());
        match self.thread.join() {
            Ok(served) => served,
            Err(_) => Err(Error::closed("the server's thread ended in a panic")),
        }
    }
}

/// Serves a `SyncServer` over HTTP from threads of its own, for a `with` block or between `start` and `stop`.
///
/// Port 0 is a free one; once chosen it stays. There is no encryption and no authentication: listen on the loopback address, or
/// put a proxy in front. `drain_seconds` is how long running requests may go on when it stops.
#[pyclass(frozen, name = "Server", module = "syncdb.http")]
pub(super) struct HttpServer {
    server: Py<PySyncServer>,
    host: String,
    options: ServeOptions,
    /// The port that was asked for, then the one that was given.
    port: Mutex<u16>,
    running: Mutex<Option<Running>>,
}

impl HttpServer {
    fn bind(&self) -> Result<(TcpListener, SocketAddr)> {
        let port = *self.port.lock();
        let place = format!("{}:{port}", self.host);
        let cannot = |error: std::io::Error| {
            Error::new(
                ErrorKind::Io,
                format!("{place}: cannot listen there ({error}); choose another host or port"),
            )
            .caused_by(error)
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let listener = runtime.block_on(listen((self.host.as_str(), port)));
        let listener = listener.and_then(tokio::net::TcpListener::into_std);
        let listener = listener.map_err(cannot)?;
        let bound = listener.local_addr().map_err(cannot)?;
        Ok((listener, bound))
    }
}

fn seconds(seconds: f64, what: &str) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        Error::invalid(format!(
            "{what} is a number of seconds from 0, not {seconds}"
        ))
    })
}

#[pymethods]
impl HttpServer {
    #[new]
    #[pyo3(signature = (server, host="127.0.0.1", port=0, *, connections_max=1024, body_bytes_max=8_388_608,
        request_seconds=30.0, drain_seconds=0.05))]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    fn new(
        py: Python<'_>,
        server: Py<PySyncServer>,
        host: &str,
        port: u16,
        connections_max: usize,
        body_bytes_max: usize,
        request_seconds: f64,
        drain_seconds: f64,
    ) -> PyResult<Self> {
        let options = ServeOptions {
            connections_max,
            body_bytes_max,
            request_timeout: seconds(request_seconds, "request_seconds").or_raise(py)?,
            drain_timeout: seconds(drain_seconds, "drain_seconds").or_raise(py)?,
            ..ServeOptions::default()
        };
        Ok(Self {
            server,
            host: host.to_owned(),
            options,
            port: Mutex::new(port),
            running: Mutex::new(None),
        })
    }

    /// Begins to serve. Raises `TransportError` where it cannot listen.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let app = self.server.get().app(py)?;
        detached(py, || {
            let mut running = self.running.lock();
            if running.is_some() {
                return Err(Error::invalid("the server runs already"));
            }
            let (listener, bound) = self.bind()?;
            *running = Some(Running::start(listener, app, self.options.clone())?);
            *self.port.lock() = bound.port();
            Ok(())
        })
    }

    /// Stops: no connection is accepted any more, and running requests have `drain_seconds` to end. Does nothing when it does not
    /// run.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || {
            let running = self.running.lock().take();
            running.map_or(Ok(()), Running::stop)
        })
    }

    /// Serves until Ctrl-C, which ends it without an exception, or until another thread stops it.
    fn serve_forever(&self, py: Python<'_>) -> PyResult<()> {
        if !self.is_running(py) {
            self.start(py)?;
        }
        while self.is_running(py) {
            py.detach(|| std::thread::sleep(POLL));
            if let Err(error) = py.check_signals() {
                self.stop(py)?;
                if error.is_instance_of::<pyo3::exceptions::PyKeyboardInterrupt>(py) {
                    return Ok(());
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether it serves.
    #[getter]
    fn is_running(&self, py: Python<'_>) -> bool {
        py.detach(|| {
            let running = self.running.lock();
            running
                .as_ref()
                .is_some_and(|running| !running.thread.is_finished())
        })
    }

    /// The port; 0 as long as none was chosen.
    #[getter]
    fn port(&self) -> u16 {
        *self.port.lock()
    }

    /// Where clients reach it, as in `http://127.0.0.1:8080`.
    #[getter]
    fn url(&self, py: Python<'_>) -> PyResult<String> {
        let port = self.port();
        if port == 0 {
            let error = Error::closed("the server has no port before it is started");
            return Err(super::error::exception(py, &error));
        }
        let host = match self.host.as_str() {
            host if host.contains(':') => format!("[{host}]"),
            host => host.to_owned(),
        };
        Ok(format!("http://{host}:{port}"))
    }

    /// The `SyncServer` that is served.
    #[getter]
    fn server(&self, py: Python<'_>) -> Py<PySyncServer> {
        self.server.clone_ref(py)
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        if !slf.get().is_running(slf.py()) {
            slf.get().start(slf.py())?;
        }
        Ok(slf)
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, py: Python<'_>, _raised: &Bound<'_, PyTuple>) -> PyResult<bool> {
        self.stop(py)?;
        Ok(false)
    }
}

/// Ends what waits in another thread.
#[pyclass(frozen, module = "syncdb.http")]
pub(super) struct Cancel(Arc<AtomicBool>);

#[pymethods]
impl Cancel {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    /// Ends it within a tenth of a second; what it waits for raises `ClosedError`.
    fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A thread that makes exchanges, so that whoever waits for one can look at other things meanwhile.
struct Worker {
    requests: Sender<Vec<u8>>,
    answers: Receiver<Result<Vec<u8>>>,
}

impl Worker {
    fn start(mut transport: HttpTransport) -> Result<Self> {
        let (requests, asked) = channel::<Vec<u8>>();
        let (answered, answers) = channel();
        let thread = std::thread::Builder::new().name("syncdb-client".to_owned());
        thread.spawn(move || {
            // Ends when nobody asks or waits any more.
            while let Ok(request) = asked.recv() {
                if answered.send(transport.exchange(&request)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { requests, answers })
    }
}

/// A transport whose waits end when somebody presses Ctrl-C, or cancels.
struct Interruptible<'a> {
    transport: &'a HttpTransport,
    worker: Option<Worker>,
    cancelled: Option<&'a AtomicBool>,
    watch: &'a Watch,
}

impl Interruptible<'_> {
    fn check(&self) -> Result<()> {
        if self
            .cancelled
            .is_some_and(|cancelled| cancelled.load(Ordering::Acquire))
        {
            return Err(cancelled_error());
        }
        self.watch.check()
    }
}

fn cancelled_error() -> Error {
    Error::closed(
        "the sync was cancelled; what was exchanged before stays, and the next one goes on there",
    )
}

impl Transport for Interruptible<'_> {
    fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        let gone = || Error::closed("the thread of the connection has ended");
        // Taken: where the wait is given up, the answer of this exchange must not be taken for that of the next.
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::start(self.transport.clone())?,
        };
        worker.requests.send(request.to_vec()).map_err(|_| gone())?;
        loop {
            match worker.answers.recv_timeout(POLL) {
                Ok(answer) => {
                    self.worker = Some(worker);
                    return answer;
                }
                Err(RecvTimeoutError::Timeout) => self.check()?,
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            }
        }
    }
}

/// Whom to tell what happens to a replica that is kept in sync.
struct Told {
    synced: Option<Py<PyAny>>,
    progress: Option<Py<PyAny>>,
    offline: Option<Py<PyAny>>,
    /// What somebody is told of is safe first.
    kept: Kept,
}

impl Told {
    fn tell(&self, event: LiveEvent) -> Result<()> {
        if matches!(event, LiveEvent::Synced(_)) {
            self.kept.settle()?;
        }
        let told = Python::try_attach(|py| {
            let called = match event {
                LiveEvent::Synced(report) => {
                    let synced = self.synced.as_ref();
                    synced.map(|synced| synced.call1(py, (SyncReport(report),)))
                }
                LiveEvent::Progress { done, total } => {
                    let progress = self.progress.as_ref();
                    progress.map(|progress| progress.call1(py, (done, total)))
                }
                LiveEvent::Offline { error, wait } => {
                    let offline = self.offline.as_ref();
                    let said = (error.to_string(), wait.as_secs_f64());
                    offline.map(|offline| offline.call1(py, said))
                }
                _ => None,
            };
            called.transpose().map(drop)
        });
        told.unwrap_or(Ok(())).map_err(raised)
    }
}

/// Syncs a replica with the server at a URL, which begins with `http://` or `https://`.
///
/// `token` is a token or an API key that the server takes. `authorities` are certificates in PEM that servers' are signed by, in
/// place of those that the system trusts.
///
/// An exchange that fails on the way is made again up to `retries` times, after `backoff_seconds` at first and twice as long each
/// time, less up to a half by chance; the session goes on where it was. `timeout_seconds` is for one exchange.
#[pyclass(subclass, frozen, module = "syncdb.http")]
pub(super) struct HttpClient {
    db: Py<PySyncDb>,
    url: String,
    options: ClientOptions,
    transport: HttpTransport,
    retries: u32,
    backoff: Duration,
}

#[pymethods]
impl HttpClient {
    #[new]
    #[pyo3(signature = (db, url, *, retries=3, backoff_seconds=0.2, timeout_seconds=60.0, token=None, authorities=None))]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    fn new(
        py: Python<'_>,
        db: Py<PySyncDb>,
        url: &str,
        retries: u32,
        backoff_seconds: f64,
        timeout_seconds: f64,
        token: Option<&str>,
        authorities: Option<&[u8]>,
    ) -> PyResult<Self> {
        let timeout = seconds(timeout_seconds, "timeout_seconds").or_raise(py)?;
        let mut options = ClientOptions::default().timeout(timeout);
        if let Some(token) = token {
            options = options.credentials(token).or_raise(py)?;
        }
        if let Some(pem) = authorities {
            options = options.authorities(pem);
        }
        let transport = HttpTransport::with(url, &options).or_raise(py)?;
        Ok(Self {
            db,
            url: url.to_owned(),
            options,
            transport,
            retries,
            backoff: seconds(backoff_seconds, "backoff_seconds").or_raise(py)?,
        })
    }

    /// The replica.
    #[getter]
    fn db(&self, py: Python<'_>) -> Py<PySyncDb> {
        self.db.clone_ref(py)
    }

    /// Where the server is.
    #[getter]
    fn url(&self) -> &str {
        &self.url
    }

    /// Pushes what was changed here, pulls what was changed elsewhere, and compares digests. Interrupted anywhere, it loses
    /// nothing: the next one goes on where this one ended.
    ///
    /// `progress(done, total)` is called with the number of operations and rows that were exchanged. `budget` is a dict with some of
    /// `mutations_max`, `bytes_max`, `level`. Ctrl-C ends it with `KeyboardInterrupt`. Raises `TransportError` when the server
    /// is not reached.
    #[pyo3(signature = (*, progress=None, budget=None, cancel=None))]
    fn sync(
        &self,
        py: Python<'_>,
        progress: Option<Py<PyAny>>,
        budget: Option<&Bound<'_, PyAny>>,
        cancel: Option<&Bound<'_, Cancel>>,
    ) -> PyResult<SyncReport> {
        let (db, kept) = (self.db.get().db(py)?, self.db.get().kept());
        let budget = budget_of(budget)?;
        let cancelled = cancel.map(|cancel| Arc::clone(&cancel.get().0));
        let report = here(py, progress, |watch| {
            let mut transport = Interruptible {
                transport: &self.transport,
                worker: None,
                cancelled: cancelled.as_deref(),
                watch,
            };
            let waits = Interruptible {
                transport: &self.transport,
                worker: None,
                cancelled: cancelled.as_deref(),
                watch,
            };
            let mut failures = 0;
            let mut again = |_: &Error| {
                if failures == self.retries {
                    return Ok(false);
                }
                let until = Instant::now() + self.wait(failures);
                failures += 1;
                while let Some(left) = until.checked_duration_since(Instant::now()) {
                    waits.check()?;
                    std::thread::sleep(left.min(POLL));
                }
                Ok(true)
            };
            run_with((&db, &kept), &budget, &mut transport, watch, &mut again)
        })?;
        Ok(SyncReport(report))
    }

    /// Keeps the replica in sync over a WebSocket until it is cancelled: sends what is written here at once, takes what others
    /// change when the server tells of it, and where the server is not reached waits and tries again. Watches of the replica are
    /// told of what arrives. Returns when `cancel` is used; Ctrl-C ends it with `KeyboardInterrupt`. Raises where trying again
    /// does not help, as with a token that is refused.
    ///
    /// `synced(report)` is called after each sync, `progress(done, total)` while one runs, and `offline(why, seconds)` when
    /// the server is not reached and is tried again after so long.
    #[pyo3(signature = (*, synced=None, progress=None, offline=None, cancel=None))]
    fn keep_in_sync(
        &self,
        py: Python<'_>,
        synced: Option<Py<PyAny>>,
        progress: Option<Py<PyAny>>,
        offline: Option<Py<PyAny>>,
        cancel: Option<&Bound<'_, Cancel>>,
    ) -> PyResult<()> {
        let (db, kept) = (self.db.get().db(py)?, self.db.get().kept());
        let cancelled = cancel.map(|cancel| Arc::clone(&cancel.get().0));
        let told = Told {
            synced,
            progress,
            offline,
            kept: kept.clone(),
        };
        here(py, None, |watch| {
            let mut transport = WebSocketTransport::with(&self.url, self.options.clone())?;
            transport.before_each(move || kept.settle());
            let options = LiveReplicaOptions {
                backoff: Backoff {
                    first: self.backoff,
                    ..Backoff::default()
                },
                ..LiveReplicaOptions::default()
            };
            let (events, happened) = channel();
            let live = LiveReplica::start(db, transport, options, move |event| {
                // Nobody listens any more once it is stopped.
                let _ = events.send(event);
            })?;
            loop {
                let heard = match happened.recv_timeout(POLL) {
                    Ok(event) => told.tell(event),
                    Err(RecvTimeoutError::Timeout) => watch.check(),
                    // It has ended by itself.
                    Err(RecvTimeoutError::Disconnected) => return live.wait(),
                };
                if let Err(error) = heard {
                    live.stop()?;
                    return Err(error);
                }
                let cancelled = cancelled.as_ref();
                if cancelled.is_some_and(|cancelled| cancelled.load(Ordering::Acquire)) {
                    return live.stop();
                }
            }
        })
    }

    fn __repr__(&self) -> String {
        format!("Client({})", self.url)
    }
}

impl HttpClient {
    /// How long to wait after so many failures: replicas that failed together do not try again together.
    fn wait(&self, failures: u32) -> Duration {
        let longest = self.backoff.saturating_mul(1 << failures.min(10));
        let mut chance = [0; 1];
        SystemRng.fill(&mut chance);
        longest.mul_f64(1.0 - f64::from(chance[0]) / 512.0)
    }
}
