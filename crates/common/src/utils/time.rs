//! Where time comes from, and how it is read and written as text.
//!
//! Two units appear everywhere in this crate: a point in time is an `i64` of microseconds since
//! 1970-01-01T00:00:00Z without leap seconds, and a day is an `i32` of days since 1970-01-01.
//! `core::base` wraps them as `Timestamp` and `Date`; this leaf speaks the plain numbers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::{Span, SpanRelativeTo};

use crate::error::{Error, Result};

/// Implemented outside this crate when a host owns time: a simulator, a test, a device with its own clock.
///
/// Nothing here asks the operating system for the time by itself; it asks a `Clock` that was passed in.
/// Clocks may step backwards (a person or NTP sets them), so users of a clock must not rely on order.
///
/// ```
/// use std::time::Duration;
/// use common::utils::time::{Clock, ManualClock};
/// let clock = ManualClock::new(1_000_000);
/// clock.advance(Duration::from_millis(5));
/// assert_eq!(clock.now(), 1_005_000);
/// ```
pub trait Clock: Send + Sync {
    /// Microseconds since 1970-01-01T00:00:00Z; negative before that.
    fn now(&self) -> i64;
}

impl<C: Clock + ?Sized> Clock for &C {
    fn now(&self) -> i64 {
        (**self).now()
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> i64 {
        (**self).now()
    }
}

/// The operating system's wall clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        // A clock set before 1970 is a mistake of the machine; it reads as a negative number, not as a panic.
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => micros(since),
            Err(before) => -micros(before.duration()),
        }
    }
}

/// A clock that moves only when told to; for tests and simulations.
///
/// Sharing one between threads is fine: every call is one atomic operation.
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `micros` microseconds since 1970.
    pub const fn new(micros: i64) -> Self {
        Self(AtomicI64::new(micros))
    }

    /// Puts the clock to `micros`, forwards or backwards.
    pub fn set(&self, micros: i64) {
        self.0.store(micros, Ordering::SeqCst);
    }

    /// Moves the clock forward by `step`, rounded down to microseconds, and returns the new time.
    /// Stops at the end of the range instead of wrapping.
    pub fn advance(&self, step: Duration) -> i64 {
        let step = micros(step);
        let mut now = self.0.load(Ordering::SeqCst);
        loop {
            let next = now.saturating_add(step);
            match self
                .0
                .compare_exchange_weak(now, next, Ordering::SeqCst, Ordering::SeqCst)
            {
                Ok(_) => return next,
                Err(found) => now = found,
            }
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManualClock({})", self.now())
    }
}

/// Whole microseconds of a duration, at most `i64::MAX`.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Reads an RFC 3339 time such as `2026-11-22T08:30:00.5Z` or `2026-11-22 08:30:00+01:00`, in microseconds.
///
/// An offset is required: a time without one names no point in time. A leap second (`:60`) reads as the
/// second before it, because the unit has no leap seconds.
///
/// ```
/// use common::utils::time::parse_timestamp;
/// assert_eq!(parse_timestamp("1970-01-01T01:00:00.000001+01:00").unwrap(), 1);
/// assert!(parse_timestamp("1970-01-01T00:00:00").is_err());
/// ```
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when the text is something else, or names a fraction finer than a
/// microsecond, which would be lost.
pub fn parse_timestamp(text: &str) -> Result<i64> {
    let found: jiff::Timestamp = text.parse().map_err(|cause: jiff::Error| {
        expected("an RFC 3339 time such as 2026-11-22T08:30:00Z", text).caused_by(cause)
    })?;
    if found.subsec_nanosecond() % 1_000 != 0 {
        return Err(Error::invalid(format!(
            "{} is finer than a microsecond: round it to 6 digits after the second",
            quoted(text)
        )));
    }
    Ok(found.as_microsecond())
}

/// Writes a point in time as RFC 3339 in UTC, with as many digits after the second as it needs.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] outside the years -9999 to 9999.
pub fn format_timestamp(micros: i64) -> Result<String> {
    jiff::Timestamp::from_microsecond(micros)
        .map(|timestamp| timestamp.to_string())
        .map_err(|cause| {
            Error::invalid(format!(
                "{micros} microseconds since 1970 is outside the years -9999 to 9999"
            ))
            .caused_by(cause)
        })
}

/// Reads an ISO 8601 day such as `2026-11-22`, in days since 1970-01-01.
///
/// ```
/// use common::utils::time::{format_date, parse_date};
/// assert_eq!(parse_date("1970-02-01").unwrap(), 31);
/// assert_eq!(format_date(31).unwrap(), "1970-02-01");
/// assert!(parse_date("2026-02-30").is_err());
/// ```
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when the text is something else, a day with a time of day included.
pub fn parse_date(text: &str) -> Result<i32> {
    // jiff would read the day out of a longer text and drop the time of day.
    let shape = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !shape
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-')
    {
        return Err(expected("a day such as 2026-11-22", text));
    }
    let day: jiff::civil::Date = text.parse().map_err(|cause: jiff::Error| {
        expected("a day such as 2026-11-22", text).caused_by(cause)
    })?;
    let days = (day - EPOCH_DAY).get_days();
    Ok(days)
}

/// Writes a day as ISO 8601.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] outside the years -9999 to 9999.
pub fn format_date(days: i32) -> Result<String> {
    let step = jiff::SignedDuration::from_hours(i64::from(days) * 24);
    EPOCH_DAY
        .checked_add(step)
        .map(|day| day.to_string())
        .map_err(|cause| {
            Error::invalid(format!(
                "{days} days since 1970-01-01 is outside the years -9999 to 9999"
            ))
            .caused_by(cause)
        })
}

const EPOCH_DAY: jiff::civil::Date = jiff::civil::Date::constant(1970, 1, 1);

/// Reads a length of time: a number with a unit (`250us`, `10ms`, `30s`, `5m`, `2h`, `7d`, `1w`), or several (`1h30m`).
///
/// A day is 24 hours and a week 7 days; months and years have no fixed length and are refused.
///
/// ```
/// use std::time::Duration;
/// use common::utils::time::{format_duration, parse_duration};
/// assert_eq!(parse_duration("1h30m").unwrap(), Duration::from_secs(5_400));
/// assert_eq!(format_duration(Duration::from_secs(5_400)), "90m");
/// assert!(parse_duration("30").is_err());
/// ```
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when the text is something else, has no unit, or is negative.
pub fn parse_duration(text: &str) -> Result<Duration> {
    const WANTED: &str = "a length of time such as 250ms, 30s, 5m, 2h or 7d";
    let refuse = |cause: jiff::Error| -> Error { expected(WANTED, text).caused_by(cause) };
    let span: Span = text.parse().map_err(refuse)?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(Error::invalid(format!(
            "{} counts months or years, whose length is not fixed: give days",
            quoted(text)
        )));
    }
    let length = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(refuse)?;
    Duration::try_from(length)
        .map_err(|_| Error::invalid(format!("{} is negative: expected {WANTED}", quoted(text))))
}

/// Writes a length of time as one number with the largest unit that loses nothing: `7d`, `36h`, `90s`, `1500ms`.
///
/// Nanoseconds beyond 292 years take a second number: `9223372036854775us 808ns`.
///
/// [`parse_duration`] reads it back, up to its limit of about 20,000 years.
pub fn format_duration(length: Duration) -> String {
    const UNITS: [(&str, u128); 6] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
    ];
    let nanos = length.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let (micros, rest) = (nanos / 1_000, nanos % 1_000);
    match UNITS.iter().find(|(_, size)| nanos.is_multiple_of(*size)) {
        Some((unit, size)) => format!("{}{unit}", nanos / size),
        // The reader's count of nanoseconds ends at 292 years, its count of microseconds with its years.
        None if i64::try_from(nanos).is_err() => format!("{micros}us {rest}ns"),
        None => format!("{nanos}ns"),
    }
}

fn expected(what: &str, found: &str) -> Error {
    Error::invalid(format!("{} is not {what}", quoted(found)))
}

/// The text in quotes, cut so that a hostile one does not fill a log.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN_MAX: usize = 64;
    match text.char_indices().nth(SHOWN_MAX) {
        None => format!("{text:?}"),
        Some((cut, _)) => format!("{:?}...", text.get(..cut).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn clocks_are_objects_and_can_be_shared() {
        let manual = Arc::new(ManualClock::new(7));
        let clocks: Vec<Box<dyn Clock>> = vec![Box::new(manual.clone()), Box::new(SystemClock)];
        assert_eq!(clocks[0].now(), 7);
        // 2020-01-01: a machine whose clock is behind that cannot run these tests meaningfully.
        assert!(clocks[1].now() > 1_577_836_800_000_000);
        manual.set(-3);
        assert_eq!(manual.advance(Duration::from_micros(2)), -1);
        assert_eq!(clocks[0].now(), -1);
        assert_eq!(manual.advance(Duration::MAX), i64::MAX - 1);
        assert_eq!(manual.advance(Duration::MAX), i64::MAX);
    }

    #[test]
    fn times_that_name_no_point_or_lose_digits_are_refused() {
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T08:30:00",
            "2026-13-01T00:00:00Z",
            "2026-11-22T25:00:00Z",
            "1.1.2026",
            "2026-11-22T08:30:00.1234567Z",
        ] {
            let error = parse_timestamp(text).unwrap_err();
            assert!(error.message().contains(&format!("{text:?}")), "{error}");
        }
        assert_eq!(
            parse_timestamp("2026-11-22T08:30:00.1234560Z").unwrap(),
            1_795_336_200_123_456
        );
        assert!(format_timestamp(i64::MAX).is_err());
    }

    #[test]
    fn a_day_is_only_a_day() {
        for text in [
            "",
            "2026-02-29",
            "2026-11-22T08:30:00Z",
            "2026-11-22 ",
            "11/22/2026",
            "-",
        ] {
            assert!(parse_date(text).is_err(), "{text:?}");
        }
        assert_eq!(parse_date("2024-02-29").unwrap(), 19_782);
        assert_eq!(parse_date("1969-12-31").unwrap(), -1);
        assert!(format_date(i32::MAX).is_err());
    }

    #[test]
    fn durations_need_a_unit_and_a_fixed_length() {
        for (text, seconds) in [
            ("30s", 30),
            ("5m", 300),
            ("2h", 7_200),
            ("7d", 604_800),
            ("1w", 604_800),
        ] {
            assert_eq!(
                parse_duration(text).unwrap(),
                Duration::from_secs(seconds),
                "{text}"
            );
        }
        assert_eq!(parse_duration("250us").unwrap(), Duration::from_micros(250));
        for text in [
            "",
            "30",
            "s",
            "-5s",
            "5s ago",
            "1mo",
            "1y",
            "5 parsecs",
            "1h-30m",
        ] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
        assert!(
            parse_duration("1mo")
                .unwrap_err()
                .message()
                .contains("give days")
        );
        for (length, text) in [
            (Duration::ZERO, "0s"),
            (Duration::from_hours(168), "7d"),
            (Duration::from_hours(36), "36h"),
            (Duration::from_millis(1_500), "1500ms"),
            (Duration::from_nanos(1_001), "1001ns"),
            (
                Duration::from_nanos(i64::MAX as u64),
                "9223372036854775807ns",
            ),
            (
                Duration::from_nanos(i64::MAX as u64 + 1),
                "9223372036854775us 808ns",
            ),
        ] {
            assert_eq!(format_duration(length), text);
        }
    }

    #[test]
    fn a_long_text_is_cut_in_messages() {
        let error = parse_date(&"9".repeat(10_000)).unwrap_err();
        assert!(error.message().len() < 200);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            micros in -377_705_000_000_000_000_i64..253_402_200_000_000_000,
            days in -4_371_000_i32..2_932_896,
            nanos in 0_u64..i64::MAX as u64,
        ) {
            prop_assert_eq!(parse_timestamp(&format_timestamp(micros).unwrap()).unwrap(), micros);
            prop_assert_eq!(parse_date(&format_date(days).unwrap()).unwrap(), days);
            let length = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&format_duration(length)).unwrap(), length);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = (parse_timestamp(&text), parse_date(&text), parse_duration(&text));
        }
    }
}
