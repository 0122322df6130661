//! `tandem migrate`: from one version of an application's tables to another, planned, tried and done.

mod check;
mod files;
mod plan;
mod report;
mod run;
mod status;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use common::Result;
use syncdb::migration::Lineage;

pub(super) use files::lineage;

/// Plan, try and do schema migrations of a database file
///
/// A lineage is a JSON file with the first version of an application's tables and the migrations after it:
/// {"first": [SCHEMA, ..], "migrations": [{"steps": [..]}, ..]}.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem inspect --schema tasks > before.json\n  \
    tandem migrate plan --from before.json --to after.json\n  \
    tandem migrate status app.tdb --lineage lineage.json\n  \
    tandem migrate check app.tdb --lineage lineage.json --to 3\n  \
    tandem migrate run app.tdb --lineage lineage.json --to 3")]
pub(crate) struct Migrate {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Plan(plan::Plan),
    Check(check::Check),
    Run(run::Run),
    Status(status::Status),
}

/// A database file and the versions that its tables have had.
#[derive(Debug, Args)]
struct Subject {
    /// Database file
    db: PathBuf,
    /// Lineage as JSON: the first schemas, and the migrations after them
    #[arg(long, value_name = "FILE")]
    lineage: PathBuf,
}

impl Subject {
    /// The lineage, and the version to migrate to: the latest if none is given.
    fn lineage_to(&self, to: Option<u32>) -> Result<(Lineage, u32)> {
        let lineage = lineage(&self.lineage)?;
        let to = to.unwrap_or(lineage.latest().number);
        let known = lineage.version(to).map(drop);
        known.map_err(|error| error.at(self.lineage.display()))?;
        Ok((lineage, to))
    }
}

impl Migrate {
    pub(crate) fn run(self) -> Result<()> {
        match self.command {
            Command::Plan(command) => command.run(),
            Command::Check(command) => command.run(),
            Command::Run(command) => command.run(),
            Command::Status(command) => command.run(),
        }
    }
}
