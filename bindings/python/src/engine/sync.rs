//! One sync: whom it talks to, and what becomes of an exchange that fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Collection, Error, ErrorKind, Result};
use parking_lot::{Mutex, MutexGuard};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use syncdb::power::SyncBudget;
use syncdb::{Principal, SyncDb, SyncReport, SyncServer, Transport};

use super::config::options_of;
use super::error::{OrRaise, detached, here};
use super::server::PySyncServer;
use crate::durable::Kept;
use crate::interchange::watch::{self, POLL, Watch, raised};

/// A transport that may be used without holding the interpreter.
pub(super) type AnyTransport = Box<dyn Transport + Send>;

/// What a caller said a sync may take.
pub(super) fn budget_of(budget: Option<&Bound<'_, PyAny>>) -> PyResult<SyncBudget> {
    budget.map_or_else(
        || Ok(SyncBudget::default()),
        |budget| options_of(budget, "budget"),
    )
}

/// A transport to a server in this process, or by a function.
pub(super) fn transport_of(
    server: &Bound<'_, PyAny>,
    principal: Option<&str>,
) -> PyResult<AnyTransport> {
    if let Ok(server) = server.cast::<PySyncServer>() {
        let kept = server.get().kept();
        let server = server.get().server(server.py())?;
        let principal = principal.map(Principal::from);
        return Ok(Box::new(move |request: &[u8]| {
            kept.safely(|| server.handle_for(principal.as_ref(), request))
        }));
    }
    if principal.is_some() {
        return Err(PyTypeError::new_err(
            "a principal is for a SyncServer in this process; who speaks for others authenticates them",
        ));
    }
    if !server.is_callable() {
        return Err(PyTypeError::new_err(format!(
            "sync with a SyncServer or a callable from bytes to bytes, not {}; for a URL use syncdb.http.Client",
            server.get_type().name()?
        )));
    }
    let call = server.clone().unbind();
    Ok(Box::new(move |request: &[u8]| exchange_by(&call, request)))
}

fn exchange_by(call: &Py<PyAny>, request: &[u8]) -> Result<Vec<u8>> {
    let answered = Python::try_attach(|py| {
        let answer = call.bind(py).call1((PyBytes::new(py, request),))?;
        let answer = answer.cast::<PyBytes>().map_err(|_| {
            PyTypeError::new_err("a transport answers with the bytes of the server's answer")
        })?;
        Ok(answer.as_bytes().to_vec())
    });
    answered
        .unwrap_or_else(|| Err(PyTypeError::new_err("the interpreter has ended")))
        .map_err(raised)
}

/// Whether a later exchange may succeed where this one failed.
pub(super) fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::Closed)
}

/// How long a sync with a server in this process stays in the thread that called it.
const BRIEF: Duration = Duration::from_millis(10);

/// Held by a sync of a replica in a thread of its own. One that Ctrl-C has not waited for still ends its exchange, and the next
/// waits for that: two sessions at once are in each other's way.
pub(super) type Aside = Arc<Mutex<()>>;

fn free<'a>(aside: &'a Aside, watch: &Watch) -> Result<MutexGuard<'a, ()>> {
    loop {
        if let Some(alone) = aside.try_lock_for(POLL) {
            return Ok(alone);
        }
        watch.check()?;
    }
}

/// How many operations a message carries before a signal has waited too long.
const OPERATIONS_SHORT: usize = 256;

/// Whether one of the first messages may carry much: all that waits goes with the one, all that is new comes with the other.
fn carries_many(db: &SyncDb, server: &SyncServer) -> Result<bool> {
    if db.pending() > OPERATIONS_SHORT {
        return Ok(true);
    }
    let database = server.database();
    let coming = match db.cursor()? {
        Some(cursor) => {
            let kept = database.log_extent().0..=database.seq();
            if !kept.contains(&cursor) {
                // It is gone from the log, or of another one: rows are compared.
                return Ok(true);
            }
            database.count_after(cursor)
        }
        None => database.collections().iter().map(Collection::len).sum(),
    };
    Ok(coming > OPERATIONS_SHORT)
}

/// One sync in this process; what fails on the way fails it.
///
/// Most have little to do, and are done before a thread had begun. One that has much to carry, or is not over after a moment,
/// goes on in a thread of its own, where Ctrl-C does not wait for the exchange in hand; each leaves the replica whole, and
/// the next sync goes on there. One through a function of Python's, without a `server`, stays here, where that belongs.
pub(super) fn run_in_process(
    py: Python<'_>,
    (db, kept, aside): (Arc<SyncDb>, Kept, Aside),
    budget: &SyncBudget,
    mut transport: AnyTransport,
    server: Option<&SyncServer>,
    progress: Option<Py<PyAny>>,
) -> PyResult<SyncReport> {
    let is_long = match server {
        Some(server) => detached(py, || carries_many(&db, server))?,
        None => false,
    };
    let mut report = SyncReport::default();
    if !is_long {
        let part = Part {
            until: server.map(|_| Instant::now() + BRIEF),
            ..Part::default()
        };
        let told = progress.as_ref().map(|progress| progress.clone_ref(py));
        let (first, is_over) = here(py, told, |watch| {
            drop(free(&aside, watch)?);
            part.run((&db, &kept), budget, &mut *transport, watch, &mut |_| {
                Ok(false)
            })
        })?;
        if is_over {
            return Ok(first);
        }
        report = first;
    }
    let progress = progress.map(|progress| progress.into_bound(py));
    let budget = budget.clone();
    let done = watch::outcome(py, true, progress.as_ref(), move |watch| {
        let _alone = free(&aside, watch)?;
        let part = Part {
            before: exchanged(&report),
            until: None,
        };
        let rest = part.run((&db, &kept), &budget, &mut *transport, watch, &mut |_| {
            Ok(false)
        });
        rest.map(|(rest, _)| report.and(rest))
    });
    done?.or_raise(py)
}

/// One sync, in which `again` says of an exchange that failed whether it is made again: the session goes on where it was.
pub(super) fn run_with(
    replica: (&SyncDb, &Kept),
    budget: &SyncBudget,
    transport: &mut dyn Transport,
    watch: &Watch,
    again: &mut dyn FnMut(&Error) -> Result<bool>,
) -> Result<SyncReport> {
    let done = Part::default().run(replica, budget, transport, watch, again);
    done.map(|(report, _)| report)
}

/// How many operations and rows passed.
fn exchanged(report: &SyncReport) -> usize {
    usize::try_from(report.rows_sent + report.rows_received).unwrap_or(usize::MAX)
}

/// A sync, or one that ends early and leaves the rest to another.
#[derive(Default)]
struct Part {
    /// How many operations and rows passed in parts before it.
    before: usize,
    /// When it ends at the latest.
    until: Option<Instant>,
}

impl Part {
    /// What was done, and whether nothing is left. Nothing leaves before it is as safe as the replica's store promises: killed
    /// afterwards, a replica knows what it has sent. So is what came when this returns.
    fn run(
        self,
        (db, kept): (&SyncDb, &Kept),
        budget: &SyncBudget,
        transport: &mut dyn Transport,
        watch: &Watch,
        again: &mut dyn FnMut(&Error) -> Result<bool>,
    ) -> Result<(SyncReport, bool)> {
        let mut session = db.session_with(budget)?;
        let pending = self.before + db.pending();
        while let Some(request) = session.next_message()? {
            let done = self.before + exchanged(session.report());
            watch.report(done, pending.max(done))?;
            kept.settle()?;
            match transport.exchange(&request) {
                Ok(answer) => session.receive(&answer)?,
                Err(error) if is_passing(&error) && again(&error)? => {}
                Err(error) => return Err(error),
            }
            if !session.is_over() && self.until.is_some_and(|until| Instant::now() >= until) {
                return Ok((session.into_report(), false));
            }
        }
        kept.settle()?;
        let report = session.into_report();
        watch.end(self.before + exchanged(&report))?;
        Ok((report, true))
    }
}
