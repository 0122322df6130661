//! Assignment: one unit at a time and many at once, by each algorithm and kind of id, beside `GrowthBook`'s SDK.

use std::hint::black_box;

use bench::Result;
use bench::clock::Stopwatch;
use bench::random::Random;
use bench::report::{Figure, Report};
use bench::stats::Series;
use serde_json::json;
use vectordb::experiment::{Algorithm, Experiment, NO_VARIANT, Plan};

use crate::rival::{Rivals, Timed};
use crate::{FUNCTIONS, OURS, SDK, float};

const SALT: &str = "checkout-button";
const WEIGHTS: [f64; 3] = [0.5, 0.3, 0.2];
const COVERAGE: f64 = 0.8;

/// Units as they come to an application.
enum Units {
    Numbers(Vec<u64>),
    Texts(Vec<String>),
}

/// How many units each side is asked about in a round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) ours: usize,
    pub(crate) functions: usize,
    pub(crate) sdk: usize,
}

impl Units {
    fn make(kind: &str, count: usize) -> Self {
        let mut random = Random::new(7);
        let numbers = (0..count).map(|_| random.bits() >> 24);
        match kind {
            "numbers" => Self::Numbers(numbers.collect()),
            "ascii" => Self::Texts(numbers.map(|n| format!("user-{n:x}")).collect()),
            _ => Self::Texts(numbers.map(|n| format!("usuário-№{n:x}")).collect()),
        }
    }

    fn first(&self, count: usize) -> serde_json::Value {
        match self {
            Self::Numbers(units) => json!(units.get(..count)),
            Self::Texts(units) => json!(units.get(..count)),
        }
    }

    fn assign_all(&self, plan: &Plan) -> Result<Vec<u8>> {
        Ok(match self {
            Self::Numbers(units) => plan.assign_numbers(units)?,
            Self::Texts(units) => plan.assign_all(units)?,
        })
    }

    /// One call for each unit; the sum of the answers keeps the calls.
    fn assign_each(&self, plan: &Plan) -> Result<u64> {
        let mut sum = 0;
        match self {
            Self::Numbers(units) => {
                for unit in units {
                    sum += u64::from(black_box(plan).assign_number(black_box(*unit), &[])?);
                }
            }
            Self::Texts(units) => {
                for unit in units {
                    sum += u64::from(black_box(plan).assign(black_box(unit), &[])?);
                }
            }
        }
        Ok(sum)
    }
}

/// Measures every algorithm with every kind of id.
pub(crate) fn run(
    rivals: &mut Rivals,
    counts: Counts,
    rounds: usize,
    report: &mut Report,
) -> Result<()> {
    for algorithm in [
        Algorithm::Xxh3,
        Algorithm::GrowthbookV1,
        Algorithm::GrowthbookV2,
    ] {
        for kind in ["numbers", "ascii", "unicode"] {
            let units = Units::make(kind, counts.ours);
            let plan = Experiment::new(SALT, ["a", "b", "c"])
                .algorithm(algorithm)
                .weights(WEIGHTS)
                .coverage(COVERAGE)
                .compile(None)?;
            case(rivals, &plan, &units, kind, counts, rounds, report)?;
        }
    }
    Ok(())
}

fn case(
    rivals: &mut Rivals,
    plan: &Plan,
    units: &Units,
    kind: &str,
    counts: Counts,
    rounds: usize,
    report: &mut Report,
) -> Result<()> {
    let algorithm = plan.experiment().algorithm;
    let version = match algorithm {
        Algorithm::Xxh3 => None,
        Algorithm::GrowthbookV1 => Some(1),
        Algorithm::GrowthbookV2 => Some(2),
    };
    let mut ours = [Series::default(), Series::default()];
    let mut theirs = [Series::default(), Series::default()];
    let expected = units.assign_all(plan)?;
    let checksum: u64 = expected.iter().map(|variant| u64::from(*variant)).sum();
    for _ in 0..rounds {
        let begin = Stopwatch::start();
        let sum = units.assign_each(plan)?;
        let one = begin.elapsed().processor.as_secs_f64();
        let begin = Stopwatch::start();
        let all = black_box(units.assign_all(black_box(plan))?);
        let array = begin.elapsed().processor.as_secs_f64();
        if sum != checksum || all != expected {
            return Err(format!("{} {kind}: two ways, two answers", algorithm.name()).into());
        }
        for (series, seconds) in ours.iter_mut().zip([one, array]) {
            series.push(seconds * 1e9 / float(expected.len()));
        }
        let Some(version) = version else { continue };
        let rivals_of = [("functions", counts.functions), ("sdk", counts.sdk)];
        for (series, (command, count)) in theirs.iter_mut().zip(rivals_of) {
            let given = json!({
                "ids": units.first(count), "salt": SALT, "version": version,
                "weights": WEIGHTS, "coverage": COVERAGE,
            });
            rivals.ask::<serde_json::Value>("units", &given)?;
            let found: Timed<Vec<i64>> = rivals.ask(command, &json!(null))?;
            let is_equal = |(ours, theirs): (&u8, &i64)| match *ours {
                NO_VARIANT => *theirs == -1,
                variant => *theirs == i64::from(variant),
            };
            if found.answer.len() != count || !expected.iter().zip(&found.answer).all(is_equal) {
                let name = algorithm.name();
                return Err(format!("{name} {kind}: the SDK's {command} assigns otherwise").into());
            }
            series.push(found.seconds * 1e9 / float(count));
        }
    }
    let [one, array] = ours;
    for (form, ours) in [("one", one), ("array", array)] {
        let name = format!("assign-{form}@{}, {kind}", algorithm.name());
        let mut push = |subject, series| {
            report.push(Figure::lower(
                &name,
                subject,
                "nanoseconds",
                "ns a unit",
                series,
            ));
        };
        push(OURS, ours);
        if version.is_some() {
            let [functions, sdk] = &theirs;
            push(FUNCTIONS, functions.clone());
            push(SDK, sdk.clone());
        }
    }
    Ok(())
}
