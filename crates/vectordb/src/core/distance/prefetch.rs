//! Rows on their way from memory before they are needed.

/// Asks for every line of a row, so that it is in the nearest cache when a kernel comes to it; does nothing
/// where there is no such instruction.
#[inline]
pub(crate) fn prefetch<T>(row: &[T]) {
    #[cfg(target_arch = "x86_64")]
    super::x86::prefetch(row);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}
