//! `cargo xtask bench`: hands over to the crate that holds the rivals.

use crate::run::{Context, Result};

const HELP: &str = "\
Benchmarks against other engines in one run, with the answers checked.

Usage: cargo xtask bench NAME [OPTIONS]

  NAME      core: rows, indexes, transactions and queries against SQLite, redb and a bare HashMap
            payload: bytes of rows, packing, filters on blocks, against JSON, Protocol Buffers, Arrow and Parquet
            migration: five mixed steps on 500,000 rows, and an additive one at every size, against SQLite
            sync: rows to a client and kept up to date, against Automerge, Loro, Yjs, SQLite's session
            extension, and formats with compressors; --with-node adds PouchDB and RxDB
            power: what a day of syncing costs a phone, saving against standard
  OPTIONS   go to the benchmark; --json prints one JSON object a line, --help lists them

Run it on a quiet machine: results are committed with the machine in docs/benchmarks.md.";

/// The crate of the benchmark of sync, which is no member of the workspace.
pub(crate) const BENCH_SYNC: &str = "dev/bench-sync/Cargo.toml";

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
    let mut command = if args.first().is_some_and(|name| name == "sync") {
        // Its rivals compile for minutes, which no other command should wait for.
        let mut command = context.cargo(["run", "--release", "--target-dir"]);
        command
            .arg(context.root.join("target/bench-sync"))
            .arg("--");
        // Its folder says how SQLite is compiled.
        if let Some(folder) = std::path::Path::new(BENCH_SYNC).parent() {
            command.current_dir(context.root.join(folder));
        }
        command
    } else {
        // The day of a phone has no rivals, which compile long.
        let package = if args.first().is_some_and(|name| name == "power") {
            "tandemdb-bench-power"
        } else {
            "tandemdb-bench-compare"
        };
        context.cargo(["run", "--release", "--package", package, "--"])
    };
    command.args(args);
    let status = command
        .status()
        .map_err(|e| format!("cargo does not start: {e}"))?;
    Ok(status.success())
}
