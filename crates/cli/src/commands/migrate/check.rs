//! `tandem migrate check`: what a migration would do, and nothing more.

use std::io::Write as _;

use clap::Args;
use common::{Error, Result};
use syncdb::migration::{dry_run, version_of};

use super::Subject;
use super::files::check_scripts;
use super::report::{count, forgotten, table, totals, unchanged};
use crate::commands::synced::to_json;
use crate::terminal::{Paint, Progress, is_coloured, output};

/// Show what a migration would do to a database file: counts, and samples of what does not fit
///
/// Changes nothing. Ends with exit code 1 when rows are in the way.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem migrate check app.tdb --lineage lineage.json\n  \
    tandem migrate check app.tdb --lineage lineage.json --to 2 --samples 50 --json")]
pub(super) struct Check {
    #[command(flatten)]
    subject: Subject,
    /// Version to migrate to, later or earlier; the latest if not given
    #[arg(long, value_name = "N")]
    to: Option<u32>,
    /// Most samples of each table
    #[arg(long, value_name = "N", default_value_t = 10)]
    samples: usize,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> Result<()> {
        let Subject { db, lineage: path } = &self.subject;
        let (lineage, to) = self.subject.lineage_to(self.to)?;
        let progress = Progress::stage(&format!("reading {}", db.display()));
        let database = durable::open(db)?;
        let from = version_of(&database, &lineage).map_err(|error| error.at(db.display()))?;
        check_scripts(&lineage, from, to).map_err(|error| error.at(path.display()))?;
        progress.say("trying each row");
        let trial = unchanged(dry_run(&database, &lineage, to, self.samples), db)?;
        drop(progress);
        let mut out = output();
        if self.json {
            writeln!(out, "{}", to_json(&trial)?)?;
        } else if from == to {
            writeln!(
                out,
                "{} is of version {to} already: nothing to do",
                db.display()
            )?;
        } else {
            let paint = Paint(is_coloured());
            let title = format!("from version {from} to version {to}");
            writeln!(out, "{}: {title}", paint.bold(db.display()))?;
            for step in forgotten(&lineage, from, to) {
                writeln!(out, "loses what is there: {step}")?;
            }
            for (name, found) in &trial.tables {
                write!(out, "{}", table(name, found))?;
            }
            writeln!(out, "{}", paint.dim("(nothing was changed)"))?;
        }
        let (refused, _) = totals(&trial);
        if refused == 0 {
            return Ok(());
        }
        let values = count(refused, "value");
        let word = if to < from { "on_loss_back" } else { "on_loss" };
        Err(Error::invalid(format!(
            "{}: {values} would be in the way of the migration from version {from} to {to}; change them, or say in the \
             lineage with `{word}` what is to take their place",
            db.display()
        )))
    }
}
