//! From text to typed values and between numbers, without losing anything on the way.
//!
//! An importer of text files asks twice: which kind fits a whole column ([`KindGuess`]), and what one cell
//! holds ([`parse_cell`]). The first is strict, because nobody looks at its answer: `007` stays text. The
//! second was told the kind and accepts every common spelling of it.

use std::fmt;

use uuid::Uuid;

use super::id_generator::parse_uuid;
use super::time::{parse_date, parse_timestamp, quoted};
use crate::error::{Error, Result};

/// The kinds of value that a text cell can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CellKind {
    /// True or false; see [`parse_bool`] for the words.
    Bool,
    /// 64-bit signed integer.
    Int,
    /// 64-bit float.
    Float,
    /// A day.
    Date,
    /// A point in time with its offset.
    Timestamp,
    /// A UUID with hyphens.
    Uuid,
    /// Any text.
    Text,
}

impl CellKind {
    /// All kinds, narrowest first: the order in which [`KindGuess`] prefers them.
    pub const ALL: [Self; 7] = [
        Self::Bool,
        Self::Int,
        Self::Float,
        Self::Date,
        Self::Timestamp,
        Self::Uuid,
        Self::Text,
    ];

    /// The kind's name: `bool`, `int`, `float`, `date`, `timestamp`, `uuid` or `text`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Float => "float",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Uuid => "uuid",
            Self::Text => "text",
        }
    }

    /// The kind of this name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] with the known names.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            Error::invalid(format!(
                "{} is no kind of cell: expected bool, int, float, date, timestamp, uuid or text",
                quoted(name)
            ))
        })
    }
}

impl fmt::Display for CellKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a text cell holds, as plain numbers: the caller maps it to its own value type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// True or false.
    Bool(bool),
    /// 64-bit signed integer.
    Int(i64),
    /// 64-bit float.
    Float(f64),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// A UUID.
    Uuid(Uuid),
    /// The text as it stood.
    Text(&'a str),
}

impl Cell<'_> {
    /// The cell's kind.
    pub const fn kind(&self) -> CellKind {
        match self {
            Self::Bool(_) => CellKind::Bool,
            Self::Int(_) => CellKind::Int,
            Self::Float(_) => CellKind::Float,
            Self::Date(_) => CellKind::Date,
            Self::Timestamp(_) => CellKind::Timestamp,
            Self::Uuid(_) => CellKind::Uuid,
            Self::Text(_) => CellKind::Text,
        }
    }
}

/// Reads one cell as `kind`. An empty cell is empty text and nothing else: what it stands for is the
/// caller's rule, and white space is the caller's to trim.
///
/// ```
/// use common::utils::types::{Cell, CellKind, parse_cell};
/// assert_eq!(parse_cell("-12", CellKind::Int).unwrap(), Cell::Int(-12));
/// assert_eq!(
///     parse_cell("12.5", CellKind::Int).unwrap_err().message(),
///     r#"expected int, found "12.5": it has a fraction"#,
/// );
/// ```
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] with what was expected, what was found, and why it does not fit.
pub fn parse_cell(text: &str, kind: CellKind) -> Result<Cell<'_>> {
    let found = match kind {
        CellKind::Bool => parse_bool(text).map(Cell::Bool),
        CellKind::Int => parse_int(text).map(Cell::Int),
        CellKind::Float => parse_float(text).map(Cell::Float),
        CellKind::Date => parse_date(text).map(Cell::Date),
        CellKind::Timestamp => parse_timestamp(text).map(Cell::Timestamp),
        CellKind::Uuid => parse_uuid(text).map(Cell::Uuid),
        CellKind::Text => return Ok(Cell::Text(text)),
    };
    match kind {
        // These three say what they expected by themselves.
        CellKind::Date | CellKind::Timestamp | CellKind::Uuid
            if !text.is_empty() && text.trim() == text =>
        {
            found.map_err(|error| error.at(format_args!("expected {kind}")))
        }
        CellKind::Date | CellKind::Timestamp | CellKind::Uuid => {
            found.map_err(|_| refuse(kind, text, "not one"))
        }
        _ => found,
    }
}

fn refuse(kind: CellKind, text: &str, why: &str) -> Error {
    let why = if text.is_empty() {
        "the cell is empty"
    } else if text.trim() != text {
        "it has white space around it"
    } else {
        why
    };
    Error::invalid(format!("expected {kind}, found {}: {why}", quoted(text)))
}

/// Reads true or false: `true`, `t`, `yes`, `y`, `on`, `1` and `false`, `f`, `no`, `n`, `off`, `0`, in any case.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for any other word.
pub fn parse_bool(text: &str) -> Result<bool> {
    const TRUE: [&str; 6] = ["true", "t", "yes", "y", "on", "1"];
    const FALSE: [&str; 6] = ["false", "f", "no", "n", "off", "0"];
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(&TRUE) {
        Ok(true)
    } else if is(&FALSE) {
        Ok(false)
    } else {
        Err(refuse(
            CellKind::Bool,
            text,
            "expected true/false, t/f, yes/no, y/n, on/off or 1/0",
        ))
    }
}

/// Reads a decimal integer: an optional sign and digits.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for a fraction, an exponent, a separator, or a number outside 64 bits.
pub fn parse_int(text: &str) -> Result<i64> {
    text.parse().map_err(|cause: std::num::ParseIntError| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let why = match cause.kind() {
            PosOverflow => "it is above 9223372036854775807",
            NegOverflow => "it is below -9223372036854775808",
            _ if text.parse::<f64>().is_ok_and(f64::is_finite) && text.contains('.') => {
                "it has a fraction"
            }
            _ if text.parse::<f64>().is_ok_and(f64::is_finite) => "it has an exponent",
            _ => "it is not a number in digits",
        };
        refuse(CellKind::Int, text, why)
    })
}

/// Reads a decimal number with a point and an exponent, or `NaN`, `inf`, `infinity` in any case and with a sign.
///
/// The nearest 64-bit float is taken, as everywhere; but a number too large or too small to be near one is refused.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for anything else, a decimal comma included.
pub fn parse_float(text: &str) -> Result<f64> {
    let number: f64 = text.parse().map_err(|_| {
        refuse(
            CellKind::Float,
            text,
            "it is not a number with a decimal point",
        )
    })?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let has_digits = mantissa.bytes().any(|byte| byte.is_ascii_digit());
    if number.is_infinite() && has_digits {
        return Err(refuse(
            CellKind::Float,
            text,
            "it is beyond the largest 64-bit float",
        ));
    }
    if number == 0.0 && mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9')) {
        return Err(refuse(
            CellKind::Float,
            text,
            "it is nearer to zero than the smallest 64-bit float",
        ));
    }
    Ok(number)
}

/// The float that equals `number`, when there is one.
///
/// ```
/// use common::utils::types::{float_of_int, int_of_float};
/// assert_eq!(float_of_int(1 << 53), Some(9_007_199_254_740_992.0));
/// assert_eq!(float_of_int((1 << 53) + 1), None);
/// assert_eq!(int_of_float(2.0), Some(2));
/// assert_eq!(int_of_float(2.5), None);
/// ```
pub fn float_of_int(number: i64) -> Option<f64> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the way back shows whether anything was lost"
    )]
    let float = number as f64;
    (int_of_float(float) == Some(number)).then_some(float)
}

/// The integer that equals `number`, when there is one. `-0.0` gives 0; NaN and infinities give none.
pub fn int_of_float(number: f64) -> Option<i64> {
    // -2^63 is a float and an i64; 2^63 is the first float above the range.
    const END: f64 = 9_223_372_036_854_775_808.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole and within the range"
    )]
    (is_whole(number) && (-END..END).contains(&number)).then_some(number as i64)
}

#[expect(
    clippy::float_cmp,
    reason = "whole means exactly equal; NaN equals nothing"
)]
fn is_whole(number: f64) -> bool {
    number.trunc() == number
}

/// Finds the narrowest kind that takes every cell of a column without losing a character that matters.
///
/// Strict on purpose: `007` and `+1` are text (an article number, a telephone code), as are `0`/`1` for
/// truth values (they are integers), integers beyond 64 bits, decimals of more than 17 digits, and times
/// without an offset. A column of integers and decimals is `float` when every integer has an exact float.
/// Empty cells say nothing.
///
/// ```
/// use common::utils::types::{CellKind, KindGuess};
/// let guess = |cells: &[&str]| {
///     let mut guess = KindGuess::default();
///     cells.iter().for_each(|cell| guess.see(cell));
///     guess.kind()
/// };
/// assert_eq!(guess(&["1", "", "-20"]), Some(CellKind::Int));
/// assert_eq!(guess(&["1", "2.5"]), Some(CellKind::Float));
/// assert_eq!(guess(&["01069", "10115"]), Some(CellKind::Text));
/// assert_eq!(guess(&["", ""]), None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KindGuess {
    /// Kinds ruled out so far, one bit each in the order of [`CellKind::ALL`].
    ruled_out: u8,
    seen: bool,
}

impl KindGuess {
    /// Takes one more cell into account. Costs one attempt per kind that is still possible.
    pub fn see(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.seen = true;
        for (bit, kind) in CellKind::ALL.into_iter().enumerate() {
            let mask = 1 << bit;
            if self.ruled_out & mask == 0 && !fits(text, kind) {
                self.ruled_out |= mask;
            }
        }
    }

    /// The narrowest kind that fits all cells seen; none when all were empty.
    pub fn kind(&self) -> Option<CellKind> {
        let mut kinds = CellKind::ALL.into_iter().enumerate();
        self.seen.then(|| {
            kinds
                .find(|(bit, _)| self.ruled_out & (1 << bit) == 0)
                .map_or(CellKind::Text, |(_, kind)| kind)
        })
    }
}

/// Whether `text` is a spelling of `kind` that the value alone gives back.
fn fits(text: &str, kind: CellKind) -> bool {
    /// A 64-bit float keeps 15 digits of every decimal; writers that want all of them write 17.
    const DIGITS_MAX: usize = 17;
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let leads_with_zero =
        unsigned.starts_with('0') && unsigned.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    let plain_number = !leads_with_zero && unsigned.starts_with(|c: char| c.is_ascii_digit());
    match kind {
        CellKind::Bool => text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false"),
        // `-0` is the one canonical-looking integer that does not come back.
        CellKind::Int => plain_number && text != "-0" && parse_int(text).is_ok(),
        CellKind::Float if matches!(unsigned, "NaN" | "inf" | "Infinity") => true,
        CellKind::Float if unsigned.bytes().all(|byte| byte.is_ascii_digit()) => {
            plain_number && parse_int(text).is_ok_and(|number| float_of_int(number).is_some())
        }
        CellKind::Float => {
            let mantissa = unsigned.split(['e', 'E']).next().unwrap_or_default();
            let digits = mantissa
                .bytes()
                .filter(u8::is_ascii_digit)
                .skip_while(|&byte| byte == b'0')
                .count();
            plain_number && digits <= DIGITS_MAX && parse_float(text).is_ok()
        }
        CellKind::Date => text.contains('-') && parse_date(text).is_ok(),
        CellKind::Timestamp => text.contains('-') && parse_timestamp(text).is_ok(),
        CellKind::Uuid => parse_uuid(text).is_ok(),
        CellKind::Text => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn guess(cells: &[&str]) -> Option<CellKind> {
        let mut guess = KindGuess::default();
        for cell in cells {
            guess.see(cell);
        }
        guess.kind()
    }

    #[test]
    fn columns_get_the_narrowest_kind_that_loses_nothing() {
        use CellKind::{Bool, Date, Float, Int, Text, Timestamp};
        for (cells, kind) in [
            (&["true", "FALSE"][..], Bool),
            (&["0", "1"], Int),
            (&["true", "1"], Text),
            (&["9223372036854775807", "-9223372036854775808"], Int),
            (&["9223372036854775808"], Text),
            (&["9007199254740993", "0.5"], Text),
            (&["9007199254740992", "0.5"], Float),
            (&["1e5", "NaN", "-inf", "12"], Float),
            (&["1e999"], Text),
            (&["0.123456789012345678"], Text),
            (&["007"], Text),
            (&["-0"], Float),
            (&["+1"], Text),
            (&[" 1"], Text),
            (&["2026-11-22", "1969-01-01"], Date),
            (&["2026-11-22", "2026-11-22T00:00:00Z"], Text),
            (
                &["2026-11-22T00:00:00Z", "2026-11-22 01:00:00+02:00"],
                Timestamp,
            ),
            (&["2026-11-22 01:00:00"], Text),
            (&["20261122"], Int),
            (&["67e55044-10b1-426f-9247-bb680e5fe0c8"], CellKind::Uuid),
            (&["67e5504410b1426f9247bb680e5fe0c8"], Text),
            (&["Zürich", ""], Text),
        ] {
            assert_eq!(guess(cells), Some(kind), "{cells:?}");
        }
        assert_eq!(guess(&[]), None);
    }

    #[test]
    fn messages_say_expected_found_and_why() {
        for (text, kind, message) in [
            (
                "",
                CellKind::Int,
                r#"expected int, found "": the cell is empty"#,
            ),
            (
                " 1",
                CellKind::Int,
                r#"expected int, found " 1": it has white space around it"#,
            ),
            (
                "9223372036854775808",
                CellKind::Int,
                r#"expected int, found "9223372036854775808": it is above 9223372036854775807"#,
            ),
            (
                "x",
                CellKind::Int,
                r#"expected int, found "x": it is not a number in digits"#,
            ),
            (
                "1,5",
                CellKind::Float,
                r#"expected float, found "1,5": it is not a number with a decimal point"#,
            ),
            (
                "1e400",
                CellKind::Float,
                r#"expected float, found "1e400": it is beyond the largest 64-bit float"#,
            ),
            (
                "1e-400",
                CellKind::Float,
                r#"expected float, found "1e-400": it is nearer to zero than the smallest 64-bit float"#,
            ),
            (
                "maybe",
                CellKind::Bool,
                r#"expected bool, found "maybe": expected true/false, t/f, yes/no, y/n, on/off or 1/0"#,
            ),
            (
                "",
                CellKind::Uuid,
                r#"expected uuid, found "": the cell is empty"#,
            ),
            (
                "22.11.2026",
                CellKind::Date,
                r#"expected date: "22.11.2026" is not a day such as 2026-11-22"#,
            ),
        ] {
            assert_eq!(parse_cell(text, kind).unwrap_err().message(), message);
        }
        for kind in CellKind::ALL {
            assert_eq!(CellKind::from_name(kind.name()).unwrap(), kind);
        }
        assert!(
            CellKind::from_name("decimal")
                .unwrap_err()
                .message()
                .contains("timestamp")
        );
    }

    #[test]
    fn told_the_kind_common_spellings_are_read() {
        assert_eq!(parse_cell("007", CellKind::Int).unwrap(), Cell::Int(7));
        assert_eq!(parse_cell("Yes", CellKind::Bool).unwrap(), Cell::Bool(true));
        assert_eq!(
            parse_cell("off", CellKind::Bool).unwrap(),
            Cell::Bool(false)
        );
        assert_eq!(
            parse_cell("0e-999", CellKind::Float).unwrap(),
            Cell::Float(0.0)
        );
        assert_eq!(
            parse_cell("-Infinity", CellKind::Float).unwrap(),
            Cell::Float(f64::NEG_INFINITY)
        );
        assert_eq!(
            parse_cell("1970-01-02", CellKind::Date).unwrap(),
            Cell::Date(1)
        );
        assert_eq!(parse_cell("", CellKind::Text).unwrap(), Cell::Text(""));
    }

    #[test]
    fn casts_are_exact_or_refused() {
        assert_eq!(int_of_float(-9_223_372_036_854_775_808.0), Some(i64::MIN));
        assert_eq!(int_of_float(9_223_372_036_854_775_808.0), None);
        assert_eq!(int_of_float(-0.0), Some(0));
        assert_eq!(int_of_float(f64::NAN), None);
        assert_eq!(float_of_int(i64::MAX), None);
        assert_eq!(float_of_int(i64::MIN), Some(-9_223_372_036_854_775_808.0));
    }

    proptest! {
        #[test]
        fn a_guessed_kind_gives_the_value_back(int: i64, float in proptest::num::f64::NORMAL, days in -700_000_i32..2_900_000) {
            let text = int.to_string();
            prop_assert_eq!(guess(&[&text]), Some(CellKind::Int));
            prop_assert_eq!(parse_cell(&text, CellKind::Int).unwrap(), Cell::Int(int));
            let text = format!("{float:e}");
            prop_assert_eq!(parse_cell(&text, CellKind::Float).unwrap(), Cell::Float(float));
            prop_assert!(matches!(guess(&[&text]), Some(CellKind::Float)));
            let text = super::super::time::format_date(days).unwrap();
            prop_assert_eq!(guess(&[&text]), Some(CellKind::Date), "{}", text);
            if let Some(exact) = float_of_int(int) {
                prop_assert_eq!(int_of_float(exact), Some(int));
            }
        }

        #[test]
        fn whatever_is_guessed_can_be_read(text in "\\PC{1,30}|[-+0-9.eE:TZ ]{1,30}") {
            let kind = guess(&[&text]).unwrap();
            prop_assert_eq!(parse_cell(&text, kind).unwrap().kind(), kind);
        }
    }
}
