//! [`CountingAllocator`]: bytes that live on the heap, for figures of memory per row.
#![expect(
    unsafe_code,
    reason = "a global allocator is an unsafe trait; every call is handed to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

static COUNTS: AtomicBool = AtomicBool::new(false);
static BYTES_IN: AtomicU64 = AtomicU64::new(0);
static BYTES_OUT: AtomicU64 = AtomicU64::new(0);
static PEAKS: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

/// The system's allocator, which counts while [`live_bytes_of`] runs and only looks at one flag otherwise.
///
/// A binary that reports memory installs it with `#[global_allocator]`.
#[derive(Debug, Default, Clone, Copy)]
pub struct CountingAllocator;

// SAFETY: every method passes its arguments unchanged to `System`, which upholds the contract; counting
// touches nothing but atomics.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's obligations are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's obligations are those of `System`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: `ptr` came from `System` through one of the methods above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: `ptr` came from `System` through one of the methods above.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[inline]
fn count(bytes_in: usize, bytes_out: usize) {
    if COUNTS.load(Relaxed) {
        BYTES_IN.fetch_add(bytes_in as u64, Relaxed);
        BYTES_OUT.fetch_add(bytes_out as u64, Relaxed);
    }
    if PEAKS.load(Relaxed) {
        let change = bytes_in.cast_signed() as i64 - bytes_out.cast_signed() as i64;
        let live = LIVE.fetch_add(change, Relaxed) + change;
        PEAK.fetch_max(live, Relaxed);
    }
}

/// Runs `build` and returns its result with the bytes it left allocated, as asked for and without the
/// allocator's own rounding. One call at a time; without [`CountingAllocator`] installed, 0.
pub fn live_bytes_of<T>(build: impl FnOnce() -> T) -> (T, u64) {
    BYTES_IN.store(0, Relaxed);
    BYTES_OUT.store(0, Relaxed);
    COUNTS.store(true, Relaxed);
    let result = build();
    COUNTS.store(false, Relaxed);
    let live = BYTES_IN
        .load(Relaxed)
        .saturating_sub(BYTES_OUT.load(Relaxed));
    (result, live)
}

/// Runs `step` and returns its result with the most bytes that it held at a time beyond what there was before, on all
/// threads. One call at a time; without [`CountingAllocator`] installed, 0.
pub fn peak_bytes_of<T>(step: impl FnOnce() -> T) -> (T, u64) {
    LIVE.store(0, Relaxed);
    PEAK.store(0, Relaxed);
    PEAKS.store(true, Relaxed);
    let result = step();
    PEAKS.store(false, Relaxed);
    let peak = PEAK.load(Relaxed).max(0);
    (result, peak.cast_unsigned())
}
