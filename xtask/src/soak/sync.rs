//! `cargo xtask soak sync` and `versions`: the simulations of sync over many seeds, and the ledger of what was run.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::run::{Context, Result, seconds};

/// Which seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seeds {
    /// So many from the first one on.
    Range { from: u64, count: u64 },
    /// One, with its trace.
    One(u64),
}

/// What was run, appended to `qa/ledger.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry<S> {
    /// What kind of run: `sync`, `versions` or `schedules`.
    soak: String,
    /// The commit, with a `+` when files had changed since.
    commit: String,
    #[serde(flatten)]
    summary: S,
}

/// What the simulation prints at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Summary {
    from: u64,
    seeds: u64,
    events: u64,
    simulated_seconds: u64,
    core_seconds: f64,
    /// Seeds that were run twice and compared.
    twice: u64,
    failures: Vec<u64>,
}

const MARK: &str = "SOAK ";

/// A simulation that runs by seed.
pub(super) struct Simulation {
    name: &'static str,
    /// The test program that it is in.
    program: &'static str,
    /// The test that runs the seeds.
    test: &'static str,
}

pub(super) const SYNC: Simulation = Simulation {
    name: "sync",
    program: "simulation",
    test: "soak",
};
pub(super) const VERSIONS: Simulation = Simulation {
    name: "versions",
    program: "versions",
    test: "simulation::soak",
};

pub(super) fn run(context: &Context, soak: &Simulation, seeds: Seeds) -> Result<bool> {
    let begin = Instant::now();
    let mut command = context.cargo(["test", "--quiet", "--profile", "soak"]);
    command.args(["--package", "tandemdb-syncdb", "--test", soak.program]);
    command.args(["--", "--exact", soak.test, "--nocapture"]);
    match seeds {
        Seeds::Range { from, count } => {
            command.env("TANDEM_SIM_FROM", from.to_string());
            command.env("TANDEM_SIM_SEEDS", count.to_string());
        }
        Seeds::One(seed) => {
            command.env("TANDEM_SIM_SEED", seed.to_string());
        }
    }
    let (good, summary) = follow(&mut command)?;
    if let Some(summary) = summary {
        print(&summary, begin.elapsed());
        note(context, soak.name, &summary)?;
    }
    Ok(good)
}

/// Runs the simulation and passes on what it prints, but for its last word to us.
fn follow(command: &mut Command) -> Result<(bool, Option<Summary>)> {
    command.stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|e| format!("cargo does not start: {e}"))?;
    let mut summary = None;
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines() {
            let line = line.map_err(|e| format!("the simulation's output: {e}"))?;
            match line.strip_prefix(MARK) {
                Some(json) => summary = Some(parsed(json)?),
                None => println!("{line}"),
            }
        }
    }
    let status = child.wait().map_err(|e| format!("the simulation: {e}"))?;
    Ok((status.success(), summary))
}

fn parsed(json: &str) -> Result<Summary> {
    serde_json::from_str(json).map_err(|e| format!("the simulation's summary: {e}: {json}"))
}

fn print(summary: &Summary, time: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "for people, and far below 2^52")]
    let (days, each) = (
        summary.simulated_seconds as f64 / 86_400.0,
        summary.core_seconds * 1_000.0 / summary.seeds.max(1) as f64,
    );
    let rows = [
        (
            "seeds",
            format!(
                "{} from {} on, {} of them twice",
                summary.seeds, summary.from, summary.twice
            ),
        ),
        ("events", summary.events.to_string()),
        ("simulated time", format!("{days:.1} days")),
        (
            "time",
            format!(
                "{}, {:.0} core-seconds, {each:.1} ms for a seed",
                seconds(time),
                summary.core_seconds
            ),
        ),
        ("failures", format!("{:?}", summary.failures)),
    ];
    println!();
    for (name, value) in rows {
        println!("{name:16} {value}");
    }
}

/// Appends a run to the ledger that is committed: what kind of run it was, the commit, and what it told.
pub(super) fn note<S: Serialize>(context: &Context, soak: &str, summary: &S) -> Result<()> {
    let path: PathBuf = context.root.join("qa/ledger.json");
    let failed = |e: serde_json::Error| format!("{}: {e}", path.display());
    let mut text = fs::read_to_string(&path).unwrap_or_else(|_| "[\n]\n".to_owned());
    // A line for each run, which later ones leave as it is.
    serde_json::from_str::<Vec<serde_json::Value>>(&text).map_err(failed)?;
    let entry = Entry {
        soak: soak.to_owned(),
        commit: commit(context),
        summary,
    };
    let line = serde_json::to_string(&entry).map_err(failed)?;
    text.truncate(text.trim_end().trim_end_matches(']').trim_end().len());
    let comma = if text.ends_with('[') { "" } else { "," };
    let text = format!("{text}{comma}\n{line}\n]\n");
    fs::create_dir_all(context.root.join("qa"))
        .and_then(|()| fs::write(&path, text))
        .map_err(|e| format!("{}: {e}", path.display()))?;
    println!("noted in qa/ledger.json");
    Ok(())
}

fn commit(context: &Context) -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .args(args)
            .current_dir(&context.root)
            .output();
        output.map_or_else(
            |_| String::new(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    let changed = git(&[
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        "crates",
    ]);
    if changed.is_empty() {
        commit
    } else {
        commit + "+"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_back_with_its_summary_beside_the_commit() {
        let json = r#"{"from":0,"seeds":2,"events":9,"simulated_seconds":3600,"core_seconds":0.5,"twice":1,"failures":[1]}"#;
        let entry = Entry {
            soak: "sync".to_owned(),
            commit: "abc".to_owned(),
            summary: parsed(json).unwrap(),
        };
        let text = serde_json::to_string(&entry).unwrap();
        assert!(
            text.starts_with(r#"{"soak":"sync","commit":"abc","from":0"#),
            "{text}"
        );
        assert_eq!(
            serde_json::from_str::<Entry<Summary>>(&text).unwrap(),
            entry
        );
        assert!(parsed("{}").is_err());
    }
}
