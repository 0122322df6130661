//! What the Python package `common` calls.

use pyo3::prelude::*;

pub(crate) mod access;
mod copying;
pub(crate) mod ids;
mod matching;
mod schema;
mod storage;
mod text;
mod time;
mod types;
mod validation;
mod values;
mod versioning;
mod zlib;

/// Native parts of the package `common`.
#[pymodule]
pub(crate) mod common {
    use pyo3::prelude::*;
    use pyo3::types::PyModule;

    #[pymodule_export]
    use super::copying::deep_copy;
    #[pymodule_export]
    use super::ids::{forget_random_bytes, generate_id, generate_uuid};
    #[pymodule_export]
    use super::matching::matches;
    #[pymodule_export]
    use super::schema::{check_field, check_fields};
    #[pymodule_export]
    use super::storage::{Index, Order, change, change_all, put, put_all, search, take, take_all};
    #[pymodule_export]
    use super::text::{base64_to_bytes, bytes_to_base64};
    #[pymodule_export]
    use super::time::{format_timestamp, get_timestamp, parse_timestamp, time_since};
    #[pymodule_export]
    use super::types::{
        get_nested_value, is_collection, is_numeric, safe_cast, set_nested_value, to_bool,
        to_float, to_int, to_string,
    };
    #[pymodule_export]
    use super::validation::{
        deep_validate, validate_array, validate_number, validate_required, validate_string,
        validate_type,
    };
    #[pymodule_export]
    use super::values::{
        pack_dict, pack_list, pack_number, pack_text_or_bytes, pack_value, unpack_bytes,
        unpack_dict, unpack_list, unpack_number, unpack_text,
    };
    #[pymodule_export]
    use super::versioning::{
        conflicts, later_versions, note, take_over, vector_compare, vector_merge,
    };
    #[pymodule_export]
    use super::zlib::{compress_bytes, compress_string, decompress_bytes, decompress_string};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::ids::forget_after_fork(module)
    }
}
