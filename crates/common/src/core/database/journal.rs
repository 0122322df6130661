//! [`JournalEntry`]: what a database tells its journal before anybody sees it, and [`ReplayEntry`]: the way back.
//!
//! A journal is one function that is set once. It is called under the writer's lock with every change that a restart
//! has to bring back: commits, tables created, dropped and altered, indexes created and dropped. What it fails with,
//! the write fails with, and nothing has changed. Without a journal a write costs one load more.
//!
//! Entries name tables; the numbers of tables are given anew when a database is filled by [`Database::replay`]. What
//! the log drops or compacts is not told: after a restart it reaches back as far as the entries do.

use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::commit;
use super::database::{Database, Inner, Writer};
use super::table::Table;
use crate::core::base::{Record, Seq, Text};
use crate::core::schema::Schema;
use crate::core::storage::{Storage, StorageKind, Write};
use crate::core::versioning::{Change, ChangeKind, ChangeTracker, ColumnSet, Hlc, TableId};
use crate::error::{Error, Result};

/// A journal: see [`Database::set_journal`].
pub type JournalFunction = Box<dyn Fn(&JournalEntry<'_>) -> Result<()> + Send + Sync>;

/// What is about to take effect, as a whole.
#[derive(Debug, Clone, Copy)]
pub struct JournalEntry<'a> {
    /// Position of the commit; that of the last one when no record changes.
    pub seq: Seq,
    /// Stamp of the commit; zero when no record changes.
    pub stamp: Hlc,
    /// What happens to tables, before the records change.
    pub tables: &'a [TableEntry<'a>],
    /// What happens to records, each with the name of its table.
    pub changes: &'a [(&'a Text, &'a Change)],
}

impl JournalEntry<'_> {
    pub(super) fn send(&self, journal: &JournalFunction) -> Result<()> {
        for table in self.tables {
            if let TableEntry::Created { schema, kind } = table
                && !kind.is_memory()
            {
                return Err(own_storage(&schema.name));
            }
        }
        journal(self)
    }
}

/// What happens to one table.
#[derive(Debug, Clone, Copy)]
pub enum TableEntry<'a> {
    /// It comes into being, empty.
    Created {
        /// Its schema.
        schema: &'a Schema,
        /// What keeps its records.
        kind: &'a StorageKind,
    },
    /// It goes with its records.
    Dropped {
        /// Its name.
        table: &'a Text,
    },
    /// It has another schema from now on.
    Altered {
        /// The schema.
        schema: &'a Schema,
        /// All of its records, when they are others than before: functions that made them cannot be written down.
        rows: Option<TableRows<'a>>,
    },
    /// It has one more index.
    IndexCreated {
        /// Its schema with the index.
        schema: &'a Schema,
        /// Name of the index.
        index: &'a str,
    },
    /// It has one index less.
    IndexDropped {
        /// Its name.
        table: &'a Text,
        /// Name of the index.
        index: &'a str,
    },
}

/// The records of an altered table.
#[derive(Clone, Copy)]
pub struct TableRows<'a>(&'a dyn Storage);

impl TableRows<'_> {
    /// Number of records.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a count that is written in front"
    )]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Visits each record, until one fails.
    ///
    /// # Errors
    /// What `visit` fails with, or the storage.
    pub fn each(&self, visit: &mut dyn FnMut(&Record) -> Result<()>) -> Result<()> {
        let mut result = Ok(());
        self.0.scan(&mut |records| {
            for (_, record) in records {
                result = visit(record);
                if result.is_err() {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        result
    }
}

impl fmt::Debug for TableRows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableRows({})", self.len())
    }
}

impl<'a> TableEntry<'a> {
    /// What becomes of a table by alterations; nothing, when it neither was nor is.
    pub(super) fn of_alteration(
        name: &'a Text,
        before: Option<&Table>,
        after: Option<&'a Table>,
        schema: Option<&'a Schema>,
    ) -> Option<Self> {
        Some(match (before, after, schema) {
            (None, Some(after), Some(schema)) => Self::Created {
                schema,
                kind: &after.kind,
            },
            (Some(_), None, _) => Self::Dropped { table: name },
            (Some(before), Some(after), Some(schema)) => {
                let same =
                    std::ptr::addr_eq(Arc::as_ptr(&before.storage), Arc::as_ptr(&after.storage));
                Self::Altered {
                    schema,
                    rows: (!same).then_some(TableRows(&*after.storage)),
                }
            }
            _ => return None,
        })
    }
}

/// An entry that was written down by a journal and read again.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayEntry {
    /// As [`JournalEntry::seq`].
    pub seq: Seq,
    /// As [`JournalEntry::stamp`].
    pub stamp: Hlc,
    /// As [`JournalEntry::tables`].
    pub tables: Vec<TableReplay>,
    /// As [`JournalEntry::changes`].
    pub changes: Vec<ChangeReplay>,
}

/// As [`TableEntry`].
#[derive(Debug, Clone, PartialEq)]
pub enum TableReplay {
    /// As [`TableEntry::Created`].
    Created {
        /// Its schema.
        schema: Schema,
        /// Whether its records are kept in the order of their keys.
        ordered: bool,
    },
    /// As [`TableEntry::Dropped`].
    Dropped {
        /// Its name.
        table: Text,
    },
    /// As [`TableEntry::Altered`].
    Altered {
        /// The schema.
        schema: Schema,
        /// All of its records, when they are others than before.
        rows: Option<Vec<Record>>,
    },
    /// As [`TableEntry::IndexCreated`].
    IndexCreated {
        /// Its schema with the index.
        schema: Schema,
        /// Name of the index.
        index: Text,
    },
    /// As [`TableEntry::IndexDropped`].
    IndexDropped {
        /// Its name.
        table: Text,
        /// Name of the index.
        index: Text,
    },
}

/// What happened to one record.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeReplay {
    /// Name of its table.
    pub table: Text,
    /// What happened.
    pub kind: ChangeKind,
    /// Columns whose value changed.
    pub columns: ColumnSet,
    /// The record after; for a deletion a tombstone that has only the key.
    pub record: Record,
}

impl Database {
    /// Sets the journal: a function that is called under the writer's lock with every change before it takes effect.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use common::schema::{Field, FieldType, Schema};
    /// use common::{row, Database, Error};
    /// let (db, seen) = (Database::new(), Arc::new(Mutex::new(Vec::new())));
    /// let journal = Arc::clone(&seen);
    /// db.set_journal(Box::new(move |entry| {
    ///     if entry.seq.0 > 1 {
    ///         return Err(Error::closed("the disk is full"));
    ///     }
    ///     journal.lock().unwrap().push((entry.seq.0, entry.tables.len(), entry.changes.len()));
    ///     Ok(())
    /// }))?;
    /// let schema = Schema::build("cities", ["id"]).field(Field::new("id", FieldType::Int));
    /// let cities = db.create_collection(schema.finish()?)?;
    /// cities.insert(row! { "id": 1 })?;
    /// assert!(cities.insert(row! { "id": 2 }).is_err());
    /// assert_eq!(cities.len(), 1);
    /// assert_eq!(*seen.lock().unwrap(), [(0, 1, 0), (1, 0, 1)]);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when there is one already; [`crate::ErrorKind::Unsupported`] when a table is kept by a storage
    /// of the application's own, which may fail after the journal was told.
    pub fn set_journal(&self, journal: JournalFunction) -> Result<()> {
        let _writer = self.inner.lock_writer()?;
        if let Some(table) = self
            .inner
            .tables
            .read()
            .by_name
            .values()
            .find(|table| !table.kind.is_memory())
        {
            return Err(own_storage(&table.name));
        }
        self.inner
            .journal
            .set(journal)
            .map_err(|_| Error::conflict("the database has a journal already"))
    }

    /// Lets an entry of a journal take effect as it did: records exactly as they were, metadata included, and the
    /// changes in the log. It is not told to a journal. An alteration that made records anew begins the log anew.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when the database has a journal; [`crate::ErrorKind::Corrupt`] when the entry does not follow
    /// what the database holds, after which the database is in no state to be used.
    pub fn replay(&self, entry: ReplayEntry) -> Result<()> {
        let mut writer = self.inner.lock_writer()?;
        self.inner.check_unjournaled()?;
        let seq = entry.seq;
        self.inner
            .replay(&mut writer, entry)
            .map_err(|error| Error::corrupt(format!("the entry of commit {seq}: {error}")))
    }

    /// Fills the log of a database that was loaded with the entries from before its present state, of which the first
    /// follows the commit `after`. Records that are still current are shared.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when the database has a journal or the log has begun; [`crate::ErrorKind::Corrupt`] when the
    /// entries do not lead to the present state; what an entry fails with.
    pub fn load_log(
        &self,
        after: Seq,
        entries: &mut dyn Iterator<Item = Result<ReplayEntry>>,
    ) -> Result<()> {
        let mut writer = self.inner.lock_writer()?;
        self.inner.check_unjournaled()?;
        let mut log = self.inner.log.write();
        if !log.is_empty() {
            return Err(Error::conflict("the log has begun already"));
        }
        let retention = log.retention().clone();
        let mut past = Past {
            log: ChangeTracker::starting_after(after, retention),
            tables: HashMap::new(),
        };
        for entry in entries {
            self.inner.replay_past(&mut writer, &mut past, entry?)?;
        }
        if past.log.last() != self.inner.committed() {
            return Err(Error::corrupt(format!(
                "the log leads to commit {}, the records to commit {}",
                past.log.last(),
                self.inner.committed()
            )));
        }
        past.log.forget_before();
        *log = past.log;
        Ok(())
    }
}

/// Why a table cannot be part of a database with a journal.
fn own_storage(table: &str) -> Error {
    Error::unsupported(format!(
        "table `{table}` is kept by a storage of the application's own, which a durable database cannot keep as well; \
         use a storage in memory"
    ))
}

impl Inner {
    /// Tells the journal, if there is one.
    #[inline]
    pub(super) fn tell(&self, entry: &dyn Fn(&JournalFunction) -> Result<()>) -> Result<()> {
        self.journal.get().map_or(Ok(()), entry)
    }

    /// Tells the journal what happens to tables, if there is one.
    pub(super) fn tell_tables(&self, tables: &[TableEntry<'_>]) -> Result<()> {
        let entry = JournalEntry {
            seq: self.committed(),
            stamp: Hlc::default(),
            tables,
            changes: &[],
        };
        self.tell(&|journal| entry.send(journal))
    }

    /// What fills a database past its journal is refused.
    pub(super) fn check_unjournaled(&self) -> Result<()> {
        if self.journal.get().is_some() {
            return Err(Error::conflict(
                "the database has a journal, which would not know of what is loaded; insert the rows",
            ));
        }
        Ok(())
    }

    fn existing(&self, name: &str) -> Result<Arc<Table>> {
        self.table(name)
            .ok_or_else(|| Error::not_found(format!("there is no table `{name}`")))
    }

    fn replay(&self, writer: &mut Writer, entry: ReplayEntry) -> Result<()> {
        let last = self.committed();
        let expected = if entry.changes.is_empty() {
            last
        } else {
            last.next()
        };
        if entry.seq != expected {
            return Err(Error::corrupt(format!(
                "it does not follow the last commit, which is {last}"
            )));
        }
        let mut begins_anew = false;
        for table in entry.tables {
            begins_anew |= matches!(table, TableReplay::Altered { rows: Some(_), .. });
            self.replay_table(writer, table)?;
        }
        if !entry.changes.is_empty() {
            let mut changes = Vec::with_capacity(entry.changes.len());
            for change in entry.changes {
                changes.push(self.replay_change(entry.seq, entry.stamp, change)?);
            }
            self.clock.resume(entry.stamp);
            self.log.write().append(entry.seq, &changes);
            self.committed.store(entry.seq.0, Ordering::Release);
        }
        if begins_anew {
            self.log.write().prune_to(entry.seq);
        }
        Ok(())
    }

    fn replay_table(&self, writer: &mut Writer, entry: TableReplay) -> Result<()> {
        let kept_aside = || Arc::clone(&self.kept_aside);
        match entry {
            TableReplay::Created { schema, ordered } => {
                if self.table(&schema.name).is_some() {
                    return Err(Error::conflict(format!(
                        "there is a table `{}` already",
                        schema.name
                    )));
                }
                let kind = if ordered {
                    StorageKind::Ordered
                } else {
                    StorageKind::Hash
                };
                let id = TableId(writer.next_table);
                writer.next_table += 1;
                self.put_table(Table::new(id, schema, kind, &self.rules, kept_aside())?);
            }
            TableReplay::Dropped { table } => {
                self.existing(&table)?
                    .dropped
                    .store(true, Ordering::Relaxed);
                self.tables.write().by_name.remove(&table);
            }
            TableReplay::Altered { schema, rows } => {
                let old = self.existing(&schema.name)?;
                let new = match rows {
                    None => old.extended(schema, &[], None, &self.rules)?,
                    Some(rows) => {
                        let kind = old.kind.clone();
                        let new = Table::new(old.id, schema, kind, &self.rules, kept_aside())?;
                        for record in &rows {
                            new.validator.check(record)?;
                        }
                        commit::load(&new, &rows)?;
                        if new.storage.len() != rows.len() {
                            return Err(Error::corrupt("two of its records have one key"));
                        }
                        new
                    }
                };
                old.altered.store(true, Ordering::Relaxed);
                old.dropped.store(true, Ordering::Relaxed);
                self.put_table(new);
            }
            TableReplay::IndexCreated { schema, index } => {
                let spec = schema.indexes.iter().find(|spec| spec.name == index);
                let spec = spec
                    .cloned()
                    .ok_or_else(|| Error::corrupt(format!("the schema has no index `{index}`")))?;
                self.existing(&schema.name)?
                    .create_index(spec, |_| Ok(()))?;
            }
            TableReplay::IndexDropped { table, index } => {
                self.existing(&table)?.drop_index(&index, || Ok(()))?;
            }
        }
        Ok(())
    }

    fn put_table(&self, table: Table) {
        if table.has_references {
            self.has_references.store(true, Ordering::Relaxed);
        }
        let mut tables = self.tables.write();
        tables.by_name.insert(table.name.clone(), Arc::new(table));
    }

    fn replay_change(&self, seq: Seq, stamp: Hlc, entry: ChangeReplay) -> Result<Change> {
        let ChangeReplay {
            table: name,
            kind,
            columns,
            record,
        } = entry;
        let table = self.existing(&name)?;
        let fits = record.seq() == seq && record.key_columns() == table.validator.key_columns();
        if !fits {
            return Err(Error::corrupt(format!(
                "record {} is of another commit or table",
                record.id()
            )));
        }
        let before = table.storage.get(record.key())?.map(|(_, record)| record);
        if before.is_some() != (kind != ChangeKind::Insert) {
            return Err(Error::corrupt(format!(
                "record {} of `{name}` is there already, or is not there",
                record.id()
            )));
        }
        let write = if kind == ChangeKind::Delete {
            if record.len() != record.key_columns() {
                return Err(Error::corrupt("a deletion has more than the key"));
            }
            Write::Remove(record.id())
        } else {
            table.validator.check(&record)?;
            Write::Put(record.clone())
        };
        let after = (kind != ChangeKind::Delete).then_some(&record);
        let slot = table.storage.apply_one(write)?;
        for index in table.indexes.read().iter() {
            index.replace(slot, before.as_ref(), after);
        }
        Ok(Change {
            seq,
            stamp,
            table: table.id,
            kind,
            columns,
            before,
            record,
        })
    }

    /// Appends an entry to a log whose records are loaded already.
    fn replay_past(&self, writer: &mut Writer, past: &mut Past, entry: ReplayEntry) -> Result<()> {
        let is_commit = !entry.changes.is_empty();
        let last = past.log.last();
        let expected = if is_commit { last.next() } else { last };
        if entry.seq != expected || entry.seq > self.committed() {
            return Err(Error::corrupt(format!(
                "an entry of commit {} follows commit {last} in the log",
                entry.seq
            )));
        }
        // Changes of columns or tables that are no more cannot be handed out.
        let begins_anew = entry.tables.iter().any(|table| match table {
            TableReplay::Altered { rows, .. } => rows.is_some(),
            TableReplay::Dropped { table } => past.tables.contains_key(table),
            _ => false,
        });
        let mut changes = Vec::with_capacity(entry.changes.len());
        for change in entry.changes {
            let table = self.table(&change.table);
            let id = *past.tables.entry(change.table).or_insert_with(|| {
                table.as_ref().map_or_else(
                    || {
                        writer.next_table += 1;
                        TableId(writer.next_table - 1)
                    },
                    |table| table.id,
                )
            });
            let current = match &table {
                Some(table) if change.kind != ChangeKind::Delete => {
                    table.storage.get(change.record.key())?
                }
                _ => None,
            };
            let record = match current {
                Some((_, current)) if current.seq() == entry.seq => current,
                _ => change.record,
            };
            if record.seq() != entry.seq {
                return Err(Error::corrupt(format!(
                    "record {} is of another commit than {}",
                    record.id(),
                    entry.seq
                )));
            }
            changes.push(Change {
                seq: entry.seq,
                stamp: entry.stamp,
                table: id,
                kind: change.kind,
                columns: change.columns,
                before: None,
                record,
            });
        }
        if is_commit {
            past.log.append(entry.seq, &changes);
            self.clock.resume(entry.stamp);
        }
        if begins_anew {
            past.log.prune_to(entry.seq);
            past.tables.clear();
        }
        Ok(())
    }
}

/// The log of a database that was loaded, while it is filled.
struct Past {
    log: ChangeTracker,
    /// Tables that changes name, with their numbers.
    tables: HashMap<Text, TableId>,
}
