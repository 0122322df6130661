//! [`ModelStore`]: what a database must do, written so simply that it cannot be wrong.

use std::collections::BTreeMap;

use common::{RecordId, Value};

/// Tables as ordered maps, transactions and snapshots as full copies.
///
/// The oracle of the store's property tests; also of use to whoever writes a storage strategy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelStore {
    /// Rows of each table, by table number.
    pub tables: Vec<BTreeMap<RecordId, Vec<Value>>>,
}

impl ModelStore {
    /// A model with this many empty tables.
    pub fn new(tables: usize) -> Self {
        Self {
            tables: vec![BTreeMap::new(); tables],
        }
    }

    /// Inserts a row; `false` when the key is taken.
    pub fn insert(&mut self, table: usize, id: RecordId, row: Vec<Value>) -> bool {
        match self.tables.get_mut(table) {
            Some(rows) if !rows.contains_key(&id) => {
                rows.insert(id, row);
                true
            }
            _ => false,
        }
    }

    /// Inserts or replaces a row.
    pub fn upsert(&mut self, table: usize, id: RecordId, row: Vec<Value>) {
        if let Some(rows) = self.tables.get_mut(table) {
            rows.insert(id, row);
        }
    }

    /// Changes one column; `false` when there is no such row.
    pub fn update(&mut self, table: usize, id: &RecordId, column: usize, value: Value) -> bool {
        let cell = self
            .tables
            .get_mut(table)
            .and_then(|rows| rows.get_mut(id))
            .and_then(|row| row.get_mut(column));
        match cell {
            Some(cell) => {
                *cell = value;
                true
            }
            None => false,
        }
    }

    /// Deletes a row; `false` when there is none.
    pub fn delete(&mut self, table: usize, id: &RecordId) -> bool {
        self.tables
            .get_mut(table)
            .is_some_and(|rows| rows.remove(id).is_some())
    }

    /// Rows of a table that satisfy a condition, in key order.
    pub fn rows(&self, table: usize, keep: impl Fn(&[Value]) -> bool) -> Vec<Vec<Value>> {
        self.tables
            .get(table)
            .map(|rows| rows.values().filter(|row| keep(row)).cloned().collect())
            .unwrap_or_default()
    }
}
