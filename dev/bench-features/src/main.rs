//! Measures retrieval of features and joins as of a time beside Feast, polars, `NumPy` and a plain copy, and checks that all
//! give the same numbers.

mod data;
mod join;
mod serve;

use std::io::{self, Write as _};
use std::process::ExitCode;

use bench::Result;
use bench::clock::per_call;
use bench::report::{Figure, Report, Target};
use bench::stats::Series;

const HELP: &str = "\
Measures retrieval of features and joins as of a time beside Feast (online stores in SQLite and, if
`redis-server` is installed, Redis), polars, NumPy and a plain copy; numbers are compared.

Usage: tandemdb-bench-features features [OPTIONS]

  --entities N      entities with 100 features each (default 10,000; 1,000,000 take 2 GB)
  --feast N         entities that Feast holds (default 1,000, which take a minute or two to load; 0 leaves it out)
  --events N        events that labels are joined to (default 1,000,000); a tenth as many labels
  --rounds N        turns of each subject in each case (default 7)
  --json            JSON lines on standard output, the table on standard error
  --markdown        tables on standard output
";

const OURS: &str = "tandemdb";
const FEAST: &str = "feast";
const FEAST_REDIS: &str = "feast, redis";

/// How long a subject is measured in one turn.
const TURN_SECONDS: f64 = 0.2;

const fn beside(case: &'static str, rival: &'static str, bound: f64) -> Target {
    Target {
        case,
        metric: "nanoseconds",
        rival: Some(rival),
        bound,
    }
}

/// What our time may be of the rival's.
const TARGETS: [Target; 10] = [
    beside("get-1x10", FEAST, 1.0 / 300.0),
    beside("get-1000x100", FEAST, 1.0 / 300.0),
    beside("get-1x10", FEAST_REDIS, 1.0 / 300.0),
    beside("get-1000x100", FEAST_REDIS, 1.0 / 300.0),
    beside("get-1000x100", "limit-copy", 2.0),
    beside("scaled-1000x100", "limit-copy-and-divide", 1.15),
    beside("materialised-1000x100", "tandemdb, plain", 1.05),
    Target {
        case: "get-1x10",
        metric: "p99",
        rival: None,
        bound: 5_000.0,
    },
    beside("join", "polars", 0.5),
    beside("join", "numpy", 1.0),
];

/// What the command line asks for.
pub(crate) struct Arguments {
    entities: usize,
    feast: usize,
    events: usize,
    rounds: usize,
    json: bool,
    markdown: bool,
}

/// None for help.
fn parse(mut given: impl Iterator<Item = String>) -> Result<Option<Arguments>> {
    let mut arguments = Arguments {
        entities: 10_000,
        feast: 1_000,
        events: 1_000_000,
        rounds: 7,
        json: false,
        markdown: false,
    };
    match given.next().as_deref() {
        Some("features") => {}
        None | Some("--help") => return Ok(None),
        Some(other) => return Err(format!("there is no benchmark `{other}`\n\n{HELP}").into()),
    }
    while let Some(option) = given.next() {
        let mut number = |least| {
            let text = given.next().unwrap_or_default();
            match text.replace(['_', ','], "").parse() {
                Ok(number) if number >= least => Ok(number),
                _ => Err(format!(
                    "`{option}` takes whole numbers from {least} on, not `{text}`"
                )),
            }
        };
        match option.as_str() {
            "--entities" => arguments.entities = number(1_000)?,
            "--feast" => arguments.feast = number(0)?,
            "--events" => arguments.events = number(1_000)?,
            "--rounds" => arguments.rounds = number(1)?,
            "--json" => arguments.json = true,
            "--markdown" => arguments.markdown = true,
            "--help" => return Ok(None),
            other => return Err(format!("unknown option `{other}`\n\n{HELP}").into()),
        }
    }
    if (1..1_000).contains(&arguments.feast) || arguments.feast > arguments.entities {
        return Err(format!(
            "`--feast` takes 0, or from 1,000 to {} entities",
            arguments.entities
        )
        .into());
    }
    Ok(Some(arguments))
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when the message cannot be written either.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let Some(arguments) = parse(std::env::args().skip(1))? else {
        io::stdout().write_all(HELP.as_bytes())?;
        return Ok(());
    };
    let mut report = Report::new("features", OURS, &TARGETS);
    serve::run(&arguments, &mut report)?;
    join::run(&arguments, &mut report)?;
    report.publish(arguments.markdown, arguments.json, "")?;
    Ok(())
}

/// Nanoseconds of one call, from as many calls as fill a turn.
pub(crate) fn turn(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    per_call(TURN_SECONDS, |times| (0..times).try_for_each(|_| work()))
}

/// Adds the times of subjects that took turns.
pub(crate) fn push(report: &mut Report, case: &str, subjects: &[&str], series: Vec<Series>) {
    for (subject, series) in subjects.iter().zip(series) {
        report.push(Figure::lower(case, *subject, "nanoseconds", "ns", series));
    }
}

/// Whether two answers are the same to the bit, where a number that is missing is missing in both.
pub(crate) fn check(case: &str, subject: &str, ours: &[f64], theirs: &[f64]) -> Result<()> {
    let equal = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    if ours.len() == theirs.len() && ours.iter().zip(theirs).all(equal) {
        return Ok(());
    }
    let at = ours.iter().zip(theirs).position(|pair| !equal(pair));
    Err(format!("{case}: {subject} has other numbers, first at {at:?}").into())
}
