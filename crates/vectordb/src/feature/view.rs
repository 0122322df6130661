//! [`FeatureView`]: events of one group of features in, values as of a time out.

use std::ops::ControlFlow;
use std::sync::Arc;

use common::{
    Collection, Database, Error, ErrorKind, RecordId, Result, Row, Seq, Text, Timestamp,
    Transaction, Value, ValueInput,
};

use serde_json::json;

use super::as_of::{AsOf, Status};
use super::batch::{Column, FeatureBatch, Ingested, Keys, OnInvalid, check_rows};
use super::definition::{Entity, ViewDefinition, ttl_micros};
use super::directory::Key;
use super::events::EventBytes;
use super::storage::{EventStorage, OWN_COLUMNS};
use crate::lineage::{Lineage, LineageNode, NodeKind};

/// Events that are forgotten in one commit.
const FORGOTTEN_AT_ONCE: usize = 10_000;
/// Events of a batch that are written between two looks at who may stop it.
const EVENTS_UNWATCHED: usize = 4_096;

/// Somebody stopped a batch.
fn stopped(at: usize, all: usize) -> Error {
    Error::closed(format!(
        "the batch was stopped after {at} of {all} events; nothing of it is kept"
    ))
}

/// A feature view of a store. A handle; clones share everything.
#[derive(Clone)]
pub struct FeatureView {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) definition: ViewDefinition,
    /// Numbers of the features that may not be missing.
    pub(super) required: Vec<usize>,
    pub(super) entity: Entity,
    pub(super) version: u32,
    pub(super) database: Database,
    pub(super) table: Collection,
    pub(super) storage: Arc<EventStorage>,
    pub(super) lineage: Lineage,
}

/// One event of an entity, or what is left of it as of a time.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureRow {
    /// When it happened.
    pub event: Timestamp,
    /// When it became known.
    pub known: Timestamp,
    /// The commit that wrote it.
    pub seq: Seq,
    /// What it is as of the time asked for; of histories, whether it is a value or a deletion.
    pub status: Status,
    /// The values in the order of the view's features: null where one is missing, and all of them unless the row is
    /// present.
    pub values: Vec<Value>,
}

impl FeatureRow {
    /// What is known of the value of the feature at a place.
    pub fn status_of(&self, feature: usize) -> Status {
        match self.values.get(feature) {
            None | Some(Value::Null) if self.status == Status::Present => Status::Missing,
            _ => self.status,
        }
    }
}

impl FeatureView {
    /// Name of the view.
    pub fn name(&self) -> &str {
        &self.inner.definition.name
    }

    /// What it holds.
    pub fn definition(&self) -> &ViewDefinition {
        &self.inner.definition
    }

    /// What its features describe.
    pub fn entity(&self) -> &Entity {
        &self.inner.entity
    }

    /// Which edition of its definition this is: 1 for the first.
    pub fn version(&self) -> u32 {
        self.inner.version
    }

    /// This version of its definition among the nodes of lineage.
    pub fn lineage_node(&self) -> LineageNode {
        view_node(&self.inner.definition, self.inner.version)
    }

    /// The table of its events, an ordinary one: query it, sync it, watch it.
    pub fn table(&self) -> &Collection {
        &self.inner.table
    }

    /// The time by the clock of its database.
    pub fn now(&self) -> Timestamp {
        self.inner.database.clock().now()
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.inner.storage.read_events().len()
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of entities with an event.
    pub fn entities(&self) -> usize {
        self.inner.storage.read_events().entities()
    }

    /// Bytes that it takes in memory, by part.
    pub fn bytes(&self) -> EventBytes {
        self.inner.storage.read_events().heap_bytes()
    }

    /// Writes what happened to one entity; it becomes known now.
    ///
    /// ```
    /// use common::schema::FieldType;
    /// use common::{Database, Timestamp, Value, row};
    /// use vectordb::feature::{AsOf, Entity, FeatureStore, Status, ViewDefinition};
    /// let store = FeatureStore::open(&Database::new())?;
    /// store.create_entity(&Entity::new("user", [("user_id", FieldType::Int)]))?;
    /// let rides = store.create_view(ViewDefinition::new("rides", "user").floats(["fare"]).ttl_seconds(60))?;
    /// rides.upsert(7, Timestamp(1_000_000), row! { "fare": 9.5 })?;
    /// let at = |seconds: i64| AsOf::event(Timestamp(seconds * 1_000_000));
    /// assert_eq!(rides.get(7, at(61))?.values, [Value::from(9.5)]);
    /// assert_eq!(rides.get(7, at(62))?.status, Status::Expired);
    /// assert_eq!(rides.get(7, at(0))?.status, Status::Unknown);
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with every broken rule, [`ErrorKind::NotFound`] for a feature that the view does not
    /// have.
    pub fn upsert<'k>(
        &self,
        key: impl Into<Key<'k>>,
        event: Timestamp,
        row: Row,
    ) -> Result<Ingested> {
        let ids = [key.into().to_id()];
        let values: Vec<(Text, [Value; 1])> = row
            .into_iter()
            .map(|(name, value)| (name, [value]))
            .collect();
        let mut batch = FeatureBatch::new(ids.as_slice(), event);
        for (name, value) in &values {
            batch = batch.column(name.clone(), Column::Values(value));
        }
        self.ingest(&batch, OnInvalid::Refuse)
    }

    /// Writes that an entity is no more from a time on: reads as of then find its values missing. What happened before
    /// stays; see [`FeatureView::forget`].
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the key is not one of its entity.
    pub fn delete<'k>(&self, key: impl Into<Key<'k>>, event: Timestamp) -> Result<Seq> {
        let key = key.into().to_id();
        let mut transaction = self.begin()?;
        let known = self.next_known();
        self.insert_deletion(&mut transaction, &key, event, known, false)?;
        Ok(transaction.commit()?.seq)
    }

    fn insert_deletion(
        &self,
        transaction: &mut Transaction<'_>,
        key: &RecordId,
        event: Timestamp,
        known: Timestamp,
        is_given: bool,
    ) -> Result<bool> {
        let features = &self.inner.definition.features;
        self.insert(transaction, known, is_given, &mut |known, values| {
            begin_row(key, event, known, true, values);
            values.extend(features.iter().map(|_| ValueInput::Value(Value::Null)));
        })
    }

    /// Writes many events in one commit. Sent again with the same times of knowledge and the same values, they change
    /// nothing; of two events of an entity at one time, the one that became known later counts.
    ///
    /// Cost: about a microsecond an event of 20 features.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when columns are of other lengths than the keys, or an event breaks a rule and
    /// [`OnInvalid::Refuse`] is asked for; [`ErrorKind::NotFound`] for a feature that the view does not have;
    /// [`ErrorKind::Conflict`] for an event that is there with other values, known at the same time: a correction becomes
    /// known later. Nothing of the batch is kept then.
    pub fn ingest(&self, batch: &FeatureBatch<'_>, on_invalid: OnInvalid) -> Result<Ingested> {
        self.ingest_watched(batch, on_invalid, &mut |_| ControlFlow::Continue(()))
    }

    /// As [`FeatureView::ingest`], and calls a function from time to time with how many events are done, at last before
    /// the commit, which may stop the work: nothing of the batch is kept then.
    ///
    /// # Errors
    /// As [`FeatureView::ingest`]; [`ErrorKind::Closed`] when it was stopped.
    pub fn ingest_watched(
        &self,
        batch: &FeatureBatch<'_>,
        on_invalid: OnInvalid,
        watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Ingested> {
        let columns = self.columns(batch)?;
        let mut transaction = self.begin()?;
        let now = self.next_known();
        let mut report = Ingested::default();
        // Features to be taken as missing in the event at hand.
        let mut without: Vec<usize> = Vec::new();
        for at in 0..batch.keys.len() {
            without.clear();
            if at % EVENTS_UNWATCHED == 0 && watch(at).is_break() {
                return Err(stopped(at, batch.keys.len()));
            }
            loop {
                let written = self.write(&mut transaction, batch, &columns, at, &without, now);
                let error = match written {
                    Ok(true) => {
                        report.events += 1;
                        break;
                    }
                    Ok(false) => {
                        report.unchanged += 1;
                        break;
                    }
                    Err(error) => error,
                };
                let wrong = self.wrong_features(&error);
                if on_invalid == OnInvalid::Missing
                    && error.kind() == ErrorKind::Invalid
                    && !wrong.is_empty()
                    && wrong.iter().all(|(feature, _)| !without.contains(feature))
                {
                    for (feature, message) in wrong {
                        without.push(feature);
                        let name = self
                            .inner
                            .definition
                            .features
                            .get(feature)
                            .map(|f| f.name.clone());
                        report.missing.push((at, name.unwrap_or_default(), message));
                    }
                    continue;
                }
                let id = batch.keys.get(at).map(Key::to_id);
                let entity = &self.inner.entity.name;
                let error = match id {
                    Some(id) => error.at(format!("event {at} of the batch, {entity} {id}")),
                    None => error,
                };
                if on_invalid == OnInvalid::Refuse || error.kind() == ErrorKind::Closed {
                    return Err(error);
                }
                report.missing.retain(|(place, _, _)| *place != at);
                report.skipped.push((at, error));
                break;
            }
        }
        if let Some((run, source, parents)) = &batch.source
            && report.events > 0
        {
            let seq = transaction.seq();
            let lineage = &self.inner.lineage;
            let mut all = vec![
                lineage.record_in(&mut transaction, source, &[])?,
                self.lineage_node().id(),
            ];
            all.extend(parents.iter().cloned());
            let mut run = LineageNode::new(NodeKind::Run, run.clone(), seq.to_string());
            run.seq = seq;
            run.parameters = json!({
                "view": self.name(), "events": report.events, "unchanged": report.unchanged,
                "skipped": report.skipped.len(), "missing": report.missing.len(), "on_invalid": on_invalid,
            });
            lineage.record_in(&mut transaction, &run, &all)?;
        }
        // A commit cannot be stopped: this is the last chance.
        let all = batch.keys.len();
        if watch(all).is_break() {
            return Err(stopped(all, all));
        }
        report.seq = transaction.commit()?.seq;
        Ok(report)
    }

    /// Columns of a batch by number of feature.
    fn columns<'b>(&self, batch: &FeatureBatch<'b>) -> Result<Vec<Option<Column<'b>>>> {
        let definition = &self.inner.definition;
        let rows = batch.keys.len();
        batch.events.check("the list of event times", rows)?;
        if let Some(known) = batch.known {
            known.check("the list of times of knowledge", rows)?;
        }
        if let Some(marks) = batch.deletions {
            check_rows("the list of deletions", marks.len(), rows)?;
        }
        let mut columns = vec![None; definition.features.len()];
        for (name, column) in &batch.columns {
            check_rows(&format!("feature `{name}`"), column.len(), rows)?;
            let position = definition.position(name)?;
            if let Some(place) = columns.get_mut(position)
                && place.replace(*column).is_some()
            {
                return Err(Error::invalid(format!("feature `{name}` is given twice")));
            }
        }
        Ok(columns)
    }

    /// Features that an error says something of.
    fn wrong_features(&self, error: &Error) -> Vec<(usize, String)> {
        let features = &self.inner.definition.features;
        let mut wrong: Vec<(usize, String)> = Vec::new();
        for violation in error.violations() {
            let feature = features
                .iter()
                .position(|field| field.name == violation.path);
            if let Some(feature) = feature
                && wrong.iter().all(|(known, _)| *known != feature)
            {
                wrong.push((feature, violation.message.clone()));
            }
        }
        wrong
    }

    /// Writes one event of a batch, and returns whether it is new.
    fn write(
        &self,
        transaction: &mut Transaction<'_>,
        batch: &FeatureBatch<'_>,
        columns: &[Option<Column<'_>>],
        at: usize,
        without: &[usize],
        now: Timestamp,
    ) -> Result<bool> {
        let (Some(key), Some(event)) = (batch.keys.get(at), batch.events.get(at)) else {
            return Err(Error::invalid("an event without key or time"));
        };
        let given = batch.known.and_then(|known| known.get(at));
        if let Some(known) = given.filter(|known| *known > now) {
            return Err(Error::invalid(format!(
                "it is said to have become known at {known}, but it is {now} now"
            )));
        }
        let key = key.to_id();
        let definition = &self.inner.definition;
        let is_deletion = (batch.deletions).is_some_and(|marks| marks.get(at) == Some(&true));
        if is_deletion {
            let mut given_too = definition.features.iter().zip(columns);
            let value = given_too.find(|(_, column)| column.is_some_and(|c| !c.get(at).is_null()));
            if let Some((field, _)) = value {
                return Err(Error::invalid(format!(
                    "it is a deletion, which has no values, but there is one of feature `{}`",
                    field.name
                )));
            }
            return self.insert_deletion(
                transaction,
                &key,
                event,
                given.unwrap_or(now),
                given.is_some(),
            );
        }
        // Most features may be missing; only of the others it matters whether they are.
        for &feature in &self.inner.required {
            let (Some(field), Some(column)) =
                (definition.features.get(feature), columns.get(feature))
            else {
                continue;
            };
            let is_missing = without.contains(&feature)
                || column.map_or(field.is_required(), |column| column.get(at).is_null());
            if is_missing {
                return Err(Error::invalid(format!(
                    "feature `{}` is missing, but view `{}` requires it",
                    field.name, definition.name
                )));
            }
        }
        self.insert(
            transaction,
            given.unwrap_or(now),
            given.is_some(),
            &mut |known, values| {
                begin_row(&key, event, known, false, values);
                let features = definition.features.iter().zip(columns).enumerate();
                values.extend(features.map(|(feature, (field, column))| {
                    ValueInput::Value(match column {
                        _ if without.contains(&feature) => Value::Null,
                        Some(column) => column.get(at),
                        None => field.default.clone().unwrap_or_default(),
                    })
                }));
            },
        )
    }

    /// Inserts an event that `fill` says, and returns whether it is new. One that becomes known now does so a moment after
    /// another of its entity at the same time.
    fn insert<'v>(
        &self,
        transaction: &mut Transaction<'_>,
        known: Timestamp,
        is_given: bool,
        fill: &mut dyn FnMut(Timestamp, &mut Vec<ValueInput<'v>>),
    ) -> Result<bool> {
        let table = &self.inner.table;
        let mut values = Vec::with_capacity(table.validator().len());
        let mut known = known;
        loop {
            fill(known, &mut values);
            let Err(error) = transaction.insert_from(table, &mut values) else {
                return Ok(true);
            };
            if error.kind() != ErrorKind::Conflict {
                return Err(error);
            }
            fill(known, &mut values);
            let key_columns = table.validator().key_columns();
            let mut values: Vec<Value> = values.drain(..).map(ValueInput::into_value).collect();
            table.validator().prepare(&mut values)?;
            let id = RecordId::from(values.get(..key_columns).unwrap_or_default());
            let Some(known_already) = transaction.get(table, id)? else {
                return Err(error);
            };
            if is_given && known_already.values() == values {
                return Ok(false);
            }
            if is_given {
                return Err(Error::conflict(format!(
                    "an event at this time, known at {known}, is there with other values: say when the correction \
became known"
                )));
            }
            known = Timestamp(self.inner.storage.next_known(known.0 + 1));
        }
    }

    /// What is known of an entity as of a time.
    ///
    /// Cost: about a microsecond for 20 features; [`Retrieval`](super::Retrieval) is made for speed.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] when the view was altered since this handle was taken.
    pub fn get<'k>(&self, key: impl Into<Key<'k>>, as_of: AsOf) -> Result<FeatureRow> {
        self.check_current()?;
        let events = self.inner.storage.read_events();
        let found = events.find(key.into());
        let ttl = ttl_micros(self.inner.definition.ttl_seconds);
        let found = found.and_then(|entry| events.as_of(None, entry, as_of, ttl));
        let features = 0..self.inner.definition.features.len();
        let Some((row, status)) = found else {
            return Ok(FeatureRow {
                event: Timestamp::default(),
                known: Timestamp::default(),
                seq: Seq::ZERO,
                status: Status::Unknown,
                values: features.map(|_| Value::Null).collect(),
            });
        };
        let value = |feature| match status {
            Status::Present => events.value(row, feature),
            _ => Value::Null,
        };
        Ok(FeatureRow {
            event: Timestamp(row.event()),
            known: Timestamp(row.known()),
            seq: row.seq(),
            status,
            values: features.map(value).collect(),
        })
    }

    /// Visits the rows of all entities as of a time, in no order.
    pub(super) fn each_as_of(
        &self,
        as_of: AsOf,
        mut visit: impl FnMut(Status, Vec<Value>),
    ) -> Result<()> {
        self.check_current()?;
        let events = self.inner.storage.read_events();
        let ttl = ttl_micros(self.inner.definition.ttl_seconds);
        let features = self.inner.definition.features.len();
        for entry in events.entries() {
            let Some((row, status)) = events.as_of(None, *entry, as_of, ttl) else {
                continue;
            };
            let values = match status {
                Status::Present => (0..features)
                    .map(|feature| events.value(row, feature))
                    .collect(),
                _ => Vec::new(),
            };
            visit(status, values);
        }
        Ok(())
    }

    /// Keys of all entities with an event, in order: with [`FeatureView::history`], everything that the view holds, an
    /// entity at a time.
    ///
    /// # Errors
    /// As [`FeatureView::get`].
    pub fn keys(&self) -> Result<Vec<RecordId>> {
        self.check_current()?;
        let mut keys = self.inner.storage.read_events().keys();
        keys.sort_unstable();
        Ok(keys)
    }

    /// All events of an entity, by time of event and then of knowledge.
    ///
    /// # Errors
    /// As [`FeatureView::get`].
    pub fn history<'k>(&self, key: impl Into<Key<'k>>) -> Result<Vec<FeatureRow>> {
        self.check_current()?;
        let events = self.inner.storage.read_events();
        let Some(entry) = events.find(key.into()) else {
            return Ok(Vec::new());
        };
        let features = self.inner.definition.features.len();
        let rows = events.rows_of(entry).into_iter().map(|row| {
            let row = events.row(row);
            FeatureRow {
                event: Timestamp(row.event()),
                known: Timestamp(row.known()),
                seq: row.seq(),
                status: if row.is_deletion() {
                    Status::Missing
                } else {
                    Status::Present
                },
                values: (0..features)
                    .map(|feature| events.value(row, feature))
                    .collect(),
            }
        });
        Ok(rows.collect())
    }

    /// Removes all events of entities, as if they had never been, and returns how many there were: for privacy.
    ///
    /// Nothing of them stays in the view. The database's change log keeps what was written until it is pruned; see
    /// [`Database::prune_log_to`].
    ///
    /// # Errors
    /// As [`FeatureView::get`].
    pub fn forget<'k>(&self, keys: impl Into<Keys<'k>>) -> Result<usize> {
        let keys = keys.into();
        let ids = {
            let events = self.inner.storage.read_events();
            let entries = (0..keys.len()).filter_map(|at| events.find(keys.get(at)?));
            let rows = entries.flat_map(|entry| events.rows_of(entry));
            rows.filter_map(|row| Some(events.record(row)?.id()))
                .collect::<Vec<_>>()
        };
        self.remove(&ids)
    }

    /// Removes events that no read as of `time` or later sees, and returns how many there were. Training sets of before
    /// `time` cannot be made again.
    ///
    /// # Errors
    /// As [`FeatureView::get`].
    pub fn forget_before(&self, time: Timestamp) -> Result<usize> {
        let ids = {
            let events = self.inner.storage.read_events();
            let mut ids = Vec::new();
            for entry in events.entries() {
                let rows = events.rows_of(*entry);
                let seen = rows.partition_point(|row| {
                    let row = events.row(*row);
                    row.event() <= time.0
                });
                // Of what became known later, a read as of `time` sees the one before; so all back to one known by then.
                let mut kept = rows.get(..seen).unwrap_or_default().iter();
                let kept = kept.rposition(|row| events.row(*row).known() <= time.0);
                let gone = rows.get(..kept.unwrap_or_default()).unwrap_or_default();
                ids.extend(
                    gone.iter()
                        .filter_map(|row| Some(events.record(*row)?.id())),
                );
            }
            ids
        };
        self.remove(&ids)
    }

    fn remove(&self, ids: &[RecordId]) -> Result<usize> {
        let mut removed = 0;
        for chunk in ids.chunks(FORGOTTEN_AT_ONCE) {
            let mut transaction = self.begin()?;
            for id in chunk {
                match transaction.delete(&self.inner.table, id.clone()) {
                    Ok(()) => removed += 1,
                    // Somebody else was faster.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            transaction.commit()?;
        }
        Ok(removed)
    }

    fn begin(&self) -> Result<Transaction<'_>> {
        let transaction = self.inner.database.begin();
        self.check_current()?;
        Ok(transaction)
    }

    /// The time at which what comes now becomes known; the caller has begun a transaction.
    fn next_known(&self) -> Timestamp {
        let now = self.inner.database.clock().now();
        Timestamp(self.inner.storage.next_known(now.0))
    }

    pub(super) fn check_current(&self) -> Result<()> {
        if self.inner.storage.is_replaced() {
            return Err(Error::new(
                ErrorKind::Closed,
                format!(
                    "feature view `{}` was altered or dropped since this handle was taken; take it anew from the store",
                    self.name()
                ),
            ));
        }
        Ok(())
    }

    /// Number of columns of its table before the first feature.
    pub(super) fn columns_before(&self) -> usize {
        self.inner.entity.keys.len() + OWN_COLUMNS
    }
}

impl std::fmt::Debug for FeatureView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeatureView")
            .field("name", &self.name())
            .field("version", &self.version())
            .field("events", &self.len())
            .finish_non_exhaustive()
    }
}

/// A version of a definition among the nodes of lineage.
pub(super) fn view_node(definition: &ViewDefinition, version: u32) -> LineageNode {
    let node = LineageNode::new(NodeKind::View, definition.name.clone(), version.to_string());
    node.parameters(json!({
        "entity": definition.entity, "features": definition.features, "ttl_seconds": definition.ttl_seconds,
    }))
}

/// Puts the columns of an event that come before its features.
fn begin_row(
    key: &RecordId,
    event: Timestamp,
    known: Timestamp,
    is_deletion: bool,
    values: &mut Vec<ValueInput<'_>>,
) {
    values.clear();
    values.extend(key.values().iter().cloned().map(ValueInput::Value));
    let own = [
        Value::Timestamp(event),
        Value::Timestamp(known),
        Value::Bool(is_deletion),
    ];
    values.extend(own.map(ValueInput::Value));
}
