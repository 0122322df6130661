//! [`EventStorage`]: keeps the table of a view as rows of numbers; what reads of features go to.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use common::schema::Schema;
use common::storage::{Storage, Visitor, Write};
use common::{Error, Record, Result, Slot, Value};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::cell::Kind;
use super::directory::Directory;
use super::events::{Events, Layout};

/// Columns of a view's table between an entity's key and the features.
pub(super) const OWN_COLUMNS: usize = 3;

/// Writes that readers wait for at most.
const WRITES_AT_ONCE: usize = 16;
/// Records that a scan reads at once.
const RECORDS_AT_ONCE: u32 = 256;

/// The events of one view.
pub(super) struct EventStorage {
    events: RwLock<Events>,
    /// Whether another storage has taken its place.
    replaced: AtomicBool,
    /// Latest time of knowledge that was given out.
    known: AtomicI64,
}

impl EventStorage {
    /// An empty storage for a table of this schema, in which the key of an entity, the times of event and knowledge,
    /// and the mark of deletions come first.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a column of a type that features are not of.
    pub(super) fn new(schema: &Schema) -> Result<Self> {
        let keys = schema.key_columns.saturating_sub(2);
        let types: Vec<_> = schema
            .fields
            .iter()
            .take(keys)
            .map(|f| f.ty.clone())
            .collect();
        let features = schema.fields.iter().skip(keys + OWN_COLUMNS);
        let kinds = features.map(|field| {
            Kind::of(&field.ty).ok_or_else(|| {
                Error::invalid(format!(
                    "feature `{}` is of type {}; features are of float, int, bool, timestamp, date or text",
                    field.name, field.ty
                ))
            })
        });
        let layout = Layout {
            keys,
            kinds: kinds.collect::<Result<_>>()?,
        };
        Ok(Self {
            events: RwLock::new(Events::new(layout, Directory::new(&types))),
            replaced: AtomicBool::new(false),
            known: AtomicI64::new(i64::MIN),
        })
    }

    #[inline]
    pub(super) fn read_events(&self) -> RwLockReadGuard<'_, Events> {
        self.events.read()
    }

    pub(super) fn write_events(&self) -> RwLockWriteGuard<'_, Events> {
        self.events.write()
    }

    /// Puts records that are there already, metadata and all, before anybody else sees this storage.
    pub(super) fn fill(&self, records: &[Record]) -> Result<()> {
        let mut events = self.events.write();
        for record in records {
            events.put(record)?;
        }
        self.known.fetch_max(events.known_last(), Ordering::Relaxed);
        Ok(())
    }

    /// A time of knowledge for events that come now: never before one that was given out.
    pub(super) fn next_known(&self, now: i64) -> i64 {
        self.known.fetch_max(now, Ordering::Relaxed).max(now)
    }

    pub(super) fn set_replaced(&self) {
        self.replaced.store(true, Ordering::Release);
    }

    #[inline]
    pub(super) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for EventStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStorage").finish_non_exhaustive()
    }
}

fn write(events: &mut Events, write: &Write) -> Result<(u32, Option<Record>)> {
    match write {
        Write::Put(record) => {
            let before = events
                .slot_of(record.key())
                .and_then(|row| events.record(row));
            Ok((events.put(record)?, before))
        }
        Write::Remove(id) => {
            let before = events
                .slot_of(id.values())
                .and_then(|row| events.record(row));
            Ok((events.remove(id.values())?, before))
        }
    }
}

impl Storage for EventStorage {
    fn name(&self) -> &'static str {
        "feature events"
    }

    fn len(&self) -> usize {
        self.events.read().len()
    }

    fn get(&self, key: &[Value]) -> Result<Option<(Slot, Record)>> {
        let events = self.events.read();
        let row = events.slot_of(key);
        Ok(row.and_then(|row| Some((Slot(row), events.record(row)?))))
    }

    fn read(&self, slots: &[Slot], records: &mut Vec<Record>) -> Result<()> {
        let events = self.events.read();
        records.extend(slots.iter().filter_map(|slot| events.record(slot.0)));
        Ok(())
    }

    fn scan(&self, visit: Visitor<'_>) -> Result<()> {
        let mut next = 0;
        let mut found = Vec::new();
        loop {
            found.clear();
            {
                let events = self.events.read();
                if next >= events.rows() {
                    return Ok(());
                }
                let end = next.saturating_add(RECORDS_AT_ONCE).min(events.rows());
                found.extend((next..end).filter_map(|row| Some((Slot(row), events.record(row)?))));
                next = end;
            }
            if visit(&found) == ControlFlow::Break(()) {
                return Ok(());
            }
        }
    }

    fn apply(&self, writes: &[Write], slots: &mut Vec<Slot>) -> Result<()> {
        let mark = slots.len();
        let mut befores = Vec::new();
        for chunk in writes.chunks(WRITES_AT_ONCE) {
            let mut events = self.events.write();
            for step in chunk {
                match write(&mut events, step) {
                    Ok((row, before)) => {
                        slots.push(Slot(row));
                        befores.push(before);
                    }
                    Err(error) => {
                        slots.truncate(mark);
                        for (step, before) in writes.iter().zip(befores).rev() {
                            // What was there a moment ago fits again.
                            let _ = match (before, step) {
                                (Some(before), _) => events.put(&before).map(drop),
                                (None, Write::Put(record)) => events.remove(record.key()).map(drop),
                                (None, Write::Remove(_)) => Ok(()),
                            };
                        }
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use common::schema::{Field, FieldType};
    use common::{Metadata, RecordId, Timestamp};

    use super::*;

    fn storage() -> EventStorage {
        let schema = Schema::build("t", ["id", "event_time", "known_at"])
            .field(Field::new("id", FieldType::Int))
            .field(Field::new("event_time", FieldType::Timestamp))
            .field(Field::new("known_at", FieldType::Timestamp))
            .field(Field::new("deleted", FieldType::Bool))
            .field(Field::new("x", FieldType::Float).nullable());
        EventStorage::new(&schema.finish().unwrap()).unwrap()
    }

    fn event(id: i64, time: i64, x: f64) -> Record {
        let time = Value::Timestamp(Timestamp(time));
        let values = [id.into(), time.clone(), time, false.into(), x.into()];
        let metadata = Metadata {
            revision: 1,
            ..Metadata::default()
        };
        Record::new(metadata, 3, values)
    }

    fn contents(storage: &EventStorage) -> Vec<(Slot, Vec<Value>)> {
        let mut found = Vec::new();
        let scanned = storage.scan(&mut |records| {
            found.extend(records.iter().map(|(slot, r)| (*slot, r.values().to_vec())));
            ControlFlow::Continue(())
        });
        scanned.unwrap();
        found
    }

    #[test]
    fn of_writes_of_which_one_fails_none_is_made() {
        let storage = storage();
        let mut slots = Vec::new();
        let first: Vec<Write> = (0..40).map(|id| Write::Put(event(id, 1, 1.0))).collect();
        storage.apply(&first, &mut slots).unwrap();
        let before = contents(&storage);
        let mut writes: Vec<Write> = (0..40)
            .map(|id| Write::Put(event(id, id % 2, 2.0)))
            .collect();
        writes.push(Write::Remove(event(3, 1, 0.0).id()));
        writes.push(Write::Put(event(50, 1, 2.0)));
        writes.push(Write::Remove(RecordId::from(7)));
        assert!(storage.apply(&writes, &mut slots).is_err());
        assert_eq!(slots.len(), first.len());
        let after: Vec<_> = contents(&storage)
            .into_iter()
            .map(|(_, values)| values)
            .collect();
        assert_eq!(after.len(), before.len());
        assert!(before.iter().all(|(_, values)| after.contains(values)));
        storage
            .apply(&writes[..writes.len() - 1], &mut slots)
            .unwrap();
        assert_eq!(slots.len(), first.len() + writes.len() - 1);
    }
}
