//! `dev/schedules`: updates and searches under a scheduler that chooses who goes on at every lock.

use std::process::Command;

use serde_json::{Map, Value};

use crate::run::{Context, Result};
use crate::steps::{Counts, Report};

pub(crate) const MANIFEST: &str = "dev/schedules/Cargo.toml";

/// Schedules for each scenario and scheduler in the gate.
const GATE_RUNS: u64 = 100;
const MARK: &str = "SOAK ";

pub(crate) fn step(context: &Context) -> Result<Report> {
    let (_, summary) = run(context, GATE_RUNS)?;
    let number = |name: &str| summary.get(name).and_then(Value::as_u64).unwrap_or(0);
    let failures = summary.get("failures").and_then(Value::as_array);
    let failed = failures.map_or(0, |failures| failures.len() as u64);
    let failure = (failed > 0).then(|| {
        format!(
            "{failures:?}; the schedules are in {}/xtask/logs/schedules.log",
            context.target.display()
        )
    });
    Ok(Report {
        counts: Counts {
            // Each scenario runs under two schedulers.
            passed: (2 * number("scenarios")).saturating_sub(failed),
            failed,
        },
        note: format!("{} schedules", number("schedules")),
        failure,
    })
}

/// Runs so many schedules of each scenario under each scheduler: what was printed, and the summary at its end.
pub(crate) fn run(context: &Context, runs: u64) -> Result<(String, Map<String, Value>)> {
    // A folder of its own: in it, every lock is the scheduler's.
    let folder = context.folder("schedules")?;
    let mut cargo = context.cargo(["build", "--release", "--manifest-path", MANIFEST]);
    cargo.arg("--target-dir").arg(&folder);
    cargo.env("RUSTFLAGS", "--cfg shuttle");
    context.run("schedules-build", &mut cargo)?;
    let mut program = Command::new(folder.join("release/tandemdb-schedules"));
    program.args(["--runs", &runs.to_string()]);
    let (status, text) = context.run_any("schedules", &mut program)?;
    let summary = text.lines().find_map(|line| line.strip_prefix(MARK));
    let summary = summary.ok_or_else(|| format!("the schedules ended early ({status})"))?;
    let summary =
        serde_json::from_str(summary).map_err(|e| format!("their summary: {e}: {summary}"))?;
    Ok((text, summary))
}
