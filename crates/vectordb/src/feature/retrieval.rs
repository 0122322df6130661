//! [`Retrieval`]: a read of features that is planned once and then made often.

use std::sync::Arc;
use std::time::Instant;

use common::{Error, ErrorKind, Result, Seq, Text, Timestamp};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::as_of::{AsOf, Status};
use super::batch::{Keys, Times};
use super::cell::{Kind, MISSING};
use super::definition::ttl_micros;
use super::directory::{Key, NONE};
use super::events::{Events, RowRef};
use super::materialised::Materialised;
use super::selection::Selection;
use super::storage::EventStorage;
use super::store::FeatureStore;
use super::view::FeatureView;
use crate::transform::{Matrix, Steps};

/// Rows that are read under one lock, and between two looks at the deadline.
const ROWS_AT_ONCE: usize = 256;
/// Rows of which all are looked up before the first is copied, so that memory is asked for all of them at once.
const ROWS_AHEAD: usize = 32;
/// Fewest rows for each thread.
const ROWS_PER_THREAD: usize = 1_024;

/// Says which features a [`Retrieval`] reads, and what becomes of them.
#[derive(Debug, Clone)]
pub struct RetrievalBuilder {
    store: FeatureStore,
    parts: Vec<(Text, Vec<Text>)>,
    steps: Option<Steps>,
    is_materialised: bool,
}

impl RetrievalBuilder {
    pub(super) const fn new(store: FeatureStore) -> Self {
        Self {
            store,
            parts: Vec::new(),
            steps: None,
            is_materialised: false,
        }
    }

    /// Adds features of a view, in this order.
    #[must_use]
    pub fn features<N: Into<Text>>(
        mut self,
        view: impl Into<Text>,
        features: impl IntoIterator<Item = N>,
    ) -> Self {
        let features = features.into_iter().map(Into::into).collect();
        self.parts.push((view.into(), features));
        self
    }

    /// Adds all features of a view.
    #[must_use]
    pub fn view(self, view: impl Into<Text>) -> Self {
        self.features(view, [] as [Text; 0])
    }

    /// Transforms every row that is read; missing values come to the steps as NaN.
    #[must_use]
    pub fn steps(mut self, steps: Steps) -> Self {
        self.steps = Some(steps);
        self
    }

    /// Transforms rows when they are written instead, for one view: reads cost no more than without steps, events the
    /// memory of as many numbers as the steps give. The rows that are there are transformed by
    /// [`RetrievalBuilder::prepare`], and those that come as long as the retrieval is kept.
    #[must_use]
    pub const fn materialised(mut self) -> Self {
        self.is_materialised = true;
        self
    }

    /// Plans the read.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a view or feature that is not there; [`ErrorKind::Invalid`] for views of different
    /// entities, for features that are texts, and for steps on another number of columns.
    pub fn prepare(self) -> Result<Retrieval> {
        let mut parts: Vec<Part> = Vec::new();
        let mut names = Vec::new();
        for (name, features) in &self.parts {
            let view = self.store.view(name)?;
            if let Some(first) = parts.first()
                && first.view.entity().name != view.entity().name
            {
                return Err(Error::invalid(format!(
                    "view `{}` is of entity `{}`, but `{name}` of `{}`: prepare a retrieval for each entity",
                    first.view.name(),
                    first.view.entity().name,
                    view.entity().name
                )));
            }
            parts.push(Part::new(view, features, &mut names)?);
        }
        let columns = names.len();
        if columns == 0 {
            return Err(Error::invalid("a retrieval needs a feature at least"));
        }
        let mut handle = None;
        let mut empty = vec![MISSING; columns];
        if let Some(steps) = &self.steps {
            if steps.columns() != columns {
                return Err(Error::invalid(format!(
                    "the steps take {} columns, but {columns} features are read",
                    steps.columns()
                )));
            }
            if self.is_materialised {
                let [part] = parts.as_slice() else {
                    return Err(Error::invalid(
                        "only rows of one view can be transformed when they are written",
                    ));
                };
                handle = Some(Arc::new(Handle::new(part, steps.clone())?));
            }
            let mut transformed = vec![0.0; steps.outputs()];
            steps.transform(Matrix::new(&empty, columns)?, &mut transformed)?;
            empty = transformed;
        }
        Ok(Retrieval {
            outputs: self.steps.as_ref().map_or(columns, Steps::outputs),
            parts: parts.into(),
            names: names.into(),
            steps: self.steps.map(Arc::new),
            materialised: handle,
            empty: empty.into(),
        })
    }
}

/// Features of one view.
#[derive(Debug, Clone)]
struct Part {
    view: FeatureView,
    storage: Arc<EventStorage>,
    selection: Selection,
    ttl: i64,
    /// Place of its first column among those of all parts.
    start: usize,
}

impl Part {
    fn new(view: FeatureView, features: &[Text], names: &mut Vec<Text>) -> Result<Self> {
        let definition = view.definition();
        let positions: Vec<usize> = if features.is_empty() {
            (0..definition.features.len()).collect()
        } else {
            features
                .iter()
                .map(|name| definition.position(name))
                .collect::<Result<_>>()?
        };
        let start = names.len();
        for position in &positions {
            let Some(field) = definition.features.get(*position) else {
                continue;
            };
            if Kind::of(&field.ty) == Some(Kind::Text) {
                return Err(Error::invalid(format!(
                    "feature `{}` of view `{}` is text: read it by `FeatureView::get`, or encode it first",
                    field.name, definition.name
                )));
            }
            names.push(field.name.clone());
        }
        Ok(Self {
            storage: Arc::clone(&view.inner.storage),
            selection: Selection::new(&positions),
            ttl: ttl_micros(definition.ttl_seconds),
            start,
            view,
        })
    }
}

/// Keeps the materialised rows of a view as long as somebody reads them.
#[derive(Debug)]
struct Handle {
    storage: Arc<EventStorage>,
    number: usize,
}

impl Handle {
    fn new(part: &Part, steps: Steps) -> Result<Self> {
        let mut materialised = Materialised::new(part.selection.clone(), steps);
        let mut events = part.storage.write_events();
        for row in 0..events.rows() {
            materialised.write(row, events.row(row))?;
        }
        let number = match events.materialised.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                events.materialised.push(None);
                events.materialised.len() - 1
            }
        };
        if let Some(place) = events.materialised.get_mut(number) {
            *place = Some(materialised);
        }
        drop(events);
        Ok(Self {
            storage: Arc::clone(&part.storage),
            number,
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(place) = self
            .storage
            .write_events()
            .materialised
            .get_mut(self.number)
        {
            *place = None;
        }
    }
}

/// In which order numbers lie in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// All numbers of an entity together.
    #[default]
    RowMajor,
    /// All numbers of a feature together.
    ColumnMajor,
}

/// What a row of a training set may use, by when it became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KnownAt {
    /// What was known at the row's own time: as if it had been served then.
    #[default]
    Event,
    /// What was known at one time: late data up to then counts.
    By(Timestamp),
    /// Whatever is known now.
    Ever,
}

/// How a batch is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchOptions {
    /// In which order numbers lie in the output.
    pub order: Order,
    /// When to stop; entities that were not read are said to be [`Status::Unread`].
    pub deadline: Option<Instant>,
    /// Threads to read with; 0 and 1 mean the caller's own.
    pub threads: usize,
}

/// What a batch read: how many entities were in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchReport {
    /// Entities of which every view had a row that has not expired.
    pub present: usize,
    /// Entities of which some view had none.
    pub incomplete: usize,
    /// Entities that were not read when the deadline came.
    pub unread: usize,
}

/// Features of one entity or many, transformed, as rows of one matrix: planned once, read many times.
///
/// A value that is missing or expired, and all values of an entity that is unknown, are NaN, or what the steps make of
/// NaN. Clones share the plan. Reads wait for a writer for at most 16 events.
///
/// Cost: of one entity with 100 features about 60 ns while it is in the cache, with standard scaling 60 ns more.
#[derive(Debug, Clone)]
pub struct Retrieval {
    parts: Arc<[Part]>,
    names: Arc<[Text]>,
    steps: Option<Arc<Steps>>,
    materialised: Option<Arc<Handle>>,
    outputs: usize,
    /// What a row without any value becomes.
    empty: Arc<[f64]>,
}

impl Retrieval {
    /// Names of the features in the order in which they are read, before any steps.
    pub fn features(&self) -> &[Text] {
        &self.names
    }

    /// The views that are read, with the names of the features of each.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&FeatureView, &[Text])> {
        self.parts.iter().map(|part| {
            let names = self
                .names
                .get(part.start..part.start + part.selection.columns());
            (&part.view, names.unwrap_or_default())
        })
    }

    pub(super) fn steps(&self) -> Option<&Steps> {
        self.steps.as_deref()
    }

    /// The same read with other times to live.
    pub(super) fn with_ttls(mut self, ttls: impl Iterator<Item = Option<u64>>) -> Self {
        let parts = self.parts.iter().cloned().zip(ttls);
        self.parts = parts
            .map(|(part, ttl)| Part {
                ttl: ttl_micros(ttl),
                ..part
            })
            .collect();
        self
    }

    /// How many numbers each entity has.
    pub const fn outputs(&self) -> usize {
        self.outputs
    }

    /// How many views are read: a batch gives a status for each of an entity's.
    pub fn views(&self) -> usize {
        self.parts.len()
    }

    /// Reads one entity into `out`, of [`Retrieval::outputs`] numbers. Returns the worst of its views' states.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when `out` has another length, [`ErrorKind::Closed`] when a view was altered since.
    #[inline]
    pub fn get<'k>(&self, key: impl Into<Key<'k>>, as_of: AsOf, out: &mut [f64]) -> Result<Status> {
        self.check(out.len(), 1)?;
        let key = key.into();
        let [part] = &*self.parts else {
            return self.get_parts(key, as_of, out, &mut |_| ());
        };
        let events = part.storage.read_events();
        let ready = self.ready(&events);
        let found = events.find(key);
        let found = found.and_then(|entry| events.as_of(ready, entry, as_of, part.ttl));
        let status = found.map_or(Status::Unknown, |(_, status)| status);
        self.copy(part, ready.is_some(), found, out)?;
        Ok(status)
    }

    /// The rows that are transformed already, if this read is of such.
    #[inline]
    fn ready<'e>(&self, events: &'e Events) -> Option<&'e Materialised> {
        let handle = self.materialised.as_ref()?;
        events.materialised.get(handle.number)?.as_ref()
    }

    /// Copies a row of the only part, transformed.
    #[inline]
    fn copy(
        &self,
        part: &Part,
        is_ready: bool,
        found: Option<(RowRef<'_>, Status)>,
        out: &mut [f64],
    ) -> Result<()> {
        let Some((row, Status::Present)) = found else {
            out.copy_from_slice(&self.empty);
            return Ok(());
        };
        if is_ready {
            out.copy_from_slice(row.transformed());
            return Ok(());
        }
        let values = row.values();
        match &self.steps {
            None => part.selection.gather(values, out),
            Some(steps) => match part.selection.slice(values) {
                Some(row) => steps.transform(Matrix::new(row, row.len())?, out)?,
                None => {
                    let mut raw = vec![MISSING; self.names.len()];
                    part.selection.gather(values, &mut raw);
                    steps.transform(Matrix::new(&raw, raw.len())?, out)?;
                }
            },
        }
        Ok(())
    }

    /// Reads one entity of several views.
    fn get_parts(
        &self,
        key: Key<'_>,
        as_of: AsOf,
        out: &mut [f64],
        each: &mut dyn FnMut(Status),
    ) -> Result<Status> {
        let mut raw = vec![MISSING; self.names.len()];
        let mut worst = Status::Present;
        for part in &*self.parts {
            let events = part.storage.read_events();
            let found = events.find(key);
            let found = found.and_then(|entry| events.as_of(None, entry, as_of, part.ttl));
            let status = found.map_or(Status::Unknown, |(_, status)| status);
            if let Some((row, Status::Present)) = found
                && let Some(raw) = raw.get_mut(part.start..part.start + part.selection.columns())
            {
                part.selection.gather(row.values(), raw);
            }
            each(status);
            worst = worst.max(status);
        }
        match &self.steps {
            None => out.copy_from_slice(&raw),
            Some(steps) => steps.transform(Matrix::new(&raw, raw.len())?, out)?,
        }
        Ok(worst)
    }

    /// Reads many entities into `out`, of [`Retrieval::outputs`] numbers for each. `statuses`, if not empty, has a place
    /// for each view of each entity.
    ///
    /// ```
    /// # use common::schema::FieldType;
    /// # use common::{Database, Timestamp};
    /// # use vectordb::feature::{AsOf, Entity, FeatureBatch, FeatureStore, OnInvalid, Status, ViewDefinition};
    /// use vectordb::feature::BatchOptions;
    /// # let store = FeatureStore::open(&Database::new())?;
    /// # store.create_entity(&Entity::new("user", [("user_id", FieldType::Int)]))?;
    /// # let rides = store.create_view(ViewDefinition::new("rides", "user").floats(["fare"]))?;
    /// # rides.ingest(&FeatureBatch::new(&[1, 2], Timestamp(5)).floats("fare", &[9.5, 7.0]), OnInvalid::Refuse)?;
    /// let retrieval = store.retrieval().view("rides").prepare()?;
    /// let (mut out, mut statuses) = ([0.0; 3], [Status::Present; 3]);
    /// let report = retrieval.get_many(&[2, 9, 1], AsOf::latest(), &mut out, &mut statuses, BatchOptions::default())?;
    /// assert_eq!((out[0], out[2], out[1].is_nan()), (7.0, 9.5, true));
    /// assert_eq!(statuses[1], Status::Unknown);
    /// assert_eq!(report.incomplete, 1);
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Retrieval::get`]; also when `statuses` has another length.
    pub fn get_many<'k>(
        &self,
        keys: impl Into<Keys<'k>>,
        as_of: AsOf,
        out: &mut [f64],
        statuses: &mut [Status],
        options: BatchOptions,
    ) -> Result<BatchReport> {
        self.read(keys.into(), (&|_| as_of, false), out, statuses, options)
    }

    /// Reads many entities, each as of a time of its own: what a training set is made of. Otherwise as
    /// [`Retrieval::get_many`].
    ///
    /// Cost: a look-up, a binary search among the events of the entity, and a copy for each row.
    ///
    /// # Errors
    /// As [`Retrieval::get_many`]; also when there are more or fewer times than keys.
    pub fn join<'k>(
        &self,
        keys: impl Into<Keys<'k>>,
        times: Times<'_>,
        known: KnownAt,
        out: &mut [f64],
        statuses: &mut [Status],
        options: BatchOptions,
    ) -> Result<BatchReport> {
        self.join_up_to(
            Seq(u64::MAX),
            keys.into(),
            times,
            known,
            out,
            statuses,
            options,
        )
    }

    #[expect(clippy::too_many_arguments, reason = "one more than its public form")]
    pub(super) fn join_up_to(
        &self,
        seq: Seq,
        keys: Keys<'_>,
        times: Times<'_>,
        known: KnownAt,
        out: &mut [f64],
        statuses: &mut [Status],
        options: BatchOptions,
    ) -> Result<BatchReport> {
        times.check("the list of times", keys.len())?;
        let as_of = |at| {
            let time = times.get(at).unwrap_or(Timestamp(i64::MIN));
            match known {
                KnownAt::Event => AsOf::at(time),
                KnownAt::By(known) => AsOf::event(time).known(known),
                KnownAt::Ever => AsOf::event(time),
            }
            .seq(seq)
        };
        self.read(keys, (&as_of, true), out, statuses, options)
    }

    /// Reads the entity at each place as of the time that `as_of` gives for it, and says whether that is of the past as a rule.
    fn read(
        &self,
        keys: Keys<'_>,
        (as_of, is_past): (&(dyn Fn(usize) -> AsOf + Sync), bool),
        out: &mut [f64],
        statuses: &mut [Status],
        options: BatchOptions,
    ) -> Result<BatchReport> {
        self.check(out.len(), keys.len())?;
        let places = keys.len() * self.parts.len();
        if !statuses.is_empty() && statuses.len() != places {
            return Err(Error::invalid(format!(
                "there are {} places for the states of {} entities in {} views; give {places}, or none",
                statuses.len(),
                keys.len(),
                self.parts.len()
            )));
        }
        // More than there is work for would be of no use.
        let threads = options
            .threads
            .clamp(1, keys.len().div_ceil(ROWS_PER_THREAD).max(1));
        let rows_at_once = if threads == 1 {
            ROWS_AT_ONCE
        } else {
            threads * ROWS_PER_THREAD
        };
        let mut block = match options.order {
            Order::RowMajor => Vec::new(),
            Order::ColumnMajor => vec![0.0; rows_at_once.min(keys.len()) * self.outputs],
        };
        let mut report = BatchReport::default();
        for from in (0..keys.len()).step_by(rows_at_once) {
            let to = (from + rows_at_once).min(keys.len());
            let statuses = if statuses.is_empty() {
                &mut []
            } else {
                part_of(statuses, from * self.parts.len(), to * self.parts.len())
            };
            if options
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline)
            {
                statuses.fill(Status::Unread);
                report.unread += to - from;
                continue;
            }
            let cells = (to - from) * self.outputs;
            let rows = match options.order {
                Order::RowMajor => part_of(out, from * self.outputs, to * self.outputs),
                Order::ColumnMajor => part_of(&mut block, 0, cells),
            };
            let as_of = |at| as_of(from + at);
            let present = if threads == 1 {
                self.read_rows(keys.slice(from, to), (&as_of, is_past), rows, statuses)?
            } else {
                self.read_on_threads(keys.slice(from, to), (&as_of, is_past), rows, statuses)?
            };
            report.present += present;
            report.incomplete += to - from - present;
            if options.order == Order::ColumnMajor {
                let rows = block.get(..cells).unwrap_or_default();
                scatter(rows, self.outputs, from, out, keys.len());
            }
        }
        Ok(report)
    }

    fn read_on_threads(
        &self,
        keys: Keys<'_>,
        (as_of, is_past): (&(dyn Fn(usize) -> AsOf + Sync), bool),
        out: &mut [f64],
        statuses: &mut [Status],
    ) -> Result<usize> {
        let rows = ROWS_PER_THREAD;
        let views = self.parts.len();
        let read = |at: usize, out: &mut [f64], statuses: &mut [Status]| {
            let keys = keys.slice(at * rows, (at * rows + rows).min(keys.len()));
            self.read_rows(
                keys,
                (&|row| as_of(at * rows + row), is_past),
                out,
                statuses,
            )
        };
        let chunks = out.par_chunks_mut(rows * self.outputs).enumerate();
        if statuses.is_empty() {
            return chunks.map(|(at, out)| read(at, out, &mut [])).sum();
        }
        let statuses = statuses.par_chunks_mut(rows * views);
        chunks
            .zip(statuses)
            .map(|((at, out), statuses)| read(at, out, statuses))
            .sum()
    }

    /// Reads rows into their places, and returns how many entities had all.
    fn read_rows(
        &self,
        keys: Keys<'_>,
        (as_of, is_past): (&(dyn Fn(usize) -> AsOf + Sync), bool),
        out: &mut [f64],
        statuses: &mut [Status],
    ) -> Result<usize> {
        let [part] = &*self.parts else {
            let views = self.parts.len();
            let mut present = 0;
            for (at, out) in out.chunks_exact_mut(self.outputs).enumerate() {
                let Some(key) = keys.get(at) else { break };
                let mut places = statuses.iter_mut().skip(at * views);
                let worst = self.get_parts(key, as_of(at), out, &mut |status| {
                    if let Some(place) = places.next() {
                        *place = status;
                    }
                })?;
                present += usize::from(worst == Status::Present);
            }
            return Ok(present);
        };
        let mut present = 0;
        let mut found = [None; ROWS_AHEAD];
        let events = part.storage.read_events();
        let ready = self.ready(&events);
        for (block, out) in out.chunks_mut(ROWS_AHEAD * self.outputs).enumerate() {
            let first = block * ROWS_AHEAD;
            let rows = out.chunks_exact_mut(self.outputs);
            for (at, place) in found.iter_mut().take(rows.len()).enumerate() {
                *place = keys.get(first + at).and_then(|key| events.find(key));
            }
            let number = self.materialised.as_ref().map(|handle| handle.number);
            if is_past {
                for entry in found.iter().take(rows.len()).flatten() {
                    events.prefetch_history(*entry);
                }
                for (at, entry) in found.iter_mut().take(rows.len()).enumerate() {
                    if let Some(entry) = entry {
                        // From here on the latest one that this read may see.
                        entry.latest = events.candidate(*entry, as_of(first + at));
                    }
                }
            }
            for entry in found.iter().take(rows.len()).flatten() {
                events.prefetch(entry.latest, number);
            }
            for (at, (out, entry)) in rows.zip(found).enumerate() {
                let found = entry
                    .filter(|entry| entry.latest != NONE)
                    .and_then(|entry| events.as_of(ready, entry, as_of(first + at), part.ttl));
                let status = found.map_or(Status::Unknown, |(_, status)| status);
                self.copy(part, ready.is_some(), found, out)?;
                present += usize::from(status == Status::Present);
                if let Some(place) = statuses.get_mut(first + at) {
                    *place = status;
                }
            }
        }
        Ok(present)
    }

    #[inline]
    fn check(&self, given: usize, rows: usize) -> Result<()> {
        if self.outputs.checked_mul(rows) != Some(given) {
            return Err(Error::invalid(format!(
                "the output has {given} places, but {rows} entities of {} numbers each are read",
                self.outputs
            )));
        }
        for part in &*self.parts {
            if part.storage.is_replaced() {
                return Err(Error::new(
                    ErrorKind::Closed,
                    format!(
                        "feature view `{}` was altered or dropped since this retrieval was prepared: prepare it again",
                        part.view.name()
                    ),
                ));
            }
        }
        Ok(())
    }
}

fn part_of<T>(places: &mut [T], from: usize, to: usize) -> &mut [T] {
    places.get_mut(from..to).unwrap_or_default()
}

/// Writes rows into columns of `height` places each, from the place `first` on.
fn scatter(rows: &[f64], width: usize, first: usize, out: &mut [f64], height: usize) {
    for (column, out) in out.chunks_exact_mut(height.max(1)).enumerate() {
        let values = rows.iter().skip(column).step_by(width.max(1));
        for (place, value) in out.iter_mut().skip(first).zip(values) {
            *place = *value;
        }
    }
}
