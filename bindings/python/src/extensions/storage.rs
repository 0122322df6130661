//! [`PythonStorage`]: places that hold the records of a table.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use common::serialization::Format;
use common::storage::{Storage, Visitor, Write};
use common::{Error, Limits, Metadata, Record, RecordId, Result, Seq, Slot, Timestamp, Value};
use parking_lot::Mutex;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::call::{append_bytes, ask, raised};
use crate::interchange::{value_of, value_to_python};

/// How many records a scan asks for at once.
const CHUNK: usize = 256;

/// An object with `get(key)`, `put(key, record)`, `remove(key)` and `keys()`: keys are tuples, records bytes.
///
/// Which key is in which slot is known here, so that the object is asked for records only.
pub(super) struct PythonStorage {
    name: String,
    object: Py<PyAny>,
    /// Never held while Python code runs.
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    by_key: HashMap<RecordId, Slot>,
    keys: Vec<Option<RecordId>>,
    free: Vec<Slot>,
}

impl Slots {
    fn place(&mut self, key: &RecordId) -> Result<Slot> {
        if let Some(slot) = self.by_key.get(key) {
            return Ok(*slot);
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let next = u32::try_from(self.keys.len());
                self.keys.push(None);
                Slot(next.map_err(|_| Error::limit_exceeded("a storage holds 2^32 records"))?)
            }
        };
        if let Some(place) = self.keys.get_mut(slot.0 as usize) {
            *place = Some(key.clone());
        }
        self.by_key.insert(key.clone(), slot);
        Ok(slot)
    }

    fn release(&mut self, key: &RecordId) -> Option<Slot> {
        let slot = self.by_key.remove(key)?;
        if let Some(place) = self.keys.get_mut(slot.0 as usize) {
            *place = None;
        }
        self.free.push(slot);
        Some(slot)
    }
}

impl PythonStorage {
    /// The storage of an object, with the records that it has.
    pub(super) fn new(name: String, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let mut slots = Slots::default();
        for key in object.call_method0(intern!(py, "keys"))?.try_iter()? {
            let key = key?;
            let parts = key.cast::<PyTuple>()?.iter();
            let parts = parts.map(|part| value_of(&part));
            let key = RecordId::composite(parts.collect::<PyResult<Vec<_>>>()?);
            slots.place(&key).map_err(|error| raised(py, &error))?;
        }
        Ok(Self {
            name,
            object: object.clone().unbind(),
            slots: Mutex::new(slots),
        })
    }

    /// Shows the object to the garbage collector, for the one owner that Python knows.
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&self.object)
    }

    /// Position of the newest record: where a database that opens the storage goes on.
    pub(super) fn newest(&self) -> Result<Seq> {
        let mut newest = Seq(0);
        self.scan(&mut |records| {
            for (_, record) in records {
                newest = newest.max(record.seq());
            }
            ControlFlow::Continue(())
        })?;
        Ok(newest)
    }

    fn who(&self, method: &str) -> String {
        format!("storage `{}`: {method}", self.name)
    }

    fn fetch(&self, key: &[Value]) -> Result<Option<Record>> {
        let who = self.who("get");
        let bytes = ask(&who, |py| {
            let found = self
                .object
                .bind(py)
                .call_method1(intern!(py, "get"), (tuple_of(py, key)?,))?;
            if found.is_none() {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            append_bytes(&who, &found, &mut bytes)?;
            Ok(Some(bytes))
        })?;
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        let record = record_of(&bytes).map_err(|error| error.at(&who))?;
        if record.key() != key {
            return Err(Error::corrupt(format!(
                "{who} gave the record of another key"
            )));
        }
        Ok(Some(record))
    }

    /// One write, and what it replaced.
    fn step(&self, write: &Write) -> Result<(Slot, Option<Record>)> {
        match write {
            Write::Put(record) => {
                let before = if self.slots.lock().by_key.contains_key(&record.id()) {
                    self.fetch(record.key())?
                } else {
                    None
                };
                self.put(record)?;
                let slot = self.slots.lock().place(&record.id())?;
                Ok((slot, before))
            }
            Write::Remove(key) => {
                let slot = self.slots.lock().by_key.get(key).copied();
                let Some(slot) = slot else {
                    return Err(Error::not_found(format!("there is no record {key}")));
                };
                let before = self.fetch(key.values())?;
                self.forget(key)?;
                self.slots.lock().release(key);
                Ok((slot, before))
            }
        }
    }

    fn put(&self, record: &Record) -> Result<()> {
        let bytes = bytes_of(record)?;
        ask(&self.who("put"), |py| {
            let arguments = (tuple_of(py, record.key())?, PyBytes::new(py, &bytes));
            self.object
                .bind(py)
                .call_method1(intern!(py, "put"), arguments)
                .map(drop)
        })
    }

    fn forget(&self, key: &RecordId) -> Result<()> {
        ask(&self.who("remove"), |py| {
            self.object
                .bind(py)
                .call_method1(intern!(py, "remove"), (tuple_of(py, key.values())?,))
                .map(drop)
        })
    }

    /// Takes a write back.
    fn undo(&self, write: &Write, before: Option<Record>) -> Result<()> {
        match (write, before) {
            (_, Some(record)) => {
                self.put(&record)?;
                self.slots.lock().place(&record.id()).map(drop)
            }
            (Write::Put(record), None) => {
                self.forget(&record.id())?;
                self.slots.lock().release(&record.id());
                Ok(())
            }
            (Write::Remove(_), None) => Ok(()),
        }
    }
}

impl Storage for PythonStorage {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.slots.lock().by_key.len()
    }

    fn get(&self, key: &[Value]) -> Result<Option<(Slot, Record)>> {
        let slot = self.slots.lock().by_key.get(&RecordId::from(key)).copied();
        let Some(slot) = slot else {
            return Ok(None);
        };
        Ok(self.fetch(key)?.map(|record| (slot, record)))
    }

    fn read(&self, slots: &[Slot], records: &mut Vec<Record>) -> Result<()> {
        for slot in slots {
            let key = self.slots.lock().keys.get(slot.0 as usize).cloned();
            if let Some(Some(key)) = key {
                records.extend(self.fetch(key.values())?);
            }
        }
        Ok(())
    }

    fn scan(&self, visit: Visitor<'_>) -> Result<()> {
        let keys: Vec<(Slot, RecordId)> = {
            let slots = self.slots.lock();
            let all = (0..).map(Slot).zip(&slots.keys);
            all.filter_map(|(slot, key)| Some((slot, key.clone()?)))
                .collect()
        };
        for keys in keys.chunks(CHUNK) {
            let mut records = Vec::with_capacity(keys.len());
            for (slot, key) in keys {
                records.extend(self.fetch(key.values())?.map(|record| (*slot, record)));
            }
            if !records.is_empty() && visit(&records) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, writes: &[Write], slots: &mut Vec<Slot>) -> Result<()> {
        let mark = slots.len();
        let mut done = Vec::with_capacity(writes.len());
        for write in writes {
            match self.step(write) {
                Ok((slot, before)) => {
                    slots.push(slot);
                    done.push((write, before));
                }
                Err(error) => {
                    slots.truncate(mark);
                    for (write, before) in done.into_iter().rev() {
                        self.undo(write, before)?;
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

fn tuple_of<'py>(py: Python<'py>, key: &[Value]) -> PyResult<Bound<'py, PyTuple>> {
    let parts: Vec<_> = key
        .iter()
        .map(|part| value_to_python(py, part))
        .collect::<PyResult<_>>()?;
    PyTuple::new(py, parts)
}

fn number(value: u64) -> Value {
    Value::Int(value.cast_signed())
}

/// A record as bytes: a MessagePack list of seq, times, revision, number of key columns, and the values.
fn bytes_of(record: &Record) -> Result<Vec<u8>> {
    let metadata = record.metadata();
    let list: Arc<[Value]> = [
        number(metadata.seq.0),
        Value::Int(metadata.created.0),
        Value::Int(metadata.updated.0),
        Value::Int(metadata.revision.into()),
        Value::Int(i64::try_from(record.key_columns()).unwrap_or(i64::MAX)),
        Value::List(record.values().into()),
    ]
    .into();
    let mut bytes = Vec::new();
    Format::MsgPack.encode_value(&Value::List(list), &mut bytes)?;
    Ok(bytes)
}

/// Inverse of [`bytes_of`].
fn record_of(bytes: &[u8]) -> Result<Record> {
    let wrong = || Error::corrupt("these bytes are no record that `put` was given");
    let list = Format::MsgPack.decode_value(bytes, &Limits::default())?;
    let Some(
        [
            Value::Int(seq),
            Value::Int(created),
            Value::Int(updated),
            Value::Int(revision),
            Value::Int(key_columns),
            Value::List(values),
        ],
    ) = list.as_list()
    else {
        return Err(wrong());
    };
    let key_columns = usize::try_from(*key_columns).map_err(|_| wrong())?;
    if key_columns == 0 || key_columns > values.len().min(255) {
        return Err(wrong());
    }
    let metadata = Metadata {
        seq: Seq(seq.cast_unsigned()),
        created: Timestamp(*created),
        updated: Timestamp(*updated),
        revision: u32::try_from(*revision).map_err(|_| wrong())?,
    };
    Ok(Record::new(metadata, key_columns, values.iter().cloned()))
}
