//! The fuzz targets of dev/fuzz: built with `AddressSanitizer` and coverage counters, replayed, run.
//!
//! Built as `cargo fuzz` builds them, but without that tool. The flags are unstable: nightly takes them,
//! and so does any stable compiler under `RUSTC_BOOTSTRAP=1`, which is what a machine with one toolchain has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::run::{Context, Result};
use crate::steps::{Counts, Report};
use crate::tools;

pub(crate) const MANIFEST: &str = "dev/fuzz/Cargo.toml";

const FLAGS: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Zsanitizer=address --cfg fuzzing -Ccodegen-units=1";

/// New inputs for each target in the gate, and the time after which it stops short of them. They come from a fixed
/// seed: the gate judges a tree, and the same tree must pass twice. Looking further is what the soak does.
const GATE_EXECUTIONS: u64 = 60_000;
const GATE_SECONDS: u32 = 5;
const GATE_SEED: u32 = 1;
/// A decoder of outside bytes stays below these, whatever the bytes.
const BOUNDS: [&str; 3] = ["-rss_limit_mb=512", "-malloc_limit_mb=128", "-timeout=2"];

/// How long a target runs on new inputs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Length {
    /// What every run of the gate tries.
    Gate,
    Seconds(u32),
    Executions(u64),
}

/// A built target.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    program: PathBuf,
}

pub(crate) fn step(context: &Context) -> Result<Report> {
    let targets = build(context)?;
    run_all(context, &targets, Length::Gate)
}

/// Builds all targets.
pub(crate) fn build(context: &Context) -> Result<Vec<Target>> {
    tools::cxx(context)?;
    let host = host(context)?;
    // A folder of its own, because the flags differ for every dependency.
    let folder = context.folder("fuzz")?;
    let mut cargo = context.cargo([
        "build",
        "--release",
        "--manifest-path",
        MANIFEST,
        "--target",
        &host,
    ]);
    cargo.arg("--target-dir").arg(&folder);
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", FLAGS);
    context.run("fuzz-build", &mut cargo)?;
    let programs = folder.join(host).join("release");
    Ok(names(context)?
        .into_iter()
        .map(|name| Target {
            program: programs.join(&name),
            name,
        })
        .collect())
}

/// The names of the targets, without building them.
pub(crate) fn names(context: &Context) -> Result<Vec<String>> {
    let mut metadata = context.cargo([
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
        "--manifest-path",
        MANIFEST,
    ]);
    let output = metadata
        .output()
        .map_err(|e| format!("cargo does not start: {e}"))?;
    let json: Value = serde_json::from_slice(&output.stdout).map_err(|e| {
        format!(
            "`cargo metadata` of {MANIFEST}: {e}: {}",
            String::from_utf8_lossy(&output.stderr)
        )
    })?;
    let targets = json
        .pointer("/packages/0/targets")
        .and_then(Value::as_array);
    let mut names: Vec<String> = targets
        .into_iter()
        .flatten()
        .filter_map(|target| target.get("name")?.as_str().map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

pub(crate) fn host(context: &Context) -> Result<String> {
    let text = context.run(
        "rustc-version",
        Command::new("rustc").arg("-vV").current_dir(&context.root),
    )?;
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| "`rustc -vV` names no host".to_owned())
}

/// Runs `targets`, two at a time; one check for each replay and one for each run.
pub(crate) fn run_all(context: &Context, targets: &[Target], length: Length) -> Result<Report> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = run_one(context, target, length);
                    if let Ok(mut results) = results.lock() {
                        results.push((target.name.clone(), result));
                    }
                }
            });
        }
    });
    let mut results = results
        .into_inner()
        .map_err(|_| "a worker stopped half way")?;
    results.sort_by(|a, b| a.0.cmp(&b.0));
    let mut counts = Counts::default();
    let mut executions = 0;
    let mut failures = Vec::new();
    for (name, result) in results {
        match result {
            Ok(ran) => {
                counts.passed += 2;
                executions += ran;
            }
            Err(why) => {
                counts.failed += 1;
                failures.push(format!("fuzz target {name}: {why}"));
            }
        }
    }
    let failure = (!failures.is_empty()).then(|| failures.join("\n"));
    let note = format!("{} targets, {executions} new inputs", targets.len());
    Ok(Report {
        counts,
        note,
        failure,
    })
}

/// Replays the committed inputs, then tries new ones; returns how many of these there were.
fn run_one(context: &Context, target: &Target, length: Length) -> Result<u64> {
    let fuzz = context.root.join("dev/fuzz");
    let committed = fuzz.join("corpus").join(&target.name);
    if !is_filled(&committed) {
        return Err(format!(
            "it has no seeds: put a few valid inputs into {}",
            committed.display()
        ));
    }
    // Inputs found by earlier runs stay on this machine and make the next run go deeper.
    let found = match length {
        // Nor does the gate depend on what this machine has found before.
        Length::Gate => emptied(context.folder(&format!("fuzz/gate/{}", target.name))?)?,
        _ => context.folder(&format!("fuzz/corpus/{}", target.name))?,
    };
    let failing = context.folder(&format!("fuzz/failing/{}", target.name))?;
    let mut prefix = failing.into_os_string();
    prefix.push("/");
    let artifacts = format!("-artifact_prefix={}", Path::new(&prefix).display());

    let command = || {
        let mut command = Command::new(&target.program);
        command.args(BOUNDS).arg(&artifacts);
        // Leaks need a tracer, which containers forbid; memory that is kept shows in the limit above.
        command.env("ASAN_OPTIONS", "detect_leaks=0:allocator_may_return_null=1");
        command
    };
    let mut replay = command();
    replay.arg("-runs=0").arg(&committed);
    run_target(
        context,
        &format!("fuzz-{}-replay", target.name),
        &mut replay,
    )?;

    let mut explore = command();
    match length {
        Length::Gate => explore.args([
            format!("-seed={GATE_SEED}"),
            format!("-runs={GATE_EXECUTIONS}"),
            format!("-max_total_time={GATE_SECONDS}"),
        ]),
        Length::Seconds(seconds) => explore.arg(format!("-max_total_time={seconds}")),
        Length::Executions(count) => explore.arg(format!("-runs={count}")),
    };
    let dictionary = fuzz.join(format!("dictionaries/{}.dict", target.name));
    if dictionary.exists() {
        explore.arg(format!("-dict={}", dictionary.display()));
    }
    explore.arg(&found).arg(&committed);
    let text = run_target(context, &format!("fuzz-{}", target.name), &mut explore)?;
    Ok(executions(&text))
}

fn run_target(context: &Context, name: &str, command: &mut Command) -> Result<String> {
    let (status, text) = context.run_any(name, command)?;
    if status.success() {
        return Ok(text);
    }
    let log = context.target.join("xtask/logs").join(name);
    Err(format!(
        "{status}; the whole log: {}.log\n{}",
        log.display(),
        cause(&text)
    ))
}

/// The lines that say what went wrong, and where the input is: the stack between them is in the log.
fn cause(text: &str) -> String {
    const SAYS: [&str; 4] = ["panicked at", "ERROR:", "SUMMARY:", "Test unit written"];
    let lines: Vec<&str> = text.lines().collect();
    let mut shown = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if SAYS.iter().any(|mark| line.contains(mark)) {
            // A panic's message is on the line after its place.
            let more = usize::from(line.contains("panicked at"));
            let found = lines.iter().skip(at).take(1 + more);
            shown.extend(found.map(|line| format!("  | {line}")));
        }
    }
    shown.join("\n")
}

fn emptied(folder: PathBuf) -> Result<PathBuf> {
    fs::remove_dir_all(&folder)
        .and_then(|()| fs::create_dir(&folder))
        .map_err(|e| format!("{} cannot be emptied: {e}", folder.display()))?;
    Ok(folder)
}

fn is_filled(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// Reads `Done 196724 runs in 11 second(s)`.
fn executions(text: &str) -> u64 {
    text.lines()
        .rev()
        .find_map(|line| line.strip_prefix("Done ")?.split(' ').next()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_the_fuzzer_is_read() {
        assert_eq!(
            executions("#12 x\nDone 196724 runs in 11 second(s)\n"),
            196_724
        );
        assert_eq!(executions("crash"), 0);
    }

    #[test]
    fn a_failure_is_told_in_a_few_lines() {
        let text = "#1\nthread panicked at a.rs:1:2:\nboom\nstack\nstack\nTest unit written to x/crash-1\n";
        let expected =
            "  | thread panicked at a.rs:1:2:\n  | boom\n  | Test unit written to x/crash-1";
        assert_eq!(cause(text), expected);
    }

    #[test]
    fn every_listed_target_has_its_file_and_its_seeds() {
        let context = Context::new().unwrap();
        let names = names(&context).unwrap();
        assert!(!names.is_empty());
        for name in names {
            let fuzz = context.root.join("dev/fuzz");
            assert!(
                fuzz.join(format!("fuzz_targets/{name}.rs")).exists(),
                "{name}"
            );
            assert!(
                is_filled(&fuzz.join("corpus").join(&name)),
                "no seeds for {name}"
            );
        }
    }
}
