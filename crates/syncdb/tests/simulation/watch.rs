//! Kills that wait for a commit.

use std::sync::Arc;

use common::Database;
use parking_lot::Mutex;

use super::tables;

/// A kill that waits for a commit: the state right after it is all that remains.
#[derive(Default)]
struct Armed {
    commits: u32,
    image: Option<Vec<u8>>,
}

/// A database with the kill that waits for it.
pub(crate) struct Watched {
    db: Database,
    armed: Arc<Mutex<Armed>>,
    listener: u64,
}

impl Watched {
    pub(crate) fn new(db: &Database, commits: u32) -> Self {
        let armed = Arc::new(Mutex::new(Armed {
            commits,
            image: None,
        }));
        let (watching, of) = (Arc::clone(&armed), db.clone());
        let listener = db.add_listener(Arc::new(move |_| {
            let mut armed = watching.lock();
            armed.commits = armed.commits.saturating_sub(1);
            if armed.commits == 0 && armed.image.is_none() {
                armed.image = Some(tables::image(&of));
            }
        }));
        Self {
            db: db.clone(),
            armed,
            listener,
        }
    }

    /// Whether the commit has happened.
    pub(crate) fn is_over(&self) -> bool {
        self.armed.lock().image.is_some()
    }

    pub(crate) fn image(&self) -> Option<Vec<u8>> {
        self.armed.lock().image.take()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The listener holds the database that holds the listener.
        self.db.remove_listener(self.listener);
    }
}
