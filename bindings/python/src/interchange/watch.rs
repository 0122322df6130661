//! Long native work, while somebody listens to Ctrl-C and tells how far it is.
//!
//! Work that needs no Python has a thread of its own ([`run`]): the caller's looks for signals every [`POLL`], whatever
//! the work is at. Work that calls Python on its way, as a sync through a function does, stays in the caller's thread,
//! where those calls belong ([`here`]), and looks for signals at its reports. Either way it is written against a
//! [`Watch`] and ends by itself at its next report. So does what goes block by block through arrays of the caller's, which
//! nobody may leave to a thread. Work on arrays that has no reports gets a copy of them ([`run_on`]).

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use common::{Error, Result};
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::raise;

/// How long a signal waits at most.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// How many numbers are worked on, or made, before a signal has waited too long; with fewer a thread costs more than they do.
pub(crate) const NUMBERS_UNCHECKED: usize = 1 << 16;

/// How many numbers are copied before it is looked for a signal.
const NUMBERS_COPIED: usize = 1 << 22;

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

    /// Notes that it ended with so much, whatever was expected before.
    fn end(&self, done: usize) {
        self.all.store(done, Ordering::Relaxed);
        self.done.store(done, Ordering::Relaxed);
    }

    fn tell(&self, progress: &Bound<'_, PyAny>) -> PyResult<()> {
        let all = self.all.load(Ordering::Relaxed);
        let done = self.done.load(Ordering::Relaxed).min(all);
        progress.call1((done, all)).map(drop)
    }

    /// Whether there is something to tell.
    fn is_known(&self) -> bool {
        self.all.load(Ordering::Relaxed) > 0
    }
}

/// Of work in the thread that called it: whom to tell, and when it was last looked for a signal.
struct Here {
    progress: Option<Py<PyAny>>,
    looked: Mutex<Instant>,
}

/// How far work is, and whether it is still wanted.
#[derive(Default)]
pub(crate) struct Watch {
    far: Arc<Far>,
    is_cancelled: AtomicBool,
    here: Option<Here>,
}

impl Watch {
    /// Notes progress. In the caller's thread who wants to know is told at once.
    ///
    /// # Errors
    /// As [`Watch::check`].
    pub(crate) fn report(&self, done: usize, all: usize) -> Result<()> {
        self.far.note(done, all);
        match &self.here {
            Some(here) if here.progress.is_some() => self.look(here),
            _ => self.check(),
        }
    }

    /// Notes the end, with so much done, and tells it.
    ///
    /// # Errors
    /// As [`Watch::check`].
    pub(crate) fn end(&self, done: usize) -> Result<()> {
        self.far.end(done);
        match &self.here {
            Some(here) if here.progress.is_some() => self.look(here),
            _ => Ok(()),
        }
    }

    /// As `report`, for work that asks whether to go on.
    pub(crate) fn flow(&self, done: usize, all: usize) -> ControlFlow<()> {
        match self.report(done, all) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    /// How far it is, for those who report later.
    pub(crate) fn far(&self) -> Arc<Far> {
        self.far.clone()
    }

    /// Whether the result is still wanted.
    ///
    /// # Errors
    /// [`common::ErrorKind::Closed`] if not; in the caller's thread what a handler of a signal raised.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_cancelled.load(Ordering::Acquire) {
            return Err(Error::closed("the work was cancelled; nothing changed"));
        }
        match &self.here {
            Some(here) if here.looked.lock().elapsed() >= POLL => self.look(here),
            _ => Ok(()),
        }
    }

    /// Tells that all that was expected is done.
    fn tell_end(&self, progress: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        match progress {
            Some(progress) if self.far.is_known() => {
                self.far.end(self.far.all.load(Ordering::Relaxed));
                self.far.tell(progress)
            }
            _ => Ok(()),
        }
    }

    fn look(&self, here: &Here) -> Result<()> {
        let looked = Python::try_attach(|py| {
            py.check_signals()?;
            match &here.progress {
                Some(progress) => self.far.tell(progress.bind(py)),
                None => Ok(()),
            }
        });
        *here.looked.lock() = Instant::now();
        looked.unwrap_or(Ok(())).map_err(raised)
    }
}

/// The exception that an error carries, if Python code raised it.
pub(crate) fn raised_in(error: &Error) -> Option<&PyErr> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(raised) = cause.downcast_ref() {
            return Some(raised);
        }
        source = cause.source();
    }
    None
}

/// What Python code raised, as an error that carries it.
pub(crate) fn raised(error: PyErr) -> Error {
    Error::invalid(error.to_string()).caused_by(error)
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
    outcome(py, true, progress, work)?.map_err(raise)
}

/// As [`run`]; what is not long is done in this thread, before a signal could have waited.
pub(crate) fn run_if<T: Send + 'static>(
    py: Python<'_>,
    is_long: bool,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&Watch) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    outcome(py, is_long, progress, work)?.map_err(raise)
}

/// As [`run`] for work on numbers that are the caller's, such as an array of NumPy: others may write to it as soon as the
/// caller has it back, so that work on many has a copy.
pub(crate) fn run_on<N: Copy + Send + Sync + 'static, T: Send + 'static>(
    py: Python<'_>,
    numbers: &[N],
    work: impl FnOnce(&[N]) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    if numbers.len() <= NUMBERS_UNCHECKED {
        return py.detach(|| work(numbers)).map_err(raise);
    }
    let mut own = Vec::with_capacity(numbers.len());
    for block in numbers.chunks(NUMBERS_COPIED) {
        py.check_signals()?;
        own.extend_from_slice(block);
    }
    run(py, None, move |_| work(&own))
}

/// As [`run_if`], for those who raise exceptions of their own.
pub(crate) fn outcome<T: Send + 'static>(
    py: Python<'_>,
    is_long: bool,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&Watch) -> Result<T> + Send + 'static,
) -> PyResult<Result<T>> {
    if !is_long {
        let watch = Watch::default();
        let done = py.detach(|| work(&watch));
        if done.is_ok() {
            watch.tell_end(progress)?;
        }
        return Ok(done);
    }
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
                if done.is_ok() {
                    watch.tell_end(progress)?;
                }
                return Ok(done);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err(
                    "the work ended before it was done; nothing changed",
                ));
            }
        }
        let told = py.check_signals().and_then(|()| match progress {
            Some(progress) if watch.far.is_known() => watch.far.tell(progress),
            _ => Ok(()),
        });
        if let Err(raised) = told {
            watch.is_cancelled.store(true, Ordering::Release);
            return Err(raised);
        }
    }
}

/// Does work in this thread without the GIL: such as calls Python, which expects to be called in the caller's thread.
///
/// What `progress` or a handler of a signal raises is the error of the next report, as [`raised`] makes it.
pub(crate) fn here<T: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&Watch) -> Result<T> + Send,
) -> Result<T> {
    let watch = Watch {
        here: Some(Here {
            progress,
            looked: Mutex::new(Instant::now()),
        }),
        ..Watch::default()
    };
    py.detach(|| work(&watch))
}

/// As [`here`] for what goes through rows of numbers: calls `work` with where each block of them begins and ends, and looks for
/// signals between. `width` is how many numbers a row takes or makes.
///
/// Rows of a block are worked on as a whole. An exception leaves the blocks before it done.
pub(crate) fn by_rows(
    py: Python<'_>,
    (rows, width): (usize, usize),
    mut work: impl FnMut(Range<usize>) -> Result<()> + Send,
) -> PyResult<()> {
    let block = (NUMBERS_UNCHECKED / width.max(1)).max(1);
    let done = here(py, None, |watch| {
        let mut from = 0;
        // What is wrong with a batch of no rows is told, too.
        loop {
            let to = rows.min(from + block);
            work(from..to)?;
            if to == rows {
                return Ok(());
            }
            watch.check()?;
            from = to;
        }
    });
    done.map_err(|error| match raised_in(&error) {
        Some(raised) => raised.clone_ref(py),
        None => raise(error),
    })
}
