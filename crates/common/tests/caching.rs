//! Caches against a model that is slow and obviously right.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of these tests are tests too"
)]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::Error;
use common::optimization::caching::{Cache, CacheOptions, CacheStats, SharedCache};
use common::utils::time::{Clock, ManualClock};
use proptest::prelude::*;

fn options(entries: usize, bytes: usize) -> CacheOptions {
    CacheOptions::default()
        .entries_max(NonZeroUsize::new(entries).unwrap())
        .bytes_max(NonZeroUsize::new(bytes).unwrap())
}

/// Entries in the order of use, the last used at the end.
#[derive(Default)]
struct Model {
    entries: Vec<(u8, usize, i64)>,
    stats: CacheStats,
}

impl Model {
    fn get(&mut self, key: u8, now: i64) -> Option<usize> {
        if let Some(at) = self.entries.iter().position(|entry| entry.0 == key) {
            let entry = self.entries.remove(at);
            if entry.2 > now {
                self.entries.push(entry);
                self.stats.hits += 1;
                return Some(entry.1);
            }
            self.stats.expirations += 1;
        }
        self.stats.misses += 1;
        None
    }

    fn insert(
        &mut self,
        key: u8,
        size: usize,
        good_until: i64,
        entries_max: usize,
        bytes_max: usize,
    ) -> bool {
        self.entries.retain(|entry| entry.0 != key);
        if size > bytes_max {
            self.stats.refusals += 1;
            return false;
        }
        self.entries.push((key, size, good_until));
        while self.entries.len() > entries_max || self.bytes() > bytes_max {
            self.entries.remove(0);
            self.stats.evictions += 1;
        }
        true
    }

    fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.1).sum()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Get(u8),
    Peek(u8),
    Insert(u8, usize),
    Remove(u8),
    Advance(u64),
    Expire,
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..12).prop_map(Step::Get),
        1 => (0_u8..12).prop_map(Step::Peek),
        4 => (0_u8..12, 0_usize..25).prop_map(|(key, size)| Step::Insert(key, size)),
        1 => (0_u8..12).prop_map(Step::Remove),
        1 => (0_u64..60).prop_map(Step::Advance),
        1 => Just(Step::Expire),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #[test]
    fn a_cache_does_what_the_model_does(
        steps in prop::collection::vec(step(), 0..200),
        entries_max in 1_usize..8,
        bytes_max in 1_usize..60,
        age_max in prop::option::of(0_u64..100),
    ) {
        let clock = Arc::new(ManualClock::new(1_000));
        let mut wanted = options(entries_max, bytes_max);
        wanted.age_max = age_max.map(Duration::from_micros);
        let mut cache = Cache::new(wanted, clock.clone(), |_: &u8, size: &usize| *size);
        let mut model = Model::default();
        for step in steps {
            let now = clock.now();
            match step {
                Step::Get(key) => prop_assert_eq!(cache.get(&key).copied(), model.get(key, now)),
                Step::Peek(key) => {
                    let there = model.entries.iter().find(|entry| entry.0 == key && entry.2 > now);
                    prop_assert_eq!(cache.peek(&key).copied(), there.map(|entry| entry.1));
                }
                Step::Insert(key, size) => {
                    let good_until = age_max.map_or(i64::MAX, |age| now + age.cast_signed());
                    let inserted = model.insert(key, size, good_until, entries_max, bytes_max);
                    prop_assert_eq!(cache.insert(key, size), inserted);
                }
                Step::Remove(key) => {
                    let there = model.entries.iter().position(|entry| entry.0 == key);
                    let entry = there.map(|at| model.entries.remove(at)).filter(|entry| entry.2 > now);
                    prop_assert_eq!(cache.remove(&key), entry.map(|entry| entry.1));
                }
                Step::Advance(micros) => {
                    clock.advance(Duration::from_micros(micros));
                }
                Step::Expire => {
                    let before = model.entries.len();
                    model.entries.retain(|entry| entry.2 > now);
                    model.stats.expirations += (before - model.entries.len()) as u64;
                    prop_assert_eq!(cache.remove_expired(), before - model.entries.len());
                }
                Step::Clear => {
                    model.entries.clear();
                    cache.clear();
                }
            }
            prop_assert_eq!((cache.len(), cache.bytes()), (model.entries.len(), model.bytes()));
            prop_assert!(cache.len() <= entries_max && cache.bytes() <= bytes_max);
            prop_assert_eq!(cache.stats(), model.stats);
        }
    }
}

#[test]
fn an_entry_is_good_until_the_microsecond_of_its_age() {
    let clock = Arc::new(ManualClock::new(0));
    let wanted = options(9, 9).age_max(Duration::from_micros(10));
    let mut cache = Cache::new(wanted, clock.clone(), |_: &u8, (): &()| 1);
    cache.insert(1, ());
    clock.set(9);
    assert!(cache.get(&1).is_some());
    clock.set(10);
    assert!(cache.peek(&1).is_none() && cache.get(&1).is_none());
    assert!((cache.stats().hit_share() - 0.5).abs() < 1e-9);
    assert!(CacheStats::default().hit_share().abs() < 1e-9);
}

#[test]
fn what_cannot_be_made_is_not_kept() {
    let cache = SharedCache::new(Cache::new(
        options(9, 9),
        Arc::new(ManualClock::new(0)),
        |_: &u8, _: &u8| 1,
    ));
    assert!(
        cache
            .get_or_insert_with(1, |_| Err(Error::not_found("no such page")))
            .is_err()
    );
    assert_eq!(cache.get_or_insert_with(1, |key| Ok(key + 1)).unwrap(), 2);
    assert_eq!(
        cache
            .get_or_insert_with(1, |_| Err(Error::not_found("not asked")))
            .unwrap(),
        2
    );
    assert_eq!((cache.remove(&1), cache.remove(&1)), (Some(2), None));
}

#[test]
fn threads_share_one_bound() {
    let cache = SharedCache::new(Cache::new(
        options(50, 1_000),
        Arc::new(ManualClock::new(0)),
        |_: &usize, size: &usize| *size,
    ));
    let found = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (cache, found) = (&cache, &found);
            scope.spawn(move || {
                for i in 0..20_000 {
                    let key = (i * 7 + thread) % 100;
                    let value = cache.get_or_insert_with(key, |key| Ok(key % 30)).unwrap();
                    assert_eq!(value, key % 30);
                    assert!(cache.bytes() <= 1_000 && cache.len() <= 50);
                    found.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let stats = cache.stats();
    assert_eq!(found.load(Ordering::Relaxed), 80_000);
    assert_eq!(stats.hits + stats.misses, 80_000);
}
