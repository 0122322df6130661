//! What the server sends, laid under what the replica has not been answered for yet, and kept as long as some
//! subscription covers it.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use common::schema::FieldId;
use common::{Collection, Error, Record, RecordId, Result, Text, Transaction, Value, View};

use super::planted::{self, Bug};
use super::protocol::{Block, BlockKind};
use super::queue::Pending;
use super::subscription::Subscriptions;
use super::system::{Synced, SyncedTables, read_number, row_key};

/// Lays the server's rows under the pending ones, in one transaction.
pub(crate) struct Apply<'a, 'db> {
    pub(crate) tx: &'a mut Transaction<'db>,
    pub(crate) tables: &'a SyncedTables,
    pub(crate) members: &'a Collection,
    pub(crate) queue: &'a Collection,
    /// Whether anything may be in the queue.
    pub(crate) waits: bool,
    pub(crate) subscriptions: &'a Subscriptions,
    /// Mask of the scopes that have rows here, that which joins included.
    pub(crate) held: u64,
    /// Number of rows taken in.
    pub(crate) rows: u64,
}

/// What is said about where a row belongs.
#[derive(Clone, Copy)]
struct Told {
    /// Scopes that are spoken of.
    known: u64,
    /// Those among them that cover the row.
    scopes: u64,
}

/// How the rows of one table are kept.
struct Keeping<'a> {
    synced: &'a Synced,
    /// For each scope that has rows of the table here: its bit, and its columns unless it has all.
    scopes: Vec<(u64, Option<HashSet<usize>>)>,
}

impl<'a> Keeping<'a> {
    fn of(synced: &'a Synced, subscriptions: &Subscriptions, held: u64) -> Self {
        let fields = &synced.schema.fields;
        let position = |id: &FieldId| fields.iter().position(|field| field.id == *id);
        let about = subscriptions.about(held, &synced.schema.name);
        let scopes = about.map(|kept| {
            let columns = kept.fields(&synced.schema.name);
            let columns = columns.map(|ids| ids.iter().filter_map(position).collect());
            (kept.bit(), columns)
        });
        Self {
            synced,
            scopes: scopes.collect(),
        }
    }

    /// Whether it is noted for each row which scopes cover it. With one scope, all rows are in it.
    fn is_noted(&self) -> bool {
        self.scopes.len() > 1
    }

    fn mask(&self) -> u64 {
        self.scopes.iter().fold(0, |mask, (bit, _)| mask | bit)
    }

    fn has_column(&self, mask: u64, position: usize) -> bool {
        let mut scopes = self.scopes.iter().filter(|(bit, _)| bit & mask != 0);
        scopes.any(|(_, columns)| columns.as_ref().is_none_or(|c| c.contains(&position)))
    }

    fn has_all_columns(&self, mask: u64) -> bool {
        let mut scopes = self.scopes.iter().filter(|(bit, _)| bit & mask != 0);
        scopes.any(|(_, columns)| columns.is_none())
    }
}

/// Mask of the scopes that cover a row, as it is noted.
pub(crate) fn noted(
    view: View<'_>,
    members: &Collection,
    table: &str,
    key: &RecordId,
) -> Result<u64> {
    let record = view.get(members, &row_key(table, key))?;
    record.map_or(Ok(0), |record| read_number(&record, 2))
}

impl Apply<'_, '_> {
    /// Takes in blocks that speak of the scopes in `known`.
    pub(crate) fn blocks(&mut self, blocks: &[Block], known: u64) -> Result<()> {
        for block in blocks {
            let told = Told {
                known,
                scopes: block.scopes & known,
            };
            self.block(block, told)?;
        }
        Ok(())
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

    /// What was said here about a row and is not answered yet.
    fn pending(&self, table: &Text, key: &RecordId) -> Result<Option<Pending>> {
        if !self.waits {
            return Ok(None);
        }
        Pending::of(self.tx.view(), self.queue, table, key)
    }

    /// Takes in blocks of the rows of one scope.
    pub(crate) fn segment(&mut self, blocks: &[Block], bit: u64) -> Result<()> {
        for block in blocks {
            let scopes = if block.kind == BlockKind::Gone {
                0
            } else {
                bit
            };
            self.block(block, Told { known: bit, scopes })?;
        }
        Ok(())
    }

    fn block(&mut self, block: &Block, told: Told) -> Result<()> {
        let tables = self.tables;
        let synced = tables.get(&block.table)?;
        let keeping = Keeping::of(synced, self.subscriptions, self.held);
        let layout = Layout::of(synced, block)?;
        let has_all = layout.positions.len() + synced.schema.key_columns == layout.columns;
        let arrives = block.kind == BlockKind::Put && told.scopes != 0;
        let is_plain = !keeping.is_noted() && keeping.has_all_columns(told.scopes);
        if arrives && has_all && !self.waits && is_plain {
            return self.rows_as_they_are(synced, &layout, block);
        }
        for row in 0..block.rows() {
            self.rows += 1;
            let (key, columns) = block.row(row);
            self.row(&keeping, &layout, block.kind, &key, columns, told)?;
        }
        Ok(())
    }

    fn row(
        &mut self,
        keeping: &Keeping<'_>,
        layout: &Layout,
        kind: BlockKind,
        key: &RecordId,
        columns: Vec<(FieldId, Value)>,
        told: Told,
    ) -> Result<()> {
        let synced = keeping.synced;
        let pending = self.pending(&synced.schema.name, key)?;
        let pending = pending.filter(|_| !planted::has(Bug::OverlayForgotten));
        let pending = pending.as_ref();
        if kind != BlockKind::Gone && pending.is_some_and(|pending| pending.deleted) {
            return Ok(());
        }
        let Some(mask) = self.settle(keeping, key, told)? else {
            return Ok(());
        };
        if kind == BlockKind::Gone {
            return self.thin_out(keeping, key, mask);
        }
        let needs_current = kind == BlockKind::Patch
            || pending.is_some()
            || layout.positions.len() + synced.schema.key_columns != layout.columns;
        let current = if needs_current {
            self.tx.get(&synced.collection, key.clone())?
        } else {
            None
        };
        // What was said here and is not answered yet stays on top of what the server has.
        let on_top = |field: FieldId, value: Value| -> Value {
            if let Some(set) = pending.and_then(|p| p.columns.get(&field)) {
                return set.clone();
            }
            let deltas = pending.and_then(|p| p.deltas.get(&field));
            deltas.into_iter().flatten().fold(value, |value, delta| {
                // A delta that does not fit any more is rejected when the server gets it.
                delta.apply(&value).unwrap_or(value)
            })
        };
        // What is said of a scope whose columns were changed may have columns that are still to come. They would stay if it
        // were changed back before: nobody compares what no scope has.
        let values = columns
            .into_iter()
            .zip(&layout.positions)
            .filter(|(_, position)| keeping.has_column(mask, **position))
            .map(|((field, value), position)| (*position, on_top(field, value)));
        let values: Vec<(usize, Value)> = values.collect();
        match (kind, current) {
            // The digest at the end of the sync finds that rows are missing.
            (BlockKind::Patch, None) => Ok(()),
            (BlockKind::Patch, Some(_)) => {
                if !values.is_empty() {
                    self.tx
                        .update_values(&synced.collection, key.clone(), values)?;
                }
                self.thin_out(keeping, key, mask)
            }
            (_, current) => {
                let mut whole: Vec<Value> = vec![Value::Null; layout.columns];
                if let Some(current) = &current {
                    let places = whole.iter_mut().zip(current.iter()).enumerate();
                    for (position, (to, value)) in places {
                        if keeping.has_column(mask, position) {
                            *to = value.clone();
                        }
                    }
                }
                let fields = synced.schema.fields.iter().map(|field| field.id);
                for (to, field) in whole.iter_mut().zip(fields) {
                    if let Some(set) = pending.and_then(|p| p.columns.get(&field)) {
                        *to = set.clone();
                    }
                }
                for (to, value) in whole.iter_mut().zip(key.values()) {
                    *to = value.clone();
                }
                for (position, value) in values {
                    if let Some(to) = whole.get_mut(position) {
                        *to = value;
                    }
                }
                self.tx.upsert_values(&synced.collection, whole).map(drop)
            }
        }
    }

    /// Notes which scopes cover a row. A row that none covers is deleted, and gives `None`; but for one that was made
    /// here and is not answered yet, which stays as it is.
    fn settle(&mut self, keeping: &Keeping<'_>, key: &RecordId, told: Told) -> Result<Option<u64>> {
        let table = &keeping.synced.schema.name;
        let before = if keeping.is_noted() {
            noted(self.tx.view(), self.members, table, key)?
        } else {
            keeping.mask()
        };
        let mask = (before & !told.known) | told.scopes;
        if keeping.is_noted() && mask != before {
            let id = row_key(table, key);
            if mask == 0 {
                self.tx.delete(self.members, id)?;
            } else {
                let row = [
                    Value::Text(table.clone()),
                    Value::List(key.values().into()),
                    super::system::number(mask),
                ];
                self.tx.upsert_values(self.members, row)?;
            }
        }
        if mask != 0 {
            return Ok(Some(mask));
        }
        let pending = self.pending(table, key)?;
        if pending.is_some_and(|pending| pending.inserted) {
            return Ok(None);
        }
        let collection = &keeping.synced.collection;
        if self.tx.get(collection, key.clone())?.is_some() {
            self.tx.delete(collection, key.clone())?;
        }
        Ok(None)
    }

    /// Lets a row go that only scopes cover of which the server has not spoken, those in `known` being the others: nobody says
    /// how it stands. It comes again with whichever of them comes again.
    pub(crate) fn let_go(&mut self, table: &Text, key: &RecordId, known: u64) -> Result<()> {
        let tables = self.tables;
        let Some(synced) = tables.by_name.get(table) else {
            return Ok(());
        };
        let keeping = Keeping::of(synced, self.subscriptions, self.held);
        let mask = if keeping.is_noted() {
            noted(self.tx.view(), self.members, table, key)?
        } else {
            keeping.mask()
        };
        if mask != 0 && mask & known == 0 {
            let told = Told {
                known: mask,
                scopes: 0,
            };
            self.settle(&keeping, key, told)?;
        }
        Ok(())
    }

    /// Empties the columns of a row that no scope has any more.
    fn thin_out(&mut self, keeping: &Keeping<'_>, key: &RecordId, mask: u64) -> Result<()> {
        if keeping.has_all_columns(mask) {
            return Ok(());
        }
        let synced = keeping.synced;
        let Some(current) = self.tx.get(&synced.collection, key.clone())? else {
            return Ok(());
        };
        let pending = self.pending(&synced.schema.name, key)?;
        let fields = synced.schema.fields.iter().zip(current.iter()).enumerate();
        let unwanted = fields
            .skip(synced.schema.key_columns)
            .filter(|(position, (field, value))| {
                !value.is_null()
                    && !keeping.has_column(mask, *position)
                    && pending
                        .as_ref()
                        .is_none_or(|pending| !pending.columns.contains_key(&field.id))
            })
            .map(|(position, _)| (position, Value::Null));
        let unwanted: Vec<(usize, Value)> = unwanted.collect();
        if unwanted.is_empty() {
            return Ok(());
        }
        self.tx
            .update_values(&synced.collection, key.clone(), unwanted)
    }

    /// Notes the scopes of rows where a second scope of their table is about to join.
    pub(crate) fn prepare_joining(&mut self, bit: u64) -> Result<()> {
        let tables = self.tables;
        for synced in tables.by_name.values() {
            let without = Keeping::of(synced, self.subscriptions, self.held & !bit);
            let with = Keeping::of(synced, self.subscriptions, self.held | bit);
            if without.is_noted() || !with.is_noted() {
                continue;
            }
            for key in self.keys(synced)? {
                let row = [
                    Value::Text(synced.schema.name.clone()),
                    Value::List(key.values().into()),
                    super::system::number(without.mask()),
                ];
                self.tx.upsert_values(self.members, row)?;
            }
        }
        Ok(())
    }

    /// Takes away what only the scope `bit` covered, except rows in `kept`, by table.
    pub(crate) fn take_away(
        &mut self,
        bit: u64,
        kept: &HashMap<Text, HashSet<RecordId>>,
    ) -> Result<()> {
        let tables = self.tables;
        let told = Told {
            known: bit,
            scopes: 0,
        };
        for synced in tables.by_name.values() {
            let keeping = Keeping::of(synced, self.subscriptions, self.held);
            if keeping.mask() & bit == 0 {
                continue;
            }
            let kept = kept.get(&synced.schema.name);
            for key in self.keys(synced)? {
                if kept.is_some_and(|kept| kept.contains(&key)) {
                    continue;
                }
                if let Some(mask) = self.settle(&keeping, &key, told)? {
                    self.thin_out(&keeping, &key, mask)?;
                }
            }
        }
        Ok(())
    }

    /// Forgets which scopes cover which rows where one scope or none is left.
    pub(crate) fn forget_notes(&mut self) -> Result<()> {
        let tables = self.tables;
        let mut pointless = Vec::new();
        let noted = |table: &str| {
            tables
                .by_name
                .get(table)
                .is_some_and(|synced| Keeping::of(synced, self.subscriptions, self.held).is_noted())
        };
        self.tx.view().scan(self.members, &mut |records| {
            let of_no_use = records.iter().filter(|record| {
                let table = record.first().and_then(Value::as_text);
                !table.is_some_and(noted)
            });
            pointless.extend(of_no_use.map(Record::id));
            ControlFlow::Continue(())
        })?;
        for id in pointless {
            self.tx.delete(self.members, id)?;
        }
        Ok(())
    }

    fn keys(&self, synced: &Synced) -> Result<Vec<RecordId>> {
        let mut keys = Vec::new();
        self.tx.view().scan(&synced.collection, &mut |records| {
            keys.extend(records.iter().map(Record::id));
            ControlFlow::Continue(())
        })?;
        Ok(keys)
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
