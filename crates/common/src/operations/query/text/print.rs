//! Writes a [`Filter`] as text that reads back as the same filter.

use std::fmt::{self, Formatter, Write as _};

use super::lexer::{begins_word, continues_word};
use super::parser::KEYWORDS;
use super::{date_of, timestamp_of};
use crate::core::base::Value;
use crate::operations::query::filter::{Filter, parameter_name};

/// Whether a name needs no backticks.
pub(in crate::operations::query) fn is_plain_name(name: &str) -> bool {
    name.starts_with(begins_word)
        && name.chars().all(continues_word)
        && !KEYWORDS.iter().any(|word| name.eq_ignore_ascii_case(word))
}

pub(in crate::operations::query) fn write_name(f: &mut Formatter<'_>, name: &str) -> fmt::Result {
    if is_plain_name(name) {
        f.write_str(name)
    } else {
        write!(f, "`{}`", name.replace('`', "``"))
    }
}

fn write_text(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('\'')?;
    for (i, part) in text.split('\'').enumerate() {
        if i > 0 {
            f.write_str("''")?;
        }
        f.write_str(part)?;
    }
    f.write_char('\'')
}

fn write_value(f: &mut Formatter<'_>, value: &Value) -> fmt::Result {
    if let Some(name) = parameter_name(value)
        && !name.is_empty()
        && name.chars().all(continues_word)
    {
        return write!(f, "${name}");
    }
    match value {
        Value::Null => f.write_str("null"),
        Value::Bool(value) => write!(f, "{value}"),
        Value::Int(value) => write!(f, "{value}"),
        Value::Float(value) if value.is_nan() => f.write_str("nan"),
        Value::Float(value) => write!(f, "{value:?}"),
        Value::Text(value) => write_text(f, value),
        Value::Bytes(value) => {
            f.write_str("x'")?;
            value.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            f.write_char('\'')
        }
        // The ends of the range have no calendar form; they are written as JSON below.
        Value::Timestamp(value) if timestamp_of(&value.to_string()) == Some(*value) => {
            write!(f, "timestamp '{value}'")
        }
        Value::Date(value) if date_of(&value.to_string()) == Some(*value) => {
            write!(f, "date '{value}'")
        }
        Value::Uuid(value) => write!(f, "uuid '{value}'"),
        other => {
            let json = serde_json::to_string(other).map_err(|_| fmt::Error)?;
            f.write_str("json ")?;
            write_text(f, &json)
        }
    }
}

fn write_list<T>(
    f: &mut Formatter<'_>,
    items: impl IntoIterator<Item = T>,
    between: &str,
    write: impl Fn(&mut Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            f.write_str(between)?;
        }
        write(f, item)?;
    }
    Ok(())
}

/// Writes a part of an `and` or below a `not`: whatever binds less tightly stands in parentheses.
fn write_part(f: &mut Formatter<'_>, part: &Filter) -> fmt::Result {
    match part {
        Filter::And(parts) | Filter::Or(parts) if parts.len() > 1 => write!(f, "({part})"),
        _ => write!(f, "{part}"),
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::True => f.write_str("true"),
            Self::Compare { path, op, value } => {
                write!(f, "{path} {} ", op.symbol())?;
                write_value(f, value)
            }
            Self::In { path, values } => {
                write!(f, "{path} in (")?;
                write_list(f, values, ", ", write_value)?;
                f.write_char(')')
            }
            Self::Between { path, low, high } => {
                write!(f, "{path} between ")?;
                write_value(f, low)?;
                f.write_str(" and ")?;
                write_value(f, high)
            }
            Self::Like { path, pattern } => {
                write!(f, "{path} like ")?;
                write_text(f, pattern)
            }
            Self::StartsWith { path, prefix } => {
                write!(f, "{path} starts with ")?;
                write_text(f, prefix)
            }
            Self::Contains { path, value } => {
                write!(f, "{path} contains ")?;
                write_value(f, value)
            }
            Self::IsNull { path } => write!(f, "{path} is null"),
            Self::And(parts) if parts.len() > 1 => write_list(f, parts, " and ", write_part),
            Self::Or(parts) if parts.len() > 1 => {
                write_list(f, parts, " or ", |f, part| match part {
                    // `and` binds tighter than `or`: no parentheses needed.
                    Self::And(_) => write!(f, "{part}"),
                    _ => write_part(f, part),
                })
            }
            Self::And(parts) => {
                f.write_str("all(")?;
                write_list(f, parts, ", ", |f, part| write!(f, "{part}"))?;
                f.write_char(')')
            }
            Self::Or(parts) => {
                f.write_str("any(")?;
                write_list(f, parts, ", ", |f, part| write!(f, "{part}"))?;
                f.write_char(')')
            }
            // `is not null` reads better than `not .. is null`, and reads back as the same tree.
            Self::Not(part) => match &**part {
                Self::IsNull { path } => write!(f, "{path} is not null"),
                part => {
                    f.write_str("not ")?;
                    write_part(f, part)
                }
            },
            Self::Custom {
                name,
                paths,
                arguments,
            } => {
                // A condition called `all` or `any` stands in backticks, so that it is not the built-in one.
                if name.eq_ignore_ascii_case("all") || name.eq_ignore_ascii_case("any") {
                    write!(f, "`{name}`")?;
                } else {
                    write_name(f, name)?;
                }
                f.write_char('(')?;
                write_list(f, paths, ", ", |f, path| write!(f, "{path}"))?;
                if !paths.is_empty() && !arguments.is_empty() {
                    f.write_str(", ")?;
                }
                write_list(f, arguments, ", ", write_value)?;
                f.write_char(')')
            }
        }
    }
}
