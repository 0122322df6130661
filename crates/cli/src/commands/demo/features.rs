//! Features of the cities: what serving reads and what training saw, by the same code; and a fair split of them.

use std::time::{Duration, Instant};

use common::query::{OrderBy, Query};
use common::schema::{Field, FieldType};
use common::{Database, Result, Timestamp, Value};
use vectordb::experiment::{Experiment, NO_VARIANT};
use vectordb::feature::{
    AsOf, BatchOptions, Column, Entity, FeatureBatch, FeatureStore, FeatureView, KnownAt,
    OnInvalid, Retrieval, Status, Times, ViewDefinition,
};
use vectordb::transform::{
    ColumnPlan, ColumnTransformer, Encoding, Matrix, MissingText, RoutePlan, Scaling, SourcePlan,
    StepPlan, Unknown,
};

use super::data::World;
use crate::terminal::Progress;

const SECOND: i64 = 1_000_000;
/// When the cities were counted, and when those were counted again that grew.
const FIRST: Timestamp = Timestamp(1_767_225_600 * SECOND);
const LATER: Timestamp = Timestamp(1_798_761_600 * SECOND);
/// In between, as of when the training set is.
const LABEL: Timestamp = Timestamp(1_782_864_000 * SECOND);
/// Every so many cities are counted again.
const RECOUNTED: usize = 10;
/// Reads of one city that are timed, and the cities of a batch.
const READS: usize = 1_000;
const UNITS: u64 = 100_000;

/// What was measured.
pub(super) struct Facts {
    pub(super) cities: usize,
    pub(super) events: usize,
    /// Numbers that a city becomes.
    pub(super) numbers: usize,
    pub(super) load_time: Duration,
    /// Middle time of a read of one city.
    pub(super) read_time: Duration,
    /// Middle time of a read of a thousand.
    pub(super) batch_time: Duration,
    pub(super) batch: usize,
    /// Whether what is read is what the table says, transformed.
    pub(super) agrees: bool,
    pub(super) training_set: String,
    /// Whether the training set had the same bytes after the cities were counted again.
    pub(super) is_same: bool,
    pub(super) units: u64,
    /// Share of the units in an experiment of a tenth that saw the second variant.
    pub(super) share: f64,
    /// Units that changed their variant when the experiment grew from a tenth to a half.
    pub(super) moved: usize,
}

/// Columns of the cities, in one order.
struct Cities {
    ids: Vec<i64>,
    countries: Vec<String>,
    people: Vec<i64>,
}

pub(super) fn run(world: &World) -> Result<Facts> {
    let _progress = Progress::stage("serving features");
    let cities = Cities::of(world)?;
    let store = FeatureStore::open(&Database::new())?;
    store.create_entity(&Entity::new("city", [("id", FieldType::Int)]))?;
    let definition = ViewDefinition::new("census", "city")
        .feature(Field::new("country", FieldType::Text))
        .feature(Field::new("people", FieldType::Int));
    let view = store.create_view(definition)?;
    let start = Instant::now();
    ingest(&view, &cities, FIRST)?;
    let load_time = start.elapsed();

    let transformer = fit(&cities)?;
    store.save_transformer("cities", &transformer.clone().into(), &[])?;
    let retrieval = (store.retrieval().view("census"))
        .transform(transformer.clone())
        .prepare()?;
    let set = store.create_training_set(
        "growth",
        &retrieval,
        &cities.ids,
        Times::All(LABEL),
        KnownAt::Ever,
    )?;
    let agrees = is_transformed(&transformer, &cities, &set.values)?;
    let recounted = cities.recounted();
    ingest(&view, &recounted, LATER)?;
    // What was counted later says nothing about the day of the labels.
    let again = store.training_set(&set.id)?;
    let bits = |numbers: &[f64]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let is_same = bits(&again.values) == bits(&set.values);

    let batch = cities.ids.get(..READS.min(cities.ids.len()));
    let batch = batch.unwrap_or_default();
    let (read_time, batch_time) = time(&retrieval, batch)?;
    let (share, moved) = split()?;
    Ok(Facts {
        cities: cities.ids.len(),
        events: cities.ids.len() + recounted.ids.len(),
        numbers: retrieval.outputs(),
        load_time,
        read_time,
        batch_time,
        batch: batch.len(),
        agrees,
        training_set: set.id.to_string(),
        is_same,
        units: UNITS,
        share,
        moved,
    })
}

impl Cities {
    fn of(world: &World) -> Result<Self> {
        let snapshot = world.database.snapshot();
        let query = Query::from("cities")
            .select(["id", "country", "population"])
            .order_by(OrderBy::ascending("id"));
        let mut all = Self {
            ids: Vec::new(),
            countries: Vec::new(),
            people: Vec::new(),
        };
        for row in &query.run(&snapshot.view())?.rows {
            let number = |at: usize| row.get(at).and_then(Value::as_int).unwrap_or_default();
            let country = row.get(1).and_then(Value::as_text).unwrap_or_default();
            all.ids.push(number(0));
            all.countries.push(country.to_owned());
            all.people.push(number(2));
        }
        Ok(all)
    }

    /// Every tenth of them, a fiftieth larger.
    fn recounted(&self) -> Self {
        Self {
            ids: self.ids.iter().copied().step_by(RECOUNTED).collect(),
            countries: (self.countries.iter().cloned())
                .step_by(RECOUNTED)
                .collect(),
            people: (self.people.iter().step_by(RECOUNTED))
                .map(|people| people + people / 50)
                .collect(),
        }
    }

    fn texts(&self) -> Vec<Option<&str>> {
        let texts = self.countries.iter().map(String::as_str);
        texts.map(Some).collect()
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "people of a city, far below 2^53"
    )]
    fn numbers(&self) -> Vec<f64> {
        self.people.iter().map(|people| *people as f64).collect()
    }
}

fn ingest(view: &FeatureView, cities: &Cities, counted: Timestamp) -> Result<()> {
    let texts = cities.texts();
    let batch = FeatureBatch::new(&cities.ids, counted)
        .column("country", Column::Texts(&texts))
        .column("people", Column::Ints(&cities.people));
    view.ingest(&batch, OnInvalid::Refuse)?;
    Ok(())
}

/// People on a scale of logarithms, and a place for each country.
fn fit(cities: &Cities) -> Result<ColumnTransformer> {
    let encode = SourcePlan::Encode {
        encoding: Encoding::OneHot,
        unknown: Unknown::Ignore,
        missing: MissingText::Ignore,
    };
    let people = RoutePlan::new("people", ["people"], SourcePlan::Numbers)
        .then(StepPlan::Log1p)
        .then(StepPlan::Scale(Scaling::STANDARD));
    let plan = ColumnPlan::new(["people"], ["country"])
        .route(people)
        .route(RoutePlan::new("country", ["country"], encode));
    plan.fit(Matrix::new(&cities.numbers(), 1)?, &[&cities.texts()])
}

/// Whether `values` are the rows of the table, transformed one by one without the store.
fn is_transformed(
    transformer: &ColumnTransformer,
    cities: &Cities,
    values: &[f64],
) -> Result<bool> {
    let mut row = vec![0.0; transformer.outputs()];
    let rows = values.chunks_exact(transformer.outputs());
    let table = cities.numbers().into_iter().zip(cities.texts());
    for ((people, country), values) in table.zip(rows) {
        transformer.transform_row(&[people], &[country], &mut row)?;
        if row != values {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Middle times of reads of one city, and of all of the batch.
fn time(retrieval: &Retrieval, batch: &[i64]) -> Result<(Duration, Duration)> {
    let mut out = vec![0.0; retrieval.outputs() * batch.len()];
    let (mut ones, mut batches) = (Vec::new(), Vec::new());
    for id in batch {
        let row = out.get_mut(..retrieval.outputs()).unwrap_or_default();
        let start = Instant::now();
        retrieval.get(*id, AsOf::latest(), row)?;
        ones.push(start.elapsed());
    }
    let mut statuses = vec![Status::Unread; batch.len()];
    for _ in 0..15 {
        let start = Instant::now();
        let options = BatchOptions::default();
        retrieval.get_many(batch, AsOf::latest(), &mut out, &mut statuses, options)?;
        batches.push(start.elapsed());
    }
    let middle = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    };
    Ok((middle(&mut ones), middle(&mut batches)))
}

/// Splits units in two, and lets the experiment grow: the share of the second variant, and how many units moved.
fn split() -> Result<(f64, usize)> {
    let plan = |coverage: f64| {
        let experiment = Experiment::new("button", ["grey", "green"]);
        experiment.coverage(coverage).compile(None)
    };
    let units: Vec<u64> = (0..UNITS).collect();
    let (small, large) = (plan(0.1)?, plan(0.5)?);
    let (before, after) = (small.assign_numbers(&units)?, large.assign_numbers(&units)?);
    let seen: Vec<f64> = (before.iter())
        .filter(|variant| **variant != NO_VARIANT)
        .map(|variant| f64::from(*variant))
        .collect();
    let moved = before.iter().zip(&after);
    let moved = moved.filter(|(before, after)| **before != NO_VARIANT && before != after);
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let share = seen.iter().sum::<f64>() / seen.len().max(1) as f64;
    Ok((share, moved.count()))
}
