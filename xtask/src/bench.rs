//! `cargo xtask bench`: hands over to the crate that holds the rivals.

use crate::run::{Context, Result};

const HELP: &str = "\
Benchmarks against other engines in one run, with the answers checked.

Usage: cargo xtask bench NAME [OPTIONS]

  NAME      core: rows, indexes, transactions and queries against SQLite, redb and a bare HashMap
            payload: bytes of rows, packing, filters on blocks, against JSON, Protocol Buffers, Arrow and Parquet
  OPTIONS   go to the benchmark; --json prints one JSON object a line

Run it on a quiet machine: results are committed with the machine in docs/benchmarks.md.";

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
    let mut command = context.cargo([
        "run",
        "--release",
        "--package",
        "tandemdb-bench-compare",
        "--",
    ]);
    command.args(args);
    let status = command
        .status()
        .map_err(|e| format!("cargo does not start: {e}"))?;
    Ok(status.success())
}
