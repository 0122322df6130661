//! [`Path`]: a column, or a part of the value in it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text;
use crate::core::base::Text;
use crate::error::Result;

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The entry of a map under this key.
    Key(Text),
    /// The element of a list at this position, from 0.
    Index(u32),
}

/// A column, or a part of the value in it: `country`, `address.city`, `tags[0]`.
///
/// A part that is not there (a missing key, a position past the end) is null. In joins the first name may
/// be a table's: `cities.name`. Names that are not plain identifiers stand in backticks: `` `first name` ``.
///
/// ```
/// use common::query::{Part, Path};
/// let path = Path::parse("address.lines[0]")?;
/// assert_eq!(path.column, "address");
/// assert_eq!(path.parts, [Part::Key("lines".into()), Part::Index(0)]);
/// assert_eq!(path.to_string(), "address.lines[0]");
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path {
    /// Name of the column (or, in a join, of the table).
    pub column: Text,
    /// Steps into the column's value; empty for the column itself.
    pub parts: Vec<Part>,
}

impl Path {
    /// The column of exactly this name, whatever characters it has.
    pub fn column(name: impl Into<Text>) -> Self {
        Self {
            column: name.into(),
            parts: Vec::new(),
        }
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] with the position of the first thing that does not fit.
    pub fn parse(text: &str) -> Result<Self> {
        text::parse_path(text)
    }

    /// Steps to the entry of a map.
    #[must_use]
    pub fn key(mut self, key: impl Into<Text>) -> Self {
        self.parts.push(Part::Key(key.into()));
        self
    }

    /// Steps to the element of a list.
    #[must_use]
    pub fn index(mut self, index: u32) -> Self {
        self.parts.push(Part::Index(index));
        self
    }
}

/// Reads the text form; text that is none is taken as the name of a column.
impl From<&str> for Path {
    fn from(text: &str) -> Self {
        if text::is_plain_name(text) {
            return Self::column(text);
        }
        Self::parse(text).unwrap_or_else(|_| Self::column(text))
    }
}

impl From<String> for Path {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Text> for Path {
    fn from(text: Text) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&Self> for Path {
    fn from(path: &Self) -> Self {
        path.clone()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write_name(f, &self.column)?;
        for part in &self.parts {
            match part {
                Part::Key(key) => {
                    f.write_str(".")?;
                    text::write_name(f, key)?;
                }
                Part::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
