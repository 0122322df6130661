//! The critical section: from checked writes to a published commit.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::database::Inner;
use super::journal::{JournalEntry, TableEntry};
use super::table::Table;
use super::write_set::{Pending, WriteSet};
use crate::core::base::{Metadata, Record, RecordId, Seq, Slot, Text, Timestamp, Value};
use crate::core::schema::ReferenceAction;
use crate::core::storage::{Index, Write};
use crate::core::versioning::{Change, ChangeKind, ColumnSet, Hlc};
use crate::error::{Error, ErrorKind, Result, Violation};

/// Most writes that a reader may have to wait for; a longer commit keeps aside what it replaces instead.
const WAIT_WRITES_MAX: usize = 64;

/// What a commit did.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Position of the commit in the log; the last commit's when nothing changed.
    pub seq: Seq,
    /// Stamp of the commit.
    pub stamp: Hlc,
    /// What happened to each record, in the order of the writes. A write that changed nothing is left out,
    /// and so is a record both inserted and deleted.
    pub changes: SmallVec<[Change; 1]>,
}

/// One record of the commit: where it is and what becomes of it.
struct Step<'a> {
    table: &'a Arc<Table>,
    before: Option<&'a (Slot, Record)>,
    after: Option<&'a Record>,
    /// Columns that the record after has others than the one before; all of an insertion, none of a deletion.
    columns: ColumnSet,
}

impl Inner {
    /// Checks, applies, logs and publishes the writes; the caller holds the writer's lock. The journal is told of them
    /// together with what happens to tables.
    pub(super) fn commit(
        &self,
        set: &WriteSet,
        seq: Seq,
        now: Timestamp,
        tables: &[TableEntry<'_>],
    ) -> Result<Committed> {
        let steps: SmallVec<[Step<'_>; 1]> = set
            .last_writes()
            .filter_map(|write| step_of(set, write))
            .collect();
        if steps.is_empty() {
            if !tables.is_empty() {
                self.tell_tables(tables)?;
            }
            return Ok(Committed {
                seq: self.committed(),
                stamp: Hlc::default(),
                changes: SmallVec::new(),
            });
        }
        self.check_constraints(set, &steps)?;
        let stamp = self.clock.tick_at(now);
        let changes = changes_of(&steps, seq, stamp, now);
        let tell = || {
            self.tell(&|journal| {
                let names = steps.iter().map(|step| &step.table.name);
                let changes: SmallVec<[(&Text, &Change); 4]> = names.zip(&changes).collect();
                let entry = JournalEntry {
                    seq,
                    stamp,
                    tables,
                    changes: &changes,
                };
                entry.send(journal)
            })
        };
        let in_memory = steps.iter().all(|s| s.table.kind.is_memory());
        if in_memory {
            // Last of what may fail: storages in memory do not.
            tell()?;
        }

        // A short commit to memory while no snapshot is open keeps nothing aside: whoever opens a snapshot, or
        // meets one of its records, waits for this lock, and so for at most `WAIT_WRITES_MAX` writes.
        if steps.len() <= WAIT_WRITES_MAX && in_memory {
            let open = self.open.lock();
            if open.is_empty() {
                self.applying.store(true, Ordering::Release);
                let applied = match steps.as_slice() {
                    [step] => apply_one(step),
                    steps => self.apply_all(steps),
                };
                if applied.is_ok() {
                    self.publish(seq, &changes);
                }
                self.applying.store(false, Ordering::Release);
                drop(open);
                return applied.map(|()| Committed {
                    seq,
                    stamp,
                    changes,
                });
            }
        }
        for step in &steps {
            if let Some((slot, before)) = step.before {
                step.table.history.keep(*slot, before, seq);
            }
        }
        let applied = self.apply_all(&steps).and_then(|()| {
            if in_memory {
                return Ok(());
            }
            // A storage of the application's own may refuse what it is given, and the journal must not know of that.
            tell().inspect_err(|error| self.take_back_all(&groups_of(&steps), error))
        });
        if let Err(error) = applied {
            let tables = steps.iter().map(|step| step.table);
            tables.for_each(|table| table.history.take_back(seq));
            return Err(error);
        }
        self.publish(seq, &changes);
        let horizon = self.horizon();
        for step in &steps {
            step.table.history.release(horizon);
        }
        Ok(Committed {
            seq,
            stamp,
            changes,
        })
    }

    fn publish(&self, seq: Seq, changes: &[Change]) {
        self.log.write().append(seq, changes);
        self.committed.store(seq.0, Ordering::Release);
    }

    /// Applies the steps table by table; when one table fails, takes the others back.
    fn apply_all(&self, steps: &[Step<'_>]) -> Result<()> {
        let groups = groups_of(steps);
        for (i, group) in groups.iter().enumerate() {
            let Some(first) = group.first() else { continue };
            if let Err(error) = apply(first.table, group) {
                self.take_back_all(groups.get(..i).unwrap_or_default(), &error);
                return Err(error.at(format!("table `{}`", first.table.name)));
            }
        }
        Ok(())
    }

    /// Takes back what was applied to these tables, because of an error.
    fn take_back_all(&self, groups: &[&[Step<'_>]], error: &Error) {
        for done in groups.iter().rev() {
            if let Err(second) = take_back(done) {
                self.poison(&format!(
                    "a commit failed ({error}) and could not be taken back ({second})"
                ));
            }
        }
    }

    /// Checks unique indexes and references against the state after the whole transaction.
    fn check_constraints(&self, set: &WriteSet, steps: &[Step<'_>]) -> Result<()> {
        let mut violations = Vec::new();
        check_unique(set, steps, &mut violations)?;
        for step in steps {
            if let Some(after) = step.after {
                if step.table.has_references {
                    self.check_references(set, step.table, after, &mut violations)?;
                }
            } else if let Some((_, before)) = step.before {
                self.check_referrers(set, step.table, before, &mut violations)?;
            }
        }
        if violations.is_empty() {
            Ok(())
        } else {
            Err(Error::violations_of(
                ErrorKind::Conflict,
                "the transaction",
                violations,
            ))
        }
    }

    /// Rows that a row refers to must exist.
    fn check_references(
        &self,
        set: &WriteSet,
        table: &Table,
        after: &Record,
        violations: &mut Vec<Violation>,
    ) -> Result<()> {
        let schema = table.schema();
        for reference in &schema.references {
            let key: Vec<Value> = reference
                .columns
                .iter()
                .filter_map(|c| after.get(schema.position(c)?).cloned())
                .collect();
            if key.iter().any(Value::is_null) {
                continue;
            }
            let exists = match self.table(&reference.table) {
                None => false,
                Some(target) => match set.find(target.id, &key) {
                    Some(write) => write.after().is_some(),
                    None => target.storage.get(&key)?.is_some(),
                },
            };
            if !exists {
                violations.push(Violation {
                    path: format!("{}({})", table.name, after.id()),
                    rule: "reference".into(),
                    message: format!(
                        "refers to row {} of `{}`, which does not exist",
                        RecordId::composite(key),
                        reference.table
                    ),
                });
            }
        }
        Ok(())
    }

    /// A deleted row must have no row left that refers to it.
    fn check_referrers(
        &self,
        set: &WriteSet,
        table: &Table,
        before: &Record,
        violations: &mut Vec<Violation>,
    ) -> Result<()> {
        for (referrer, position) in self.referrers(&table.name) {
            let schema = referrer.schema();
            let Some(reference) = schema.references.get(position) else {
                continue;
            };
            if let Some(row) = Self::referring(set, &referrer, position, before.key())?.first() {
                violations.push(Violation {
                    path: format!("{}({})", table.name, before.id()),
                    rule: "reference".into(),
                    message: format!(
                        "is still referred to by row {} of `{}`; delete that first{}",
                        row.id(),
                        referrer.name,
                        match reference.on_delete {
                            ReferenceAction::Restrict => ", or let the reference cascade",
                            ReferenceAction::Cascade | ReferenceAction::SetNull => "",
                        }
                    ),
                });
            }
        }
        Ok(())
    }
}

/// The effect of a write, `None` when there is none.
fn step_of<'a>(set: &'a WriteSet, write: &'a Pending) -> Option<Step<'a>> {
    let before = write.committed.as_ref();
    let after = write.after();
    let columns = match (before, after) {
        (None, None) => return None,
        (None, Some(after)) => ColumnSet::all(after.len()),
        (Some(_), None) => ColumnSet::EMPTY,
        (Some((_, before)), Some(after)) => {
            let columns = ColumnSet::difference(before, after);
            if columns.is_empty() && before.len() == after.len() {
                return None;
            }
            columns
        }
    };
    Some(Step {
        table: set.table(write)?,
        before,
        after,
        columns,
    })
}

fn changes_of(steps: &[Step<'_>], seq: Seq, stamp: Hlc, now: Timestamp) -> SmallVec<[Change; 1]> {
    let change = |step: &Step<'_>| {
        let before = step.before.map(|(_, record)| record);
        let (kind, record) = match (before, step.after) {
            (None, Some(after)) => (ChangeKind::Insert, after.clone()),
            (Some(_), Some(after)) => (ChangeKind::Update, after.clone()),
            (before, None) => {
                // A step has a record on at least one side.
                let before = before?;
                let metadata = Metadata {
                    seq,
                    updated: now,
                    revision: before.metadata().revision.saturating_add(1),
                    ..before.metadata()
                };
                let tombstone = Record::tombstone(metadata, &before.id());
                (ChangeKind::Delete, tombstone)
            }
        };
        let before = before.cloned();
        Some(Change {
            seq,
            stamp,
            table: step.table.id,
            kind,
            columns: step.columns.clone(),
            before,
            record,
        })
    };
    steps.iter().filter_map(change).collect()
}

/// The steps of each table.
fn groups_of<'a, 's>(steps: &'a [Step<'s>]) -> Vec<&'a [Step<'s>]> {
    steps.chunk_by(|a, b| a.table.id == b.table.id).collect()
}

/// Applies steps of one table to its storage and indexes.
fn apply(table: &Table, steps: &[Step<'_>]) -> Result<()> {
    let writes: SmallVec<[Write; 1]> = steps
        .iter()
        .filter_map(|step| match (step.after, step.before) {
            (Some(after), _) => Some(Write::Put(after.clone())),
            (None, Some((_, before))) => Some(Write::Remove(before.id())),
            (None, None) => None,
        })
        .collect();
    let mut slots = Vec::with_capacity(writes.len());
    table.storage.apply(&writes, &mut slots)?;
    follow(table, steps, &slots);
    Ok(())
}

fn follow(table: &Table, steps: &[Step<'_>], slots: &[Slot]) {
    let indexes = table.indexes.read();
    for index in indexes.iter() {
        for (step, slot) in steps.iter().zip(slots) {
            index.replace(*slot, step.before.map(|(_, record)| record), step.after);
        }
    }
}

/// Applies a single step.
fn apply_one(step: &Step<'_>) -> Result<()> {
    let before = step.before.map(|(_, record)| record);
    let write = match (step.after, before) {
        (Some(after), _) => Write::Put(after.clone()),
        (None, Some(before)) => Write::Remove(before.id()),
        (None, None) => return Ok(()),
    };
    let slot = step.table.storage.apply_one(write)?;
    for index in step.table.indexes.read().iter() {
        index.replace(slot, before, step.after);
    }
    Ok(())
}

/// Undoes [`apply`].
fn take_back(steps: &[Step<'_>]) -> Result<()> {
    let Some(table) = steps.first().map(|step| step.table) else {
        return Ok(());
    };
    let mut writes = Vec::with_capacity(steps.len());
    let mut before_undo = Vec::with_capacity(steps.len());
    for step in steps.iter().rev() {
        let now = match step.after {
            Some(after) => table.storage.get(after.key())?,
            None => None,
        };
        writes.push(match (step.before, step.after) {
            (Some((_, before)), _) => Write::Put(before.clone()),
            (None, Some(after)) => Write::Remove(after.id()),
            (None, None) => continue,
        });
        before_undo.push((now, step.before.map(|(_, record)| record)));
    }
    let mut slots = Vec::with_capacity(writes.len());
    table.storage.apply(&writes, &mut slots)?;
    for index in table.indexes.read().iter() {
        for ((now, before), slot) in before_undo.iter().zip(&slots) {
            index.replace(*slot, now.as_ref().map(|(_, record)| record), *before);
        }
    }
    Ok(())
}

/// No two rows may have the same values in a unique index.
fn check_unique(set: &WriteSet, steps: &[Step<'_>], violations: &mut Vec<Violation>) -> Result<()> {
    let mut tables: Vec<&Arc<Table>> = Vec::new();
    for step in steps {
        let unique = step.table.has_unique.load(Ordering::Relaxed);
        if unique && tables.iter().all(|known| known.id != step.table.id) {
            tables.push(step.table);
        }
    }
    for table in tables {
        let written: Vec<&Record> = steps
            .iter()
            .filter(|s| s.table.id == table.id)
            .filter_map(|s| s.after)
            .collect();
        for index in table.indexes().iter().filter(|index| index.spec().unique) {
            let mut seen: HashMap<RecordId, &Record> = HashMap::new();
            for after in &written {
                let key = index.key(after);
                if key.values().iter().any(Value::is_null) {
                    continue;
                }
                let other = match duplicate_in_storage(set, table, index, &key, after)? {
                    Some(other) => Some(other),
                    None => seen.get(&key).map(|record| record.id()),
                };
                if let Some(other) = other {
                    violations.push(Violation {
                        path: format!("{}({})", table.name, after.id()),
                        rule: "unique".into(),
                        message: format!(
                            "shares the value {key} of unique index `{}` with row {other}",
                            index.spec().name
                        ),
                    });
                }
                seen.insert(key, after);
            }
        }
    }
    Ok(())
}

/// A stored row, other than `after`, that has the key and still has it after the transaction.
fn duplicate_in_storage(
    set: &WriteSet,
    table: &Table,
    index: &Index,
    key: &RecordId,
    after: &Record,
) -> Result<Option<RecordId>> {
    let mut slots = Vec::new();
    index.equal(key.values(), &mut slots);
    let mut stored = Vec::with_capacity(slots.len());
    table.storage.read(&slots, &mut stored)?;
    let keeps_key = |record: &&Record| match set.find(table.id, record.key()) {
        None => true,
        Some(write) => write.after().is_some_and(|after| index.key(after) == *key),
    };
    Ok(stored
        .iter()
        .filter(|r| r.key() != after.key())
        .find(keeps_key)
        .map(Record::id))
}

/// Puts records into an empty table as they are.
pub(super) fn load(table: &Table, records: &[Record]) -> Result<()> {
    let writes: Vec<Write> = records.iter().cloned().map(Write::Put).collect();
    let mut slots = Vec::with_capacity(writes.len());
    table.storage.apply(&writes, &mut slots)?;
    for index in table.indexes().iter() {
        for (record, slot) in records.iter().zip(&slots) {
            index.replace(*slot, None, Some(record));
        }
    }
    Ok(())
}
