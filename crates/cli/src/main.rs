//! The `tandem` command: import, query and inspect database files, and see TandemDB at work on real data.

mod commands;
mod exit;
mod show;
mod source;
mod terminal;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use common::Result;

/// A server allocates many small things on all threads: with the system's allocator that is a sixth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One database for rows that travel and vectors that answer.
#[derive(Debug, Parser)]
#[command(
    name = "tandem",
    version,
    about = "TandemDB: rows that sync, vectors that answer, one log behind both",
    after_help = "Exit codes:\n  \
        0  done\n  \
        1  the input was refused: a bad row, an unknown table or column, a key that exists\n  \
        2  the command line is wrong\n  \
        3  a file or folder cannot be read or written, or a server is not reached\n  \
        4  a database file is damaged, or a later version wrote it\n\n\
        A command that fails leaves the database file as it was."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Backup(commands::backup::Backup),
    Conflicts(commands::conflicts::Conflicts),
    Demo(commands::demo::Demo),
    Explain(commands::explain::Explain),
    Features(commands::features::Features),
    Import(commands::import::Import),
    Inspect(commands::inspect::Inspect),
    Migrate(commands::migrate::Migrate),
    Query(Box<commands::query::Query>),
    Rejected(commands::rejected::Rejected),
    Repair(commands::repair::Repair),
    Replica(commands::replica::Replica),
    Restore(commands::restore::Restore),
    Serve(commands::serve::Serve),
    Sync(commands::sync::Sync),
    Vectors(commands::vectors::Vectors),
    Verify(commands::verify::Verify),
}

fn main() -> ExitCode {
    let result = Cli::parse().run();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if exit::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told when standard error is gone too.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            exit::code_of(error.kind())
        }
    }
}

impl Cli {
    fn run(self) -> Result<()> {
        match self.command {
            Command::Backup(command) => command.run(),
            Command::Conflicts(command) => command.run(),
            Command::Demo(command) => command.run(),
            Command::Explain(command) => command.run(),
            Command::Features(command) => command.run(),
            Command::Import(command) => command.run(),
            Command::Inspect(command) => command.run(),
            Command::Migrate(command) => command.run(),
            Command::Query(command) => command.run(),
            Command::Rejected(command) => command.run(),
            Command::Repair(command) => command.run(),
            Command::Replica(command) => command.run(),
            Command::Restore(command) => command.run(),
            Command::Serve(command) => command.run(),
            Command::Sync(command) => command.run(),
            Command::Vectors(command) => command.run(),
            Command::Verify(command) => command.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    /// Finds what the reader of the command line would only find when a command is run.
    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
