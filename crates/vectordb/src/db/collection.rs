//! [`VectorCollection`]: vectors with metadata, and the searches over them.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Atomic};
use std::time::Instant;

use common::query::Predicate;
use common::schema::Schema;
use common::{
    Collection, Committed, Database, Error, Record, RecordId, Result, Row, Slot, Text, Value,
    Vector,
};

use super::VectorOptions;
use super::follower::{Follower, Indexed};
use super::search::{Found, Hit, Search};
use crate::core::SlotSet;
use crate::indexing::{Explanation, Neighbour, Request, check_k};

/// Vectors with metadata. A handle; clones share the collection.
///
/// Searches run while others write: neither waits for the other, and each search sees the state of one commit.
#[derive(Clone)]
pub struct VectorCollection {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    table: Collection,
    options: VectorOptions,
    /// Position of the vector column.
    column: usize,
    follower: Follower,
    is_closed: AtomicBool,
}

impl VectorCollection {
    pub(super) fn open(
        database: &Database,
        table: Collection,
        options: VectorOptions,
        column: usize,
    ) -> Result<Self> {
        let follower = Follower::new(database, table.clone(), &options, column)?;
        Ok(Self {
            inner: Arc::new(Inner {
                database: database.clone(),
                table,
                options,
                column,
                follower,
                is_closed: AtomicBool::new(false),
            }),
        })
    }

    pub(super) fn close(&self) {
        self.inner.is_closed.store(true, Atomic::Release);
    }

    fn check_open(&self) -> Result<()> {
        if self.inner.is_closed.load(Atomic::Acquire) {
            return Err(Error::not_found(format!(
                "collection `{}` was dropped",
                self.name()
            )));
        }
        Ok(())
    }

    /// Name of the collection.
    pub fn name(&self) -> &str {
        self.inner.table.name()
    }

    /// Dimension and metric.
    pub fn options(&self) -> &VectorOptions {
        &self.inner.options
    }

    /// Columns of the collection: the id, the vector, the metadata.
    pub fn schema(&self) -> Arc<Schema> {
        self.inner.table.schema()
    }

    /// Bytes that the index takes beside the vectors, by part; empty where rows are scanned.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn index_bytes(&self) -> Result<Vec<(&'static str, usize)>> {
        Ok(self.inner.follower.indexed()?.index.bytes())
    }

    /// Whether the index and what is beside it belong together, now that nobody writes.
    ///
    /// # Panics
    /// When they do not.
    #[cfg(shuttle)]
    pub fn check(&self) {
        self.inner.follower.check();
    }

    /// The table underneath, for queries, transactions and indexes on metadata.
    pub fn table(&self) -> &Collection {
        &self.inner.table
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.inner.table.len()
    }

    /// Number of rows that no search finds, for they came through the table, as synced rows do, with a vector
    /// that the metric cannot compare: none, a zero one under [`Metric::Cosine`](crate::Metric::Cosine), one that is too large.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn unsearchable(&self) -> Result<usize> {
        Ok(self.inner.follower.indexed()?.unsearchable)
    }

    /// Inserts a vector with its metadata, or replaces the one of this id as a whole, in one commit.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a vector as [`Metric::prepare`](crate::Metric::prepare) says, and for metadata with every
    /// broken rule. Nothing is changed then.
    pub fn upsert(
        &self,
        id: impl Into<RecordId>,
        vector: impl Into<Vec<f32>>,
        metadata: Row,
    ) -> Result<Committed> {
        let row = self.row(&id.into(), vector.into(), metadata)?;
        let committed = self.inner.table.upsert(row)?;
        self.inner.follower.follow()?;
        Ok(committed)
    }

    /// As [`VectorCollection::upsert`] for many rows, in one commit: all of them or none. Of two rows with the
    /// same id, the later one stays.
    ///
    /// # Errors
    /// As [`VectorCollection::upsert`], with the number of the row in front.
    pub fn upsert_all<I: Into<RecordId>, V: Into<Vec<f32>>>(
        &self,
        rows: impl IntoIterator<Item = (I, V, Row)>,
    ) -> Result<Committed> {
        // Checked before the writer's lock is taken: others may write meanwhile.
        let rows = rows
            .into_iter()
            .enumerate()
            .map(|(i, (id, vector, metadata))| {
                self.row(&id.into(), vector.into(), metadata)
                    .map_err(|error| error.at(format!("row {i}")))
            })
            .collect::<Result<Vec<Row>>>()?;
        let mut transaction = self.inner.database.begin();
        for (i, row) in rows.into_iter().enumerate() {
            transaction
                .upsert(&self.inner.table, row)
                .map_err(|error| error.at(format!("row {i}")))?;
        }
        let committed = transaction.commit()?;
        self.inner.follower.follow()?;
        Ok(committed)
    }

    fn row(&self, id: &RecordId, vector: Vec<f32>, metadata: Row) -> Result<Row> {
        self.check_open()?;
        let VectorOptions {
            metric,
            dimension,
            column,
            ..
        } = &self.inner.options;
        let place = || format!("collection `{}`, id {id}", self.name());
        metric
            .prepare(&vector, *dimension)
            .map_err(|error| error.at(place()))?;
        let key = self.inner.table.schema();
        let key = key.key_fields();
        if key.len() != id.values().len() {
            return Err(Error::invalid(format!(
                "an id has {} value(s), not {}",
                key.len(),
                id.values().len()
            ))
            .at(place()));
        }
        let mut row = metadata;
        let given = key
            .iter()
            .map(|field| &field.name)
            .chain(std::iter::once(column))
            .find(|name| row.get(name).is_some());
        if let Some(name) = given {
            return Err(
                Error::invalid(format!("`{name}` is no metadata; it is given beside it"))
                    .at(place()),
            );
        }
        for (field, value) in key.iter().zip(id.values()) {
            row.set(field.name.clone(), value.clone());
        }
        row.set(column.clone(), Value::from(Vector::from(vector)));
        Ok(row)
    }

    /// Changes metadata of a row; its vector stays.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when there is no such row, [`common::ErrorKind::Invalid`] with every
    /// broken rule, and when the vector is among the changes: that is [`VectorCollection::upsert`].
    pub fn update(&self, id: impl Into<RecordId>, metadata: Row) -> Result<Committed> {
        self.check_open()?;
        let column = &self.inner.options.column;
        if metadata.get(column).is_some() {
            return Err(Error::invalid(format!(
                "`{column}` is no metadata; upsert replaces a vector"
            )));
        }
        let committed = self.inner.table.update(id, metadata)?;
        self.inner.follower.follow()?;
        Ok(committed)
    }

    /// Removes a row.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when there is no such row.
    pub fn delete(&self, id: impl Into<RecordId>) -> Result<Committed> {
        self.check_open()?;
        let committed = self.inner.table.delete(id)?;
        self.inner.follower.follow()?;
        Ok(committed)
    }

    /// The row of this id, vector included.
    pub fn get(&self, id: impl Into<RecordId>) -> Option<Record> {
        self.inner.table.get(id)
    }

    /// The vector of this id, as it was given.
    pub fn vector(&self, id: impl Into<RecordId>) -> Option<Vec<f32>> {
        let record = self.get(id)?;
        let vector = record.get(self.inner.column)?.as_vector()?.as_f32()?;
        Some(vector.to_vec())
    }

    /// The nearest rows, nearest first; rows at the same distance in the order of their ids.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a vector as [`Metric::prepare`](crate::Metric::prepare) says, for `k` of 0 and for a filter
    /// that does not fit the columns; [`common::ErrorKind::NotFound`] for a selected column that there is not;
    /// [`common::ErrorKind::LimitExceeded`] for `k` above [`crate::SEARCH_K_MAX`]; what a step of the pipeline
    /// fails with.
    pub fn search(&self, search: &Search) -> Result<Found> {
        let columns = self.columns(search.select.as_deref())?;
        let (state, neighbours, explanation) = self.run(search)?;
        let schema = self.schema();
        let names: Vec<(usize, &Text)> = columns
            .iter()
            .filter_map(|at| Some((*at, &schema.fields.get(*at)?.name)))
            .collect();
        let mut places = Vec::with_capacity(neighbours.len());
        let mut rows = Vec::with_capacity(neighbours.len());
        for neighbour in neighbours {
            let Some(record) = state.record(neighbour.slot) else {
                continue;
            };
            places.push((record.id(), neighbour.distance));
            let values = names
                .iter()
                .filter_map(|(at, name)| Some(((*name).clone(), record.get(*at)?.clone())));
            rows.push(values.collect::<Row>());
        }
        let outcome = match &search.pipeline {
            Some(pipeline) => pipeline.apply(rows)?,
            None => common::transform::Pipeline::new().apply(rows)?,
        };
        let hits = outcome
            .items
            .into_iter()
            .zip(outcome.origins)
            .filter_map(|(row, origin)| {
                let (id, distance) = places.get(origin)?.clone();
                Some(Hit { id, distance, row })
            });
        Ok(Found {
            seq: explanation.seq,
            hits: hits.collect(),
            rejected: outcome.rejected,
        })
    }

    /// Runs a search up to its neighbours and tells how: what the filter let through, what was compared.
    ///
    /// # Errors
    /// As [`VectorCollection::search`].
    pub fn explain(&self, search: &Search) -> Result<Explanation> {
        self.columns(search.select.as_deref())?;
        Ok(self.run(search)?.2)
    }

    fn run(&self, search: &Search) -> Result<(Indexed, Vec<Neighbour>, Explanation)> {
        self.check_open()?;
        let place = |error: Error| error.at(format!("search in `{}`", self.name()));
        check_k(search.k).map_err(place)?;
        let VectorOptions {
            metric, dimension, ..
        } = self.inner.options;
        let query = metric
            .prepare_query(&search.vector, dimension)
            .map_err(place)?;
        let predicate = match &search.filter {
            Some(filter) => Some(filter.compile(&self.schema()).map_err(place)?),
            None => None,
        };
        let state = self.inner.follower.indexed()?;

        let begin = Instant::now();
        let slots = predicate.map(|predicate| matching(&state, &predicate));
        let filter_time = begin.elapsed();
        let begin = Instant::now();
        let request = Request {
            rows: &state.rows,
            metric,
            query: &query,
            k: search.k,
            filter: slots.as_ref(),
            tie: &|a, b| by_id(&state, a, b),
        };
        let answer = state.index.search(&request, search.effort);
        let matched = slots.as_ref().map_or(state.rows.len(), SlotSet::len);
        let explanation = Explanation {
            method: answer.method,
            seq: state.seq,
            rows: state.rows.len(),
            matched,
            compared: answer.work.compared,
            visited: answer.work.ranked,
            filter_time,
            search_time: begin.elapsed(),
        };
        let neighbours = answer.nearest;
        Ok((state, neighbours, explanation))
    }

    /// Positions of the columns that hits carry: those selected, or all metadata.
    fn columns(&self, select: Option<&[Text]>) -> Result<Vec<usize>> {
        let schema = self.schema();
        match select {
            Some(names) => names.iter().map(|name| schema.position_of(name)).collect(),
            None => Ok((schema.key_columns..schema.fields.len())
                .filter(|at| *at != self.inner.column)
                .collect()),
        }
    }
}

/// Slots of the rows that pass the filter.
fn matching(state: &Indexed, predicate: &Predicate) -> SlotSet {
    let passes = |slot: &Slot| {
        state
            .record(*slot)
            .is_some_and(|record| predicate.matches(record))
    };
    state.rows.slots().filter(passes).collect()
}

fn by_id(state: &Indexed, a: Slot, b: Slot) -> Ordering {
    let key = |slot| state.record(slot).map(Record::key);
    key(a).cmp(&key(b))
}

impl fmt::Debug for VectorCollection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let VectorOptions {
            metric, dimension, ..
        } = self.inner.options;
        write!(
            f,
            "{}: {} rows, {dimension} dimensions, {metric}",
            self.name(),
            self.count()
        )
    }
}
