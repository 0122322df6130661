//! The steps that are cargo's own commands.

use std::path::Path;
use std::process::Command;

use crate::bench::{BENCH_ANN, BENCH_DURABLE, BENCH_SERVE, BENCH_SYNC};
use crate::run::{Context, Result, without_colours};
use crate::steps::{Counts, Report};
use crate::{coverage, fuzz, schedules, tools};

pub(crate) fn fmt(context: &Context) -> Result<Report> {
    context.run("fmt", &mut context.cargo(["fmt", "--all", "--check"]))?;
    context.run(
        "fmt-fuzz",
        &mut context.cargo(["fmt", "--check", "--manifest-path", fuzz::MANIFEST]),
    )?;
    context.run(
        "fmt-bench-sync",
        &mut context.cargo(["fmt", "--check", "--manifest-path", BENCH_SYNC]),
    )?;
    context.run(
        "fmt-bench-durable",
        &mut context.cargo(["fmt", "--check", "--manifest-path", BENCH_DURABLE]),
    )?;
    context.run(
        "fmt-bench-serve",
        &mut context.cargo(["fmt", "--check", "--manifest-path", BENCH_SERVE]),
    )?;
    context.run(
        "fmt-bench-ann",
        &mut context.cargo(["fmt", "--check", "--manifest-path", BENCH_ANN]),
    )?;
    context.run(
        "fmt-schedules",
        &mut context.cargo(["fmt", "--check", "--manifest-path", schedules::MANIFEST]),
    )?;
    Ok(Report::holds(""))
}

pub(crate) fn clippy(context: &Context) -> Result<Report> {
    let mut command = context.cargo(["clippy", "--workspace", "--all-targets", "--all-features"]);
    command.args(["--", "-D", "warnings"]);
    context.run("clippy", &mut command)?;
    Ok(Report::holds(""))
}

pub(crate) fn doc(context: &Context) -> Result<Report> {
    let mut command = context.cargo(["doc", "--workspace", "--no-deps", "--all-features"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    context.run("doc", &mut command)?;
    Ok(Report::holds(""))
}

pub(crate) fn tests(context: &Context) -> Result<Report> {
    let mut command = tools::nextest(context)?;
    command.args(["run", "--workspace", "--all-features", "--no-fail-fast"]);
    command.args(["--status-level", "slow", "--final-status-level", "fail"]);
    if context.coverage {
        coverage::start(context)?;
        coverage::instrument(context, &mut command)?;
    }
    let (status, text) = context.run_any("tests", &mut command)?;
    let text = without_colours(&text);
    let Some(summary) = text
        .lines()
        .rev()
        .find(|line| line.trim_start().starts_with("Summary"))
    else {
        return Err(format!(
            "the tests did not run ({status}):\n{}",
            last_lines(&text)
        ));
    };
    let counts = nextest_counts(summary);
    let failure = (!status.success()).then(|| last_lines(&text));
    Ok(Report {
        counts,
        note: String::new(),
        failure,
    })
}

/// Reads `Summary [ 1.2s] 12 tests run: 10 passed (1 slow), 1 failed, 1 timed out, 3 skipped`.
fn nextest_counts(summary: &str) -> Counts {
    let counts = summary.split_once("run:").map_or("", |(_, counts)| counts);
    Counts {
        passed: count_before(counts, "passed"),
        failed: count_before(counts, "failed") + count_before(counts, "timed out"),
    }
}

/// The number just before `word`; 0 when there is none.
pub(crate) fn count_before(text: &str, word: &str) -> u64 {
    text.find(word)
        .and_then(|at| text.get(..at)?.split_whitespace().next_back()?.parse().ok())
        .unwrap_or(0)
}

pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(120);
    lines.get(from..).unwrap_or_default().join("\n")
}

pub(crate) fn doctests(context: &Context) -> Result<Report> {
    let mut command = context.cargo([
        "test",
        "--doc",
        "--workspace",
        "--all-features",
        "--no-fail-fast",
    ]);
    if context.coverage {
        // The same build as the step `tests`; what these runs count is not read.
        coverage::instrument(context, &mut command)?;
    }
    let (status, text) = context.run_any("doctests", &mut command)?;
    let counts = libtest_counts(&text);
    let failure = (!status.success()).then(|| last_lines(&text));
    Ok(Report {
        counts,
        note: String::new(),
        failure,
    })
}

/// Adds up the lines `test result: ok. 3 passed; 0 failed; ...`.
pub(crate) fn libtest_counts(text: &str) -> Counts {
    let mut counts = Counts::default();
    for line in text.lines().filter(|line| line.starts_with("test result:")) {
        counts.add(Counts {
            passed: count_before(line, "passed"),
            failed: count_before(line, "failed;"),
        });
    }
    counts
}

pub(crate) fn examples(context: &Context) -> Result<Report> {
    let mut build = context.cargo(["build", "--workspace", "--examples", "--all-features"]);
    build.arg("--message-format=json-render-diagnostics");
    if context.coverage {
        coverage::instrument(context, &mut build)?;
    }
    let messages = context.run("examples-build", &mut build)?;
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    for (name, program) in executables(&messages) {
        let mut command = Command::new(&program);
        command.current_dir(&context.root);
        if context.coverage {
            coverage::discard(context, &mut command)?;
        }
        match context.run(&format!("example-{name}"), &mut command) {
            Ok(_) => counts.passed += 1,
            Err(why) => {
                counts.failed += 1;
                failures.push(why);
            }
        }
    }
    let failure = (!failures.is_empty()).then(|| failures.join("\n"));
    Ok(Report {
        counts,
        note: String::new(),
        failure,
    })
}

fn executables(messages: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        let is_example = message
            .pointer("/target/kind/0")
            .and_then(|kind| kind.as_str())
            == Some("example");
        // Rivals are measured, not shown: their programs are for `cargo xtask bench`.
        let is_rival = message
            .pointer("/manifest_path")
            .and_then(|path| path.as_str())
            .is_some_and(|path| {
                Path::new(path)
                    .components()
                    .any(|part| part.as_os_str() == "dev")
            });
        let name = message
            .pointer("/target/name")
            .and_then(|name| name.as_str());
        let program = message
            .pointer("/executable")
            .and_then(|program| program.as_str());
        if let (true, false, Some(name), Some(program)) = (is_example, is_rival, name, program) {
            found.push((name.to_owned(), program.to_owned()));
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runners_summaries_are_read() {
        let line = "     Summary [   1.2s] 12 tests run: 9 passed (1 slow), 2 failed, 1 timed out, 3 skipped";
        assert_eq!(
            nextest_counts(line),
            Counts {
                passed: 9,
                failed: 3
            }
        );
        let all_good = "     Summary [   0.2s] 5 tests run: 5 passed, 0 skipped";
        assert_eq!(
            nextest_counts(all_good),
            Counts {
                passed: 5,
                failed: 0
            }
        );
        let text = "test result: ok. 3 passed; 0 failed; 1 ignored\nnoise\ntest result: FAILED. 1 passed; 2 failed; 0 ignored";
        assert_eq!(
            libtest_counts(text),
            Counts {
                passed: 4,
                failed: 2
            }
        );
    }

    #[test]
    fn examples_are_found_in_the_messages_of_cargo() {
        let messages = r#"{"manifest_path":"/w/crates/a/Cargo.toml","target":{"kind":["example"],"name":"b"},"executable":"/t/b"}
{"manifest_path":"/w/crates/a/Cargo.toml","target":{"kind":["lib"],"name":"a"},"executable":null}
{"manifest_path":"/w/dev/bench/Cargo.toml","target":{"kind":["example"],"name":"c"},"executable":"/t/c"}
warning: not JSON"#;
        assert_eq!(executables(messages), [("b".to_owned(), "/t/b".to_owned())]);
    }
}
