//! Kernels for x86-64.
//!
//! Intrinsics are safe inside functions that enable their instructions, and registers are loaded by casts, so
//! that what remains unsafe is one call for each kernel: into such a function, from one that enables nothing.

#![expect(
    unsafe_code,
    reason = "calls of functions that enable instructions; only proofs that the processor has them lead here"
)]

pub(super) mod avx2;
pub(super) mod avx512;
pub(super) mod bits;
pub(super) mod bytes;

/// Makes a type whose values prove that the processor has certain instructions.
macro_rules! proof {
    ($(#[$doc:meta])* $name:ident: $($feature:tt),+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name(());

        impl $name {
            /// The proof, if the processor has all of the instructions.
            pub(super) fn detect() -> Option<Self> {
                ($(std::arch::is_x86_feature_detected!($feature))&&+).then_some(Self(()))
            }
        }
    };
}

proof! {
    /// Proof of AVX2, FMA, F16C and POPCNT.
    Avx2: "avx2", "fma", "f16c", "popcnt"
}
proof! {
    /// Proof of AVX-512 F, BW, DQ and VL, and of what [`Avx2`] proves.
    Avx512: "avx2", "fma", "f16c", "popcnt", "avx512f", "avx512bw", "avx512dq", "avx512vl"
}
proof! {
    /// Proof of AVX-512 VNNI and VPOPCNTDQ, and of what [`Avx512`] proves.
    Vnni: "avx2", "fma", "f16c", "popcnt", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni",
        "avx512vpopcntdq"
}

/// Makes a function of any context from one that enables instructions. It must be handed out against the proof
/// that the processor has them, and in no other way.
macro_rules! entry {
    ($name:ident = $inner:path, ($($argument:ident: $kind:ty),+) -> $result:ty) => {
        fn $name($($argument: $kind),+) -> $result {
            // SAFETY: the processor has the instructions that `$inner` enables: this function is private to its
            // module, which hands it out only against a proof, and `detect` alone makes proofs.
            unsafe { $inner($($argument),+) }
        }
    };
}
use entry;

/// Asks for every line of a row.
#[inline]
pub(super) fn prefetch<T>(row: &[T]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    for line in row.iter().step_by((64 / size_of::<T>().max(1)).max(1)) {
        // SAFETY: a prefetch is a hint that faults on no address, this one is of a line borrowed above, and SSE,
        // which has the instruction, is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(line).cast()) }
    }
}

impl From<Vnni> for Avx512 {
    /// What the one proves includes what the other does.
    fn from(_: Vnni) -> Self {
        Self(())
    }
}
