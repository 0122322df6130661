//! [`RecordId`]: what names a record inside its table, and [`Slot`]: where it sits.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::text::Text;
use super::value::Value;

/// The primary key of a record: one value, or several for a composite key. 24 bytes.
///
/// ```
/// use common::{RecordId, Value};
/// let city = RecordId::from(42);
/// let member = RecordId::composite([Value::from("team-1"), Value::from(7)]);
/// assert_eq!(city.values(), &[Value::from(42)]);
/// assert_eq!(member.to_string(), "(team-1, 7)");
/// ```
#[derive(Clone)]
pub struct RecordId(Repr);

#[derive(Clone)]
enum Repr {
    Single(Value),
    Composite(Arc<[Value]>),
}

impl RecordId {
    /// A key of one value.
    #[inline]
    pub fn new(value: impl Into<Value>) -> Self {
        Self(Repr::Single(value.into()))
    }

    /// A key of any number of values; one value makes the same key as [`RecordId::new`].
    pub fn composite(values: impl IntoIterator<Item = Value>) -> Self {
        let values: Vec<Value> = values.into_iter().collect();
        match <[Value; 1]>::try_from(values) {
            Ok([value]) => Self(Repr::Single(value)),
            Err(values) => Self(Repr::Composite(values.into())),
        }
    }

    /// The key's values, in the order of the schema's key columns.
    #[inline]
    pub fn values(&self) -> &[Value] {
        match &self.0 {
            Repr::Single(value) => std::slice::from_ref(value),
            Repr::Composite(values) => values,
        }
    }

    /// Bytes of heap behind this key.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Single(value) => value.heap_bytes(),
            Repr::Composite(values) => values
                .iter()
                .map(|v| size_of::<Value>() + v.heap_bytes())
                .sum(),
        }
    }
}

impl From<&[Value]> for RecordId {
    fn from(values: &[Value]) -> Self {
        match values {
            [value] => Self(Repr::Single(value.clone())),
            values => Self(Repr::Composite(values.into())),
        }
    }
}

macro_rules! from {
    ($($source:ty),*) => {$(
        impl From<$source> for RecordId {
            #[inline]
            fn from(value: $source) -> Self {
                Self::new(value)
            }
        }
    )*};
}

from!(i64, i32, u32, &str, String, Text, Uuid, Value);

impl PartialEq for RecordId {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.values() == other.values()
    }
}

impl Eq for RecordId {}

impl PartialOrd for RecordId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RecordId {
    #[inline]
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.values().cmp(other.values())
    }
}

/// Hashes the values one after another, so that a slice of key columns hashes as the id does.
impl Hash for RecordId {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        for value in self.values() {
            value.hash(state);
        }
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Single(value) => value.fmt(f),
            Repr::Composite(values) => {
                f.write_str("(")?;
                for (i, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
        }
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RecordId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.values())
    }
}

impl<'de> Deserialize<'de> for RecordId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::composite)
    }
}

/// Where a record sits in its table: a dense number, stable while the record lives, reused afterwards.
///
/// Indexes and filters name records by slot, because four bytes beat a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// Position of a commit in the log of one database: 1 for the first, then without gaps.
///
/// 0 is the position before the first commit.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The position before the first commit.
    pub const ZERO: Self = Self(0);

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
