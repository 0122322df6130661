//! One sync: whom it talks to, and what becomes of an exchange that fails.

use common::{Error, ErrorKind, Result};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use syncdb::power::SyncBudget;
use syncdb::{Principal, SyncDb, SyncReport, Transport};

use super::config::options_of;
use super::server::PySyncServer;
use crate::interchange::watch::{Watch, raised};

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

/// One sync; what fails on the way fails it.
pub(super) fn run(
    db: &SyncDb,
    budget: &SyncBudget,
    transport: &mut dyn Transport,
    watch: &Watch,
) -> Result<SyncReport> {
    run_with(db, budget, transport, watch, &mut |_| Ok(false))
}

/// One sync, in which `again` says of an exchange that failed whether it is made again: the session goes on where it was.
pub(super) fn run_with(
    db: &SyncDb,
    budget: &SyncBudget,
    transport: &mut dyn Transport,
    watch: &Watch,
    again: &mut dyn FnMut(&Error) -> Result<bool>,
) -> Result<SyncReport> {
    let mut session = db.session_with(budget)?;
    let pending = db.pending();
    let done = |report: &SyncReport| {
        usize::try_from(report.rows_sent + report.rows_received).unwrap_or(usize::MAX)
    };
    while let Some(request) = session.next_message()? {
        let done = done(session.report());
        watch.report(done, pending.max(done))?;
        match transport.exchange(&request) {
            Ok(answer) => session.receive(&answer)?,
            Err(error) if is_passing(&error) && again(&error)? => {}
            Err(error) => return Err(error),
        }
    }
    let report = session.into_report();
    watch.end(done(&report))?;
    Ok(report)
}
