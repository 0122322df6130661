//! [`Level`]: which instructions the processor has.

#[cfg(target_arch = "aarch64")]
use super::aarch64::Neon;
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512, Vnni};

/// A set of instructions that kernels are written for. Whoever holds one beyond [`Level::Scalar`] knows that this
/// processor has them, for only [`Level::available`] makes them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Level {
    /// What every processor has: plain Rust.
    Scalar,
    /// NEON: every 64-bit ARM but the smallest.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    /// AVX2 with FMA, F16C and POPCNT: x86-64 since 2013.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX-512 F, BW, DQ and VL: servers since 2017.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// That with VNNI and VPOPCNTDQ: servers since 2019.
    #[cfg(target_arch = "x86_64")]
    Vnni(Vnni),
}

impl Level {
    /// The levels that this processor has, the best last.
    pub(crate) fn available() -> impl DoubleEndedIterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let more = [
            Avx2::detect().map(Self::Avx2),
            Avx512::detect().map(Self::Avx512),
            Vnni::detect().map(Self::Vnni),
        ];
        #[cfg(target_arch = "aarch64")]
        let more = [Neon::detect().map(Self::Neon)];
        #[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
        let more = [None];
        std::iter::once(Self::Scalar).chain(more.into_iter().flatten())
    }

    /// The best level that this processor has. Costs a few loads: detection is done once in a process.
    pub(crate) fn best() -> Self {
        Self::available().next_back().unwrap_or(Self::Scalar)
    }
}
