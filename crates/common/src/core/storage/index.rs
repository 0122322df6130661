//! [`Index`]: slots by the values of some columns.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::Bound;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::RwLock;
use smallvec::SmallVec;

use super::posting::Posting;
use crate::core::base::{Record, RecordId, Slot, Value};
use crate::core::schema::{IndexKind, IndexSpec};

/// The values of the indexed columns: one or several, as a record's id is.
pub type IndexKey = RecordId;

/// Parts of a hash index with a latch each.
const SHARDS: usize = 16;

/// Which way a range is read.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the least key to the greatest.
    #[default]
    Ascending,
    /// From the greatest key to the least.
    Descending,
}

/// Part of an ordered index: equal on the leading columns, between bounds on the next one.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRange {
    /// Values of the leading columns.
    pub prefix: Vec<Value>,
    /// Least value of the next column.
    pub lower: Bound<Value>,
    /// Greatest value of the next column.
    pub upper: Bound<Value>,
}

impl Default for KeyRange {
    fn default() -> Self {
        Self::all()
    }
}

impl KeyRange {
    /// The whole index.
    pub const fn all() -> Self {
        Self {
            prefix: Vec::new(),
            lower: Bound::Unbounded,
            upper: Bound::Unbounded,
        }
    }

    /// Keys that begin with these values.
    pub const fn prefix(prefix: Vec<Value>) -> Self {
        Self {
            prefix,
            lower: Bound::Unbounded,
            upper: Bound::Unbounded,
        }
    }

    /// Keys whose first column lies between two bounds.
    pub const fn between(lower: Bound<Value>, upper: Bound<Value>) -> Self {
        Self {
            prefix: Vec::new(),
            lower,
            upper,
        }
    }

    /// Whether a key lies in the range.
    pub fn contains(&self, key: &[Value]) -> bool {
        let Some((head, next)) = key.split_at_checked(self.prefix.len()) else {
            return false;
        };
        let inside = |value: &Value| {
            (match &self.lower {
                Bound::Unbounded => true,
                Bound::Included(lower) => value >= lower,
                Bound::Excluded(lower) => value > lower,
            }) && (match &self.upper {
                Bound::Unbounded => true,
                Bound::Included(upper) => value <= upper,
                Bound::Excluded(upper) => value < upper,
            })
        };
        head == self.prefix && next.first().is_none_or(inside)
    }

    /// The places in key order where the range begins and ends; `None` when nothing can lie between.
    fn ends(&self) -> Option<(Place, Place)> {
        let place = |value: Option<&Value>, after| Place {
            values: self.prefix.iter().chain(value).cloned().collect(),
            after,
        };
        let begin = match &self.lower {
            Bound::Unbounded => place(None, false),
            Bound::Included(value) => place(Some(value), false),
            Bound::Excluded(value) => place(Some(value), true),
        };
        let end = match &self.upper {
            Bound::Unbounded => place(None, true),
            Bound::Included(value) => place(Some(value), true),
            Bound::Excluded(value) => place(Some(value), false),
        };
        (begin.as_probe() < end.as_probe()).then_some((begin, end))
    }
}

/// A place between keys: right before all keys that begin with some values, or right after all of them.
#[derive(Clone)]
struct Place {
    values: SmallVec<[Value; 4]>,
    after: bool,
}

/// What an ordered index is searched by: a key, or a place between keys.
trait Probe {
    fn values(&self) -> &[Value];

    /// `None` for a key; for a place, whether it is after the keys that begin with its values.
    fn place(&self) -> Option<bool>;
}

impl Probe for IndexKey {
    fn values(&self) -> &[Value] {
        self.values()
    }

    fn place(&self) -> Option<bool> {
        None
    }
}

impl Probe for Place {
    fn values(&self) -> &[Value] {
        &self.values
    }

    fn place(&self) -> Option<bool> {
        Some(self.after)
    }
}

impl Place {
    fn as_probe(&self) -> &dyn Probe {
        self
    }
}

/// Keys order by their values; a place orders before or after everything that begins with its values.
impl Ord for dyn Probe + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.values(), other.values());
        let shared = a.len().min(b.len());
        let (a_head, b_head) = (
            a.get(..shared).unwrap_or_default(),
            b.get(..shared).unwrap_or_default(),
        );
        a_head.cmp(b_head).then_with(|| {
            match (self.place(), other.place(), a.len().cmp(&b.len())) {
                (Some(a), Some(b), Ordering::Equal) => a.cmp(&b),
                (Some(true), _, Ordering::Less | Ordering::Equal) => Ordering::Greater,
                (Some(false), _, Ordering::Less | Ordering::Equal) => Ordering::Less,
                (_, Some(true), Ordering::Greater | Ordering::Equal) => Ordering::Less,
                (_, Some(false), Ordering::Greater | Ordering::Equal) => Ordering::Greater,
                (_, _, lengths) => lengths,
            }
        })
    }
}

impl PartialOrd for dyn Probe + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Probe + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for dyn Probe + '_ {}

impl<'a> Borrow<dyn Probe + 'a> for IndexKey {
    fn borrow(&self) -> &(dyn Probe + 'a) {
        self
    }
}

#[repr(align(128))]
struct Shard(RwLock<HashTable<(IndexKey, Posting)>>);

enum Entries {
    Hash {
        shards: Box<[Shard]>,
        hasher: RandomState,
    },
    Ordered(RwLock<BTreeMap<IndexKey, Posting>>),
}

/// A secondary index of one table: slots of the current records by the values of some columns.
///
/// Every record is in the index, nulls included. Readers hold a latch only while they copy slots.
pub struct Index {
    spec: IndexSpec,
    columns: Box<[usize]>,
    entries: Entries,
}

/// The indexed values of a record without copying them where they stand alone.
fn key_of<'a>(
    columns: &[usize],
    record: &'a Record,
    several: &'a mut SmallVec<[Value; 4]>,
) -> &'a [Value] {
    match columns {
        [column] => record
            .get(*column)
            .map(std::slice::from_ref)
            .unwrap_or_default(),
        columns => {
            several.extend(
                columns
                    .iter()
                    .map(|c| record.get(*c).cloned().unwrap_or_default()),
            );
            several
        }
    }
}

impl Index {
    pub(crate) fn new(spec: IndexSpec, columns: Box<[usize]>) -> Self {
        let entries = match spec.kind {
            IndexKind::Hash => Entries::Hash {
                shards: (0..SHARDS)
                    .map(|_| Shard(RwLock::new(HashTable::new())))
                    .collect(),
                hasher: RandomState::default(),
            },
            IndexKind::Ordered => Entries::Ordered(RwLock::new(BTreeMap::new())),
        };
        Self {
            spec,
            columns,
            entries,
        }
    }

    /// How the index was declared.
    pub fn spec(&self) -> &IndexSpec {
        &self.spec
    }

    /// Positions of the indexed columns, most significant first.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The values of the indexed columns of a record.
    pub fn key(&self, record: &Record) -> IndexKey {
        let mut several = SmallVec::new();
        IndexKey::from(key_of(&self.columns, record, &mut several))
    }

    /// Follows a write: `before` is the record that was in the slot, `after` the one that is there now.
    pub(crate) fn replace(&self, slot: Slot, before: Option<&Record>, after: Option<&Record>) {
        if let (Some(before), Some(after)) = (before, after)
            && self
                .columns
                .iter()
                .all(|column| before.get(*column) == after.get(*column))
        {
            return;
        }
        // First in, then out: a reader in between finds the slot under both keys, never under none.
        let mut several = SmallVec::new();
        if let Some(after) = after {
            self.insert(slot, key_of(&self.columns, after, &mut several));
        }
        let mut several = SmallVec::new();
        if let Some(before) = before {
            self.remove(slot, key_of(&self.columns, before, &mut several));
        }
    }

    fn insert(&self, slot: Slot, key: &[Value]) {
        match &self.entries {
            Entries::Hash { shards, hasher } => {
                let hash = hash_of(hasher, key);
                let mut table = shard(shards, hash).write();
                let entry = table.entry(
                    hash,
                    |(known, _)| known.values() == key,
                    |(known, _)| hash_of(hasher, known.values()),
                );
                match entry {
                    Entry::Occupied(mut found) => found.get_mut().1.insert(slot),
                    Entry::Vacant(place) => {
                        place.insert((IndexKey::from(key), Posting::new(slot)));
                    }
                }
            }
            Entries::Ordered(map) => {
                map.write()
                    .entry(IndexKey::from(key))
                    .and_modify(|posting| posting.insert(slot))
                    .or_insert_with(|| Posting::new(slot));
            }
        }
    }

    fn remove(&self, slot: Slot, key: &[Value]) {
        match &self.entries {
            Entries::Hash { shards, hasher } => {
                let hash = hash_of(hasher, key);
                let mut table = shard(shards, hash).write();
                if let Ok(mut found) = table.find_entry(hash, |(known, _)| known.values() == key)
                    && found.get_mut().1.remove(slot)
                {
                    found.remove();
                }
            }
            Entries::Ordered(map) => {
                let key = IndexKey::from(key);
                let mut map = map.write();
                if map
                    .get_mut(&key)
                    .is_some_and(|posting| posting.remove(slot))
                {
                    map.remove(&key);
                }
            }
        }
    }

    /// Appends the slots whose key equals `key`.
    pub(crate) fn equal(&self, key: &[Value], slots: &mut Vec<Slot>) {
        match &self.entries {
            Entries::Hash { shards, hasher } => {
                let hash = hash_of(hasher, key);
                let table = shard(shards, hash).read();
                if let Some((_, posting)) = table.find(hash, |(known, _)| known.values() == key) {
                    posting.append_to(slots);
                }
            }
            Entries::Ordered(map) => {
                if let Some(posting) = map.read().get(&IndexKey::from(key)) {
                    posting.append_to(slots);
                }
            }
        }
    }

    /// Appends slots in the range beyond `after`, in index order, whole keys until at least `slots_max` are
    /// gathered. Returns the last key read; `None` when the range is exhausted.
    ///
    /// A hash index has no order and gives nothing.
    pub(crate) fn range(
        &self,
        range: &KeyRange,
        direction: Direction,
        after: Option<&IndexKey>,
        slots_max: usize,
        slots: &mut Vec<Slot>,
    ) -> Option<IndexKey> {
        let Entries::Ordered(map) = &self.entries else {
            return None;
        };
        let (begin, end) = range.ends()?;
        let (mut from, mut to) = (begin.as_probe(), end.as_probe());
        match (after, direction) {
            (None, _) => {}
            (Some(after), Direction::Ascending) => from = from.max(after),
            (Some(after), Direction::Descending) => to = to.min(after),
        }
        if from >= to {
            return None;
        }
        let map = map.read();
        let mut keys = map.range::<dyn Probe + '_, _>((Bound::Excluded(from), Bound::Excluded(to)));
        let enough = slots.len().saturating_add(slots_max);
        let mut take = |(key, posting): (&IndexKey, &Posting)| {
            posting.append_to(slots);
            (slots.len() >= enough).then(|| key.clone())
        };
        match direction {
            Direction::Ascending => keys.find_map(&mut take),
            Direction::Descending => keys.rev().find_map(&mut take),
        }
    }

    /// Entries in the range, counted up to `entries_max`.
    pub(crate) fn count(&self, range: &KeyRange, entries_max: usize) -> usize {
        match &self.entries {
            Entries::Hash { shards, hasher } => {
                let hash = hash_of(hasher, &range.prefix);
                let table = shard(shards, hash).read();
                table
                    .find(hash, |(known, _)| known.values() == range.prefix)
                    .map_or(0, |(_, posting)| posting.len())
            }
            Entries::Ordered(map) => {
                let Some((begin, end)) = range.ends() else {
                    return 0;
                };
                let bounds = (
                    Bound::Excluded(begin.as_probe()),
                    Bound::Excluded(end.as_probe()),
                );
                let mut count = 0;
                for posting in map
                    .read()
                    .range::<dyn Probe + '_, _>(bounds)
                    .map(|(_, p)| p)
                {
                    count += posting.len();
                    if count >= entries_max {
                        break;
                    }
                }
                count
            }
        }
    }

    /// Number of different keys.
    pub fn keys(&self) -> usize {
        match &self.entries {
            Entries::Hash { shards, .. } => shards.iter().map(|shard| shard.0.read().len()).sum(),
            Entries::Ordered(map) => map.read().len(),
        }
    }

    /// Bytes of heap that the index holds, estimated from its entries.
    pub fn heap_bytes(&self) -> usize {
        const ENTRY: usize = size_of::<(IndexKey, Posting)>();
        let of = |key: &IndexKey, posting: &Posting| key.heap_bytes() + posting.heap_bytes();
        match &self.entries {
            Entries::Hash { shards, .. } => shards
                .iter()
                .map(|shard| {
                    let table = shard.0.read();
                    table.capacity() * (ENTRY + 1)
                        + table
                            .iter()
                            .map(|(key, posting)| of(key, posting))
                            .sum::<usize>()
                })
                .sum(),
            Entries::Ordered(map) => {
                // Nodes of a B-tree are about three quarters full.
                map.read()
                    .iter()
                    .map(|(key, posting)| ENTRY * 4 / 3 + of(key, posting))
                    .sum()
            }
        }
    }
}

fn hash_of(hasher: &RandomState, key: &[Value]) -> u64 {
    let mut state = hasher.build_hasher();
    for value in key {
        value.hash(&mut state);
    }
    state.finish()
}

fn shard(shards: &[Shard], hash: u64) -> &RwLock<HashTable<(IndexKey, Posting)>> {
    #[expect(
        clippy::indexing_slicing,
        reason = "the remainder is below the number of shards"
    )]
    &shards[(hash >> 40) as usize % SHARDS].0
}
