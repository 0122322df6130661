//! Measures assignment and statistics of experiments beside `GrowthBook`'s SDK, `SciPy` and statsmodels, and checks that
//! all give the same answers.

mod assign;
mod rival;
mod statistics;

use std::io::{self, Write as _};
use std::process::ExitCode;

use bench::Result;
use bench::report::{Report, Target};
use serde_json::{Map, Value, json};

use crate::assign::Counts;
use crate::rival::Rivals;

const HELP: &str = "\
Measures assignment and statistics of experiments beside GrowthBook's Python SDK, SciPy and statsmodels; answers are compared.

Usage: tandemdb-bench-experiment experiment [OPTIONS]

Assignment: one unit in a call and all in one, by each algorithm, with ids that are numbers, ASCII and other text.
Statistics: Welch's t, z of proportions and CUPED from sufficient numbers, Welch's t from values, and a bootstrap.

  --units N    units in a round (default 1,000,000; the SDK's functions get a twentieth, the SDK a hundredth)
  --rounds N   turns of each subject in each case (default 5)
  --json       JSON lines on standard output, the table on standard error
  --markdown   tables on standard output
";

const OURS: &str = "tandemdb";
const SDK: &str = "growthbook";
const FUNCTIONS: &str = "growthbook, functions only";
const PYTHON: &str = "scipy, statsmodels";

const fn at_most(case: &'static str, metric: &'static str, bound: f64) -> Target {
    Target {
        case,
        metric,
        rival: None,
        bound,
    }
}

/// One unit in less than 100 ns; ten million a second in arrays.
const TARGETS: [Target; 2] = [
    at_most("assign-one", "nanoseconds", 100.0),
    at_most("assign-array", "nanoseconds", 100.0),
];

#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn float(count: usize) -> f64 {
    count as f64
}

/// What the command line asks for.
struct Arguments {
    units: usize,
    rounds: usize,
    json: bool,
    markdown: bool,
}

/// None for help.
fn parse(mut given: impl Iterator<Item = String>) -> Result<Option<Arguments>> {
    let mut arguments = Arguments {
        units: 1_000_000,
        rounds: 5,
        json: false,
        markdown: false,
    };
    match given.next().as_deref() {
        Some("experiment") => {}
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
            "--units" => arguments.units = number(1_000)?,
            "--rounds" => arguments.rounds = number(1)?,
            "--json" => arguments.json = true,
            "--markdown" => arguments.markdown = true,
            "--help" => return Ok(None),
            other => return Err(format!("unknown option `{other}`\n\n{HELP}").into()),
        }
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
    let mut rivals = Rivals::start()?;
    let versions: Map<String, Value> = rivals.ask("versions", &json!(null))?;
    let mut report = Report::new("experiment", OURS, &TARGETS);
    let counts = Counts {
        ours: arguments.units,
        functions: arguments.units / 20,
        sdk: arguments.units / 100,
    };
    assign::run(&mut rivals, counts, arguments.rounds, &mut report)?;
    statistics::run(&mut rivals, arguments.rounds, &mut report)?;
    report.publish(
        arguments.markdown,
        arguments.json,
        &format!("beside {}", Value::Object(versions)),
    )?;
    Ok(())
}
