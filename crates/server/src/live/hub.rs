//! [`Hub`]: reads the log of a database once, for all clients that wait for changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::versioning::Change;
use common::{ErrorKind, Result, Seq};
use parking_lot::Mutex;
use syncdb::sync::protocol::ScopeId;
use syncdb::{Interest, SyncServer};
use tokio::sync::{Notify, watch};

use super::stopped;

/// The log is looked at no more often than this: commits in between are told of together.
const ROUND: Duration = Duration::from_millis(5);
/// Changes that are looked at at a time.
const CHANGES_MAX: usize = 8_192;

/// Rings when there is something for a client.
#[derive(Debug, Default)]
pub(super) struct Bell {
    seq: AtomicU64,
    rung: Notify,
}

impl Bell {
    fn ring(&self, seq: Seq) {
        self.seq.store(seq.0, Ordering::Relaxed);
        self.rung.notify_one();
    }

    /// Returns the commit that was come to when it rang.
    pub(super) async fn rung(&self) -> u64 {
        self.rung.notified().await;
        self.seq.load(Ordering::Relaxed)
    }
}

/// A client that waits.
struct Waiting {
    interest: Interest,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Clients {
    /// All changes up to here were looked at.
    seen: Seq,
    waiting: HashMap<u64, Waiting>,
}

/// The clients of one database that wait for changes.
pub(super) struct Hub {
    sync: Arc<SyncServer>,
    clients: Mutex<Clients>,
}

impl Hub {
    /// Follows the log in a task of its own until `stopping` is true.
    pub(super) fn start(sync: &Arc<SyncServer>, stopping: watch::Receiver<bool>) -> Arc<Self> {
        let hub = Arc::new(Self {
            sync: Arc::clone(sync),
            clients: Mutex::new(Clients {
                seen: sync.database().seq(),
                ..Clients::default()
            }),
        });
        let committed = Arc::new(Notify::new());
        let told = Arc::clone(&committed);
        let listener = Arc::new(move |_| told.notify_one());
        let listener = sync.database().add_listener(listener);
        tokio::spawn(follow(Arc::clone(&hub), committed, listener, stopping));
        hub
    }

    /// The server behind it.
    pub(super) fn sync(&self) -> &SyncServer {
        &self.sync
    }

    /// The client wants to hear of what `interest` is concerned by; the bell rings once.
    pub(super) fn wait(&self, client: u64, interest: Interest, bell: &Arc<Bell>) {
        let mut clients = self.clients.lock();
        // What was looked at while the answer was made may be news to this client.
        let seen = clients.seen;
        if interest.seq() < seen && self.has_news(&interest) {
            bell.ring(seen);
            return;
        }
        let bell = Arc::clone(bell);
        clients.waiting.insert(client, Waiting { interest, bell });
    }

    /// The client does not wait any more.
    pub(super) fn leave(&self, client: u64) {
        self.clients.lock().waiting.remove(&client);
    }

    fn has_news(&self, interest: &Interest) -> bool {
        match self
            .sync
            .database()
            .changes_since(interest.seq(), CHANGES_MAX)
        {
            Ok(changes) => {
                changes.len() >= CHANGES_MAX
                    || changes.iter().any(|change| interest.concerns(change))
            }
            // Further back than the log: there may be.
            Err(_) => true,
        }
    }

    /// Rings the bells of those whom commits since the last round concern.
    fn look(&self) -> Result<()> {
        let db = self.sync.database();
        loop {
            let from = self.clients.lock().seen;
            let changes = match db.changes_since(from, CHANGES_MAX) {
                Ok(changes) => changes,
                // Pruned before it was looked at: there may be something for everybody.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let mut clients = self.clients.lock();
                    clients.seen = db.seq();
                    let seen = clients.seen;
                    for (_, waiting) in clients.waiting.drain() {
                        waiting.bell.ring(seen);
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(last) = changes.last().map(|change| change.seq) else {
                return Ok(());
            };
            let mut clients = self.clients.lock();
            clients.seen = last;
            tell(&mut clients.waiting, from, last, &changes);
        }
    }
}

/// Rings the bells of those whom changes after `from` concern.
fn tell(waiting: &mut HashMap<u64, Waiting>, from: Seq, last: Seq, changes: &[Change]) {
    // Most clients keep what others keep too.
    let mut known: HashMap<Vec<ScopeId>, bool> = HashMap::new();
    waiting.retain(|_, waiting| {
        let interest = &waiting.interest;
        let concerned = || changes.iter().any(|change| interest.concerns(change));
        let is_concerned = if interest.seq() > from {
            concerned()
        } else {
            *known.entry(interest.scopes()).or_insert_with(concerned)
        };
        if is_concerned {
            waiting.bell.ring(last);
        }
        !is_concerned
    });
}

async fn follow(
    hub: Arc<Hub>,
    committed: Arc<Notify>,
    listener: u64,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = committed.notified() => {}
            () = stopped(&mut stopping) => break,
        }
        let looking = Arc::clone(&hub);
        // A log that cannot be read now is read at the next commit.
        let _ = tokio::task::spawn_blocking(move || looking.look()).await;
        tokio::time::sleep(ROUND).await;
    }
    hub.sync.database().remove_listener(listener);
}
