//! Measures TandemDB's transformations beside scikit-learn, NumPy and a plain copy, and checks that answers are equal.

mod cases;
mod data;
mod ours;
mod rival;

use std::io::{self, Write as _};
use std::process::ExitCode;

use bench::Result;
use bench::clock::per_call;
use bench::report::{Figure, Report, Target};
use bench::stats::Series;

use crate::cases::{CASES, Case, Work};
use crate::data::Data;
use crate::ours::Ours;
use crate::rival::Rival;

const HELP: &str = "\
Measures transformations beside scikit-learn, NumPy and a plain copy, on one thread, with the answers checked.

Usage: tandemdb-bench-transform transform [OPTIONS]

  --rounds N   turns of each subject in each case (default 7)
  --only CASE  only this case
  --json       JSON lines on standard output, the table on standard error
  --markdown   the table of docs/benchmarks.md on standard output

scikit-learn makes an array for each answer, as it always does; NumPy and TandemDB write where they are told to. The limit
copies as many numbers as come out.
";

const OURS: &str = "tandemdb";
const COPY: &str = "limit-copy";

const fn target(case: &'static str, rival: &'static str, bound: f64) -> Target {
    Target {
        case,
        metric: "nanoseconds",
        rival: Some(rival),
        bound,
    }
}

const TARGETS: [Target; 8] = [
    target("standard-100000x100", COPY, 1.5),
    target("standard-100000x100", rival::SKLEARN, 0.5),
    target("standard-1x100", rival::SKLEARN, 0.1),
    target("min-max-100000x100", COPY, 1.5),
    target("min-max-100000x100", rival::SKLEARN, 0.5),
    target("impute-scale-l2-100000x100", rival::SKLEARN, 0.2),
    target("one-hot-1000x100", rival::SKLEARN, 0.1),
    target("one-hot-1x100", rival::SKLEARN, 0.001),
];

/// How long a subject works in one turn, at least.
const TURN_SECONDS: f64 = 0.05;

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
    let (mut rounds, mut json, mut markdown) = (7_usize, false, false);
    let mut only = None;
    let mut arguments = std::env::args().skip(2);
    while let Some(option) = arguments.next() {
        match option.as_str() {
            "--json" => json = true,
            "--markdown" => markdown = true,
            "--only" => {
                let name = arguments.next().unwrap_or_default();
                if !CASES.iter().any(|case| case.name == name) {
                    let names = CASES.map(|case| case.name).join(", ");
                    return Err(format!("there is no case `{name}`; there are {names}").into());
                }
                only = Some(name);
            }
            "--rounds" => {
                let value = arguments.next().unwrap_or_default();
                rounds = (value.parse().ok())
                    .filter(|rounds| *rounds > 0)
                    .ok_or("`--rounds` takes whole numbers from 1 on")?;
            }
            "--help" => {
                io::stdout().write_all(HELP.as_bytes())?;
                return Ok(());
            }
            other => return Err(format!("unknown option `{other}`\n\n{HELP}").into()),
        }
    }
    let folder = tempfile::tempdir()?;
    let data = Data::make(folder.path())?;
    let mut ours = Ours::fit(&data)?;
    let mut rival = Rival::start(folder.path())?;
    let mut report = Report::new("transform", OURS, &TARGETS);
    let chosen = |case: &&Case| only.as_ref().is_none_or(|name| case.name == name);
    for case in CASES.iter().filter(chosen) {
        writeln!(io::stderr(), "{}", case.name)?;
        measure(case, rounds, &mut ours, &mut rival, &mut report)?;
    }
    report.publish(markdown, json, "")?;
    Ok(())
}

fn measure(
    case: &Case,
    rounds: usize,
    ours: &mut Ours<'_>,
    rival: &mut Rival,
    report: &mut Report,
) -> Result<()> {
    let mut rivals = vec![rival::SKLEARN];
    // NumPy has no encoder of categories.
    if case.work != Work::OneHot {
        rivals.push(rival::NUMPY);
    }
    ours.run(case, 1)?;
    let made = ours.out.get(..case.outputs()).unwrap_or_default();
    for subject in &rivals {
        let expected = rival.answer(case, subject)?;
        check(case, subject, made, &expected)?;
    }
    let mut series = vec![Series::default(); rivals.len() + 2];
    for _ in 0..rounds {
        let mut taken = vec![
            per_call(TURN_SECONDS, |times| ours.run(case, times))?,
            per_call(TURN_SECONDS, |times| ours.copy(case, times))?,
        ];
        for subject in &rivals {
            taken.push(rival.turn(case, subject, TURN_SECONDS)?);
        }
        for (series, nanoseconds) in series.iter_mut().zip(taken) {
            series.push(nanoseconds);
        }
    }
    for (subject, series) in [OURS, COPY].into_iter().chain(rivals).zip(series) {
        report.push(Figure::lower(
            case.name,
            subject,
            "nanoseconds",
            "ns",
            series,
        ));
    }
    Ok(())
}

fn check(case: &Case, subject: &str, made: &[f64], expected: &[f64]) -> Result<()> {
    let equal = |(a, b): (&f64, &f64)| {
        a.to_bits() == b.to_bits() || (a - b).abs() <= case.error_max * b.abs().max(1.0)
    };
    if made.len() == expected.len() && made.iter().zip(expected).all(equal) {
        return Ok(());
    }
    let at = made.iter().zip(expected).position(|pair| !equal(pair));
    Err(format!(
        "{}: {subject} has other numbers, first at {at:?}",
        case.name
    )
    .into())
}
