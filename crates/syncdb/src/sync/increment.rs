//! What happened after a position, as blocks: the net effect on each row, with the columns that changed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use common::schema::Schema;
use common::versioning::{Change, ChangeKind, ColumnSet, TableId};
use common::{Collection, Record, RecordId, Result, Seq, Text, Value, View};

use super::protocol::{Block, BlockKind};

/// The net effect of some commits on one row.
enum Net {
    Put(Record),
    Patch(ColumnSet, Record),
    Gone,
}

/// The net effect of `changes` on the rows of `tables`. Commits in `own` are those that the replica made itself
/// and got the outcome of in the same answer.
pub(crate) fn blocks(
    changes: Vec<Change>,
    own: &HashSet<Seq>,
    tables: &[Collection],
) -> Vec<Block> {
    let known: HashMap<TableId, usize> = tables
        .iter()
        .enumerate()
        .map(|(position, table)| (table.id(), position))
        .collect();
    let mut rows: BTreeMap<(usize, RecordId), Net> = BTreeMap::new();
    for change in changes {
        let Some(table) = known.get(&change.table) else {
            continue;
        };
        let row = (*table, change.id());
        let earlier = rows.remove(&row);
        if own.contains(&change.seq) && earlier.is_none() {
            continue;
        }
        let net = match (earlier, change.kind) {
            (_, ChangeKind::Delete) => Net::Gone,
            (Some(Net::Patch(columns, _)), ChangeKind::Update) => {
                Net::Patch(columns.union(&change.columns), change.record)
            }
            (None, ChangeKind::Update) => Net::Patch(change.columns, change.record),
            (_, ChangeKind::Insert | ChangeKind::Update) => Net::Put(change.record),
        };
        rows.insert(row, net);
    }
    let mut cut = Cut::default();
    for ((table, key), net) in rows {
        let Some(table) = tables.get(table) else {
            continue;
        };
        let schema = table.schema();
        match net {
            Net::Put(record) => cut.put(&schema, &record),
            Net::Patch(columns, record) => {
                let positions: Vec<usize> = columns.iter().collect();
                cut.add(&schema, BlockKind::Patch, &positions, &record);
            }
            Net::Gone => cut.gone(&schema, &key),
        }
    }
    cut.finish()
}

/// How the rows stand in the database, for rows of which the replica has something else.
pub(crate) fn truth(
    view: View<'_>,
    rows: &BTreeSet<(Text, RecordId)>,
    tables: &[Collection],
) -> Result<Vec<Block>> {
    let mut cut = Cut::default();
    for (name, key) in rows {
        // A table that the replica made up has no rows here, and none at the replica to put right.
        let Some(table) = tables.iter().find(|table| table.name() == name.as_str()) else {
            continue;
        };
        let schema = table.schema();
        match view.get(table, key)? {
            Some(record) => cut.put(&schema, &record),
            None if key.values().len() == schema.key_columns => cut.gone(&schema, key),
            None => {}
        }
    }
    Ok(cut.finish())
}

/// Blocks in the making.
#[derive(Default)]
pub(crate) struct Cut {
    blocks: BTreeMap<(Text, BlockKind, Vec<usize>), Block>,
}

impl Cut {
    /// Adds a row with all its columns.
    pub(crate) fn put(&mut self, schema: &Schema, record: &Record) {
        let positions: Vec<usize> = (schema.key_columns..schema.fields.len()).collect();
        self.add(schema, BlockKind::Put, &positions, record);
    }

    fn gone(&mut self, schema: &Schema, key: &RecordId) {
        let values = key.values().iter();
        self.row(schema, BlockKind::Gone, &[], values.cloned());
    }

    fn add(&mut self, schema: &Schema, kind: BlockKind, positions: &[usize], record: &Record) {
        let columns = positions
            .iter()
            .map(|position| record.get(*position).cloned().unwrap_or_default());
        let values = record.key().iter().cloned().chain(columns);
        self.row(schema, kind, positions, values);
    }

    fn row(
        &mut self,
        schema: &Schema,
        kind: BlockKind,
        positions: &[usize],
        values: impl Iterator<Item = Value>,
    ) {
        let id = (schema.name.clone(), kind, positions.to_vec());
        let block = self.blocks.entry(id).or_insert_with(|| Block {
            table: schema.name.clone(),
            kind,
            fields: positions
                .iter()
                .filter_map(|position| schema.fields.get(*position).map(|field| field.id))
                .collect(),
            columns: vec![Vec::new(); schema.key_columns + positions.len()],
        });
        for (column, value) in block.columns.iter_mut().zip(values) {
            column.push(value);
        }
    }

    pub(crate) fn finish(self) -> Vec<Block> {
        self.blocks.into_values().collect()
    }
}
