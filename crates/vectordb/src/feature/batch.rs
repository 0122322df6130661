//! [`FeatureBatch`]: events on their way into a view, and what becomes of those that break a rule.

use common::{Error, ErrorKind, RecordId, Result, Seq, Text, Timestamp, Value};
use serde::{Deserialize, Serialize};

use super::directory::Key;
use crate::lineage::LineageNode;

/// Keys of many entities, borrowed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Keys<'a> {
    /// Integers.
    Ints(&'a [i64]),
    /// Texts.
    Texts(&'a [&'a str]),
    /// Keys of any columns.
    Ids(&'a [RecordId]),
}

impl<'a> From<&'a [i64]> for Keys<'a> {
    fn from(keys: &'a [i64]) -> Self {
        Self::Ints(keys)
    }
}

impl<'a> From<&'a Vec<i64>> for Keys<'a> {
    fn from(keys: &'a Vec<i64>) -> Self {
        Self::Ints(keys)
    }
}

impl<'a, const N: usize> From<&'a [i64; N]> for Keys<'a> {
    fn from(keys: &'a [i64; N]) -> Self {
        Self::Ints(keys)
    }
}

impl<'a> From<&'a [&'a str]> for Keys<'a> {
    fn from(keys: &'a [&'a str]) -> Self {
        Self::Texts(keys)
    }
}

impl<'a> From<&'a [RecordId]> for Keys<'a> {
    fn from(keys: &'a [RecordId]) -> Self {
        Self::Ids(keys)
    }
}

impl<'a> From<&'a Vec<RecordId>> for Keys<'a> {
    fn from(keys: &'a Vec<RecordId>) -> Self {
        Self::Ids(keys)
    }
}

impl<'a> Keys<'a> {
    /// How many there are.
    pub const fn len(self) -> usize {
        match self {
            Self::Ints(keys) => keys.len(),
            Self::Texts(keys) => keys.len(),
            Self::Ids(keys) => keys.len(),
        }
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The key at a place.
    #[inline]
    pub(super) fn get(self, at: usize) -> Option<Key<'a>> {
        match self {
            Self::Ints(keys) => keys.get(at).copied().map(Key::Int),
            Self::Texts(keys) => keys.get(at).copied().map(Key::Text),
            Self::Ids(keys) => keys.get(at).map(Key::from),
        }
    }

    /// The keys from one place to before another.
    pub(super) fn slice(self, from: usize, to: usize) -> Self {
        match self {
            Self::Ints(keys) => Self::Ints(keys.get(from..to).unwrap_or_default()),
            Self::Texts(keys) => Self::Texts(keys.get(from..to).unwrap_or_default()),
            Self::Ids(keys) => Self::Ids(keys.get(from..to).unwrap_or_default()),
        }
    }
}

/// Times of events: one for all, or one for each.
#[derive(Debug, Clone, Copy)]
pub enum Times<'a> {
    /// The same for all.
    All(Timestamp),
    /// One for each event.
    Each(&'a [Timestamp]),
}

impl Times<'_> {
    pub(super) fn get(self, at: usize) -> Option<Timestamp> {
        match self {
            Self::All(time) => Some(time),
            Self::Each(times) => times.get(at).copied(),
        }
    }

    pub(super) fn check(self, what: &str, rows: usize) -> Result<()> {
        match self {
            Self::All(_) => Ok(()),
            Self::Each(times) => check_rows(what, times.len(), rows),
        }
    }
}

/// Values of one feature, one for each event.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Column<'a> {
    /// Numbers, NaN where one is missing.
    Floats(&'a [f64]),
    /// Integers.
    Ints(&'a [i64]),
    /// Texts.
    Texts(&'a [Option<&'a str>]),
    /// Values of any type, null where one is missing.
    Values(&'a [Value]),
}

impl Column<'_> {
    pub(super) const fn len(self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Ints(values) => values.len(),
            Self::Texts(values) => values.len(),
            Self::Values(values) => values.len(),
        }
    }

    pub(super) fn get(self, at: usize) -> Value {
        let value = match self {
            Self::Floats(values) => values
                .get(at)
                .filter(|x| !x.is_nan())
                .copied()
                .map(Value::Float),
            Self::Ints(values) => values.get(at).copied().map(Value::Int),
            Self::Texts(values) => values.get(at).copied().flatten().map(Value::from),
            Self::Values(values) => values.get(at).cloned(),
        };
        value.unwrap_or_default()
    }
}

/// Events of many entities by column. Features that are left out are missing in all of them, or have their default.
///
/// ```
/// use common::Timestamp;
/// use vectordb::feature::FeatureBatch;
/// let batch = FeatureBatch::new(&[1, 2, 3], Timestamp(1_000_000))
///     .floats("mean_fare", &[9.5, f64::NAN, 12.0]);
/// # let _ = batch;
/// ```
#[derive(Debug, Clone)]
pub struct FeatureBatch<'a> {
    pub(super) keys: Keys<'a>,
    pub(super) events: Times<'a>,
    pub(super) known: Option<Times<'a>>,
    pub(super) columns: Vec<(Text, Column<'a>)>,
    pub(super) deletions: Option<&'a [bool]>,
    pub(super) source: Option<(Text, LineageNode, Vec<Text>)>,
}

impl<'a> FeatureBatch<'a> {
    /// Events of these entities that happened at one time and become known now.
    pub fn new(keys: impl Into<Keys<'a>>, event: Timestamp) -> Self {
        Self {
            keys: keys.into(),
            events: Times::All(event),
            known: None,
            columns: Vec::new(),
            deletions: None,
            source: None,
        }
    }

    /// Sets when each event happened.
    #[must_use]
    pub const fn at(mut self, events: &'a [Timestamp]) -> Self {
        self.events = Times::Each(events);
        self
    }

    /// Sets when the events became known, for histories from elsewhere: now or earlier.
    #[must_use]
    pub const fn known(mut self, known: Times<'a>) -> Self {
        self.known = Some(known);
        self
    }

    /// Says which events are deletions of their entity, as [`FeatureView::delete`](super::FeatureView::delete) writes
    /// them; these have no values.
    ///
    /// ```
    /// use common::schema::FieldType;
    /// use common::{Database, Timestamp};
    /// use vectordb::feature::{AsOf, Entity, FeatureBatch, FeatureStore, OnInvalid, Status, ViewDefinition};
    /// let store = FeatureStore::open(&Database::new())?;
    /// store.create_entity(&Entity::new("user", [("user_id", FieldType::Int)]))?;
    /// let rides = store.create_view(ViewDefinition::new("rides", "user").floats(["fare"]))?;
    /// let batch = FeatureBatch::new(&[1, 2], Timestamp(5)).floats("fare", &[9.5, f64::NAN]).deletions(&[false, true]);
    /// rides.ingest(&batch, OnInvalid::Refuse)?;
    /// assert_eq!(rides.get(1, AsOf::latest())?.status, Status::Present);
    /// assert_eq!(rides.get(2, AsOf::latest())?.status, Status::Missing);
    /// # Ok::<(), common::Error>(())
    /// ```
    #[must_use]
    pub const fn deletions(mut self, marks: &'a [bool]) -> Self {
        self.deletions = Some(marks);
        self
    }

    /// Says where the events come from: lineage gets a run of this name, in the same commit. What it read is a `source`,
    /// which is written down as well, and the nodes of the ids `parents`, such as transformations that are kept.
    #[must_use]
    pub fn source(
        mut self,
        run: impl Into<Text>,
        source: LineageNode,
        parents: impl IntoIterator<Item = Text>,
    ) -> Self {
        self.source = Some((run.into(), source, parents.into_iter().collect()));
        self
    }

    /// Adds a feature of numbers, NaN where one is missing.
    #[must_use]
    pub fn floats(self, feature: impl Into<Text>, values: &'a [f64]) -> Self {
        self.column(feature, Column::Floats(values))
    }

    /// Adds a feature.
    #[must_use]
    pub fn column(mut self, feature: impl Into<Text>, values: Column<'a>) -> Self {
        self.columns.push((feature.into(), values));
        self
    }
}

pub(super) fn check_rows(what: &str, given: usize, rows: usize) -> Result<()> {
    if given == rows {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!("{what} has {given} elements, but there are {rows} keys"),
    ))
}

/// What becomes of an event that breaks a rule of its view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnInvalid {
    /// Nothing of the batch is kept.
    #[default]
    Refuse,
    /// The event is left out and reported.
    Skip,
    /// Values that break a rule count as missing and are reported; an event whose key or times are wrong, or that then
    /// misses a value which its view requires, is left out.
    Missing,
}

/// What a batch did.
#[derive(Debug, Default)]
pub struct Ingested {
    /// The commit; the last one if nothing changed.
    pub seq: Seq,
    /// Events that are new.
    pub events: usize,
    /// Events that were there already, with the same values.
    pub unchanged: usize,
    /// Events left out, by place in the batch.
    pub skipped: Vec<(usize, Error)>,
    /// Values taken as missing: place in the batch, feature, what was wrong.
    pub missing: Vec<(usize, Text, String)>,
}
