//! Runs each scenario under schedulers that choose who goes on at every lock: at random, and with three changes of
//! priority (PCT, Burckhardt et al., ASPLOS 2010), which finds any mistake that needs three orderings with a chance that
//! is known.
//!
//! `schedules [--runs N] [--scenario NAME] [--replay SCHEDULE]`; the last line is `SOAK` and what was run.

mod scenarios;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use scenarios::{SCENARIOS, Scenario};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

/// Orderings that a mistake may need to be found by the second scheduler.
const DEPTH: usize = 3;
/// Bytes of a task's stack: searches and builds run on it.
const STACK_BYTES: usize = 1 << 20;

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config
}

fn run(scenario: Scenario, scheduler: &str, runs: usize) -> bool {
    let runner = || match scheduler {
        "random" => Runner::new(RandomScheduler::new(runs), config()).run(scenario),
        _ => Runner::new(PctScheduler::new(DEPTH, runs), config()).run(scenario),
    };
    catch_unwind(AssertUnwindSafe(runner)).is_ok()
}

fn main() -> ExitCode {
    let (mut runs, mut only, mut replay) = (100, None, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().expect("an option is followed by its value");
        match arg.as_str() {
            "--runs" => runs = value.parse().expect("--runs is followed by a number"),
            "--scenario" => only = Some(value),
            "--replay" => replay = Some(value),
            other => panic!("there is no option {other}"),
        }
    }
    let chosen = SCENARIOS
        .iter()
        .filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name));
    if let Some(schedule) = replay {
        for (_, scenario) in chosen {
            shuttle::replay(*scenario, &schedule);
        }
        return ExitCode::SUCCESS;
    }
    let begin = Instant::now();
    let (mut count, mut failures) = (0, Vec::new());
    for (name, scenario) in chosen {
        count += 1;
        for scheduler in ["random", "pct"] {
            let begin = Instant::now();
            let verdict = if run(*scenario, scheduler, runs) {
                "ok"
            } else {
                failures.push(format!("{name} {scheduler}"));
                "FAILED"
            };
            println!(
                "{name:28} {scheduler:8} {runs} schedules, {:.1} s  {verdict}",
                begin.elapsed().as_secs_f64()
            );
        }
    }
    assert!(count > 0, "there is no scenario of this name");
    println!(
        "SOAK {}",
        serde_json::json!({
            "scenarios": count,
            "schedules": count * 2 * runs,
            "core_seconds": begin.elapsed().as_secs_f64().round(),
            "failures": failures,
        })
    );
    ExitCode::from(u8::from(!failures.is_empty()))
}
