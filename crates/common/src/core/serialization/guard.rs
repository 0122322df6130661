//! [`Guard`]: the limits of one decoder call, and what the call has spent of them.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use crate::error::Result;
use crate::limits::Limits;

/// Deepest nesting that any limits can allow: decoders recurse, and the stack is finite.
const DEPTH_HARD_MAX: usize = 512;

/// Most bytes that a declared length may reserve before the elements themselves arrive.
#[cfg(any(feature = "msgpack", feature = "protobuf"))]
const RESERVE_BYTES_MAX: usize = 64 << 10;

/// Limits of one decoder call and the memory that its result takes so far.
///
/// Short input can stand for large values (one byte is a null, which takes 24 in memory), so the result is
/// counted against `total_bytes_max` as well as the input.
#[derive(Debug)]
pub(super) struct Guard<'a> {
    limits: &'a Limits,
    left: usize,
}

impl<'a> Guard<'a> {
    pub(super) fn new(limits: &'a Limits, input: &[u8]) -> Result<Self> {
        limits.check_total(input.len())?;
        Ok(Self {
            limits,
            left: limits.total_bytes_max,
        })
    }

    #[cfg(feature = "arrow")]
    pub(super) fn limits(&self) -> &'a Limits {
        self.limits
    }

    /// Called for a list or map that lies inside `depth - 1` others.
    pub(super) fn depth(&self, depth: usize) -> Result<()> {
        self.limits.check_depth(depth)?;
        if depth > DEPTH_HARD_MAX {
            Limits::default()
                .depth_max(DEPTH_HARD_MAX)
                .check_depth(depth)?;
        }
        Ok(())
    }

    /// Called with the number of rows, before they are read.
    #[cfg(any(feature = "msgpack", feature = "protobuf"))]
    pub(super) fn rows(&self, rows: usize) -> Result<()> {
        self.limits.check_rows(rows)
    }

    /// Called with the length of a list, map or vector whose elements take `each` bytes in memory.
    pub(super) fn elements(&mut self, count: usize, each: usize) -> Result<()> {
        // What an allocation and its reference counts take, empty or not.
        const ALLOCATION: usize = 48;
        self.limits.check_elements(count)?;
        self.spend(count.saturating_mul(each).saturating_add(ALLOCATION))
    }

    /// Called for element number `count` of a list or map whose length was not declared.
    pub(super) fn element(&mut self, count: usize, each: usize) -> Result<()> {
        self.limits.check_elements(count)?;
        self.spend(each)
    }

    /// Called with the length of a text or byte string, before it is copied.
    pub(super) fn bytes(&mut self, len: usize) -> Result<()> {
        self.limits.check_bytes(len)?;
        self.spend(len)
    }

    /// Counts memory that the result takes.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let spent = self.limits.total_bytes_max - self.left;
                self.limits.check_total(spent.saturating_add(bytes))
            }
        }
    }
}

/// Capacity to reserve for `count` elements of type `T` on the word of a stranger.
#[cfg(any(feature = "msgpack", feature = "protobuf"))]
pub(super) fn reserve<T>(count: usize) -> usize {
    count.min(RESERVE_BYTES_MAX / size_of::<T>().max(1))
}

/// Runs a decoder that stands on another library's, and makes an error of a panic in there.
///
/// Our own decoders do not panic; those of large formats have, on input nobody had thought of.
#[cfg(feature = "arrow")]
pub(super) fn contained<T>(decode: impl FnOnce() -> Result<T>) -> Result<T> {
    // Nothing outlives the call that the panic could have left half done: the input is only read.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(decode)).unwrap_or_else(|cause| {
        let text = cause
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| cause.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Err(crate::error::Error::corrupt(format!(
            "the decoder gave up on these bytes: {text}"
        )))
    })
}
