//! A storage strategy from outside: records in memory, and a journal of every write beside them.
//!
//! A host that mirrors its data elsewhere reads the journal. What a database needs of a storage is the
//! latest record under each key, in a slot; snapshots and transactions are built on top of that for every
//! strategy. Run it with `cargo run --example storage_as_a_stranger`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::storage::{Storage, StorageKind, Visitor, Write};
use common::{Database, Error, Record, RecordId, Result, Slot, Value, row};

#[derive(Default)]
struct State {
    records: BTreeMap<RecordId, (Slot, Record)>,
    by_slot: BTreeMap<Slot, RecordId>,
    next_slot: u32,
    journal: Vec<String>,
}

/// Records behind one lock, with a line of text for each write.
#[derive(Default)]
pub(crate) struct JournaledStorage(Mutex<State>);

impl JournaledStorage {
    fn state(&self) -> MutexGuard<'_, State> {
        // A reader that panicked has changed nothing, so the state behind its lock is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines written so far.
    pub(crate) fn journal(&self) -> Vec<String> {
        self.state().journal.clone()
    }
}

impl State {
    fn put(&mut self, record: &Record) -> Slot {
        let id = record.id();
        let slot = match self.records.get(&id) {
            Some((slot, _)) => *slot,
            None => {
                self.next_slot += 1;
                Slot(self.next_slot)
            }
        };
        self.journal.push(format!("put {id}"));
        self.by_slot.insert(slot, id.clone());
        self.records.insert(id, (slot, record.clone()));
        slot
    }

    fn remove(&mut self, id: &RecordId) -> Result<Slot> {
        let (slot, _) = self
            .records
            .remove(id)
            .ok_or_else(|| Error::not_found(format!("no record has the key {id}")))?;
        self.by_slot.remove(&slot);
        self.journal.push(format!("remove {id}"));
        Ok(slot)
    }
}

impl Storage for JournaledStorage {
    fn name(&self) -> &'static str {
        "journaled"
    }

    fn len(&self) -> usize {
        self.state().records.len()
    }

    fn get(&self, key: &[Value]) -> Result<Option<(Slot, Record)>> {
        Ok(self.state().records.get(&RecordId::from(key)).cloned())
    }

    fn read(&self, slots: &[Slot], records: &mut Vec<Record>) -> Result<()> {
        let state = self.state();
        let ids = slots.iter().filter_map(|slot| state.by_slot.get(slot));
        records.extend(
            ids.filter_map(|id| state.records.get(id))
                .map(|(_, r)| r.clone()),
        );
        Ok(())
    }

    fn scan(&self, visit: Visitor<'_>) -> Result<()> {
        // A copy of the references, so that writers do not wait for whoever looks at them.
        let all: Vec<(Slot, Record)> = self.state().records.values().cloned().collect();
        for chunk in all.chunks(256) {
            if visit(chunk).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, writes: &[Write], slots: &mut Vec<Slot>) -> Result<()> {
        let mut state = self.state();
        let missing = writes
            .iter()
            .enumerate()
            .find_map(|(i, write)| match write {
                // A key may be put earlier in the same call.
                Write::Remove(id) => {
                    let put = |earlier: &Write| matches!(earlier, Write::Put(r) if r.id() == *id);
                    let known = state.records.contains_key(id) || writes.iter().take(i).any(put);
                    (!known).then_some(id)
                }
                Write::Put(_) => None,
            });
        if let Some(id) = missing {
            return Err(Error::not_found(format!("no record has the key {id}")));
        }
        for write in writes {
            slots.push(match write {
                Write::Put(record) => state.put(record),
                Write::Remove(id) => state.remove(id)?,
            });
        }
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
#[cfg_attr(test, expect(dead_code, reason = "tests use the storage alone"))]
fn main() -> Result<()> {
    let storage = Arc::new(JournaledStorage::default());
    let db = Database::new();
    let schema = Schema::build("parts", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("name", FieldType::Text))
        .index(IndexSpec::hash(["name"]))
        .finish()?;
    let parts = db.create_collection_in(schema, StorageKind::Custom(storage.clone()))?;

    parts.insert(row! { "id": 1, "name": "bolt" })?;
    let before = db.snapshot();
    db.transaction(|tx| {
        tx.insert(&parts, row! { "id": 2, "name": "nut" })?;
        tx.update(&parts, 1, row! { "name": "screw" })
    })?;
    parts.delete(2)?;

    assert_eq!(storage.journal(), ["put 1", "put 2", "put 1", "remove 2"]);
    let old = before.get(&parts, 1)?;
    assert_eq!(
        old.as_ref().and_then(|record| record.get(1)),
        Some(&Value::from("bolt"))
    );
    println!("journal: {:?}", storage.journal());
    println!("the snapshot still has {old:?}");
    Ok(())
}
