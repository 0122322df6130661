//! [`ExtendedStorage`]: records that were written before their table got some of its columns.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::storage::{Storage, Visitor, Write};
use crate::core::base::{Record, Slot, Value};
use crate::error::Result;

/// Computes a new column from the columns before it. It cannot fail: what to do with a row that does not fit is
/// decided by whoever made it.
pub type FillFunction = Arc<dyn Fn(&[Value]) -> Value + Send + Sync>;

/// Where the values of a new column come from, for rows that were written before the column was there.
#[derive(Clone)]
pub enum Fill {
    /// All have this value.
    Value(Value),
    /// Each is computed from other columns of its row.
    Computed {
        /// Positions of those columns, all before the new one.
        from: Vec<usize>,
        /// Gives the value for the columns before the new one.
        function: FillFunction,
    },
}

impl fmt::Debug for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "Value({value:?})"),
            Self::Computed { from, .. } => write!(f, "Computed(from {from:?})"),
        }
    }
}

/// A storage under a table that got columns after records were written: what it hands out has all columns, whatever
/// is stored. Reading a record that is short costs a copy of it; writing it again, or settling it, ends that.
pub(crate) struct ExtendedStorage {
    inner: Arc<dyn Storage>,
    /// Columns that every stored record has.
    base: usize,
    /// Those after them.
    fills: Vec<Fill>,
    /// Whether every record that is stored has all columns.
    settled: AtomicBool,
}

impl ExtendedStorage {
    pub(crate) fn new(inner: Arc<dyn Storage>, base: usize, fills: Vec<Fill>) -> Self {
        let settled = AtomicBool::new(inner.is_empty());
        Self {
            inner,
            base,
            fills,
            settled,
        }
    }

    /// The same records with still more columns.
    pub(crate) fn extended(&self, fills: &[Fill]) -> Self {
        let fills = self.fills.iter().chain(fills).cloned().collect();
        Self::new(Arc::clone(&self.inner), self.base, fills)
    }

    fn columns(&self) -> usize {
        self.base + self.fills.len()
    }

    /// The record with all columns, when it has not got them. Records with fewer columns than any row ever had are not rows.
    pub(crate) fn widened(&self, record: &Record) -> Option<Record> {
        if record.len() >= self.columns() || record.len() < self.base {
            return None;
        }
        let mut values: Vec<Value> = Vec::with_capacity(self.columns());
        values.extend_from_slice(record.values());
        for fill in self.fills.iter().skip(record.len() - self.base) {
            values.push(match fill {
                Fill::Value(value) => value.clone(),
                Fill::Computed { function, .. } => function(&values),
            });
        }
        Some(Record::new(record.metadata(), record.key_columns(), values))
    }

    /// The columns that a record of `len` columns lacks and that are computed: position, and those that it is computed from.
    pub(crate) fn computed(&self, len: usize) -> impl Iterator<Item = (usize, &[usize])> {
        let fills = (self.base..).zip(&self.fills);
        fills.filter_map(move |(position, fill)| match fill {
            Fill::Computed { from, .. } if position >= len => Some((position, from.as_slice())),
            _ => None,
        })
    }

    /// Whether records are stored that lack columns.
    pub(crate) fn has_short(&self) -> bool {
        !self.settled.load(Ordering::Acquire)
    }

    /// All stored records that lack columns.
    ///
    /// # Errors
    /// As [`Storage::scan`].
    pub(crate) fn short(&self) -> Result<Vec<Record>> {
        let mut short = Vec::new();
        let columns = self.columns();
        self.inner.scan(&mut |records| {
            let lacking = records.iter().map(|(_, record)| record);
            short.extend(lacking.filter(|record| record.len() < columns).cloned());
            ControlFlow::Continue(())
        })?;
        Ok(short)
    }

    /// Writes those of `records` that are still stored as they are with all columns. The caller is the only writer.
    ///
    /// # Errors
    /// As [`Storage::apply`].
    pub(crate) fn settle(&self, records: &[Record]) -> Result<()> {
        let mut writes = Vec::with_capacity(records.len());
        for record in records {
            let stored = self.inner.get(record.key())?;
            if stored.is_some_and(|(_, stored)| stored.is_same(record))
                && let Some(widened) = self.widened(record)
            {
                writes.push(Write::Put(widened));
            }
        }
        let mut slots = Vec::with_capacity(writes.len());
        self.inner.apply(&writes, &mut slots)
    }

    /// Notes that every stored record has all columns.
    pub(crate) fn set_settled(&self) {
        self.settled.store(true, Ordering::Release);
    }
}

impl Storage for ExtendedStorage {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn get(&self, key: &[Value]) -> Result<Option<(Slot, Record)>> {
        let found = self.inner.get(key)?;
        Ok(found.map(|(slot, record)| (slot, self.widened(&record).unwrap_or(record))))
    }

    fn read(&self, slots: &[Slot], records: &mut Vec<Record>) -> Result<()> {
        let begin = records.len();
        self.inner.read(slots, records)?;
        for record in records.iter_mut().skip(begin) {
            if let Some(widened) = self.widened(record) {
                *record = widened;
            }
        }
        Ok(())
    }

    fn scan(&self, visit: Visitor<'_>) -> Result<()> {
        if !self.has_short() {
            return self.inner.scan(visit);
        }
        let mut whole = Vec::new();
        self.inner.scan(&mut |records| {
            whole.clear();
            whole.extend(records.iter().map(|(slot, record)| {
                let record = self.widened(record).unwrap_or_else(|| record.clone());
                (*slot, record)
            }));
            visit(&whole)
        })
    }

    fn apply(&self, writes: &[Write], slots: &mut Vec<Slot>) -> Result<()> {
        self.inner.apply(writes, slots)
    }

    fn apply_one(&self, write: Write) -> Result<Slot> {
        self.inner.apply_one(write)
    }
}
