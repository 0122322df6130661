//! [`Scope`], [`Scopes`]: which kinds of requests credentials cover.

use std::fmt;
use std::str::FromStr;

use common::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A kind of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// To see rows.
    Read,
    /// To change rows.
    Write,
    /// To administer: keys, conflicts, clients, the audit. Who has it sees all rows.
    Admin,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// The scope's name, as in tokens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| {
            Error::invalid(format!(
                "`{text}` is no scope: there are read, write and admin"
            ))
        })
    }
}

/// A set of scopes: in JSON a list of names, in tables and tokens names with spaces between.
///
/// ```
/// use server::auth::{Scope, Scopes};
/// let scopes: Scopes = "read write".parse()?;
/// assert!(scopes.has(Scope::Write) && !scopes.has(Scope::Admin));
/// assert_eq!(scopes.to_string(), "read write");
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// All of them.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether a scope is among them.
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// The scopes that a token names; other words in it mean something to others.
    pub(crate) fn known_of<'t>(words: impl Iterator<Item = &'t str>) -> Self {
        words
            .filter_map(|word| word.parse::<Scope>().ok())
            .collect()
    }

    fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let bits = scopes.into_iter().map(|scope| 1 << scope as u8);
        Self(bits.fold(0, |all, bit| all | bit))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Scope::name).collect();
        f.write_str(&names.join(" "))
    }
}

impl FromStr for Scopes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.split_whitespace().map(str::parse).collect()
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Vec::<Scope>::deserialize(deserializer).map(|scopes| scopes.into_iter().collect())
    }
}
