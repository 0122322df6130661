//! [`Transaction`]: writes that take effect together or not at all.

use std::sync::Arc;

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::collection::Collection;
use super::commit::Committed;
use super::database::{Database, Inner, Writer};
use super::journal::TableEntry;
use super::table::Table;
use super::view::View;
use super::write_set::WriteSet;
use crate::core::base::{
    Inputs, Metadata, Record, RecordId, Row, Seq, Slot, Timestamp, Value, ValueInput,
};
use crate::core::schema::ReferenceAction;
use crate::error::{Error, Result};

/// Writes that take effect together or not at all; reads in it see them at once, nobody else does before the
/// commit. Dropping a transaction rolls it back, at a cost proportional to what it wrote.
///
/// Rows are checked against their schema as they are written; unique indexes and references are checked at
/// commit, against the state after the whole transaction.
///
/// ```
/// use common::schema::{Field, FieldType, Schema};
/// use common::{row, Database};
/// let db = Database::new();
/// let notes = db.create_collection(
///     Schema::build("notes", ["id"]).field(Field::new("id", FieldType::Int)).finish()?,
/// )?;
/// let mut tx = db.begin();
/// tx.insert(&notes, row! { "id": 1 })?;
/// let savepoint = tx.savepoint();
/// tx.insert(&notes, row! { "id": 2 })?;
/// tx.rollback_to(savepoint)?;
/// assert!(tx.get(&notes, 1)?.is_some());
/// assert!(tx.get(&notes, 2)?.is_none());
/// assert_eq!(notes.len(), 0, "not committed yet");
/// tx.commit()?;
/// assert_eq!(notes.len(), 1);
/// # Ok::<(), common::Error>(())
/// ```
pub struct Transaction<'db> {
    db: &'db Database,
    set: WriteSet,
    seq: Seq,
    now: Timestamp,
    /// Whether columns that follow from others are set as rows are written.
    derives: bool,
    // Last: everything else goes before the next writer begins.
    writer: MutexGuard<'db, Writer>,
}

/// What there is under a key.
struct Current {
    /// The committed record and its slot.
    committed: Option<(Slot, Record)>,
    pending: Pending,
}

/// What the transaction itself did to a key.
enum Pending {
    Nothing,
    Written(Record),
    Deleted,
}

impl Current {
    /// The record as the transaction sees it.
    fn record(&self) -> Option<&Record> {
        match &self.pending {
            Pending::Written(record) => Some(record),
            Pending::Deleted => None,
            Pending::Nothing => self.committed.as_ref().map(|(_, record)| record),
        }
    }
}

/// A point inside a transaction to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Savepoint {
    seq: Seq,
    writes: usize,
}

impl<'db> Transaction<'db> {
    pub(super) fn new(db: &'db Database) -> Self {
        let writer = db.inner.writer.lock();
        Self {
            db,
            set: WriteSet::default(),
            seq: db.seq().next(),
            now: db.inner.now(),
            derives: true,
            writer,
        }
    }

    /// Position that the commit will have.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Number of writes so far.
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether nothing has been written yet.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// The record of this id, as this transaction sees it.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn get(&self, collection: &Collection, id: impl Into<RecordId>) -> Result<Option<Record>> {
        let id = id.into();
        Ok(self
            .look_up(&collection.table, id.values())?
            .record()
            .cloned())
    }

    fn look_up(&self, table: &Table, key: &[Value]) -> Result<Current> {
        if !self.set.is_empty()
            && let Some(write) = self.set.find(table.id, key)
        {
            return Ok(Current {
                committed: write.committed.clone(),
                pending: write
                    .after()
                    .cloned()
                    .map_or(Pending::Deleted, Pending::Written),
            });
        }
        Ok(Current {
            committed: table.storage.get(key)?,
            pending: Pending::Nothing,
        })
    }

    /// Inserts a row and returns its id.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] with every broken rule; [`crate::ErrorKind::Conflict`] when the key is
    /// taken.
    pub fn insert(&mut self, collection: &Collection, row: Row) -> Result<RecordId> {
        let table = &collection.table;
        self.check(collection)?;
        let values = table.validator.values(row)?;
        let mut inputs: Inputs<'_> = values.into_iter().map(ValueInput::from).collect();
        let record = self.fresh(table, &mut inputs);
        let id = record.id();
        self.insert_checked(table, record)?;
        Ok(id)
    }

    /// Inserts a row given as one value for each column, in storage order; texts may be borrowed.
    ///
    /// # Errors
    /// As [`Transaction::insert`].
    pub fn insert_values<'v, V>(&mut self, collection: &Collection, values: V) -> Result<RecordId>
    where
        V: IntoIterator<Item: Into<ValueInput<'v>>>,
    {
        let mut values: Inputs<'v> = values.into_iter().map(Into::into).collect();
        let record = self.prepare(collection, &mut values)?;
        let id = record.id();
        self.insert_checked(&collection.table, record)?;
        Ok(id)
    }

    /// Inserts a row given as one value for each column, in storage order, which it takes out of their places:
    /// what costs least.
    ///
    /// # Errors
    /// As [`Transaction::insert`].
    #[inline]
    pub fn insert_from(
        &mut self,
        collection: &Collection,
        values: &mut [ValueInput<'_>],
    ) -> Result<()> {
        let record = self.prepare(collection, values)?;
        self.insert_checked(&collection.table, record)
    }

    /// A new record of values that are converted and checked.
    #[inline]
    fn prepare(&self, collection: &Collection, values: &mut [ValueInput<'_>]) -> Result<Record> {
        self.check(collection)?;
        collection.table.validator.accept(values)?;
        Ok(self.fresh(&collection.table, values))
    }

    /// A record as it is when it replaces none.
    fn fresh(&self, table: &Table, values: &mut [ValueInput<'_>]) -> Record {
        let metadata = self.metadata(None);
        Record::of(metadata, table.validator.key_columns(), values)
    }

    /// Metadata of a record that takes the place of `committed`, or of none.
    fn metadata(&self, committed: Option<&(Slot, Record)>) -> Metadata {
        let (created, revision) = match committed {
            Some((_, before)) => {
                let before = before.metadata();
                (before.created, before.revision.saturating_add(1))
            }
            None => (self.now, 1),
        };
        Metadata {
            seq: self.seq,
            created,
            updated: self.now,
            revision,
        }
    }

    /// Inserts the row, or replaces the one with its key as a whole; returns its id.
    ///
    /// # Errors
    /// As [`Transaction::insert`], but a taken key is no conflict.
    pub fn upsert(&mut self, collection: &Collection, row: Row) -> Result<RecordId> {
        let table = &collection.table;
        self.check(collection)?;
        let values = table.validator.values(row)?;
        let mut inputs: Inputs<'_> = values.into_iter().map(ValueInput::from).collect();
        self.upsert_checked(table, self.fresh(table, &mut inputs))
    }

    /// As [`Transaction::upsert`], with one value for each column in storage order.
    ///
    /// # Errors
    /// As [`Transaction::upsert`].
    pub fn upsert_values<'v, V>(&mut self, collection: &Collection, values: V) -> Result<RecordId>
    where
        V: IntoIterator<Item: Into<ValueInput<'v>>>,
    {
        let mut values: Inputs<'v> = values.into_iter().map(Into::into).collect();
        let record = self.prepare(collection, &mut values)?;
        self.upsert_checked(&collection.table, record)
    }

    /// Changes some columns of a row.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is no such row; [`crate::ErrorKind::Invalid`] with every
    /// broken rule.
    pub fn update(
        &mut self,
        collection: &Collection,
        id: impl Into<RecordId>,
        changes: Row,
    ) -> Result<()> {
        self.check(collection)?;
        let changes = collection.table.validator.changes(changes)?;
        self.update_checked(&collection.table, &id.into(), &changes)
    }

    /// Changes columns given by position; for callers that resolved the names once.
    ///
    /// # Errors
    /// As [`Transaction::update`].
    pub fn update_values(
        &mut self,
        collection: &Collection,
        id: impl Into<RecordId>,
        changes: impl IntoIterator<Item = (usize, Value)>,
    ) -> Result<()> {
        self.check(collection)?;
        let mut changes: SmallVec<[(usize, Value); 4]> = changes.into_iter().collect();
        for (position, value) in &mut changes {
            collection.table.validator.prepare_one(*position, value)?;
        }
        self.update_checked(&collection.table, &id.into(), &changes)
    }

    /// Deletes a row, and what refers to it where the reference says so.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is no such row.
    pub fn delete(&mut self, collection: &Collection, id: impl Into<RecordId>) -> Result<()> {
        self.check(collection)?;
        let id = id.into();
        let table = Arc::clone(&collection.table);
        let mut queue = vec![(table, id)];
        let mut first = true;
        while let Some((table, id)) = queue.pop() {
            let current = self.look_up(&table, id.values())?;
            let Some(record) = current.record().cloned() else {
                // A row reached by two references is gone already when its turn comes again.
                if first {
                    return Err(no_such_row(&table, &id));
                }
                continue;
            };
            first = false;
            self.set
                .push(&table, current.committed, record.clone(), true);
            self.follow_references(&table, &record, &mut queue)?;
        }
        Ok(())
    }

    /// Sets references to a deleted row to null, or queues their rows for deletion.
    fn follow_references(
        &mut self,
        table: &Table,
        deleted: &Record,
        queue: &mut Vec<(Arc<Table>, RecordId)>,
    ) -> Result<()> {
        for (referrer, position) in self.db.inner.referrers(&table.name) {
            let schema = referrer.schema();
            let Some(reference) = schema.references.get(position) else {
                continue;
            };
            if reference.on_delete == ReferenceAction::Restrict {
                continue;
            }
            for row in Inner::referring(&self.set, &referrer, position, deleted.key())? {
                if reference.on_delete == ReferenceAction::Cascade {
                    queue.push((Arc::clone(&referrer), row.id()));
                } else {
                    let nulls: SmallVec<[(usize, Value); 4]> = reference
                        .columns
                        .iter()
                        .filter_map(|column| Some((schema.position(column)?, Value::Null)))
                        .collect();
                    self.update_checked(&referrer, &row.id(), &nulls)?;
                }
            }
        }
        Ok(())
    }

    /// Marks this point.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint {
            seq: self.seq,
            writes: self.set.len(),
        }
    }

    /// Takes back everything written since the savepoint, which stays usable.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the savepoint is of another transaction, or the transaction has gone
    /// back beyond it.
    pub fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        if savepoint.seq != self.seq || savepoint.writes > self.set.len() {
            return Err(Error::invalid(
                "the savepoint is not of this transaction, or it was rolled back already",
            ));
        }
        self.set.truncate(savepoint.writes);
        Ok(())
    }

    /// Sets whether the writes that follow set the columns that a table's
    /// [`Derivation`](super::Derivation) gives, as they do at first. A caller that sets those columns itself says `false`.
    pub const fn set_derives(&mut self, derives: bool) {
        self.derives = derives;
    }

    /// What a query in this transaction reads: the committed state with this transaction's writes.
    pub fn view(&self) -> View<'_> {
        View::of_transaction(self.db, self.seq, &self.set)
    }

    /// Makes all writes visible at once, in one commit of the log.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] with every broken unique index and reference;
    /// [`crate::ErrorKind::Closed`] when the database refuses writes; what a storage of the application's own
    /// fails with. Nothing is changed then.
    pub fn commit(self) -> Result<Committed> {
        self.commit_with(&[])
    }

    /// Commits, and tells the journal of `tables` in the same entry.
    pub(super) fn commit_with(self, tables: &[TableEntry<'_>]) -> Result<Committed> {
        let Self {
            db,
            set,
            seq,
            now,
            writer,
            derives: _,
        } = self;
        db.inner.check_usable()?;
        let committed = db.inner.commit(&set, seq, now, tables)?;
        drop(writer);
        db.inner.notify(&committed);
        Ok(committed)
    }

    pub(super) fn database(&self) -> &Database {
        self.db
    }

    pub(super) fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// Whether there is a write to the table of this name.
    pub(super) fn writes_to(&self, table: &str) -> bool {
        let mut writes = self.set.last_writes();
        writes.any(|write| self.set.table(write).is_some_and(|t| t.name == *table))
    }

    /// Takes everything back; the same as dropping the transaction.
    pub fn rollback(self) {
        drop(self);
    }

    fn check(&self, collection: &Collection) -> Result<()> {
        if !Arc::ptr_eq(&collection.db.inner, &self.db.inner) {
            return Err(Error::invalid(format!(
                "table `{}` belongs to another database than the transaction",
                collection.name()
            )));
        }
        collection.table.check_alive()
    }

    fn insert_checked(&mut self, table: &Arc<Table>, record: Record) -> Result<()> {
        let current = self.look_up(table, record.key())?;
        if current.record().is_some() {
            return Err(Error::conflict(format!(
                "table `{}` has a row with the key {} already; update it, or choose another key",
                table.name,
                record.id()
            )));
        }
        let record = self.derived(table, None, record)?;
        self.put(table, current.committed, record);
        Ok(())
    }

    fn upsert_checked(&mut self, table: &Arc<Table>, record: Record) -> Result<RecordId> {
        let current = self.look_up(table, record.key())?;
        let id = record.id();
        let record = self.derived(table, current.record(), record)?;
        self.put(table, current.committed, record);
        Ok(id)
    }

    fn update_checked(
        &mut self,
        table: &Arc<Table>,
        id: &RecordId,
        changes: &[(usize, Value)],
    ) -> Result<()> {
        let current = self.look_up(table, id.values())?;
        let Some(before) = current.record() else {
            return Err(no_such_row(table, id));
        };
        let record = before.changed(self.metadata(current.committed.as_ref()), changes);
        let record = self.derived(table, Some(before), record)?;
        self.set.push(table, current.committed, record, false);
        Ok(())
    }

    /// The record with the columns set that follow from others.
    #[inline]
    fn derived(&self, table: &Table, before: Option<&Record>, record: Record) -> Result<Record> {
        match &table.derivation {
            Some(derivation) if self.derives => derivation.apply(before, record),
            _ => Ok(record),
        }
    }

    /// Writes a fresh record in place of the committed one, if there is one.
    fn put(&mut self, table: &Arc<Table>, committed: Option<(Slot, Record)>, mut record: Record) {
        if committed.is_some() {
            record.set_metadata(self.metadata(committed.as_ref()));
        }
        self.set.push(table, committed, record, false);
    }
}

fn no_such_row(table: &Table, id: &RecordId) -> Error {
    Error::not_found(format!(
        "table `{}` has no row with the key {id}",
        table.name
    ))
}
