//! Many entities at once: in blocks, on threads, each as of one time or of its own.

use std::ops::ControlFlow;
use std::time::Instant;

use common::{Error, Result, Seq, Timestamp};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Retrieval;
use crate::feature::as_of::{AsOf, Status};
use crate::feature::batch::{Keys, Times};
use crate::feature::cell::MISSING;
use crate::feature::directory::NONE;

/// Rows that are read under one lock, and between two looks at the deadline.
const ROWS_AT_ONCE: usize = 256;
/// Rows of which all are looked up before the first is copied, so that memory is asked for all of them at once.
const ROWS_AHEAD: usize = 32;
/// Fewest rows for each thread.
const ROWS_PER_THREAD: usize = 1_024;

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
    /// Entities of which some view had none, or whose values the transformer refused.
    pub incomplete: usize,
    /// Entities that were not read when the deadline came.
    pub unread: usize,
}

impl Retrieval {
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

    /// As [`Retrieval::get_many`], rounded to 32 bits after all transformations: half the memory for a model that takes no more.
    ///
    /// # Errors
    /// As [`Retrieval::get_many`].
    pub fn get_many_f32<'k>(
        &self,
        keys: impl Into<Keys<'k>>,
        as_of: AsOf,
        out: &mut [f32],
        statuses: &mut [Status],
        options: BatchOptions,
    ) -> Result<BatchReport> {
        self.read(keys.into(), (&|_| as_of, false), out, statuses, options)
    }

    /// Reads any number of entities block by block, so that no more than a block is in memory: `visit` gets the place of the
    /// first entity of the block, its numbers, its states, and says whether to go on. The order of
    /// [`BatchOptions`] is that within a block.
    ///
    /// ```
    /// # use common::schema::FieldType;
    /// # use common::{Database, Timestamp};
    /// # use vectordb::feature::{AsOf, Entity, FeatureBatch, FeatureStore, OnInvalid, ViewDefinition};
    /// use std::ops::ControlFlow;
    /// use vectordb::feature::BatchOptions;
    /// # let store = FeatureStore::open(&Database::new())?;
    /// # store.create_entity(&Entity::new("user", [("user_id", FieldType::Int)]))?;
    /// # let rides = store.create_view(ViewDefinition::new("rides", "user").floats(["fare"]))?;
    /// # rides.ingest(&FeatureBatch::new(&[1, 2, 3], Timestamp(5)).floats("fare", &[1.0, 2.0, 3.0]), OnInvalid::Refuse)?;
    /// let retrieval = store.retrieval().view("rides").prepare()?;
    /// let mut total = 0.0;
    /// retrieval.get_in_blocks(&[1, 2, 3], AsOf::latest(), 2, BatchOptions::default(), |_, numbers, _| {
    ///     total += numbers.iter().sum::<f64>();
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert_eq!(total, 6.0);
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`common::ErrorKind::Closed`] when a view was altered since the retrieval was prepared.
    pub fn get_in_blocks<'k>(
        &self,
        keys: impl Into<Keys<'k>>,
        as_of: AsOf,
        rows_at_once: usize,
        options: BatchOptions,
        mut visit: impl FnMut(usize, &[f64], &[Status]) -> ControlFlow<()>,
    ) -> Result<BatchReport> {
        let keys = keys.into();
        let rows = rows_at_once.clamp(1, keys.len().max(1));
        let mut out = vec![0.0; rows * self.outputs];
        let mut statuses = vec![Status::Unread; rows * self.parts.len()];
        let mut report = BatchReport::default();
        for from in (0..keys.len()).step_by(rows) {
            let some = keys.slice(from, (from + rows).min(keys.len()));
            let out = part_of(&mut out, 0, some.len() * self.outputs);
            let statuses = part_of(&mut statuses, 0, some.len() * self.parts.len());
            let block = self.get_many(some, as_of, out, statuses, options)?;
            report.present += block.present;
            report.incomplete += block.incomplete;
            report.unread += block.unread;
            if visit(from, out, statuses).is_break() {
                break;
            }
        }
        Ok(report)
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
    pub(in crate::feature) fn join_up_to(
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
    fn read<T: Element>(
        &self,
        keys: Keys<'_>,
        (as_of, is_past): (&(dyn Fn(usize) -> AsOf + Sync), bool),
        out: &mut [T],
        statuses: &mut [Status],
        options: BatchOptions,
    ) -> Result<BatchReport> {
        let begin = self.observer.as_ref().map(|_| Instant::now());
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
        let is_direct = options.order == Order::RowMajor && T::direct(&mut []).is_some();
        let mut block = if is_direct {
            Vec::new()
        } else {
            vec![0.0; rows_at_once.min(keys.len()) * self.outputs]
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
            let rows = if is_direct {
                let rows = part_of(out, from * self.outputs, to * self.outputs);
                T::direct(rows).unwrap_or_default()
            } else {
                part_of(&mut block, 0, cells)
            };
            let as_of = |at| as_of(from + at);
            let present = if threads == 1 {
                self.read_rows(keys.slice(from, to), (&as_of, is_past), rows, statuses)
            } else {
                self.read_on_threads(keys.slice(from, to), (&as_of, is_past), rows, statuses)
            };
            report.present += present;
            report.incomplete += to - from - present;
            let rows = block.get(..cells).unwrap_or_default();
            match options.order {
                Order::ColumnMajor => scatter(rows, self.outputs, from, out, keys.len()),
                Order::RowMajor => {
                    for (place, number) in out.iter_mut().skip(from * self.outputs).zip(rows) {
                        *place = T::of(*number);
                    }
                }
            }
        }
        if let (Some(observer), Some(begin)) = (&self.observer, begin) {
            observer(&report, begin.elapsed());
        }
        Ok(report)
    }

    fn read_on_threads(
        &self,
        keys: Keys<'_>,
        (as_of, is_past): (&(dyn Fn(usize) -> AsOf + Sync), bool),
        out: &mut [f64],
        statuses: &mut [Status],
    ) -> usize {
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
    ) -> usize {
        let [part] = &*self.parts else {
            let views = self.parts.len();
            let mut present = 0;
            for (at, out) in out.chunks_exact_mut(self.outputs).enumerate() {
                let Some(key) = keys.get(at) else { break };
                let mut places = statuses.iter_mut().skip(at * views);
                let read = self.get_parts(key, as_of(at), out, &mut |status| {
                    if let Some(place) = places.next() {
                        *place = status;
                    }
                });
                present += usize::from(matches!(read, Ok(Status::Present)));
                if read.is_err() {
                    out.fill(MISSING);
                    let places = statuses.iter_mut().skip(at * views);
                    places
                        .take(views)
                        .for_each(|place| *place = Status::Refused);
                }
            }
            return present;
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
                let mut status = found.map_or(Status::Unknown, |(_, status)| status);
                if self
                    .copy(&events, part, ready.is_some(), found, out)
                    .is_err()
                {
                    out.fill(MISSING);
                    status = Status::Refused;
                }
                present += usize::from(status == Status::Present);
                if let Some(place) = statuses.get_mut(first + at) {
                    *place = status;
                }
            }
        }
        present
    }
}

fn part_of<T>(places: &mut [T], from: usize, to: usize) -> &mut [T] {
    places.get_mut(from..to).unwrap_or_default()
}

/// Writes rows into columns of `height` places each, from the place `first` on.
fn scatter<T: Element>(rows: &[f64], width: usize, first: usize, out: &mut [T], height: usize) {
    for (column, out) in out.chunks_exact_mut(height.max(1)).enumerate() {
        let values = rows.iter().skip(column).step_by(width.max(1));
        for (place, value) in out.iter_mut().skip(first).zip(values) {
            *place = T::of(*value);
        }
    }
}

/// What the numbers of a batch may be.
trait Element: Copy {
    fn of(number: f64) -> Self;
    /// The places themselves, if numbers are read into them as they are.
    fn direct(places: &mut [Self]) -> Option<&mut [f64]>;
}

impl Element for f64 {
    fn of(number: f64) -> Self {
        number
    }

    fn direct(places: &mut [Self]) -> Option<&mut [f64]> {
        Some(places)
    }
}

impl Element for f32 {
    #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest")]
    fn of(number: f64) -> Self {
        number as Self
    }

    fn direct(_: &mut [Self]) -> Option<&mut [f64]> {
        None
    }
}
