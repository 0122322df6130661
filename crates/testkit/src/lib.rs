//! Naive models, workloads and contract tests.
//!
//! What is slow and obviously right lives here: it is what the fast code is compared with. The contract
//! tests in [`contract`] are for authors of extensions, in this repository and elsewhere: call the one for
//! your extension point from a `#[test]`.

pub mod contract;
pub mod decoders;
pub mod values;
