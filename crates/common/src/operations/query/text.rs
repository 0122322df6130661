//! The text syntax of filters, as the command line, policies and documents write them.
//!
//! ```text
//! country == 'FI' and population between 10000 and 50000
//! name like 'O%' or not tags contains "x" or address.city in ('Oulu', 'Turku')
//! seen is not null and seen >= timestamp '2026-01-01T00:00:00Z' and near(place, 'Oulu', 5)
//! ```
//!
//! | part | forms |
//! |---|---|
//! | path | `name`, `name.key`, `name[0]`; other characters or a keyword in backticks, a backtick doubled |
//! | comparison | `==` or `=`, `!=` or `<>`, `<`, `<=`, `>`, `>=` |
//! | other conditions | `in (..)`, `between .. and ..`, `like '..'`, `starts with '..'`, `contains ..`, `is null`; each with `not` in front of it (`is not null`) |
//! | logic | `not`, `and`, `or`, binding in this order; parentheses; `true`, `false`; `all(..)` and `any(..)` around one condition or none |
//! | condition of the application | `name(path, .., value, ..)` |
//! | text | `'it''s'` or `"it's"`, the quote doubled |
//! | numbers | `1`, `-1` are integers; `1.0`, `1e9`, `nan`, `inf`, `-inf` are floats |
//! | other values | `true`, `false`, `null`, `x'00ff'`, `timestamp '..'`, `date '..'`, `uuid '..'`, `json '..'` |
//! | parameter | `$name` |
//!
//! Keywords may be written in either case. Printing a filter and reading it back gives the same filter.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

mod lexer;
mod parser;
mod print;

pub(super) use parser::parse_path;
pub(super) use print::{is_plain_name, write_name};

use super::filter::Filter;
use crate::core::base::{Date, Timestamp};
use crate::error::Result;
use crate::utils::time::{parse_date, parse_timestamp};

impl Filter {
    /// Reads the text syntax.
    ///
    /// ```
    /// use common::query::Filter;
    /// let filter = Filter::parse("country == 'FI' and not tags contains \"x\"")?;
    /// assert_eq!(filter, Filter::eq("country", "FI").and(!Filter::contains("tags", "x")));
    /// let error = Filter::parse("country == ").unwrap_err();
    /// assert_eq!(error.message(), "line 1, column 12: found the end, expected a value");
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] with the position, what is found there and what is expected;
    /// [`crate::ErrorKind::LimitExceeded`] above [`crate::limits::FILTER_TEXT_BYTES_MAX`] or the limits of a filter.
    pub fn parse(text: &str) -> Result<Self> {
        parser::parse_filter(text)
    }
}

impl std::str::FromStr for Filter {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// A timestamp from RFC 3339 text, or midnight UTC of an ISO date.
pub(super) fn timestamp_of(text: &str) -> Option<Timestamp> {
    if let Ok(micros) = parse_timestamp(text) {
        return Some(Timestamp(micros));
    }
    i64::from(date_of(text)?.0)
        .checked_mul(86_400_000_000)
        .map(Timestamp)
}

/// A date from ISO 8601 text.
pub(super) fn date_of(text: &str) -> Option<Date> {
    parse_date(text).ok().map(Date)
}

#[cfg(test)]
mod tests;
