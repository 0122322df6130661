//! Features of one entity and of a thousand, plain and scaled.

use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use bench::Result;
use bench::python::Python;
use bench::report::{Figure, Report};
use bench::stats::Series;
use serde::Deserialize;
use serde_json::json;
use vectordb::feature::{AsOf, BatchOptions, FeatureStore, Retrieval};
use vectordb::transform::Steps;

use crate::data::{self, FEATURES, Random};
use crate::{Arguments, FEAST, FEAST_REDIS, OURS, TURN_SECONDS, check, push, turn};

const MANY: usize = 1_000;
const COPY: &str = "limit-copy";
const DIVIDE: &str = "limit-copy-and-divide";
const PLAIN: &str = "tandemdb, plain";

/// Single reads whose times are taken one by one.
const TIMED_ONE_BY_ONE: usize = 200_000;

#[derive(Deserialize)]
struct Taken {
    nanoseconds: f64,
}

#[derive(Deserialize)]
struct Loaded {
    seconds: f64,
}

#[derive(Deserialize)]
struct Rows {
    rows: Vec<Vec<f64>>,
}

/// A matrix that is there already, whose rows are known by number: what no store can be faster than.
struct Ready {
    matrix: Vec<f64>,
    means: Vec<f64>,
    deviations: Vec<f64>,
}

impl Ready {
    fn row(&self, entity: usize, features: usize) -> &[f64] {
        let start = entity * FEATURES;
        self.matrix.get(start..start + features).unwrap_or_default()
    }

    fn copy(&self, entities: &[usize], features: usize, out: &mut [f64]) {
        for (out, entity) in out.chunks_exact_mut(features).zip(entities) {
            out.copy_from_slice(self.row(*entity, features));
        }
    }

    fn divide(&self, entities: &[usize], features: usize, out: &mut [f64]) {
        for (out, entity) in out.chunks_exact_mut(features).zip(entities) {
            let row = self.row(*entity, features).iter();
            let fitted = self.means.iter().zip(&self.deviations);
            for ((out, x), (mean, scale)) in out.iter_mut().zip(row).zip(fitted) {
                *out = (x - mean) / scale;
            }
        }
    }
}

/// Which entities are asked for: the next ones of a list that looks random.
struct Asked {
    entities: Vec<usize>,
    keys: Vec<i64>,
    at: usize,
}

impl Asked {
    fn new(entities: usize) -> Self {
        let mut random = Random::new(7);
        let entities: Vec<usize> = (0..200 * MANY).map(|_| random.below(entities)).collect();
        Self {
            keys: entities.iter().copied().map(data::key).collect(),
            entities,
            at: 0,
        }
    }

    fn next(&mut self, count: usize) -> (&[usize], &[i64]) {
        if self.at + count > self.keys.len() {
            self.at = 0;
        }
        let some = self.at..self.at + count;
        self.at += count;
        let entities = self.entities.get(some.clone()).unwrap_or_default();
        (entities, self.keys.get(some).unwrap_or_default())
    }
}

/// What is measured: a store, the same numbers as a matrix, and how it is asked.
struct Bench<'a> {
    arguments: &'a Arguments,
    store: FeatureStore,
    ready: Ready,
    steps: Steps,
    asked: Asked,
    as_of: AsOf,
    /// After the name of a case.
    size: String,
}

pub(crate) fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let (store, seconds) = data::served(arguments.entities, FEATURES)?;
    let (means, deviations, steps) = data::scaling(FEATURES)?;
    let ready = Ready {
        matrix: (0..arguments.entities * FEATURES)
            .map(|at| data::value(at / FEATURES, at % FEATURES))
            .collect(),
        means,
        deviations,
    };
    let mut bench = Bench {
        arguments,
        as_of: store.now(),
        store,
        ready,
        steps,
        asked: Asked::new(arguments.entities),
        size: format!("@{}", arguments.entities),
    };
    bench.load(seconds, report)?;
    bench.plain(report)?;
    bench.transformed(report)
}

impl Bench<'_> {
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    fn load(&self, seconds: f64, report: &mut Report) -> Result<()> {
        let bytes = self.store.view("view")?.bytes();
        let values = (self.arguments.entities * FEATURES) as f64;
        let figures = [
            ("nanoseconds a value", "ns", seconds * 1e9),
            ("bytes a value, rows", "B", bytes.rows as f64),
            ("bytes a value, index", "B", bytes.index as f64),
        ];
        for (metric, unit, value) in figures {
            let series = [value / values].into_iter().collect();
            report.push(Figure::lower(
                format!("load{}", self.size),
                OURS,
                metric,
                unit,
                series,
            ));
        }
        Ok(())
    }

    fn plain(&mut self, report: &mut Report) -> Result<()> {
        let ten: Vec<String> = (0..10).map(|feature| format!("f{feature}")).collect();
        let few = self.store.retrieval().features("view", ten).prepare()?;
        let all = self.store.retrieval().view("view").prepare()?;
        let mut feasts = start_feasts(self.arguments)?;
        for (name, retrieval, rows) in [
            ("get-1x10", &few, 1),
            ("get-1x100", &all, 1),
            ("get-1000x100", &all, MANY),
        ] {
            let features = retrieval.outputs();
            let mut out = vec![0.0; rows * features];
            let mut other = out.clone();
            let (entities, keys) = self.asked.next(rows);
            read(retrieval, keys, self.as_of, &mut out)?;
            self.ready.copy(entities, features, &mut other);
            check(name, COPY, &out, &other)?;
            let mut series = vec![Series::default(); 2 + feasts.len()];
            for round in 0..self.arguments.rounds {
                let mut taken = vec![
                    turn(|| {
                        let (_, keys) = self.asked.next(rows);
                        read(retrieval, keys, self.as_of, &mut out)
                    })?,
                    turn(|| {
                        let (entities, _) = self.asked.next(rows);
                        self.ready.copy(entities, features, black_box(&mut other));
                        Ok(())
                    })?,
                ];
                for (subject, python) in &mut feasts {
                    let held = self.arguments.feast;
                    let keys: Vec<i64> = (0..rows).map(|at| data::key(at * 7 % held)).collect();
                    if round == 0 {
                        read(retrieval, &keys, self.as_of, &mut out)?;
                        let command =
                            json!({ "command": "feast_get", "keys": keys, "features": features });
                        let theirs: Rows = python.ask(&command)?;
                        check(name, subject, &out, &theirs.rows.concat())?;
                    }
                    let command = json!({
                        "command": "feast_get", "keys": keys, "features": features, "seconds": TURN_SECONDS,
                    });
                    taken.push(python.ask::<Taken>(&command)?.nanoseconds);
                }
                for (series, taken) in series.iter_mut().zip(taken) {
                    series.push(taken);
                }
            }
            let mut subjects = vec![OURS, COPY];
            subjects.extend(feasts.iter().map(|(subject, _)| *subject));
            push(report, &format!("{name}{}", self.size), &subjects, series);
        }
        let mut series = Series::default();
        for _ in 0..self.arguments.rounds {
            series.push(percentile(&few, &mut self.asked, self.as_of)?);
        }
        report.push(Figure::lower(
            format!("get-1x10{}", self.size),
            OURS,
            "p99",
            "ns",
            series,
        ));
        Ok(())
    }

    fn transformed(&mut self, report: &mut Report) -> Result<()> {
        let plain = || self.store.retrieval().view("view");
        let steps = || self.steps.clone();
        let all = plain().prepare()?;
        let fused = plain().transform(steps()).prepare()?;
        let materialised = plain().transform(steps()).materialised().prepare()?;
        for rows in [1, MANY] {
            let mut out = vec![0.0; rows * FEATURES];
            let mut other = out.clone();
            let (entities, keys) = self.asked.next(rows);
            self.ready.divide(entities, FEATURES, &mut other);
            for retrieval in [&fused, &materialised] {
                read(retrieval, keys, self.as_of, &mut out)?;
                // Mean and deviation of the loop come from two scaled rows, so the last digits differ.
                let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6 * b.abs().max(1.0);
                if !out.iter().zip(&other).all(near) {
                    return Err(format!(
                        "scaled numbers of {rows} rows differ from the plain loop"
                    )
                    .into());
                }
            }
            let mut series = vec![Series::default(); 4];
            for _ in 0..self.arguments.rounds {
                let mut taken = Vec::new();
                for retrieval in [&fused, &materialised, &all] {
                    taken.push(turn(|| {
                        let (_, keys) = self.asked.next(rows);
                        read(retrieval, keys, self.as_of, &mut out)
                    })?);
                }
                taken.push(turn(|| {
                    let (entities, _) = self.asked.next(rows);
                    self.ready.divide(entities, FEATURES, black_box(&mut other));
                    Ok(())
                })?);
                for (series, taken) in series.iter_mut().zip(taken) {
                    series.push(taken);
                }
            }
            let [fused, ready_made, plain, divided]: [Series; 4] =
                series.try_into().map_err(|_| "four subjects")?;
            let case = |name: &str| format!("{name}-{rows}x100{}", self.size);
            push(
                report,
                &case("scaled"),
                &[OURS, DIVIDE],
                vec![fused, divided],
            );
            push(
                report,
                &case("materialised"),
                &[OURS, PLAIN],
                vec![ready_made, plain],
            );
        }
        Ok(())
    }
}

/// Feast with its data loaded, once for each online store that there is.
fn start_feasts(arguments: &Arguments) -> Result<Vec<(&'static str, Python)>> {
    let mut feasts = Vec::new();
    if arguments.feast == 0 {
        return Ok(feasts);
    }
    let mut log = std::io::stderr();
    for (subject, online) in [(FEAST, "sqlite"), (FEAST_REDIS, "redis")] {
        if online == "redis"
            && Command::new("redis-server")
                .arg("--version")
                .output()
                .is_err()
        {
            writeln!(
                log,
                "Feast on Redis is left out: there is no `redis-server` (apt-get install redis-server)"
            )?;
            continue;
        }
        writeln!(
            log,
            "loading {} entities into Feast on {online}",
            arguments.feast
        )?;
        let folder = tempfile::tempdir()?.keep();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("features_rivals.py");
        let mut python = Python::start(&script, &[folder.as_os_str()])?;
        let command = json!({
            "command": "feast", "online": online, "entities": arguments.feast, "features": FEATURES,
        });
        let loaded: Loaded = python.ask(&command)?;
        writeln!(log, "loaded in {:.0} s", loaded.seconds)?;
        feasts.push((subject, python));
    }
    Ok(feasts)
}

fn read(retrieval: &Retrieval, keys: &[i64], as_of: AsOf, out: &mut [f64]) -> Result<()> {
    match keys {
        [key] => drop(retrieval.get(*key, as_of, out)?),
        keys => drop(retrieval.get_many(keys, as_of, out, &mut [], BatchOptions::default())?),
    }
    black_box(out);
    Ok(())
}

/// Nanoseconds below which 99 of 100 single reads stay, with the taking of time in it.
fn percentile(retrieval: &Retrieval, asked: &mut Asked, as_of: AsOf) -> Result<f64> {
    let mut out = vec![0.0; retrieval.outputs()];
    let mut times = Vec::with_capacity(TIMED_ONE_BY_ONE);
    for _ in 0..TIMED_ONE_BY_ONE {
        let (_, keys) = asked.next(1);
        let begin = Instant::now();
        read(retrieval, keys, as_of, &mut out)?;
        times.push(begin.elapsed().as_nanos());
    }
    times.sort_unstable();
    let at = times.len() * 99 / 100;
    let nanoseconds = times.get(at).copied().unwrap_or_default();
    Ok(f64::from(u32::try_from(nanoseconds).unwrap_or(u32::MAX)))
}
