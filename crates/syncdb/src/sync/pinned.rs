//! [`Pinned`]: the rows of a scope at one commit, in order of their keys: what bootstrap segments are cut from, and
//! what ranges are compared with.
//!
//! A pinned scope holds a handle of 8 bytes to each record, 16 with the table's number, and 8 more once ranges are
//! compared; the records are those of the database, kept alive while they are pinned although they may be replaced.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::OnceLock;

use common::{Record, RecordId, Result, Seq, View};

use super::increment::Cut;
use super::protocol::{Block, BlockKind, Bound, Range, RangeSum, SEGMENT_MEMORY_TARGET, ScopeId};
use super::scope::Compiled;

/// Parts into which a range is split.
const PARTS: usize = 16;

/// What is said about a pinned row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Put,
    /// Only the columns that the replica does not have yet.
    More,
    Gone,
}

struct Row {
    table: u32,
    kind: Kind,
    record: Record,
}

/// The rows of a scope at one commit.
pub(crate) struct Pinned {
    pub(crate) seq: Seq,
    scope: Arc<Compiled>,
    /// The scope that the replica has instead: only the difference is here.
    old: Option<ScopeId>,
    /// For each table, the columns that the other scope does not have.
    more: Vec<Vec<usize>>,
    rows: Vec<Row>,
    /// For each position, the sum of the hashes before it.
    sums: OnceLock<Vec<u64>>,
}

impl Pinned {
    pub(crate) fn make(
        view: View<'_>,
        seq: Seq,
        scope: Arc<Compiled>,
        old: Option<&Compiled>,
    ) -> Result<Self> {
        let mut rows: Vec<Row> = Vec::new();
        let mut more = Vec::with_capacity(scope.tables.len());
        for (number, table) in (0_u32..).zip(&scope.tables) {
            let begin = rows.len();
            let id = table.collection.id();
            let old_table = old.and_then(|old| old.table(id));
            let beyond = old_table.map(|old| table.beyond(old)).unwrap_or_default();
            // Columns that were not there before make every row worth sending, and those that are to go worth naming.
            let differs = !beyond.is_empty() || old_table.is_some_and(|old| table.gives_up(old));
            more.push(beyond);
            view.scan(&table.collection, &mut |records| {
                for record in records {
                    let now = table.covers(record);
                    let was = old_table.is_some_and(|old| old.covers(record));
                    let kind = match (now, was) {
                        (true, false) => Kind::Put,
                        (true, true) if differs => Kind::More,
                        (false, true) => Kind::Gone,
                        _ => continue,
                    };
                    rows.push(Row {
                        table: number,
                        kind,
                        record: record.clone(),
                    });
                }
                ControlFlow::Continue(())
            })?;
            if let Some(rows) = rows.get_mut(begin..) {
                rows.sort_unstable_by(|a, b| a.record.key().cmp(b.record.key()));
            }
        }
        Ok(Self {
            seq,
            scope,
            old: old.map(|old| old.id),
            more,
            rows,
            sums: OnceLock::new(),
        })
    }

    /// Whether it shows this scope, as a difference to that other one.
    pub(crate) fn is_of(&self, scope: &Compiled, old: Option<&Compiled>) -> bool {
        self.scope.id == scope.id
            && self.old == old.map(|old| old.id)
            && self.scope.tables.len() == scope.tables.len()
            && self
                .scope
                .tables
                .iter()
                .zip(&scope.tables)
                .all(|(a, b)| a.collection.id() == b.collection.id())
    }

    fn name(&self, row: &Row) -> &str {
        let table = self.scope.tables.get(row.table as usize);
        table.map_or("", |table| table.schema.name.as_str())
    }

    /// Position of the first row after a bound.
    pub(crate) fn position(&self, after: Option<&Bound>) -> usize {
        let Some(after) = after else { return 0 };
        let at_most = |row: &Row| {
            let here = self.name(row).cmp(after.table.as_str());
            here.then_with(|| row.record.key().cmp(after.key.values()))
                .is_le()
        };
        self.rows.partition_point(at_most)
    }

    /// The row before a position.
    pub(crate) fn bound(&self, position: usize) -> Option<Bound> {
        let row = self.rows.get(position.checked_sub(1)?)?;
        Some(Bound {
            table: self.name(row).into(),
            key: RecordId::from(row.record.key()),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
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
        (self.blocks(begin..end), end)
    }

    fn blocks(&self, positions: impl IntoIterator<Item = usize>) -> Vec<Block> {
        let mut cut = Cut::default();
        for row in positions.into_iter().filter_map(|at| self.rows.get(at)) {
            let Some(table) = self.scope.tables.get(row.table as usize) else {
                continue;
            };
            match row.kind {
                Kind::Put => cut.add(
                    &table.schema,
                    BlockKind::Put,
                    0,
                    &table.positions,
                    &row.record,
                ),
                Kind::More => {
                    let columns = self.more.get(row.table as usize);
                    let columns = columns.map(Vec::as_slice).unwrap_or_default();
                    cut.add(&table.schema, BlockKind::Patch, 0, columns, &row.record);
                }
                Kind::Gone => cut.gone(&table.schema, row.record.key()),
            }
        }
        cut.finish()
    }

    /// The sum of the hashes before each position.
    fn sums(&self) -> &[u64] {
        self.sums.get_or_init(|| {
            let mut sums = Vec::with_capacity(self.rows.len() + 1);
            sums.push(0);
            let mut sum = 0_u64;
            let mut hasher = None;
            for row in &self.rows {
                let hasher = match &mut hasher {
                    Some((table, hasher)) if *table == row.table => hasher,
                    other => {
                        let Some(table) = self.scope.tables.get(row.table as usize) else {
                            continue;
                        };
                        &mut other.insert((row.table, table.hasher())).1
                    }
                };
                sum = sum.wrapping_add(short(hasher.hash(&row.record)));
                sums.push(sum);
            }
            sums
        })
    }

    fn positions(&self, range: &Range) -> std::ops::Range<usize> {
        let begin = self.position(range.after.as_ref());
        let end = match &range.upto {
            None => self.rows.len(),
            upto => self.position(upto.as_ref()),
        };
        begin..end.max(begin)
    }

    /// The range in parts of about equally many rows.
    pub(crate) fn split(&self, range: &Range) -> Vec<RangeSum> {
        let positions = self.positions(range);
        let rows = positions.len();
        let parts = PARTS.min(rows).max(1);
        let sums = self.sums();
        let sum_at = |at: usize| sums.get(at).copied().unwrap_or_default();
        let mut begin = positions.start;
        let part = |number: usize| {
            let end = positions.start + rows * number / parts;
            let sum = RangeSum {
                upto: if number == parts {
                    range.upto.clone()
                } else {
                    self.bound(end)
                },
                rows: (end - begin) as u64,
                sum: sum_at(end).wrapping_sub(sum_at(begin)),
            };
            begin = end;
            sum
        };
        (1..=parts).map(part).collect()
    }

    /// The rows of a range that are in none of the hashes, and the positions of hashes that no row has. The hashes
    /// may repeat no more often than the rows do.
    pub(crate) fn missing(&self, range: &Range, hashes: &[u64]) -> (Vec<Block>, Vec<u32>) {
        let sums = self.sums();
        let mut theirs: std::collections::HashMap<u64, Vec<u32>> = std::collections::HashMap::new();
        for (position, hash) in (0..).zip(hashes) {
            theirs.entry(*hash).or_default().push(position);
        }
        let mut missing = Vec::new();
        for at in self.positions(range) {
            let hash = sums
                .get(at + 1)
                .zip(sums.get(at))
                .map(|(after, before)| after.wrapping_sub(*before));
            let known = hash
                .and_then(|hash| theirs.get_mut(&hash))
                .and_then(Vec::pop);
            if known.is_none() {
                missing.push(at);
            }
        }
        let mut unknown: Vec<u32> = theirs.into_values().flatten().collect();
        unknown.sort_unstable();
        (self.blocks(missing), unknown)
    }
}

/// The part of a row's hash that ranges are compared by.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
pub(crate) const fn short(hash: u128) -> u64 {
    hash as u64
}

/// Rows of a replica's scope in order, with their hashes: the other side of the comparison.
#[derive(Debug, Default)]
pub(crate) struct Own {
    rows: Vec<(Bound, u64)>,
}

impl Own {
    pub(crate) fn new(mut rows: Vec<(Bound, u64)>) -> Self {
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Self { rows }
    }

    fn position(&self, after: Option<&Bound>) -> usize {
        after.map_or(0, |after| {
            self.rows.partition_point(|(row, _)| row <= after)
        })
    }

    /// The rows of a range.
    pub(crate) fn rows(&self, range: &Range) -> &[(Bound, u64)] {
        let begin = self.position(range.after.as_ref());
        let end = match &range.upto {
            None => self.rows.len(),
            upto => self.position(upto.as_ref()),
        };
        self.rows.get(begin..end).unwrap_or_default()
    }

    /// Number and sum of a range's rows.
    pub(crate) fn sum(&self, range: &Range) -> (u64, u64) {
        let rows = self.rows(range);
        let sum = rows
            .iter()
            .fold(0_u64, |sum, (_, hash)| sum.wrapping_add(*hash));
        (rows.len() as u64, sum)
    }
}
