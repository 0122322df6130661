//! What a day of syncing costs a phone, by power profile.

mod day;
mod script;

use std::io::{self, Write as _};
use std::process::ExitCode;

use bench::Result;
use bench::clock::thread_time;
use bench::report::{Better, Figure, Report, Target};
use bench::stats::Series;

use crate::day::{Battery, Day, Outcome};
use crate::script::Script;

const HELP: &str = "\
What a day of syncing costs a phone, by power profile: one script of a day, in virtual time over a simulated network, with the
real sync; rows and digests are compared at the end of each.

Usage: tandemdb-bench-power power [OPTIONS]

  --rounds N   how often each day is lived, for the processor times (default 5)
  --seed N     another day (default 2026)
  --json       JSON lines on standard output, the table on standard error
  --markdown   the table of docs/power.md on standard output
";

/// A day with a battery that is full enough, that begins at 20 %, and the worst hours of one.
const SUBJECTS: [(&str, Battery); 3] = [
    (
        STANDARD,
        Battery {
            morning: 1.0,
            night: 0.3,
        },
    ),
    (
        SAVING,
        Battery {
            morning: 0.2,
            night: 0.02,
        },
    ),
    (
        "saving: critical all day",
        Battery {
            morning: 0.1,
            night: 0.01,
        },
    ),
];
const STANDARD: &str = "standard: normal";
const SAVING: &str = "saving: low, then critical";

const fn against(metric: &'static str, bound: f64) -> Target {
    Target {
        case: "day",
        metric,
        rival: Some(STANDARD),
        bound,
    }
}

const fn alone(metric: &'static str, bound: f64) -> Target {
    Target {
        case: "day",
        metric,
        rival: None,
        bound,
    }
}

const TARGETS: [Target; 4] = [
    against("wake_ups", 0.25),
    against("cpu", 0.5),
    alone("deadlines_missed", 0.0),
    alone("urgent_longest", 1_000.0),
];

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to do when the message cannot be written either.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Arguments {
    rounds: u64,
    seed: u64,
    json: bool,
    markdown: bool,
}

fn arguments() -> Result<Option<Arguments>> {
    let mut parsed = Arguments {
        rounds: 5,
        seed: 2026,
        json: false,
        markdown: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        let mut number = || -> Result<u64> {
            let value = arguments.next().unwrap_or_default();
            let number = value.replace('_', "").parse();
            number.map_err(|_| format!("`{option}` takes a number, not `{value}`").into())
        };
        match option.as_str() {
            "power" => {}
            "--rounds" => parsed.rounds = number()?.max(1),
            "--seed" => parsed.seed = number()?,
            "--json" => parsed.json = true,
            "--markdown" => parsed.markdown = true,
            "--help" => return Ok(None),
            other => return Err(format!("unknown option `{other}`\n\n{HELP}").into()),
        }
    }
    Ok(Some(parsed))
}

fn run() -> Result<bool> {
    let Some(arguments) = arguments()? else {
        io::stdout().write_all(HELP.as_bytes())?;
        return Ok(true);
    };
    let script = Script::new(arguments.seed);
    let mut lives: Vec<Vec<Outcome>> = vec![Vec::new(); SUBJECTS.len()];
    for round in 0..arguments.rounds {
        // Each round begins with another one, so that a warm processor helps all alike.
        for at in 0..SUBJECTS.len() {
            let at = (at + usize::try_from(round)?) % SUBJECTS.len();
            let (Some((name, battery)), Some(lives)) = (SUBJECTS.get(at), lives.get_mut(at)) else {
                continue;
            };
            let outcome = Day::live(&script, *battery, arguments.seed, &thread_time)
                .map_err(|error| format!("{name}: {error}"))?;
            if let (0, Some(missed)) = (round, &outcome.missed_first) {
                writeln!(io::stderr(), "{name}: missed {missed}")?;
            }
            lives.push(outcome);
        }
    }
    let mut digests = lives.iter().flatten().map(|outcome| &outcome.digest);
    let first = digests.next();
    if digests.any(|digest| Some(digest) != first) {
        return Err("the days end with other rows at the server".into());
    }
    let report = report(&lives);
    let missed = report.publish(
        arguments.markdown,
        arguments.json,
        "all rows there, digests equal",
    )?;
    Ok(missed.is_empty())
}

/// A metric: its name, its unit, and how it is read off a day.
type Metric = (&'static str, &'static str, fn(&Outcome) -> f64);

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
const METRICS: [Metric; 18] = [
    ("wake_ups", "of the radio", |o| o.totals.wake_ups as f64),
    ("cpu", "ms", |o| o.totals.cpu_seconds * 1e3),
    ("deadlines_missed", "writes", |o| f64::from(o.missed)),
    ("urgent_longest", "ms", |o| {
        o.urgent_longest.as_secs_f64() * 1e3
    }),
    ("urgent_arrived", "ms", |o| {
        o.urgent_arrived.as_secs_f64() * 1e3
    }),
    ("cpu_of_deciding", "ms", |o| o.deciding.as_secs_f64() * 1e3),
    ("cpu_of_the_server", "ms", |o| {
        o.server_cpu.as_secs_f64() * 1e3
    }),
    ("syncs", "that succeeded", |o| o.totals.syncs as f64),
    ("failed", "attempts", |o| o.totals.failed as f64),
    ("bytes_up", "bytes", |o| o.totals.bytes_up as f64),
    ("bytes_down", "bytes", |o| o.totals.bytes_down as f64),
    ("connected", "s", |o| o.totals.connected_seconds),
    ("radio", "J", |o| o.totals.radio_mj / 1e3),
    ("processor", "J", |o| o.totals.processor_mj / 1e3),
    ("writes", "in all", |o| f64::from(o.writes)),
    ("urgent", "writes", |o| f64::from(o.urgent)),
    ("deadlines_without_network", "writes", |o| {
        f64::from(o.without_network)
    }),
    ("longest_wait", "s", |o| o.longest.as_secs_f64()),
];

fn report(lives: &[Vec<Outcome>]) -> Report {
    let mut report = Report::new("power", SAVING, &TARGETS);
    for (metric, unit, read) in METRICS {
        for ((subject, _), lives) in SUBJECTS.iter().zip(lives) {
            // All but the processor's time is the same in each round.
            let times = metric.starts_with("cpu") || metric == "processor";
            let lives = lives.get(..if times { lives.len() } else { 1 });
            let series: Series = lives.unwrap_or_default().iter().map(read).collect();
            report.push(Figure {
                case: "day".to_owned(),
                subject: (*subject).to_owned(),
                metric,
                unit,
                better: Better::Lower,
                detail: false,
                series,
            });
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same checks as in the benchmark, but for the processor's time: whatever the day, nothing is lost, no deadline is
    /// missed, what is urgent leaves within a second, and the radio wakes a quarter as often.
    #[test]
    fn saving_wakes_the_radio_a_quarter_as_often_and_loses_nothing() {
        for seed in [1, 2, 3] {
            let script = Script::new(seed);
            let lives: Vec<Outcome> = SUBJECTS
                .iter()
                .map(|(_, battery)| {
                    Day::live(&script, *battery, seed, &|| std::time::Duration::ZERO).unwrap()
                })
                .collect();
            let [standard, others @ ..] = lives.as_slice() else {
                panic!("there are several");
            };
            for saving in others {
                let (most, found) = (standard.totals.wake_ups, saving.totals.wake_ups);
                assert!(found * 4 <= most, "seed {seed}: {found} of {most}");
                assert_eq!(saving.digest, standard.digest);
            }
            for outcome in &lives {
                assert_eq!(outcome.missed, 0, "seed {seed}: {outcome:?}");
                assert!(
                    outcome.urgent_longest.as_secs() < 1,
                    "seed {seed}: {outcome:?}"
                );
                assert!(outcome.urgent > 0 && outcome.writes > 400);
            }
        }
    }
}
