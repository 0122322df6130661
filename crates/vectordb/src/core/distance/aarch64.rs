//! Kernels for 64-bit ARM, as those of `x86`: intrinsics are safe inside functions that enable their instructions, and
//! what remains unsafe is one call for each kernel.

#![expect(
    unsafe_code,
    reason = "calls of functions that enable instructions; only proofs that the processor has them lead here"
)]

pub(super) mod bytes;
pub(super) mod neon;

/// Proof of NEON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// The proof, if the processor has NEON, as nearly every one does.
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

/// Makes a function of any context from one that enables NEON. It must be handed out against the proof
/// that the processor has it, and in no other way.
macro_rules! entry {
    ($name:ident = $inner:path, ($($argument:ident: $kind:ty),+) -> $result:ty) => {
        fn $name($($argument: $kind),+) -> $result {
            // SAFETY: the processor has NEON, which is all that `$inner` enables: this function is private to its
            // module, which hands it out only against a proof, and `detect` alone makes proofs.
            unsafe { $inner($($argument),+) }
        }
    };
}
use entry;
