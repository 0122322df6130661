//! `cargo xtask soak`: what the gate does for seconds, for as long as it takes.

mod sync;

use std::time::Instant;

use crate::fuzz::{self, Length};
use crate::run::{Context, Result, seconds, without_colours};
use crate::{schedules, tools};
use sync::Seeds;

const HELP: &str = "\
Runs at full length, for a release or over night.

Usage: cargo xtask soak NAME [--seconds N | --runs N | --seeds N [--from S] | --seed S]

Names:
  fuzz          every fuzz target, 10,000,000 inputs each unless an option says otherwise
  fuzz:TARGET   one fuzz target
  properties    the property tests, 100,000 cases for each property (--runs: another number)
  experiments   error rates of statistics in 10,000 simulated experiments (--runs: another number), and shares of
                variants, layers and ramps among a thousand times as many units; prints what was found
  crash         a durable database at every content that a power cut may leave: 50,000 of them (--runs: another number);
                noted in qa/ledger.json
  kill          processes that write to a durable database, and replicas that sync, killed 200 times each (--runs: another
                number), at random and at calls of the operating system; noted likewise
  hostile       a server that gets each hostile payload 1,000 times (--runs: another number), and 4,000 live clients that
                never read, which takes 16,384 file descriptors
  large         a log of 4.5 GiB (--runs: another number of bytes), which takes as much room for temporary files; noted likewise
  upkeep        a server whose rows, vectors, replicas and backups come and go for 30 minutes (--seconds): memory,
                descriptors, and what opening takes in the end; noted likewise
  churn         vector indexes of 100,000 rows, half of which goes and comes again ten times: recall, reachability and
                memory (--runs: another number of rows); prints what was found
  schedules     vector collections under schedulers that choose who goes on: 20,000 schedules of each scenario under
                each scheduler (--runs: another number); noted in qa/ledger.json
  tsan          threads that search and write vector collections, under ThreadSanitizer
  sync-size     a replica away for 100,000 changes and a commit of 1,000,000 rows (--runs: another number of
                changes, and ten times as many rows) over a connection that fails; prints bytes, exchanges,
                time and peak memory
  sync          the simulation of sync: 10,000 seeds, on all cores; the run is noted in qa/ledger.json
  versions      the simulation of deploys while replicas of several versions sync: 5,000 seeds, noted likewise

Options:
  --seeds N     seeds of the simulation, from --from S on (0 unless it says otherwise)
  --seed S      one seed of the simulation, with its steps and its trace
  --seconds N   time for each fuzz target, or of upkeep
  --runs N      inputs for each fuzz target, cases for each property, changes of sync-size, or experiments

Inputs that were found stay in target/fuzz/corpus, inputs that failed in target/fuzz/failing.";

const FUZZ_RUNS: u64 = 10_000_000;
const PROPERTY_CASES: u64 = 100_000;
const SCHEDULES: u64 = 20_000;
const SYNC_CHANGES: u64 = 100_000;
const CHURN_ROWS: u64 = 100_000;
const CRASH_IMAGES: u64 = 50_000;
const KILLS: u64 = 200;
const HOSTILE_ROUNDS: u64 = 1_000;
const DEAF_CLIENTS: u64 = 4_000;
const LOG_BYTES: u64 = 9 << 29;
const UPKEEP_SECONDS: u64 = 1_800;
const EXPERIMENTS: u64 = 10_000;
/// Begins the line on which a test tells of itself.
const MARK: &str = "SOAK ";
const SEEDS: u64 = 10_000;
const VERSIONS_SEEDS: u64 = 5_000;

pub(crate) fn soak(args: &[String]) -> Result<bool> {
    let mut name = None;
    let mut length = None;
    let (mut from, mut count, mut one) = (0, None, None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(true);
            }
            "--seconds" => length = Some(Length::Seconds(number(arg, args.next())?)),
            "--seeds" => count = Some(number(arg, args.next())?),
            "--from" => from = number(arg, args.next())?,
            "--seed" => one = Some(number(arg, args.next())?),
            "--runs" => length = Some(Length::Executions(number(arg, args.next())?)),
            other if name.is_none() && !other.starts_with('-') => name = Some(other),
            other => return Err(format!("there is no option `{other}`\n\n{HELP}")),
        }
    }
    let context = Context::new()?;
    let name = name.ok_or_else(|| format!("which soak?\n\n{HELP}"))?;
    match name.split_once(':') {
        None if name == "fuzz" => fuzzing(
            &context,
            None,
            length.unwrap_or(Length::Executions(FUZZ_RUNS)),
        ),
        Some(("fuzz", target)) => fuzzing(
            &context,
            Some(target),
            length.unwrap_or(Length::Executions(FUZZ_RUNS)),
        ),
        None if name == "properties" => properties(&context, runs(name, length, PROPERTY_CASES)?),
        None if name == "tsan" => crate::tsan::run(&context),
        None if name == "schedules" => all_schedules(&context, runs(name, length, SCHEDULES)?),
        None if name == "experiments" => experiments(&context, runs(name, length, EXPERIMENTS)?),
        None if name == "crash" => {
            let runs = runs(name, length, CRASH_IMAGES)?;
            let long = ("TANDEMDB_CRASH_IMAGES", runs);
            noted(&context, name, &["tandemdb-durable"], "t23", long)
        }
        None if name == "kill" => {
            let runs = runs(name, length, KILLS)?;
            let packages = ["tandemdb-durable", "tandemdb-cli"];
            noted(&context, name, &packages, "r6", ("TANDEMDB_KILLS", runs))
        }
        None if name == "large" => {
            let long = ("TANDEMDB_LOG_BYTES", runs(name, length, LOG_BYTES)?);
            noted(&context, name, &["tandemdb-durable"], "t40_a_log", long)
        }
        None if name == "upkeep" => {
            let seconds = match length {
                None => UPKEEP_SECONDS,
                Some(Length::Seconds(seconds)) => seconds.into(),
                Some(Length::Executions(_) | Length::Gate) => {
                    return Err(format!("{name} takes a time: --seconds N"));
                }
            };
            let long = ("TANDEMDB_CHURN_SECONDS", seconds);
            noted(&context, name, &["tandemdb-cli"], "r22", long)
        }
        None if name == "churn" => churn(&context, runs(name, length, CHURN_ROWS)?),
        None if name == "hostile" => hostile(&context, runs(name, length, HOSTILE_ROUNDS)?),
        None if name == "sync-size" => sync_size(&context, runs(name, length, SYNC_CHANGES)?),
        None if name == "sync" || name == "versions" => {
            let (soak, usual) = match name {
                "sync" => (sync::SYNC, SEEDS),
                _ => (sync::VERSIONS, VERSIONS_SEEDS),
            };
            let range = Seeds::Range {
                from,
                count: count.unwrap_or(usual),
            };
            sync::run(&context, &soak, one.map_or(range, Seeds::One))
        }
        _ => Err(format!("there is no soak `{name}`\n\n{HELP}")),
    }
}

/// How long a soak is that takes a number.
fn runs(name: &str, length: Option<Length>, usual: u64) -> Result<u64> {
    match length {
        None => Ok(usual),
        Some(Length::Executions(runs)) => Ok(runs),
        Some(Length::Seconds(_) | Length::Gate) => Err(format!("{name} takes a number: --runs N")),
    }
}

fn number<T: std::str::FromStr>(option: &str, value: Option<&String>) -> Result<T> {
    let value = value.ok_or_else(|| format!("{option} is followed by a number"))?;
    value
        .replace('_', "")
        .parse()
        .map_err(|_| format!("{option} is followed by a number, not `{value}`"))
}

fn fuzzing(context: &Context, only: Option<&str>, length: Length) -> Result<bool> {
    let names = fuzz::names(context)?;
    if let Some(only) = only
        && !names.iter().any(|name| name == only)
    {
        return Err(format!(
            "there is no fuzz target `{only}`; the targets are {}",
            names.join(", ")
        ));
    }
    let begin = Instant::now();
    let mut targets = fuzz::build(context)?;
    targets.retain(|target| only.is_none_or(|only| only == target.name));
    let report = fuzz::run_all(context, &targets, length)?;
    if let Some(why) = &report.failure {
        println!("{why}");
    }
    println!("{} in {}", report.note, seconds(begin.elapsed()));
    println!(
        "{} passed, {} failed",
        report.counts.passed, report.counts.failed
    );
    Ok(report.failure.is_none())
}

fn properties(context: &Context, cases: u64) -> Result<bool> {
    let mut command = tools::nextest(context)?;
    command.args([
        "run",
        "--workspace",
        "--all-features",
        "--no-fail-fast",
        "--cargo-profile",
        "release",
    ]);
    command.env("PROPTEST_CASES", cases.to_string());
    command.env("TANDEM_CASES", cases.to_string());
    let status = command
        .status()
        .map_err(|e| format!("cargo-nextest does not start: {e}"))?;
    Ok(status.success())
}

fn all_schedules(context: &Context, runs: u64) -> Result<bool> {
    let (text, summary) = schedules::run(context, runs)?;
    println!("{text}");
    let failures = summary
        .get("failures")
        .and_then(serde_json::Value::as_array);
    let is_good = failures.is_some_and(Vec::is_empty);
    sync::note(context, "schedules", &summary)?;
    Ok(is_good)
}

/// Half of the rows of every kind of index goes and comes again, ten times.
fn churn(context: &Context, rows: u64) -> Result<bool> {
    let mut command = tools::nextest(context)?;
    command.args(["run", "--package", "tandemdb-vectordb", "--test", "indexes"]);
    command.args([
        "--success-output=immediate",
        "--cargo-profile",
        "soak",
        "t33",
    ]);
    command.env("TANDEM_CHURN", rows.to_string());
    let (status, text) = context.run_any("churn", &mut command)?;
    for line in text
        .lines()
        .filter(|line| line.contains("recall ") || line.contains("find themselves"))
    {
        println!("{}", line.trim());
    }
    Ok(status.success())
}

/// What strangers send to a server and never read of it, more often than the gate has time for.
fn hostile(context: &Context, rounds: u64) -> Result<bool> {
    let mut command = tools::nextest(context)?;
    command.args(["run", "--package", "tandemdb-server"]);
    command.args(["--test", "rest", "--test", "live"]);
    command.args(["--cargo-profile", "soak", "t48_hostile", "r15_clients"]);
    command.env("TANDEMDB_HOSTILE_ROUNDS", rounds.to_string());
    command.env("TANDEMDB_DEAF", DEAF_CLIENTS.to_string());
    let (status, _) = context.run_any("hostile", &mut command)?;
    Ok(status.success())
}

/// Tests at another length, which a setting of the environment says; what they tell of themselves goes to the ledger.
fn noted(
    context: &Context,
    name: &str,
    packages: &[&str],
    tests: &str,
    (setting, long): (&str, u64),
) -> Result<bool> {
    let begin = Instant::now();
    let mut command = tools::nextest(context)?;
    command.args(["run", "--no-fail-fast"]);
    for package in packages {
        command.args(["--package", package]);
    }
    command.args([
        "--success-output=immediate",
        "--cargo-profile",
        "soak",
        tests,
    ]);
    command.env(setting, long.to_string());
    let (status, text) = context.run_any(name, &mut command)?;
    let told = text.lines().map(str::trim);
    let mut told: Vec<_> = told.filter_map(|line| line.strip_prefix(MARK)).collect();
    // Twice, where a test failed.
    told.dedup();
    let mut summaries = Vec::new();
    for line in told {
        println!("{line}");
        let read = serde_json::from_str::<serde_json::Value>(line);
        summaries.push(read.map_err(|e| format!("what a test told: {e}: {line}"))?);
    }
    let failures: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("FAIL ") || line.contains("panicked at"))
        .map(without_colours)
        .collect();
    let summary = serde_json::json!({
        "seconds": begin.elapsed().as_secs(),
        "tests": summaries,
        "failures": failures,
    });
    sync::note(context, name, &summary)?;
    Ok(status.success())
}

fn experiments(context: &Context, runs: u64) -> Result<bool> {
    let mut command = tools::nextest(context)?;
    command.args([
        "run",
        "--package",
        "tandemdb-vectordb",
        "--test",
        "experiment_assign",
        "--test",
        "experiment_statistics",
        // What was found is in what the tests print.
        "--success-output=immediate",
        "--no-fail-fast",
        "--cargo-profile",
        "release",
    ]);
    command.env("TANDEM_EXPERIMENTS", runs.to_string());
    command.env("TANDEM_UNITS", runs.saturating_mul(1_000).to_string());
    let status = command
        .status()
        .map_err(|e| format!("cargo-nextest does not start: {e}"))?;
    Ok(status.success())
}

fn sync_size(context: &Context, changes: u64) -> Result<bool> {
    let mut command = tools::nextest(context)?;
    // A process for each test, so that each says its own peak of memory.
    command.args([
        "run",
        "--package",
        "tandemdb-syncdb",
        "--test",
        "sync_size",
        "--no-capture",
        "--no-fail-fast",
        "--cargo-profile",
        "release",
    ]);
    command.env("TANDEM_CHANGES", changes.to_string());
    command.env("TANDEM_ROWS", changes.saturating_mul(10).to_string());
    let status = command
        .status()
        .map_err(|e| format!("cargo-nextest does not start: {e}"))?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(args: &[&str]) -> String {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        soak(&args).unwrap_err()
    }

    #[test]
    fn wrong_arguments_say_what_is_possible() {
        assert!(refused(&[]).contains("properties"));
        assert!(refused(&["fuz"]).contains("fuzz"));
        assert!(refused(&["fuzz", "--seconds", "long"]).contains("number"));
        assert!(refused(&["fuzz:no_such_target"]).contains("value_json"));
        assert!(refused(&["properties", "--seconds", "3"]).contains("--runs"));
        assert!(refused(&["sync-size", "--seconds", "3"]).contains("--runs"));
        assert!(refused(&["upkeep", "--runs", "3"]).contains("--seconds"));
        assert!(refused(&["experiments", "--seconds", "3"]).contains("--runs"));
        assert!(refused(&["sync", "--seeds", "many"]).contains("number"));
        assert!(refused(&["sync", "--seed"]).contains("number"));
    }
}
