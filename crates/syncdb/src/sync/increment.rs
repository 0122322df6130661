//! What happened between two commits, as the net effect on each row and as the scopes of one replica see it: rows that
//! came into a scope arrive whole, rows that left all of them go, and what was never in any is not mentioned.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use common::schema::Schema;
use common::versioning::{Change, ChangeKind, ColumnSet, TableId};
use common::{Database, Record, RecordId, Result, Seq, Text, Value, View};

use super::planted::{self, Bug};
use super::protocol::{Block, BlockKind, SEGMENT_MEMORY_TARGET};
use super::scope::{ScopeSet, TableScope, ever};

/// Changes of the log that are read at a time.
const READ_CHANGES: usize = 8_192;

/// What some commits did to one row.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about the row"
)]
struct Net {
    /// The row before the first of them, as the replica has it.
    before: Option<Record>,
    /// The log does not say what was before.
    before_unknown: bool,
    /// The row began with commits of the replica's own, so that it has the row in scope or not.
    begins_own: bool,
    /// Nothing but such commits, of which it has had the outcome.
    only_own: bool,
    /// The row was inserted on the way.
    inserted: bool,
    columns: ColumnSet,
    /// The last change's record, a tombstone for a deletion.
    last: Record,
    is_gone: bool,
    /// Some version on the way was in some scope.
    was_ever: bool,
}

/// The changes of a replica's scopes between two commits, in order of table and key.
pub(crate) struct Delta {
    tables: Vec<std::sync::Arc<Schema>>,
    rows: Vec<DeltaRow>,
    /// Estimate of the memory that the rows take.
    pub(crate) memory: usize,
}

struct DeltaRow {
    table: usize,
    kind: BlockKind,
    scopes: u64,
    columns: ColumnSet,
    record: Record,
}

/// Which scopes a delta is for.
pub(crate) struct Audience<'a> {
    pub(crate) set: &'a ScopeSet,
    /// Mask of the scopes that the replica has as of the first commit.
    pub(crate) joined: u64,
    /// Bit of a scope that it is receiving, as of some commit in between.
    pub(crate) joining: u64,
    /// Commits that the replica made itself and got the outcome of in the same answer; none where rows were staged.
    pub(crate) own: &'a HashSet<Seq>,
}

impl Delta {
    /// Reads the log from after `from` up to `to`. Takes memory for each row that was changed, not for each change.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when the log does not reach back so far any more.
    pub(crate) fn read(db: &Database, from: Seq, to: Seq, audience: &Audience<'_>) -> Result<Self> {
        let by_name = audience.set.tables();
        let tables: Vec<&TableScope> = by_name.into_values().collect();
        let numbers: HashMap<TableId, usize> = tables
            .iter()
            .enumerate()
            .map(|(number, table)| (table.collection.id(), number))
            .collect();
        let mut nets: BTreeMap<(usize, RecordId), Net> = BTreeMap::new();
        // What is before a compacted change may be older than what the replica has.
        let compacted = Some(db.log_compacted()).filter(|compacted| *compacted > from);
        let mut at = from;
        if planted::has(Bug::OffByOneCursor) && at < to {
            at = at.next();
        }
        while at < to {
            let changes = db.changes_since(at, READ_CHANGES)?;
            let Some(last) = changes.last() else { break };
            at = last.seq;
            for mut change in changes {
                if change.seq > to {
                    break;
                }
                if compacted.is_some_and(|compacted| change.seq <= compacted) {
                    change.before = None;
                    if change.kind == ChangeKind::Insert {
                        change.kind = ChangeKind::Update;
                    }
                }
                if let Some(table) = numbers.get(&change.table) {
                    follow(&mut nets, *table, change, audience);
                }
            }
        }
        let mut delta = Self {
            tables: tables
                .iter()
                .map(|table| std::sync::Arc::clone(&table.schema))
                .collect(),
            rows: Vec::new(),
            memory: 0,
        };
        for ((number, _), net) in nets {
            if let Some(table) = tables.get(number) {
                delta.add(number, table.collection.id(), net, audience);
            }
        }
        Ok(delta)
    }

    fn add(&mut self, table: usize, id: TableId, net: Net, audience: &Audience<'_>) {
        let Audience {
            set,
            joined,
            joining,
            ..
        } = *audience;
        let was = match &net.before {
            Some(before) => set.covering(joined, id, before),
            None => 0,
        };
        let now = if net.is_gone {
            0
        } else {
            set.covering(joined | joining, id, &net.last)
        };
        if net.only_own {
            return;
        }
        let (kind, columns) = if now == 0 {
            let may_be_there =
                was != 0 || net.begins_own || net.before_unknown || (joining != 0 && net.was_ever);
            if !may_be_there {
                return;
            }
            (BlockKind::Gone, ColumnSet::EMPTY)
        } else {
            let covered = set.columns(now, id);
            let had = set.columns(was, id);
            let grows = covered.iter().any(|position| !had.contains(position));
            let arrives = now & joining != 0 || was == 0 || net.inserted || net.before_unknown;
            if arrives || grows {
                (BlockKind::Put, covered)
            } else {
                let changed = net.columns.iter().filter(|at| covered.contains(*at));
                let changed: ColumnSet = changed.collect();
                if changed.is_empty() && now == was {
                    return;
                }
                (BlockKind::Patch, changed)
            }
        };
        self.memory += 64;
        if kind == BlockKind::Gone && planted::has(Bug::LostTombstone) {
            return;
        }
        if kind != BlockKind::Gone {
            self.memory += net.last.heap_bytes();
        }
        self.rows.push(DeltaRow {
            table,
            kind,
            scopes: now,
            columns,
            record: net.last,
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// All blocks.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        self.cut(&self.rows)
    }

    /// The blocks of one segment from a position on, and where the next begins.
    pub(crate) fn segment(&self, begin: usize) -> (Vec<Block>, usize) {
        let mut memory = 0;
        let rest = self.rows.get(begin..).unwrap_or_default();
        let fits = rest.iter().take_while(|row| {
            let starts = memory == 0;
            memory += 64 + row.record.heap_bytes();
            starts || memory <= SEGMENT_MEMORY_TARGET
        });
        let end = begin + fits.count();
        (self.cut(self.rows.get(begin..end).unwrap_or_default()), end)
    }

    fn cut(&self, rows: &[DeltaRow]) -> Vec<Block> {
        let mut cut = Cut::default();
        for row in rows {
            let Some(schema) = self.tables.get(row.table) else {
                continue;
            };
            if row.kind == BlockKind::Gone {
                cut.gone(schema, row.record.key());
            } else {
                let positions = row.columns.iter();
                let positions: Vec<usize> =
                    positions.filter(|at| *at >= schema.key_columns).collect();
                cut.add(schema, row.kind, row.scopes, &positions, &row.record);
            }
        }
        cut.finish()
    }
}

fn follow(
    nets: &mut BTreeMap<(usize, RecordId), Net>,
    table: usize,
    change: Change,
    audience: &Audience<'_>,
) {
    let own = audience.own.contains(&change.seq);
    let is_gone = change.kind == ChangeKind::Delete;
    let after = (!is_gone).then_some(&change.record);
    let was_ever = audience.joining != 0
        && audience.set.scopes.iter().any(|scope| {
            let records = [change.before.as_ref(), after];
            let old = match &scope.state {
                super::scope::State::Changed(old) => ever(old, change.table, records),
                _ => false,
            };
            old || ever(&scope.compiled, change.table, records)
        });
    let key = (table, change.id());
    let Some(net) = nets.get_mut(&key) else {
        let net = Net {
            before_unknown: change.before.is_none() && change.kind != ChangeKind::Insert && !own,
            before: if own { after.cloned() } else { change.before },
            begins_own: own,
            only_own: own,
            inserted: !own && change.kind == ChangeKind::Insert,
            columns: if own {
                ColumnSet::EMPTY
            } else {
                change.columns
            },
            last: change.record,
            is_gone,
            was_ever,
        };
        nets.insert(key, net);
        return;
    };
    net.was_ever |= was_ever;
    net.is_gone = is_gone;
    if own && net.only_own {
        // Still nothing but what the replica did.
        net.before = (!is_gone).then(|| change.record.clone());
    } else {
        net.only_own = false;
        net.columns = net.columns.union(&change.columns);
        net.inserted |= change.kind == ChangeKind::Insert;
    }
    net.last = change.record;
}

/// How rows stand in the database, for rows of which the replica may have something else. Rows in `plain` it has as
/// they are: of those it is told in which scopes they are, and when they are in none.
pub(crate) fn truth(
    view: View<'_>,
    set: &ScopeSet,
    held: u64,
    differing: &BTreeSet<(Text, RecordId)>,
    plain: &BTreeSet<(Text, RecordId)>,
) -> Result<Vec<Block>> {
    let mut cut = Cut::default();
    let tables = set.tables();
    for (name, key) in differing.union(plain) {
        // A table in no scope has no rows at the replica to put right, nor has one that the replica made up.
        let Some(table) = tables.get(name) else {
            continue;
        };
        let (schema, id) = (&table.schema, table.collection.id());
        if key.values().len() != schema.key_columns {
            continue;
        }
        let told = !differing.contains(&(name.clone(), key.clone()));
        let record = view.get(&table.collection, key)?;
        let now = record
            .as_ref()
            .map_or(0, |record| set.covering(held, id, record));
        match record {
            // With its own write the row may have come from one scope to another, of which it has not got the columns.
            Some(record) if now != 0 && !(told && set.has_equal_columns(held, id)) => {
                let positions = set.columns(now, id);
                let positions: Vec<usize> = positions.iter().collect();
                cut.add(schema, BlockKind::Put, now, &positions, &record);
            }
            Some(record) if now != 0 => {
                if !set.is_plain(held, id) {
                    cut.add(schema, BlockKind::Patch, now, &[], &record);
                }
            }
            _ => cut.gone(schema, key.values()),
        }
    }
    Ok(cut.finish())
}

/// Blocks in the making.
#[derive(Default)]
pub(crate) struct Cut {
    blocks: BTreeMap<(Text, BlockKind, u64, Vec<usize>), Block>,
}

impl Cut {
    pub(crate) fn gone(&mut self, schema: &Schema, key: &[Value]) {
        self.row(schema, BlockKind::Gone, 0, &[], key.iter().cloned());
    }

    /// Adds a row with the columns at some positions.
    pub(crate) fn add(
        &mut self,
        schema: &Schema,
        kind: BlockKind,
        scopes: u64,
        positions: &[usize],
        record: &Record,
    ) {
        let columns = positions
            .iter()
            .map(|position| record.get(*position).cloned().unwrap_or_default());
        let values = record.key().iter().cloned().chain(columns);
        self.row(schema, kind, scopes, positions, values);
    }

    fn row(
        &mut self,
        schema: &Schema,
        kind: BlockKind,
        scopes: u64,
        positions: &[usize],
        values: impl Iterator<Item = Value>,
    ) {
        let id = (schema.name.clone(), kind, scopes, positions.to_vec());
        let block = self.blocks.entry(id).or_insert_with(|| Block {
            table: schema.name.clone(),
            kind,
            scopes,
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
