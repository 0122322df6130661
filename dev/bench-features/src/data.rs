//! Features and events that every subject gets, and the store that holds them.

use std::path::Path;

use bench::Result;
use common::database::DatabaseOptions;
use common::schema::FieldType;
use common::versioning::Retention;
use common::{Database, Timestamp};
use vectordb::feature::{Entity, FeatureBatch, FeatureStore, OnInvalid, ViewDefinition};
use vectordb::transform::{Matrix, Scaler, Scaling, Step, Steps};

/// Entities that are written in one commit.
const ENTITIES_AT_ONCE: usize = 10_000;

pub(crate) const FEATURES: usize = 100;
pub(crate) const JOINED_FEATURES: usize = 10;

/// The value of a feature of an entity, the same in `features_rivals.py`.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
pub(crate) fn value(entity: usize, feature: usize) -> f64 {
    (entity * 1_000 + feature) as f64 + 0.25
}

/// Numbers that look random, the same in every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or_default() % bound
    }
}

pub(crate) fn key(entity: usize) -> i64 {
    i64::try_from(entity).unwrap_or(i64::MAX)
}

/// A database whose log keeps little: what is measured is the store.
fn database() -> Database {
    let retention = Retention {
        changes_max: 1,
        changes_min: 0,
        ..Retention::default()
    };
    Database::with(DatabaseOptions {
        retention,
        ..DatabaseOptions::default()
    })
}

fn store() -> Result<FeatureStore> {
    let store = FeatureStore::open(&database())?;
    store.create_entity(&Entity::new("user", [("user", FieldType::Int)]))?;
    Ok(store)
}

fn names(features: usize) -> Vec<String> {
    (0..features).map(|feature| format!("f{feature}")).collect()
}

/// A store with one event of every entity, and the seconds that loading took.
pub(crate) fn served(entities: usize, features: usize) -> Result<(FeatureStore, f64)> {
    let store = store()?;
    let names = names(features);
    let year = 365 * 24 * 3_600;
    let definition = ViewDefinition::new("view", "user").floats(names.iter().cloned());
    let view = store.create_view(definition.ttl_seconds(year))?;
    let mut seconds = 0.0;
    for from in (0..entities).step_by(ENTITIES_AT_ONCE) {
        let some = from..(from + ENTITIES_AT_ONCE).min(entities);
        let keys: Vec<i64> = some.clone().map(key).collect();
        let columns: Vec<Vec<f64>> = (0..features)
            .map(|feature| some.clone().map(|entity| value(entity, feature)).collect())
            .collect();
        let begin = std::time::Instant::now();
        let mut batch = FeatureBatch::new(&keys, store.now().event);
        for (name, column) in names.iter().zip(&columns) {
            batch = batch.floats(name.clone(), column);
        }
        view.ingest(&batch, OnInvalid::Refuse)?;
        store.database().prune_log_to(store.database().seq());
        seconds += begin.elapsed().as_secs_f64();
    }
    Ok((store, seconds))
}

/// Means and deviations of standard scaling, and the steps that do it.
pub(crate) fn scaling(features: usize) -> Result<(Vec<f64>, Vec<f64>, Steps)> {
    let data: Vec<f64> = (0..1_000 * features)
        .map(|at| value(at / features, at % features))
        .collect();
    let matrix = Matrix::new(&data, features)?;
    let scaler = Scaler::fit(Scaling::STANDARD, matrix)?;
    let steps = Steps::new(features, vec![Step::Scale(scaler)])?;
    // What the scaler does is (x - mean) / scale: both follow from what it makes of 0 and 1.
    let rows = [vec![0.0; features], vec![1.0; features]].concat();
    let mut made = vec![0.0; 2 * features];
    steps.transform(Matrix::new(&rows, features)?, &mut made)?;
    let (zeros, ones) = made.split_at(features);
    let deviations: Vec<f64> = zeros
        .iter()
        .zip(ones)
        .map(|(zero, one)| 1.0 / (one - zero))
        .collect();
    let means = zeros
        .iter()
        .zip(&deviations)
        .map(|(zero, scale)| -zero * scale)
        .collect();
    Ok((means, deviations, steps))
}

/// Events of many times, and labels to join them to.
pub(crate) struct Joined {
    pub(crate) store: FeatureStore,
    pub(crate) label_keys: Vec<i64>,
    pub(crate) label_times: Vec<Timestamp>,
}

/// Events and labels, in the store and as plain arrays in `folder`.
pub(crate) fn joined(
    folder: &Path,
    entities: usize,
    events: usize,
    labels: usize,
) -> Result<Joined> {
    let store = store()?;
    let names = names(JOINED_FEATURES);
    let view =
        store.create_view(ViewDefinition::new("view", "user").floats(names.iter().cloned()))?;
    let mut random = Random::new(42);
    let span = 1 << 30;
    let draw = |random: &mut Random, count: usize| -> (Vec<i64>, Vec<Timestamp>) {
        (0..count)
            .map(|_| {
                (
                    key(random.below(entities)),
                    Timestamp(key(random.below(span))),
                )
            })
            .unzip()
    };
    let (mut keys, mut times) = draw(&mut random, events);
    // Of two events of an entity at one time the last would count here, and any elsewhere.
    let mut seen: Vec<(i64, Timestamp)> = keys.iter().copied().zip(times.iter().copied()).collect();
    seen.sort_unstable();
    seen.dedup();
    (keys, times) = seen.into_iter().unzip();
    let columns: Vec<Vec<f64>> = (0..JOINED_FEATURES)
        .map(|feature| (0..keys.len()).map(|event| value(event, feature)).collect())
        .collect();
    for from in (0..keys.len()).step_by(ENTITIES_AT_ONCE) {
        let to = (from + ENTITIES_AT_ONCE).min(keys.len());
        let mut batch =
            FeatureBatch::new(part(&keys, from, to), Timestamp(0)).at(part(&times, from, to));
        for (name, column) in names.iter().zip(&columns) {
            batch = batch.floats(name.clone(), part(column, from, to));
        }
        view.ingest(&batch, OnInvalid::Refuse)?;
        store.database().prune_log_to(store.database().seq());
    }
    let (label_keys, label_times) = draw(&mut random, labels);
    let rows: Vec<f64> = (0..keys.len() * JOINED_FEATURES)
        .map(|at| value(at / JOINED_FEATURES, at % JOINED_FEATURES))
        .collect();
    let micros = |times: &[Timestamp]| times.iter().map(|time| time.0).collect::<Vec<_>>();
    std::fs::write(
        folder.join("event_keys"),
        bytemuck::cast_slice::<i64, u8>(&keys),
    )?;
    std::fs::write(
        folder.join("event_times"),
        bytemuck::cast_slice::<i64, u8>(&micros(&times)),
    )?;
    std::fs::write(
        folder.join("event_values"),
        bytemuck::cast_slice::<f64, u8>(&rows),
    )?;
    std::fs::write(
        folder.join("label_keys"),
        bytemuck::cast_slice::<i64, u8>(&label_keys),
    )?;
    std::fs::write(
        folder.join("label_times"),
        bytemuck::cast_slice::<i64, u8>(&micros(&label_times)),
    )?;
    Ok(Joined {
        store,
        label_keys,
        label_times,
    })
}

fn part<T>(all: &[T], from: usize, to: usize) -> &[T] {
    all.get(from..to).unwrap_or_default()
}
