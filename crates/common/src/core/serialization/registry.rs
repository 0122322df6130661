//! [`FormatRegistry`]: formats by tag and by name.

use std::sync::Arc;

use super::format::{CUSTOM_TAG_MIN, Encoding, Format};
use crate::error::{Error, Result};
use crate::limits::NAME_BYTES_MAX;

/// The formats that a program knows: the built-in ones and those it registered.
#[derive(Debug, Clone)]
pub struct FormatRegistry(Vec<Format>);

/// The built-in formats.
impl Default for FormatRegistry {
    fn default() -> Self {
        Self(Format::BUILT_IN.into())
    }
}

impl FormatRegistry {
    /// Adds a format of the application.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when the tag is below [`CUSTOM_TAG_MIN`] or the name
    /// empty or too long, [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) when tag or name are taken.
    pub fn register(&mut self, encoding: Arc<dyn Encoding>) -> Result<Format> {
        let format = Format::Custom(encoding);
        let (tag, name) = (format.tag(), format.name());
        if tag < CUSTOM_TAG_MIN {
            return Err(Error::invalid(format!(
                "format `{name}` has tag {tag}, but tags below {CUSTOM_TAG_MIN} belong to the library"
            )));
        }
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the name of a format has 1 to {NAME_BYTES_MAX} bytes, `{name}` has {}",
                name.len()
            )));
        }
        let taken = |known: &&Format| known.tag() == tag || known.name() == name;
        if let Some(known) = self.0.iter().find(taken) {
            return Err(Error::conflict(format!(
                "format {format:?} cannot be registered beside {known:?}"
            )));
        }
        self.0.push(format.clone());
        Ok(format)
    }

    /// The format of this tag.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when no format has it.
    pub fn by_tag(&self, tag: u8) -> Result<Format> {
        let found = self.0.iter().find(|format| format.tag() == tag);
        found.cloned().ok_or_else(|| {
            Error::unsupported(format!(
                "no format has tag {tag}; known are {}",
                self.names()
            ))
        })
    }

    /// The format of this name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when no format has it.
    pub fn by_name(&self, name: &str) -> Result<Format> {
        let found = self.0.iter().find(|format| format.name() == name);
        found.cloned().ok_or_else(|| {
            Error::not_found(format!(
                "no format is named `{name}`; known are {}",
                self.names()
            ))
        })
    }

    /// All formats: the built-in ones by tag, then the others as they were registered.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Format> {
        self.0.iter()
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(Format::name).collect();
        names.join(", ")
    }
}
