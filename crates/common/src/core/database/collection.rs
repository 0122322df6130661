//! [`Collection`]: a handle to one table.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering as AtomicOrdering;

use super::commit::Committed;
use super::database::Database;
use super::journal::TableEntry;
use super::table::Table;
use crate::core::base::{Record, RecordId, Row, Value, ValueInput};
use crate::core::schema::{IndexSpec, Schema, Validator};
use crate::core::storage::{Index, StorageKind};
use crate::core::versioning::TableId;
use crate::error::Result;

/// A handle to one table; clones point to the same one. Each write through it is a transaction of its own.
#[derive(Clone)]
pub struct Collection {
    pub(super) db: Database,
    pub(super) table: Arc<Table>,
}

impl Collection {
    pub(super) const fn new(db: Database, table: Arc<Table>) -> Self {
        Self { db, table }
    }

    /// Name of the table.
    pub fn name(&self) -> &str {
        &self.table.name
    }

    /// Number of the table, as changes carry it.
    pub fn id(&self) -> TableId {
        self.table.id
    }

    /// The database that the table belongs to.
    pub fn database(&self) -> &Database {
        &self.db
    }

    /// The table's schema, with the indexes it has now.
    pub fn schema(&self) -> Arc<Schema> {
        self.table.schema()
    }

    /// The compiled schema.
    pub fn validator(&self) -> &Validator {
        &self.table.validator
    }

    /// Which storage keeps the records.
    pub fn storage_kind(&self) -> &StorageKind {
        &self.table.kind
    }

    /// The indexes that the table has now.
    pub fn indexes(&self) -> Arc<[Arc<Index>]> {
        self.table.indexes()
    }

    /// Whether the table is still there and was not altered since this handle was taken.
    pub fn is_current(&self) -> bool {
        !self.table.dropped.load(AtomicOrdering::Relaxed)
    }

    /// Number of records; while a commit is under way, anything between before and after.
    pub fn len(&self) -> usize {
        self.table.storage.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of replaced records that open snapshots keep in memory.
    pub fn retained(&self) -> usize {
        self.table.history.len()
    }

    /// Inserts a row.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] with every broken rule; [`crate::ErrorKind::Conflict`] when the key is
    /// taken or a unique index or reference is broken.
    pub fn insert(&self, row: Row) -> Result<Committed> {
        let mut transaction = self.db.begin();
        transaction.insert(self, row)?;
        transaction.commit()
    }

    /// Inserts a row given as one value for each column, in storage order; texts may be borrowed.
    ///
    /// ```
    /// use common::schema::{Field, FieldType, Schema};
    /// use common::{Database, ValueInput};
    /// # fn main() -> common::Result<()> {
    /// let schema = Schema::build("cities", ["id"])
    ///     .field(Field::new("id", FieldType::Int))
    ///     .field(Field::new("name", FieldType::Text));
    /// let cities = Database::new().create_collection(schema.finish()?)?;
    /// let name = String::from("Oulu");
    /// cities.insert_values([ValueInput::from(1), ValueInput::from(&name)])?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Collection::insert`].
    pub fn insert_values<'v, V>(&self, values: V) -> Result<Committed>
    where
        V: IntoIterator<Item: Into<ValueInput<'v>>>,
    {
        let mut transaction = self.db.begin();
        transaction.insert_values(self, values)?;
        transaction.commit()
    }

    /// Inserts a row given as one value for each column, in storage order, which it takes out of their places:
    /// what costs least.
    ///
    /// # Errors
    /// As [`Collection::insert`].
    pub fn insert_from(&self, values: &mut [ValueInput<'_>]) -> Result<Committed> {
        let mut transaction = self.db.begin();
        transaction.insert_from(self, values)?;
        transaction.commit()
    }

    /// Inserts the row, or replaces the one with its key as a whole.
    ///
    /// # Errors
    /// As [`Collection::insert`], but a taken key is no conflict.
    pub fn upsert(&self, row: Row) -> Result<Committed> {
        let mut transaction = self.db.begin();
        transaction.upsert(self, row)?;
        transaction.commit()
    }

    /// Changes some columns of a row.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is no such row; otherwise as [`Collection::insert`].
    pub fn update(&self, id: impl Into<RecordId>, changes: Row) -> Result<Committed> {
        let mut transaction = self.db.begin();
        transaction.update(self, id, changes)?;
        transaction.commit()
    }

    /// Changes columns given by position; for callers that resolved the names once.
    ///
    /// # Errors
    /// As [`Collection::update`].
    pub fn update_values(
        &self,
        id: impl Into<RecordId>,
        changes: impl IntoIterator<Item = (usize, Value)>,
    ) -> Result<Committed> {
        let mut transaction = self.db.begin();
        transaction.update_values(self, id, changes)?;
        transaction.commit()
    }

    /// Deletes a row, and what refers to it where the reference says so.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is no such row; [`crate::ErrorKind::Conflict`] when rows
    /// still refer to it.
    pub fn delete(&self, id: impl Into<RecordId>) -> Result<Committed> {
        let mut transaction = self.db.begin();
        transaction.delete(self, id)?;
        transaction.commit()
    }

    /// The record of this id. Does not wait for a transaction that is open, at most for a short commit that is
    /// being applied. With a storage that can fail, see
    /// [`Collection::try_get`].
    #[inline]
    pub fn get(&self, id: impl Into<RecordId>) -> Option<Record> {
        self.try_get(id).unwrap_or_default()
    }

    /// The record of this id.
    ///
    /// # Errors
    /// What the storage fails with; memory never does.
    #[inline]
    pub fn try_get(&self, id: impl Into<RecordId>) -> Result<Option<Record>> {
        let id = id.into();
        let found = self.table.storage.get(id.values())?;
        match found {
            Some((_, record)) if record.seq() <= self.db.inner.committed() => Ok(Some(record)),
            None if self.table.history.is_empty() && !self.is_applying() => Ok(None),
            _ => self.get_beside_commit(&id),
        }
    }

    fn is_applying(&self) -> bool {
        self.db.inner.applying.load(AtomicOrdering::Acquire)
    }

    /// The record of this id while a commit that touches it may be under way.
    #[cold]
    fn get_beside_commit(&self, id: &RecordId) -> Result<Option<Record>> {
        loop {
            let found = self
                .table
                .storage
                .get(id.values())?
                .map(|(_, record)| record);
            let committed = self.db.inner.committed();
            if let Some(record) = found.as_ref().filter(|record| record.seq() <= committed) {
                return Ok(Some(record.clone()));
            }
            if let Some(record) = self.table.past(id.values(), committed) {
                return Ok(Some(record));
            }
            if self.is_applying() {
                // A short commit keeps nothing aside; it is done when this lock is free.
                drop(self.db.inner.open.lock());
            } else if self.db.inner.committed() == committed {
                return Ok(None);
            }
        }
    }

    /// Builds a secondary index; readers and their queries go on meanwhile.
    ///
    /// # Errors
    /// As [`Schema::check_index`]; [`crate::ErrorKind::Invalid`] when there is an index of that name;
    /// [`crate::ErrorKind::Conflict`] when it is to be unique and rows share a key.
    pub fn create_index(&self, spec: IndexSpec) -> Result<()> {
        let _writer = self.db.inner.lock_writer()?;
        self.table.check_alive()?;
        let index = spec.name.clone();
        self.table.create_index(spec, |schema| {
            self.db.inner.tell_tables(&[TableEntry::IndexCreated {
                schema,
                index: &index,
            }])
        })
    }

    /// Drops a secondary index.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], with the names there are.
    pub fn drop_index(&self, name: &str) -> Result<()> {
        let _writer = self.db.inner.lock_writer()?;
        self.table.drop_index(name, || {
            self.db.inner.tell_tables(&[TableEntry::IndexDropped {
                table: &self.table.name,
                index: name,
            }])
        })
    }
}

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collection({}, {} records)", self.name(), self.len())
    }
}
