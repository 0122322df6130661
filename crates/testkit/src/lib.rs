//! Naive models, workloads and contract tests.
//!
//! What is slow and obviously right lives here: it is what the fast code is compared with. The contract
//! tests in [`contract`] are for authors of extensions, in this repository and elsewhere: call the one for
//! your extension point from a `#[test]`.

pub mod contract;
pub mod decoders;
pub mod model;
pub mod values;

/// Number of cases of a property test: `default`, or what the environment variable `TANDEM_CASES` says, so
/// that a long run needs no change of code.
pub fn cases(default: u32) -> u32 {
    std::env::var("TANDEM_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(default)
}

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/transformations.md")]
mod transformations {}
