//! [`Alteration`]: tables that get other columns while the database is in use.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::commit::Committed;
use super::database::{Database, Inner, Writer};
use super::journal::TableEntry;
use super::table::Table;
use super::transaction::Transaction;
use crate::core::base::{Record, RecordId, Text, Value, ValueInput};
use crate::core::schema::Schema;
use crate::core::storage::{Fill, StorageKind, Write};
use crate::core::versioning::TableId;
use crate::error::{Error, Result};
use crate::limits::COLLECTIONS_MAX;

/// Rows that are written in one step while a table is rebuilt or settled.
const CHUNK_ROWS: usize = 1_024;

/// Sets columns of a row that is being written. Given are the row before, if there is one, and the row to be.
pub type DeriveFunction = Arc<dyn Fn(Option<&[Value]>, &mut [Value]) -> Result<()> + Send + Sync>;

/// Puts the values of a row under the new schema, in its order, into an empty list. Texts of the row before need not be
/// copied: they may be borrowed.
pub type RebuildFunction<'a> =
    Box<dyn for<'r> FnMut(&'r Record, &mut Vec<ValueInput<'r>>) -> Result<()> + 'a>;

/// Columns that follow from others: part of every write to a table, whoever makes it.
#[derive(Clone)]
pub struct Derivation(DeriveFunction);

impl Derivation {
    /// A derivation by this function. What it fails with, the write fails with; the key is not for it to change.
    pub fn new(
        function: impl Fn(Option<&[Value]>, &mut [Value]) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(function))
    }

    pub(super) fn apply(&self, before: Option<&Record>, record: Record) -> Result<Record> {
        let mut values = record.values().to_vec();
        (self.0)(before.map(Record::values), &mut values)?;
        if values == record.values() {
            return Ok(record);
        }
        let derived = Record::new(record.metadata(), record.key_columns(), values);
        if derived.key() != record.key() || derived.len() != record.len() {
            return Err(Error::invalid(format!(
                "a derivation changed the key of row {}; it may only set other columns",
                record.id()
            )));
        }
        Ok(derived)
    }
}

impl fmt::Debug for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Derivation")
    }
}

/// One change of what tables there are or what columns they have. Several take effect together.
pub enum Alteration<'a> {
    /// A new, empty table.
    Create {
        /// Its schema.
        schema: Schema,
        /// What keeps its records.
        kind: StorageKind,
    },
    /// A table goes with its records.
    Drop {
        /// Name of the table.
        table: Text,
    },
    /// A table keeps its columns, each at its place and of its type, and gets more behind them; names, rules, indexes and
    /// references may be others. No row is touched: the cost is that of new indexes.
    Extend {
        /// The schema from now on, named as the table is.
        schema: Schema,
        /// Where each new column's values come from.
        fills: Vec<Fill>,
        /// What sets columns from now on, whenever a row is written.
        derivation: Option<Derivation>,
    },
    /// Every row of a table is made anew, in memory beside the old ones. The log begins anew with it.
    Rebuild {
        /// The schema from now on, named as the table is.
        schema: Schema,
        /// Makes each row, which is then converted and checked as one that is inserted. It is called in the order of the
        /// storage; what it fails with, the alteration fails with.
        row: RebuildFunction<'a>,
        /// What sets columns from now on, whenever a row is written.
        derivation: Option<Derivation>,
    },
}

impl fmt::Debug for Alteration<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { schema, .. } => write!(f, "Create({})", schema.name),
            Self::Drop { table } => write!(f, "Drop({table})"),
            Self::Extend { schema, fills, .. } => write!(f, "Extend({}, {fills:?})", schema.name),
            Self::Rebuild { schema, .. } => write!(f, "Rebuild({})", schema.name),
        }
    }
}

impl Alteration<'_> {
    fn table(&self) -> &Text {
        match self {
            Self::Create { schema, .. }
            | Self::Extend { schema, .. }
            | Self::Rebuild { schema, .. } => &schema.name,
            Self::Drop { table } => table,
        }
    }
}

impl Database {
    /// Alters tables: all of the alterations take effect together, or none.
    ///
    /// Handles to an altered table go on reading what they know, and refuse to write: take them anew. A snapshot that is
    /// open sees, through new handles, its rows with the new columns.
    ///
    /// ```
    /// use common::database::Alteration;
    /// use common::schema::{Field, FieldType, Schema};
    /// use common::storage::Fill;
    /// use common::{row, Database, Value};
    /// let db = Database::new();
    /// let id = || Field::new("id", FieldType::Int);
    /// let tasks = db.create_collection(Schema::build("tasks", ["id"]).field(id()).finish()?)?;
    /// tasks.insert(row! { "id": 1 })?;
    /// let done = Field::new("done", FieldType::Bool).default_value(false);
    /// let schema = Schema::build("tasks", ["id"]).field(id()).field(done).version(2).finish()?;
    /// db.alter(vec![Alteration::Extend {
    ///     schema,
    ///     fills: vec![Fill::Value(Value::from(false))],
    ///     derivation: None,
    /// }])?;
    /// assert_eq!(db.collection("tasks")?.get(1).unwrap()[1], Value::from(false));
    /// assert!(tasks.insert(row! { "id": 2 }).is_err(), "a handle of before");
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for a schema that does not fit the table; [`crate::ErrorKind::NotFound`] and
    /// [`crate::ErrorKind::Conflict`] for a table that is not there, or there already, or referred to; a unique index
    /// that rows break; a table to rebuild while a snapshot is open; [`crate::ErrorKind::Unsupported`] for a table to rebuild that the
    /// application's own storage keeps; what a function given fails with.
    pub fn alter(&self, alterations: Vec<Alteration<'_>>) -> Result<()> {
        self.begin().commit_altered(alterations).map(drop)
    }

    /// Writes the rows of an altered table that lack columns with all of them, as they are read anyway, so that reading them
    /// costs no copy any more. Other writers come in between; `progress` is called with the number of rows done and of all,
    /// and returns whether to go on. Returns the number of rows written.
    ///
    /// # Errors
    /// Only with a storage that can fail; [`crate::ErrorKind::Closed`] for a handle of before an alteration.
    pub fn settle(
        &self,
        collection: &super::Collection,
        progress: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<usize> {
        let table = &collection.table;
        table.check_alive()?;
        let Some(extended) = table.extended.as_ref().filter(|e| e.has_short()) else {
            return Ok(0);
        };
        // 8 bytes for each row, and the row itself if it is replaced meanwhile.
        let short = {
            let _writer = self.inner.lock_writer()?;
            extended.short()?
        };
        let mut done = 0;
        for chunk in short.chunks(CHUNK_ROWS) {
            {
                let _writer = self.inner.lock_writer()?;
                table.check_alive()?;
                extended.settle(chunk)?;
            }
            done += chunk.len();
            if !progress(done, short.len()) && done < short.len() {
                return Ok(done);
            }
        }
        extended.set_settled();
        Ok(done)
    }
}

impl Transaction<'_> {
    /// Commits the transaction together with alterations of tables that it has not written to.
    ///
    /// # Errors
    /// As [`Transaction::commit`] and [`Database::alter`]. Nothing is changed then.
    pub fn commit_altered(mut self, alterations: Vec<Alteration<'_>>) -> Result<Committed> {
        let db = self.database().clone();
        db.inner.check_usable()?;
        let mut plan = Plan::new(&db.inner);
        for alteration in alterations {
            let name = alteration.table().clone();
            if self.writes_to(&name) {
                return Err(Error::invalid(format!(
                    "table `{name}` cannot be altered by a transaction that has written to it"
                )));
            }
            plan.add(self.writer(), alteration)
                .map_err(|error| error.at(format!("altering `{name}`")))?;
        }
        plan.check_references()?;
        // Nobody may begin to read what is rebuilt at a commit that it is not of.
        let open = plan.rebuilds.then(|| db.inner.open.lock());
        if open.as_ref().is_some_and(|open| !open.is_empty()) {
            return Err(Error::conflict(
                "a table cannot be rebuilt while a snapshot is open; try again when it is closed",
            ));
        }
        let undo = plan.publish();
        let rebuilds = plan.rebuilds;
        drop(open);
        let schemas: Vec<Option<Arc<Schema>>> = plan
            .tables
            .values()
            .map(|table| table.as_ref().map(|table| table.schema()))
            .collect();
        let tables = plan.tables.iter().zip(&undo.before).zip(&schemas);
        let tables: Vec<TableEntry<'_>> = tables
            .filter_map(|(((name, after), (_, before)), schema)| {
                TableEntry::of_alteration(
                    name,
                    before.as_deref(),
                    after.as_deref(),
                    schema.as_deref(),
                )
            })
            .collect();
        match self.commit_with(&tables) {
            Ok(committed) => {
                if rebuilds {
                    // Its positions are those of columns that are no more.
                    db.inner.log.write().prune_to(db.seq());
                }
                Ok(committed)
            }
            Err(error) => {
                undo.take_back(&db.inner);
                Err(error)
            }
        }
    }
}

/// Alterations that are prepared and not visible yet.
struct Plan<'a> {
    inner: &'a Inner,
    /// What becomes of each name: a table, or none.
    tables: BTreeMap<Text, Option<Arc<Table>>>,
    rebuilds: bool,
}

/// What there was before alterations.
struct Undo {
    before: Vec<(Text, Option<Arc<Table>>)>,
}

impl<'a> Plan<'a> {
    const fn new(inner: &'a Inner) -> Self {
        Self {
            inner,
            tables: BTreeMap::new(),
            rebuilds: false,
        }
    }

    /// The table of this name as it will be.
    fn table(&self, name: &str) -> Option<Arc<Table>> {
        match self.tables.get(name) {
            Some(planned) => planned.clone(),
            None => self.inner.table(name),
        }
    }

    fn existing(&self, name: &str) -> Result<Arc<Table>> {
        self.table(name)
            .ok_or_else(|| Error::not_found(format!("there is no table `{name}`")))
    }

    fn add(&mut self, writer: &mut Writer, alteration: Alteration<'_>) -> Result<()> {
        let name = alteration.table().clone();
        let planned = match alteration {
            Alteration::Create { schema, kind } => {
                if self.table(&name).is_some() {
                    return Err(Error::conflict(format!(
                        "there is a table `{name}` already"
                    )));
                }
                if self.inner.tables.read().by_name.len() + self.tables.len() >= COLLECTIONS_MAX {
                    return Err(Error::limit_exceeded(format!(
                        "a database has at most {COLLECTIONS_MAX} tables"
                    )));
                }
                let id = TableId(writer.next_table);
                writer.next_table += 1;
                Some(self.new_table(id, schema, kind)?)
            }
            Alteration::Drop { .. } => {
                self.existing(&name)?;
                None
            }
            Alteration::Extend {
                schema,
                fills,
                derivation,
            } => {
                let table = self.existing(&name)?;
                check_extension(&table, &schema, &fills)?;
                Some(table.extended(schema, &fills, derivation, &self.inner.rules)?)
            }
            Alteration::Rebuild {
                schema,
                row,
                derivation,
            } => {
                let table = self.existing(&name)?;
                self.rebuilds = true;
                let mut rebuilt = self.rebuild(&table, schema, row)?;
                rebuilt.derivation = derivation;
                Some(rebuilt)
            }
        };
        self.tables.insert(name, planned.map(Arc::new));
        Ok(())
    }

    fn new_table(&self, id: TableId, schema: Schema, kind: StorageKind) -> Result<Table> {
        let kept_aside = Arc::clone(&self.inner.kept_aside);
        Table::new(id, schema, kind, &self.inner.rules, kept_aside)
    }

    fn rebuild(&self, old: &Table, schema: Schema, mut row: RebuildFunction<'_>) -> Result<Table> {
        if !old.kind.is_memory() {
            return Err(Error::unsupported(format!(
                "the rows of `{}` are kept by `{}`, beside which there is no place to make them anew",
                old.name,
                old.storage.name()
            )));
        }
        let table = self.new_table(old.id, schema, old.kind.clone())?;
        let indexes = table.indexes();
        let mut writes = Vec::with_capacity(CHUNK_ROWS);
        let mut slots = Vec::with_capacity(CHUNK_ROWS);
        let mut failed = Ok(());
        let key_columns = table.validator.key_columns();
        let mut rows = 0;
        let mut flush = |writes: &mut Vec<Write>| -> Result<()> {
            slots.clear();
            table.storage.apply(writes, &mut slots)?;
            for (write, slot) in writes.iter().zip(&slots) {
                if let Write::Put(record) = write {
                    indexes
                        .iter()
                        .for_each(|index| index.replace(*slot, None, Some(record)));
                }
            }
            writes.clear();
            Ok(())
        };
        let columns = table.validator.len();
        old.storage.scan(&mut |records| {
            let mut values = Vec::with_capacity(columns);
            for (_, record) in records {
                values.clear();
                let made = row(record, &mut values).and_then(|()| {
                    table.validator.accept(&mut values)?;
                    Ok(Record::of(record.metadata(), key_columns, &mut values))
                });
                failed = match made {
                    Ok(made) => {
                        writes.push(Write::Put(made));
                        rows += 1;
                        if writes.len() < CHUNK_ROWS {
                            Ok(())
                        } else {
                            flush(&mut writes)
                        }
                    }
                    Err(error) => Err(error.at(format!("row {} of `{}`", record.id(), old.name))),
                };
                if failed.is_err() {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        failed?;
        flush(&mut writes)?;
        if table.storage.len() != rows {
            return Err(Self::same_key(old, &mut row, key_columns)?);
        }
        for index in indexes.iter().filter(|index| index.spec().unique) {
            table.check_unique(index)?;
        }
        Ok(table)
    }

    /// Names two rows that would have one key.
    fn same_key(old: &Table, row: &mut RebuildFunction<'_>, key_columns: usize) -> Result<Error> {
        let mut seen: HashMap<RecordId, RecordId> = HashMap::new();
        let mut found = None;
        old.storage.scan(&mut |records| {
            let mut values = Vec::new();
            for (_, record) in records {
                values.clear();
                if row(record, &mut values).is_err() {
                    continue;
                }
                let key = values.drain(..).take(key_columns);
                let key: Vec<Value> = key.map(ValueInput::into_value).collect();
                let key = RecordId::from(&*key);
                if let Some(other) = seen.insert(key.clone(), record.id()) {
                    found = Some((key, other, record.id()));
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(Error::conflict(match found {
            Some((key, a, b)) => format!(
                "rows {a} and {b} of `{}` would both have the key {key}",
                old.name
            ),
            None => format!("two rows of `{}` would have one key", old.name),
        }))
    }

    /// Tables that go are not referred to by those that stay.
    fn check_references(&self) -> Result<()> {
        let gone = self.tables.iter().filter(|(_, table)| table.is_none());
        for (name, _) in gone {
            for (referrer, _) in self.inner.referrers(name) {
                let Some(referrer) = self.table(&referrer.name) else {
                    continue;
                };
                if referrer
                    .schema()
                    .references
                    .iter()
                    .any(|r| r.table == *name)
                {
                    return Err(Error::conflict(format!(
                        "table `{name}` is referred to by `{}`; drop that one first",
                        referrer.name
                    )));
                }
            }
        }
        Ok(())
    }

    fn publish(&self) -> Undo {
        let mut tables = self.inner.tables.write();
        let mut before = Vec::with_capacity(self.tables.len());
        for (name, planned) in &self.tables {
            let old = match planned {
                Some(table) => {
                    if table.has_references {
                        self.inner.has_references.store(true, Ordering::Relaxed);
                    }
                    if table.extended.is_some() {
                        self.inner.has_extended.store(true, Ordering::Release);
                    }
                    tables.by_name.insert(name.clone(), Arc::clone(table))
                }
                None => tables.by_name.remove(name),
            };
            if let Some(old) = &old {
                old.altered.store(planned.is_some(), Ordering::Relaxed);
                old.dropped.store(true, Ordering::Relaxed);
            }
            before.push((name.clone(), old));
        }
        Undo { before }
    }
}

impl Undo {
    fn take_back(self, inner: &Inner) {
        let mut tables = inner.tables.write();
        for (name, old) in self.before.into_iter().rev() {
            let new = match old {
                Some(old) => {
                    old.altered.store(false, Ordering::Relaxed);
                    old.dropped.store(false, Ordering::Relaxed);
                    tables.by_name.insert(name, old)
                }
                None => tables.by_name.remove(&name),
            };
            if let Some(new) = new {
                new.dropped.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// A table that is extended keeps each column at its place.
fn check_extension(table: &Table, schema: &Schema, fills: &[Fill]) -> Result<()> {
    let known = table.schema();
    if known.key_columns != schema.key_columns {
        return Err(Error::invalid(
            "the key has other columns; a table with another key is made by rebuilding it",
        ));
    }
    for (position, field) in known.fields.iter().enumerate() {
        let same = schema.fields.get(position);
        if same.is_none_or(|same| same.id != field.id || same.ty != field.ty) {
            return Err(Error::invalid(format!(
                "column `{}` is no more at its place {position} with its number {} and its type {}; a table whose \
                 columns change is rebuilt",
                field.name, field.id.0, field.ty
            )));
        }
    }
    let added = schema.fields.iter().skip(known.fields.len());
    if added.len() != fills.len() {
        return Err(Error::invalid(format!(
            "{} columns are added, and {} are filled",
            added.len(),
            fills.len()
        )));
    }
    for ((position, field), fill) in (known.fields.len()..).zip(added).zip(fills) {
        match fill {
            Fill::Value(value) if value.is_null() && !field.nullable => {
                return Err(Error::invalid(format!(
                    "column `{}` is not nullable, so the rows that are there need a value for it",
                    field.name
                )));
            }
            Fill::Value(_) => {}
            Fill::Computed { from, .. } => {
                if let Some(beyond) = from.iter().find(|at| **at >= position) {
                    return Err(Error::invalid(format!(
                        "column `{}` at place {position} is computed from place {beyond}, which is not before it",
                        field.name
                    )));
                }
            }
        }
    }
    Ok(())
}
