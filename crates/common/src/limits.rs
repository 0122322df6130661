//! Every limit of the library, in one place: what a decoder may allocate and what a caller may ask for.
//!
//! A decoder of outside bytes takes `&Limits` and checks each declared length against it *before*
//! it allocates. Each limit is tested at its value and one past it.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Most tables in one database.
pub const COLLECTIONS_MAX: usize = 4_096;
/// Most columns in one schema.
pub const COLUMNS_MAX: usize = 16_384;
/// Longest name of a table, column, index or rule, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 128;
/// Most secondary indexes on one table.
pub const INDEXES_MAX: usize = 64;
/// Most columns in a primary key or an index.
pub const KEY_COLUMNS_MAX: usize = 16;
/// Most rows in one table: slots are 32 bits wide.
pub const ROWS_MAX: u64 = u32::MAX as u64;
/// Highest dimension of a vector.
pub const VECTOR_DIMENSION_MAX: usize = 65_536;
/// Most nodes in one filter tree.
pub const FILTER_NODES_MAX: usize = 4_096;
/// Most levels of `and`, `or` and `not` in one filter tree; JSON parsers stop at 128 levels, two to a node.
pub const FILTER_DEPTH_MAX: usize = 48;
/// Most values listed in one filter tree.
pub const FILTER_VALUES_MAX: usize = 65_536;
/// Longest text form of a filter, in bytes.
pub const FILTER_TEXT_BYTES_MAX: usize = 1 << 20;
/// Most joins in one query.
pub const QUERY_JOINS_MAX: usize = 16;
/// Most rows that the joins of one query make before they are filtered: joins multiply.
pub const QUERY_JOINED_ROWS_MAX: usize = 1 << 24;

/// Limits that a decoder of outside bytes obeys.
///
/// The defaults fit a server that reads from strangers. A program that reads its own files may raise
/// them with the setters.
///
/// ```
/// use common::limits::Limits;
/// let limits = Limits::default().depth_max(16);
/// assert!(limits.check_depth(16).is_ok());
/// assert!(limits.check_depth(17).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Deepest nesting of lists and maps in one value. Default 128.
    pub depth_max: usize,
    /// Longest text or byte string, in bytes. Default 16 MiB.
    pub bytes_max: usize,
    /// Most elements in one list, map or vector. Default 1,048,576.
    pub elements_max: usize,
    /// Most rows in one decoded batch. Default 1,000,000.
    pub rows_max: usize,
    /// Largest input or inflated output of one decoder call, in bytes. Default 256 MiB.
    pub total_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth_max: 128,
            bytes_max: 16 << 20,
            elements_max: 1 << 20,
            rows_max: 1_000_000,
            total_bytes_max: 256 << 20,
        }
    }
}

macro_rules! setters_and_checks {
    ($($field:ident $check:ident $what:literal;)*) => {$(
        #[doc = concat!("Sets [`Limits::", stringify!($field), "`].")]
        #[must_use]
        pub fn $field(mut self, value: usize) -> Self {
            self.$field = value;
            self
        }

        #[doc = concat!("Checks `found` against [`Limits::", stringify!($field), "`].")]
        ///
        /// # Errors
        /// [`crate::ErrorKind::LimitExceeded`] when `found` is above the limit.
        #[inline]
        pub fn $check(&self, found: usize) -> Result<()> {
            if found <= self.$field { Ok(()) } else { Err(exceeded($what, found, self.$field, stringify!($field))) }
        }
    )*};
}

impl Limits {
    setters_and_checks! {
        depth_max check_depth "levels of nesting";
        bytes_max check_bytes "bytes in one text or byte string";
        elements_max check_elements "elements in one list, map or vector";
        rows_max check_rows "rows in one batch";
        total_bytes_max check_total "bytes in one message";
    }
}

#[cold]
fn exceeded(what: &str, found: usize, limit: usize, option: &str) -> Error {
    Error::limit_exceeded(format!(
        "{found} {what}, but the limit is {limit} (option `{option}`)"
    ))
}
