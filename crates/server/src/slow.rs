//! [`IdleTimeout`]: a connection that stands still is closed. [`Activity`]: so is one that moves, and asks for nothing.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// A connection on which a read or a write that makes no progress fails: hyper's own timeout ends with the head
/// of a request, and knows nothing of a peer that does not read its answer.
pub(crate) struct IdleTimeout {
    stream: TcpStream,
    activity: Arc<Activity>,
    read: Deadline,
    write: Deadline,
}

struct Deadline {
    after: Duration,
    /// Comes when `due` does, or before: it is set anew only once it has come, for timers cost more than what they watch over.
    sleep: Pin<Box<Sleep>>,
    /// When the wait has lasted too long, while something is waited for.
    due: Option<Instant>,
}

impl Deadline {
    fn new(after: Duration) -> Self {
        Self {
            after,
            sleep: Box::pin(sleep(after)),
            due: None,
        }
    }

    /// Passes on progress; fails when there has been none for too long.
    fn check<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.due = None;
            return polled;
        }
        let after = self.after;
        let due = *self.due.get_or_insert_with(|| Instant::now() + after);
        while self.sleep.as_mut().poll(context).is_ready() {
            if due <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.sleep.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl IdleTimeout {
    /// A read may wait for `stall`, or for `between` when that is longer: between two requests there is nothing to
    /// read, and hyper's own timeout counts there.
    pub(crate) fn new(
        stream: TcpStream,
        activity: Arc<Activity>,
        stall: Duration,
        between: Duration,
    ) -> Self {
        Self {
            stream,
            activity,
            read: Deadline::new(stall.max(between)),
            write: Deadline::new(stall),
        }
    }
}

impl AsyncRead for IdleTimeout {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if this.activity.is_released() {
            return polled;
        }
        this.read.check(context, polled)
    }
}

impl AsyncWrite for IdleTimeout {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.stream).poll_write(context, bytes);
        if matches!(polled, Poll::Ready(Ok(PART_OF_ANSWER..))) {
            this.activity.wrote();
        }
        this.write.check(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.stream).poll_flush(context);
        this.write.check(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        if matches!(polled, Poll::Ready(Ok(PART_OF_ANSWER..))) {
            this.activity.wrote();
        }
        this.write.check(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// What a connection is about: whether a request is being answered, and when something happened last.
///
/// A peer that drips bytes which never become a request, or that only keeps a connection alive, is idle by this measure,
/// whatever the protocol.
pub(crate) struct Activity {
    begun: Instant,
    requests: AtomicUsize,
    /// Milliseconds after `begun` of the end of the last request, and of the last byte that the peer took.
    ended: AtomicU64,
    written: AtomicU64,
    released: AtomicBool,
}

/// Fewest bytes in one write that are part of an answer which takes its time; fewer are an answer to a ping of HTTP/2.
const PART_OF_ANSWER: usize = 1_024;
/// Longest that a peer may take for answers after the last request, as long as it goes on taking bytes.
const TAKING_MAX: Duration = Duration::from_mins(10);

impl Activity {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            requests: AtomicUsize::new(0),
            ended: AtomicU64::new(0),
            written: AtomicU64::new(0),
            released: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Lets the connection wait for its peer as long as it likes: it was handed to a protocol that finds silent peers itself.
    /// Writes still fail when they stand still.
    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
    }

    fn is_released(&self) -> bool {
        self.released.load(Ordering::Relaxed)
    }

    fn wrote(&self) {
        self.written.store(self.now(), Ordering::Relaxed);
    }

    /// A request is being answered for as long as what is returned lives.
    pub(crate) fn request(self: &Arc<Self>) -> RunningRequest {
        self.requests.fetch_add(1, Ordering::Relaxed);
        RunningRequest(Arc::clone(self))
    }

    /// How long it may still go on without a request; nothing when the time is over.
    pub(crate) fn left(&self, between: Duration, stall: Duration) -> Option<Duration> {
        if self.requests.load(Ordering::Relaxed) > 0 {
            return Some(between);
        }
        let now = self.now();
        let since = |then: &AtomicU64| {
            Duration::from_millis(now.saturating_sub(then.load(Ordering::Relaxed)))
        };
        let (idle, quiet) = (since(&self.ended), since(&self.written));
        if let Some(left) = between.checked_sub(idle).filter(|left| !left.is_zero()) {
            return Some(left);
        }
        let is_taking = quiet < stall && idle < TAKING_MAX;
        is_taking.then(|| stall.saturating_sub(quiet).max(Duration::from_millis(1)))
    }
}

/// A request that is being answered.
pub(crate) struct RunningRequest(Arc<Activity>);

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.ended.store(self.0.now(), Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}
