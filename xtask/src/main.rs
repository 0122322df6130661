//! The workspace's own commands. `cargo xtask --help` lists them.

#![expect(
    clippy::print_stdout,
    reason = "what these commands say is for a terminal"
)]

mod architecture;
mod bench;
mod coverage;
mod deny;
mod fuzz;
mod neon;
mod python;
mod run;
mod rust;
mod schedules;
mod soak;
mod steps;
mod tools;
mod tsan;

use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
The workspace's own commands.

Usage: cargo xtask COMMAND

Commands:
  test    everything that must hold before a change lands; CI runs the same
  soak    the fuzz targets, the property tests and the simulation at full length
  bench   benchmarks against other engines, with the answers checked
  help    this text

`cargo xtask COMMAND --help` says more.";

fn main() -> ExitCode {
    let mut args = std::env::args();
    let program = args.next().unwrap_or_default();
    // Under this name the program stands between cargo and rustc: see `coverage`.
    if Path::new(&program).file_name() == Some(coverage::WRAPPER_NAME.as_ref()) {
        return coverage::compile(args);
    }
    let args: Vec<String> = args.collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", args.as_slice()),
    };
    let result = match command {
        "test" => steps::test(rest),
        "soak" => soak::soak(rest),
        "bench" => bench::bench(rest),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(true)
        }
        other => Err(format!("there is no command `{other}`\n\n{HELP}")),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}
