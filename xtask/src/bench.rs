//! `cargo xtask bench`: hands over to the crate that holds the rivals.

use std::path::Path;
use std::process::Command;

use crate::python;
use crate::run::{Context, Result};

const HELP: &str = "\
Benchmarks against other engines in one run, with the answers checked.

Usage: cargo xtask bench NAME [OPTIONS]

  NAME      core: rows, indexes, transactions and queries against SQLite, redb and a bare HashMap
            payload: bytes of rows, packing, filters on blocks, against JSON, Protocol Buffers, Arrow and Parquet
            migration: five mixed steps on 500,000 rows, and an additive one at every size, against SQLite
            sync: rows to a client and kept up to date, against Automerge, Loro, Yjs, SQLite's session
            extension, and formats with compressors; --with-node adds PouchDB and RxDB
            ann: vector search against hnswlib, faiss, glass, SymphonyQG, usearch and others, by recall
            experiment: assignment and statistics of experiments, against GrowthBook's SDK, SciPy and statsmodels
            durable: writes that are waited for, and opening again, against redb, fjall and SQLite
            serve: durable writes over the network against PostgreSQL and Redis, and what idle clients take
            features: retrieval of features and joins as of a time, against Feast, polars, NumPy and a plain copy
            transform: scaling, imputation and categories against scikit-learn, NumPy and a plain copy
            power: what a day of syncing costs a phone, saving against standard
            python: the Python packages against plain Python that does the same
  OPTIONS   go to the benchmark; --json prints one JSON object a line, --help lists them

Run it on a quiet machine: results are committed with the machine in docs/benchmarks.md.";

/// The crate of the benchmark of sync, which is no member of the workspace.
pub(crate) const BENCH_SYNC: &str = "dev/bench-sync/Cargo.toml";

/// The crate of the benchmark of durable storage, no member either.
pub(crate) const BENCH_DURABLE: &str = "dev/bench-durable/Cargo.toml";

/// The crate of the benchmark of the server, no member either.
pub(crate) const BENCH_SERVE: &str = "dev/bench-serve/Cargo.toml";

/// The crate of the benchmark of vector search, no member either.
pub(crate) const BENCH_ANN: &str = "dev/bench-ann/Cargo.toml";

/// Libraries that the benchmark of vector search reaches through Python, pinned.
const ANN_REQUIREMENTS: &str = "dev/bench-ann/requirements.txt";

/// Likewise the one of experiments.
const EXPERIMENT_REQUIREMENTS: &str = "dev/bench-experiment/requirements.txt";
/// Rivals of the feature store.
const FEATURES_REQUIREMENTS: &str = "dev/bench-features/requirements.txt";

/// Rivals of the transformations.
const TRANSFORM_REQUIREMENTS: &str = "dev/bench-transform/requirements.txt";

pub(crate) fn bench(args: &[String]) -> Result<bool> {
    match args.first().map(String::as_str) {
        None => return Err(format!("which benchmark?\n\n{HELP}")),
        Some("--help" | "-h") => {
            println!("{HELP}");
            return Ok(true);
        }
        Some(_) => {}
    }
    let context = Context::new()?;
    let mut command = match args.first().map(String::as_str) {
        Some("sync") => apart(&context, BENCH_SYNC, "target/bench-sync"),
        Some("durable") => apart(&context, BENCH_DURABLE, "target/bench-durable"),
        Some("serve") => {
            let mut command = apart(&context, BENCH_SERVE, "target/bench-serve");
            if !args.iter().any(|arg| arg == "--help" || arg == "--tandem") {
                command.args(["--tandem", &program(&context)?]);
            }
            command
        }
        Some("ann") => {
            let command = apart(&context, BENCH_ANN, "target/bench-ann");
            with_python(&context, command, ANN_REQUIREMENTS, args)?
        }
        Some("experiment") => {
            let command = package(&context, "tandemdb-bench-experiment");
            with_python(&context, command, EXPERIMENT_REQUIREMENTS, args)?
        }
        Some("features") => {
            let command = package(&context, "tandemdb-bench-features");
            with_python(&context, command, FEATURES_REQUIREMENTS, args)?
        }
        Some("transform") => {
            let command = package(&context, "tandemdb-bench-transform");
            with_python(&context, command, TRANSFORM_REQUIREMENTS, args)?
        }
        // The day of a phone has no rivals, which compile long.
        Some("power") => package(&context, "tandemdb-bench-power"),
        Some("python") => {
            let mut command = Command::new(python::with_wheel(&context, "release")?);
            command.arg(context.root.join("dev/bench-python/bench_python.py"));
            return finished(command.args(args.iter().skip(1)));
        }
        _ => package(&context, "tandemdb-bench-compare"),
    };
    finished(command.args(args))
}

fn finished(command: &mut Command) -> Result<bool> {
    let status = command
        .status()
        .map_err(|e| format!("{} does not start: {e}", command.get_program().display()))?;
    Ok(status.success())
}

/// The command with the Python whose libraries it takes, in a folder of target that is named after the crate.
fn with_python(
    context: &Context,
    mut command: Command,
    requirements: &str,
    args: &[String],
) -> Result<Command> {
    // Neither help nor a list needs the libraries.
    if !args.iter().any(|arg| arg == "--help" || arg == "--list") {
        let crate_folder = Path::new(requirements).parent().and_then(Path::file_name);
        let folder = context.target.join(crate_folder.unwrap_or_default());
        let python = python::environment_of(context, requirements, &folder.join("venv"))?;
        command.env("TANDEMDB_BENCH_PYTHON", python);
    }
    Ok(command)
}

fn package(context: &Context, name: &str) -> Command {
    context.cargo(["run", "--release", "--package", name, "--"])
}

/// The program that users get, built.
fn program(context: &Context) -> Result<String> {
    let mut build = context.cargo(["build", "--release", "--package", "tandemdb-cli"]);
    if !finished(&mut build)? {
        return Err("`tandem` does not build".to_owned());
    }
    Ok(context.target.join("release/tandem").display().to_string())
}

/// A crate whose rivals compile for minutes, which no other command should wait for.
fn apart(context: &Context, manifest: &str, target: &str) -> Command {
    let mut command = context.cargo(["run", "--release", "--target-dir"]);
    command.arg(context.root.join(target)).arg("--");
    // Its folder may say how libraries in C are compiled.
    if let Some(folder) = Path::new(manifest).parent() {
        command.current_dir(context.root.join(folder));
    }
    command
}
