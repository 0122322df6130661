//! [`wide`]: plain Rust in the registers of the machine it runs on.

#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "calls into functions that only some machines can run"
    )
)]

/// Does some work, compiled for the widest registers that this machine has.
///
/// Compilers make vectors of simple loops, but only for the registers that every machine has, unless a function says
/// otherwise; what is inlined into such a function is compiled as it is. So `work`, and what it calls, is to be marked
/// `#[inline(always)]`, and results are the same everywhere: no two operations become one that rounds once.
#[inline]
pub(crate) fn wide<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            // SAFETY: the machine has AVX-512 F and BW, as was just found.
            return unsafe { x86::avx512(work) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the machine has AVX2, as was just found.
            return unsafe { x86::avx2(work) };
        }
    }
    work()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #[target_feature(enable = "avx2,avx512f,avx512bw")]
    pub(super) fn avx512<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn avx2<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
}
