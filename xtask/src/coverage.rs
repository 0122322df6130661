//! Coverage of the workspace's own crates, measured by the same run that the step `tests` is.
//!
//! This program is its own compiler wrapper: cargo starts a copy of it in place of rustc for the members
//! of the workspace, and it adds the flag. Dependencies stay as they are, so that one build of them serves
//! the tests, the lints and the coverage.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use serde_json::Value;

use crate::architecture::DECODER_MARK;
use crate::run::{Context, Result};
use crate::steps::{Counts, Report};
use crate::tools;

pub(crate) const WRAPPER_NAME: &str = "xtask-coverage-rustc";

/// Percent of lines, below which the step fails: all library and program crates together, ...
const LINES_MIN: f64 = 90.0;
/// ... and the files that decode bytes from outside, together.
const DECODER_LINES_MIN: f64 = 91.0;

/// Stands in for rustc: the first of `args` is its path.
pub(crate) fn compile(mut args: impl Iterator<Item = String>) -> ExitCode {
    let Some(rustc) = args.next() else {
        eprintln!("error: {WRAPPER_NAME} is started by cargo, with the path of rustc");
        return ExitCode::from(2);
    };
    let args: Vec<String> = args.collect();
    let mut command = Command::new(rustc);
    command.args(&args);
    if args.iter().any(|arg| arg == "--crate-name") {
        command.arg("-Cinstrument-coverage");
    }
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)),
        Err(e) => {
            eprintln!("error: rustc does not start: {e}");
            ExitCode::from(2)
        }
    }
}

/// Forgets what earlier runs counted.
pub(crate) fn start(context: &Context) -> Result<()> {
    let folder = context.folder("coverage")?;
    fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    context.folder("coverage")?;
    Ok(())
}

/// Lets `command`, which is cargo, build with counters and its programs write them.
pub(crate) fn instrument(context: &Context, command: &mut Command) -> Result<()> {
    static WRAPPER: OnceLock<Result<PathBuf>> = OnceLock::new();
    // Once, before the first build: that build puts another program where this one was started from.
    let wrapper = WRAPPER.get_or_init(|| wrapper(context)).clone()?;
    command.env("RUSTC_WORKSPACE_WRAPPER", wrapper);
    // Four files for each program, merged in place: a file for each of thousands of test processes is slow.
    let counters = context.folder("coverage")?.join("%4m.profraw");
    command.env("LLVM_PROFILE_FILE", counters);
    Ok(())
}

/// A copy of this program under the name that makes it a wrapper.
fn wrapper(context: &Context) -> Result<PathBuf> {
    let wrapper = context.folder("tools")?.join(WRAPPER_NAME);
    let program = std::env::current_exe().map_err(|e| format!("this program has no path: {e}"))?;
    let bytes = fs::read(&program).map_err(|e| format!("{}: {e}", program.display()))?;
    // Written only when it differs: cargo asks a changed compiler for its version again.
    if fs::read(&wrapper).ok().as_ref() != Some(&bytes) {
        let new = wrapper.with_extension("new");
        fs::copy(&program, &new)
            .and_then(|_| fs::rename(&new, &wrapper))
            .map_err(|e| format!("{}: {e}", wrapper.display()))?;
    }
    Ok(wrapper)
}

/// Lets `command`, which was built with counters, write them where nobody reads.
pub(crate) fn discard(context: &Context, command: &mut Command) -> Result<()> {
    command.env(
        "LLVM_PROFILE_FILE",
        context.folder("xtask")?.join("discarded-%m.profraw"),
    );
    Ok(())
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Lines {
    covered: u64,
    all: u64,
}

impl Lines {
    #[expect(clippy::cast_precision_loss, reason = "line counts are far below 2^52")]
    fn percent(self) -> f64 {
        if self.all == 0 {
            100.0
        } else {
            100.0 * self.covered as f64 / self.all as f64
        }
    }

    fn add(&mut self, other: Self) {
        self.covered += other.covered;
        self.all += other.all;
    }
}

/// Reads what the step `tests` counted.
pub(crate) fn step(context: &Context) -> Result<Report> {
    let folder = context.folder("coverage")?;
    if fs::read_dir(&folder).map_or(0, Iterator::count) == 0 {
        return Err("nothing was counted: run the step `tests` with this one, `--only tests --only coverage`".to_owned());
    }
    let llvm = tools::llvm(context)?;
    let merged = folder.join("tests.profdata");
    let mut merge = Command::new(llvm.join("llvm-profdata"));
    merge
        .args(["merge", "-sparse", "-o"])
        .arg(&merged)
        .arg(&folder);
    context.run("coverage-merge", &mut merge)?;

    let mut export = Command::new(llvm.join("llvm-cov"));
    export
        .args(["export", "-summary-only", "-instr-profile"])
        .arg(&merged);
    for program in programs(context)? {
        export.arg("-object").arg(program);
    }
    let output = export
        .output()
        .map_err(|e| format!("llvm-cov does not start: {e}"))?;
    if !output.status.success() {
        return Err(format!(
            "llvm-cov failed: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let files = per_file(&output.stdout, &context.root)?;
    let is_decoder = |path: &Path| {
        fs::read_to_string(context.root.join(path)).is_ok_and(|text| text.contains(DECODER_MARK))
    };
    judge(&files, is_decoder)
}

fn judge(files: &BTreeMap<PathBuf, Lines>, is_decoder: impl Fn(&Path) -> bool) -> Result<Report> {
    if files.is_empty() {
        return Err("llvm-cov names no file of crates/".to_owned());
    }
    let mut all = Lines::default();
    let mut decoders = Lines::default();
    let mut worst: Vec<(&PathBuf, Lines)> = Vec::new();
    for (path, lines) in files {
        all.add(*lines);
        if is_decoder(path) {
            decoders.add(*lines);
        }
        worst.push((path, *lines));
    }
    worst.sort_by_key(|(_, lines)| std::cmp::Reverse(lines.all - lines.covered));
    let note = format!(
        "lines: all {:.1} % (at least {LINES_MIN}), decoders {:.1} % (at least {DECODER_LINES_MIN})",
        all.percent(),
        decoders.percent()
    );
    let held = [
        all.percent() >= LINES_MIN,
        decoders.percent() >= DECODER_LINES_MIN,
    ];
    let passed = held.iter().filter(|held| **held).count() as u64;
    let failure = (passed < 2).then(|| {
        let mut text = format!("{note}\nfiles with most lines that no test reaches:");
        for (path, lines) in worst.iter().take(15) {
            let _ = write!(
                text,
                "\n  {:>5} of {:>5} in {}",
                lines.all - lines.covered,
                lines.all,
                path.display()
            );
        }
        text
    });
    Ok(Report {
        counts: Counts {
            passed,
            failed: 2 - passed,
        },
        note,
        failure,
    })
}

/// Every program that the tests are or start.
fn programs(context: &Context) -> Result<Vec<String>> {
    let mut list = tools::nextest(context)?;
    list.args([
        "list",
        "--workspace",
        "--all-features",
        "--list-type",
        "binaries-only",
    ]);
    list.args(["--message-format", "json"]);
    instrument(context, &mut list)?;
    let output = list
        .output()
        .map_err(|e| format!("cargo-nextest does not start: {e}"))?;
    let json: Value = serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("cargo-nextest printed no list of programs: {e}"))?;
    let mut found = Vec::new();
    if let Some(tests) = json.pointer("/rust-binaries").and_then(Value::as_object) {
        found.extend(
            tests
                .values()
                .filter_map(|test| test.get("binary-path")?.as_str().map(str::to_owned)),
        );
    }
    let base = json
        .pointer("/rust-build-meta/target-directory")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if let Some(others) = json
        .pointer("/rust-build-meta/non-test-binaries")
        .and_then(Value::as_object)
    {
        for program in others.values().filter_map(Value::as_array).flatten() {
            if program.get("kind").and_then(Value::as_str) == Some("bin-exe")
                && let Some(path) = program.get("path").and_then(Value::as_str)
            {
                found.push(format!("{base}/{path}"));
            }
        }
    }
    found.sort();
    found.dedup();
    found.retain(|path| Path::new(path).exists());
    Ok(found)
}

/// Line counts of the files under crates/*/src, without the kit of tests.
fn per_file(export: &[u8], root: &Path) -> Result<BTreeMap<PathBuf, Lines>> {
    let json: Value =
        serde_json::from_slice(export).map_err(|e| format!("llvm-cov printed no JSON: {e}"))?;
    let files = json
        .pointer("/data/0/files")
        .and_then(Value::as_array)
        .ok_or("llvm-cov lists no files")?;
    let mut found = BTreeMap::new();
    for file in files {
        let Some(path) = file.get("filename").and_then(Value::as_str) else {
            continue;
        };
        let Ok(path) = Path::new(path).strip_prefix(root) else {
            continue;
        };
        let mut parts = path
            .components()
            .map(|part| part.as_os_str().to_string_lossy());
        let place = (parts.next(), parts.next(), parts.next());
        let (Some(folder), Some(package), Some(source)) = place else {
            continue;
        };
        if folder != "crates" || package == "testkit" || source != "src" {
            continue;
        }
        let count = |name: &str| {
            file.pointer(&format!("/summary/lines/{name}"))
                .and_then(Value::as_u64)
                .unwrap_or(0)
        };
        found.insert(
            path.to_path_buf(),
            Lines {
                covered: count("covered"),
                all: count("count"),
            },
        );
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, covered: u64, all: u64) -> (PathBuf, Lines) {
        (PathBuf::from(path), Lines { covered, all })
    }

    #[test]
    fn only_the_product_is_counted() {
        let export = br#"{"data":[{"files":[
            {"filename":"/w/crates/common/src/a.rs","summary":{"lines":{"count":10,"covered":9}}},
            {"filename":"/w/crates/common/tests/a.rs","summary":{"lines":{"count":10,"covered":9}}},
            {"filename":"/w/crates/testkit/src/a.rs","summary":{"lines":{"count":10,"covered":9}}},
            {"filename":"/w/xtask/src/main.rs","summary":{"lines":{"count":10,"covered":0}}},
            {"filename":"/registry/x.rs","summary":{"lines":{"count":10,"covered":0}}}]}]}"#;
        let found = per_file(export, Path::new("/w")).unwrap();
        assert_eq!(found, [file("crates/common/src/a.rs", 9, 10)].into());
    }

    #[test]
    fn each_threshold_can_fail() {
        let is_decoder = |path: &Path| path.ends_with("decode.rs");
        let good = [file("a.rs", 95, 100), file("decode.rs", 99, 100)].into();
        assert!(judge(&good, is_decoder).unwrap().failure.is_none());
        let bad_decoder = [file("a.rs", 1_000, 1_000), file("decode.rs", 80, 100)].into();
        assert_eq!(
            judge(&bad_decoder, is_decoder).unwrap().counts,
            Counts {
                passed: 1,
                failed: 1
            }
        );
        let bad_rest = [file("a.rs", 10, 100), file("decode.rs", 100, 100)].into();
        let report = judge(&bad_rest, is_decoder).unwrap();
        assert!(report.failure.unwrap().contains("a.rs"));
        assert!(judge(&BTreeMap::new(), is_decoder).is_err());
    }
}
