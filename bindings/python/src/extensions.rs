//! Implementations by Python code of the engine's extension points.
//!
//! Each file but `call`, `registry`, `table` and `value` is an adapter: one of the engine's traits on one side, a Python
//! object on the other. The engine calls adapters from any thread, also while it holds locks of its own; so whoever
//! enters the engine from here lets go of the interpreter first, and an adapter takes it for as long as its call takes.

mod call;
mod codec;
mod contract;
mod format;
mod operation;
mod registry;
mod rule;
mod storage;
mod table;
mod versioning;

use pyo3::prelude::*;

pub(crate) use registry::broken_rule;

/// Native parts of `common.extensions`.
#[pymodule]
pub(crate) mod extensions {
    #[pymodule_export]
    use super::contract::check_contract;
    #[pymodule_export]
    use super::registry::{
        broken_rule_of, compare_versions, decode, encode, next_version, pack, register_codec,
        register_format, register_operation, register_rule, register_storage, register_versioning,
        registered, transform, unpack,
    };
    #[pymodule_export]
    use super::table::Table;
}
