//! Bounded caches: least recently used first out, by count and by bytes, with an age limit.
//!
//! The order of use is kept by the `lru` crate: a hash map and a list, exact, small, without threads and without a
//! clock of its own. `moka` and `quick_cache` are faster under many threads, but evict by an estimate of use, so
//! that no model can say what must be in the cache, and `moka` reads the time itself, which a simulation
//! cannot own. Bytes, age and statistics are added here.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;

use crate::error::Result;
use crate::utils::time::Clock;

/// What a cache may hold, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheOptions {
    /// Most entries. Default 10,000.
    pub entries_max: NonZeroUsize,
    /// Most bytes, as the caller measures them. Default 64 MiB.
    pub bytes_max: NonZeroUsize,
    /// How long an entry is good after it was put in. Default: until it is evicted.
    pub age_max: Option<Duration>,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            entries_max: NonZeroUsize::MIN.saturating_add(9_999),
            bytes_max: NonZeroUsize::MIN.saturating_add((64 << 20) - 1),
            age_max: None,
        }
    }
}

impl CacheOptions {
    /// Sets [`CacheOptions::entries_max`].
    #[must_use]
    pub fn entries_max(mut self, entries: NonZeroUsize) -> Self {
        self.entries_max = entries;
        self
    }

    /// Sets [`CacheOptions::bytes_max`].
    #[must_use]
    pub fn bytes_max(mut self, bytes: NonZeroUsize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Sets [`CacheOptions::age_max`].
    #[must_use]
    pub fn age_max(mut self, age: Duration) -> Self {
        self.age_max = Some(age);
        self
    }
}

/// What a cache did since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// Look-ups that found an entry.
    pub hits: u64,
    /// Look-ups that found none, or one past its age.
    pub misses: u64,
    /// Entries thrown out to make room.
    pub evictions: u64,
    /// Entries found past their age and removed.
    pub expirations: u64,
    /// Entries refused because they exceed the byte bound by themselves.
    pub refusals: u64,
}

impl CacheStats {
    /// Share of look-ups that hit, 0 to 1; 0 when there were none.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share needs no more than 53 bits"
    )]
    pub fn hit_share(&self) -> f64 {
        match self.hits.saturating_add(self.misses) {
            0 => 0.0,
            all => self.hits as f64 / all as f64,
        }
    }
}

struct Entry<V> {
    value: V,
    bytes: usize,
    /// Microseconds since 1970; `i64::MAX` for never.
    good_until: i64,
}

type Measure<K, V> = Box<dyn Fn(&K, &V) -> usize + Send + Sync>;

/// A bounded cache for one owner; [`SharedCache`] is the same for several threads.
///
/// An entry past its age is never returned; it is removed when a look-up meets it, when room is needed, or by
/// [`Cache::remove_expired`]. Age follows the clock that was passed in: when that steps back, entries live
/// longer by the step.
///
/// ```
/// use std::{num::NonZeroUsize, sync::Arc, time::Duration};
/// use common::optimization::caching::{Cache, CacheOptions};
/// use common::utils::time::ManualClock;
/// let clock = Arc::new(ManualClock::new(0));
/// let options = CacheOptions::default()
///     .bytes_max(NonZeroUsize::new(10).unwrap())
///     .age_max(Duration::from_secs(60));
/// let mut pages = Cache::new(options, clock.clone(), |_: &u32, page: &String| page.len());
/// pages.insert(1, "12345".to_owned());
/// pages.insert(2, "12345".to_owned());
/// assert!(pages.get(&1).is_some());
/// pages.insert(3, "12345".to_owned());
/// assert!(pages.get(&2).is_none(), "the one used longest ago made room");
/// clock.advance(Duration::from_secs(60));
/// assert!(pages.get(&1).is_none(), "too old");
/// assert_eq!((pages.stats().hits, pages.stats().misses), (1, 2));
/// ```
pub struct Cache<K, V> {
    entries: LruCache<K, Entry<V>, foldhash::fast::RandomState>,
    options: CacheOptions,
    clock: Arc<dyn Clock>,
    measure: Measure<K, V>,
    bytes: usize,
    stats: CacheStats,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// An empty cache. `measure` tells the bytes of an entry; it is asked once, when the entry is put in.
    ///
    /// Memory is taken as entries come, not in advance.
    pub fn new(
        options: CacheOptions,
        clock: Arc<dyn Clock>,
        measure: impl Fn(&K, &V) -> usize + Send + Sync + 'static,
    ) -> Self {
        Self {
            entries: LruCache::unbounded_with_hasher(foldhash::fast::RandomState::default()),
            options,
            clock,
            measure: Box::new(measure),
            bytes: 0,
            stats: CacheStats::default(),
        }
    }

    /// The value of `key`, which becomes the one used last.
    pub fn get<Q>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = self.now();
        let expired = self
            .entries
            .peek(key)
            .is_some_and(|entry| entry.good_until <= now);
        if expired && let Some(entry) = self.entries.pop(key) {
            self.bytes -= entry.bytes;
            self.stats.expirations += 1;
        }
        match self.entries.get(key) {
            Some(entry) => {
                self.stats.hits += 1;
                Some(&entry.value)
            }
            None => {
                self.stats.misses += 1;
                None
            }
        }
    }

    /// The value of `key`, without changing order or statistics.
    pub fn peek<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = self.now();
        self.entries
            .peek(key)
            .filter(|entry| entry.good_until > now)
            .map(|entry| &entry.value)
    }

    /// Puts `value` in under `key`, in place of an older one, and throws out what has no room any more:
    /// entries used longest ago, expired or not.
    ///
    /// Returns whether it is in: an entry above `bytes_max` by itself is not, and removes an older one of
    /// its key all the same, because that one is out of date.
    pub fn insert(&mut self, key: K, value: V) -> bool {
        let bytes = (self.measure)(&key, &value);
        if bytes > self.options.bytes_max.get() {
            self.remove(&key);
            self.stats.refusals += 1;
            return false;
        }
        let good_until = match self.options.age_max {
            None => i64::MAX,
            Some(age) => {
                let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
                self.now().saturating_add(age)
            }
        };
        if let Some(old) = self.entries.pop(&key) {
            self.bytes -= old.bytes;
        }
        let bytes_before_max = self.options.bytes_max.get() - bytes;
        while self.entries.len() >= self.options.entries_max.get() || self.bytes > bytes_before_max
        {
            let Some((_, evicted)) = self.entries.pop_lru() else {
                break;
            };
            self.bytes -= evicted.bytes;
            self.stats.evictions += 1;
        }
        self.bytes += bytes;
        self.entries.put(
            key,
            Entry {
                value,
                bytes,
                good_until,
            },
        );
        true
    }

    /// Takes the value of `key` out.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = self.now();
        let entry = self.entries.pop(key)?;
        self.bytes -= entry.bytes;
        (entry.good_until > now).then_some(entry.value)
    }

    /// Removes every entry past its age and returns how many. Costs a look at each entry.
    pub fn remove_expired(&mut self) -> usize
    where
        K: Clone,
    {
        let now = self.now();
        let expired: Vec<K> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.good_until <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in &expired {
            if let Some(entry) = self.entries.pop(key) {
                self.bytes -= entry.bytes;
            }
        }
        self.stats.expirations += expired.len() as u64;
        expired.len()
    }

    /// Takes everything out; the statistics stay.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Entries held, those past their age included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes held, as measured; never above [`CacheOptions::bytes_max`].
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the cache did so far.
    pub fn stats(&self) -> CacheStats {
        self.stats
    }

    fn now(&self) -> i64 {
        // Without an age limit nothing ever asks what time it is.
        if self.options.age_max.is_some() {
            self.clock.now()
        } else {
            i64::MIN
        }
    }
}

impl<K: Hash + Eq, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("entries", &self.len())
            .field("bytes", &self.bytes)
            .field("options", &self.options)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

/// A [`Cache`] behind one lock, for several threads; values are cloned out, so make them cheap to clone (`Arc`).
///
/// One lock and not several shards, so that the bounds and the order of use stay exact.
pub struct SharedCache<K, V>(Mutex<Cache<K, V>>);

impl<K: Hash + Eq, V: Clone> SharedCache<K, V> {
    /// Shares `cache`.
    pub fn new(cache: Cache<K, V>) -> Self {
        Self(Mutex::new(cache))
    }

    /// As [`Cache::get`].
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.lock().get(key).cloned()
    }

    /// As [`Cache::insert`].
    pub fn insert(&self, key: K, value: V) -> bool {
        self.0.lock().insert(key, value)
    }

    /// The value of `key`, or what `make` makes of it, which is put in.
    ///
    /// `make` runs without the lock: two threads that miss together both make the value, and the later one stays.
    ///
    /// # Errors
    /// What `make` fails with; nothing is put in then.
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce(&K) -> Result<V>) -> Result<V> {
        if let Some(found) = self.get(&key) {
            return Ok(found);
        }
        let value = make(&key)?;
        self.insert(key, value.clone());
        Ok(value)
    }

    /// As [`Cache::remove`].
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.lock().remove(key)
    }

    /// As [`Cache::clear`].
    pub fn clear(&self) {
        self.0.lock().clear();
    }

    /// As [`Cache::len`].
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// As [`Cache::is_empty`].
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// As [`Cache::bytes`].
    pub fn bytes(&self) -> usize {
        self.0.lock().bytes()
    }

    /// As [`Cache::stats`].
    pub fn stats(&self) -> CacheStats {
        self.0.lock().stats()
    }
}

impl<K: Hash + Eq, V> fmt::Debug for SharedCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.lock().fmt(f)
    }
}
