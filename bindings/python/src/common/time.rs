//! Seconds since the epoch, to text and back.
//!
//! What local time is, Python decides. A day in whose neighbourhood the offset from UTC does not change is remembered with
//! its offset, for as long as Python's own notion of the zone stays.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyFloat, PyInt, PyString};

const DAY: i64 = 86_400;
const MICROS: i64 = 1_000_000;
const DEFAULT_FORMAT: &str = "%Y-%m-%d %H:%M:%S";
/// Days that are remembered.
const DAYS_MAX: usize = 4096;
/// 1 January 10000: Python's dates end before.
const END: f64 = 253_402_300_800.0;

/// What is tried in turn, as `strptime` has it.
const FORMATS: [&str; 6] = [
    DEFAULT_FORMAT,
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S.%fZ",
    "%Y-%m-%d",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y",
];
/// The one of them that ends in UTC's letter.
const UTC_FORMAT: usize = 2;

static DATETIME: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static LOCALTIME: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static TIME: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Offsets of days, for one zone.
struct Offsets {
    /// `time.tzname`: `time.tzset` makes a new one.
    zone: Py<PyAny>,
    days: HashMap<i64, Option<i64>>,
}

static OFFSETS: Mutex<Option<Offsets>> = Mutex::new(None);

/// The offset from UTC on a day and on those beside it, in seconds; nothing when it changes there.
fn offset_on(py: Python<'_>, day: i64) -> PyResult<Option<i64>> {
    let time = TIME.get_or_try_init(py, || {
        py.import("time").map(|time| time.into_any().unbind())
    })?;
    let zone = time.bind(py).getattr(intern!(py, "tzname"))?;
    if let Some(known) = OFFSETS.lock().as_ref()
        && known.zone.is(&zone)
        && let Some(offset) = known.days.get(&day)
    {
        return Ok(*offset);
    }
    let mut offset = None;
    for at in [-1, 0, 1, 2] {
        let local = LOCALTIME
            .import(py, "time", "localtime")?
            .call1(((day + at) * DAY,))?;
        let here: i64 = local.getattr(intern!(py, "tm_gmtoff"))?.extract()?;
        if at > -1 && offset != Some(here) {
            offset = None;
            break;
        }
        offset = Some(here);
    }
    let replaced = {
        let mut known = OFFSETS.lock();
        match &mut *known {
            Some(known) if known.zone.is(&zone) => {
                if known.days.len() >= DAYS_MAX {
                    known.days.clear();
                }
                known.days.insert(day, offset);
                None
            }
            other => other.replace(Offsets {
                zone: zone.unbind(),
                days: HashMap::from([(day, offset)]),
            }),
        }
    };
    drop(replaced);
    Ok(offset)
}

/// A day of the calendar.
#[derive(Clone, Copy)]
struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    /// The date that is so many days after 1 January 1970 (Howard Hinnant's `civil_from_days`).
    fn from_days(days: i64) -> Self {
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        Self {
            year: year + era * 400 + i64::from(month <= 2),
            month,
            day,
        }
    }

    /// Days since 1 January 1970; nothing for a date that there is not.
    fn days(self) -> Option<i64> {
        let is_leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let length = match self.month {
            2 => 28 + i64::from(is_leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        if self.year < 1 || !(1..=length).contains(&self.day) {
            return None;
        }
        let year = self.year - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let of_era = year.rem_euclid(400);
        let month = if self.month > 2 {
            self.month - 3
        } else {
            self.month + 9
        };
        let of_year = (153 * month + 2) / 5 + self.day - 1;
        Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
    }
}

/// Seconds since the epoch, now.
#[pyfunction]
pub(crate) fn get_timestamp() -> f64 {
    now()
}

/// As Python's own `time.time` rounds it.
#[expect(clippy::cast_precision_loss, reason = "so does Python")]
pub(crate) fn now() -> f64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos())) as f64 / 1e9
}

/// Local time as text.
#[pyfunction]
#[pyo3(
    signature = (timestamp, format_str = None),
    text_signature = "(timestamp, format_str='%Y-%m-%d %H:%M:%S')"
)]
pub(crate) fn format_timestamp<'py>(
    timestamp: &Bound<'py, PyAny>,
    format_str: Option<&Bound<'py, PyString>>,
) -> PyResult<Bound<'py, PyString>> {
    let py = timestamp.py();
    let format = match format_str {
        Some(format) => format.to_cow()?,
        None => DEFAULT_FORMAT.into(),
    };
    if (timestamp.is_exact_instance_of::<PyFloat>() || timestamp.is_exact_instance_of::<PyInt>())
        && let Ok(seconds) = timestamp.extract::<f64>()
        && let Some(text) = format_local(py, seconds, &format)?
    {
        return Ok(PyString::new(py, &text));
    }
    let local = DATETIME
        .import(py, "datetime", "datetime")?
        .call_method1(intern!(py, "fromtimestamp"), (timestamp,))?;
    Ok(local
        .call_method1(intern!(py, "strftime"), (&*format,))?
        .cast_into()?)
}

/// The text of a time on a day without change of offset, when the format has numbers only.
fn format_local(py: Python<'_>, seconds: f64, format: &str) -> PyResult<Option<String>> {
    let Some(whole) = whole_seconds(seconds) else {
        return Ok(None);
    };
    let Some(offset) = offset_on(py, whole.div_euclid(DAY))? else {
        return Ok(None);
    };
    let local = whole + offset;
    let date = Date::from_days(local.div_euclid(DAY));
    let of_day = local.rem_euclid(DAY);
    let mut text = String::with_capacity(format.len() + 8);
    let mut rest = format.chars();
    while let Some(letter) = rest.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        match rest.next() {
            Some('Y') if date.year >= 1000 => digits(&mut text, date.year, 4),
            Some('m') => digits(&mut text, date.month, 2),
            Some('d') => digits(&mut text, date.day, 2),
            Some('H') => digits(&mut text, of_day / 3600, 2),
            Some('M') => digits(&mut text, of_day / 60 % 60, 2),
            Some('S') => digits(&mut text, of_day % 60, 2),
            Some('%') => text.push('%'),
            _ => return Ok(None),
        }
    }
    Ok(Some(text))
}

/// Seconds after Python rounded to microseconds, for times after 1970.
#[expect(clippy::cast_possible_truncation, reason = "both ends are checked")]
fn whole_seconds(seconds: f64) -> Option<i64> {
    if !(0.0..END - 2.0 * 86_400.0).contains(&seconds) {
        return None;
    }
    let is_carried = (seconds.fract() * 1e6).round_ties_even() >= 1e6;
    Some(seconds.trunc() as i64 + i64::from(is_carried))
}

fn digits(text: &mut String, number: i64, width: u32) {
    for place in (0..width).rev() {
        let digit = number / 10_i64.pow(place) % 10;
        text.push(char::from(b'0' + u8::try_from(digit).unwrap_or(0)));
    }
}

/// The time that a text says, naive ones in local time: by the format, or by the usual ones, ISO 8601, or as a number.
///
/// Raises `ValueError` when nothing fits, `TypeError` when it is no text.
#[pyfunction]
#[pyo3(signature = (timestamp_str, format_str = None))]
pub(crate) fn parse_timestamp<'py>(
    timestamp_str: &Bound<'py, PyAny>,
    format_str: Option<&Bound<'py, PyString>>,
) -> PyResult<f64> {
    let py = timestamp_str.py();
    let text = timestamp_str.cast::<PyString>().map_err(|_| {
        PyTypeError::new_err(format!(
            "timestamp_str must be a str, not {}",
            timestamp_str.get_type()
        ))
    })?;
    let datetime = DATETIME.import(py, "datetime", "datetime")?;
    if let Some(format) = format_str {
        let parsed = datetime.call_method1(intern!(py, "strptime"), (text, format))?;
        return parsed.call_method0(intern!(py, "timestamp"))?.extract();
    }
    if let Ok(text) = text.to_cow()
        && let Some(written) = Written::read(text.as_bytes())
        && let Some(seconds) = written.seconds(py)?
    {
        return Ok(seconds);
    }
    parse_slowly(datetime, text)
}

/// As Python would: every format in turn.
fn parse_slowly<'py>(datetime: &Bound<'py, PyAny>, text: &Bound<'py, PyString>) -> PyResult<f64> {
    let py = text.py();
    for (place, format) in FORMATS.iter().enumerate() {
        let parsed = match datetime.call_method1(intern!(py, "strptime"), (text, format)) {
            Ok(parsed) => parsed,
            Err(error) if error.is_instance_of::<PyValueError>(py) => continue,
            Err(error) => return Err(error),
        };
        let parsed = if place == UTC_FORMAT {
            let utc = py.import("datetime")?.getattr("timezone")?.getattr("utc")?;
            let zone = pyo3::types::PyDict::new(py);
            zone.set_item("tzinfo", utc)?;
            parsed.call_method("replace", (), Some(&zone))?
        } else {
            parsed
        };
        match parsed.call_method0(intern!(py, "timestamp")) {
            Ok(seconds) => return seconds.extract(),
            Err(error) if error.is_instance_of::<PyValueError>(py) => {}
            Err(error) => return Err(error),
        }
    }
    if let Ok(parsed) = datetime.call_method1(intern!(py, "fromisoformat"), (text,)) {
        return parsed.call_method0(intern!(py, "timestamp"))?.extract();
    }
    match py.get_type::<PyFloat>().call1((text,)) {
        Ok(seconds) => seconds.extract(),
        Err(_) => Err(PyValueError::new_err(format!(
            "Could not parse timestamp: {}",
            text.to_cow()?
        ))),
    }
}

/// A date and a time of day in one of the usual forms, with all digits written.
struct Written {
    /// Seconds since 1970 if it were UTC.
    seconds: i64,
    micros: i64,
    /// Seconds east of UTC; nothing for local time.
    offset: Option<i64>,
}

impl Written {
    fn read(text: &[u8]) -> Option<Self> {
        let number = |from: usize, to: usize| -> Option<i64> {
            let digits = text.get(from..to)?;
            digits.iter().try_fold(0, |number, digit| {
                digit
                    .is_ascii_digit()
                    .then(|| number * 10 + i64::from(digit - b'0'))
            })
        };
        let is_at = |place: usize, letter: u8| text.get(place) == Some(&letter);
        let (date, is_american) = if is_at(4, b'-') && is_at(7, b'-') {
            let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
            (Date { year, month, day }, false)
        } else if is_at(2, b'/') && is_at(5, b'/') {
            let (month, day, year) = (number(0, 2)?, number(3, 5)?, number(6, 10)?);
            (Date { year, month, day }, true)
        } else {
            return None;
        };
        let days = date.days()?;
        if text.len() == 10 {
            return Some(Self {
                seconds: days * DAY,
                micros: 0,
                offset: None,
            });
        }
        if !(is_at(10, b' ') || is_at(10, b'T') && !is_american)
            || !is_at(13, b':')
            || !is_at(16, b':')
        {
            return None;
        }
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let seconds = days * DAY + hour * 3600 + minute * 60 + second;
        let (mut at, mut micros) = (19, 0);
        if is_at(at, b'.') {
            let end =
                (20..text.len()).find(|place| !text.get(*place).is_some_and(u8::is_ascii_digit))?;
            let length = end - 20;
            if !(1..=6).contains(&length) {
                return None;
            }
            micros = number(20, end)? * 10_i64.pow(u32::try_from(6 - length).ok()?);
            at = end;
        }
        let offset = match text.get(at..)? {
            [] if micros == 0 && at == 19 => None,
            b"Z" if is_at(10, b'T') => Some(0),
            [sign @ (b'+' | b'-'), _, _, b':', _, _] if !is_american => {
                let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                let east = hours * 3600 + minutes * 60;
                Some(if *sign == b'-' { -east } else { east })
            }
            _ => return None,
        };
        Some(Self {
            seconds,
            micros,
            offset,
        })
    }

    /// Seconds since the epoch, as Python rounds them; nothing where that takes Python itself.
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds of these years are exact"
    )]
    fn seconds(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        // 1971 to 2255: before, zones were odd; after, microseconds are not exact.
        const USUAL: std::ops::Range<i64> = 365 * DAY..9_000_000_000;
        if !USUAL.contains(&self.seconds) {
            return Ok(None);
        }
        if let Some(offset) = self.offset {
            let micros = (self.seconds - offset) * MICROS + self.micros;
            return Ok(Some(micros as f64 / MICROS as f64));
        }
        Ok(offset_on(py, self.seconds.div_euclid(DAY))?
            .map(|offset| (self.seconds - offset) as f64))
    }
}

/// How long ago a time is, in words.
#[pyfunction]
pub(crate) fn time_since(timestamp: f64) -> String {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 3600.0;
    const DAYS: f64 = 86_400.0;
    let passed = now() - timestamp;
    let (unit, name) = match passed {
        _ if passed < MINUTE || passed.is_nan() => return "just now".to_owned(),
        _ if passed < HOUR => (MINUTE, "minute"),
        _ if passed < DAYS => (HOUR, "hour"),
        _ if passed < 7.0 * DAYS => (DAYS, "day"),
        _ if passed < 30.0 * DAYS => (7.0 * DAYS, "week"),
        _ if passed < 365.0 * DAYS => (30.0 * DAYS, "month"),
        _ => (365.0 * DAYS, "year"),
    };
    let count = (passed / unit).trunc();
    let plural = if count > 1.0 { "s" } else { "" };
    format!("{count} {name}{plural} ago")
}
