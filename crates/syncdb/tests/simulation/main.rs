//! The simulation of sync: a server and three to eight clients, a bad network, wrong clocks, kills and old backups, all
//! from one seed. `docs/simulation.md` says what it checks and how to replay a seed.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::format_push_string,
    clippy::type_complexity,
    reason = "a test fails by panicking, and says what it did"
)]

mod difference;
mod features;
mod merged;
mod oracle;
mod plan;
#[cfg(feature = "planted-bugs")]
mod planted;
mod reader;
mod replay;
mod scope;
mod shrink;
mod soak;
mod tables;
mod tasks;
mod unsent;
mod watch;
mod workload;
mod world;

use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use features::FEATURES_FROM;
use plan::{Plan, Size};
use world::Outcome;

/// What did not hold.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// Which property; shrinking keeps to it.
    pub(crate) kind: &'static str,
    pub(crate) what: String,
}

impl Failure {
    pub(crate) fn new(kind: &'static str, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(crate) fn error(error: common::Error) -> Self {
        Self::new("error", error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.what)
    }
}

/// Runs a plan; a panic is a failure too.
pub(crate) fn run_caught(plan: &Plan, trace_lines: usize) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| world::run(plan, trace_lines))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Outcome {
            result: Err(Failure::new("panic", text.unwrap_or_default())),
            fingerprint: 0,
            events: 0,
            simulated: Duration::ZERO,
            trace: Vec::new(),
        }
    })
}

#[test]
fn seeds_0_to_74_keep_every_promise() {
    soak::hold(0..75);
}

#[test]
fn seeds_75_to_149_keep_every_promise() {
    soak::hold(75..150);
}

#[test]
fn seeds_150_to_224_keep_every_promise() {
    soak::hold(150..225);
}

#[test]
fn seeds_225_to_299_keep_every_promise() {
    soak::hold(225..300);
}

#[test]
fn seeds_with_features_keep_every_promise() {
    soak::hold(FEATURES_FROM..FEATURES_FROM + 30);
}

#[test]
fn more_seeds_with_features_keep_every_promise() {
    soak::hold(FEATURES_FROM + 30..FEATURES_FROM + 60);
}

#[test]
fn seeds_that_failed_once_hold() {
    for line in include_str!("regressions.txt").lines() {
        let seed = line.split_whitespace().next();
        if let Some(seed) = seed.filter(|seed| !seed.starts_with('#')) {
            soak::hold(std::iter::once(seed.parse().unwrap()));
        }
    }
}

#[test]
fn a_seed_does_the_same_twice() {
    for seed in [3, 103, 203] {
        let plan = Plan::new(seed, Size::Usual);
        let [first, second] = [0, 50].map(|trace_lines| run_caught(&plan, trace_lines));
        assert_eq!(first.fingerprint, second.fingerprint, "seed {seed}");
        assert_eq!(first.events, second.events, "seed {seed}");
        assert!(second.trace.len() == 50 && first.trace.is_empty());
    }
}

#[test]
fn a_large_seed_without_faults_keeps_every_promise() {
    let outcome = run_caught(&Plan::new(1, Size::Large), 0);
    assert!(outcome.result.is_ok(), "{}", outcome.result.unwrap_err());
    assert!(outcome.simulated >= Duration::from_mins(30));
}

/// The failures of other products, in `docs/simulation.md`.
#[test]
fn every_test_that_the_documentation_names_exists() {
    fn read(folder: &Path, sources: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                *sources += &fs::read_to_string(&path).unwrap();
            }
        }
    }
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = String::new();
    for tests in ["syncdb/tests", "server/tests"] {
        read(&crates.join(tests), &mut sources);
    }
    let page = include_str!("../../../../docs/simulation.md");
    let rows = page.lines().filter(|line| {
        let first = line.split('|').nth(1).map(str::trim);
        first.is_some_and(|number| number.parse::<u32>().is_ok())
    });
    let rows: Vec<&str> = rows.collect();
    assert_eq!(rows.len(), 22, "one row for each");
    let quoted = rows
        .iter()
        .flat_map(|row| row.split('`').skip(1).step_by(2));
    for name in quoted.filter(|name| name.contains('_')) {
        let name = name.rsplit("::").next().unwrap();
        // As a function, or as an argument of a macro that makes one.
        let is_there = [format!("fn {name}("), format!(" {name}: ")];
        let is_there = is_there.iter().any(|made| sources.contains(made));
        assert!(is_there, "there is no test `{name}`");
    }
}

/// `cargo xtask soak sync` runs this with its settings in the environment.
#[test]
fn soak() {
    soak::from_environment();
}
