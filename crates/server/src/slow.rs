//! [`IdleTimeout`]: a connection that stands still is closed.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// A connection on which a read or a write that makes no progress fails: hyper's own timeout ends with the head
/// of a request, and knows nothing of a peer that does not read its answer.
pub(crate) struct IdleTimeout {
    stream: TcpStream,
    read: Deadline,
    write: Deadline,
    released: Released,
}

/// Lets a connection wait for its peer as long as it likes: it was handed to a protocol that finds silent peers itself.
/// Writes still fail when they stand still.
#[derive(Debug, Clone, Default)]
pub(crate) struct Released(Arc<AtomicBool>);

impl Released {
    pub(crate) fn release(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_released(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct Deadline {
    after: Duration,
    sleep: Pin<Box<Sleep>>,
    is_set: bool,
}

impl Deadline {
    fn new(after: Duration) -> Self {
        Self {
            after,
            sleep: Box::pin(sleep(after)),
            is_set: false,
        }
    }

    /// Passes on progress; fails when there has been none for too long.
    fn check<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.is_set = false;
            return polled;
        }
        if !self.is_set {
            self.is_set = true;
            self.sleep.as_mut().reset(Instant::now() + self.after);
        }
        match self.sleep.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl IdleTimeout {
    /// A read may wait for `stall`, or for `between` when that is longer: between two requests there is nothing to
    /// read, and hyper's own timeout counts there.
    pub(crate) fn new(
        stream: TcpStream,
        stall: Duration,
        between: Duration,
        released: Released,
    ) -> Self {
        Self {
            stream,
            read: Deadline::new(stall.max(between)),
            write: Deadline::new(stall),
            released,
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
        if this.released.is_released() {
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
        this.write.check(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
