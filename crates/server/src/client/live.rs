//! [`LiveReplica`]: a thread that keeps a replica in sync.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use common::utils::id_generator::SystemRng;
use common::{Error, ErrorKind, Result};
use syncdb::power::SyncBudget;
use syncdb::{SyncDb, SyncReport, Transport as _};
use tokio::sync::Notify;

use super::backoff::Backoff;
use super::socket::WebSocketTransport;
use super::stop::Stop;

/// How a replica is kept in sync.
#[derive(Debug, Clone, Default)]
pub struct LiveReplicaOptions {
    /// How long it waits after a failure.
    pub backoff: Backoff,
    /// What one exchange may take.
    pub budget: SyncBudget,
}

/// What happens to a replica that is kept in sync.
#[derive(Debug)]
#[non_exhaustive]
pub enum LiveEvent {
    /// A sync has come so far.
    Progress {
        /// Rows sent and received.
        done: u64,
        /// As many as are known of; it may grow.
        total: u64,
    },
    /// A sync has come to its end: the replica is in step with the server.
    Synced(SyncReport),
    /// The server is not reached. Edits go on, and are sent when it is.
    Offline {
        /// Why.
        error: Error,
        /// When the next attempt follows.
        wait: Duration,
    },
}

/// A thread that keeps a replica in sync with a server: it pushes when something is written here, pulls when the server
/// says that there is news, and goes on offline. Live queries and listeners of the replica's database see what
/// arrives like any other commit.
///
/// After a failure it tries again, each time later; see [`Backoff`]. It ends by itself where trying again does not
/// help: the credentials are refused, the address is wrong, the replica's own state is damaged.
///
/// ```
/// use std::sync::{Arc, mpsc};
/// use common::Database;
/// use common::schema::{Field, FieldType, Schema};
/// use common::row;
/// use server::client::{LiveEvent, LiveReplica, LiveReplicaOptions, WebSocketTransport};
/// use server::{ServeOptions, serve};
/// use syncdb::{SyncDb, SyncServer};
///
/// let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
/// let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
/// let url = format!("http://{}", listener.local_addr()?);
/// let db = Database::new();
/// let notes = Schema::build("notes", ["id"]).field(Field::new("id", FieldType::Int)).finish()?;
/// let notes = db.create_collection(notes)?;
/// let server = Arc::new(SyncServer::new(db)?);
/// runtime.spawn(serve(listener, server, ServeOptions::default(), std::future::pending()));
///
/// let phone = Arc::new(SyncDb::client("phone")?);
/// let (events, happened) = mpsc::channel();
/// let transport = WebSocketTransport::new(&url)?;
/// let live = LiveReplica::start(phone.clone(), transport, LiveReplicaOptions::default(), move |event| {
///     let _ = events.send(event);
/// })?;
/// notes.insert(row! { "id": 1 })?;
/// while phone.collection("notes").is_ok_and(|notes| notes.is_empty()) {
///     happened.recv().expect("it goes on");
/// }
/// live.stop()?;
/// # runtime.shutdown_background();
/// # Ok::<(), common::Error>(())
/// ```
pub struct LiveReplica {
    stop: Stop,
    thread: Option<JoinHandle<Result<()>>>,
}

impl LiveReplica {
    /// Begins to keep `db` in sync by way of `transport`. `tell` is called from the thread, which waits for it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the thread cannot be started.
    pub fn start(
        db: Arc<SyncDb>,
        transport: WebSocketTransport,
        options: LiveReplicaOptions,
        tell: impl FnMut(LiveEvent) + Send + 'static,
    ) -> Result<Self> {
        let stop = transport.stop_handle();
        let thread = std::thread::Builder::new().name("syncdb-live".to_owned());
        let thread = thread.spawn(move || {
            let wrote = Arc::new(Notify::new());
            let wake = Arc::clone(&wrote);
            let listener = db
                .database()
                .add_listener(Arc::new(move |_| wake.notify_one()));
            let mut follower = Follower {
                db: &db,
                transport,
                options,
                wrote,
                tell,
            };
            let ended = follower.run();
            follower.transport.disconnect();
            db.database().remove_listener(listener);
            ended
        })?;
        let thread = Some(thread);
        Ok(Self { stop, thread })
    }

    /// Whether it has ended by itself; [`LiveReplica::stop`] says why.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends it. What was exchanged stays; what was not sent stays in the queue.
    ///
    /// # Errors
    /// What it ended with by itself.
    pub fn stop(mut self) -> Result<()> {
        self.stop.stop();
        self.join()
    }

    /// Waits until it has ended, by itself or because another thread has stopped it.
    ///
    /// # Errors
    /// What it ended with by itself.
    pub fn wait(mut self) -> Result<()> {
        self.join()
    }

    /// Ends it from another thread.
    pub fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    fn join(&mut self) -> Result<()> {
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err(Error::closed("the thread that syncs has ended in a panic")),
        }
    }
}

impl Drop for LiveReplica {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

impl fmt::Debug for LiveReplica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveReplica")
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// Whether a later exchange may succeed where this one failed.
fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::Closed)
}

struct Follower<'a, T> {
    db: &'a SyncDb,
    transport: WebSocketTransport,
    options: LiveReplicaOptions,
    /// Somebody has committed here.
    wrote: Arc<Notify>,
    tell: T,
}

impl<T: FnMut(LiveEvent)> Follower<'_, T> {
    fn run(&mut self) -> Result<()> {
        let stop = self.transport.stop_handle();
        let mut failures = 0;
        while !stop.is_stopped() {
            match self.round() {
                Ok(()) => failures = 0,
                Err(_) if stop.is_stopped() => break,
                Err(error) if is_passing(&error) => {
                    let wait = self.options.backoff.wait(failures, &SystemRng);
                    failures = failures.saturating_add(1);
                    (self.tell)(LiveEvent::Offline { error, wait });
                    self.transport.sleep(wait);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One sync, and the wait for the next reason to.
    fn round(&mut self) -> Result<()> {
        let before = self.db.pending();
        let report = self.sync()?;
        let moved = report.rows_sent > 0;
        (self.tell)(LiveEvent::Synced(report));
        let left = self.db.pending();
        // Written while it ran; unless the server takes nothing at present.
        if left > 0 && (moved || left != before) {
            return Ok(());
        }
        let (db, wrote) = (self.db, Arc::clone(&self.wrote));
        let more_to_send = async move {
            // What is taken in is a commit too.
            while db.pending() == left {
                wrote.notified().await;
            }
        };
        self.transport.wait(more_to_send).map(drop)
    }

    fn sync(&mut self) -> Result<SyncReport> {
        let mut session = self.db.session_with(&self.options.budget)?;
        let mut total = self.db.pending() as u64;
        while let Some(request) = session.next_message()? {
            let answer = self.transport.exchange(&request)?;
            session.receive(&answer)?;
            let done = session.report().rows_sent + session.report().rows_received;
            total = total.max(done);
            (self.tell)(LiveEvent::Progress { done, total });
        }
        Ok(session.into_report())
    }
}
