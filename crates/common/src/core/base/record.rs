//! [`Record`]: one immutable version of one row, and [`Row`]: named values on their way in.

use std::fmt;
use std::ops::Deref;

use smallvec::SmallVec;

use super::body::{Body, Inputs};
use super::id::{RecordId, Seq};
use super::text::Text;
use super::time::Timestamp;
use super::value::Value;
use super::value_input::ValueInput;

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

/// One version of one row: metadata and values by column position, the key's columns first.
///
/// One allocation, which texts of up to 256 bytes are part of, and one pointer; cloning counts a reference. A record
/// never changes: an update makes a new one, so whoever holds a record keeps what was read.
///
/// ```
/// use common::{Metadata, Record, RecordId, Value};
/// let record = Record::new(Metadata::default(), 1, vec![Value::from(7), Value::from("Oulu")]);
/// assert_eq!(record.id(), RecordId::from(7));
/// assert_eq!(record[1], Value::from("Oulu"));
/// ```
#[derive(Clone)]
pub struct Record(Body);

impl Record {
    /// A record from its values in storage order, of which the first `key_columns` are the key.
    ///
    /// # Panics
    /// When there are fewer values than key columns, no key column or more than 255, or more than 8,388,607
    /// values.
    pub fn new(
        metadata: Metadata,
        key_columns: usize,
        values: impl IntoIterator<Item = Value>,
    ) -> Self {
        let mut inputs: Inputs<'_> = values.into_iter().map(ValueInput::from).collect();
        Self::of(metadata, key_columns, &mut inputs)
    }

    /// As [`Record::new`], of values that are together already, which it takes.
    #[inline]
    pub(crate) fn of(
        metadata: Metadata,
        key_columns: usize,
        values: &mut [ValueInput<'_>],
    ) -> Self {
        Self(Body::of(metadata, key_columns, values))
    }

    /// A record with other values in some columns, given by position; of several for one column, the last wins.
    pub(crate) fn changed(&self, metadata: Metadata, changes: &[(usize, Value)]) -> Self {
        let mut values: SmallVec<[&Value; 16]> = self.iter().collect();
        for (position, value) in changes {
            if let Some(place) = values.get_mut(*position) {
                *place = value;
            }
        }
        Self(Body::copy_of(metadata, self.key_columns(), &values))
    }

    /// Sets the metadata of a record that nobody else has seen yet.
    pub(crate) fn set_metadata(&mut self, metadata: Metadata) {
        let alone = self.0.set_metadata(metadata);
        debug_assert!(alone, "somebody has seen the record");
    }

    /// Asks the processor for all values at once; see `Body::touch`.
    #[inline]
    pub(crate) fn touch(&self) {
        self.0.touch();
    }

    /// The key of a deleted record, with no other column: what the log keeps of a deletion.
    pub fn tombstone(metadata: Metadata, id: &RecordId) -> Self {
        Self::new(metadata, id.values().len(), id.values().to_vec())
    }

    /// When and where this version was written.
    #[inline]
    pub fn metadata(&self) -> Metadata {
        self.0.metadata()
    }

    /// Position of the commit that wrote this version.
    #[inline]
    pub fn seq(&self) -> Seq {
        self.0.seq()
    }

    /// All values in storage order; the same as dereferencing the record.
    #[inline]
    pub fn values(&self) -> &[Value] {
        self.0.values()
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
        self.0.key_columns()
    }

    /// The key as an owned id.
    pub fn id(&self) -> RecordId {
        RecordId::from(self.key())
    }

    /// Whether both are the same version in memory.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.is_same(&other.0)
    }

    /// Bytes of heap that this record keeps alive.
    pub fn heap_bytes(&self) -> usize {
        self.0.bytes() + self.values().iter().map(Value::heap_bytes).sum::<usize>()
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
