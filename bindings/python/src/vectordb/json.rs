//! Lists of floats as JSON, written and read as Python's `json` module does.

use std::fmt::Write as _;

/// Writes `[1.0, 2.5]`.
pub(super) fn write_floats(values: &[f64], text: &mut String) {
    text.reserve(values.len() * 21);
    text.push('[');
    for (number, value) in values.iter().enumerate() {
        if number > 0 {
            text.push_str(", ");
        }
        write_float(*value, text);
    }
    text.push(']');
}

/// The shortest text that reads back as the same float, laid out as Python's `repr` does: with an exponent below 1e-4 and
/// from 1e16 on.
fn write_float(value: f64, text: &mut String) {
    if value.is_nan() {
        text.push_str("NaN");
        return;
    }
    if value.is_infinite() {
        text.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
        return;
    }
    let size = value.abs();
    let begin = text.len();
    if size == 0.0 || (1e-4..1e16).contains(&size) {
        text.push_str(ryu::Buffer::new().format_finite(value));
        return;
    }
    let _ = write!(text, "{value:e}");
    // Rust writes 1e-5 and 1e16 where Python has 1e-05 and 1e+16.
    if let Some(at) = text.get(begin..).and_then(|own| own.find('e')) {
        let exponent = text.split_off(begin + at + 1);
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent.as_str()),
        };
        let _ = write!(text, "{sign}{digits:0>2}");
    }
}

/// Reads what `Vector.to_json` writes: the values, and the object of all other keys if there are any. `None` for JSON
/// that is laid out otherwise, and for what may be no JSON.
pub(super) fn read_vector(text: &str) -> Option<(Vec<f64>, Option<String>)> {
    let text = text.strip_prefix("{\"values\": [")?;
    let (numbers, rest) = text.split_once(']')?;
    let mut parts = numbers.split(',').enumerate();
    let values: Option<Vec<f64>> = parts.try_fold(
        Vec::with_capacity(numbers.len() / 12),
        |mut values, (at, part)| {
            let number = if at == 0 {
                part
            } else {
                part.strip_prefix(' ')?
            };
            values.push(read_float(number)?);
            Some(values)
        },
    );
    let values = values?;
    if rest == "}" {
        return Some((values, None));
    }
    let rest = rest
        .strip_prefix(", ")
        .filter(|rest| rest.starts_with('"'))?;
    Some((values, Some(format!("{{{rest}"))))
}

/// A finite number as JSON has it.
fn read_float(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let whole = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let (whole, rest) = digits.split_at(whole);
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
        return None;
    }
    let is_number = match rest.strip_prefix('.') {
        _ if rest.is_empty() => true,
        Some(fraction) => {
            let end = fraction
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(fraction.len());
            let (digits, exponent) = fraction.split_at(end);
            !digits.is_empty() && is_exponent(exponent)
        }
        None => is_exponent(rest),
    };
    if !is_number {
        return None;
    }
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

fn is_exponent(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(['e', 'E']) else {
        return text.is_empty();
    };
    let digits = digits.strip_prefix(['-', '+']).unwrap_or(digits);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}
