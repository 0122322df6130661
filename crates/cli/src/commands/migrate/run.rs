//! `tandem migrate run`: a database file of one version becomes one of another, or stays as it is.

use std::io::Write as _;

use clap::Args;
use common::{Database, Error, Result};
use syncdb::migration::{Lineage, dry_run, migrate, version_of};

use super::Subject;
use super::files::check_scripts;
use super::report::{Bar, count, forgotten, totals, unchanged, way};
use crate::commands::synced::{open_to_change, to_json};
use crate::terminal::{Paint, Progress, is_coloured, output};

/// Migrate a database file to another version of its lineage
///
/// All tables change and the file is replaced, or, when a row is in the way, nothing: the rows in the way are named.
/// A migration that takes data with it is only done with --yes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem migrate run app.tdb --lineage lineage.json\n  \
    tandem migrate run app.tdb --lineage lineage.json --to 1 --yes")]
pub(super) struct Run {
    #[command(flatten)]
    subject: Subject,
    /// Version to migrate to, later or earlier; the latest if not given
    #[arg(long, value_name = "N")]
    to: Option<u32>,
    /// Do it also if columns or tables go, or values are replaced because they do not fit
    #[arg(long)]
    yes: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Run {
    pub(super) fn run(self) -> Result<()> {
        let Subject { db, lineage: path } = &self.subject;
        let (lineage, to) = self.subject.lineage_to(self.to)?;
        let progress = Progress::stage(&format!("reading {}", db.display()));
        let file = open_to_change(db)?;
        let from = unchanged(version_of(file.database(), &lineage), db)?;
        check_scripts(&lineage, from, to).map_err(|error| error.at(path.display()))?;
        if !self.yes && from != to {
            progress.say("trying each row");
            unchanged(ask_for_yes(file.database(), &lineage, from, to), db)?;
        }
        drop(progress);
        let mut bar = Bar::default();
        let done = migrate(file.database(), &lineage, to, &mut |table, rows, all| {
            bar.tell(table, rows, all);
            true
        });
        drop(bar);
        let report = unchanged(done, db)?;
        if from != to {
            let _progress = Progress::stage(&format!("writing {}", db.display()));
            file.keep()?;
        }
        let mut out = output();
        if self.json {
            writeln!(out, "{}", to_json(&report)?)?;
            return Ok(());
        }
        if from == to {
            let db = db.display();
            writeln!(out, "{db} is of version {to} already: nothing to do")?;
            return Ok(());
        }
        let paint = Paint(is_coloured());
        for (name, table) in &report.tables {
            let replaced = match table.lossy {
                0 => String::new(),
                values => format!(", {} replaced", count(values, "value")),
            };
            let what = way(table.way, table.rows);
            writeln!(out, "{}: {what}{replaced}", paint.bold(name))?;
        }
        // Of a folder only the log grows by it.
        let file = db.metadata().ok().filter(std::fs::Metadata::is_file);
        let size = file.map_or_else(String::new, |file| format!(" ({} bytes)", file.len()));
        writeln!(
            out,
            "{} is of version {to} now, of version {from} before{size}",
            db.display()
        )?;
        Ok(())
    }
}

/// Refuses a migration that takes data with it. Rows in the way are left to the migration, which names them.
fn ask_for_yes(database: &Database, lineage: &Lineage, from: u32, to: u32) -> Result<()> {
    let trial = dry_run(database, lineage, to, 0)?;
    let (refused, lossy) = totals(&trial);
    let mut losses = forgotten(lineage, from, to);
    if lossy > 0 {
        losses.push(format!("{} replaced", count(lossy, "value")));
    }
    if losses.is_empty() || refused > 0 {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the migration from version {from} to {to} loses what is there:\n  {}\nlook at it with `tandem migrate check`, keep a \
         copy of the file, and do it with --yes",
        losses.join("\n  ")
    )))
}
