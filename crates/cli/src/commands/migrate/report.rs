//! What a migration did or would do, as people read it.

use std::fmt::Write as _;

use common::{Error, ErrorKind, Result};
use syncdb::migration::{DryRun, Lineage, Step, TableDryRun, Way};

use super::files::steps_between;
use crate::terminal::Progress;

/// A number of things by their name.
pub(super) fn count(number: u64, name: &str) -> String {
    match number {
        1 => format!("1 {name}"),
        number => format!("{number} {name}s"),
    }
}

/// What becomes of a table's rows.
pub(super) fn way(way: Way, rows: u64) -> String {
    let rows = count(rows, "row");
    match way {
        Way::Create => "a new table".to_owned(),
        Way::Drop => format!("goes with {rows}"),
        Way::InPlace => format!("keeps {rows} as they are"),
        Way::Rebuild => format!("{rows} made anew"),
    }
}

/// One table of a dry run, a line for each fact.
pub(super) fn table(name: &str, table: &TableDryRun) -> String {
    let mut text = format!("{name}: {}", way(table.way, table.rows));
    let lossy: u64 = table.lossy.values().sum();
    if table.way == Way::Rebuild {
        let whole = count(table.whole, "row");
        let _ = write!(text, "; {whole} without any loss");
    }
    text.push('\n');
    for (column, values) in &table.lossy {
        let values = count(*values, "value");
        let _ = writeln!(text, "  lossy    {column}: {values} replaced");
    }
    if table.refused > 0 {
        let values = count(table.refused, "value");
        let _ = writeln!(text, "  refused  {values} in the way");
    }
    for sample in &table.samples {
        let place = format!("{name}({}).{}", sample.key, sample.column);
        let (before, why) = (&sample.before, &sample.why);
        let _ = match &sample.after {
            Some(after) => writeln!(text, "    {place}: {before:?} becomes {after:?}: {why}"),
            None => writeln!(text, "    {place}: {before:?} is refused: {why}"),
        };
    }
    let shown = table.samples.len() as u64;
    let all = lossy + table.refused;
    if shown < all {
        let _ = writeln!(text, "    and {} more", all - shown);
    }
    text
}

/// The steps on a way that take data with them which no row has afterwards.
pub(super) fn forgotten(lineage: &Lineage, from: u32, to: u32) -> Vec<String> {
    let steps = steps_between(lineage, from, to);
    steps
        .filter_map(|(version, _, step)| match step {
            Step::RemoveTable { .. } | Step::RemoveColumn { .. } if from < to => {
                Some(format!("{step} (version {version})"))
            }
            Step::AddTable { .. } | Step::AddColumn { .. } if to < from => {
                Some(format!("take back: {step} (version {version})"))
            }
            _ => None,
        })
        .collect()
}

/// Number of values that a dry run refused, and of those that it replaced.
pub(super) fn totals(trial: &DryRun) -> (u64, u64) {
    let tables = trial.tables.values();
    tables.fold((0, 0), |(refused, lossy), table| {
        let values: u64 = table.lossy.values().sum();
        (refused + table.refused, lossy + values)
    })
}

/// An error of a migration, with the file that is as it was. A database that is of the wrong kind is no damaged one.
pub(super) fn unchanged<T>(result: Result<T>, db: &std::path::Path) -> Result<T> {
    result.map_err(|error| {
        let kind = match error.kind() {
            ErrorKind::Unsupported => ErrorKind::Invalid,
            kind => kind,
        };
        let db = db.display();
        Error::new(
            kind,
            format!("{db}: {error}\nnothing was changed; {db} is as it was"),
        )
    })
}

/// How many rows of the table in hand are made anew, on standard error.
#[derive(Default)]
pub(super) struct Bar(Option<(String, Progress)>);

impl Bar {
    pub(super) fn tell(&mut self, table: &str, done: u64, all: u64) {
        let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        if self.0.as_ref().is_none_or(|(known, _)| known != table) {
            // The bar before goes first, so that both are not shown at once.
            self.0 = None;
            let bar = Progress::rows_of(&format!("migrating {table}"), count(all));
            self.0 = Some((table.to_owned(), bar));
        }
        if let Some((_, bar)) = &self.0 {
            bar.tick(count(done));
        }
    }
}
