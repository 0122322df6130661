//! [`Record`]: one immutable version of one row, and [`Row`]: named values on their way in.

use std::fmt;
use std::ops::Deref;

use triomphe::ThinArc;

use super::id::{RecordId, Seq};
use super::time::Timestamp;
use super::value::{Text, Value};

/// What every record carries beside its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Position of the commit that wrote this version.
    pub seq: Seq,
    /// When the record was first written.
    pub created: Timestamp,
    /// When this version was written.
    pub updated: Timestamp,
    /// How many versions the record has had, this one included: 1 when created.
    pub revision: u32,
}

/// Header of a stored record; the values follow it in the same allocation. Flat and without padding, so that
/// the first key column shares the first cache line.
struct Header {
    seq: Seq,
    created: Timestamp,
    updated: Timestamp,
    revision: u32,
    key_columns: u32,
}

impl Header {
    const fn new(metadata: Metadata, key_columns: u32) -> Self {
        let Metadata {
            seq,
            created,
            updated,
            revision,
        } = metadata;
        Self {
            seq,
            created,
            updated,
            revision,
            key_columns,
        }
    }
}

/// One version of one row: metadata and values by column position, the key's columns first.
///
/// One allocation, one pointer; cloning counts a reference. A record never changes: an update makes a new
/// one, so whoever holds a record keeps what was read.
///
/// ```
/// use common::{Metadata, Record, RecordId, Value};
/// let record = Record::new(Metadata::default(), 1, vec![Value::from(7), Value::from("Oulu")]);
/// assert_eq!(record.id(), RecordId::from(7));
/// assert_eq!(record[1], Value::from("Oulu"));
/// ```
#[derive(Clone)]
pub struct Record(ThinArc<Header, Value>);

impl Record {
    /// A record from its values in storage order, of which the first `key_columns` are the key.
    ///
    /// # Panics
    /// When there are fewer values than key columns, or no key column.
    pub fn new<I>(metadata: Metadata, key_columns: usize, values: I) -> Self
    where
        I: IntoIterator<Item = Value>,
        I::IntoIter: ExactSizeIterator,
    {
        let values = values.into_iter();
        assert!(
            (1..=values.len()).contains(&key_columns),
            "a record has at least one key column and a value for each"
        );
        let key_columns = u32::try_from(key_columns).unwrap_or(u32::MAX);
        Self(ThinArc::from_header_and_iter(
            Header::new(metadata, key_columns),
            values,
        ))
    }

    /// Changes a record that nobody else has seen yet; `None` when somebody has.
    pub(crate) fn with_values_mut<T>(
        &mut self,
        change: impl FnOnce(&mut [Value]) -> T,
    ) -> Option<T> {
        self.0
            .with_arc_mut(|arc| triomphe::Arc::get_mut(arc).map(|parts| change(parts.slice_mut())))
    }

    /// Sets the metadata of a record that nobody else has seen yet.
    pub(crate) fn set_metadata(&mut self, metadata: Metadata) {
        self.0.with_arc_mut(|arc| {
            if let Some(parts) = triomphe::Arc::get_mut(arc) {
                let key_columns = parts.header().key_columns;
                *parts.header_mut() = Header::new(metadata, key_columns);
            }
        });
    }

    /// The key of a deleted record, with no other column: what the log keeps of a deletion.
    pub fn tombstone(metadata: Metadata, id: &RecordId) -> Self {
        Self::new(metadata, id.values().len(), id.values().to_vec())
    }

    /// When and where this version was written.
    #[inline]
    pub fn metadata(&self) -> Metadata {
        let Header {
            seq,
            created,
            updated,
            revision,
            ..
        } = self.0.header.header;
        Metadata {
            seq,
            created,
            updated,
            revision,
        }
    }

    /// Position of the commit that wrote this version.
    #[inline]
    pub fn seq(&self) -> Seq {
        self.0.header.header.seq
    }

    /// All values in storage order; the same as dereferencing the record.
    #[inline]
    pub fn values(&self) -> &[Value] {
        &self.0.slice
    }

    /// The values of the key.
    #[inline]
    pub fn key(&self) -> &[Value] {
        // The constructor checked that the key is no longer than the values.
        self.values().get(..self.key_columns()).unwrap_or_default()
    }

    /// Number of key columns.
    #[inline]
    pub fn key_columns(&self) -> usize {
        self.0.header.header.key_columns as usize
    }

    /// The key as an owned id.
    pub fn id(&self) -> RecordId {
        RecordId::from(self.key())
    }

    /// Whether both are the same version in memory.
    pub fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self.0.ptr(), other.0.ptr())
    }

    /// Bytes of heap that this record keeps alive.
    pub fn heap_bytes(&self) -> usize {
        // Reference count and length, as `ThinArc` lays them out.
        const COUNTS: usize = 16;
        let values = self.values();
        COUNTS
            + size_of::<Header>()
            + size_of_val(values)
            + values.iter().map(Value::heap_bytes).sum::<usize>()
    }
}

impl Deref for Record {
    type Target = [Value];

    #[inline]
    fn deref(&self) -> &[Value] {
        self.values()
    }
}

/// Equal when key, values and metadata are.
impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other)
            || (self.metadata() == other.metadata()
                && self.key_columns() == other.key_columns()
                && self.values() == other.values())
    }
}

impl Eq for Record {}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} ", self.seq())?;
        f.debug_list().entries(self.values()).finish()
    }
}

/// Named values of one row, as an application gives them; the schema turns them into a [`Record`].
///
/// Names that the schema does not know are refused, names left out take their default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row(Vec<(Text, Value)>);

impl Row {
    /// A row without values.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a value under a name; a later one of the same name wins.
    #[must_use]
    pub fn with(mut self, name: impl Into<Text>, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets the value of a name.
    pub fn set(&mut self, name: impl Into<Text>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// The value of a name, if the row has it.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// The value of a name, to change in place.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.0
            .iter_mut()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// Takes a value out; the other names keep their order.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// Keeps the values whose name and value satisfy `keep`.
    pub fn retain(&mut self, mut keep: impl FnMut(&Text, &Value) -> bool) {
        self.0.retain(|(name, value)| keep(name, value));
    }

    /// Gives a value another name, at its place; whether there was a value of the first name and none of
    /// the second, and so a change.
    pub fn rename(&mut self, from: &str, to: impl Into<Text>) -> bool {
        let to = to.into();
        if from != to && self.get(&to).is_some() {
            return false;
        }
        match self.0.iter_mut().find(|(known, _)| known == from) {
            Some(entry) => {
                entry.0 = to;
                true
            }
            None => false,
        }
    }

    /// Names and values, in the order in which they were first set.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Text, &Value)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// Number of values.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no value.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Row {
    type Item = (Text, Value);
    type IntoIter = std::vec::IntoIter<(Text, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<N: Into<Text>, V: Into<Value>> FromIterator<(N, V)> for Row {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut row = Self::new();
        for (name, value) in pairs {
            row.set(name, value);
        }
        row
    }
}

/// Writes a [`Row`] as a literal.
///
/// ```
/// use common::{row, Value};
/// let city = row! { "id": 1, "name": "Oulu", "population": 214_633 };
/// assert_eq!(city.get("name"), Some(&Value::from("Oulu")));
/// ```
#[macro_export]
macro_rules! row {
    ($($name:literal : $value:expr),* $(,)?) => {
        $crate::Row::from_iter([$(($name, $crate::Value::from($value))),*] as [(&str, $crate::Value); _])
    };
}
