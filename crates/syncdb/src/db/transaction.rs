//! [`SyncTransaction`]: writes that take effect together, here and at the server.

use std::collections::HashMap;

use common::schema::{FieldId, Schema};
use common::versioning::ColumnSet;
use common::{
    Collection, Committed, Error, Record, RecordId, Result, Row, Text, Timestamp, Transaction,
    Value, View,
};

use crate::migration::Course;
use crate::power::{Claim, Priority, Urgency};
use crate::sync::apply::noted;
use crate::sync::conflict::Strategy;
use crate::sync::deferred::{self, DeferredId};
use crate::sync::delta::{Delta, canonical_set, elements};
use crate::sync::ledger::{EntryId, LedgerEntry};
use crate::sync::protocol::{Action, MUTATION_BYTES_MAX, OPS_MAX, Op, is_system};
use crate::sync::queue::{self, Queued};
use crate::sync::rejected::{REJECTED_MAX, Rejected, RejectedId, read_ops};
use crate::sync::replica::Replica;
use crate::sync::subscription;
use crate::sync::system::{State, Synced, SyncedTables, number};

/// A row as a transaction found it.
struct Touched {
    collection: Collection,
    id: RecordId,
    before: Option<Record>,
    /// Elements that were added to a set although they were there, or removed although they were not: that is said to
    /// the server, where somebody else may have done the opposite.
    asserted: Vec<(usize, Value)>,
}

/// Writes that take effect together, here and at the server. Dropping a transaction rolls it back.
///
/// Tables that the server does not have are written like any others; they stay local.
pub struct SyncTransaction<'db> {
    core: &'db Replica,
    tx: Transaction<'db>,
    touched: Vec<Touched>,
    positions: HashMap<(Text, RecordId), usize>,
    reverts: Vec<(LedgerEntry, bool)>,
    /// Whether a rejected mutation goes with this transaction.
    retries: bool,
    urgency: Urgency,
}

impl<'db> SyncTransaction<'db> {
    pub(super) fn new(core: &'db Replica) -> Self {
        Self {
            core,
            tx: core.db.begin(),
            touched: Vec::new(),
            positions: HashMap::new(),
            reverts: Vec::new(),
            retries: false,
            urgency: Urgency::default(),
        }
    }

    /// Sets how soon what this transaction writes has to leave; [`Priority::Medium`] unless set. It is kept with the queue.
    ///
    /// Mutations leave in the order in which they were written, so an urgent one takes along all that stand before it.
    /// An edit that makes an unsent one pointless is as urgent as the one whose place it takes.
    ///
    /// ```
    /// use common::{Database, row};
    /// use common::schema::{Field, FieldType, Schema};
    /// use syncdb::power::Priority;
    /// use syncdb::{SyncDb, SyncServer};
    /// let db = Database::new();
    /// let notes = Schema::build("notes", ["id"]).field(Field::new("id", FieldType::Int));
    /// db.create_collection(notes.finish()?)?;
    /// let server = SyncServer::new(db)?;
    /// let phone = SyncDb::client("phone")?;
    /// phone.sync(&mut |request: &[u8]| server.handle(request))?;
    /// let notes = phone.collection("notes")?;
    /// phone.transaction(|tx| {
    ///     tx.priority(Priority::Critical);
    ///     tx.insert(&notes, row! { "id": 1 }).map(drop)
    /// })?;
    /// assert!(phone.waiting()?.is_urgent());
    /// # Ok::<(), common::Error>(())
    /// ```
    pub fn priority(&mut self, priority: Priority) {
        self.urgency.priority = priority;
    }

    /// Sets when what this transaction writes has to have left, beside what follows from its priority; the earlier of the
    /// two holds. Kept with the queue.
    pub fn deadline(&mut self, deadline: Timestamp) {
        self.urgency.deadline = Some(deadline);
    }

    /// Defers an operation of the application's own, in the commit of this transaction; see
    /// [`SyncDb::defer`](crate::SyncDb::defer).
    ///
    /// # Errors
    /// As [`SyncDb::defer`](crate::SyncDb::defer).
    pub fn defer(
        &mut self,
        name: &str,
        payload: &[u8],
        urgency: impl Into<Urgency>,
    ) -> Result<DeferredId> {
        let made = self.core.db.clock().now();
        let urgency = urgency.into();
        let claim = Claim { made, urgency };
        deferred::add(
            &mut self.tx,
            &self.core.tables.deferred,
            name,
            payload,
            claim,
        )
    }

    /// Takes a deferred operation away in the commit of this transaction, because it has run: what it wrote and that it
    /// ran are known together. Returns whether it was there.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the table `sync_deferred` was written by somebody else.
    pub fn finish_deferred(&mut self, id: DeferredId) -> Result<bool> {
        deferred::remove(&mut self.tx, &self.core.tables.deferred, id)
    }

    /// Lets a deferred operation wait anew; see [`SyncDb::postpone_deferred`](crate::SyncDb::postpone_deferred).
    pub(super) fn postpone_deferred(&mut self, id: DeferredId) -> Result<bool> {
        let now = self.core.db.clock().now();
        deferred::postpone(&mut self.tx, &self.core.tables.deferred, id, now)
    }

    /// What a query in this transaction reads: the rows with its own edits.
    ///
    /// ```
    /// use common::query::Query;
    /// use common::schema::{Field, FieldType, Schema};
    /// use common::{Database, row};
    /// use syncdb::SyncDb;
    /// use syncdb::migration::Lineage;
    /// let notes = Schema::build("notes", ["id"]).field(Field::new("id", FieldType::Int));
    /// let lineage = Lineage::new([notes.finish()?])?;
    /// let phone = SyncDb::with_lineage(Database::new(), "phone", &lineage)?;
    /// let notes = phone.collection("notes")?;
    /// let mut tx = phone.begin();
    /// tx.insert(&notes, row! { "id": 1 })?;
    /// assert_eq!(Query::from("notes").run(&tx.view())?.rows.len(), 1);
    /// assert_eq!(notes.len(), 0, "not committed yet");
    /// # Ok::<(), common::Error>(())
    /// ```
    pub fn view(&self) -> View<'_> {
        self.tx.view()
    }

    /// The record of this id, as this transaction sees it.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn get(&self, collection: &Collection, id: impl Into<RecordId>) -> Result<Option<Record>> {
        self.tx.get(collection, id)
    }

    /// Inserts a row and returns its id.
    ///
    /// # Errors
    /// As [`Transaction::insert`].
    pub fn insert(&mut self, collection: &Collection, row: Row) -> Result<RecordId> {
        let values = collection.validator().values(row)?;
        let key = values.get(..collection.validator().key_columns());
        self.touch(collection, &RecordId::from(key.unwrap_or_default()))?;
        self.tx.insert_values(collection, values)
    }

    /// Inserts a row, or replaces the one with its key, and returns its id.
    ///
    /// # Errors
    /// As [`Transaction::upsert`].
    pub fn upsert(&mut self, collection: &Collection, row: Row) -> Result<RecordId> {
        let values = collection.validator().values(row)?;
        let key = values.get(..collection.validator().key_columns());
        self.touch(collection, &RecordId::from(key.unwrap_or_default()))?;
        self.tx.upsert_values(collection, values)
    }

    /// Changes some columns of a row.
    ///
    /// # Errors
    /// As [`Transaction::update`].
    pub fn update(
        &mut self,
        collection: &Collection,
        id: impl Into<RecordId>,
        changes: Row,
    ) -> Result<()> {
        let id = id.into();
        self.touch(collection, &id)?;
        self.tx.update(collection, id, changes)
    }

    /// Deletes a row.
    ///
    /// # Errors
    /// As [`Transaction::delete`].
    pub fn delete(&mut self, collection: &Collection, id: impl Into<RecordId>) -> Result<()> {
        let id = id.into();
        self.touch(collection, &id)?;
        self.tx.delete(collection, id)
    }

    /// Adds a number to a column whose strategy at the server is [`Strategy::Counter`]; to null, as to zero.
    ///
    /// Increments of all replicas add up, whatever order they arrive in; that of an unsent one stays on top of what the
    /// server sends.
    ///
    /// ```
    /// use common::schema::{Field, FieldType, Schema};
    /// use common::{Database, Value, row};
    /// use syncdb::{Policy, Strategy, SyncDb, SyncServer, SyncServerOptions};
    /// let db = Database::new();
    /// let posts = Schema::build("posts", ["id"])
    ///     .field(Field::new("id", FieldType::Int))
    ///     .field(Field::new("likes", FieldType::Int));
    /// db.create_collection(posts.finish()?)?.insert(row! { "id": 1, "likes": 0 })?;
    /// let policy = Policy::default().column("likes", Strategy::Counter);
    /// let options = SyncServerOptions::default().policy("posts", policy);
    /// let server = SyncServer::with(db, options)?;
    /// let replicas = [SyncDb::client("phone")?, SyncDb::client("tablet")?];
    /// let mut transport = |request: &[u8]| server.handle(request);
    /// for replica in &replicas {
    ///     replica.sync(&mut transport)?;
    ///     replica.increment("posts", 1, "likes", 1)?;
    /// }
    /// for replica in &replicas {
    ///     assert!(replica.sync(&mut transport)?.conflicts.is_empty());
    /// }
    /// assert_eq!(replicas[1].collection("posts")?.get(1).unwrap()[1], Value::from(2));
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the column is no counter, the sum leaves the range of integers, or `by` is no
    /// number; [`common::ErrorKind::NotFound`] when there is no such row or column.
    pub fn increment(
        &mut self,
        collection: &Collection,
        id: impl Into<RecordId>,
        column: &str,
        by: impl Into<Value>,
    ) -> Result<()> {
        let is_counter = |strategy: &Strategy| matches!(strategy, Strategy::Counter);
        let delta = Delta::Increment(by.into());
        self.apply_delta(collection, id.into(), column, &delta, &is_counter)
            .map(drop)
    }

    /// Adds an element to a column whose strategy at the server is [`Strategy::Set`].
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the column is no set; [`common::ErrorKind::NotFound`] when there is no such
    /// row or column.
    pub fn add_to_set(
        &mut self,
        collection: &Collection,
        id: impl Into<RecordId>,
        column: &str,
        element: impl Into<Value>,
    ) -> Result<()> {
        let element = element.into();
        let delta = Delta::Elements {
            add: vec![element.clone()],
            remove: Vec::new(),
        };
        self.change_set(collection, id.into(), column, &delta, element)
    }

    /// Removes an element from a column whose strategy at the server is [`Strategy::Set`].
    ///
    /// # Errors
    /// As [`SyncTransaction::add_to_set`].
    pub fn remove_from_set(
        &mut self,
        collection: &Collection,
        id: impl Into<RecordId>,
        column: &str,
        element: impl Into<Value>,
    ) -> Result<()> {
        let element = element.into();
        let delta = Delta::Elements {
            add: Vec::new(),
            remove: vec![element.clone()],
        };
        self.change_set(collection, id.into(), column, &delta, element)
    }

    fn change_set(
        &mut self,
        collection: &Collection,
        id: RecordId,
        column: &str,
        delta: &Delta,
        element: Value,
    ) -> Result<()> {
        let is_set = |strategy: &Strategy| matches!(strategy, Strategy::Set(_));
        let position = self.apply_delta(collection, id.clone(), column, delta, &is_set)?;
        let row = (Text::new(collection.name()), id);
        let touched = self.positions.get(&row);
        if let Some(touched) = touched.and_then(|at| self.touched.get_mut(*at)) {
            touched.asserted.push((position, element));
        }
        Ok(())
    }

    /// Returns the column's position.
    fn apply_delta(
        &mut self,
        collection: &Collection,
        id: RecordId,
        column: &str,
        delta: &Delta,
        fits: &dyn Fn(&Strategy) -> bool,
    ) -> Result<usize> {
        let synced = self.core.synced();
        let position = collection.schema().position(column).ok_or_else(|| {
            Error::not_found(format!(
                "table `{}` has no column `{column}`",
                collection.name()
            ))
        })?;
        // A table that only this replica has is resolved against nobody.
        if let Some(table) = synced.by_name.get(collection.name())
            && !fits(table.policy.of(column))
        {
            return Err(Error::invalid(format!(
                "column `{column}` of table `{}` is resolved by {:?} at the server; only what is declared a counter or \
                 a set there takes {delta}",
                collection.name(),
                table.policy.of(column)
            )));
        }
        self.touch(collection, &id)?;
        let Some(row) = self.tx.get(collection, id.clone())? else {
            return Err(Error::not_found(format!(
                "table `{}` has no row {id}",
                collection.name()
            )));
        };
        let value = delta.apply(row.get(position).unwrap_or(&Value::Null))?;
        self.tx.update_values(collection, id, [(position, value)])?;
        Ok(position)
    }

    /// Asks the server to let stand what lost in a conflict; see [`SyncDb::revert`](crate::SyncDb::revert).
    ///
    /// # Errors
    /// As [`SyncDb::revert`](crate::SyncDb::revert).
    pub fn revert(&mut self, id: EntryId, force: bool) -> Result<()> {
        let key = RecordId::composite([number(id.seq.0), Value::from(id.number)]);
        let found = self.tx.get(&self.core.tables.conflicts, key)?;
        let Some(found) = found else {
            return Err(Error::not_found(format!(
                "there is no conflict {id} in the ledger of this replica"
            )));
        };
        self.reverts
            .push((LedgerEntry::from_record(&found)?, force));
        Ok(())
    }

    /// Makes the edits of a rejected mutation again, on the rows as they are in this transaction.
    ///
    /// # Errors
    /// As [`SyncDb::retry`](crate::SyncDb::retry).
    pub fn repeat(&mut self, rejected: &Rejected) -> Result<()> {
        let table = &self.core.tables.rejected;
        // A transaction that takes the mutation sees it no longer; what it was is in the committed table.
        let record = table.try_get(rejected.id.key())?;
        let record = record.ok_or_else(|| no_such(rejected.id))?;
        for op in read_ops(&record)? {
            self.repeat_op(&op)?;
        }
        Ok(())
    }

    /// What an operation says of columns that are here, when it was made under an earlier version of the tables.
    fn lifted(&self, op: &Op, schema: &Schema) -> Result<Option<Action>> {
        let is_here = |id: FieldId| schema.fields.iter().any(|field| field.id == id);
        let (Action::Insert(columns) | Action::Update(columns)) = &op.action else {
            return Ok(None);
        };
        let Some(lineage) = &self.core.lineage else {
            return Ok(None);
        };
        if columns.iter().all(|(id, _)| is_here(*id)) {
            return Ok(None);
        }
        let course = Course::of(lineage, &op.table, 1, lineage.latest().number)?;
        let lifted = course.lifted(columns, &is_here)?;
        Ok(Some(match &op.action {
            Action::Insert(_) => Action::Insert(lifted),
            _ => Action::Update(lifted),
        }))
    }

    fn repeat_op(&mut self, op: &Op) -> Result<()> {
        if let Action::Revert { entry, force } = &op.action {
            return self.revert(*entry, *force);
        }
        let synced = self.core.synced();
        let collection = &synced.get(&op.table)?.collection;
        let schema = collection.schema();
        let lifted = self.lifted(op, &schema)?;
        let action = lifted.as_ref().unwrap_or(&op.action);
        let position = |field: FieldId| {
            let position = schema.fields.iter().position(|known| known.id == field);
            position.ok_or_else(|| {
                Error::not_found(format!(
                    "table `{}` has no column number {} any more",
                    op.table, field.0
                ))
            })
        };
        self.touch(collection, &op.key)?;
        let row = self.tx.get(collection, op.key.clone())?;
        match (action, row) {
            (Action::Insert(columns), None) => {
                let mut values = op.key.values().to_vec();
                values.resize(schema.fields.len(), Value::Null);
                for (field, value) in columns {
                    if let Some(to) = values.get_mut(position(*field)?) {
                        *to = value.clone();
                    }
                }
                self.tx.insert_values(collection, values).map(drop)
            }
            (Action::Insert(columns) | Action::Update(columns), Some(_)) => {
                let mut changes = Vec::with_capacity(columns.len());
                for (field, value) in columns {
                    changes.push((position(*field)?, value.clone()));
                }
                self.tx.update_values(collection, op.key.clone(), changes)
            }
            (Action::Deltas(columns), Some(row)) => {
                let mut changes = Vec::with_capacity(columns.len());
                let mut asserted = Vec::new();
                for (field, delta) in columns {
                    let position = position(*field)?;
                    let value = row.get(position).unwrap_or(&Value::Null);
                    changes.push((position, delta.apply(value)?));
                    if let Delta::Elements { add, remove } = delta {
                        // Also where it is so already: by somebody else, who may take it back.
                        let said = add.iter().chain(remove);
                        asserted.extend(said.map(|element| (position, element.clone())));
                    }
                }
                let row = (op.table.clone(), op.key.clone());
                let touched = self.positions.get(&row);
                if let Some(touched) = touched.and_then(|at| self.touched.get_mut(*at)) {
                    touched.asserted.append(&mut asserted);
                }
                self.tx.update_values(collection, op.key.clone(), changes)
            }
            (Action::Update(_) | Action::Deltas(_), None) => Err(Error::not_found(format!(
                "row {} of table `{}` is gone; discard the mutation, or retry it with edits of your own",
                op.key, op.table
            ))),
            (Action::Delete, Some(_)) => self.tx.delete(collection, op.key.clone()),
            (Action::Delete | Action::Revert { .. }, _) => Ok(()),
        }
    }

    /// Takes a rejected mutation away when this transaction is committed.
    pub(super) fn take_rejected(&mut self, id: RejectedId) -> Result<Rejected> {
        let table = &self.core.tables.rejected;
        let record = self.tx.get(table, id.key())?;
        let record = record.ok_or_else(|| no_such(id))?;
        self.tx.delete(table, id.key())?;
        self.retries = true;
        Rejected::read(&record)
    }

    fn touch(&mut self, collection: &Collection, id: &RecordId) -> Result<()> {
        if is_system(collection.name()) {
            return Err(Error::invalid(format!(
                "table `{}` is written by sync alone",
                collection.name()
            )));
        }
        let row = (Text::new(collection.name()), id.clone());
        if self.positions.contains_key(&row) {
            return Ok(());
        }
        let before = self.tx.get(collection, id.clone())?;
        self.positions.insert(row, self.touched.len());
        self.touched.push(Touched {
            collection: collection.clone(),
            id: id.clone(),
            before,
            asserted: Vec::new(),
        });
        Ok(())
    }

    /// Makes all writes visible at once and queues them for the server, in one commit.
    ///
    /// # Errors
    /// As [`Transaction::commit`]; [`common::ErrorKind::LimitExceeded`] when the transaction is too large to be
    /// sent as one. Nothing is changed then.
    pub fn commit(mut self) -> Result<Committed> {
        let synced = self.core.synced();
        let subscriptions = self.core.subscriptions();
        let mut ops = Vec::new();
        for touched in &self.touched {
            let Some(table) = synced.by_name.get(touched.collection.name()) else {
                continue;
            };
            let after = self.tx.get(&touched.collection, touched.id.clone())?;
            let after = with_sets_in_order(&mut self.tx, table, touched, after)?;
            let is_here = |field| subscriptions.has_field(&table.schema.name, field);
            if let Some(after) = &after {
                table.require(touched.before.as_ref(), after, is_here)?;
            }
            let first = ops.len();
            let members = &self.core.tables.members;
            let noted = || noted(self.tx.view(), members, &table.schema.name, &touched.id);
            let fields = subscriptions.fields_of_row(&table.schema.name, noted)?;
            let has = |field| {
                let fields = fields.as_ref();
                fields.is_none_or(|fields| fields.iter().any(|of_one| of_one.contains(&field)))
            };
            net(table, touched, after.as_ref(), &has, &mut ops)?;
            if let Some((op, _)) = ops.get_mut(first)
                && let Action::Insert(columns) = &mut op.action
            {
                // Not kept here and not given: the server has a default for it, or says that it has none.
                columns.retain(|(field, value)| !value.is_null() || is_here(*field));
            }
        }
        let reverts = self.reverts.drain(..).map(|(conflict, force)| {
            let op = Op {
                action: Action::Revert {
                    entry: conflict.id(),
                    force,
                },
                table: conflict.table,
                key: conflict.key,
            };
            (op, Vec::new())
        });
        ops.extend(reverts);
        if !ops.is_empty() {
            self.enqueue(&synced, ops)?;
        }
        self.tx.commit()
    }

    fn enqueue(&mut self, synced: &SyncedTables, mut ops: Vec<(Op, Vec<Value>)>) -> Result<()> {
        let bytes: usize = ops.iter().map(|(op, _)| queue::op_bytes(op)).sum();
        if ops.len() > OPS_MAX || bytes > MUTATION_BYTES_MAX {
            return Err(Error::limit_exceeded(format!(
                "a synced transaction has at most {OPS_MAX} rows and {MUTATION_BYTES_MAX} bytes, this one \
                 {} and {bytes}; write it in parts",
                ops.len()
            )));
        }
        let tables = &self.core.tables;
        if tables.rejected.len() >= REJECTED_MAX && !self.retries {
            return Err(Error::limit_exceeded(format!(
                "{REJECTED_MAX} mutations were rejected by the server and wait; retry or discard some before new edits"
            )));
        }
        let tx = &mut self.tx;
        let mut state = State::read(tx, &tables.state, &self.core.name)?;
        let position = subscription::position(
            tx.view(),
            &tables.subscriptions,
            |table| ops.iter().any(|(op, _)| op.table == table),
            state.base(),
        )?;
        let base = queue::base(tx, &tables.queue, ops.iter().map(|(op, _)| op), position)?;
        let stamp = self.core.db.clock().tick();
        // Several operations may be rejected for the sake of one; what was written before them is not to go with them.
        let mut claim = Claim {
            made: self.core.db.clock().now(),
            urgency: self.urgency,
        };
        if let [(op, before)] = ops.as_mut_slice() {
            let queue = &tables.queue;
            claim = queue::coalesce(tx, queue, synced, state.sent, base, op, before, claim)?;
        }
        for (number, (op, before)) in (0..).zip(ops) {
            let queued = Queued {
                client_seq: state.next,
                number,
                base,
                stamp,
                op,
                before,
                after_rejected: None,
                claim,
            };
            queued.write(tx, &tables.queue)?;
        }
        state.next += 1;
        state.write(tx, &tables.state)
    }

    /// Takes everything back; the same as dropping the transaction.
    pub fn rollback(self) {
        drop(self);
    }
}

#[cold]
fn no_such(id: RejectedId) -> Error {
    Error::not_found(format!("no rejected mutation is numbered {id}"))
}

/// The row with its sets as the server will have them: in order, each element once.
fn with_sets_in_order(
    tx: &mut Transaction<'_>,
    table: &Synced,
    touched: &Touched,
    after: Option<Record>,
) -> Result<Option<Record>> {
    let Some(row) = &after else {
        return Ok(after);
    };
    let mut changes = Vec::new();
    for (position, (field, value)) in table.schema.fields.iter().zip(row.iter()).enumerate() {
        if matches!(table.policy.of(&field.name), Strategy::Set(_)) {
            let set = canonical_set(value)?;
            if set != *value {
                changes.push((position, set));
            }
        }
    }
    if changes.is_empty() {
        return Ok(after);
    }
    tx.update_values(&touched.collection, touched.id.clone(), changes)?;
    tx.get(&touched.collection, touched.id.clone())
}

/// What a transaction did to a row, as at most two operations, each with what its columns held before. `has` says which
/// columns the row has here.
fn net(
    table: &Synced,
    touched: &Touched,
    after: Option<&Record>,
    has: &dyn Fn(FieldId) -> bool,
    ops: &mut Vec<(Op, Vec<Value>)>,
) -> Result<()> {
    let fields = &table.schema.fields;
    let mut add = |action: Action, before: Vec<Value>| {
        let op = Op {
            table: table.schema.name.clone(),
            key: touched.id.clone(),
            action,
        };
        ops.push((op, before));
    };
    match (&touched.before, after) {
        (None, None) => {}
        (None, Some(after)) => {
            let columns = fields.iter().zip(after.iter());
            let columns = columns.skip(table.schema.key_columns);
            let columns = columns.map(|(field, value)| (field.id, value.clone()));
            add(Action::Insert(columns.collect()), Vec::new());
        }
        (Some(before), None) => {
            let before = before.iter().skip(table.schema.key_columns);
            add(Action::Delete, before.cloned().collect());
        }
        (Some(before), Some(after)) => {
            let mut values = Columns::default();
            let mut deltas = Columns::default();
            let changed = ColumnSet::difference(before, after);
            for position in with_groups(table, &changed) {
                let (Some(field), Some(was), Some(is)) = (
                    fields.get(position),
                    before.get(position),
                    after.get(position),
                ) else {
                    continue;
                };
                let is_here = has(field.id);
                if !is_here && !changed.contains(position) {
                    // Of a group: what is not known here is not to be written.
                    continue;
                }
                let delta = match table.policy.of(&field.name) {
                    Strategy::Counter => Delta::between_numbers(was, is)?,
                    Strategy::Set(_) => Delta::between_sets(was, is)?,
                    Strategy::Custom(_) => Delta::Replace {
                        base: was.clone(),
                        value: is.clone(),
                    },
                    // What stands there was not seen, whatever commit this replica has come past; and the server does not
                    // know which columns a row had here.
                    strategy if !is_here && strategy.takes_whole_values() => Delta::Replace {
                        base: Value::Null,
                        value: is.clone(),
                    },
                    _ => {
                        values.push(field.id, is.clone(), was.clone());
                        continue;
                    }
                };
                deltas.push(field.id, delta, was.clone());
            }
            assert_elements(table, touched, before, after, &mut deltas)?;
            if !values.changes.is_empty() {
                add(Action::Update(values.changes), values.before);
            }
            if !deltas.changes.is_empty() {
                add(Action::Deltas(deltas.changes), deltas.before);
            }
        }
    }
    Ok(())
}

/// Columns of one operation, with what each held before.
struct Columns<T> {
    changes: Vec<(FieldId, T)>,
    before: Vec<Value>,
}

impl<T> Default for Columns<T> {
    fn default() -> Self {
        Self {
            changes: Vec::new(),
            before: Vec::new(),
        }
    }
}

impl<T> Columns<T> {
    fn push(&mut self, field: FieldId, change: T, before: Value) {
        self.changes.push((field, change));
        self.before.push(before);
    }
}

/// The columns beside the key's, with those that stand or fall with one of them.
fn with_groups(table: &Synced, changed: &ColumnSet) -> Vec<usize> {
    let schema = &table.schema;
    let mut all: Vec<usize> = changed.iter().collect();
    for position in changed.iter() {
        let name = schema.fields.get(position).map(|field| &field.name);
        let group = name.and_then(|name| table.policy.group_of(name));
        let members = group.into_iter().flatten();
        all.extend(members.filter_map(|name| schema.position(name)));
    }
    all.retain(|position| *position >= schema.key_columns);
    all.sort_unstable();
    all.dedup();
    all
}

/// Adds to the deltas what was said of sets without changing them here.
fn assert_elements(
    table: &Synced,
    touched: &Touched,
    before: &Record,
    after: &Record,
    deltas: &mut Columns<Delta>,
) -> Result<()> {
    for (position, element) in &touched.asserted {
        let Some(field) = table.schema.fields.get(*position) else {
            continue;
        };
        let is = after.get(*position).unwrap_or(&Value::Null);
        let known = deltas.changes.iter().position(|(id, _)| *id == field.id);
        let at = known.unwrap_or_else(|| {
            let was = before.get(*position).cloned().unwrap_or_default();
            let nothing = Delta::Elements {
                add: Vec::new(),
                remove: Vec::new(),
            };
            deltas.push(field.id, nothing, was);
            deltas.changes.len() - 1
        });
        if let Some((_, Delta::Elements { add, remove })) = deltas.changes.get_mut(at) {
            let side = if elements(is)?.contains(element) {
                add
            } else {
                remove
            };
            if !side.contains(element) {
                side.push(element.clone());
            }
        }
    }
    Ok(())
}
