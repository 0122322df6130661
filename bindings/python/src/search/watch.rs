//! Long work in a thread of its own, while the caller's waits, listens to Ctrl-C and tells how far it is.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use common::{Error, Result};
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::interchange::raise;

/// How long a signal waits at most.
const POLL: Duration = Duration::from_millis(20);

/// How far work is.
#[derive(Default)]
pub(crate) struct Far {
    done: AtomicUsize,
    all: AtomicUsize,
}

impl Far {
    /// Notes progress; what threads report late does not count.
    pub(crate) fn note(&self, done: usize, all: usize) {
        self.all.store(all, Ordering::Relaxed);
        self.done.fetch_max(done, Ordering::Relaxed);
    }
}

/// How far work is, and whether it is still wanted.
#[derive(Default)]
pub(crate) struct Watch {
    far: Arc<Far>,
    is_cancelled: AtomicBool,
}

impl Watch {
    /// Notes progress; breaks when nobody wants the result any more.
    pub(crate) fn report(&self, done: usize, all: usize) -> ControlFlow<()> {
        self.far.note(done, all);
        if self.is_cancelled.load(Ordering::Acquire) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// How far it is, for those who report later.
    pub(crate) fn far(&self) -> Arc<Far> {
        self.far.clone()
    }

    /// Whether the result is still wanted.
    ///
    /// # Errors
    /// [`common::ErrorKind::Closed`] if not.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_cancelled.load(Ordering::Acquire) {
            return Err(Error::closed("the work was cancelled; nothing changed"));
        }
        Ok(())
    }

    fn tell(&self, progress: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let (done, all) = (&self.far.done, &self.far.all);
        let (done, all) = (done.load(Ordering::Relaxed), all.load(Ordering::Relaxed));
        if let Some(progress) = progress
            && all > 0
        {
            progress.call1((done.min(all), all))?;
        }
        Ok(())
    }
}

/// Does work in a thread and waits for it without the GIL.
///
/// From time to time `progress` is called in this thread with what is done and all; what it or a handler of a signal
/// raises is raised at once. The work then ends by itself at its next report, and its result is dropped.
pub(crate) fn run<T: Send + 'static>(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&Watch) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    let watch = Arc::new(Watch::default());
    let (send, receive) = sync_channel(1);
    let work = {
        let watch = watch.clone();
        // Nobody may wait any more.
        move || drop(send.send(work(&watch)))
    };
    let name = "tandemdb work".to_owned();
    thread::Builder::new().name(name).spawn(work)?;
    // A reference to the receiver may go where this thread goes without the GIL.
    let receive = Mutex::new(receive);
    loop {
        match py.detach(|| receive.lock().recv_timeout(POLL)) {
            Ok(done) => {
                let done = done.map_err(raise)?;
                let all = watch.far.all.load(Ordering::Relaxed);
                watch.far.done.store(all, Ordering::Relaxed);
                watch.tell(progress)?;
                return Ok(done);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err(
                    "the work ended before it was done; nothing changed",
                ));
            }
        }
        let told = py.check_signals().and_then(|()| watch.tell(progress));
        if let Err(raised) = told {
            watch.is_cancelled.store(true, Ordering::Release);
            return Err(raised);
        }
    }
}
