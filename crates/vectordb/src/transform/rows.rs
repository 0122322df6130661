//! The loops over rows: in place, or from one place into another without a copy in between.

use super::matrix::{Float, Matrix};

/// Writes into `out` what `step` makes of each number of `from`, or else of `out` itself, and the two numbers of its
/// column.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled for the registers of the caller"
)]
pub(crate) fn by_column<T: Float>(
    from: Option<&Matrix<'_, T>>,
    out: &mut [T],
    (first, second): (&[f64], &[f64]),
    step: impl Fn(T, T, T) -> T,
) {
    let rows = out.chunks_exact_mut(first.len().max(1));
    match from {
        None => {
            for row in rows {
                for ((x, a), b) in row.iter_mut().zip(first).zip(second) {
                    *x = step(*x, T::narrow(*a), T::narrow(*b));
                }
            }
        }
        Some(from) => {
            for (to, from) in rows.zip(from.iter()) {
                for (((to, x), a), b) in to.iter_mut().zip(from).zip(first).zip(second) {
                    *to = step(*x, T::narrow(*a), T::narrow(*b));
                }
            }
        }
    }
}

/// As [`by_column`], the same for all columns.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled for the registers of the caller"
)]
pub(crate) fn by_number<T: Float>(
    from: Option<&Matrix<'_, T>>,
    out: &mut [T],
    step: impl Fn(T) -> T,
) {
    match from {
        None => out.iter_mut().for_each(|x| *x = step(*x)),
        Some(from) => {
            let rows = out.chunks_exact_mut(from.columns().max(1));
            for (to, from) in rows.zip(from.iter()) {
                for (to, x) in to.iter_mut().zip(from) {
                    *to = step(*x);
                }
            }
        }
    }
}

/// As `numpy.clip`: a missing value stays missing.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled for the registers of the caller"
)]
pub(crate) fn clamp<T: Float>(x: T, low: T, high: T) -> T {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}
