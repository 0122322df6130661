//! [`Transport`]: what carries a session's bytes, and the loop that drives one over it.

use common::Result;

use crate::sync::session::{Session, SyncReport};

/// Implemented outside this crate when requests travel in another way than the host's existing ones: over a
/// socket of its own, over a message queue, through a simulated network.
///
/// A closure from request to answer is a transport too.
pub trait Transport {
    /// Carries a request to the server and brings its answer back. Bytes may be lost, doubled or damaged on
    /// the way; whatever happens, calling it again with a later request is right.
    ///
    /// # Errors
    /// When no answer arrived.
    fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>>;
}

impl<F: FnMut(&[u8]) -> Result<Vec<u8>>> Transport for F {
    fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        self(request)
    }
}

/// Drives a session to its end.
pub(crate) fn drive(mut session: Session<'_>, transport: &mut dyn Transport) -> Result<SyncReport> {
    while let Some(request) = session.next_message()? {
        let answer = transport.exchange(&request)?;
        session.receive(&answer)?;
    }
    Ok(session.into_report())
}
