//! [`Stop`]: ends what waits in another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Error, Result};
use tokio::sync::Notify;

/// Ends what waits in another thread: an exchange, or the loop of a [`LiveReplica`](super::LiveReplica). Clones are the same
/// one.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_set: AtomicBool,
    set: Notify,
}

impl Stop {
    /// Ends it, for good.
    pub fn stop(&self) {
        self.0.is_set.store(true, Ordering::Release);
        self.0.set.notify_waiters();
    }

    /// Whether it was ended.
    pub fn is_stopped(&self) -> bool {
        self.0.is_set.load(Ordering::Acquire)
    }

    /// Ready once it was ended.
    pub(crate) async fn stopped(&self) {
        let set = self.0.set.notified();
        // Registered before the look, so that an end in between is not missed.
        let mut set = std::pin::pin!(set);
        set.as_mut().enable();
        if !self.is_stopped() {
            set.await;
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.is_stopped() {
            return Err(Self::error());
        }
        Ok(())
    }

    pub(crate) fn error() -> Error {
        Error::closed("stopped; what was exchanged before stays, and the next sync goes on there")
    }
}
