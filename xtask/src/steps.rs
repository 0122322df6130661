//! `cargo xtask test`: the steps, one after the other, and the table at the end.

use std::time::{Duration, Instant};

use crate::run::{Context, Result, seconds};
use crate::{architecture, coverage, deny, fuzz, neon, python, rust, schedules};

const HELP: &str = "\
Everything that must hold before a change lands. CI runs exactly this.

Usage: cargo xtask test [--only STEP]... [--skip STEP]... [--verbose] [--list]

Options:
  --only STEP   run this step; may be repeated
  --skip STEP   leave this step out; may be repeated
  --verbose     show what the programs print; otherwise it goes to target/xtask/logs
  --list        name the steps and what each checks
  --help        this text

Tools that are missing are installed by the step that needs them, and it says so: Python tools into
target/venv and target/python, cargo-nextest into target/tools; LLVM tools, an emulator and a linker for 64-bit ARM by apt-get.

The last line counts every test of the test steps, and one for each other check: `N passed, N failed`.";

/// How many checks a step made, and how many of them failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Counts {
    /// One check that passed.
    pub(crate) const ONE: Self = Self {
        passed: 1,
        failed: 0,
    };

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// What a step has to say at its end.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) counts: Counts,
    /// One line for the table.
    pub(crate) note: String,
    /// Why the step failed, when it did.
    pub(crate) failure: Option<String>,
}

impl Report {
    /// A step that is one check, and it holds.
    pub(crate) fn holds(note: impl Into<String>) -> Self {
        Self {
            counts: Counts::ONE,
            note: note.into(),
            failure: None,
        }
    }

    fn failed(message: String) -> Self {
        Self {
            counts: Counts {
                passed: 0,
                failed: 1,
            },
            note: String::new(),
            failure: Some(message),
        }
    }
}

struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Context) -> Result<Report>,
}

// Cheap steps first: what fails in seconds should not wait for what takes minutes.
const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        about: "every Rust file is formatted",
        run: rust::fmt,
    },
    Step {
        name: "architecture",
        about: "directions between crates and folders, absences, unsafe, file sizes, public traits",
        run: architecture::step,
    },
    Step {
        name: "deny",
        about: "licences, sources, banned and duplicate dependencies (deny.toml)",
        run: deny::step,
    },
    Step {
        name: "python-lint",
        about: "ruff and mypy on every Python file",
        run: python::lint,
    },
    Step {
        name: "clippy",
        about: "no compiler or clippy warning in any target with all features",
        run: rust::clippy,
    },
    Step {
        name: "doc",
        about: "no rustdoc warning",
        run: rust::doc,
    },
    Step {
        name: "tests",
        about: "unit, integration and property tests",
        run: rust::tests,
    },
    Step {
        name: "coverage",
        about: "lines covered by the step `tests`, overall and in decoders",
        run: coverage::step,
    },
    Step {
        name: "doctests",
        about: "every example in the documentation",
        run: rust::doctests,
    },
    Step {
        name: "examples",
        about: "every program in examples/ runs to its end",
        run: rust::examples,
    },
    Step {
        name: "neon",
        about: "the kernels of vectordb for 64-bit ARM, in an emulator",
        run: neon::step,
    },
    Step {
        name: "python-formats",
        about: "what independent readers in Python make of the formats that are written",
        run: python::formats,
    },
    Step {
        name: "python-packages",
        about: "the Python packages, from a wheel in an environment of its own",
        run: python::packages,
    },
    Step {
        name: "schedules",
        about: "vector collections under schedulers that choose who goes on at every lock",
        run: schedules::step,
    },
    Step {
        name: "fuzz",
        about: "each fuzz target: its committed inputs, then a few seconds of new ones, under AddressSanitizer",
        run: fuzz::step,
    },
];

/// Runs the steps that `args` ask for; false when one failed.
pub(crate) fn test(args: &[String]) -> Result<bool> {
    let mut context = Context::new()?;
    let mut only: Vec<&Step> = Vec::new();
    let mut skip: Vec<&str> = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(true);
            }
            "--list" => {
                for step in STEPS {
                    println!("{:14} {}", step.name, step.about);
                }
                return Ok(true);
            }
            "--verbose" | "-v" => context.verbose = true,
            "--only" => only.push(named(args.next())?),
            "--skip" => skip.push(named(args.next())?.name),
            other => return Err(format!("there is no option `{other}`\n\n{HELP}")),
        }
    }
    let chosen: Vec<&Step> = STEPS
        .iter()
        .filter(|step| only.is_empty() || only.iter().any(|wanted| wanted.name == step.name))
        .filter(|step| !skip.contains(&step.name))
        .collect();
    context.coverage = chosen.iter().any(|step| step.name == "coverage");
    Ok(all(&context, &chosen))
}

fn named(name: Option<&String>) -> Result<&'static Step> {
    let name = name.ok_or("--only and --skip are followed by the name of a step")?;
    STEPS.iter().find(|step| step.name == name).ok_or_else(|| {
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        format!(
            "there is no step `{name}`; the steps are {}",
            names.join(", ")
        )
    })
}

fn all(context: &Context, steps: &[&Step]) -> bool {
    let begin = Instant::now();
    let mut rows: Vec<(&str, Duration, Report)> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        println!(
            "[{:>2}/{}] {:14} {}",
            at + 1,
            steps.len(),
            step.name,
            step.about
        );
        let started = Instant::now();
        let report = (step.run)(context).unwrap_or_else(Report::failed);
        let time = started.elapsed();
        match &report.failure {
            None => println!("       ok in {}  {}", seconds(time), report.note),
            Some(why) => println!("       FAILED in {}\n{why}\n", seconds(time)),
        }
        rows.push((step.name, time, report));
    }

    println!(
        "\n{:14} {:>14} {:>8} {:>8}  ",
        "step", "time", "passed", "failed"
    );
    let mut total = Counts::default();
    let mut good = true;
    for (name, time, report) in &rows {
        total.add(report.counts);
        good &= report.failure.is_none() && report.counts.failed == 0;
        let verdict = if report.failure.is_some() {
            "FAILED"
        } else {
            ""
        };
        println!(
            "{name:14} {:>14} {:>8} {:>8}  {verdict}{}",
            seconds(*time),
            report.counts.passed,
            report.counts.failed,
            report.note
        );
    }
    println!("{:14} {:>14}\n", "all", seconds(begin.elapsed()));
    println!("{} passed, {} failed", total.passed, total.failed);
    good
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_steps_and_options_are_refused_with_the_choices() {
        let message = test(&["--only".to_owned(), "tset".to_owned()]).unwrap_err();
        assert!(
            message.contains("tests") && message.contains("fuzz"),
            "{message}"
        );
        assert!(test(&["--fast".to_owned()]).is_err());
        assert!(test(&["--only".to_owned()]).is_err());
    }

    #[test]
    fn one_failing_step_fails_the_run() {
        let context = Context::new().unwrap();
        let good = Step {
            name: "good",
            about: "",
            run: |_| Ok(Report::holds("")),
        };
        let bad = Step {
            name: "bad",
            about: "",
            run: |_| Err("why".to_owned()),
        };
        assert!(all(&context, &[&good]));
        assert!(!all(&context, &[&bad, &good]));
    }
}
