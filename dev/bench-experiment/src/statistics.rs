//! Statistics from sufficient numbers and from values, beside `SciPy` and statsmodels.

use std::hint::black_box;

use bench::Result;
use bench::clock::Stopwatch;
use bench::random::Random;
use bench::report::{Figure, Report};
use bench::stats::Series;
use serde_json::{Value, json};
use vectordb::experiment::{
    Comparison, Moments, PairMoments, bootstrap, compare_cuped, compare_means, compare_proportions,
};

use crate::rival::{Rivals, Timed};
use crate::{OURS, PYTHON, float};

/// Comparisons in a round.
const COMPARISONS: usize = 500;
/// Values in each sample that is given value by value.
const VALUES: usize = 100_000;
/// Values in each sample of the bootstrap, and samples drawn.
const DRAWN: usize = 2_000;
const RESAMPLES: usize = 2_000;
/// How far answers may be apart, relative to those above 1.
const SLACK: f64 = 1e-10;

/// Two of something: control and variant.
type Pair<T> = [T; 2];

/// Statistic and p-value.
type Answer = [f64; 2];

fn uniform(random: &mut Random) -> f64 {
    float(random.below(1 << 30)) / float(1 << 30)
}

/// A skewed sample, as of revenue, each value with one from before that explains a part of it.
fn pairs(random: &mut Random, count: usize, shift: f64) -> Vec<(f64, f64)> {
    let one = |_| {
        let before = -(1.0 - uniform(random)).ln();
        (before - (1.0 - uniform(random)).ln() + shift, before)
    };
    (0..count).map(one).collect()
}

fn answer(comparison: &Comparison) -> Answer {
    [comparison.statistic.unwrap_or(f64::NAN), comparison.p_value]
}

fn check(case: &str, ours: &[Answer], theirs: &[Answer]) -> Result<()> {
    let is_near = |(a, b): (&f64, &f64)| (a - b).abs() <= SLACK * b.abs().max(1.0);
    let (ours, theirs) = (ours.as_flattened(), theirs.as_flattened());
    match ours.iter().zip(theirs).find(|pair| !is_near(*pair)) {
        None if ours.len() == theirs.len() => Ok(()),
        found => Err(format!("{case}: answers differ: {found:?}").into()),
    }
}

/// Two that take turns.
struct Turns<'a> {
    rivals: &'a mut Rivals,
    rounds: usize,
    report: &'a mut Report,
}

impl Turns<'_> {
    /// One case: in each round ours, then theirs, and the answers of the two compared.
    fn take<G, T>(
        &mut self,
        case: &str,
        (command, given): (&str, &Value),
        inputs: &[G],
        ours: impl Fn(&G) -> Result<T>,
        same: impl Fn(&[T], Value) -> Result<()>,
    ) -> Result<()> {
        let mut series = [Series::default(), Series::default()];
        for _ in 0..self.rounds {
            let begin = Stopwatch::start();
            let inputs = black_box(inputs).iter();
            let found: Vec<T> = inputs.map(&ours).collect::<Result<_>>()?;
            let seconds = begin.elapsed().processor.as_secs_f64();
            let theirs: Timed<Value> = self.rivals.ask(command, given)?;
            same(&found, theirs.answer)?;
            for (series, seconds) in series.iter_mut().zip([seconds, theirs.seconds]) {
                series.push(seconds * 1e6 / float(found.len()));
            }
        }
        for (subject, series) in [OURS, PYTHON].into_iter().zip(series) {
            let unit = "µs a comparison";
            let figure = Figure::lower(case, subject, "microseconds", unit, series);
            self.report.push(figure);
        }
        Ok(())
    }

    /// Tests from numbers that are sufficient for them.
    fn sufficient(&mut self, random: &mut Random) -> Result<()> {
        let samples: Vec<Pair<PairMoments>> = (0..COMPARISONS)
            .map(|_| {
                [0.0, 0.02].map(|shift| {
                    let count = 200 + random.below(2_000);
                    pairs(random, count, shift).into_iter().collect()
                })
            })
            .collect();
        let counts: Vec<Pair<[u64; 2]>> = (0..COMPARISONS)
            .map(|_| {
                [(); 2].map(|()| {
                    let units = 1_000 + random.below(100_000);
                    let successes = 1 + units / 10 + random.below(units / 50);
                    [units as u64, successes as u64]
                })
            })
            .collect();
        let same = |case: &'static str| {
            move |found: &[Answer], theirs| {
                let theirs: Vec<Answer> = serde_json::from_value(theirs)?;
                check(case, found, &theirs)
            }
        };
        let given: Vec<Value> = samples
            .iter()
            .map(|[a, b]| json!([means(a), means(b)]))
            .collect();
        self.take(
            "welch",
            ("welch", &json!(given)),
            &samples,
            |[a, b]| Ok(answer(&compare_means(&a.first, &b.first, 0.95)?)),
            same("welch"),
        )?;
        self.take(
            "proportions",
            ("proportions", &json!(counts)),
            &counts,
            |[a, b]| Ok(answer(&compare_proportions(*a, *b, 0.95)?)),
            same("proportions"),
        )?;
        let given: Vec<Value> = samples
            .iter()
            .map(|[a, b]| json!([all(a), all(b)]))
            .collect();
        self.take(
            "cuped",
            ("cuped", &json!(given)),
            &samples,
            |[a, b]| Ok(answer(&compare_cuped(a, b, 0.95)?)),
            same("cuped"),
        )
    }

    /// Tests that pass over all values.
    fn values(&mut self, random: &mut Random) -> Result<()> {
        let mut values = |count, shift| -> Vec<f64> {
            let pairs = pairs(random, count, shift);
            pairs.into_iter().map(|(value, _)| value).collect()
        };
        let long = [[values(VALUES, 0.0), values(VALUES, 0.01)]];
        let short = [[values(DRAWN, 0.0), values(DRAWN, 0.1)]];
        self.send(&long)?;
        self.take(
            "welch of 200000 values",
            ("values", &json!(null)),
            &long,
            |[a, b]| {
                let moments = |values: &[f64]| values.iter().copied().collect::<Moments>();
                Ok(answer(&compare_means(&moments(a), &moments(b), 0.95)?))
            },
            |found, theirs| check("values", found, &[serde_json::from_value(theirs)?]),
        )?;
        self.send(&short)?;
        self.take(
            "bootstrap",
            ("bootstrap", &json!(RESAMPLES)),
            &short,
            |[a, b]| Ok(bootstrap(a, b, 0.95, RESAMPLES, 7)?),
            |found, theirs| {
                let theirs: [f64; 2] = serde_json::from_value(theirs)?;
                // Samples drawn at random are not the same ones: the ends scatter by some per cent of the width.
                let width = theirs[1] - theirs[0];
                let ends = found.as_flattened().iter().zip(&theirs);
                let apart = ends.map(|(a, b)| (a - b).abs() / width);
                if apart.fold(0.0, f64::max) < 0.1 {
                    Ok(())
                } else {
                    Err(format!("bootstrap: {found:?} beside {theirs:?}").into())
                }
            },
        )
    }

    fn send(&mut self, [[control, variant]]: &[Pair<Vec<f64>>; 1]) -> Result<()> {
        let given = json!({ "control": control, "variant": variant });
        self.rivals.ask::<Value>("samples", &given)?;
        Ok(())
    }
}

fn means(sample: &PairMoments) -> Value {
    let Moments { n, mean, squares } = sample.first;
    json!([n, mean, squares])
}

fn all(sample: &PairMoments) -> Value {
    let (a, b) = (&sample.first, &sample.second);
    json!([a.n, a.mean, b.mean, a.squares, b.squares, sample.products])
}

/// Measures every test.
pub(crate) fn run(rivals: &mut Rivals, rounds: usize, report: &mut Report) -> Result<()> {
    let mut random = Random::new(11);
    let mut turns = Turns {
        rivals,
        rounds,
        report,
    };
    turns.sufficient(&mut random)?;
    turns.values(&mut random)
}
