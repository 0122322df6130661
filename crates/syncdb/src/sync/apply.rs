//! What the server sends, laid under what the replica has not been answered for yet.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use common::schema::FieldId;
use common::{Error, RecordId, Result, Text, Transaction, Value};

use super::protocol::{Block, BlockKind};
use super::queue::Pending;
use super::system::{Synced, SyncedTables};

/// Lays the server's rows under the pending ones, in one transaction.
pub(crate) struct Apply<'a, 'db> {
    pub(crate) tx: &'a mut Transaction<'db>,
    pub(crate) tables: &'a SyncedTables,
    pub(crate) pending: &'a HashMap<(Text, RecordId), Pending>,
    /// Number of rows taken in.
    pub(crate) rows: u64,
}

impl Apply<'_, '_> {
    /// Takes in blocks of changes.
    pub(crate) fn blocks(&mut self, blocks: &[Block]) -> Result<()> {
        for block in blocks {
            let tables = self.tables;
            let synced = tables.get(&block.table)?;
            let layout = Layout::of(synced, block)?;
            if block.kind == BlockKind::Put && self.pending.is_empty() {
                self.rows_as_they_are(synced, &layout, block)?;
                continue;
            }
            for row in 0..block.rows() {
                self.row(synced, &layout, block, row)?;
            }
        }
        Ok(())
    }

    /// Makes the tables hold exactly what the blocks of a snapshot hold, and what is pending.
    pub(crate) fn snapshot(&mut self, blocks: &[Block]) -> Result<()> {
        let tables = self.tables;
        for (name, synced) in &tables.by_name {
            if synced.collection.is_empty() {
                continue;
            }
            let of_table = blocks.iter().filter(|block| block.table == *name);
            let known: HashSet<RecordId> = of_table
                .flat_map(|block| (0..block.rows()).map(|row| block.key(row)))
                .collect();
            let mut extra = Vec::new();
            self.tx.view().scan(&synced.collection, &mut |records| {
                let ids = records.iter().map(common::Record::id);
                extra.extend(ids.filter(|id| !known.contains(id)));
                ControlFlow::Continue(())
            })?;
            for id in extra {
                self.gone(synced, id)?;
            }
        }
        self.blocks(blocks)
    }

    /// Takes in whole rows where nothing is pending: nothing is looked up, and a row is put together in its place.
    fn rows_as_they_are(&mut self, synced: &Synced, layout: &Layout, block: &Block) -> Result<()> {
        let columns: Vec<&[Value]> = layout
            .sources(block)
            .map(|column| column.map_or(&[][..], Vec::as_slice))
            .collect();
        for row in 0..block.rows() {
            let values = columns
                .iter()
                .map(|column| column.get(row).cloned().unwrap_or_default());
            self.tx.upsert_values(&synced.collection, values)?;
        }
        self.rows += block.rows() as u64;
        Ok(())
    }

    fn row(&mut self, synced: &Synced, layout: &Layout, block: &Block, row: usize) -> Result<()> {
        self.rows += 1;
        let (key, columns) = block.row(row);
        if block.kind == BlockKind::Gone {
            return self.gone(synced, key);
        }
        let pending = self.pending.get(&(block.table.clone(), key.clone()));
        if pending.is_some_and(|pending| pending.deleted) {
            return Ok(());
        }
        let current = match pending {
            None if block.kind == BlockKind::Put => None,
            _ => self.tx.get(&synced.collection, key.clone())?,
        };
        let is_pending = |field: &FieldId| pending.is_some_and(|p| p.columns.contains(field));
        // What was said here and is not answered yet stays on top of what the server has.
        let on_top = |field: FieldId, value: Value| -> Value {
            let deltas = pending.and_then(|p| p.deltas.get(&field));
            deltas.into_iter().flatten().fold(value, |value, delta| {
                // A delta that does not fit any more is rejected when the server gets it.
                delta.apply(&value).unwrap_or(value)
            })
        };
        if block.kind == BlockKind::Patch {
            if current.is_none() {
                // The digest at the end of the sync finds that rows are missing.
                return Ok(());
            }
            let changes = columns
                .into_iter()
                .zip(&layout.positions)
                .filter(|((field, _), _)| !is_pending(field))
                .map(|((field, value), position)| (*position, on_top(field, value)));
            let changes: Vec<(usize, Value)> = changes.collect();
            return self.tx.update_values(&synced.collection, key, changes);
        }
        let mut values: Vec<Value> = vec![Value::Null; layout.columns];
        for (to, value) in values.iter_mut().zip(key.values()) {
            *to = value.clone();
        }
        for ((field, value), position) in columns.into_iter().zip(&layout.positions) {
            let local = current.as_ref().filter(|_| is_pending(&field));
            if let Some(to) = values.get_mut(*position) {
                *to = local
                    .and_then(|local| local.get(*position).cloned())
                    .unwrap_or_else(|| on_top(field, value));
            }
        }
        self.tx.upsert_values(&synced.collection, values).map(drop)
    }

    fn gone(&mut self, synced: &Synced, key: RecordId) -> Result<()> {
        let row = (synced.schema.name.clone(), key);
        if self
            .pending
            .get(&row)
            .is_some_and(|pending| pending.inserted)
        {
            return Ok(());
        }
        if self.tx.get(&synced.collection, row.1.clone())?.is_some() {
            self.tx.delete(&synced.collection, row.1)?;
        }
        Ok(())
    }
}

/// Where a block's columns stand in the table.
struct Layout {
    columns: usize,
    positions: Vec<usize>,
}

impl Layout {
    fn of(synced: &Synced, block: &Block) -> Result<Self> {
        let schema = &synced.schema;
        if block.key_columns() != schema.key_columns {
            return Err(misfit(block, "has another key"));
        }
        let positions: Option<Vec<usize>> = block
            .fields
            .iter()
            .map(|id| schema.fields.iter().position(|field| field.id == *id))
            .collect();
        let positions = positions.filter(|p| p.iter().all(|p| *p >= schema.key_columns));
        let Some(positions) = positions else {
            return Err(misfit(block, "has columns that the table has not"));
        };
        let rest = schema.fields.len() - schema.key_columns;
        if block.kind == BlockKind::Put && positions.len() != rest {
            return Err(misfit(block, "has not all columns of the table"));
        }
        Ok(Self {
            columns: schema.fields.len(),
            positions,
        })
    }
}

impl Layout {
    /// A block's columns in the order of the table's.
    fn sources<'a>(&self, block: &'a Block) -> impl Iterator<Item = Option<&'a Vec<Value>>> {
        let key_columns = block.key_columns();
        (0..self.columns).map(move |column| {
            let at = match column.checked_sub(key_columns) {
                None => Some(column),
                Some(_) => {
                    let after = self.positions.iter().position(|at| *at == column);
                    after.map(|after| key_columns + after)
                }
            };
            block.columns.get(at?)
        })
    }
}

#[cold]
fn misfit(block: &Block, what: &str) -> Error {
    Error::corrupt(format!("a block of table `{}` {what}", block.table))
}
