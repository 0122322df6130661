//! [`Transport`]: what carries a session's bytes, and the loop that drives one over it; [`CountingTransport`] counts them.

use std::fmt;

use common::Result;

use crate::sync::report::SyncReport;
use crate::sync::session::Session;

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

/// Counts the bytes that pass through another transport: those of a sync that failed are in no report.
///
/// ```
/// use common::{Database, Error};
/// use syncdb::{CountingTransport, SyncDb};
/// let mut dead = |_: &[u8]| Err(Error::closed("no answer"));
/// let mut counted = CountingTransport::new(&mut dead);
/// assert!(SyncDb::client("phone")?.sync(&mut counted).is_err());
/// assert!(counted.bytes_up() > 0);
/// assert_eq!((counted.exchanges(), counted.bytes_down()), (1, 0));
/// # Ok::<(), common::Error>(())
/// ```
pub struct CountingTransport<'a> {
    inner: &'a mut dyn Transport,
    exchanges: u64,
    bytes_up: u64,
    bytes_down: u64,
}

impl<'a> CountingTransport<'a> {
    /// Counts what passes through `inner` from now on.
    pub fn new(inner: &'a mut dyn Transport) -> Self {
        Self {
            inner,
            exchanges: 0,
            bytes_up: 0,
            bytes_down: 0,
        }
    }

    /// Number of requests.
    pub const fn exchanges(&self) -> u64 {
        self.exchanges
    }

    /// Bytes of all requests.
    pub const fn bytes_up(&self) -> u64 {
        self.bytes_up
    }

    /// Bytes of all answers.
    pub const fn bytes_down(&self) -> u64 {
        self.bytes_down
    }
}

impl Transport for CountingTransport<'_> {
    fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        self.exchanges += 1;
        self.bytes_up += request.len() as u64;
        let answer = self.inner.exchange(request)?;
        self.bytes_down += answer.len() as u64;
        Ok(answer)
    }
}

impl fmt::Debug for CountingTransport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountingTransport")
            .field("exchanges", &self.exchanges)
            .field("bytes_up", &self.bytes_up)
            .field("bytes_down", &self.bytes_down)
            .finish_non_exhaustive()
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
