//! [`Timestamp`] and [`Date`]: the two time types that a value can hold.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A point in time: microseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// Microseconds, because PostgreSQL, Arrow and Python's `datetime` carry exactly these.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// A calendar day: days since 1970-01-01.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Date(pub i32);

impl Timestamp {
    /// From whole milliseconds since 1970; saturates at the ends of the range.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Whole milliseconds since 1970, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }
}

/// RFC 3339 in UTC, as in `2026-11-22T08:30:00.5Z`; the plain number of microseconds outside the years
/// -9999 to 9999.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

/// ISO 8601, as in `2026-11-22`; the plain number of days outside the years -9999 to 9999.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = jiff::civil::date(1970, 1, 1)
            .checked_add(jiff::SignedDuration::from_hours(i64::from(self.0) * 24));
        match day {
            Ok(day) => write!(f, "{day}"),
            Err(_) => write!(f, "{}d", self.0),
        }
    }
}
