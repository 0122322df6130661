//! What a database checks at its edge, before anything else looks: names, numbers, bytes that claim to be text.
//!
//! Each function returns what it was given, or an [`Error`] that names the subject (`what`), says what was
//! found and what is allowed. Rules of a schema are elsewhere (`core::schema`); these have no schema yet.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::time::quoted;
use crate::error::{Error, Result};
use crate::limits::NAME_BYTES_MAX;

/// Checks the name of a table, column, index or rule: 1 to 128 bytes, no control characters, no space around it.
///
/// ```
/// use common::utils::validation::check_name;
/// assert_eq!(check_name("column", "first name").unwrap(), "first name");
/// assert!(check_name("column", " name").is_err());
/// ```
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when it breaks a rule; [`crate::ErrorKind::LimitExceeded`] when it is too long.
pub fn check_name<'a>(what: &str, name: &'a str) -> Result<&'a str> {
    check_not_empty(what, name)?;
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::limit_exceeded(format!(
            "{what} {} has {} bytes, a name has at most {NAME_BYTES_MAX}",
            quoted(name),
            name.len()
        )));
    }
    if let Some(found) = name.chars().find(|c| c.is_control()) {
        return Err(Error::invalid(format!(
            "{what} {} holds the control character {found:?}: remove it",
            quoted(name)
        )));
    }
    if name.trim() != name {
        return Err(Error::invalid(format!(
            "{what} {} has white space around it: remove it",
            quoted(name)
        )));
    }
    Ok(name)
}

/// Checks a name that must also be an identifier of a query or programming language: an ASCII letter or
/// underscore, then letters, digits and underscores.
///
/// # Errors
/// As [`check_name`], and [`crate::ErrorKind::Invalid`] with the first character that does not fit.
pub fn check_identifier<'a>(what: &str, name: &'a str) -> Result<&'a str> {
    check_name(what, name)?;
    let wrong = name
        .char_indices()
        .find(|&(at, c)| !(c == '_' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit())));
    match wrong {
        None => Ok(name),
        Some((at, found)) => Err(Error::invalid(format!(
            "{what} {} is no identifier: {found:?} at byte {at}, but only ASCII letters, digits and underscores \
             are allowed, and no digit first",
            quoted(name)
        ))),
    }
}

/// Checks that a text is not empty.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when it is.
pub fn check_not_empty<'a>(what: &str, text: &'a str) -> Result<&'a str> {
    if text.is_empty() {
        return Err(Error::invalid(format!("{what} is empty")));
    }
    Ok(text)
}

/// Checks that a number is neither NaN nor infinite.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when it is.
pub fn check_finite(what: &str, number: f64) -> Result<f64> {
    if number.is_finite() {
        Ok(number)
    } else {
        Err(Error::invalid(format!(
            "{what} is {number}, expected a finite number"
        )))
    }
}

/// Checks that a value lies between two bounds, both allowed. NaN lies nowhere.
///
/// ```
/// use common::utils::validation::check_in_range;
/// assert_eq!(check_in_range("level", 3, 1..=22).unwrap(), 3);
/// assert_eq!(
///     check_in_range("level", 23, 1..=22).unwrap_err().message(),
///     "level is 23, expected 1 to 22",
/// );
/// ```
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when it does not.
pub fn check_in_range<T: PartialOrd + Display>(
    what: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<T> {
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(Error::invalid(format!(
            "{what} is {value}, expected {} to {}",
            range.start(),
            range.end()
        )))
    }
}

/// Reads bytes as UTF-8 of at most `bytes_max` bytes.
///
/// # Errors
/// [`crate::ErrorKind::LimitExceeded`] when there are more; [`crate::ErrorKind::Invalid`] with the position
/// of the first byte that is not UTF-8.
pub fn check_utf8<'a>(what: &str, bytes: &'a [u8], bytes_max: usize) -> Result<&'a str> {
    if bytes.len() > bytes_max {
        return Err(Error::limit_exceeded(format!(
            "{what} has {} bytes, the limit is {bytes_max}",
            bytes.len()
        )));
    }
    std::str::from_utf8(bytes).map_err(|cause| {
        let at = cause.valid_up_to();
        let found = bytes.get(at).copied().unwrap_or_default();
        Error::invalid(format!(
            "{what} is not UTF-8: byte {found:#04x} at position {at}"
        ))
        .caused_by(cause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn names_at_the_limit_and_one_past_it() {
        let longest = "é".repeat(NAME_BYTES_MAX / 2);
        assert_eq!(check_name("table", &longest).unwrap(), longest);
        let error = check_name("table", &format!("{longest}x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        for (name, why) in [
            ("", "is empty"),
            ("a\nb", "'\\n'"),
            ("a ", "white space"),
            ("\u{a0}a", "white space"),
        ] {
            let error = check_name("table", name).unwrap_err();
            assert!(
                error.message().starts_with("table ") && error.message().contains(why),
                "{error}"
            );
        }
    }

    #[test]
    fn identifiers_are_ascii_words() {
        for name in ["a", "_", "_1", "first_name2"] {
            assert!(check_identifier("column", name).is_ok(), "{name}");
        }
        for (name, why) in [
            ("1a", "'1' at byte 0"),
            ("a-b", "'-' at byte 1"),
            ("né", "'é' at byte 1"),
            ("a b", "' '"),
        ] {
            let error = check_identifier("column", name).unwrap_err();
            assert!(error.message().contains(why), "{error}");
        }
    }

    #[test]
    fn numbers_have_ends() {
        assert!(check_finite("weight", f64::MAX).is_ok());
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(check_finite("weight", number).is_err());
        }
        assert!(check_in_range("share", 0.0, 0.0..=1.0).is_ok());
        assert!(check_in_range("share", 1.0, 0.0..=1.0).is_ok());
        assert!(check_in_range("share", 1.0_f64.next_up(), 0.0..=1.0).is_err());
        assert!(check_in_range("share", f64::NAN, 0.0..=1.0).is_err());
    }

    #[test]
    fn bytes_are_text_up_to_a_limit() {
        assert_eq!(check_utf8("cell", "né".as_bytes(), 3).unwrap(), "né");
        assert_eq!(
            check_utf8("cell", "né".as_bytes(), 2).unwrap_err().kind(),
            ErrorKind::LimitExceeded
        );
        let error = check_utf8("cell", b"ab\xffcd", 10).unwrap_err();
        assert_eq!(
            error.message(),
            "cell is not UTF-8: byte 0xff at position 2"
        );
        assert!(
            check_utf8("cell", b"ab\xc3", 10)
                .unwrap_err()
                .message()
                .contains("position 2")
        );
    }
}
