//! Checks that fits, transformations and decoders have in common.

use common::{Error, Result};

#[inline]
pub(crate) fn width(what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        Ok(())
    } else {
        Err(other_width(what, found, expected))
    }
}

#[cold]
fn other_width(what: &str, found: usize, expected: usize) -> Error {
    Error::invalid(format!(
        "{what} has {found} numbers where {expected} belong"
    ))
}

pub(crate) fn finite(what: &str, numbers: &[f64]) -> Result<()> {
    match numbers.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(column) => Err(Error::invalid(format!(
            "the {what} of column {column} is {}: too large, or no number",
            numbers.get(column).copied().unwrap_or_default()
        ))),
    }
}
