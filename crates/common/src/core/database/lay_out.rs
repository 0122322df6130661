//! [`Database::lay_out`]: a table's records move to another storage, and nothing else changes.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::collection::Collection;
use super::database::Database;
use super::table::Table;
use crate::core::storage::{Storage, StorageKind, Write};
use crate::error::{Error, Result};

/// Records that are moved at once.
const RECORDS_AT_ONCE: usize = 1_024;

impl Database {
    /// Has an empty storage of the application's own keep the records of a table from now on.
    ///
    /// Nothing that a file of the database or a replica would hold changes, so nothing is logged: the records, their
    /// metadata, the schema and the table's number stay. How a table lies in memory is for whoever opens the database to
    /// say anew. Handles to the table of before read what they know, and refuse to write: take them anew.
    ///
    /// Cost: the records are copied, while nobody writes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is no such table; [`crate::ErrorKind::Conflict`] while a snapshot is open,
    /// unless the table is empty; [`crate::ErrorKind::Unsupported`] for a table that got columns since its records were
    /// written; what the storage fails with. Nothing is changed then.
    pub fn lay_out(&self, table: &str, storage: Arc<dyn Storage>) -> Result<Collection> {
        let inner = &self.inner;
        let _writer = inner.lock_writer()?;
        let old = inner
            .table(table)
            .ok_or_else(|| Error::not_found(format!("there is no table `{table}`")))?;
        if old.extended.is_some() {
            return Err(Error::unsupported(format!(
                "table `{table}` got columns that its records lack in memory; open the database anew"
            )));
        }
        // A reader who begins now would look for what is replaced later in two places.
        let open = inner.open.lock();
        if !old.storage.is_empty() && !open.is_empty() {
            return Err(Error::conflict(format!(
                "the records of `{table}` cannot move while a snapshot is open; try again when it is closed"
            )));
        }
        copy(&*old.storage, &*storage)?;
        let fresh = Table::new(
            old.id,
            old.schema().as_ref().clone(),
            StorageKind::Custom(storage),
            &inner.rules,
            Arc::clone(&inner.kept_aside),
        )?;
        let fresh = Arc::new(Table {
            derivation: old.derivation.clone(),
            ..fresh
        });
        let mut tables = inner.tables.write();
        tables.by_name.insert(old.name.clone(), Arc::clone(&fresh));
        drop(tables);
        old.altered.store(true, Ordering::Relaxed);
        old.dropped.store(true, Ordering::Relaxed);
        drop(open);
        Ok(Collection::new(self.clone(), fresh))
    }
}

fn copy(from: &dyn Storage, to: &dyn Storage) -> Result<()> {
    let mut writes = Vec::with_capacity(RECORDS_AT_ONCE);
    let mut slots = Vec::with_capacity(RECORDS_AT_ONCE);
    let mut failure = Ok(());
    let mut flush = |writes: &mut Vec<Write>| {
        slots.clear();
        let done = to.apply(writes, &mut slots);
        writes.clear();
        done
    };
    from.scan(&mut |records| {
        for (_, record) in records {
            writes.push(Write::Put(record.clone()));
            if writes.len() == RECORDS_AT_ONCE {
                failure = flush(&mut writes);
                if failure.is_err() {
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    failure?;
    flush(&mut writes)
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::core::base::{Record, Slot};
    use crate::core::schema::{Field, FieldType, IndexSpec, Schema};
    use crate::core::storage::{HashStorage, OrderedStorage, Visitor};
    use crate::{Value, row};

    fn numbers() -> (Database, Collection) {
        let db = Database::new();
        let schema = Schema::build("numbers", ["id"])
            .field(Field::new("id", FieldType::Int))
            .field(Field::new("square", FieldType::Int))
            .index(IndexSpec::hash(["square"]).unique());
        let numbers = db.create_collection(schema.finish().unwrap()).unwrap();
        for id in 0..3_000 {
            numbers
                .insert(row! { "id": id, "square": id * id })
                .unwrap();
        }
        (db, numbers)
    }

    #[test]
    fn records_move_with_all_that_is_known_of_them() {
        let (db, before) = numbers();
        let (seq, id) = (db.seq(), before.id());
        let changes = db.changes_since(crate::Seq(0), 10).unwrap().len();
        let known = before.get(7).unwrap();
        let after = db
            .lay_out("numbers", Arc::new(OrderedStorage::new()))
            .unwrap();
        assert_eq!((after.len(), after.id(), db.seq()), (3_000, id, seq));
        assert_eq!(db.changes_since(crate::Seq(0), 10).unwrap().len(), changes);
        let moved = after.get(7).unwrap();
        assert_eq!(moved.values(), known.values());
        assert_eq!(
            (moved.seq(), moved.metadata()),
            (known.seq(), known.metadata())
        );
        assert!(db.collection("numbers").unwrap().is_current());
        // The index came along, and the old handle writes no more.
        assert!(after.insert(row! { "id": -1, "square": 49 }).is_err());
        after.update(7, row! { "square": -49 }).unwrap();
        after.insert(row! { "id": -1, "square": 49 }).unwrap();
        let refused = before
            .insert(row! { "id": 9_000, "square": 1 })
            .unwrap_err();
        assert!(refused.to_string().contains("altered"), "{refused}");
        assert_eq!(after.get(7).unwrap()[1], Value::from(-49));
    }

    #[test]
    fn an_open_snapshot_keeps_records_where_they_are() {
        let (db, before) = numbers();
        let snapshot = db.snapshot();
        let storage: Arc<dyn Storage> = Arc::new(HashStorage::new());
        let refused = db.lay_out("numbers", Arc::clone(&storage)).unwrap_err();
        assert_eq!(refused.kind(), crate::ErrorKind::Conflict);
        assert!(before.is_current() && storage.is_empty());
        drop(snapshot);
        db.lay_out("numbers", storage).unwrap();
        assert!(!before.is_current());
        assert!(db.lay_out("others", Arc::new(HashStorage::new())).is_err());
    }

    /// A storage that takes no negative numbers.
    struct Positive(HashStorage);

    impl Storage for Positive {
        fn name(&self) -> &'static str {
            "positive"
        }

        fn len(&self) -> usize {
            self.0.len()
        }

        fn get(&self, key: &[Value]) -> Result<Option<(Slot, Record)>> {
            self.0.get(key)
        }

        fn read(&self, slots: &[Slot], records: &mut Vec<Record>) -> Result<()> {
            self.0.read(slots, records)
        }

        fn scan(&self, visit: Visitor<'_>) -> Result<()> {
            self.0.scan(visit)
        }

        fn apply(&self, writes: &[Write], slots: &mut Vec<Slot>) -> Result<()> {
            let is_negative = |write: &Write| match write {
                Write::Put(record) => record.key()[0] < Value::from(0),
                Write::Remove(_) => false,
            };
            if writes.iter().any(is_negative) {
                return Err(Error::invalid("a negative number"));
            }
            self.0.apply(writes, slots)
        }
    }

    #[test]
    fn the_journal_hears_of_no_commit_that_a_storage_refuses_and_none_stays_that_the_journal_refuses()
     {
        let (db, numbers) = numbers();
        let schema = Schema::build("others", ["id"]).field(Field::new("id", FieldType::Int));
        db.create_collection(schema.finish().unwrap()).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let journal = Arc::clone(&heard);
        db.set_journal(Box::new(move |entry| {
            if entry.changes.len() == 3 {
                return Err(Error::closed("no room"));
            }
            journal.lock().push(entry.seq);
            Ok(())
        }))
        .unwrap();
        let others = db
            .lay_out("others", Arc::new(Positive(HashStorage::new())))
            .unwrap();
        let before = db.seq();
        // Refused after the other table has taken its part.
        let both = |id: i64, more: bool| {
            db.transaction(|tx| {
                tx.insert(&numbers, row! { "id": id + 5_000, "square": -id - 10 })?;
                if more {
                    tx.delete(&numbers, 1)?;
                }
                tx.insert(&others, row! { "id": id })
            })
        };
        assert!(both(-1, false).is_err());
        assert!(both(2, true).is_err());
        assert_eq!((numbers.len(), others.len(), db.seq()), (3_000, 0, before));
        assert!(heard.lock().is_empty());
        both(3, false).unwrap();
        assert_eq!(*heard.lock(), [before.next()]);
        assert_eq!((numbers.len(), others.len()), (3_001, 1));
    }
}
