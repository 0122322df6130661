//! `tandem migrate status`: of which version a database file is, and which there are.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;

use clap::Args;
use common::{Database, Result, Value};
use serde::Serialize;
use syncdb::migration::{Lineage, version_of};

use super::Subject;
use super::files::lineage;
use super::report::count;
use crate::commands::synced::to_json;
use crate::terminal::{Paint, is_coloured, output};

/// Show of which version of its lineage a database file is, and which versions there are
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tandem migrate status app.tdb --lineage lineage.json")]
pub(super) struct Status {
    #[command(flatten)]
    subject: Subject,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    db: &'a Path,
    version: u32,
    latest: u32,
    versions: Vec<Version>,
    migrated: Vec<Migrated>,
}

#[derive(Serialize)]
struct Version {
    number: u32,
    tables: Vec<String>,
    /// What led to it; nothing for the first.
    steps: Vec<String>,
}

/// A migration that was done.
#[derive(Serialize)]
struct Migrated {
    from: i64,
    to: i64,
    at: String,
}

impl Status {
    pub(super) fn run(self) -> Result<()> {
        let Subject { db, lineage: path } = &self.subject;
        let lineage = lineage(path)?;
        let database = durable::open(db)?;
        let version = version_of(&database, &lineage).map_err(|error| error.at(db.display()))?;
        let report = Report {
            db,
            version,
            latest: lineage.latest().number,
            versions: versions(&lineage),
            migrated: migrated(&database)?,
        };
        let mut out = output();
        if self.json {
            writeln!(out, "{}", to_json(&report)?)?;
            return Ok(());
        }
        let paint = Paint(is_coloured());
        let (name, latest) = (paint.bold(db.display()), report.latest);
        writeln!(
            out,
            "{name} is of version {version}; the latest is {latest}"
        )?;
        for Version {
            number,
            tables,
            steps,
        } in &report.versions
        {
            let mark = if *number == version { "*" } else { " " };
            let about = if *number == 1 {
                format!("tables {}", tables.join(", "))
            } else {
                count(steps.len() as u64, "step")
            };
            writeln!(out, "{mark} version {number}: {}", paint.dim(about))?;
            for step in steps {
                writeln!(out, "      {step}")?;
            }
        }
        for Migrated { from, to, at } in &report.migrated {
            let done = format!("migrated from version {from} to {to} at {at}");
            writeln!(out, "{}", paint.dim(done))?;
        }
        Ok(())
    }
}

fn versions(lineage: &Lineage) -> Vec<Version> {
    let versions = lineage.versions().map(|version| {
        let steps = lineage.migration(version.number).into_iter();
        Version {
            number: version.number,
            tables: version.schemas.keys().map(ToString::to_string).collect(),
            steps: steps
                .flat_map(|migration| &migration.steps)
                .map(ToString::to_string)
                .collect(),
        }
    });
    versions.collect()
}

/// The migrations that the database says were done, in order.
fn migrated(database: &Database) -> Result<Vec<Migrated>> {
    let Ok(history) = database.collection("sync_lineage") else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    let snapshot = database.snapshot();
    snapshot.view().scan(&history, &mut |records| {
        for record in records {
            let int = |at: usize| record.get(at).and_then(Value::as_int).unwrap_or_default();
            let at = record.get(3).map_or_else(String::new, ToString::to_string);
            let (from, to) = (int(1), int(2));
            found.push((int(0), Migrated { from, to, at }));
        }
        ControlFlow::Continue(())
    })?;
    found.sort_by_key(|(number, _)| *number);
    Ok(found.into_iter().map(|(_, migrated)| migrated).collect())
}
