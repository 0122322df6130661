//! [`DateParts`]: what the calendar and the clock say of a point in time, as numbers.

use std::f64::consts::TAU;

use common::{Error, Result};
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

use super::check::width;

/// Most minutes that a clock is ahead of UTC, or behind it.
const OFFSET_MINUTES_MAX: u32 = 24 * 60 - 1;

/// One number that a point in time becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatePart {
    /// The year of our era.
    Year,
    /// 1 to 12.
    Month,
    /// Of the month, 1 to 31.
    Day,
    /// 0 for Monday to 6 for Sunday, as in Python.
    Weekday,
    /// 0 to 23.
    Hour,
    /// 0 to 59.
    Minute,
    /// 1 to 366.
    DayOfYear,
    /// 1 on Saturday and Sunday, 0 otherwise.
    IsWeekend,
    /// How far a cycle has turned, as the sine of the angle: with the cosine, its end is as near as it is to its
    /// beginning.
    Sine(Cycle),
    /// The cosine of the same angle.
    Cosine(Cycle),
}

/// What begins again when it has ended; its first member has the angle 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cycle {
    /// The months of a year.
    Month,
    /// The days of a month, of the length that it has.
    Day,
    /// The days of a week, from Monday on.
    Weekday,
    /// The hours of a day.
    Hour,
    /// The minutes of an hour.
    Minute,
    /// The days of a year, 365 or 366.
    DayOfYear,
}

/// Points in time, given in microseconds since 1970-01-01T00:00:00Z as [`common::Timestamp`] has them, become numbers
/// in the order asked for. There is nothing to fit.
///
/// The clock is UTC's, or at a fixed distance from it. 64-bit floats hold every microsecond from the year 1684 to 2255;
/// beyond, the nearest that they have counts. A missing time makes all parts missing.
///
/// ```
/// use vectordb::transform::{Cycle, DatePart, DateParts};
/// let parts = DateParts::new([DatePart::Year, DatePart::IsWeekend, DatePart::Cosine(Cycle::Hour)])?;
/// let mut out = [0.0; 3];
/// // 2026-11-29 12:00, a Sunday.
/// parts.transform(1_795_953_600_000_000.0, &mut out)?;
/// assert_eq!(out, [2026.0, 1.0, -1.0]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DateParts {
    parts: Vec<DatePart>,
    offset_minutes: i32,
}

impl DateParts {
    /// These parts of the clock of UTC.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for no part, and for one that is asked for twice.
    pub fn new(parts: impl IntoIterator<Item = DatePart>) -> Result<Self> {
        let dates = Self {
            parts: parts.into_iter().collect(),
            offset_minutes: 0,
        };
        dates.check()?;
        Ok(dates)
    }

    /// The same of a clock that is `minutes` ahead of UTC: 330 in India, -300 in New York in winter.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a day or more.
    pub fn with_offset(mut self, minutes: i32) -> Result<Self> {
        self.offset_minutes = minutes;
        self.check()?;
        Ok(self)
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.parts.is_empty() {
            return Err(Error::invalid("no part of a time is asked for"));
        }
        let parts = self.parts.iter().enumerate();
        for (at, part) in parts {
            // There are 20 different ones: a longer list ends here early.
            if self.parts.iter().take(at).any(|before| before == part) {
                return Err(Error::invalid(format!("{part:?} is asked for twice")));
            }
        }
        if self.offset_minutes.unsigned_abs() > OFFSET_MINUTES_MAX {
            return Err(Error::invalid(format!(
                "a clock {} minutes ahead of UTC: it is less than a day",
                self.offset_minutes
            )));
        }
        Ok(())
    }

    /// How many numbers a time becomes.
    pub fn outputs(&self) -> usize {
        self.parts.len()
    }

    /// Writes the parts of one time into `out`; allocates nothing.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `out` has not [`DateParts::outputs`] numbers, and for a time outside the years
    /// -9999 to 9999.
    pub fn transform(&self, microseconds: f64, out: &mut [f64]) -> Result<()> {
        width("the output", out.len(), self.parts.len())?;
        if microseconds.is_nan() {
            out.fill(f64::NAN);
            return Ok(());
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what 64 bits do not hold ends at their ends, and is no time either"
        )]
        let whole = microseconds.floor() as i64;
        let time = jiff::Timestamp::from_microsecond(whole).and_then(|time| {
            Offset::from_seconds(self.offset_minutes * 60).map(|offset| offset.to_datetime(time))
        });
        let time = time.map_err(|e| {
            Error::invalid(format!(
                "{microseconds} is no time in microseconds since 1970 between the years -9999 and 9999"
            ))
            .caused_by(e)
        })?;
        for (number, part) in out.iter_mut().zip(&self.parts) {
            *number = part.of(time);
        }
        Ok(())
    }

    /// Names of the numbers, from that of the column: `column_hour`, `column_hour_sine`.
    pub fn names(&self, column: &str) -> Vec<String> {
        let parts = self.parts.iter();
        parts
            .map(|part| format!("{column}_{}", part.name()))
            .collect()
    }
}

impl DatePart {
    fn of(self, time: DateTime) -> f64 {
        match self {
            Self::Year => f64::from(time.year()),
            Self::Month => f64::from(time.month()),
            Self::Day => f64::from(time.day()),
            Self::Weekday => f64::from(time.weekday().to_monday_zero_offset()),
            Self::Hour => f64::from(time.hour()),
            Self::Minute => f64::from(time.minute()),
            Self::DayOfYear => f64::from(time.day_of_year()),
            Self::IsWeekend => f64::from(u8::from(time.weekday().to_monday_zero_offset() >= 5)),
            Self::Sine(cycle) => (TAU * cycle.turned(time)).sin(),
            Self::Cosine(cycle) => (TAU * cycle.turned(time)).cos(),
        }
    }

    fn name(self) -> String {
        match self {
            Self::Year => "year".to_owned(),
            Self::Month => Cycle::Month.name().to_owned(),
            Self::Day => Cycle::Day.name().to_owned(),
            Self::Weekday => Cycle::Weekday.name().to_owned(),
            Self::Hour => Cycle::Hour.name().to_owned(),
            Self::Minute => Cycle::Minute.name().to_owned(),
            Self::DayOfYear => Cycle::DayOfYear.name().to_owned(),
            Self::IsWeekend => "is_weekend".to_owned(),
            Self::Sine(cycle) => format!("{}_sine", cycle.name()),
            Self::Cosine(cycle) => format!("{}_cosine", cycle.name()),
        }
    }
}

impl Cycle {
    /// The share of the cycle that has passed when its member begins.
    fn turned(self, time: DateTime) -> f64 {
        let (at, of) = match self {
            Self::Month => (i16::from(time.month()) - 1, 12),
            Self::Day => (
                i16::from(time.day()) - 1,
                i16::from(time.date().days_in_month()),
            ),
            Self::Weekday => (i16::from(time.weekday().to_monday_zero_offset()), 7),
            Self::Hour => (i16::from(time.hour()), 24),
            Self::Minute => (i16::from(time.minute()), 60),
            Self::DayOfYear => (time.day_of_year() - 1, time.date().days_in_year()),
        };
        f64::from(at) / f64::from(of)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Month => "month",
            Self::Day => "day",
            Self::Weekday => "weekday",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::DayOfYear => "day_of_year",
        }
    }
}
