//! [`Directory`]: from the key of an entity to its latest row.

use std::hash::{BuildHasher, Hash, Hasher};

use common::schema::FieldType;
use common::{Error, RecordId, Result, Text, Value};
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::cell::text_bytes;

/// No number of a row, an entity or a history.
pub(super) const NONE: u32 = u32::MAX;

/// The key of an entity, borrowed: what a look-up takes.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Key<'a> {
    /// An integer.
    Int(i64),
    /// A text.
    Text(&'a str),
    /// The values of any key, in the order of its columns.
    Values(&'a [Value]),
}

impl From<i64> for Key<'_> {
    fn from(key: i64) -> Self {
        Self::Int(key)
    }
}

impl<'a> From<&'a str> for Key<'a> {
    fn from(key: &'a str) -> Self {
        Self::Text(key)
    }
}

impl<'a> From<&'a RecordId> for Key<'a> {
    fn from(key: &'a RecordId) -> Self {
        Self::Values(key.values())
    }
}

impl Key<'_> {
    /// The key as an id of its own.
    pub fn to_id(self) -> RecordId {
        match self {
            Self::Int(key) => RecordId::from(key),
            Self::Text(key) => RecordId::from(key),
            Self::Values(values) => RecordId::from(values),
        }
    }
}

/// What a look-up finds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// The key if keys are integers, or its hash.
    word: u64,
    pub(super) entity: u32,
    /// Number of the row of the latest event.
    pub(super) latest: u32,
}

/// Entities by key. The row of the latest event stands with the key, so that a look-up is one visit to memory where keys
/// are integers.
pub(super) struct Directory {
    table: HashTable<Entry>,
    keys: Keys,
    free: Vec<u32>,
    hasher: RandomState,
}

/// Keys by number of entity.
enum Keys {
    Ints(Vec<i64>),
    Texts(Vec<Text>),
    Any(Vec<RecordId>),
}

impl Directory {
    /// An empty one for keys of these columns.
    pub(super) fn new(columns: &[FieldType]) -> Self {
        Self {
            table: HashTable::new(),
            keys: match columns {
                [FieldType::Int] => Keys::Ints(Vec::new()),
                [FieldType::Text] => Keys::Texts(Vec::new()),
                _ => Keys::Any(Vec::new()),
            },
            free: Vec::new(),
            hasher: RandomState::default(),
        }
    }

    /// Hash and word of a key.
    #[inline]
    #[expect(clippy::cast_sign_loss, reason = "all bits of it")]
    fn hash(&self, key: Key<'_>) -> (u64, u64) {
        match (&self.keys, key) {
            (Keys::Ints(_), Key::Int(key) | Key::Values(&[Value::Int(key)])) => {
                (self.hasher.hash_one(key), key as u64)
            }
            (Keys::Texts(_), Key::Text(key)) => self.twice(key),
            (Keys::Texts(_), Key::Values([Value::Text(key)])) => self.twice(key),
            (_, Key::Int(key)) => self.of_values(&[Value::Int(key)]),
            (_, Key::Text(key)) => self.of_values(&[Value::from(key)]),
            (_, Key::Values(values)) => self.of_values(values),
        }
    }

    #[inline]
    fn twice(&self, key: &str) -> (u64, u64) {
        let hash = self.hasher.hash_one(key);
        (hash, hash)
    }

    fn of_values(&self, values: &[Value]) -> (u64, u64) {
        let mut hasher = self.hasher.build_hasher();
        for value in values {
            value.hash(&mut hasher);
        }
        let hash = hasher.finish();
        (hash, hash)
    }

    /// The entity of a key.
    #[inline]
    pub(super) fn find(&self, key: Key<'_>) -> Option<Entry> {
        let (hash, word) = self.hash(key);
        let is = |entry: &Entry| entry.word == word && self.keys.is(entry.entity as usize, key);
        self.table.find(hash, is).copied()
    }

    /// Says which row is the latest of an entity that is there.
    pub(super) fn set_latest(&mut self, key: Key<'_>, row: u32) {
        let (hash, word) = self.hash(key);
        let keys = &self.keys;
        let is = |entry: &Entry| entry.word == word && keys.is(entry.entity as usize, key);
        if let Some(entry) = self.table.find_mut(hash, is) {
            entry.latest = row;
        }
    }

    /// Adds an entity that is not there, and returns its number.
    pub(super) fn add(&mut self, key: Key<'_>, latest: u32) -> Result<u32> {
        let (hash, word) = self.hash(key);
        let entity = match self.free.pop() {
            Some(free) => free,
            None => u32::try_from(self.keys.len())
                .ok()
                .filter(|entity| *entity < NONE)
                .ok_or_else(|| Error::limit_exceeded("a view has at most 2^32 - 1 entities"))?,
        };
        self.keys.set(entity as usize, key);
        let entry = Entry {
            word,
            entity,
            latest,
        };
        let (keys, hasher) = (&self.keys, &self.hasher);
        self.table.insert_unique(hash, entry, |other| match keys {
            #[expect(clippy::cast_possible_wrap, reason = "all bits of it")]
            Keys::Ints(_) => hasher.hash_one(other.word as i64),
            Keys::Texts(_) | Keys::Any(_) => other.word,
        });
        Ok(entity)
    }

    /// Takes an entity out.
    pub(super) fn remove(&mut self, key: Key<'_>) {
        let (hash, word) = self.hash(key);
        let keys = &self.keys;
        let is = |entry: &Entry| entry.word == word && keys.is(entry.entity as usize, key);
        let Ok(found) = self.table.find_entry(hash, is) else {
            return;
        };
        let (entry, _) = found.remove();
        self.keys.clear(entry.entity as usize);
        self.free.push(entry.entity);
    }

    /// The values of an entity's key.
    pub(super) fn push_key(&self, entity: u32, values: &mut Vec<Value>) {
        let at = entity as usize;
        match &self.keys {
            Keys::Ints(keys) => values.extend(keys.get(at).copied().map(Value::Int)),
            Keys::Texts(keys) => values.extend(keys.get(at).cloned().map(Value::Text)),
            Keys::Any(keys) => values.extend(
                keys.get(at)
                    .into_iter()
                    .flat_map(|id| id.values().iter().cloned()),
            ),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.table.iter()
    }

    /// Bytes that it takes.
    pub(super) fn heap_bytes(&self) -> usize {
        let keys = match &self.keys {
            Keys::Ints(keys) => keys.capacity() * size_of::<i64>(),
            Keys::Texts(keys) => {
                let texts: usize = keys.iter().map(text_bytes).sum();
                texts + keys.capacity() * size_of::<Text>()
            }
            Keys::Any(keys) => {
                let ids: usize = keys.iter().map(RecordId::heap_bytes).sum();
                ids + keys.capacity() * size_of::<RecordId>()
            }
        };
        keys + self.table.allocation_size() + self.free.capacity() * size_of::<u32>()
    }
}

impl Keys {
    fn len(&self) -> usize {
        match self {
            Self::Ints(keys) => keys.len(),
            Self::Texts(keys) => keys.len(),
            Self::Any(keys) => keys.len(),
        }
    }

    /// Whether an entity has a key, where word and hash are known to be equal.
    #[inline]
    fn is(&self, at: usize, key: Key<'_>) -> bool {
        match self {
            // The word is the key, if the key is an integer at all.
            Self::Ints(_) => matches!(key, Key::Int(_) | Key::Values([Value::Int(_)])),
            Self::Texts(texts) => texts.get(at).is_some_and(|known| match key {
                Key::Text(key) => known.as_str() == key,
                Key::Values([Value::Text(key)]) => known == key,
                _ => false,
            }),
            Self::Any(ids) => ids
                .get(at)
                .is_some_and(|known| match (known.values(), key) {
                    ([Value::Int(known)], Key::Int(key)) => *known == key,
                    ([Value::Text(known)], Key::Text(key)) => known.as_str() == key,
                    (known, Key::Values(key)) => known == key,
                    _ => false,
                }),
        }
    }

    fn set(&mut self, at: usize, key: Key<'_>) {
        match (self, key) {
            (Self::Ints(keys), Key::Int(key) | Key::Values(&[Value::Int(key)])) => {
                put(keys, at, key);
            }
            (Self::Texts(keys), Key::Text(key)) => put(keys, at, Text::from(key)),
            (Self::Texts(keys), Key::Values([Value::Text(key)])) => put(keys, at, key.clone()),
            (Self::Any(keys), key) => put(keys, at, key.to_id()),
            // The schema lets no other key pass.
            (Self::Ints(_) | Self::Texts(_), _) => {}
        }
    }

    /// Forgets the key of an entity, which may be somebody's name.
    fn clear(&mut self, at: usize) {
        match self {
            Self::Ints(keys) => put(keys, at, 0),
            Self::Texts(keys) => put(keys, at, Text::default()),
            Self::Any(keys) => put(keys, at, RecordId::from(0)),
        }
    }
}

/// Sets an element, or adds it behind the last.
fn put<T>(keys: &mut Vec<T>, at: usize, key: T) {
    match keys.get_mut(at) {
        Some(place) => *place = key,
        None => keys.push(key),
    }
}
