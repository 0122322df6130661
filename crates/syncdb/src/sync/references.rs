//! References to rows: what a row that both sides have is called in fewer bytes than its key takes.
//!
//! A row is named by the first bits of the hash of its key, so few that some names fit two rows: the block says what the
//! hashes of its rows add up to, and the replica looks for the rows that do. The server keeps nothing for that, and a name
//! that leads nowhere, or elsewhere, is noticed before anything is applied: the replica asks again, for keys.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use common::versioning::{ChangeKind, TableId};
use common::{Collection, Database, ErrorKind, RecordId, Result, Seq, Text, Value, View};

use super::digest::RowHasher;
use super::protocol::{Block, BlockKind, Commit, REFERENCE_BITS_MAX, Referred};
use super::system::SyncedTables;
use crate::payload::{Column, Level, pack_for_frame};

/// Ways to read the names of one block that are tried.
const READINGS_MAX: usize = 1 << 20;
/// Rows that one name may fit.
const CANDIDATES_MAX: usize = 64;
/// Names of a block that fit two rows, about.
const AMBIGUOUS_LOG2: u32 = 3;
/// A replica with more rows asks for keys: it would take 40 bytes a row to find them by other names.
pub(crate) const INDEXED_ROWS_MAX: usize = 1 << 20;
/// Changes of the log that are read at a time.
const READ_CHANGES: usize = 8_192;

/// Smallest power of two that is no less, as its exponent.
fn ceil_log2(number: usize) -> u32 {
    usize::BITS - number.saturating_sub(1).leading_zeros()
}

/// How many bits of the hash name each of `named` rows in a table of `rows`.
fn bits_for(rows: usize, named: usize) -> u32 {
    let bits = ceil_log2(rows.max(named)) + ceil_log2(named);
    bits.saturating_sub(AMBIGUOUS_LOG2).max(1)
}

/// How many of the bits of a step from one name to the next are written as they are.
pub(crate) fn step_bits(bits: u32, named: usize) -> u32 {
    bits.saturating_sub(ceil_log2(named))
}

fn prefix_of(hash: u128, bits: u32) -> u32 {
    u32::try_from(hash >> (u128::BITS - bits.clamp(1, u32::BITS))).unwrap_or(u32::MAX)
}

/// The part of a hash that blocks add up.
fn check_of(hash: u128) -> u32 {
    let bytes = hash.to_le_bytes();
    bytes
        .first_chunk()
        .map_or(0, |low| u32::from_le_bytes(*low))
}

/// The part of a hash that a commit adds up.
fn sum_of(hash: u128) -> u64 {
    let bytes = hash.to_le_bytes();
    bytes
        .first_chunk()
        .map_or(0, |low| u64::from_le_bytes(*low))
}

/// Names the rows of changed columns by references where that takes fewer bytes than their keys and saves `bytes_min` in
/// all. The replica has all of them: what it does not have arrives as [`BlockKind::Put`]. `rows_of` says how many rows
/// of a table it has, about.
pub(crate) fn refer(
    commit: &mut Commit,
    bytes_min: usize,
    rows_of: impl Fn(&str) -> usize,
) -> Result<()> {
    let mut all = 0;
    let mut gains = Vec::with_capacity(commit.blocks.len());
    for block in &commit.blocks {
        let gain = gain(block, &rows_of)?;
        all += gain.map_or(0, |(_, bytes)| bytes);
        gains.push(gain);
    }
    if all < bytes_min {
        return Ok(());
    }
    let mut kept = Vec::with_capacity(commit.blocks.len());
    for (block, gain) in std::mem::take(&mut commit.blocks).into_iter().zip(gains) {
        match gain {
            Some((bits, _)) => commit
                .referred
                .push(name_rows(block, bits, &mut commit.keys)),
            None => kept.push(block),
        }
    }
    commit.blocks = kept;
    Ok(())
}

/// The bits of a block's references, and how many bytes fewer they are than its keys; `None` where they are more.
fn gain(block: &Block, rows_of: impl Fn(&str) -> usize) -> Result<Option<(u32, usize)>> {
    let named = block.rows();
    if block.kind != BlockKind::Patch || block.fields.is_empty() || named == 0 {
        return Ok(None);
    }
    let bits = bits_for(rows_of(&block.table), named);
    if bits > REFERENCE_BITS_MAX {
        return Ok(None);
    }
    let halves = 2 * usize::try_from(step_bits(bits, named)).unwrap_or(usize::MAX) + 3;
    let bytes = 4 + named.saturating_mul(halves).div_ceil(16);
    let key = block.columns.iter().take(block.key_columns());
    let key: Vec<Column> = key.map(|values| Column::from_values(values)).collect();
    let keys = pack_for_frame(&key, Level::Fast)?.len();
    Ok((bytes < keys).then(|| (bits, keys - bytes)))
}

fn name_rows(mut block: Block, bits: u32, sum: &mut u64) -> Referred {
    let key_columns = block.key_columns();
    let mut hasher = RowHasher::of_keys(&block.table, key_columns);
    let mut order: Vec<(u128, usize)> = (0..block.rows())
        .map(|row| (hasher.hash(block.key(row).values()), row))
        .collect();
    order.sort_unstable();
    let columns = block.columns.iter().skip(key_columns).map(|column| {
        let values = order.iter().map(|(_, row)| column.get(*row));
        values
            .map(|value| value.cloned().unwrap_or_default())
            .collect()
    });
    block.columns = columns.collect();
    let mut check = 0_u32;
    for (hash, _) in &order {
        check = check.wrapping_add(check_of(*hash));
        *sum = sum.wrapping_add(sum_of(*hash));
    }
    let prefixes = order.iter().map(|(hash, _)| prefix_of(*hash, bits));
    Referred {
        bits,
        prefixes: prefixes.collect(),
        check,
        block,
    }
}

/// The keys of a replica's rows with their hashes: made when its rows are counted, or when they are referred to for the
/// first time, and kept up to date by the log from then on.
#[derive(Default)]
pub(crate) struct KeyIndex {
    at: Seq,
    tables: HashMap<TableId, Keys>,
}

/// The keys of one table. They are in no order: a pass over them takes less time than to put them into one would ever save.
#[derive(Default)]
pub(crate) struct Keys {
    all: Vec<(u128, RecordId)>,
    /// Those among them that were deleted since.
    gone: HashSet<u128>,
}

/// A row's hash and its key.
type Row<'a> = (u128, &'a RecordId);

impl Keys {
    pub(crate) fn insert(&mut self, hash: u128, key: RecordId) {
        if self.gone.is_empty() || !self.gone.remove(&hash) {
            self.all.push((hash, key));
        }
    }

    fn remove(&mut self, hash: u128) {
        self.gone.insert(hash);
        if self.gone.len() > 64 + self.all.len() / 4 {
            self.all.retain(|(hash, _)| !self.gone.contains(hash));
            self.gone.clear();
        }
    }

    /// The rows that some of these ascending prefixes name, in order; `None` when they are too many.
    fn named(&self, prefixes: &[u32], bits: u32) -> Option<Vec<Row<'_>>> {
        // Most rows are told by a few bits to be none of them.
        let few = bits.min(16);
        let mut is_near = vec![false; 1 << few];
        for prefix in prefixes {
            let place = usize::try_from(prefix >> (bits - few)).ok();
            if let Some(place) = place.and_then(|place| is_near.get_mut(place)) {
                *place = true;
            }
        }
        let most = prefixes.len().saturating_mul(CANDIDATES_MAX);
        let mut found = Vec::new();
        for (hash, key) in &self.all {
            let near = usize::try_from(prefix_of(*hash, few)).ok();
            if near.and_then(|near| is_near.get(near)) != Some(&true)
                || prefixes.binary_search(&prefix_of(*hash, bits)).is_err()
                || self.gone.contains(hash)
            {
                continue;
            }
            if found.len() == most {
                return None;
            }
            found.push((*hash, key));
        }
        found.sort_unstable_by_key(|(hash, _)| *hash);
        found.dedup_by_key(|(hash, _)| *hash);
        Some(found)
    }
}

impl KeyIndex {
    /// The blocks with their keys, whose hashes come to `sum_of_keys`; `None` when some reference does not lead to one
    /// row, or the rows do not add up.
    ///
    /// # Errors
    /// For a table that is not here; only with a storage that can fail.
    pub(crate) fn resolve(
        &mut self,
        db: &Database,
        synced: &SyncedTables,
        referred: Vec<Referred>,
        sum_of_keys: u64,
    ) -> Result<Option<Vec<Block>>> {
        let snapshot = db.snapshot();
        self.follow(db, synced, snapshot.seq())?;
        let mut sum = 0_u64;
        let mut blocks = Vec::with_capacity(referred.len());
        for referred in referred {
            let table = synced.get(&referred.block.table)?;
            let keys = self.of_table(snapshot.view(), &table.collection)?;
            let Some(found) = read(&referred, keys) else {
                return Ok(None);
            };
            for (hash, _) in &found {
                sum = sum.wrapping_add(sum_of(*hash));
            }
            let key_columns = table.schema.key_columns;
            let mut columns: Vec<Vec<Value>> = vec![Vec::with_capacity(found.len()); key_columns];
            for (_, key) in found {
                for (column, value) in columns.iter_mut().zip(key.values()) {
                    column.push(value.clone());
                }
            }
            let mut block = referred.block;
            columns.append(&mut block.columns);
            block.columns = columns;
            blocks.push(block);
        }
        Ok((sum == sum_of_keys).then_some(blocks))
    }

    /// Takes the keys of whole tables as of a commit, unless they are known.
    pub(crate) fn fill(&mut self, at: Seq, counted: HashMap<TableId, Keys>) {
        if self.tables.is_empty() {
            self.at = at;
            self.tables = counted;
        }
    }

    fn of_table(&mut self, view: View<'_>, table: &Collection) -> Result<&Keys> {
        use std::collections::hash_map::Entry;
        match self.tables.entry(table.id()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let schema = table.schema();
                let mut hasher = RowHasher::of_keys(&schema.name, schema.key_columns);
                let mut keys = Keys::default();
                keys.all.reserve_exact(view.len(table));
                view.scan(table, &mut |records| {
                    let rows = records.iter().map(|row| (hasher.hash(row), row.id()));
                    keys.all.extend(rows);
                    ControlFlow::Continue(())
                })?;
                Ok(place.insert(keys))
            }
        }
    }

    /// Brings the tables that are here up to a commit, or forgets them where the log does not tell.
    fn follow(&mut self, db: &Database, synced: &SyncedTables, to: Seq) -> Result<()> {
        let mut at = std::mem::replace(&mut self.at, to);
        if at > to || (at < to && at < db.log_compacted()) {
            self.tables.clear();
        }
        let tables = synced.by_name.values();
        let names: HashMap<TableId, (Text, usize)> = tables
            .map(|table| {
                let schema = &table.schema;
                (
                    table.collection.id(),
                    (schema.name.clone(), schema.key_columns),
                )
            })
            .collect();
        self.tables.retain(|table, _| names.contains_key(table));
        let mut hashers: HashMap<TableId, RowHasher> = HashMap::new();
        while at < to && !self.tables.is_empty() {
            let changes = match db.changes_since(at, READ_CHANGES) {
                Ok(changes) => changes,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.tables.clear();
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let Some(last) = changes.last() else { break };
            at = last.seq;
            for change in changes.iter().filter(|change| change.seq <= to) {
                if change.kind == ChangeKind::Update {
                    continue;
                }
                let Some(keys) = self.tables.get_mut(&change.table) else {
                    continue;
                };
                let Some((name, key_columns)) = names.get(&change.table) else {
                    continue;
                };
                let hasher = hashers
                    .entry(change.table)
                    .or_insert_with(|| RowHasher::of_keys(name, *key_columns));
                let hash = hasher.hash(change.record.key());
                if change.kind == ChangeKind::Delete {
                    keys.remove(hash);
                } else {
                    keys.insert(hash, change.id());
                }
            }
        }
        Ok(())
    }
}

/// Rows that have the same name: the places where they are to stand, and what they may be.
struct Choice<'a> {
    first: usize,
    ways: Vec<Vec<Row<'a>>>,
}

/// The rows that are meant, in order; `None` when there are none that add up.
fn read<'a>(referred: &Referred, keys: &'a Keys) -> Option<Vec<Row<'a>>> {
    let bits = referred.bits.clamp(1, u32::BITS);
    let named = keys.named(&referred.prefixes, bits)?;
    let mut rest = named.as_slice();
    let mut found: Vec<Row<'_>> = Vec::with_capacity(referred.prefixes.len());
    let mut choices: Vec<Choice<'_>> = Vec::new();
    let mut readings = 1_usize;
    let mut left = referred.check;
    for same in referred.prefixes.chunk_by(|a, b| a == b) {
        let prefix = same.first()?;
        let count = rest.partition_point(|(hash, _)| prefix_of(*hash, bits) <= *prefix);
        let (rows, others) = rest.split_at_checked(count)?;
        rest = others;
        if rows.len() < same.len() || rows.len() > CANDIDATES_MAX {
            return None;
        }
        let first = found.len();
        found.extend(rows.iter().take(same.len()));
        if rows.len() == same.len() {
            for (hash, _) in rows {
                left = left.wrapping_sub(check_of(*hash));
            }
            continue;
        }
        let mut ways = Vec::new();
        pick(rows, same.len(), &mut Vec::new(), &mut ways)?;
        readings = readings.saturating_mul(ways.len());
        if readings > READINGS_MAX {
            return None;
        }
        choices.push(Choice { first, ways });
    }
    let mut chosen = Vec::with_capacity(choices.len());
    if !add_up(&choices, left, &mut chosen) {
        return None;
    }
    for (choice, way) in choices.iter().zip(chosen) {
        let places = found.iter_mut().skip(choice.first);
        for (place, row) in places.zip(choice.ways.get(way)?) {
            *place = *row;
        }
    }
    Some(found)
}

/// All ways to take so many of some rows in their order; `None` when they are too many to be tried.
fn pick<'a>(
    rows: &[Row<'a>],
    count: usize,
    taken: &mut Vec<Row<'a>>,
    ways: &mut Vec<Vec<Row<'a>>>,
) -> Option<()> {
    if count == 0 {
        ways.push(taken.clone());
        return (ways.len() <= CANDIDATES_MAX * CANDIDATES_MAX).then_some(());
    }
    let mut rest = rows;
    while let Some((row, after)) = rest.split_first() {
        if rest.len() < count {
            break;
        }
        taken.push(*row);
        pick(after, count - 1, taken, ways)?;
        taken.pop();
        rest = after;
    }
    Some(())
}

/// Whether some choice comes to `left`; there are few choices, because the product of their ways is bounded.
fn add_up(choices: &[Choice<'_>], left: u32, chosen: &mut Vec<usize>) -> bool {
    let Some((choice, rest)) = choices.split_first() else {
        return left == 0;
    };
    for (way, rows) in choice.ways.iter().enumerate() {
        let sum = rows
            .iter()
            .fold(0_u32, |sum, (hash, _)| sum.wrapping_add(check_of(*hash)));
        chosen.push(way);
        if add_up(rest, left.wrapping_sub(sum), chosen) {
            return true;
        }
        chosen.pop();
    }
    false
}

#[cfg(test)]
mod tests {
    use common::schema::FieldId;
    use common::utils::id_generator::SeededRng;
    use proptest::prelude::*;

    use super::*;

    fn key(rng: &SeededRng) -> Value {
        Value::from(format!("{:016x}", rng.next_u64()))
    }

    fn index(keys: &[Value]) -> Keys {
        let mut hasher = RowHasher::of_keys(&"t".into(), 1);
        let mut found = Keys::default();
        for key in keys {
            let id = RecordId::from(key.clone());
            found.insert(hasher.hash(id.values()), id);
        }
        found
    }

    /// A commit that changes a column of some rows, whose values say which row it is.
    fn commit(keys: &[Value], rows: &[usize]) -> Commit {
        let column = |of: &dyn Fn(usize) -> Value| rows.iter().map(|row| of(*row)).collect();
        let block = Block {
            table: "t".into(),
            kind: BlockKind::Patch,
            scopes: 1,
            fields: vec![FieldId(5)],
            columns: vec![
                column(&|row| keys[row].clone()),
                column(&|row| keys[row].clone()),
            ],
        };
        Commit {
            blocks: vec![block],
            ..Commit::default()
        }
    }

    fn referred(keys: &[Value], rows: &[usize]) -> Referred {
        let mut commit = commit(keys, rows);
        refer(&mut commit, 1, |_| keys.len()).unwrap();
        assert_eq!((commit.blocks.len(), commit.referred.len()), (0, 1));
        commit.referred.remove(0)
    }

    /// Whether every row was found by its name, and none in place of another.
    fn is_right(referred: &Referred, keys: &Keys) -> Option<bool> {
        let found = read(referred, keys)?;
        let values = &referred.block.columns[0];
        let mut pairs = found.iter().zip(values);
        Some(found.len() == values.len() && pairs.all(|((_, id), value)| id.values()[0] == *value))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Whatever the sizes, and whatever rows only the replica has: what is found is what was meant.
        #[test]
        fn rows_are_found_by_their_names(
            seed in any::<u64>(),
            rows in 12..3_000_usize,
            named in 1..400_usize,
            own in 0..40_usize,
        ) {
            let rng = SeededRng::new(seed);
            let all: Vec<Value> = (0..rows).map(|_| key(&rng)).collect();
            let step = (rows / named.min(rows / 2)).max(1);
            let chosen: Vec<usize> = (0..rows).step_by(step).collect();
            let names = referred(&all, &chosen);
            let at_replica: Vec<Value> = all.iter().cloned().chain((0..own).map(|_| key(&rng))).collect();
            let keys = index(&at_replica);
            prop_assert_ne!(is_right(&names, &keys), Some(false));
            // Names that cannot be read cost an exchange. They are rare where the replica has what the server thinks.
            if own == 0 {
                prop_assert_eq!(is_right(&names, &keys), Some(true));
            }
        }
    }

    #[test]
    fn a_row_that_is_not_there_is_noticed_and_never_another_one_taken() {
        let rng = SeededRng::new(7);
        let all: Vec<Value> = (0..500).map(|_| key(&rng)).collect();
        let chosen: Vec<usize> = (0..500).step_by(7).collect();
        let names = referred(&all, &chosen);
        assert_eq!(is_right(&names, &index(&all)), Some(true));
        for missing in &chosen {
            let mut others = all.clone();
            others.remove(*missing);
            assert_eq!(is_right(&names, &index(&others)), None, "{missing}");
        }
        // A damaged check, or names of other rows.
        let wrong = Referred {
            check: names.check ^ 1,
            ..names.clone()
        };
        assert_eq!(is_right(&wrong, &index(&all)), None);
        assert_eq!(is_right(&names, &index(&[])), None);
        let everything: Vec<Value> = (0..200_000).map(Value::from).collect();
        assert_eq!(is_right(&names, &index(&everything)), None);
    }

    #[test]
    fn keys_that_go_are_found_no_more_and_found_again_when_they_come_back() {
        let rng = SeededRng::new(5);
        let all: Vec<Value> = (0..600).map(|_| key(&rng)).collect();
        let names = referred(&all, &[500, 590]);
        let mut keys = index(&all);
        let mut hasher = RowHasher::of_keys(&"t".into(), 1);
        let mut hash = |row: usize| hasher.hash(std::slice::from_ref(&all[row]));
        for row in 100..595 {
            keys.remove(hash(row));
        }
        assert_eq!(is_right(&names, &keys), None);
        assert!(keys.all.len() < 300, "{}", keys.all.len());
        for row in [590, 500] {
            assert_eq!(is_right(&names, &keys), None);
            keys.insert(hash(row), RecordId::from(all[row].clone()));
        }
        assert_eq!(is_right(&names, &keys), Some(true));
    }

    #[test]
    fn several_rows_may_have_one_name() {
        let rng = SeededRng::new(3);
        let all: Vec<Value> = (0..40).map(|_| key(&rng)).collect();
        let mut sum = 0;
        let block = commit(&all, &[3, 9, 11, 20, 31]).blocks.remove(0);
        // Of one bit, a name fits twenty rows; the check tells which five are meant.
        let names = name_rows(block, 1, &mut sum);
        assert_eq!(is_right(&names, &index(&all)), Some(true));
        let hashes = read(&names, &index(&all))
            .unwrap()
            .iter()
            .map(|(hash, _)| *hash)
            .collect::<Vec<_>>();
        assert_eq!(
            hashes
                .iter()
                .fold(0, |sum: u64, hash| sum.wrapping_add(sum_of(*hash))),
            sum
        );
        let many: Vec<Value> = (0..400).map(|_| key(&rng)).collect();
        let block = commit(&many, &[3, 9]).blocks.remove(0);
        assert_eq!(
            is_right(&name_rows(block, 1, &mut sum), &index(&many)),
            None,
            "too many to try"
        );
    }

    #[test]
    fn keys_that_take_fewer_bytes_stay() {
        let numbers: Vec<Value> = (0..1_000_000).map(Value::from).collect();
        let chosen: Vec<usize> = (500..700).collect();
        let mut whole = commit(&numbers, &chosen);
        let before = whole.blocks.clone();
        refer(&mut whole, 1, |_| numbers.len()).unwrap();
        assert_eq!(
            (whole.blocks, whole.referred.len(), whole.keys),
            (before, 0, 0)
        );
        // What is not only a change, or changes no column, has its keys.
        let mut others = commit(
            &[Value::from("a long key, so that a name takes less")],
            &[0],
        );
        others.blocks[0].kind = BlockKind::Put;
        refer(&mut others, 1, |_| 9).unwrap();
        assert_eq!(others.blocks.len(), 1);
        others.blocks[0].kind = BlockKind::Patch;
        refer(&mut others, 1, |_| 9).unwrap();
        assert_eq!((others.blocks.len(), others.referred.len()), (0, 1));
        // It saves less than is asked for.
        let mut little = commit(
            &[Value::from("a long key, so that a name takes less")],
            &[0],
        );
        refer(&mut little, 100, |_| 9).unwrap();
        assert_eq!(little.blocks.len(), 1);
    }
}
